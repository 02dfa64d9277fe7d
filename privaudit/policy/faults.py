"""What makes an audit fail whatever its numbers: a leaking harness, a broken attack, a broken promise."""

from __future__ import annotations

from collections.abc import Sequence

from privaudit.policy import sentences
from privaudit.results import Audit, Control, Failed, Finding, Subject

DEFECT = "defect: "
"""How the engine begins a caveat that says a promise is broken."""


def faults(audit: Audit, judged: Sequence[Subject]) -> tuple[list[str], list[str]]:
    """Why the audit failed, and faults of subjects that are not judged and so do not count.

    A null control that reads as a leak counts wherever it is: one harness made every number. A broken
    attack, promise or training counts for the subjects judged.
    """
    failed: list[str] = []
    told: list[str] = []
    for subject in audit.subjects:
        counts = failed if subject in judged else told
        for control in subject.controls:
            if not control.passed and control.kind == "negative":
                failed.append(sentences.leaking(subject.name, control.attack, broken(control)))
            elif broken(control):
                counts.append(sentences.control_broke(subject.name, control.attack))
        for one in subject.outcomes:
            if isinstance(one, Failed):
                counts.append(sentences.attack_broke(subject.name, one.attack, one.error))
            elif isinstance(one, Finding):
                counts.extend(
                    sentences.promise_broke(subject.name, caveat.removeprefix(DEFECT))
                    for caveat in one.caveats
                    if caveat.startswith(DEFECT)
                )
    everything = len(judged) == len(audit.subjects)
    for lost in audit.untrained:
        if lost.broke:
            (failed if everything else told).append(
                sentences.training_broke(lost.name, lost.reason)
            )
        else:
            told.append(sentences.untrained(lost.name, lost.reason))
    return failed, told


def broken(control: Control) -> bool:
    """Whether a control gave no number at all."""
    return not control.passed and not control.estimates


__all__ = ["DEFECT", "broken", "faults"]
