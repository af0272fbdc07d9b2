"""The push to the Hub: what a dry run finds, and what is asked of the Hub's client."""

from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import constants

from synthgap.core.errors import InputError, RunError
from synthgap.store.export import upload
from synthgap.store.export.exporting import export
from synthgap.store.export.folder import read_record
from synthgap.store.export.spec import ExportSpec
from synthgap.store.export.upload import plan_push, push
from synthgap.store.sets import ImageSet


class FakeHub:
    """Stands for ``HfApi`` and notes what is asked of it."""

    calls: list[tuple[str, dict[str, Any]]] = []  # noqa: RUF012
    error: Exception | None = None

    def create_repo(self, repo: str, **options: Any) -> None:
        self.calls.append(("create_repo", {"repo": repo, **options}))
        if self.error:
            raise self.error

    def create_branch(self, repo: str, **options: Any) -> None:
        self.calls.append(("create_branch", {"repo": repo, **options}))

    def upload_folder(self, **options: Any) -> None:
        self.calls.append(("upload_folder", options))


class OldFakeHub(FakeHub):
    def upload_large_folder(self, **options: Any) -> None:
        self.calls.append(("upload_large_folder", options))


@pytest.fixture
def exported(finished_set: ImageSet, tmp_path: Path) -> Path:
    export(finished_set.folder, tmp_path / "out", ExportSpec(shard_bytes=3_000))
    return tmp_path / "out"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> type[FakeHub]:
    monkeypatch.setattr(FakeHub, "calls", [])
    monkeypatch.setattr(FakeHub, "error", None)
    monkeypatch.setattr(huggingface_hub, "HfApi", FakeHub)
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: "hf_token")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    return FakeHub


def test_a_plan_lists_every_file_and_touches_no_network(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    monkeypatch.setattr(socket.socket, "connect", lambda *a: pytest.fail("a plan went to the network"))
    (exported / ".cache" / "huggingface").mkdir(parents=True)
    (exported / ".cache" / "huggingface" / "x").write_text("the client's own")
    plan = plan_push(exported, "org/name", revision="v1")
    record = read_record(exported)
    assert set(plan.files) == {"README.md", "croissant.json", "export.json", *(file.path for file in record.files)}
    assert plan.files[record.files[0].path] == record.files[0].bytes
    assert plan.url("README.md") == "hf://datasets/org/name@v1/README.md"
    assert plan.problems == ()
    assert plan.warnings == ("the licence is unknown: look up the generator's and write it into README.md (license:)",)


@pytest.mark.parametrize(
    "repo", ["name", "a/b/c", "org/", "/name", "org/na me", "org/a--b", "org/.x", "../x", "org/x.git/"]
)
def test_names_of_repositories(exported: Path, repo: str) -> None:
    with pytest.raises(InputError, match="expected OWNER/NAME"):
        plan_push(exported, repo)


def test_only_a_finished_export_is_pushed(finished_set: ImageSet, exported: Path) -> None:
    with pytest.raises(InputError, match="is no export; make one with: synthgap export SET --out"):
        plan_push(finished_set.folder, "org/name")
    record = exported / "export.json"
    record.write_text(record.read_text().replace('"finished": true', '"finished": false'))
    with pytest.raises(InputError, match="not finished; run the command that began it again"):
        plan_push(exported, "org/name")


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ("---\n", "", "no YAML front matter"),
        ("split: eval", "split: test", "names no files of split 'eval'"),
        ("data/eval-*.parquet", "data/test-*.parquet", "no file matches 'data/test-*.parquet' of split 'eval'"),
        ("configs:", "konfigs:", "names no files of split 'train'"),
    ],
)
def test_a_broken_card_is_refused(exported: Path, hub: type[FakeHub], before: str, after: str, problem: str) -> None:
    card = exported / "README.md"
    card.write_text(card.read_text(encoding="utf-8").replace(before, after, 1), encoding="utf-8")
    plan = plan_push(exported, "org/name")
    assert problem in plan.problems[0]
    with pytest.raises(InputError, match="not fit to share"):
        push(exported, plan)
    assert hub.calls == []


