"""Rule by rule: a card for each rule of the policy, with what was measured and who waived what."""

from __future__ import annotations

from privaudit.report import wording as say
from privaudit.report.blocks import Badge, Block, Bullets, Card, Facts, Prose, Table, Text
from privaudit.report.judged import Rule, applies, rules
from privaudit.report.notes import label
from privaudit.report.reading import FEW
from privaudit.results import Audit
from privaudit.verdicts import Verdict, Verdicts

ORDER = 15
JUDGED = True
MOST, FEWER = 8, 5
"""Verdicts under one rule that a table holds, the worst, in a run of few models and of many; the others
are named by state."""


def build(audit: Audit, verdicts: Verdicts | None) -> tuple[Block, ...]:
    if verdicts is None:
        return ()
    found = rules(verdicts)
    most = MOST if len(audit.subjects) <= FEW else FEWER
    cards = (_card(i, rule, most) for i, rule in enumerate(found, 1))
    return (Prose(say.RULES if found else say.NO_RULES), *cards)


def _card(number: int, rule: Rule, most: int) -> Card:
    v = rule.first
    facts: list[tuple[Text, Text]] = [
        (say.CARD["limit"], f"{say.metric(v)}: {say.limit(v)}"),
        (say.CARD["severity"], say.severity(rule.severity, rule.applies)),
        (say.CARD["count"], say.counts({s: rule.count(s) for s in say.VERDICTS}, say.floor(v))),
    ]
    body: list[Block] = [Facts(tuple(facts))]
    if v.sentence:
        body.append(Prose(say.deciding(v)))
    reason = say.because(v)
    if reason:
        body.append(Prose(reason))
    waivers = dict.fromkeys((v.subject, v.group, v.waiver) for v in rule.verdicts if v.waiver)
    body += [Prose(say.waiver_of(who, group, w)) for who, group, w in waivers if w is not None]
    measured = [v for v in rule.verdicts if v.state != "NOT TESTED"]
    if measured:
        body.append(_table(rule.name, tuple(measured[:most])))
    rest = [*measured[most:], *(v for v in rule.verdicts if v.state == "NOT TESTED")]
    if rest:
        body.append(Bullets(tuple(_rest(rest))))
    return Card(rule.name, f"rule-{number}", badge(v), tuple(body))


def _rest(verdicts: list[Verdict]) -> list[str]:
    """Those that no table holds: by state, named."""
    named: dict[str, list[str]] = {}
    for v in verdicts:
        named.setdefault(badge(v).text, []).append(say.where(v))
    return [say.more_verdicts(state, names) for state, names in named.items()]


def badge(v: Verdict) -> Badge:
    """State by shape, word and colour; a waiver is printed with it and never replaces it."""
    if not applies(v):
        return say.NOT_ABOUT
    return say.verdict_badge(v)


def _table(rule: str, verdicts: tuple[Verdict, ...]) -> Table:
    grouped = any(v.group for v in verdicts)
    attacked = any(v.attack for v in verdicts)
    rows: list[tuple[Text, ...]] = []
    for v in verdicts:
        row: list[Text] = [v.subject or say.RUN]
        row += [_attack(v)] if attacked else []
        row += [v.group or say.EVERYONE] if grouped else []
        row += [say.measured(v, v.value), say.measured(v, v.lower), say.measured(v, v.upper)]
        row += [say.measured(v, v.chance), (badge(v),)]
        rows.append(tuple(row))
    first = 1 + attacked + grouped
    columns = (
        "Model",
        *((say.CARD["attack"],) if attacked else ()),
        *((say.CARD["group"],) if grouped else ()),
        *say.VERDICT_COLUMNS,
    )
    return Table(
        say.verdicts_caption(rule), columns, tuple(rows), numeric=tuple(range(first, first + 4))
    )


def _attack(v: Verdict) -> str:
    name = label(v.attack) if v.attack else ""
    return f"{name}, {v.setting}" if v.setting and name else name or v.setting


__all__ = ["badge", "build"]
