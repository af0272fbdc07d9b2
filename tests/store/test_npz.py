from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synthgap.core.errors import InputError
from synthgap.store.embeddings import load_embeddings
from synthgap.store.keys import safe_key

E = np.arange(12, dtype=np.float32).reshape(4, 3)


def save(folder: Path, **arrays: Any) -> Path:
    np.savez(folder / "set.npz", **{"embeddings": E, "labels": [0, 1, 1, 0]} | arrays)
    return folder / "set.npz"


def refused(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        load_embeddings(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value)


def test_numbers_with_names(tmp_path: Path) -> None:
    found = load_embeddings(save(tmp_path, class_names=["cat", "a \"b\"\n'c' 🐸", "unused"]))
    assert (found.name, found.modality, found.encoder, found.encoder_fingerprint) == ("set", "image", "", "")
    assert found.embeddings.dtype == np.float32 and np.array_equal(found.embeddings, E)
    odd = safe_key("a \"b\"\n'c' 🐸")
    assert found.class_keys == ["cat", odd, odd, "cat"]
    assert found.classes == {"cat": "cat", odd: "a \"b\"\n'c' 🐸", "unused": "unused"}
    assert found.counts() == {"cat": 2, odd: 2, "unused": 0}
    assert found.splits == ["train"] * 4 and found.skipped == []
    assert len(set(found.image_keys)) == 4


@pytest.mark.parametrize(
    ("labels", "names", "keys", "classes"),
    [
        ([7, 3, 7, 10], None, ["7", "3", "7", "10"], ["3", "7", "10"]),
        (["b", "a", "b", "b"], None, ["b", "a", "b", "b"], ["a", "b"]),
        (["b", "a", "b", "b"], ["c", "b", "a"], ["b", "a", "b", "b"], ["c", "b", "a"]),
        (np.array([b"x", b"y", b"x", b"x"]), None, ["x", "y", "x", "x"], ["x", "y"]),
        (np.array([1.0, 0.0, 1.0, 1.0]), ["a", "b"], ["b", "a", "b", "b"], ["a", "b"]),
        (np.array([1, 0, 1, 1], np.uint8), ["a", "b"], ["b", "a", "b", "b"], ["a", "b"]),
        (np.array([True, False, True, True]), None, ["1", "0", "1", "1"], ["0", "1"]),
        (["n02012849", "n03126707"] * 2, None, ["n02012849", "n03126707"] * 2, ["n02012849", "n03126707"]),
        (
            [0, 1, 2, 1],
            ["crane", "crane", "frog"],
            ["crane_0", "crane_1", "frog", "crane_1"],
            ["crane_0", "crane_1", "frog"],
        ),
    ],
)
def test_labels(tmp_path: Path, labels: Any, names: list[str] | None, keys: list[str], classes: list[str]) -> None:
    found = load_embeddings(save(tmp_path, labels=labels, **({} if names is None else {"class_names": names})))
    assert found.class_keys == keys
    assert list(found.classes) == classes


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int8, np.uint8])
def test_precisions(tmp_path: Path, dtype: Any) -> None:
    found = load_embeddings(save(tmp_path, embeddings=E.astype(dtype)))
    assert found.embeddings.dtype == np.float32
    assert np.array_equal(found.embeddings, E)


def test_optional_arrays(tmp_path: Path) -> None:
    found = load_embeddings(
        save(
            tmp_path,
            modality="prompt",
            splits=["train", "eval", "eval", "train"],
            image_keys=["x", "y z", "w", "é"],
            encoder="ViT-B/32",
            paths=["ignored"],
        ),
        name="prompts",
    )
    assert (found.name, found.modality, found.encoder) == ("prompts", "prompt", "ViT-B/32")
    assert found.split_names() == ("train", "eval")
    assert found.image_keys == ["x", safe_key("y z"), "w", safe_key("é")]


def test_rows_that_are_not_finite_are_skipped_with_a_reason(tmp_path: Path) -> None:
    embeddings = E.astype(np.float64)
    embeddings[1, 2], embeddings[2, 0], embeddings[3, 1] = np.nan, -np.inf, 1e300
    found = load_embeddings(save(tmp_path, embeddings=embeddings, splits=["train", "train", "eval", "eval"]))
    assert np.array_equal(found.embeddings, E[:1])
    assert found.class_keys == ["0"] and found.splits == ["train"]
    assert [(row.image_key, row.class_key, row.reason, row.split) for row in found.skipped] == [
        ("row-0000001", "1", "embedding holds NaN", "train"),
        ("row-0000002", "1", "embedding holds infinite numbers", "eval"),
        ("row-0000003", "0", "embedding holds infinite numbers", "eval"),
    ]
    assert found.counts() == {"0": 1, "1": 0}


