"""The command line: exit codes, one clear line for what a user can mend, results on stdout and hints on stderr."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cyclopts import App
from PIL import Image

from synthgap import cli, console
from synthgap.core.errors import InputError, RunError


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        cli.main(list(arguments))
    shown = capsys.readouterr()
    return int(stop.value.code or 0), shown.out, shown.err


def wrong(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run a command that is wrong: exit code 2, nothing on stdout, one line on stderr."""
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1, err
    return err


@pytest.fixture
def embeddings(tmp_path: Path) -> tuple[Path, Path]:
    rng, files = np.random.default_rng(0), []
    for name in ("reference", "query"):
        labels = np.repeat([0, 1, 2], 8)
        vectors = rng.normal(size=(24, 6)) * 0.2 + np.eye(6)[labels]
        files.append(tmp_path / f"{name}.npz")
        np.savez(files[-1], embeddings=vectors, labels=labels, class_names=np.array(["ape", "bee", "cow"]))
    return files[0], files[1]


def test_measure_prints_the_contract(capsys: pytest.CaptureFixture[str], embeddings: tuple[Path, Path]) -> None:
    reference, query = map(str, embeddings)
    code, out, _ = run(capsys, "measure", "--reference", reference, "--query", query, "--format", "json")
    found = json.loads(out)
    assert code == 0
    for name in ("centroid_accuracy", "average_cosine_similarity", "centroid_distance", "centroid_shift"):
        assert set(found[name]["overall"]) >= {"value", "ci_low", "ci_high", "n"}
        assert set(found[name]["per_class"]) == {"ape", "bee", "cow"}
    assert set(found["knn_accuracy"]) == {"1", "5"}
    assert found["linear_separability"]["overall"]["n"] > 0
    assert found["centroid_accuracy"]["overall"]["value"] == 1.0


def test_measure_for_people(capsys: pytest.CaptureFixture[str], embeddings: tuple[Path, Path]) -> None:
    code, out, _ = run(
        capsys, "measure", "--reference", str(embeddings[0]), "--query", str(embeddings[1]), "--knn", "1,3"
    )
    assert code == 0
    assert "knn_accuracy k=3" in out
    assert "95 % interval" in out


def test_senses_of_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "classes", "show", "crane", "--format", "json")
    found = {row["wnid"]: row for row in json.loads(out)}
    assert code == 0
    assert "bird" in found["n02012849"]["definition"]
    assert found["n03126707"]["imagenet"] == ["imagenet-1k"]


def test_prompts_without_drawing(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "prompts", "--classes", "n02086910", "--recipe", "hypernym", "--format", "json")
    assert code == 0
    assert [row["prompt"] for row in json.loads(out)] == ["papillon, toy spaniel"]


