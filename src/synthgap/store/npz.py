"""Plain ``.npz`` files of embeddings.

``embeddings`` (n, d), ``labels`` (n,) and optionally ``class_names``, ``modality``, ``splits`` (n,), ``image_keys`` (n,)
and ``encoder``. Other arrays in the file are left alone.
"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np

from synthgap.core.errors import InputError, nearest
from synthgap.core.fingerprint import file_fingerprint
from synthgap.store.embedding_arrays import KNOWN, PICKLED, Arrays, set_of_arrays
from synthgap.store.embedding_set import EmbeddingSet

_EXPECTED = "expected 'embeddings' (n, d) and 'labels' (n,)"


def read_npz(path: Path, name: str | None = None) -> EmbeddingSet:
    """Read an ``.npz`` file; rows that are not finite become skipped rows.

    Labels are whole numbers or texts. With ``class_names`` a number is a position in them and a text one of them;
    without, the class key is the label as text.

    Raises:
        InputError: one line with what was found and expected: no ``.npz``, pickled objects, a missing array, lengths
            that differ, labels outside ``class_names``, no finite row.
    """
    arrays = _load(path)
    return set_of_arrays(path, arrays, name or path.stem, file_fingerprint(path))


def _load(path: Path) -> Arrays:
    _check_is_zip(path)
    try:
        with np.load(path, allow_pickle=False) as file:
            names = list(file.files)
            arrays = {key: file[key] for key in KNOWN if key in names}
    except ValueError as error:
        if "allow_pickle" in str(error):
            raise InputError(f"{path}: {PICKLED}") from None
        raise InputError(f"{path}: cannot be read as .npz: {error}") from None
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error, KeyError, SyntaxError, NotImplementedError) as error:
        raise InputError(f"{path}: cannot be read as .npz: {' '.join(str(error).split()) or 'damaged'}") from None
    for key in ("embeddings", "labels"):
        if key not in arrays:
            found = ", ".join(map(repr, names)) or "nothing"
            raise InputError(f"{path}: has no array {key!r}{nearest(key, names)}; it has {found}; {_EXPECTED}")
    return arrays


def _check_is_zip(path: Path) -> None:
    """An ``.npz`` file is a zip archive; say what the file is otherwise."""
    try:
        with path.open("rb") as handle:
            if handle.read(6) == b"\x93NUMPY":
                raise InputError(f"{path}: holds one plain array; {_EXPECTED} in an .npz file (numpy.savez)")
            if not zipfile.is_zipfile(handle):
                raise InputError(f"{path}: cannot be read as .npz: not a zip archive, or cut off; {_EXPECTED}")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; expected an .npz file of embeddings") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read as .npz: {error.strerror}") from None
