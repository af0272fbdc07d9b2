"""``synthgap sweep``: the curve and its crossing by closed forms, then the whole command on tiny models."""

from __future__ import annotations

import io
import json
import math
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from command_line import run
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from synthgap.core.errors import InputError
from synthgap.core.records import OVERALL, Measurement
from synthgap.core.specs import GenerateSpec, MeasureSpec, SweepSpec
from synthgap.stages.measurement.measuring import measure_own
from synthgap.stages.plot import Panel, Series, draw_plot
from synthgap.stages.strip import StripRow, draw_strip
from synthgap.stages.sweeping import Curve, diversity_rows, meet_natural
from synthgap.stages.sweeping import settings as sweep_settings
from synthgap.store.embeddings import EmbeddingSet
from synthgap.store.tables import read_table

GUIDANCE = (1.0, 2.0, 4.0, 8.0)


def figures(values: list[float], wide: float = 1.0) -> list[Measurement]:
    """Figures whose interval reaches from the value over ``wide`` to the value times it."""
    return [Measurement("m", "a", "b", OVERALL, v, v / wide, v * wide, n=10) for v in values]


def curve(ratio: list[float], wide: float = 1.0, accuracy: list[float] | None = None) -> Curve:
    return Curve(GUIDANCE, figures(ratio, wide), figures(accuracy or [0.5] * 4))


def test_a_power_law_is_met_where_it_says() -> None:
    # diversity = 3 / guidance is a straight line in the logarithms, so the crossing is exact: 3; the ends 3 / w and 3 w
    found = meet_natural(curve([3 / g for g in GUIDANCE], wide=1.25, accuracy=[0.2, 0.4, 0.6, 0.8]))
    assert found.guidance_scale == pytest.approx((3.0, 2.4, 3.75))
    share = math.log(3 / 2) / math.log(2)
    assert found.accuracy[0] == pytest.approx(0.4 + 0.2 * share)
    assert found.cost == pytest.approx(0.8 - found.accuracy[0])
    assert (found.nearest, found.n, found.reason) == (4.0, 10, "")


def test_a_setting_that_meets_it_is_the_answer() -> None:
    assert meet_natural(curve([2.0, 1.0, 0.5, 0.25])).guidance_scale[0] == pytest.approx(2.0)
    assert meet_natural(curve([8.0, 4.0, 2.0, 1.0])).guidance_scale[0] == pytest.approx(8.0)


@pytest.mark.parametrize(
    ("ratio", "said", "nearest"),
    [([0.9, 0.5, 0.3, 0.1], "below that of natural images even at guidance 1", 1.0),
     ([9.0, 5.0, 3.0, 2.0], "above that of natural images even at guidance 8", 8.0)],
)  # fmt: skip
def test_outside_the_sweep_it_says_so(ratio: list[float], said: str, nearest: float) -> None:
    found = meet_natural(curve(ratio))
    assert math.isnan(found.guidance_scale[0]) and math.isnan(found.cost)
    assert found.reason.startswith("not within the sweep") and said in found.reason
    assert found.nearest == nearest


def test_an_open_end_is_told() -> None:
    found = meet_natural(curve([1.1, 0.9, 0.5, 0.1], wide=1.3))
    assert math.isnan(found.guidance_scale[1]) and found.guidance_scale[2] < 4
    assert found.reason == "the lower end of the interval lies outside the sweep"


def test_noise_that_rises_is_pooled() -> None:
    # 2 and 0.5 pool to 1 in the logarithm, the least-squares falling sequence; it is met at the later of the two
    found = meet_natural(curve([4.0, 0.5, 2.0, 0.25]))
    assert found.guidance_scale[0] == pytest.approx(4.0)


def test_too_few_points_have_a_reason() -> None:
    rows = [Measurement("m", "a", "b", "x", math.nan, n=1, reason="class has 1 image")] * 4
    found = meet_natural(Curve(GUIDANCE, rows, rows))
    assert math.isnan(found.guidance_scale[0]) and found.reason == "class has 1 image"


@given(st.lists(st.floats(0.05, 20), min_size=4, max_size=4), st.floats(1.01, 3))
@settings(deadline=None, max_examples=60)
def test_the_answer_lies_in_the_sweep_and_in_its_interval(ratio: list[float], wide: float) -> None:
    found = meet_natural(curve(ratio, wide))
    value, low, high = found.guidance_scale
    if math.isnan(value):
        assert found.reason
        return
    assert 1 <= value <= 8.0001
    assert math.isnan(low) or low <= value * 1.0001
    assert math.isnan(high) or high >= value * 0.9999


