"""``synthgap probe``: figures of prompts by closed forms, then the whole command on tiny models."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command_line import run
from PIL import Image
from scipy.stats import binomtest

from synthgap.core.errors import RunError
from synthgap.core.specs import MeasureSpec
from synthgap.stages.prompt_probe import PromptImages, probe_prompts
from synthgap.store.embeddings import EmbeddingSet
from synthgap.store.tables import read_table

SPEC = MeasureSpec(bootstrap=50)


def vectors(name: str, rows: list[list[float]], keys: list[str] | None = None, own: str = "bus") -> EmbeddingSet:
    n = len(rows)
    e = np.array(rows, dtype=np.float32)
    images = keys or [f"{number:03d}" for number in range(n)]
    return EmbeddingSet(name, e, [own] * n, images, {"bus": "school bus", "van": "van"}, "image", ["train"] * n)


def reference() -> EmbeddingSet:
    return replace(vectors("set", [[1, 0, 0], [1, 0, 0], [0, 1, 0]]), class_keys=["bus", "bus", "van"])


def at(degrees: float) -> list[float]:
    return [math.cos(math.radians(degrees)), math.sin(math.radians(degrees)), 0]


def test_figures_are_those_of_the_definitions() -> None:
    images = vectors("a", [at(30), at(-30), at(60), at(-60)])
    found = probe_prompts(reference(), "bus", [PromptImages("bus", images, np.float32([2, 0, 0]))], SPEC, 100)[0]
    figures = {name: figure["value"] for name, figure in found["figures"].items()}
    cosines = np.cos(np.radians([30, 30, 60, 60]))
    assert figures["centroid_accuracy"] == pytest.approx(0.75)  # 60 degrees is nearer to the van's centroid
    assert figures["centroid_cosine"] == pytest.approx(cosines.mean())
    assert figures["prompt_cosine"] == pytest.approx(cosines.mean())
    assert figures["centroid_distance"] == pytest.approx(((1 - cosines) ** 2).mean())
    assert figures["centroid_shift"] == pytest.approx(0, abs=1e-12)
    ends = binomtest(3, 4).proportion_ci(method="wilson")
    assert found["figures"]["centroid_accuracy"]["ci_low"] == pytest.approx(ends.low)
    assert found["taken_for"] == [{"name": "van", "share": 0.25}]
    assert found["differences"] == {} and found["n"] == 4


def test_differences_are_of_pairs_whatever_their_order() -> None:
    # Twelve images, each brought 5 degrees nearer: one sign, so p is 2 / 2^12.
    degrees = [8.0 * (place + 1) * (-1) ** place for place in range(12)]
    first = vectors("a", [at(one) for one in degrees])
    nearer = [one - 5 * np.sign(one) for one in degrees]
    order = list(reversed(range(12)))
    second = vectors("b", [at(nearer[place]) for place in order], [f"{place:03d}" for place in order])
    sets = [PromptImages("a", first, None), PromptImages("b", second, None)]
    found = probe_prompts(reference(), "bus", sets, SPEC, 10_000)[1]["differences"]
    gain = np.cos(np.radians(nearer)) - np.cos(np.radians(degrees))
    assert found["centroid_cosine"]["value"] == pytest.approx(gain.mean())
    assert found["centroid_cosine"]["p_value"] == pytest.approx(2 / 2**12)
    assert found["centroid_cosine"]["n"] == 12
    assert found["centroid_distance"]["value"] < 0
    assert "prompt_cosine" not in found


def test_many_prompts_are_corrected_for() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal([2, 0, 0], size=(10, 3))
    sets = [PromptImages(str(n), vectors(str(n), (rows + 0.3 * n).tolist()), None) for n in range(4)]
    found = probe_prompts(reference(), "bus", sets, SPEC, 2000)
    for name in ("centroid_cosine", "centroid_distance"):
        raw = sorted((row["differences"][name]["p_value"], row["differences"][name]["p_holm"]) for row in found[1:])
        holm = np.maximum.accumulate([min(1, p * (3 - place)) for place, (p, _) in enumerate(raw)])
        assert [p for _, p in raw] == pytest.approx(holm)


def test_an_image_that_failed_under_one_prompt_is_no_pair() -> None:
    first = vectors("a", [at(10), at(20), at(40)], ["0", "1", "2"])
    second = vectors("b", [at(10), at(20), at(30)], ["0", "1", "3"])
    found = probe_prompts(
        reference(), "bus", [PromptImages("a", first, None), PromptImages("b", second, None)], SPEC, 9
    )
    assert found[1]["differences"]["centroid_cosine"]["n"] == 2
    assert found[1]["differences"]["centroid_cosine"]["value"] == pytest.approx(0)
    assert found[1]["n"] == 3
    alone = vectors("c", [at(1), at(2)], ["7", "8"])
    with pytest.raises(RunError, match="0 images came out under every prompt"):
        probe_prompts(reference(), "bus", [PromptImages("a", first, None), PromptImages("c", alone, None)], SPEC, 9)


@pytest.fixture
def command(tiny_generator: Path, tiny_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name in ("school bus", "minivan"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(5):
            image = Image.fromarray(rng.integers(0, 255, (32, 32, 3), np.uint8))
            image.save(tmp_path / "photos" / name / f"{number}.png")
    return (
        f"probe 'school bus' --prompts 'school bus' 'a {{purple}} bus' --images 4 --generator {tiny_generator} "
        f"--encoder {tiny_clip} --device cpu --measure.bootstrap 10 --out out --against photos"
    )


def test_a_probe_from_start_to_end(command: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, err = run(capsys, f"{command} --natural photos --format json")
    found = json.loads(out)
    assert code == 0, err
    assert (found["class"], found["class_key"]) == ("school bus", "n04146614")
    assert [row["prompt"] for row in found["prompts"]] == ["school bus", "a {purple} bus"]
    second = found["prompts"][1]
    assert set(second["figures"]["centroid_accuracy"]) == {"value", "ci_low", "ci_high", "n"}
    assert set(second["differences"]["prompt_cosine"]) == {"value", "ci_low", "ci_high", "n", "p_value", "p_holm"}
    assert set(second["natural"]["figures"]) == {"centroid_accuracy", "centroid_shift", "centroid_cosine"}
    # the same images as references: both say the same
    assert second["natural"]["figures"]["centroid_cosine"] == second["figures"]["centroid_cosine"]
    rows = [read_table(next(Path(row["set"]).glob("data/train/*.parquet"))) for row in found["prompts"]]
    assert [row["seed"] for row in rows[0]] == [row["seed"] for row in rows[1]]
    assert {row["prompt"] for row in rows[1]} == {"a {purple} bus"}
    with Image.open(tmp_path / "out" / "strip.png") as strip:
        assert strip.width > 4 * 96
    code, out, _ = run(capsys, command.replace("'school bus' 'a", "'school bus' bus 'a"))
    assert code == 0 and "Differences to 'school bus'" in out and "cannot be known" in out
    assert len(list((tmp_path / "out" / "sets").iterdir())) == 3


def test_a_reference_of_the_same_noise_is_told(
    command: str, capsys: pytest.CaptureFixture[str], tiny_generator: Path
) -> None:
    code, _, _ = run(
        capsys,
        f"generate --classes 'school bus,minivan' --per-class 3 --generator {tiny_generator} --device cpu --out drawn",
    )
    assert code == 0
    line = command.replace("photos", "drawn") + " --format json"
    _, out, _ = run(capsys, line)
    assert "was drawn with the same seed (0)" in " ".join(json.loads(out)["notes"])
    _, out, _ = run(capsys, line.replace("--out out", "--out other") + " --seed 1")
    assert "same seed" not in " ".join(json.loads(out)["notes"])


def test_a_dry_run_draws_nothing(command: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, _ = run(capsys, f"{command} --dry-run --no-trial --format json")
    assert code == 0 and json.loads(out)["images"] == 8
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("probe 'school bus'", "probe cat,dog", "names 2 classes; a probe looks at one"),
        ("'a {purple} bus'", "'school bus'", "given twice"),
        ("--against photos", "--against nowhere", "nowhere: no such folder"),
        ("probe 'school bus'", "probe cat", "no class in common"),
    ],
)
def test_wrong_input_is_one_line(
    command: str, capsys: pytest.CaptureFixture[str], old: str, new: str, said: str
) -> None:
    code, out, err = run(capsys, command.replace(old, new, 1))
    assert (code, out) == (2, "") and said in err and err.count("error:") == 1
