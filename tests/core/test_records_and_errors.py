import math

import pytest
from pydantic import ValidationError

from synthgap.core import errors
from synthgap.core.records import ClassEntry, Finding, Measurement, Prompt
from synthgap.core.specs import EncoderSpec, GenerateSpec, MeasureSpec, Resources


def test_exit_codes_and_the_tree() -> None:
    assert errors.InputError("x").exit_code == 2
    assert errors.RunError("x").exit_code == 1
    assert issubclass(errors.FingerprintError, errors.InputError)
    assert issubclass(errors.MissingExtra, errors.InputError)
    assert not issubclass(errors.RunError, errors.InputError)
    assert errors.FingerprintError("x").exit_code == 2


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ("guidence_scale", "; did you mean 'guidance_scale'?"),
        ("sed", "; did you mean 'seed'?"),
        ("qqqqqq", ""),
        ("", ""),
    ],
)
def test_nearest(wrong: str, hint: str) -> None:
    assert errors.nearest(wrong, ["guidance_scale", "seed"]) == hint


def test_an_unmeasured_measurement_is_not_zero() -> None:
    assert math.isnan(Measurement("m", "r", "q", "overall", float("nan")).ci_low)


@pytest.mark.parametrize(
    "record",
    [
        ClassEntry("n1", "cat", ("cat",)),
        Prompt("n1", 0, "a cat", "name"),
        Measurement("m", "r", "q", "c", 1.0),
        Finding("c", "sound", 0.0, False, "", ""),
    ],
)
def test_records_are_frozen(record: object) -> None:
    with pytest.raises(AttributeError):
        record.class_key = "other"  # type: ignore[attr-defined]


@pytest.mark.parametrize("cls", [GenerateSpec, EncoderSpec, MeasureSpec, Resources])
def test_specs_are_frozen_strict_and_described(cls: type[GenerateSpec]) -> None:
    with pytest.raises(ValidationError, match="extra"):
        cls.model_validate({"no_such_key": 1})
    name = next(iter(cls.model_fields))
    with pytest.raises(ValidationError, match="frozen"):
        setattr(cls(), name, 1)
    assert all(field.description for field in cls.model_fields.values())


@pytest.mark.parametrize(
    "change", [{"guidance_scale": -1}, {"per_class": 0}, {"failure_budget": 1.5}, {"dtype": "int8"}]
)
def test_values_outside_their_range_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        GenerateSpec.model_validate(change)
