"""What the server reads at the cut: planted leaks are found, defences and nulls are not."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from split_lab import pools, records

from pipelines.methods._split_defences import EqualNorms, MaxNorm, NoiseOnSmashed
from pipelines.methods.split_learning import SplitLearning
from pipelines.methods.split_u import SplitU
from privaudit.attacks.split_learning import split_inversion
from privaudit.attacks.split_learning.label_leakage import LabelLeakage, pairs
from privaudit.attacks.split_learning.split_inversion import (
    WITHIN,
    Cells,
    Decoder,
    SplitInversion,
    densest,
)
from privaudit.contracts import Access, Release, Target, Trials
from privaudit.errors import PrivauditError
from privaudit.facts import Setting
from privaudit.records import Split as Pools
from privaudit.seeds import Seeds

POOLS = pools(3000)


@pytest.fixture(scope="module")
def releases() -> dict[str, Release]:
    methods = {
        "vanilla": SplitLearning(epochs=4),
        "u": SplitU(epochs=4),
        "equal": SplitU(epochs=4, defence=EqualNorms()),
        "equal4": SplitU(epochs=4, defence=EqualNorms(4.0)),
        "maxnorm": SplitU(epochs=4, defence=MaxNorm()),
        "noise": SplitLearning(epochs=4, defence=NoiseOnSmashed(8.0)),
    }
    return {name: m.fit(POOLS.members, Seeds(1).rng("fit")) for name, m in methods.items()}


def leak(release: Release) -> dict[Setting, float]:
    found = LabelLeakage().run(Target(release, POOLS), (), Seeds(7).rng("run"))
    return {key: trials.success.mean() for key, trials in found.items()}


def series(who: str, *details: str) -> Setting:
    kind = "informed" if "gradient direction" in details else "attacker"
    return Setting(kind, who, details=details)  # type: ignore[arg-type]


def read(release: Release, split: Pools = POOLS) -> dict[Setting, Trials]:
    return LabelLeakage().run(Target(release, split), (), Seeds(7).rng("run"))


def invert(release: Release, split=POOLS):  # type: ignore[no-untyped-def]
    found = SplitInversion().run(Target(release, split), (), Seeds(7).rng("run"))
    (trials,) = found.values()
    return trials


def test_the_rare_outcome_is_read_off_the_gradients_that_replace_it(releases) -> None:
    assert 0.09 < POOLS.members.y.mean() < 0.13
    found = leak(releases["u"])
    assert series("server", "outcomes sent to it") not in found
    assert found[series("server", "gradient norm", "last epoch")] > 0.94
    assert found[series("server", "gradient direction", "last epoch")] > 0.99
    evidence = LabelLeakage().run(Target(releases["u"], POOLS), (), Seeds(7).rng("run"))
    named = evidence[series("server", "largest gradients", "last epoch")]
    assert named.success.mean() > named.guess.mean() + 0.03
    assert named.control.mean() < named.guess.mean()


def test_in_vanilla_the_server_needs_no_attack(releases) -> None:
    found = leak(releases["vanilla"])
    assert found[series("server", "outcomes sent to it")] == 1
    assert found[series("observer", "gradient norm", "last epoch")] > 0.94


def test_equal_norms_close_the_norm_and_narrow_the_direction(releases) -> None:
    found, strong, paper = (leak(releases[k]) for k in ("equal", "equal4", "maxnorm"))
    for epoch in ("first", "last"):
        assert found[series("server", "gradient norm", f"{epoch} epoch")] == 0.5
        assert strong[series("server", "gradient norm", f"{epoch} epoch")] == 0.5
        assert paper[series("server", "gradient norm", f"{epoch} epoch")] < 0.75
        assert found[series("server", "gradient direction", f"{epoch} epoch")] < 0.9
        assert abs(strong[series("server", "gradient direction", f"{epoch} epoch")] - 0.5) < 0.13


def test_traffic_that_says_nothing_is_read_as_nothing(releases) -> None:
    cut = releases["u"].cut
    rng = np.random.default_rng(3)
    null = replace(cut, returned=rng.normal(size=cut.returned.shape))
    found = LabelLeakage().run(Target(Release(cut=null), POOLS), (), Seeds(7).rng("run"))
    for key, trials in found.items():
        assert len(trials.success)
        if {"largest gradients", "gradient side"} & set(key.details):
            assert trials.success.mean() < trials.guess.mean()
            continue
        error = trials.success.std() / np.sqrt(len(trials.success))
        assert abs(trials.success.mean() - 0.5) < 3.5 * error
        assert abs(trials.control.mean() - 0.5) < 3.5 * error


def test_pairs_are_the_area_under_the_curve() -> None:
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(0)
    scores = np.round(rng.normal(size=40), 1)
    for share in (0.2, 0.8):
        positive = rng.random(40) < share
        mean = np.mean([pairs(scores, positive, rng)[0].mean() for _ in range(600)])
        assert abs(mean - roc_auc_score(positive, scores)) < 0.02
    won, at = pairs(np.array([3.0, 1.0, 2.0]), np.array([True, False, False]), rng)
    assert won.tolist() == [1.0]
    assert at.tolist() == [0]
    assert pairs(np.ones(4), np.array([True, False, False, True]), rng)[0].tolist() == [0.5, 0.5]
    assert len(pairs(np.ones(3), np.zeros(3, bool), rng)[0]) == 0


def test_a_batch_of_one_outcome_gives_no_pair_and_no_failure(releases) -> None:
    cut = releases["u"].cut
    at = np.flatnonzero(POOLS.members.y[cut.row] == 0)[:50]
    names = ("smashed", "gradients", "batch", "epoch", "row", "returned")
    alone = replace(cut, labels=None, ask=None, **{name: getattr(cut, name)[at] for name in names})
    found = LabelLeakage().run(Target(Release(cut=alone), POOLS), (), Seeds(7).rng("run"))
    assert all(len(t.success) == 0 for key, t in found.items() if "gradient norm" in key.details)


@pytest.mark.parametrize("name", ["vanilla", "u"])
def test_every_outcome_is_read_with_nothing_known(releases, name: str) -> None:
    found = read(releases[name])
    for epoch in ("first epoch", "last epoch"):
        who = "server" if name == "u" else "observer"
        stated = found[series(who, "gradient side", epoch)]
        assert len(stated.success) == len(POOLS.members)
        assert stated.success.mean() > 0.999
        assert stated.control.mean() < stated.guess.mean() < 0.92
        ranked = found[series(who, "gradient side, ranked", epoch)]
        assert ranked.success.mean() > 0.999
        assert (ranked.guess == 0.5).all()


def cut_into(release: Release, size: int, *, sorted_by_outcome: bool = False) -> Release:
    """The traffic of the last epoch in batches of this size."""
    cut = release.cut
    at = np.flatnonzero(cut.epoch == cut.epoch.max())
    if sorted_by_outcome:
        at = at[np.argsort(POOLS.members.y[cut.row[at]], kind="stable")]
    names = ("smashed", "gradients", "epoch", "row", "returned")
    part = {key: getattr(cut, key)[at] for key in names}
    return Release(
        cut=replace(cut, labels=None, ask=None, batch=np.arange(len(at)) // size, **part)
    )


@pytest.mark.parametrize(
    ("size", "by_outcome"), [(1, False), (2, False), (64, True), (4096, False)]
)
def test_batches_of_one_record_or_one_outcome_are_read_too(
    releases, size: int, by_outcome: bool
) -> None:
    found = read(cut_into(releases["u"], size, sorted_by_outcome=by_outcome))
    assert found[series("server", "gradient side", "last epoch")].success.mean() > 0.999


def test_outcomes_that_are_not_behind_the_gradients_are_not_read(releases) -> None:
    cut = releases["u"].cut
    order = np.random.default_rng(5).permutation(len(cut.row))
    found = read(Release(cut=replace(cut, row=cut.row[order])))
    for epoch in ("first epoch", "last epoch"):
        stated = found[series("server", "gradient side", epoch)]
        assert abs(stated.success.mean() - stated.control.mean()) < 0.04
        assert stated.success.mean() < stated.guess.mean()


def test_gradients_that_are_no_numbers_or_zero_are_read_as_the_commonest_outcome(releases) -> None:
    cut = releases["u"].cut
    for value in (np.nan, 0.0):
        gone = replace(cut, returned=np.full_like(cut.returned, value))
        stated = read(Release(cut=gone))[series("server", "gradient side", "last epoch")]
        assert np.array_equal(stated.success, stated.guess)


@pytest.mark.parametrize("name", ["equal", "maxnorm", "equal4"])
def test_noise_that_turns_gradients_round_takes_known_patients(releases, name: str) -> None:
    found = read(releases[name])
    for epoch in ("first epoch", "last epoch"):
        ranked = found[Setting("informed", "server", details=("gradient side, ranked", epoch))]
        rate = ranked.success.mean()
        assert abs(rate - 0.5) < 0.15 if name == "equal4" else 0.7 < rate < 0.95


def test_outcomes_as_common_as_each_other_take_nine_known_patients_of_each() -> None:
    split = pools(1200, share=0.5)
    found = read(SplitU(epochs=2).fit(split.members, Seeds(1).rng("fit")), split)
    stated = found[Setting("informed", "server", details=("gradient side", "last epoch"))]
    assert len(stated.success) == len(split.members) - 18
    assert stated.success.mean() > 0.995


@pytest.mark.parametrize("cuts", [(0.6, 0.88), (0.5, 0.75, 0.92)])
def test_three_and_more_outcomes_lie_in_as_many_cones(cuts: tuple[float, ...]) -> None:
    table = records(1500)
    risk = np.nan_to_num(table.X[:, 0]) + np.random.default_rng(0).normal(size=len(table))
    ranked = np.searchsorted(np.quantile(risk, cuts), risk)
    y = np.random.default_rng(1).permutation(len(cuts) + 1)[ranked]
    names = tuple("abcd"[: len(cuts) + 1])
    split = Pools.assign(replace(table, y=y, classes=names), Seeds(2).rng("split"), 0.3)
    found = read(SplitU(epochs=3).fit(split.members, Seeds(1).rng("fit")), split)
    for epoch in ("first epoch", "last epoch"):
        stated = found[series("server", "gradient side", epoch)]
        assert stated.success.mean() > 0.98
        assert stated.control.mean() < 0.65
    null = SplitU(epochs=1).fit(split.members, Seeds(1).rng("fit")).cut
    noise = np.random.default_rng(3).normal(size=null.returned.shape)
    for key, trials in read(Release(cut=replace(null, returned=noise)), split).items():
        if "gradient side" in key.details:
            assert trials.success.mean() < trials.guess.mean()
            assert abs(trials.success.mean() - trials.control.mean()) < 0.05


def test_the_report_quotes_the_strongest_series_that_needs_no_knowledge(releases) -> None:
    from privaudit import stats
    from privaudit.report.sections.split_learning import build
    from privaudit.results import Finding

    found = read(releases["u"])
    made = stats.estimates(found, patients=None, confidence=0.95, rng=np.random.default_rng(0))
    informed = tuple(e for e in made if e.metric.at.kind == "informed")
    plain = tuple(e for e in made if "gradient norm" in e.metric.at.details)

    def word(estimates: tuple) -> str:  # type: ignore[type-arg]
        one = Finding("label_leakage", "reconstruction", {}, ("CUT",), estimates)
        subject = SimpleNamespace(name="u", method="split_u", trust=(), costs={}, outcomes=(one,))
        audit = SimpleNamespace(subjects=(subject,))
        return " ".join(str(block) for block in build(audit, None))  # type: ignore[arg-type]

    assert "without knowing any patient’s outcome" not in word(informed)
    assert (
        "the attack (server, gradient side, first epoch) is right in 100 in 100 attempts"
        in word(made).replace("\xa0", " ")
    )
    assert "the attack (server, gradient norm, " in word((*informed, *plain))


def test_inversion_beats_the_mean_row_and_another_patients(releases) -> None:
    trials = invert(releases["vanilla"])
    cells = Cells.of(POOLS.reference)
    mean = cells.encode(POOLS.reference).mean(axis=0)
    rows = np.repeat(mean[None], len(POOLS.members), axis=0)
    assert trials.success.mean() > cells.hits(rows, POOLS.members).mean() + 0.2
    assert len(trials.success) == 500
    assert trials.success.mean() > trials.guess.mean() + 0.2
    assert trials.success.mean() > trials.control.mean() + 0.2
    assert trials.success.max() <= 1
    hidden = invert(releases["noise"])
    assert hidden.success.mean() < trials.success.mean() - 0.15


def test_a_long_table_is_learnt_on_in_part(releases, monkeypatch: pytest.MonkeyPatch) -> None:
    every = invert(releases["noise"])
    monkeypatch.setattr(split_inversion, "MOST", 900)
    part = invert(releases["noise"])
    assert not np.array_equal(every.success, part.success)
    assert abs(part.success.mean() - every.success.mean()) < 0.05


def test_three_outcomes_are_one_against_the_rest() -> None:
    table = records(900)
    y = table.y + (np.nan_to_num(table.X[:, 3]) > 2)
    split = Pools.assign(replace(table, y=y, classes=("a", "b", "c")), Seeds(2).rng("split"), 0.3)
    for kind in (SplitLearning, SplitU):
        release = kind(epochs=3).fit(split.members, Seeds(1).rng("fit"))
        assert release.model.predict_proba(split.nonmembers).shape[1] == 3
        found = LabelLeakage().run(Target(release, split), (), Seeds(7).rng("run"))
        wanted = ("gradient direction", "last epoch")
        (rate,) = (t.success.mean() for key, t in found.items() if key.details == wanted)
        assert rate > 0.7
        assert invert(release, split).success.mean() > 0.3


def test_inversion_of_somebody_elses_activations_is_a_guess(releases) -> None:
    cut = releases["u"].cut
    order = np.random.default_rng(0).permutation(len(cut.row))
    trials = invert(Release(cut=replace(cut, row=cut.row[order])))
    assert trials.success.mean() < trials.guess.mean() + 0.02


def test_cells_are_graded_as_stated() -> None:
    reference, truth = POOLS.reference, POOLS.members.take(slice(0, 40))
    cells = Cells.of(reference)
    own = cells.encode(truth)
    assert np.allclose(cells.hits(own, truth), 1)
    numbers = ~cells.binary
    off = own.copy()
    off[:, : len(cells.numbers)][:, numbers] += 0.32
    missed = cells.hits(off, truth)
    left = (~np.isnan(truth.X)).sum(axis=1)
    assert np.allclose(missed, 2 / left)  # the flag and the category remain right
    near = own.copy()
    near[:, : len(cells.numbers)][:, numbers] += 0.318
    assert np.allclose(cells.hits(near, truth), 1)


def test_the_decoder_is_ridge_regression_and_finds_a_linear_map() -> None:
    rng = np.random.default_rng(0)
    z, m = rng.normal(size=(300, 5)), rng.normal(size=(5, 3))
    found = Decoder.fit(z, z @ m + 2, 1)(z)
    assert np.allclose(found, z @ m + 2, atol=1e-2)
    null = Decoder.fit(z, rng.normal(size=(300, 3)), 1)(rng.normal(size=(50, 5)))
    assert np.abs(null).max() < 0.6


def test_the_guess_and_the_decoder_aim_where_most_are() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([np.full(60, -1.0), rng.uniform(0, 9, 40)])
    where, count = densest(values)
    assert abs(where + 1) < WITHIN
    assert count == (np.abs(values - where) <= WITHIN).sum() >= 60
    wanted = values[:, None]
    nothing = rng.normal(size=(100, 3))
    found = Decoder.fit(nothing, wanted, 1, np.ones((100, 1), bool))(nothing)
    assert (np.abs(found - wanted) <= WITHIN).mean() > 0.55
    assert (np.abs(Decoder.fit(nothing, wanted, 1)(nothing) - wanted) <= WITHIN).mean() < 0.3


def test_both_attacks_need_the_traffic_at_the_cut(releases) -> None:
    assert LabelLeakage.needs == SplitInversion.needs == {Access.CUT}
    assert Access.CUT in Target(releases["u"], POOLS).access
    with pytest.raises(PrivauditError, match="without the layers below"):
        invert(Release(cut=replace(releases["u"].cut, ask=None)))
    with pytest.raises(PrivauditError, match="records=0"):
        SplitInversion(0).run(Target(releases["u"], POOLS), (), Seeds(7).rng("run"))
