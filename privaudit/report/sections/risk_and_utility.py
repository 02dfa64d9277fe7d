"""Risk and utility: every release on one plot, with intervals on both axes."""

from __future__ import annotations

from collections.abc import Sequence

from privaudit.report import charts
from privaudit.report import numbers as n
from privaudit.report.blocks import Block, Chart, Prose, make_table
from privaudit.report.kinds import get_utility, get_utility_metric
from privaudit.report.reading import (
    AUC,
    FALLBACK_FPR,
    PRIMARY_FPR,
    get_stated,
    overlap,
    read_membership,
    tpr_at,
)
from privaudit.report.training_kind import get_training_kind
from privaudit.report.wording import risk_and_utility as words
from privaudit.report.wording.metrics import capitalise, name_metric
from privaudit.results import Audit
from privaudit.verdicts import Verdicts

LOOKS = {kind: i for i, kind in enumerate(words.TRAINING_KINDS)}
METRICS = (tpr_at(PRIMARY_FPR), tpr_at(FALLBACK_FPR), AUC)


def build(audit: Audit, verdicts: Verdicts | None) -> tuple[Block, ...]:
    """One plot by the finest measure that most releases can state."""
    marks: dict[int, list[charts.Dot]] = {i: [] for i in range(len(METRICS))}
    for s in audit.subjects:
        (utility, _), finding = get_utility(s), read_membership(audit, s).finding
        for i, metric in enumerate(METRICS):
            risk = get_stated(finding.estimates, metric) if finding is not None else None
            if utility is not None and risk is not None:
                marks[i].append(charts.Dot(s.name, utility, risk, LOOKS[get_training_kind(s)]))
    chosen = max(marks, key=lambda i: len(marks[i]))
    metric, dots = METRICS[chosen], marks[chosen]
    if not dots:
        return (Prose(words.NONE),)
    title, measure = title_dots(dots), get_utility_metric(audit)
    table = make_table(
        words.CAPTION,
        (
            "Release",
            words.title_utility(measure),
            capitalise(name_metric(metric)),
            words.BY_GUESSING,
        ),
        [(d.name, n.estimate_text(d.x), n.estimate_text(d.y), n.chance_text(d.y)) for d in dots],
        1,
    )
    shown = {get_training_kind(s) for s in audit.subjects}
    looks = {LOOKS[kind]: name() for kind, name in words.TRAINING_KINDS.items() if kind in shown}
    axes = (words.title_utility_axis(measure), words.title_risk_axis(metric))
    svg = charts.draw_tradeoff(dots, "chart-tradeoff", title, *axes, looks)
    blocks: list[Block] = [Prose(words.INTRO)]
    blocks += [Prose(words.NUMBERED, "small")] if len(dots) > charts.MAX_LOOKS else []
    missing = [s.name for s in audit.subjects if s.name not in {d.name for d in dots}]
    blocks.append(Chart(title, svg, table))
    return (*blocks, *([Prose(words.word_left_out(missing), "small")] if missing else []))


def title_dots(dots: Sequence[charts.Dot]) -> str:
    """The take-away of a plot of risk and utility."""
    if len(dots) == 1:
        return words.title_single(dots[0].name)
    by_risk = sorted(dots, key=lambda d: d.y.value or 0)
    by_use = sorted(dots, key=lambda d: -(d.x.value or 0))
    tied = overlap(by_risk[0].y, by_risk[1].y) or overlap(by_use[0].x, by_use[1].x)
    return words.title_chart(by_risk[0].name, by_use[0].name, tied)


__all__ = ["build", "title_dots"]
