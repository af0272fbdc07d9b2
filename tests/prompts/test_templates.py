"""The user's templates: filled as written, never evaluated, and every mistake is one line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthgap.core.errors import InputError
from synthgap.core.records import ClassEntry
from synthgap.core.specs import GenerateSpec
from synthgap.prompts import PromptWriter, read_templates
from synthgap.prompts.templates import FIELDS
from synthgap.vocabulary import synset

ROBIN = synset("n01558993")
WIDGET = ClassEntry("my_widget", "my widget", ("my widget",))


def fill(text: str, entry: ClassEntry = ROBIN) -> str:
    return read_templates([text])[0].fill(entry)


def writer(*templates: str, entries: tuple[ClassEntry, ...] = (ROBIN,)) -> PromptWriter:
    return PromptWriter.of(GenerateSpec(recipe="template", template=templates), entries)


@pytest.mark.parametrize(
    ("template", "prompt"),
    [
        ("a photo of {name}", "a photo of robin, American robin, Turdus migratorius"),
        ("{first}, a {hypernym}", "robin, a thrush"),
        ("{first}: {definition}", "robin: large American thrush having a rust-red breast and abdomen"),
        ("{first}{first}", "robinrobin"),
        ("  a bird\n", "a bird"),
        ("{{first}} {{{first}}}", "{first} {robin}"),
        ("100 % {first} $name \\n", "100 % robin $name \\n"),
    ],
)
def test_filled_as_written(template: str, prompt: str) -> None:
    assert fill(template) == prompt


def test_several_are_taken_in_turn_by_image_index() -> None:
    two = writer("a {first}", "the {first}")
    assert [two.write(ROBIN, index).text for index in range(3)] == ["a robin", "the robin", "a robin"]
    assert two.count(ROBIN) == 2
    assert two.write(ROBIN, 0).recipe == "template"


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("a {nmae}", "template 1 ('a {nmae}'): unknown field '{nmae}'; did you mean '{name}'?"),
        ("a {Name}", "did you mean '{name}'?"),
        ("a {lemmas}", "unknown field '{lemmas}'; the fields are {name}, {first}, {hypernym}, {definition}"),
        ("a {}", "unknown field '{}'; the fields are"),
        ("a {0}", "unknown field '{0}'; the fields are"),
        ("{name.__class__}", "unknown field '{name.__class__}'"),
        ("{name!r}", "unknown field '{name!r}'; did you mean '{name}'?"),
        ("{name:>9999999}", "unknown field '{name:>9999999}'"),
        ("{name[0]}", "unknown field '{name[0]}'"),
        ("{definition.__init__.__globals__}", "unknown field"),
        ("a {name", "a single '{'; write {{ for a brace, or {name} for a field"),
        ("a name}", "a single '}'; write }} for a brace"),
        ("{{name}", "a single '}'"),
        ("{na{name}me}", "a single '{'"),
        ("  ", "template 1 is empty; write one such as 'a photo of {name}'"),
        ("{" + "x" * 500 + "}", "unknown field"),
    ],
)
def test_a_mistake_is_one_line(template: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        writer(template)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300


def test_the_number_of_a_wrong_template_is_told() -> None:
    with pytest.raises(InputError, match="template 2 "):
        writer("a {name}", "a {nmae}")


def test_no_template_at_all() -> None:
    with pytest.raises(InputError, match="the recipe 'template' needs templates, such as --template"):
        writer()


def test_an_empty_prompt_is_refused_and_a_gap_is_noted() -> None:
    with pytest.raises(InputError, match=r"the prompt of my_widget is empty, as it has no definition; add \{name\}"):
        writer("{definition}", entries=(ROBIN, WIDGET))
    notes = writer("{first}, {hypernym}", entries=(ROBIN, WIDGET)).notes
    assert notes == ("template 1 ('{first}, {hypernym}'): my_widget without hypernym; {hypernym} is empty there",)
    assert writer("{first}, {hypernym}").notes == ()


def test_a_template_that_tells_no_class_apart_is_noted() -> None:
    assert writer("a yellow school bus").notes == ()
    (note,) = writer("a yellow school bus", entries=(ROBIN, WIDGET)).notes
    assert note == "template 1 ('a yellow school bus') has no field; all 2 classes get the same prompt"


NAMES = st.text(min_size=1).filter(str.strip)


@given(NAMES, st.text(), st.text())
def test_a_hostile_class_is_text_and_nothing_else(name: str, parent: str, definition: str) -> None:
    entry = ClassEntry("own", name, (name, "{definition} {0} {name.__class__}"), definition, ((parent,),))
    for field, words in FIELDS.items():
        assert fill(f"<{{{field}}}>", entry) == f"<{words(entry)}>"
    assert fill("{first}{hypernym}{definition}", entry) == name + parent + definition


@given(st.text())
def test_any_text_is_a_template_once_its_braces_are_doubled(text: str) -> None:
    doubled = text.replace("{", "{{").replace("}", "}}")
    if text.strip():
        assert fill(doubled, WIDGET) == text.strip()


@given(st.text(alphabet="{}a name.!:[]", max_size=30))
def test_whatever_is_written_is_read_or_refused(text: str) -> None:
    try:
        (template,) = read_templates([text])
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert set(template.fields) <= set(FIELDS)
