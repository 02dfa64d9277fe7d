"""Differential privacy: a card for each guarantee, with the empirical lower bounds beside it."""

from __future__ import annotations

from privaudit.facts import CaveatCode
from privaudit.report import charts_curves
from privaudit.report import numbers as n
from privaudit.report.blocks import Block, Callout, Card, Chart, Facts, Prose, Text, make_table
from privaudit.report.kinds import get_kinds
from privaudit.report.reading import (
    get_bounds,
    get_defect,
    get_findings,
    get_stated,
    read_membership,
)
from privaudit.report.sections.training_and_guarantees import describe_method
from privaudit.report.training_kind import get_training_kind
from privaudit.report.wording import differential_privacy as words
from privaudit.report.wording import summary
from privaudit.report.wording.access import name_access
from privaudit.report.wording.knowledge import method_notes, name_attack
from privaudit.report.wording.reasons_and_caveats import word_caveat
from privaudit.report.wording.releases import name_column
from privaudit.report.wording.training_and_guarantees import word_budget
from privaudit.results import Audit, Subject
from privaudit.verdicts import Verdicts

NOT_COMPARABLE = (CaveatCode.BOUND_OF_ANOTHER_UNIT, CaveatCode.BOUND_NOT_COVERED)


def build(audit: Audit, verdicts: Verdicts | None) -> tuple[Block, ...]:
    """All guarantees on one plot, then a card each."""
    claimed = [(i, s) for i, s in enumerate(audit.subjects, 1) if s.claim.epsilon is not None]
    if not claimed and not any(get_bounds(s) for s in audit.subjects):
        return ()
    defects = [(s.name, c) for _, s in claimed if (c := get_defect(s)) is not None]
    return (
        Prose(words.INTRO),
        *(
            Callout(
                "stop", summary.DEFECT_TITLE, (Prose(summary.word_defect(name, word_caveat(c))),)
            )
            for name, c in defects
        ),
        *_draw_guarantees(audit),
        *(_build_card(audit, i, s) for i, s in claimed),
    )


def _draw_guarantees(audit: Audit) -> list[Block]:
    """Utility and membership against epsilon; a table alone where there is little to compare."""
    rows: list[tuple[Text, ...]] = []
    points: list[charts_curves.Guarantee] = []
    for s in audit.subjects:
        utility, risk = get_stated(s.utility, "auroc"), read_membership(audit, s).auc
        note = method_notes().get(s.method)
        name = note.label if note is not None else s.method
        name = f"{name}, {s.learner}" if s.learner else name
        # Without a guarantee only models trained in one place are drawn, for comparison.
        pooled = get_training_kind(s) in ("pooled", "other")
        if utility is not None and (s.claim.epsilon is not None or pooled):
            points.append(charts_curves.Guarantee(name, s.claim.epsilon, utility, risk))
        rows.append(
            (
                s.name,
                words.UNCLAIMED if s.claim.epsilon is None else n.claimed(s.claim.epsilon),
                _word_bound(s),
                n.cell_text(utility),
                n.cell_text(risk),
            )
        )
    columns = (name_column(get_kinds(audit)), *words.COLUMNS)
    table = make_table(words.CAPTION, columns, rows, 1)
    points.sort(key=lambda p: p.epsilon is None)
    drawn = [p for p in points if p.epsilon is not None]
    if len({(p.name, p.epsilon) for p in drawn}) < 2:
        return [table]
    best = max(drawn, key=lambda p: p.use.value or 0.0)
    without = [p.use for p in points if p.epsilon is None]
    top = max(without, key=lambda e: e.value or 0.0, default=None)
    title = words.title_chart(best.name, best.epsilon or 0.0, best.use, top)
    labels = (words.EPSILON_AXIS, words.AUC_AXIS, words.UNCLAIMED)
    svg = charts_curves.draw_guarantees(points, "chart-guarantees", title, *labels)
    return [Prose(words.MARKS, "small"), Chart(title, svg, table, open=True)]


def _word_bound(s: Subject) -> str:
    known = [e.value for _, e in get_bounds(s) if e.value is not None]
    if known:
        return words.word_bound_beside(max(known), s.claim.epsilon)
    return words.NOT_STATED if get_bounds(s) else words.NOT_TESTED


def _build_card(audit: Audit, number: int, s: Subject) -> Card:
    c = s.claim
    lower = [
        words.word_lower_bound(name_attack(attack), e, s.claim.epsilon)
        for attack, e in get_bounds(s)
    ]
    risk, utility = read_membership(audit, s).auc, get_stated(s.utility, "auroc")
    rest = [access for access in s.access if access not in c.covers]
    facts = {
        "budget": word_budget(c),
        "odds": words.word_odds(c),
        "unit": words.word_unit(c),
        "neighbours": words.word_neighbours(c),
        "covers": "; ".join(map(name_access, c.covers)) or words.COVERS_NOTHING,
        "open": "; ".join(map(name_access, rest)),
        "mechanism": describe_method(audit, s),
        "basis": c.basis,
        "bound": "; ".join(lower) or words.NO_BOUND,
        "utility": n.cell_text(utility),
        "risk": n.cell_text(risk),
    }
    pairs = tuple((words.FACTS[key], text) for key, text in facts.items() if text)
    badge = words.BADGES[_get_state(s)]
    return Card(s.name, f"guarantee-{number}", badge, (Facts(pairs),))


def _get_state(s: Subject) -> str:
    if get_defect(s) is not None:
        return "refuted"
    if not any(e.value is not None for _, e in get_bounds(s)):
        return "not tested"
    caveats = (c.code for f in get_findings(s, "epsilon") for c in f.caveats)
    return "not comparable" if any(c in NOT_COMPARABLE for c in caveats) else "not refuted"


__all__ = ["build"]
