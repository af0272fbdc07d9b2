"""Transfer: known sets, features kept once, divisions, solvers against others' solvers, studies that go on."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler, normalize
from training_samples import RESOURCES
from transfer_samples import model_folder, split_folder

from synthgap.core.errors import FingerprintError, InputError, Interrupted
from synthgap.core.specs import LearningResources, TransferSpec
from synthgap.models.classifiers import load_classifier
from synthgap.stages.transfer import KNOWN_SETS, TransferTask, averages, transfer, tuning
from synthgap.stages.transfer import features as features_module
from synthgap.stages.transfer.division import divide
from synthgap.stages.transfer.features import Features, extract, feature_preprocessing, read_features
from synthgap.stages.transfer.known import known_set, recognise, size_notes
from synthgap.stages.transfer.solvers import Rows, prepare
from synthgap.stages.transfer.summary import Scored, figures
from synthgap.stages.transfer.tuning import Trial, best, tune
from synthgap.store.images import decode_image
from synthgap.store.sources import open_images

CPU = torch.device("cpu")
SPEC = TransferSpec(trials=5, repeats=2, bootstrap=100)
SHARES = {"validation_share": 0.2, "test_share": 0.3, "seed": 0, "repeat": 0}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_folder(tmp_path_factory.mktemp("models") / "small")


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return split_folder(tmp_path_factory.mktemp("sets") / "squares", {"train": 12, "validation": 6, "test": 8})


def task(model: Path, squares: Path, name: str = "squares") -> TransferTask:
    return TransferTask(load_classifier(str(model), CPU), "small", open_images(squares), name, known_set(name))


def extracted(model: Path, folder: Path, out: Path, *, mapped: bool = False, progress=None) -> Features:
    classifier = load_classifier(str(model), CPU)
    seen = feature_preprocessing(classifier, None)
    writer = extract(classifier, open_images(folder), seen, out, workers=1, progress=progress)
    return read_features(writer, mapped=mapped)


def made_up(splits: dict[str, list[str]]) -> Features:
    """Features of which only keys, classes and splits count."""
    rows = [(f"{split}/{n}", key, split) for split, keys in splits.items() for n, key in enumerate(keys)]
    keys, classes, names = (tuple(column) for column in zip(*rows, strict=True))
    return Features(np.zeros((len(rows), 1), dtype=np.float32), keys, classes, names, {}, "made-up")


# --- known sets ---


def test_known_sets_are_those_of_the_paper() -> None:
    """S Table 4 adds up: each row to what the set's own authors count."""
    totals = {one.name: (one.train or 0) + (one.validation or 0) + (one.test or 0) for one in KNOWN_SETS}
    assert (totals["Aircraft"], totals["EuroSAT"], totals["Food101"]) == (10_000, 27_000, 101_000)
    assert (totals["DTD"], totals["SUN397"], totals["Cars196"]) == (5_640, 39_700, 16_185)
    assert Counter(one.group for one in KNOWN_SETS) == {"small-scale": 8, "long-tail": 2, "ImageNet-CoG": 5}
    assert known_set("EuroSAT").validation_share == pytest.approx(2 / 7)
    assert known_set("iNaturalist_2018").validation_share is None


def test_a_folder_is_recognised_by_name_and_classes_together() -> None:
    assert recognise(None, "stanford_cars", 196).name == "Cars196"
    assert recognise(None, "stanford_cars", 12) is None
    assert recognise("Cars196", "anything", 12).name == "Cars196"
    assert recognise("mine", "stanford_cars", 196) is None


def test_sizes_that_differ_are_told() -> None:
    pets = known_set("Pets")
    assert size_notes(pets, 37, 3680, 3669) == []
    assert size_notes(pets, 36, 3680, 3600) == [
        "has 36 classes, not 37, 3,600 test images, not 3,669 as in S Table 4: figures do not compare with the paper's"
    ]
    assert size_notes(known_set("CoG-L3"), 1000, 5, 5) == []


# --- features ---


