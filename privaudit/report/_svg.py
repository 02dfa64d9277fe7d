"""A small canvas: SVG with presentation attributes only, so that a strict policy and a PDF keep
it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from markupsafe import escape

from privaudit.report.inert import words

INK, SOFT, GRID = "#1b1b1f", "#55585f", "#d5d8de"
STYLES = (
    ("#0072B2", "", "circle"),
    ("#D55E00", "7 3", "square"),
    ("#009E73", "2 3", "triangle"),
    ("#CC79A7", "9 3 2 3", "diamond"),
    (INK, "4 2", "cross"),
)
"""Colour, dash and marker of a series: four hues that keep 3:1 on white, then black."""

Point = tuple[float, float]
Scale = Callable[[float], float]


def style(index: int) -> tuple[str, str, str]:
    """The look of the index-th series; from the sixth on black, distinguished by its label."""
    return STYLES[min(index, len(STYLES) - 1)]


def near(value: float) -> str:
    """A coordinate with one decimal."""
    text = f"{value:.1f}"
    return text[:-2] if text.endswith(".0") else text


class Canvas:
    """Shapes in drawing order; `svg` closes them into one element."""

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width, height
        self._parts: list[str] = []

    def _add(self, tag: str, body: str = "", **attributes: str | float) -> None:
        pairs = "".join(
            f' {name.rstrip("_").replace("_", "-")}="'
            f'{near(v) if isinstance(v, int | float) else escape(v)}"'
            for name, v in attributes.items()
            if v != ""
        )
        self._parts.append(f"<{tag}{pairs}/>" if not body else f"<{tag}{pairs}>{body}</{tag}>")

    def line(
        self, start: Point, end: Point, colour: str = INK, width: float = 1, dash: str = ""
    ) -> None:
        self._add(
            "line",
            x1=start[0],
            y1=start[1],
            x2=end[0],
            y2=end[1],
            stroke=colour,
            stroke_width=width,
            stroke_dasharray=dash,
        )

    def strokes(self, d: str, colour: str = INK, width: float = 1, dash: str = "") -> None:
        """Straight pieces that share a look, as one element."""
        if d:
            self._add("path", d=d, stroke=colour, stroke_width=width, stroke_dasharray=dash)

    def path(self, points: Sequence[Point], colour: str, width: float = 2, dash: str = "") -> None:
        if len(points) > 1:
            self._add(
                "path",
                d=_trace(points),
                fill="none",
                stroke=colour,
                stroke_width=width,
                stroke_dasharray=dash,
                stroke_linejoin="round",
            )

    def band(self, low: Sequence[Point], high: Sequence[Point], colour: str) -> None:
        if len(low) > 1:
            outline = [*high, *reversed(low)]
            self._add("path", d=_trace(outline) + "Z", fill=colour, fill_opacity="0.16")

    def marker(
        self, kind: str, at: Point, colour: str, hollow: bool = False, r: float = 4.5
    ) -> None:
        x, y = at
        look: dict[str, Any] = {"fill": colour}
        if hollow:
            look = {"fill": "#fff", "stroke": colour, "stroke_width": 1.5}
        else:
            r += 0.7
        if kind == "circle":
            self._add("circle", cx=x, cy=y, r=r, **look)
        elif kind == "square":
            self._add(
                "rect", x=x - r + 0.5, y=y - r + 0.5, width=2 * r - 1, height=2 * r - 1, **look
            )
        elif kind == "cross":
            self.line((x - r, y - r), (x + r, y + r), colour, 2)
            self.line((x - r, y + r), (x + r, y - r), colour, 2)
        else:
            shape = {
                "triangle": [(x, y - r - 0.5), (x + r, y + r - 0.5), (x - r, y + r - 0.5)],
                "diamond": [(x, y - r - 1), (x + r + 1, y), (x, y + r + 1), (x - r - 1, y)],
            }[kind]
            self._add("path", d=_trace(shape) + "Z", **look)

    def text(
        self,
        at: Point,
        text: str,
        anchor: str = "",
        colour: str = INK,
        size: float = 13,
        bold: bool = False,
    ) -> None:
        self._add(
            "text",
            str(escape(words(text))),
            x=at[0],
            y=at[1],
            text_anchor=anchor,
            fill="" if colour == INK else colour,
            font_size="" if size == 13 else size,
            font_weight="600" if bold else "",
        )

    def svg(self, anchor: str, title: str) -> str:
        """The finished element; the title is its take-away sentence, read aloud by a screen
        reader."""
        wide, high, name = near(self.width), near(self.height), f"{escape(anchor)}-title"
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" width="{wide}" '
            f'height="{high}" role="img" aria-labelledby="{name}" '
            f'font-family="system-ui, sans-serif" font-size="13" fill="{INK}">'
            f'<title id="{name}">{escape(words(title))}</title>' + "".join(self._parts) + "</svg>"
        )


def across(low: float, high: float, y: float, cap: float = 0) -> str:
    """A level stroke, with end caps where asked: an interval on a horizontal scale."""
    caps = (
        f"M{near(low)} {near(y - cap)}v{near(2 * cap)}M{near(high)} {near(y - cap)}v{near(2 * cap)}"
    )
    return f"M{near(low)} {near(y)}H{near(high)}" + (caps if cap else "")


def upright(x: float, start: float, end: float) -> str:
    """A vertical stroke: an interval on a vertical scale, or a grid line."""
    return f"M{near(x)} {near(start)}V{near(end)}"


def _trace(points: Sequence[Point]) -> str:
    if len(points) < 9:
        return "M" + "L".join(f"{near(x)} {near(y)}" for x, y in points)
    # Many points: whole pixels, each step from the one before, which is half as long to write.
    path, at = [], (0, 0)
    for i, (x, y) in enumerate(points):
        to = (round(x), round(y))
        if i and to == at:
            continue
        step = f"{to[0] - at[0]} {to[1] - at[1]}" if i else f"{to[0]} {to[1]}"
        path.append(f"l{step}" if i else f"M{step}")
        at = to
    return "".join(path).replace(" -", "-")


def linear(low: float, high: float, start: float, end: float) -> Scale:
    """Value to coordinate; values outside are held at the edge."""
    span = (high - low) or 1.0
    return lambda v: start + (min(max(v, low), high) - low) / span * (end - start)


def logarithmic(low: float, high: float, start: float, end: float) -> Scale:
    """Value to coordinate on a log axis; zero is held at the edge."""
    inner = linear(math.log10(low), math.log10(high), start, end)
    return lambda v: inner(math.log10(max(v, low)))


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round values that cover low..high, in steps of 1, 2, 2.5 or 5."""
    span = max(high - low, 1e-9)
    rough = span / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough * 0.999)
    first = math.floor(low / step + 1e-9)
    last = math.ceil(high / step - 1e-9)
    return [round(i * step, 10) for i in range(first, last + 1)]


