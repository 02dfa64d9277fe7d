"""No saved generator states how many patients there were, nor how many had a level.

The attacker reads every array of a file. Fractions of whole numbers give the whole away by the
least number that makes all of them whole, and each count by multiplying with it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from planted import quick

from pipelines.generators._pooled import POOL, count_units, round_shares
from pipelines.generators._saved import unpack
from privaudit.records import Column, Records

PLAIN = ("marginals", "copula", "ctgan", "tvae", "medgan")
COLUMNS = (
    Column("falls", bounds=(0, 30), integer=True),
    Column("crp", bounds=(0, 1000)),
    Column("unit", "category", levels=("a", "b", "c", "d")),
    Column("lactate", bounds=(0, 50)),
)
SHARES = ("corner_share", "prevalence", "asked.shares")
MOST = 5000
"""Patients up to whom the attacker searches."""


def people(seed: int) -> Records:
    """Counts whose tail few patients share, a rare level, and values that many lack."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(300, 700))
    lactate = np.where(rng.random(n) < 0.4, np.nan, rng.lognormal(0, 1, n).round(1))
    unit = rng.choice(4, n, p=(0.5, 0.3, 0.16, 0.04))
    X = np.column_stack([rng.geometric(0.25, n) - 1, rng.uniform(5, 90, n), unit, lactate])
    y = (rng.random(n) < 0.2).astype(np.int64)
    return Records(
        COLUMNS, X.astype(np.float32), y, np.arange(n), np.zeros(n), classes=("no", "yes")
    )


def find_whole(shares: np.ndarray) -> int:
    """The least number that makes all of these whole; 0 where none up to MOST does."""
    for n in range(2, MOST):
        if np.abs(shares * n - np.rint(shares * n)).max() < 1e-3 * min(1, 100 / n):
            return n
    return 0


def read_fractions(file: bytes) -> dict[str, np.ndarray]:
    """What in a file may be fractions of patients: numbers from 0 to 1, column by column."""
    found: dict[str, np.ndarray] = {}
    arrays = unpack(file)[1]
    for name, array in arrays.items():
        cuts = arrays["corner_start"][1:-1].tolist() if name == "corner_share" else []
        parts = [array] if name == "corner_start" else np.split(array.ravel(), cuts)
        for i, part in enumerate(parts):
            values = np.unique(part[np.isfinite(part)].astype(np.float64))
            values = values[(values > 0) & (values < 1)]
            if len(values):
                found[f"{name} {i}"] = values
    return found


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", PLAIN)
def test_no_array_gives_the_number_of_patients_or_of_a_level_away(name: str, seed: int) -> None:
    if name in ("ctgan", "tvae"):
        pytest.importorskip("ctgan")
    records = people(seed)
    found = read_fractions(quick(name).fit(records, np.random.default_rng(0)).save())
    shares = [one for one in found if one.startswith(SHARES)]
    assert shares
    for one in shares:
        # Halves, since a corner is in the middle of a run of values: of 50 parts, or of 20 where
        # fewer patients have a value.
        whole = find_whole(found[one])
        assert whole > 0
        assert 100 % whole == 0 or 40 % whole == 0
    assert {find_whole(values) for values in found.values()}.isdisjoint(
        {len(records), *(int((~np.isnan(records.X[:, j])).sum()) for j in range(len(COLUMNS)))}
    )


def test_the_attacker_finds_exact_shares() -> None:
    counts = np.array([301, 180, 97, 12, 7])
    assert find_whole(counts / counts.sum()) == counts.sum() == 597


@pytest.mark.parametrize("seed", range(20))
def test_a_part_is_of_ten_patients_or_more_and_a_few_more_or_less_are_not_seen(seed: int) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.integers(10, 200, rng.integers(1, 12))
    n = int(counts.sum())
    units = count_units(n)
    shares = round_shares(counts, n)
    assert n / units >= POOL or units == 1
    assert shares.sum() == pytest.approx(1)
    assert (shares > 0).all()
    assert np.allclose(shares * units, np.rint(shares * units)) or len(counts) >= units
    near = round_shares(counts, n + 1)
    assert count_units(n + 1) != units or np.array_equal(shares, near)


@pytest.mark.parametrize("name", ["marginals", "copula"])
def test_a_value_too_few_share_leaves_no_corners_of_its_own(name: str) -> None:
    records = people(0)
    X = records.X.copy()
    X[:, 0] = np.where(np.arange(len(X)) < 7, 20, np.arange(len(X)) % 3)
    records = replace(records, X=X)
    arrays = unpack(quick(name).fit(records, np.random.default_rng(0)).save())[1]
    value = arrays["corner_value"][slice(*arrays["corner_start"][:2])]
    assert value.tolist() == [0, 0, 1, 1, 2, 2]
