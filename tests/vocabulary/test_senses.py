"""What ``synthgap classes show`` tells."""

import json

import pytest

from synthgap.core.errors import InputError
from synthgap.vocabulary import show


def test_crane_shows_the_bird_and_the_machine_and_that_imagenet_has_both():
    senses = show("crane")
    assert [sense["wnid"] for sense in senses] == ["n10914447", "n10914331", "n09295455", "n03126707", "n02012849"]
    machine, bird = senses[3:]
    assert machine["imagenet"] == bird["imagenet"] == ["imagenet-1k"]
    assert [sense["lists"] for sense in senses[:3]] == [[], [], []]
    assert bird == {
        "wnid": "n02012849",
        "synset": "crane.n.05",
        "name": "crane",
        "lemmas": ["crane"],
        "definition": "large long-necked wading bird of marshes and plains in many parts of the world",
        "hypernyms": [{"wnid": "n02000954", "synset": "wading_bird.n.01", "lemmas": ["wading bird", "wader"]}],
        "instance": False,
        "lists": ["imagenet-1k"],
        "imagenet": ["imagenet-1k"],
    }
    assert [sense["instance"] for sense in senses] == [True, True, True, False, False]
    assert json.loads(json.dumps(senses)) == senses


@pytest.mark.parametrize("word", ["n02012849", "N02012849", "crane.n.05", " crane.n.05 "])
def test_one_sense_by_its_id_or_name(word):
    assert [sense["wnid"] for sense in show(word)] == ["n02012849"]


@pytest.mark.parametrize("word", ["Cranes", "CRANE", "crane"])
def test_word_forms(word):
    assert len(show(word)) == 5
    assert show("great_white sharks")[0]["wnid"] == "n01484850"


def test_lists_of_other_kinds():
    [cat] = [sense for sense in show("cat") if sense["lists"]]
    assert (cat["wnid"], cat["lists"], cat["imagenet"]) == ("n02121620", ["cifar-10"], [])


@pytest.mark.parametrize(
    ("word", "message"),
    [("cranne", "did you mean 'crane'"), ("日本", "write a noun"), ("", "write a noun"), ("n02012848", "n02012849")],
)
def test_unknown_words_are_answered(word, message):
    with pytest.raises(InputError, match=message):
        show(word)
