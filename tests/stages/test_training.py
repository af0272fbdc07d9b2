"""Training: what is learned from, random numbers, augmentation, checkpoints, and going on after a stop."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import load_file
from torchvision.transforms.v2 import functional as vision
from training_samples import RESOURCES, SPEC, image_folder

from synthgap.core.errors import FingerprintError, InputError, Interrupted, RunError
from synthgap.core.specs import TrainSpec
from synthgap.models.classifiers import evaluation_preprocessing, load_classifier
from synthgap.stages.training import ImageShare, train
from synthgap.stages.training import colour as colours
from synthgap.stages.training.augmentation import BOX_DRAWS, box, cut, shifted, views
from synthgap.stages.training.draws import chosen, order, uniforms
from synthgap.stages.training.examples import gather
from synthgap.stages.training.learner import rate
from synthgap.stages.training.recipes import RECIPES, resolve
from synthgap.store.sources import open_images


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return image_folder(tmp_path_factory.mktemp("photographs") / "squares", 12)


def learn(folder: Path, out: Path, spec: TrainSpec = SPEC, **options):
    return train([ImageShare(open_images(folder))], spec, out, RESOURCES, **options)


@pytest.fixture(scope="module")
def trained(photographs: Path, tmp_path_factory: pytest.TempPathFactory):
    """A training that nothing interrupted: its folder and what it told."""
    out = tmp_path_factory.mktemp("trained") / "model"
    return out, learn(photographs, out)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def same(a: Path, b: Path) -> bool:
    x, y = weights(a), weights(b)
    return x.keys() == y.keys() and all(torch.equal(x[key], y[key]) for key in x)


# --- random numbers ---


def test_draws_are_uniform_and_depend_on_seed_pass_and_image() -> None:
    images = np.arange(2000)
    found = uniforms(7, images * 0, images, 5)
    assert found.min() >= 0 and found.max() < 1
    counts = np.histogram(found, bins=20, range=(0, 1))[0]
    assert ((counts - 500) ** 2 / 500).sum() < 45  # chi-squared, 19 degrees of freedom: p = 0.0007
    assert abs(np.corrcoef(found.T) - np.eye(5)).max() < 0.08
    others = [uniforms(8, images * 0, images, 5), uniforms(7, images * 0 + 1, images, 5)]
    assert all(abs(np.corrcoef(found[:, 0], other[:, 0])[0, 1]) < 0.08 for other in others)


@given(st.integers(2, 40), st.integers(1, 17), st.integers(0, 5))
@settings(max_examples=30, deadline=None)
def test_every_pass_shows_every_image_once(images: int, batch_size: int, seed: int) -> None:
    steps = -(-3 * images // batch_size)
    stream = np.concatenate([chosen(seed, step, batch_size, images)[0] for step in range(steps)])
    for number in range(3):
        assert sorted(stream[number * images : (number + 1) * images]) == list(range(images))
    assert (order(seed, 0, images) == stream[:images]).all()


def test_every_pass_has_an_order_of_its_own() -> None:
    orders = {tuple(order(seed, number, 20)) for seed in range(3) for number in range(3)}
    assert len(orders) == 9
    assert (chosen(1, 1, 20, 20)[0] == order(1, 1, 20)).all()


# --- augmentation ---


def test_boxes_have_torchvisions_distribution() -> None:
    """Areas and ratios against torchvision's RandomResizedCrop, image 60 x 90."""
    from torchvision.transforms import RandomResizedCrop

    torch.manual_seed(0)
    image = torch.zeros(3, 60, 90)
    theirs = np.array([RandomResizedCrop.get_params(image, [0.08, 1.0], [3 / 4, 4 / 3]) for _ in range(3000)])
    draws = uniforms(1, np.zeros(3000, dtype=np.int64), np.arange(3000), BOX_DRAWS)
    ours = np.array([box(60, 90, (0.08, 1.0), one) for one in draws])
    left, top, right, bottom = ours.T
    assert (left >= 0).all() and (top >= 0).all() and (right <= 90).all() and (bottom <= 60).all()
    found = [(bottom - top), (right - left), top, left]
    expected = [theirs[:, 2], theirs[:, 3], theirs[:, 0], theirs[:, 1]]
    for mine, other in zip(found, expected, strict=True):
        quantiles = np.linspace(0.05, 0.95, 7)
        assert abs(np.quantile(mine, quantiles) - np.quantile(other, quantiles)).max() <= 3