def test_features_are_what_the_headless_network_gives(model: Path, squares: Path, tmp_path: Path) -> None:
    import timm

    found = extracted(model, squares, tmp_path / "features")
    headless = timm.create_model(f"local-dir:{model}", pretrained=True).eval()
    headless.reset_classifier(0)
    classifier = load_classifier(str(model), CPU)
    rows = list(open_images(squares).rows())
    assert found.image_keys == tuple(row.image_key for row in rows)
    for place in (0, 17, len(rows) - 1):
        pixels = torch.from_numpy(decode_image(rows[place].read()).copy()).movedim(-1, 0)[None]
        with torch.inference_mode():
            expected = headless(classifier.preprocessing.normalise(pixels, torch.float32))[0]
        np.testing.assert_allclose(found.vectors[place], expected.numpy(), rtol=1e-4, atol=1e-5)


def test_the_shortest_side_becomes_the_square(model: Path) -> None:
    classifier = load_classifier(str(model), CPU)
    wide = np.random.default_rng(0).integers(0, 255, (48, 96, 3), dtype=np.uint8)
    seen = feature_preprocessing(classifier, 24)
    assert (seen.size, seen.crop) == (24, (24, 24))
    whole = seen.prepare(np.ascontiguousarray(wide[:, 24:72]))  # the middle square of the image
    assert (seen.prepare(wide).float() - whole.float()).abs()[:, :, 2:-2].max() <= 1


def test_features_are_made_once_and_refused_for_another_size(
    model: Path, squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = extracted(model, squares, tmp_path / "features")
    monkeypatch.setattr("synthgap.store.rows.ImageRow.read", lambda _: pytest.fail("an image was read again"))
    again = extracted(model, squares, tmp_path / "features")
    assert np.array_equal(first.vectors, again.vectors) and first.fingerprint == again.fingerprint
    classifier = load_classifier(str(model), CPU)
    seen = feature_preprocessing(classifier, 48)
    with pytest.raises(FingerprintError, match=r"preprocessing.size is 32 there and 48 here"):
        extract(classifier, open_images(squares), seen, tmp_path / "features", workers=1, progress=None)


def test_interrupted_features_end_with_the_same_bytes(
    model: Path, squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features_module, "BLOCK_ROWS", 16)
    monkeypatch.setattr(features_module, "BATCH", 8)
    whole = extracted(model, squares, tmp_path / "whole")

    def stop(done: int, total: int, what: str) -> None:
        if done == 24:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted, match="features of 16 of 78 images are in"):
        extracted(model, squares, tmp_path / "cut", progress=stop)
    again = extracted(model, squares, tmp_path / "cut")
    assert np.array_equal(whole.vectors, again.vectors) and whole.fingerprint == again.fingerprint


def test_mapped_vectors_are_the_held_ones(model: Path, squares: Path, tmp_path: Path) -> None:
    held = extracted(model, squares, tmp_path / "features")
    mapped = extracted(model, squares, tmp_path / "features", mapped=True)
    assert isinstance(mapped.vectors, np.memmap) and np.array_equal(held.vectors, mapped.vectors)


def test_broken_images_are_skipped_with_their_reason(model: Path, tmp_path: Path) -> None:
    folder = split_folder(tmp_path / "squares", {"train": 4, "test": 2})
    (folder / "train" / "red" / "bad.jpg").write_bytes(b"\xff\xd8\xff\xe0 broken")
    found = extracted(model, folder, tmp_path / "features")
    assert len(found.vectors) == 18 and np.isfinite(found.vectors).all()
    assert ["JPEG" in reason for reason in found.skipped.values()] == [True]


# --- divisions ---


def test_a_sets_own_splits_are_used() -> None:
    features = made_up({"train": ["a", "b"] * 5, "val": ["a", "b"], "test": ["a", "b", "b"]})
    found = divide(features, None, **SHARES)
    assert [len(found.train), len(found.validation), len(found.test)] == [10, 2, 3]
    assert found.notes == ()


def test_a_lone_held_out_split_is_the_test() -> None:
    found = divide(made_up({"train": ["a", "b"] * 10, "val": ["a", "b"]}), None, **SHARES)
    assert [len(found.train), len(found.validation), len(found.test)] == [16, 4, 2]
    assert "its split 'val' is the test" in found.notes[0] and "20% of each class" in found.notes[1]


def test_further_held_out_splits_are_not_learned_from() -> None:
    features = made_up({"train": ["a", "b"] * 5, "val": ["a", "b"], "dev": ["a"], "test": ["a"], "testing": ["b"] * 4})
    found = divide(features, None, **SHARES)
    assert {features.splits[row] for row in found.train} == {"train"}
    assert [len(found.train), len(found.validation), len(found.test)] == [10, 2, 1]
    assert found.notes == ("has more held-out splits than are needed: 'dev', 'testing' left out",)


