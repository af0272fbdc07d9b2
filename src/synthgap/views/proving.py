"""Tables of many trained networks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from synthgap.console import figure, interval, table
from synthgap.core.counting import counted

FEATURES = ("sparsity", "intra_class_distance", "redundancy", "coding_length")
"""S Fig. 5."""


def matrix(found: dict[str, Any]) -> str:
    """Training sets down, test sets across; then the first test set class by class."""
    rows = found["matrix"]
    tests = list(next(iter(rows.values())))
    shown = [(name, found["images"][name], *(_top(row[test]) for test in tests)) for name, row in rows.items()]
    blocks = [table(shown, ("learned from", "images", *(f"on {test}" for test in tests)))]
    classes = [
        (key, *(figure(row[tests[0]]["top_1"]["per_class"][key]["value"]) for row in rows.values()))
        for key in next(iter(rows.values()))[tests[0]]["top_1"]["per_class"]
    ]
    blocks.append(table(classes[:20], (f"class of {tests[0]}", *rows)))
    if all(FEATURES[0] in row[tests[0]] for row in rows.values()):
        analysed = [
            (name, *(figure(row[tests[0]][key]["overall"]["value"]) for key in FEATURES)) for name, row in rows.items()
        ]
        blocks.append(table(analysed, (f"features on {tests[0]}", *(key.replace("_", " ") for key in FEATURES))))
    return "\n\n".join([*blocks, *_told(found, "matrix")])


def scaling(found: dict[str, Any]) -> str:
    """A line per training set and size, test sets across."""
    tests = list(dict.fromkeys(test for sizes in found["scaling"].values() for row in sizes.values() for test in row))
    shown = [
        (name, int(size), *(_top(row[test]) for test in tests))
        for name, sizes in found["scaling"].items()
        for size, row in sizes.items()
    ]
    plot = f"plot: {found['plot']}"
    return "\n\n".join(
        [table(shown, ("learned from", "images", *(f"on {test}" for test in tests))), *_told(found, "scaling"), plot]
    )


def _top(block: dict[str, Any]) -> str:
    overall = block["top_1"]["overall"]
    return f"{figure(overall['value'])} ({interval(overall)})"


def _told(found: dict[str, Any], name: str) -> Iterator[str]:
    seeds = found["seeds"]
    yield (
        f"top-1 with 95 % intervals; {counted(seeds, 'network')} a set, recipe {found['recipe']}, "
        f"{counted(found['steps'], 'step')} each; all figures: {found['out']}/{name}.json"
    )
    if found["notes"]:
        yield "\n".join(f"note: {text}" for text in found["notes"])
