"""The proposals of a lint as a file of clarified prompts, for the recipes 'disambiguated' and 'augmented'."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from synthgap.core.errors import InputError
from synthgap.core.records import ClassEntry
from synthgap.prompts.overrides import VERSION
from synthgap.prompts.wording import name_prompt
from synthgap.store.atomic import write_text
from synthgap.vocabulary.lint import LintFinding

WHO = "synthgap lint"


def write_clarified(
    path: Path, findings: Iterable[LintFinding], entries: Mapping[str, ClassEntry], *, replace: bool = False
) -> int:
    """Write one override per class that has a proposal other than its name prompt, worst first; returns how many.

    Raises InputError where the file is there and ``replace`` was not given.
    """
    import yaml

    if path.exists() and (path.is_dir() or not replace):
        raise InputError(f"{path} is there already; name another file, or say --replace")
    rows: dict[str, dict[str, str]] = {}
    for finding in findings:
        old = name_prompt(entries[finding.class_key])
        if finding.proposal and finding.proposal != old and finding.class_key not in rows:
            why = f"{finding.kind}: {finding.what}"
            rows[finding.class_key] = {
                "class": finding.class_key,
                "old": old,
                "new": finding.proposal,
                "why": why,
                "who": WHO,
            }
    content = {"version": VERSION, "overrides": list(rows.values())}
    head = (
        "# Proposed by `synthgap lint`; read each before you draw with --recipe disambiguated --overrides this-file.\n"
    )
    write_text(path, head + yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100))
    return len(rows)
