"""Glossary."""

from __future__ import annotations

from privaudit.report.blocks import Block, Terms
from privaudit.report.wording.knowledge import glossary
from privaudit.results import Audit
from privaudit.verdicts import Verdicts


def build(audit: Audit, verdicts: Verdicts | None) -> tuple[Block, ...]:
    """Every term."""
    return (Terms(tuple((f"term-{t.anchor}", t.term, t.meaning) for t in glossary())),)


__all__ = ["build"]
