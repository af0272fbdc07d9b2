"""Refining: only the classes at fault are drawn again, in pairs, judged on one half of the natural images, told on the other."""

from __future__ import annotations

import io
import json
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from photographs import photographs
from PIL import Image

from synthgap import metrics, views
from synthgap.core.errors import InputError, Interrupted
from synthgap.core.records import ClassEntry
from synthgap.core.specs import EncoderSpec, GenerateSpec, MeasureSpec, RefineSpec, Resources
from synthgap.pipeline import CompareOptions, compare, refining
from synthgap.pipeline.cases import usual_guidance
from synthgap.pipeline.refine_folder import ADJUSTMENTS, RESULT
from synthgap.pipeline.refine_judging import DECIDING
from synthgap.pipeline.refine_origin import Where
from synthgap.pipeline.refining import TABLE, refine
from synthgap.prompts.adjustments import Adjustment, read_adjustments
from synthgap.stages.before_after import Difference, Facing
from synthgap.stages.generation import Proposals, generate, worker
from synthgap.stages.inputs import SetInput, open_set
from synthgap.store import sets, shards
from synthgap.store.embeddings import EmbeddingSet
from synthgap.store.sets import ImageSet

RESOURCES = Resources(device="cpu", batch_size=4)
MEASURE = MeasureSpec(bootstrap=50, permutations=0, few=2)
SPEC = RefineSpec(permutations=200)
CAT = "n02121620"
CLASSES = {CAT: "cat", "n02012849": "crane", "n02084071": "dog"}
ENTRIES = [ClassEntry(key, name, (name,)) for key, name in CLASSES.items()]

# Pairs, in closed form


def embedded(e: np.ndarray, labels: list[int], name: str = "set") -> EmbeddingSet:
    keys = [f"c{label}" for label in labels]
    images = [f"{name if name == 'natural' else 'x'}-{row}" for row in range(len(keys))]
    return EmbeddingSet(
        name, e.astype(np.float32), keys, images, {"c0": "one", "c1": "two"}, "image", ["train"] * len(keys)
    )


@pytest.fixture
def clouds() -> tuple[EmbeddingSet, EmbeddingSet]:
    """Natural images of two classes, and a synthetic set whose first class is one picture."""
    rng = np.random.default_rng(0)
    labels = [0] * 30 + [1] * 30
    centres = np.eye(8)[labels] * 3
    natural, drawn = (centres + rng.normal(0, 0.7, (60, 8)) for _ in range(2))
    drawn[:30] = centres[:30] + rng.normal(0, 0.05, (30, 8))
    return embedded(natural, labels, "natural"), embedded(drawn, labels)


def by_name(rows: list[Difference]) -> dict[tuple[str, str], Difference]:
    return {(row.class_key, row.metric): row for row in rows}


def test_no_change_is_no_difference(clouds: tuple[EmbeddingSet, EmbeddingSet]) -> None:
    natural, drawn = clouds
    facing = Facing(natural, drawn, drawn, MEASURE, 200)
    for row in (*facing.measure(["c0", "c1"]), *facing.classifier(["c0"])):
        assert row.before == row.after and row.difference == row.ci_low == row.ci_high == 0 and row.p_value == 1


