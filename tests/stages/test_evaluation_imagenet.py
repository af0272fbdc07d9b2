"""ImageNet's five test sets: which folder is which class, on tiny sets in the layouts in which they are handed out."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from imagenet_samples import WNIDS, class_folders, jpeg, oracle, put, timm_list, v2_folders
from scipy.io import savemat

from synthgap import cli
from synthgap.core.errors import InputError
from synthgap.core.specs import EvaluateSpec, LearningResources
from synthgap.stages.evaluation import evaluate, evaluate_sets, open_scored, with_name
from synthgap.stages.evaluation.benchmarks import find_benchmark, recognise
from synthgap.stages.evaluation.numbering import wordnet_ids
from synthgap.stages.evaluation.scores import mean_over_sets
from synthgap.store.images import BrokenImage, decode_image
from synthgap.store.sources import open_images
from synthgap.vocabulary import class_list

SPEC = EvaluateSpec(bootstrap=0)
RESOURCES = LearningResources(device="cpu", workers=1)
IMAGENET_100 = tuple(entry.class_key for entry in class_list("imagenet-100"))
SOME = ("n01440764", "n01530575", "n02012849", "n03126707", "n02123045", "n04562935", "n07747607", "n15075141")
"""A few classes, the two that are called "crane" among them."""


def by_wnid(wnids: tuple[str, ...]) -> dict[str, str]:
    return {wnid: wnid for wnid in wnids}


def timm_words() -> list[str]:
    """timm's description of each class: "tench, Tinca tinca"."""
    import timm

    info = timm.data.ImageNetInfo("imagenet-1k")
    return [info.label_name_to_description(wnid) for wnid in WNIDS]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tells 1,000 classes."""
    return oracle(tmp_path_factory.mktemp("oracles") / "thousand", WNIDS, by_wnid(WNIDS))


@pytest.fixture(scope="module")
def v2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return v2_folders(tmp_path_factory.mktemp("v2"), "top-images")


@pytest.fixture(scope="module")
def some_of_v2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every seventh class: 143 folders, "7" to "994"."""
    return v2_folders(tmp_path_factory.mktemp("some"), "top-images", every=7)


def top_1(model: Path, place: Path | str, name: str | None = None, spec: EvaluateSpec = SPEC) -> dict[str, Any]:
    found = evaluate(model, open_scored(str(place), name=name, split=spec.split), spec, RESOURCES)
    return found | {"accuracy": found["top_1"]["overall"]["value"], "n": found["top_1"]["overall"]["n"]}


# --- ImageNet-v2: folders are numbers ---


def test_the_number_of_a_folder_is_a_position_in_the_sorted_ids(model: Path, v2: Path) -> None:
    found = top_1(model, v2)
    assert (found["accuracy"], found["n"], found["classes"]["scored"]) == (1.0, 1000, 1000)
    assert (found["benchmark"], found["variant"]) == ("imagenet-v2", "top-images")
    assert list(found["top_1"]["per_class"])[:3] == ["n01440764", "n01443537", "n01530575"]  # folders 0, 1, 10
    assert found["notes"] == ["1,000 images; the whole of imagenet-v2-top-images is 10,000"]


def test_the_order_of_names_would_be_seen(some_of_v2: Path, tmp_path: Path) -> None:
    """The control: outputs that take the folders in the order of their names, as plain loaders do, are wrong."""
    as_text = sorted(range(1000), key=str)
    wrong = oracle(tmp_path / "wrong", WNIDS, {WNIDS[number]: "" for number in as_text})
    assert top_1(wrong, some_of_v2)["accuracy"] < 0.05


