"""What blocks of counts leave open: the likeliest placing of people, and the two extreme ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipelines.deploy.ladders import find_ranges

Side = Literal["least", "middle", "most"]


@dataclass(frozen=True, eq=False)
class Placing:
    """How many of one pool lie between each two thresholds: (k + 1,) int64, lowest scores first."""

    between: np.ndarray

    @property
    def places(self) -> np.ndarray:
        """(n,) which step each person stands on."""
        return np.repeat(np.arange(len(self.between)), self.between)


def place(blocks: Sequence[int], size: int, at: Sequence[float], side: Side) -> Placing:
    """One placing that the blocks allow.

    Args:
        blocks: Of how many score above each threshold.
        size: Of the pool.
        at: Where the thresholds lie, rising, between 0 and 1.
        side: "least": as low as can be; "most": as high; "middle": the straightest line through the
            blocks, which for people spread evenly is that of the even spread.
    """
    least, most = find_ranges(blocks, size)
    above = {"least": least, "most": most}.get(side)
    if above is None:
        ends = (np.array([size]), np.array([0]))
        low, high = (np.concatenate([ends[0], part, ends[1]]) for part in (least, most))
        x = np.concatenate([[0.0], np.asarray(at, dtype=np.float64), [1.0]])
        above = np.rint(straighten(x, low, high)[1:-1]).astype(np.int64)
        above = np.clip(above, least, most)
    counts = np.concatenate([[size], above, [0]])
    return Placing(counts[:-1] - counts[1:])


def straighten(x: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """(k,) the shortest line through the tube low <= y <= high over rising x; its ends are points.

    A taut string: Davies and Kovac 2001 (Annals of Statistics 29:1).
    """
    knots, values = [0], [float(low[0])]
    while knots[-1] < len(x) - 1:
        start, y = knots[-1], values[-1]
        ceiling, floor = np.inf, -np.inf
        top = bottom = start
        bend: tuple[int, float] | None = None
        for j in range(start + 1, len(x)):
            run = x[j] - x[start]
            up, down = (high[j] - y) / run, (low[j] - y) / run
            if down > ceiling:
                bend = (top, float(high[top]))
                break
            if up < floor:
                bend = (bottom, float(low[bottom]))
                break
            if up <= ceiling:
                ceiling, top = up, j
            if down >= floor:
                floor, bottom = down, j
        if bend is None:
            bend = (len(x) - 1, float(low[-1]))
        knots.append(bend[0])
        values.append(bend[1])
    return np.interp(x, x[knots], values)


__all__ = ["Placing", "place", "straighten"]