@pytest.mark.parametrize(
    ("arrays", "expected"),
    [
        ({"labels": [0, 1]}, "labels have shape (2,) for 4 embeddings; expected (4,)"),
        ({"labels": [[0], [1], [1], [0]]}, "labels have shape (4, 1) for 4 embeddings"),
        ({"labels": 3}, "labels have shape () for 4 embeddings"),
        ({"embeddings": E[0]}, "embeddings have shape (3,); expected (n, d), one row per image"),
        ({"embeddings": E[None]}, "embeddings have shape (1, 4, 3); expected (n, d)"),
        ({"embeddings": E[:0], "labels": []}, "embeddings have shape (0, 3); expected at least one row"),
        ({"embeddings": E[:, :0]}, "embeddings have shape (4, 0)"),
        ({"embeddings": E.astype(str)}, "expected float16, float32 or float64"),
        ({"embeddings": E.astype(complex)}, "embeddings are complex128; expected float16"),
        ({"embeddings": E * np.nan}, "none of its 4 embeddings is finite"),
        ({"labels": [0, 1, -1, 0]}, "labels hold -1; expected 0 or more: leave rows without a label out"),
        (
            {"labels": [0, 1, 2, 0], "class_names": ["a", "b"]},
            "labels hold 2; expected 0 to 1, positions in class_names",
        ),
        ({"labels": list("abcb"), "class_names": ["a", "b"]}, "label 'c' is not one of its 2 class_names"),
        ({"labels": ["cat", "dogg", "cat", "cat"], "class_names": ["cat", "dog"]}, "did you mean 'dog'?"),
        ({"labels": ["a", "", "a", "a"], "class_names": ["a", "b"]}, "label '' is not one of its 2 class_names"),
        ({"labels": list("aaba"), "class_names": ["a", "a", "b"]}, "class_names repeat a name and labels are texts"),
        ({"labels": [0.5, 1, 1, 0]}, "labels are float64; expected whole numbers or texts"),
        ({"labels": [np.nan, 1, 1, 0]}, "labels are float64; expected whole numbers or texts"),
        ({"class_names": [[1, 2]]}, "class_names are int64 (1, 2); expected a list of texts"),
        ({"class_names": "cat"}, "expected a list of texts"),
        ({"modality": "imag"}, "modality is 'imag'; expected 'image' or 'prompt'; did you mean 'image'?"),
        ({"modality": ["image", "prompt"]}, "expected one text"),
        ({"modality": 3}, "expected one text"),
        ({"splits": ["train"]}, "1 splits for 4 embeddings; expected as many"),
        ({"splits": ["train", "", "a", "b"]}, "splits hold ''"),
        ({"splits": ["train", "../x", "train", "train"]}, "splits hold '../x'"),
        ({"image_keys": [1, 2, 3, 4]}, "image_keys are int64 (4,); expected a list of texts"),
        ({"labels": np.array([None, 1, 2, 3], dtype=object)}, "holds pickled objects, which could run code"),
        ({"embeddings": np.array([[1.0], [None], [2], [3]], dtype=object)}, "holds pickled objects"),
    ],
)
def test_arrays_that_do_not_fit(tmp_path: Path, arrays: dict[str, Any], expected: str) -> None:
    assert expected in refused(save(tmp_path, **arrays))


def test_a_missing_array_is_named_with_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, embedding=E, labels=[0])
    text = refused(path)
    assert "has no array 'embeddings'; did you mean 'embedding'?; it has 'embedding', 'labels'" in text
    np.savez(path, embeddings=E)
    assert "has no array 'labels'" in refused(path)
    np.savez(path)
    assert "it has nothing" in refused(path)


def test_files_that_are_no_npz(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    assert "no such file" in refused(path)
    for data in (b"", b"text", b"PK\3\4" + b"\0" * 40):
        path.write_bytes(data)
        assert "not a zip archive, or cut off" in refused(path)
    with path.open("wb") as handle:
        np.save(handle, E)
    assert "holds one plain array; expected 'embeddings' (n, d) and 'labels' (n,) in an .npz file" in refused(path)
    whole = save(tmp_path).read_bytes()
    for size in (len(whole) // 2, len(whole) - 30):
        path.write_bytes(whole[:size])
        assert "cannot be read as .npz" in refused(path)
    damaged = bytearray(whole)
    damaged[150:190] = b"\xff" * 40
    path.write_bytes(damaged)
    assert "cannot be read as .npz" in refused(path)
    path.unlink()
    path.mkdir()
    assert "cannot be read as .npz" in refused(path)


def test_pickled_code_is_never_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "owned",))

    refused(save(tmp_path, class_names=np.array([Evil()], dtype=object)))
    assert not (tmp_path / "owned").exists()


def test_compressed_files_and_the_fingerprint(tmp_path: Path) -> None:
    first = load_embeddings(save(tmp_path))
    np.savez_compressed(tmp_path / "small.npz", embeddings=E, labels=[0, 1, 1, 0])
    second = load_embeddings(str(tmp_path / "small.npz"))
    assert np.array_equal(first.embeddings, second.embeddings)
    assert first.fingerprint != second.fingerprint != ""
