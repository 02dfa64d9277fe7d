"""Generated pictures of known classes: a bright square on one of two sides, on noise."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from pipelines.tasks.tumour import name_pixels
from privaudit.records import Records

_DATA = os.environ.get("PRIVAUDIT_DATA", Path(__file__).parents[3] / "shared" / "data")
REAL = Path(_DATA) / "medmnist"


def draw(n: int, stream: int, side: int = 8, channels: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """(n, side, side, channels) uint8 pictures and their (n,) classes."""
    rng = np.random.default_rng(stream)
    y = rng.integers(0, 2, n)
    x = rng.integers(0, 120, (n, side, side, channels))
    half = side // 2
    for i, label in enumerate(y):
        at = half if label else 0
        x[i, 1 : half + 1, at : at + half - 1] += 120
    return x.astype(np.uint8), y


def records(n: int, stream: int, side: int = 8, channels: int = 1, sites: int = 4) -> Records:
    x, y = draw(n, stream, side, channels)
    return Records(
        columns=name_pixels(side, side, channels),
        X=x.reshape(n, -1),
        y=y,
        patient=np.arange(n),
        site=np.arange(n) % sites,
        sites=tuple(f"s{i}" for i in range(sites)),
        image=(side, side, channels),
    )