def test_figures_are_those_of_the_measures(clouds: tuple[EmbeddingSet, EmbeddingSet]) -> None:
    natural, drawn = clouds
    rng = np.random.default_rng(1)
    e = drawn.embeddings.copy()
    e[:30] = natural.embeddings[:30] + rng.normal(0, 0.3, (30, 8))
    after = embedded(e, [0] * 30 + [1] * 30)
    found = by_name(Facing(natural, drawn, after, MEASURE, 500).measure(["c0"]))
    labels = torch.tensor([0] * 30 + [1] * 30)
    sides = [torch.from_numpy(one.embeddings) for one in (natural, drawn, after)]
    for place, (name, side) in enumerate((("before", sides[1]), ("after", sides[2]))):
        shift = metrics.centroid_shift(sides[0], labels, side, labels, 2)
        assert getattr(found["c0", "centroid_shift"], name) == pytest.approx(float(shift[0]), abs=1e-6)
        assert getattr(found["overall", "centroid_shift"], name) == pytest.approx(float(shift.mean()), abs=1e-6)
        spread = metrics.centroid_distance(side, labels, 2)[0] / metrics.centroid_distance(sides[0], labels, 2)[0]
        assert getattr(found["c0", "centroid_distance_ratio"], name) == pytest.approx(float(spread), rel=1e-5)
        unit = [metrics.uvec(part[:30].double()) for part in (sides[0], side)]
        assert getattr(found["c0", "coverage"], name) == metrics.coverage(natural=unit[0], synthetic=unit[1], k=5)
        right = metrics.centroid_accuracy(sides[0], labels, side, labels, 2, 0)
        assert getattr(found["overall", "centroid_accuracy"], name) == float(right.mean()), place
    spread_row = found["c0", "centroid_distance_ratio"]
    assert spread_row.difference > 0.5 and spread_row.ci_low > 0 and spread_row.p_value < 0.05 and spread_row.n == 30
    assert found["c0", "coverage"].p_value < 0.05
    assert ("c1", "coverage") not in found


def test_a_smaller_set_of_the_same_spread_is_not_called_narrower() -> None:
    """A centroid of few images lies nearer to them; uncorrected, 4 of these would have (3 / 4)^2 of the spread."""
    rng = np.random.default_rng(3)
    centre = np.eye(64)[0] * 8
    natural = embedded(centre + rng.normal(0, 1, (400, 64)), [0] * 400, "natural")
    ratios = []
    for _ in range(40):
        few = embedded(centre + rng.normal(0, 1, (4, 64)), [0] * 4)
        rows = Facing(natural, few, few, MEASURE.model_copy(update={"bootstrap": 0}), 1).measure(["c0"])
        ratios.append(by_name(rows)["c0", "centroid_distance_ratio"].before)
    assert np.mean(ratios) == pytest.approx(1, abs=0.08)


def test_pairs_are_found_by_key_and_not_by_place(clouds: tuple[EmbeddingSet, EmbeddingSet]) -> None:
    natural, drawn = clouds
    mixed = drawn.subset(np.random.default_rng(2).permutation(60)[:50])
    for row in Facing(natural, drawn, mixed, MEASURE, 100).measure(["c0"]):
        assert row.difference == pytest.approx(0, abs=1e-12) and row.n in (
            20,
            21,
            22,
            23,
            24,
            25,
            26,
            27,
            28,
            29,
            30,
            50,
            60,
        )


# The whole loop, on tiny models


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory, tiny_generator: Path, tiny_clip: Path) -> dict[str, Path]:
    """Natural images, a set, and a run that compares them."""
    root = tmp_path_factory.mktemp("refine")
    natural = photographs(root / "photos", ("cat", "crane", "dog"), count=24)
    spec = GenerateSpec(
        classes="cat,crane.n.05,dog", per_class=10, shard_size=6, generator=str(tiny_generator), num_inference_steps=2
    )
    drawn = generate(spec, root / "drawn", RESOURCES)
    options = CompareOptions(EncoderSpec(encoder=str(tiny_clip)), MEASURE, RESOURCES)
    compare(natural, drawn, root / "run", options)
    return {"natural": natural, "set": drawn, "run": root / "run", "generator": tiny_generator}


@pytest.fixture
def where(start: dict[str, Path]) -> Where:
    return Where(natural=start["natural"], synthetic=start["set"], generator=str(start["generator"]))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rows(folder: Path) -> list[dict[str, Any]]:
    planned = ImageSet(folder).planned_shards()
    return [row for shard in planned for row in pq.read_table(folder / f"data/{shard}.parquet").to_pylist()]


def adjust(out: Path, *entries: str) -> None:
    (out / ADJUSTMENTS).write_text("version: 1\nadjustments:\n" + "".join(f"  - {{{entry}}}\n" for entry in entries))


@pytest.fixture
def begun(start: dict[str, Path], where: Where, tmp_path: Path) -> Path:
    """A folder whose adjustments the user has edited: the cat alone."""
    out = tmp_path / "out"
    plan = refine(start["run"], out, SPEC, where, RESOURCES, dry_run=True)
    assert plan["dry_run"] and not (out / "set").exists()
    assert plan["images_redrawn"] == 10 * len(plan["changes"]) and plan["images_redrawn"] + plan["images_kept"] == 30
    adjust(out, "class: cat, recipe: augmented, guidance_scale: 2.0, who: me", *off("crane", "dog"))
    return out


