"""Plain ``.npy`` files of embeddings, with the other arrays of an ``.npz`` as files beside them.

For ``clip.npy`` the labels are ``clip_labels.npy``, else ``labels.npy``; ``image_keys``, ``splits`` and ``class_names``
are looked for in the same way. For ``clip_embeddings.npy``, ``clip_features.npy`` or ``clip_emb.npy`` the first name is
``clip_labels.npy`` too.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthgap.core.errors import InputError
from synthgap.core.fingerprint import file_fingerprint, fingerprint
from synthgap.store.embedding_arrays import PICKLED, Arrays, set_of_arrays
from synthgap.store.embedding_set import EmbeddingSet

BESIDE = ("labels", "class_names", "splits", "image_keys")
_WORD = re.compile(r"[_.-](embeddings?|embs?|features?|feats?)$")


def read_npy(path: Path, name: str | None = None) -> EmbeddingSet:
    """Read an ``.npy`` file (n, d) and the arrays beside it; float32 is mapped to memory and not copied.

    Raises:
        InputError: no ``.npy``, pickled objects, no labels beside it, or as ``set_of_arrays``.
    """
    arrays: Arrays = {"embeddings": open_npy(path)}
    files = [path]
    for what in BESIDE:
        if (found := _beside(path, what)) is not None:
            arrays[what] = np.asarray(open_npy(found))
            files.append(found)
    if "labels" not in arrays:
        raise InputError(
            f"{path}: has no labels beside it; expected {' or '.join(_names(path, 'labels'))} with one number or text per row"
        )
    return set_of_arrays(path, arrays, name or path.stem, fingerprint([file_fingerprint(file) for file in files]))


def open_npy(path: Path) -> NDArray[Any]:
    """The array of an ``.npy`` file, mapped to memory; writing to it changes no file.

    Raises:
        InputError: missing, damaged, or pickled objects.
    """
    try:
        array = np.load(path, mmap_mode="c", allow_pickle=False)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; expected an .npy file of embeddings") from None
    except (OSError, EOFError, ValueError, SyntaxError) as error:
        # An array of objects cannot be mapped, and a plain pickle is no array.
        told = str(error)
        if "Python objects" in told or "allow_pickle" in told:
            raise InputError(f"{path}: {PICKLED}") from None
        raise InputError(f"{path}: cannot be read as .npy: {' '.join(told.split()) or 'damaged'}") from None
    if not isinstance(array, np.ndarray):  # an .npz under another name
        raise InputError(f"{path}: holds several arrays; name it .npz")
    return array


def _names(path: Path, what: str) -> list[str]:
    return list(dict.fromkeys([f"{path.stem}_{what}.npy", f"{_WORD.sub('', path.stem)}_{what}.npy", f"{what}.npy"]))


def _beside(path: Path, what: str) -> Path | None:
    return next((file for name in _names(path, what) if (file := path.with_name(name)).is_file()), None)
