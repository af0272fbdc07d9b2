"""``synthgap matrix`` and ``synthgap scaling``: many networks, one table, one curve."""

from __future__ import annotations

import json
import math
import re
import shlex
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import timm
import torch
from command_line import run
from PIL import Image
from scipy.stats import ttest_1samp
from training_samples import COLOURS, image_folder

from synthgap import cli
from synthgap.models.classifiers import load_classifier
from synthgap.pipeline.proving import TrainingSet, _kept, _sizes
from synthgap.stages.plot import Panel, Series, draw_plot
from synthgap.stages.proof import over_seeds, standing, standing_rows
from synthgap.stages.training import ImageShare
from synthgap.store.atomic import write_json
from synthgap.store.sources import open_images

SMALL = "--epochs 2 --image-size 32 --batch-size 8 --precision float32 --device cpu"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two sets with splits; in ``swapped`` red and green have changed their names."""
    monkeypatch.chdir(tmp_path)
    for name in ("natural", "swapped"):
        for split, count, seed in (("train", 12, 0), ("test", 6, 1)):
            image_folder(tmp_path / name / split, count, seed=seed)
    for split in ("train", "test"):
        here = tmp_path / "swapped" / split
        (here / "red").rename(here / "other")
        (here / "green").rename(here / "red")
        (here / "other").rename(here / "green")
    return tmp_path


def figure(value: float, low: float, high: float, n: int = 100) -> dict[str, Any]:
    return {"value": value, "ci_low": low, "ci_high": high, "n": n}


def test_one_network_has_the_interval_of_its_images() -> None:
    found = over_seeds([figure(0.5, 0.4, 0.65)])
    assert (found["value"], found["ci_low"], found["seeds"], found["n"]) == (0.5, 0.4, [0.5], 100)
    assert found["ci_high"] == pytest.approx(0.65)


def test_without_chance_of_images_the_interval_is_students() -> None:
    values = [0.5, 0.52, 0.57]
    found = over_seeds([figure(value, value, value) for value in values])
    wanted = ttest_1samp(values, 0).confidence_interval(0.95)
    assert found["value"] == pytest.approx(np.mean(values))
    assert (found["ci_low"], found["ci_high"]) == pytest.approx((wanted.low, wanted.high))


def test_both_chances_add_as_variances_do() -> None:
    seeds = over_seeds([figure(0.4, 0.4, 0.4), figure(0.5, 0.5, 0.5)])
    both = over_seeds([figure(0.4, 0.3, 0.5), figure(0.5, 0.4, 0.6)])
    chance = 0.45 - seeds["ci_low"] if seeds["ci_low"] else math.inf
    assert both["ci_low"] == max(0.0, 0.45 - math.hypot(chance, 0.1))
    same = over_seeds([figure(0.4, 0.3, 0.5)] * 3)
    assert (same["ci_low"], same["ci_high"]) == pytest.approx((0.3, 0.5))


def test_an_interval_over_seeds_covers_the_truth() -> None:
    """Networks whose accuracy varies by seed, asked on images drawn by chance: 95 % of the intervals hold the mean."""
    rng = np.random.default_rng(0)
    held = []
    for _ in range(2000):
        images = rng.normal(0, 0.01)  # how hard the test images happen to be, for all networks
        values = 0.6 + images + rng.normal(0, 0.02, 3)
        found = over_seeds([figure(v, v - 1.96 * 0.01, v + 1.96 * 0.01) for v in values])
        held.append(found["ci_low"] <= 0.6 <= found["ci_high"])
    assert 0.93 <= np.mean(held) <= 0.985


def test_a_figure_that_a_network_lacks_is_none() -> None:
    found = over_seeds([figure(0.4, 0.3, 0.5), {"value": None, "ci_low": None, "ci_high": None, "n": 0}])
    assert (found["value"], found["ci_low"], found["n"]) == (None, None, 0)
    assert over_seeds([figure(0.4, None, None)])["value"] == 0.4  # type: ignore[arg-type]


def test_rows_of_a_standing() -> None:
    score = {"top_1": {"overall": figure(0.5, 0.4, 0.6), "per_class": {"cat": figure(0.3, 0.2, 0.4)}}, "model": "m"}
    rows = list(standing_rows([standing("natural", 40, "test", [score, score])]))
    assert [(row["class_key"], row["value"], row["seeds"], row["images"]) for row in rows] == [
        ("overall", 0.5, 2, 40),
        ("cat", 0.3, 2, 40),
    ]


def test_the_matrix_tells_sets_apart(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = f"matrix natural swapped natural@0.5+swapped@0.5 --out m --seeds 2 {SMALL.replace('epochs 2', 'epochs 12')} --format json"
    code, out, err = run(capsys, line)
    found = json.loads(out)
    assert code == 0, err
    assert list(found["matrix"]) == ["natural", "swapped", "natural@0.5+swapped@0.5"]
    cells = {(learned, test): block["top_1"] for learned, row in found["matrix"].items() for test, block in row.items()}
    assert cells["natural", "natural"]["overall"]["value"] > 0.9
    assert cells["swapped", "swapped"]["overall"]["value"] > 0.9
    crossed = cells["natural", "swapped"]["per_class"]
    assert crossed["blue"]["value"] > 0.9 and crossed["red"]["value"] < 0.2 and crossed["green"]["value"] < 0.2
    overall = cells["natural", "natural"]["overall"]
    assert len(overall["seeds"]) == 2 and overall["n"] == 18
    assert set(cells["natural", "natural"]["per_class"]) == set(COLOURS)
    rows = pq.read_table(folder / "m" / "matrix.parquet").to_pylist()
    assert {(row["train_set"], row["test_set"]) for row in rows} == set(cells)
    assert json.loads((folder / "m" / "matrix.json").read_text())["matrix"] == found["matrix"]


def test_the_same_command_trains_nothing_twice(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = f"matrix natural swapped --out m --seeds 1 {SMALL}"
    assert run(capsys, line)[0] == 0
    files = [*(folder / "m").rglob("model.safetensors"), *(folder / "m").rglob("predictions.parquet")]
    before = {path: path.stat().st_mtime_ns for path in files}
    assert len(files) == 2 + 4  # two networks, each asked on two sets
    code, out, _ = run(capsys, line.replace("--seeds 1", "--seeds 2"))
    assert code == 0 and "2 networks a set" in out and "on swapped" in out
    assert {path: path.stat().st_mtime_ns for path in files} == before


def test_networks_of_train_are_taken(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A network trained elsewhere by `synthgap train` is the one that the matrix would train."""
    shared = SMALL.replace("--epochs 2 ", "") + " --iterations 6 --images 24"
    assert run(capsys, f"train natural {shared} --validation-share 0 --seed 0 --out m/models/natural-24-0")[0] == 0
    weights = folder / "m" / "models" / "natural-24-0" / "model.safetensors"
    before = weights.stat().st_mtime_ns
    assert run(capsys, f"matrix natural --out m --seeds 1 {shared}")[0] == 0
    assert weights.stat().st_mtime_ns == before


