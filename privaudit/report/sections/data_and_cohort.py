"""Data and cohort: where the records come from, who was excluded, and the pools."""

from __future__ import annotations

from privaudit.report import numbers as n
from privaudit.report.blocks import Block, Bullets, Callout, Facts, Heading, Prose, make_table
from privaudit.report.wording import data_and_cohort as words
from privaudit.report.wording import summary
from privaudit.report.wording.metrics import capitalise
from privaudit.report.wording.reasons_and_caveats import word_caveat
from privaudit.results import Audit
from privaudit.verdicts import Verdicts


def build(audit: Audit, verdicts: Verdicts | None) -> tuple[Block, ...]:
    """Outcome and inputs, flow, pools, notes and facts."""
    data = audit.data
    blocks: list[Block] = [Prose(words.word_shape(data))]
    if not data.real:
        body = (Prose(summary.word_generated(data)),)
        blocks.append(Callout("note", summary.GENERATED_TITLE, body))
    if data.real and not audit.manifest.exact_counts:
        blocks.append(Prose(words.ROUNDED, "small"))
    if data.flow:
        rows = [
            (f.step, n.count(f.excluded), n.count(f.stays), n.count(f.patients)) for f in data.flow
        ]
        blocks.append(make_table(words.FLOW_CAPTION, words.FLOW_COLUMNS(), rows, 1))
    if data.pools:
        outcomes = list(dict.fromkeys(name for p in data.pools for name in p.rates))
        pools = [
            (
                words.name_pool(p),
                n.count(p.patients),
                n.count(p.stays),
                *(n.share(round(p.rates[name], 4)) if name in p.rates else "" for name in outcomes),
            )
            for p in data.pools
        ]
        columns = (*words.POOL_COLUMNS(), *(capitalise(name) for name in outcomes))
        split = words.POOLS_RANDOM() if data.random_split else words.POOLS_SUPPLIED()
        blocks += [Prose(split), make_table(words.POOLS_CAPTION(), columns, pools, 1)]
    if data.notes:
        lines = tuple(word_caveat(c) for c in data.notes)
        blocks += [Heading(words.NOTES, "data-notes"), Bullets(lines)]
    if data.facts:
        pairs = tuple(
            (
                words.name_fact(name, data),
                value if isinstance(value, str) else n.significant(value, 4),
            )
            for name, value in sorted(data.facts.items())
        )
        blocks += [Heading(words.FACTS, "data-facts"), Facts(pairs)]
    return tuple(blocks)


__all__ = ["build"]
