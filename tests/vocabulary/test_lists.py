"""Class lists: the shipped ones, files, and what users type, hostile text included."""

import importlib.util
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthgap.core.errors import InputError
from synthgap.vocabulary import class_list, places365, resolve, shipped_lists
from synthgap.vocabulary.slugs import CLASS_KEY, slug


def keys(text):
    return [entry.class_key for entry in class_list(text)]


def names(text):
    return [entry.name for entry in class_list(text)]


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("cifar-10", 10),
        ("imagenet-100", 100),
        ("imagenet-1k", 1000),
        ("imagenet-a", 200),
        ("imagenet-r", 200),
        ("places365", 365),
    ],
)
def test_shipped_lists(name, count):
    assert name in shipped_lists()
    entries = class_list(name)
    assert len({entry.class_key for entry in entries}) == len(entries) == count
    for entry in entries:
        assert CLASS_KEY.fullmatch(entry.class_key)
        assert entry.name
        assert entry.definition or name == "places365"


def test_imagenet_1k_is_in_the_order_of_its_labels():
    info = Path(importlib.util.find_spec("timm").origin).parent / "data" / "_info"
    assert keys("imagenet-1k") == (info / "imagenet_synsets.txt").read_text().split()
    entries = class_list("imagenet-1k")
    assert [entries[label].lemmas[0] for label in (0, 134, 517, 999)] == ["tench", "crane", "crane", "toilet tissue"]
    assert all(entry.class_key.startswith("n") and entry.hypernyms for entry in entries)
    for subset in ("imagenet-100", "imagenet-a", "imagenet-r"):
        assert set(keys(subset)) < set(keys("imagenet-1k"))


def test_cifar_10_has_its_own_names_and_our_synsets():
    entries = class_list("cifar-10")
    assert [(entry.name, entry.class_key, entry.lemmas[0]) for entry in entries] == [
        ("airplane", "n02691156", "airplane"),
        ("automobile", "n02958343", "car"),
        ("bird", "n01503061", "bird"),
        ("cat", "n02121620", "cat"),
        ("deer", "n02430045", "deer"),
        ("dog", "n02084071", "dog"),
        ("frog", "n01639765", "frog"),
        ("horse", "n02374451", "horse"),
        ("ship", "n04194289", "ship"),
        ("truck", "n04490091", "truck"),
    ]
    assert "true cat" in entries[3].lemmas


def test_places_are_words():
    scenes = places365()
    assert len(set(scenes)) == 365
    assert scenes[0] == "airfield"
    assert scenes[-1] == "zen garden"
    assert {"outdoor apartment building", "train station platform", "soccer stadium", "airplane cabin"} <= set(scenes)
    assert not [scene for scene in scenes if "_" in scene or "/" in scene]
    entry = class_list("places365")[8]
    assert (entry.class_key, entry.lemmas) == ("apartment_building-outdoor", ("outdoor apartment building",))


@pytest.mark.parametrize("text", ["imagenet-100", "ImageNet-100", "imagenet100", "imagenet_100", " imagenet-100 "])
def test_shipped_names_are_found_in_any_spelling(text):
    assert len(keys(text)) == 100


def test_names_synsets_and_ids_mix():
    assert keys("crane.n.05, n03126707,N02086910 ,shih_tzu.n.01") == [
        "n02012849",
        "n03126707",
        "n02086910",
        "n02086240",
    ]


def test_items_keep_their_order():
    assert keys("n03126707,crane.n.05,Shih-Tzu") == ["n03126707", "n02012849", "n02086240"]
    assert keys("dog\ncat") == ["n02084071", "n02121620"]
    assert keys("cifar-10,n02012849")[-2:] == ["n04490091", "n02012849"]
    assert keys("geese") == ["n01855672"]


def test_an_unambiguous_word_needs_no_note():
    resolution = resolve("tench,African_elephant")
    assert [entry.class_key for entry in resolution.entries] == ["n01440764", "n02504458"]
    assert resolution.notes == []


