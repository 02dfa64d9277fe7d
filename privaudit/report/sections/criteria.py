"""Criteria of authorities and standards, and what this run holds on each."""

from __future__ import annotations

from privaudit.report import wording as say
from privaudit.report.blocks import Block, Prose, Table
from privaudit.report.classes import CLASSES, tried
from privaudit.results import Audit

ORDER = 140


def build(audit: Audit) -> tuple[Block, ...]:
    states = {t.key: t.state for t in tried(audit)}

    def told(c: say.Criterion) -> str:
        if not c.classes:
            return c.told
        names = {key: CLASSES[key].short.lower() for key in c.classes}
        tested = [name for key, name in names.items() if states[key] == "TESTED"]
        return say.in_run(
            tested, [name for key, name in names.items() if states[key] == "NOT TESTED"]
        )

    rows = tuple((c.source, c.where, c.asks, told(c)) for c in say.CRITERIA)
    return (Prose(say.CRITERIA_INTRO), Table(say.CRITERIA_CAPTION, say.CRITERIA_COLUMNS, rows))
