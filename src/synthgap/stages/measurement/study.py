"""The measurements of a whole comparison: every synthetic set against the natural one, and the natural baseline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from synthgap.core.records import Measurement
from synthgap.core.specs import MeasureSpec
from synthgap.stages.measurement.extras import measure_alone, measure_both
from synthgap.stages.measurement.measuring import measure_of_m, measure_own
from synthgap.stages.measurement.pair import Pair
from synthgap.stages.measurement.roles import at_most
from synthgap.stages.measurement.scores import measure_attribution
from synthgap.store.embeddings import EmbeddingSet

Roles = tuple[EmbeddingSet, EmbeddingSet]
"""References and queries of one set."""


def measure_study(
    natural: EmbeddingSet,
    synthetic: Sequence[EmbeddingSet],
    roles: Mapping[str, Roles],
    prompts: Mapping[str, Roles],
    spec: MeasureSpec,
) -> list[Measurement]:
    """Measure every synthetic set against the natural one, and attribute its error to shift and diversity.

    Args:
        natural: The natural set.
        synthetic: The synthetic sets.
        roles: References and queries of each set, the natural one included, by its name.
        prompts: Those of the prompts of a synthetic set, by its name, where they are known.
        spec: Neighbours, resamples, least images per class, seed.

    Returns:
        The rows of `measure` for each set, those of the natural set's own spread once, and ``error_total``,
        ``error_diversity`` and ``error_shift``. What depends on how many images there are, such as coverage and near
        duplicates, is measured as the baseline is: against the natural references, with at most as many images as the
        natural set holds out.
    """
    rows = measure_own(natural, natural, spec)
    reference, held_out = (part.renamed(natural.name) for part in roles[natural.name])
    for images in synthetic:
        pair = Pair(natural, images, spec)
        rows += measure_of_m(pair)
        same_size = at_most(images, Counter(held_out.class_keys), spec.seed)
        # A natural set of one image per class holds out none, and has no baseline to be like.
        rows += measure_both(Pair(reference, same_size, spec) if len(same_size) else pair)
        rows += measure_alone(pair)
        if images.name in prompts:
            references, (own, query) = prompts[images.name][0], roles[images.name]
            if set(references.class_keys) & set(own.class_keys) & set(query.class_keys):
                rows += measure_attribution(references, own, query, spec)
    return rows


def measure_baseline(
    natural: EmbeddingSet, roles: Roles, synthetic: EmbeddingSet, spec: MeasureSpec
) -> list[Measurement]:
    """Measure natural images against natural images as if they were a synthetic set of its size.

    Args:
        natural: The natural set.
        roles: Its references and queries; of the queries, as many per class as ``synthetic`` has, or all there are.
        synthetic: The set whose size counts.
        spec: Neighbours, resamples, least images per class, seed.

    Returns:
        The rows of `measure` with the query set's name followed by "(held out)"; none where no class has images for
        both parts. Figures of one set alone, for which no second part is needed, are of as many images of the whole
        natural set as ``synthetic`` has: most grow with their number, and a half may be too few.
    """
    reference, held_out = roles
    counts, name = Counter(synthetic.class_keys), f"{natural.name} (held out)"
    query = at_most(held_out, counts, spec.seed).renamed(name)
    if not set(reference.class_keys) & set(query.class_keys):
        return []
    whole = at_most(natural, counts, spec.seed).renamed(name)
    pair = Pair(reference, query, spec)
    of_m = [row for row in measure_of_m(pair) if row.metric != "centroid_distance"]
    return of_m + measure_both(pair) + measure_own(reference, whole, spec)