@pytest.mark.parametrize("form", ["numbers", "numbers by name", "words", "words, two of one name", "nameless"])
def test_a_models_outputs_may_be_called(form: str, some_of_v2: Path, tmp_path: Path) -> None:
    """... by number, also in the order of a plain loader; by words; or not at all (timm takes 1,000 for ImageNet)."""
    wnids, names = WNIDS, timm_words()
    if form == "numbers":
        classes = {str(number): str(number) for number in range(1000)}
    elif form == "numbers by name":
        order = sorted(range(1000), key=str)
        wnids = tuple(WNIDS[number] for number in order)
        classes = {str(number): str(number) for number in order}
    elif form == "words":
        names[names.index("crane", 200)] = "crane2"
        classes = {name: name for name in names}
    else:
        classes = {f"LABEL_{number}": name for number, name in enumerate(names)}
    found = top_1(oracle(tmp_path / "model", wnids, None if form == "nameless" else classes), some_of_v2)
    assert (found["accuracy"], found["classes"]["scored"]) == (1.0, 143)


@pytest.mark.parametrize("variant", ["matched-frequency", "threshold0.7", "top-images"])
def test_the_variants_go_by_name(variant: str, model: Path, tmp_path: Path) -> None:
    folder = tmp_path / f"imagenetv2-{variant}-format-val"
    put(folder / "2" / "a.jpeg", WNIDS[2]), put(folder / "10" / "a.jpeg", WNIDS[10])
    found = top_1(model, folder)
    assert found["variant"] == variant.replace("threshold0", "threshold-0") and found["accuracy"] == 1.0
    elsewhere = folder.rename(tmp_path / "download")
    found = top_1(model, elsewhere, f"v2-{variant}")
    assert found["variant"] == variant.replace("threshold0", "threshold-0") and found["accuracy"] == 1.0
    found = top_1(model, elsewhere, "v2")
    assert found["variant"] is None and "which variant of ImageNet-v2" in found["notes"][0]


# --- ImageNet-Val: a flat folder and its labels ---

IDS = dict(zip(random.Random(0).sample(WNIDS, 1000), range(1, 1001), strict=True))
"""ILSVRC2012_ID of each class: any order but the sorted one, as in the development kit."""


def write_truth(form: str, root: Path, images: Path, truth: list[str]) -> None:
    """Labels in one of the forms in which they are handed out."""
    if form == "kaggle":
        lines = [f"ILSVRC2012_val_{n:08d},{wnid} 111 108 441 193 {wnid} 1 2 3 4 " for n, wnid in enumerate(truth, 1)]
        random.Random(1).shuffle(lines)
        (root / "LOC_val_solution.csv").write_text("\n".join(["ImageId,PredictionString", *lines]))
    elif form == "tensorflow":
        (images / "imagenet_2012_validation_synset_labels.txt").write_text("\n".join(truth) + "\n")
    else:
        kit = root / "ILSVRC2012_devkit_t12" / "data"
        kit.mkdir(parents=True)
        ids = "\n".join(str(IDS[wnid]) for wnid in truth)
        (kit / "ILSVRC2012_validation_ground_truth.txt").write_text(f"{ids}\n")
        if form == "devkit map":
            lines = [f"{wnid} {number} some_name" for wnid, number in IDS.items()]
            (kit / "map_clsloc.txt").write_text("\n".join(lines))
        elif form == "devkit meta":
            inner = [("n00001740", 1001), *((wnid, number) for wnid, number in IDS.items())]  # also inner nodes
            kinds = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O"), ("gloss", "O"), ("num_children", "O")]
            rows = [(np.uint16(number), wnid, "words", "gloss", np.uint8(0)) for wnid, number in inner]
            savemat(kit / "meta.mat", {"synsets": np.array(rows, dtype=kinds).reshape(-1, 1)})


