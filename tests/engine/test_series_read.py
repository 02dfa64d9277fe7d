"""Whether a release reads series is seen, and few people are stated, by the engine."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from privaudit import plugins
from privaudit.contracts import Method, Release
from privaudit.engine.jobs import reads_series
from privaudit.engine.run import find_few_people
from privaudit.facts import SERIES_BLIND_ATTACKS, CaveatCode
from privaudit.records import Column, Records, Split


def split(people: int = 60, records: int = 2, series: bool = True) -> Split:
    rng = np.random.default_rng(0)
    n = people * records
    made = Records(
        (Column("a"),),
        rng.normal(size=(n, 1)),
        rng.integers(0, 2, n),
        np.arange(n) // records,
        np.zeros(n),
        series=rng.normal(size=(n, 4, 2)) if series else None,
        channels=(Column("x"), Column("y")) if series else (),
    )
    ids = np.unique(made.patient)
    return Split(*(made.take(np.isin(made.patient, ids[k::3])) for k in range(3)))


class Reads:
    """Answers with a mean of what it reads."""

    def __init__(self, what: str) -> None:
        self.what = what

    def predict_proba(self, records: Records) -> np.ndarray:
        if self.what == "columns":
            seen = records.X[:, 0]
        else:
            assert records.series is not None
            seen = records.series.mean(axis=(1, 2))
        p = 1 / (1 + np.exp(-seen.astype(np.float64)))
        return np.column_stack([1 - p, p])


@dataclass(frozen=True)
class Hands(Method):
    """Hands out a model."""

    what: str = "series"

    def fit(self, members: Records, rng: np.random.Generator) -> Release:
        """Nothing is trained."""
        return Release(model=Reads(self.what))


@dataclass(frozen=True)
class Supplies(Hands):
    """Hands out somebody else's model."""

    supplied = True


@pytest.mark.parametrize("what", ["columns", "series"])
def test_a_model_reads_series_where_its_answers_follow_them(what: str) -> None:
    method, parts = Hands(what), split()
    release = method.fit(parts.members, np.random.default_rng(0))
    assert reads_series(method, release, parts) is (what == "series")
    # What somebody else's model holds is not known.
    assert reads_series(Supplies(what), release, parts) is True
    assert reads_series(method, release, split(series=False)) is False


def test_what_shows_something_else_than_answers_is_taken_to_hold_series() -> None:
    parts = split()
    assert reads_series(Hands(), Release(file=b"x"), parts) is True
    table = replace(parts.members, series=None, channels=())
    assert reads_series(Hands(), Release(table=table), parts) is False


@pytest.mark.parametrize(("people", "few"), [(57, True), (60, False)])
def test_people_are_counted_and_not_their_records(people: int, few: bool) -> None:
    found = find_few_people(split(people, records=50))
    assert [one.code for one in found] == ([CaveatCode.FEW_PEOPLE] if few else [])


def test_every_attack_that_rebuilds_columns_is_known_to_be_blind_to_series() -> None:
    blind = ("reconstruction", "inversion", "attribute", "property", "extraction")
    made = {
        name
        for name in plugins.members("attacks")
        if getattr(plugins.load("attacks", name), "family", "") in blind
    }
    # Keys and labels are in no series.
    assert made - set(SERIES_BLIND_ATTACKS) <= {"key_recovery", "label_leakage"}
    assert set(SERIES_BLIND_ATTACKS) <= made
