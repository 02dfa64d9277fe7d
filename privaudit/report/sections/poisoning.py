"""Poisoned training: every malicious client against every aggregator, before and after."""

from __future__ import annotations

from privaudit.report import numbers as n
from privaudit.report import wording as say
from privaudit.report.blocks import Block, Heading, Prose, Strong, Table, Text
from privaudit.report.notes import label
from privaudit.report.reading import FEW, Budget, budgets, excess, findings
from privaudit.results import Audit, Finding, Subject

ORDER = 106


def build(audit: Audit) -> tuple[Block, ...]:
    blocks: list[Block] = []
    if len(audit.subjects) > FEW:
        blocks = _across(audit)
        return (Prose(say.POISONING), *blocks) if blocks else ()
    for number, s in enumerate(audit.subjects, 1):
        tried = [(f, b) for f in findings(s, "poisoning") for b in budgets(f)]
        if tried:
            blocks += [Heading(s.name, f"poisoning-{number}"), *_subject(s, tried)]
    return (Prose(say.POISONING), *blocks) if blocks else ()


def _across(audit: Audit) -> list[Block]:
    """Many models: what each attack adds, a column an aggregator."""
    tried = [
        (s, f, b, *parts(b.size))
        for s in audit.subjects
        for f in findings(s, "poisoning")
        for b in budgets(f)
    ]
    against = list(dict.fromkeys(rule for *_, rule, _ in tried))
    rows: dict[tuple[str, str], dict[str, Text]] = {}
    for s, f, b, rule, act in tried:
        gap = b.gap
        text = n.estimate_text(gap) if gap is not None else ""
        cell: Text = (Strong(text),) if excess(gap) else text
        rows.setdefault((s.name, act or label(f.attack)), {})[rule] = cell
    if not rows:
        return []
    said = [
        Prose(_title(s, own))
        for s in audit.subjects
        if (
            own := [(f, b) for t, f, b, *_ in tried if t is s and b.gap and b.gap.value is not None]
        )
    ]
    table = Table(
        say.POISON_ACROSS,
        ("Model", say.POISON_COLUMNS[2], *(rule or say.POISON_ALONE for rule in against)),
        tuple(
            (model, act, *(cells.get(rule, "") for rule in against))
            for (model, act), cells in rows.items()
        ),
        numeric=tuple(range(2, 2 + len(against))),
        notes=(say.BOLD_ADDED,),
    )
    return [*said, table]


def parts(size: str) -> tuple[str, str]:
    """The aggregator and what is done, from a key such as `median / sign flip x10`."""
    against, slash, act = size.partition(" / ")
    return (against, act) if slash else ("", size)


def _subject(s: Subject, tried: list[tuple[Finding, Budget]]) -> list[Block]:
    rows: list[tuple[Text, ...]] = []
    for f, b in tried:
        against, act = parts(b.size)
        cells = (n.estimate_text(e) if e is not None else "" for e in (b.control, b.attack, b.gap))
        rows.append((label(f.attack), against, act, *cells))
    table = Table(say.poison_caption(s.name), say.POISON_COLUMNS, tuple(rows), numeric=(3, 4, 5))
    stated = [(f, b) for f, b in tried if b.gap is not None and b.gap.value is not None]
    if not stated:
        return [table]
    return [Prose(_title(s, stated)), table]


def _title(s: Subject, tried: list[tuple[Finding, Budget]]) -> str:
    def gap(b: Budget) -> float:
        return b.gap.value if b.gap is not None and b.gap.value is not None else 0.0

    f, worst = max(tried, key=lambda entry: gap(entry[1]))
    against, act = parts(worst.size)
    same = [b for g, b in tried if g.attack == f.attack and parts(b.size)[1] == act]
    best = min(same, key=gap)
    holds = parts(best.size)[0] if 2 * gap(best) < gap(worst) else None
    assert worst.gap is not None
    return say.poison_title(s.name, act or label(f.attack), against, worst.gap, holds)
