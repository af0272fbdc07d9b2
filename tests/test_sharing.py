"""``synthgap export`` and ``synthgap push``, and the page about sharing: its commands and its code run."""

import json
import re
import shlex
from pathlib import Path

import pytest
from cyclopts import App
from store_samples import finish, plan, rows_of, set_manifest

from synthgap.commands import sharing
from synthgap.console import guarded
from synthgap.store.sets import ImageSet

PAGE = (Path(__file__).parent.parent / "docs" / "sharing.md").read_text(encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a finished set, ``my-set``, where one image failed and one is flagged."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    image_set = ImageSet(tmp_path / "my-set", set_manifest())
    image_set.write_plan(plan())
    finish(image_set)
    rows = list(rows_of(image_set, "train/n02012849-00000"))
    rows[0] |= {"image": None, "error": "black"}
    rows[1] |= {"safety_flag": True}
    image_set.write_shard("train/n02012849-00000", rows)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], line: str) -> tuple[int, str, str]:
    """Run a command line as ``synthgap.cli`` does."""
    app = App(name="synthgap")
    app.command(sharing.export)
    app.command(sharing.push)
    program, *tokens = shlex.split(line)
    assert program == "synthgap"
    code = guarded(lambda: app(tokens, exit_on_error=False, print_error=False, result_action="return_value"))
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def test_export_for_people(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "synthgap export my-set --out hub --drop-flagged --splits train")
    assert code == 0
    assert out.splitlines()[:3] == [
        "13 images (13 train) in hub",
        "1 image that failed to be drawn not exported",
        "1 flagged image left out:",
    ]
    assert "n02012849         1" in out and "synthgap push hub --dry-run" in out


def test_export_as_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "synthgap export my-set --out hub --splits train,eval --seed 3 --format json")
    found = json.loads(out)
    assert code == 0
    assert (found["splits"], found["kind"], found["failed"]) == ({"train": 14, "eval": 6}, "hub", 1)
    assert found["spec"]["seed"] == 3 and found["files"][0]["path"] == "data/train-00000-of-00001.parquet"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("synthgap export nowhere --out x", "nowhere: no such folder; expected a folder of 'synthgap generate'"),
        ("synthgap export my-set --out my-set", "holds files that are no export"),
        ("synthgap export my-set --out x --splits test", "has no split 'test'; it has train, eval"),
        ("synthgap push my-set --repo org/name --dry-run", "is no export; make one with: synthgap export SET"),
    ],
)
def test_wrong_input_is_one_line(folder: Path, capsys: pytest.CaptureFixture[str], line: str, said: str) -> None:
    code, out, err = run(capsys, line)
    assert (code, out) == (2, "")
    assert err.startswith("error: ") and err.count("\n") == 1 and said in err


def test_a_dry_run_lists_and_refuses(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "synthgap export my-set --out hub")
    code, out, err = run(capsys, "synthgap push hub --repo org/name --dry-run")
    assert code == 0 and "dry run: nothing was sent" in out and "the licence is unknown" in err
    assert "hf://datasets/org/name@main/data/train-00000-of-00001.parquet" in out
    code, out, _ = run(capsys, "synthgap push hub --repo org/name --dry-run --format json")
    found = json.loads(out)
    assert code == 0 and found["sent"] is False and "url" not in found
    assert {file["path"] for file in found["files"]} >= {"README.md", "croissant.json"}
    (folder / "hub" / "README.md").write_text("no front matter")
    code, out, err = run(capsys, "synthgap push hub --repo org/name --dry-run")
    assert code == 2 and "dry run" in out and "not fit to share: README.md has no YAML front matter" in err


def test_a_push_that_must_stay_offline(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    run(capsys, "synthgap export my-set --out hub")
    code, out, err = run(capsys, "synthgap push hub --repo org/name")
    assert (code, out) == (2, "") and "HF_HUB_OFFLINE is set" in err


def test_the_page_runs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every command and every piece of code of docs/sharing.md, in its order, on a tiny set."""
    for package in ("datasets", "timm", "duckdb", "webdataset", "torchvision", "mlcroissant"):
        pytest.importorskip(package)
    blocks = re.findall(r"```(sh|python)\n(.*?)```", PAGE, re.DOTALL)
    commands = [line for kind, text in blocks for line in text.splitlines() if kind == "sh"]
    assert sum(line.startswith("synthgap export") for line in commands) == 3
    for kind, text in blocks:
        if kind == "python":
            exec(compile(text, "docs/sharing.md", "exec"), {})
            assert capsys.readouterr().out.strip(), text
            continue
        for line in text.splitlines():
            if line.startswith("synthgap generate"):
                continue  # my-set is there already
            code, out, err = run(capsys, line)
            assert code == 0 and out, (line, err)
