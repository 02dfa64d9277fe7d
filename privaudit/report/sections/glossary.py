"""Words that the report uses, explained."""

from __future__ import annotations

from privaudit.report.blocks import Block, Terms
from privaudit.report.terms import GLOSSARY
from privaudit.results import Audit

ORDER = 180


def build(audit: Audit) -> tuple[Block, ...]:
    return (Terms(tuple((f"term-{anchor}", term, meaning) for anchor, term, meaning in GLOSSARY)),)
