"""Which changed classes are brought back: until a classifier does as well as before, the costliest first."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from synthgap.pipeline import refine_choice
from synthgap.pipeline.refine_choice import without_losses


def additive(**gains: float):  # type: ignore[no-untyped-def]
    """An accuracy to which every changed class adds its own."""
    return lambda changed: round(0.5 + sum(gains[key] for key in changed), 6)


def test_nothing_is_brought_back_from_a_gain() -> None:
    assert without_losses(additive(a=0.1, b=-0.05), ["a", "b"]) == {}
    assert without_losses(additive(a=0.0), ["a"]) == {}


def test_the_costliest_goes_first_and_the_rest_stays() -> None:
    back = without_losses(additive(a=0.02, b=-0.05, c=-0.2, d=0.01), ["a", "b", "c", "d"])
    assert list(back) == ["c", "b"]
    assert (
        back["c"]
        == "a classifier trained on the set is right for 0.500 of the steering half before, 0.280 after, 0.480 without this class"
    )


def test_all_go_where_all_cost() -> None:
    assert set(without_losses(additive(a=-0.1, b=-0.1), ["a", "b"])) == {"a", "b"}


def test_classes_that_help_together_only_stay_together() -> None:
    def accuracy(changed: Sequence[str]) -> float:
        return {0: 0.5, 1: 0.4, 2: 0.6}[len(changed)]

    assert without_losses(accuracy, ["a", "b"]) == {}


def test_without_a_classifier_nothing_is_known() -> None:
    assert without_losses(lambda changed: None, ["a"]) == {}
    assert without_losses(additive(), []) == {}


def test_too_many_to_try_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refine_choice, "MOST_TRIED", 1)
    back = without_losses(additive(a=-0.1, b=0.05), ["a", "b"])
    assert set(back) == {"a", "b"}
