"""One seed per image, from what the image is and not from where or when it is drawn (design section 3)."""

from __future__ import annotations

import hashlib

EVAL_INDEX = 1_000_000_000
"""First image index of the eval split, so that growing the train split never moves an eval image's seed."""


def image_seed(run_seed: int, class_key: str, index: int) -> int:
    """Seed of one image's starting noise: an integer in [0, 2**63).

    It depends on the run seed, the class and the image's index only, so the same class and index keep the same
    noise when the prompt, the guidance, the batch, the worker or the restart changes (M Fig. 5).

    >>> image_seed(7, "n02121620", 0) == image_seed(7, "n02121620", 0) != image_seed(7, "n02121620", 1)
    True
    """
    digest = hashlib.sha256(f"{run_seed}\x1f{class_key}\x1f{index}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def derived_seed(run_seed: int, *names: str) -> int:
    """Seed for any other random choice (bootstrap, prompt modifiers, splits), named by what it is for: [0, 2**63)."""
    return image_seed(run_seed, "\x1f".join(names), -1)
