"""One study on disk: the trials, the settings that won, and what the final classifier says of each test image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from synthgap.core.errors import FingerprintError, InputError
from synthgap.stages.transfer.tuning import Trial
from synthgap.store.atomic import plain, read_json, write_json
from synthgap.store.tables import read_table, write_table

PREDICTIONS = pa.schema([(name, pa.string()) for name in ("image_key", "class_key", "predicted")])
"""A row per test image: its class, and the class that the classifier names."""


@dataclass(frozen=True)
class StudyFiles:
    """The files of a study, and what it must be a study of."""

    path: Path
    """Of the JSON file; the predictions are beside it."""
    identity: Mapping[str, Any]
    """Everything that can change a trial."""

    def trials(self) -> list[Trial]:
        """The trials so far.

        Raises:
            FingerprintError: the file holds trials of other features or settings; the message says which.
            InputError: the file is no study.
        """
        found = self._read()
        try:
            return [Trial(dict(one["settings"]), float(one["accuracy"])) for one in found.get("trials", [])]
        except (KeyError, TypeError, ValueError):
            raise InputError(f"{self.path}: is no study of synthgap; move it away, or give another --out") from None

    def write_trials(self, trials: Sequence[Trial], *, final: int | None = None) -> None:
        """Keep trials; ``final``: how many of them the predictions are made of."""
        found = {"identity": self.identity, "trials": [asdict(one) for one in trials], "final": final}
        write_json(self.path, found)

    def predictions(self, trials: int, image_keys: Sequence[str]) -> list[str] | None:
        """Class key named for each test image, by the best of so many trials; None where they are not there."""
        table = self.path.with_suffix(".parquet")
        if self._read().get("final") != trials or not table.exists():
            return None
        try:
            rows = read_table(table)
        except InputError:  # damaged: they follow from the trials
            return None
        if [row["image_key"] for row in rows] != list(image_keys):
            return None
        return [row["predicted"] or "" for row in rows]

    def write_predictions(self, image_keys: Sequence[str], class_keys: Sequence[str], predicted: Sequence[str]) -> None:
        """Keep what is named; an empty text for no class."""
        rows = (
            {"image_key": key, "class_key": own, "predicted": named or None}
            for key, own, named in zip(image_keys, class_keys, predicted, strict=True)
        )
        write_table(self.path.with_suffix(".parquet"), rows, PREDICTIONS)

    def _read(self) -> dict[str, Any]:
        if not self.path.exists():
            return {}
        found = read_json(self.path)
        there = found.get("identity") if isinstance(found, dict) else None
        here = plain(self.identity)
        if not isinstance(there, dict):
            raise InputError(f"{self.path}: is no study of synthgap; move it away, or give another --out")
        if there != here:
            differ = [
                f"{key} is {there.get(key)!r} there and {here.get(key)!r} here"
                for key in dict.fromkeys([*here, *there])
                if there.get(key) != here.get(key)
            ]
            raise FingerprintError(
                f"{self.path}: holds trials of other settings: {', '.join(differ[:4])}; give another --out"
            )
        return dict(found)
