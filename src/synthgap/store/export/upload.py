"""An export on its way to the Hub: what would be sent, what is wrong with it, and the sending, which is the Hub client's."""

from __future__ import annotations

import fnmatch
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthgap.core.errors import InputError, RunError
from synthgap.store.card import front_matter
from synthgap.store.export.folder import CARD, RECORD, ExportRecord, read_record
from synthgap.store.parquet_rows import open_file

VIEWER_GROUP_BYTES = 286 << 20
"""The Hub's viewer shows no Parquet file with a larger row group."""
MAX_FILE_BYTES = 50 * 10**9
"""The Hub takes no larger file. https://huggingface.co/docs/hub/storage-limits"""
MAX_ENTRIES, MAX_FILES = 10_000, 100_000
"""Entries per folder and files per repository that the Hub recommends at most (same page)."""
_REPO = re.compile(r"(?!.*(--|\.\.))[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9_][\w.-]{0,95}(?<![.-])", re.ASCII)
_HIDDEN = [".*", "*/.*"]


@dataclass(frozen=True, slots=True)
class PushPlan:
    """What a push sends where."""

    repo: str
    revision: str
    private: bool
    files: dict[str, int]
    """Bytes of each file, by its path in the repository."""
    problems: tuple[str, ...]
    """Why the push is refused."""
    warnings: tuple[str, ...]

    def url(self, path: str) -> str:
        """Where a file goes."""
        return f"hf://datasets/{self.repo}@{self.revision}/{path}"


def plan_push(folder: Path, repo: str, *, private: bool = False, revision: str | None = None) -> PushPlan:
    """Look at an export as a push would, without any network.

    Raises:
        InputError: no export, an unfinished one, or no name of a repository.
    """
    if _REPO.fullmatch(repo) is None:
        raise InputError(f"--repo {repo!r}: expected OWNER/NAME, letters, digits, '-', '_' and '.' in both")
    record = _finished(folder)
    files = _files(folder)
    problems, warnings = _check_card(folder, record, files)
    problems += [
        f"{file.path} is not as it was exported; export again into a new folder"
        for file in record.files
        if files.get(file.path) != file.bytes
    ]
    problems += [
        f"{path} has {size:,} bytes; the Hub takes {MAX_FILE_BYTES:,}"
        for path, size in files.items()
        if size > MAX_FILE_BYTES
    ]
    return PushPlan(
        repo, revision or "main", private, files, tuple(problems), (*warnings, *_limits(folder, record, files))
    )


def push(folder: Path, plan: PushPlan) -> str:
    """Send an export to the Hub; returns the address of the dataset. The Hub's client retries and goes on by itself.

    Raises:
        InputError: the plan has problems, there is no token, or the Hub's client is told to stay offline.
        RunError: the Hub cannot be reached or refuses; what was sent is kept there.
    """
    from huggingface_hub import HfApi, constants, get_token

    if plan.problems:
        raise InputError(f"{folder}: not fit to share: {plan.problems[0]}")
    if constants.HF_HUB_OFFLINE:
        raise InputError("HF_HUB_OFFLINE is set, so that nothing is sent; unset it, or look with --dry-run")
    if get_token() is None:
        raise InputError("there is no token for the Hub: run 'hf auth login' or set HF_TOKEN, or look with --dry-run")
    api: Any = HfApi()
    try:
        api.create_repo(plan.repo, repo_type="dataset", private=plan.private or None, exist_ok=True)
        if plan.revision != "main":
            api.create_branch(plan.repo, repo_type="dataset", branch=plan.revision, exist_ok=True)
        # Since its version 2, upload_folder itself sends large folders in parts and goes on where it stopped.
        upload = getattr(api, "upload_large_folder", None) or api.upload_folder
        upload(
            repo_id=plan.repo, repo_type="dataset", folder_path=folder, revision=plan.revision, ignore_patterns=_HIDDEN
        )
    except Exception as error:  # whatever the network does; the client has tried again already
        raise RunError(f"{plan.repo}: {_reason(error)}; what was sent is kept: run the same command again") from error
    return f"https://huggingface.co/datasets/{plan.repo}"


def _reason(error: Exception) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403):
        return f"the Hub refuses ({status}): the token has no right to write there; make one that may write"
    text = " ".join(str(error).split())[:300]
    return f"the Hub cannot be reached or refuses: {type(error).__name__}{f': {text}' if text else ''}"


def _finished(folder: Path) -> ExportRecord:
    if not (folder / RECORD).is_file():
        raise InputError(f"{folder}: is no export; make one with: synthgap export SET --out {folder.name or 'EXPORT'}")
    record = read_record(folder)
    if not record.finished:
        raise InputError(f"{folder}: the export is not finished; run the command that began it again")
    return record


def _files(folder: Path) -> dict[str, int]:
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    names = ((path, path.relative_to(folder)) for path in found)
    return {
        name.as_posix(): path.stat().st_size for path, name in names if not any(p.startswith(".") for p in name.parts)
    }


def _check_card(folder: Path, record: ExportRecord, files: Mapping[str, int]) -> tuple[list[str], list[str]]:
    """What is wrong with the card's front matter, and what is only doubtful."""
    head = front_matter(folder / CARD)
    if not head:
        return [f"{CARD} has no YAML front matter, where tools look for the splits; export again into a new folder"], []
    patterns = _patterns(head)
    problems = []
    for split in record.splits:
        if split not in patterns:
            problems.append(f"{CARD} names no files of split {split!r} (configs: data_files)")
        elif not fnmatch.filter(files, patterns[split]):
            problems.append(f"{CARD}: no file matches {patterns[split]!r} of split {split!r}")
    warnings = []
    if head.get("license") in (None, "unknown"):
        warnings.append(f"the licence is unknown: look up the generator's and write it into {CARD} (license:)")
    if "synthetic" not in (head.get("tags") or ()):
        warnings.append(f"{CARD} has no tag 'synthetic' (tags:)")
    return problems, warnings


def _patterns(head: Mapping[str, Any]) -> dict[str, str]:
    """Pattern of each split's files in a card; empty where the card has another form."""
    try:
        return {str(one["split"]): str(one["path"]) for one in head["configs"][0]["data_files"]}
    except (KeyError, IndexError, TypeError):
        return {}


def _limits(folder: Path, record: ExportRecord, files: Mapping[str, int]) -> list[str]:
    """Limits of the Hub that the files do not keep, though it takes them."""
    warnings = []
    if len(files) > MAX_FILES:
        warnings.append(f"{len(files):,} files; the Hub recommends {MAX_FILES:,} at most: use --kind hub or webdataset")
    folder_name, entries = Counter(path.rpartition("/")[0] for path in files).most_common(1)[0]
    if entries > MAX_ENTRIES:
        warnings.append(
            f"{folder_name or 'the top folder'} has {entries:,} files; the Hub recommends {MAX_ENTRIES:,} at most: "
            "use --kind hub or webdataset, or larger files (--shard-bytes)"
        )
    for file in record.files if record.kind == "hub" else ():
        if files.get(file.path) != file.bytes:
            continue  # a problem of its own
        metadata = open_file(folder / file.path).metadata
        largest = max((metadata.row_group(n).total_byte_size for n in range(metadata.num_row_groups)), default=0)
        if largest > VIEWER_GROUP_BYTES:
            warnings.append(f"{file.path} has a row group of {largest >> 20} MiB; the Hub's viewer shows up to 286 MiB")
    return warnings
