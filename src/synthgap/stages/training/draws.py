"""Random numbers that depend on what they are for: (seed, pass, image), never on batch, process or restart.

Everything that is random in training comes from here or from a generator seeded for one step, so a checkpoint holds no
random state and a run that was killed goes on as if it had not been.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from synthgap.core.seeds import derived_seed

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _mixed(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's finaliser (Steele et al. 2014): a bijection of 64 bits in which every bit depends on every other."""
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


def uniforms(seed: int, passes: NDArray[np.int64], images: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """``count`` numbers in [0, 1) for each image in its pass: (b, count)."""
    with np.errstate(over="ignore"):
        state = _mixed(np.asarray([seed], dtype=np.uint64) + passes.astype(np.uint64) * _GOLDEN)
        state = _mixed(state + (images.astype(np.uint64) + np.uint64(1)) * _GOLDEN)
        steps = np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN
        bits = _mixed(state[:, None] + steps)
    found: NDArray[np.float64] = (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return found


@lru_cache(maxsize=4)
def order(seed: int, number: int, images: int) -> NDArray[np.int64]:
    """Permutation of the images in one pass over them."""
    one = np.asarray([number], dtype=np.int64)
    return np.argsort(uniforms(derived_seed(seed, "order"), one, one * 0, images)[0], kind="stable")


def chosen(seed: int, step: int, batch_size: int, images: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Images of one step and the pass that each belongs to, both (batch_size,).

    The passes follow each other without a gap, so no image is left out at the end of one, and the number of steps
    need not fit the number of images.
    """
    passes, places = np.divmod(np.arange(step * batch_size, (step + 1) * batch_size, dtype=np.int64), images)
    found = np.empty(batch_size, dtype=np.int64)
    for number in np.unique(passes):
        here = passes == number
        found[here] = order(seed, int(number), images)[places[here]]
    return found, passes
