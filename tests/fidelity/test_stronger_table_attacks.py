"""Gen-LRA, MAMA-MIA and the ensemble: what they find that distances miss, and no more."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy.stats import gaussian_kde
from table_lab import again, bootstrap, grouped, marginals, near, people, planted, split, target

from pipelines.generators.copula import Copula
from pipelines.generators.dp_histogram import DPHistogram
from pipelines.generators.marginals import Marginals
from pipelines.methods.synthetic import Synthetic
from privaudit import stats
from privaudit.attacks._correlations import score_correlations
from privaudit.attacks._focal_points import find_focus
from privaudit.attacks._marginals import Coded, choose_pairs
from privaudit.attacks._table_scores import sum_gains
from privaudit.attacks.synthetic.distance import Distance
from privaudit.attacks.synthetic.gen_lra import GenLRA
from privaudit.attacks.synthetic.mama_mia import MamaMia
from privaudit.attacks.synthetic.table_ensemble import Signals, TableEnsemble, combine_signals
from privaudit.contracts import Access, Fitted, Method, Release, Scores, TableReader, Target
from privaudit.engine.controls import copy_in
from privaudit.errors import PrivauditError
from privaudit.facts import Attacker
from privaudit.records import Column, Records, Split
from privaudit.seeds import Seeds
from privaudit.stats.patients import by_patient

ATTACKS = (GenLRA(), MamaMia(), TableEnsemble(0))


def auc(scores: Scores, s: Split) -> tuple[float, float, float]:
    """The AUC by patient with its 95 % interval."""
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


def rate(scores: Scores, fpr: float) -> float:
    return float((scores.members > np.quantile(scores.nonmembers, 1.0 - fpr)).mean())


def blurred(members: Records, rng: np.random.Generator) -> Records:
    """Records whose numbers are moved by half a standard deviation."""
    table = bootstrap(members, rng)
    x = table.X.copy()
    x[:, :14] += 0.5 * x[:, :14].std(axis=0) * rng.normal(size=(len(x), 14)).astype(np.float32)
    return replace(table, X=x)


def crossed(members: Records, rng: np.random.Generator) -> Records:
    """Every cell from one of two patients whose first column is alike."""
    order = np.argsort(members.X[:, 0])
    other = np.empty(len(members), dtype=int)
    other[order] = np.roll(order, 1)
    take = rng.random(members.X.shape) < 0.5
    return replace(
        again(members, np.arange(len(members))), X=np.where(take, members.X, members.X[other])
    )


@dataclass(frozen=True)
class Generated(Method):
    """A generator by its name, whose table a reader may read."""

    kind: str
    reader: TableReader | None = None

    def read_table(self, reader: TableReader) -> Method:
        return Generated(self.kind, reader)

    def fit(self, members: Records, rng: np.random.Generator) -> Release:
        return Release(table=GENERATORS[self.kind](members, rng))


@dataclass(frozen=True)
class Plain(Method):
    """A method that releases no table."""

    def fit(self, members: Records, rng: np.random.Generator) -> Release:
        return Release()


GENERATORS: dict[str, Callable[[Records, np.random.Generator], Records]] = {
    "blurred": blurred,
    "crossed": crossed,
    "unseen": lambda members, rng: people(len(members), rng, first=10**6),
}


def shadowed(s: Split, kind: str, rng: np.random.Generator, shadows: int = 8) -> Scores:
    """The ensemble, its refits made as the engine makes them."""
    method = Generated(kind)
    made = Target(method.fit(s.members, rng), s, method)
    attack = TableEnsemble(shadows)
    fitted = []
    for refit in attack.refits(made, Seeds(3)):
        own = refit.method
        assert isinstance(own, Generated)
        assert own.reader is not None
        table = own.fit(refit.train, rng).table
        assert table is not None
        read = own.reader.read(table, refit.ask).astype(np.float32)
        fitted.append(Fitted(refit.included, read))
    assert len(fitted) == shadows
    return attack.run(made, fitted, rng)


# --- known truth ---------------------------------------------------------------------------------


@pytest.mark.parametrize("attack", ATTACKS, ids=repr)
@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_a_bootstrap_is_found(attack, missing: float) -> None:
    rng = Seeds(1).rng("ends")
    s = split(rng, 300, missing)
    assert auc(attack.run(target(s, bootstrap(s.members, rng)), (), rng), s)[0] > 0.75


@pytest.mark.parametrize("attack", ATTACKS, ids=repr)
def test_the_engines_planted_leak_is_found(attack) -> None:
    """The positive control of a run: half of the members' patients stand in the table."""
    rng = Seeds(2).rng("planted")
    s = split(rng, 300, 0.1)
    leaky = copy_in(target(s, people(300, rng, 0.1)), rng)
    assert auc(attack.run(leaky, (), rng), s)[1] >= 0.55