def test_an_ambiguous_word_takes_the_commonest_kind_and_says_so():
    resolution = resolve("crane,drake,hammer,Jay")
    assert [entry.class_key for entry in resolution.entries] == ["n03126707", "n01847000", "n03481824", "n01580077"]
    crane, _, hammer, _ = resolution.notes
    assert crane.startswith("crane: 5 noun senses, took crane.n.04 (lifts and moves heavy objects; ")
    assert "; write crane.n.05 for 'large long-necked wading bird" in crane
    assert crane.endswith("; 'synthgap classes show crane' lists them")
    assert "took hammer.n.01" in hammer
    assert "write hammer.n.02 for 'a hand tool" in hammer


def test_a_word_outside_wordnet_is_a_class_of_its_own():
    resolution = resolve("my new Widget,labradoodles")
    widget, dog = resolution.entries
    assert (widget.class_key, widget.name, widget.lemmas) == ("my_new_widget", "my new Widget", ("my new Widget",))
    assert (widget.definition, widget.hypernyms, dog.class_key) == ("", (), "labradoodles")
    assert "not a WordNet noun, kept as a class of its own (my_new_widget)" in resolution.notes[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no classes given"),
        (" , ,", "names no class"),
        ("n02012848", "did you mean 'n02012849'"),
        ("cat,n0201284", "item 2: 'n0201284' is not the id"),
        ("crane.n.09", "5 noun senses"),
        ("imagent-1k", "neither a WordNet noun nor a shipped list; the lists are cifar-10, imagenet-100"),
        ("imagenet", "neither a WordNet noun nor a shipped list"),
        ("cat,true cat", "'cat' (item 1) and 'true cat' (item 2) are the same class n02121620"),
        ("n02121620,cat.n.01", "are the same class n02121620"),
        ("my widget,My_Widget", "'my widget' (item 1) and 'My_Widget' (item 2) are the same class my_widget"),
        ("cifar-10,dog", "'cifar-10' (item 1) and 'dog' (item 2)"),
        ("missing.txt", "there is no class list 'missing.txt'"),
        ("../../etc/nothing", "there is no class list"),
        ("~nobody-here/list", "cannot be read"),
        ("/dev", "is a folder"),
        ("a\x1b[31mb", "invisible character U+001B"),
        ("a\x00b", "invisible character U+0000"),
        ("a\u202eb", "invisible character U+202E"),
        ("\x00/", "cannot be read"),
        ("x" * 10_240, "a class name of 10,240 characters"),
        ("!!!", "holds no letter or digit"),
    ],
)
def test_wrong_input_is_one_line_with_the_next_step(text, message):
    with pytest.raises(InputError) as error:
        class_list(text)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("../../etc,", "etc"),
        ("con'; DROP TABLE classes;--,", "con_drop_table_classes"),
        ('"quoted thing"', "quoted_thing"),
        ("日本", "class-cf2abf0c"),
        ("naïve zzart", "naive_zzart-"),
        ("over-all-ish", "over_all_ish"),
        ("y" * 200, "y" * 71 + "-"),
    ],
)
def test_hostile_names_become_safe_keys(text, key):
    [found] = keys(text)
    assert found.startswith(key)
    assert CLASS_KEY.fullmatch(found)


def test_the_reserved_key_is_never_a_class():
    assert slug("overall").startswith("overall-")
    assert keys("overall")[0].startswith("n")


@given(st.text(max_size=300))
def test_any_text_is_classes_or_an_input_error(text):
    try:
        entries = class_list(text)
    except InputError as error:
        assert "\n" not in str(error)
        return
    assert entries
    assert all(CLASS_KEY.fullmatch(entry.class_key) for entry in entries)


@given(st.text(min_size=1, max_size=90), st.text(min_size=1, max_size=90))
def test_slugs_are_safe_and_lose_no_difference_of_script(first, second):
    assert CLASS_KEY.fullmatch(slug(first))
    if slug(first) == slug(second) and first.isascii() != second.isascii():
        pytest.fail(f"{first!r} and {second!r} share a key")


