"""Evaluation: classes in common, top-k, calibration, and what is told."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from sklearn.metrics import top_k_accuracy_score
from training_samples import COLOURS, RESOURCES, image_folder

from synthgap.core.errors import InputError
from synthgap.core.specs import EvaluateSpec
from synthgap.models.classifiers import load_classifier, new_classifier, timm_config
from synthgap.stages.evaluation import evaluate
from synthgap.stages.evaluation.scores import figures, within_top
from synthgap.store.atomic import write_json
from synthgap.store.sources import open_images

SPEC = EvaluateSpec(bootstrap=200)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return image_folder(tmp_path_factory.mktemp("photographs") / "squares", 6)


def model_folder(folder: Path, classes: dict[str, str]) -> Path:
    """A classifier with random weights, in timm's format."""
    from safetensors.torch import save_file

    model = new_classifier("test_resnet", len(classes), {}, seed=1)
    folder.mkdir()
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, folder / "model.safetensors")
    write_json(folder / "config.json", timm_config("test_resnet", classes, {}, 32, 1.0))
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights: what it says is odd, but the same each time."""
    return model_folder(tmp_path_factory.mktemp("models") / "model", {name: name for name in COLOURS})


def by_hand(model: Path, photographs: Path, classes: list[str]) -> tuple[torch.Tensor, list[str]]:
    """Logits of the classes and the true class of each image, one image at a time."""
    from synthgap.store.images import decode_image

    opened = load_classifier(str(model), torch.device("cpu"))
    columns = [list(opened.classes).index(key) for key in classes]
    rows = list(open_images(photographs).rows())
    prepared = [opened.preprocessing.prepare(decode_image(row.read()))[None] for row in rows]
    return torch.cat([opened.logits(one)[:, columns] for one in prepared]), [row.class_key for row in rows]


# --- figures ---


@given(st.integers(0, 1000), st.integers(1, 5))
def test_top_k_is_scikit_learns(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    logits, labels = rng.normal(size=(30, 7)), rng.integers(0, 7, 30)
    found = within_top(torch.tensor(logits), torch.tensor(labels), k).mean()
    assert float(found) == pytest.approx(top_k_accuracy_score(labels, logits, k=k, labels=range(7)))


def test_a_model_that_says_nothing_is_never_right() -> None:
    assert within_top(torch.zeros(4, 3), torch.tensor([0, 1, 2, 0]), 1).sum() == 0
    assert within_top(torch.full((4, 3), torch.nan), torch.tensor([0, 1, 2, 0]), 1).sum() == 0


def test_top_5_from_six_classes_on() -> None:
    generator = torch.Generator().manual_seed(0)
    for classes, wanted in ((5, {"top_1"}), (6, {"top_1", "top_5"})):
        logits = torch.randn(20, classes, generator=generator)
        labels = torch.arange(20) % classes
        names = {str(number): f"class {number}" for number in range(classes)}
        found = figures(logits, labels, names, bins=15, resamples=50, seed=0)
        assert set(found) == wanted | {"expected_calibration_error"}
        assert list(found["top_1"]["per_class"]) == list(names.values())
        overall = found["top_1"]["overall"]
        assert overall["ci_low"] <= overall["value"] <= overall["ci_high"] and overall["n"] == 20


# --- a model on a set ---


def test_figures_and_predictions_are_those_of_the_model(model: Path, photographs: Path, tmp_path: Path) -> None:
    found = evaluate(model, open_images(photographs), SPEC, RESOURCES, out=tmp_path / "scores")
    logits, truth = by_hand(model, photographs, list(COLOURS))
    expected = [list(COLOURS)[number] for number in logits.argmax(1).tolist()]
    right = [a == b for a, b in zip(expected, truth, strict=True)]
    assert found["top_1"]["overall"]["value"] == pytest.approx(np.mean(right))
    for name in COLOURS:
        own = [one for one, key in zip(right, truth, strict=True) if key == name]
        assert found["top_1"]["per_class"][name]["value"] == pytest.approx(np.mean(own))
    rows = pq.read_table(tmp_path / "scores" / "predictions.parquet").to_pylist()
    assert [row["class_key"] for row in rows] == truth
    assert [row["predicted"] for row in rows] == expected
    assert json.loads((tmp_path / "scores" / "evaluation.json").read_text())["top_1"] == found["top_1"]
    assert (found["notes"], found["skipped"]) == ([], 0)


def test_a_model_with_more_classes_is_scored_on_the_common_ones(photographs: Path, tmp_path: Path) -> None:
    """Logits of absent classes do not count, as S Table 2 scores models of 100 classes."""
    classes = {"n1": "Blue", "n2": "zebra", "n3": "red", "n4": "sofa", "n5": "green"}
    model = model_folder(tmp_path / "wide", classes)
    found = evaluate(model, open_images(photographs), SPEC, RESOURCES)
    logits, truth = by_hand(model, photographs, ["n1", "n5", "n3"])
    names = ["blue", "green", "red"]
    expected = np.mean([names[number] == key for number, key in zip(logits.argmax(1).tolist(), truth, strict=True)])
    assert found["top_1"]["overall"]["value"] == pytest.approx(expected)
    assert found["classes"] == {"scored": 3, "only_in_set": 0, "only_in_model": 2}
    assert "scored on 3 of the model's 5 classes" in found["notes"][0]


def test_a_set_with_more_classes_loses_them(photographs: Path, tmp_path: Path) -> None:
    model = model_folder(tmp_path / "narrow", {"red": "red", "blue": "blue", "sofa": "sofa"})
    found = evaluate(model, open_images(photographs), SPEC, RESOURCES)
    assert found["top_1"]["overall"]["n"] == 12 and set(found["top_1"]["per_class"]) == {"blue", "red"}
    assert "left out: 6 images of 1 class that the model does not have" in found["notes"]


def test_broken_images_are_counted(model: Path, tmp_path: Path) -> None:
    folder = image_folder(tmp_path / "squares", 4)
    (folder / "red" / "bad.jpg").write_bytes(b"\xff\xd8\xff\xe0 broken")
    found = evaluate(model, open_images(folder), SPEC, RESOURCES, out=tmp_path / "scores")
    assert (found["skipped"], found["top_1"]["overall"]["n"]) == (1, 12)
    assert found["notes"][0].startswith("1 image skipped: ") and "JPEG" in found["notes"][0]
    errors = pq.read_table(tmp_path / "scores" / "predictions.parquet")["error"].to_pylist()
    assert sum(error is not None for error in errors) == 1


def test_what_cannot_be_scored(model: Path, photographs: Path, tmp_path: Path) -> None:
    images = open_images(photographs)
    with pytest.raises(InputError, match=r"no classifier 'resnet5O'.*did you mean 'resnet50'"):
        evaluate("resnet5O", images, SPEC, RESOURCES)
    with pytest.raises(InputError, match=r"holds no config\.json"):
        evaluate(tmp_path, images, SPEC, RESOURCES)
    with pytest.raises(InputError, match="has no split 'test'"):
        evaluate(model, images, EvaluateSpec(split="test"), RESOURCES)
    stranger = model_folder(tmp_path / "stranger", {"sofa": "sofa", "bed": "bed", "red": "red"})
    with pytest.raises(InputError, match="has 1 class in common with stranger, two are needed"):
        evaluate(stranger, images, SPEC, RESOURCES)
    config = json.loads((model / "config.json").read_text())
    nameless = model_folder(tmp_path / "nameless", {name: name for name in COLOURS})
    write_json(nameless / "config.json", {key: value for key, value in config.items() if "label" not in key})
    with pytest.raises(InputError, match="its 3 outputs have no names; put label_names"):
        evaluate(nameless, images, SPEC, RESOURCES)
    for wrong in ({"label_names": 3}, {"label_descriptions": list(COLOURS)}):
        write_json(nameless / "config.json", config | wrong)
        with pytest.raises(InputError, match="label_names is no list or label_descriptions no map"):
            evaluate(nameless, images, SPEC, RESOURCES)
    weights = load_file(nameless / "model.safetensors")
    bad = {key: value * torch.nan if value.is_floating_point() else value for key, value in weights.items()}
    save_file(bad, nameless / "model.safetensors")
    write_json(nameless / "config.json", config)
    with pytest.raises(InputError, match=r"nameless: gives no numbers .* for 18 of 18 images"):
        evaluate(nameless, images, SPEC, RESOURCES)


def test_outputs_of_one_name_move_no_other(photographs: Path, tmp_path: Path) -> None:
    """A model with two cranes, as ImageNet has: what stands behind them stays what it is, and neither is guessed at."""
    names = ["crane", "crane", *COLOURS]
    folder = model_folder(tmp_path / "cranes", {str(number): name for number, name in enumerate(names)})
    config = json.loads((folder / "config.json").read_text())
    write_json(folder / "config.json", config | {"label_names": names, "label_descriptions": {}})
    opened = load_classifier(str(folder), torch.device("cpu"))
    assert list(opened.classes.items()) == [("crane~0", "crane"), ("crane~1", "crane"), *((c, c) for c in COLOURS)]
    found = evaluate(folder, open_images(photographs), SPEC, RESOURCES, out=tmp_path / "out")
    logits, _ = by_hand(folder, photographs, list(COLOURS))
    wanted = [list(COLOURS)[place] for place in logits.argmax(1).tolist()]
    rows = pq.read_table(tmp_path / "out" / "predictions.parquet").to_pylist()
    assert [row["predicted"] for row in rows] == wanted
    assert found["classes"] == {"scored": 3, "only_in_set": 0, "only_in_model": 2}
