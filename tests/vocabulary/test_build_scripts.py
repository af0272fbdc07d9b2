"""The scripts that make the shipped data: on a small made-up database, and on the real sources where they are."""

import gzip
import importlib.util
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DATA = files("synthgap.vocabulary") / "data"


def load(name: str):
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


build_wordnet = load("build_wordnet")
build_class_lists = load("build_class_lists")


@pytest.mark.parametrize(
    ("gloss", "definition"),
    [
        ("a plain definition", "a plain definition"),
        ('a hole; "he hid"; "she hid"', "a hole"),
        ('the act of calling up: "mobilization of the troops"', "the act of calling up"),
        ('quick earnings, "to make a fast buck"', "quick earnings"),
        (
            'a demand especially in the phrase "the call of duty"',
            'a demand especially in the phrase "the call of duty"',
        ),
        ('a report (e.g., "he said `no\'")', 'a report (e.g., "he said `no\'")'),
        ("woven; soft;", "woven; soft"),
    ],
)
def test_definitions_lose_their_examples(gloss, definition):
    assert build_wordnet.definition(gloss) == definition


def test_a_small_database_becomes_a_table(tmp_path):
    licence = "\n".join(f"{number:3d} licence line" for number in range(1, 30)) + "\n"
    (tmp_path / "data.noun").write_text(
        licence
        + "00000020 05 n 02 toy_dog 0 toy 0 002 @ 00000010 n 0000 ~ 00000030 n 0000 | a small dog  \n"
        + '00000010 05 n 01 dog 0 001 ~ 00000020 n 0000 | a pet; "man\'s best friend"  \n'
        + "00000030 05 n 01 Laika 0 001 @i 00000020 n 0000 | the first dog in space  \n"
    )
    (tmp_path / "index.noun").write_text(
        licence + "toy_dog n 1 1 @ 1 0 00000020  \ntoy n 2 2 @ ~ 2 1 00000040 00000020  \n"
    )
    (tmp_path / "noun.exc").write_text("geese goose\naxes ax axis\n")
    text, found_licence = build_wordnet.build(tmp_path)
    assert found_licence == "licence line\n" * 29
    _, synsets, lemmas, plurals = text.split("\n\n")
    assert synsets.split("\n") == [
        "n00000010\tdog\t\ta pet",
        "n00000020\ttoy dog, toy\tn00000010\ta small dog",
        "n00000030\tLaika\tn00000020i\tthe first dog in space",
    ]
    assert lemmas.split("\n") == ["toy\tn00000040 n00000020", "toy dog\tn00000020"]
    assert plurals == "axes\tax\ngeese\tgoose\n"


def test_another_wordnet_is_refused(tmp_path):
    command = [sys.executable, str(ROOT / "scripts" / "build_wordnet.py"), "--out", str(tmp_path / "out"), "--source"]
    missing = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, check=False)
    assert missing.returncode == 2
    assert "apt-get install wordnet-base" in missing.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(not Path("/usr/share/wordnet/data.noun").is_file(), reason="wordnet-base is not installed")
def test_the_shipped_table_is_what_the_script_makes():
    text, licence = build_wordnet.build(Path("/usr/share/wordnet"))
    assert gzip.decompress((DATA / "nouns.txt.gz").read_bytes()).decode("ascii") == text
    assert (DATA / "LICENSE-WordNet.txt").read_text("ascii") == licence


VOCABULARY = ROOT.parent / "shared" / "data" / "vocabulary"


@pytest.mark.skipif(not VOCABULARY.is_dir(), reason="the development data is not here")
def test_the_shipped_lists_are_what_the_script_makes():
    info = Path(importlib.util.find_spec("timm").origin).parent / "data" / "_info"
    for name, source in build_class_lists.sources(info, VOCABULARY).items():
        assert (DATA / "lists" / f"{name}.txt").read_text("utf-8") == build_class_lists.list_text(*source)


def test_a_wrong_list_is_refused():
    with pytest.raises(SystemExit, match="expected 2"):
        build_class_lists.list_text("two", 2, [("n02012849", ""), ("n02012849", "")])
    with pytest.raises(SystemExit, match="no class key"):
        build_class_lists.list_text("one", 1, [("A/b", "name")])
