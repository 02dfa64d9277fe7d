"""Which classes of attack this run tried, on how many models, and why not the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from privaudit.report.kinds import get_kinds
from privaudit.report.wording.classes import (
    ANSWERS_KNOWN,
    CLASSES,
    NEEDS_ASSIGNMENT,
    NO_EXCHANGE,
    NO_FILE,
    NO_TABLE,
    AttackClass,
    class_of,
)
from privaudit.report.wording.reasons_and_caveats import word_reason
from privaudit.results import Audit, Failed, Finding, Outcome

State = Literal["TESTED", "NOT TESTED", "NOT APPLICABLE"]
EXCHANGED = ("UPDATES", "CUT", "CIPHER")
NEED_MODEL = ("attribute", "inversion", "evasion", "poisoning", "property", "extraction")


@dataclass(frozen=True)
class Tried:
    """One class in this run: the attacks that gave a result, on how many models, and why not."""

    of: AttackClass
    state: State
    attacks: tuple[str, ...] = ()
    models: int = 0
    reason: str = ""


def get_coverage(audit: Audit) -> tuple[Tried, ...]:
    """Every class with its state in this run, then families of the audit that are in no class."""
    known = {family for c in CLASSES.values() for family in c.families}
    others = (
        Tried(
            AttackClass(c.family.replace("_", " ").capitalize(), "", "", "", (c.family,)),
            c.state,
            c.attacks,
            reason=word_reason(c.reason) if c.reason is not None else "",
        )
        for c in audit.coverage
        if c.family not in known
    )
    return (*(_try_class(audit, key, c) for key, c in CLASSES.items()), *others)


def select_classes(audit: Audit, state: State) -> list[str]:
    """Names of the classes in this state."""
    return [t.of.name for t in get_coverage(audit) if t.state == state]


def _try_class(audit: Audit, key: str, c: AttackClass) -> Tried:
    own = [
        (s.name, o)
        for s in audit.subjects
        for o in s.outcomes
        if class_of(o.attack, o.family) == key
    ]
    made = [(name, o) for name, o in own if isinstance(o, Finding)]
    ran = [(name, o.attack) for name, o in made]
    if any(not o.is_partial for _, o in made):
        attacks = tuple(sorted({attack for _, attack in ran}))
        return Tried(c, "TESTED", attacks, len({name for name, _ in ran}))
    return Tried(c, *_explain_absence(audit, key, c, [o for _, o in own]))


def _explain_absence(
    audit: Audit, key: str, c: AttackClass, own: list[Outcome]
) -> tuple[State, tuple[str, ...], int, str]:
    """State and reason of a class that gave no result on any model."""
    released = {access for s in audit.subjects for access in s.access}
    state: State = "NOT TESTED"
    reason = c.lacking
    engine = next((a for a in audit.coverage if a.family in c.families), None)
    failed = next((o.reason for o in own if isinstance(o, Failed)), None)
    if c.table and "TABLE" not in released:
        state, reason = "NOT APPLICABLE", NO_TABLE
    elif key == "epsilon" and not audit.data.random_split:
        reason = NEEDS_ASSIGNMENT()
    elif key == "exfiltration" and "FILE" not in released:
        reason = NO_FILE
    elif key == "reconstruction" and audit.subjects and not released & set(EXCHANGED):
        state, reason = "NOT APPLICABLE", NO_EXCHANGE
    elif key in NEED_MODEL and set(get_kinds(audit)) == {"answers"}:
        reason = ANSWERS_KNOWN
    elif failed is not None:
        reason = word_reason(failed)
    elif engine is not None and engine.state != "TESTED" and engine.reason is not None:
        state, reason = engine.state, word_reason(engine.reason)
    elif own:
        reasons = (word_reason(o.reason) for o in own if not isinstance(o, Finding))
        reason = "; ".join(dict.fromkeys(reasons)) or reason
    return state, (), 0, reason


__all__ = ["Tried", "get_coverage", "select_classes"]
