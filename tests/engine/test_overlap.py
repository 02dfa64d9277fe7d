"""Cohorts that differ by a few patients: found however they differ, and nothing else is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from privaudit.commitments import load_key
from privaudit.contracts import Prepared
from privaudit.engine.cohorts import FOLDER, Overlap, Watch
from privaudit.errors import PrivauditError
from privaudit.facts import CaveatCode
from privaudit.records import Column, Records, Split
from privaudit.seeds import Seeds

N = 900
RNG = np.random.default_rng(11)
X = RNG.normal(size=(2 * N, 4))
Y = (RNG.random(2 * N) < 0.2).astype(int)
UNIT = np.where(np.arange(2 * N) % 30 == 0, "burns", "medicine")
POOL = np.arange(2 * N) % 3
EVERYBODY = np.arange(N)


@dataclass(frozen=True)
class Table:
    """Rows of people, in an order; their pools by the person. names: person -> name."""

    people: np.ndarray
    X: np.ndarray
    y: np.ndarray
    unit: np.ndarray
    pool: np.ndarray

    @classmethod
    def of(cls, people: np.ndarray) -> Table:
        return cls(people, X[people], Y[people], UNIT[people], POOL[people])

    def split(self, names: Sequence[int]) -> Split:
        columns = tuple(Column(f"c{i}") for i in range(self.X.shape[1]))
        whole = Records(
            columns, self.X, self.y, names, np.zeros(len(names)), groups={"unit": self.unit}
        )
        return Split(*(whole.take(self.pool == code) for code in range(3)))


def watch(
    out: Path,
    table: Table,
    how: str = "numbers",
    *,
    key: bytes | None = None,
    is_open: bool = False,
    real: bool = True,
) -> Watch:
    """how: whether patients go by numbers of the source, by names numbered anew in the order of the
    table, or by nothing; or are assigned at random."""
    people, patients = table.people.tolist(), None
    names: Sequence[int] = people
    if how == "names":
        patients = {}
        names = [patients.setdefault(f"P{one}", len(patients)) for one in people]
    elif how == "nothing":
        patients, names = {}, range(len(people))
    split = table.split(names)
    records = Records.concatenate([split.members, split.nonmembers, split.reference])
    prepared = Prepared(records, (), "a test", real, split=split, patients=patients)
    if how == "random":
        prepared = replace(prepared, split=None)
        seed = int(RNG.integers(2**32))
        split = Split.assign(records, Seeds(seed).rng("split"))
    return Watch.of(out, load_key(out) if key is None else key, prepared, split, is_open=is_open)


def share(out: Path, table: Table, how: str = "numbers", run: str = "first") -> None:
    one = watch(out, table, how)
    with one.claim(run, one.find()):
        pass


def without(*rows: int) -> Table:
    return Table.of(np.delete(EVERYBODY, list(rows)))


def is_refused(found: Overlap) -> bool:
    return found.near is not None


NAMED = ("numbers", "names", "nothing", "random")


@pytest.mark.parametrize("how", NAMED)
def test_one_to_nine_patients_are_too_few_and_ten_are_not(tmp_path: Path, how: str) -> None:
    share(tmp_path, Table.of(EVERYBODY), how)
    rows = range(1, 31, 3)
    assert not is_refused(watch(tmp_path, Table.of(EVERYBODY), how).find())
    for few in (1, 9):
        found = watch(tmp_path, without(*rows[:few]), how).find()
        assert found.near is not None
        assert (found.near.what, found.near.run) == ("cohort", "first")
    # Ten of one pool: there, too, ten differ.
    assert not is_refused(watch(tmp_path, without(*rows), how).find())
    added = np.append(EVERYBODY, N)
    assert is_refused(watch(tmp_path, Table.of(added), how).find())


@pytest.mark.parametrize("how", NAMED)
def test_one_patient_in_the_place_of_another_is_one_that_differs(tmp_path: Path, how: str) -> None:
    share(tmp_path, Table.of(EVERYBODY), how)
    swapped = np.append(np.delete(EVERYBODY, 5), N + 2)
    assert len(swapped) == N
    assert is_refused(watch(tmp_path, Table.of(swapped), how).find())
    ten = np.append(EVERYBODY[10:], N + np.arange(10) * 3)
    assert not is_refused(watch(tmp_path, Table.of(ten), "random").find())


@pytest.mark.parametrize("how", ["numbers", "names"])
def test_one_row_of_a_patient_with_several_is_a_difference(tmp_path: Path, how: str) -> None:
    twice = Table.of(np.sort(np.append(EVERYBODY, [7, 7, 8])))
    last = np.arange(len(twice.people)) % 7 / 7
    twice = replace(twice, X=twice.X + last[:, None])
    share(tmp_path, twice, how)
    fewer = [part[np.arange(len(twice.people)) != 8] for part in vars(twice).values()]
    found = watch(tmp_path, Table(*fewer), how).find()
    assert found.near is not None
    assert found.near.view == "name"


def test_one_outcome_or_value_that_was_corrected_is_a_difference(tmp_path: Path) -> None:
    table = Table.of(EVERYBODY)
    share(tmp_path, table)
    y, x = table.y.copy(), table.X.copy()
    y[4], x[4, 0] = 1 - y[4], 0.0
    assert is_refused(watch(tmp_path, replace(table, y=y)).find())
    assert is_refused(watch(tmp_path, replace(table, X=x)).find())
    # Another window: everything that is known of everybody is new, but for one outcome.
    assert not is_refused(watch(tmp_path, replace(table, X=table.X + 1)).find())
    assert is_refused(watch(tmp_path, replace(table, X=table.X + 1, y=y)).find())
    # Another question.
    assert not is_refused(watch(tmp_path, replace(table, y=1 - table.y)).find())


def test_a_patient_in_another_pool_is_a_difference(tmp_path: Path) -> None:
    table = Table.of(EVERYBODY)
    share(tmp_path, table)
    pool = table.pool.copy()
    pool[3] = 1
    found = watch(tmp_path, replace(table, pool=pool)).find()
    assert found.near is not None
    assert found.near.what == "pool"
    # Other held-out patients, and one less who was trained on.
    rest = np.append(EVERYBODY[POOL[:N] == 0][1:], np.arange(N, 2 * N)[POOL[N:] != 0])
    found = watch(tmp_path, Table.of(rest)).find()
    assert found.near is not None
    assert found.near.what == "pool"


def test_names_that_were_given_anew_and_another_order_hide_nobody(tmp_path: Path) -> None:
    share(tmp_path, Table.of(EVERYBODY), "names")
    fewer = np.random.default_rng(0).permutation(np.delete(EVERYBODY, 5))
    assert is_refused(watch(tmp_path, Table.of(fewer), "names").find())
    assert is_refused(watch(tmp_path, Table.of(fewer), "nothing").find())
    renamed = replace(Table.of(fewer), people=10_000 + fewer)
    assert is_refused(watch(tmp_path, renamed, "names").find())


def test_rows_without_a_name_that_another_model_answered_are_told_by_their_labels(
    tmp_path: Path,
) -> None:
    share(tmp_path, Table.of(EVERYBODY), "nothing")
    other = replace(without(5), X=X[np.delete(EVERYBODY, 5)] + 1)
    found = watch(tmp_path, other, "nothing").find()
    assert found.near is not None
    assert found.near.view == "labels"
    unlike = replace(Table.of(EVERYBODY), X=X[:N] + 1, y=(np.arange(N) % 3 == 0).astype(int))
    assert not is_refused(watch(tmp_path, unlike, "nothing").find())


@pytest.mark.parametrize("how", ["names", "nothing"])
def test_other_patients_of_as_many_rows_are_other_patients(tmp_path: Path, how: str) -> None:
    share(tmp_path, Table.of(EVERYBODY), how)
    others = Table.of(np.arange(N, 2 * N - 3))
    others = replace(others, y=1 - others.y)
    assert watch(tmp_path, others, how).find() == Overlap()


def test_a_random_split_is_another_one_each_time(tmp_path: Path) -> None:
    for run in range(5):
        share(tmp_path, Table.of(EVERYBODY), "random", run=f"seed-{run}")
    assert watch(tmp_path, Table.of(EVERYBODY), "random").find() == Overlap()


def test_a_subgroup_that_nearly_is_an_earlier_one_is_named(tmp_path: Path) -> None:
    share(tmp_path, Table.of(EVERYBODY))
    # Twenty trained on less, one of them of the burns.
    some = [i for i in range(3, 63, 3) if i % 30]
    fewer = without(0, *some)
    found = watch(tmp_path, fewer).find()
    assert (found.near, found.groupings) == (None, frozenset({"unit"}))
    (caveat,) = found.caveats
    assert (caveat.code, caveat.params["columns"]) == (CaveatCode.NEAR_GROUPS, ("unit",))
    # What was not shown then is nothing to be subtracted later.
    one = watch(tmp_path, fewer)
    with one.claim("second", found):
        pass
    (tmp_path / "restricted" / FOLDER / "first.npz").unlink()
    more = [i for i in range(63, 99, 3) if i % 30]
    assert watch(tmp_path, without(0, 30, *some, *more)).find() == Overlap()
    share(tmp_path, Table.of(EVERYBODY), run="third")
    assert watch(tmp_path, without(0, 30, *some, *more)).find().groupings == {"unit"}


def test_a_row_that_equals_another_by_chance_hides_nobody(tmp_path: Path) -> None:
    share(tmp_path, Table.of(EVERYBODY), "nothing")
    moved = X[np.delete(EVERYBODY, 5)] + 1
    moved[:20] -= 1
    assert is_refused(watch(tmp_path, replace(without(5), X=moved), "nothing").find())


def test_names_given_anew_and_another_model_together_hide_nobody(tmp_path: Path) -> None:
    def apart(rows: np.ndarray, add: int = 0) -> Table:
        unit = np.array([f"unit {i}" for i in rows * rows % 23])
        return replace(Table.of(rows), unit=unit, people=rows + add, X=X[rows] + (add > 0))

    share(tmp_path, apart(EVERYBODY), "names")
    fewer = np.delete(EVERYBODY, 5)
    found = watch(tmp_path, apart(fewer, 10_000), "names").find()
    assert found.near is not None
    assert found.near.view == "labels"
    # Other people of the same shares are told apart by labels of as many kinds.
    rng = np.random.default_rng(0)
    for _ in range(5):
        others = apart(rng.integers(0, N, N), 10_000)
        others = replace(others, people=np.arange(N) + 20_000)
        assert not is_refused(watch(tmp_path, others, "names").find())


def test_labels_of_few_kinds_refuse_no_cohort_of_other_names(tmp_path: Path) -> None:
    share(tmp_path, Table.of(EVERYBODY), "names")
    others = replace(without(5), people=np.delete(EVERYBODY, 5) + 10_000)
    others = replace(others, X=others.X + 1, unit=np.full(N - 1, "surgery"))
    assert not is_refused(watch(tmp_path, others, "names").find())


def test_records_of_nobody_are_not_compared_nor_open_ones_with_each_other(tmp_path: Path) -> None:
    one = watch(tmp_path, Table.of(EVERYBODY), is_open=True)
    with one.claim("open", one.find()):
        pass
    assert watch(tmp_path, without(5), is_open=True).find() == Overlap()
    share(tmp_path, Table.of(EVERYBODY))
    assert watch(tmp_path, without(5), real=False).find() == Overlap()


def test_records_said_to_be_open_are_compared_with_those_that_were_not(tmp_path: Path) -> None:
    share(tmp_path, Table.of(EVERYBODY))
    assert is_refused(watch(tmp_path, without(5), is_open=True).find())
    same = watch(tmp_path, Table.of(EVERYBODY), is_open=True)
    assert same.find() == Overlap()
    with same.claim("open", Overlap()):
        pass
    assert not (tmp_path / "restricted" / FOLDER / "open.npz").exists()


def test_what_is_kept_names_nobody_and_is_its_owners_alone(tmp_path: Path) -> None:
    share(tmp_path, Table.of(EVERYBODY), "names")
    (path,) = (tmp_path / "restricted" / FOLDER).glob("*.npz")
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    data = path.read_bytes()
    assert load_key(tmp_path) not in data
    assert b"P12" not in data
    with np.load(path) as file:
        marks = file["name"]
        assert np.array_equal(file["records"], np.sort(file["records"]))
    other = tmp_path / "other"
    elsewhere = watch(other, Table.of(EVERYBODY), "names", key=b"another key of 32 bytes, in full")
    assert elsewhere.cohort is not None
    assert not np.isin(marks, elsewhere.cohort.name).any()


def test_a_key_that_was_changed_and_a_damaged_file_are_refused(tmp_path: Path) -> None:
    share(tmp_path, Table.of(EVERYBODY))
    with pytest.raises(PrivauditError, match="another key"):
        watch(tmp_path, without(5), key=b"another key of 32 bytes, in full").find()
    (path,) = (tmp_path / "restricted" / FOLDER).glob("*.npz")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(PrivauditError, match="cannot be read"):
        watch(tmp_path, Table.of(EVERYBODY)).find()


def test_of_two_runs_at_once_the_later_one_is_not_shared(tmp_path: Path) -> None:
    one, other = watch(tmp_path, Table.of(EVERYBODY)), watch(tmp_path, without(5))
    found: Mapping[str, Overlap] = {"one": one.find(), "other": other.find()}
    with one.claim("one", found["one"]):
        pass
    with (
        pytest.raises(PrivauditError, match="fewer than 10 patients"),
        other.claim("other", found["other"]),
    ):
        raise AssertionError("nothing may be shared")