def test_a_view_is_pillows_crop() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8)
    draws = uniforms(2, np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64), BOX_DRAWS)[0]
    view = views("plain", 24)[0]
    for mode, filter in (("bilinear", Image.Resampling.BILINEAR), ("bicubic", Image.Resampling.BICUBIC)):
        expected = Image.fromarray(pixels).crop(box(40, 50, view.scale, draws)).resize((24, 24), filter)
        found = cut(pixels, replace(view, mode=mode), draws).astype(int)
        assert abs(found - np.moveaxis(np.asarray(expected), -1, 0)).max() <= 1


def test_multi_crop_is_one_global_and_eight_local_views() -> None:
    whole, local = views("multi-crop", 224)
    assert (whole.count, whole.side, whole.scale) == (1, 224, (0.14, 1.0))
    assert (local.count, local.side, local.scale) == (8, 96, (0.05, 0.14))


def test_a_shift_is_a_crop_of_the_mirrored_border() -> None:
    square = np.random.default_rng(0).integers(0, 255, (3, 32, 32), dtype=np.uint8)
    padded = np.pad(square, ((0, 0), (4, 4), (4, 4)), mode="reflect")
    for down in range(9):
        for right in range(9):
            found = shifted(square, np.array([(down + 0.5) / 9, (right + 0.5) / 9]))
            assert (found == padded[:, down : down + 32, right : right + 32]).all()


def test_colour_changes_are_torchvisions() -> None:
    images = torch.rand(4, 3, 9, 11, generator=torch.Generator().manual_seed(0))
    by = torch.tensor([-0.35, 0.1, 0.3, 0.0])
    pairs = [
        (colours._brightness, vision.adjust_brightness, by, 1 + by),
        (colours._contrast, vision.adjust_contrast, by, 1 + by),
        (colours._saturation, vision.adjust_saturation, by, 1 + by),
        (colours._hue, vision.adjust_hue, by, by),
    ]
    for ours, theirs, mine, other in pairs:
        expected = torch.stack([theirs(image, float(one)) for image, one in zip(images, other, strict=True)])
        torch.testing.assert_close(ours(images, mine.view(-1, 1, 1, 1)), expected, atol=2e-4, rtol=0)


def test_colours_change_as_often_and_as_far_as_dino_says() -> None:
    images = torch.tensor([0.2, 0.3, 0.4]).view(1, 3, 1, 1).expand(4000, 3, 4, 4)
    draws = torch.from_numpy(uniforms(3, np.zeros(4000, dtype=np.int64), np.arange(4000), 9)).float()
    found = colours.recoloured(images, draws, blur=0.0)
    assert float((found == images).flatten(1).all(1).float().mean()) == pytest.approx(0.2 * 0.8, abs=0.03)
    grey = (found[:, 0] == found[:, 1]) & (found[:, 1] == found[:, 2])
    assert float(grey.flatten(1).all(1).float().mean()) == pytest.approx(0.2, abs=0.03)
    dull = colours.recoloured(torch.full((4000, 3, 2, 2), 0.3), draws, blur=0.0)  # only brightness changes a plain grey
    ratios = dull[:, 0, 0, 0] / 0.3
    assert 0.6 <= ratios.min() < 0.605 and 1.395 < ratios.max() <= 1.4001
    assert float((abs(ratios - 1) < 0.2).float().mean()) == pytest.approx(0.2 + 0.8 * 0.5, abs=0.03)


