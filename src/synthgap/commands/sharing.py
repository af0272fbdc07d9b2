"""Sharing a set: exports, and the way to the Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from synthgap.commands.options import Flat, Output
from synthgap.console import Progress, emit, hint, table
from synthgap.core.counting import counted
from synthgap.core.errors import InputError
from synthgap.store.export.spec import ExportSpec

_SHOWN = 30
"""Files and classes that are listed for people; JSON has all."""


def export(
    folder: Path,
    *,
    out: Path,
    spec: Annotated[ExportSpec | None, Flat] = None,
    findings: Path | None = None,
    generator: Path | None = None,
    output: Output = "human",
) -> None:
    """Export an image set: shuffled Parquet for the Hub, WebDataset, or a folder per class; each with a dataset card.

    Parameters
    ----------
    folder: Path
        Image set, as `synthgap generate` made it.
    out: Path
        New folder for the export; the same command continues.
    findings: Path
        findings.parquet of a comparison of this set: its failing classes go on the card.
    generator: Path
        Folder of the generator, to read its licence from for the card.
    """
    from synthgap.store.export.exporting import export as write

    record = write(folder, out, spec, findings=findings, generator=generator, progress=Progress())
    for note in record.notes:
        hint(f"note: {note}")
    result = {"out": str(out), **record.model_dump(mode="json", exclude={"artifact", "card_sha256", "finished"})}
    emit(result, output, _exported)


def _exported(result: dict[str, Any]) -> str:
    counts = ", ".join(f"{n:,} {split}" for split, n in result["splits"].items())
    lines = [f"{counted(sum(result['splits'].values()), 'image')} ({counts}) in {result['out']}"]
    if result["failed"]:
        lines.append(f"{counted(result['failed'], 'image')} that failed to be drawn not exported")
    if left_out := result["left_out"]:
        lines.append(f"{counted(sum(left_out.values()), 'flagged image')} left out:")
        worst = sorted(left_out.items(), key=lambda item: -item[1])
        lines += [table(worst[:_SHOWN], ("class", "left out")), *_more(len(worst))]
    return "\n".join([*lines, f"next: look at {result['out']}/README.md, then synthgap push {result['out']} --dry-run"])


def push(
    folder: Path,
    *,
    repo: str,
    private: bool = False,
    revision: str | None = None,
    dry_run: bool = False,
    output: Output = "human",
) -> None:
    """Send an export to the Hugging Face Hub as a dataset; the same command continues.

    Parameters
    ----------
    folder: Path
        Export, as `synthgap export` made it.
    repo: str
        Dataset on the Hub: owner/name. It is made where it is not there yet.
    private: bool
        Make the dataset private, where it is made.
    revision: str
        Branch to send to; main by default.
    dry_run: bool
        List what would be sent and check it, without any network.
    """
    from synthgap.store.export.upload import plan_push
    from synthgap.store.export.upload import push as send

    plan = plan_push(folder, repo, private=private, revision=revision)
    for text in plan.warnings:
        hint(f"note: {text}")
    files = [{"path": path, "bytes": size, "to": plan.url(path)} for path, size in plan.files.items()]
    result = {"repo": repo, "revision": plan.revision, "private": private, "files": files, "sent": not dry_run}
    result |= {"bytes": sum(plan.files.values()), "problems": plan.problems, "warnings": plan.warnings}
    if not dry_run:
        result["url"] = send(folder, plan)
    emit(result, output, _pushed)
    if plan.problems:
        raise InputError(f"{folder}: not fit to share: {plan.problems[0]}")


def _pushed(result: dict[str, Any]) -> str:
    rows = [(f"{file['bytes']:,}", file["path"], file["to"]) for file in result["files"]]
    lines = [table(rows[:_SHOWN], ("bytes", "file", "to")), *_more(len(rows))]
    lines.append(f"{counted(len(rows), 'file')}, {counted(result['bytes'], 'byte')}")
    lines.append(f"sent to {result['url']}" if result["sent"] else "dry run: nothing was sent")
    return "\n".join(lines)


def _more(count: int) -> list[str]:
    return [f"… and {count - _SHOWN:,} more"] if count > _SHOWN else []
