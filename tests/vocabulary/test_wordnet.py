"""WordNet's nouns: complete, exact against timm's independent copy of ImageNet-21K's texts, and light to use."""

import gzip
import hashlib
import importlib.util
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

from synthgap.core.errors import InputError
from synthgap.core.records import ClassEntry
from synthgap.vocabulary import wordnet

DATA = files("synthgap.vocabulary") / "data"


def timm_table(name: str) -> dict[str, str]:
    info = Path(importlib.util.find_spec("timm").origin).parent / "data" / "_info" / name
    return dict(line.split("\t", 1) for line in info.read_text("utf-8").splitlines())


def test_all_nouns_are_there():
    ids = wordnet.wnids()
    assert len(ids) == len(set(ids)) == 82_115
    assert ids[0] == "n00001740"
    assert len(wordnet._table().lemmas) == 117_798


def test_lemmas_and_definitions_are_imagenets_letter_for_letter():
    lemmas, definitions = timm_table("imagenet_synset_to_lemma.txt"), timm_table("imagenet_synset_to_definition.txt")
    assert len(lemmas) == 21_844
    rows = {wnid: wordnet._synset_row(wnid) for wnid in lemmas}
    assert {wnid: row[1] for wnid, row in rows.items()} == lemmas
    assert {wnid: row[3] for wnid, row in rows.items()} == {wnid: text.strip() for wnid, text in definitions.items()}


def test_every_lemma_leads_to_its_synset_and_every_hypernym_exists():
    table = wordnet._table()
    ids = set(wordnet.wnids())
    by_lemma = {lemma: senses.split() for lemma, senses in (row.split("\t") for row in table.lemmas)}
    pairs = 0
    for row in table.synsets:
        wnid, lemmas, parents, definition = row.split("\t")
        assert definition
        assert all(parent.rstrip("i") in ids for parent in parents.split())
        for lemma in lemmas.split(", "):
            assert wnid in by_lemma[lemma.lower()]
            pairs += 1
    assert pairs == 146_347
    assert [row.split("\t")[0] for row in table.synsets if not row.split("\t")[2]] == ["n00001740"]


def test_a_synset():
    assert wordnet.synset("n02086240") == ClassEntry(
        class_key="n02086240",
        name="Shih-Tzu",
        lemmas=("Shih-Tzu",),
        definition="a Chinese breed of small dog similar to a Pekingese",
        hypernyms=(("toy dog", "toy"),),
    )
    assert wordnet.synset("n02084071").hypernyms == (("canine", "canid"), ("domestic animal", "domesticated animal"))


def test_senses_are_in_wordnets_order():
    senses = wordnet.senses("crane")
    assert [sense.class_key for sense in senses] == ["n10914447", "n10914331", "n09295455", "n03126707", "n02012849"]
    assert [wordnet.synset_name(sense) for sense in senses][3:] == ["crane.n.04", "crane.n.05"]
    assert [wordnet.is_instance(sense.class_key) for sense in senses] == [True, True, True, False, False]
    assert wordnet.senses("notaword") == []


def test_synset_names_lead_back():
    for wnid in wordnet.wnids()[::1000]:
        assert wordnet.synset_id(wordnet.synset_name(wordnet.synset(wnid))) == wnid
    assert wordnet.synset_id("automobile.n.01") == wordnet.synset_id("car.n.01") == "n02958343"
    assert wordnet.synset_name(ClassEntry("my_widget", "my widget", ("my widget",))) == "my_widget"


@pytest.mark.parametrize(
    ("word", "base"),
    [
        ("Crane", "crane"),
        ("african_elephant", "african elephant"),
        ("  African   Elephants ", "african elephant"),
        ("geese", "goose"),
        ("mice", "mouse"),
        ("boxes", "box"),
        ("churches", "church"),
        ("ponies", "pony"),
        ("firemen", "fireman"),
        ("glasses", "glasses"),
        ("shih tzu", "shih-tzu"),
        ("pick-up truck", None),
        ("s", "s"),
        ("", None),
    ],
)
def test_base_forms(word, base):
    assert wordnet.base_form(word) == base


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: wordnet.synset("n02012848"), "did you mean 'n02012849'"),
        (lambda: wordnet.synset("n99999999"), "ids look like n02012849"),
        (lambda: wordnet.synset_id("crane.n.06"), "'crane' has 5 noun senses; 'synthgap classes show crane'"),
        (lambda: wordnet.synset_id("crane.n.00"), "'crane' has 5 noun senses"),
        (lambda: wordnet.synset_id("run.v.01"), "not a noun"),
        (lambda: wordnet.synset_id("cranne.n.01"), "did you mean 'crane'"),
        (lambda: wordnet.synset_id("crane"), "names look like crane.n.05"),
    ],
)
def test_unknown_ids_and_names_are_answered(call, message):
    with pytest.raises(InputError, match=message.replace("(", r"\(").replace("?", r"\?")) as error:
        call()
    assert "\n" not in str(error.value)


def test_the_table_is_the_documented_one_and_compact():
    packed = (DATA / "nouns.txt.gz").read_bytes()
    assert len(packed) < 5_000_000
    assert hashlib.sha256(gzip.decompress(packed)).hexdigest() in (DATA / "README.md").read_text("utf-8")
    licence = (DATA / "LICENSE-WordNet.txt").read_text("utf-8")
    assert licence.startswith("This software and database is being provided to you, the LICENSEE")
    assert "# WordNet 3.0 Copyright 2006 by Princeton University" in gzip.decompress(packed).decode()


def test_first_use_is_quick_and_light():
    code = """
import sys, time
from synthgap.vocabulary import class_list, show, wordnet
start = time.process_time()
wordnet.synset("n02012849"), wordnet.senses("crane")
assert time.process_time() - start < 1.0, time.process_time() - start
class_list("imagenet-1k"), show("crane")
heavy = {"torch", "pyarrow", "numpy", "yaml", "pydantic"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True)
