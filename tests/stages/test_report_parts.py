"""The records behind the page: the right number in the right place."""

from __future__ import annotations

import doctest
import importlib
from html import unescape
from typing import Any

import pytest

from synthgap.stages.report.classes import CAUSES, class_rows
from synthgap.stages.report.definitions import DERIVED, HEADLINE, definitions_for
from synthgap.stages.report.figures import Figures
from synthgap.stages.report.headline import headlines
from synthgap.stages.report.learning import error_shares, learning
from synthgap.stages.report.notes import notes
from synthgap.stages.report.page import json_block, with_code
from synthgap.stages.report.scatter import GRID, MAX_POINTS, scatter
from synthgap.stages.report.sets import SHAPES, set_views
from synthgap.stages.report.tables import COLUMNS, RunTables
from synthgap.stages.report.trials import trial_table

NAN = float("nan")


def tables(rows: dict[str, list[dict[str, Any]]] | None = None, **summary: Any) -> RunTables:
    """A run of the sets ``photos`` and ``drawings`` with the given rows and nothing else."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in COLUMNS} | (rows or {})
    missing = {name: f"{name}.parquet is not part of this run" for name, members in found.items() if not members}
    return RunTables({"natural": "photos", "synthetic": "drawings"} | summary, found, missing)


def measured(metric: str, query: str, value: float, reference: str = "photos", **more: Any) -> dict[str, Any]:
    row = {"metric": metric, "reference": reference, "query": query, "class_key": "overall", "value": value}
    return row | {"ci_low": value - 0.01, "ci_high": value + 0.01, "n": 100, "reason": ""} | more


@pytest.mark.parametrize("module", ["formats", "page"])
def test_examples_in_the_documentation_run(module: str) -> None:
    result = doctest.testmod(importlib.import_module(f"synthgap.stages.report.{module}"))
    assert result.attempted > 0 and result.failed == 0


def test_a_figure_is_that_of_the_pair_and_not_of_another_one() -> None:
    rows = [
        measured("centroid_accuracy", "photos", 0.9),
        measured("centroid_accuracy", "drawings", 0.5, reference="sketches"),
        measured("centroid_accuracy", "drawings", 0.7),
        measured("centroid_accuracy", "photos", 0.3, reference="drawings"),
        measured("centroid_accuracy", "sketches", 0.6),
        measured("centroid_distance", "drawings", 0.02, reference="drawings"),
    ]
    figures = Figures(tables({"measurements": rows}))
    assert figures.main("centroid_accuracy").value == 0.7
    assert figures.of("centroid_accuracy", "sketches").value == 0.6
    assert figures.of("centroid_distance", "drawings").value == 0.02
    assert not figures.of("centroid_shift", "sketches").defined


def test_figures_come_from_the_summary_by_name_or_key_where_the_table_has_none() -> None:
    block = {
        "centroid_accuracy": {"overall": {"value": 0.7}, "per_class": {"cat": {"value": 0.4}, "n02": {"value": 0.3}}},
        "knn_accuracy": {"5": {"overall": {"value": 0.6}, "per_class": {"cat": {"value": 0.2}}}},
    }
    figures = Figures(tables(classes={"n01": "cat", "n02": "dog"}, measurements=block, baseline=block))
    assert figures.main("centroid_accuracy", "n01").value == 0.4
    assert figures.main("centroid_accuracy", "n02").value == 0.3
    assert figures.main("knn_accuracy@5").value == 0.6
    assert figures.baseline("knn_accuracy@5", "n01").value == 0.2
    assert figures.metrics() == ["centroid_accuracy", "knn_accuracy@5"]


def test_a_headline_stands_beside_its_baseline() -> None:
    rows = [
        measured("centroid_accuracy", "drawings", 0.7),
        measured("centroid_shift", "drawings", 0.06, ci_low=0.05, ci_high=0.07),
        measured("centroid_distance", "drawings", 0.02),
        measured("centroid_distance", "photos", 0.04),
        measured("frechet_distance", "drawings", 0.5),
        measured("frechet_mean_term", "drawings", 0.4),
        measured("frechet_covariance_term", "drawings", 0.1),
    ]
    baseline = {
        "centroid_accuracy": {"overall": {"value": 0.9, "ci_low": 0.88, "ci_high": 0.92}},
        "centroid_shift": {"overall": {"value": 0.04, "ci_low": 0.03, "ci_high": 0.055}},
        "frechet_distance": {"overall": {"value": -0.01, "ci_low": -0.02, "ci_high": 0.01}},
    }
    found = {row.definition.name: row for row in headlines(Figures(tables({"measurements": rows}, baseline=baseline)))}
    assert list(found) == ["centroid_accuracy", "centroid_shift", "centroid_distance", "frechet_distance"]
    accuracy, shift, distance, frechet = found.values()
    assert (accuracy.value, accuracy.baseline, accuracy.difference) == ("70.0%", "90.0%", "−20.0 points")
    assert (accuracy.verdict, shift.verdict) == ("outside", "inside")
    assert (shift.difference, distance.difference, distance.baseline) == ("1.5×", "0.50×", "0.0400")
    assert frechet.difference == "" and frechet.terms == "means 0.400 + covariances 0.100"
    assert accuracy.mark is not None and (accuracy.mark.at, accuracy.mark.low, accuracy.mark.width) == (70.0, 69.0, 2.0)


def test_a_class_row_has_its_ratios() -> None:
    rows = [
        measured("centroid_shift", "drawings", 0.08, class_key="n01"),
        measured("centroid_distance", "drawings", 0.01, class_key="n01"),
        measured("centroid_distance", "photos", 0.04, class_key="n01"),
    ]
    findings = [
        {
            "class_key": "n01",
            "cause": "low-diversity",
            "severity": 0.5,
            "flagged": True,
            "suggestion": "",
            "evidence": "",
        }
    ]
    baseline = {"centroid_shift": {"per_class": {"cat": {"value": 0.02}}}}
    run = tables({"measurements": rows, "findings": findings}, classes={"n01": "cat", "n02": "dog"}, baseline=baseline)
    cat, dog = class_rows(run, Figures(run))
    assert (cat.name, cat.shift_ratio, cat.diversity_ratio) == ("cat", pytest.approx(4.0), pytest.approx(0.25))
    assert (dog.cause, dog.cause_style) == ("not diagnosed", "other")


def test_a_class_that_could_not_be_judged_is_not_called_sound() -> None:
    findings = [
        {"class_key": "a", "cause": "sound", "severity": NAN, "flagged": False, "suggestion": "", "evidence": ""},
        {"class_key": "b", "cause": "sound", "severity": 0.0, "flagged": False, "suggestion": "", "evidence": ""},
    ]
    run = tables({"findings": findings})
    assert [(row.key, row.cause) for row in class_rows(run, Figures(run))] == [
        ("b", CAUSES["sound"][0]),
        ("a", "not judged"),
    ]


def points(name: str, count: int, modality: str = "image") -> list[dict[str, Any]]:
    return [
        {
            "set": name,
            "modality": modality,
            "class_key": "n01",
            "image_key": f"{index}",
            "x": index / count,
            "y": 0.5 * (index % 2),
        }
        for index in range(count)
    ]


def test_the_map_is_thinned_evenly_and_keeps_its_proportions() -> None:
    run = tables(
        {"map": points("photos", 30_000) + points("words", 7, "prompt") + [points("photos", 1)[0] | {"x": NAN}]}
    )
    views = set_views(run)
    found = scatter(run, Figures(run), views, {("words", "3"): 42})
    assert found is not None
    photos, words = found["sets"]
    assert 5_000 <= len(photos["x"]) <= MAX_POINTS and len(words["x"]) == 7
    assert found["shown"] == len(photos["x"]) + 7 and found["total"] == 30_008
    assert max(photos["x"]) > 0.99 * GRID and abs(max(photos["y"]) - GRID / 2) < 3
    assert found["width"] == pytest.approx(2 * found["height"], rel=0.01)
    assert words["t"] == {"3": 42} and words["kind"] == "prompts" and words["style"] == "prm0"
    assert scatter(tables(), Figures(tables()), {}, {}) is None


def test_every_set_has_its_own_mark() -> None:
    names = [{"name": name, "modality": "image"} for name in ("photos", "sketches", "drawings", "paintings")]
    views = set_views(tables(sets=[*names, {"name": "words", "modality": "prompt", "n": 1200, "classes": 10}]))
    assert {view.name: view.style for view in views.values()} == {
        "photos": "nat", "drawings": "syn0", "sketches": "syn1", "paintings": "syn2", "words": "prm0",
    }  # fmt: skip
    assert views["words"].size == "1,200 prompts, 10 classes"
    assert {view.style for view in views.values()} <= SHAPES.keys()


def test_the_matrix_has_references_as_rows() -> None:
    trials = [
        {"number": 1, "reference": "photos", "query": "drawings", "centroid_accuracy": 0.8, "knn_1": NAN, "n": 50},
        {"number": 2, "reference": "drawings", "query": "photos", "centroid_accuracy": 0.6, "knn_1": NAN, "n": 50},
        {"number": 3, "reference": "photos", "query": "photos", "centroid_accuracy": NAN, "knn_1": NAN, "n": 50},
    ]
    run = tables({"trials": trials})
    found = trial_table(run, set_views(run))
    assert found is not None
    first = found.cells["photos", "drawings"]
    assert (first.number, first.reference.name, first.query.name) == (1, "photos", "drawings")
    assert [(row.values[0].text, row.values[0].strength) for row in found.rows] == [
        ("80.0%", 1.0),
        ("60.0%", 0.0),
        ("–", 0.0),
    ]
    assert found.labels == ("Centroid accuracy",)
    assert [view.name for view in found.references] == ["photos", "drawings"]


def test_lessons_start_with_the_natural_one_and_then_the_best() -> None:
    accuracies = {"drawings": 0.5, "photos": 0.6, "mixed": 0.7, "broken": NAN}
    rows = [
        {"train_set": name, "test_set": "photos", "class_key": key, "value": value}
        for name, value in accuracies.items()
        for key in ("overall", "n01")
    ]
    run = tables({"classifier": rows}, classes={"n01": "cat", "n02": "dog"})
    (chart,) = learning(run, Figures(run), set_views(run))
    assert [lesson.name for lesson in chart.lessons] == ["photos", "mixed", "drawings", "broken"]
    assert (chart.chance, chart.lessons[1].style, chart.lessons[3].value) == (50.0, "oth", "–")


def test_error_shares_of_each_synthetic_set() -> None:
    parts = {"total": 0.3, "diversity": 0.35, "shift": -0.05}
    rows = [
        measured(f"error_{part}", name, value, reference="words")
        for part, value in parts.items()
        for name in ("drawings", "photos")
    ]
    run = tables({"measurements": rows})
    (share,) = error_shares(Figures(run), set_views(run))
    assert (share.set.name, share.total, share.shift, share.negative) == ("drawings", "30.0%", "−5.0%", True)
    assert (share.diversity_width, share.shift_width) == (35.0, 0.0)


def test_long_lists_are_cut_and_counted() -> None:
    skipped = [
        {"set": "drawings", "image_key": f"{index}", "class_key": "n01", "reason": "truncated"}
        for index in range(2_000)
    ]
    run = tables(
        skipped=skipped,
        warnings=[f"w{index}" for index in range(45)],
        seconds={"embed": 3.0, "draw": 6.0, "total": 10.0},
    )
    found = notes(run, Figures(run), {"map": True})
    assert found.skipped is not None
    assert (found.skipped.total, len(found.skipped.rows), found.skipped.reasons) == (
        2_000,
        50,
        [("2,000", "truncated")],
    )
    assert (len(found.warnings), found.more_warnings) == (40, 5)
    assert [(stage.name, stage.width) for stage in found.stages] == [("embed", 50.0), ("draw", 100.0)]
    assert found.total_time == "10.0 s"


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("use 'augmented' or `name`.", "use <code>augmented</code> or <code>name</code>."),
        ("the crow's nest isn't 'the crow's nest'", "the crow's nest isn't <code>the crow's nest</code>"),
        ("<i> '<b>' <u>", "&lt;i&gt; <code>&lt;b&gt;</code> &lt;u&gt;"),
        ("one ` and one '", "one ` and one '"),
    ],
)
def test_proposed_prompts_are_set_as_code(text: str, html: str) -> None:
    assert str(with_code(text)).replace("&#39;", "'") == html


def test_json_blocks_cannot_close_their_element() -> None:
    assert "<" not in json_block({"a": "</script>&\u2028"}) and unescape(json_block([1, "é"])) == '[1,"é"]'
    with pytest.raises(ValueError, match="JSON"):
        json_block([NAN])


def test_each_shown_measure_is_defined_with_its_range_direction_and_limits() -> None:
    wanted = definitions_for(["centroid_shift", "error_total"], findings=True, classifier=False)
    assert [item.name for item in wanted] == ["centroid_shift", "baseline", "interval", "severity", "error_total"]
    for item in HEADLINE + DERIVED:
        assert all((item.label, item.meaning, item.span, item.direction, item.lies, item.source)), item.name
