"""The plan: how many images, which prompts, which seeds, and what the fingerprint follows."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from synthgap.core.errors import FingerprintError, InputError
from synthgap.core.seeds import EVAL_INDEX, image_seed
from synthgap.core.specs import GenerateSpec
from synthgap.stages.generation import Plan, plan_set
from synthgap.store.plan import summary


def plan(**settings: Any) -> Plan:
    return plan_set(GenerateSpec(**({"classes": "crane.n.05,n03126707", "per_class": 5} | settings)))


def test_counts_keys_shards_and_order() -> None:
    planned = plan(eval_per_class=3, shard_size=2)
    images = list(planned)
    assert len(images) == len(planned) == 2 * (5 + 3)
    assert [image.image_key for image in images[:2]] == ["n02012849-train-0000000", "n02012849-train-0000001"]
    assert images[-1].image_key == "n03126707-eval-0000002"
    assert len({image.image_key for image in images}) == len(images)
    shards = Counter(image.shard for image in images)
    assert list(shards)[:3] == [f"train/n02012849-0000{block}" for block in range(3)]
    assert shards["train/n02012849-00002"] == 1 and shards["eval/n03126707-00001"] == 1
    assert planned.class_names == {"n02012849": "crane", "n03126707": "crane"}


def test_seed_follows_from_run_seed_class_and_index_alone() -> None:
    one = list(plan(seed=7))
    other = plan(seed=7, recipe="definition", guidance_scale=2.0, shard_size=3, classes="n03126707,cat,n02012849")
    others = {image.image_key: image for image in other}
    assert all(others[image.image_key].seed == image.seed for image in one)
    assert any(others[image.image_key].prompt != image.prompt for image in one)
    assert one[3].seed == image_seed(7, "n02012849", 3)
    assert {image.seed for image in plan(seed=8)}.isdisjoint(image.seed for image in one)


def test_eval_images_do_not_move_when_train_grows() -> None:
    small = [image for image in plan(eval_per_class=2) if image.split == "eval"]
    large = [image for image in plan(eval_per_class=2, per_class=50) if image.split == "eval"]
    assert [(image.image_key, image.seed, image.prompt) for image in small] == [
        (image.image_key, image.seed, image.prompt) for image in large
    ]
    assert small[1].index == EVAL_INDEX + 1
    assert len({image.seed for image in plan(per_class=30, eval_per_class=30)}) == 120


def test_augmented_prompts_differ_from_image_to_image() -> None:
    images = list(plan(recipe="augmented", per_class=20, eval_per_class=5))
    assert len({image.prompt for image in images}) > 40
    assert {image.recipe for image in images} == {"augmented"}


OVERRIDES = """version: 1
overrides:
  - {class: n02012849, old: crane, new: "%s"}
"""


def test_overrides_change_the_prompt_of_their_class_alone(tmp_path: Path) -> None:
    path = tmp_path / "clear.yaml"
    path.write_text(OVERRIDES % "a tall grey bird")
    first = list(plan(recipe="disambiguated", overrides=path))
    assert {image.prompt for image in first if image.class_key == "n02012849"} == {"a tall grey bird"}
    path.write_text(OVERRIDES % "a wading bird")
    second = list(plan(recipe="disambiguated", overrides=path))
    changed = {one.class_key for one, other in zip(first, second, strict=True) if one != other}
    assert changed == {"n02012849"}


def test_an_adjustment_outdates_the_shards_of_its_class_alone(tmp_path: Path) -> None:
    path = tmp_path / "adjustments.yaml"
    path.write_text("version: 1\nadjustments:\n  - {class: n02012849, guidance_scale: 2.5}\n")
    before, after = plan(guidance_scale=7.5), plan(guidance_scale=7.5, adjustments=path)
    changed = [one.class_key for one, other in zip(summary(before), summary(after), strict=True) if one != other]
    assert changed == ["n02012849"]
    crane, machine = next(iter(after)), list(after)[-1]
    assert (crane.guidance_scale, crane.num_inference_steps, machine.settings) == (2.5, None, (None, None))
    assert [(one.seed, one.prompt) for one in before] == [(one.seed, one.prompt) for one in after]
    same = plan(guidance_scale=2.5, adjustments=path)  # what the set has anyway is no adjustment
    assert list(summary(same)) == list(summary(plan(guidance_scale=2.5)))


def test_a_set_grows_by_shards_of_its_own() -> None:
    small = plan(per_class=5, shard_size=4)
    there = {("train", "n02012849"): (4, 1), ("train", "n03126707"): (4, 1)}
    spec = GenerateSpec(classes="robin.n.01,crane.n.05,n03126707", per_class=10, eval_per_class=1, shard_size=4)
    large = plan_set(spec, there, small.class_names)
    assert list(large.class_names) == ["n02012849", "n03126707", *(set(large.class_names) - set(small.class_names))]
    shards = Counter(image.shard for image in large if image.class_key == "n02012849")
    assert shards == {"train/n02012849-00000": 4, "train/n02012849-00001": 1, "train/n02012849-00002": 4,
                      "train/n02012849-00003": 1, "eval/n02012849-00000": 1}  # fmt: skip
    by_key = {image.image_key: image for image in large}
    assert all(by_key[image.image_key] == image for image in small)
    assert len(by_key) == len(large) == 33
    with pytest.raises(FingerprintError, match="5 train images of 'crane' are there and 3 are asked for"):
        plan_set(spec.model_copy(update={"per_class": 3}), there, small.class_names)


def test_counts_of_another_set_are_kept_with_their_imbalance(tmp_path: Path) -> None:
    for name, split, count in (
        ("crane", "train", 3),
        ("n03126707", "train", 2),
        ("crane", "val", 1),
        ("n03126707", "val", 0),
    ):
        (tmp_path / split / name).mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (4, 4)).save(tmp_path / split / name / f"{number}.png")
    planned = plan(counts_like=tmp_path)
    counts = Counter((image.split, image.class_key) for image in planned)
    assert counts == {("train", "n02012849"): 3, ("train", "n03126707"): 2, ("eval", "n02012849"): 1}
    assert len(planned) == 6
    with pytest.raises(InputError, match="has no class 'cat' to count"):
        plan(counts_like=tmp_path, classes="cat.n.01,crane.n.05")


def test_ambiguous_names_are_told() -> None:
    assert any("crane" in note for note in plan(classes="crane,mouse").notes)
    assert plan().notes == ()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"recipe": "hypernim"}, "did you mean 'hypernym'"),
        ({"classes": "n02012849,crane.n.05"}, "are the same"),
        ({"overrides": Path("nowhere.yaml")}, "no overrides file 'nowhere.yaml'"),
    ],
)
def test_what_cannot_be_planned(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        plan(**settings)
