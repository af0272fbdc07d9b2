"""Exports opened by other people's readers."""

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from store_samples import CLASSES, finish, plan, set_manifest

from synthgap.core.records import Finding
from synthgap.store.card import CardFacts, Licence
from synthgap.store.export.croissant import croissant
from synthgap.store.export.exporting import export
from synthgap.store.export.spec import ExportSpec, Kind
from synthgap.store.features import COLUMNS, label_names
from synthgap.store.sets import ImageSet
from synthgap.store.sources import open_images

TRAIN = {image.image_key: list(CLASSES).index(image.class_key) for image in plan() if image.split == "train"}
"""Label of each train image."""


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))


def exported(image_set: ImageSet, kind: Kind, size: int = 3_000) -> Path:
    out = image_set.folder.parent / kind
    export(image_set.folder, out, ExportSpec(kind=kind, shard_bytes=size))
    return out


def loaded(folder: Path) -> Any:
    return pytest.importorskip("datasets").load_dataset(str(folder), cache_dir=str(folder.parent / "cache"))


def test_datasets_reads_the_hub_export(finished_set: ImageSet) -> None:
    found = loaded(exported(finished_set, "hub"))
    assert list(found) == ["train", "eval"]
    assert found["train"].features["label"].names == label_names(CLASSES)
    assert {row["image_key"]: row["label"] for row in found["train"]} == TRAIN
    assert found["eval"][0]["image"].size == (10, 8)
    assert tuple(found["train"].features) == COLUMNS


def test_timm_reads_the_hub_export(finished_set: ImageSet, tmp_path: Path) -> None:
    data = pytest.importorskip("timm.data")
    out = exported(finished_set, "hub")
    found = data.create_dataset(f"hfds/{out}", root=str(tmp_path / "cache"), split="train")
    assert sorted(label for _, label in found) == sorted(TRAIN.values())
    assert found[0][0].size == (10, 8)
    assert found.reader.class_to_idx == {name: number for number, name in enumerate(label_names(CLASSES))}


def test_duckdb_reads_the_hub_export(finished_set: ImageSet) -> None:
    duckdb = pytest.importorskip("duckdb")
    out = exported(finished_set, "hub")
    rows = duckdb.sql(
        f"SELECT image_key, label, octet_length(image.bytes) FROM '{out}/data/train-*.parquet'"
    ).fetchall()
    assert {key: label for key, label, _ in rows} == TRAIN and min(size for *_, size in rows) > 100


def test_our_own_reader_reads_the_hub_export(tmp_path: Path) -> None:
    classes = {"n03126707": "crane", "n02012849": "crane", "frog": "tree frog"}
    image_set = ImageSet(tmp_path / "set", set_manifest(classes=classes))
    image_set.write_plan(plan(classes=classes))
    found = open_images(exported(finish(image_set), "hub"))
    assert found.counts == open_images(image_set.folder).counts
    assert list(found.classes) == list(classes)
    assert all(row.image_key.startswith(f"{row.class_key}-train-") for row in found.rows("train"))


def test_webdataset_reads_the_tars(finished_set: ImageSet) -> None:
    wds = pytest.importorskip("webdataset")
    files = sorted(map(str, exported(finished_set, "webdataset").glob("train-*.tar")))
    assert len(files) > 1
    samples = list(wds.WebDataset(files, shardshuffle=False).decode("pil"))
    assert {sample["__key__"]: sample["cls"] for sample in samples} == TRAIN
    assert all(sample["json"]["image_key"] == sample["__key__"] for sample in samples)
    assert samples[0]["png"].size == (10, 8) and samples[0]["json"]["prompt"].startswith("a photo of")


def test_timm_reads_the_tars(finished_set: ImageSet) -> None:
    pytest.importorskip("webdataset")
    data = pytest.importorskip("timm.data")
    out = exported(finished_set, "webdataset")
    for training in (False, True):
        found = data.create_dataset("wds/any", root=str(out), split="train", is_training=training)
        assert len(found) == 15 and sorted(label for _, label in found) == sorted(TRAIN.values())
    assert [row["class_key"] for row in json.loads((out / "_info.json").read_text())["classes"]] == list(CLASSES)


