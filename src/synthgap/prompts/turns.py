"""Turns: which recipe of a mixture an image gets, and which of that recipe's prompts."""

from __future__ import annotations

from synthgap.core.seeds import EVAL_INDEX


def share(index: int, recipes: int) -> tuple[int, int]:
    """The recipe whose turn it is, and the image's index among that recipe's images of the split.

    Image k of a split goes to recipe k mod R as its image k div R, so that every recipe covers its own prompts in turn.

    >>> share(8, 3), share(EVAL_INDEX + 8, 3) == (2, EVAL_INDEX + 2)
    ((2, 2), True)
    """
    first = EVAL_INDEX if index >= EVAL_INDEX else 0
    turns, recipe = divmod(index - first, recipes)
    return recipe, first + turns


def place(index: int, count: int) -> int:
    """Which of a recipe's ``count`` prompts an image gets, in [0, count).

    Train images take them from the first one on and eval images from the last one back, each beginning again after
    ``count``; so the two splits share no prompt until together they exceed them, and neither moves when one grows.

    >>> [place(index, 3) for index in (0, 1, 2, 3, EVAL_INDEX, EVAL_INDEX + 1)]
    [0, 1, 2, 0, 2, 1]
    """
    position = index if index < EVAL_INDEX else EVAL_INDEX - 1 - index
    return position % count
