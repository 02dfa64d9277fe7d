"""Most affected groups: those that an attack recognises most often, beside the average."""

from __future__ import annotations

from privaudit.facts import Metric
from privaudit.report import charts
from privaudit.report import numbers as n
from privaudit.report.blocks import Block, Chart, Details, Prose, Text, embolden, make_table
from privaudit.report.kinds import get_kinds, get_utility_metric
from privaudit.report.reading import get, get_detailed, get_stated
from privaudit.report.series import (
    differs_from_rest,
    get_group_metrics,
    get_grouped,
    rank_groups,
)
from privaudit.report.wording import most_affected_groups as words
from privaudit.report.wording.knowledge import name_attack
from privaudit.report.wording.metrics import capitalise, name_group, name_metric
from privaudit.report.wording.releases import name_column
from privaudit.results import Audit, Finding, GroupResult, Subject
from privaudit.verdicts import Verdicts

MAX_BARS = 10


def build(audit: Audit, verdicts: Verdicts | None) -> tuple[Block, ...]:
    """Every release in a row, then the most exposed drawn, then utility by group."""
    detailed = get_detailed(audit)
    blocks = _build_overview(audit)
    for i in detailed:
        blocks += _draw_groups(audit.subjects[i], i + 1)
    measure = get_utility_metric(audit)
    blocks += _build_utility([audit.subjects[i] for i in detailed], measure)
    intro = words.INTRO if audit.federation is None else words.INTRO_OF_COUNTS
    return (Prose(intro()), *blocks) if blocks else (Prose(words.NONE),)


def _build_overview(audit: Audit) -> list[Block]:
    """Every release: its most affected group, beside everyone, and where its utility is lowest."""
    rows = []
    for s in audit.subjects:
        finding = get_grouped(s)
        metrics = get_group_metrics(finding.groups) if finding is not None else ()
        ranked = rank_groups(finding.groups, metrics[0]) if finding is not None and metrics else []
        if finding is None or not ranked:
            continue
        worst, e = ranked[0]
        rows.append(
            (
                s.name,
                n.cell_text(get(finding.estimates, metrics[0])),
                name_group(worst),
                embolden(n.estimate_text(e), differs_from_rest(worst)),
                f"{sum(differs_from_rest(g) for g, _ in ranked)} of {len(ranked)}",
                _word_lowest_utility(s, get_utility_metric(audit)),
            )
        )
    lowest = words.title_lowest_utility(get_utility_metric(audit))
    columns = (name_column(get_kinds(audit)), *words.OVERVIEW_COLUMNS, lowest)
    return [make_table(words.OVERVIEW(), columns, rows)] if rows else []


def _word_lowest_utility(subject: Subject, metric: Metric) -> str:
    ranked = rank_groups(subject.utility_groups, metric)
    if not ranked:
        return ""
    group, e = ranked[-1]
    return f"{name_group(group)}, {n.estimate_text(e)}"


def _draw_groups(subject: Subject, number: int) -> list[Block]:
    finding = get_grouped(subject)
    metrics = get_group_metrics(finding.groups) if finding is not None else ()
    if finding is None or not metrics:
        return []
    ranked = rank_groups(finding.groups, metrics[0])
    worst, e = ranked[0]
    title = words.title_chart(subject.name, name_group(worst), e, differs_from_rest(worst))
    bars = [
        charts.Bar(
            name_group(g), tuple(get(g.estimates, m) for m in metrics), strong=differs_from_rest(g)
        )
        for g, _ in ranked[:MAX_BARS]
    ]
    panels = [_make_panel(finding, metric) for metric in metrics]
    svg = charts.draw_forest(bars, panels, f"chart-groups-{number}", title, names=200)
    hidden = sum(g.suppressed for g in finding.groups)
    ordered = [g for g, _ in ranked]
    ordered += [g for g in finding.groups if g not in ordered]
    rated = next((m for m in metrics if n.is_rate(m)), None)
    columns = ["Group", *(capitalise(name_metric(m)) for m in metrics)]
    columns += [words.CHANCE_COLUMN] if rated else []
    columns += [words.P_COLUMN, words.PEOPLE_COLUMN()]
    table = make_table(
        words.caption_groups(subject.name, name_attack(finding.attack)),
        columns,
        [_group_row(g, metrics, rated, len(columns)) for g in ordered],
        1,
        [words.word_suppressed(hidden)] if hidden else [],
    )
    return [Chart(title, svg, table)]


def _make_panel(finding: Finding, metric: Metric) -> charts.Panel:
    """One scale; its line of guessing is drawn only where that is the same for every group."""
    overall = get_stated(finding.estimates, metric)
    chances = {e.chance for g in finding.groups for e in g.estimates if e.metric == metric}
    return charts.Panel(
        capitalise(name_metric(metric)),
        chances.pop() if len(chances) == 1 else None,
        overall=overall.value if overall is not None else None,
    )


def _group_row(
    group: GroupResult, metrics: tuple[Metric, ...], rated: Metric | None, width: int
) -> tuple[Text, ...]:
    title = name_group(group)
    if group.suppressed:
        return (title, words.SUPPRESSED, *[""] * (width - 2))
    found = [get(group.estimates, metric) for metric in metrics]
    cells = [n.cell_text(e) for e in found]
    if rated is not None:
        e = get(group.estimates, rated)
        cells.append("" if e is None else n.chance_text(e))
    sizes = next((e.n for e in found if e is not None), {})
    people = sizes.get("member_patients", sizes.get("members", sizes.get("patients")))
    cells += [n.p_text(group.p_adjusted), "" if people is None else n.count(people)]
    return (title, *cells)


def _build_utility(subjects: list[Subject], metric: Metric) -> list[Block]:
    """Utility by group: a row a group, a column a release."""
    shown = [s for s in subjects if any(g.estimates for g in s.utility_groups)]
    levels = dict.fromkeys((g.by, g.level) for s in shown for g in s.utility_groups)
    rows: list[tuple[Text, ...]] = []
    for by, level in levels:
        groups = [
            next((g for g in s.utility_groups if (g.by, g.level) == (by, level)), None)
            for s in shown
        ]
        cells = (
            ""
            if g is None
            else words.SUPPRESSED
            if g.suppressed
            else n.cell_text(get(g.estimates, metric))
            for g in groups
        )
        rows.append((name_group(GroupResult(by, level, ())), *cells))
    if not rows:
        return []
    caption = words.caption_utility(metric)
    table = make_table(caption, ("Group", *(s.name for s in shown)), rows, 1)
    return [Details(caption, (table,))]


__all__ = ["build"]
