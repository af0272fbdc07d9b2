"""The report's section of classifiers: tables as they stand on disk, in; what a reader sees, out."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sample_run import CIFAR, write_sample_run
from scipy.stats import pearsonr, spearmanr

from synthgap.stages.report import write_report
from synthgap.stages.report.curves import charts
from synthgap.stages.report.figures import Figures
from synthgap.stages.report.foretelling import _level, _spearman, foretelling
from synthgap.stages.report.proof import proof
from synthgap.stages.report.sets import set_views
from synthgap.stages.report.tables import read_run

SETS = ("natural", "sd14", "lab-2.5", "half and half")
HOSTILE = "</script><script>alert(1)</script>"


def standing(train: str, test: str, key: str, value: float, images: int = 500) -> dict[str, Any]:
    return {
        "metric": "top_1", "train_set": train, "test_set": test, "class_key": key, "images": images, "value": value,
        "ci_low": value - 0.03, "ci_high": value + 0.03, "n": 100, "seeds": 3,
    }  # fmt: skip


def accuracy(train: str, test: str) -> float:
    return 0.8 - 0.1 * SETS.index(train) - (0.0 if train == test else 0.15)


def write(folder: Path, name: str, rows: list[dict[str, Any]]) -> None:
    path = folder / f"{name}.parquet"
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with the tables of matrix, scaling and transfer; losses by class follow the centroid shift of sd14."""
    folder = write_sample_run(tmp_path / "run", points=20, per_strip=2)
    rows = [standing(train, test, "overall", accuracy(train, test)) for train in SETS for test in ("natural", "sd14")]
    measured = pq.read_table(folder / "measurements.parquet").to_pylist()
    shift = {
        row["class_key"]: row["value"]
        for row in measured
        if (row["metric"], row["query"], row["reference"]) == ("centroid_shift", "sd14", "natural")
    }
    for key, name in CIFAR.items():
        rows.append(standing("natural", "natural", name, 0.9))
        rows.append(standing("sd14", "natural", name, 0.9 - shift[key]))
    write(folder, "proof/matrix", rows)
    sizes = [standing(s, "natural", "overall", 0.3 + 0.1 * math.log10(n), n) for s in SETS[:2] for n in (10, 100, 1000)]
    write(folder, "proof/scaling", sizes)
    models = [("natural-500-0", 0.7), ("half and half-500-0", 0.4)]
    transfer = [{"model": m, "set": "Pets", "accuracy": a, "ci_low": a, "ci_high": a, "test": 50} for m, a in models]
    write(folder, "transfer/transfer", transfer)
    return folder


def section(folder: Path) -> str:
    page = write_report(folder).read_text(encoding="utf-8")
    return page[page.index('<section id="proof">') : page.index('<section id="definitions">')]


def view(folder: Path) -> Any:
    tables = read_run(folder)
    return proof(tables, Figures(tables), set_views(tables))


def test_rows_are_training_sets_and_columns_are_test_sets(run: Path) -> None:
    found = view(run)
    assert [row.trained.name for row in found.scores.rows] == list(SETS)
    assert [one.name for one in found.scores.tests] == ["natural", "sd14"]
    assert [cell.text for cell in found.scores.rows[0].cells] == ["80.0%", "65.0%"]
    assert found.scores.rows[0].cells[0].interval == "77.0 – 83.0%" and found.networks == 3
    strengths = [cell.strength for row in found.scores.rows for cell in row.cells]
    assert max(strengths) == strengths[0] == 1.0 and min(strengths) == strengths[-1] == 0.0
    assert [cell.own for row in found.scores.rows[:2] for cell in row.cells] == [True, False, False, True]


def test_sets_keep_their_colours_and_mixtures_have_one_of_their_own(run: Path) -> None:
    styles = {row.trained.name: row.trained.style for row in view(run).scores.rows}
    assert styles["natural"] == "nat" and styles["sd14"] == "syn0" and styles["half and half"] == "oth"


def test_a_model_is_called_by_the_set_that_it_learned_from(run: Path) -> None:
    found = view(run).transfer
    assert [row.trained.name for row in found.rows] == ["natural", "half and half"]
    two = [
        {"model": f"natural-500-{seed}", "set": "Pets", "accuracy": 0.5, "ci_low": 0.4, "ci_high": 0.6}
        for seed in (0, 1)
    ]
    write(run, "transfer/transfer", two)
    assert [row.trained.name for row in view(run).transfer.rows] == ["natural-500-0", "natural-500-1"]


def test_the_figure_that_orders_the_classes_as_the_loss_comes_first(run: Path) -> None:
    first = view(run).foretold.rows[0]
    assert (first.name, first.values, first.mean) == ("centroid_shift", [("+1.00", True)], "+1.00")
    assert view(run).foretold.classes == len(CIFAR)


