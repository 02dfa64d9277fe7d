"""Distributions of a synthetic table beside the real one: one small drawing a column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from privaudit.report import _svg as s
from privaudit.report.inert import clip
from privaudit.report.numbers import significant

WIDTH = 680.0
ACROSS = 3
BAR_REAL, BAR_DRAWN, NOISE = "#8a8f98", "#0072B2", "#D55E00"


@dataclass(frozen=True)
class Small:
    """One column: shares of the same bins, real and synthetic, and after noise where known."""

    name: str
    note: str
    bins: tuple[str, ...]
    real: tuple[float, ...]
    synthetic: tuple[float, ...]
    noisy: tuple[float, ...] = ()


def draw_marginals(
    smalls: Sequence[Small], anchor: str, title: str, names: tuple[str, str, str]
) -> str:
    """Pairs of bars for each bin, grey real and blue synthetic; a short orange mark is the share
    after noise.

    Each drawing has a scale of its own, whose top is written at its left.
    """
    wide, high, top = WIDTH / ACROSS, 146.0, 34.0
    rows = -(-len(smalls) // ACROSS)
    c = s.Canvas(WIDTH, top + rows * high)
    noisy = any(small.noisy for small in smalls)
    x = 0.0
    for i, (colour, text) in enumerate(zip((BAR_REAL, BAR_DRAWN, NOISE), names, strict=True)):
        if i == 2 and not noisy:
            continue
        if i == 2:
            c.strokes(s.across(x, x + 12, 12), colour, 3)
        else:
            c.strokes(s.upright(x + 6, 4, 18), colour, 7 if i == 0 else 5)
        c.text((x + 18, 16), text, colour=s.SOFT, size=12)
        x += 36 + 7.2 * len(text)
    for at, small in enumerate(smalls):
        _one(c, small, (at % ACROSS) * wide, top + (at // ACROSS) * high, wide, high)
    return c.svg(anchor, title)


def _one(c: s.Canvas, small: Small, x: float, y: float, wide: float, high: float) -> None:
    left, right = x + 34, x + wide - 10
    ceiling, floor = y + 44, y + high - 26
    most = max([*small.real, *small.synthetic, *small.noisy, 0.01])
    scale = s.linear(0.0, most, floor, ceiling)
    c.text((x, y + 14), clip(small.name, 28), size=12, bold=True)
    c.text((x, y + 29), small.note, colour=s.SOFT, size=11)
    c.text((left - 5, ceiling + 4), f"{significant(most * 100, 2)} %", "end", s.SOFT, 10)
    step = (right - left) / max(1, len(small.bins))
    bar = min(14.0, max(2.0, step * 0.34))
    pairs = ((small.real, -0.5, BAR_REAL), (small.synthetic, 0.5, BAR_DRAWN))
    for shares, side, colour in pairs:
        bars = "".join(
            s.upright(left + step * (i + 0.5) + side * bar, floor, scale(share))
            for i, share in enumerate(shares)
            if share > 0
        )
        c.strokes(bars, colour, bar * 0.86)
    marks = "".join(
        s.across(left + step * (i + 0.5) - bar, left + step * (i + 0.5) + bar, scale(share))
        for i, share in enumerate(small.noisy)
    )
    c.strokes(marks, NOISE, 2)
    c.strokes(s.across(left, right, floor), s.SOFT)
    room = max(6, int((right - left) / 2 / 5.6))
    c.text((left, floor + 14), clip(small.bins[0], room), colour=s.SOFT, size=10)
    if len(small.bins) > 1:
        c.text((right, floor + 14), clip(small.bins[-1], room), "end", s.SOFT, 10)


__all__ = ["Small", "draw_marginals"]
