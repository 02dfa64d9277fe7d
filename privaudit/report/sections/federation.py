"""Federation: who could read what, what it cost, and whether it was worth it for each hospital."""

from __future__ import annotations

from privaudit.report import numbers as n
from privaudit.report import wording as say
from privaudit.report.blocks import Block, Prose, Table, Text
from privaudit.report.notes import kind
from privaudit.report.reading import get, stated
from privaudit.results import Audit, Estimate, Subject

ORDER = 104
SITE_GROUPS = ("site", "unit")


def build(audit: Audit) -> tuple[Block, ...]:
    joint = [s for s in audit.subjects if kind(s.method) == "federated"]
    alone = [s for s in audit.subjects if kind(s.method) == "local"]
    if not joint and not alone:
        return ()
    blocks: list[Block] = [Prose(say.FEDERATION)]
    blocks += trust([*joint, *alone], say.TRUST_CAPTION)
    blocks += costs(joint, say.SHARING_CAPTION)
    blocks += _sites(audit, joint, alone)
    return tuple(blocks)


def trust(subjects: list[Subject], caption: str) -> list[Block]:
    """Who could read what; models that share all their rows share them here too."""
    alike: dict[tuple[tuple[str, str, str], ...], list[str]] = {}
    for s in subjects:
        if s.trust:
            alike.setdefault(s.trust, []).append(s.name)
    rows = tuple(
        (", ".join(names), say.capital(who), what, whether)
        for table, names in alike.items()
        for who, what, whether in table
    )
    return [Table(caption, say.TRUST_COLUMNS, rows)] if rows else []


def costs(subjects: list[Subject], caption: str) -> list[Block]:
    """What joint training cost, in the columns that any of these models has."""
    shown = [(key, name) for key, name in say.COSTS if any(key in s.costs for s in subjects)]
    if not shown or not any("bytes" in key for key, _ in shown):
        return []
    rows: list[tuple[Text, ...]] = [
        (s.name, *(cost(key, s.costs.get(key)) for key, _ in shown)) for s in subjects
    ]
    columns = ("Model", *(name for _, name in shown))
    return [Table(caption, columns, tuple(rows), numeric=tuple(range(1, len(columns))))]


def cost(key: str, value: float | None) -> str:
    """A cost in its own unit."""
    if value is None:
        return ""
    if "seconds" in key:
        return n.duration(value)
    return n.size(value) if "bytes" in key else n.whole(value)


def _sites(audit: Audit, joint: list[Subject], alone: list[Subject]) -> list[Block]:
    """Hospitals alone, together, and in one place: over all patients and hospital by hospital."""
    pooled = [s for s in audit.subjects if kind(s.method) == "pooled"]
    shown = [s for s in (*alone, *joint, *pooled) if stated(s.utility, "auroc")]
    if not shown:
        return []
    by = next(
        (b for b in SITE_GROUPS if any(g.by == b for s in shown for g in s.utility_groups)), ""
    )
    levels = dict.fromkeys(g.level for s in shown for g in s.utility_groups if g.by == by)
    rows: list[tuple[Text, ...]] = [
        (say.EVERYBODY, *(_text(get(s.utility, "auroc")) for s in shown))
    ]
    rows += [(level, *(_at(s, by, level) for s in shown)) for level in levels]
    table = Table(
        say.SITES_CAPTION,
        (say.SITE_COLUMN, *(s.name for s in shown)),
        tuple(rows),
        numeric=tuple(range(1, len(shown) + 1)),
    )
    blocks: list[Block] = [Prose(say.SITES)]
    plain = next((s for s in joint if s.method == "federated"), joint[0] if joint else None)
    if alone and plain is not None:
        one, two = stated(alone[0].utility, "auroc"), stated(plain.utility, "auroc")
        if one is not None and two is not None:
            blocks.append(Prose(say.sites_title(one, two, plain.name)))
    return [*blocks, table]


def _at(s: Subject, by: str, level: str) -> str:
    group = next((g for g in s.utility_groups if (g.by, g.level) == (by, level)), None)
    if group is None or group.suppressed:
        return say.SUPPRESSED
    return _text(get(group.estimates, "auroc"))


def _text(e: Estimate | None) -> str:
    return "" if e is None else n.estimate_text(e)
