"""References with their classes: two tensors, or pairs of them block by block from a set that does not fit in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from torch import Tensor

from synthgap.metrics import _checks

Blocks = Iterable[tuple[Tensor, Tensor]]
"""Embeddings (n, d) and their labels (n,), each block asked for once and let go before the next."""


def labelled(
    reference: Tensor | Blocks, reference_labels: Tensor | None, query: Tensor, num_classes: int
) -> tuple[Iterator[tuple[Tensor, Tensor]], Tensor]:
    """Return the references in checked blocks, at least one row each, and the checked queries.

    Raises:
        ValueError: An argument is wrong; of blocks only when their turn comes.
    """
    if isinstance(reference, Tensor) or reference_labels is not None:
        reference = _checks.embeddings("reference", reference)  # type: ignore[arg-type]
        query = _checks.embeddings("query", query, width=reference.shape[1])
        if reference_labels is None:
            raise ValueError("reference_labels: found None; expected one label per reference")
        labels = _checks.labels("reference_labels", reference_labels, len(reference), num_classes)
        return iter([(reference, labels)] if len(reference) else []), query
    query = _checks.embeddings("query", query)
    return _checked(reference, query.shape[1], _checks.whole("num_classes", num_classes)), query


def _checked(blocks: Blocks, width: int, num_classes: int) -> Iterator[tuple[Tensor, Tensor]]:
    for number, (vectors, classes) in enumerate(blocks):
        name = f"reference block {number}"
        e = _checks.embeddings(name, vectors, width=width)
        labels = _checks.labels(name, classes, len(e), num_classes)
        if len(e):
            yield e, labels
