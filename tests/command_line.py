"""Run a command line as a shell would, in this process."""

from __future__ import annotations

import shlex

import pytest

from synthgap import cli


def run(capsys: pytest.CaptureFixture[str], line: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of ``synthgap LINE``."""
    with pytest.raises(SystemExit) as stop:
        cli.main(shlex.split(line))
    shown = capsys.readouterr()
    return int(stop.value.code or 0), shown.out, shown.err