def shown_prompts(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    code, out, _ = run(capsys, "prompts", *arguments, "--format", "json")
    assert code == 0
    return list(json.loads(out))


def test_prompts_of_all_scenes_keep_the_contract(capsys: pytest.CaptureFixture[str]) -> None:
    rows = shown_prompts(capsys, "--classes", "n02086910", "--recipe", "background", "--limit", "365")
    assert len({row["prompt"] for row in rows}) == len(rows) == 365
    assert rows[0] == {
        "class_key": "n02086910",
        "index": 0,
        "prompt": "papillon, toy spaniel inside airfield",
        "recipe": "background",
    }


def test_prompts_take_what_generate_takes(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("class,prompt\ncrane,a wading crane\n")
    (tmp_path / "over.yaml").write_text(
        "version: 1\noverrides:\n  - {class: n02012849, old: crane, new: a grey crane}\n"
    )
    files = ["--captions", str(tmp_path / "mine.csv"), "--overrides", str(tmp_path / "over.yaml")]
    mixture = ["--recipe", "template,captions,disambiguated", "--template", "a {first}", "--template", "the {first}"]
    rows = shown_prompts(capsys, "--classes", "crane.n.05", *mixture, *files)
    assert [(row["recipe"], row["prompt"]) for row in rows] == [
        ("template", "a crane"),
        ("captions", "a wading crane"),
        ("disambiguated", "a grey crane"),
        ("template", "the crane"),
        ("captions", "a wading crane"),
        ("disambiguated", "a grey crane"),
    ]
    one, other = (
        shown_prompts(capsys, "--classes", "crane.n.05", "--recipe", "augmented", "--seed", seed) for seed in "78"
    )
    assert len(one) == len(other) == 20
    assert one != other


def test_prompts_of_a_preset_and_what_goes_before_it(capsys: pytest.CaptureFixture[str]) -> None:
    rows = shown_prompts(capsys, "--preset", "s-100-all-six-10x", "--limit", "6")
    assert len(rows) == 600
    assert [row["recipe"] for row in rows[:6]][::5] == ["name", "background"]
    (row,) = shown_prompts(capsys, "--preset", "s-100-all-six-10x", "--classes", "n02012849", "--recipe", "hypernym")
    assert row["prompt"] == "crane, wading bird"


def test_prompts_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "prompts", "--classes", "n02012849", "--recipe", "name,hypernym", "--template", "x")
    assert code == 0
    assert out == "n02012849  name      crane\nn02012849  hypernym  crane, wading bird\n"
    assert err == "note: 'template' has no effect on the recipe 'name,hypernym'; only 'template' use it\n"
    code, out, _ = run(capsys, "prompts", "--classes", "n02012849", "--recipe", "template", "--template", "a\n{name}")
    assert out == "n02012849  a crane\n"


def test_an_ambiguous_name_is_noted_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "prompts", "--classes", "crane")
    assert code == 0
    assert "crane.n.05" in err
    assert "note" not in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["generate", "--out", "x", "--guidence-scale", "2"], "Did you mean --guidance-scale"),
        (
            ["generate", "--out", "x", "--per-class", "0"],
            "--per-class: input should be greater than or equal to 1, found '0'",
        ),
        (["generate", "--out", "x", "--per-class", "many"], "--per-class"),
        (["generate"], "--out"),
        (["generate", "--out", "x", "--guidance-scale", "inf"], "--guidance-scale: input should be a finite number"),
        (["generate", "--out", "x", "--width", "1000000"], "--width: input should be less than or equal to 16384"),
        (["generate", "--out", "x", "--world", "nowhere"], "nowhere: holds no folder 'generator'; expected 'lab'"),
        (["sweep", "--out", "x", "--world", "nowhere"], "nowhere: holds no folder 'generator'"),
        (["sweep", "lab:natural", "--out", "x"], "synthgap sweep takes no 'lab:natural'; see synthgap sweep --help"),
        (
            ["measure", "--reference", "a", "--query", "b", "--knn", "0"],
            "--knn: input should be greater than or equal to 1",
        ),
        (["status", "/nowhere"], "/nowhere: no such folder; expected a folder of generate"),
        (["generate", "--out", "x", "--recipe", "hypernim"], "hypernym"),
        (["generate", "--out", "x", "--classes", "n99999999"], "n99999999"),
        (["compare", "/nowhere", "/elsewhere", "--out", "x"], "/nowhere"),
        (["measure", "--reference", "/nowhere.npz", "--query", "/nowhere.npz"], "/nowhere.npz"),
        (["run", "demmo", "--out", "x"], "did you mean 'demo'"),
        (["run", "demo", "--out", "x", "--set", "measure.bootstrp=3"], "did you mean 'bootstrap'"),
        (["report", "/nowhere"], "/nowhere"),
        (["lab", "train", "/nowhere", "--out", "x"], "/nowhere"),
        (["lab", "evaluate", "lab:naturel", "--out", "x"], "did you mean 'natural'"),
        (["demonstrate"], "demonstrate"),
        (["prompts", "--recipe", "name,hypernim"], "did you mean 'hypernym'"),
        (["prompts", "--recipe", "template"], "--template"),
        (["prompts", "--recipe", "template", "--template", "a {nmae}"], "did you mean '{name}'"),
        (["prompts", "--recipe", "captions", "--captions", "/nowhere.csv"], "/nowhere.csv"),
        (["prompts", "--preset", "m-sinset"], "did you mean 'm-synset'"),
        (["prompts", "--limit", "0"], "--limit"),
        (["prompts", "--seed", "-1"], "seed"),
    ],
)
def test_wrong_input_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert said in wrong(capsys, *arguments)
    assert not (tmp_path / "x").exists() or not any((tmp_path / "x").rglob("*.parquet"))


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (["compare", "a", "b", "--outt", "x"], "synthgap compare"),
        (["lab", "train", "a"], "synthgap lab train"),
        (["classes", "shw"], "synthgap classes"),
        (["nothing"], "synthgap"),
    ],
)
def test_a_wrong_option_names_the_help_of_its_own_command(
    capsys: pytest.CaptureFixture[str], arguments: list[str], command: str
) -> None:
    assert wrong(capsys, *arguments).endswith(f"; see {command} --help\n")


