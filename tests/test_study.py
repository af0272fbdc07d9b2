"""A study draws its sets with the shipped lab, compares them with shipped photographs, and continues."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from synthgap.core.errors import InputError
from synthgap.core.specs import StudySpec
from synthgap.study import lab_images, load_study, shipped_studies
from synthgap.study.running import run_study

DRAWN = {
    "classes": "cat,ship",
    "per_class": 6,
    "eval_per_class": 4,
    "num_inference_steps": 3,
    "dtype": "bfloat16",
    "shard_size": 10,
}


def small(**measure: int) -> StudySpec:
    return StudySpec.model_validate(
        {
            "natural": {"name": "natural", "path": "lab:natural"},
            "sets": [
                {"name": "sd14", "path": "lab:sd14"},
                {"name": "high", "generate": DRAWN},
                {"name": "varied", "generate": DRAWN | {"recipe": "augmented", "guidance_scale": 2.5}},
            ],
            "measure": {"bootstrap": 20, **measure},
        }
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("study")
    run_study(small(), out)
    return out


def test_the_demo_is_a_valid_study_of_five_sets() -> None:
    spec = load_study("demo")
    assert [item.name for item in spec.sets] == ["sd14", "lab-7.5", "lab-2.5", "lab-augmented"]
    drawn = [item.generate for item in spec.sets if item.generate is not None]
    assert [one.guidance_scale for one in drawn] == [7.5, 2.5, 2.5]
    assert len({one.seed for one in drawn}) == 1
    assert "demo" in shipped_studies()


def test_a_study_writes_every_table_of_the_contract(run: Path) -> None:
    summary = json.loads((run / "summary.json").read_text())
    assert len(summary["sentences"]) == 3
    assert {"generation of high", "generation of varied", "embedding", "measurement"} <= set(summary["seconds"])
    assert pq.read_schema(run / "measurements.parquet").names[:9] == [
        "metric", "reference", "query", "class_key", "value", "ci_low", "ci_high", "n", "reason",
    ]  # fmt: skip
    findings = pq.read_table(run / "findings.parquet").to_pylist()
    assert {row["class_key"] for row in findings} == {"n02121620", "n04194289"}
    assert (run / "report" / "index.html").stat().st_size > 50_000


def test_trials_pair_every_reference_with_every_query_and_prompts(run: Path) -> None:
    rows = pq.read_table(run / "trials.parquet").to_pylist()
    names = {row["reference"] for row in rows}
    assert names == {row["query"] for row in rows}
    assert {"natural", "sd14", "high", "varied"} < names
    assert len(rows) == len(names) ** 2


def test_a_classifier_is_trained_on_each_set_and_asked_about_natural_images(run: Path) -> None:
    rows = pq.read_table(run / "classifier.parquet").to_pylist()
    assert {row["train_set"] for row in rows} == {"natural", "sd14", "high", "varied"}
    assert {row["test_set"] for row in rows} == {"natural"}


def test_the_same_call_draws_nothing_again(run: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (run / "sets").rglob("*") if path.is_file()}
    run_study(small(), run)
    assert {path: path.stat().st_mtime_ns for path in (run / "sets").rglob("*") if path.is_file()} == before


def test_a_set_needs_one_source_and_names_are_unique() -> None:
    with pytest.raises(ValueError, match="either 'path', or 'generate'"):
        StudySpec.model_validate({"natural": {"name": "n"}, "sets": [{"name": "s", "path": "x"}]})
    with pytest.raises(ValueError, match="two sets are called 'n'"):
        StudySpec.model_validate({"natural": {"name": "n", "path": "x"}, "sets": [{"name": "n", "path": "y"}]})


def test_unknown_names_are_answered_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean 'sd14'"):
        lab_images("sd-14")
    (tmp_path / "study.yaml").write_text("natural: {name: n, path: x}\nsets: [{name: s, pth: y}]\n")
    with pytest.raises(InputError, match=r"sets\.0\.pth.*did you mean 'path'"):
        load_study(str(tmp_path / "study.yaml"))
