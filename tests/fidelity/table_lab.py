"""Records with known structure and tables with known leaks, for the tests of attacks on tables."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from privaudit.contracts import Release, Target
from privaudit.records import Column, Records, Split

COLUMNS = (
    *(Column(f"x{i}", bounds=(-1000.0, 1000.0)) for i in range(14)),
    *(Column(f"b{i}", kind="binary", bounds=(0, 1)) for i in range(3)),
    Column("unit", kind="category", levels=("a", "b", "c", "d"), sensitive=True),
    Column("sex", kind="binary", sensitive=True),
)


def people(n: int, rng: np.random.Generator, missing: float = 0.0, first: int = 0) -> Records:
    """n patients of one record each, with correlated columns and `missing` of the cells gone."""
    z = rng.normal(size=(n, 3))
    x = z @ rng.normal(size=(3, 14)) + rng.normal(size=(n, 14))
    b = (z + rng.normal(size=(n, 3)) > 0).astype(float)
    unit = np.digitize(z[:, 0] + rng.normal(size=n), [-1, 0, 1])
    sex = rng.integers(0, 2, n)
    wide = np.column_stack([x, b, unit, sex]).astype(np.float32)
    wide[rng.random(wide.shape) < missing] = np.nan
    y = (z[:, 1] + rng.normal(size=n) > 0.8).astype(np.int64)
    return Records(COLUMNS, wide, y, np.arange(first, first + n), np.zeros(n))


def split(
    rng: np.random.Generator, n: int = 300, missing: float = 0.0, reference: int = 200
) -> Split:
    """n members, n non-members and the attacker's own, all of one kind."""
    whole = people(2 * n + reference, rng, missing)
    cut = (slice(0, n), slice(n, 2 * n), slice(2 * n, None))
    return Split(*(whole.take(part) for part in cut))


def again(records: Records, rows: np.ndarray) -> Records:
    """A synthetic table of these rows, each a patient of its own, with fewer groups and sites."""
    drawn = records.take(rows)
    return replace(drawn, patient=np.arange(len(rows)), site=np.zeros(len(rows)), sites=("all",))


def bootstrap(members: Records, rng: np.random.Generator) -> Records:
    return again(members, rng.integers(0, len(members), len(members)))


def marginals(members: Records, rng: np.random.Generator, rows: int = 0) -> Records:
    """Every column drawn for itself; numbers smoothed, so that no value is a patient's."""
    n = rows or len(members)
    x = np.column_stack([column[rng.integers(0, len(column), n)] for column in members.X.T]).astype(
        np.float64
    )
    numeric = np.array([c.kind == "numeric" for c in members.columns])
    x[:, numeric] += 0.3 * rng.normal(size=x[:, numeric].shape)
    base = again(members, np.zeros(n, dtype=int))
    return replace(base, X=x, y=members.y[rng.integers(0, len(members), n)])


def planted(members: Records, rng: np.random.Generator, share: float) -> tuple[Records, np.ndarray]:
    """A table of marginals with exact duplicates of `share` of the members, and who they are."""
    rows = rng.permutation(len(members))[: round(share * len(members))]
    table = Records.concatenate([marginals(members, rng), again(members, rows)])
    return again(table, rng.permutation(len(table))), rows


def near(members: Records, rng: np.random.Generator, share: float = 0.3) -> Records:
    """A table of marginals in which `share` of the members stand with numbers a little moved."""
    table, rows = marginals(members, rng), rng.permutation(len(members))
    rows = rows[: round(share * len(members))]
    x = table.X.copy()
    x[: len(rows)] = members.X[rows]
    numeric = np.array([c.kind == "numeric" for c in members.columns])
    moved = 0.02 * rng.normal(size=(len(rows), int(numeric.sum())))
    x[: len(rows), numeric] += moved.astype(np.float32)
    y = table.y.copy()
    y[: len(rows)] = members.y[rows]
    return replace(table, X=x, y=y)


def target(split: Split, table: Records, file: bytes | None = None) -> Target:
    return Target(Release(table=table, file=file), split)


def grouped(records: Records, most: int, rng: np.random.Generator, first: int = 0) -> Records:
    """The same records as those of patients with 1 to `most` each, in the order of the rows."""
    counts = rng.integers(1, most + 1, len(records))
    ids = np.repeat(np.arange(len(records)), counts)[: len(records)]
    return replace(records, patient=first + ids)
