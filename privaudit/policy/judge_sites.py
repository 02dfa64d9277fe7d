"""What hospitals that counted for themselves can and cannot decide."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from privaudit.facts import Group, Reason, ReasonCode
from privaudit.policy import metrics
from privaudit.policy.judge_rule import about
from privaudit.policy.rules import Guard, Limit
from privaudit.results import Audit, Subject
from privaudit.verdicts import Verdict

BY = "site"
"""The grouping whose levels are the hospitals of a federation."""


def miss_sites(
    audit: Audit, rule: Limit | Guard, subject: Subject, found: Sequence[Verdict]
) -> Iterator[Verdict]:
    """NOT TESTED for each hospital of the roster without a number, where a rule is hospital by
    hospital: to waive the others is not to waive it."""
    judged = {one.group.level for one in found if one.group is not None and one.group.by == BY}
    if audit.federation is None or BY not in rule.by or not judged:
        return
    reason = Reason(ReasonCode.NUMBER_ABSENT)
    for site in audit.federation.sites:
        if site.name not in judged:
            group = Group(BY, site.name)
            yield Verdict(**about(rule, subject), state="NOT TESTED", group=group, reason=reason)


def doubt_sites(one: Verdict) -> Verdict:
    """The verdict where hospitals counted for themselves: no number of theirs is within a limit. A
    harm that they state stands: nobody gains by stating one. A claimed guarantee is no count."""
    metric = metrics.METRICS.get(one.metric)
    if one.state != "WITHIN" or metric is None or metric.kind == "claim":
        return one
    return replace(one, state="INCONCLUSIVE", reason=Reason(ReasonCode.STATED_BY_SITES))


__all__ = ["doubt_sites", "miss_sites"]
