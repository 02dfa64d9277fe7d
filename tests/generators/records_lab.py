"""A made-up table with everything that makes tables hard: gaps, codes, counts, order between
columns."""

from __future__ import annotations

import numpy as np

from pipelines.generators._valid import valid
from privaudit.records import Column, Records

COLUMNS = (
    Column("age", bounds=(15, 95), integer=True, unit="years"),
    Column("sex", "binary", (0, 1), ("F", "M"), sensitive=True),
    Column("unit", "category", levels=("a", "b", "c", "rare")),
    Column("icu_days", bounds=(0, 60), at_most="hospital_days"),
    Column("hospital_days", bounds=(0, 120)),
    *(
        Column(f"lactate.{s}", bounds=(0, 30), variable="lactate", statistic=s)
        for s in ("first", "last", "min", "max", "mean")
    ),
    Column("lactate.count", bounds=(0, 96), variable="lactate", statistic="count"),
    Column("lactate.measured", "binary", (0, 1), variable="lactate", statistic="measured"),
    Column("height", bounds=(120, 220)),
)


def table(n: int = 1500, seed: int = 0, stays: int = 1) -> Records:
    """n records in which age, unit and lactate say something about the outcome."""
    rng = np.random.default_rng(seed)
    sick = rng.normal(size=n)
    age = np.clip(60 + 15 * rng.normal(size=n), 15, 95)
    unit = np.searchsorted([0.5, 0.8], rng.random(n) + 0.15 * np.tanh(sick) - 0.05)
    unit[:5] = 3
    icu = np.exp(0.8 + 0.5 * sick + 0.4 * rng.normal(size=n))
    lactate = np.exp(0.5 + 0.5 * sick[:, None] + 0.2 * rng.normal(size=(n, 6)))
    measured = rng.random(n) < 1 / (1 + np.exp(-0.5 - sick))
    count = np.where(measured, 1 + rng.poisson(3, n), 0)
    summaries = np.stack(
        [lactate[:, 0], lactate[:, -1], lactate.min(1), lactate.max(1), lactate.mean(1)], axis=1
    )
    summaries[~measured] = np.nan
    height = 170 + 9 * rng.normal(size=n)
    height[rng.random(n) < 0.4] = np.nan
    X = np.column_stack(
        [
            age,
            rng.random(n) < 0.55,
            unit,
            icu,
            icu * (1 + rng.exponential(1, n)),
            summaries,
            count,
            measured,
            height,
        ]
    )
    risk = 1 / (1 + np.exp(2.4 - 1.6 * sick - 0.03 * (age - 60)))
    return Records(
        columns=COLUMNS,
        X=valid(COLUMNS, X),
        y=rng.random(n) < risk,
        patient=np.arange(n) // stays,
        site=np.zeros(n),
    )