def embeddings(name: str, scale: float, n: int, seed: int) -> EmbeddingSet:
    """Two classes around two axes, spread by ``scale`` in 30 other directions."""
    rng = np.random.default_rng(seed)
    e = np.zeros((2 * n, 32), dtype=np.float32)
    e[:n, 0], e[n:, 1] = 1, 1
    e[:, 2:] = rng.normal(size=(2 * n, 30)) * scale
    keys = ["x"] * n + ["y"] * n
    return EmbeddingSet(
        name, e, keys, [f"{i:04d}" for i in range(2 * n)], {"x": "x", "y": "y"}, "image", ["train"] * 2 * n
    )


def test_diversity_does_not_depend_on_the_number_of_images() -> None:
    spec = MeasureSpec(bootstrap=50, extra=())
    natural = embeddings("natural", 0.03, 400, 0)
    own, ratios = measure_own(natural, natural, spec), []
    for seed in range(1, 31):
        small = embeddings("small", 0.03, 6, seed)
        rows = {row.class_key: row for row in diversity_rows(measure_own(small, small, spec), own)}
        assert rows["x"].ci_low < rows["x"].value < rows["x"].ci_high and rows["x"].n == 6
        ratios.append(rows[OVERALL].value)
    assert np.mean(ratios) == pytest.approx(1, abs=0.06)  # without the correction (5 / 6)^2 = 0.69
    doubled = embeddings("doubled", 0.06, 400, 2)
    rows = {row.class_key: row for row in diversity_rows(*(measure_own(one, one, spec) for one in (doubled, natural)))}
    assert rows[OVERALL].value == pytest.approx(
        16, rel=0.35
    )  # the square of a squared distance, less a little at the rim
    assert {row.reference for row in rows.values()} == {"natural"}


def test_a_class_of_one_image_has_no_diversity_and_says_why() -> None:
    spec = MeasureSpec(bootstrap=0, extra=())
    natural, lone = embeddings("natural", 0.03, 20, 0), embeddings("lone", 0.03, 3, 1).subset([0, 3, 4, 5])
    rows = {row.class_key: row for row in diversity_rows(*(measure_own(one, one, spec) for one in (lone, natural)))}
    assert math.isnan(rows["x"].value) and "1 image" in rows["x"].reason
    assert rows["y"].value == pytest.approx(rows[OVERALL].value)
    assert math.isnan(rows["y"].ci_low)


def test_settings_are_sorted_distinct_and_alike_in_all_else() -> None:
    spec = GenerateSpec(classes="cat", seed=7)
    found = sweep_settings(spec, SweepSpec(guidance=(5, 1, 5), steps=(20, 10)))
    assert [one.name for one in found] == [
        "guidance-1-steps-10", "guidance-5-steps-10", "guidance-1-steps-20", "guidance-5-steps-20",
    ]  # fmt: skip
    assert {one.spec.model_copy(update={"guidance_scale": None, "num_inference_steps": None}) for one in found} == {
        spec
    }
    assert sweep_settings(spec, SweepSpec(guidance=(2.5,)))[0].spec.num_inference_steps is None
    with pytest.raises(InputError, match="write --guidance with commas"):
        sweep_settings(GenerateSpec(guidance_scale=2), SweepSpec())
    with pytest.raises(InputError, match="needs --steps only"):
        sweep_settings(GenerateSpec(num_inference_steps=5), SweepSpec(steps=(5,)))


def test_the_plot_is_well_formed_and_skips_what_is_unknown() -> None:
    nothing = (math.nan, math.nan, math.nan)
    series = [
        Series("a < b & c", (1, 2, 4), [(1.0, 0.9, 1.1), nothing, (0.5, 0.4, 0.6)]),
        Series("", (1, 2, 4), [nothing] * 3),
    ]
    root = ET.fromstring(
        draw_plot([Panel("<script>", series, 1.0, [1.5]), Panel("flat", [Series("z", (1,), [(0, 0, 0)])])])
    )
    texts = [node.text for node in root.iter() if node.tag.endswith("text")]
    assert "<script>" in texts and "a < b & c" in texts
    assert "nan" not in ET.tostring(root, encoding="unicode")
    assert sum(node.tag.endswith("circle") for node in root.iter()) == 3


