"""Data and cohort: where the records come from, who was left out, and the three pools."""

from __future__ import annotations

from privaudit.report import numbers as n
from privaudit.report import wording as say
from privaudit.report.blocks import Block, Bullets, Callout, Facts, Heading, Prose, Table
from privaudit.results import Audit

ORDER = 120


def build(audit: Audit) -> tuple[Block, ...]:
    data = audit.data
    blocks: list[Block] = [Prose(say.shape(data))]
    if not data.real:
        blocks.append(Callout("note", say.GENERATED_TITLE, (Prose(say.generated(data)),)))
    if data.flow:
        rows = tuple(
            (f.step, n.whole(f.excluded), n.whole(f.stays), n.whole(f.patients)) for f in data.flow
        )
        blocks.append(Table(say.FLOW_CAPTION, say.FLOW_COLUMNS, rows, numeric=(1, 2, 3)))
    if data.pools:
        outcomes = list(dict.fromkeys(name for p in data.pools for name in p.rates))
        pools = tuple(
            (
                say.pool_name(p),
                n.whole(p.patients),
                n.whole(p.stays),
                *(n.share(round(p.rates[name], 4)) if name in p.rates else "" for name in outcomes),
            )
            for p in data.pools
        )
        columns = ("Pool", "Patients", "Stays", *(say.capital(name) for name in outcomes))
        numeric = tuple(range(1, len(columns)))
        blocks += [
            Prose(say.POOLS_TOSSED if data.random_split else say.POOLS_GIVEN),
            Table(say.POOLS_CAPTION, columns, pools, numeric),
        ]
    if data.notes:
        blocks += [Heading(say.NOTES, "data-notes"), Bullets(data.notes)]
    if data.facts:
        pairs = tuple(
            (name.replace("_", " "), value if isinstance(value, str) else n.significant(value, 4))
            for name, value in sorted(data.facts.items())
        )
        blocks += [Heading(say.FACTS, "data-facts"), Facts(pairs)]
    return tuple(blocks)