def test_the_papers_shares_for_the_papers_sets() -> None:
    features = made_up({"train": ["a", "b"] * 135})  # EuroSAT divided by 100: 13,500, 5,400 and 8,100 of 27,000
    found = divide(features, known_set("EuroSAT"), **SHARES)
    assert len(found.test) == pytest.approx(81, abs=2) and len(found.validation) == pytest.approx(54, abs=2)


def test_classes_that_cannot_be_learned_count_as_wrong() -> None:
    features = made_up({"train": ["a", "b"] * 4, "validation": ["a", "b"], "test": ["a", "z"]})
    found = divide(features, None, **SHARES)
    assert found.labels[found.test].tolist() == [0, -1]
    assert found.notes[0] == "1 test image of classes without training images, counted as wrong"
    with pytest.raises(InputError, match="1 class with 3 images to learn from"):
        divide(made_up({"train": ["a"] * 3, "val": ["a"], "test": ["a"]}), None, **SHARES)
    with pytest.raises(InputError, match="1 class with 3 images to learn from"):
        divide(made_up({"train": ["a"] * 3, "val": ["a", "b"], "test": ["a", "b"]}), None, **SHARES)


@given(st.lists(st.sampled_from("abc"), min_size=0, max_size=40), st.integers(0, 5))
def test_what_is_kept_apart_is_stratified_and_disjoint(more: list[str], repeat: int) -> None:
    features = made_up({"train": ["a", "b", "c"] * 4 + more})
    found = divide(features, None, **SHARES | {"repeat": repeat})
    parts = [found.train, found.validation, found.test]
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(features.image_keys)))
    sizes = Counter(features.class_keys)
    for part in parts:
        assert {features.class_keys[row] for row in part} == {"a", "b", "c"}
    for key, total in sizes.items():
        apart = sum(features.class_keys[row] == key for row in found.test)
        assert abs(apart - 0.3 * total) <= 1
    other = divide(features, None, **SHARES | {"repeat": repeat + 1})
    assert other.test.tolist() == found.test.tolist()


def test_a_class_of_one_image_is_learned_from_and_one_of_two_is_shared() -> None:
    found = divide(made_up({"train": ["a", "b", "b", *"cccc"], "test": ["c"]}), None, **SHARES)
    features = [["a", "b", "b", *"cccc", "c"][row] for row in found.train]
    assert Counter(features) == {"a": 1, "b": 1, "c": 3} and len(found.validation) == 2


def test_repeats_have_validation_images_of_their_own() -> None:
    features = made_up({"train": ["a", "b"] * 40, "test": ["a", "b"]})
    chosen = [divide(features, None, **SHARES | {"repeat": n}).validation.tolist() for n in (0, 0, 1)]
    assert chosen[0] == chosen[1] != chosen[2]


# --- solvers ---


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    images, labels = load_digits(return_X_y=True)
    return images.astype(np.float32), labels.astype(np.int64)


def predicted(name: str, digits: tuple[np.ndarray, np.ndarray], settings, spec: TransferSpec, **other) -> torch.Tensor:
    """What a solver that learned from the first 1,000 digits says of the others."""
    images, labels = digits
    rows = Rows(images, np.arange(1000), "none")
    asked = Rows(images, np.arange(1000, len(images)), "none")
    options = {"seed": 0, "memory": 1.0, "check": lambda: None} | other
    return prepare(name, rows, labels[:1000], 10, spec, CPU, **options).predictions(settings, asked)


def test_lbfgs_agrees_with_scikit_learns(digits) -> None:
    """With its own settings in float64 to a close tolerance; its defaults in float32 stop early at weak penalties."""
    images, labels = digits[0] / np.float32(16), digits[1]
    settings = [{"C": value} for value in (1e-3, 1e-2, 1.0, 100.0)]
    ours = predicted("lbfgs", (images, labels), settings, SPEC)
    for one, named in zip(settings, ours, strict=True):
        reference = LogisticRegression(C=one["C"], tol=1e-8, max_iter=5000)
        reference.fit(images[:1000].astype(np.float64), labels[:1000])
        assert (named.numpy() == reference.predict(images[1000:])).mean() >= 0.998
    theirs = predicted("sklearn", (images, labels), settings, SPEC)
    assert ours.shape == theirs.shape == (4, 797)
    assert (ours == theirs).double().mean(dim=1)[:3].min() >= 0.998
    truth = torch.from_numpy(labels[1000:])
    accuracies = [(one == truth).double().mean(dim=1) for one in (ours, theirs)]
    assert (accuracies[0] - accuracies[1]).abs().max() <= 0.003 and accuracies[0][2] > 0.9


