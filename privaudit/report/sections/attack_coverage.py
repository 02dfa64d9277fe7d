"""Attack coverage: what was tested and what was not, by the classes of a data protection
authority."""

from __future__ import annotations

from privaudit.report.blocks import Block, Prose, make_table
from privaudit.report.coverage import get_coverage
from privaudit.report.wording import attack_coverage as words
from privaudit.report.wording.knowledge import name_attack
from privaudit.results import Audit
from privaudit.verdicts import Verdicts


def build(audit: Audit, verdicts: Verdicts | None) -> tuple[Block, ...]:
    """One table, a row a class."""
    rows = [
        (
            t.of.title,
            (words.BADGES[t.state],),
            ", ".join(name_attack(a) for a in t.attacks) or words.NO_ATTACK,
            words.word_extent(t.models, len(audit.subjects)) or t.reason,
            t.of.asked or words.THIS_RUN,
        )
        for t in get_coverage(audit)
    ]
    table = make_table(words.CAPTION, words.COLUMNS, rows)
    return (Prose(words.INTRO), table, Prose(words.NOTE, "small"))


__all__ = ["build"]