def test_the_strip_puts_every_picture_in_its_place() -> None:
    red, blue = (np.full((32, 32, 3), colour, np.uint8) for colour in ((255, 0, 0), (0, 0, 255)))
    data = draw_strip(
        ("a", "b"), [StripRow("a class with a very long name " * 9, [red, None]), StripRow("", [blue, red])]
    )
    image = np.asarray(Image.open(io.BytesIO(data)))
    assert (image == (255, 0, 0)).all(2).sum() == 2 * 96 * 96
    assert (image == (0, 0, 255)).all(2).sum() == 96 * 96
    assert (image == (233, 230, 223)).all(2).sum() == 96 * 96  # what failed leaves a hole
    assert len(draw_strip((), [StripRow("x" * 300, [np.zeros((500, 200, 3), np.uint8)])])) > 0


@pytest.fixture
def command(tiny_generator: Path, tiny_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    return (
        f"sweep --classes cat,dog --per-class 4 --guidance 1,3 --generator {tiny_generator} --encoder {tiny_clip} "
        "--device cpu --measure.bootstrap 10 --out out"
    )


def natural_folder(root: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in ("cat", "dog", "ship"):
        (root / name).mkdir(parents=True)
        for number in range(8):
            Image.fromarray(rng.integers(0, 255, (32, 32, 3), np.uint8)).save(root / name / f"{number}.png")
    return root


def test_a_sweep_from_start_to_end(command: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    natural_folder(tmp_path / "photos")
    code, out, err = run(capsys, f"{command} --natural photos --format json")
    found = json.loads(out)
    assert code == 0, err
    assert [one["name"] for one in found["settings"]] == ["guidance-1", "guidance-3"]
    figures = found["settings"][0]["figures"]
    assert set(figures) >= {"diversity", "centroid_shift", "centroid_accuracy", "coverage", "precision"}
    assert set(figures["diversity"]["per_class"]) == {"cat", "dog"}
    assert set(figures["centroid_accuracy"]["overall"]) >= {"value", "ci_low", "ci_high", "n"}
    assert set(found["meeting"][0]["per_class"]) == {"cat", "dog"}
    rows = read_table(tmp_path / "out" / "sweep.parquet")
    assert {(row["guidance_scale"], row["metric"]) for row in rows} >= {(1.0, "diversity"), (3.0, "centroid_accuracy")}
    assert json.loads((tmp_path / "out" / "sweep.json").read_text())["settings"] == found["settings"]
    ET.parse(tmp_path / "out" / "sweep.svg")
    with Image.open(tmp_path / "out" / "strip.png") as strip:
        assert strip.height > 4 * 96  # two classes, two noises
    seeds = [
        [row["seed"] for row in read_table(next((tmp_path / "out/sets" / one).glob("data/train/n02*.parquet")))]
        for one in ("guidance-1", "guidance-3")
    ]
    assert seeds[0] == seeds[1] and len(set(seeds[0])) == 4
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "out/sets").rglob("*.parquet")}
    code, out, _ = run(capsys, f"{command} --natural photos")
    assert code == 0 and "Guidance at which diversity is that of photos" in out and "sweep.svg" in out
    assert written == {path: path.stat().st_mtime_ns for path in (tmp_path / "out/sets").rglob("*.parquet")}


def test_without_natural_images_it_says_what_it_cannot_know(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, f"{command} --format json")
    found = json.loads(out)
    assert code == 0 and found["natural"] is None and found["meeting"] == []
    assert set(found["settings"][0]["figures"]) == {"centroid_distance", "vendi_score"}
    assert "cannot be known" in found["notes"][0]


def test_a_dry_run_draws_nothing(command: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, _ = run(capsys, f"{command} --steps 2,3 --dry-run --format json")
    found = json.loads(out)
    assert code == 0 and found["images"] == 32 and found["seconds"] > 0
    assert not (tmp_path / "out").exists()
    code, out, _ = run(capsys, f"{command} --dry-run --no-trial")
    assert code == 0 and "16 images in all" in out


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("--guidance-scale 3", "write --guidance with commas"),
        ("--guidance 0.5", "greater than or equal to 1"),
        ("--adjustments a.yaml", "leave it out"),
        ("--natural nowhere", "nowhere: no such folder"),
    ],
)
def test_wrong_input_is_one_line_before_anything_is_drawn(
    command: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, more: str, said: str
) -> None:
    line = command.replace("--guidance 1,3", "") if "--guidance 0" in more else command
    code, out, err = run(capsys, f"{line} {more}")
    assert (code, out) == (2, "") and said in err and err.count("error:") == 1
    assert not (tmp_path / "out" / "sets").exists()
