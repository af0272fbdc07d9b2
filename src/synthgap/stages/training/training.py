"""From image sets and a spec to a trained classifier's folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from synthgap.core.fingerprint import fingerprint
from synthgap.core.seeds import derived_seed
from synthgap.core.specs import LearningResources, TrainRecipe, TrainSpec
from synthgap.models.classifiers import (
    check_architecture,
    evaluation_preprocessing,
    new_classifier,
    sized_arguments,
    synchronised,
    timm_config,
)
from synthgap.stages.training.augmentation import views
from synthgap.stages.training.distribution import new_accelerator
from synthgap.stages.training.examples import Examples, ImageShare, common_classes, gather, matched
from synthgap.stages.training.folder import TrainedFolder
from synthgap.stages.training.learner import Learner, State, new_optimizer
from synthgap.stages.training.loader import Loader, Portion
from synthgap.stages.training.loop import AllViews, Plan, Progress, Trainer
from synthgap.stages.training.recipes import resolve
from synthgap.store.keys import eval_split
from synthgap.store.manifest import Manifest, check_claim, claim_folder
from synthgap.store.rows import ImageSource
from synthgap.store.sources import keep_apart

RANDAUG = {"randaug_layers", "randaug_magnitude"}
"""Settings that change a training with RandAugment only."""


def train(
    shares: Sequence[ImageShare],
    spec: TrainSpec,
    out: Path,
    resources: LearningResources | None = None,
    *,
    validation: ImageSource | None = None,
    progress: Progress | None = None,
    note: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Train a classifier from random weights into the folder ``out``, or go on with what is there.

    Seed, images and recipe decide the weights: a run that was killed and repeated ends with the same bytes as one that
    was not, on the same kind of machine.

    Args:
        shares: image sets, each used whole or each with its share.
        spec: recipe and what differs from it.
        out: new or empty folder, or that of the same training.
        resources: device, threads, memory.
        validation: images for the accuracy after each epoch; without it a share of ``shares``' is kept apart.
        progress: called with steps done, steps in all, and what is done.
        note: called with what the user should know.

    Returns:
        What was trained, its accuracy with interval, its speed, and which images were skipped and why.

    Raises:
        InputError: no such recipe, model or device; a set that is empty, of one class, or too small for its share.
        FingerprintError: ``out`` holds another training.
        RunError: the loss became no number, or the disk is full.
        Interrupted: SIGINT or SIGTERM came; the same call goes on.
    """
    keep_apart(out, *(one.source for one in shares))
    resources = resources or LearningResources()
    recipe = resolve(spec)
    check_architecture(recipe.model)
    learned, apart = gather(
        shares,
        images=spec.images,
        validation_share=0.0 if validation is not None else spec.validation_share,
        seed=derived_seed(spec.seed, "images"),
        memory=resources.memory,
    )
    if validation is not None:
        apart = matched(validation, learned.classes, eval_split(validation.splits), resources.memory)
    manifest = _manifest(shares, spec, recipe, learned.classes, validation)
    accelerator = new_accelerator(resources.device, recipe.precision, recipe.batch_size)
    folder = TrainedFolder(out)
    if accelerator.is_main_process:
        claim_folder(out, manifest)
    accelerator.wait_for_everyone()
    preprocessing = evaluation_preprocessing(recipe.image_size, recipe.crop_share)
    learned, apart = learned.hold(preprocessing, resources), apart.hold(preprocessing, resources)
    plan = _plan(spec, recipe, learned, preprocessing)
    learner, callable_model = _learner(plan, learned, accelerator)
    if folder.checkpoint.exists():
        learner.load(folder.checkpoint)
        if note is not None and learner.state.step < plan.steps:
            note(f"going on after step {learner.state.step} of {plan.steps}")
    portion = Portion(recipe.batch_size, accelerator.process_index, accelerator.num_processes)
    loader = Loader(learned, plan.views, preprocessing, portion, seed=spec.seed, workers=resources.workers)
    Trainer(plan, learner, callable_model, accelerator, loader, apart, folder, progress).run()
    result = _result(out, spec, plan, learner.state, learned, apart, validation)
    if accelerator.is_main_process:
        folder.write_card(manifest, result)
    return result


