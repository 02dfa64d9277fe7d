"""An attack: a patient is planted, extreme in every number and alone with every level, and read
back from all that a generator hands out."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import planted
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.generators._nets_table import Table
from pipelines.generators._pooled import POOL, pool_records, steps, weigh
from pipelines.generators.copula import Copula
from pipelines.generators.marginals import Marginals
from privaudit import plugins
from privaudit.contracts import Sampler
from privaudit.errors import PrivauditError
from privaudit.records import Column, Records
from privaudit.seeds import Seeds

PLAIN = [n for n in plugins.members("generators") if n != "bootstrap" and not n.startswith("dp_")]
CHEAP = ["copula", "marginals"]
PLANTINGS = {"one row": (1, 1), "forty rows": (40, 1), "nine patients": (1, 9)}
CASES = [(name, how) for name in CHEAP for how in PLANTINGS]
CASES += [(name, "forty rows") for name in PLAIN if name not in CHEAP]


def fit(name: str, records: Records) -> Sampler:
    try:
        return planted.quick(name).fit(records, Seeds(1).rng("fit"))
    except PrivauditError as error:
        if "pip install" in error.fix:
            pytest.skip(error.what)
        raise


@cache
def without(name: str) -> bytes:
    return fit(name, planted.crowd()).save()


def find(name: str, how: str) -> tuple[list[str], list[str], list[str]]:
    """What is read back of numbers, of the rest of the file, and of the synthetic table."""
    rows, patients = PLANTINGS[how]
    records = planted.plant(planted.crowd(), rows=rows, patients=patients)
    sampler = fit(name, records)
    file = sampler.save()
    return (
        planted.guess_extreme(file, without(name), len(records)),
        planted.read_file(file),
        planted.read_table(sampler.sample(3000, Seeds(2).rng("sample"))),
    )


@pytest.mark.parametrize(("name", "how"), CASES)
def test_nothing_of_the_planted_patient_is_read_back(name: str, how: str) -> None:
    assert find(name, how) == ([], [], [])


@pytest.mark.parametrize("name", [*CHEAP, "tvae"])
def test_a_file_does_not_move_when_the_extreme_grows(name: str) -> None:
    files = {
        fit(name, planted.plant(planted.crowd(), extreme)).save() for extreme in (400.0, 9000.0)
    }
    assert len(files) == 1


def test_the_attack_reads_copies_back() -> None:
    """What the tests above would find: bootstrap holds rows by construction, and says so."""
    numbers, _, table = find("bootstrap", "one row")
    assert "as it is" in numbers
    assert {"flag is Zorblax-9", "unit is Zorblax-9", "hiv is 1", "age is missing"} <= set(table)
    assert "crp reaches 7778" in table
    assert "copy of a real person" in fit("bootstrap", planted.crowd()).notes[0]


def test_the_attack_reads_means_sums_and_levels_back() -> None:
    """The file as it used to be: means of runs of ten, and every level that occurs."""
    from pipelines.generators._saved import pack, unpack

    header, arrays = unpack(without("marginals"), "marginals")
    del header["arrays"]
    values = arrays["corner_value"].copy()
    start = arrays["corner_start"]
    values[start[1 + planted.PLACE["crp"]] - 1] = (planted.EXTREME + 9 * 57.0) / 10
    values[start[1 + planted.PLACE["hiv"]] - 1] = 1.0
    facts = {**header["facts"], "patterns": [[0], [3]], "indicators": [-1, -1]}
    old = pack("marginals", {**header, "facts": facts}, {**arrays, "corner_value": values})
    assert planted.guess_extreme(old, None, 301) == ["of a mean of 10"]
    assert planted.read_file(old) == ["a pattern of its own: age is missing", "a step of hiv"]
    added = pack("marginals", header, {**arrays, "total": np.array([planted.EXTREME + 9 * 55])})
    assert "of a sum of 10" in planted.guess_extreme(added, None, 301)


@pytest.mark.parametrize(
    "name", ["dp_histogram", pytest.param("dp_marginals", marks=pytest.mark.slow)]
)
def test_a_private_file_does_not_move_with_the_extreme(name: str) -> None:
    """By its noise alone it may: bounds, cuts and levels are those of the schema."""
    if name == "dp_marginals":
        pytest.importorskip("mbi")
    columns = tuple(
        replace(c, bounds=c.bounds or (0, 10_000)) if c.kind == "numeric" else c
        for c in planted.COLUMNS
    )
    files = [
        fit(name, replace(planted.plant(planted.crowd(), x), columns=columns)).save()
        for x in (6000.0, 9990.0)
    ]
    assert files[0] == files[1], "both are in the last cell of the public bounds"


@st.composite
def crowds(draw: st.DrawFn) -> Records:
    """Tables of 60 to 160 rows, some patients with several, of numbers, codes and gaps."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(60, 160))
    scale = draw(st.sampled_from([1.0, 30.0, 1000.0]))
    places = draw(st.integers(0, 2))
    X = np.column_stack(
        [
            (scale * rng.lognormal(0, 0.4, n)).round(places),
            rng.integers(0, draw(st.integers(1, 5)), n),
            rng.normal(50, 10, n).round(places),
        ]
    )
    X[rng.random(n) < draw(st.sampled_from([0.0, 0.05, 0.5])), 2] = np.nan
    patient = np.sort(rng.integers(0, int(0.9 * n), n))
    columns = (
        Column("x"),
        Column("unit", "category", levels=(*"abcde", "rare")),
        Column("z", bounds=(-1e9, 1e9)),
    )
    return Records(columns, X, rng.integers(0, 2, n), patient, np.zeros(n, dtype=int))


