"""Distances between mixed records, and copies of real rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from privaudit.errors import PrivauditError
from privaudit.fidelity.copies import copies
from privaudit.fidelity.distance import (
    apart,
    closeness,
    densities,
    differing,
    match,
    nearest,
    search,
    shared,
    spans,
)
from privaudit.records import Column, Records
from privaudit.seeds import Seeds

COLUMNS = (
    Column("age", bounds=(0.0, 100.0)),
    Column("lactate"),
    Column("sex", kind="binary"),
    Column("unit", kind="category", levels=("a", "b", "c")),
    Column("code", kind="category", levels=tuple(f"d{i}" for i in range(90))),
)


def table(n: int, name: str, missing: float = 0.2) -> Records:
    rng = Seeds(3).rng(name)
    x = np.column_stack(
        [
            rng.uniform(0, 100, n),
            rng.lognormal(size=n),
            rng.integers(0, 2, n),
            rng.integers(0, 3, n),
            rng.integers(0, 90, n),
        ]
    ).astype(np.float32)
    x[rng.random(x.shape) < missing] = np.nan
    return Records(COLUMNS, x, rng.integers(0, 2, n), np.arange(n), np.zeros(n))


def slow(q: Records, t: Records) -> np.ndarray:
    """Gower's distance as one would write it down: the mean over columns and the outcome."""
    span = {"age": (0.0, 100.0)}
    seen = t.X[:, 1][np.isfinite(t.X[:, 1])].astype(np.float64)
    span["lactate"] = (seen.min(), seen.max())
    out = np.zeros((len(q), len(t)))
    for i in range(len(q)):
        for j in range(len(t)):
            parts = [float(q.y[i] != t.y[j])]
            for c, column in enumerate(COLUMNS):
                a, b = float(q.X[i, c]), float(t.X[j, c])
                if np.isnan(a) or np.isnan(b):
                    parts.append(float(np.isnan(a) != np.isnan(b)))
                elif column.name in span:
                    low, high = span[column.name]
                    parts.append(min(1.0, abs(a - b) / (high - low)))
                else:
                    parts.append(float(a != b))
            out[i, j] = np.mean(parts)
    return out


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_nearest_is_gowers_distance_with_missing_as_a_value(missing: float) -> None:
    q, t = table(30, "q", missing), table(80, "t", missing)
    true = slow(q, t)
    got, rows = nearest(q, t, 3)
    assert np.allclose(got, np.sort(true, axis=1)[:, :3], atol=1e-6)
    assert np.allclose(np.take_along_axis(true, rows, 1), got, atol=1e-6)


def test_blocks_of_the_table_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    q, t = table(50, "q"), table(333, "t")
    whole = nearest(q, t, 4)
    monkeypatch.setattr("privaudit.fidelity._tiles.CELLS", 64)
    cut = nearest(q, t, 4)
    assert np.array_equal(whole[0], cut[0])
    assert np.array_equal(whole[1], cut[1])


def test_ties_go_to_the_earlier_row_and_self_is_left_out() -> None:
    t = table(40, "t")
    twice = Records.concatenate([t, t])
    distance, rows = nearest(t, twice, 2)
    assert (distance == 0).all()
    assert np.array_equal(rows[:, 0], np.arange(40))
    own, at = nearest(t, t, 1, exclude_self=True)
    assert (at[:, 0] != np.arange(40)).all()
    assert np.allclose(own[:, 0], nearest(t, t, 2)[0][:, 1])


def test_columns_and_levels_are_matched_by_name() -> None:
    q, t = table(60, "q"), table(60, "t")
    order = [3, 0, 4, 2]
    swapped = replace(
        t,
        columns=tuple(
            replace(t.columns[j], levels=("c", "a", "b", "new"))
            if t.columns[j].name == "unit"
            else t.columns[j]
            for j in order
        ),
        X=np.column_stack(
            [np.array([1, 2, 0, np.nan])[np.nan_to_num(t.X[:, 3], nan=3).astype(int)]]
            + [t.X[:, j] for j in order[1:]]
        ),
    )
    names = ("age", "sex", "unit", "code", "outcome")
    assert shared(q, swapped) == names
    assert np.allclose(nearest(q, swapped)[0], nearest(q, t, columns=names)[0])


def test_an_infinite_tail_is_as_far_as_can_be_and_a_copy_is_close() -> None:
    q = table(20, "q", 0.0)
    x = q.X.copy()
    x[0, 0] = 1e30
    far = replace(q, X=x)
    assert nearest(far.take([0]), q.take([0]))[0][0, 0] == pytest.approx(1 / 6)
    assert closeness(q, q).min() == pytest.approx(-np.log(1e-5))


@pytest.mark.parametrize("k", [0, 81, True])
def test_more_neighbours_than_records_are_refused(k: int) -> None:
    with pytest.raises(PrivauditError, match="nearest records"):
        nearest(table(5, "q"), table(80, "t"), k)


