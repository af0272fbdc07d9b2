import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthgap.store.keys import (
    check_shard,
    class_keys,
    eval_split,
    is_safe,
    printable,
    safe_key,
    shard_name,
    shard_split,
    train_split,
)
from synthgap.store.match import align_classes

ANY_NAME = st.text(st.characters(exclude_characters="\0/"), min_size=1, max_size=40) | st.sampled_from(
    ["con", "NUL.txt", "..", ".", "-rf", "a.", "🐸", "a\nb", "caf\udce9", "'", '"; drop', "n02012849", "x" * 300]
)


@given(ANY_NAME)
def test_safe_keys_are_safe_and_stay(name: str) -> None:
    key = safe_key(name)
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.~-]{0,99}", key)
    assert key == safe_key(name)
    assert (key == name) == is_safe(name)
    check_shard(shard_name("train", key, 99_999))


@given(st.sets(ANY_NAME, max_size=8))
def test_different_names_have_different_keys(names: set[str]) -> None:
    assert len({safe_key(name) for name in names}) == len(names)
    assert len({key for key, _ in class_keys(names).values()}) == len(names)


@pytest.mark.parametrize("name", ["con", "Nul.txt", "COM1", "a.", ".hidden", "-rf", "", "a/b", "a b", "é", "x" * 101])
def test_what_some_system_cannot_hold_is_not_safe(name: str) -> None:
    assert not is_safe(name)


@given(ANY_NAME)
def test_printable_text_can_be_written_anywhere(name: str) -> None:
    printable(name).encode("utf-8")


def test_wordnet_ids_in_folder_names() -> None:
    assert class_keys(["n02085620-Chihuahua", "n02012849", "n03126707_crane_machine", "frog"]) == {
        "n02085620-Chihuahua": ("n02085620", "Chihuahua"),
        "n02012849": ("n02012849", "n02012849"),
        "n03126707_crane_machine": ("n03126707", "crane machine"),
        "frog": ("frog", "frog"),
    }


def test_a_wordnet_id_twice_is_no_key() -> None:
    found = class_keys(["n02085620-a", "n02085620-b", "n01639765", "n01639765-frog"])
    assert [key for key, _ in found.values()] == ["n02085620-a", "n02085620-b", "n01639765", "n01639765-frog"]


@pytest.mark.parametrize("shard", ["x", "train/../x", "../x-0", "train/a/b", "train/.x", "train/", "/x", "train/a\nb"])
def test_a_shard_cannot_leave_its_folder(shard: str) -> None:
    with pytest.raises(ValueError, match="expected '<split>/<class_key>-<block>'"):
        check_shard(shard)


def test_shard_names() -> None:
    assert shard_name("eval", "odd~1", 12) == "eval/odd~1-00012"
    assert shard_split("eval/odd~1-00012") == "eval"


def test_which_split_is_for_what() -> None:
    assert eval_split(("train", "test", "val")) == "val"
    assert eval_split(("train", "eval", "test")) == "eval"
    assert eval_split(("train",)) is None
    assert train_split(("val", "train")) == "train"
    assert train_split(("mine", "val")) == "mine"
    assert train_split(("val", "test")) is None


def test_classes_meet_by_key_and_then_by_name() -> None:
    natural = {"frog": "frog", "n02012849": "crane", "toy_dog": "toy_dog", "only": "only"}
    synthetic = {"n01639765": "Frog", "n02012849": "the bird", "x": "Toy dog", "other": "other"}
    assert align_classes(natural, synthetic) == (
        [("frog", "n01639765", "frog"), ("n02012849", "n02012849", "crane"), ("toy_dog", "x", "toy_dog")],
        ["only"],
        ["other"],
    )


def test_two_senses_of_a_name_are_never_guessed() -> None:
    senses = {"n02012849": "crane", "n03126707": "crane"}
    assert align_classes({"crane": "crane"}, senses) == ([], ["crane"], ["n02012849", "n03126707"])
    assert align_classes(senses, {"crane": "crane"}) == ([], ["n02012849", "n03126707"], ["crane"])


def test_a_key_of_one_and_a_name_of_another_are_not_mixed() -> None:
    """'b' is a key in both sets; the class named 'b' under another key stays alone."""
    assert align_classes({"a": "b", "b": "c"}, {"b": "x"}) == ([("b", "b", "c")], ["a"], [])


@given(st.dictionaries(st.sampled_from("abcdef"), st.sampled_from(["x", "y", "Z", "z"])),
       st.dictionaries(st.sampled_from("defghi"), st.sampled_from(["x", "y", "z", "W"])))  # fmt: skip
def test_every_class_is_in_exactly_one_place(a: dict[str, str], b: dict[str, str]) -> None:
    pairs, only_a, only_b = align_classes(a, b)
    assert sorted([key for key, _, _ in pairs] + only_a) == sorted(a)
    assert sorted([key for _, key, _ in pairs] + only_b) == sorted(b)
    assert align_classes(b, a)[0] == [(y, x, b[y]) for y in b for x, other, _ in pairs if other == y]


@pytest.mark.parametrize("text", ["red fox", "a/b", "n01234567", "", "..", "é" * 300, "x~1", "con"])
def test_a_key_of_ours_keeps_its_name(text: str) -> None:
    assert safe_key(safe_key(text)) == safe_key(text)
