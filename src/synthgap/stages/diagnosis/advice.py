"""What to change, in words and as JSON that `synthgap refine` applies: built together, so that they say the same."""

from __future__ import annotations

import json
from dataclasses import dataclass

LOW_GUIDANCE = 2.5
"""The guidance to try first where no sweep tells a better one (M Table 2: +17 points over 7.5)."""
CLEARER_RECIPES = ("hypernym", "definition")
"""Recipes that say which sense is meant, the shorter first."""


@dataclass(frozen=True, slots=True)
class Advice:
    """One change of how a class is drawn."""

    text: str
    change: str = ""
    """A JSON object with one key, or empty where no setting of the generation does it."""


def _advice(text: str, **change: object) -> Advice:
    return Advice(text, json.dumps(change))


def set_guidance(now: float, better: float) -> Advice:
    """Draw at the guidance that a sweep has shown to be better."""
    return _advice(f"Draw at guidance {better:g} instead of {now:g}.", guidance_scale=better)


def raise_guidance(now: float, usual: float) -> Advice:
    """The class is lost, and no sweep tells which guidance is enough."""
    return _advice(f"Draw at guidance {usual:g}, the generator's own, instead of {now:g}.", guidance_scale=usual)


def drop_copies() -> Advice:
    """Images are copies of others."""
    return _advice("Remove the copies and draw as many again, a different seed for every image.", drop_copies=True)


def diversify(recipe: str, guidance: float | None, *, lower_was_tried: bool) -> Advice:
    """The images are alike, and no guidance that was tried mends it."""
    if recipe != "augmented":
        return _advice("Use the recipe 'augmented'.", recipe="augmented")
    if guidance is not None and guidance > LOW_GUIDANCE and not lower_was_tried:
        return set_guidance(guidance, LOW_GUIDANCE)
    return Advice("Give every image a prompt with more variety: places, views, sizes.")


def say_the_sense(recipe: str, proposal: str | None) -> Advice:
    """The generator draws another sense of the name."""
    if proposal:
        return _advice(f"Say what is meant: '{proposal}'.", prompt=proposal)
    clearer = next((name for name in CLEARER_RECIPES if name != recipe), CLEARER_RECIPES[0])
    return _advice(f"Say which sense is meant: use the recipe '{clearer}'.", recipe=clearer)


def rewrite(name: str, proposal: str | None) -> Advice:
    """The images show something else than the natural class does."""
    if proposal:
        text = f"Rewrite the prompt towards the natural images, starting with '{proposal}'."
        return _advice(text, prompt=proposal)
    return Advice(f"Rewrite the prompt of '{name}' towards the natural images, or check its labels.")


def without_concept(name: str) -> Advice:
    """No prompt of this encoder or generator reaches the class."""
    return Advice(
        f"Use another encoder or generator for '{name}', or take natural images: the prompt does not reach it."
    )


def more_images() -> Advice:
    """Too few to tell."""
    return Advice("Add images to both sets.")


def nothing() -> Advice:
    """A sound class."""
    return Advice("Nothing to change.")


def nothing_yet() -> Advice:
    """No fault is certain, and a large one is possible."""
    return Advice("Nothing to change; more images would tell more.")
