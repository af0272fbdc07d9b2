"""One synthetic set of a study as a case to diagnose: with all that the study knows of it."""

from __future__ import annotations

from synthgap.core.errors import SynthgapError
from synthgap.core.specs import GenerateSpec
from synthgap.models.folders import locate_generator
from synthgap.models.generator import resolve_settings
from synthgap.pipeline.run import Study
from synthgap.stages import class_words
from synthgap.stages.diagnosis import Case, SweepSet
from synthgap.stages.inputs import OpenedSet
from synthgap.store.embeddings import EmbeddingSet


def case_of(study: Study, one: OpenedSet, halves: tuple[EmbeddingSet, EmbeddingSet]) -> Case:
    """A case of one set of the study; ``halves`` are the natural references and the natural images held against them."""
    images = {item.name: item for item in study.aligned.synthetic}
    sweep = [
        SweepSet(other.name, other.guidance_scale, images[other.name])
        for other in study.opened[1:]
        if other is not one and one.line == other.line is not None and other.guidance_scale is not None
    ]
    return Case(
        natural_reference=halves[0],
        natural_query=halves[1],
        synthetic=images[one.name],
        prompts=study.prompts.get(one.name),
        guidance_scale=one.guidance_scale,
        usual_guidance=usual_guidance(one),
        recipe=one.recipe,
        sweep=sweep,
        senses=class_words.noun_senses(study.classes),
        sense_embeddings=study.senses,
        proposals=class_words.proposals(study.classes),
    )


def usual_guidance(one: OpenedSet) -> float | None:
    """The guidance that the generator of a set is drawn at where nobody asks for another.

    None where that is not known: images of others, or a generator that is not here.
    """
    generator = one.setting("generator")
    if not generator:
        return None
    try:
        spec = GenerateSpec(generator=str(generator))
        return resolve_settings(spec, locate_generator(spec)).guidance_scale
    except SynthgapError:
        return None
