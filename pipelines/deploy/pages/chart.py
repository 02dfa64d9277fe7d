"""The loss of a run, drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from pipelines.deploy.pages import labels
from privaudit.report import numbers as n

WIDE, HIGH = 640, 280
LEFT, RIGHT, TOP, BOTTOM = 70, 620, 14, 240
MOST_POINTS, MOST_ROWS = 300, 200
LARGEST = 1e12
"""A loss beyond it is left out of the drawing."""


@dataclass(frozen=True)
class Chart:
    """svg: an element that takes its colours from the page. rows: what the table beside it says."""

    svg: Markup
    rows: tuple[tuple[str, str], ...]


def draw_losses(losses: Sequence[tuple[int, float]], anchor: str) -> Chart | None:
    """The drawing and its table, rounds counted from 1; None with fewer than two points."""
    losses = [(at + 1, value) for at, value in losses]
    drawn = [(float(at), value) for at, value in losses if abs(value) <= LARGEST]
    if len(drawn) < 2:
        return None
    points = drawn[:: math.ceil(len(drawn) / MOST_POINTS)]
    points += drawn[-1:] if points[-1] != drawn[-1] else []
    x_ticks = _ticks(points[0][0], points[-1][0], whole=True)
    y_ticks = _ticks(min(y for _, y in points), max(y for _, y in points))
    x_low, x_high = points[0][0], points[-1][0]
    y_low, y_high = y_ticks[0], y_ticks[-1]

    def x(value: float) -> str:
        return f"{LEFT + (RIGHT - LEFT) * (value - x_low) / (x_high - x_low):.1f}"

    def y(value: float) -> str:
        return f"{BOTTOM - (BOTTOM - TOP) * (value - y_low) / (y_high - y_low):.1f}"

    name = f"{anchor}-drawn"
    parts = [f'<svg viewBox="0 0 {WIDE} {HIGH}" role="img" aria-labelledby="{escape(name)}">']
    said = f"{labels.LOSS_DRAWN}: {n.significant(points[0][1])} to {n.significant(points[-1][1])}"
    parts.append(f'<title id="{escape(name)}">{escape(said)}</title>')
    for value in y_ticks:
        level, text = y(value), escape(n.significant(value))
        parts.append(f'<path class="grid" d="M{LEFT} {level}H{RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{level}" dy="4" text-anchor="end">{text}</text>')
    for value in x_ticks:
        if x_low <= value <= x_high:
            text = escape(f"{value:,.0f}")
            parts.append(
                f'<text x="{x(value)}" y="{BOTTOM + 18}" text-anchor="middle">{text}</text>'
            )
    middle = (LEFT + RIGHT) / 2
    parts.append(
        f'<text x="{middle}" y="{HIGH - 4}" text-anchor="middle">{escape(labels.ROUND)}</text>'
    )
    parts.append(f'<path class="axis" d="M{LEFT} {BOTTOM}H{RIGHT}"/>')
    path = "L".join(f"{x(at)} {y(value)}" for at, value in points)
    parts.append(f'<path class="loss" d="M{path}"/>')
    end = points[-1]
    parts.append(f'<circle class="dot" cx="{x(end[0])}" cy="{y(end[1])}" r="4"/></svg>')
    latest = reversed(losses[-MOST_ROWS:])
    rows = tuple((f"{number:,}", n.significant(value)) for number, value in latest)
    return Chart(Markup("".join(parts)), rows)


def _ticks(low: float, high: float, whole: bool = False) -> list[float]:
    """About five round numbers that span low to high."""
    if high - low <= 1e-9 * max(1.0, abs(low), abs(high)):
        margin = max(abs(low) / 10, 1e-3)
        low, high = low - margin, high + margin
    raw = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(size * power for size in (1, 2, 5, 10) if size * power >= raw * (1 - 1e-9))
    step = max(1.0, step) if whole else step
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [k * step for k in range(first, last + 1)]


__all__ = ["Chart", "draw_losses"]
