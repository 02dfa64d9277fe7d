"""Sections of the report, one a file.

A section is a module with `build(audit, verdicts)`, which returns its blocks; none means that the
section is left out. verdicts: None where no policy was given. Its title and its place are in
`privaudit.report.section_order`, under the file's name, which is also its anchor.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import replace

from privaudit.report.blocks import Block, Details, Section, Table, split_table
from privaudit.report.section_order import SECTIONS
from privaudit.report.withheld import withhold, withhold_verdicts
from privaudit.report.wording.nouns import fill, use_words
from privaudit.results import Audit
from privaudit.verdicts import Verdicts

Build = Callable[[Audit, Verdicts | None], tuple[Block, ...]]


def load_sections() -> list[tuple[str, Build]]:
    """(name, build) of every section, in the report's order."""
    return [(name, importlib.import_module(f"{__name__}.{name}").build) for name in SECTIONS]


def build_sections(audit: Audit, verdicts: Verdicts | None = None) -> tuple[Section, ...]:
    """Every section that has something to report, of what may be shown."""
    audit = withhold(audit)
    verdicts = None if verdicts is None else withhold_verdicts(verdicts)
    with use_words(audit.data.words):
        built = ((name, build(audit, verdicts)) for name, build in load_sections())
        return tuple(
            Section(
                name.replace("_", "-"),
                fill(SECTIONS[name]),
                tuple(part for block in blocks for part in _narrow(block)),
            )
            for name, blocks in built
            if blocks
        )


def _narrow(block: Block) -> tuple[Block, ...]:
    """Tables too broad for paper become several."""
    if isinstance(block, Table):
        return split_table(block)
    if isinstance(block, Details):
        return (replace(block, body=tuple(p for b in block.body for p in _narrow(b))),)
    return (block,)


__all__ = ["build_sections", "load_sections"]
