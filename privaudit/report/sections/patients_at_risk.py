"""Patients at risk: how many are told apart, each judged by themselves."""

from __future__ import annotations

from privaudit.report import charts_curves
from privaudit.report import numbers as n
from privaudit.report.blocks import Block, Chart, Prose, Text, embolden, make_table
from privaudit.report.kinds import get_kinds
from privaudit.report.reading import get_detailed, get_findings
from privaudit.report.series import differs_from_rest
from privaudit.report.wording import patients_at_risk as words
from privaudit.report.wording.metrics import name_group
from privaudit.report.wording.reasons_and_caveats import word_reason
from privaudit.report.wording.releases import name_column
from privaudit.results import Audit, Curve, Estimate, Finding, GroupResult, Subject
from privaudit.stats.catalogue import AT_RISK_BEYOND, PATIENTS
from privaudit.verdicts import Verdicts


def build(audit: Audit, verdicts: Verdicts | None) -> tuple[Block, ...]:
    """Every release in a row, then the curve and the groups of the most exposed."""
    found = [(s, f) for s in audit.subjects if (f := _find(s)) is not None]
    if not found:
        tested = any(get_findings(s, "membership") for s in audit.subjects)
        return (Prose(words.NOT_TESTED()),) if tested else ()
    rows: list[tuple[Text, ...]] = []
    reasons: dict[str, None] = {}
    for s, f in found:
        known = _numbers(f)
        reasons |= {word_reason(e.refusal): None for e in known if e.refusal is not None}
        rows.append((s.name, *(n.cell_text(e) for e in known)))
    notes = [words.FALSE_NOTE, words.HALVES_NOTE(), *(f"{reason}." for reason in reasons)]
    columns = (name_column(get_kinds(audit)), *words.COLUMNS)
    blocks: list[Block] = [
        Prose(words.word_intro(AT_RISK_BEYOND)),
        Prose(words.UNIT()),
        make_table(words.CAPTION(), columns, rows, 1, notes),
    ]
    for i in get_detailed(audit):
        own = _find(audit.subjects[i])
        if own is not None:
            blocks += _draw_curve(audit.subjects[i], own, i + 1)
            blocks += _build_groups(audit.subjects[i], own)
    return tuple(blocks)


def _find(subject: Subject) -> Finding | None:
    """The finding that judges patients one by one."""
    found = get_findings(subject, "membership")
    return next((f for f in found if any(e.metric.name in PATIENTS for e in f.estimates)), None)


def _numbers(f: Finding) -> list[Estimate]:
    known = {e.metric.name: e for e in f.estimates}
    return [known[name] for name in PATIENTS if name in known]


def _draw_curve(subject: Subject, f: Finding, number: int) -> list[Block]:
    curve = next((c for c in f.curves if c.kind == "survival" and c.x), None)
    at_risk = _numbers(f)[0]
    if curve is None or at_risk.value is None:
        return []
    title = words.title_curve(subject.name, at_risk, AT_RISK_BEYOND)
    table = make_table(
        words.caption_curve(subject.name),
        (words.X, words.Y()),
        [(n.share(x), _word_point(curve, i)) for i, x in enumerate(curve.x)],
        1,
    )
    svg = charts_curves.draw_survival(
        curve, AT_RISK_BEYOND, f"chart-patients-{number}", title, words.X, words.Y()
    )
    return [Chart(title, svg, table)]


def _word_point(curve: Curve, i: int) -> str:
    return n.estimate_text(Estimate(curve.metric, curve.y[i], curve.low[i], curve.high[i]))


def _build_groups(subject: Subject, f: Finding) -> list[Block]:
    rows = [_group_row(g) for g in f.over_represented]
    if not rows:
        return []
    caption = words.caption_groups(subject.name)
    return [make_table(caption, words.GROUPS_COLUMNS(), rows, 1, (words.GROUPS_NOTE(),))]


def _group_row(g: GroupResult) -> tuple[Text, ...]:
    if g.suppressed or not g.estimates:
        return (name_group(g), words.SUPPRESSED, "", "")
    e = g.estimates[0]
    p = "" if g.p_adjusted is None else n.p_text(g.p_adjusted)
    share = embolden(n.estimate_text(e), differs_from_rest(g))
    return (name_group(g), share, n.count(e.n.get("patients", 0)), p)


__all__ = ["build"]