def test_scaling_takes_equal_steps(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = f"scaling natural swapped --sizes 6,18,99 --tests natural --out s --seeds 1 {SMALL}"
    code, out, err = run(capsys, f"{line} --format json")
    found = json.loads(out)
    assert code == 0, err
    assert {name: list(sizes) for name, sizes in found["scaling"].items()} == {
        "natural": ["6", "18"],
        "swapped": ["6", "18"],
    }
    assert any("has 36 images to learn from, so no network of 99" in note for note in found["notes"])
    manifests = [json.loads(path.read_text())["spec"] for path in (folder / "s" / "models").glob("*/manifest.json")]
    assert {one["iterations"] for one in manifests} == {found["steps"]} == {9}  # 2 epochs of the first set's 36, in 8s
    assert {one["images"] for one in manifests} == {6, 18}
    assert list(found["scaling"]["natural"]["6"]) == ["natural"]
    ET.fromstring((folder / "s" / "scaling.svg").read_text())
    code, out, _ = run(capsys, line)
    assert code == 0 and "scaling.svg" in out and "learned from" in out


def test_features_are_those_of_the_network(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = f"matrix natural --out m --seeds 2 --features {SMALL}"
    code, out, err = run(capsys, f"{line} --format json")
    assert code == 0, err
    block = json.loads(out)["matrix"]["natural"]["natural"]
    sparse = []
    for seed in range(2):
        model = timm.create_model(f"local-dir:{folder}/m/models/natural-{seed}", pretrained=True, num_classes=0).eval()
        classifier = load_classifier(str(folder / "m" / "models" / f"natural-{seed}"), torch.device("cpu"))
        images = [np.asarray(Image.open(path)) for path in sorted((folder / "natural" / "test").glob("*/*.png"))]
        pixels = torch.stack([torch.from_numpy(image.copy()).permute(2, 0, 1) for image in images])
        with torch.inference_mode():
            features = model(classifier.preprocessing.normalise(pixels, torch.float32)).numpy()
        sparse.append(np.mean(np.abs(features / np.linalg.norm(features, axis=1, keepdims=True)) < 1e-5))
    assert block["sparsity"]["overall"]["seeds"] == pytest.approx(sparse, abs=1e-9)
    assert block["sparsity"]["overall"]["n"] == 18  # the test split alone
    for name in ("intra_class_distance", "redundancy", "coding_length"):
        assert block[name]["overall"]["value"] > 0
    code, out, _ = run(capsys, line)
    assert code == 0 and "features on natural" in out and "coding length" in out


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("matrix --out m", "no image set; expected synthgap matrix"),
        ("scaling --out m", "no image set; expected synthgap scaling"),
        ("matrix natural natural --out m", "go by the name 'natural'"),
        ("matrix plain --out m", "no set has an eval, validation or test split"),
        (
            "matrix natural plain --tests plain --out m",
            "plain: is learned from and has no eval, validation or test split apart",
        ),
        ("matrix natural --tests natural/train --out m", "train: is learned from and has no eval"),
        ("matrix held --out m", "held: is learned from and has no eval"),
        (
            "matrix a=natural b=copies/natural --tests natural copies/natural --out m",
            "two sets to score on go by the name",
        ),
        ("matrix natural --tests t= --out m", "t=: expected NAME=PATH"),
        ("matrix =natural --out m", "=natural: expected NAME=PATH"),
        ("scaling natural --sizes -5 --out m", "a size is -5 images; expected at least 2"),
        ("scaling natural --sizes 0,12 --out m", "a size is 0 images; expected at least 2"),
        ("matrix natural@0.5+nowhere@0.5 --out m", "nowhere: no such folder"),
        ("scaling natural --sizes 400 --out m", "no set has 400 images to learn from; the largest has 36"),
        ("matrix natural --seeds 0 --out m", "--seeds: input should be greater than or equal to 1"),
        ("matrix natural --recipe big --out m", "no recipe 'big'"),
        ("matrix natural --validation-share 0.2 --out m", "--validation-share: here all images are learned from"),
    ],
)
def test_wrong_input_is_one_line(folder: Path, capsys: pytest.CaptureFixture[str], line: str, said: str) -> None:
    for place in ("plain", "held/test", "copies/natural/test"):
        image_folder(folder / place, 4)
    code, out, err = run(capsys, line)
    assert (code, out) == (2, "")
    assert err.startswith("error: ") and err.count("\n") == 1 and said in err


