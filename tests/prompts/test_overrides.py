"""Clarified prompts: the shipped examples of the paper, and files of users, wrong ones included."""

import pytest

from synthgap.core.errors import InputError
from synthgap.core.records import ClassEntry
from synthgap.prompts import Override, load_overrides, read_overrides, shipped_overrides
from synthgap.vocabulary import class_list, synset

GOOD = """
version: 1
overrides:
  - class: crane.n.05
    old: crane
    new: a large  grey
      crane bird
    why: also a machine
    who: me
  - {class: my_widget, old: my widget, new: a small grey widget}
"""


def write(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(text, "utf-8")
    return path


def test_the_shipped_examples_are_the_papers():
    shipped = shipped_overrides()
    assert shipped["n02012849"] == "a crane bird"
    assert shipped["n01580077"] == "a bird of type jay"
    assert shipped["n02895154"] == "breastplate"
    assert shipped["n03786901"] == "mortar and pestle"
    assert {synset(key).lemmas[0] for key in shipped} >= {"drake", "African chameleon", "whiskey jug"}
    assert set(shipped) <= {entry.class_key for entry in class_list("imagenet-1k")}


def test_shipped_examples_cannot_be_changed_by_a_caller():
    shipped_overrides().pop("n02012849")
    assert "n02012849" in shipped_overrides()


def test_a_users_file(tmp_path):
    path = write(tmp_path, GOOD)
    assert load_overrides(path) == {"n02012849": "a large grey crane bird", "my_widget": "a small grey widget"}
    assert read_overrides(path)[0] == Override("n02012849", "crane", "a large grey crane bird", "also a machine", "me")


def test_an_empty_list_clarifies_nothing(tmp_path):
    assert load_overrides(write(tmp_path, "version: 1\noverrides:\n")) == {}
    assert load_overrides(write(tmp_path, "version: 1\noverrides: []\n")) == {}


def test_the_old_prompt_of_a_users_own_class_is_checked_when_it_is_known(tmp_path):
    renamed = ClassEntry("my_widget", "my gadget", ("my gadget",))
    with pytest.raises(InputError, match="'old' is 'my widget', but the prompt of my_widget is 'my gadget'"):
        load_overrides(write(tmp_path, GOOD), [renamed])


def row(**changes):
    fields = {"class": "n02012849", "old": "crane", "new": "a crane bird"} | changes
    inner = ", ".join(f"{key}: {value}" for key, value in fields.items() if value is not None)
    return f"version: 1\noverrides:\n  - {{{inner}}}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("version: 2\noverrides: []\n", "version is 2; expected 1"),
        ("overrides: []\n", "version is None; expected 1"),
        ("version: 1\noverides: []\n", "unknown key 'overides'; did you mean 'overrides'?"),
        ("version: 1\noverrides: crane\n", "'overrides' is no list"),
        ("version: 1\noverrides: [crane]\n", "override 1 is 'crane'; expected the keys class, old"),
        ("- crane\n", "holds no mapping"),
        ("version: [1\n", "is not YAML"),
        (row(nwe="x"), "override 1: unknown key 'nwe'; did you mean 'new'?"),
        (row(new=None), "override 1: 'new' is missing"),
        (row(new="''"), "override 1: 'new' is missing"),
        (row(new=3), "override 1: 'new' is 3; expected text"),
        (
            row(old="crane bird"),
            "'old' is 'crane bird', but the prompt of n02012849 is 'crane'; check that 'new' still fits",
        ),
        (row(**{"class": "n02012848"}), "override 1: 'n02012848' is not the id of a WordNet 3.0 noun; did you mean"),
        (row(**{"class": "crane.n.09"}), "override 1: 'crane.n.09': 'crane' has 5 noun senses"),
        (row(**{"class": "dog"}), "'dog' is a word and not a class; write one of its senses, such as dog.n.01"),
        (row(**{"class": "../etc"}), "'../etc' is no class"),
        (row() + "  - {class: crane.n.05, old: crane, new: x}\n", "override 2: n02012849 is clarified twice"),
    ],
)
def test_wrong_files_are_answered_with_file_place_and_next_step(tmp_path, text, message):
    path = write(tmp_path, text)
    with pytest.raises(InputError) as error:
        load_overrides(path)
    assert message in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_or_binary_file_is_answered(tmp_path):
    with pytest.raises(InputError, match="there is no overrides file"):
        load_overrides(tmp_path / "nothing.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="cannot be read"):
        load_overrides(tmp_path / "binary.yaml")
    with pytest.raises(InputError, match="cannot be read"):
        load_overrides(tmp_path)
