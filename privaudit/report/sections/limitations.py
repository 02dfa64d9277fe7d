"""Limitations: what this report does not state."""

from __future__ import annotations

from privaudit.report.blocks import Block, Bullets, Prose
from privaudit.report.wording import closing as words
from privaudit.report.wording.page import DISCLAIMER
from privaudit.results import Audit
from privaudit.verdicts import Verdicts


def build(audit: Audit, verdicts: Verdicts | None) -> tuple[Block, ...]:
    """The disclaimer, the limitations, the date of review."""
    date = verdicts.policy.get("review_by", "") if verdicts is not None else ""
    return (Prose(DISCLAIMER), Bullets(words.LIMITATIONS()), Prose(words.word_review(date)))


__all__ = ["build"]