def test_blur_is_torchvisions() -> None:
    images = torch.rand(2, 3, 20, 24, generator=torch.Generator().manual_seed(0))
    sigma = torch.tensor([0.4, 1.9])
    found = colours.blurred(images, sigma)
    for number in range(2):
        expected = vision.gaussian_blur(images[number], [13, 13], [float(sigma[number])] * 2)
        torch.testing.assert_close(found[number, :, 6:-6, 6:-6], expected[:, 6:-6, 6:-6], atol=1e-5, rtol=0)
    flat = torch.full((1, 3, 20, 20), 0.3)
    torch.testing.assert_close(colours.blurred(flat, torch.tensor([2.0])), flat)


# --- recipes and schedule ---


def test_the_rate_rises_over_a_tenth_and_falls_to_nothing() -> None:
    recipe = RECIPES["S"]
    rates = [rate(recipe, step, 1000) for step in range(1000)]
    assert int(np.argmax(rates)) in (99, 100) and max(rates) == pytest.approx(recipe.learning_rate)
    assert rates[49] == pytest.approx(recipe.learning_rate / 2)
    assert rates[550] == pytest.approx(recipe.learning_rate / 2)
    assert rates[-1] < 1e-5


def test_a_recipe_with_what_differs() -> None:
    found = resolve(TrainSpec(recipe="S", epochs=7, augmentation="plain"))
    assert (found.model, found.epochs, found.augmentation) == ("resnet50", 7, "plain")
    with pytest.raises(InputError, match=r"no recipe 'smal'.*did you mean 'small'"):
        resolve(TrainSpec(recipe="smal"))
    garden = resolve(TrainSpec(recipe="M"))
    assert (garden.augmentation, garden.randaug_layers, garden.learning_rate) == ("randaug", 2, 1.6)


# --- what is learned from ---


def chosen_images(parts: list[tuple[Path, float | None]], images: int | None, share: float = 0.0):
    return gather(
        [ImageShare(open_images(path), one) for path, one in parts],
        images=images,
        validation_share=share,
        seed=1,
        memory=1.0,
    )


def test_mixtures_have_their_shares_and_are_balanced(photographs: Path, tmp_path: Path) -> None:
    other = image_folder(tmp_path / "other", 8, seed=5)
    found, _ = chosen_images([(photographs, 0.75), (other, 0.25)], 24)
    assert len(found) == 24
    assert sum(one.key.startswith("1/") for one in found.members) == 6
    assert (np.bincount(found.labels) == 8).all()
    whole, _ = chosen_images([(photographs, None), (other, None)], None)
    assert len(whole) == 60
    most, _ = chosen_images([(photographs, 0.5), (other, 0.5)], None)
    assert len(most) == 48


def test_fewer_images_are_a_part_of_more(photographs: Path) -> None:
    few, many = ({one.key for one in chosen_images([(photographs, None)], count)[0].members} for count in (9, 21))
    assert len(few) == 9 and few < many


def test_what_is_kept_apart_is_not_learned_from(photographs: Path) -> None:
    learned, apart = chosen_images([(photographs, None)], None, 0.25)
    assert (len(learned), len(apart)) == (27, 9)
    assert not {one.key for one in learned.members} & {one.key for one in apart.members}
    assert (np.bincount(apart.labels) == 3).all()


def test_shares_that_cannot_be(photographs: Path, tmp_path: Path) -> None:
    other = image_folder(tmp_path / "other", 4, seed=5)
    with pytest.raises(InputError, match="1 of 2 sets have a share; give every set one"):
        chosen_images([(photographs, 0.5), (other, None)], None)
    with pytest.raises(InputError, match=r"other: has 12 images .* 15 of 30 are its share; at most 24"):
        chosen_images([(photographs, 0.5), (other, 0.5)], 30)
    single = image_folder(tmp_path / "single", 4, names=("red",))
    with pytest.raises(InputError, match="has one class; a classifier needs at least two"):
        chosen_images([(single, None)], None)


# --- training ---


