"""``synthgap triage``: ranking, worklist and gain by hand, then the whole command on tiny models."""

from __future__ import annotations

import json
import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from command_line import run
from PIL import Image

from synthgap.core.errors import InputError
from synthgap.core.records import ClassEntry
from synthgap.core.specs import MeasureSpec
from synthgap.models.classifiers import new_classifier, timm_config
from synthgap.prompts.overrides import load_overrides, read_overrides
from synthgap.stages.triage import (
    Label,
    Seen,
    first_images,
    measure_gain,
    rank_labels,
    read_decisions,
    worklist,
    write_page,
    write_worklist,
)
from synthgap.store.sources import open_images
from synthgap.vocabulary import synset

CRANE, DRAKE, JAY = "n02012849", "n01847000", "n01580077"
KEYS = {key: [f"{key}-{number}" for number in range(10)] for key in (CRANE, DRAKE, JAY)}
ENTRIES = {key: synset(key) for key in KEYS}
PROMPTS = {key: ", ".join(entry.lemmas) for key, entry in ENTRIES.items()}


def seen(judge: str, right: dict[str, int], otherwise: str = "tower crane") -> Seen:
    """A judge who is right on the first images of each label."""
    verdict = {key: place < right[label] for label in right for place, key in enumerate(KEYS[label])}
    return Seen(judge, {key: "own" if good else otherwise for key, good in verdict.items()}, verdict)


def ranked(*judges: Seen, proposals: dict[str, str] | None = None) -> list[Label]:
    return rank_labels(ENTRIES, PROMPTS, KEYS, judges, senses={}, proposals=proposals or {CRANE: "crane, wading bird"})


def test_labels_are_ranked_by_the_first_judge_then_by_the_others() -> None:
    first, second = seen("a", {CRANE: 2, DRAKE: 9, JAY: 2}), seen("b", {CRANE: 8, DRAKE: 1, JAY: 3})
    labels = ranked(first, second)
    assert [label.entry.class_key for label in labels] == [JAY, CRANE, DRAKE]
    crane = labels[1]
    assert crane.accuracy["value"] == 0.2 and crane.by_judge["b"]["value"] == 0.8
    assert 0 < crane.accuracy["ci_low"] < 0.2 < crane.accuracy["ci_high"] < 0.6
    assert crane.taken_for == [{"name": "tower crane", "share": 0.8}]
    assert crane.proposed == "crane, wading bird"


def test_a_label_that_the_judge_does_not_know_is_last_and_not_listed() -> None:
    labels = ranked(seen("a", {CRANE: 5, JAY: 10}))
    assert labels[-1].entry.class_key == DRAKE and math.isnan(labels[-1].accuracy["value"])
    assert [entry.override.class_key for entry in worklist(labels, "a", {}, 10)] == [CRANE]


def write(path: Path, labels: list[Label], worst: int = 10) -> None:
    write_worklist(path, worklist(labels, "judge", read_decisions(path, ENTRIES.values()), worst))


def edit(path: Path, class_key: str, **change: str) -> None:
    content = yaml.safe_load(path.read_text())
    next(row for row in content["overrides"] if row["class"] == class_key).update(change)
    path.write_text(yaml.safe_dump(content, sort_keys=False))


def test_the_worklist_is_a_file_of_overrides_that_changes_nothing_until_decided(tmp_path: Path) -> None:
    path = tmp_path / "triage.yaml"
    write(path, ranked(seen("a", {CRANE: 1, DRAKE: 4, JAY: 10})))
    assert load_overrides(path, ENTRIES.values()) == {CRANE: PROMPTS[CRANE], DRAKE: PROMPTS[DRAKE]}
    first = read_overrides(path)[0]
    assert first.who == "" and first.why == (
        "10% of 10 images are seen as this label (judge); taken for: tower crane 90%; proposed: crane, wading bird"
    )


def test_decisions_outlive_the_next_triage(tmp_path: Path) -> None:
    path = tmp_path / "triage.yaml"
    write(path, ranked(seen("a", {CRANE: 1, DRAKE: 4, JAY: 5})))
    edit(path, CRANE, new="a crane bird", who="ann, 2026-01-05", why="also a machine")
    edit(path, DRAKE, who="ann")
    # Now the crane is drawn well, the drake still badly, and the jay worse.
    write(path, ranked(seen("a", {CRANE: 10, DRAKE: 4, JAY: 1})))
    found = {one.class_key: one for one in read_overrides(path)}
    assert (found[CRANE].new, found[CRANE].who, found[CRANE].why) == (
        "a crane bird",
        "ann, 2026-01-05",
        "also a machine",
    )
    assert (found[DRAKE].new, found[DRAKE].who) == (PROMPTS[DRAKE], "ann")
    assert "10% of 10" in found[JAY].why and found[JAY].who == ""
    entries = {
        one.override.class_key: one for one in worklist(ranked(seen("a", {CRANE: 1, DRAKE: 1, JAY: 1})), "a", found, 9)
    }
    assert {key: one.decision for key, one in entries.items()} == {CRANE: "clarify", DRAKE: "keep", JAY: "undecided"}
    assert (entries[CRANE].clarified, entries[DRAKE].clarified, entries[JAY].clarified) == ("a crane bird", "", "")
    before = path.read_bytes()
    write(path, ranked(seen("a", {CRANE: 10, DRAKE: 4, JAY: 1})))
    assert path.read_bytes() == before