@pytest.mark.parametrize("attack", ATTACKS, ids=repr)
def test_unseen_members_and_nonmembers_read_as_chance(attack) -> None:
    missed = []
    for stream in range(40):
        rng = Seeds(stream).rng("null")
        s = split(rng, 120, 0.1, 60)
        _, low, high = auc(attack.run(target(s, people(150, rng, 0.1)), (), rng), s)
        missed.append(low > 0.5 or high < 0.5)
    # Of 40 at 95 %, more than 6 come up once in 100 such tests.
    assert sum(missed) <= 6


@pytest.mark.parametrize("missing", [0.0, 0.1, 0.3])
def test_a_tenth_of_copies_is_a_tenth_at_no_false_alarm(missing: float) -> None:
    found: dict[str, list[float]] = {"gen_lra": [], "mama_mia": [], "mean": []}
    for stream in range(8):
        rng = Seeds(stream).rng("tenth")
        s = split(rng, 300, missing)
        table, rows = planted(s.members, rng, 0.1)
        for name, attack in zip(found, ATTACKS, strict=True):
            scores = attack.run(target(s, table), (), rng)
            over = scores.members > scores.nonmembers.max()
            found[name].append(over.mean())
            assert over[rows].mean() > 0.9
    for name, shares in found.items():
        assert np.mean(shares) == pytest.approx(0.1, abs=0.01), name


def test_near_copies_are_found_as_well_with_missing_values() -> None:
    rates = {}
    for missing in (0.0, 0.1, 0.3):
        got = []
        for stream in range(5):
            rng = Seeds(stream).rng("near")
            s = split(rng, 300, missing)
            got.append(rate(GenLRA().run(target(s, near(s.members, rng)), (), rng), 0.01))
        rates[missing] = np.mean(got)
    assert rates[0.0] == pytest.approx(0.3, abs=0.03)
    assert min(rates.values()) > 0.9 * rates[0.0]


def test_marginals_give_members_away_with_missing_values_too() -> None:
    """Columns drawn one by one: no record is a member's, and yet the counts are the members'."""
    read: dict[str, dict[float, float]] = {"mama_mia": {}, "distance": {}}
    for missing in (0.0, 0.1, 0.3):
        got: dict[str, list[float]] = {"mama_mia": [], "distance": []}
        for stream in range(8):
            rng = Seeds(stream).rng("columns")
            s = split(rng, 200, missing, 400)
            table = marginals(s.members, rng, 2000)
            for name, attack in (("mama_mia", MamaMia()), ("distance", Distance())):
                got[name].append(auc(attack.run(target(s, table), (), rng), s)[0])
        for name, values in got.items():
            read[name][missing] = float(np.mean(values))
    assert read["mama_mia"][0.0] > 0.55
    assert max(read["distance"].values()) < 0.54
    assert min(read["mama_mia"].values()) > 0.95 * read["mama_mia"][0.0]


# --- what each is --------------------------------------------------------------------------------


def test_gen_lra_is_the_ratio_of_two_fitted_densities() -> None:
    """Beside scipy's density, fitted again with each patient, as the published code does."""
    rng = Seeds(4).rng("kde")
    x = rng.normal(size=(90, 2))
    own, table, asked = x[:40], x[40:70], x[70:]
    before = gaussian_kde(own.T, bw_method=0.5)
    scale = np.linalg.inv(before.covariance)
    want, got = [], []
    for one in asked:
        # The kernel that was chosen on the attacker's records, with one record more.
        kernel = lambda a, b: np.exp(-0.5 * np.einsum("ni,ij,nj->n", a - b, scale, a - b))  # noqa: E731
        p0 = np.array([kernel(own, s).mean() for s in table])
        p1 = np.array([(kernel(own, s).sum() + kernel(one[None], s)[0]) / 41 for s in table])
        near = np.argsort(((table - one) ** 2).sum(axis=1))[:5]
        want.append((np.log(p1) - np.log(p0))[near].sum())
        k = np.array([kernel(one[None], s)[0] for s in table[near]])
        got.append(sum_gains(np.log(k / (len(own) * p0[near]))[None])[0])
    # The same up to 5 log(n / (n + 1)), and on a log scale.
    assert np.allclose(np.exp(got), np.array(want) + 5 * np.log(41 / 40), rtol=1e-9)
    assert np.isfinite(sum_gains(np.array([[-1e6, -2e6]]))).all()