def off(*names: str) -> list[str]:
    keys = {"crane": "n02012849", "dog": "n02084071", "cat": CAT}
    return [f"class: {keys[name]}, recipe: hypernym, apply: false" for name in names]


def test_only_the_named_class_is_drawn_again_from_the_same_noise(
    start: dict[str, Path], where: Where, begun: Path
) -> None:
    original = contents(start["set"])
    found = refine(start["run"], begun, RefineSpec(permutations=200, keep_worse=True), where, RESOURCES)
    assert contents(start["set"]) == original
    before, after = rows(start["set"]), rows(begun / "set")
    assert [(row["image_key"], row["seed"]) for row in before] == [(row["image_key"], row["seed"]) for row in after]
    changed = {row["class_key"] for row, now in zip(before, after, strict=True) if row["image"] != now["image"]}
    assert changed == {CAT}
    new = contents(begun / "set")
    kept = [name for name in original if name.startswith(("data/", "done/")) and CAT not in name]
    assert len(kept) == 8 and all(new[name] == original[name] for name in kept)
    assert all((begun / "set" / name).stat().st_ino == (start["set"] / name).stat().st_ino for name in kept)
    told = {(row["class_key"], row["recipe"], row["guidance_scale"]) for row in after}
    assert (CAT, "augmented", 2.0) in told and len(told) == 3
    assert [(one["class_key"], one["kept"], one["was"]) for one in found["changes"]] == [("cat", True, {})]
    assert (found["images_redrawn"], found["images_kept"]) == (10, 20)
    assert found["natural"]["steering"] == found["natural"]["report"] == 36
    halves = {row["half"] for row in pq.read_table(begun / TABLE).to_pylist()}
    assert halves == {"report", "steering"}
    assert json.loads((begun / RESULT).read_text())["finished"]
    page = views.refined(found)
    assert "augmented" in page and "linear classifier" in page and "'apply: false' in adjustments.yaml" in page