def test_names_given_to_sets(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(
        capsys, f"matrix a=natural b=natural --tests t=swapped --out m --seeds 1 {SMALL} --format json"
    )
    assert code == 0, err
    assert {name: list(row) for name, row in json.loads(out)["matrix"].items()} == {"a": ["t"], "b": ["t"]}


def test_sets_of_one_folder_name_are_both_scored_on(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for split, count in (("train", 6), ("test", 3)):
        image_folder(folder / "other" / "natural" / split, count, seed=4)
    line = f"matrix a=natural b=other/natural --out m --seeds 1 {SMALL} --iterations 2 --format json"
    code, out, err = run(capsys, line)
    assert code == 0, err
    counted = {test: block["top_1"]["overall"]["n"] for test, block in json.loads(out)["matrix"]["a"].items()}
    assert counted == {"a": 18, "b": 9}


@pytest.mark.parametrize("name", ["asked.json", "evaluation.json"])
@pytest.mark.parametrize("text", ["{oops", "3", None])
def test_damaged_scores_are_scored_again(tmp_path: Path, name: str, text: str | None) -> None:
    write_json(tmp_path / "asked.json", "question")
    write_json(tmp_path / "evaluation.json", {"top_1": {}})
    assert _kept(tmp_path, "question") == {"top_1": {}}
    assert _kept(tmp_path, "another") is None
    if text is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_text(text)
    assert _kept(tmp_path, "question") is None


def test_sizes_by_default_have_an_image_of_each_class(folder: Path) -> None:
    assert _sizes(TrainingSet("natural", (ImageShare(open_images(folder / "natural")),))) == {3, 4, 11, 36}


def test_a_plot_with_many_lines_keeps_their_names_apart() -> None:
    lines = [Series(f"set {number}", (10, 100), [(0.1, 0.1, 0.1)] * 2) for number in range(8)]
    drawn = ET.fromstring(draw_plot([Panel("t", lines, axis="images")]))
    spots = {
        (t.get("x"), t.get("y"))
        for t in drawn.iter("{http://www.w3.org/2000/svg}text")
        if (t.text or "").startswith("set ")
    }
    assert len(spots) == 8
    assert max(float(y or 0) for _, y in spots) < float(drawn.get("height") or 0)


def test_the_pages_commands_are_commands() -> None:
    text = (Path(__file__).parent.parent / "docs" / "proof.md").read_text(encoding="utf-8")
    commands = [line for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    assert len(commands) == 2
    for line in commands:
        program, *tokens = shlex.split(line)
        assert program == "synthgap"
        cli.app.parse_args(cli._lists_apart(tokens), print_error=False, exit_on_error=False)


def test_sets_of_earlier_calls_are_named_in_the_notes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = f"--tests natural --out m --seeds 1 {SMALL.replace('epochs 2', 'iterations 2')} --format json"
    found = [json.loads(run(capsys, f"matrix {sets} {line}")[1]) for sets in ("natural", "swapped", "natural swapped")]
    assert [list(one["matrix"]) for one in found] == [["natural"], ["swapped"], ["natural", "swapped"]]
    told = [[note for note in one["notes"] if note.startswith("the folder also holds")] for one in found]
    assert told[0] == told[2] == [] and "networks of natural score" in told[1][0]
    assert json.loads((folder / "m" / "matrix.json").read_text()) == found[2]
