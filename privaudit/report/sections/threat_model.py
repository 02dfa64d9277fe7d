"""Threat model: what each release lets an attacker do, and what each attack used."""

from __future__ import annotations

from privaudit.facts import Attacker
from privaudit.report.blocks import Block, Prose, make_table
from privaudit.report.kinds import get_kinds
from privaudit.report.reading import get_findings
from privaudit.report.wording import attackers
from privaudit.report.wording import threat_model as words
from privaudit.report.wording.access import ACCESS, name_access, name_who, shorten_access
from privaudit.report.wording.classes import CLASSES, class_of
from privaudit.report.wording.knowledge import name_attack
from privaudit.report.wording.metrics import capitalise
from privaudit.report.wording.releases import name_column
from privaudit.results import Audit, Subject
from privaudit.verdicts import Verdicts


def build(audit: Audit, verdicts: Verdicts | None) -> tuple[Block, ...]:
    """The attacks, the kinds of access, and which release gives which."""
    granted = [_get_access(s) for s in audit.subjects]
    shown = _sort_access(set().union(*granted))
    if not shown:
        return (Prose(words.INTRO()), Prose(words.NO_ACCESS))
    meanings = [
        (
            shorten_access(access),
            capitalise(name_access(access)),
            capitalise(name_who(access)) if access in ACCESS else "",
        )
        for access in shown
    ]
    rows = [
        (s.name, *(words.YES if access in own else words.NO for access in shown))
        for s, own in zip(audit.subjects, granted, strict=True)
    ]
    columns = (name_column(get_kinds(audit)), *(shorten_access(access) for access in shown))
    return (
        Prose(words.INTRO()),
        Prose(words.KNOWS()),
        *_build_attackers(audit),
        *_build_attacks(audit),
        make_table(words.ACCESS_CAPTION, words.ACCESS_COLUMNS, meanings),
        make_table(words.RELEASES_CAPTION, columns, rows),
    )


def _build_attackers(audit: Audit) -> tuple[Block, ...]:
    """Who makes the membership attacks: what they hold, and what was measured in their place."""
    made: dict[Attacker, dict[str, None]] = {}
    for s in audit.subjects:
        for f in get_findings(s, "membership"):
            if f.attacker is not None:
                made.setdefault(f.attacker, {})[name_attack(f.attack)] = None
    rows = [
        (capitalise(note.name), note.holds, note.measured, ", ".join(made[attacker]))
        for attacker, note in attackers.list_attackers().items()
        if attacker in made
    ]
    return (make_table(attackers.CAPTION, attackers.COLUMNS(), rows),) if rows else ()


def _build_attacks(audit: Audit) -> tuple[Block, ...]:
    """Every attack that ran: its class, what it knew, and what it was given."""
    ran: dict[str, tuple[str, set[str]]] = {}
    makers: dict[str, Attacker | None] = {}
    for s in audit.subjects:
        for f in get_findings(s):
            ran.setdefault(f.attack, (f.family, set()))[1].update(f.access)
            makers.setdefault(f.attack, f.attacker)
    rows = []
    for attack, (family, access) in ran.items():
        given = _sort_access(access)
        known = class_of(attack, family)
        rows.append(
            (
                name_attack(attack),
                CLASSES[known].nist if known else family,
                ACCESS[given[0]].knowledge if given and given[0] in ACCESS else "",
                ", ".join(shorten_access(a).lower() for a in given),
                attackers.name_attacker(makers[attack]),
            )
        )
    return (make_table(words.ATTACKS_CAPTION, words.ATTACKS_COLUMNS, rows),) if rows else ()


def _sort_access(access: set[str]) -> list[str]:
    """The most telling first, unknown names last."""
    order = list(ACCESS)
    return sorted(access, key=lambda a: (order.index(a) if a in ACCESS else len(order), a))


def _get_access(subject: Subject) -> set[str]:
    """What holding the release allows, and what the attacks that ran were granted on top."""
    return {*subject.access, *(a for f in get_findings(subject) for a in f.access)}


__all__ = ["build"]
