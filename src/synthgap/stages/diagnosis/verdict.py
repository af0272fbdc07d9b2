"""From the signs of one class to its cause, severity, evidence and what to change (design section 6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from synthgap.core.records import Finding
from synthgap.stages.diagnosis import advice
from synthgap.stages.diagnosis.advice import Advice
from synthgap.stages.diagnosis.case import Case, Sample
from synthgap.stages.diagnosis.concept import Concept
from synthgap.stages.diagnosis.diversity import Diversity
from synthgap.stages.diagnosis.intervals import UNKNOWN, Estimate
from synthgap.stages.diagnosis.language import Language, OtherSense, find_other_sense, other_sense_class
from synthgap.stages.diagnosis.mixture import Mixture, find_mixture
from synthgap.stages.diagnosis.sweep import SweepPoint, find_remedy, find_rise

TOLERANCE = 0.15
"""Of what natural images have, the share whose loss is not worth acting on. A fault is flagged when its figure is
beyond this and its whole interval above zero: one that does not matter and one that chance may have made are not."""
ALIKE = 0.05
"""The interval of lost diversity must be beyond this: of few images with far ones among them it is a little narrow."""
ANOTHER_CONCEPT = 0.5
"""From half of the images, or half of the way to another class, on, the images show something else."""
TOWARDS_SYNTHETIC = 0.5
"""From half of the way from the natural to the synthetic images on, a prompt means what is drawn."""
MOST = 0.5
"""A class of the list explains the images if this share of those that are lost is taken for it."""
TO_MIDDLE = 0.75
"""From this share of its squared shift on, a class has moved to the middle of all classes, and not to a concept: of
equally distant classes a concept has 0.5 to 0.6."""
SCATTERED = 2 / 3
"""Images are lost to no class in particular if less than this share of them is taken for one."""
UNCERTAIN = 0.5
"""A sound class whose interval reaches further than this is said to have too few images."""
NOT_FOUND = 0.4
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
    few: int
    """A class with fewer images, natural or synthetic, is not called sound."""

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
    advice: Advice


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
    text, change = main.advice.text, main.advice.change
    return Finding(signs.order[index], main.cause, value, True, text, evidence, low, high, change)


def _sound(signs: Signs, index: int, known: Sequence[Candidate]) -> Finding:
    """No fault is certain: within what natural images differ by, or too few images to tell."""
    key, sizes = signs.order[index], _sizes(signs, index)
    proven = max([0.0, *(one.severity.low for one in known)])
    possible = min([1.0, max([proven, *(one.severity.high for one in known)])]) if known else 1.0
    if not known or min(signs.synthetic.counts[index], signs.natural.counts[index]) < signs.few:
        evidence = f"Not judged: too few images to tell; a loss of up to {possible:.0%} is possible. {sizes}"
        return Finding(key, "sound", float("nan"), False, advice.more_images().text, evidence, 0.0, possible)
    evidence = f"Within what natural images differ by: {_accuracy(signs, index)}; {_spread(signs, index)}.{_same_prompt(signs, index)}"
    told = advice.nothing()
    if possible > UNCERTAIN:
        evidence += f" So few images leave room for a loss of up to {possible:.0%}."
        told = advice.nothing_yet()
    return Finding(key, "sound", min(TOLERANCE, proven), False, told.text, f"{evidence} {sizes}", 0.0, possible)


def _proven(sign: Estimate, certain: float = 0.0) -> bool:
    """Whether a loss is certain, and large enough to act on; false where it is not known."""
    return sign.low > certain and sign.value > TOLERANCE


def _unproven(known: Sequence[Estimate]) -> Candidate:
    """What the signs of a cause leave open where none of them holds."""
    low, value, high = (max(getattr(sign, end) for sign in known) for end in ("low", "value", "high"))
    return Candidate("sound", Estimate(value, low, high), False, "", advice.nothing())


def _concept(signs: Signs, index: int) -> Candidate | None:
    """The images do not show what the natural class shows: ambiguous or wrong-concept."""
    loss, shift, astray = (part.at(index) for part in (signs.concept.loss, signs.concept.shift, signs.concept.astray))
    moved = _proven(shift) and bool(signs.concept.outlying[index])
    other = _other_sense(signs, index, loss, shift)
    proven = [sign for sign in (loss, astray, other.more if other else UNKNOWN) if _proven(sign)]
    proven += [shift] if moved else []
    severity = max(proven, key=lambda sign: sign.value) if proven else loss
    if other is None and not _same_prompt(signs, index):
        unguided = _under_adherent(signs, index, severity, proven=bool(proven))
        if unguided is not None:
            return unguided
    if not proven:
        known = [sign for sign in (loss, shift) if sign.known]
        return _unproven(known) if known else None
    mixture = find_mixture(signs.reference.of(index), signs.query.of(index), signs.synthetic.of(index))
    cause, reason = _which(signs, index, other, mixture, moved=moved)
    aside = f"; {astray.value:.0%} more of them than of natural ones lie off to one side" if _proven(astray) else ""
    evidence = f"{_accuracy(signs, index)}; {_shift(signs, index)}{aside}.{reason} {_worst_images(signs, index)}"
    return Candidate(cause, severity, True, evidence, _rewording(signs, index, cause))


def _under_adherent(signs: Signs, index: int, severity: Estimate, *, proven: bool) -> Candidate | None:
    """The images lose the class for none in particular, at a guidance that is low: a higher one is the remedy.

    A sweep proves it where accuracy clearly rises with guidance. Without one the loss must be ``proven``, the guidance
    below the generator's own, the images as varied as natural ones, and no other class behind most of those that are lost.
    """
    concept, guidance, usual = signs.concept, signs.case.guidance_scale, signs.case.usual_guidance
    lost = concept.loss.at(index).value > TOLERANCE
    if guidance is None or not lost or not concept.to_middle[index] >= TO_MIDDLE:
        return None
    taken, share = concept.taken_for[index]
    evidence = (
        f"{_accuracy(signs, index)}; {concept.to_middle[index]:.0%} of its shift points to the middle of all classes, not"
        f" to one of them; {_spread(signs, index)}. {_worst_images(signs, index)}"
    )
    higher = [point for point in signs.sweep if point.guidance_scale > guidance]
    if higher:
        rise = find_rise(index, guidance, concept, higher)
        if rise is None:
            return None
        told = advice.set_guidance(guidance, rise.guidance_scale)
        return Candidate("under-adherent", severity, True, f"{evidence} {rise.words}", told)
    narrow = _proven(_lost_spread(signs, index), ALIKE)
    explained = taken >= 0 and share >= SCATTERED * (1 - concept.accuracy[index])
    if not proven or usual is None or guidance >= usual or narrow or explained:
        return None
    evidence += f" No higher guidance was drawn that could prove that guidance {guidance:g} is the cause."
    return Candidate("under-adherent", severity, True, evidence, advice.raise_guidance(guidance, usual))


def _other_sense(signs: Signs, index: int, loss: Estimate, shift: Estimate) -> OtherSense | None:
    """Another sense that the images show, if they also differ from the natural ones: texts alone may mislead."""
    senses = signs.case.sense_embeddings.get(signs.order[index], ())
    if not (_proven(loss) or _proven(shift)):
        return None
    other = find_other_sense(signs.natural.of(index), signs.synthetic.of(index), senses)
    return other if other is not None and _proven(other.more) else None


def _which(
    signs: Signs, index: int, other: OtherSense | None, mixture: Mixture | None, *, moved: bool
) -> tuple[str, str]:
    """Ambiguous or wrong-concept, and why; ``moved`` when the images lie elsewhere and are not only told less well."""
    taken, share = signs.concept.taken_for[index]
    if words := _same_prompt(signs, index):
        return "ambiguous", words
    if other is not None:
        words = f" {other.share:.0%} of the images lie nearer to '{other.sense}' than to the class's own sense (natural {other.share_natural:.0%})."
        return "ambiguous", words
    sense = other_sense_class(signs.order[index], signs.order[taken], signs.case.senses) if taken >= 0 else None
    if sense and share > TOLERANCE:
        return "ambiguous", f" {share:.0%} are taken for another sense of the same name ({sense})."
    shown, lost = signs.concept.shows[index], 1 - signs.concept.accuracy[index]
    if shown >= 0 and share >= MOST * lost:
        return "wrong-concept", f" Those taken for '{signs.name(shown)}' lie where its natural images do."
    if mixture is not None:
        return "ambiguous", (
            f" The images fall into two clusters, {mixture.apart:.1f} standard deviations apart (natural cut the same"
            f" way: {mixture.apart_natural:.1f}); {mixture.share_off:.0%} lie in the one that natural images do not share."
        )
    language = signs.language
    if language is None:
        return _by_name(signs, index, share, moved=moved)
    leaning = language.leaning.at(index)
    if leaning.value <= TOWARDS_SYNTHETIC and language.gap.at(index).low <= 0:
        return "ambiguous", (
            f" The prompt finds {language.natural[index]:.0%} of the natural images and {language.synthetic[index]:.0%}"
            f" of the synthetic ones (usual {language.synthetic_usual:.0%}): the encoder reads it as it is meant, the"
            f" generator otherwise.{_doubt(leaning)}"
        )
    cause, words = _by_name(signs, index, share, moved=moved)
    return cause, words or _doubt(leaning)


def _by_name(signs: Signs, index: int, share: float, *, moved: bool) -> tuple[str, str]:
    """Ambiguous where the name has several senses and nothing else explains the images, else wrong-concept."""
    senses = signs.case.senses.get(signs.order[index], ())
    if len(senses) > 1 and moved and share < 0.5:
        return "ambiguous", f" The name has {len(senses)} senses, and no class of the list explains the images."
    return "wrong-concept", ""


def _doubt(leaning: Estimate) -> str:
    """Says so where the prompt may mean what is drawn as well as what is natural."""
    if not leaning.known or not leaning.low <= TOWARDS_SYNTHETIC <= leaning.high:
        return ""
    return (
        f" Ambiguous and wrong-concept cannot be told apart here: the prompt lies {_share(leaning)} of the way from the"
        " natural to the synthetic images."
    )


def _same_prompt(signs: Signs, index: int) -> str:
    """A sentence where another class is drawn from the very same prompts; else nothing."""
    twin = -1 if signs.language is None else signs.language.twin[index]
    return f" It is drawn from the same prompt as '{signs.name(twin)}'." if twin >= 0 else ""


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
    both = (missing_n, missing_s)
    if all(sign.low > TOLERANCE and sign.value > NOT_FOUND for sign in both):
        severity = min(missing_n, missing_s, key=lambda sign: sign.value)
        return Candidate("concept-missing", severity, True, found, advice.without_concept(signs.name(index)))
    concept = signs.concept
    differs = max(concept.loss.at(index).low, concept.shift.at(index).low) > 0
    if _proven(gap) and missing_n.low > 0 and differs:
        evidence = f"{found} {_accuracy(signs, index)}; {_shift(signs, index)}. {_worst_images(signs, index)}"
        same = _same_prompt(signs, index)
        cause = "ambiguous" if same else "wrong-concept"
        return Candidate(cause, gap, True, evidence + same, _rewording(signs, index, cause))
    return None


def _diversity(signs: Signs, index: int) -> Candidate | None:
    """The images are alike: over-adherent where a lower guidance mends it, else low-diversity."""
    all_signs = signs.diversity
    coverage, copies, varied = (part.at(index) for part in (all_signs.coverage, all_signs.copies, all_signs.varied))
    spread = _lost_spread(signs, index)
    # Images that miss the natural ones for lying elsewhere are not alike: coverage counts only with a smaller spread.
    deficits = [spread, copies, varied] + ([coverage] if spread.value > 0 else [])
    known = [sign for sign in deficits if sign.known]
    if not known:
        return None
    proven = [sign for sign in known if _proven(sign, ALIKE)]
    if not proven:
        return _unproven(known)
    severity = max(proven, key=lambda sign: sign.value)
    evidence = f"{_spread(signs, index).capitalize()}; {_covered(signs, index)}; {_accuracy(signs, index)}."
    if severity is copies:
        return Candidate("low-diversity", severity, True, evidence, advice.drop_copies())
    guidance = signs.case.guidance_scale
    lower = [point for point in signs.sweep if guidance is not None and point.guidance_scale < guidance]
    if guidance is not None and lower and _proven(spread, ALIKE):
        remedy = find_remedy(index, guidance, signs.diversity.ratio, signs.concept, lower, kept=TOLERANCE)
        if remedy is not None:
            evidence += f" {remedy.words}"
            if remedy.kept:
                told = advice.set_guidance(guidance, remedy.guidance_scale)
                return Candidate("over-adherent", severity, True, evidence, told)
    if guidance is not None and guidance > advice.LOW_GUIDANCE and not lower:
        evidence += f" No lower guidance was drawn that could tell whether guidance {guidance:g} is the cause."
    told = advice.diversify(signs.case.recipe, guidance, lower_was_tried=bool(lower))
    return Candidate("low-diversity", severity, True, evidence, told)


def _lost_spread(signs: Signs, index: int) -> Estimate:
    ratio = signs.diversity.ratio.at(index)
    return Estimate(1 - ratio.value, 1 - ratio.high, 1 - ratio.low)


def _rewording(signs: Signs, index: int, cause: str) -> Advice:
    proposal = signs.case.proposals.get(signs.order[index])
    if cause == "ambiguous":
        return advice.say_the_sense(signs.case.recipe, proposal)
    return advice.rewrite(signs.name(index), proposal)


def _accuracy(signs: Signs, index: int) -> str:
    concept, (taken, share) = signs.concept, signs.concept.taken_for[index]
    mistaken = f", {share:.0%} nearest to '{signs.name(taken)}'" if taken >= 0 and share >= 0.1 else ""
    kept = concept.kept.value[index]
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
    share = signs.diversity.varied.value[index]
    varied = f"{share:.0%} more of them than of natural ones vary an earlier one" if share > TOLERANCE else ""
    return "; ".join(part for part in (near, copies, varied) if part) or "no copies"


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