def test_datasets_reads_the_tars(finished_set: ImageSet) -> None:
    found = loaded(exported(finished_set, "webdataset"))
    assert {row["__key__"]: row["cls"] for row in found["train"]} == TRAIN


def test_tars_tell_nothing_of_who_and_when(finished_set: ImageSet) -> None:
    with tarfile.open(next(exported(finished_set, "webdataset").glob("train-*.tar"))) as tar:
        assert {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode) for m in tar} == {(0, 0, 0, "", "", 0o644)}


def test_torchvision_reads_the_image_folder(finished_set: ImageSet) -> None:
    image_folder = pytest.importorskip("torchvision.datasets").ImageFolder
    found = image_folder(exported(finished_set, "imagefolder") / "train")
    assert found.classes == sorted(CLASSES)
    assert {Path(path).stem: found.classes[label] for path, label in found.samples} == {
        key: list(CLASSES)[label] for key, label in TRAIN.items()
    }
    assert found[0][0].size == (10, 8)


def test_datasets_and_ours_read_the_image_folder(finished_set: ImageSet) -> None:
    out = exported(finished_set, "imagefolder")
    found = loaded(out)
    assert {split: len(rows) for split, rows in found.items()} == {"train": 15, "eval": 6}
    assert found["train"].features["label"].names == sorted(CLASSES)
    assert json.loads((out / "classes.json").read_text()) == CLASSES
    lines = [json.loads(line) for line in (out / "details" / "train.jsonl").read_text().splitlines()]
    assert len(lines) == 15 and all((out / line["file_name"]).is_file() for line in lines)
    assert {line["image_key"] for line in lines} == set(TRAIN) and lines[0]["seed"] == 2**63 - 1


def test_mlcroissant_validates_and_iterates(finished_set: ImageSet) -> None:
    mlc = pytest.importorskip("mlcroissant")
    out = exported(finished_set, "hub")
    found = mlc.Dataset(str(out / "croissant.json"))
    assert not found.metadata.issues.errors
    told = {text.split('"')[1].rpartition("/")[2] for text, _ in found.metadata.issues._warnings}
    assert told == {"citeAs", "datePublished", "license", "version"}, "only what the publisher alone knows is missing"
    rows = list(found.records("images"))
    assert len(rows) == 21 and rows[0]["images/image"].size == (10, 8)
    assert {row["images/image_key"].decode(): row["images/label"] for row in rows}.items() >= TRAIN.items()
    assert [row["classes/name"] for row in found.records("classes")] == label_names(CLASSES)
    data = json.loads((out / "croissant.json").read_text())
    assert data["rai:dataCollectionType"] == ["Synthetic"]
    assert len(data["distribution"]) == len(list((out / "data").iterdir())) + 1


def test_mlcroissant_reads_a_set_folder(finished_set: ImageSet) -> None:
    mlc = pytest.importorskip("mlcroissant")
    facts = CardFacts(
        licence=Licence("mit", True, "README.md"), findings=[Finding("odd~1", "ambiguous", 0.5, True, "x", "0.3")]
    )
    data = croissant(finished_set.manifest, {"train": 15, "eval": 6}, facts, ["data/*/*.parquet"])
    path = finished_set.folder / "croissant.json"
    path.write_text(json.dumps(data))
    found = mlc.Dataset(str(path))
    assert not found.metadata.issues.errors and len(list(found.records("images"))) == 21
    assert data["license"] == "mit" and any("ambiguous" in text for text in data["rai:dataLimitations"])


def test_keys_with_dots_are_whole_webdataset_keys(tmp_path: Path) -> None:
    """Readers cut a key at its first dot; two images of one synset must not become one."""
    wds = pytest.importorskip("webdataset")
    classes = {"crane.n.04": "crane"}
    image_set = ImageSet(tmp_path / "set", set_manifest(classes=classes))
    image_set.write_plan(plan(classes=classes))
    out = exported(finish(image_set), "webdataset")
    samples = list(wds.WebDataset(sorted(map(str, out.glob("train-*.tar"))), shardshuffle=False).decode())
    assert len(samples) == 5 and {sample["json"]["class_key"] for sample in samples} == set(classes)
