"""What makes an audit fail whatever its numbers: a leaking harness, a failed attack, a broken
guarantee."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from privaudit.facts import Caveat, CaveatCode, Severity
from privaudit.results import Audit, Control, Failed, Finding, Subject


def find_faults(audit: Audit, judged: Sequence[Subject]) -> tuple[Caveat, ...]:
    """Why the audit failed (severity "defect"), then faults of subjects that are not judged.

    A null control that reads as a leak counts wherever it is: one harness made every number. A
    failed attack, guarantee or training counts for the subjects judged.
    """
    found: list[Caveat] = []
    for subject in audit.subjects:
        found += _of_subject(subject, "defect" if subject in judged else "warning")
    everything = len(judged) == len(audit.subjects)
    for lost in audit.untrained:
        severity: Severity = "defect" if lost.failed and everything else "warning"
        found.append(Caveat(CaveatCode.NOT_TRAINED, severity, {"subject": lost.name}))
    return tuple(sorted(found, key=lambda one: one.severity != "defect"))


def _of_subject(subject: Subject, severity: Severity) -> Iterator[Caveat]:
    for control in subject.controls:
        about = {"attack": control.attack, "subject": subject.name}
        negative = not control.passed and control.kind == "negative"
        if is_broken(control):
            about |= {"control": control.kind}
            yield Caveat(CaveatCode.CONTROL_ERROR, "defect" if negative else severity, about)
        elif negative:
            yield Caveat(CaveatCode.HARNESS_LEAKS, "defect", about)
    for one in subject.outcomes:
        about = {"attack": one.attack, "subject": subject.name}
        if isinstance(one, Failed):
            error = str(one.reason.params.get("error", one.reason.code))
            yield Caveat(CaveatCode.ATTACK_FAILED, severity, {**about, "error": error})
        elif isinstance(one, Finding):
            for caveat in one.caveats:
                if caveat.severity != "defect":
                    continue
                if caveat.code is CaveatCode.EPSILON_ABOVE_CLAIM:
                    params = {**about, **caveat.params}
                    yield Caveat(CaveatCode.GUARANTEE_BROKEN, severity, params)
                else:
                    yield Caveat(caveat.code, severity, caveat.params)


def is_broken(control: Control) -> bool:
    """Whether a control gave no number at all."""
    return not control.passed and not control.estimates
