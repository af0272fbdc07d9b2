"""Embeddings that others made: .npy files, Parquet, and clip-retrieval folders."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from synthgap.core.errors import InputError
from synthgap.store.embeddings import EmbeddingSet, load_embeddings
from synthgap.store.sources import is_embeddings, open_images

E = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
FLOAT = pa.float32()
LABELS = ["cat", "dog", "cat", "frog", "dog"]


def refused(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        load_embeddings(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def same(found: EmbeddingSet, dtype: Any = np.float32) -> None:
    assert np.array_equal(found.embeddings, E.astype(dtype).astype(np.float32))
    assert found.class_keys == LABELS and set(found.classes) == set(LABELS)
    assert found.embeddings.flags.writeable  # torch takes no other without a warning


# .npy


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("names", [("clip.npy", "clip_labels.npy"), ("clip_features.npy", "clip_labels.npy")])
def test_npy_with_labels_beside_it(tmp_path: Path, dtype: Any, names: tuple[str, str]) -> None:
    np.save(tmp_path / names[0], E.astype(dtype))
    np.save(tmp_path / names[1], LABELS)
    np.save(tmp_path / "labels.npy", [0] * 5)  # the nearer name comes first
    assert is_embeddings(tmp_path / names[0])
    same(found := load_embeddings(tmp_path / names[0]), dtype)
    assert (found.name, found.modality, found.splits) == (names[0][:-4], "image", ["train"] * 5)


def test_npy_takes_the_other_arrays_of_an_npz_too(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", E)
    others: dict[str, Any] = {"labels": [1, 0, 1, 2, 0], "class_names": ["dog", "cat", "frog"], "splits": ["eval"] * 5}
    for name, values in (others | {"image_keys": list("abcde")}).items():
        np.save(tmp_path / f"{name}.npy", values)
    same(found := load_embeddings(tmp_path / "x.npy"))
    assert found.image_keys == list("abcde") and found.split_names() == ("eval",)
    assert list(found.classes.values()) == ["dog", "cat", "frog"]


def test_npy_is_mapped_and_never_written_to(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", E)
    np.save(tmp_path / "labels.npy", LABELS)
    before = load_embeddings(tmp_path / "x.npy")
    base: Any = before.embeddings
    while base is not None and not isinstance(base, np.memmap):
        base = base.base
    assert isinstance(base, np.memmap)
    before.embeddings[0] = 0
    same(after := load_embeddings(tmp_path / "x.npy"))
    np.save(tmp_path / "labels.npy", ["cat", *LABELS[:4]])
    assert before.fingerprint == after.fingerprint != load_embeddings(tmp_path / "x.npy").fingerprint


def test_npy_files_that_do_not_do(tmp_path: Path) -> None:
    path, labels = tmp_path / "x.npy", tmp_path / "labels.npy"
    assert "no such file; expected an .npy" in refused(path)
    np.save(path, E)
    assert "has no labels beside it; expected x_labels.npy or labels.npy with one number or text" in refused(path)
    np.save(labels, LABELS[:4])
    assert "labels have shape (4,) for 5 embeddings" in refused(path)
    np.save(labels, E)
    assert "labels have shape (5, 3)" in refused(path)
    np.save(labels, LABELS)
    np.save(path, E[0])
    assert "embeddings have shape (3,); expected (n, d)" in refused(path)
    np.save(path, E)
    whole = path.read_bytes()
    for data in (b"", b"text", whole[:-20], whole[:30]):
        path.write_bytes(data)
        assert "cannot be read as .npy" in refused(path) or "pickled" in refused(path)
    np.savez(tmp_path / "y.npz", embeddings=E)
    (tmp_path / "y.npz").rename(path)
    assert "holds several arrays; name it .npz" in refused(path)


class Bomb:
    """Runs code where it is unpickled."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return (pytest.fail, ("pickled code was run",))


