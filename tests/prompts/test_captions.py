"""Captions: every format gives the same prompts; every mistake is one line with the file and the place."""

from __future__ import annotations

import csv
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from synthgap.core.errors import InputError
from synthgap.core.records import ClassEntry
from synthgap.core.seeds import EVAL_INDEX
from synthgap.core.specs import GenerateSpec
from synthgap.prompts import Captions, PromptWriter, caption_files, load_captions
from synthgap.vocabulary import synset

CRANE, MACHINE = synset("n02012849"), synset("n03126707")
WIDGET = ClassEntry("my_widget", "my Widget", ("my Widget",))
CLASSES = (CRANE, WIDGET)

ROWS = [
    ("n02012849", "a crane in shallow water, at dawn"),
    ("my_widget", "a small {grey} widget"),
    ("crane.n.05", '"crane" 🦩\nin flight'),
    ("MY widget", "a large widget"),
    ("n02086910", "a papillon, which is not in use"),
    ("dog", "neither is a dog"),
    ("tench, Tinca tinca", "nor a tench"),
]
FORMATS = ("csv", "jsonl", "ndjson", "parquet", "rows.json", "json", "yaml", "yml")


def write(path: Path, rows: list[tuple[str, str]], names: tuple[str, str] = ("class", "prompt")) -> Path:
    objects = [{"extra": 3, **dict(zip(names, row, strict=True))} for row in rows]
    mapping: dict[str, list[str]] = {}
    for name, text in rows:
        mapping.setdefault(name, []).append(text)
    if path.suffix == ".csv":
        with path.open("w", encoding="utf-8", newline="") as handle:
            writer = csv.DictWriter(handle, ["extra", *names])
            writer.writeheader()
            writer.writerows(objects)
    elif path.suffix in (".jsonl", ".ndjson"):
        path.write_text("\n".join(map(json.dumps, objects)) + "\n\n", "utf-8")
    elif path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(objects), path)
    elif path.name == "rows.json":
        path.write_text(json.dumps(objects), "utf-8")
    elif path.suffix == ".json":
        path.write_text(json.dumps(mapping), "utf-8")
    else:
        path.write_text(yaml.safe_dump(mapping, allow_unicode=True, sort_keys=False), "utf-8")
    return path


@pytest.mark.parametrize("ending", FORMATS)
def test_every_format_gives_the_same_prompts(tmp_path: Path, ending: str) -> None:
    name = ending if "." in ending else f"mine.{ending}"
    found = load_captions(write(tmp_path / name, ROWS), CLASSES)
    assert found.prompts("my_widget") == ["a small {grey} widget", "a large widget"]
    assert sorted(found.prompts("n02012849")) == ['"crane" 🦩\nin flight', "a crane in shallow water, at dawn"]
    assert found.prompt("my_widget", 1) == "a large widget"
    assert found.count("n02012849") == 2


@pytest.mark.parametrize("names", [("class_key", "caption"), ("wnid", "text"), (" Class", "Prompt ")])
@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet", "rows.json"])
def test_columns_by_other_names(tmp_path: Path, ending: str, names: tuple[str, str]) -> None:
    name = ending if "." in ending else f"mine.{ending}"
    found = load_captions(write(tmp_path / name, ROWS, names), CLASSES)
    assert found.prompts("my_widget") == ["a small {grey} widget", "a large widget"]


def captions(path: Path, *entries: ClassEntry) -> PromptWriter:
    return PromptWriter.of(GenerateSpec(recipe="captions", captions=path), entries)


def test_prompts_are_taken_in_turn_and_repeat_after_the_last(tmp_path: Path) -> None:
    rows = [("n02012849", f"crane {number}") for number in range(3)]
    writer = captions(write(tmp_path / "mine.csv", rows), CRANE)
    assert [writer.write(CRANE, index).text for index in range(4)] == ["crane 0", "crane 1", "crane 2", "crane 0"]
    assert writer.write(CRANE, EVAL_INDEX).text == "crane 2"
    assert writer.write(CRANE, 1).recipe == "captions"
    assert writer.count(CRANE) == 3


