"""The method `synthetic`: what it releases, what it keeps back, and what it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from pipelines.generators.bootstrap import Bootstrap
from pipelines.generators.marginals import Marginals
from pipelines.learners.boosted import Boosted
from pipelines.learners.logreg import LogReg
from pipelines.methods.synthetic import Synthetic
from privaudit import checkpoints
from privaudit.contracts import Access, Claim, Generator, Progress, Sampler, Target
from privaudit.errors import PrivauditError
from privaudit.records import Column, Records, Split
from privaudit.seeds import Seeds
from privaudit.signals import margin


def stays(n: int = 240) -> Records:
    rng = np.random.default_rng(1)
    y = rng.random(n) < 0.4
    last, mean = (np.where(y, 3, -3) + rng.normal(0, 2, n) for _ in range(2))
    x = np.column_stack([rng.integers(0, 2, n), last, mean, np.full(n, 7), np.ones(n)])
    columns = (
        Column("sex", "binary", levels=("F", "M")),
        Column("rate.last", bounds=(-20, 20), variable="rate", statistic="last"),
        Column("rate.mean", bounds=(-20, 20), variable="rate", statistic="mean"),
        Column("rate.count", bounds=(0, 99), variable="rate", statistic="count"),
        Column("rate.measured", "binary", (0, 1), variable="rate", statistic="measured"),
    )
    return Records(
        columns,
        x,
        y.astype(int),
        np.arange(n),
        np.zeros(n, int),
        series=rng.normal(size=(n, 4, 1)),
        channels=(Column("rate"),),
        groups={"sex": x[:, 0]},
    )


@pytest.fixture(scope="module")
def split() -> Split:
    return Split.assign(stays(), Seeds(1).rng("split"))


def test_the_release_is_a_table_a_file_and_a_model_of_the_table(split: Split) -> None:
    method = Synthetic(generator=Bootstrap(), learner=LogReg(), rows=90)
    release = method.fit(split.members, Seeds(2).rng("fit"))
    assert release.access >= {Access.TABLE, Access.FILE, Access.ANSWERS}
    table = release.table
    assert table is not None
    assert len(table) == 90
    assert [c.name for c in table.columns] == ["sex", "rate.last"]
    assert table.series is None
    assert not table.groups
    assert release.costs["rows"] == 90
    assert release.costs["train_seconds"] >= release.costs["generator_seconds"]
    assert any("2 of the 5 columns" in note for note in release.notes)
    # It answers for full records as a model of the table does for narrow ones.
    assert release.model is not None
    answers = release.model.predict_proba(split.nonmembers)
    again = method.fit(split.members, Seeds(2).rng("fit"))
    assert np.array_equal(again.model.predict_proba(split.nonmembers), answers)
    assert ((answers[:, 1] > 0.5) == (split.nonmembers.y == 1)).mean() > 0.8
    shuffled = split.nonmembers.columns[::-1]
    turned = replace(split.nonmembers, columns=shuffled, X=split.nonmembers.X[:, ::-1])
    assert np.array_equal(release.model.predict_proba(turned), answers)
    with pytest.raises(PrivauditError, match="without 1 of the model's columns"):
        release.model.predict_proba(replace(turned, columns=turned.columns[:4], X=turned.X[:, :4]))


def test_the_model_knows_nothing_but_the_table(split: Split) -> None:
    """Independent columns say nothing of the outcome, so neither does a model trained on them."""
    areas = []
    for stream in range(8):
        release = Synthetic(generator=Marginals(), learner=LogReg(), rows=400).fit(
            split.members, Seeds(stream).rng("fit")
        )
        assert release.model is not None
        score = release.model.predict_proba(split.nonmembers)[:, 1]
        ill, well = score[split.nonmembers.y == 1], score[split.nonmembers.y == 0]
        areas.append((ill[:, None] > well).mean())
    assert 0.1 < np.mean(areas) < 0.9


def test_statistics_are_chosen_by_name(split: Split) -> None:
    every = Synthetic(statistics=())
    assert len(every.narrow(split.members).columns) == 5
    assert len(replace(every, statistics=("",)).narrow(split.members).columns) == 5
    assert len(replace(every, statistics=("mean",)).narrow(split.members).columns) == 2
    with pytest.raises(PrivauditError, match="median"):
        replace(every, statistics=("median",)).narrow(split.members)
    only = split.members
    only = replace(only, columns=only.columns[1:], X=only.X[:, 1:])
    with pytest.raises(PrivauditError, match="no column left"):
        Synthetic(statistics=("first",)).narrow(only)
    with pytest.raises(PrivauditError, match="0 rows"):
        Synthetic(rows=0).fit(split.members, Seeds(1).rng("fit"))


def test_one_outcome_is_refused_with_what_to_do(split: Split) -> None:
    alive = replace(split.members, y=np.zeros(len(split.members), dtype=int))
    with pytest.raises(PrivauditError, match="only 'no'"):
        Synthetic(generator=Bootstrap()).fit(alive, Seeds(1).rng("fit"))
    with pytest.raises(PrivauditError, match="a synthetic table whose"):
        Synthetic(generator=Forgetful(), rows=50).fit(split.members, Seeds(1).rng("fit"))


@dataclass(frozen=True)
class Forgetful(Generator):
    """Draws one outcome alone, promises something, and writes down where it may keep its state."""

    costly: ClassVar[bool] = True

    def fit(
        self,
        records: Records,
        rng: np.random.Generator,
        *,
        checkpoint: Path | None = None,
        progress: Progress | None = None,
    ) -> Sampler:
        if checkpoint is not None:
            checkpoint.write_text("state")
        return One(replace(records, y=np.zeros(len(records), dtype=int)))

    @classmethod
    def load(cls, file: bytes) -> Sampler:
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class One:
    records: Records
    claim: Claim = Claim(epsilon=1.0, covers=frozenset({Access.TABLE, Access.FILE}))  # noqa: RUF009
    notes: tuple[str, ...] = ()

    def sample(self, rows: int, rng: np.random.Generator) -> Records:
        return self.records.take(rng.integers(len(self.records), size=rows))

    def save(self) -> bytes:
        return b""


@dataclass(frozen=True)
class Faithful(Forgetful):
    """The same without the loss."""

    def fit(self, records: Records, *args: object, **more: object) -> Sampler:
        return One(records)


def test_a_promise_about_the_table_covers_the_model(split: Split) -> None:
    release = Synthetic(generator=Faithful(), rows=50).fit(split.members, Seeds(1).rng("fit"))
    assert release.claim.epsilon == 1.0
    assert release.claim.covers >= {Access.TABLE, Access.FILE, Access.ANSWERS, Access.WEIGHTS}
    none = Synthetic(generator=Bootstrap()).fit(split.members, Seeds(1).rng("fit"))
    assert none.claim == Claim()


def test_a_costly_generator_is_rerun_only_when_asked(split: Split) -> None:
    cheap, dear = Synthetic(generator=Bootstrap()), Synthetic(generator=Forgetful())
    assert cheap.reruns
    assert not cheap.costly
    assert not dear.reruns
    assert dear.costly
    assert replace(dear, rerun=True).reruns
    assert Access.RERUN in Target(cheap.fit(split.members, Seeds(1).rng("f")), split, cheap).access


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Path]:
    with checkpoints.within(tmp_path / "states", keep=True):
        yield tmp_path / "states"


def test_a_costly_generator_keeps_its_state_where_it_is_told(split: Split, kept: Path) -> None:
    Synthetic(generator=Faithful(), rows=50).fit(split.members, Seeds(1).rng("fit"))
    method = Synthetic(generator=Forgetful(), rows=50)
    method.draw(split.members, Seeds(1).rng("fit"))
    method.draw(split.members, Seeds(1).rng("fit"))
    assert len(list(kept.iterdir())) == 1
    method.draw(split.nonmembers, Seeds(1).rng("fit"))
    assert len(list(kept.iterdir())) == 2


def test_nearness_is_a_method_whose_margins_say_how_near_the_table_is(split: Split) -> None:
    from privaudit.fidelity.distance import closeness

    method = Synthetic(generator=Bootstrap())
    near = method.nearness
    assert near == Synthetic(generator=Bootstrap()).nearness
    assert near.reruns
    release = near.fit(split.members, Seeds(3).rng("fit"))
    assert release.table is None
    assert release.model is not None
    proba = release.model.predict_proba(split.audit)
    assert np.allclose(proba.sum(axis=1), 1)
    _, table = method.draw(split.members, Seeds(3).rng("fit"))
    assert np.allclose(margin(proba, split.audit.y), closeness(split.audit, table), atol=1e-9)
    says = margin(proba, split.audit.y)
    inside, outside = says[split.is_member], says[~split.is_member]
    assert (inside[:, None] > outside).mean() > 0.75  # bootstrap copies its members


def test_the_learner_is_any_that_reads_a_table(split: Split) -> None:
    for name, learner in (("boosted", Boosted()), ("logreg", LogReg())):
        assert name in Synthetic.learners
        release = Synthetic(generator=Bootstrap(), learner=learner).fit(
            split.members, Seeds(1).rng("fit")
        )
        assert any(type(learner).__name__ in note for note in release.notes)