def test_the_same_command_draws_nothing_and_says_the_same(
    start: dict[str, Path], where: Where, begun: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = refine(start["run"], begun, SPEC, where, RESOURCES)
    before, text = contents(begun / "set"), (begun / ADJUSTMENTS).read_text()
    monkeypatch.setattr(worker, "load_generator", lambda *_: pytest.fail("nothing is left to draw"))
    second = refine(start["run"], begun, SPEC, where, RESOURCES)
    assert json.dumps(second, default=str) == json.dumps(first, default=str)
    assert contents(begun / "set") == before and (begun / ADJUSTMENTS).read_text() == text


def fell(steering: Any, now: Any, after: Any, measure: Any, keys: list[str]) -> dict[tuple[str, str], list[float]]:
    return {(key, name): [0.8, 0.5, 0.9] for key in keys for name in DECIDING}


def test_a_class_that_got_worse_is_brought_back(
    start: dict[str, Path], where: Where, begun: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refining, "deciding", fell)
    found = refine(start["run"], begun, SPEC, where, RESOURCES)
    assert [one["kept"] for one in found["changes"]] == [False]
    assert "0.80 to 0.50 (natural 0.90)" in found["changes"][0]["outcome"] and "brought back" in views.refined(found)
    data = {name: one for name, one in contents(begun / "set").items() if name.startswith("data/")}
    assert data == {name: one for name, one in contents(start["set"]).items() if name.startswith("data/")}
    assert "apply: false" in (begun / ADJUSTMENTS).read_text().split("n02084071")[1]
    assert found["images_redrawn"] == 0
    overall = found["overall"]["report"]
    assert overall and all(row["difference"] == 0 for row in overall)


def test_what_exceeds_natural_images_is_no_loss(
    start: dict[str, Path], where: Where, begun: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def typical(
        steering: Any, now: Any, after: Any, measure: Any, keys: list[str]
    ) -> dict[tuple[str, str], list[float]]:
        return {(keys[0], "centroid_accuracy"): [1.0, 0.8, 0.7], (keys[0], "coverage"): [0.2, 0.3, 0.8]}

    monkeypatch.setattr(refining, "deciding", typical)
    assert refine(start["run"], begun, SPEC, where, RESOURCES)["changes"][0]["kept"]


def test_the_report_half_does_not_steer(start: dict[str, Path], where: Where, begun: Path, tmp_path: Path) -> None:
    """Other report images give other reports and the very same decisions."""
    photos = tmp_path / "photos"
    for path in start["natural"].rglob("*.png"):
        half = "train" if int(path.stem) % 2 else "test"
        (photos / half / path.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, photos / half / path.parent.name)
    found = []
    for number in range(2):
        run, out = tmp_path / f"run{number}", tmp_path / f"out{number}"
        shutil.copytree(start["run"], run)
        shutil.rmtree(run / "embeddings")
        found.append(refine(run, out, SPEC, Where(photos, start["set"], str(start["generator"])), RESOURCES))
        for path in (photos / "test").rglob("*.png"):
            Image.fromarray(np.random.default_rng(int(path.stem)).integers(0, 255, (32, 32, 3)).astype(np.uint8)).save(
                path
            )
    assert found[0]["natural"]["how"] == "its own splits"
    one, other = (
        [(row["class_key"], row["change"], row["reason"], row["outcome"]) for row in each["changes"]] for each in found
    )
    assert one and one == other
    assert found[0]["overall"]["report"] != found[1]["overall"]["report"]


class Killed(BaseException):
    """Nothing after it is run, as after a kill: what is on disk then is all there is."""


@pytest.mark.parametrize("at", [(sets, "copy_file", 9), (shards, "write_json", 1), (refining, "write_adjustments", 2)])
def test_killed_in_the_middle_and_repeated(
    start: dict[str, Path], where: Where, begun: Path, tmp_path: Path, at: tuple[Any, str, int]
) -> None:
    """While shards are linked, between a shard and its marker, and after the classes were judged."""
    whole, (module, name, times) = tmp_path / "whole", at
    shutil.copytree(begun, whole)
    expected = refine(start["run"], whole, SPEC, where, RESOURCES)
    action, calls = getattr(module, name), []

    def killed(*args: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == times:
            raise Killed
        return action(*args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, name, killed)
        with pytest.raises(Killed):
            refine(start["run"], begun, SPEC, where, RESOURCES)
    assert not json.loads((begun / RESULT).read_text())["finished"]
    found = refine(start["run"], begun, SPEC, where, RESOURCES)
    assert contents(begun / "set") == contents(whole / "set")
    shown = [json.dumps([one["overall"], one["changes"]]) for one in (found, expected)]
    assert shown[0] == shown[1]


def test_a_decision_taken_meanwhile_stays(start: dict[str, Path], where: Where, begun: Path) -> None:
    """What the run draws and reports is what the file said at its begin; the file keeps what it says now."""
    there = "- class: n02084071\n  recipe: hypernym\n  apply: false\n"
    wish = "- class: n02084071\n  prompt: a dog of theirs\n  who: other\n"

    def decide(done: int, total: int, what: str) -> None:
        if what.startswith("drawing") and not decided:
            decided.append(done)
            text = (begun / ADJUSTMENTS).read_text()
            (begun / ADJUSTMENTS).write_text(text.replace(there, wish))

    spec, said, decided = SPEC.model_copy(update={"keep_worse": True}), list[str](), list[int]()
    found = refine(start["run"], begun, spec, where, RESOURCES, progress=decide, note=said.append)
    assert [one["class_key"] for one in found["changes"]] == ["cat"]
    entries = {one.class_key: one for one in read_adjustments(begun / ADJUSTMENTS, ENTRIES)}
    assert entries["n02084071"].prompts == ("a dog of theirs",) and entries[CAT].outcome
    assert sum("n02084071 changed while this ran" in text for text in said) == 1
    drawn = {row["class_key"]: row["prompt"] for row in rows(begun / "set")}
    assert drawn["n02084071"] == {row["class_key"]: row["prompt"] for row in rows(start["set"])}["n02084071"]
    again = refine(start["run"], begun, spec, where, RESOURCES)
    assert [one["class_key"] for one in again["changes"]] == ["cat", "dog"]


def test_a_signal_keeps_what_is_drawn(start: dict[str, Path], where: Where, begun: Path) -> None:
    def stop(done: int, total: int, what: str) -> None:
        if what.startswith("drawing") and done > 20:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted, match="to continue"):
        refine(start["run"], begun, SPEC, where, RESOURCES, progress=stop)
    assert refine(start["run"], begun, SPEC, where, RESOURCES)["finished"]


# Rounds


def test_a_second_round_diagnoses_the_refined_set(start: dict[str, Path], where: Where, tmp_path: Path) -> None:
    out, spec = tmp_path / "out", RefineSpec(permutations=50, keep_worse=True, rounds=2)
    entries = ["class: cat, guidance_scale: 2.0", *off("crane")]
    refine(start["run"], out, spec, where, RESOURCES, dry_run=True)
    adjust(out, *entries)
    found = refine(start["run"], out, spec, where, RESOURCES)
    changes = [(one["class_key"], one["round"]) for one in found["changes"]]
    assert ("cat", 1) in changes and len(set(changes)) == len(changes)
    assert "crane" not in {one["name"] for one in found["changes"]}
    for one in found["changes"]:
        if one["round"] == 2:  # what the first round set stays, but for what the second sets anew
            first = next(
                (other for other in found["changes"] if other["name"] == one["name"] and other["round"] == 1), one
            )
            assert one["change"] != first["change"] or first is one
    listed = read_adjustments(out / ADJUSTMENTS, [ClassEntry(key, name, (name,)) for key, name in CLASSES.items()])
    assert {one.class_key for one in listed if not one.apply} == {"n02012849"}
    told = {row["class_key"]: row for row in rows(out / "set")}
    for one in listed:
        if one.apply and one.guidance_scale is not None:
            assert told[one.class_key]["guidance_scale"] == one.guidance_scale
    again = refine(start["run"], out, spec, where, RESOURCES)
    for half in ("report", "steering"):
        one, other = ([(row["metric"], row["after"]) for row in each["overall"][half]] for each in (found, again))
        assert [name for name, _ in one] == [name for name, _ in other]
        assert [value for _, value in one] == pytest.approx([value for _, value in other])


def test_what_was_brought_back_is_not_tried_again(
    start: dict[str, Path], where: Where, begun: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refining, "deciding", fell)
    always = propose_always({"n02084071": {"recipe": "hypernym"}, CAT: {"recipe": "augmented", "guidance_scale": 2.0}})
    monkeypatch.setattr(refining, "propose", always)
    found = refine(start["run"], begun, RefineSpec(permutations=50, rounds=3), where, RESOURCES)
    assert [(one["name"], one["round"], one["kept"]) for one in found["changes"]] == [("cat", 1, False)]
    left = {one["name"]: one["why"] for one in found["left"]}
    assert left["dog"] == "'apply: false' in adjustments.yaml"
    assert left["cat"] == "tried in an earlier round, and brought back"


def propose_always(changes: dict[str, dict[str, Any]]) -> Any:
    made = [Adjustment(key, **change) for key, change in changes.items()]
    return lambda *_: Proposals(list(made), {})


# What is drawn with adjustments already


def test_an_adjusted_set_is_refined_further(start: dict[str, Path], where: Where, begun: Path, tmp_path: Path) -> None:
    keep = RefineSpec(permutations=50, keep_worse=True)
    refine(start["run"], begun, keep, where, RESOURCES)
    natural, tiny = start["natural"], str(start["generator"])
    encoder = json.loads((start["run"] / "summary.json").read_text())["settings"]["encoder"]
    compare(natural, begun / "set", tmp_path / "run", CompareOptions(EncoderSpec(**encoder), MEASURE, RESOURCES))
    out, moved = tmp_path / "further", Where(natural, begun / "set", tiny)
    refine(tmp_path / "run", out, keep, moved, RESOURCES, dry_run=True)
    adjust(
        out, f"class: {CAT}, recipe: augmented, guidance_scale: 2.0", "class: dog, guidance_scale: 3.0", *off("crane")
    )
    found = refine(tmp_path / "run", out, keep, moved, RESOURCES)
    assert [(one["class_key"], one["kept"]) for one in found["changes"]] == [("dog", True)]
    before, after = rows(begun / "set"), rows(out / "set")
    changed = {row["class_key"] for row, now in zip(before, after, strict=True) if row["image"] != now["image"]}
    assert changed == {"n02084071"}
    assert {row["guidance_scale"] for row in after if row["class_key"] == CAT} == {2.0}


def test_paths_that_were_given_once_are_remembered(start: dict[str, Path], where: Where, tmp_path: Path) -> None:
    out = tmp_path / "out"
    refine(start["run"], out, SPEC, where, RESOURCES, dry_run=True)
    assert json.loads((out / RESULT).read_text())["where"]["generator"] == str(start["generator"])
    adjust(out, "class: cat, guidance_scale: 2.0", *off("crane", "dog"))
    found = refine(start["run"], out, SPEC, Where(), RESOURCES)
    assert found["finished"] and found["where"]["natural"] == str(start["natural"])
    with pytest.raises(InputError, match="/nowhere: no such file or folder"):
        refine(start["run"], out, SPEC, Where(natural=Path("/nowhere")), RESOURCES)


def test_the_generators_own_guidance_is_known(start: dict[str, Path]) -> None:
    opened = open_set(SetInput(start["set"], "drawn"))
    assert opened.manifest is not None
    spec = {**opened.manifest.spec, "generator": str(start["generator"]), "guidance_scale": 1.5}
    known = replace(opened, manifest=opened.manifest.model_copy(update={"spec": spec}))
    assert known.guidance_scale == 1.5 and usual_guidance(known) == 7.5
    assert usual_guidance(replace(opened, manifest=None)) is None
    gone = replace(opened, manifest=opened.manifest.model_copy(update={"spec": spec | {"generator": "/nowhere/model"}}))
    assert usual_guidance(gone) is None


# What is refused


def test_foreign_folders_and_runs_are_refused(start: dict[str, Path], where: Where, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep me")
    with pytest.raises(InputError, match="holds files that are no refinement"):
        refine(start["run"], tmp_path / "mine", SPEC, where, RESOURCES)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]
    (tmp_path / "adjusted").mkdir()
    adjust(tmp_path / "adjusted", "class: cat, guidance_scale: 2.0", *off("crane", "dog"))
    plan = refine(start["run"], tmp_path / "adjusted", SPEC, where, RESOURCES, dry_run=True)
    assert [one["class_key"] for one in plan["changes"]] == [CAT]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / RESULT).write_text('{"target": "frogs", "run": "/elsewhere", "set": "1"}')
    with pytest.raises(InputError, match="holds the refinement of 'frogs' of /elsewhere; give --out DIR"):
        refine(start["run"], tmp_path / "other", SPEC, where, RESOURCES)
    with pytest.raises(InputError, match=r"summary.json: no such file"):
        refine(start["natural"], tmp_path / "out", SPEC, where, RESOURCES)


def changed_run(start: dict[str, Path], folder: Path, **changes: Any) -> Path:
    shutil.copytree(start["run"], folder)
    summary = json.loads((folder / "summary.json").read_text())
    (folder / "summary.json").write_text(json.dumps(summary | changes))
    return folder


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"natural": None}, "does not tell where its set 'photos' is .* --natural PATH"),
        ({"natural": Path("/nowhere/photos")}, "/nowhere/photos: no such file or folder"),
        ({"generator": None}, "--generator FOLDER"),
    ],
)
def test_what_the_run_does_not_tell(
    start: dict[str, Path], where: Where, tmp_path: Path, given: dict[str, Any], message: str
) -> None:
    run = changed_run(start, tmp_path / "run")
    summary = json.loads((run / "summary.json").read_text())
    for one in summary["sets"]:
        one.pop("path", None)
    (run / "summary.json").write_text(json.dumps(summary))
    with pytest.raises(InputError, match=message) as caught:
        refine(run, tmp_path / "out", SPEC, replace(where, **given), RESOURCES)
    assert "\n" not in str(caught.value)


