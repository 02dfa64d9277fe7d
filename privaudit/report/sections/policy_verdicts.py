"""Policy verdicts: a card for each rule, with what was measured and who waived what."""

from __future__ import annotations

from privaudit.report.blocks import (
    Block,
    Bullets,
    Card,
    Facts,
    Prose,
    Table,
    Text,
)
from privaudit.report.judged import Rule, group_by_rule
from privaudit.report.wording import policy_verdicts as words
from privaudit.report.wording.knowledge import name_attack
from privaudit.report.wording.metrics import name_group
from privaudit.report.wording.questions import VERDICTS
from privaudit.report.wording.verdicts import word_reason, word_remedy
from privaudit.results import Audit
from privaudit.verdicts import Verdict, Verdicts

MAX_ROWS = 6
"""Verdicts under one rule that a table holds, the worst; the others are named by state."""


def build(audit: Audit, verdicts: Verdicts | None) -> tuple[Block, ...]:
    """A card for each rule."""
    if verdicts is None:
        return ()
    rules = group_by_rule(verdicts)
    cards = (_build_card(i, rule) for i, rule in enumerate(rules, 1))
    return (Prose(words.INTRO if rules else words.NO_RULES), *cards)


def _build_card(number: int, rule: Rule) -> Card:
    v = rule.first
    counts = {state: rule.count(state) for state in VERDICTS}
    facts: tuple[tuple[Text, Text], ...] = (
        (words.CARD["limit"], f"{words.name_measure(v)}: {words.word_limit(v)}"),
        (words.CARD["severity"], words.word_severity(rule.severity, rule.applies)),
        (words.CARD["count"], words.count_states(counts, v.at_least)),
    )
    sentences = (
        words.word_deciding(v),
        word_reason(v, name_attack),
        word_remedy(v),
    )
    body: list[Block] = [Facts(facts), *(Prose(text) for text in sentences if text)]
    waived = {(v.subject, v.group, v.waiver): v for v in rule.verdicts if v.waiver is not None}
    body += [Prose(words.word_waiver(v)) for v in waived.values()]
    measured = [v for v in rule.verdicts if v.state != "NOT TESTED"]
    if measured:
        body.append(_build_table(rule.name, measured[:MAX_ROWS]))
    named: dict[str, list[str]] = {}
    for v in (*measured[MAX_ROWS:], *(v for v in rule.verdicts if v.state == "NOT TESTED")):
        named.setdefault(words.get_badge(v).text, []).append(words.word_line(v))
    if named:
        body.append(Bullets(tuple(words.word_more(*entry) for entry in named.items())))
    return Card(rule.name, f"rule-{number}", words.get_badge(rule.first), tuple(body))


def _build_table(rule: str, verdicts: list[Verdict]) -> Table:
    grouped = any(v.group for v in verdicts)
    attacked = any(v.attack or v.setting for v in verdicts)
    columns = ["Model"]
    columns += [words.CARD["attack"]] if attacked else []
    columns += [words.CARD["group"]] if grouped else []
    rows = []
    for v in verdicts:
        row: list[Text] = [v.subject or words.RUN]
        row += [words.word_attack(v)] if attacked else []
        row += [words.EVERYONE if v.group is None else name_group(v.group)] if grouped else []
        row += [words.word_measured(v, e) for e in (v.value, v.lower, v.upper, v.chance)]
        rows.append((*row, (words.get_badge(v),)))
    every = (*columns, *words.VERDICT_COLUMNS)
    figures = tuple(range(len(columns), len(columns) + 4))
    return Table(words.caption_verdicts(rule), every, tuple(rows), figures)


__all__ = ["build"]
