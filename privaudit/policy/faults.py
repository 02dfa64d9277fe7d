"""What makes an audit fail whatever its numbers: a leaking harness, a failed attack, a broken
guarantee.

Decided by codes and by checking again, not by the severity that a document states.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from privaudit.facts import Caveat, CaveatCode, Severity
from privaudit.policy.metrics import read_access
from privaudit.results import Audit, Failed, Finding, Subject
from privaudit.stats.guarantees import check_guarantee
from privaudit.stats.headline import control_state, is_drift

BROKEN = (CaveatCode.EPSILON_ABOVE_CLAIM, CaveatCode.GUARANTEE_BROKEN)
"""Caveats that are defects wherever they stand."""


def find_faults(audit: Audit, judged: Sequence[Subject]) -> tuple[Caveat, ...]:
    """Why the audit failed (severity "defect"), then faults of subjects that are not judged.

    A null control that reads as a leak counts wherever it is: one harness made every number. One
    that could not be made is no fault of the audit: it decides nothing. A failed attack, guarantee
    or training counts for the subjects judged.
    """
    found: list[Caveat] = []
    for subject in audit.subjects:
        found += _of_subject(subject, "defect" if subject in judged else "warning")
    everything = len(judged) == len(audit.subjects)
    for lost in audit.untrained:
        severity: Severity = "defect" if lost.failed and everything else "warning"
        found.append(Caveat(CaveatCode.NOT_TRAINED, severity, {"subject": lost.name}))
    spared = {one.name for one in audit.subjects} - {one.name for one in judged}
    for caveat in audit.caveats:
        if caveat.code in BROKEN:
            severity = "warning" if caveat.params.get("subject") in spared else "defect"
            found.append(Caveat(caveat.code, severity, caveat.params))
        elif caveat.code is CaveatCode.CONTROL_FAILED and caveat.params["control"] == "negative":
            # Stated of the whole audit: what its subjects hold may have lost the control itself.
            about = {name: caveat.params[name] for name in ("attack", "subject")}
            found.append(Caveat(CaveatCode.HARNESS_LEAKS, "defect", about))
    return join_faults(found)


def join_faults(found: Iterable[Caveat]) -> tuple[Caveat, ...]:
    """Each fault once, defects first."""
    joined: list[Caveat] = []
    for one in sorted(found, key=lambda one: one.severity != "defect"):
        if (one.code, one.params) not in [(known.code, known.params) for known in joined]:
            joined.append(one)
    return tuple(joined)


def _of_subject(subject: Subject, severity: Severity) -> Iterator[Caveat]:
    for control in subject.controls:
        about = {"attack": control.attack, "subject": subject.name}
        state = control_state(control)
        if state == "not made":
            yield Caveat(CaveatCode.CONTROL_NOT_MADE, "warning", {**about, "control": control.kind})
        elif state == "failed" and control.kind == "negative" and not is_drift(control):
            yield Caveat(CaveatCode.HARNESS_LEAKS, "defect", about)
    for one in subject.outcomes:
        if isinstance(one, Failed):
            error = str(one.reason.params.get("error", one.reason.code))
            about = {"attack": one.attack, "subject": subject.name, "error": error}
            yield Caveat(CaveatCode.ATTACK_FAILED, severity, about)
        elif isinstance(one, Finding):
            yield from _of_finding(one, subject, severity)
    if subject.headline is not None:
        yield from _of_finding(subject.headline, subject, severity)
    for caveat in subject.notes:
        if caveat.code in BROKEN:
            yield Caveat(caveat.code, severity, caveat.params)


def _of_finding(one: Finding, subject: Subject, severity: Severity) -> Iterator[Caveat]:
    """Its defects, and a guarantee that its numbers break whether or not a caveat states it."""
    proven = check_guarantee(subject.claim, one.estimates, read_access(one.access))
    for caveat in (*one.caveats, *proven):
        if caveat.code is CaveatCode.EPSILON_ABOVE_CLAIM:
            about = {"attack": one.attack, "subject": subject.name}
            yield Caveat(CaveatCode.GUARANTEE_BROKEN, severity, {**about, **caveat.params})
        elif caveat.code in BROKEN or caveat.severity == "defect":
            yield Caveat(caveat.code, severity, caveat.params)
