"""What this report does not say."""

from __future__ import annotations

from privaudit.report import sentences as say
from privaudit.report.blocks import Block, Bullets, Prose
from privaudit.results import Audit

ORDER = 170


def build(audit: Audit) -> tuple[Block, ...]:
    return (Prose(say.DISCLAIMER), Bullets(say.LIMITS))
