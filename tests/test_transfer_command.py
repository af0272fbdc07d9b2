"""``synthgap transfer``, and the page about it."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from command_line import run
from transfer_samples import model_folder, split_folder

from synthgap import cli
from synthgap.commands import transferring
from synthgap.core.specs import TransferSpec
from synthgap.stages.transfer import KNOWN_SETS

PAGE = Path(__file__).parent.parent / "docs" / "transfer.md"
QUICK = "--trials 5 --repeats 1 --bootstrap 100 --device cpu --workers 1 --out out"
NUMBER = {"value", "ci_low", "ci_high", "n"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    model_folder(tmp_path / "first")
    model_folder(tmp_path / "second" / "first", seed=2)
    split_folder(tmp_path / "squares", {"train": 8, "validation": 4, "test": 6})
    split_folder(tmp_path / "eurosat", {"train": 10, "test": 6})
    return tmp_path


def test_models_by_sets(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = f"transfer first,second/first squares EuroSAT=eurosat {QUICK}"
    code, out, _ = run(capsys, f"{line} --format json")
    found = json.loads(out)
    assert code == 0 and len(found["results"]) == 4
    assert [one["set"] for one in found["results"]] == ["squares", "EuroSAT"] * 2
    assert len({one["model"] for one in found["results"]}) == 2  # two folders of one name
    for one in found["results"]:
        assert set(one["accuracy"]) == set(one["mean_per_class"]) == NUMBER and one["accuracy"]["n"] == 18
    for model, groups in found["average"].items():
        assert set(groups) == {"all", "small-scale"} and groups["all"]["n"] == 2
        values = [one["accuracy"]["value"] for one in found["results"] if one["model"] == model]
        assert groups["all"]["value"] == pytest.approx(sum(values) / 2)
    assert json.loads((folder / "out" / "transfer.json").read_text()) == found
    rows = pq.read_table(folder / "out" / "transfer.parquet").to_pylist()
    assert [row["accuracy"] for row in rows] == [one["accuracy"]["value"] for one in found["results"]]
    code, out, _ = run(capsys, line)
    assert code == 0 and "mean of 2 (all)" in out and "C " in out
    assert "note: EuroSAT has 3 classes, not 10" in out and "has no validation split: 29% of each class" in out


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("transfer first --out out", "no model or no image set; expected synthgap transfer MODEL SET"),
        ("transfer ,, wild --out out", "no model or no image set; expected synthgap transfer MODEL SET"),
        ("transfer first nowhere --out out", "nowhere: no such folder"),
        ("transfer first =squares --out out", "expected NAME=PATH"),
        ("transfer first squares a=eurosat a=eurosat --out out", "two sets are called 'a'"),
        ("transfer nowhere squares --out out", "no classifier 'nowhere'"),
        ("transfer first squares --out out --trials 0", "--trials: input should be greater than or equal to 1"),
        ("transfer first squares --out out --solver lbfg", "lbfg"),
        ("transfer first squares --out out --strengths 10 1", "strengths is 10 to 1"),
    ],
)
def test_wrong_input_is_one_line(folder: Path, capsys: pytest.CaptureFixture[str], line: str, said: str) -> None:
    code, out, err = run(capsys, line)
    assert (code, out) == (2, "")
    assert err.startswith("error: ") and err.count("\n") == 1 and said in err


def test_what_has_the_name_of_an_earlier_model_or_set_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    split_folder(folder / "other" / "squares", {"train": 9, "test": 6})
    assert run(capsys, f"transfer first squares {QUICK}")[0] == 0
    for line, what in (("second/first squares", "parents.model"), ("first other/squares", "parents.images")):
        code, out, err = run(capsys, f"transfer {line} {QUICK}")
        assert (code, out) == (2, "") and err.count("\n") == 1
        assert "holds another run" in err and what in err and "give another folder" in err


def test_paths_that_exist_are_never_cut(folder: Path) -> None:
    (folder / "a=b").mkdir()
    (folder / "a,b").mkdir()
    assert transferring._named("a=b").name is None
    assert transferring._named("c=b").name == "c"
    assert transferring._several("a,b") == ["a,b"] and transferring._several("c, d") == ["c", "d"]


def test_the_page_is_right() -> None:
    """The tables of docs/transfer.md against the sets and the spec, and its commands against the options."""
    text = PAGE.read_text(encoding="utf-8")
    rows = {cells[0]: cells[1:] for cells in (line.strip("| ").split(" | ") for line in text.splitlines())}
    for one in KNOWN_SETS:
        if one.group == "ImageNet-CoG":
            continue
        taken = ["", "" if one.validation_given else " (taken)", "" if one.test_given else " (taken)"]
        numbers = zip((one.train, one.validation, one.test), taken, strict=True)
        cells = ["–" if number is None else f"{number:,}{note}" for number, note in numbers]
        assert rows[one.name] == [f"{one.classes:,}", *cells, one.solver]
    spec = TransferSpec()
    assert (spec.trials, spec.strengths, spec.tolerance) == (30, (1e-5, 1e6), 1e-6)
    assert "Optuna's TPE tries 30" in text and "C, 1e-5 to 1e6" in text
    assert (spec.learning_rates, spec.weight_decays, spec.epochs) == ((0.1, 100.0), (1e-12, 1e-4), 100)
    commands = [line for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    assert len(commands) >= 4
    for line in commands:
        tokens = shlex.split(line)
        assert tokens[0] == "synthgap"
        cli.app.parse_args(tokens[1:], print_error=False, exit_on_error=False)
