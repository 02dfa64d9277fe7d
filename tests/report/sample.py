"""A whole audit document made by hand, with one of everything that a report must be able to
show."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Literal

from privaudit.facts import (
    Bound,
    BoundMethod,
    Caveat,
    CaveatCode,
    Metric,
    Reason,
    ReasonCode,
    Setting,
    note,
)
from privaudit.results import (
    Audit,
    ClaimText,
    Control,
    Coverage,
    Curve,
    Data,
    Estimate,
    Failed,
    Finding,
    FlowRow,
    GroupResult,
    Manifest,
    Outcome,
    Pool,
    Skipped,
    Subject,
    Untrained,
)
from privaudit.words import Words

PATIENTS = {
    "members": 3236,
    "nonmembers": 3190,
    "member_patients": 3236,
    "nonmember_patients": 3190,
}
BUDGETS = (0.05, 0.1, 0.25, 0.5, 1.0)
ANSWERS, WEIGHTS, RERUN = "ANSWERS", "WEIGHTS", "RERUN"
UPDATES, CUT, SEAT = "UPDATES", "CUT", "SEAT"
NO_CLAIM = ClaimText(None, 0.0, "patient", "add-remove", (), "no claim")
MADE = {
    "positive": Caveat(CaveatCode.PLANTED_LEAK, "note", {"lift": 0.5}),
    "negative": Caveat(CaveatCode.NULL_MODEL, "note"),
}
BY_ROC = Bound(BoundMethod.BOOTSTRAP_WILSON)
BY_AUC = Bound(BoundMethod.DELONG)
POWER = Bound(BoundMethod.POWER)
WILSON = Bound(BoundMethod.WILSON)
PAIRED = Bound(BoundMethod.NEWCOMBE_PAIRED)


def few(fpr: float, have: int) -> Reason:
    more = math.ceil(10 / fpr) - have
    return Reason(ReasonCode.TOO_FEW_HELD_OUT, {"more": more, "have": have, "fpr": fpr})


def game(shift: float, n: dict[str, int] | None = None) -> tuple[Estimate, ...]:
    """What `privaudit.stats` gives for a membership game with this strength; 0 is no leak."""
    n = PATIENTS if n is None else n
    have = n["nonmember_patients"]
    auc = 0.5 + 0.5 * math.tanh(shift / 2)
    wide = 0.58 * math.sqrt(1 / n["member_patients"] + 1 / have)
    low, high = max(0.0, auc - wide), min(1.0, auc + wide)
    found = [
        Estimate(Metric("auc"), auc, low, high, 0.5, n, bound=BY_AUC),
        Estimate(Metric("detectable_auc"), 0.5 + 1.4 * wide, chance=0.5, n=n, bound=POWER),
    ]
    rates = {}
    for fpr in (0.1, 0.01, 0.001):
        tpr = Metric("tpr", fpr=fpr)
        if have * fpr < 10:
            found.append(Estimate(tpr, None, chance=fpr, n=n, bound=BY_ROC, refusal=few(fpr, have)))
            continue
        rate = fpr ** (1 / (1 + 2.2 * shift))
        half = 1.96 * math.sqrt(rate * (1 - rate) / n["member_patients"]) + fpr * 0.25
        rates[fpr] = (rate, max(0.0, rate - half), min(1.0, rate + half))
        found.append(Estimate(tpr, *rates[fpr], fpr, n, bound=BY_ROC))
    for fpr in (0.1, 0.01, 0.001):
        detectable = Metric("detectable_tpr", fpr=fpr)
        if fpr in rates:
            least = fpr + 4 * math.sqrt(fpr / have)
            found.append(Estimate(detectable, least, chance=fpr, n=n, bound=POWER))
        else:
            found.append(Estimate(detectable, None, chance=fpr, n=n, refusal=few(fpr, have)))
    for prior in (0.5, 0.1, 0.01, 0.001):
        ppv = Metric("ppv", fpr=0.01, prior=prior)
        if 0.01 not in rates:
            found.append(Estimate(ppv, None, chance=prior, n=n, refusal=few(0.01, have)))
            continue
        bounds = (prior * r / (prior * r + (1 - prior) * 0.01) for r in rates[0.01])
        found.append(Estimate(ppv, *bounds, prior, n, bound=Bound(BoundMethod.BAYES_RULE)))
    return tuple(found)


def roc(shift: float) -> Curve:
    x = tuple(10 ** (-2.5 + 2.5 * i / 30) for i in range(31))
    y = tuple(v ** (1 / (1 + 2.2 * shift)) for v in x)
    low = tuple(max(0.0, v - 0.3 * v * (1 - v) - 0.001) for v in y)
    high = tuple(min(1.0, v + 0.3 * v * (1 - v) + 0.001) for v in y)
    return Curve("roc", Metric("tpr"), x, y, low, high)


LEVELS = {
    "age": ("18-39", "40-64", "65-79", "80+"),
    "sex": ("F", "M"),
    "unit": ("CCU", "CSRU", "MICU", "SICU", "TSICU"),
    "insurance": ("Medicare", "Private"),
}


def in_group(shift: float, n: dict[str, int]) -> tuple[Estimate, ...]:
    """As `privaudit.stats.score_groups`: rates at everybody's threshold, guessing differs by
    group."""
    found = [e for e in game(shift, n) if e.metric == Metric("auc")]
    sizes = {name: n[name] for name in ("member_patients", "nonmember_patients")}
    for fpr in (0.1, 0.01):
        rate = fpr ** (1 / (1 + 2.2 * shift))
        half = 1.96 * math.sqrt(rate * (1 - rate) / n["member_patients"]) + fpr * 0.25
        chance = fpr * (0.8 + 0.0004 * n["member_patients"])
        low, high = max(0.0, rate - half), min(1.0, rate + half)
        tpr = Metric("tpr", fpr=fpr)
        found.append(Estimate(tpr, rate, low, high, chance, sizes, bound=BY_ROC))
    return tuple(found)


def groups(shift: float) -> tuple[GroupResult, ...]:
    found = []
    names = [(by, level) for by, levels in LEVELS.items() for level in levels]
    for i, (by, level) in enumerate(names):
        if level == "TSICU":
            found.append(GroupResult(by, level, (), suppressed=True))
            continue
        people = 130 + 211 * (i % 5)
        n = {"members": people, "nonmembers": people + 9, "member_patients": people}
        n["nonmember_patients"] = people + 9
        own = shift * (1.9 if level == "18-39" else 0.7 + 0.06 * ((i * 7) % 9))
        p = 0.0132 if level == "18-39" and shift > 0.1 else min(1.0, 0.21 + 0.09 * i)
        found.append(GroupResult(by, level, in_group(own, n), p))
    return tuple(found)


def membership(attack: str, shift: float, seconds: float, **params: str | float) -> Finding:
    access = (ANSWERS,) if attack == "threshold" else (ANSWERS, RERUN)
    return Finding(
        attack, "membership", params, access, game(shift), (roc(shift),), seconds=seconds
    )


def attempts(
    at: Setting, rate: float, control: float, n: dict[str, int], guess: float | None = None
) -> list[Estimate]:
    """One series: the attack, its control, the baseline, and the differences."""

    def one(name: str, v: float, chance: float) -> Estimate:
        half = 1.96 * math.sqrt(v * (1 - v) / n["attempts"]) + 0.004
        low, high = max(0.0, v - half), min(1.0, v + half)
        return Estimate(Metric(name, at=at), v, low, high, chance, n, bound=WILSON)

    def gap(name: str, v: float) -> Estimate:
        return Estimate(Metric(name, at=at), v, v - 0.045, v + 0.045, 0.0, n, bound=PAIRED)

    found = [one("attack_rate", rate, control), one("control_rate", control, control)]
    found.append(gap("attack_minus_control", rate - control))
    if guess is not None:
        found += [one("guess_rate", guess, guess), gap("attack_minus_guess", rate - guess)]
    return found


def evasion(attack: str, strength: float) -> Finding:
    n = {"attempts": 300, "patients": 300}
    found: list[Estimate] = []
    for size in BUDGETS:
        rate, control = 1 - 0.86 * math.exp(-strength * size), 0.141 + 0.03 * size
        found += attempts(Setting("budget", size, "sd"), rate, control, n, 0.14)
    needs = (ANSWERS,) if attack == "square" else (WEIGHTS,)
    caveat = note("Impossible values are projected to the nearest possible one.")
    return Finding(
        attack, "evasion", {"records": 300}, needs, tuple(found), caveats=(caveat,), seconds=41.0
    )


def utility(auroc: float, slope: float) -> tuple[Estimate, ...]:
    n = {"records": 3190, "patients": 3190}

    def one(name: str, v: float, half: float, chance: float | None = None) -> Estimate:
        by = Bound(BoundMethod.CLUSTERED_MEAN)
        return Estimate(Metric(name), v, v - half, v + half, chance, n, bound=by)

    return (
        one("auroc", auroc, 0.0171, 0.5),
        one("auprc", auroc - 0.37, 0.034, 0.132),
        one("brier", 0.092, 0.0048),
        one("log_loss", 0.302, 0.013),
        one("calibration_slope", slope, 0.09, 1.0),
        one("calibration_intercept", slope - 1.02, 0.11, 0.0),
    )


def reliability(slope: float) -> Curve:
    x = (0.012, 0.028, 0.05, 0.079, 0.12, 0.19, 0.31, 0.56)
    y = tuple(min(0.95, v * slope + 0.008) for v in x)
    low = tuple(max(0.0, v - 0.02 - 0.06 * v) for v in y)
    high = tuple(v + 0.02 + 0.06 * v for v in y)
    return Curve("reliability", Metric("observed_rate"), x, y, low, high)


def control(attack: str, kind: Literal["positive", "negative"]) -> Control:
    e = game(1.9 if kind == "positive" else 0.004)[0]
    return Control(kind, attack, (replace(e, confidence=0.9995),), True, MADE[kind])


def subject(
    learner: str, auroc: float, slope: float, leak: float, evaded: tuple[Outcome, ...]
) -> Subject:
    strength = {"threshold": 0.55, "shadow": 0.6, "lira": 1.0, "rmia": 0.9, "few_shadow_lira": 1.05}
    played: tuple[Outcome, ...] = tuple(
        membership(
            name, leak * share, 3.0 + 40 * share, **({} if name == "threshold" else {"shadows": 16})
        )
        for name, share in strength.items()
    )
    head = Finding(
        "few_shadow_lira",
        "membership",
        {"shadows": 16},
        (ANSWERS, RERUN),
        game(
            leak,
            {
                **PATIENTS,
                "members": 1618,
                "nonmembers": 1595,
                "member_patients": 1618,
                "nonmember_patients": 1595,
            },
        ),
        (roc(leak),),
        groups(leak),
        (Caveat(CaveatCode.CHOSEN_ON_HALVES, "note"),),
        44.0,
    )
    controls = tuple(
        control(attack, kind) for attack in strength for kind in ("positive", "negative")
    )
    access = (ANSWERS, RERUN) if learner == "boosted" else (ANSWERS, WEIGHTS, RERUN)
    return Subject(
        f"baseline-{learner}",
        "baseline",
        learner,
        "Trained on all members in one place, without any protection.",
        {"learner": learner, "epochs": "30"},
        NO_CLAIM,
        access,
        utility(auroc, slope),
        utility(min(0.98, auroc + 0.004 + 0.3 * leak), slope),
        tuple(
            GroupResult("sex", level, utility(auroc - 0.01 * i, slope)[:2])
            for i, level in enumerate(("F", "M"))
        ),
        reliability(slope),
        head,
        played + evaded,
        controls if learner != "logreg" else (),
        {"seconds": 12.5, "model_bytes": 48_211.0},
    )


def tried(
    attack: str,
    family: str,
    access: tuple[str, ...],
    rates: dict[Setting, tuple[float, float]],
    control: str,
    guess: bool = False,
    n: int = 300,
) -> Finding:
    """A finding of trials: setting -> (rate with the attack, rate of its control)."""
    counts = {"attempts": n, "patients": n}
    found: list[Estimate] = []
    for at, (rate, other) in rates.items():
        found += attempts(at, rate, other, counts, other if guess else None)
    described = Caveat(CaveatCode.CONTROL_DESCRIBED, "note", {"control": control})
    return Finding(attack, family, {}, access, tuple(found), caveats=(described,), seconds=9.0)


def bounded(least: float, *caveats: Caveat) -> Finding:
    """What the one-run audit gives."""
    n = {"guesses": 240, "patients": 6426}
    methods = {
        "epsilon_lower_bound": Bound(
            BoundMethod.STEINKE,
            family="approximate",
            delta=1e-5,
            tried=12,
            made=240,
            right=190,
            assigned=6426,
        ),
        "epsilon_lower_bound_fdp": Bound(BoundMethod.MAHLOUJIFAR, family="gaussian", delta=1e-5),
    }
    found = tuple(
        Estimate(Metric(name), least * share, least * share, None, 0.0, n, bound=bound)
        for (name, bound), share in zip(methods.items(), (1.0, 1.2), strict=True)
    )
    return Finding("one_run", "epsilon", {}, (ANSWERS,), found, caveats=caveats, seconds=2.0)


def way(
    method: str, auroc: float, leak: float, more: tuple[Outcome, ...], **changes: Any
) -> Subject:
    """A model trained in another way than all records in one place."""
    base = subject("mlp", auroc, 0.9, leak, more)
    name = changes.pop("name", method)
    sites = tuple(
        GroupResult("unit", level, utility(auroc - 0.02 * i, 0.9)[:2])
        for i, level in enumerate(("CCU", "CSRU", "MICU", "SICU"))
    )
    small = GroupResult("unit", "TSICU", (), suppressed=True)
    changes.setdefault("params", {"hidden": "64"})
    return replace(
        base, name=name, method=method, learner="", utility_groups=(*sites, small), **changes
    )


OPEN = (
    ("server", "one hospital's update", "yes, every one, in every round"),
    ("another hospital", "one hospital's update", "no, only the new model"),
)
MASKED = (
    ("server", "one hospital's update", "no, a masked one"),
    ("server and all other hospitals together", "one hospital's update", "yes"),
)


def guarantee(epsilon: float, **changes: Any) -> ClaimText:
    return ClaimText(
        epsilon,
        1e-5,
        changes.get("unit", "patient"),
        changes.get("neighbours", "add-remove"),
        (ANSWERS, WEIGHTS),
        "PLD, Poisson sampling q=0.1, noise 2.1, 100 steps",
    )


def ways() -> tuple[Subject, ...]:
    """One of every kind of training that is not in one place without a promise."""

    def against(rule: str, act: str) -> Setting:
        return Setting("aggregator", rule, details=(act,), counterfactual=rule != "mean")

    poison = tuple(
        tried(
            attack,
            "poisoning",
            (SEAT, RERUN),
            {
                against("mean", act): (hit, 0.118),
                against("median", act): (0.124, 0.119),
                against("trimmed mean", act): (0.125, 0.12),
            },
            "all hospitals honest",
        )
        for attack, act, hit in (
            ("sign_flip", "x10", 0.421),
            ("label_flip", "outcomes swapped", 0.151),
            ("backdoor", "3 values marked", 0.83),
        )
    )
    cells, rows = Setting("variant", "cells"), Setting("variant", "exact rows")
    inverted = tried(
        "gradient_inversion",
        "reconstruction",
        (UPDATES,),
        {cells: (0.47, 0.41), rows: (0.031, 0.0)},
        "the usual value of every column in the attacker's own records",
        True,
    )
    precise = ("sums in float64",)
    key = tried(
        "key_recovery",
        "reconstruction",
        ("CIPHER",),
        {
            Setting("attacker", "server", details=precise, counterfactual=True): (1.0, 0.0),
            Setting("attacker", "server"): (0.0, 0.0),
        },
        "a key drawn at random",
        n=20,
    )
    norm = Setting("variant", "gradient norm")
    cut = (
        tried("label_leakage", "reconstruction", (CUT,), {norm: (0.93, 0.5)}, "a random guess"),
        tried(
            "split_inversion",
            "reconstruction",
            (CUT,),
            {cells: (0.52, 0.41)},
            "the usual row",
            True,
        ),
    )
    sex = Setting("column", "sex")
    attribute = tried(
        "attribute", "attribute", (ANSWERS,), {sex: (0.55, 0.54)}, "non-members", True
    )
    shared = {"rounds": 20.0, "bytes_up": 2.1e7, "bytes_down": 2.1e7, "simulated_seconds": 412.0}
    access = (ANSWERS, WEIGHTS, UPDATES, RERUN, SEAT)
    broken = Caveat(
        CaveatCode.EPSILON_ABOVE_CLAIM,
        "defect",
        {"bound": 4.2, "confidence": 0.95, "claimed": 3.0},
    )
    unit = {"unit": "record", "neighbours": "replace"}
    apart = Caveat(CaveatCode.BOUND_OF_ANOTHER_UNIT, "note", unit)
    return (
        way("local_only", 0.789, 0.21, (attribute,), costs={"train_seconds": 3.1}, trust=OPEN[1:]),
        way(
            "federated",
            0.851,
            0.12,
            (*poison, inverted, bounded(0.7)),
            access=access,
            trust=OPEN,
            costs={**shared, "refused_updates": 0.0, "train_seconds": 4.0},
            notes=(note("The hospitals are the care units of admission."),),
        ),
        way(
            "federated_secure",
            0.851,
            0.12,
            (inverted,),
            trust=MASKED,
            access=access,
            costs={**shared, "bytes_up": 2.15e7, "train_seconds": 4.4},
        ),
        way(
            "federated_encrypted",
            0.851,
            0.12,
            (key,),
            trust=MASKED,
            access=access,
            costs={**shared, "bytes_up": 1.6e8, "train_seconds": 31.0},
        ),
        way(
            "split_learning",
            0.838,
            0.2,
            cut,
            access=(ANSWERS, WEIGHTS, CUT, RERUN),
            costs={"rounds": 10.0, "bytes_up": 8.4e6, "bytes_down": 8.1e6},
        ),
        way("dp_sgd", 0.801, 0.02, (bounded(0.2),), name="dp_sgd@1", claim=guarantee(1.0)),
        way("dp_sgd", 0.829, 0.04, (bounded(0.4),), name="dp_sgd@3", claim=guarantee(3.0)),
        way("dp_linear", 0.822, 0.1, (bounded(3.5, broken),), claim=guarantee(3.0)),
        way(
            "dp_forest",
            0.61,
            0.01,
            (bounded(0.1, apart),),
            claim=guarantee(3.0, unit="record", neighbours="replace"),
        ),
    )


def every() -> Audit:
    """An audit of every way of training, with two that were not trained."""
    audit = sample()
    return replace(
        audit,
        subjects=(*audit.subjects[:2], *ways()),
        untrained=(
            Untrained(
                "dp_ebm",
                "dp_ebm",
                Reason(ReasonCode.MISSING_EXTRA, {"library": "interpret", "fix": "pip install it"}),
            ),
            Untrained(
                "federated_trees",
                "federated_trees",
                Reason(
                    ReasonCode.REFUSED,
                    {"what": "1 site", "because": "a federation needs two", "fix": "add a site"},
                ),
            ),
        ),
    )


def sample() -> Audit:
    """Four models: one with no leak seen, three that leak; evasion; refusals; failures."""
    no_gradient = Reason(ReasonCode.LACKS_ACCESS, {"access": (WEIGHTS,)})
    subjects = (
        subject("logreg", 0.858, 1.01, 0.012, (evasion("fgsm", 1.6), evasion("pgd", 1.7))),
        subject(
            "mlp",
            0.849,
            0.78,
            0.31,
            (evasion("fgsm", 2.9), evasion("pgd", 4.1), evasion("square", 2.2)),
        ),
        subject(
            "lstm",
            0.872,
            0.91,
            0.17,
            (
                evasion("pgd", 3.4),
                Failed(
                    "fgsm",
                    "evasion",
                    Reason(ReasonCode.FAILED, {"error": "the gradient was not a number"}),
                ),
            ),
        ),
        subject(
            "boosted",
            0.884,
            0.97,
            0.52,
            (
                Skipped("fgsm", "evasion", no_gradient),
                Skipped("pgd", "evasion", no_gradient),
                evasion("square", 1.9),
            ),
        ),
    )
    coverage = (
        Coverage(
            "membership", "TESTED", ("threshold", "shadow", "lira", "rmia", "few_shadow_lira")
        ),
        Coverage("attribute", "NOT TESTED", (), not_requested=("attribute",)),
        Coverage("evasion", "TESTED", ("fgsm", "pgd", "square")),
        Coverage("reconstruction", "NOT TESTED", ()),
        Coverage("poisoning", "NOT APPLICABLE", (), reason=Reason(ReasonCode.NOTHING_TRAINED)),
    )
    data = Data(
        "generated demo",
        False,
        "mortality",
        "Death in hospital, from the first 48 hours in intensive care",
        "died in hospital",
        ("survived", "died"),
        283,
        48,
        48,
        (
            FlowRow("all stays", 0, 12000, 9100),
            FlowRow("adults (18 and over)", 1110, 10890, 8240),
            FlowRow("first stay of each patient", 2650, 8240, 8240),
            FlowRow("at least 48 hours in the unit", 207, 8033, 8033),
        ),
        (
            Pool("members", 3236, 3236, {"died in hospital": 0.1146}),
            Pool("nonmembers", 3190, 3190, {"died in hospital": 0.1171}),
            Pool("reference", 1607, 1607, {"died in hospital": 0.1139}),
        ),
        (note("Ages over 89 are set to 91.4, as the source shifts them."),),
        {"window_hours": 48, "variables": 48},
        words=Words(record="stay", records="stays"),
    )
    manifest = Manifest(
        "20261121-021500-mortality-7f3a",
        "2026-11-21T02:15:00+00:00",
        "0.1.0",
        "3.11.9",
        "Linux x86_64",
        {"numpy": "2.2.0", "torch": "2.13.0", "xgboost": "3.1.0"},
        "privaudit run mortality --profile standard",
        "standard",
        0.95,
        "5d0c" * 16,
        1312.4,
        1208.8,
        1_890_000_000,
        {"baseline-mlp": 16, "baseline-lstm": 16, "baseline-boosted": 16, "baseline-logreg": 16},
        seed_commitment="sha256:" + "1f" * 32,
    )
    return Audit(manifest, data, subjects, coverage, (note("Each model was trained once."),))
