import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from synthgap.core.config import load_spec, parse_override, read_yaml
from synthgap.core.errors import InputError
from synthgap.core.specs import EncoderSpec, GenerateSpec, MeasureSpec, Spec


class Study(Spec):
    sets: tuple[GenerateSpec, ...] = ()
    by_name: dict[str, GenerateSpec] = Field(default_factory=dict)
    mixed: tuple[GenerateSpec | EncoderSpec, ...] = ()
    number: int | tuple[int, ...] | None = None
    encoder: EncoderSpec = EncoderSpec()
    measure: MeasureSpec | None = None


def message(source: Any, *overrides: str) -> str:
    with pytest.raises(InputError) as caught:
        load_spec(Study, source, overrides)
    text = str(caught.value)
    assert "\n" not in text
    return text


def yaml_file(folder: Path, text: str | bytes) -> Path:
    path = folder / "study.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_an_unknown_key_is_answered_with_the_nearest_and_its_place(tmp_path: Path) -> None:
    path = yaml_file(tmp_path, "sets:\n- {}\n- {}\n- guidence_scale: 2\n")
    assert message(path) == f"{path}: sets.2.guidence_scale is not a known key; did you mean 'guidance_scale'?"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"by_name": {"a": {"sed": 1}}}, "by_name.a.sed is not a known key; did you mean 'seed'?"),
        (
            {"mixed": [{"guidence_scale": 1}]},
            "mixed.0.guidence_scale is not a known key; did you mean 'guidance_scale'?",
        ),
        ({"measure": {"knnn": 1}}, "measure.knnn is not a known key; did you mean 'knn'?"),
        ({"encoder": {"zzz": 1}}, "encoder.zzz is not a known key; known keys: dtype, encoder, revision"),
        ({"encoder": {"dtype": "float3"}}, "encoder.dtype is 'float3'; expected 'float32', 'bfloat16' or 'float16'"),
        ({"sets": [{"seed": -3}]}, "sets.0.seed is -3; expected greater than or equal to 0"),
        ({"sets": [{"seed": "many"}]}, "sets.0.seed is 'many'; expected a valid integer"),
        ({"sets": {"a": 1}}, "sets is a mapping; expected a valid tuple"),
        ({"measure": 3}, "measure is 3; expected a mapping of settings"),
        ({"number": [1, "a"]}, "number.1 is 'a'; expected a valid integer"),
        ({"sets": [{"guidance_scale": float("nan")}]}, "sets.0.guidance_scale is nan; expected a finite number"),
        ({"measure": {"knn": [1, None]}}, "measure.knn.1 is None; expected a valid integer"),
    ],
)
def test_a_wrong_value_is_one_line(data: dict[str, Any], expected: str) -> None:
    assert message(data).startswith(expected)


