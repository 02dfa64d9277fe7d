"""What was tested and what was not, class by class."""

from __future__ import annotations

from privaudit.report import sentences as say
from privaudit.report.blocks import Badge, Block, Prose, Table
from privaudit.report.notes import label
from privaudit.results import Audit, Coverage

ORDER = 40


def build(audit: Audit) -> tuple[Block, ...]:
    rows = tuple(
        (
            c.title or c.family,
            (_badge(c),),
            ", ".join(label(a) for a in c.attacks) or "none",
            _reason(c),
        )
        for c in audit.coverage
    )
    table = Table(say.COVERAGE_CAPTION, say.COVERAGE_COLUMNS, rows)
    return (Prose(say.COVERAGE_INTRO), table)


def _badge(c: Coverage) -> Badge:
    return Badge(c.state.capitalize(), say.COVERAGE[c.state])


def _reason(c: Coverage) -> str:
    """The reason without what the column before it says already."""
    return (
        c.reason.removeprefix(f"by {', '.join(c.attacks)}").removeprefix("; ")
        if c.attacks
        else c.reason
    )