def arrays_of(records: Records) -> dict[str, dict[str, np.ndarray]]:
    """What each generator without a guarantee saves beside the weights of a network."""
    from pipelines.generators._saved import unpack

    found = {
        one.__name__: unpack(one().fit(records, np.random.default_rng(0)).save())[1]
        for one in (Marginals, Copula)
    }
    for scale in ("modes", "ranks"):
        found[scale] = Table.fit(records, np.random.default_rng(0), scale)[0].arrays()  # type: ignore[arg-type]
    return found


@settings(max_examples=25, deadline=None)
@given(crowds(), st.integers(1, 30), st.sampled_from([1.0, -1.0]), st.integers(1, 9))
def test_adding_an_extreme_patient_tells_no_cell_of_them(
    records: Records, rows: int, sign: float, patients: int
) -> None:
    """Nine or fewer, of many rows or one: no cell comes within 10 % of their value, and none moves
    when the value doubles, so that no formula over the cells tells it within 33 %."""
    far = 50 * float(np.nanmax(np.abs(records.X)))
    after = []
    for extreme in (sign * far, 2 * sign * far):
        own = np.tile([extreme, 5.0, extreme], (rows * patients, 1))
        more = replace(
            records,
            X=np.concatenate([records.X, own]),
            y=np.concatenate([records.y, np.ones(len(own), dtype=int)]),
            patient=np.concatenate([records.patient, 10**6 + np.arange(len(own)) // rows]),
            site=np.zeros(len(records) + len(own), dtype=int),
        )
        after.append(arrays_of(more))
    for name, arrays in after[0].items():
        for key, array in arrays.items():
            assert np.array_equal(array, after[1][name][key], equal_nan=True), (name, key)
            near = np.abs(np.asarray(array, dtype=float) - sign * far) <= 0.1 * far
            assert not near.any(), (name, key)
            if key in ("levels", "constant", "corner_value", "knots", "centre"):
                assert np.nanmax(np.abs(array), initial=0.0) <= 0.1 * far, (name, key)


@settings(max_examples=60, deadline=None)
@given(crowds(), st.integers(0, 2**32 - 1))
def test_nothing_that_fewer_than_ten_patients_decide_is_left(records: Records, seed: int) -> None:
    """Of levels, absences, classes, and the rows of one patient."""
    rng = np.random.default_rng(seed)
    X = records.X.copy()
    X[rng.random(len(X)) < 0.04, 0] = np.nan
    X[rng.random(len(X)) < 0.04, 1] = 5
    y = np.where(rng.random(len(X)) < 0.04, 2, records.y)
    found = pool_records(replace(records, X=X, y=y, classes=("a", "b", "c")), clip=True)

    def people(mask: np.ndarray) -> int:
        return len(np.unique(found.patient[mask]))

    gaps = np.isnan(found.X)
    counted = [people(found.y == c) for c in range(3)]
    counted += [people(found.X[:, 1] == c) for c in range(6)]
    counted += [people(gaps[:, j] == there) for j in range(3) for there in (True, False)]
    counted += [people(gaps[:, i] != gaps[:, j]) for i in range(3) for j in range(i)]
    assert all(count == 0 or count >= POOL for count in counted)
    most = np.sort(np.unique(found.patient, return_counts=True)[1])
    assert most[-1] == most[-POOL]


def test_a_middle_has_nine_outliers_on_either_side_and_no_patient_has_two_votes() -> None:
    values = np.concatenate([np.linspace(40.25, 60.25, 22), np.full(9, 1e6)])
    assert steps(values, np.arange(31)).value.max() < 61
    # One patient of a hundred rows is one vote, and weighs as the tenth-largest contributor.
    many = np.concatenate([np.linspace(40.25, 60.25, 22), np.linspace(1e5, 1e6, 100)])
    found = steps(many, np.concatenate([np.arange(22), np.full(100, 22)]))
    assert found.value.max() < 61
    assert weigh(np.repeat(np.arange(11), [*[2] * 10, 500])) == 22
    assert weigh(np.repeat(np.arange(9), 100)) == 0
    # A value that ten patients share is kept as it is; one that nine share is not.
    for sharing, kept in ((10, True), (9, False)):
        values = np.concatenate([np.full(sharing, 77.125), np.linspace(1, 50, 60)])
        assert (77.125 in steps(values, np.arange(len(values))).value) is kept
