"""What this report does not say."""

from __future__ import annotations

from privaudit.report import wording as say
from privaudit.report.blocks import Block, Bullets, Prose
from privaudit.results import Audit
from privaudit.verdicts import Verdicts

ORDER = 170
JUDGED = True


def build(audit: Audit, verdicts: Verdicts | None = None) -> tuple[Block, ...]:
    date = verdicts.policy.get("review_by", "") if verdicts is not None else ""
    review = say.review(date) if date else say.NO_REVIEW
    return (Prose(say.DISCLAIMER), Bullets(say.LIMITS), Prose(review))
