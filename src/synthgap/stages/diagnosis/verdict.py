"""From the signs of one class to its cause, severity, evidence and what to change (design section 6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from synthgap.core.records import Finding
from synthgap.stages.diagnosis.case import Case, Sample
from synthgap.stages.diagnosis.concept import Concept, Mixture, find_mixture
from synthgap.stages.diagnosis.diversity import Diversity
from synthgap.stages.diagnosis.intervals import UNKNOWN, Estimate
from synthgap.stages.diagnosis.language import Language, OtherSense, find_other_sense, other_sense_class
from synthgap.stages.diagnosis.sweep import SweepPoint, find_remedy

TOLERANCE = 0.1
"""Of what natural images have, the share whose loss is not worth acting on. A fault is flagged when its whole
interval lies beyond: both a fault that does not matter and one that chance may have made stay unflagged."""
ANOTHER_CONCEPT = 0.5
"""From half of the images, or half of the way to another class, on, the images show something else."""
UNCERTAIN = 0.5
"""A sound class whose interval reaches further than this is said to have too few images."""
LOW_GUIDANCE = 2.5
"""The guidance to try first where no sweep tells a better one (M Table 2: +17 points over 7.5)."""
NOT_FOUND = 3 * TOLERANCE
"""The prompts must miss this share of both sets' images before the concept is called missing: a second sign is needed
for every other cause, here there is only the one."""


@dataclass(frozen=True)
class Signs:
    """All that was measured, over all classes, and the tensors it was measured on."""

    case: Case
    order: Sequence[str]
    reference: Sample
    query: Sample
    natural: Sample
    synthetic: Sample
    diversity: Diversity
    concept: Concept
    language: Language | None
    sweep: Sequence[SweepPoint]

    def name(self, index: int) -> str:
        """A class's name for people."""
        key = self.order[index]
        return self.case.natural_query.classes.get(key, key)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One cause that may apply to a class."""

    cause: str
    severity: Estimate
    flagged: bool
    evidence: str
    suggestion: str


def judge(signs: Signs, index: int) -> Finding:
    """The finding of one class: its main flagged cause, others named in the evidence, or sound.

    The severity is the share of what natural images have that is lost to the gravest flagged cause. Images of another
    concept are named before images that are alike: how alike they are matters once they show the right thing. The
    severity of a sound class is what is proven, at most `TOLERANCE`, so that flagged classes always rank above sound ones.
    """
    wording, concept, diversity = _wording(signs, index), _concept(signs, index), _diversity(signs, index)
    known = [candidate for candidate in (wording, concept, diversity) if candidate is not None]
    flagged = sorted((one for one in known if one.flagged), key=lambda one: -one.severity.value)
    if not flagged:
        return _sound(signs, index, known)
    gravest = flagged[0].severity
    if flagged[0] is diversity:
        flagged.sort(key=lambda one: one is diversity or one.severity.value < ANOTHER_CONCEPT)
    main, others = flagged[0], flagged[1:]
    also = "".join(f" Also {one.cause} ({one.severity.value:.2f}): {one.evidence}" for one in others)
    low, value, high = (float(np.clip(part, 0, 1)) for part in (gravest.low, gravest.value, gravest.high))
    evidence = f"{main.evidence}{also} {_sizes(signs, index)}"
    return Finding(signs.order[index], main.cause, value, True, main.suggestion, evidence, low, high)


def _sound(signs: Signs, index: int, known: Sequence[Candidate]) -> Finding:
    key = signs.order[index]
    if not known:
        evidence = f"Not judged: too few images to tell. {_sizes(signs, index)}"
        return Finding(key, "sound", float("nan"), False, "Add images to both sets.", evidence)
    proven = max(0.0, *(one.severity.low for one in known))
    possible = min(1.0, max(proven, *(one.severity.high for one in known)))
    evidence = f"Within what natural images differ by: {_accuracy(signs, index)}; {_spread(signs, index)}."
    suggestion = "Nothing to change."
    if possible > UNCERTAIN:
        evidence += f" So few images leave room for a loss of up to {possible:.0%}."
        suggestion = "Nothing to change; more images would tell more."
    severity = min(TOLERANCE, proven)
    return Finding(key, "sound", severity, False, suggestion, f"{evidence} {_sizes(signs, index)}", 0.0, possible)


def _unproven(known: Sequence[Estimate]) -> Candidate:
    """What the signs of a cause leave open where none of them holds."""
    low, value, high = (max(getattr(sign, end) for sign in known) for end in ("low", "value", "high"))
    return Candidate("sound", Estimate(value, low, high), False, "", "")


def _concept(signs: Signs, index: int) -> Candidate | None:
    """The images do not show what the natural class shows: ambiguous or wrong-concept."""
    loss, shift = signs.concept.loss.at(index), signs.concept.shift.at(index)
    lost = loss.low > TOLERANCE
    moved = shift.low > TOLERANCE and bool(signs.concept.outlying[index])
    other = _other_sense(signs, index, loss, shift)
    proven = [
        sign
        for sign, holds in ((loss, lost), (shift, moved), (other.more if other else UNKNOWN, other is not None))
        if holds
    ]
    if not proven:
        known = [sign for sign in (loss, shift) if sign.known]
        return _unproven(known) if known else None
    severity = max(proven, key=lambda sign: sign.value)
    mixture = find_mixture(signs.reference.of(index), signs.query.of(index), signs.synthetic.of(index))
    cause, reason = _which(signs, index, other, mixture, moved=moved)
    evidence = f"{_accuracy(signs, index)}; {_shift(signs, index)}.{reason} {_worst_images(signs, index)}"
    return Candidate(cause, severity, True, evidence, _rewording(signs, index, cause))


def _other_sense(signs: Signs, index: int, loss: Estimate, shift: Estimate) -> OtherSense | None:
    """Another sense that the images show, if they also differ from the natural ones: texts alone may mislead."""
    senses = signs.case.sense_embeddings.get(signs.order[index], ())
    if not max(loss.low, shift.low) > TOLERANCE:
        return None
    other = find_other_sense(signs.natural.of(index), signs.synthetic.of(index), senses)
    return other if other is not None and other.more.low > TOLERANCE else None


def _which(
    signs: Signs, index: int, other: OtherSense | None, mixture: Mixture | None, *, moved: bool
) -> tuple[str, str]:
    """Ambiguous or wrong-concept, and why; ``moved`` when the images lie elsewhere and are not only told less well."""
    taken, share = signs.concept.taken_for[index]
    if other is not None:
        words = f" {other.share:.0%} of the images lie nearer to '{other.sense}' than to the class's own sense (natural {other.share_natural:.0%})."
        return "ambiguous", words
    if mixture is not None:
        words = (
            f" The images fall into two clusters, {mixture.apart:.1f} standard deviations apart (natural cut the same"
            f" way: {mixture.apart_natural:.1f}); {mixture.share_off:.0%} lie in the one that natural images do not share."
        )
        return "ambiguous", words
    sense = other_sense_class(signs.order[index], signs.order[taken], signs.case.senses) if taken >= 0 else None
    if sense and share > TOLERANCE:
        return "ambiguous", f" {share:.0%} are taken for another sense of the same name ({sense})."
    language = signs.language
    clear = language is not None and language.miss_natural.at(index).high < NOT_FOUND
    if language is not None and clear and language.miss_synthetic.at(index).low > TOLERANCE:
        return "ambiguous", (
            f" The prompt finds {language.natural[index]:.0%} of the natural images and {language.synthetic[index]:.0%}"
            f" of the synthetic ones (usual {language.synthetic_usual:.0%}): the encoder reads it as it is meant, the"
            " generator otherwise."
        )
    senses = signs.case.senses.get(signs.order[index], ())
    if len(senses) > 1 and moved and share < 0.5:
        return "ambiguous", f" The name has {len(senses)} senses, and no class of the list explains the images."
    return "wrong-concept", ""


def _wording(signs: Signs, index: int) -> Candidate | None:
    """The prompt means something else than the natural class: concept-missing or wrong-concept (M Table 4)."""
    language = signs.language
    if language is None:
        return None
    missing_n, missing_s, gap = (
        part.at(index) for part in (language.miss_natural, language.miss_synthetic, language.gap)
    )
    found = (
        f"With the prompts as references, {language.natural[index]:.0%} of the natural images are found"
        f" (usual {language.natural_usual:.0%}) and {language.synthetic[index]:.0%} of the synthetic ones (usual {language.synthetic_usual:.0%})."
    )
    if min(missing_n.low, missing_s.low) > NOT_FOUND:
        severity = min(missing_n, missing_s, key=lambda sign: sign.value)
        return Candidate("concept-missing", severity, True, found, _without_concept(signs, index))
    concept = signs.concept
    differs = max(concept.loss.at(index).low, concept.shift.at(index).low) > 0
    if gap.low > TOLERANCE and missing_n.low > 0 and differs:
        evidence = f"{found} {_accuracy(signs, index)}; {_shift(signs, index)}. {_worst_images(signs, index)}"
        return Candidate("wrong-concept", gap, True, evidence, _rewording(signs, index, "wrong-concept"))
    return None


def _diversity(signs: Signs, index: int) -> Candidate | None:
    """The images are alike: over-adherent where a lower guidance mends it, else low-diversity."""
    ratio, coverage, copies = (
        part.at(index) for part in (signs.diversity.ratio, signs.diversity.coverage, signs.diversity.copies)
    )
    spread = Estimate(1 - ratio.value, 1 - ratio.high, 1 - ratio.low)
    # Images that miss the natural ones for lying elsewhere are not alike: coverage counts only with a smaller spread.
    deficits = [spread, copies] + ([coverage] if ratio.value < 1 else [])
    known = [sign for sign in deficits if sign.known]
    if not known:
        return None
    proven = [sign for sign in known if sign.low > TOLERANCE]
    if not proven:
        return _unproven(known)
    severity = max(proven, key=lambda sign: sign.value)
    evidence = f"{_spread(signs, index).capitalize()}; {_covered(signs, index)}; {_accuracy(signs, index)}."
    guidance, accuracy = signs.case.guidance_scale, float(signs.concept.accuracy[index])
    if guidance is not None and spread.low > TOLERANCE:
        remedy = find_remedy(index, guidance, signs.diversity.ratio, accuracy, signs.sweep, kept=TOLERANCE)
        if remedy is not None:
            evidence += f" At guidance {remedy.guidance_scale:g} diversity is {remedy.ratio:.2f} of natural and accuracy {remedy.accuracy:.2f}."
            suggestion = f"Draw at guidance {remedy.guidance_scale:g} instead of {guidance:g}."
            return Candidate("over-adherent", severity, True, evidence, suggestion)
        if any(point.guidance_scale < guidance for point in signs.sweep):
            evidence += " A lower guidance does not mend it with accuracy kept."
    return Candidate("low-diversity", severity, True, evidence, _diversify(signs, severity is copies))


def _diversify(signs: Signs, copied: bool) -> str:
    if copied:
        return "Remove the copies and draw again, a different seed for every image."
    guidance = signs.case.guidance_scale
    lower = (
        guidance is not None
        and guidance > LOW_GUIDANCE
        and not any(point.guidance_scale < guidance for point in signs.sweep)
    )
    try_lower = f" or draw at guidance {LOW_GUIDANCE:g} instead of {guidance:g} and compare" if lower else ""
    if signs.case.recipe == "augmented":
        return f"Give every image a prompt with more variety: places, views, sizes{try_lower}."
    return f"Use the recipe 'augmented'{try_lower}."


def _rewording(signs: Signs, index: int, cause: str) -> str:
    key, proposal = signs.order[index], signs.case.proposals.get(signs.order[index])
    if cause == "ambiguous":
        return (
            f"Say what is meant: '{proposal}'."
            if proposal
            else "Say which sense is meant: use the recipe 'hypernym' or 'definition'."
        )
    if proposal:
        return f"Rewrite the prompt towards the natural images, starting from '{proposal}'."
    return f"Rewrite the prompt of '{signs.case.natural_query.classes.get(key, key)}' towards the natural images, or check its labels."


def _without_concept(signs: Signs, index: int) -> str:
    return f"Use another encoder or generator for '{signs.name(index)}', or take natural images: the prompt does not reach this concept."


def _accuracy(signs: Signs, index: int) -> str:
    concept, (taken, share) = signs.concept, signs.concept.taken_for[index]
    mistaken = f", {share:.0%} nearest to '{signs.name(taken)}'" if taken >= 0 and share >= 0.1 else ""
    kept = concept.kept[index]
    back = f", {kept:.0%} without the shift that all classes share" if kept > concept.accuracy[index] + 0.1 else ""
    return (
        f"natural centroids recognise {concept.accuracy[index]:.0%} of its images"
        f" (of natural ones {concept.baseline[index]:.0%}){mistaken}{back}"
    )


def _shift(signs: Signs, index: int) -> str:
    return (
        f"its images lie {_share(signs.concept.shift.at(index))} of the way to another class beyond what is usual here"
    )


def _spread(signs: Signs, index: int) -> str:
    return f"diversity (centroid distance) is {_share(signs.diversity.ratio.at(index))} of natural"


def _covered(signs: Signs, index: int) -> str:
    found, usual = signs.diversity.covered[index], signs.diversity.covered_baseline[index]
    near = (
        f"{found:.0%} of natural images have one near (as many natural images: {usual:.0%})"
        if np.isfinite(found)
        else ""
    )
    total = signs.synthetic.counts[index]
    alike = total - round(signs.diversity.distinct[index])
    copies = f"{alike:.0f} of {total:.0f} images are copies of another" if alike else ""
    return "; ".join(part for part in (near, copies) if part) or "no copies"


def _share(estimate: Estimate) -> str:
    return f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"


def _sizes(signs: Signs, index: int) -> str:
    return f"({signs.synthetic.counts[index]:.0f} synthetic and {signs.natural.counts[index]:.0f} natural images.)"


def _worst_images(signs: Signs, index: int) -> str:
    """Keys of the images that lie furthest from the natural class."""
    rows = signs.synthetic.rows[index]
    centre = signs.reference.of(index).mean(dim=0)
    furthest = (signs.synthetic.e[rows] @ centre).argsort(stable=True)[:3]
    keys = ", ".join(signs.synthetic.image_keys[int(rows[at])] for at in furthest)
    return f"Furthest off: {keys}."
