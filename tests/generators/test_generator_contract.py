"""What every generator must do, whichever file of the folder it is in."""

from __future__ import annotations

import copy
import random
from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from pipelines.generators._saved import unpack
from privaudit import plugins
from privaudit.contracts import Claim, Generator, Sampler
from privaudit.errors import PrivauditError
from privaudit.records import Column, Records
from privaudit.seeds import Seeds

QUICK = {
    "epochs": 2,
    "pretrain": 2,
    "batch": 50,
    "pretrain_batch": 50,
    "pack": 5,
    "noise": 8,
    "code": 8,
    "hidden": (16,),
    "critic": (16,),
}
"""Settings of the neural generators that make a training take moments."""
NAMES = plugins.members("generators")


def stays(n: int = 160, seed: int = 3) -> Records:
    rng = np.random.default_rng(seed)
    seen = rng.random(n) < 0.8
    low = rng.normal(10, 2, n)
    mean, top = low + rng.exponential(1, n), low + 5 + rng.exponential(1, n)
    unit = rng.integers(0, 3, n).astype(float)
    bed = rng.integers(1, 9, n)
    x = np.column_stack(
        [
            rng.normal(60, 15, n).clip(18, 95),
            rng.integers(0, 2, n),
            unit,
            low,
            mean,
            top,
            np.where(seen, rng.integers(1, 20, n), 0),
            seen,
            bed,
            bed + rng.integers(0, 4, n),
            np.full(n, 3.5),
        ]
    )
    x[~seen, 3:6] = np.nan
    x[rng.random(n) < 0.1, 0] = np.nan
    x[rng.random(n) < 0.1, 2] = np.nan
    y = (low + rng.normal(0, 2, n) > 10.5).astype(int)
    columns = (
        Column("age", bounds=(18, 95)),
        Column("sex", "binary", (0, 1), levels=("F", "M")),
        Column("unit", "category", levels=("a", "b", "c")),
        *(
            Column(f"rate.{s}", bounds=(0, 60), variable="rate", statistic=s)
            for s in ("min", "mean", "max")
        ),
        Column("rate.count", bounds=(0, 48), variable="rate", statistic="count"),
        Column("rate.measured", "binary", (0, 1), variable="rate", statistic="measured"),
        Column("bed", bounds=(1, 8), integer=True, at_most="beds"),
        Column("beds", bounds=(1, 12), integer=True),
        Column("same", bounds=(0, 9)),
    )
    return Records(columns, x, y, np.arange(n), np.zeros(n, dtype=int))


def quick(name: str) -> Generator:
    kind: Any = plugins.load("generators", name)
    own = {field.name for field in fields(kind)} if kind.costly else set()
    return kind(**{key: value for key, value in QUICK.items() if key in own})


def fit(name: str, records: Records, stream: int = 1) -> Sampler:
    """A quick fit, or a skip where the library it needs is not installed here."""
    try:
        return quick(name).fit(records, Seeds(stream).rng("fit"))
    except PrivauditError as error:
        if "pip install" in error.fix:
            pytest.skip(error.what)
        raise


def global_state() -> tuple[Any, ...]:
    import torch

    return (
        np.random.get_state()[1].tobytes(),  # type: ignore[index,union-attr]  # noqa: NPY002
        random.getstate(),
        torch.get_rng_state().numpy().tobytes(),
        torch.get_num_threads(),
    )


def same(one: Records, two: Records) -> bool:
    return np.array_equal(one.X, two.X, equal_nan=True) and np.array_equal(one.y, two.y)


@pytest.fixture(scope="module", params=NAMES)
def fitted(request: pytest.FixtureRequest) -> tuple[str, Records, Sampler]:
    records = stays()
    return request.param, records, fit(request.param, records)


def test_same_stream_same_records_and_nothing_else_moves(
    fitted: tuple[str, Records, Sampler],
) -> None:
    name, records, sampler = fitted
    kept, state = copy.deepcopy(records.X), global_state()
    again = fit(name, records)
    assert again.save() == sampler.save()
    one, two = (s.sample(40, Seeds(2).rng("sample")) for s in (sampler, again))
    assert same(one, two)
    assert not same(one, sampler.sample(40, Seeds(3).rng("sample")))
    assert global_state() == state
    assert np.array_equal(records.X, kept, equal_nan=True)