def test_a_wrong_item_of_a_list_names_the_option(capsys: pytest.CaptureFixture[str]) -> None:
    said = wrong(capsys, "measure", "--reference", "a", "--query", "b", "--knn", "1,x")
    assert said.startswith("error: --knn: ") and "'x'" in said


def commands(app: App, *above: str) -> Iterator[tuple[str, ...]]:
    """Every subcommand, those of subcommands too."""
    for name in app:
        if not name.startswith("-"):
            yield (*above, name)
            yield from commands(app[name], *above, name)


def test_no_command_offers_to_empty_a_list(capsys: pytest.CaptureFixture[str]) -> None:
    found = list(commands(cli.app))
    assert ("run",) in found and ("lab", "train") in found
    for command in found:
        code, out, _ = run(capsys, *command, "--help")
        assert code == 0 and "--empty-" not in out, command


def test_resolved_study_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "run", "demo", "--out", "x", "--set", "measure.bootstrap=7", "--print-config")
    assert code == 0
    assert "bootstrap: 7" in out
    assert "guidance_scale: 2.5" in out


def test_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    def failing(error: BaseException) -> int:
        def action() -> None:
            raise error

        return console.guarded(action)

    assert failing(InputError("no such folder")) == 2
    assert failing(RunError("disk full")) == 1
    assert failing(KeyboardInterrupt()) == 130
    assert console.guarded(lambda: None) == 0
    with pytest.raises(ZeroDivisionError):
        failing(ZeroDivisionError())
    assert "error: no such folder" in capsys.readouterr().err


def test_a_place_that_the_machine_refuses_is_one_line_and_a_fault_of_ours_is_not(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert console.guarded((tmp_path / ("x" * 300)).mkdir) == 1
    (tmp_path / "file").touch()
    assert console.guarded((tmp_path / "file" / "below").touch) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == err.count("error: ") == 2
    assert "File name too long" in err and f"{tmp_path}/file/below: Not a directory" in err
    with pytest.raises(FileNotFoundError):
        console.guarded((tmp_path / "nowhere").unlink)


def test_embed_tells_what_it_skipped(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for name in ("ape", "bee"):
        (tmp_path / "set" / name).mkdir(parents=True)
        (tmp_path / "set" / name / "a.png").write_bytes(b"")
    line = ["embed", str(tmp_path / "set"), "--encoder", "lab", "--device", "cpu", "--out"]
    code, out, err = run(capsys, *line, str(tmp_path / "none"))
    assert (code, out) == (2, "")
    assert err.endswith("set: nothing could be embedded; 2 images skipped: empty file\n")
    Image.new("RGB", (32, 32)).save(tmp_path / "set" / "ape" / "b.png")
    code, out, err = run(capsys, *line, str(tmp_path / "some"))
    assert code == 0 and "note: 2 images skipped: empty file\n" in err
    assert out == f"1 embedding of 256 numbers in {tmp_path / 'some'}, 2 skipped\n"


def test_a_closed_pipe_is_no_error() -> None:
    command = f"{sys.executable} -m synthgap classes list imagenet-1k | head -1"
    found = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False)
    assert found.stdout.startswith("n01440764")
    assert "Traceback" not in found.stderr


def test_progress_is_a_line_now_and_then_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    progress = console.Progress()
    for done in range(1001):
        progress(done, 1000, "drawing")
    lines = capsys.readouterr().err.splitlines()
    assert 1 <= len(lines) <= 3
    assert lines[-1].startswith("drawing: 1000/1000")


def test_table_aligns_numbers() -> None:
    shown = console.table([("a", "1.5"), ("long name", "10.25")], ("name", "value")).splitlines()
    assert shown[2].endswith("  1.5")
    assert shown[3].endswith("10.25")
