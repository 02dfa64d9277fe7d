"""Text to paste into a data protection impact assessment."""

from __future__ import annotations

from privaudit.report import wording as say
from privaudit.report.blocks import Block, Bullets, Prose
from privaudit.report.classes import CLASSES, tried
from privaudit.report.notes import ACCESS
from privaudit.report.reading import findings, read
from privaudit.report.sections._officer import summary
from privaudit.results import Audit
from privaudit.verdicts import Verdicts

ORDER = 130
JUDGED = True


def build(audit: Audit, verdicts: Verdicts | None) -> tuple[Block, ...]:
    if not audit.subjects:
        return ()
    known = tried(audit)
    powers = dict.fromkeys(a for s in audit.subjects for f in findings(s) for a in f.access)
    words = [ACCESS[a][0] if a in ACCESS else a for a in powers]
    date = verdicts.policy.get("review_by", "") if verdicts is not None else ""
    lines = (
        say.who(audit, [s.name for s in audit.subjects]),
        say.threat(words or [say.NONE]),
        say.extent_of(
            [CLASSES[t.key].short for t in known if t.state == "TESTED"],
            [CLASSES[t.key].short for t in known if t.state == "NOT TESTED"],
        ),
        say.outcome(summary(audit, [read(audit, s) for s in audit.subjects])),
        say.judged(verdicts),
        say.REMAINS_DATED.format(date=date) if date else say.REMAINS,
    )
    return (Prose(say.DPIA), Bullets(lines))
