"""Drawing: a spec becomes a set folder, whoever draws it (design section 3)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from synthgap.core.counting import counted
from synthgap.core.errors import Interrupted, RunError
from synthgap.core.fingerprint import fingerprint
from synthgap.core.interruption import how_to_continue
from synthgap.core.specs import GenerateSpec, Resources
from synthgap.execution import execute
from synthgap.models.devices import pick_devices
from synthgap.models.folders import ModelFolder, locate_generator
from synthgap.models.generator import resolve_settings, settings_notes
from synthgap.stages.generation.planning import Plan, plan_set
from synthgap.stages.generation.worker import DrawJob
from synthgap.store.card import CardFacts, ClassCounts
from synthgap.store.export.licence import licence_of
from synthgap.store.manifest import GROWING, Manifest, kind_of, read_manifest
from synthgap.store.plan import layout
from synthgap.store.sets import ImageSet

EXAMPLES = 3
"""Prompts that the card shows."""

Progress = Callable[[int, int, str], None]
"""Called with images done, images in all, and what is being done."""


def generate(
    spec: GenerateSpec,
    out: Path,
    resources: Resources | None = None,
    progress: Progress | None = None,
    note: Callable[[str], None] | None = None,
) -> Path:
    """Draw the set of a spec into the folder ``out``, or go on with what is there; returns ``out``.

    Shards that are whole stay as they are, apart from the failed images in them: these are tried again. With more
    images or more classes than before the set grows; where the prompt of a class has changed (its overrides, its
    captions) or it is adjusted, only its shards are drawn, and the old ones are kept in ``replaced/``.

    Under a launcher (torchrun, Slurm) this process draws its share. ``note`` is told how ambiguous names were read and
    what else one should know, a line each, before anything is drawn.

    Raises:
        InputError: a class, recipe or generator that cannot be used, or a folder that holds something else.
        FingerprintError: the folder holds a set of other settings, or more images than are asked for.
        RunError: the disk is full, or more than the failure budget of the images failed.
        Interrupted: SIGINT or SIGTERM came; finished shards are kept.
    """
    resources = resources or Resources()
    source = locate_generator(spec)
    plan = plan_for(spec, out)
    if note is not None:
        for text in (*plan.notes, *settings_notes(spec, source)):
            note(text)
    image_set = ImageSet(out, set_manifest(plan, source))
    image_set.write_plan(plan)
    # Ray's workers pick their own; the driver's machine may have no GPU.
    devices = ["cpu"] if resources.executor == "ray" else pick_devices(resources.device)
    report = None if progress is None else lambda done, total: progress(done, total, "images drawn")
    try:
        execute(
            DrawJob(spec, out, resources),
            resources,
            devices,
            budget=spec.failure_budget,
            report=report,
        )
    except Interrupted as stop:
        kept = sum(shard.rows for shard in image_set.done_shards(verify=False).values())
        raise Interrupted(
            f"{stop}: {kept} of {counted(len(plan), 'image')} are in {out}; {how_to_continue()}"
        ) from None
    if resources.executor == "ray" and not image_set.is_finished():
        missing = sum(image_set.done(shard, verify=False) is None for shard in image_set.planned())
        raise RunError(
            f"{missing} shards that workers have made are not in {out}: it must lie on storage that all nodes see at this path"
        )
    if image_set.is_finished():
        image_set.write_card(_facts(image_set, plan, source))
    return out


def _facts(image_set: ImageSet, plan: Plan, source: ModelFolder) -> CardFacts:
    """What the card tells of a finished set: how many images failed or were flagged, and the generator's licence."""
    counts: dict[str, Counter[str]] = {entry.class_key: Counter() for entry in plan.classes}
    for shard, done in image_set.done_shards(verify=False).items():
        tally = counts[image_set.planned()[shard].class_key]
        tally.update(ok=done.ok, failed=done.failed, flagged=done.flagged or 0)
        tally["scored"] += done.ok if done.flagged is not None else 0
    return CardFacts(
        counts={key: ClassCounts(**tally) for key, tally in counts.items()},
        prompts=[plan.writer.write(entry, 0).text for entry in plan.classes[:EXAMPLES]],
        marked=True,
        licence=licence_of(source.folder),
    )


def plan_for(spec: GenerateSpec, out: Path) -> Plan:
    """Plan the set of a spec, as the growth of what is in ``out`` where there is a set already."""
    if kind_of(out) != "image-set":
        return plan_set(spec)
    return plan_set(spec, layout(out), read_manifest(out).classes)


def set_manifest(plan: Plan, source: ModelFolder) -> Manifest:
    """What identifies a set: how its images are drawn. Which images there are is in the plan, and may grow."""
    # Files count by what they hold, and a failure budget changes no image.
    spec = resolve_settings(plan.spec, source).model_dump(mode="json", exclude={"failure_budget"})
    spec |= {"generator": source.name, "classes": Path(plan.spec.classes).name}
    spec |= {
        name: Path(spec[name]).name for name in ("overrides", "captions", "counts_like", "adjustments") if spec[name]
    }
    parents = {"generator": source.fingerprint}
    how = {key: value for key, value in spec.items() if key not in GROWING}
    libraries = {name: version(name) for name in ("torch", "diffusers", "transformers")}
    info = {"images": len(plan), "notes": list(plan.notes), "libraries": libraries}
    if plan.writer.adjustments:
        info["adjusted"] = {key: one.changes for key, one in plan.writer.adjustments.items()}
    return Manifest(
        kind="image-set",
        fingerprint=fingerprint("image-set", how, parents),
        spec=spec,
        classes=plan.class_names,
        parents=parents,
        info=info,
    )
