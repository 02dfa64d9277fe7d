"""Where patients have several records a limit is kept only if no patients of many records hide the
rest."""

from dataclasses import replace

import pytest
from policy_lab import DAY, audit, controls, member, number, policy, subject

from privaudit.policy import judge
from privaudit.policy.rules import Limit
from privaudit.results import Estimate
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
