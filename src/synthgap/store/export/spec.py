"""What an export is: its kind and what goes into it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from synthgap.core.specs import Spec

Kind = Literal["hub", "webdataset", "imagefolder"]


class ExportSpec(Spec):
    """An export of an image set."""

    kind: Kind = Field(
        "hub",
        description="hub: shuffled Parquet with Hugging Face features; webdataset: shuffled tar files; imagefolder: one folder per class.",
    )
    drop_flagged: bool = Field(False, description="Leave out images that the safety checker flagged.")
    splits: tuple[str, ...] = Field((), description="Splits to export, such as train,eval; all by default.")
    seed: int = Field(0, ge=0, description="Seed of the shuffle.")
    shard_bytes: int = Field(
        500_000_000, ge=1, description="Size of one Parquet or tar file, about; also the memory that the export takes."
    )
    allow_unfinished: bool = Field(False, description="Export what is there of a set that is not finished.")

    @field_validator("splits")
    @classmethod
    def _split_at_commas(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name.strip() for item in value for name in item.split(",") if name.strip())
