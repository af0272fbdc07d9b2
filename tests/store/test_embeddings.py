import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from store_samples import embedding_manifest, files_of, make_folder, png, set_manifest

from synthgap.core.errors import FingerprintError, InputError, RunError
from synthgap.store.embeddings import EmbeddingSet, EmbeddingWriter, Skipped, load_embeddings
from synthgap.store.manifest import EmbeddingManifest, claim_folder, read_manifest
from synthgap.store.sources import is_embeddings, open_images

N = 5


def vectors(shard: str) -> np.ndarray:
    return np.random.default_rng(len(shard) + ord(shard[-7])).normal(size=(N, 4)).astype(np.float32)


def write(writer: EmbeddingWriter, shard: str, **changes: Any) -> None:
    key = shard.partition("/")[2].partition("-")[0]
    values: dict[str, Any] = {
        "image_keys": [f"{shard}/{i}" for i in range(N)],
        "class_keys": [key] * N,
        "embeddings": vectors(shard),
    }
    writer.write_shard(shard, **values | changes)


def written(folder: Path, **changes: Any) -> EmbeddingWriter:
    writer = EmbeddingWriter(folder, embedding_manifest(**changes))
    for shard in writer.pending_shards():
        write(writer, shard)
    return writer


def sample(n: int = 6) -> EmbeddingSet:
    return EmbeddingSet(
        name="s",
        embeddings=np.arange(2 * n, dtype=np.float32).reshape(n, 2),
        class_keys=["a", "b"] * (n // 2),
        image_keys=[str(i) for i in range(n)],
        classes={"b": "B", "a": "A", "z": "Z"},
        modality="image",
        splits=["train"] * (n - 2) + ["eval"] * 2,
        skipped=[Skipped("x", "a", "why", "eval"), Skipped("y", "b", "why", "train")],
    )


def test_what_is_written_is_read_in_the_manifests_order(tmp_path: Path) -> None:
    writer = EmbeddingWriter(tmp_path / "natural", embedding_manifest())
    for shard in reversed(writer.manifest.shards):
        write(writer, shard)
    found = load_embeddings(tmp_path / "natural")
    shards = writer.manifest.shards
    assert found.name == "natural"
    assert (found.modality, found.encoder, found.encoder_fingerprint, found.dim) == ("image", "lab", "enc", 4)
    assert found.image_keys == [f"{shard}/{i}" for shard in shards for i in range(N)]
    assert found.class_keys == ["a"] * N + ["b"] * N + ["a"] * N
    assert found.splits == ["train"] * 2 * N + ["eval"] * N
    assert found.classes == {"a": "A", "b": "B", "c": "C"} and found.counts() == {"a": 2 * N, "b": N, "c": 0}
    assert found.embeddings.dtype == np.float32
    expected = np.concatenate([vectors(shard) for shard in shards])
    assert np.array_equal(found.embeddings, expected.astype(np.float16).astype(np.float32))


def test_float32_on_request_is_exact(tmp_path: Path) -> None:
    writer = written(tmp_path, dtype="float32")
    expected = np.concatenate([vectors(shard) for shard in writer.manifest.shards])
    assert np.array_equal(load_embeddings(tmp_path).embeddings, expected)
    schema = pq.read_schema(tmp_path / "data/train/a-00000.parquet")
    assert schema.field("embedding").type == pa.list_(pa.float32(), 4)


def test_the_layout_is_the_contract(tmp_path: Path) -> None:
    written(tmp_path)
    assert set(files_of(tmp_path)) == {"manifest.json"} | {
        path for shard in embedding_manifest().shards for path in (f"data/{shard}.parquet", f"done/{shard}.json")
    }
    schema = pq.read_schema(tmp_path / "data/train/a-00000.parquet")
    assert schema.names[:3] == ["image_key", "class_key", "embedding"]
    assert schema.field("embedding").type == pa.list_(pa.float16(), 4)
    assert is_embeddings(tmp_path)
    assert isinstance(read_manifest(tmp_path), EmbeddingManifest)


def test_failed_rows_are_skipped_with_their_reason(tmp_path: Path) -> None:
    writer = EmbeddingWriter(tmp_path, embedding_manifest(shards=("train/a-00000",)))
    embeddings = vectors("train/a-00000")
    embeddings[1, 0], embeddings[2, 3] = np.nan, 1e6  # 1e6 is more than float16 holds
    errors = ["", "", "", "truncated JPEG", ""]
    write(writer, "train/a-00000", embeddings=embeddings, errors=errors)
    assert (writer.done_shards()["train/a-00000"].ok, writer.done_shards()["train/a-00000"].failed) == (2, 3)
    found = load_embeddings(tmp_path)
    assert found.image_keys == ["train/a-00000/0", "train/a-00000/4"]
    assert found.skipped == [
        Skipped("train/a-00000/1", "a", "embedding holds NaN", "train"),
        Skipped("train/a-00000/2", "a", "embedding holds infinite numbers", "train"),
        Skipped("train/a-00000/3", "a", "truncated JPEG", "train"),
    ]


def test_a_set_whose_every_row_failed_has_no_rows(tmp_path: Path) -> None:
    writer = EmbeddingWriter(tmp_path, embedding_manifest(shards=("train/a-00000",)))
    write(writer, "train/a-00000", errors=["broken"] * N)
    found = load_embeddings(tmp_path)
    assert found.embeddings.shape == (0, 4) and len(found) == 0 and len(found.skipped) == N


def test_an_unfinished_folder_says_how_to_finish_it(tmp_path: Path) -> None:
    writer = written(tmp_path)
    (tmp_path / "done/train/b-00000.json").unlink()
    with pytest.raises(InputError, match="1 of 3 shards missing or damaged; unfinished: run the same command again"):
        load_embeddings(tmp_path)
    assert writer.pending_shards() == ["train/b-00000"]
    write(writer, "train/b-00000")
    path = tmp_path / "data/train/a-00000.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"X")
    with pytest.raises(InputError, match="1 of 3 shards missing or damaged"):
        load_embeddings(tmp_path)


def test_kill_minus_9_and_the_same_command_again(tmp_path: Path) -> None:
    quiet = written(tmp_path / "quiet").folder

    def run(die: bool) -> int:
        code = f"""
            import os, signal, sys
            from pathlib import Path
            sys.path.insert(0, {str(Path(__file__).parent)!r})
            import store_samples
            from synthgap.store import shards
            from synthgap.store.embeddings import EmbeddingWriter
            import test_embeddings
            writer = EmbeddingWriter(Path({str(tmp_path / "killed")!r}), store_samples.embedding_manifest())
            for number, shard in enumerate(writer.pending_shards()):
                if {die} and number == 1:  # after the rows are written, before the file has its name
                    shards.own_errors = lambda target: os.kill(os.getpid(), signal.SIGKILL)
                test_embeddings.write(writer, shard)
        """
        return subprocess.run([sys.executable, "-c", textwrap.dedent(code)], timeout=60, check=False).returncode

    assert run(die=True) == -9
    with pytest.raises(InputError, match="2 of 3 shards missing or damaged; unfinished: run the same command again"):
        load_embeddings(tmp_path / "killed")
    assert files_of(tmp_path / "killed") != files_of(quiet)
    assert run(die=False) == 0
    assert files_of(tmp_path / "killed") == files_of(quiet)


def test_a_full_disk(tmp_path: Path, full_disk: Callable[[], None]) -> None:
    writer = EmbeddingWriter(tmp_path, embedding_manifest())
    write(writer, "train/a-00000")
    before = files_of(tmp_path)
    full_disk()
    with pytest.raises(RunError, match="No space left on device"):
        write(writer, "train/b-00000")
    assert files_of(tmp_path) == before
    assert list(writer.done_shards()) == ["train/a-00000"]


def test_another_encoder_is_refused(tmp_path: Path) -> None:
    written(tmp_path)
    with pytest.raises(FingerprintError, match="encoder_fingerprint is 'enc' there and 'other' here"):
        EmbeddingWriter(tmp_path, embedding_manifest(fingerprint="e2", encoder_fingerprint="other"))
    with pytest.raises(FingerprintError, match="holds embeddings, not image-set"):
        claim_folder(tmp_path, set_manifest())
    with pytest.raises(InputError, match="holds embeddings, not images"):
        open_images(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"image_keys": ["x"]},
        {"class_keys": ["a"]},
        {"errors": [""]},
        {"embeddings": np.zeros((N, 3), np.float32)},
        {"embeddings": np.zeros(N * 4, np.float32)},
    ],
)
def test_lengths_that_differ(tmp_path: Path, changes: dict[str, Any]) -> None:
    writer = EmbeddingWriter(tmp_path, embedding_manifest())
    with pytest.raises(ValueError, match="expected as many of each and 4 columns"):
        write(writer, "train/a-00000", **changes)
    with pytest.raises(ValueError, match="is not in the manifest"):
        write(writer, "train/q-00000")


