"""Drawings of curves and of measures against a setting: ROC, calibration, evasion, guarantees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from privaudit.report import _svg as s
from privaudit.report.charts import WIDTH, draw_frame, get_reach, make_tick
from privaudit.report.inert import clip
from privaudit.results import Curve, Estimate


@dataclass(frozen=True)
class Line:
    """One series; `of` makes a control share the look of what it controls."""

    name: str
    curve: Curve
    of: int
    control: bool = False
    banded: bool = True


@dataclass(frozen=True)
class Guarantee:
    """One release in the plane of claimed epsilon and measurement; epsilon None: none is
    claimed."""

    name: str
    epsilon: float | None
    use: Estimate
    risk: Estimate | None


def draw_guarantees(
    points: Sequence[Guarantee], anchor: str, title: str, x_label: str, y_label: str, without: str
) -> str:
    """Utility (filled) and membership (hollow) against epsilon; models without a guarantee at the
    right."""
    names = list(dict.fromkeys(p.name for p in points))
    height = max(420.0, 110.0 + 21 * len(names))
    left, top, right, bottom = 60.0, 46.0, 440.0, height - 62
    sizes = [p.epsilon for p in points if p.epsilon is not None]
    unbound = any(p.epsilon is None for p in points)
    edge = right - (60 if unbound else 14)
    scale = s.logarithmic(min(sizes) / 1.3, max(sizes) * 1.3, left + 10, edge)
    low, high = get_reach([e for p in points for e in (p.use, p.risk) if e is not None], [0.5])
    y_ticks = s.ticks(low, min(1.0, high), 6)
    y = s.linear(y_ticks[0], y_ticks[-1], bottom, top)
    c = s.Canvas(WIDTH, height)
    x_ticks = sorted(set(sizes))
    draw_frame(
        c,
        (left, top, right, bottom),
        (x_ticks, scale, make_tick(False), x_label),
        (y_ticks, y, make_tick(False, y_ticks), y_label),
    )
    c.line((left, y(0.5)), (right, y(0.5)), s.INK, 1.5, "5 4")
    if unbound:
        c.line((edge + 4, top), (edge + 4, bottom), s.GRID)
        c.text(((edge + right) / 2 + 4, bottom + 20), without, "middle", s.SOFT, 12)
    step = 8.0 if len(names) < 6 else 5.0
    for i, name in enumerate(names):
        colour, dash, kind = s.style(i)
        own = sorted((p for p in points if p.name == name), key=lambda p: p.epsilon or 1e9)
        shift = (
            (i - (len(names) - 1) / 2) * step if len(own) < len(set(sizes)) or len(own) < 2 else 0
        )
        for hollow in (False, True):
            drawn = []
            for p in own:
                e = p.risk if hollow else p.use
                if e is None or e.value is None:
                    continue
                middle = (edge + right) / 2 + 4
                at = middle + shift / 2 if p.epsilon is None else scale(p.epsilon) + shift
                drawn.append((min(max(at, left + 6), right - 4), e))
            if not hollow or len(drawn) > 1:
                c.path(
                    [(a, y(e.value or 0)) for a, e in drawn], colour, 1.6, "1 4" if hollow else dash
                )
            for a, e in drawn:
                if e.low is not None and e.high is not None:
                    c.line((a, y(e.low)), (a, y(e.high)), colour, 1.2)
                c.marker(kind, (a, y(e.value or 0)), colour, hollow=hollow, r=4)
        place = top + 8 + 21 * i
        c.marker(kind, (right + 22, place), colour, r=4)
        c.text((right + 32, place + 4.5), clip(name, 27))
    return c.svg(anchor, title)


def draw_roc(lines: Sequence[Line], anchor: str, title: str, x_label: str, y_label: str) -> str:
    """ROC curves on log axes, with the chance diagonal and the band of the strongest attack."""
    height, least = 430.0, 1e-3
    left, top, right, bottom = 60.0, 46.0, 440.0, 368.0
    decades = [1e-3, 1e-2, 1e-1, 1.0]
    x = s.logarithmic(least, 1, left, right)
    y = s.logarithmic(least, 1, bottom, top)
    c = s.Canvas(WIDTH, height)
    draw_frame(
        c,
        (left, top, right, bottom),
        (decades, x, make_tick(True), x_label),
        (decades, y, make_tick(True), y_label),
    )
    c.strokes("".join(s.upright(x(value), top, bottom) for value in decades[:-1]), s.GRID)
    c.line((x(least), y(least)), (x(1), y(1)), s.INK, 1.5, "5 4")
    c.text((right + 16, bottom - 2), "guessing", colour=s.SOFT)
    c.line((right - 26, bottom - 6), (right + 12, bottom - 6), s.INK, 1.5, "5 4")
    for i, line in enumerate(lines):
        curve = line.curve
        inside = [k for k, value in enumerate(curve.x) if value >= least]
        points = [(x(curve.x[k]), y(curve.y[k])) for k in inside]
        if not points:
            continue
        shown = s.thin(points)
        colour, dash, kind = s.style(i)
        if line.banded and len(curve.low) == len(curve.high) == len(curve.x):
            c.band(
                [(points[k][0], y(curve.low[inside[k]])) for k in shown],
                [(points[k][0], y(curve.high[inside[k]])) for k in shown],
                colour,
            )
        c.path([points[k] for k in shown], colour, 2.5 if line.banded else 1.8, dash)
        at = (right + 26, top + 10 + 26 * i)
        c.line((at[0] - 10, at[1]), (at[0] + 26, at[1]), colour, 2.5, dash)
        for spot in (at, points[0]):
            c.marker(kind, (spot[0] + (8 if spot == at else 0), spot[1]), colour, r=4)
        c.text((at[0] + 34, at[1] + 4.5), clip(line.name, 22), bold=line.banded)
    return c.svg(anchor, title)


def draw_survival(
    curve: Curve, limit: float, anchor: str, title: str, x_label: str, y_label: str
) -> str:
    """The share of patients who are told apart more often than x, with its band, and the limit."""
    left, top, right, bottom = 60.0, 40.0, 440.0, 298.0
    c = s.Canvas(WIDTH, 360.0)
    reach = [v for v in s.ticks(0.0, max([*curve.y, *curve.high, 0.05]), 5) if v <= 1.0]
    marks = [0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    x, y = s.linear(0.5, 1.0, left, right), s.linear(0.0, reach[-1], bottom, top)
    draw_frame(
        c,
        (left, top, right, bottom),
        (marks, x, make_tick(True), x_label),
        (reach, y, make_tick(True, reach), y_label),
    )
    c.line((x(limit), top), (x(limit), bottom), s.INK, 1.5, "5 4")
    c.text((right + 16, top + 12), "dashed: the limit", colour=s.SOFT)
    points = [(x(a), y(b)) for a, b in zip(curve.x, curve.y, strict=True)]
    colour = s.style(0)[0]
    if len(curve.low) == len(curve.high) == len(points):
        at = [point[0] for point in points]
        c.band(
            list(zip(at, map(y, curve.low), strict=True)),
            list(zip(at, map(y, curve.high), strict=True)),
            colour,
        )
    c.path(points, colour, 2.5)
    for point in points:
        c.marker("circle", point, colour, r=4)
    return c.svg(anchor, title)


def draw_reliability(curve: Curve, anchor: str, title: str, x_label: str, y_label: str) -> str:
    """Predicted against observed risk, with the line on which both agree."""
    left, top, right, bottom = 52.0, 40.0, 324.0, 298.0
    c = s.Canvas(352, 346)
    reach = s.ticks(0.0, max([*curve.x, *curve.y, *curve.high, 0.1]), 4)
    reach = [v for v in reach if v <= 1.0]
    x, y = s.linear(0, reach[-1], left, right), s.linear(0, reach[-1], bottom, top)
    draw_frame(
        c,
        (left, top, right, bottom),
        (reach, x, make_tick(True), x_label),
        (reach, y, make_tick(True), y_label),
    )
    c.line((x(0), y(0)), (x(reach[-1]), y(reach[-1])), s.INK, 1.5, "5 4")
    points = [(x(a), y(b)) for a, b in zip(curve.x, curve.y, strict=False)]
    if len(curve.low) == len(curve.high) == len(points):
        bars = zip(points, curve.low, curve.high, strict=True)
        c.strokes("".join(s.upright(at[0], y(a), y(b)) for at, a, b in bars), "#0072B2", 2)
    c.path(points, "#0072B2", 1.5)
    for point in points:
        c.marker("circle", point, "#0072B2", r=4)
    return c.svg(anchor, title)


def draw_evasion(lines: Sequence[Line], anchor: str, title: str, x_label: str, y_label: str) -> str:
    """How often an attack succeeds as its budget grows, with random changes of the same size."""
    height = 400.0
    left, top, right, bottom = 60.0, 46.0, 440.0, height - 62
    highs = [v for line in lines for v in (*line.curve.y, *line.curve.high)]
    y_ticks = s.ticks(0.0, min(1.0, max([*highs, 0.02])), 5)
    x_ticks = s.ticks(0.0, max(max(line.curve.x) for line in lines), 5)
    x = s.linear(0.0, x_ticks[-1], left, right)
    y = s.linear(0.0, y_ticks[-1], bottom, top)
    c = s.Canvas(WIDTH, height)
    draw_frame(
        c,
        (left, top, right, bottom),
        (x_ticks, x, make_tick(False, x_ticks), x_label),
        (y_ticks, y, make_tick(True, y_ticks), y_label),
    )
    label_at = s.spread([y(line.curve.y[-1]) for line in lines], 19, top + 4, bottom)
    for line, place in zip(lines, label_at, strict=True):
        curve = line.curve
        colour, dash, kind = s.style(line.of)
        points = [(x(a), y(b)) for a, b in zip(curve.x, curve.y, strict=True)]
        if len(curve.low) == len(curve.high) == len(points):
            bars = zip(points, curve.low, curve.high, strict=True)
            c.strokes("".join(s.upright(at[0], y(a), y(b)) for at, a, b in bars), colour, 1.5)
        c.path(points, colour, 1.5 if line.control else 2.5, "1 4" if line.control else dash)
        for point in points:
            c.marker(kind, point, colour, hollow=line.control, r=4)
        c.line((points[-1][0] + 6, points[-1][1]), (right + 14, place), s.GRID)
        c.marker(kind, (right + 22, place), colour, hollow=line.control, r=4)
        c.text(
            (right + 32, place + 4.5), clip(line.name, 27), colour=s.SOFT if line.control else s.INK
        )
    return c.svg(anchor, title)
