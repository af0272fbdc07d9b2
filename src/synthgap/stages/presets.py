"""Presets: the settings of the papers' own sets by name, for ``--preset`` and for studies.

A preset holds keys of a ``GenerateSpec``, its source, and what the paper does not say. S's sets have as many images of
each class as the natural set; that set is the user's to give, as ``counts_like``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from synthgap.core.errors import InputError, nearest


@dataclass(frozen=True, slots=True)
class Preset:
    """The settings of one set of a paper."""

    name: str
    about: str
    """One line for people."""
    source: str
    """Paper, section and table."""
    silent: str
    """What the paper does not print about this set, besides seed, precision and file format."""
    settings: dict[str, Any]
    """Keys of a ``GenerateSpec``; what is missing is the generator's own."""


@cache
def _presets() -> dict[str, Preset]:
    import yaml

    text = (files(__package__) / "presets.yaml").read_text("utf-8")
    return {name: Preset(name, **fields) for name, fields in yaml.safe_load(text)["presets"].items()}


def presets() -> dict[str, str]:
    """Name and one line of each preset.

    >>> presets()["m-disamb2.5"]
    "M's Disamb2.5, the prompts of Disamb at guidance 2.5"
    """
    return {name: preset.about for name, preset in _presets().items()}


def find_preset(name: str) -> Preset:
    """The preset of this name. Raises InputError, with the nearest name, when there is none."""
    known = _presets()
    if name not in known:
        hint = nearest(name, known) or f"; the presets are {', '.join(known)}"
        raise InputError(f"unknown preset {name[:60]!r}{hint}")
    return known[name]


def load_preset(name: str) -> dict[str, Any]:
    """Settings of a preset, as keys of a ``GenerateSpec``; the caller's own go on top.

    Raises InputError, with the nearest name, when there is none.

    >>> load_preset("s-1k-definition")["guidance_scale"]
    7.5
    """
    return dict(find_preset(name).settings)
