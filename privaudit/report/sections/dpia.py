"""Text to paste into a data protection impact assessment."""

from __future__ import annotations

from privaudit.report.blocks import Block, Bullets, Prose
from privaudit.report.coverage import select_classes
from privaudit.report.reading import get_findings
from privaudit.report.sections._questions import summarise_membership
from privaudit.report.wording import dpia as words
from privaudit.report.wording.access import name_access
from privaudit.results import Audit
from privaudit.verdicts import Verdicts


def build(audit: Audit, verdicts: Verdicts | None) -> tuple[Block, ...]:
    """One paragraph for each thing that an assessment must state."""
    if not audit.subjects:
        return ()
    access = dict.fromkeys(a for s in audit.subjects for f in get_findings(s) for a in f.access)
    date = verdicts.policy.get("review_by", "") if verdicts is not None else ""
    lines = (
        words.word_test(audit, [s.name for s in audit.subjects]),
        words.word_attackers(map(name_access, access)),
        words.word_extent(select_classes(audit, "TESTED"), select_classes(audit, "NOT TESTED")),
        words.word_result(summarise_membership(audit)),
        words.word_verdict(verdicts),
        words.word_remains(date),
    )
    return (Prose(words.INTRO), Bullets(lines))


__all__ = ["build"]