def test_a_damaged_worklist_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "triage.yaml"
    path.write_text("version: 1\noverrides:\n- {class: n02012849, old: stork, new: a crane}\n")
    with pytest.raises(InputError, match="'old' is 'stork'"):
        read_decisions(path, ENTRIES.values())
    assert "stork" in path.read_text()


def test_a_plain_noun_is_no_class_and_is_not_listed() -> None:
    entries = {
        "frog": ClassEntry("frog", "frog", ("frog",)),
        "my-robot~0": ClassEntry("my-robot~0", "my robot", ("my robot",)),
    }
    keys = {key: [key] for key in entries}
    judge = Seen("a", dict.fromkeys(entries, "x"), dict.fromkeys(entries, False))
    labels = rank_labels(entries, {key: key for key in entries}, keys, [judge], senses={}, proposals={})
    assert "frog" not in [entry.override.class_key for entry in worklist(labels, "a", {}, 9)]


def test_the_gain_is_of_pairs() -> None:
    before, after = seen("a", {CRANE: 2, DRAKE: 5, JAY: 5}), seen("a", {CRANE: 10, DRAKE: 5, JAY: 4})
    found = measure_gain(KEYS, before, after, MeasureSpec(bootstrap=50), 10_000)
    crane = found["per_class"][CRANE]
    assert crane["gain"]["value"] == pytest.approx(0.8) and crane["gain"]["n"] == 10
    assert crane["p_value"] == pytest.approx(2 / 2**8)  # eight pairs differ, all to one side
    assert crane["p_holm"] == pytest.approx(3 * 2 / 2**8)
    assert found["per_class"][DRAKE]["p_value"] == 1.0
    assert found["overall"]["gain"]["value"] == pytest.approx(7 / 30)
    short = Seen("a", {}, {key: good for key, good in after.right.items() if key != KEYS[CRANE][0]})
    assert measure_gain(KEYS, before, short, MeasureSpec(bootstrap=5), 99)["per_class"][CRANE]["gain"]["n"] == 9


def test_the_page_shows_hostile_names_as_text(tmp_path: Path) -> None:
    entry = ClassEntry("x", "<script>alert(1)</script>", ("x",), 'a "definition" & more')
    judge = Seen("<judge>", {"k'1": "<img src=x>"}, {"k'1": False})
    label = rank_labels({"x": entry}, {"x": "x"}, {"x": ["k'1"]}, [judge], senses={"x": [entry, entry]}, proposals={})[
        0
    ]
    facts: dict[str, Any] = {"title": "<set>", "judge": judge.judge, "labels": 1, "listed": 0, "notes": ["<note>"]}
    picture = {"k'1": np.zeros((200, 300, 3), np.uint8)}
    write_page(tmp_path / "p.html", [label], [], picture, after={}, gain=None, facts=facts)
    page = (tmp_path / "p.html").read_text()
    assert "<script" not in page and "<img src=x>" not in page and "&lt;judge&gt;" in page and "&lt;note&gt;" in page
    assert 'width="128" height="85"' in page and "http" not in page.replace("http-equiv", "")


def pictures(root: Path, names: tuple[str, ...], count: int) -> Path:
    rng = np.random.default_rng(0)
    for name in names:
        (root / name).mkdir(parents=True)
        for number in range(count):
            Image.fromarray(rng.integers(0, 255, (32, 32, 3), np.uint8)).save(root / name / f"{number}.png")
    return root


def test_the_first_images_of_a_folder_and_of_a_shuffled_file(tmp_path: Path) -> None:
    source = open_images(pictures(tmp_path / "photos", ("a", "b"), 7))
    some = first_images(source, 3)
    assert [row.image_key for row in some.rows()] == [f"{name}/{n}.png" for name in "ab" for n in range(3)]
    assert next(iter(some.counts.values())) == {"a": 3, "b": 3}
    assert [row.read() for row in pickle.loads(pickle.dumps(some)).rows()] == [row.read() for row in some.rows()]
    assert first_images(source, 100).counts == source.counts
    pictures(tmp_path / "split" / "train", ("a",), 2)
    pictures(tmp_path / "split" / "test", ("a",), 5)
    assert len(first_images(open_images(tmp_path / "split"), 3)) == 3
    assert some.fingerprint != first_images(source, 4).fingerprint
    data = (tmp_path / "photos/a/0.png").read_bytes()
    labels = [0, 1, 0, 0, 1, 1, 0, 1]
    features = {"image": {"_type": "Image"}, "label": {"names": ["a", "b"], "_type": "ClassLabel"}}
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    schema = pa.schema(
        [("image", image), ("label", pa.int64())], {"huggingface": json.dumps({"info": {"features": features}})}
    )
    rows = [{"image": {"bytes": data, "path": None}, "label": label} for label in labels]
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), tmp_path / "shuffled.parquet")
    shuffled = open_images(tmp_path / "shuffled.parquet")
    every = [row.image_key for row in shuffled.rows()]
    assert [row.image_key for row in first_images(shuffled, 2).rows()] == [every[place] for place in (0, 1, 2, 4)]