def test_an_unknown_key_comes_before_a_wrong_value_and_the_rest_is_counted() -> None:
    text = message({"encoder": {"dtype": "x", "revison": "y"}})
    assert text == "encoder.revison is not a known key; did you mean 'revision'? (and 1 more)"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a: 1\nb:\n  c: 1\n  c: 2\n", "line 4, column 3: the key 'c' is written twice"),
        ("a: [1\n", "line 2, column 1"),
        ("\tx: 1", "line 1, column 1"),
        ("x: !!python/object:os.system 3", "line 1, column 4"),
        ("a: *b", "line 1, column 4: found undefined alias 'b'"),
        ("? [1]\n: 2", "a key must be plain text"),
    ],
)
def test_bad_yaml_names_the_place(tmp_path: Path, text: str, place: str) -> None:
    path = yaml_file(tmp_path, text)
    assert message(path).startswith(f"{path}, ")
    assert place in message(path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"\xff\xfe", "not UTF-8 text at byte 0"),
        (b"- 1", "holds a list at the top"),
        (b"d: 2020-13-45", "month must be in 1..12"),
        (b"a\x00b: 1", "not YAML"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_a_file_that_is_no_yaml_mapping(tmp_path: Path, text: bytes, expected: str) -> None:
    assert expected in message(yaml_file(tmp_path, text))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    assert "no such file" in message(tmp_path / "missing.yaml")
    assert "cannot be read: Is a directory" in message(tmp_path)


def test_yaml_merge_keys_and_an_empty_file_are_fine(tmp_path: Path) -> None:
    path = yaml_file(tmp_path, "sets:\n- &one {seed: 3, per_class: 9}\n- {<<: *one, seed: 4}\n")
    assert [(one.seed, one.per_class) for one in load_spec(Study, path).sets] == [(3, 9), (4, 9)]
    assert load_spec(Study, yaml_file(tmp_path, "")) == Study() == load_spec(Study)


def test_overrides_win_over_the_file_and_over_each_other(tmp_path: Path) -> None:
    path = yaml_file(tmp_path, "sets:\n- {seed: 3}\n- {seed: 5}\n")
    study = load_spec(Study, str(path), ["sets.1.seed=7", "measure.knn=[1, 3]", "sets.1.seed=8", "encoder.encoder=x=y"])
    assert [one.seed for one in study.sets] == [3, 8]
    assert study.measure == MeasureSpec(knn=(1, 3))
    assert study.encoder.encoder == "x=y"


def test_overrides_never_change_the_callers_data() -> None:
    data = {"sets": [{"seed": 3}]}
    load_spec(Study, data, ["sets.0.seed=4", "encoder.encoder=x"])
    assert data == {"sets": [{"seed": 3}]}


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        (
            "sets.2.guidence_scale=3",
            "--set sets.2.guidence_scale=3: sets is a list of 1; expected a position below that",
        ),
        ("sets.x.seed=3", "--set sets.x.seed=3: sets is a list of 1"),
        ("sets.0.guidence_scale=3", "--set sets.0.guidence_scale is not a known key; did you mean 'guidance_scale'?"),
        ("sets.0.seed.low=3", "--set sets.0.seed.low=3: sets.0.seed is 3, which has no parts to set"),
        ("sets.0.seed=[1", "--set sets.0.seed=[1, line 1"),
        ("seed", "--set seed: expected key=value"),
        ("=3", "--set =3: expected key=value"),
        ("a..b=3", "--set a..b=3: expected key=value"),
    ],
)
def test_a_wrong_override_is_one_line(override: str, expected: str) -> None:
    assert message({"sets": [{"seed": 3}]}, override).startswith(expected)


def test_a_mistake_in_the_file_is_told_of_the_file_also_with_overrides(tmp_path: Path) -> None:
    path = yaml_file(tmp_path, "encoder: {dtype: x}")
    assert message(path, "sets=[]").startswith(f"{path}: encoder.dtype")


@pytest.mark.parametrize(
    ("text", "value"), [("1e-1", "1e-1"), ("0.5", 0.5), ("true", True), ("", None), ("a b", "a b"), ("[1, 2]", [1, 2])]
)
def test_override_values_are_yaml(text: str, value: Any) -> None:
    assert parse_override(f"a.b={text}") == (("a", "b"), value)


def test_read_yaml_returns_plain_data(tmp_path: Path) -> None:
    assert read_yaml(yaml_file(tmp_path, "a: {b: [1, x]}")) == {"a": {"b": [1, "x"]}}


def test_every_spec_key_can_be_set_by_a_dotted_override() -> None:
    for name, field in GenerateSpec.model_fields.items():
        default = list(field.default) if isinstance(field.default, tuple) else field.default
        text = repr(default) if not isinstance(default, str) else f"'{default}'"
        value = "null" if field.default is None else text
        spec = load_spec(Study, {}, [f"by_name.x.{name}={value}"]).by_name["x"]
        assert getattr(spec, name) == field.default
        assert re.fullmatch(r"[a-z_]+", name)