def test_records_are_of_the_schema_and_every_value_is_valid(
    fitted: tuple[str, Records, Sampler],
) -> None:
    _, records, sampler = fitted
    for rows in (1, 300):
        drawn = sampler.sample(rows, Seeds(4).rng("sample"))
        assert len(drawn) == rows
        assert drawn.columns == records.columns
        assert drawn.classes == records.classes
        assert np.array_equal(drawn.patient, np.arange(rows))
        assert (drawn.site == 0).all()
        assert drawn.series is None
        assert not drawn.groups
    x = drawn.X
    for j, column in enumerate(drawn.columns):
        values = x[~np.isnan(x[:, j]), j]
        if column.bounds is not None:
            assert (values >= column.bounds[0]).all()
            assert (values <= column.bounds[1]).all()
        if column.kind == "category":
            assert set(values) <= set(range(len(column.levels)))
        if column.integer or column.kind == "binary" or column.statistic == "count":
            assert np.array_equal(values, np.rint(values))
    gone = np.isnan(x[:, 3:6])
    assert (gone.any(axis=1) == gone.all(axis=1)).all()
    assert np.array_equal(gone[:, 0], x[:, 7] == 0)
    assert np.array_equal(gone[:, 0], x[:, 6] == 0)
    shown = x[~gone[:, 0]]
    assert (shown[:, 3] <= shown[:, 4]).all()
    assert (shown[:, 4] <= shown[:, 5]).all()
    assert (x[:, 8] <= x[:, 9])[~np.isnan(x[:, 8]) & ~np.isnan(x[:, 9])].all()


def test_a_saved_generator_opens_to_the_same(fitted: tuple[str, Records, Sampler]) -> None:
    name, _, sampler = fitted
    file = sampler.save()
    kind: Any = plugins.load("generators", name)
    again = kind.load(file)
    assert again.save() == file
    assert again.claim == sampler.claim
    assert again.notes == sampler.notes
    assert same(again.sample(40, Seeds(5).rng("s")), sampler.sample(40, Seeds(5).rng("s")))
    header, arrays = unpack(file, name)
    assert header["generator"] == name
    assert all(array.dtype.kind in "biuf" for array in arrays.values())
    for bad in (b"", b"PK", file[: len(file) // 2], file[:-30] + b"x" * 30):
        with pytest.raises(PrivauditError):
            kind.load(bad)
    other = next(n for n in NAMES if n != name)
    with pytest.raises(PrivauditError, match=name):
        plugins.load("generators", other).load(file)  # type: ignore[attr-defined]


def test_the_file_holds_no_row(fitted: tuple[str, Records, Sampler]) -> None:
    """No three neighbouring numbers of a record are neighbours in the file. Bootstrap keeps rows,
    and says so."""
    name, records, sampler = fitted
    if name == "bootstrap":
        pytest.skip("bootstrap is copies by definition: the end of the scale that leaks all")
    rows = records.X[~np.isnan(records.X[:, :6]).any(axis=1), 3:6]
    assert len(rows) > 50
    for array in unpack(sampler.save())[1].values():
        assert len(records) not in array.shape
        flat = np.asarray(array, dtype=np.float64).ravel()
        for start in range(3):
            part = flat[start : start + (len(flat) - start) // 3 * 3].reshape(-1, 3)
            gap = np.abs(part[None] - rows[:, None]).max(axis=2) if len(part) < 3000 else None
            if gap is not None:
                assert not (gap < 1e-4).any()
            else:
                seen = {tuple(row) for row in np.round(part, 3)}
                assert not seen & {tuple(row) for row in np.round(rows.astype(float), 3)}


def test_a_claim_is_none_or_says_what_it_covers(fitted: tuple[str, Records, Sampler]) -> None:
    _, _, sampler = fitted
    if sampler.claim != Claim():
        assert sampler.claim.epsilon is not None
        assert sampler.claim.covers


@pytest.mark.parametrize("name", NAMES)
def test_a_tiny_table_is_learnt_or_refused_in_words(name: str) -> None:
    tiny, said = stays(12), ""
    try:
        drawn = fit(name, tiny).sample(20, Seeds(1).rng("s"))
    except PrivauditError as error:
        said = error.what
    assert "fewer than" in said or "10 patients" in said if said else len(drawn) == 20