def test_nothing_natural_and_unknown_names(start: dict[str, Path], where: Where, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no natural images, and without them nothing tells"):
        refine(changed_run(start, tmp_path / "none", natural=""), tmp_path / "out", SPEC, where, RESOURCES)
    with pytest.raises(InputError, match=r"has no synthetic set 'drawm'; did you mean 'drawn'\?"):
        refine(start["run"], tmp_path / "out", RefineSpec(target="drawm"), where, RESOURCES)
    with pytest.raises(
        InputError, match=r"--accept 'low-diversty' is neither a class nor a cause; did you mean 'low-diversity'\?"
    ):
        refine(start["run"], tmp_path / "out", RefineSpec(accept=("low-diversty",)), where, RESOURCES)
    photos = Where(start["natural"], start["natural"])
    with pytest.raises(InputError, match="is no set that synthgap drew"):
        refine(start["run"], tmp_path / "new", SPEC, photos, RESOURCES)


def test_paths_in_the_summary_are_enough(start: dict[str, Path], tmp_path: Path) -> None:
    run = changed_run(start, tmp_path / "run")
    summary = json.loads((run / "summary.json").read_text())
    for one in summary["sets"]:
        one["path"] = str({"photos": start["natural"], "drawn": start["set"]}.get(one["name"], ""))
    (run / "summary.json").write_text(json.dumps(summary))
    found = refine(run, None, SPEC, Where(generator=str(start["generator"])), RESOURCES, dry_run=True)
    assert found["out"] == str(run / "refined")


def test_an_older_run_is_said_to_be_one(start: dict[str, Path], where: Where, tmp_path: Path) -> None:
    run, told = changed_run(start, tmp_path / "run"), []
    table = pq.read_table(run / "findings.parquet")
    pq.write_table(
        table.drop_columns([name for name in ("change",) if name in table.column_names]), run / "findings.parquet"
    )
    refine(run, tmp_path / "out", SPEC, where, RESOURCES, dry_run=True, note=told.append)
    assert any("older version" in text for text in told)


def test_hostile_class_names(tiny_generator: Path, tiny_clip: Path, tmp_path: Path) -> None:
    names = ('../up "x": {y}', "<b>bold</b> 'q'")
    classes = tmp_path / "classes.txt"
    classes.write_text("\n".join(names) + "\n")
    spec = GenerateSpec(classes=str(classes), per_class=6, generator=str(tiny_generator), num_inference_steps=1)
    drawn = generate(spec, tmp_path / "drawn", RESOURCES)
    natural = tmp_path / "natural"
    for kind, key in enumerate(ImageSet(drawn).manifest.classes):
        folder = natural / key
        folder.mkdir(parents=True)
        for number in range(12):
            noise = np.random.default_rng([kind, number]).integers(0, 200, (32, 32, 3)) + 50 * kind
            data = io.BytesIO()
            Image.fromarray(noise.clip(0, 255).astype(np.uint8)).save(data, "PNG")
            (folder / f"{number}.png").write_bytes(data.getvalue())
    options = CompareOptions(EncoderSpec(encoder=str(tiny_clip)), MEASURE, RESOURCES)
    compare(natural, drawn, tmp_path / "run", options)
    where = Where(natural, drawn, str(tiny_generator))
    with pytest.raises(InputError, match=r"class list 'classes.txt' is not known here; say --classes FILE"):
        refine(tmp_path / "run", tmp_path / "out", SPEC, where, RESOURCES)
    where = Where(natural, drawn, str(tiny_generator), str(classes))
    out = tmp_path / "out"
    refine(tmp_path / "run", out, SPEC, where, RESOURCES, dry_run=True)
    key = next(iter(ImageSet(drawn).manifest.classes))
    adjust(out, f"class: {json.dumps(names[0])}, prompt: 'a {{plain}} \"thing\"'")
    found = refine(tmp_path / "run", out, RefineSpec(permutations=50, keep_worse=True), where, RESOURCES)
    assert key in {row["class_key"] for row in rows(out / "set") if row["prompt"] == 'a {plain} "thing"'}
    assert key.replace("_", " ") in views.refined(found)
    assert not (tmp_path / "up").exists()
