"""So few people that nothing measured of them is a verdict."""

from __future__ import annotations

from dataclasses import replace

from privaudit.disclosure_limits import MIN_PEOPLE
from privaudit.facts import CaveatCode, Reason, ReasonCode
from privaudit.policy.metrics import METRICS
from privaudit.results import Audit
from privaudit.verdicts import Verdict

SIDES = ("members", "nonmembers")


def has_few_people(audit: Audit) -> bool:
    """Whether one side has so few people, as the audit states it or its pools show."""
    stated = any(caveat.code is CaveatCode.FEW_PEOPLE for caveat in audit.caveats)
    return stated or any(
        pool.name in SIDES and pool.patients < MIN_PEOPLE for pool in audit.data.pools
    )


def doubt_few_people(one: Verdict) -> Verdict:
    """The verdict of an audit of few people: nothing is within a limit, and who was trained on is
    neither surely told nor surely not. A guarantee that is claimed stands, and so does what was
    taken from a release itself, such as a stored record."""
    metric = METRICS.get(one.metric)
    if metric is None or metric.kind == "claim":
        return one
    loses = one.state == "WITHIN" or (one.state == "EXCEEDS" and metric.family == "membership")
    if not loses:
        return one
    reason = Reason(ReasonCode.FEW_PEOPLE, {"least": MIN_PEOPLE})
    return replace(one, state="INCONCLUSIVE", reason=reason)


__all__ = ["doubt_few_people", "has_few_people"]