def test_what_holds_no_embeddings(tmp_path: Path) -> None:
    make_folder(tmp_path, {"images/a/1.png": png(1), "x.bin": b""})
    with pytest.raises(
        InputError, match=r"no such file or folder; expected an \.npz file or a folder made by 'synthgap embed'"
    ):
        load_embeddings(tmp_path / "missing")
    with pytest.raises(
        InputError, match=r"holds no embeddings; expected an \.npz file or a folder made by 'synthgap embed'"
    ):
        load_embeddings(tmp_path / "images")
    with pytest.raises(InputError, match="is no embeddings file"):
        load_embeddings(tmp_path / "x.bin")


def test_select_by_split_and_class() -> None:
    found = sample().select(split="eval")
    assert (found.image_keys, found.class_keys, found.splits) == (["4", "5"], ["a", "b"], ["eval"] * 2)
    assert np.array_equal(found.embeddings, sample().embeddings[4:])
    assert [row.image_key for row in found.skipped] == ["x"]
    assert found.classes == sample().classes
    by_class = sample().select(class_keys=["b", "nowhere"])
    assert by_class.image_keys == ["1", "3", "5"] and by_class.classes == {"b": "B"}
    assert [row.image_key for row in by_class.skipped] == ["y"]
    assert sample().select().image_keys == sample().image_keys
    with pytest.raises(InputError, match="s: has no split 'test'; it has 'train', 'eval'"):
        sample().select(split="test")


def test_labels_follow_the_order_asked_for() -> None:
    labels = sample().labels(["z", "b"])
    assert labels.dtype == np.int64
    assert labels.tolist() == [-1, 1, -1, 1, -1, 1]


def test_subset_takes_positions_and_masks() -> None:
    assert sample().subset([3, 0]).image_keys == ["3", "0"]
    assert sample().subset(np.array([True, False] * 3)).image_keys == ["0", "2", "4"]
    assert len(sample().subset([])) == 0
    assert np.array_equal(sample().subset(np.array([5])).embeddings, sample().embeddings[5:])
    assert sample().renamed("other").name == "other"


def test_a_set_must_hang_together() -> None:
    values = {name: getattr(sample(), name) for name in EmbeddingSet.__dataclass_fields__}
    with pytest.raises(ValueError, match="6 embeddings and 1 class_keys"):
        EmbeddingSet(**values | {"class_keys": ["a"]})
    with pytest.raises(ValueError, match=r"expected float32 \(n, d\)"):
        EmbeddingSet(**values | {"embeddings": values["embeddings"].astype(np.float64)})
