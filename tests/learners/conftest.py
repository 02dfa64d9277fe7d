"""A small table of stays with every kind of column, gaps, and an hourly series."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from privaudit.records import Column, Records

LEVELS = ("medical", "surgical", "coronary")


def make(
    n: int = 300,
    seed: int = 0,
    classes: int = 2,
    series: bool = True,
    signal: float = 1.5,
    visits: int = 1,
) -> Records:
    """Six summaries, age, sex and unit; the outcome depends on the first summary and channel."""
    rng = np.random.default_rng(seed)
    summaries = rng.normal(100, 20, (n, 6))
    age, sex, unit = rng.uniform(18, 90, n), rng.integers(0, 2, n), rng.integers(0, 3, n)
    hourly = rng.normal(5, 2, (n, 6, 3)) + (summaries[:, :1, None] - 100) / 10
    score = signal * (summaries[:, 0] - 100) / 20 + rng.logistic(size=n)
    cuts = np.quantile(score, np.arange(1, classes) / classes)
    X = np.column_stack([summaries, age, sex, unit])
    X[:, :6][rng.random((n, 6)) < 0.2] = np.nan
    X[rng.random(n) < 0.05, 8] = np.nan
    hourly[rng.random(hourly.shape) < 0.5] = np.nan
    return Records(
        columns=(
            *(Column(f"hr_{s}", variable="hr", statistic="mean") for s in "abcdef"),
            Column("age"),
            Column("sex", kind="binary"),
            Column("unit", kind="category", levels=LEVELS),
        ),
        X=X,
        y=np.searchsorted(cuts, score),
        patient=np.arange(n) // visits,
        site=np.zeros(n),
        series=hourly if series else None,
        channels=tuple(Column(c, variable=c) for c in ("hr", "rr", "sbp")) if series else (),
        classes=tuple("abcdefgh"[:classes]),
    )


@pytest.fixture
def stays() -> Callable[..., Records]:
    return make