@pytest.mark.parametrize("memory", [1.0, 1e-9])
def test_sgd_is_torchs_sgd(digits, memory: float) -> None:
    """Held or read a batch at a time, for each of several settings at once."""
    images, labels = digits
    spec = TransferSpec(epochs=3, batch_size=1000)
    settings = [{"learning_rate": 0.01, "weight_decay": 5.0}, {"learning_rate": 0.003, "weight_decay": 1e-6}]
    rows = Rows(images, np.arange(1000), "none")
    solver = prepare("sgd", rows, labels[:1000], 10, spec, CPU, seed=0, memory=memory, check=lambda: None)
    for one, weight, bias in zip(settings, *solver._fit(settings), strict=True):
        layer = torch.nn.Linear(64, 10)
        torch.nn.init.zeros_(layer.weight), torch.nn.init.zeros_(layer.bias)
        rate, decay = one["learning_rate"], one["weight_decay"]
        optimizer = torch.optim.SGD(layer.parameters(), lr=rate, momentum=0.9, weight_decay=decay)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=3)
        for _ in range(3):
            optimizer.zero_grad()
            scores = layer(torch.from_numpy(images[:1000]))
            torch.nn.functional.cross_entropy(scores, torch.from_numpy(labels[:1000])).backward()
            optimizer.step()
            schedule.step()
        torch.testing.assert_close(weight.T, layer.weight.detach(), rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(bias[0], layer.bias.detach(), rtol=1e-4, atol=1e-6)


def test_sgd_learns_and_a_fit_that_diverged_names_nothing(digits) -> None:
    spec = TransferSpec(epochs=10, batch_size=100)
    settings = [{"learning_rate": 0.003, "weight_decay": 1e-6}, {"learning_rate": 1e30, "weight_decay": 1e-6}]
    found = predicted("sgd", digits, settings, spec)
    truth = torch.from_numpy(digits[1][1000:])
    assert (found[0] == truth).double().mean() > 0.85
    assert (found[1] == -1).all()


def test_scalings_are_scikit_learns(digits) -> None:
    images, _ = digits
    members = np.arange(3, 500)
    rows = Rows(images, members, "standard")
    scaler = StandardScaler().fit(images[members].astype(np.float64))
    np.testing.assert_allclose(torch.cat(list(rows.blocks())), scaler.transform(images[members]), atol=1e-5)
    asked = Rows(images, np.arange(500, 520), "standard", rows)
    np.testing.assert_allclose(asked.take(slice(None)), scaler.transform(images[500:520]), atol=1e-5)
    lengths = Rows(images, members, "l2").take(slice(None))
    np.testing.assert_allclose(lengths, normalize(images[members]), atol=1e-6)


# --- settings ---


def peak(batch) -> list[float]:
    """Best at C = 10."""
    return [1 - abs(np.log10(one["C"]) - 1) / 10 for one in batch]


def test_trials_find_the_best_setting_within_the_range() -> None:
    found = tune({"C": (1e-5, 1e6)}, peak, trials=30, seed=0)
    assert len(found) == 30 and all(1e-5 <= one.settings["C"] <= 1e6 for one in found)
    assert 3 < best(found).settings["C"] < 30
    assert np.median([one.accuracy for one in found[15:]]) > 0.9  # random settings: 0.72


def test_a_study_that_goes_on_asks_what_it_would_have_asked() -> None:
    whole = tune({"C": (1e-5, 1e6)}, peak, trials=20, seed=3)
    assert len({one.settings["C"] for one in whole}) == 20
    part = tune({"C": (1e-5, 1e6)}, peak, trials=10, seed=3)
    assert part == whole[:10]
    assert tune({"C": (1e-5, 1e6)}, peak, trials=20, seed=3, before=part) == whole
    assert tune({"C": (1e-5, 1e6)}, peak, trials=20, seed=4) != whole


def test_the_earliest_of_equals_is_best() -> None:
    trials = [Trial({"C": 1.0}, 0.5), Trial({"C": 2.0}, 0.9), Trial({"C": 3.0}, 0.9)]
    assert best(trials) is trials[1]


# --- figures ---


def test_figures_of_known_predictions() -> None:
    right = torch.tensor([[1.0, 1, 1, 0], [1, 1, 0, 0]])
    found = figures({"group": None}, right, ["a", "a", "a", "b"], resamples=200, seed=0).result
    assert found["accuracy"]["value"] == pytest.approx(0.625) and found["accuracy"]["n"] == 4
    assert found["mean_per_class"]["value"] == pytest.approx((2.5 / 3 + 0) / 2)
    assert found["over_repeats"] == pytest.approx(np.std([0.75, 0.5], ddof=1))
    assert found["accuracy"]["ci_low"] <= 0.625 <= found["accuracy"]["ci_high"]


def test_averages_are_plain_means_over_sets() -> None:
    sets = [
        Scored({"group": "ImageNet-CoG"}, torch.tensor([1.0, 0.0])),
        Scored({"group": "ImageNet-CoG"}, torch.ones(50)),
        Scored({"group": None}, torch.zeros(10)),
    ]
    found = averages(sets, resamples=100, seed=0)
    assert found["all"]["value"] == pytest.approx(0.5) and found["all"]["n"] == 3
    assert found["ImageNet-CoG"]["value"] == pytest.approx(0.75) and set(found) == {"all", "ImageNet-CoG"}
    assert found["all"]["ci_low"] <= 0.5 <= found["all"]["ci_high"]


# --- the whole ---


def test_a_network_on_a_set(model: Path, squares: Path, tmp_path: Path) -> None:
    found = transfer(task(model, squares), SPEC, tmp_path, RESOURCES).result
    assert (found["solver"], found["images"]) == ("lbfgs", {"train": 36, "validation": 18, "test": 24})
    assert found["accuracy"]["value"] == pytest.approx(np.mean([run["accuracy"] for run in found["runs"]]))
    assert found["accuracy"]["n"] == 24 and found["accuracy"]["value"] > 0.9  # three colours
    for repeat, run in enumerate(found["runs"]):
        rows = pq.read_table(tmp_path / "studies" / "small-squares" / f"{repeat}.parquet").to_pylist()
        assert np.mean([row["class_key"] == row["predicted"] for row in rows]) == pytest.approx(run["accuracy"])


def test_settings_do_not_depend_on_the_test_images(model: Path, squares: Path, tmp_path: Path) -> None:
    other = split_folder(tmp_path / "other", {"train": 12, "validation": 6, "test": 8})
    names = ("red", "green", "blue")
    for name in names:
        (other / "test" / name).rename(other / "test" / f"was-{name}")
    for name, wrong in zip(names, names[1:] + names[:1], strict=True):
        (other / "test" / f"was-{name}").rename(other / "test" / wrong)
    found = [
        transfer(task(model, one), SPEC, tmp_path / "out" / one.name, RESOURCES).result for one in (squares, other)
    ]
    chosen = [[(run["settings"], run["validation_accuracy"]) for run in one["runs"]] for one in found]
    assert chosen[0] == chosen[1]
    assert found[0]["accuracy"]["value"] > 0.9 and found[1]["accuracy"]["value"] < 0.1


def test_sgd_and_a_share_of_the_training_images(model: Path, tmp_path: Path) -> None:
    folder = split_folder(tmp_path / "squares", {"train": 15, "val": 5})
    spec = SPEC.model_copy(update={"epochs": 5, "batch_size": 16})
    found = transfer(task(model, folder, "iNat2019"), spec, tmp_path / "out", RESOURCES).result
    assert (found["solver"], found["group"], found["known_as"]) == ("sgd", "long-tail", "iNat2019")
    assert found["images"] == {"train": 36, "validation": 9, "test": 15}
    assert set(found["runs"][0]["settings"]) == {"learning_rate", "weight_decay"}
    assert any("3 classes, not 1,010" in note for note in found["notes"])
    assert found["accuracy"]["value"] > 0.6


def test_a_stopped_study_goes_on_to_the_same_result(model: Path, squares: Path, tmp_path: Path) -> None:
    spec = SPEC.model_copy(update={"trials": 15, "repeats": 1})
    whole = transfer(task(model, squares), spec, tmp_path / "whole", RESOURCES).result

    def stop(done: int, total: int, what: str) -> None:
        if what.startswith("trials") and done == 10:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted, match="SIGTERM: 10 of 15 trials on squares are in"):
        transfer(task(model, squares), spec, tmp_path / "cut", RESOURCES, stop)
    again = transfer(task(model, squares), spec, tmp_path / "cut", RESOURCES).result
    assert again["runs"] == whole["runs"] and again["accuracy"] == whole["accuracy"]
    files = [(tmp_path / folder / "studies/small-squares/0.json").read_bytes() for folder in ("whole", "cut")]
    assert files[0] == files[1]


