"""Rule by rule: a card for each rule of the policy, with what was measured and who waived what."""

from __future__ import annotations

from privaudit.report import sentences as say
from privaudit.report.blocks import Badge, Block, Card, Details, Facts, Prose, Table, Text
from privaudit.report.judged import Rule, rules
from privaudit.report.notes import label
from privaudit.results import Audit
from privaudit.verdicts import Verdict, Verdicts

ORDER = 15
JUDGED = True
MOST = 12
"""Verdicts under one rule that are told in full; the rest of them stand folded away, in short."""


def build(audit: Audit, verdicts: Verdicts | None) -> tuple[Block, ...]:
    if verdicts is None:
        return ()
    found = rules(verdicts)
    cards = (_card(i, rule) for i, rule in enumerate(found, 1))
    return (Prose(say.RULES if found else say.NO_RULES), *cards)


def _card(number: int, rule: Rule) -> Card:
    v = rule.first
    facts: list[tuple[Text, Text]] = [
        (say.CARD["limit"], f"{say.metric(v)}: {say.limit(v)}"),
        (say.CARD["severity"], say.SEVERITY[rule.severity]),
        (say.CARD["count"], say.counts({s: rule.count(s) for s in say.VERDICTS})),
    ]
    body: list[Block] = [Facts(tuple(facts))]
    if v.sentence:
        body.append(Prose(say.deciding(v)))
    reason = say.because(v)
    if reason:
        body.append(Prose(reason))
    waivers = dict.fromkeys((v.subject, v.group, v.waiver) for v in rule.verdicts if v.waiver)
    body += [Prose(say.waiver_of(who, group, w)) for who, group, w in waivers if w is not None]
    shown, rest = rule.verdicts[:MOST], rule.verdicts[MOST:]
    body.append(_table(rule.name, shown))
    if rest:
        body.append(Details(say.more_verdicts(len(rest)), (_short(rule.name, rest),)))
    return Card(rule.name, f"rule-{number}", badge(v), tuple(body))


def badge(v: Verdict) -> Badge:
    """State by shape, word and colour; a waiver is printed with it and never replaces it."""
    return say.VERDICTS[v.state] if v.waiver is None else say.waived_badge(v.state, v.waiver)


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


def _short(rule: str, verdicts: tuple[Verdict, ...]) -> Table:
    rows = tuple(
        (
            ", ".join(x for x in (v.subject, _attack(v), v.group) if x),
            say.measured(v, v.value),
            v.state,
        )
        for v in verdicts
    )
    return Table(say.verdicts_caption(rule), say.SHORT_COLUMNS, rows, numeric=(1,))


__all__ = ["badge", "build"]