def test_rank_correlation_is_scipys() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        left, right = rng.integers(0, 6, 12).astype(float), rng.normal(size=12)  # with ties
        assert _spearman(left, right) == pytest.approx(spearmanr(left, right).statistic)
    assert math.isnan(_spearman(np.ones(9), np.arange(9.0)))
    assert math.isnan(_spearman(np.array([1, 2, 3, 4, math.nan]), np.arange(5.0)))


@pytest.mark.parametrize("classes", [5, 10, 100])
def test_chance_goes_beyond_the_level_once_in_twenty(classes: int) -> None:
    """A correlation at the level has the p-value 0.05 (scipy's test of Pearson's, whose t statistic is the same)."""
    rng = np.random.default_rng(classes)
    base, other = rng.normal(size=(2, classes))
    base -= base.mean()
    other -= other.mean()
    other -= base * (other @ base) / (base @ base)
    level = _level(classes)
    mixed = level * base / np.linalg.norm(base) + math.sqrt(1 - level**2) * other / np.linalg.norm(other)
    assert pearsonr(base, mixed).pvalue == pytest.approx(0.05, abs=1e-9)


def test_few_classes_have_no_rank_correlation(run: Path) -> None:
    rows = pq.read_table(run / "proof" / "matrix.parquet").to_pylist()
    few = [row for row in rows if row["class_key"] in ("overall", *list(CIFAR.values())[:4])]
    tables = read_run(run)
    assert foretelling(few, Figures(tables), set_views(tables)) is None


def test_curves_rise_where_the_scores_do(run: Path) -> None:
    rows = pq.read_table(run / "proof" / "scaling.parquet").to_pylist()
    (chart,) = charts(rows, set_views(read_run(run)))
    points = chart.curves[0].points
    assert [text for _, text in chart.across] == ["10", "100", "1,000"]
    across, up = [x for x, _, _ in points], [y for _, y, _ in points]
    assert across[1] - across[0] == pytest.approx(across[2] - across[1], abs=0.2)  # logarithmic
    assert up[0] - up[1] == pytest.approx(up[1] - up[2], abs=0.2) and up[0] > up[2]
    assert points[0][2] == "natural, 10 images: 40.0% (37.0 – 43.0%)"
    levels = {text: y for y, text in chart.up}
    assert up[0] == pytest.approx(levels["40%"], abs=0.2)


def test_names_stay_text(run: Path) -> None:
    rows = pq.read_table(run / "proof" / "matrix.parquet").to_pylist()
    write(run, "proof/matrix", [row | {"train_set": HOSTILE + row["train_set"]} for row in rows])
    assert HOSTILE not in section(run) and "alert(1)" in section(run)


def test_undefined_scores_are_a_dash(run: Path) -> None:
    nan = float("nan")
    rows = pq.read_table(run / "proof" / "matrix.parquet").to_pylist()
    gone = {"value": nan, "ci_low": nan, "ci_high": nan}
    write(run, "proof/matrix", [row | (gone if row["train_set"] == "sd14" else {}) for row in rows])
    write(run, "proof/scaling", [standing("natural", "natural", "overall", nan, n) for n in (10, 10)])
    shown = section(run)
    assert not re.search(r"\b(nan|inf)\b", shown) and "–" in shown


def test_without_a_matrix_there_is_no_section_and_no_word_of_it(run: Path) -> None:
    for name in ("proof/matrix", "proof/scaling", "transfer/transfer"):
        (run / f"{name}.parquet").unlink()
    page = write_report(run).read_text(encoding="utf-8")
    assert 'id="proof"' not in page and "matrix.parquet" not in page


def test_of_a_study_only_its_own_parts_and_sets_are_shown(run: Path) -> None:
    summary = read_run(run).summary
    parts = {"classifiers": ["natural", "sd14"], "transfer": ["natural-500-0"]}
    (run / "summary.json").write_text(json.dumps({**summary, "parts": parts}))
    found = view(run)
    assert [row.trained.name for row in found.scores.rows] == ["natural", "sd14"]
    assert found.scaling == [] and [row.trained.name for row in found.transfer.rows] == ["natural"]
    (run / "summary.json").write_text(json.dumps({**summary, "parts": {}}))
    page = write_report(run).read_text(encoding="utf-8")
    assert 'id="proof"' not in page and "matrix.parquet" not in page
    edited: tuple[Any, ...] = ([], "none", {"classifiers": "natural"})
    for odd in edited:
        (run / "summary.json").write_text(json.dumps({**summary, "parts": odd}))
        write_report(run)


def test_a_broken_matrix_is_named(run: Path) -> None:
    (run / "proof" / "matrix.parquet").write_bytes(b"not a table")
    page = write_report(run).read_text(encoding="utf-8")
    assert 'id="proof"' not in page and "matrix.parquet cannot be read" in page
