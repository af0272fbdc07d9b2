"""RandAugment: each change against torchvision's tensor kernels or a closed form, how often, and going on after a stop."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter
from safetensors.torch import load_file
from torchvision.transforms.v2 import functional as vision
from training_samples import RESOURCES, image_folder

from synthgap.core.errors import Interrupted
from synthgap.core.specs import TrainSpec
from synthgap.models.classifiers import evaluation_preprocessing
from synthgap.stages.training import ImageShare, train
from synthgap.stages.training.augmentation import BOX_DRAWS, COLOUR_DRAWS, views
from synthgap.stages.training.draws import uniforms
from synthgap.stages.training.examples import gather
from synthgap.stages.training.loader import Loader, Portion
from synthgap.stages.training.randaugment import CHANGES, LAYER_DRAWS, randaugmented
from synthgap.store.sources import open_images

PIXELS = np.random.default_rng(0).integers(40, 200, (48, 64, 3), dtype=np.uint8)
PHOTOGRAPH = Image.fromarray(PIXELS).filter(ImageFilter.SMOOTH_MORE)
GREY = np.array((128, 128, 128))


def changed(name: str, magnitude: float, *draws: float) -> np.ndarray:
    """The photograph after one change alone, (48, 64, 3)."""
    numbers = np.array([(list(CHANGES).index(name) + 0.5) / 17, *(draws or (0.7, 0.5, 0.5))])
    return np.asarray(randaugmented(PHOTOGRAPH, magnitude, numbers[None])).astype(int)


def tensor() -> torch.Tensor:
    return vision.pil_to_tensor(PHOTOGRAPH)


def hwc(images: torch.Tensor) -> np.ndarray:
    return images.movedim(0, -1).numpy().astype(int)


@pytest.mark.parametrize(
    ("name", "kernel", "most"),
    [
        ("AutoContrast", vision.autocontrast, 1),
        ("Equalize", vision.equalize, 0),
        ("Invert", vision.invert, 0),
        ("Posterize", lambda x: vision.posterize(x, 6), 0),
        ("Color", lambda x: vision.adjust_saturation(x, 2.8), 3),
        ("Contrast", lambda x: vision.adjust_contrast(x, 2.8), 2),
        ("Brightness", lambda x: vision.adjust_brightness(x, 2.8), 1),
        ("Sharpness", lambda x: vision.adjust_sharpness(x, 2.8), 3),
    ],
)
def test_changes_of_colour_are_torchvisions_tensor_kernels(name: str, kernel, most: int) -> None:
    """Magnitude 15: posterised to 6 bits, enhanced by 1.5 * 1.8 + 0.1."""
    expected = hwc(kernel(tensor()))
    assert abs(changed(name, 15) - expected).max() <= most
    assert (changed(name, 15) != np.asarray(PHOTOGRAPH)).mean() > 0.3


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_turn_is_torchvisions(sign: int) -> None:
    expected = hwc(vision.rotate(tensor(), sign * 45.0, fill=[128.0] * 3))
    found = changed("Rotate", 15, 0.5 + sign * 0.2, 0, 0)
    assert (found == expected).all(-1).mean() > 0.97  # where a pixel's place is a tie, the kernels round differently
    assert (found[0, 0] == GREY).all() and (found[-1, -1] == GREY).all()


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_shear_moves_each_row_or_column_by_its_distance(sign: int) -> None:
    """0.3 pixels a row at magnitude 10, from the upper left corner."""
    own = np.asarray(PHOTOGRAPH).astype(int)
    rows, columns = changed("ShearX", 10, 0.5 + sign * 0.2, 0, 0), changed("ShearY", 10, 0.5 + sign * 0.2, 0, 0)
    for line in (0, 11, 28, 41):
        by = -sign * round(0.3 * (line + 0.5))
        assert (rows[line] == moved(own[line], by)).all()
        assert (columns[:, line] == moved(own[:, line], by)).all()


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_move_is_of_whole_pixels(sign: int) -> None:
    own = np.asarray(PHOTOGRAPH).astype(int)
    right, down = changed("TranslateX", 20, 0.5 + sign * 0.2, 0, 0), changed("TranslateY", 20, 0.5 + sign * 0.2, 0, 0)
    assert (right[5] == moved(own[5], sign * 20)).all()
    assert (down[:, 5] == moved(own[:, 5], sign * 20)).all()


def moved(line: np.ndarray, by: int) -> np.ndarray:
    """A line of pixels moved towards its end, or its beginning; grey where none is left."""
    found = np.roll(line, by, axis=0)
    found[slice(0, by) if by > 0 else slice(len(line) + by, len(line))] = GREY
    return found


@pytest.mark.parametrize(("magnitude", "threshold"), [(5, 128), (9.99, 255), (15, 256)])
def test_bright_pixels_are_turned_round(magnitude: float, threshold: int) -> None:
    """From 256 levels at magnitude 10; from there on none is turned, as in the garden."""
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    draws = np.array([[(list(CHANGES).index("Solarize") + 0.5) / 17, 0, 0, 0]])
    found = np.asarray(randaugmented(Image.fromarray(levels), magnitude, draws))
    assert (found == np.where(levels < threshold, levels, 255 - levels)).all()


def test_dark_pixels_are_lit_by_110_levels() -> None:
    own = np.asarray(PHOTOGRAPH).astype(int)
    assert (changed("SolarizeAdd", 10) == np.where(own < 128, np.minimum(own + 110, 255), own)).all()


@pytest.mark.parametrize(
    ("draws", "covered"),
    [
        ((0.5, 0.5), (slice(4, 44), slice(12, 52))),
        ((0, 0), (slice(20), slice(20))),
        ((0.999, 0), (slice(27, 48), slice(20))),
    ],
)
def test_a_cut_is_a_grey_square_about_a_pixel(draws: tuple[float, float], covered: tuple[slice, slice]) -> None:
    """Half its side is 20 pixels at magnitude 5."""
    expected = np.asarray(PHOTOGRAPH).astype(int)
    expected[covered] = GREY
    assert (changed("Cutout", 5, 0.1, *draws) == expected).all()
    assert (np.asarray(PHOTOGRAPH)[10:30, 15:40] != GREY).any()


def test_seventeen_outcomes_are_equally_likely_and_one_is_nothing() -> None:
    draws = uniforms(1, np.zeros(3400, dtype=np.int64), np.arange(3400), LAYER_DRAWS)
    counts = np.bincount((draws[:, 0] * 17).astype(int), minlength=17)
    assert ((counts - 200) ** 2 / 200).sum() < 39.3  # chi-squared, 16 degrees of freedom: p = 0.001
    last = randaugmented(PHOTOGRAPH, 15, np.array([[16.5 / 17, 0.1, 0.2, 0.3]]))
    assert last is PHOTOGRAPH
    of = [np.asarray(randaugmented(PHOTOGRAPH, 15, row[None])) for row in draws[:400]]
    untouched = np.array([(one == np.asarray(PHOTOGRAPH)).all() for one in of])
    places = (draws[:400, 0] * 17).astype(int)
    assert set(places[untouched]) == {16, list(CHANGES).index("Solarize")}


@given(st.lists(st.floats(0, 1, exclude_max=True), min_size=8, max_size=8), st.floats(0, 20))
@settings(max_examples=60, deadline=None)
def test_any_two_changes_give_an_image_of_the_same_size(numbers: list[float], magnitude: float) -> None:
    before = np.asarray(PHOTOGRAPH).copy()
    draws = np.array(numbers).reshape(2, LAYER_DRAWS)
    found = randaugmented(PHOTOGRAPH, magnitude, draws)
    assert (found.size, found.mode) == ((64, 48), "RGB")
    one_by_one = randaugmented(randaugmented(PHOTOGRAPH, magnitude, draws[:1]), magnitude, draws[1:])
    assert (np.asarray(found) == np.asarray(one_by_one)).all()
    assert (np.asarray(PHOTOGRAPH) == before).all()


# --- in a training ---


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return image_folder(tmp_path_factory.mktemp("photographs") / "squares", 12)


@pytest.mark.parametrize("augmentation", ["plain", "multi-crop", "randaug"])
def test_batches_do_not_depend_on_where_a_training_began(photographs: Path, augmentation: str) -> None:
    kinds = views(augmentation, 40, layers=2, magnitude=15)
    examples, _ = gather([ImageShare(open_images(photographs))], images=None, validation_share=0, seed=1, memory=1.0)
    preprocessing = evaluation_preprocessing(40, 1.0)

    def batches(first: int, workers: int) -> list:
        loader = Loader(examples, kinds, preprocessing, Portion(7, 0, 1), seed=5, workers=workers)
        return list(loader.batches(first, 8))

    for whole, later in zip(batches(0, 2)[5:], batches(5, 1), strict=True):
        pairs = zip((*whole.views, *whole.draws, whole.labels), (*later.views, *later.draws, later.labels), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)


def test_randaugment_follows_plains_crop_with_numbers_of_its_own(photographs: Path) -> None:
    """Boxes, mirrors and colours stay; what differs is the changes."""
    examples, _ = gather([ImageShare(open_images(photographs))], images=None, validation_share=0, seed=1, memory=1.0)
    found = {}
    for name, magnitude in (("plain", 0.0), ("randaug", 15.0)):
        kinds = views(name, 40, layers=2, magnitude=magnitude)
        loader = Loader(examples, kinds, evaluation_preprocessing(40, 1.0), Portion(36, 0, 1), seed=5, workers=1)
        (found[name],) = loader.batches(0, 1)
    plain, ours = found["plain"], found["randaug"]
    assert torch.equal(plain.draws[0], ours.draws[0]) and torch.equal(plain.labels, ours.labels)
    (view,) = views("randaug", 40, layers=2, magnitude=15)
    draws = uniforms_of(5, 36, view.draws)[:, BOX_DRAWS + COLOUR_DRAWS :].reshape(36, 2, LAYER_DRAWS)
    for before, after, rows in zip(plain.views[0], ours.views[0], draws, strict=True):
        image = Image.fromarray(before.movedim(0, -1).contiguous().numpy())
        assert (np.asarray(randaugmented(image, 15, rows)) == after.movedim(0, -1).numpy()).all()


def uniforms_of(seed: int, images: int, count: int) -> np.ndarray:
    """The loader's numbers for its first batch of all images."""
    from synthgap.core.seeds import derived_seed
    from synthgap.stages.training.draws import chosen

    order, passes = chosen(seed, 0, images, images)
    return uniforms(derived_seed(seed, "augmentation"), passes, order, count)


def test_randaug_needs_layers() -> None:
    with pytest.raises(ValueError, match="layers is 0; randaug takes at least 1"):
        views("randaug", 64)


def test_the_papers_recipe_trains_and_goes_on(photographs: Path, tmp_path: Path) -> None:
    spec = TrainSpec(recipe="M", model="test_resnet", image_size=64, batch_size=8, iterations=4, epochs=2)
    share = [ImageShare(open_images(photographs))]
    whole = train(share, spec, tmp_path / "whole", RESOURCES)
    assert (whole["recipe"], whole["steps"]) == ("M", 4) and np.isfinite(whole["loss"])

    def stop(done: int, total: int, what: str) -> None:
        if done == 3:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted, match="after step 3 of 4"):
        train(share, spec, tmp_path / "cut", RESOURCES, progress=stop)
    train(share, spec, tmp_path / "cut", RESOURCES)
    a, b = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "cut"))
    assert a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)
    plain = train(share, spec.model_copy(update={"augmentation": "plain"}), tmp_path / "plain", RESOURCES)
    assert plain["loss"] != whole["loss"]
