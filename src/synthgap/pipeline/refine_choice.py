"""Which changed classes a set is better off without, asked of a classifier that is trained on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

MOST_TRIED = 40
"""Changed classes up to which they are brought back one by one; of more, all are."""

Accuracy = Callable[[Sequence[str]], float | None]
"""Accuracy on natural images of a classifier trained on the set with these classes changed; None where there is none."""


def without_losses(accuracy: Accuracy, changed: Sequence[str]) -> Mapping[str, str]:
    """Bring classes back until a classifier trained on the set does as well as with none of them changed.

    A class may look nearer to natural by itself and yet teach less, or take other classes' images: only all classes
    together tell. The class without which the accuracy is highest goes first.

    Args:
        accuracy: Of the set with some classes changed.
        changed: Classes to choose from.

    Returns:
        The classes to bring back, each with the reason.
    """
    left, back = list(changed), dict[str, str]()
    before, after = accuracy([]), accuracy(left)
    while left and before is not None and after is not None and after < before:
        reason = (
            f"a classifier trained on the set is right for {before:.3f} of the steering half before, {after:.3f} after"
        )
        if len(left) > MOST_TRIED:
            return dict.fromkeys(changed, reason)
        without = {key: accuracy([other for other in left if other != key]) or 0.0 for key in left}
        worst = max(left, key=lambda key: without[key])
        back[worst] = f"{reason}, {without[worst]:.3f} without this class"
        left.remove(worst)
        after = without[worst]
    return back
