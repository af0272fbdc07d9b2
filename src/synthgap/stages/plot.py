"""Curves with their intervals as one SVG: small, sharp in print, and readable without any library."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from xml.sax.saxutils import escape

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 380, 300, 58, 34, 14, 64
COLOURS = ("#0072b2", "#c9460b", "#00875f", "#b0408f", "#cf9400", "#5c3510")
"""Okabe-Ito and neighbours, as in the report."""
INK, SOFT, HAIR, FAINT = "#1c1e22", "#565c66", "#e9e6df", "#b9b5ab"
NOT_WRITTEN = 16
"""Pixels apart that the names of two places need."""
LEGEND_ROW, LEGEND_LINE = 3, 18
"""Names in a row of the legend, and its height in pixels."""


@dataclass(frozen=True)
class Series:
    """One line: a value with its interval at each place of the axis; NaN leaves a gap."""

    name: str
    """Empty for a line of one class, which is drawn thin and without its interval."""
    places: Sequence[float]
    """Above 0."""
    values: Sequence[tuple[float, float, float]]


@dataclass(frozen=True)
class Panel:
    """One field of the plot."""

    title: str
    series: Sequence[Series]
    level: float | None = None
    """A horizontal line to meet, such as natural diversity at 1."""
    marks: Sequence[float] = ()
    """Places to mark by a vertical line."""
    axis: str = "guidance"
    """What the horizontal axis is."""


def draw_plot(panels: Sequence[Panel]) -> str:
    """SVG of the panels side by side; the horizontal axis is logarithmic."""
    width = WIDTH * len(panels)
    rows = max((-(-len(_named(panel)) // LEGEND_ROW) for panel in panels), default=1)
    height = HEIGHT + LEGEND_LINE * max(0, rows - 1)
    body = "".join(
        f'<g transform="translate({WIDTH * place},0)">{"".join(_panel(panel))}</g>'
        for place, panel in enumerate(panels)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'font-family="system-ui, sans-serif" font-size="12" fill="{INK}">'
        f'<rect width="{width}" height="{height}" fill="#fff"/>{body}</svg>\n'
    )


@dataclass(frozen=True)
class _Scale:
    """From place and value to the point on the panel."""

    places: tuple[float, float]
    values: tuple[float, float]

    def x(self, place: float) -> float:
        low, high = (math.log(end) for end in self.places)
        share = (math.log(place) - low) / (high - low) if high > low else 0.5
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        low, high = self.values
        return HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM)


def _panel(panel: Panel) -> Iterator[str]:
    scale = _scale(panel)
    yield f'<text x="{LEFT}" y="20" font-weight="600">{escape(panel.title)}</text>'
    yield from _axes(panel, scale)
    if panel.level is not None:
        y = scale.y(panel.level)
        yield _line(LEFT, y, WIDTH - RIGHT, y, SOFT, 'stroke-dasharray="5 4"')
    for mark in panel.marks:
        x = scale.x(mark)
        yield _line(x, TOP, x, HEIGHT - BOTTOM, SOFT, 'stroke-dasharray="2 3"')
    named = _named(panel)
    for series in panel.series:
        if not series.name:
            yield _curve(series, scale, FAINT, 1)
    coloured = list(zip(cycle(COLOURS), named, strict=False))
    for colour, series in coloured:
        yield _band(series, scale, colour)
        yield _curve(series, scale, colour, 2)
    step = (WIDTH - LEFT) / max(1, min(LEGEND_ROW, len(named)))
    for number, (colour, series) in enumerate(coloured):
        row, place = divmod(number, LEGEND_ROW)
        x, y = LEFT + place * step, HEIGHT - 14 + row * LEGEND_LINE
        yield _line(x, y, x + 14, y, colour, 'stroke-width="2"')
        yield f'<text x="{x + 18:.1f}" y="{y + 4}">{escape(series.name)}</text>'


def _named(panel: Panel) -> list[Series]:
    return [series for series in panel.series if series.name]


def _scale(panel: Panel) -> _Scale:
    places = [one for series in panel.series for one in series.places]
    ends = [
        number for series in panel.series for value in series.values for number in (value if series.name else value[:1])
    ]
    known = [number for number in [*ends, *([] if panel.level is None else [panel.level])] if math.isfinite(number)]
    high = max(known, default=1.0)
    return _Scale((min(places), max(places)), (0.0, high * 1.05 if high > 0 else 1.0))


def _axes(panel: Panel, scale: _Scale) -> Iterator[str]:
    for value in _ticks(scale.values[1]):
        y = scale.y(value)
        yield _line(LEFT, y, WIDTH - RIGHT, y, HAIR)
        yield f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end" fill="{SOFT}">{value:.3g}</text>'
    written = -math.inf
    for place in sorted({one for series in panel.series for one in series.places}):
        x = scale.x(place)
        yield _line(x, HEIGHT - BOTTOM, x, HEIGHT - BOTTOM + 4, SOFT)
        if x - written >= NOT_WRITTEN:
            written = x
            yield f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 17}" text-anchor="middle" fill="{SOFT}">{_short(place)}</text>'
    yield f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - BOTTOM + 32}" text-anchor="end" fill="{SOFT}">{escape(panel.axis)}</text>'


def _short(place: float) -> str:
    """A place's name on the axis.

    >>> _short(7.5), _short(40_000), _short(1_280_000)
    ('7.5', '40k', '1.28M')
    """
    for unit, name in ((1e6, "M"), (1e3, "k")):
        if place >= unit:
            return f"{place / unit:.3g}{name}"
    return f"{place:g}"


def _ticks(high: float) -> list[float]:
    """From 0 in steps of 1, 2 or 5 times a power of ten, four to nine of them."""
    step = 10.0 ** math.floor(math.log10(high))
    step *= next(part for part in (0.2, 0.5, 1.0, 2.0) if high / (step * part) <= 8)
    return [step * place for place in range(int(high / step) + 1)]


def _curve(series: Series, scale: _Scale, colour: str, width: int) -> str:
    known = [(g, value[0]) for g, value in zip(series.places, series.values, strict=True) if math.isfinite(value[0])]
    points = " ".join(f"{scale.x(g):.1f},{scale.y(value):.1f}" for g, value in known)
    dots = "".join(
        f'<circle cx="{scale.x(g):.1f}" cy="{scale.y(value):.1f}" r="{width + 1}" fill="{colour}"/>'
        for g, value in known
    )
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="{width}"/>{dots if series.name else ""}'


def _band(series: Series, scale: _Scale, colour: str) -> str:
    ends = [(g, value) for g, value in zip(series.places, series.values, strict=True) if all(map(math.isfinite, value))]
    upper = [f"{scale.x(g):.1f},{scale.y(value[2]):.1f}" for g, value in ends]
    lower = [f"{scale.x(g):.1f},{scale.y(value[1]):.1f}" for g, value in reversed(ends)]
    return f'<polygon points="{" ".join([*upper, *lower])}" fill="{colour}" opacity="0.15"/>'


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, more: str = "") -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" {more}/>'
