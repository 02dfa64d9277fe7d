"""Where patients have several records a limit is kept only if no patients of many records hide the
rest."""

from dataclasses import replace

import pytest
from policy_lab import DAY, audit, controls, member, number, policy, subject

from privaudit.facts import Setting
from privaudit.policy import baseline, judge
from privaudit.policy.metrics import EVENED
from privaudit.policy.rules import Limit, Regression
from privaudit.results import Audit, Estimate
from privaudit.verdicts import Verdict

AUC = Limit("auc", "membership.auc", 0.6)


def judged(evened: tuple[Estimate, ...], value: float = 0.52) -> Verdict:
    found = replace(member("lira", number("auc", value)), evened=evened)
    one = audit(subject(outcomes=[found], controls=controls("lira")))
    return next(v for v in judge(policy(AUC), one, today=DAY).verdicts if v.rule == "auc")


@pytest.mark.parametrize(
    ("evened", "state"),
    [
        ((), "WITHIN"),
        ((number("auc", 0.53),), "WITHIN"),
        ((number("auc", 0.66),), "INCONCLUSIVE"),
        ((number("auc", 0.6, 0.58, 0.62),), "INCONCLUSIVE"),
        ((number("auc", None),), "INCONCLUSIVE"),
        ((number("tpr", 0.01),), "INCONCLUSIVE"),
    ],
)
def test_within_asks_for_the_evened_number_too(evened: tuple[Estimate, ...], state: str) -> None:
    """One that is withheld or was not made leaves the limit undecided as well."""
    assert judged(evened).state == state


def test_an_evened_number_excuses_nothing() -> None:
    assert judged((number("auc", 0.5),), value=0.7).state == "EXCEEDS"


def run_of(auc: float, evened: float | None, seed: int) -> Audit:
    more = () if evened is None else (number("auc", evened),)
    found = replace(member("lira", number("auc", auc)), evened=more)
    one = audit(subject(outcomes=[found], controls=controls("lira")))
    return replace(
        one, manifest=replace(one.manifest, run=f"run{seed}", seed_commitment=f"sha256:{seed:064x}")
    )


@pytest.mark.parametrize(
    ("after", "states"),
    [
        (0.56, {None: "WITHIN", EVENED: "WITHIN"}),
        (0.75, {None: "WITHIN", EVENED: "EXCEEDS"}),
        (None, {None: "WITHIN", EVENED: "NOT TESTED"}),
    ],
)
def test_a_regression_judges_the_evened_number_too(
    after: float | None, states: dict[Setting | None, str]
) -> None:
    """Patients with many records hide from the sums what becomes of the others."""
    rule = Regression("auc", "membership.auc", 0.02)
    spread = (0.0, 0.001, 0.002, 0.003, 0.004)
    accepted = [run_of(0.55 + s, 0.56 + s, i) for i, s in enumerate(spread)]
    held = baseline.create(accepted, who="Dr. Who", when="2026-11-01", reason="first release")
    runs = [
        run_of(0.55 + s, None if after is None else after + s, 10 + i) for i, s in enumerate(spread)
    ]
    first, *others = runs
    found = judge(policy(rule), first, baseline=held, candidates=others, today=DAY).verdicts
    assert {v.setting: v.state for v in found if v.rule == "auc"} == states