def test_doubtful_cards_and_limits_are_warned_of(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "VIEWER_GROUP_BYTES", 100)
    monkeypatch.setattr(upload, "MAX_FILES", 3)
    monkeypatch.setattr(upload, "MAX_ENTRIES", 2)
    card = exported / "README.md"
    card.write_text(card.read_text(encoding="utf-8").replace("- synthetic\n", "").replace("unknown", "mit", 1))
    warnings = " | ".join(plan_push(exported, "org/name").warnings)
    assert "no tag 'synthetic'" in warnings and "licence" not in warnings
    assert "has a row group of 0 MiB" in warnings and "files; the Hub recommends 3 at most" in warnings
    assert "data has" in warnings


def test_changed_and_huge_files_are_refused(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = read_record(exported).files[0].path
    monkeypatch.setattr(upload, "MAX_FILE_BYTES", 9_000)
    assert any("the Hub takes 9,000" in text for text in plan_push(exported, "org/name").problems)
    (exported / file).unlink()
    assert (
        f"{file} is not as it was exported; export again into a new folder" in plan_push(exported, "org/name").problems
    )


def test_what_is_asked_of_the_hub(exported: Path, hub: type[FakeHub], monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_push(exported, "org/name", private=True, revision="v1")
    assert push(exported, plan) == "https://huggingface.co/datasets/org/name"
    assert [name for name, _ in hub.calls] == ["create_repo", "create_branch", "upload_folder"]
    assert hub.calls[0][1] == {"repo": "org/name", "repo_type": "dataset", "private": True, "exist_ok": True}
    sent = hub.calls[2][1]
    assert (sent["repo_id"], sent["repo_type"], sent["folder_path"]) == ("org/name", "dataset", exported)
    names = [*plan.files, ".cache/huggingface/x", ".export/runs/x", "data/.x.parquet.tmp"]
    left = huggingface_hub.utils.filter_repo_objects(names, ignore_patterns=sent["ignore_patterns"])
    assert list(left) == list(plan.files)
    hub.calls.clear()
    monkeypatch.setattr(huggingface_hub, "HfApi", OldFakeHub)
    push(exported, plan_push(exported, "org/name"))
    assert [name for name, _ in hub.calls] == ["create_repo", "upload_large_folder"]
    assert hub.calls[0][1]["private"] is None  # an owner's own default counts


def test_the_real_client_has_what_is_asked_of_it() -> None:
    import inspect

    api = huggingface_hub.hf_api.HfApi
    upload_one = getattr(api, "upload_large_folder", None) or api.upload_folder
    for function, names in (
        (api.create_repo, {"repo_id", "repo_type", "private", "exist_ok"}),
        (api.create_branch, {"repo_id", "repo_type", "branch", "exist_ok"}),
        (upload_one, {"repo_id", "repo_type", "folder_path", "revision", "ignore_patterns"}),
    ):
        assert names <= set(inspect.signature(function).parameters)


def test_no_token_and_offline_are_one_line(exported: Path, hub: type[FakeHub], monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_push(exported, "org/name")
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    with pytest.raises(InputError, match="no token for the Hub: run 'hf auth login' or set HF_TOKEN"):
        push(exported, plan)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="HF_HUB_OFFLINE is set"):
        push(exported, plan)
    assert hub.calls == []


@pytest.mark.parametrize(
    ("status", "said"), [(None, "ConnectionError: no route to host"), (403, r"refuses \(403\): the token has no right")]
)
def test_a_failed_push_says_what_to_do(
    exported: Path, hub: type[FakeHub], monkeypatch: pytest.MonkeyPatch, status: int | None, said: str
) -> None:
    error: Any = ConnectionError("no route\nto host")
    if status:
        error.response = type("Response", (), {"status_code": status})
    monkeypatch.setattr(FakeHub, "error", error)
    with pytest.raises(RunError, match=said) as caught:
        push(exported, plan_push(exported, "org/name"))
    assert "\n" not in str(caught.value) and "run the same command again" in str(caught.value)