def test_our_own_list_of_prompts_can_be_edited_and_read_back(tmp_path: Path) -> None:
    writer = PromptWriter.of(GenerateSpec(recipe="background"), [CRANE])
    rows = [{"class_key": one.class_key, "index": one.index, "prompt": one.text} for one in writer.first(CRANE, 400)]
    (tmp_path / "mine.json").write_text(json.dumps(rows))
    assert captions(tmp_path / "mine.json", CRANE).first(CRANE, 400)[364].text == writer.write(CRANE, 364).text


def test_one_text_of_a_class_needs_no_list(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("crane: a wading crane\n")
    assert load_captions(tmp_path / "mine.yaml", [CRANE]).prompts("n02012849") == ["a wading crane"]


def test_text_columns_of_parquet_may_be_of_any_kind(tmp_path: Path) -> None:
    for kind in (pa.large_string(), pa.dictionary(pa.int32(), pa.string()), pa.string_view()):
        columns = {"class": pa.array(["n02012849"]).cast(pa.string()), "prompt": pa.array(["a crane"])}
        table = pa.table({name: values.cast(kind) for name, values in columns.items()})
        pq.write_table(table, tmp_path / "mine.parquet")
        assert load_captions(tmp_path / "mine.parquet", [CRANE]).prompts("n02012849") == ["a crane"]


HEAD = "class,prompt\n"
GOOD = "n02012849,a crane\nmy_widget,a widget\n"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        # a class in use without prompts, an unknown class, a name of two
        ("a.csv", HEAD + "n02012849,a crane\n", "no prompt for my_widget (my Widget); add at least one"),
        ("a.csv", HEAD, "no prompt for n02012849 (crane) (and for 1 more of 2 classes)"),
        ("a.yaml", "n02012849: []\nmy_widget: [x]\n", "no prompt for n02012849 (crane)"),
        ("a.csv", HEAD + GOOD + "my_wigdet,x\n", "a.csv row 3: unknown class 'my_wigdet'; did you mean 'my_widget'?"),
        ("a.csv", HEAD + GOOD + "zzyzx,x\n", "row 3: unknown class 'zzyzx'; write n02012849, crane.n.05, or a class's"),
        ("a.json", '{"n02012848": ["x"]}', "a.json: 'n02012848' is not the id of a WordNet 3.0 noun; did you mean"),
        ("a.csv", HEAD + "crane.n.09,x\n", "a.csv row 1: 'crane.n.09': 'crane' has 5 noun senses"),
        # empty prompts and values that are no text
        ("a.csv", HEAD + GOOD + "n02012849, \n", "a.csv row 3: 'prompt' is empty; write a text, or take the row out"),
        ("a.csv", HEAD + GOOD + ",x\n", "a.csv row 3: 'class' is empty"),
        ("a.jsonl", '{"class": "crane", "prompt": ""}\n', "a.jsonl row 1: 'prompt' is empty"),
        ("a.jsonl", '{"class": "crane", "prompt": "x"}\n{"class": "crane"}\n', "a.jsonl row 2: 'prompt' is empty"),
        ("a.jsonl", '{"class": "crane", "prompt": "x"}\n\n{"class": "crane", "prompt": 3}', "row 2: 'prompt' is 3; exp"),
        ("a.jsonl", '{"class": 3, "prompt": "x"}\n', "a.jsonl row 1: 'class' is 3; expected text (put it in quotes)"),
        ("a.json", '[{"class": "crane", "prompt": null}]', "a.json row 1: 'prompt' is None; expected text"),
        ("a.json", '[{"class": "crane", "prompt": "x"}, {"class": "crane"}]', "a.json row 2 has no 'prompt'"),
        ("a.json", '[{"class": "crane", "prompt": "x"}, 7]', "a.json row 2 is 7; expected an object with a class and"),
        ("a.yaml", "crane: [a, 7]\n", "a.yaml: class 'crane', prompt 2 is 7; expected text (put it in quotes)"),
        ("a.yaml", "crane: [a, yes]\n", "a.yaml: class 'crane', prompt 2 is True; expected text"),
        ("a.yaml", "crane: [a, '  ']\n", "a.yaml: class 'crane', prompt 2 is empty"),
        ("a.yaml", "crane: {a: b}\n", "a.yaml: class 'crane' has {'a': 'b'}; expected a list of prompts"),
        ("a.yaml", "crane: [[a]]\n", "a.yaml: class 'crane', prompt 1 is ['a']; expected text"),
        ("a.yaml", "7: [a]\n", "a.yaml: the class 7 is no text; put it in quotes"),
        ("a.yaml", "7: [a]\n" * 2, "a.yaml is not YAML: the key 7 is written twice"),
        # broken files
        ("a.yaml", "crane: [a\n", "a.yaml line 2 is not YAML"),
        ("a.yaml", "crane: [a]\ncrane: [b]\n", "a.yaml is not YAML: the key 'crane' is written twice"),
        ("a.yaml", "? [a]\n: [b]\n", "a.yaml is not YAML: "),
        ("a.yaml", "", "a.yaml holds None; expected a list of prompts by class"),
        ("a.yaml", "!!python/object/apply:os.system [echo]", "a.yaml line 1 is not YAML: could not determine"),
        ("a.json", '{"crane": ["a"]', "a.json is not JSON: Expecting"),
        ("a.json", '{"crane": ["a"], "crane": ["b"]}', "a.json is not JSON: the key 'crane' is written twice"),
        ("a.json", "[" * 100_000, "a.json is not JSON"),
        ("a.json", '["a crane"]', "a.json row 1 is 'a crane'; expected an object with a class and a prompt"),
        ("a.json", "[]", "a.json holds []; expected a list of prompts by class"),
        ("a.json", '{"crane": ["\\ud800"]}', "a.json is not UTF-8 text"),
        ("a.jsonl", '{"class": "crane", "prompt": "x"}\n{"class"\n', "a.jsonl line 2 is not JSON"),
        ("a.jsonl", '["crane", "x"]\n', "a.jsonl line 1 is ['crane', 'x']; expected an object"),
        ("a.jsonl", "", "a.jsonl has no column with the classes (class_key, wnid, synset, class, name), but nothing"),
        ("a.csv", "", "a.csv has no column with the classes"),
        ("a.csv", "clas,prompt\nx,y\n", "has no column with the classes (class_key, wnid, synset, class, name), but clas"),
        ("a.csv", "class,prmpt\nx,y\n", "but class, prmpt; did you mean 'prompt'?"),
        ("a.csv", HEAD + "crane,a crane, standing\n", "a.csv line 2: expected 2 cells as in the header, found 3; put a pr"),
        ("a.csv", HEAD + "crane\n", "a.csv line 2: expected 2 cells as in the header, found 1"),
        ("a.parquet", "class,prompt", "a.parquet is not Parquet"),
        ("a.txt", "crane\n", "captions are read from files that end in .csv, .jsonl, .ndjson, .parquet, .json, .yaml"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_with_file_and_place(tmp_path: Path, name: str, text: str, message: str) -> None:
    path = tmp_path / name
    path.write_text(text, "utf-8")
    with pytest.raises(InputError) as error:
        load_captions(path, CLASSES)
    assert message in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_name_of_two_classes_in_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(HEAD + "crane,x\n")
    with pytest.raises(
        InputError, match=r"row 1: 'crane' is the name of 2 classes \(n02012849, n03126707\); write the"
    ):
        load_captions(tmp_path / "a.csv", [CRANE, MACHINE])


@pytest.mark.parametrize("ending", ["csv", "jsonl", "json", "yaml"])
def test_files_in_another_encoding(tmp_path: Path, ending: str) -> None:
    path = write(tmp_path / f"a.{ending}", [("n02012849", "a bird"), ("my_widget", "a widget")])
    path.write_bytes(path.read_bytes().replace(b"a bird", "une grue dorée".encode("latin-1")))
    with pytest.raises(InputError, match=f"a.{ending} is not UTF-8 text|the column 'prompt' is not UTF-8 text"):
        load_captions(path, CLASSES)


def test_bytes_that_are_no_text_are_found_anywhere_in_a_file(tmp_path: Path) -> None:
    bad = b"une grue dor\xe9e"
    line = b'{"class": "crane", "prompt": "a bird"}\n'
    (tmp_path / "a.jsonl").write_bytes(line * 1000 + line.replace(b"a bird", bad))
    prompts = pa.array([b"a bird", bad]).view(pa.string())
    pq.write_table(pa.table({"class": ["crane"] * 2, "prompt": prompts}), tmp_path / "a.parquet")
    for ending in ("jsonl", "parquet"):
        with pytest.raises(InputError, match=f"a.{ending}.* not UTF-8 text"):
            load_captions(tmp_path / f"a.{ending}", [CRANE])


def test_a_prompt_of_several_lines_may_lie_across_the_blocks_of_a_csv(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caption_files, "_BLOCK", 64)
    rows = [("n02012849", f"crane\nnumber {number},\nin flight") for number in range(50)]
    found = load_captions(write(tmp_path / "a.csv", rows), [CRANE])
    assert found.prompts("n02012849") == [text for _, text in rows]


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    for ending in ("csv", "json", "yaml"):
        path = write(tmp_path / f"a.{ending}", [("crane", "a bird"), ("my_widget", "a widget")])
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
        assert load_captions(path, CLASSES).prompts("n02012849") == ["a bird"]


def test_missing_files_and_folders(tmp_path: Path) -> None:
    for ending in ("csv", "jsonl", "json", "yaml", "parquet"):
        with pytest.raises(InputError, match=r"there is no captions file '.*nothing"):
            load_captions(tmp_path / f"nothing.{ending}", CLASSES)
        (tmp_path / f"folder.{ending}").mkdir()
        with pytest.raises(InputError, match="cannot be read"):
            load_captions(tmp_path / f"folder.{ending}", CLASSES)


def test_columns_of_parquet_that_hold_no_text(tmp_path: Path) -> None:
    pq.write_table(pa.table({"class": ["crane"], "prompt": [7]}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"a\.parquet: the column 'prompt' holds int64; expected text"):
        load_captions(tmp_path / "a.parquet", CLASSES)
    pq.write_table(pa.table({"class": ["crane"], "prompt": pa.array([None], pa.string())}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"a\.parquet row 1: 'prompt' is empty"):
        load_captions(tmp_path / "a.parquet", CLASSES)


def test_a_hundred_thousand_prompts_never_become_as_many_objects(tmp_path: Path) -> None:
    count = 100_000
    names = ["n02012849", "my_widget"] * (count // 2)
    texts = [f"a thing of number {number} in the warm light of the evening" for number in range(count)]
    pq.write_table(pa.table({"class": names, "prompt": texts}), tmp_path / "a.parquet")
    tracemalloc.start()
    found = load_captions(tmp_path / "a.parquet", CLASSES)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.prompt("my_widget", count // 2 - 1) == texts[-1]
    assert peak < 40 * count  # bytes of Python objects; one text alone takes 100


TEXTS = st.text(min_size=1, max_size=40).filter(lambda text: bool(text.strip()) and _encodes(text))


def _encodes(text: str) -> bool:
    return "\x00" not in text and text.encode("utf-8", "ignore").decode() == text


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["n02012849", "my_widget"]), TEXTS), min_size=1, max_size=12))
def test_any_text_comes_back_from_any_table(tmp_path_factory: pytest.TempPathFactory, rows: list[Any]) -> None:
    rows = [*rows, ("n02012849", "a crane"), ("my_widget", "a widget")]
    folder = tmp_path_factory.mktemp("captions")
    wanted = {key: [text.strip() for name, text in rows if name == key] for key in ("n02012849", "my_widget")}
    for name in ("a.csv", "a.jsonl", "a.parquet", "rows.json", "a.json"):
        found: Captions = load_captions(write(folder / name, rows), CLASSES)
        assert {key: found.prompts(key) for key in wanted} == wanted, name
