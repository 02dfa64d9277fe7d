"""Federated learning: who could read what, what it cost, and whether it benefits each hospital."""

from __future__ import annotations

from collections.abc import Sequence

from privaudit.report import numbers as n
from privaudit.report.blocks import Block, Prose, Text, make_table
from privaudit.report.reading import get, get_stated
from privaudit.report.wording import federated_learning as words
from privaudit.report.wording.knowledge import TrainingKind, kind_of_method
from privaudit.report.wording.metrics import capitalise
from privaudit.results import Audit, GroupResult, Subject
from privaudit.verdicts import Verdicts

SITE_GROUPS = ("site", "unit")


def build(audit: Audit, verdicts: Verdicts | None) -> tuple[Block, ...]:
    """Trust, cost, and utility hospital by hospital."""
    joint = select_by_kind(audit, "federated")
    alone = select_by_kind(audit, "local")
    if not joint and not alone:
        return ()
    return (
        Prose(words.INTRO),
        *build_trust([*joint, *alone], words.TRUST_CAPTION),
        *build_costs(joint, words.COST_CAPTION),
        *_build_sites(audit, joint, alone),
    )


def select_by_kind(audit: Audit, kind: TrainingKind) -> list[Subject]:
    """Releases trained in this way, whatever they claim."""
    return [s for s in audit.subjects if kind_of_method(s.method) == kind]


def build_trust(subjects: Sequence[Subject], caption: str) -> list[Block]:
    """Who could read what; models that share all their rows share them here too."""
    names: dict[tuple[tuple[str, str, str], ...], list[str]] = {}
    for s in subjects:
        if s.trust:
            names.setdefault(s.trust, []).append(s.name)
    rows = [
        (", ".join(at), capitalise(who), what, whether)
        for trust, at in names.items()
        for who, what, whether in trust
    ]
    return [make_table(caption, words.TRUST_COLUMNS, rows)] if rows else []


def build_costs(subjects: Sequence[Subject], caption: str) -> list[Block]:
    """What training cost, in the columns that any of these models has."""
    shown = [key for key in words.COSTS if any(key in s.costs for s in subjects)]
    if not any("bytes" in key for key in shown):
        return []
    rows = [(s.name, *(word_cost(key, s.costs.get(key)) for key in shown)) for s in subjects]
    return [make_table(caption, ("Model", *(words.COSTS[key] for key in shown)), rows, 1)]


def word_cost(key: str, value: float | None) -> str:
    """A cost in its own unit."""
    if value is None:
        return ""
    if "seconds" in key:
        return n.duration(value)
    return n.size(value) if "bytes" in key else n.count(value)


def _build_sites(audit: Audit, joint: list[Subject], alone: list[Subject]) -> list[Block]:
    """Hospitals alone, together, and in one place: over all patients and hospital by hospital."""
    compared = (*alone, *joint, *select_by_kind(audit, "pooled"))
    shown = [s for s in compared if get_stated(s.utility, "auroc")]
    if not shown:
        return []
    every = [g for s in shown for g in s.utility_groups]
    by = next((name for name in SITE_GROUPS if any(g.by == name for g in every)), "")
    rows: list[tuple[Text, ...]] = [
        (words.ALL_PATIENTS, *(n.cell_text(get(s.utility, "auroc")) for s in shown))
    ]
    for level in dict.fromkeys(g.level for g in every if g.by == by):
        rows.append((level, *(_word_at(s, by, level) for s in shown)))
    columns = (words.SITE_COLUMN, *(s.name for s in shown))
    blocks: list[Block] = [Prose(words.SITES)]
    plain = next((s for s in joint if s.method == "federated"), joint[0] if joint else None)
    if alone and plain is not None:
        one, two = get_stated(alone[0].utility, "auroc"), get_stated(plain.utility, "auroc")
        if one is not None and two is not None:
            blocks.append(Prose(words.word_benefit(one, two, plain.name)))
    return [*blocks, make_table(words.SITES_CAPTION, columns, rows, 1), *_build_alone(alone)]


def _build_alone(alone: Sequence[Subject]) -> list[Block]:
    """Each hospital's own model, on its own patients and on everybody's."""
    rows: list[tuple[Text, ...]] = [
        (g.level, s.name, _word_at(s, g.by, g.level), _word_group(g))
        for s in alone
        for g in s.utility_everybody
    ]
    if not rows:
        return []
    return [
        Prose(words.EVERYBODY),
        make_table(words.EVERYBODY_CAPTION, words.EVERYBODY_COLUMNS, rows, 2),
    ]


def _word_at(s: Subject, by: str, level: str) -> str:
    return _word_group(next((g for g in s.utility_groups if (g.by, g.level) == (by, level)), None))


def _word_group(group: GroupResult | None) -> str:
    if group is None or group.suppressed:
        return words.SUPPRESSED
    return n.cell_text(get(group.estimates, "auroc"))


__all__ = ["build", "build_costs", "build_trust", "select_by_kind", "word_cost"]