def test_a_classifier_is_learned_and_timm_opens_it(trained, photographs: Path) -> None:
    import timm

    out, result = trained
    assert result["accuracy"]["value"] > 0.8 and result["accuracy"]["n"] == 9
    assert result["steps"] == round(3 * 27 / 8) and result["epochs"] == 3
    model = timm.create_model(f"local-dir:{out}", pretrained=True).eval()
    assert model.num_classes == 3
    for folder in (out, out / "best"):
        opened = load_classifier(str(folder), torch.device("cpu"))
        assert list(opened.classes.values()) == ["blue", "green", "red"]
        assert opened.preprocessing == evaluation_preprocessing(32, 1.0)
    history = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in history] == [1, 2, 3]
    assert set(history[0]) >= {"loss", "learning_rate", "accuracy", "seconds", "data_wait"}
    assert "test_resnet" in (out / "README.md").read_text()


def test_the_same_again_is_the_same_and_another_seed_is_not(trained, photographs: Path, tmp_path: Path) -> None:
    torch.manual_seed(99)  # what the caller drew before must not matter
    learn(photographs, tmp_path / "again")
    assert same(trained[0], tmp_path / "again")
    learn(photographs, tmp_path / "other", SPEC.model_copy(update={"seed": 4}))
    assert not same(trained[0], tmp_path / "other")


@pytest.mark.parametrize("stop_at", [2, 5])
def test_an_interrupted_training_ends_with_the_same_bytes(
    trained, photographs: Path, tmp_path: Path, stop_at: int
) -> None:
    """Stopped by a signal within the first and within the second epoch."""

    def stop(done: int, total: int, what: str) -> None:
        if done == stop_at:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted, match=f"after step {stop_at} of 10; to continue"):
        learn(photographs, tmp_path / "model", progress=stop)
    told: list[str] = []
    learn(photographs, tmp_path / "model", note=told.append)
    assert told == [f"going on after step {stop_at} of 10"]
    assert same(trained[0], tmp_path / "model")
    losses = [
        [json.loads(line)["loss"] for line in (folder / "history.jsonl").read_text().splitlines()]
        for folder in (trained[0], tmp_path / "model")
    ]
    assert losses[0] == losses[1]


def test_a_killed_training_goes_on_from_its_last_epoch(trained, photographs: Path, tmp_path: Path) -> None:
    class Killed(Exception):
        """What no code of ours expects, as a kill is."""

    def kill(done: int, total: int, what: str) -> None:
        if done == 5:
            raise Killed

    with pytest.raises(Killed):
        learn(photographs, tmp_path / "model", progress=kill)
    told: list[str] = []
    learn(photographs, tmp_path / "model", note=told.append)
    assert told == ["going on after step 3 of 10"]
    assert same(trained[0], tmp_path / "model")


def test_a_finished_training_is_not_done_again(trained, photographs: Path) -> None:
    before = (trained[0] / "model.safetensors").stat().st_mtime_ns
    again = learn(photographs, trained[0])
    assert again["accuracy"] == trained[1]["accuracy"]
    assert (trained[0] / "model.safetensors").stat().st_mtime_ns == before


def test_another_training_in_the_same_folder_is_refused(trained, photographs: Path, tmp_path: Path) -> None:
    with pytest.raises(FingerprintError, match=r"recipe.learning_rate is 0.05 there and 0.5 here"):
        learn(photographs, trained[0], SPEC.model_copy(update={"learning_rate": 0.5}))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    with pytest.raises(InputError, match="holds files that are not synthgap's"):
        learn(photographs, tmp_path / "mine")


def test_equal_steps_whatever_the_number_of_images(photographs: Path, tmp_path: Path) -> None:
    spec = SPEC.model_copy(update={"iterations": 4, "epochs": 2})
    for count in (9, 24):
        found = learn(photographs, tmp_path / str(count), spec.model_copy(update={"images": count}))
        assert (found["steps"], found["epochs"]) == (4, 2)