@pytest.mark.parametrize("form", ["kaggle", "tensorflow", "devkit map", "devkit meta", "names"])
def test_the_flat_validation_set(form: str, model: Path, tmp_path: Path) -> None:
    truth = [*SOME, *reversed(SOME), *IMAGENET_100]
    images = tmp_path / "ILSVRC" / "Data" / "CLS-LOC" / "val"
    for number, wnid in enumerate(truth, start=1):
        if number != 3:  # a set may be a part of the whole
            put(images / f"ILSVRC2012_val_{number:08d}{f'_{wnid}' if form == 'names' else ''}.JPEG", wnid)
    put(tmp_path / "ILSVRC" / "Data" / "CLS-LOC" / "train" / "n01440764" / "n01440764_1.JPEG", "n01440764")
    write_truth(form, images if form.startswith("devkit") else tmp_path, images, truth)
    for place in (images, tmp_path):  # the folder itself, and the top of Kaggle's tree
        found = top_1(model, place)
        assert (found["benchmark"], found["variant"], found["split"]) == ("imagenet-val", None, "val")
        assert (found["accuracy"], found["n"]) == (1.0, len(truth) - 1)
        assert found["classes"]["scored"] == len(set(truth))


def test_the_flat_set_is_an_image_source_like_any_other(tmp_path: Path) -> None:
    truth = ["n02123045", "n01440764", "n02123045"]
    for number, wnid in enumerate([*truth, "n01440764"], start=1):
        put(tmp_path / f"ILSVRC2012_val_{number:08d}.JPEG", wnid)
    write_truth("kaggle", tmp_path, tmp_path, truth)
    images = open_images(tmp_path)
    assert images.counts == {"val": {"n01440764": 1, "n02123045": 2}}
    rows = list(images.rows())
    assert [(row.image_key[-13:-5], row.class_key) for row in rows] == [
        ("00000002", "n01440764"),
        ("00000001", "n02123045"),
        ("00000003", "n02123045"),
    ]
    assert [row.read() for row in rows] == [jpeg(row.class_key) for row in rows]
    assert [shard.name for shard in images.shards()] == ["val/n01440764-00000", "val/n02123045-00000"]
    assert images.notes == ("left out: 1 image without a label in LOC_val_solution.csv",)
    before = images.fingerprint
    write_truth("kaggle", tmp_path, tmp_path, [*truth, "n02123045"])
    assert open_images(tmp_path).fingerprint != before


def test_labels_that_cannot_be_read_are_one_line(tmp_path: Path) -> None:
    put(tmp_path / "ILSVRC2012_val_00000001.JPEG", SOME[0])
    with pytest.raises(
        InputError, match=r"holds ImageNet's validation images and no labels; put LOC_val_solution\.csv"
    ):
        open_images(tmp_path)
    truth = tmp_path / "ILSVRC2012_validation_ground_truth.txt"
    truth.write_text("1\n")
    with pytest.raises(InputError, match=r"order is not that of the WordNet ids; put the development kit's meta\.mat"):
        open_images(tmp_path)
    (tmp_path / "meta.mat").write_bytes(b"no MATLAB")
    with pytest.raises(InputError, match=r"meta\.mat: cannot be read \(.+\); expected the development kit's"):
        open_images(tmp_path)
    (tmp_path / "map_clsloc.txt").write_text("n01440764 449 tench")
    with pytest.raises(InputError, match="'1' is no class; expected one label a line"):
        open_images(tmp_path)
    (tmp_path / "LOC_val_solution.csv").write_text("ImageId,PredictionString\nILSVRC2012_test_00000001,n01440764 1")
    with pytest.raises(InputError, match=r"has no label for the 1 image of .*; expected lines such as"):
        open_images(tmp_path)


# --- Sketch, R, A: folders are WordNet ids, some of them ---

FILES = {
    "sketch": (WNIDS[::3], "sketch_0.JPEG"),
    "r": (timm_list("imagenet_r"), "art_0.jpg"),
    "a": (timm_list("imagenet_a"), "0.000116_digital clock _ digital clock_0.865662.jpg"),
}


