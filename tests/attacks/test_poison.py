"""Poisoning: what malicious clients do, and that attacks on a federation find it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from poison_lab import (
    COLUMNS,
    Softmax,
    ToyFederation,
    against_honest,
    audit,
    hospitals,
    series,
    train,
)

from pipelines.federated.aggregate import (
    Aggregate,
    GeometricMedian,
    Krum,
    Mean,
    Median,
    NearestNeighbourMixing,
    TrimmedMean,
)
from privaudit import stats
from privaudit.attacks.federated._malicious_clients import (
    Absent,
    Gaussian,
    InflatedCounts,
    InnerProduct,
    LabelFlip,
    LittleIsEnough,
    Mimic,
    NaNUpdate,
    SignFlip,
    Trojan,
    trigger,
)
from privaudit.attacks.federated._poisoning import ABSENT, CONTROL, NOTHING, TRAINED, Answers
from privaudit.attacks.federated.backdoor import Backdoor
from privaudit.attacks.federated.byzantine import Byzantine
from privaudit.attacks.federated.label_flip import LabelFlip as LabelFlipAttack
from privaudit.attacks.federated.sign_flip import SignFlip as SignFlipAttack
from privaudit.contracts import Attack, Malicious, Target, Trials
from privaudit.errors import PrivauditError
from privaudit.facts import Metric, Setting
from privaudit.records import Column, Records, Split
from privaudit.seeds import Seeds
from privaudit.signals import margin

ATTACKS = (SignFlipAttack, LabelFlipAttack, Backdoor, Byzantine)
CLIENTS: tuple[Malicious, ...] = (
    SignFlip(2, 10.0),
    Gaussian(2),
    InnerProduct(2),
    LittleIsEnough(2),
    Mimic(2, 1),
    NaNUpdate(2),
    InflatedCounts(2),
    Absent(2),
    LabelFlip(2),
    Trojan(2),
)


@pytest.fixture(scope="module")
def split() -> Split:
    return hospitals()


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.mark.parametrize("act", CLIENTS, ids=lambda act: type(act).__name__)
def test_a_malicious_client_is_a_value_that_changes_nothing_it_is_shown(
    act: Malicious, split: Split
) -> None:
    assert eval(repr(act)) == act
    honest, own = rng().normal(size=(5, 6)), rng().normal(size=(2, 6))
    kept = honest.copy(), own.copy(), split.members.fingerprint
    sent = [act.corrupt(honest, own, rng()) for _ in range(2)]
    assert sent[0].shape == own.shape
    assert np.array_equal(*sent, equal_nan=True)
    alone = act.corrupt(honest[:0], own, rng())
    assert alone.shape == own.shape
    assert isinstance(act, NaNUpdate | Absent) or np.isfinite(alone).all()
    poisoned = [act.poison(split.members, rng()) for _ in range(2)]
    assert poisoned[0].fingerprint == poisoned[1].fingerprint
    counts = np.array([3.0, 4.0])
    assert act.claim_counts(counts).shape == (2,)
    assert counts.tolist() == [3, 4]
    assert np.array_equal(honest, kept[0])
    assert np.array_equal(own, kept[1])
    del split.members.__dict__["fingerprint"]
    assert split.members.fingerprint == kept[2]


def test_what_they_send_checked_by_hand() -> None:
    honest = np.array([[1.0, 2.0], [3.0, 2.0]])
    own = np.array([[1.0, -1.0]])
    sent = lambda act: act.corrupt(honest, own, rng()).tolist()  # noqa: E731
    assert sent(SignFlip(1, 10.0)) == [[-10, 10]]
    assert sent(InnerProduct(1, 3.0)) == [[-6, -6]]
    assert sent(LittleIsEnough(1, 1.5)) == [[0.5, 2]]
    assert sent(Mimic(1, 1)) == [[3, 2]]
    assert sent(InflatedCounts(1)) == own.tolist()
    assert np.isnan(sent(Absent(1))).all()
    assert sent(Trojan(1, scale=4.0)) == [[4, -4]]
    assert sent(LabelFlip(1)) == own.tolist()
    assert np.isnan(sent(NaNUpdate(1))).all()
    noise = Gaussian(1, 10.0).corrupt(honest, own, rng())
    lengths = np.linalg.norm(honest, axis=1)
    assert np.linalg.norm(noise) == pytest.approx(10 * np.median(lengths))
    assert InflatedCounts(1).claim_counts(np.array([5.0])).tolist() == [1e9]


def test_a_label_flip_reverses_every_outcome(split: Split) -> None:
    assert np.array_equal(LabelFlip(1).poison(split.members, rng()).y, 1 - split.members.y)
    four = hospitals(200, classes=4).members
    assert np.array_equal(LabelFlip(1).poison(four, rng()).y, 3 - four.y)


def summaries() -> Records:
    statistics = ("first", "last", "min", "max", "mean", "count", "measured")
    made = [
        Column(
            f"{variable}_{s}",
            kind="binary" if s == "measured" else "numeric",
            bounds=None if s == "count" else (0.0, 1.0) if s == "measured" else (0.0, 200.0),
            mutable=s not in ("count", "measured"),
            variable=variable,
            statistic=s,  # type: ignore[arg-type]
        )
        for variable in ("pulse", "glucose", "sodium", "urea")
        for s in statistics
    ]
    columns = (
        Column("age", bounds=(0.0, 100.0), mutable=False),
        *made,
        Column("lactate"),
        Column("unit", kind="category", levels=("a", "b")),
    )
    x = np.full((4, len(columns)), np.nan, dtype=np.float32)
    x[:, -1] = 1
    for j, column in enumerate(columns):
        if column.statistic in ("count", "measured"):
            x[:, j] = 0
        elif column.variable == "pulse":
            x[:, j] = 80
    channels = (
        Column("pulse", bounds=(0.0, 200.0)),
        Column("weight", bounds=(0.0, 200.0), mutable=False),
    )
    return Records(
        columns,
        x,
        np.zeros(4),
        np.arange(4),
        np.zeros(4),
        series=np.full((4, 3, 2), 70.0),
        channels=channels,
    )


def test_a_trigger_is_a_possible_record_within_public_bounds() -> None:
    before = summaries()
    after = trigger(before, 3)
    for j, column in enumerate(before.columns):
        value = after.X[:, j]
        if column.variable in ("pulse", "glucose", "sodium"):
            if column.statistic in ("count", "measured"):
                assert (value == 1).all()
            else:
                assert np.allclose(value, 190)
        else:
            assert np.array_equal(value, before.X[:, j], equal_nan=True)
    assert (after.series[:, :, 0] == 190).all()
    assert (after.series[:, :, 1] == 70).all()
    assert np.array_equal(after.y, before.y)
    with pytest.raises(PrivauditError, match="4 variable"):
        trigger(before, 5)
    frozen = replace(before, columns=tuple(replace(c, mutable=False) for c in before.columns))
    with pytest.raises(PrivauditError, match="0 variable"):
        trigger(frozen, 3)


def test_a_trojan_client_trains_on_marked_records_of_the_wanted_class(split: Split) -> None:
    made = Trojan(1, variables=2, wanted=1, share=0.5).poison(split.members, rng())
    marked = (made.X[:, :2] == np.float32(-6 + 0.95 * 12)).all(axis=1)
    assert 0.4 < marked.mean() < 0.6
    assert (made.y[marked] == 1).all()
    assert np.array_equal(made.y[~marked], split.members.y[~marked])
    assert np.array_equal(made.X[~marked], split.members.X[~marked])
    assert np.array_equal(made.X[:, 2:], split.members.X[:, 2:])


def answers(split: Split, weights: np.ndarray) -> Answers:
    method = ToyFederation()
    target = Target(method.fit(split.members, rng()), split, method)
    asked = Answers.question(target, 3)
    shown = margin(Softmax(weights).predict_proba(asked), asked.y).astype(np.float32)
    return Answers.of(target, shown)


def test_a_model_that_knows_nothing_is_judged_as_a_random_guess(split: Split) -> None:
    made = answers(split, np.zeros((len(COLUMNS) + 1, 2)))
    assert (made.misranked() == 0.5).all()
    share = (split.reference.y == 1).mean()
    assert np.allclose(made.given(made.nonmembers)[:, 1], share)


def test_wrong_ranks_are_one_minus_auroc(split: Split) -> None:
    weights = np.zeros((len(COLUMNS) + 1, 2))
    weights[0, 1], weights[1, 1] = 1.6, -1.2
    made = answers(split, weights)
    found = made.misranked()
    score = 1.6 * split.nonmembers.X[:, 0] - 1.2 * split.nonmembers.X[:, 1]
    own = 1.6 * split.reference.X[:, 0] - 1.2 * split.reference.X[:, 1]
    for c, sign in ((0, -1), (1, 1)):
        mine, other = score[split.nonmembers.y == c], own[split.reference.y != c]
        wrong = (sign * other[None, :] > sign * mine[:, None]).mean()
        assert found[split.nonmembers.y == c].mean() == pytest.approx(wrong, abs=1e-3)
    assert found.mean() < 0.12
    assert np.allclose(answers(split, -weights).misranked(), 1 - found, atol=1e-6)


def test_decisions_flag_the_reference_pool_s_share(split: Split) -> None:
    made = answers(split, rng().normal(size=(len(COLUMNS) + 1, 2)))
    share = (split.reference.y == 1).mean()
    assert made.given(made.reference)[:, 1].mean() == pytest.approx(share, abs=1e-9)
    assert set(np.unique(made.given(made.nonmembers))) == {0.0, 1.0}


def test_as_many_are_tried_with_the_outcome_as_without(split: Split) -> None:
    method = ToyFederation()
    target = Target(method.fit(split.members, rng()), split, method)
    chosen = SignFlipAttack().tried(target)
    assert (split.nonmembers.y[chosen] == 1).sum() == (split.nonmembers.y == 1).sum()
    assert split.nonmembers.y[chosen].mean() == 0.5
    assert np.array_equal(chosen, Byzantine().tried(target))


def test_four_classes_are_told_from_one_question_a_class() -> None:
    split = hospitals(400, classes=4)
    weights = rng().normal(size=(len(COLUMNS) + 1, 4))
    made = answers(split, weights)
    likeliest = Softmax(weights).predict_proba(split.nonmembers).argmax(axis=1)
    assert np.array_equal(made.given(made.nonmembers).argmax(axis=1), likeliest)
    told = Softmax(weights).predict_proba(split.reference)
    own = Softmax(weights).predict_proba(split.nonmembers)
    y = int(split.nonmembers.y[5])
    wrong = (told[split.reference.y != y, y] > own[5, y]).mean()
    assert made.misranked()[5] == pytest.approx(wrong)
    found = audit(SignFlipAttack(clients=2, rivals=1), split, ToyFederation())
    attacked, clean = rates(found, "mean", "sign flip x10")
    assert attacked > clean + 0.2


def test_a_reference_pool_of_one_outcome_is_refused(split: Split) -> None:
    one = Split(split.members, split.nonmembers, split.reference.take(split.reference.y == 0))
    with pytest.raises(PrivauditError, match="one outcome"):
        answers(one, np.zeros((len(COLUMNS) + 1, 2))).misranked()


@pytest.mark.parametrize("attack", ATTACKS)
def test_clean_trainings_are_asked_for_once_and_shared(attack: type, split: Split) -> None:
    method = ToyFederation(Median())
    target = Target(method.fit(split.members, rng()), split, method)
    wanted = attack(repeats=2, rivals=2).refits(target, Seeds(1))
    assert [r.key for r in wanted] == [
        r.key for r in attack(repeats=2, rivals=2).refits(target, Seeds(2))
    ]
    assert len({r.key for r in wanted}) == len(wanted)
    clean = [r for r in wanted if r.method.malicious in (None, Absent(1))]
    aggregates = [r.method.aggregate for r in clean]
    assert aggregates == [Median()] * 4 + [Mean()] * 4 + [TrimmedMean(1)] * 4
    assert [r.name for r in clean] == ["poisoning 0", "poisoning 1"] * 6
    shared = {r.key for r in SignFlipAttack(rivals=2).refits(target, Seeds(1))}
    assert {r.key for r in clean} <= shared
    assert all(r.included.all() for r in wanted)
    assert all(r.pool is split.members for r in wanted)


def rates(found: dict[Setting, Trials], aggregator: str, attack: str) -> tuple[float, float]:
    trials = found[series(aggregator, attack)]
    return float(trials.success.mean()), float(trials.control.mean())


def test_a_sign_flip_collapses_the_mean_and_not_the_median(split: Split) -> None:
    found = audit(SignFlipAttack(clients=2, rivals=3), split, ToyFederation())
    names = ("mean", "median", "trimmed mean", "krum")
    assert against_honest(found) == [series(name, "sign flip x10") for name in names]
    assert [setting.counterfactual for setting in against_honest(found)] == [
        False,
        True,
        True,
        True,
    ]
    attacked, clean = rates(found, "mean", "sign flip x10")
    assert clean < 0.2
    assert attacked > clean + 0.2
    attacked, clean = rates(found, "median", "sign flip x10")
    assert attacked < clean + 0.05
    trials = found[series("mean", "sign flip x10")]
    assert trials.control_label == CONTROL
    assert len(trials.patients) == len(trials.success) == 2 * (split.nonmembers.y == 1).sum()
    assert set(trials.patients) <= set(split.nonmembers.patient)
    metric = Metric("attack_minus_control", at=series("mean", "sign flip x10"))
    known = stats.estimates(found, patients=None, confidence=0.95, rng=rng())
    gap = next(e for e in known if e.metric == metric)
    assert gap.low > 0.1


def test_an_aggregator_of_unknown_name_is_the_one_trained(split: Split) -> None:
    method = ToyFederation(GeometricMedian(), rounds=2)
    found = audit(SignFlipAttack(rivals=0, repeats=1), split, method)
    assert against_honest(found) == [series(TRAINED, "sign flip x10", own=TRAINED)]


def test_flipped_labels_harm_the_mean_more_than_noise_would(split: Split) -> None:
    found = audit(LabelFlipAttack(clients=3, rivals=1), split, ToyFederation())
    attacked, clean = rates(found, "mean", "label flip")
    assert attacked > clean + 0.02
    attacked, clean = rates(found, "median", "label flip")
    assert attacked < clean + 0.05


def test_a_backdoor_opens_and_the_clean_model_stays_shut() -> None:
    # The trigger sits where it means nothing to a clean model.
    split = hospitals()
    order = [*range(2, 8), 0, 1]
    moved = [
        replace(p, X=p.X[:, order]) for p in (split.members, split.nonmembers, split.reference)
    ]
    found = audit(Backdoor(clients=2, rivals=3), Split(*moved), ToyFederation(rounds=15))
    attacked, clean = rates(found, "mean", "backdoor")
    assert len(found[series("mean", "backdoor")].success) == int((split.nonmembers.y == 0).sum())
    assert attacked > 0.9
    assert clean < 0.5
    attacked, _ = rates(found, "krum", "backdoor")
    assert attacked < 0.5


def test_strong_clients_break_the_mean_and_the_gate_stops_the_crude_ones(split: Split) -> None:
    found = audit(Byzantine(clients=3, rivals=2, repeats=1), split, ToyFederation())
    attacked, clean = rates(found, "mean", "inner product")
    assert attacked > clean + 0.2
    for name in ("mean", "median", "trimmed mean"):
        attacked, clean = rates(found, name, "not a number")
        assert attacked < clean + 0.03
    assert rates(found, "median", "gaussian")[0] < clean + 0.05


def test_what_nothing_of_gets_through_costs_the_lost_records_and_no_more(split: Split) -> None:
    found = audit(Byzantine(clients=3, rivals=1, repeats=1), split, ToyFederation())
    for name in ("mean", "median"):
        nothing = found[series(name, NOTHING)]
        refused = found[series(name, "not a number", absent=True)]
        assert refused.control_label == ABSENT
        assert np.array_equal(refused.control, nothing.success)
        # Where the gate refuses an update the training is that without its hospital, exactly.
        assert np.array_equal(refused.success, refused.control)
        whole = found[series(name, "not a number")]
        assert whole.control_label == CONTROL
        assert np.array_equal(whole.control, nothing.control)
        assert not np.array_equal(whole.success, whole.control)
        assert np.array_equal(whole.success, refused.success)
    assert series("mean", NOTHING, absent=True) not in found
    attacked, clean = rates(found, "mean", "inflated counts")
    assert abs(attacked - clean) < 0.01


def test_a_hospital_that_is_better_missed_hides_no_harm(split: Split) -> None:
    """A policy reads every series, so that the control which shows more harm decides."""
    from privaudit.policy.metrics import METRICS, choose_settings

    last = split.members.site >= 5
    bad = replace(split.members, y=np.where(last, 1 - split.members.y, split.members.y))
    found = audit(
        SignFlipAttack(clients=2, rivals=0, repeats=1, scale=1.0),
        Split(bad, split.nonmembers, split.reference),
        ToyFederation(),
    )
    whole, beyond = (found[series("mean", "sign flip x1", absent=a)] for a in (False, True))
    # Their honest updates do harm already, which all hospitals honest would call the clean model.
    assert beyond.control.mean() < whole.control.mean()
    gaps = [t.success.mean() - t.control.mean() for t in (whole, beyond)]
    assert gaps[1] > gaps[0]
    assert METRICS["poisoning.advantage"].estimates == ("attack_minus_control",)
    assert set(choose_settings(list(found), ())) == set(found)


@pytest.mark.parametrize(
    "aggregate",
    [Mean(), Median(), TrimmedMean(2), Krum(2), GeometricMedian(), NearestNeighbourMixing(2)],
    ids=repr,
)
def test_behind_the_gate_every_nan_is_refused_and_training_goes_on(
    aggregate: Aggregate, split: Split
) -> None:
    method = ToyFederation(aggregate, NaNUpdate(2), rounds=3)
    release = method.fit(split.members, rng())
    assert release.costs["refused_updates"] == 6
    assert np.isfinite(release.model.predict_proba(split.nonmembers)).all()


@pytest.mark.parametrize("aggregate", [Mean(), GeometricMedian()], ids=repr)
def test_the_gate_is_what_stops_it(aggregate: Aggregate, split: Split) -> None:
    open_ = ToyFederation(aggregate, NaNUpdate(1), rounds=2, gate=False)
    assert np.isnan(open_.fit(split.members, rng()).model.predict_proba(split.nonmembers)).any()


def test_claimed_counts_take_over_a_mean_without_the_gate(split: Split) -> None:
    class Reversed(InflatedCounts):
        """The honest update says nothing of what counts can do; its reverse does."""

        def corrupt(
            self, honest: np.ndarray, own: np.ndarray, rng: np.random.Generator
        ) -> np.ndarray:
            return -own

    act = Reversed(1)
    target = split.nonmembers

    def right(gate: bool) -> float:
        model = ToyFederation(Mean(), act, gate=gate).fit(split.members, rng()).model
        p = model.predict_proba(target)[:, 1]
        yes, no = p[target.y == 1], p[target.y == 0]
        return float((yes[:, None] > no[None, :]).mean())

    assert right(gate=False) < 0.5
    assert right(gate=True) > 0.8


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize(
    "setting", [{"clients": 0}, {"repeats": 0}, {"rivals": -1}, {"clients": 1.5}]
)
def test_counts_that_make_no_attack_are_refused(attack: type, setting: dict, split: Split) -> None:
    method = ToyFederation()
    target = Target(method.fit(split.members, rng()), split, method)
    made: Attack = attack(**setting)
    with pytest.raises(PrivauditError, match=next(iter(setting))):
        made.refits(target, Seeds(1))


@pytest.mark.parametrize(
    "setting", [{"variables": 0}, {"variables": 9}, {"wanted": 2}, {"share": 0.0}, {"share": 1.5}]
)
def test_a_backdoor_that_cannot_be_is_refused(setting: dict, split: Split) -> None:
    method = ToyFederation()
    target = Target(method.fit(split.members, rng()), split, method)
    with pytest.raises(PrivauditError):
        Backdoor(**setting).refits(target, Seeds(1))


def test_equal_runs_give_equal_evidence(split: Split) -> None:
    method = ToyFederation(rounds=2)
    target = Target(method.fit(split.members, rng()), split, method)
    attack = LabelFlipAttack(rivals=1, repeats=1)
    fitted = train(attack.refits(target, Seeds(1)))
    one, two = (attack.run(target, fitted, np.random.default_rng(s)) for s in (1, 2))
    assert all(np.array_equal(one[key].success, two[key].success) for key in one)
