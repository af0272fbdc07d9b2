"""From findings to adjustments: what single classes of a set are to be drawn with instead."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from synthgap.core.errors import InputError, nearest
from synthgap.core.records import Finding
from synthgap.core.specs import GenerateSpec
from synthgap.prompts.adjustments import Adjustment, adjustments_text, read_adjustments
from synthgap.store.atomic import write_text
from synthgap.vocabulary import resolve

WHO = "synthgap refine"
_HEAD = """# What single classes of the set are drawn with instead; by `synthgap refine`, and yours to edit: the same command
# takes it from here. `apply: false` without an outcome keeps a class as it was.
"""
_CHANGES = ("guidance_scale", "recipe", "prompt")
_MORE_PROMPTS = "augmented"
"""Recipe for images that repeat: each has a seed of its own already, so only other prompts can part them."""


@dataclass(frozen=True)
class Proposals:
    """What a diagnosis proposes for a set: adjustments, and why the other faults have none."""

    adjustments: list[Adjustment] = field(default_factory=list)
    left: dict[str, str] = field(default_factory=dict)
    """Reason by class key of the set."""


def propose(
    findings: Sequence[Finding],
    own_keys: Mapping[str, str],
    names: Mapping[str, str],
    spec: GenerateSpec,
    accept: Sequence[str],
    standing: Mapping[str, Adjustment],
) -> Proposals:
    """Adjust the classes of accepted findings.

    Args:
        findings: One per class, under common class keys.
        own_keys: The set's own key of each.
        names: Name of each common class key, for ``accept``.
        spec: How the set is drawn, with the settings that its generator fills in.
        accept: ``all``, or keys and names of classes and causes.
        standing: Adjustments by the set's own keys that are in place already.

    Raises:
        InputError: ``accept`` names what is neither a class nor a cause.
    """
    wanted = _accepted(findings, names, accept)
    found = Proposals()
    for finding in findings:
        key = own_keys[finding.class_key]
        if not finding.flagged:
            continue
        if finding.class_key not in wanted:
            found.left[key] = f"{finding.cause}: not accepted"
            continue
        asked = json.loads(finding.change) if finding.change else {}
        change, why_not = _change(asked, standing.get(key), spec)
        if why_not:
            found.left[key] = f"{finding.cause}: {why_not}"
            continue
        before = standing.get(key)
        kept = {name: value for name, value in (before.changes if before else {}).items() if name not in change}
        if "recipe" in change or "prompt" in change:
            kept = {name: value for name, value in kept.items() if name not in ("recipe", "prompt")}
        found.adjustments.append(
            _adjustment(
                key, kept | change, spec, before, f"{finding.cause} {finding.severity:.2f}: {finding.suggestion}"
            )
        )
    return found


def _accepted(findings: Sequence[Finding], names: Mapping[str, str], accept: Sequence[str]) -> set[str]:
    """Common keys of the classes whose findings are accepted."""
    words = [word.strip() for text in accept for word in text.split(",") if word.strip()]
    causes = {finding.cause for finding in findings} | CAUSES
    found: set[str] = set()
    for word in words:
        keys = {key for key, name in names.items() if word in (key, name)}
        if word == "all":
            keys = set(names)
        elif word in causes:
            keys = {finding.class_key for finding in findings if finding.cause == word}
        elif not keys:
            hint = nearest(word, [*names, *names.values(), *causes]) or f"; the causes are {', '.join(sorted(causes))}"
            raise InputError(f"--accept {word[:60]!r} is neither a class nor a cause{hint}")
        found |= keys
    return found


CAUSES = frozenset(
    {"ambiguous", "over-adherent", "under-adherent", "low-diversity", "wrong-concept", "concept-missing"}
)


def _change(asked: Mapping[str, Any], standing: Adjustment | None, spec: GenerateSpec) -> tuple[dict[str, Any], str]:
    """What to set, or why nothing can be."""
    now = {"recipe": spec.recipe, "guidance_scale": spec.guidance_scale} | (standing.changes if standing else {})
    if asked.get("drop_copies"):
        asked = {"recipe": _MORE_PROMPTS}
        if now["recipe"] == _MORE_PROMPTS:
            return {}, "images repeat although prompts and seeds differ; another generator may do"
    change = {name: asked[name] for name in _CHANGES if name in asked}
    if not change:
        return {}, "no setting of the generation mends it"
    if all(now.get(name) == value for name, value in change.items()):
        told = ", ".join(f"{name} {value}" for name, value in change.items())
        return {}, f"it is drawn with {told} already"
    return change, ""


def _adjustment(
    key: str, change: Mapping[str, Any], spec: GenerateSpec, before: Adjustment | None, reason: str
) -> Adjustment:
    settings = {"recipe": spec.recipe, "prompt": spec.recipe, "guidance_scale": spec.guidance_scale}
    was = {"recipe" if name == "prompt" else name: settings[name] for name in change if settings.get(name) is not None}
    prompt = change.get("prompt")
    return Adjustment(
        key,
        recipe=str(change.get("recipe", "")),
        prompts=() if prompt is None else tuple(prompt) if isinstance(prompt, list) else (str(prompt),),
        guidance_scale=None if "guidance_scale" not in change else float(change["guidance_scale"]),
        num_inference_steps=change.get("num_inference_steps"),
        was=dict(before.was) | was if before else was,
        reason=reason,
        who=WHO,
        when=date.today().isoformat(),
    )


def adjusted_before(path: Path, spec: GenerateSpec) -> list[Adjustment]:
    """The adjustments that a file holds for the classes of a set; none where there is no file."""
    return read_adjustments(path, resolve(spec.classes).entries) if path.is_file() else []


def write_adjustments(path: Path, adjustments: Iterable[Adjustment]) -> None:
    """Write the file in the order of class keys, which git merges; not where it is there with these very adjustments."""
    text = adjustments_text(sorted(adjustments, key=lambda one: one.class_key), _HEAD)
    if not path.is_file() or path.read_bytes() != text.encode():
        write_text(path, text)
