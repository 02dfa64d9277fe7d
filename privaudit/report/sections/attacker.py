"""The attacker imagined: what each model lets anybody do, in words."""

from __future__ import annotations

from privaudit.report import wording as say
from privaudit.report.blocks import Block, Prose, Table, Text
from privaudit.report.classes import CLASSES, class_of
from privaudit.report.notes import ACCESS, label
from privaudit.report.reading import findings
from privaudit.results import Audit, Subject

ORDER = 50
MANY = 6
"""With more models than this they stand in rows, not in columns."""


def build(audit: Audit) -> tuple[Block, ...]:
    powers = list(dict.fromkeys(power for s in audit.subjects for power in sorted(_powers(s))))
    order = [words for words, _ in ACCESS.values()]
    powers.sort(key=lambda power: (order.index(power) if power in order else len(order), power))
    if not powers:
        return (Prose(say.ATTACKER), Prose(say.NO_ACCESS))
    who = dict(ACCESS.values())
    if len(audit.subjects) > MANY:
        return (Prose(say.ATTACKER), Prose(say.KNOWS), *_card(audit), *_turned(audit, powers, who))
    rows = tuple(
        (
            say.capital(power),
            say.capital(who.get(power, "")),
            *("yes" if power in _powers(s) else "no" for s in audit.subjects),
        )
        for power in powers
    )
    columns = (*say.ATTACKER_COLUMNS, *(s.name for s in audit.subjects))
    table = Table(say.ATTACKER_CAPTION, columns, rows)
    return (Prose(say.ATTACKER), Prose(say.KNOWS), *_card(audit), table)


def _card(audit: Audit) -> tuple[Block, ...]:
    """Every attack that ran: its class, what it knew, and what it was given."""
    ran: dict[str, tuple[str, set[str]]] = {}
    for s in audit.subjects:
        for f in findings(s):
            ran.setdefault(f.attack, (f.family, set()))[1].update(f.access)
    rows: list[tuple[Text, ...]] = []
    for attack, (family, access) in ran.items():
        keys = [key for key, (words, _) in ACCESS.items() if words in access or key in access]
        knows = next((text for key, text in say.KNOWLEDGE.items() if key in keys), "")
        known = class_of(attack, family)
        given = ", ".join(say.POWERS.get(key, key).lower() for key in keys)
        rows.append((label(attack), CLASSES[known].nist if known else family, knows, given))
    return (Table(say.CARD_CAPTION, say.CARD_COLUMNS, tuple(rows)),) if rows else ()


def _turned(audit: Audit, powers: list[str], who: dict[str, str]) -> tuple[Block, ...]:
    """With many models: one table of what can be done, and one with a row for each model."""
    meanings = Table(
        say.POWERS_CAPTION,
        say.ATTACKER_COLUMNS,
        tuple((say.capital(power), say.capital(who.get(power, ""))) for power in powers),
    )
    short = {words: say.POWERS.get(key, words) for key, (words, _) in ACCESS.items()}
    rows = tuple(
        (s.name, *("yes" if power in _powers(s) else "no" for power in powers))
        for s in audit.subjects
    )
    columns = ("Model", *(short.get(power, power) for power in powers))
    return (meanings, Table(say.ATTACKER_CAPTION, columns, rows))


def _known(access: str) -> str:
    """The access in words, whether the document names it by its key or by its words."""
    return ACCESS[access][0] if access in ACCESS else access


def _powers(subject: Subject) -> set[str]:
    """What holding the release allows, and what the attacks that ran were granted on top."""
    granted = (access for f in findings(subject) for access in f.access)
    return {_known(access) for access in (*subject.access, *granted)}
