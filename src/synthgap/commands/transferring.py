"""Transfer of frozen features to other sets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from synthgap import views
from synthgap.commands.options import Flat, Output, located
from synthgap.console import Progress, emit
from synthgap.core.config import name_and_place
from synthgap.core.errors import InputError
from synthgap.core.specs import LearningResources, TransferSpec

if TYPE_CHECKING:
    from synthgap.pipeline.transferring import TransferSet


def transfer(
    models: str,
    *sets: str,
    out: Path,
    spec: Annotated[TransferSpec | None, Flat] = None,
    resources: Annotated[LearningResources | None, Flat] = None,
    output: Output = "human",
) -> None:
    """Score the frozen features of models on other sets with linear classifiers, tuned on validation images only.

    Parameters
    ----------
    models: str
        Folders of `synthgap train`, local-dir:FOLDER, hf-hub:ID or timm models with weights; several with commas.
    sets: str
        Image folders, set folders, Parquet or 'lab:NAME'; NAME=PATH gives a name, or says that it is one of Aircraft,
        Cars196, DTD, EuroSAT, Flowers, Pets, Food101, SUN397, iNat2018, iNat2019, CoG-L1 to CoG-L5.
    out: Path
        Folder for features, trials, predictions and the result; the same command continues.
    """
    from synthgap.pipeline.transferring import transfer_many

    wanted = _several(models)
    if not sets or not wanted:
        raise InputError("no model or no image set; expected synthgap transfer MODEL SET [SET ...] --out FOLDER")
    chosen = [_named(text) for text in sets]
    found = transfer_many(wanted, chosen, spec or TransferSpec(), out, resources, progress=Progress())
    emit(found, output, views.transferred)


def _several(models: str) -> list[str]:
    """Models apart at their commas; a folder that exists is never cut."""
    if Path(models).expanduser().exists():
        return [models]
    return [one.strip() for one in models.split(",") if one.strip()]


def _named(text: str) -> TransferSet:
    from synthgap.pipeline.transferring import TransferSet

    name, place = name_and_place(text)
    return TransferSet(located(Path(place)), name or None)
