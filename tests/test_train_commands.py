"""``synthgap train`` and ``synthgap evaluate``, and the page about them."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from command_line import run
from training_samples import image_folder

from synthgap import cli
from synthgap.commands import options
from synthgap.core.specs import TrainSpec
from synthgap.stages.training.recipes import resolve

PAGE = Path(__file__).parent.parent / "docs" / "training.md"
SMALL = "--epochs 2 --image-size 32 --batch-size 8 --device cpu"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    image_folder(tmp_path / "natural", 8)
    image_folder(tmp_path / "drawn", 8, seed=1)
    return tmp_path


def test_train_then_evaluate(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, f"train natural --recipe small {SMALL} --out model --format json")
    found = json.loads(out)
    assert code == 0 and set(found["accuracy"]) == {"value", "ci_low", "ci_high", "n"}
    assert found["images"] == 22 and found["epochs"] == 2
    code, out, _ = run(capsys, "evaluate model natural --device cpu --format json")
    scores = json.loads(out)
    assert code == 0
    assert set(scores["top_1"]["overall"]) == {"value", "ci_low", "ci_high", "n"}
    assert set(scores["top_1"]["per_class"]) == {"red", "green", "blue"}
    assert scores["expected_calibration_error"]["overall"]["n"] == 24
    assert "top_5" not in scores
    code, out, _ = run(capsys, "evaluate model natural --device cpu")
    assert code == 0 and "top_1" in out and "expected_calibration_error" in out and "green" in out


def test_a_mixture_with_a_validation_set(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = f"train natural@0.5 drawn@0.5 --images 12 --validation natural {SMALL} --out model"
    code, out, _ = run(capsys, line)
    assert code == 0 and "12 images" in out and "on 24 images (natural)" in out
    manifest = json.loads((folder / "model" / "manifest.json").read_text())
    assert [one["share"] for one in manifest["spec"]["sets"].values()] == [0.5, 0.5]
    assert set(manifest["parents"]) == {"images 0", "images 1", "validation"}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("train --out model", "no image set; expected synthgap train SET"),
        ("train nowhere --out model", "nowhere: no such folder"),
        ("train lab:naturel --out model", "did you mean 'natural'"),
        ("train natural@0 drawn@1 --out model", "its share is 0; expected a number above 0"),
        ("train natural --recipe big --out model", "no recipe 'big'"),
        (
            "train natural --out natural/model",
            "natural/model: lies among the images of natural; give a folder elsewhere",
        ),
        ("train natural --epochs 0 --out model", "--epochs: input should be greater than or equal to 1"),
        ("evaluate nowhere natural", "no classifier 'nowhere'"),
        ("evaluate natural natural", "holds no config.json"),
        (
            "evaluate ./nowhere natural",
            "nowhere: no such folder; expected a folder of 'synthgap train' or timm's format\n",
        ),
        ("evaluate models/nowhere natural", "models/nowhere: no such folder; expected a folder of 'synthgap train'"),
        ("evaluate local-dir:nowhere natural", "nowhere: no such folder"),
        ("evaluate natural/red/00.png natural", "00.png: is a file; expected a folder of 'synthgap train'"),
    ],
)
def test_wrong_input_is_one_line(folder: Path, capsys: pytest.CaptureFixture[str], line: str, said: str) -> None:
    code, out, err = run(capsys, line)
    assert (code, out) == (2, "")
    assert err.startswith("error: ") and err.count("\n") == 1 and said in err


def test_a_path_with_an_at_sign_is_a_path(folder: Path) -> None:
    (folder / "mine@2").mkdir()
    assert options.with_share("mine@2") == ("mine@2", None)
    assert options.with_share("natural@2") == ("natural", 2.0)
    assert options.with_share("me@home") == ("me@home", None)


def test_the_pages_numbers_are_the_recipes() -> None:
    """The table of docs/training.md against the recipes, and its commands against the options."""
    text = PAGE.read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| ([a-z ]+?) \| (.+) \|$", text, re.MULTILINE))
    for place, name in enumerate(("small", "S", "M")):
        recipe = resolve(TrainSpec(recipe=name, augmentation="plain"))
        shown = {key: cells.split(" | ")[place] for key, cells in rows.items() if cells.count("|") == 2}
        assert shown["model"] == f"`{recipe.model}`"
        assert shown["image size"] == str(recipe.image_size)
        assert shown["epochs"] == str(recipe.epochs)
        assert shown["batch size"] == f"{recipe.batch_size:,}"
        assert float(shown["learning rate"]) == recipe.learning_rate
        assert float(shown["weight decay"]) == recipe.weight_decay
        assert float(shown["label smoothing"]) == recipe.label_smoothing
    commands = [line for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    assert len(commands) >= 4
    for line in commands:
        tokens = shlex.split(line)
        assert tokens[0] in ("synthgap", "torchrun")
        cli.app.parse_args(tokens[tokens.index("synthgap") + 1 :], print_error=False, exit_on_error=False)
