"""Withhold subgroups that nearly equal those of an earlier document."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from privaudit.facts import CaveatCode
from privaudit.results import Audit, Finding, GroupResult, Outcome, Subject


def withhold_near_groups(audit: Audit) -> Audit:
    """The document without the results of subgroups of which one differs by 1 to 9 patients from
    that of an earlier audit, as its caveats state."""
    named = [c.params["columns"] for c in audit.caveats if c.code is CaveatCode.NEAR_GROUPS]
    hidden = {name for names in named if isinstance(names, tuple) for name in names}
    if not hidden:
        return audit
    return replace(audit, subjects=tuple(_strip(one, hidden) for one in audit.subjects))


def _strip(one: Subject, hidden: Collection[str]) -> Subject:
    fidelity, headline = one.fidelity, one.headline
    if fidelity is not None:
        fidelity = replace(fidelity, groups=_suppress(fidelity.groups, hidden))
    if headline is not None:
        headline = _strip_finding(headline, hidden)
    return replace(
        one,
        utility_groups=_suppress(one.utility_groups, hidden),
        utility_everybody=_suppress(one.utility_everybody, hidden),
        headline=headline,
        outcomes=tuple(_strip_outcome(outcome, hidden) for outcome in one.outcomes),
        fidelity=fidelity,
    )


def _strip_outcome(outcome: Outcome, hidden: Collection[str]) -> Outcome:
    return _strip_finding(outcome, hidden) if isinstance(outcome, Finding) else outcome


def _strip_finding(one: Finding, hidden: Collection[str]) -> Finding:
    return replace(
        one,
        groups=_suppress(one.groups, hidden),
        over_represented=_suppress(one.over_represented, hidden),
    )


def _suppress(groups: tuple[GroupResult, ...], hidden: Collection[str]) -> tuple[GroupResult, ...]:
    return tuple(
        GroupResult(one.by, one.level, (), suppressed=True) if one.by in hidden else one
        for one in groups
    )


__all__ = ["withhold_near_groups"]
