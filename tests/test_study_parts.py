"""A study with every part, tiny, on the lab: what it writes, how it continues, what it refuses before anything is drawn."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from command_line import run as command

from synthgap.core.errors import FingerprintError, InputError, Interrupted
from synthgap.core.specs import Resources, StudySpec
from synthgap.stages.report import write_report
from synthgap.store.sources import open_images
from synthgap.study import lab_images, load_study
from synthgap.study.estimate import estimate_study
from synthgap.study.running import StudyOptions, run_study

CLASSES = ("cat", "ship", "frog")


def write_images(name: str, folder: Path, train: int, test: int) -> None:
    """The first images of some classes of a shipped set, as an image folder."""
    source = open_images(lab_images(name))
    for split, part, count in (("train", "train", train), ("test", "eval", test)):
        left = dict.fromkeys(CLASSES, count)
        for row in source.rows(part if part in source.splits else None):
            label = source.classes[row.class_key]
            if left.get(label, 0) > 0:
                left[label] -= 1
                place = folder / split / label / f"{row.image_key}.jpg"
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(row.read())


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("images")
    write_images("natural", root / "natural", 12, 6)
    write_images("sd14", root / "target", 10, 6)
    return root


def tiny(images: Path, **changed: Any) -> dict[str, Any]:
    """A study as a user would write it."""
    drawn = {"classes": ",".join(CLASSES), "per_class": 8, "eval_per_class": 4, "num_inference_steps": 2}
    return {
        "data": {"mine": str(images / "natural"), "target": str(images / "target")},
        "natural": {"name": "natural", "path": "data:mine"},
        "sets": [
            {
                "name": "lab-{guidance_scale}",
                "generate": drawn | {"dtype": "bfloat16"},
                "grid": {"guidance_scale": [7.5, 2.5]},
            }
        ],
        "measure": {"bootstrap": 20, "permutations": 10, "extra": []},
        "trials": {"classifiers": ["gaussian-shared"]},
        "classifiers": {
            "sets": ["natural", "lab-7.5", "half=natural@0.5+lab-7.5@0.5"],
            "train": {"recipe": "small", "image_size": 32, "iterations": 4, "batch_size": 8, "images": 18},
            "proof": {"seeds": 2, "bootstrap": 20},
        },
        "scaling": {"sets": ["natural"], "sizes": [6, 18]},
        "transfer": {
            "targets": ["Pets=data:target"],
            "sets": ["natural", "lab-7.5"],
            "linear": {"trials": 2, "repeats": 1, "bootstrap": 20},
        },
    } | changed


def spec_of(images: Path, **changed: Any) -> StudySpec:
    return StudySpec.model_validate(tiny(images, **changed))


@pytest.fixture(scope="module")
def done(images: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("study") / "run"
    return out, run_study(spec_of(images), out)


def test_every_part_writes_what_its_command_writes(done: tuple[Path, dict[str, Any]]) -> None:
    out, found = done
    matrix = json.loads((out / "proof" / "matrix.json").read_text())
    assert matrix["matrix"] == found["classifiers"]["matrix"]
    assert list(matrix["matrix"]) == ["natural", "lab-7.5", "half"]
    assert list(matrix["matrix"]["half"]) == ["natural", "lab-7.5", "lab-2.5"]  # every set with an eval split
    assert matrix["images"] == {"natural": 18, "lab-7.5": 18, "half": 18} and matrix["seeds"] == 2
    assert list(json.loads((out / "proof" / "scaling.json").read_text())["scaling"]["natural"]) == ["6", "18"]
    transfer = pq.read_table(out / "transfer" / "transfer.parquet").to_pylist()
    assert [(row["model"], row["set"]) for row in transfer] == [("natural-18-0", "Pets"), ("lab-7.5-18-0", "Pets")]
    trials = pq.read_table(out / "trials.parquet")
    assert "gaussian_shared_accuracy" in trials.column_names and (out / "trials.json").exists()
    summary = json.loads((out / "summary.json").read_text())
    assert {"trials with classifiers", "networks", "networks on more and more images", "transfer"} <= set(
        summary["seconds"]
    )
    assert summary["seconds"] == found["seconds"]


def test_networks_of_the_matrix_serve_the_scaling(done: tuple[Path, dict[str, Any]]) -> None:
    models = sorted(path.name for path in (done[0] / "proof" / "models").iterdir())
    assert models == sorted(
        [f"{name}-18-{seed}" for name in ("natural", "lab-7.5", "half") for seed in (0, 1)]
        + ["natural-6-0", "natural-6-1"]
    )


def test_the_report_shows_what_the_networks_score(done: tuple[Path, dict[str, Any]]) -> None:
    out, found = done
    page = (out / "report" / "index.html").read_text(encoding="utf-8")
    assert '<section id="proof">' in page and '<a href="#proof">Networks</a>' in page
    value = found["classifiers"]["matrix"]["half"]["natural"]["top_1"]["overall"]["value"]
    assert f"{100 * value:.1f}%" in page[page.index('<section id="proof">') :]
    assert "Along the number of images" in page and "Their features on other sets" in page
    assert write_report(out).read_text(encoding="utf-8") == page


def test_single_commands_go_on_in_a_studys_folder(
    done: tuple[Path, dict[str, Any]], images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, found = done
    before = stamps(out / "proof" / "models")
    line = (
        f"matrix natural={images / 'natural'} lab-7.5={out / 'sets' / 'lab-7.5'} --out {out / 'proof'} --recipe small "
        "--image-size 32 --iterations 4 --batch-size 8 --images 18 --seeds 2 --bootstrap 20 --format json"
    )
    code, said, err = command(capsys, line)
    assert code == 0, err
    assert json.loads(said)["matrix"]["lab-7.5"]["lab-7.5"] == found["classifiers"]["matrix"]["lab-7.5"]["lab-7.5"]
    assert stamps(out / "proof" / "models") == before


def stamps(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")}


def test_a_study_that_is_stopped_thrice_goes_on_to_the_same_result(
    done: tuple[Path, dict[str, Any]], images: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    for where in ("drawing lab-2.5", "lab-7.5-18, seed 0", "trials on Pets"):

        def stop(done: int, total: int, what: str, where: str = where) -> None:
            if what.startswith(where):
                raise Interrupted("stopped")

        with pytest.raises(Interrupted):
            run_study(spec_of(images), out, StudyOptions(progress=stop))
    kept = stamps(out / "proof" / "models")
    found = run_study(spec_of(images), out)
    assert stamps(out / "proof" / "models") == kept and len(kept) > 8
    for part in ("classifiers", "scaling", "transfer"):
        assert comparable(found[part]) == comparable(done[1][part])


def comparable(found: dict[str, Any]) -> str:
    """A result without folders and times."""
    blocks = [one | {"seconds": 0} for one in found.get("results", [])]
    return json.dumps(found | {"out": "", "plot": "", "results": blocks}, sort_keys=True)


def test_a_changed_recipe_is_refused(done: tuple[Path, dict[str, Any]], images: Path) -> None:
    changed = tiny(images)
    changed["classifiers"]["train"]["learning_rate"] = 0.01
    with pytest.raises(FingerprintError):
        run_study(StudySpec.model_validate(changed), done[0])


def grown(images: Path, **changed: Any) -> StudySpec:
    """The tiny study with a further set, the first to draw: its folder tells whether anything was drawn."""
    study = tiny(images, **changed)
    study["sets"].insert(0, {"name": "new", "generate": study["sets"][0]["generate"] | {"num_inference_steps": 2}})
    return StudySpec.model_validate(study)


def refused(spec: StudySpec, out: Path) -> str:
    """What is said before anything is drawn."""
    with pytest.raises(InputError) as stop:
        run_study(spec, out)
    assert not (out / "sets" / "new").exists()
    return str(stop.value)


def test_folders_of_another_study_are_refused_before_anything_is_drawn(
    done: tuple[Path, dict[str, Any]], images: Path
) -> None:
    without: dict[str, Any] = dict.fromkeys(["classifiers", "scaling", "transfer"])
    changed = tiny(images)["classifiers"]
    changed["train"]["learning_rate"] = 0.01
    assert "models/natural-18-0: holds another run: recipe.learning_rate" in refused(
        grown(images, classifiers=changed), done[0]
    )
    elsewhere = {"mine": str(images / "target"), "target": str(images / "target")}
    assert "embeddings/natural: holds another run: parents.images" in refused(
        grown(images, data=elsewhere, **without), done[0]
    )
    sets = tiny(images)["sets"]
    sets[0]["generate"]["num_inference_steps"] = 3
    assert "sets/lab-7.5: holds another run: num_inference_steps" in refused(
        grown(images, sets=sets, **without), done[0]
    )


def test_networks_of_a_set_that_is_to_grow_are_refused_before_it_grows(
    done: tuple[Path, dict[str, Any]], images: Path
) -> None:
    sets = tiny(images)["sets"]
    sets[0]["generate"]["per_class"] = 9
    assert "learned from 'lab-7.5' as it was" in refused(grown(images, sets=sets), done[0])


def test_results_among_images_are_refused_before_anything_is_drawn(images: Path) -> None:
    without: dict[str, Any] = dict.fromkeys(["classifiers", "scaling", "transfer"])
    for folder, spec in (("natural", spec_of(images, **without)), ("target", spec_of(images))):
        out = images / folder / "train" / "run"
        assert "lies among the images of" in refused(spec, out) and not out.exists()


def test_a_part_that_is_taken_away_is_gone_from_the_report(
    done: tuple[Path, dict[str, Any]], images: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    shutil.copytree(done[0], out)
    fewer = tiny(images, scaling=None, transfer=None, trials=None)
    fewer["classifiers"]["sets"] = ["natural", "lab-7.5"]
    assert run_study(StudySpec.model_validate(fewer), out)["parts"] == {"classifiers": ["natural", "lab-7.5"]}
    page = (out / "report" / "index.html").read_text(encoding="utf-8")
    assert '<section id="proof">' in page
    assert "Along the number of images" not in page and "Their features on other sets" not in page
    run_study(spec_of(images, classifiers=None, scaling=None, transfer=None, trials=None), out)
    page = write_report(out).read_text(encoding="utf-8")
    assert 'id="proof"' not in page and "matrix.parquet" not in page


def with_key(images: Path, dotted: str, value: Any) -> dict[str, Any]:
    """The tiny study with one key changed."""
    study = tiny(images)
    here: Any = study
    *path, last = dotted.split(".")
    for part in path:
        here = here[int(part)] if isinstance(here, list) else here[part]
    here[last] = value
    return study


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("data.mine", None, "the study needs images of yours: --set data.mine=DIR"),
        ("data.target", None, "--set data.target=DIR; --set data.target=false goes without it"),
        ("data.mine", False, "data.mine is false, and the set 'natural' is there"),
        ("natural.path", "data:mien", "data:mien stands in the study and not under 'data'; did you mean 'mine'?"),
        ("classifiers.sets", ["natrual"], "the study has no set 'natrual'; did you mean 'natural'?"),
        ("classifiers.sets", ["natural@none"], "its share is none; expected a number above 0"),
        ("classifiers.tests", ["lab-3"], "the study has no set 'lab-3'"),
        ("classifiers.tests", ["photos=nowhere"], "nowhere: no such folder"),
        ("classifiers.tests", ["photos={images}/natural/train"], "photos: is learned from and has no eval"),
        ("sets.0.name", "senses", "'senses' and the senses of the classes would have one folder of embeddings"),
        ("classifiers.train", {"recipe": "big"}, "no recipe 'big'"),
        ("classifiers.train", {"model": "resnet5O"}, "timm has no model 'resnet5O'"),
        ("classifiers.train", {"images": 999}, "classifiers.train.images is 999, and 'natural' has 36 to learn from"),
        ("sets.0.generate.eval_per_class", 0, None),
        ("scaling.sizes", [99], "scaling.sizes begins at 99, and no set has as many images; the largest has 36"),
        ("transfer.sets", ["lab-2.5"], "transfer.sets: no network learns from 'lab-2.5'"),
        ("transfer.targets", ["Pets=elsewhere"], "transfer target Pets=elsewhere: elsewhere: no such folder"),
        ("transfer.targets", ["lab:sd15"], "the lab has no images 'sd15'"),
        ("transfer.networks", 3, "transfer.networks is 3, and a set has 2"),
        ("encoder", {"encoder": "/nowhere"}, "there is no encoder folder /nowhere"),
        ("sets.0.generate.generator", "/nowhere", "there is no generator folder /nowhere"),
        ("sets.0.generate.classes", "cat,n99999999", "set 'lab-7.5': "),
        ("sets.0.generate.classes", "dog,horse", "the sets have 0 classes in common"),
    ],
)
def test_what_cannot_run_is_said_before_anything_is_drawn(
    images: Path, tmp_path: Path, key: str, value: Any, said: str | None
) -> None:
    if isinstance(value, list):
        value = [one.format(images=images) if isinstance(one, str) else one for one in value]
    study = with_key(images, key, value)
    if value == "senses":
        del study["sets"][0]["grid"]
    if said is None:
        study["classifiers"]["tests"] = ["lab-7.5"]
        said = "lab-7.5: has no eval, validation or test split to score on"
    with pytest.raises(InputError) as stop:
        run_study(StudySpec.model_validate(study), tmp_path / "run")
    assert said in str(stop.value) and "\n" not in str(stop.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("sets.0.name", "lab", r"expected {guidance_scale} in its name"),
        ("sets.0.name", "../../lab-{guidance_scale}", "sets.0.name: a set is called '../../lab-{guidance_scale}'"),
        ("natural.name", "..", "expected a folder's name: no slash, no dot ahead"),
        ("natural.name", "n" * 101, "at most 100 characters"),
        ("sets.0.grid", {"guidance_scale": [7.5, "h" * 100]}, "set 'lab-hhh"),
        ("data", {"v2-0.7": None}, "data has the name 'v2-0.7'; expected one without '.' and '='"),
        ("sets.0.grid", {"guidence_scale": [1]}, "did you mean 'guidance_scale'?"),
        ("sets.0.grid", {"guidance_scale": []}, "is empty"),
        ("sets.0.grid", {"guidance_scale": [7.5, 7.5]}, "two sets are called 'lab-7.5'"),
        ("sets.0.grid", {"guidance_scale": [7.5, "high"]}, "set 'lab-high': guidance_scale is 'high'"),
        ("sets.0.preset", "m-disam", "unknown preset 'm-disam'; did you mean 'm-disamb'?"),
        ("natural", {"name": "n-{seed}", "grid": {"seed": [1, 2]}}, "expected one natural set"),
        ("classifiers", None, "scaling takes the networks of 'classifiers'"),
        ("classifiers.trian", {}, "classifiers.trian is not a known key; did you mean 'train'?"),
        ("classifiers.train.validation_share", 0.1, "all images are learned from"),
        ("transfer.linear", {"trails": 3}, "transfer.linear.trails is not a known key; did you mean 'trials'?"),
        ("transfer.targets", [], "transfer.targets"),
        ("scaling.sizes", [1], "scaling.sizes.0"),
        ("trials", {"classifiers": ["forest"]}, "trials.classifiers.0 is 'forest'"),
    ],
)
def test_mistakes_in_a_study_are_one_line(images: Path, tmp_path: Path, key: str, value: Any, said: str) -> None:
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(with_key(images, key, value)))
    with pytest.raises(InputError) as stop:
        load_study(str(tmp_path / "study.yaml"))
    assert said in str(stop.value) and "\n" not in str(stop.value)


def test_mistyped_data_on_the_command_line_is_no_new_data(images: Path, tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(tiny(images)))
    with pytest.raises(InputError, match="the study has no data 'mien'; did you mean 'mine'"):
        load_study(str(tmp_path / "study.yaml"), ("data.mien=x",))
    assert load_study(str(tmp_path / "study.yaml"), ("transfer=null",)).transfer is None  # its data may stay


def test_a_grid_is_a_set_for_every_combination(images: Path, tmp_path: Path) -> None:
    grid = {"recipe": ["name", "hypernym"], "guidance_scale": [7.5, 2.5], "seed": [3]}
    item = {"name": "{recipe}-{guidance_scale}", "description": "at {guidance_scale}, {not a key}", "grid": grid}
    study = tiny(images, sets=[{**item, "generate": {"per_class": 5, "guidance_scale": 1.0}}])
    (tmp_path / "study.yaml").write_text(
        yaml.safe_dump(study | dict.fromkeys(["classifiers", "scaling", "transfer"]), sort_keys=False)
    )
    spec = load_study(str(tmp_path / "study.yaml"), ("sets.0.generate.per_class=6",))
    drawn = [(one.name, one.generate.recipe, one.generate.guidance_scale) for one in spec.sets if one.generate]
    assert drawn == [
        ("name-7.5", "name", 7.5),
        ("name-2.5", "name", 2.5),
        ("hypernym-7.5", "hypernym", 7.5),
        ("hypernym-2.5", "hypernym", 2.5),
    ]
    assert {(one.generate.per_class, one.generate.seed) for one in spec.sets if one.generate} == {(6, 3)}
    assert spec.sets[1].description == "at 2.5, {not a key}"


def test_values_with_slashes_give_names_without() -> None:
    from synthgap.study.sets import expanded

    grid = {"generator": ["CompVis/stable-diffusion-v1-4", "own:draw"], "overrides": ["../words.yaml", "plain.yaml"]}
    sets = [{"name": "{generator} {overrides}", "description": "by {generator}", "grid": grid}]
    spec = expanded(StudySpec.model_validate({"natural": {"name": "n", "path": "x"}, "sets": sets}))
    assert [one.name for one in spec.sets] == [
        "CompVis-stable-diffusion-v1-4 words.yaml", "CompVis-stable-diffusion-v1-4 plain.yaml",
        "own-draw words.yaml", "own-draw plain.yaml",
    ]  # fmt: skip
    assert spec.sets[0].description == "by CompVis/stable-diffusion-v1-4"
    assert spec.sets[0].generate is not None and str(spec.sets[0].generate.overrides) == "../words.yaml"


def test_two_sets_never_share_a_folder_of_embeddings(images: Path, tmp_path: Path) -> None:
    target = str(images / "target")
    study = tiny(images, sets=[{"name": "a b", "path": target}, {"name": "a-b", "path": target}])
    with pytest.raises(InputError, match="'a-b' and 'a b' would have one folder of embeddings, 'a-b'"):
        run_study(StudySpec.model_validate(study | {"classifiers": None, "scaling": None, "transfer": None}), tmp_path)


def test_tests_that_are_all_left_out_are_not_replaced(images: Path, tmp_path: Path) -> None:
    study = with_key(images, "data.target", False)
    study["classifiers"]["tests"] = ["other=data:target"]
    with pytest.raises(InputError, match=r"classifiers\.tests: other=data:target: on data that is false"):
        run_study(StudySpec.model_validate(study), tmp_path / "run")


def test_a_preset_is_the_papers_set_and_what_is_written_wins() -> None:
    sets = [{"name": "s", "preset": "s-100-definition", "generate": {"guidance_scale": 2.0, "per_class": 9}}]
    from synthgap.study.sets import expanded

    spec = expanded(StudySpec.model_validate({"natural": {"name": "n", "path": "x"}, "sets": sets}))
    drawn = spec.sets[0].generate
    assert drawn is not None and (drawn.recipe, drawn.width, drawn.per_class) == ("definition", 512, 9)
    assert drawn.guidance_scale == 2.0 and drawn.generator == "CompVis/stable-diffusion-v1-4"
    assert spec.sets[0].description.startswith("S's ImageNet-100-SD")
    assert expanded(spec) == spec


def test_left_out_data_takes_its_tests_and_targets_away(images: Path) -> None:
    from synthgap.study.places import placed

    study = with_key(images, "data.target", False)
    study["classifiers"]["tests"] = ["natural", "other=data:target"]
    study["sets"][0]["generate"]["counts_like"] = "data:target"
    from synthgap.study.sets import expanded

    spec = placed(expanded(StudySpec.model_validate(study)))
    assert spec.transfer is None
    assert spec.classifiers is not None and spec.classifiers.tests == ("natural",)
    assert spec.sets[0].generate is not None and spec.sets[0].generate.counts_like is None


def test_a_dry_run_counts_and_writes_nothing(images: Path, tmp_path: Path) -> None:
    found = estimate_study(spec_of(images), tmp_path / "run", trial=False)
    assert [(one.name, one.images) for one in found.sets] == [("natural", 54), ("lab-7.5", 36), ("lab-2.5", 36)]
    nets = found.networks
    assert nets is not None and (nets.networks, nets.steps, nets.tests) == (8, 4, 3)  # six, and two of the scaling
    assert found.transfers == 2 and found.notes == []
    assert not (tmp_path / "run").exists()


def test_a_dry_run_knows_what_is_there(done: tuple[Path, dict[str, Any]], images: Path) -> None:
    grown = with_key(images, "sets.0.generate.per_class", 10)
    found = estimate_study(StudySpec.model_validate(grown), done[0], trial=False)
    assert [(one.images, one.images_there) for one in found.sets[1:]] == [(42, 36), (42, 36)]


def test_a_dry_run_of_what_is_there_tells_no_disk(done: tuple[Path, dict[str, Any]], images: Path) -> None:
    found = estimate_study(spec_of(images), done[0], trial=False)
    assert [(one.images_there, one.bytes) for one in found.sets[1:]] == [(36, None), (36, None)]


def test_a_dry_run_draws_two_batches_on_trial(images: Path, tmp_path: Path) -> None:
    found = estimate_study(spec_of(images), tmp_path / "run", Resources(batch_size=4))
    drawn = found.sets[1]
    assert drawn.bytes_measured and drawn.seconds is not None and drawn.seconds > 0
    assert drawn.bytes is not None and 200 < drawn.bytes / 36 < 5000
    assert not (tmp_path / "run").exists()