def test_pickled_code_is_never_run(tmp_path: Path) -> None:
    np.save(tmp_path / "labels.npy", LABELS)
    np.save(tmp_path / "x.npy", np.asarray([Bomb()], dtype=object), allow_pickle=True)
    assert "holds pickled objects" in refused(tmp_path / "x.npy")
    (tmp_path / "x.npy").write_bytes(pickle.dumps(Bomb()))
    assert "holds pickled objects" in refused(tmp_path / "x.npy")
    np.save(tmp_path / "x.npy", E)
    np.save(tmp_path / "labels.npy", np.asarray([Bomb()] * 5, dtype=object), allow_pickle=True)
    assert "holds pickled objects" in refused(tmp_path / "x.npy")


# Parquet


def write(path: Path, columns: dict[str, Any], metadata: dict[str, str] | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(columns)
    pq.write_table(table.replace_schema_metadata(metadata) if metadata else table, path)
    return path


def fixed(rows: np.ndarray, dtype: Any = FLOAT) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()).cast(dtype), rows.shape[1])


@pytest.mark.parametrize("column", ["embedding", "embeddings", "emb", "image_embedding"])
@pytest.mark.parametrize("kind", ["list", "fixed", "half"])
def test_parquet_columns_of_vectors(tmp_path: Path, column: str, kind: str) -> None:
    vectors = {
        "list": pa.array(E.tolist(), pa.list_(pa.float32())),
        "fixed": fixed(E),
        "half": fixed(E.astype(np.float16), pa.float16()),
    }
    path = write(tmp_path / "x.parquet", {column: vectors[kind], "label": LABELS, "id": list("abcde")})
    assert is_embeddings(path) and is_embeddings(tmp_path)
    same(found := load_embeddings(path), np.float16 if kind == "half" else np.float32)
    assert (found.name, found.image_keys) == ("x", list("abcde"))