@pytest.fixture
def common(tiny_generator: Path, tiny_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    pictures(tmp_path / "photos", ("crane", "jay", "drake"), 6)
    return f"--generator {tiny_generator} --encoder {tiny_clip} --device cpu --measure.bootstrap 10 --per-label 4 --out out"


def test_classes_are_drawn_listed_decided_and_tried(
    common: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    line = f"triage {CRANE},{JAY} {common}"
    code, out, err = run(capsys, f"{line} --dry-run --no-trial --format json")
    assert code == 0 and json.loads(out)["images"] == 8 and not (tmp_path / "out").exists(), err
    code, out, err = run(capsys, f"{line} --natural photos --format json")
    found = json.loads(out)
    assert code == 0, err
    assert found["judges"] == ["natural centroids", "zero-shot"] and found["gain"] is None
    assert {label["class_key"] for label in found["labels"]} == {CRANE, JAY}
    assert set(found["labels"][0]["accuracy"]) == {"value", "ci_low", "ci_high", "n"}
    assert any("machine" in sense or "lifting" in sense for label in found["labels"] for sense in label["senses"])
    path = tmp_path / "out" / "triage.yaml"
    listed = [row["class"] for row in yaml.safe_load(path.read_text())["overrides"]]
    assert listed
    edit(path, listed[0], new="a clear prompt", who="ann")
    code, out, err = run(capsys, f"{line} --natural photos --apply --format json")
    found = json.loads(out)
    assert code == 0, err
    gain = found["gain"]["per_class"][listed[0]]
    assert (gain["new"], gain["decision"], gain["gain"]["n"]) == ("a clear prompt", "clarify", 4)
    drawn = pq.read_table(next((tmp_path / "out/apply/after").glob(f"data/train/{listed[0]}*"))).to_pylist()
    before = pq.read_table(next((tmp_path / "out/set").glob(f"data/train/{listed[0]}*"))).to_pylist()
    assert {row["prompt"] for row in drawn} == {"a clear prompt"}
    assert [row["seed"] for row in drawn] == [row["seed"] for row in before]
    assert found["worklist"]["clarify"] == 1
    page = (tmp_path / "out" / "triage.html").read_text()
    assert "a clear prompt" in page and page.count("data:image/jpeg") > 8
    code, out, _ = run(capsys, f"{line} --natural photos --apply")
    assert code == 0 and "a clear prompt" in out and "worklist: out/triage.yaml" in out


def test_a_set_with_a_classifier_that_knows_more(
    common: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from safetensors.torch import save_model

    model = tmp_path / "model"
    model.mkdir()
    save_model(new_classifier("test_resnet", 3, {}, seed=0), str(model / "model.safetensors"))
    names = {"crane": "crane", "jay": "jay", "other": "something else"}
    (model / "config.json").write_text(json.dumps(timm_config("test_resnet", names, {}, 32, 1.0)))
    code, out, err = run(capsys, f"triage photos {common} --judge {model} --format json")
    found = json.loads(out)
    assert code == 0, err
    assert found["judges"] == ["model", "zero-shot"]
    by_name = {label["name"]: label for label in found["labels"]}
    assert by_name["drake"]["accuracy"]["value"] is None and by_name["crane"]["accuracy"]["n"] == 4
    notes = " ".join(found["notes"])
    assert "does not know 1 of the labels" in notes and "3 labels without a WordNet id" in notes
    assert found["worklist"] == {"undecided": 0, "clarify": 0, "keep": 0}  # plain nouns: which sense is not known
    code, _, err = run(capsys, f"triage photos {common} --judge {model} --apply")
    assert code == 2 and "no label has a clarified prompt" in err


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (f"triage {CRANE} --no-trial COMMON", "nobody can judge"),
        ("triage photos COMMON --judge nowhere", "no classifier 'nowhere'"),
        ("triage photos COMMON --apply --recipe background", "no clarified side of the recipe 'background'"),
        ("triage photos COMMON --dry-run", "photos is a set that is there"),
        ("triage photos COMMON --natural nowhere", "nowhere: no such folder"),
    ],
)
def test_wrong_input_is_one_line(common: str, capsys: pytest.CaptureFixture[str], line: str, said: str) -> None:
    code, out, err = run(capsys, line.replace("COMMON", common))
    assert (code, out) == (2, "") and said in err and err.count("error:") == 1
