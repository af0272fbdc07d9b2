"""Classifiers trained from scratch: every training set on every test set, and their features on other sets (S Tables 2, 3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from synthgap.core.records import OVERALL
from synthgap.stages.report import formats
from synthgap.stages.report.curves import Chart, charts
from synthgap.stages.report.figures import Figure, Figures, figure
from synthgap.stages.report.foretelling import Foretelling, foretelling
from synthgap.stages.report.sets import SetView
from synthgap.stages.report.tables import Row, RunTables

TOP_1 = "top_1"


@dataclass(frozen=True, slots=True)
class Score:
    """One cell: what networks of one set score on another."""

    text: str
    interval: str
    strength: float
    """Place between the lowest (0) and the highest (1) score of the table; 0 where undefined."""
    own: bool
    """The training and the test images are parts of one set."""


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """What the networks of one set score."""

    trained: SetView
    size: str
    cells: list[Score | None]


@dataclass(frozen=True, slots=True)
class ScoreTable:
    """Training sets down, test sets across."""

    tests: list[SetView]
    rows: list[ScoreRow]


@dataclass(frozen=True, slots=True)
class Proof:
    """The section."""

    scores: ScoreTable
    networks: int
    """Behind each figure."""
    scaling: list[Chart]
    transfer: ScoreTable | None
    foretold: Foretelling | None


def proof(tables: RunTables, figures: Figures, sets: Mapping[str, SetView]) -> Proof | None:
    """The section of classifiers; None when the run has no matrix of networks."""
    rows = [row for row in tables["proof/matrix"] if row["metric"] == TOP_1]
    overall = [row for row in rows if row["class_key"] == OVERALL]
    if not overall:
        return None
    images = {str(row["train_set"]): f"{formats.count(row.get('images'))} images" for row in overall}
    found = {(str(row["train_set"]), str(row["test_set"])): figure(row) for row in overall}
    networks = max(int(row.get("seeds") or 1) for row in overall)
    curves = charts([row for row in tables["proof/scaling"] if _is_top_1(row)], sets)
    return Proof(
        _table(found, images, sets, sets), networks, curves, _transfer(tables, sets), foretelling(rows, figures, sets)
    )


def _is_top_1(row: Row) -> bool:
    return bool(row["metric"] == TOP_1 and row["class_key"] == OVERALL)


def _transfer(tables: RunTables, sets: Mapping[str, SetView]) -> ScoreTable | None:
    """Models are folders of the matrix, so a row is called by its set where the model's name is that with a seed behind."""
    found = {(str(row["model"]), str(row["set"])): _accuracy(row) for row in tables["transfer/transfer"]}
    if not found:
        return None
    models = dict.fromkeys(model for model, _ in found)
    named = {model: _set_of(model, sets, tables) for model in models}
    once = len(set(named.values())) == len(named)
    shown = {(named[model] if once else model, name): value for (model, name), value in found.items()}
    return _table(shown, {}, sets, {})


def _accuracy(row: Row) -> Figure:
    return figure(row | {"value": row["accuracy"], "n": row.get("test")})


def _set_of(model: str, sets: Mapping[str, SetView], tables: RunTables) -> str:
    trained = dict.fromkeys([*sets, *(str(row["train_set"]) for row in tables["proof/matrix"])])
    ahead = [name for name in trained if model.removeprefix(name)[:1] == "-" and model.startswith(name)]
    rest = [name for name in ahead if all(part.isdecimal() for part in model.removeprefix(name)[1:].split("-"))]
    return max(rest, key=len, default=model)


def _table(
    found: Mapping[tuple[str, str], Figure],
    sizes: Mapping[str, str],
    learned: Mapping[str, SetView],
    asked: Mapping[str, SetView],
) -> ScoreTable:
    """The table, with the views of the sets that were learned from and of those that were asked."""
    trained = _in_order(dict.fromkeys(name for name, _ in found), learned)
    tests = _in_order(dict.fromkeys(name for _, name in found), asked)
    values = [one.value for one in found.values() if one.defined]
    low, high = min(values, default=0.0), max(values, default=0.0)
    rows = [
        ScoreRow(
            row,
            sizes.get(row.name, ""),
            [_score(row, test, found.get((row.name, test.name)), low, high) for test in tests],
        )
        for row in trained
    ]
    return ScoreTable(tests, rows)


def _in_order(names: Mapping[str, None], sets: Mapping[str, SetView]) -> list[SetView]:
    """The sets of the run in its order, then mixtures and other images."""
    own = [view for name, view in sets.items() if name in names]
    return own + [SetView(name, "other", "oth") for name in names if name not in sets]


def _score(row: SetView, test: SetView, found: Figure | None, low: float, high: float) -> Score | None:
    if found is None:
        return None
    strength = round((found.value - low) / (high - low), 3) if found.defined and high > low else 0.0
    return Score(found.text("percent"), found.interval("percent"), strength, row == test)