@pytest.mark.parametrize("solver", ["lbfgs", "sklearn", "sgd"])
def test_a_stop_does_not_wait_for_the_trials_in_hand(
    model: Path, squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, solver: str
) -> None:
    """The signal comes while the settings of a batch are chosen; only whole batches are kept."""
    ask = tuning.ask

    def asked_while_stopped(*given: Any) -> list[tuning.Settings]:
        os.kill(os.getpid(), signal.SIGINT)
        return ask(*given)

    monkeypatch.setattr(tuning, "ask", asked_while_stopped)
    spec = SPEC.model_copy(update={"solver": solver, "trials": 5, "repeats": 1, "epochs": 2})
    with pytest.raises(Interrupted, match="SIGINT: 0 of 5 trials on squares are in"):
        transfer(task(model, squares), spec, tmp_path, RESOURCES)
    monkeypatch.undo()
    assert transfer(task(model, squares), spec, tmp_path, RESOURCES).result["trials"] == 5


def test_a_mapped_array_of_older_blocks_does_not_stay(model: Path, tmp_path: Path) -> None:
    folder = split_folder(tmp_path / "squares", {"train": 6, "test": 3})
    spec = SPEC.model_copy(update={"solver": "sgd", "epochs": 1, "repeats": 1})
    transfer(task(model, folder), spec, tmp_path / "out", RESOURCES)
    features = next((tmp_path / "out" / "features").iterdir())
    (mapped,) = features.glob("*-vectors.npy")
    mapped.rename(features / "0123456789abcdef-vectors.npy")
    transfer(task(model, folder), spec, tmp_path / "out", RESOURCES)
    assert [path.name for path in features.glob("*-vectors.npy")] == [mapped.name]


