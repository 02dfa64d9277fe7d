"""The search in blocks against its definition: missing values, ties, duplicates, many columns."""

from __future__ import annotations

import numpy as np
import pytest

from privaudit.attacks.synthetic._predicates import EQUAL, GAP, LEAST, Predicates
from privaudit.fidelity import _cells
from privaudit.fidelity._tiles import tiles
from privaudit.fidelity.distance import APART, Cells, densities, differing, search
from privaudit.seeds import Seeds

LEVELS = (2, 3, 7, 257, 65_537)
"""With one more each for missing: codes of one, two and four bytes."""


def pair(
    numbers: int, codes: int, queries: int, rows: int, missing: float = 0.2
) -> tuple[Cells, Cells]:
    """Two tables of few values, eighths of a range and beyond, in which rows repeat.

    One column of each kind never varies.
    """
    rng = Seeds(11).rng("tiles", numbers, codes, missing)
    levels = tuple(LEVELS[i % len(LEVELS)] + 1 for i in range(codes))

    def draw(n: int) -> Cells:
        x = rng.integers(-1, 4, (numbers, n)) / 2.0
        x[rng.random(x.shape) < missing] = _cells.GAP
        c = np.array([rng.choice([0, 1, k // 2, k - 2], n) for k in levels]).reshape(codes, n)
        for row, k in zip(c, levels, strict=True):
            row[rng.random(n) < missing] = k - 1
        if numbers > 1:
            x[1] = 0.5
        if codes > 1:
            c[1] = 1
        return Cells(x, c.astype(np.int64), levels)

    def take(cells: Cells, at: np.ndarray) -> Cells:
        return Cells(cells.numbers[:, at], cells.codes[:, at], levels)

    q, t = draw(queries), draw(rows)
    t = take(t, np.concatenate([np.arange(rows), rng.integers(0, rows, rows // 2)]))
    copied = rng.integers(0, len(t), queries // 3)
    own = Cells(
        np.concatenate([q.numbers, t.numbers[:, copied]], axis=1),
        np.concatenate([q.codes, t.codes[:, copied]], axis=1),
        levels,
    )
    return own, t


def written_out(q: Cells, t: Cells, gap: float) -> np.ndarray:
    """(n, m) float64: summed distances, a column and a pair at a time."""
    out = np.zeros((len(q), len(t)))
    for i in range(len(q)):
        for j in range(len(t)):
            for a, b in zip(q.numbers[:, i], t.numbers[:, j], strict=True):
                lone = (a == _cells.GAP) != (b == _cells.GAP)
                out[i, j] += gap if lone else min(1.0, abs(a - b))
            for a, b, k in zip(q.codes[:, i], t.codes[:, j], q.levels, strict=True):
                lone = (a == k - 1) != (b == k - 1)
                out[i, j] += gap if lone else float(a != b)
    return out


def shares(q: Cells, t: Cells, tolerance: float) -> np.ndarray:
    """(n, m) float64: the share of cells measured on either side that differ."""
    out = np.zeros((len(q), len(t)))
    gone = q.missing, t.missing
    for i in range(len(q)):
        for j in range(len(t)):
            seen = ~(gone[0][:, i] & gone[1][:, j])
            far = np.abs(q.numbers[:, i] - t.numbers[:, j]) > tolerance
            unlike = int(far.sum()) + int((q.codes[:, i] != t.codes[:, j]).sum())
            out[i, j] = unlike / max(1, int(seen.sum()))
    return out


SHAPES = [(6, 7, 0.0), (6, 7, 0.3), (0, 6, 0.2), (5, 0, 0.2), (3, 290, 0.1), (300, 2, 0.1)]
BLOCKS = [(2**17, 2**14), (64, 8), (5, 2**14)]


@pytest.fixture(params=BLOCKS, ids=["whole", "small", "lines"])
def blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("privaudit.fidelity._tiles.CELLS", request.param[0])
    monkeypatch.setattr("privaudit.fidelity._tiles.WIDE", request.param[1])


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize(("numbers", "codes", "missing"), SHAPES)
def test_neighbours_and_ties_are_those_of_the_definition(
    numbers: int, codes: int, missing: float
) -> None:
    q, t = pair(numbers, codes, 9, 14, missing)
    for gap in (1.0, 0.25):
        true = written_out(q, t, gap)
        order = np.argsort(true, axis=1, kind="stable")[:, :4]
        distance, rows = search(q, t, 4, gap=gap)
        assert np.array_equal(rows, order)
        assert np.allclose(distance * q.width, np.take_along_axis(true, order, 1), atol=1e-12)
    true = written_out(q, t, APART)
    distance, rows = search(q, t, gap=APART)
    assert np.allclose(distance[:, 0] * q.width, true.min(axis=1), atol=1e-12)
    assert (distance[9:] < 1e-12).all()
    own, at = search(t, t, exclude_self=True)
    alone = written_out(t, t, 1.0)
    np.fill_diagonal(alone, np.inf)
    assert np.array_equal(at[:, 0], alone.argmin(axis=1))
    assert np.allclose(own[:, 0] * t.width, alone.min(axis=1), atol=1e-12)


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize(("numbers", "codes", "missing"), SHAPES)
def test_differing_cells_and_densities_are_those_of_the_definition(
    numbers: int, codes: int, missing: float
) -> None:
    q, t = pair(numbers, codes, 9, 14, missing)
    true = shares(q, t, 0.5)
    share, rows = differing(q, t, 0.5)
    assert np.allclose(share, true.min(axis=1), atol=1e-7)
    assert np.array_equal(rows, np.round(true, 6).argmin(axis=1))
    mass = np.exp(-written_out(q, t, 0.25) / 2.0).mean(axis=1)
    assert np.allclose(densities(q, t, [2.0], gap=0.25)[0], np.log(mass), atol=1e-5)


def test_equal_records_get_equal_sums_and_numpy_is_left_as_it_was() -> None:
    rng = Seeds(12).rng("sums")
    x = rng.normal(size=(40, 30)) * 1.7
    once = Cells(x, np.zeros((0, 30), dtype=np.int64), ())
    many = Cells(np.tile(x, 11), np.zeros((0, 330), dtype=np.int64), ())
    before = np.getbufsize()
    for _, _, d in tiles(once, many):
        assert np.getbufsize() == before
        assert (d.reshape(30, 11, 30) == d[:, None, :30]).all()
    assert np.getbufsize() == before


def test_descriptions_hold_where_every_condition_does() -> None:
    rng = Seeds(13).rng("predicates")
    cells = rng.integers(0, 4, (5, 200)).astype(np.float64)
    cells[rng.random(cells.shape) < 0.2] = np.nan
    columns = rng.integers(0, 5, (60, 2))
    tests = rng.integers(EQUAL, GAP + 1, (60, 2))
    values = rng.integers(0, 4, (60, 2)).astype(np.float64)
    found = Predicates(columns, tests, values).counts(cells)
    for i in range(60):
        count = 0
        for row in cells.T:
            fits = []
            for c, test, v in zip(columns[i], tests[i], values[i], strict=True):
                if test == GAP:
                    fits.append(np.isnan(row[c]))
                elif test == EQUAL:
                    fits.append(row[c] == v)
                else:
                    fits.append(row[c] >= v if test == LEAST else row[c] <= v)
            count += all(fits)
        assert found[i] == count
    assert found.max() > 10


def test_more_columns_differ_than_a_byte_counts() -> None:
    zero = np.zeros((600, 2), dtype=np.int64)
    a = Cells(np.zeros((600, 2)), zero, (3,) * 600)
    b = Cells(np.full((600, 3), 7.0), zero[:, :1] + np.array([1, 1, 2]), (3,) * 600)
    assert search(a, b)[0].tolist() == [[1.0], [1.0]]
    assert differing(a, b, 0.5)[0].tolist() == [1.0, 1.0]
    expected = np.log((2 * np.exp(-12) + np.exp(-7.5)) / 3)
    assert np.allclose(densities(a, b, [100.0], gap=0.25)[0], expected)
    gone = Cells(np.full((600, 2), _cells.GAP), zero + 2, (3,) * 600)
    assert search(a, gone, gap=0.25)[0].tolist() == [[0.25], [0.25]]
    x = np.full((600, 2), _cells.GAP)
    x[:300, 0] = 0.0
    assert differing(gone, Cells(x, zero + 2, (3,) * 600), 0.5)[0].tolist() == [0.0, 0.0]
    assert differing(gone.__class__(x[:, :1], zero[:, :1], (3,) * 600), gone, 0.5)[0].tolist() == [
        1.0
    ]
