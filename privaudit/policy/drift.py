"""Pools that nobody assigned at random: which number shows a leak, and when none shows that none
is there."""

from __future__ import annotations

from collections.abc import Sequence

from privaudit.contracts import Access
from privaudit.facts import Metric, ReasonCode
from privaudit.policy.metrics import Reading
from privaudit.results import Audit, Control, Estimate, Finding, Subject
from privaudit.stats.catalogue import PATIENTS
from privaudit.stats.headline import control_state, is_drift


def find_corrected(subject: Subject, reading: Reading) -> Estimate | None:
    """The number less what the same attack reads of a null on the same patients; None where there
    is none, and for a group, which is not corrected. Of patients at risk the number itself: the
    audit drew the halves that it compares, whoever drew the pools."""
    finding, raw = _find(subject, reading), reading.estimate
    if finding is None or raw is None or reading.group is not None:
        return None
    if raw.metric.name in PATIENTS:
        return raw
    return next((one for one in finding.corrected if one.metric == raw.metric), None)


def find_drift(
    audit: Audit, subject: Subject, reading: Reading, family: str, null: Sequence[Control]
) -> ReasonCode | None:
    """Why a number may be a difference between the pools; None where they are alike, or were
    assigned at random.

    null: the negative controls of the attack on the subject. A corrected number above a limit shows
    a leak all the same; nothing is within one.
    """
    if family not in ("membership", "synthetic"):
        return None
    if audit.data.distribution_shift is not None:
        return ReasonCode.DISTRIBUTION_SHIFTED
    finding = _find(subject, reading)
    if any(map(is_drift, null)) or (finding is not None and _drifts_at(finding, reading)):
        return ReasonCode.SCORE_DRIFTED
    compared = family == "membership" and not audit.data.random_split
    if not compared or finding is None or Access.TABLE.name in finding.access:
        return None
    if any(control_state(one) == "not made" for one in null):
        # Why it was not made says more than that nothing was compared with it.
        return None
    if reading.estimate is None:
        return None
    # A group has no number of its own that is corrected: it goes by the whole of the attack.
    known = finding.corrected if reading.group else find_corrected(subject, reading)
    # Nobody at risk is no finding where one person may have two ids among the training records.
    is_own = reading.estimate.metric.name in PATIENTS
    return None if known and not is_own else ReasonCode.NULL_NOT_COMPARED


def _find(subject: Subject, reading: Reading) -> Finding | None:
    own = (one for one in subject.outcomes if one.attack == reading.attack)
    return next((one for one in own if isinstance(one, Finding)), None)


def _drifts_at(finding: Finding, reading: Reading) -> bool:
    """Whether the null's rate at the number's own false positive rate is surely not chance: a few
    sure non-members raise the threshold and hide members, and the AUC hardly shows it."""
    raw = reading.estimate
    if raw is None or raw.metric.fpr is None:
        return False
    wanted = Metric("tpr", fpr=raw.metric.fpr)
    null = next((one for one in finding.null if one.metric == wanted), None)
    if null is None or null.low is None or null.high is None or null.chance is None:
        return False
    return not null.low <= null.chance <= null.high


__all__ = ["find_corrected", "find_drift"]