def test_tables_that_do_not_match_are_refused() -> None:
    q, t = table(5, "q"), table(9, "t")
    with pytest.raises(PrivauditError, match="weight"):
        nearest(q, t, columns=["weight"])
    columns = tuple(replace(c, name=f"x{c.name}") for c in t.columns)
    other = replace(t, columns=columns, classes=("u", "v"))
    with pytest.raises(PrivauditError, match="no column of one name"):
        nearest(q, other)
    kinds = replace(t, columns=(replace(COLUMNS[0], kind="category", levels=("a",)), *COLUMNS[1:]))
    with pytest.raises(PrivauditError, match="'age' is numeric in one table"):
        nearest(q, kinds)
    bad = replace(t, columns=(*COLUMNS[:4], replace(COLUMNS[4], levels=("d0", "d1"))))
    with pytest.raises(PrivauditError, match="'code' holds codes"):
        nearest(bad, t)
    with pytest.raises(PrivauditError, match="table of 0"):
        nearest(q, t.take([]))


def test_differing_cells_leave_out_what_neither_measured() -> None:
    q, t = table(30, "q", 0.4), table(70, "t", 0.4)
    a, b, _ = match(q, t, None, spans(t))
    share, rows = differing(a, b, 0.05)
    whole_a = np.concatenate([np.where(a.numbers > 1e5, np.nan, a.numbers), a.codes.astype(float)])
    whole_b = np.concatenate([np.where(b.numbers > 1e5, np.nan, b.numbers), b.codes.astype(float)])
    for i in range(30):
        gap = ~(np.abs(whole_a[:, i, None] - whole_b) <= 0.05) & ~(
            np.isnan(whole_a[:, i, None]) & np.isnan(whole_b)
        )
        both = a.missing[:, i, None] & b.missing
        true = gap.sum(axis=0) / np.maximum(1, (~both).sum(axis=0))
        assert share[i] == pytest.approx(true.min())
        assert true[rows[i]] == pytest.approx(true.min())


def test_densities_are_the_mean_kernel_and_leave_oneself_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    a, b, _ = match(table(40, "q"), table(70, "t"), None, spans(table(70, "t")))
    d = apart(a, b, np.tile(np.arange(70), (40, 1))) * a.width
    for cells in (2**17, 16):
        monkeypatch.setattr("privaudit.fidelity._tiles.CELLS", cells)
        got = densities(a, b, (0.05, 1.0))
        for row, width in zip(got, (0.05, 1.0), strict=True):
            assert np.allclose(row, np.log(np.exp(-d / width).mean(axis=1)), atol=1e-4)
        own = densities(b, b, (1.0,), exclude_self=True)[0]
        e = np.exp(-apart(b, b, np.tile(np.arange(70), (70, 1))) * b.width)
        np.fill_diagonal(e, 0.0)
        assert np.allclose(own, np.log(e.sum(axis=1) / 69), atol=1e-4)


def test_the_scale_is_what_the_middle_of_a_column_spans() -> None:
    x = np.zeros((100, 3), dtype=np.float32)
    x[:, 0], x[95:, 1] = np.arange(100), np.arange(5)
    columns = (Column("a", bounds=(0.0, 1e6)), Column("b"), Column("c"))
    t = Records(columns, x, np.zeros(100), np.arange(100), np.zeros(100))
    found = spans(t)
    assert found["a"] == pytest.approx((9.9, 89.1))
    assert found["b"] == pytest.approx((0.0, np.quantile(x[:, 1], 0.99)))
    assert "c" not in found


@pytest.mark.parametrize("missing", [0.0, 0.1, 0.3])
def test_copies_are_found_word_for_word_rounded_and_with_cells_blanked(missing: float) -> None:
    rng = Seeds(5).rng("copies")
    columns = tuple(Column(f"x{i}", bounds=(-1000.0, 1000.0)) for i in range(30))

    def draw(n: int) -> Records:
        x = rng.normal(size=(n, 30)).astype(np.float32)
        x[rng.random(x.shape) < missing] = np.nan
        return Records(columns, x, rng.integers(0, 2, n), np.arange(n), np.zeros(n))

    real, other = draw(300), draw(300)
    x = real.X.copy()
    x[100:200] = np.round(x[100:200], 2)
    x[200:, 0] = np.nan
    synthetic = Records.concatenate([replace(real, X=x), draw(500)])
    found = copies(real, synthetic)
    assert found.exact[:100].all()
    assert not found.exact[100:200].any()
    assert found.near.all()
    assert not copies(other, synthetic).near.any()
    with pytest.raises(PrivauditError, match="rounding=1"):
        copies(real, synthetic, rounding=1.0)


def test_search_keeps_to_the_memory_of_a_block() -> None:
    import tracemalloc

    a, b, _ = match(table(3000, "q"), table(3000, "t"))
    tracemalloc.start()
    search(a, b)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3000 * 3000 * 4 / 2
