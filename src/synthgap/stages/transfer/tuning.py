"""The choice of settings: Optuna's TPE on the validation images only, in batches, kept as plain JSON.

Every batch has a sampler of its own, seeded by its number, that sees all trials before it. So a study that was stopped
and goes on asks the very settings that it would have asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from synthgap.core.seeds import derived_seed

BATCH = 5
"""Trials that are asked for together: enough to share passes over the features, few enough for TPE to learn from."""

Settings = dict[str, float]


@dataclass(frozen=True)
class Trial:
    """One setting and how well it did."""

    settings: Settings
    accuracy: float
    """Top-1 on the validation images."""


def tune(
    ranges: Mapping[str, tuple[float, float]],
    score: Callable[[Sequence[Settings]], Sequence[float]],
    *,
    trials: int,
    seed: int,
    before: Sequence[Trial] = (),
    told: Callable[[list[Trial]], None] = lambda _: None,
) -> list[Trial]:
    """Try settings until there are so many trials.

    Args:
        ranges: bounds of each setting, on a logarithmic scale.
        score: accuracy on the validation images of each of a few settings.
        trials: how many in all; more that are there already stay.
        seed: of the sampler.
        before: trials of an earlier call with the same ranges and seed, in their order.
        told: called with all trials so far after each batch, to keep them.
    """
    found = list(before)
    while len(found) < trials:
        batch = ask(ranges, found, min(BATCH, trials - len(found)), seed)
        found += [Trial(one, float(value)) for one, value in zip(batch, score(batch), strict=True)]
        told(found)
    return found


def ask(ranges: Mapping[str, tuple[float, float]], found: Sequence[Trial], count: int, seed: int) -> list[Settings]:
    """The settings that TPE tries next, after those found."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = {name: optuna.distributions.FloatDistribution(*ends, log=True) for name, ends in ranges.items()}
    sampler = optuna.samplers.TPESampler(seed=derived_seed(seed, "trials", str(len(found))) % 2**32, constant_liar=True)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.add_trials(
        [
            optuna.trial.create_trial(params=dict(one.settings), distributions=dict(space), value=one.accuracy)
            for one in found
        ]
    )
    return [dict(study.ask(dict(space)).params) for _ in range(count)]


def best(trials: Sequence[Trial]) -> Trial:
    """The trial of the highest accuracy, the earliest of equals."""
    return max(trials, key=lambda one: one.accuracy)
