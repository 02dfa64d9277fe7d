"""Criteria of authorities and standards, and what this run holds on each."""

from __future__ import annotations

from privaudit.report.blocks import Block, Prose, make_table
from privaudit.report.coverage import select_classes
from privaudit.report.wording import closing as words
from privaudit.report.wording.classes import CLASSES
from privaudit.report.wording.knowledge import criteria
from privaudit.results import Audit
from privaudit.verdicts import Verdicts


def build(audit: Audit, verdicts: Verdicts | None) -> tuple[Block, ...]:
    """One table, a row a criterion."""
    tested = set(select_classes(audit, "TESTED"))
    untested = set(select_classes(audit, "NOT TESTED"))
    version, as_of, entries = criteria()
    rows = []
    for c in entries:
        names = [CLASSES[key].name for key in c.classes]
        in_run = words.word_in_run(
            [name.lower() for name in names if name in tested],
            [name.lower() for name in names if name in untested],
        )
        rows.append((c.source, c.where, c.asks, in_run if names else c.note))
    table = make_table(words.CRITERIA_CAPTION, words.CRITERIA_COLUMNS, rows)
    return (Prose(words.word_criteria(version, as_of)), table)


__all__ = ["build"]
