"""The report's drawings: inline SVG by hand, no library, no script.

Every chart is given its take-away sentence, which becomes the drawing's title, and stands beside a
table of the same numbers. Series differ by colour, dash, marker and a label, never colour alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from privaudit.report import _svg as s
from privaudit.report.inert import clip
from privaudit.report.numbers import DASH, fixed, is_rate, places, significant, value_text
from privaudit.results import Estimate

WIDTH = 680.0


@dataclass(frozen=True)
class Dot:
    """One release in the plane of utility and risk; `of` is the look it shares with its kind."""

    name: str
    x: Estimate
    y: Estimate
    of: int = 0


@dataclass(frozen=True)
class Bar:
    """One row of a forest: a name, an estimate for each panel, or why there is none."""

    name: str
    panels: tuple[Estimate | None, ...]
    empty: str = "not stated"
    strong: bool = False


@dataclass(frozen=True)
class Panel:
    """One scale of a forest."""

    title: str
    chance: float | None
    overall: float | None = None


def make_tick(percent: bool, marks: Sequence[float] = ()) -> Callable[[float], str]:
    """How tick labels are written: all of one axis with as many decimals as its finest needs."""
    scale, unit = (100, " %") if percent else (1, "")
    if not marks:
        return lambda v: f"{significant(v * scale)}{unit}"
    texts = [significant(v * scale) for v in marks]
    decimals = max(len(text.partition(".")[2]) for text in texts)
    return lambda v: f"{fixed(v * scale, decimals)}{unit}"


def draw_frame(
    c: s.Canvas,
    box: tuple[float, float, float, float],
    xs: tuple[Sequence[float], s.Scale, Callable[[float], str], str],
    ys: tuple[Sequence[float], s.Scale, Callable[[float], str], str],
) -> None:
    """Grid, tick labels and axis titles; the y title stands above the plot, level and readable."""
    left, top, right, bottom = box
    c.strokes("".join(s.across(left, right, ys[1](value)) for value in ys[0]), s.GRID)
    axis = s.across(left, right, bottom)
    c.strokes(axis + "".join(s.upright(xs[1](v), bottom, bottom + 5) for v in xs[0]), s.SOFT)
    for value in ys[0]:
        c.text((left - 8, ys[1](value) + 4), ys[2](value), "end", s.SOFT, 12)
    for value in xs[0]:
        c.text((xs[1](value), bottom + 20), xs[2](value), "middle", s.SOFT, 12)
    c.text((left - 44, top - 14), ys[3], "", s.INK, 13, bold=True)
    c.text(((left + right) / 2, bottom + 42), xs[3], "middle", s.INK, 13, bold=True)


def get_reach(estimates: Sequence[Estimate], more: Sequence[float] = ()) -> tuple[float, float]:
    """Lowest and highest value that must be on the scale."""
    found = [v for e in estimates for v in (e.value, e.low, e.high) if v is not None]
    found += list(more)
    return (min(found), max(found)) if found else (0.0, 1.0)


MAX_LOOKS = 5
"""Up to so many models each have a look of their own; more are numbered and share one by kind."""


def draw_tradeoff(
    dots: Sequence[Dot],
    anchor: str,
    title: str,
    x_label: str,
    y_label: str,
    kinds: Mapping[int, str] | None = None,
) -> str:
    """Risk and utility, every release on one plot, intervals on both axes.

    kinds: what each shared look stands for, where there are more models than looks.
    """
    shared = len(dots) > MAX_LOOKS
    legend = dict(kinds or {}) if shared else {}
    height = max(400.0, 150.0 + 22 * len(dots) + 20 * len(legend))
    left, top, right, bottom = 60.0, 46.0, 470.0, height - 62
    percent = any(is_rate(d.y.metric) for d in dots)
    chance = next((d.y.chance for d in dots if d.y.chance is not None), None)
    low, high = get_reach([d.x for d in dots])
    pad = max(0.01, (high - low) * 0.06)
    least = max(0.0, low - pad) if low >= 0 else low - pad
    x_ticks = s.ticks(least, min(1.0, high + pad), 5)
    low, high = get_reach([d.y for d in dots], [] if chance is None else [chance])
    y_ticks = s.ticks(0.0 if percent else low - 0.01, high, 6)
    x = s.linear(x_ticks[0], x_ticks[-1], left, right)
    y = s.linear(y_ticks[0], y_ticks[-1], bottom, top)
    c = s.Canvas(WIDTH, height)
    draw_frame(
        c,
        (left, top, right, bottom),
        (x_ticks, x, make_tick(False, x_ticks), x_label),
        (y_ticks, y, make_tick(percent, y_ticks), y_label),
    )
    marks = [(x(d.x.value or 0), y(d.y.value or 0)) for d in dots]
    wanted = [at[1] for at in marks]
    if chance is not None:
        c.line((left, y(chance)), (right, y(chance)), s.INK, 1.5, "5 4")
        wanted.append(y(chance))
    if shared:
        # Labels in the order of risk, joined to their marks by number: leaders would cross.
        order = sorted(range(len(dots)), key=lambda i: (marks[i][1], i))
        places = {i: top + 4 + 22 * rank for rank, i in enumerate(order)}
        label_at = [places[i] for i in range(len(dots))]
        number = {i: str(rank) for rank, i in enumerate(order, 1)}
    else:
        label_at = s.spread(wanted, 20, top + 4, bottom + 4)
        number = {}
    bars: dict[str, str] = {}
    for i, (d, at) in enumerate(zip(dots, marks, strict=True)):
        colour, _, kind = s.style(d.of if shared else i)
        label = (right + 30, label_at[i])
        if not shared:
            c.line((at[0] + 7, at[1]), (right + 8, label[1]), s.GRID)
            c.line((right + 8, label[1]), (label[0] - 4, label[1]), s.GRID)
        if d.x.low is not None and d.x.high is not None:
            bars[colour] = bars.get(colour, "") + s.across(x(d.x.low), x(d.x.high), at[1])
        if d.y.low is not None and d.y.high is not None:
            bars[colour] = bars.get(colour, "") + s.upright(at[0], y(d.y.low), y(d.y.high))
        c.marker(kind, (label[0] + 2, label[1]), colour, r=4)
        c.text((label[0] + 12, label[1] + 4.5), clip(d.name, 24))
    for colour, drawn in bars.items():
        c.strokes(drawn, colour, 1.0 if shared else 2.0)
    for i, at in enumerate(marks):
        colour, _, kind = s.style(dots[i].of if shared else i)
        c.marker(kind, at, colour, r=4.5 if shared else 5.5)
    if shared:
        _numbers(c, marks, number, (left, top, right, bottom))
        for i, text in number.items():
            c.text((right + 20, label_at[i] + 4.5), text, "end", s.SOFT, 12)
        for row, (of, text) in enumerate(legend.items()):
            colour, _, kind = s.style(of)
            spot = top + 18 + 22 * len(dots) + 20 * row
            c.marker(kind, (right + 32, spot), colour, r=4)
            c.text((right + 42, spot + 4.5), text, colour=s.SOFT, size=12)
        if chance is not None:
            spot = top + 18 + 22 * len(dots) + 20 * len(legend)
            c.line((right + 24, spot), (right + 40, spot), s.INK, 1.5, "5 4")
            c.text((right + 46, spot + 4.5), "guessing", colour=s.SOFT, size=12)
    elif chance is not None:
        c.text((right + 12, label_at[-1] + 4.5), "guessing", colour=s.SOFT)
    return c.svg(anchor, title)


def _numbers(
    c: s.Canvas,
    marks: Sequence[tuple[float, float]],
    number: Mapping[int, str],
    box: tuple[float, float, float, float],
) -> None:
    """Write each mark's number near it, where no other number is and, if there is room, no mark."""
    left, top, right, bottom = box
    written: list[tuple[float, float]] = []
    ways = [(math.cos(a), math.sin(a)) for a in (-0.8, -2.3, 0.8, 2.3, 0.0, 3.14, -1.57, 1.57)]
    for i, text in number.items():
        x, y = marks[i]
        spots = [(x + dx * r, y + dy * r) for r in range(12, 200, 8) for dx, dy in ways]
        inside = [p for p in spots if left + 9 < p[0] < right - 9 and top + 8 < p[1] < bottom - 8]
        free = [p for p in inside if not _near(p, written, 17, 14)]
        clear = (p for p in free[:24] if not _near(p, marks, 9, 9))
        spot = next(clear, None) or next(iter(free), (x, y))
        written.append(spot)
        c.text((spot[0], spot[1] + 4), text, "middle", size=11, bold=True)