def test_what_is_finished_is_not_done_again_and_more_trials_go_on(
    model: Path, squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = transfer(task(model, squares), SPEC, tmp_path, RESOURCES).result
    more = transfer(task(model, squares), SPEC.model_copy(update={"trials": 10}), tmp_path, RESOURCES).result
    assert max(run["validation_accuracy"] for run in more["runs"]) >= first["runs"][0]["validation_accuracy"]
    monkeypatch.setattr("synthgap.stages.transfer.scoring.prepare", lambda *_, **__: pytest.fail("fitted again"))
    again = transfer(task(model, squares), SPEC.model_copy(update={"trials": 10}), tmp_path, RESOURCES).result
    assert again["runs"] == more["runs"] and again["accuracy"] == more["accuracy"]


def test_damaged_predictions_follow_from_the_trials(model: Path, squares: Path, tmp_path: Path) -> None:
    first = transfer(task(model, squares), SPEC, tmp_path, RESOURCES).result
    kept = tmp_path / "studies" / "small-squares" / "0.parquet"
    whole = kept.read_bytes()
    kept.write_bytes(whole[:20])
    again = transfer(task(model, squares), SPEC, tmp_path, RESOURCES).result
    assert again["accuracy"] == first["accuracy"] and kept.read_bytes() == whole


def test_other_settings_in_the_same_folder_are_refused(model: Path, squares: Path, tmp_path: Path) -> None:
    transfer(task(model, squares), SPEC, tmp_path, RESOURCES)
    with pytest.raises(FingerprintError, match="normalise is 'none' there and 'l2' here"):
        transfer(task(model, squares), SPEC.model_copy(update={"normalise": "l2"}), tmp_path, RESOURCES)
    study = tmp_path / "studies" / "small-squares" / "0.json"
    study.write_text("[]")
    with pytest.raises(InputError, match="is no study of synthgap"):
        transfer(task(model, squares), SPEC, tmp_path, LearningResources(device="cpu", workers=1))
