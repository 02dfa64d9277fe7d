"""Sections of the report, one a file.

A section is a module with `ORDER` (where it stands) and `build(audit)`, which returns its blocks;
none means that the section is left out. One that speaks of verdicts sets `JUDGED = True` and is
called as `build(audit, verdicts)`, with None where no policy was given. Its title is in
`privaudit.report.wording.SECTIONS`, under the file's name, which is also its anchor.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType

from privaudit.report.blocks import Block, Details, Section, Table, parts
from privaudit.report.withheld import judged, withheld
from privaudit.report.wording import SECTIONS
from privaudit.results import Audit
from privaudit.verdicts import Verdicts

Build = Callable[[Audit, Verdicts | None], tuple[Block, ...]]


def ordered() -> list[tuple[str, Build]]:
    """(name, build) of every section, in the report's order."""
    found = []
    for module in pkgutil.iter_modules(__path__):
        if not module.name.startswith("_"):
            loaded = importlib.import_module(f"{__name__}.{module.name}")
            found.append((loaded.ORDER, module.name, _build(loaded)))
    return [(name, build) for _, name, build in sorted(found, key=lambda entry: entry[:2])]


def _build(module: ModuleType) -> Build:
    if getattr(module, "JUDGED", False):
        return lambda audit, verdicts: module.build(audit, verdicts)
    return lambda audit, _: module.build(audit)


def _narrow(block: Block) -> tuple[Block, ...]:
    """Tables too broad for paper become several."""
    if isinstance(block, Table):
        return parts(block)
    if isinstance(block, Details):
        return (replace(block, body=tuple(p for b in block.body for p in _narrow(b))),)
    return (block,)


def sections(audit: Audit, verdicts: Verdicts | None = None) -> tuple[Section, ...]:
    """Every section that has something to say, of what may be shown."""
    audit = withheld(audit)
    verdicts = None if verdicts is None else judged(verdicts)
    built = ((name, build(audit, verdicts)) for name, build in ordered())
    return tuple(
        Section(
            name,
            SECTIONS.get(name, name.replace("_", " ")),
            tuple(part for block in blocks for part in _narrow(block)),
        )
        for name, blocks in built
        if blocks
    )