def test_gen_lra_finds_more_of_blurred_copies_than_a_distance() -> None:
    gained = []
    for stream in range(6):
        rng = Seeds(stream).rng("blurred")
        s = split(rng, 300, 0.05)
        made = target(s, blurred(s.members, rng))
        one, other = (rate(a.run(made, (), rng), 0.01) for a in (GenLRA(), Distance()))
        gained.append(one - other)
    assert np.mean(gained) > -0.02


def test_what_a_generator_measures_is_read_where_the_recipe_is_known() -> None:
    """A copula keeps correlations, which no distance sees; its recipe says so."""
    known, unknown = [], []
    for stream in range(6):
        rng = Seeds(stream).rng("copula")
        s = split(rng, 150, 0.0, 400)
        method = Synthetic(generator=Copula(shrink=0.0), statistics=(), rows=3000)
        made = Target(Release(table=method.draw(s.members, rng)[1]), s, method)
        known.append(auc(MamaMia().run(made, (), rng), s)[0])
        unknown.append(auc(MamaMia().run(replace(made, method=None), (), rng), s)[0])
    assert np.mean(known) > np.mean(unknown)
    assert np.mean(known) > 0.6


def test_focal_points_are_those_of_the_generator() -> None:
    rng = Seeds(5).rng("focus")
    s = split(rng, 60)
    places = {
        "marginals": Synthetic(generator=Marginals(), statistics=()),
        "dp_histogram": Synthetic(generator=DPHistogram(epsilon=1.0), statistics=()),
        "copula": Synthetic(generator=Copula(), statistics=()),
    }
    found = {}
    for name, method in places.items():
        focus = find_focus(Target(Release(), s, method), rng)
        assert focus is not None
        assert set(focus.columns.values()) == {1.0}
        found[name] = focus
    names = {c.name for c in s.members.columns}
    assert set(found["marginals"].columns) == {(n,) for n in (*names, "outcome")}
    assert set(found["dp_histogram"].columns) == {(n, "outcome") for n in names}
    assert set(found["dp_histogram"].cuts) == {n for n in names if n.startswith("x")}
    assert [f.correlations for f in found.values()] == [False, False, True]
    assert find_focus(Target(Release(), s), rng) is None


def test_pairs_that_depend_are_chosen() -> None:
    rng = Seeds(6).rng("pairs")
    x = rng.normal(size=(900, 4))
    x[:, 1] = x[:, 0] + 0.1 * rng.normal(size=900)
    x[:, 3] = x[:, 2] ** 2 + 0.1 * rng.normal(size=900)
    columns = tuple(Column(f"c{i}") for i in range(4))
    own = Records(columns, x, np.zeros(900, dtype=int), np.arange(900), np.zeros(900))
    coded = Coded.of([own, own, own], {}, 8)
    pairs = choose_pairs([own, own, own])
    assert pairs[0, 1] == pytest.approx(1.0)
    assert pairs[2, 3] == pytest.approx(1.0)
    cells, count = coded.counts((0, 1))
    assert count.sum() == 3 * 900
    assert (count[0][cells[0]] > 0).all()
    assert np.isfinite(score_correlations(coded, [own, own, own])).all()


def test_levels_are_matched_by_name_and_gaps_are_cells() -> None:
    columns = (Column("unit", kind="category", levels=("a", "b")),)
    own = Records(
        columns,
        np.array([[0.0], [1.0], [np.nan]]),
        np.zeros(3, dtype=int),
        np.arange(3),
        np.zeros(3),
    )
    other = replace(own, columns=(Column("unit", kind="category", levels=("b", "c", "a")),))
    coded = Coded.of([own, other, own], {}, 8)
    assert coded.codes[0][:, 0].tolist() == [0, 1, 3]
    assert coded.codes[1][:, 0].tolist() == [1, 2, 3]


# --- the ensemble --------------------------------------------------------------------------------


def test_weights_learnt_on_shadow_generators_find_more() -> None:
    learnt, equal = [], []
    for stream in range(4):
        rng = Seeds(stream).rng("weights")
        s = split(rng, 150, 0.0, 150)
        learnt.append(auc(shadowed(s, "crossed", rng), s)[0])
        made = Target(Generated("crossed").fit(s.members, rng), s)
        equal.append(auc(TableEnsemble(0).run(made, (), rng), s)[0])
    assert np.mean(learnt) > np.mean(equal) + 0.03