def write(path, text):
    path.write_text(text, "utf-8")
    return str(path)


def test_text_files(tmp_path):
    file = write(
        tmp_path / "birds.txt",
        "\ufeff# my birds\ncrane.n.05\tcrane bird  # not the machine\n\nn01440764 tench, Tinca tinca\n"
        "robin, American robin, Turdus migratorius\nmy bird\tBirdie\n",
    )
    assert keys(file) == ["n02012849", "n01440764", "n01558993", "my_bird"]
    assert names(file) == ["crane bird", "tench", "robin", "Birdie"]
    assert class_list(file)[3].lemmas == ("my bird",)


def test_a_file_without_a_known_ending_is_found_by_its_folder(tmp_path):
    write(tmp_path / "classes", "cat\n")
    assert keys(f"{tmp_path}/classes") == ["n02121620"]


def test_a_word_is_not_taken_for_a_file_that_lies_there(tmp_path, monkeypatch):
    write(tmp_path / "cat", "dog\n")
    monkeypatch.chdir(tmp_path)
    assert keys("cat") == ["n02121620"]
    write(tmp_path / "my.list", "dog\n")
    assert keys("my.list") == ["n02084071"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cat\ndog\n", [("n02121620", "cat"), ("n02084071", "dog")]),
        ("label,wnid,name\n0,n02121620,kitty\n1,n02084071,\n", [("n02121620", "kitty"), ("n02084071", "dog")]),
        ("name\ncrane.n.05\n", [("n02012849", "crane")]),
        ('class\n"robin, American robin"\n\n# no class\n', [("n01558993", "robin")]),
    ],
)
def test_csv_files(tmp_path, text, expected):
    file = write(tmp_path / "classes.csv", text)
    assert [(entry.class_key, entry.name) for entry in class_list(file)] == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (["cat", "crane.n.05"], [("n02121620", "cat"), ("n02012849", "crane")]),
        ({"n02121620": "kitty"}, [("n02121620", "kitty")]),
        ({"cat": 1, "dog": 0}, [("n02121620", "cat"), ("n02084071", "dog")]),
        ({"0": "tench, Tinca tinca", "1": "dog"}, [("n01440764", "tench"), ("n02084071", "dog")]),
        ({"0": ["n01440764", "my tench"]}, [("n01440764", "my tench")]),
    ],
)
def test_json_files(tmp_path, content, expected):
    file = write(tmp_path / "classes.json", json.dumps(content))
    assert [(entry.class_key, entry.name) for entry in class_list(file)] == expected


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.txt", b"# nothing\n\n", "holds no class"),
        ("empty.csv", b"", "holds no class"),
        ("empty.json", b"{}", "holds no class"),
        ("binary.txt", b"\xff\xfe\x00cat", "is not UTF-8 text"),
        ("bad.json", b"[", "is not JSON"),
        ("deep.json", b"[" * 100_000, "is not JSON"),
        ("number.json", b"3", "holds a int"),
        ("numbers.json", b"[1, 2]", "numbers.json entry 1 is '1'"),
        ("several.txt", b"cat, dog\n", "several.txt line 1: 'cat, dog' names no single synset"),
        ("twice.txt", b"cat\n\nn02121620\n", "(twice.txt line 1) and 'n02121620' (twice.txt line 3)"),
        ("typo.txt", b"dog\nn02121621\n", "typo.txt line 2: 'n02121621' is not the id"),
        ("long.csv", b"c" * 200_000, "is not CSV"),
    ],
)
def test_wrong_files_are_answered(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as error:
        class_list(str(tmp_path / name))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_name_too_long_for_a_file_is_no_file():
    from synthgap.vocabulary.userlists import names_a_file

    assert not names_a_file("." + "é" * 200)
    assert not names_a_file("a.\x00b")