def _near(
    spot: tuple[float, float], others: Sequence[tuple[float, float]], wide: float, high: float
) -> bool:
    return any(abs(spot[0] - x) < wide and abs(spot[1] - y) < high for x, y in others)


def draw_forest(
    bars: Sequence[Bar], panels: Sequence[Panel], anchor: str, title: str, names: float = 170.0
) -> str:
    """Interval bars row by row, one or two scales side by side, with the line of guessing.

    Where guessing differs from row to row, each row has a short mark of its own.
    """
    row, wide = 28.0, 800.0 if len(panels) > 1 else WIDTH
    top = 62.0 if any(panel.overall is not None for panel in panels) else 44.0
    bottom = top + row * len(bars)
    c = s.Canvas(wide, bottom + 46)
    room = (wide - names) / len(panels)
    for p, panel in enumerate(panels):
        values = [b.panels[p] for b in bars]
        given = [e for e in values if e is not None and e.value is not None]
        percent = any(is_rate(e.metric) for e in given)
        own = panel.chance is None
        known = [e.chance for e in given if e.chance is not None] if own else []
        known += [v for v in (panel.chance, panel.overall) if v is not None]
        left = names + room * p + 12
        right = left + room - 168
        marks = _marks(get_reach(given, known), right - left, percent)
        x = s.linear(marks[0], marks[-1], left, right)
        c.text((left, 20), panel.title, bold=True)
        c.strokes("".join(s.upright(x(value), top - 6, bottom) for value in marks), s.GRID)
        for value in marks:
            c.text((x(value), bottom + 18), make_tick(percent, marks)(value), "middle", s.SOFT, 12)
        if panel.overall is not None:
            c.line((x(panel.overall), top - 6), (x(panel.overall), bottom), "#0072B2", 1.5)
            c.text((x(panel.overall), top - 12), "everyone", "middle", "#0072B2", 12)
        if panel.chance is not None:
            c.line((x(panel.chance), top - 6), (x(panel.chance), bottom + 3), s.INK, 1.5, "5 4")
            c.text((x(panel.chance), bottom + 36), "guessing", "middle", s.SOFT, 12)
        elif known:
            c.text((left, bottom + 36), "short mark: guessing", "", s.SOFT, 12)
        for i, (bar, e) in enumerate(zip(bars, values, strict=True)):
            y = top + row * (i + 0.5)
            if e is None or e.value is None:
                c.text((right + 14, y + 4), clip(bar.empty, 24), colour=s.SOFT, size=12)
                continue
            if own and e.chance is not None:
                c.line((x(e.chance), y - 9), (x(e.chance), y + 9), s.INK, 1.5, "3 2")
            if e.low is not None and e.high is not None:
                c.strokes(s.across(x(e.low), x(e.high), y, 4), s.INK, 2)
            c.marker("circle", (x(e.value), y), "#D55E00" if bar.strong else s.INK, r=4.5)
            c.text((right + 14, y + 4), _label(e), size=12, bold=bar.strong)
    for i, bar in enumerate(bars):
        at = (0.0, top + row * (i + 0.5) + 4)
        c.text(at, clip(bar.name, int(names / 7.4)), bold=bar.strong)
    return c.svg(anchor, title)


def _marks(reach: tuple[float, float], width: float, percent: bool) -> list[float]:
    """As many ticks as there is room for their labels."""
    found = s.ticks(*reach, 1)
    for about in (5, 4, 3, 2):
        marks = s.ticks(*reach, about)
        write = make_tick(percent, marks)
        if sum(8 * len(write(v)) + 10 for v in marks) <= width * 1.15:
            return marks
    return found


def _label(e: Estimate) -> str:
    """`7.0 % (5.8–8.6)`, short enough for a drawing."""
    scale = 100 if is_rate(e.metric) else 1
    if e.low is None or e.high is None:
        return value_text(e)
    decimals = places(e.low * scale, e.high * scale, 1, 2 if scale > 1 else 3)
    return (
        f"{value_text(e)} ({fixed(e.low * scale, decimals)}{DASH}{fixed(e.high * scale, decimals)})"
    )