def test_parquet_with_a_class_label_and_splits(tmp_path: Path) -> None:
    features = {"label": {"names": ["dog", "cat", "frog", "crane"], "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    numbers = np.asarray([1, 0, 1, 2, 0])
    for split, part in (("train", slice(0, 3)), ("test", slice(3, 5))):
        columns = {"embedding": fixed(E[part]), "label": numbers[part]}
        write(tmp_path / "set" / "data" / f"{split}-00000-of-00001.parquet", columns, metadata)
    assert is_embeddings(tmp_path / "set")
    found = load_embeddings(tmp_path / "set")
    assert found.counts() == {"dog": 2, "cat": 2, "frog": 1, "crane": 0} and found.name == "set"
    assert np.array_equal(found.select("train").embeddings, E[:3])
    assert np.array_equal(found.select("test").embeddings, E[3:])
    same(load_embeddings(write(tmp_path / "y.parquet", {"emb": fixed(E), "class": LABELS, "split": ["eval"] * 5})))
    assert load_embeddings(tmp_path / "y.parquet").split_names() == ("eval",)


def test_parquet_rows_without_a_vector_are_skipped(tmp_path: Path) -> None:
    vectors = [[1.0, 2.0], None, [3.0, float("nan")], [4.0, 5.0]]
    for kind in (pa.list_(pa.float64()), pa.list_(pa.float32(), 2)):
        columns = {"embedding": pa.array(vectors, kind), "label": ["a", "a", "b", "b"]}
        found = load_embeddings(write(tmp_path / "x.parquet", columns))
        assert found.embeddings.tolist() == [[1, 2], [4, 5]] and found.class_keys == ["a", "b"]
        assert [row.image_key for row in found.skipped] == ["row-0000001", "row-0000002"]


def test_parquet_that_does_not_do(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    write(path, {"embedding": fixed(E), "caption": LABELS})
    assert "has no column of labels; it has embedding, caption; expected one of class_key, label" in refused(path)
    write(path, {"embedding": pa.array([[1.0], [1.0, 2.0]]), "label": ["a", "b"]})
    assert "its vectors have 2 lengths (1, 2); expected one" in refused(path)
    write(path, {"embedding": fixed(E), "label": [*LABELS[:4], None]})
    assert "1 row without 'label'; leave rows without a label out" in refused(path)
    write(path, {"numbers": fixed(E), "label": LABELS})
    assert "is no embeddings file; expected an .npz file" in refused(path)
    assert not is_embeddings(path)


def test_parquet_with_images_and_vectors_holds_images(tmp_path: Path) -> None:
    image = [{"bytes": b"x", "path": "x"}] * 5
    path = write(tmp_path / "x.parquet", {"image": image, "embedding": fixed(E), "label": LABELS})
    assert not is_embeddings(path) and open_images(path).kind == "parquet"
    with pytest.raises(InputError, match="holds embeddings, not images"):
        open_images(write(tmp_path / "y.parquet", {"embedding": fixed(E), "label": LABELS}))


# clip-retrieval


def write_parts(folder: Path, kind: str, metadata: list[dict[str, Any]], rows: np.ndarray = E) -> Path:
    """As ``clip-retrieval inference`` writes it: float16 parts of vectors, and metadata."""
    start = 0
    for number, part in enumerate(metadata):
        stop = start + len(next(iter(part.values())))
        write(folder / "metadata" / f"metadata_{number}.parquet", part)
        (folder / kind).mkdir(parents=True, exist_ok=True)
        np.save(folder / kind / f"{kind}_{number}.npy", rows[start:stop].astype(np.float16))
        start = stop
    return folder


def images(keys: str) -> list[str]:
    return [f"/data/set/val/{label}/{key}.jpg" for label, key in zip(LABELS, keys, strict=True)]


def test_clip_retrievals_images(tmp_path: Path) -> None:
    paths = images("abcde")
    folder = write_parts(tmp_path / "out", "img_emb", [{"image_path": paths[:3]}, {"image_path": paths[3:]}])
    assert is_embeddings(folder)
    same(found := load_embeddings(folder), np.float16)
    assert (found.name, found.modality, found.split_names()) == ("out", "image", ("val",))
    elsewhere = [path.replace("/data/set", "/elsewhere") for path in paths]
    other = load_embeddings(write_parts(tmp_path / "other", "img_emb", [{"image_path": elsewhere}]))
    assert other.image_keys == found.image_keys and len(set(found.image_keys)) == 5


def test_clip_retrievals_parts_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    many = np.arange(22, dtype=np.float32).reshape(11, 2)
    parts = [{"image_path": [f"cat/{number}.jpg"]} for number in range(11)]
    found = load_embeddings(write_parts(tmp_path / "out", "img_emb", parts, many))
    assert np.array_equal(found.embeddings, many)
    assert len(set(found.image_keys)) == 11


def test_clip_retrievals_texts_and_a_column_of_classes(tmp_path: Path) -> None:
    metadata = [{"image_path": images("abcde"), "caption": list("vwxyz"), "class": ["a", "b", "a", "b", "b"]}]
    folder = write_parts(tmp_path / "out", "text_emb", metadata)
    assert load_embeddings(folder).modality == "prompt"
    write_parts(folder, "img_emb", metadata, -E)
    assert np.array_equal(load_embeddings(folder).embeddings, -load_embeddings(folder / "text_emb").embeddings)
    assert load_embeddings(folder / "text_emb").modality == "prompt"
    assert load_embeddings(folder).class_keys == ["a", "b", "a", "b", "b"]


def test_clip_retrieval_folders_that_do_not_do(tmp_path: Path) -> None:
    folder = write_parts(tmp_path / "a", "img_emb", [{"image_path": images("abcde")}])
    np.save(folder / "img_emb" / "img_emb_0.npy", E[:4])
    assert "holds float32 (4, 3) for 5 rows of metadata_0.parquet; expected (5, 3)" in refused(folder)
    np.save(folder / "img_emb" / "img_emb_1.npy", E)
    assert "has no metadata/metadata_1.parquet" in refused(folder)
    flat = write_parts(tmp_path / "b", "img_emb", [{"image_path": list("abcde")}])
    assert "image_path 'a' lies in no folder that could be its class" in refused(flat)
    bare = write_parts(tmp_path / "c", "img_emb", [{"caption": list("abcde")}])
    assert "its metadata has caption; expected image_path, or one of class_key, label" in refused(bare)