def test_multi_crop_and_the_average_learn_and_go_on(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    averaged = RECIPES["small"].model_copy(update={"average": 0.9})
    monkeypatch.setitem(RECIPES, "small", averaged)
    spec = SPEC.model_copy(update={"augmentation": "multi-crop", "epochs": 2, "image_size": 48})
    whole = learn(photographs, tmp_path / "whole", spec)

    def stop(done: int, total: int, what: str) -> None:
        if done == 4:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted, match="SIGTERM"):
        learn(photographs, tmp_path / "cut", spec, progress=stop)
    learn(photographs, tmp_path / "cut", spec)
    assert whole["loss"] < 1.2 and same(tmp_path / "whole", tmp_path / "cut")
    raw = load_file(tmp_path / "whole" / "checkpoint" / "state.safetensors")
    kept = weights(tmp_path / "whole")
    assert not torch.equal(raw["model.fc.weight"], kept["fc.weight"])
    assert torch.equal(raw["average.fc.weight"], kept["fc.weight"])


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_epoch(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = SPEC.model_copy(update={"learning_rate": 1e30})
    with pytest.raises(RunError, match=r"the loss became (nan|inf) by step 3 of 10 .*no epoch was finished.*lower"):
        learn(photographs, tmp_path / "model", spec)
    assert not (tmp_path / "model" / "model.safetensors").exists()

    def spoil(done: int, total: int, what: str) -> None:
        if done == 4:
            monkeypatch.setattr("synthgap.stages.training.loop.rate", lambda *_: float("nan"))

    with pytest.raises(RunError, match="the weights of epoch 1 are kept"):
        learn(photographs, tmp_path / "spoilt", progress=spoil)
    assert all(value.isfinite().all() for value in weights(tmp_path / "spoilt").values())


def test_broken_images_are_skipped_and_counted(tmp_path: Path) -> None:
    folder = image_folder(tmp_path / "squares", 6)
    (folder / "red" / "bad.jpg").write_bytes(b"\xff\xd8\xff\xe0 broken")
    spec = SPEC.model_copy(update={"epochs": 1, "validation_share": 0.0})
    held = learn(folder, tmp_path / "held", spec)
    assert (held["images"], held["skipped"]) == (18, 1)
    assert "JPEG" in next(iter(held["skipped_reasons"]))
    lazy = learn(folder, tmp_path / "lazy", spec.model_copy(update={"image_size": 80}))  # too large to be held
    assert lazy["skipped"] == 1 and lazy["accuracy"]["value"] is None
    assert not (tmp_path / "lazy" / "best").exists()


def test_wrong_names_are_answered_with_the_nearest(photographs: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="timm has no model 'resnet5O'; did you mean 'resnet50'"):
        learn(photographs, tmp_path / "model", SPEC.model_copy(update={"model": "resnet5O"}))
    with pytest.raises(InputError, match="does not take these arguments"):
        learn(photographs, tmp_path / "model", SPEC.model_copy(update={"model_args": {"colour": 3}}))


def test_a_transformer_of_one_size_gets_it(photographs: Path, tmp_path: Path) -> None:
    spec = SPEC.model_copy(
        update={"model": "vit_tiny_patch16_224", "epochs": 1, "images": 8, "model_args": {"depth": 1}}
    )
    learn(photographs, tmp_path / "model", spec)
    assert load_classifier(str(tmp_path / "model"), torch.device("cpu")).preprocessing.image_size == (32, 32)


def test_two_processes_give_the_weights_of_one(photographs: Path, tmp_path: Path) -> None:
    """With what torchrun sets; without batch norm, whose statistics on the CPU are those of each process; float32."""
    settings = {"model": "test_vit", "image_size": 32, "epochs": 2, "batch_size": 8, "precision": "float32"}
    learn(photographs, tmp_path / "one", TrainSpec(**settings))
    options = [text for name, value in settings.items() for text in (f"--{name.replace('_', '-')}", str(value))]
    command = [
        "train",
        str(photographs),
        *options,
        "--device",
        "cpu",
        "--format",
        "json",
        "--out",
        str(tmp_path / "two"),
    ]
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    launched = {"WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "synthgap", *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | launched | {"RANK": rank, "LOCAL_RANK": rank},
        )
        for rank in ("0", "1")
    ]
    told = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], told
    assert json.loads(told[0][0])["steps"] == 8 and told[1][0] == ""  # only the main process prints
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert max(float((one[key] - two[key]).abs().max()) for key in one) < 1e-5