@pytest.mark.parametrize("name", ["sketch", "r", "a"])
def test_common_classes_by_wordnet_id(name: str, model: Path, tmp_path: Path) -> None:
    """Models of 1,000, 100 (S Table 2) and 200 classes; the common ones counted by timm's own lists."""
    wnids, file = FILES[name]
    folder = class_folders(tmp_path / "images", wnids, file)
    (folder / "README.txt").write_text("as in the archives of -A and -R")
    models = {"thousand": model} | {
        other: oracle(tmp_path / other, own, by_wnid(own))
        for other, own in (("hundred", IMAGENET_100), ("two hundred", timm_list("imagenet_r")))
    }
    outputs = {"thousand": WNIDS, "hundred": IMAGENET_100, "two hundred": timm_list("imagenet_r")}
    for other, opened in models.items():
        found = evaluate(opened, open_scored(str(folder)), SPEC, RESOURCES, out=tmp_path / "scores" / other)
        common = set(wnids) & set(outputs[other])
        assert found["classes"] == {
            "scored": len(common),
            "only_in_set": len(wnids) - len(common),
            "only_in_model": len(outputs[other]) - len(common),
        }
        assert found["benchmark"] == f"imagenet-{name}" and found["top_1"]["overall"]["value"] == 1.0
        rows = pq.read_table(tmp_path / "scores" / other / "predictions.parquet").to_pylist()
        assert {row["class_key"] for row in rows} == {row["predicted"] for row in rows} == common


def test_a_logit_outside_the_common_classes_does_not_count(model: Path, tmp_path: Path) -> None:
    """A picture of a class that the set does not have is still told among the set's classes."""
    folder = class_folders(tmp_path / "imagenet-r", FILES["r"][0], "art_0.jpg")
    outside = next(wnid for wnid in WNIDS if wnid not in FILES["r"][0])
    put(folder / FILES["r"][0][0] / "art_1.jpg", outside)
    evaluate(model, open_scored(str(folder)), SPEC, RESOURCES, out=tmp_path / "scores")
    rows = pq.read_table(tmp_path / "scores" / "predictions.parquet").to_pylist()
    odd = next(row for row in rows if row["image_key"].endswith("art_1.jpg"))
    assert odd["predicted"] in FILES["r"][0] and odd["predicted"] != outside


def test_a_subset_numbered_on_its_own(tmp_path: Path) -> None:
    """-R as folders 0 to 199 is read by its own list, where it is named."""
    wnids = timm_list("imagenet_r")
    names = {wnid: str(number) for number, wnid in enumerate(wnids)}
    folder = class_folders(tmp_path / "images", wnids, "a.jpg", names)
    assert top_1(oracle(tmp_path / "model", wnids, by_wnid(wnids)), folder, "r")["accuracy"] == 1.0


# --- Hugging Face and timm's readers ---


def hub_parquet(folder: Path, wnids: tuple[str, ...]) -> Path:
    """As ImageNet-1K on the Hub: labels are positions, their names are words, one of two equal names changed."""
    from datasets import ClassLabel, Dataset, Features, Image

    names = timm_words()
    names[names.index("crane", 200)] = "crane2"
    rows = {
        "image": [{"bytes": jpeg(wnid), "path": f"ILSVRC2012_val_{n:08d}_{wnid}.JPEG"} for n, wnid in enumerate(wnids)],
        "label": [WNIDS.index(wnid) for wnid in wnids],
    }
    (folder / "data").mkdir(parents=True)
    features = Features({"image": Image(), "label": ClassLabel(names=names)})
    Dataset.from_dict(rows, features=features).to_parquet(folder / "data" / "validation-00000-of-00001.parquet")
    return folder


