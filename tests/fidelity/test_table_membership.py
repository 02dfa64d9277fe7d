"""Membership attacks on tables: density, nearest record and shadow generators."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
from table_lab import again, bootstrap, marginals, near, people, planted, split, target

from privaudit import stats
from privaudit.attacks._table_scores import choose
from privaudit.attacks.synthetic.distance import Distance
from privaudit.attacks.synthetic.domias import Domias
from privaudit.attacks.synthetic.shadow_generator import ShadowGenerator
from privaudit.contracts import Fitted, Method, Release, Scores, Target
from privaudit.errors import PrivauditError
from privaudit.fidelity.distance import closeness, match, spans
from privaudit.records import Records, Split
from privaudit.seeds import Seeds
from privaudit.signals import margin


@dataclass(frozen=True, eq=False)
class Near:
    """A model whose margin is minus the log distance to the nearest record of a table."""

    table: Records

    def predict_proba(self, records: Records) -> np.ndarray:
        p = 1 / (1 + np.exp(-closeness(records, self.table)))
        out = np.repeat(1 - p[:, None], 2, axis=1)
        out[np.arange(len(p)), records.y] = p
        return out


@dataclass(frozen=True)
class Nearness(Method):
    """The generator, releasing how near its table comes."""

    kind: str

    def fit(self, members: Records, rng: np.random.Generator) -> Release:
        return Release(model=Near(GENERATORS[self.kind](members, rng)))


@dataclass(frozen=True)
class Generated(Method):
    """A generator by its name."""

    kind: str

    @property
    def nearness(self) -> Method:
        return Nearness(self.kind)

    def fit(self, members: Records, rng: np.random.Generator) -> Release:
        return Release(table=GENERATORS[self.kind](members, rng))


def blurred(members: Records, rng: np.random.Generator) -> Records:
    """Records whose numbers are moved by half a standard deviation."""
    table = bootstrap(members, rng)
    x = table.X.copy()
    x[:, :14] += 0.5 * x[:, :14].std(axis=0) * rng.normal(size=(len(x), 14)).astype(np.float32)
    return replace(table, X=x)


GENERATORS: dict[str, Callable[[Records, np.random.Generator], Records]] = {
    "bootstrap": bootstrap,
    "marginals": marginals,
    "blurred": blurred,
}


def shadowed(s: Split, kind: str, rng: np.random.Generator, table: Records | None = None) -> Scores:
    """The shadow generator attack, its refits made as the engine makes them."""
    method = Generated(kind)
    made = method.fit(s.members, rng).table if table is None else table
    target = Target(Release(table=made), s, method)
    attack = ShadowGenerator(8)
    fitted = []
    for refit in attack.refits(target, Seeds(3)):
        model = refit.method.fit(refit.train, rng).model
        assert model is not None
        answers = margin(model.predict_proba(refit.ask), refit.ask.y).astype(np.float32)
        fitted.append(Fitted(refit.included, answers))
    return attack.run(target, fitted, rng)


def auc(scores: Scores, s: Split) -> tuple[float, float, float]:
    """The AUC with its 95 % interval, as the report states it."""
    found = stats.estimates(
        scores,
        patients=(s.members.patient, s.nonmembers.patient),
        confidence=0.95,
        rng=Seeds(1).rng("auc"),
        names=("auc",),
    )
    (e,) = (one for one in found if one.metric.name == "auc")
    assert e.value is not None
    assert e.low is not None
    assert e.high is not None
    return e.value, e.low, e.high


ATTACKS = (Distance(), Distance(calibrated=False), Domias())


@pytest.mark.parametrize("attack", ATTACKS, ids=repr)
@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_a_bootstrap_is_found_and_marginals_are_not(attack, missing: float) -> None:
    rng = Seeds(1).rng("ends")
    s = split(rng, 300, missing)
    assert auc(attack.run(target(s, bootstrap(s.members, rng)), (), rng), s)[0] > 0.75
    _, low, high = auc(attack.run(target(s, marginals(s.members, rng)), (), rng), s)
    assert low < 0.55
    assert high > 0.45


@pytest.mark.parametrize("kind", ["bootstrap", "blurred", "marginals"])
def test_shadow_generators_find_what_there_is(kind: str) -> None:
    rng = Seeds(2).rng(kind)
    s = split(rng, 300, 0.1)
    value, low, high = auc(shadowed(s, kind, rng), s)
    if kind == "marginals":
        assert low < 0.55
        assert high > 0.45
    else:
        assert value > (0.75 if kind == "bootstrap" else 0.58)


def test_shadow_generators_of_unseen_tables_read_as_chance() -> None:
    missed = []
    for stream in range(12):
        rng = Seeds(stream).rng("shadow null")
        s = split(rng, 120)
        _, low, high = auc(shadowed(s, "bootstrap", rng, people(120, rng)), s)
        missed.append(low > 0.5 or high < 0.5)
    assert sum(missed) <= 3


@pytest.mark.parametrize("attack", ATTACKS[::2], ids=repr)
def test_unseen_members_and_nonmembers_read_as_chance(attack) -> None:
    missed = []
    for stream in range(40):
        rng = Seeds(stream).rng("null")
        s = split(rng, 120, 0.1, 60)
        _, low, high = auc(attack.run(target(s, people(150, rng, 0.1)), (), rng), s)
        missed.append(low > 0.5 or high < 0.5)
    # Of 40 at 95 %, more than 6 come up once in 100 such tests.
    assert sum(missed) <= 6


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_a_tenth_of_copies_is_a_tenth_at_no_false_alarm(missing: float) -> None:
    found = []
    for stream in range(10):
        rng = Seeds(stream).rng("tenth")
        s = split(rng, 300, missing)
        table, rows = planted(s.members, rng, 0.1)
        scores = Distance().run(target(s, table), (), rng)
        over = scores.members > scores.nonmembers.max()
        assert over[rows].mean() > 0.95
        found.append(over.mean())
        dense = Domias().run(target(s, table), (), rng)
        assert np.median(dense.members[rows]) > np.quantile(dense.nonmembers, 0.9)
    assert np.mean(found) == pytest.approx(0.1, abs=0.01)


def test_near_copies_are_found_as_well_with_missing_values() -> None:
    rates = {}
    for missing in (0.0, 0.1, 0.3):
        got = []
        for stream in range(5):
            rng = Seeds(stream).rng("near")
            s = split(rng, 300, missing)
            scores = Distance().run(target(s, near(s.members, rng)), (), rng)
            got.append((scores.members > np.quantile(scores.nonmembers, 0.99)).mean())
        rates[missing] = np.mean(got)
    assert rates[0.0] == pytest.approx(0.3, abs=0.03)
    assert min(rates.values()) > 0.9 * rates[0.0]


@pytest.mark.parametrize("attack", ATTACKS, ids=repr)
def test_ties_and_odd_tables(attack) -> None:
    rng = Seeds(5).rng("odd")
    s = split(rng, 60)
    for table in (
        s.members.take(np.zeros(20, dtype=int)),
        replace(s.members, X=np.full_like(s.members.X, np.nan)),
        again(s.members, np.repeat(np.arange(60), 3)),
    ):
        scores = attack.run(target(s, table), (), rng)
        assert np.isfinite(scores.members).all()
    same = Split(
        *(
            replace(p, X=np.zeros_like(p.X), y=np.zeros(len(p), dtype=int))
            for p in (s.members, s.nonmembers, s.reference)
        )
    )
    scores = attack.run(target(same, same.members), (), rng)
    assert auc(scores, same)[0] == 0.5
    with pytest.raises(PrivauditError, match="table of 9 records"):
        attack.run(target(s, s.members.take(slice(0, 9))), (), rng)


def test_the_width_follows_the_data() -> None:
    rng = Seeds(6).rng("width")
    s = split(rng, 50, reference=300)
    own = s.reference
    dense = match(own, own, ("x0", "x1"), spans(own))[0]
    wide = match(own, own, None, spans(own))[0]
    assert choose(dense) <= choose(wide)
    with pytest.raises(PrivauditError, match="width=-1"):
        Domias(width=-1.0).run(target(s, s.members), (), rng)


def test_a_method_that_makes_no_table_is_refused() -> None:
    rng = Seeds(7).rng("method")
    s = split(rng, 40)

    @dataclass(frozen=True)
    class Plain(Method):
        def fit(self, members: Records, rng: np.random.Generator) -> Release:
            return Release(table=members)

    plain = Target(Release(table=s.members), s, Plain())
    assert not ShadowGenerator(8).refits(plain, Seeds(1))
    with pytest.raises(PrivauditError, match="no shadow generators"):
        ShadowGenerator(8).run(plain, (), rng)
    with pytest.raises(PrivauditError, match="shadows=7"):
        ShadowGenerator(7).refits(plain, Seeds(1))
