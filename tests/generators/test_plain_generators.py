"""Bootstrap, marginals and copula: what each keeps of a table, and what its file holds."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
from records_lab import COLUMNS, table

from pipelines.generators._margins import LEAST, POOL, Layout, Margins
from pipelines.generators._saved import unpack
from pipelines.generators._valid import valid
from pipelines.generators.bootstrap import Bootstrap
from pipelines.generators.copula import Copula, _correlations, _scores
from pipelines.generators.marginals import Marginals
from privaudit.contracts import Generator, Sampler
from privaudit.errors import PrivauditError
from privaudit.records import Column, Records

REAL = table()
PLAIN = [Bootstrap(), Marginals(), Copula()]
PLACE = {column.name: j for j, column in enumerate(COLUMNS)}


def fit(generator: Generator, records: Records = REAL, seed: int = 0) -> Sampler:
    return generator.fit(records, np.random.default_rng(seed))


def draw(sampler: Sampler, rows: int = 6000, seed: int = 1) -> Records:
    return sampler.sample(rows, np.random.default_rng(seed))


def rank_correlation(records: Records, one: str, two: str | None) -> float:
    from scipy.stats import spearmanr

    a = records.X[:, PLACE[one]]
    b = records.y if two is None else records.X[:, PLACE[two]]
    both = ~(np.isnan(a) | np.isnan(b))
    return float(spearmanr(a[both], b[both])[0])


def rows_of(real: Records, drawn: np.ndarray) -> np.ndarray:
    """(n,) bool: which drawn rows are real rows, to the last digit."""
    known = {row.tobytes() for row in np.nan_to_num(real.X, nan=-1)}
    return np.array([row.tobytes() in known for row in np.nan_to_num(drawn, nan=-1)])


@pytest.mark.parametrize("generator", PLAIN, ids=repr)
def test_a_generator_is_a_function_of_its_streams_and_survives_saving(generator: Generator) -> None:
    state, before = np.random.get_state()[1].tobytes(), REAL.fingerprint  # noqa: NPY002
    sampler = fit(generator)
    made = draw(sampler)
    assert made.fingerprint == draw(fit(generator)).fingerprint
    assert made.fingerprint != draw(sampler, seed=2).fingerprint
    for back in (generator.load(sampler.save()), pickle.loads(pickle.dumps(sampler))):
        assert draw(back).fingerprint == made.fingerprint
        assert (back.claim, back.notes) == (sampler.claim, sampler.notes)
    assert sampler.save() == fit(generator).save()
    assert np.random.get_state()[1].tobytes() == state  # noqa: NPY002
    assert replace(REAL).fingerprint == before


@pytest.mark.parametrize("generator", PLAIN, ids=repr)
def test_what_is_drawn_is_valid_and_of_the_same_columns(generator: Generator) -> None:
    made = draw(fit(generator))
    assert made.columns == REAL.columns
    assert made.classes == REAL.classes
    assert len(np.unique(made.patient)) == len(made)
    assert np.array_equal(valid(made.columns, made.X), made.X, equal_nan=True)


@pytest.mark.parametrize("generator", PLAIN, ids=repr)
def test_prevalence_gaps_and_distributions_are_kept(generator: Generator) -> None:
    made = draw(fit(generator), 20_000)
    assert made.y.mean() == pytest.approx(REAL.y.mean(), abs=0.015)
    gaps = np.isnan(made.X).mean(axis=0), np.isnan(REAL.X).mean(axis=0)
    assert gaps[0] == pytest.approx(gaps[1], abs=0.02)
    for name in ("age", "icu_days", "lactate.mean", "height", "unit", "sex"):
        values = [np.sort(r.X[:, PLACE[name]]) for r in (made, REAL)]
        values = [v[~np.isnan(v)] for v in values]
        levels = np.quantile(values[1], np.linspace(0.02, 0.98, 25))
        shares = [np.searchsorted(v, levels, side="right") / len(v) for v in values]
        # Independent columns are put in order afterwards, which moves the mean of a variable.
        loose = isinstance(generator, Marginals) and name in ("lactate.mean", "icu_days")
        assert np.abs(shares[0] - shares[1]).max() < (0.25 if loose else 0.035), name


def test_bootstrap_hands_out_real_rows_and_says_so() -> None:
    sampler = fit(Bootstrap())
    made = draw(sampler)
    assert rows_of(REAL, made.X).all()
    assert "copy of a real person" in sampler.notes[0]
    assert "holds every record" in sampler.notes[1]


@pytest.mark.parametrize("generator", [Marginals(), Copula()], ids=repr)
def test_others_hand_out_no_row_and_hold_none(generator: Generator) -> None:
    sampler = fit(generator)
    made = draw(sampler, 20_000)
    assert not rows_of(REAL, made.X).any()
    # No number of the file is a real value that fewer than ten patients share.
    _, arrays = unpack(sampler.save())
    for name in ("icu_days", "hospital_days", "lactate.first", "height"):
        j = PLACE[name]
        a, b = arrays["corner_start"][[j, j + 1]]
        values, counts = np.unique(REAL.X[:, j], return_counts=True)
        few = set(values[counts < POOL].astype(np.float64))
        ends = {float(end) for end in COLUMNS[j].bounds or ()}
        assert not few & (set(arrays["corner_value"][a:b]) - ends), name
        assert b - a <= 203


def test_a_level_of_a_few_patients_does_not_come_out() -> None:
    rare = (REAL.X[:, PLACE["unit"]] == 3).sum()
    assert 0 < rare < POOL
    for generator in (Marginals(), Copula()):
        assert not (draw(fit(generator)).X[:, PLACE["unit"]] == 3).any()


def test_steps_pool_ten_patients_where_one_patient_has_many_rows() -> None:
    # 3 patients have 100 equal rows each: their value is shared by many rows and three people.
    records = table(1500)
    X = records.X.copy()
    patient = np.arange(1500)
    patient[:300] = np.arange(300) // 100
    X[:300, PLACE["height"]] = 199.0
    told = replace(records, X=X, patient=patient)
    layout = Layout.of(told)
    margins = Margins.fit(layout, layout.spread(told), told.patient)
    a, b = margins.starts[PLACE["height"]], margins.starts[PLACE["height"] + 1]
    assert 199.0 not in margins.x[a:b]


PAIRS = [
    ("age", None),
    ("icu_days", None),
    ("lactate.mean", None),
    ("unit", None),
    ("icu_days", "hospital_days"),
    ("icu_days", "lactate.max"),
    ("lactate.measured", "icu_days"),
    ("lactate.count", "lactate.max"),
]


def test_the_copula_keeps_relations_and_marginals_lose_them() -> None:
    near, far = draw(fit(Copula()), 20_000), draw(fit(Marginals()), 20_000)
    for one, two in PAIRS:
        real = rank_correlation(REAL, one, two)
        assert rank_correlation(near, one, two) == pytest.approx(real, abs=0.08), (one, two)
        if two is None:
            assert abs(rank_correlation(far, one, two)) < 0.03, one


def test_the_copula_finds_latent_correlations_behind_few_values() -> None:
    """Known truth: normal variables cut into yes/no, three levels or counts correlate as they
    did."""
    rng = np.random.default_rng(4)
    true = np.array(
        [[1, 0.8, -0.5, 0.3], [0.8, 1, -0.3, 0.6], [-0.5, -0.3, 1, 0.0], [0.3, 0.6, 0, 1]]
    )
    z = rng.standard_normal((200_000, 4)) @ np.linalg.cholesky(true).T
    cut = np.column_stack(
        [z[:, 0] > 1.2, np.digitize(z[:, 1], [-0.5, 1]), z[:, 2], np.rint(2 * z[:, 3])]
    )
    cut[rng.random(cut.shape) < 0.2] = np.nan
    scores, terms = _scores(cut)
    found, pairs = _correlations(scores, ~np.isnan(cut), terms)
    assert found[np.triu_indices(4, 1)] == pytest.approx(true[np.triu_indices(4, 1)], abs=0.015)
    assert pairs[0, 1] == pytest.approx(0.64 * 200_000, rel=0.02)
    # What ranks alone would say of the rare yes-or-no column is far too little.
    here = ~np.isnan(cut[:, 0]) & ~np.isnan(cut[:, 1])
    assert np.corrcoef(cut[here, 0], cut[here, 1])[0, 1] < 0.6


def test_shrink_at_one_leaves_independent_columns() -> None:
    made = draw(fit(Copula(shrink=1.0)), 20_000)
    assert abs(rank_correlation(made, "icu_days", "lactate.max")) < 0.03


def test_small_tables_and_odd_columns() -> None:
    for generator in PLAIN:
        with pytest.raises(PrivauditError, match=f"fewer than {LEAST}"):
            fit(generator, REAL.take(slice(20)))
    columns = (Column("constant"), Column("never"), Column("yes", "binary"), Column("x"))
    rng = np.random.default_rng(0)
    X = np.column_stack([np.full(200, 7), np.full(200, np.nan), np.ones(200), rng.normal(size=200)])
    odd = Records(columns, X, rng.integers(0, 2, 200), np.arange(200), np.zeros(200))
    for generator in PLAIN:
        made = draw(fit(generator, odd), 300)
        assert (made.X[:, 0] == 7).all()
        assert np.isnan(made.X[:, 1]).all()
        assert (made.X[:, 2] == 1).all()


def test_several_classes_in_order() -> None:
    rng = np.random.default_rng(0)
    y = np.clip(np.digitize(REAL.X[:, PLACE["icu_days"]], [1.5, 3, 6]), 0, 3)
    stays = replace(REAL, y=y, classes=("0", "1", "2", "3"))
    made = Copula().fit(stays, rng).sample(20_000, rng)
    assert np.bincount(made.y) / 20_000 == pytest.approx(np.bincount(y) / len(y), abs=0.02)
    assert rank_correlation(made, "icu_days", None) > 0.85


@pytest.mark.parametrize("shrink", [-0.1, 1.5])
def test_shrink_is_a_share(shrink: float) -> None:
    with pytest.raises(PrivauditError, match="share"):
        fit(Copula(shrink=shrink))


@pytest.mark.parametrize("generator", PLAIN, ids=repr)
def test_a_file_of_another_generator_is_refused(generator: Generator) -> None:
    others = [other for other in PLAIN if other != generator]
    for other in others:
        with pytest.raises(PrivauditError, match="saved generator"):
            type(other).load(fit(generator).save())


def test_the_learners_notice() -> None:
    """A regression trained on copula data predicts real outcomes; one trained on marginals does
    not."""
    from pipelines.learners.logreg import LogReg
    from privaudit.stats.auc import auc

    other = table(3000, seed=9)

    def useful(generator: Generator, seed: int) -> float:
        model = LogReg().fit(draw(fit(generator), 1500, seed), np.random.default_rng(0))
        p = model.predict_proba(other)[:, 1]
        return auc(p[other.y == 1], p[other.y == 0])

    best = useful(Bootstrap(), 1)
    assert best > 0.78
    assert useful(Copula(), 1) > best - 0.03
    # A direction drawn by lot: on correlated columns it can be right or wrong by much.
    assert min(useful(Marginals(), seed) for seed in range(4)) < 0.5