def test_parquet_of_the_hub(model: Path, tmp_path: Path) -> None:
    found = top_1(model, hub_parquet(tmp_path / "hub", SOME))
    assert (found["accuracy"], found["n"], found["benchmark"]) == (1.0, len(SOME), "imagenet-val")
    assert next(iter(found["top_1"]["per_class"])) == "tench, Tinca tinca"
    assert {"crane", "crane2"} <= set(found["top_1"]["per_class"])
    evaluate(model, open_scored(str(tmp_path / "hub")), SPEC, RESOURCES, out=tmp_path / "scores")
    rows = pq.read_table(tmp_path / "scores" / "predictions.parquet").to_pylist()
    assert [(row["class_key"], row["predicted"]) for row in rows] == [(wnid, wnid) for wnid in SOME]


@pytest.mark.parametrize("reader", ["folder", "tar", "hfds", "hfids", "wds", "torch"])
def test_readers_of_timm(reader: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    if reader in ("hfds", "hfids"):
        cache = tmp_path / "cache"
        place = f"timm:{reader}/{hub_parquet(tmp_path / 'hub', SOME)}@{cache}"
    elif reader == "wds":
        place = f"timm:wds/@{web_dataset(tmp_path / 'shards')}"
    else:
        folder = class_folders(tmp_path / "val", SOME, "a.JPEG")
        place = {"folder": f"timm:{folder}", "torch": f"timm:torch/image_folder@{folder}", "tar": f"timm:{folder}.tar"}[
            reader
        ]
        if reader == "tar":
            import tarfile

            with tarfile.open(tmp_path / "val.tar", "w") as tar:
                tar.add(folder, "val")
    name = "val" if reader in ("wds", "hfids") else None  # these tell numbers only
    found = top_1(model, place, name)
    assert (found["accuracy"], found["n"], found["split"]) == (1.0, len(SOME), "validation")
    assert found["classes"] == {"scored": len(SOME), "only_in_set": 0, "only_in_model": 992}


def web_dataset(folder: Path) -> Path:
    """Shards with numbers for classes, and the file that timm wants beside them."""
    import webdataset

    folder.mkdir()
    with webdataset.TarWriter(str(folder / "validation-0000.tar")) as writer:
        for number, wnid in enumerate(SOME):
            writer.write({"__key__": f"{number:04d}", "jpg": jpeg(wnid), "cls": str(WNIDS.index(wnid))})
    shard = {"name": "validation", "num_samples": len(SOME), "filenames": ["validation-0000.tar"], "shard_lengths": [8]}
    (folder / "_info.json").write_text(json.dumps({"splits": {"validation": shard}}))
    return folder


def test_a_torn_file_is_skipped_through_timm_too(model: Path, tmp_path: Path) -> None:
    """timm's own data sets silently take the next image instead, which would count twice."""
    folder = class_folders(tmp_path / "images", SOME, "a.JPEG")
    (folder / SOME[0] / "b.JPEG").write_bytes(jpeg(SOME[0])[:200])
    found = top_1(model, f"timm:{folder}")
    assert (found["skipped"], found["n"], found["accuracy"]) == (1, len(SOME), 1.0)


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("timm:nowhere/at/all", "no such file or folder, and no reader; expected a path or one of hfds/"),
        ("timm:tfds/imagenet2012", "timm cannot open its split 'validation'"),
        ("timm:torch/mnust@here", "timm cannot open its split 'validation': Unknown torchvision dataset mnust"),
    ],
)
def test_a_reader_that_does_not_open(place: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as raised:
        open_scored(place)
    assert "\n" not in str(raised.value)


# --- several sets ---


def test_several_sets_are_a_table(model: Path, tmp_path: Path) -> None:
    half = class_folders(tmp_path / "imagenet-a", FILES["a"][0], "a.jpg")
    for wnid in FILES["a"][0]:  # half of the images show another class
        put(half / wnid / "b.jpg", FILES["a"][0][FILES["a"][0].index(wnid) - 1])
    whole = class_folders(tmp_path / "imagenet-r", FILES["r"][0], "a.jpg")
    spec = EvaluateSpec(bootstrap=20)
    sets = [open_scored(str(half)), open_scored(str(whole), name="r")]
    found = evaluate_sets(model, sets, spec, RESOURCES, out=tmp_path / "scores")
    assert [one["label"] for one in found["sets"]] == ["imagenet-a", "imagenet-r"]
    assert [one["top_1"]["overall"]["value"] for one in found["sets"]] == [0.5, 1.0]
    alone = evaluate(model, sets[0], spec, RESOURCES)
    assert {key: value for key, value in found["sets"][0].items() if key != "label"} == alone
    mean = found["mean"]["top_1"]
    assert mean["value"] == 0.75 and mean["n"] == 2 and 0.7 < mean["ci_low"] < 0.75 < mean["ci_high"] < 0.8
    assert json.loads((tmp_path / "scores" / "evaluation.json").read_text())["mean"]["top_1"] == mean
    assert (tmp_path / "scores" / "imagenet-r" / "predictions.parquet").is_file()


def test_the_command(model: Path, some_of_v2: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    r = class_folders(tmp_path / "images", FILES["r"][0], "art_0.jpg")
    line = [
        "evaluate",
        str(model),
        f"v2-matched-frequency={some_of_v2}",
        f"r={r}",
        "--device",
        "cpu",
        "--bootstrap",
        "0",
    ]
    with pytest.raises(SystemExit) as stop:
        cli.main([*line, "--format", "json"])
    found = json.loads(capsys.readouterr().out)
    assert stop.value.code == 0
    assert [(one["benchmark"], one["variant"]) for one in found["sets"]] == [
        ("imagenet-v2", "matched-frequency"),
        ("imagenet-r", None),
    ]
    assert found["mean"]["top_5"] == {"value": 1.0, "ci_low": None, "ci_high": None, "n": 2}
    with pytest.raises(SystemExit):
        cli.main(line)
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].split() == ["thousand", "top-1", "%", "top-5", "%", "calibration", "error", "classes", "n"]
    assert re.match(r"imagenet-v2-matched-frequency +100.0 +100.0 .* 143 +143", shown[2])
    assert re.match(r"imagenet-r +100.0 +100.0 .* 200 +200", shown[3]) and shown[4].startswith("mean of 2 sets")
    for wrong, said in (([], "no image set; expected synthgap evaluate"), (["skecth=x"], "did you mean 'sketch'")):
        with pytest.raises(SystemExit) as stop:
            cli.main(["evaluate", str(model), *wrong])
        assert stop.value.code == 2 and said in capsys.readouterr().err


def test_the_variants_of_v2_count_as_one_set() -> None:
    """Means by hand: (0 + 1 + 0.5) / 3 is v2's, and half of that and of 1 the mean."""
    sets = [torch.tensor([0.0, 0.0]), torch.tensor([1.0]), torch.tensor([0.0, 1.0]), torch.tensor([1.0] * 5)]
    right = [{"top_1": one.double(), "top_5": one.double()} for one in sets[:3]] + [{"top_1": sets[3].double()}]
    found = mean_over_sets(right, ["v2", "v2", "v2", "val"], resamples=0, seed=0)
    assert list(found) == ["top_1"]
    assert found["top_1"]["value"] == pytest.approx(0.75) and found["top_1"]["n"] == 2
    assert found["top_1"]["ci_low"] is None


def test_the_interval_of_a_mean_is_that_of_independent_sets() -> None:
    """Against the normal approximation: the variance of a mean of two sets is a quarter of the sum of theirs."""
    generator = torch.Generator().manual_seed(0)
    sets = [(torch.rand(2000, generator=generator) < share).double() for share in (0.3, 0.8)]
    found = mean_over_sets([{"top_1": one} for one in sets], ["a", "b"], resamples=1000, seed=0)["top_1"]
    half = 1.96 * float(sum(one.var() / len(one) for one in sets)) ** 0.5 / 2
    assert found["ci_high"] - found["value"] == pytest.approx(half, rel=0.1)
    assert found["value"] - found["ci_low"] == pytest.approx(half, rel=0.1)


def test_one_set_twice_is_refused(model: Path, some_of_v2: Path) -> None:
    with pytest.raises(InputError, match="two sets are called 'imagenet-v2-top-images'"):
        evaluate_sets(model, [open_scored(str(some_of_v2))] * 2, SPEC, RESOURCES)


# --- names ---


def test_names_of_test_sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert with_name("v2-top-images=a/b=c") == ("v2-top-images", "a/b=c")
    assert with_name("a/b=c") == (None, "a/b=c") and with_name("timm:wds/x=y") == (None, "timm:wds/x=y")
    (tmp_path / "val=2").mkdir()
    assert with_name("val=2") == (None, "val=2")
    for name in ("val", "ImageNet-Val", "imagenet_val", "in-val"):
        assert find_benchmark(name).label == "imagenet-val"
    assert find_benchmark("imagenetv2_threshold0.7").variant == "threshold-0.7"
    with pytest.raises(InputError, match="no test set 'skecth'; did you mean 'sketch'"):
        find_benchmark("skecth")


def test_a_set_with_other_classes_is_not_recognised() -> None:
    assert recognise(Path("imagenet-r"), "art_0.jpg", ["frog"]) is None
    assert recognise(Path("x"), "art_0.jpg", [timm_list("imagenet_r")[0]]) == find_benchmark("r")


def test_numbers_that_are_not_imagenets() -> None:
    assert wordnet_ids({str(number): str(number) for number in range(100)}) == {}
    assert wordnet_ids({str(number): str(number) for number in range(1, 1001)}) == {}  # ILSVRC2012 ids
    assert wordnet_ids({"01": "01", "1": "1"}, WNIDS) == {}
    assert wordnet_ids({"red": "red", "volcano": "volcano"}) == {}


# --- other layouts ---


@pytest.mark.parametrize(
    ("layout", "name", "said"),
    [
        ("val/val/n", None, r"its folders of classes are deeper inside; give .*/set/val/val"),
        ("val/val/n", "val", r"its folders of classes are deeper inside; give .*/set/val/val"),
        ("sketch/n", "sketch", r"its folders of classes are deeper inside; give .*/set/sketch"),
        (
            "three variants",
            None,
            r"holds 3 of ImageNet-v2's variants in folders; .*v2-matched-frequency=.* v2-top-images=",
        ),
        ("three variants", "v2", "v2-threshold-0.7=.*threshold0.7-format-val"),
        (
            "words",
            "v2-top-images",
            r"1000 of its 1000 folders are no classes of imagenet-v2-top-images \(class 0, .*\);",
        ),
        ("words", None, r"has 0 classes in common with .*; name its folders by WordNet id \(n01440764\), or by number"),
        ("outside", "a", r"1 of its 9 folders are no classes of imagenet-a \(n01440764\)"),
        ("empty", "a", r"1 of its 9 class folders hold no images \(n01440767|n0\d+\); unpack imagenet-a again"),
        ("number 1000", "v2", "no classes of imagenet-v2"),
    ],
)
def test_wrong_layouts_are_one_line(layout: str, name: str | None, said: str, model: Path, tmp_path: Path) -> None:
    root = tmp_path / "set"
    some_of_a = FILES["a"][0][:8]
    if layout.endswith("/n"):
        class_folders(root / layout.removesuffix("/n"), SOME, "a.jpg")
    elif layout == "three variants":
        for variant in ("matched-frequency", "threshold0.7", "top-images"):
            put(root / f"imagenetv2-{variant}-format-val" / "0" / "a.jpeg", WNIDS[0])
    elif layout == "words":
        class_folders(root, WNIDS, "a.jpg", {wnid: f"class {number}" for number, wnid in enumerate(WNIDS)})
    elif layout == "number 1000":
        class_folders(root, SOME[:2], "a.jpg", dict(zip(SOME, ("1", "1000"), strict=False)))
    else:
        class_folders(root, some_of_a, "a.jpg")
        other = "n01440764" if layout == "outside" else FILES["a"][0][8]
        (root / other).mkdir()
        if layout == "outside":
            put(root / other / "a.jpg", other)
    with pytest.raises(InputError, match=said) as raised:
        top_1(model, root, name)
    assert "\n" not in str(raised.value)


def test_splits_are_still_splits(model: Path, tmp_path: Path) -> None:
    """train/ and val/ beside each other are no folders too many; the eval split counts."""
    class_folders(tmp_path / "imagenet" / "train", SOME, "a.JPEG")
    class_folders(tmp_path / "imagenet" / "val", SOME, "ILSVRC2012_val_00000001.JPEG")
    found = top_1(model, tmp_path / "imagenet")
    assert (found["split"], found["n"], found["benchmark"]) == ("val", len(SOME), "imagenet-val")


def test_numbers_of_a_smaller_model_say_no_class(some_of_v2: Path, tmp_path: Path) -> None:
    numbered = oracle(tmp_path / "numbered", IMAGENET_100, {str(n): str(n) for n in range(100)})
    with pytest.raises(InputError, match="put the WordNet ids of the outputs as label_names into the model's config"):
        top_1(numbered, some_of_v2)


@pytest.mark.parametrize(
    ("file", "beside"),
    [
        ("LOC_val_solution.csv", ""),
        ("imagenet_2012_validation_synset_labels.txt", ""),
        ("ILSVRC2012_validation_ground_truth.txt", "map_clsloc.txt"),
        ("map_clsloc.txt", "ILSVRC2012_validation_ground_truth.txt"),
    ],
)
def test_labels_that_are_no_utf_8_are_one_line(tmp_path: Path, file: str, beside: str) -> None:
    put(tmp_path / "ILSVRC2012_val_00000001.JPEG", SOME[0])
    if beside:
        (tmp_path / beside).write_text("1\n")
    (tmp_path / file).write_bytes(b"n01440764 \xff\n")
    with pytest.raises(InputError, match=rf"{re.escape(file)}: not UTF-8 text at byte 10; expected ImageNet's labels"):
        open_images(tmp_path)


def test_a_stray_quote_in_kaggle_s_labels_is_one_line(tmp_path: Path) -> None:
    put(tmp_path / "ILSVRC2012_val_00000001.JPEG", SOME[0])
    (tmp_path / "LOC_val_solution.csv").write_text('ILSVRC2012_val_00000001,"n01440764\n' + "x,y\n" * 50_000)
    with pytest.raises(InputError, match=r"LOC_val_solution\.csv: not CSV: field larger than"):
        open_images(tmp_path)


def test_a_link_to_nothing_is_an_image_that_cannot_be_read(tmp_path: Path) -> None:
    put(tmp_path / "ILSVRC2012_val_00000001_n01440764.JPEG", SOME[0])
    (tmp_path / "ILSVRC2012_val_00000002_n01440764.JPEG").symlink_to(tmp_path / "gone.JPEG")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    sound, broken = open_images(tmp_path).rows()
    assert decode_image(sound.read()).shape == (32, 32, 3)
    with pytest.raises(BrokenImage, match="cannot be read: No such file"):
        broken.read()


def test_a_set_to_score_on_whose_files_are_all_gone_is_one_line(model: Path, tmp_path: Path) -> None:
    for wnid in SOME[:2]:
        (tmp_path / wnid).mkdir()
        (tmp_path / wnid / "a.jpg").symlink_to(tmp_path / "gone.jpg")
    with pytest.raises(InputError, match=r"none of 2 images can be decoded; the first: .*cannot be read: No such file"):
        evaluate(str(model), open_scored(str(tmp_path)), SPEC, RESOURCES)