def check_training(shares: Sequence[ImageShare], spec: TrainSpec, out: Path) -> None:
    """Raise what `train` would where ``out`` cannot be its folder; nothing is read but names, and nothing is written.

    Raises:
        InputError: no such recipe, sets of no class in common, or a folder that is not synthgap's or lies among images.
        FingerprintError: ``out`` holds another training.
    """
    keep_apart(out, *(one.source for one in shares))
    classes = common_classes([one.source for one in shares])
    check_claim(out, _manifest(shares, spec, resolve(spec), classes, None))


def step_count(spec: TrainSpec, images: int) -> int:
    """Steps of a training on so many images: those that the spec names, or those of the recipe's epochs.

    Raises InputError for an unknown recipe.
    """
    recipe = resolve(spec)
    return spec.iterations or max(1, round(recipe.epochs * images / recipe.batch_size))


def _manifest(
    shares: Sequence[ImageShare],
    spec: TrainSpec,
    recipe: TrainRecipe,
    classes: dict[str, str],
    validation: ImageSource | None,
) -> Manifest:
    sets = {str(number): {"name": one.source.name, "share": one.share} for number, one in enumerate(shares)}
    settings = {
        "name": spec.recipe,
        "recipe": recipe.model_dump(mode="json", exclude=set() if recipe.augmentation == "randaug" else RANDAUG),
        "sets": sets,
        "images": spec.images,
        "iterations": spec.iterations,
        "validation": None if validation is None else validation.name,
        "validation_share": spec.validation_share if validation is None else 0.0,
        "seed": spec.seed,
    }
    parents = {f"images {number}": one.source.fingerprint for number, one in enumerate(shares)}
    if validation is not None:
        parents["validation"] = validation.fingerprint
    identity = fingerprint("classifier", settings, classes, parents)
    return Manifest(kind="classifier", fingerprint=identity, spec=settings, classes=classes, parents=parents)


def _plan(spec: TrainSpec, recipe: TrainRecipe, learned: Examples, preprocessing: Any) -> Plan:
    steps = step_count(spec, len(learned))
    model_args = sized_arguments(recipe.model, recipe.model_args, recipe.image_size)
    recipe = recipe.model_copy(update={"model_args": model_args})
    config = timm_config(recipe.model, learned.classes, recipe.model_args, recipe.image_size, recipe.crop_share)
    kinds = views(
        recipe.augmentation,
        recipe.image_size,
        layers=recipe.randaug_layers,
        magnitude=recipe.randaug_magnitude,
    )
    return Plan(recipe, steps, min(recipe.epochs, steps), spec.seed, kinds, preprocessing, config)


def _learner(plan: Plan, learned: Examples, accelerator: Any) -> tuple[Learner, Any]:
    recipe = plan.recipe
    seed = derived_seed(plan.seed, "weights")
    model = new_classifier(recipe.model, len(learned.classes), recipe.model_args, seed=seed)
    if accelerator.num_processes > 1 and accelerator.device.type == "cuda":
        model = synchronised(model)
    model = model.to(accelerator.device)
    optimizer = new_optimizer(model, recipe)
    average = {k: v.detach().clone() for k, v in model.state_dict().items()} if recipe.average else None
    return Learner(model, optimizer, average, State()), accelerator.prepare_model(AllViews(model))


def _result(
    out: Path,
    spec: TrainSpec,
    plan: Plan,
    state: State,
    learned: Examples,
    apart: Examples,
    validation: ImageSource | None,
) -> dict[str, Any]:
    last = state.history[-1]
    seconds = sum(row["seconds"] for row in state.history)
    broken = learned.broken | apart.broken
    return {
        "out": str(out),
        "recipe": spec.recipe,
        "model": plan.recipe.model,
        "classes": len(learned.classes),
        "images": len(learned),
        "steps": state.step,
        "epochs": len(state.history),
        "loss": last["loss"],
        "accuracy": {
            "value": last["accuracy"],
            "ci_low": last["ci_low"],
            "ci_high": last["ci_high"],
            "n": last["n"],
        },
        "best": state.best,
        "validation": f"{spec.validation_share:.0%} kept apart" if validation is None else validation.name,
        "seconds": round(seconds, 1),
        "images_per_second": round(state.step * plan.recipe.batch_size / max(seconds, 1e-9), 1),
        "data_wait": round(sum(row["data_wait"] * row["seconds"] for row in state.history) / max(seconds, 1e-9), 4),
        "skipped": len(broken),
        "skipped_reasons": dict(Counter(broken.values()).most_common(5)),
    }