def test_shadow_generators_of_tables_without_a_leak_make_none() -> None:
    missed = []
    for stream in range(10):
        rng = Seeds(stream).rng("ensemble null")
        s = split(rng, 80, 0.0, 60)
        _, low, high = auc(shadowed(s, "unseen", rng), s)
        missed.append(low > 0.5 or high < 0.5)
    assert sum(missed) <= 3


def test_the_released_table_has_no_part_in_the_weights() -> None:
    """Its members may be called anything: the scores are the same, record by record."""
    rng = Seeds(7).rng("blind")
    n, k = 60, 8
    included = np.tile(np.eye(2, dtype=bool)[:, np.arange(n) % 2], (k // 2, 1))
    banks = [(rng.normal(size=(k, n)) + included, included) for _ in range(2)]
    asked = rng.normal(size=(2, n))
    found = combine_signals(asked, banks)
    order = rng.permutation(n)
    moved = [(shadows[:, order], inside[:, order]) for shadows, inside in banks]
    assert np.allclose(combine_signals(asked[:, order], moved), found[order], atol=1e-4)


def test_who_makes_it_depends_on_the_recipe() -> None:
    table, again_ = frozenset({Access.TABLE}), frozenset({Access.TABLE, Access.RERUN})
    assert TableEnsemble(8).made_by(TableEnsemble(8).uses(again_)) is Attacker.CANDIDATES
    assert TableEnsemble(0).made_by(TableEnsemble(0).uses(again_)) is Attacker.SIMILAR_PATIENTS
    assert TableEnsemble(8).made_by(TableEnsemble(8).uses(table)) is Attacker.SIMILAR_PATIENTS
    s = split(Seeds(1).rng("few"), 20)
    with pytest.raises(PrivauditError, match="shadows=7"):
        TableEnsemble(7).refits(Target(Release(), s, Generated("unseen")), Seeds(1))
    with pytest.raises(PrivauditError, match="shadows=7"):
        TableEnsemble(7).run(target(s, s.members), (), Seeds(1).rng("few"))
    # Of a method that releases no table nothing is asked, whatever the number.
    assert not TableEnsemble(5).refits(Target(Release(), s, Plain()), Seeds(1))


def test_a_reader_is_known_by_what_it_holds() -> None:
    s = split(Seeds(8).rng("reader"), 60)
    one, same, other = Signals(s.reference), Signals(s.reference), Signals(s.members)
    assert repr(one) == repr(same) != repr(other)
    back = pickle.loads(pickle.dumps(one))
    assert np.array_equal(back.read(s.members, s.audit), one.read(s.members, s.audit))
    method = Synthetic(generator=Marginals(), statistics=())
    release = method.read_table(one).fit(s.members, Seeds(1).rng("fit"))
    assert release.table is None
    assert release.model is not None
    assert release.model.read(s.audit).shape == (4, len(s.audit))  # type: ignore[attr-defined]


# --- odd input -----------------------------------------------------------------------------------


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


@pytest.mark.parametrize("attack", ATTACKS, ids=repr)
def test_one_copied_record_of_several_gives_the_patient_away(attack) -> None:
    rng = Seeds(9).rng("several")
    whole = grouped(people(900, rng), 4, rng)
    ids = np.unique(whole.patient)
    third = np.array_split(rng.permutation(ids), 3)
    s = Split(*(whole.take(np.isin(whole.patient, part)) for part in third))
    _, first = np.unique(s.members.patient, return_index=True)
    table = Records.concatenate([marginals(s.members, rng), again(s.members, first)])
    scores = attack.run(target(s, again(table, rng.permutation(len(table)))), (), rng)
    people_, _ = by_patient(scores, (s.members.patient, s.nonmembers.patient))
    assert rate(people_, 0.05) > 0.8
    assert auc(scores, s)[1] > 0.5


def test_bad_settings_are_refused() -> None:
    rng = Seeds(6).rng("bad")
    s = split(rng, 30)
    for attack, what in (
        (GenLRA(nearest=0), "nearest=0"),
        (GenLRA(width=-1.0), "width=-1"),
        (MamaMia(bins=1), "bins=1"),
        (MamaMia(pair_bins=0), "pair_bins=0"),
    ):
        with pytest.raises(PrivauditError, match=what):
            attack.run(target(s, s.members), (), rng)
    lone = Split(s.members, s.nonmembers, s.reference.take(slice(0, 1)))
    with pytest.raises(PrivauditError, match="1 reference record"):
        GenLRA().run(target(lone, s.members), (), rng)