def thin(points: Sequence[Point], tolerance: float = 0.7) -> list[int]:
    """Which points to keep so that the line moves less than the tolerance (Douglas and Peucker)."""
    keep = {0, len(points) - 1}
    stack = [(0, len(points) - 1)]
    while stack:
        first, last = stack.pop()
        (x0, y0), (x1, y1) = points[first], points[last]
        length = math.hypot(x1 - x0, y1 - y0) or 1e-9
        far, where = 0.0, -1
        for i in range(first + 1, last):
            x, y = points[i]
            away = abs((x1 - x0) * (y0 - y) - (x0 - x) * (y1 - y0)) / length
            if away > far:
                far, where = away, i
        if far > tolerance:
            keep.add(where)
            stack += [(first, where), (where, last)]
    return sorted(i for i in keep if i >= 0)


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places for labels, each as near to the wanted one as the gap between neighbours allows."""
    order = sorted(range(len(wanted)), key=lambda i: (wanted[i], i))
    placed = [0.0] * len(wanted)
    edge = low - gap
    for i in order:
        edge = placed[i] = max(wanted[i], edge + gap)
    edge = max(high, low + gap * (len(wanted) - 1)) + gap
    for i in reversed(order):
        edge = placed[i] = min(placed[i], edge - gap)
    return placed
