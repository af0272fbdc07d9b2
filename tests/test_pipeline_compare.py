"""The whole comparison: from images or embeddings to tables, summary and report."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from synthgap.core.errors import InputError
from synthgap.core.specs import EncoderSpec, MeasureSpec, Resources
from synthgap.pipeline import CompareOptions, SetInput, compare, compare_many, measure_files
from synthgap.prompts import make_prompt
from synthgap.store.manifest import Manifest
from synthgap.store.sets import ImageSet, PlannedImage
from synthgap.store.tables import read_measurements, read_table
from synthgap.testing.encoders import tiny_clip
from synthgap.vocabulary import synset

CLASSES = ("cat", "crane", "dog")
QUICK = MeasureSpec(bootstrap=20)


def picture(kind: int, number: int) -> Image.Image:
    """A picture whose colour and stripes tell its class."""
    noise = np.random.default_rng([kind, number]).integers(0, 90, (32, 32, 3))
    noise[:: kind + 2] += 100
    noise[..., kind % 3] += 60
    return Image.fromarray(noise.clip(0, 255).astype(np.uint8))


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def image_folder(root: Path, classes: dict[str, int], start: int = 0) -> Path:
    """Seven images per class; the number says how a class looks."""
    for name, kind in classes.items():
        (root / name).mkdir(parents=True)
        for number in range(start, start + 7):
            picture(kind, number).save(root / name / f"{number}.png")
    return root


def image_set(root: Path, guidance: float, recipe: str = "name") -> Path:
    """A set folder of ours, of the same classes under their WordNet ids."""
    ids = {"n02121620": ("cat", 0), "n02012849": ("crane", 1), "n02084071": ("dog", 2)}
    manifest = Manifest(
        kind="image-set",
        fingerprint=f"f{guidance}{recipe}",
        spec={"generator": "lab", "guidance_scale": guidance, "recipe": recipe, "negative_prompt": ""},
        classes={key: name for key, (name, _) in ids.items()},
        parents={"generator": "g", "prompts": "p"},
    )
    plan = [
        PlannedImage(
            image_key=f"{key}-{split}-{number}",
            class_key=key,
            split=split,
            shard=f"{split}/{key}-00000",
            index=number,
            seed=number,
            prompt=make_prompt(recipe, synset(key), number, 0, {}),
            recipe=recipe,
        )
        for split in ("train", "eval")
        for key in ids
        for number in range(4)
    ]
    images = ImageSet(root, manifest)
    images.write_plan(plan)
    for shard in images.pending_shards():
        images.write_shard(shard, drawn(images, shard, ids, guidance))
    return root


def drawn(images: ImageSet, shard: str, ids: dict[str, tuple[str, int]], guidance: float) -> Iterator[dict[str, Any]]:
    for row in images.read_plan(shard):
        look = picture(ids[row.class_key][1], row.index + int(100 * guidance) + 50 * (row.split == "eval"))
        yield {
            "image": png(look), "image_key": row.image_key, "class_key": row.class_key, "prompt": row.prompt,
            "recipe": row.recipe, "seed": row.seed, "guidance_scale": guidance, "generator": "lab",
        }  # fmt: skip


def hugging_face(path: Path) -> Path:
    names = list(CLASSES)
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
    schema = pa.schema(
        [("image", image), ("label", pa.int64())],
        {"huggingface": json.dumps({"info": {"features": features}})},
    )
    rows = [
        {"image": {"bytes": png(picture(kind, 40 + number)), "path": None}, "label": kind}
        for number in range(6)
        for kind in range(3)
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)
    return path


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> EncoderSpec:
    return EncoderSpec(encoder=str(tiny_clip(tmp_path_factory.mktemp("clip"))))


@pytest.fixture(scope="module")
def options(encoder: EncoderSpec) -> CompareOptions:
    return CompareOptions(encoder, QUICK, Resources(device="cpu"), command="synthgap compare")


@pytest.fixture(scope="module")
def natural(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = image_folder(tmp_path_factory.mktemp("sets") / "photos", {"cat": 0, "crane": 1, "dog": 2, "ship": 3})
    (root / "crane" / "broken.jpg").write_text("no image")
    return root


def test_folders_end_in_a_summary_tables_and_a_report(tmp_path: Path, natural: Path, options: CompareOptions) -> None:
    synthetic = image_folder(tmp_path / "drawn", {"cat": 0, "crane": 1, "dog": 2, "truck": 4}, start=20)
    out = tmp_path / "out"
    summary = compare(natural, synthetic, out, options)
    stored = json.loads((out / "summary.json").read_text())
    assert stored == json.loads(json.dumps(summary))
    assert (stored["natural"], stored["synthetic"]) == ("photos", "drawn")
    assert stored["classes"] == {"cat": "cat", "crane": "crane", "dog": "dog"}
    assert len(stored["sentences"]) == 3
    assert {one["name"]: one["n"] for one in stored["sets"]} == {"photos": 21, "drawn": 21, "name prompts": 3}
    assert "assumed" in stored["sets"][2]["description"]
    assert any("'ship' was left out: class only in photos" in warning for warning in stored["warnings"])
    assert any("'truck' was left out: class only in drawn" in warning for warning in stored["warnings"])
    assert [(row["set"], row["image_key"]) for row in stored["skipped"]] == [("photos", "crane/broken.jpg")]
    assert set(stored["seconds"]) >= {"embedding", "measurement", "trials", "diagnosis", "classifiers", "map", "report"}
    assert stored["measurements"]["centroid_accuracy"]["overall"]["n"] == 21
    assert stored["measurements"]["error_total"]["overall"]["n"] > 0
    assert set(stored["baseline"]["centroid_distance"]["per_class"]) == set(CLASSES)
    assert len(stored["findings"]) == 3
    rows = read_measurements(out / "measurements.parquet")
    gone = [row for row in rows if row.class_key == "ship" and row.metric == "centroid_shift"]
    assert math.isnan(gone[0].value) and gone[0].reason == "class only in photos"
    assert len(read_table(out / "findings.parquet")) == 3
    assert len(read_table(out / "trials.parquet")) == 9
    trained = {row["train_set"] for row in read_table(out / "classifier.parquet")}
    assert trained == {"photos", "drawn"}
    places = read_table(out / "map.parquet")
    assert {row["set"] for row in places} == {"photos", "drawn", "name prompts"}
    pictures = read_table(out / "thumbnails.parquet")
    assert len(pictures) == 42
    assert Image.open(io.BytesIO(pictures[0]["image"])).format == "JPEG"
    page = (out / "report" / "index.html").read_text()
    assert stored["sentences"][1].split(":")[0][:20] in page


def test_set_folders_and_parquet_with_a_sweep(tmp_path: Path, options: CompareOptions) -> None:
    foreign = image_folder(tmp_path / "foreign", {"cat": 0, "crane": 1, "dog": 2}, start=20)
    sets = [
        SetInput(foreign),
        SetInput(image_set(tmp_path / "high", 7.5)),
        SetInput(image_set(tmp_path / "low", 2.5), description="low one"),
    ]
    out = tmp_path / "out"
    before = replace(options, seconds={"drawing": 3.0})
    summary = compare_many(SetInput(hugging_face(tmp_path / "nat.parquet"), "photos"), sets, out, before)
    assert summary["synthetic"] == "foreign"
    assert summary["seconds"]["drawing"] == 3.0
    described = {one["name"]: one["description"] for one in summary["sets"]}
    assert described["high"] == "lab, guidance 7.5, recipe 'name'"
    assert described["low"] == "low one"
    # Both sets of ours were drawn from the same prompts, and those assumed for the foreign one are the same: one set.
    assert list(described) == ["photos", "foreign", "high", "low", "name prompts"]
    assert described["name prompts"] == "recipe 'name' of the images"
    assert len(read_table(out / "trials.parquet")) == 25
    assert {row["set"] for row in read_table(out / "findings_by_set.parquet")} == {"foreign", "high", "low"}
    measured = read_measurements(out / "measurements.parquet")
    assert {row.query for row in measured if row.metric == "error_shift"} == {"foreign", "high", "low"}
    # Queries are the eval split of a set that has one.
    (row,) = [
        row for row in measured if (row.metric, row.query, row.class_key) == ("centroid_accuracy", "high", "overall")
    ]
    assert row.n == 12


def write_npz(path: Path, parts: list[np.ndarray], names: list[str] | None = None, **more: Any) -> Path:
    labels = np.concatenate([np.full(len(part), number) for number, part in enumerate(parts)])
    arrays = {"embeddings": np.concatenate(parts).astype(np.float32), "labels": labels, **more}
    np.savez(path, **(arrays | ({"class_names": np.array(names)} if names else {})))
    return path


@pytest.fixture
def clouds() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(6, 24))
    return [centre + 0.5 * rng.normal(size=(80, 24)) for centre in centres]


def test_embeddings_alone_find_the_planted_fault(tmp_path: Path, clouds: list[np.ndarray]) -> None:
    names = ["ant", "bee", "crow", "dove", "eel", "fox"]
    natural = write_npz(tmp_path / "natural.npz", [cloud[:50] for cloud in clouds], names)
    drawn = [cloud[50:] for cloud in clouds]
    drawn[2] = clouds[4][:30] + 0.1 * np.random.default_rng(1).normal(size=(30, 24))
    drawn[3] = drawn[3].mean(axis=0) + 0.2 * (drawn[3] - drawn[3].mean(axis=0))
    synthetic = write_npz(tmp_path / "synthetic.npz", drawn, names)
    out = tmp_path / "out"
    summary = compare(natural, synthetic, out, CompareOptions(measure=QUICK))
    findings = {row["class_key"]: row for row in read_table(out / "findings.parquet")}
    assert {key for key, row in findings.items() if row["flagged"]} == {"crow", "dove"}
    assert findings["crow"]["cause"] in {"wrong-concept", "ambiguous"}
    assert findings["dove"]["cause"] == "low-diversity"
    assert [one["name"] for one in summary["findings"]][:2] in (["crow", "dove"], ["dove", "crow"])
    assert summary["sentences"][1].startswith("2 of 6 classes are at fault")
    assert [one["modality"] for one in summary["sets"]] == ["image", "image"]
    assert (out / "report" / "index.html").is_file()
    shift = summary["measurements"]["centroid_shift"]["per_class"]
    assert shift["crow"]["value"] > 5 * summary["baseline"]["centroid_shift"]["per_class"]["crow"]["value"]


def test_two_images_per_class(tmp_path: Path, clouds: list[np.ndarray]) -> None:
    natural = write_npz(tmp_path / "a.npz", [cloud[:2] for cloud in clouds])
    synthetic = write_npz(tmp_path / "b.npz", [cloud[2:4] for cloud in clouds])
    summary = compare(natural, synthetic, tmp_path / "out", CompareOptions(measure=QUICK))
    assert summary["measurements"]["centroid_distance"]["overall"]["value"] > 0
    assert not any(one["flagged"] for one in summary["findings"])
    json.dumps(summary, allow_nan=False)


def test_one_image_per_class_has_no_baseline(tmp_path: Path, clouds: list[np.ndarray]) -> None:
    natural = write_npz(tmp_path / "a.npz", [cloud[:1] for cloud in clouds])
    synthetic = write_npz(tmp_path / "b.npz", [cloud[2:9] for cloud in clouds])
    summary = compare(natural, synthetic, tmp_path / "out", CompareOptions(measure=QUICK))
    assert summary["baseline"] == {}
    assert any("no natural baseline" in warning for warning in summary["warnings"])
    assert "cannot be told" in summary["sentences"][1]
    reason = summary["measurements"]["centroid_accuracy"]["per_class"]["0"]["reason"]
    assert reason == "class has 1 image in a, 2 are needed"


def test_sets_of_one_name_are_told_apart(tmp_path: Path, clouds: list[np.ndarray]) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
    natural = write_npz(tmp_path / "one" / "x.npz", [cloud[:20] for cloud in clouds])
    synthetic = write_npz(tmp_path / "two" / "x.npz", [cloud[20:40] for cloud in clouds])
    summary = compare(natural, synthetic, tmp_path / "out", CompareOptions(measure=QUICK))
    assert (summary["natural"], summary["synthetic"]) == ("x (natural)", "x (synthetic)")


def test_nan_rows_are_skipped_and_told(tmp_path: Path, clouds: list[np.ndarray]) -> None:
    parts = [cloud[:20].copy() for cloud in clouds]
    parts[1][3] = np.nan
    parts[2][0] = 0
    natural = write_npz(tmp_path / "a.npz", parts)
    synthetic = write_npz(tmp_path / "b.npz", [cloud[20:40] for cloud in clouds])
    summary = compare(natural, synthetic, tmp_path / "out", CompareOptions(measure=QUICK))
    assert {row["image_key"] for row in summary["skipped"]} == {"row-0000023", "row-0000040"}
    assert any("2 images were left out" in warning for warning in summary["warnings"])


def test_inputs_that_cannot_be_compared(tmp_path: Path, clouds: list[np.ndarray], natural: Path) -> None:
    first = write_npz(tmp_path / "a.npz", clouds[:3], ["ant", "bee", "crow"])
    other = write_npz(tmp_path / "b.npz", clouds[:3], ["crow", "dog", "elk"])
    with pytest.raises(InputError, match=r"1 class in common and 2 are needed: 'a' has ant, bee, crow; 'b' has crow"):
        compare(first, other, tmp_path / "out")
    with pytest.raises(InputError, match="no such"):
        compare(first, tmp_path / "missing", tmp_path / "out")
    short = write_npz(tmp_path / "c.npz", [cloud[:, :5] for cloud in clouds[:3]], ["ant", "bee", "crow"])
    with pytest.raises(InputError, match="24 numbers and 'c' of 5"):
        compare(first, short, tmp_path / "out")
    assert not (tmp_path / "out" / "summary.json").exists()


def test_an_interrupted_comparison_continues_to_the_same_bytes(
    tmp_path: Path, natural: Path, options: CompareOptions
) -> None:
    synthetic = image_folder(tmp_path / "drawn", {"cat": 0, "crane": 1, "dog": 2}, start=20)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    compare(natural, synthetic, whole, options)

    class Killed(BaseException):
        pass

    def kill(done: int, total: int, what: str) -> None:
        if what == "images embedded" and total == 21 and done > 10:
            raise Killed

    with pytest.raises(Killed):
        compare(
            natural, synthetic, broken, CompareOptions(options.encoder, QUICK, options.resources, kill, options.command)
        )
    assert (broken / "embeddings" / "photos" / "done").is_dir()
    assert not (broken / "summary.json").exists()
    compare(natural, synthetic, broken, options)
    files = sorted(path.relative_to(whole) for path in whole.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(broken) for path in broken.rglob("*") if path.is_file())
    for name in files:
        if name.name not in ("summary.json", "index.html"):
            assert (whole / name).read_bytes() == (broken / name).read_bytes(), name
    results = [json.loads((folder / "summary.json").read_text()) for folder in (whole, broken)]
    assert results[0] | {"seconds": 0} == results[1] | {"seconds": 0}


def test_measure_prints_the_contract(tmp_path: Path) -> None:
    reference = write_npz(tmp_path / "r.npz", [np.eye(3)[[0, 0]], np.eye(3)[[1, 1]]], ["ant", "bee"])
    query = write_npz(
        tmp_path / "q.npz", [np.array([[3.0, 4.0, 0.0], [4.0, 3.0, 0.0]]), np.eye(3)[[1, 1]]], ["ant", "bee"]
    )
    found = measure_files(reference, query, MeasureSpec(bootstrap=20, knn=(1,)))
    json.dumps(found, allow_nan=False)
    accuracy = found["centroid_accuracy"]
    assert accuracy["overall"]["value"] == 0.75
    assert accuracy["overall"]["n"] == 4
    assert accuracy["per_class"]["ant"]["value"] == 0.5
    assert accuracy["per_class"]["bee"]["value"] == 1.0
    assert found["knn_accuracy"]["1"]["overall"]["value"] == 0.75
    assert found["average_cosine_similarity"]["per_class"]["ant"]["value"] == pytest.approx(0.7)
    half_angle = 1 - math.cos((math.acos(0.6) - math.acos(0.8)) / 2)
    assert found["centroid_distance"]["per_class"]["ant"]["value"] == pytest.approx(half_angle**2, rel=1e-4)
    assert found["centroid_distance"]["per_class"]["bee"]["value"] == pytest.approx(0, abs=1e-9)
    assert found["centroid_shift"]["per_class"]["ant"]["value"] == pytest.approx(1 - math.sqrt(0.5), rel=1e-5)
    assert 0 <= found["linear_separability"]["overall"]["value"] <= 1
    assert found["skipped"] == found["notes"] == []


def test_measure_says_when_a_file_is_measured_against_itself(tmp_path: Path, clouds: list[np.ndarray]) -> None:
    path = write_npz(tmp_path / "r.npz", [cloud[:5] for cloud in clouds])
    found = measure_files(path, path, QUICK)
    assert found["centroid_shift"]["overall"]["value"] == pytest.approx(0, abs=1e-12)
    assert "same rows" in found["notes"][0]
    prompts = write_npz(tmp_path / "p.npz", [cloud[:1] for cloud in clouds], modality="prompt")
    found = measure_files(prompts, prompts, QUICK)
    assert found["average_cosine_similarity"]["overall"]["value"] == pytest.approx(1.0)
    assert found["knn_accuracy"]["5"]["overall"]["value"] is None
    assert "n/a" in found["knn_accuracy"]["5"]["overall"]["reason"]


def test_measure_names_a_class_that_only_one_file_has(tmp_path: Path, clouds: list[np.ndarray]) -> None:
    reference = write_npz(tmp_path / "r.npz", [cloud[:5] for cloud in clouds[:3]], ["ant", "bee", "crow"])
    query = write_npz(tmp_path / "q.npz", [cloud[5:9] for cloud in clouds[:2]], ["ant", "bee"])
    cell = measure_files(reference, query, QUICK)["centroid_accuracy"]["per_class"]["crow"]
    assert cell == {"value": None, "ci_low": None, "ci_high": None, "n": 0, "reason": "class only in r"}


def test_a_set_against_itself_is_told(tmp_path: Path, natural: Path, options: CompareOptions) -> None:
    summary = compare(natural, natural, tmp_path / "out", options)
    name = natural.name
    assert f"{name} (synthetic): holds the very images of {name} (natural); no gap can be seen" in summary["warnings"]


@pytest.mark.parametrize("place", [".", "cat", "result"])
def test_a_result_among_the_images_is_refused(tmp_path: Path, natural: Path, place: str) -> None:
    drawn = image_folder(tmp_path / "mine", {name: kind for kind, name in enumerate(CLASSES)}, 7)
    before = sorted(drawn.rglob("*"))
    with pytest.raises(InputError, match=r"lies among the images of .*mine; give a folder elsewhere for the result"):
        compare(natural, drawn, drawn / place)
    assert sorted(drawn.rglob("*")) == before
    with pytest.raises(InputError, match=r"0\.png|7\.png: is a file; expected a folder for the result"):
        compare(natural, drawn, drawn / "cat" / "7.png")
