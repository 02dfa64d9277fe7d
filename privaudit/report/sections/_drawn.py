"""The charts of the findings, each with the table of what it draws."""

from __future__ import annotations

from bisect import bisect_right

from privaudit.report import _svg as s
from privaudit.report import charts
from privaudit.report import numbers as n
from privaudit.report import wording as say
from privaudit.report.blocks import Block, Chart, Prose, Table
from privaudit.report.notes import label
from privaudit.report.reading import FALLBACK, PRIMARY, budgets, get, rate_at, stated
from privaudit.results import Curve, Estimate, Finding, Subject

MOST = 4
GRID = (0.001, 0.01, 0.05, 0.1, 0.2, 0.5)


def forest_chart(
    subject: Subject, rows: list[tuple[str, Finding]], number: int, table: Table
) -> list[Block]:
    """Every membership attack on two scales, beside the table that says it all."""
    lead = [f for _, f in rows if f is subject.headline] or [f for _, f in rows]
    fpr = next(
        (x for x in (PRIMARY, FALLBACK) if any(_has(rate_at(f.estimates, x)) for f in lead)), None
    )
    known = [(name, f) for name, f in rows if stated(f.estimates, "auc")]
    if not known:
        return [table]
    panels = [charts.Panel("AUC", 0.5)]
    if fpr is not None:
        panels.append(charts.Panel(say.panel(f"tpr_at_fpr_{fpr:g}"), fpr))
    bars = [
        charts.Bar(
            say.HEADLINE_ROW if f is subject.headline else name,
            (get(f.estimates, "auc"), *((rate_at(f.estimates, fpr),) if fpr is not None else ())),
            "too few patients",
            f is subject.headline,
        )
        for name, f in known
    ]
    games = [f for _, f in known]
    best = next((f for f in games if f is subject.headline), None) or max(games, key=_area)
    auc = get(best.estimates, "auc")
    assert auc is not None
    title = say.forest_title(subject.name, label(best.attack), auc)
    svg = charts.forest(bars, panels, f"chart-attacks-{number}", title)
    return [Chart(title, svg, table, open=True)]


def _area(f: Finding) -> float:
    auc = get(f.estimates, "auc")
    return auc.value if auc is not None and auc.value is not None else 0.0


def _has(e: Estimate | None) -> bool:
    return e is not None and e.value is not None


def _text(e: Estimate | None) -> str:
    return "" if e is None else n.estimate_text(e)


def roc_chart(subject: Subject, games: list[Finding], number: int) -> list[Block]:
    """The ROC of the four strongest attacks, with the band of the strongest."""
    curves = [(f, c) for f in games if (c := _roc(f)) is not None]
    if not curves:
        return []
    head = subject.headline.attack if subject.headline is not None else None
    curves.sort(
        key=lambda fc: (
            fc[0].attack != head,
            -_area(fc[0]),
        )
    )
    drawn, rest = curves[:MOST], curves[MOST:]
    lines = [charts.Line(label(f.attack), c, i, banded=i == 0) for i, (f, c) in enumerate(drawn)]
    title = say.roc_title(subject.name, lines[0].name, bool(drawn[0][1].low))
    xs = [x for x in GRID if any(c.x[0] <= x * (1 + 1e-9) for _, c in drawn)]
    table = Table(
        say.roc_caption(subject.name),
        (say.ROC_X, *(line.name for line in lines)),
        tuple((n.share(x), *(_at(c, x) for _, c in drawn)) for x in xs),
        numeric=tuple(range(1, len(lines) + 1)),
    )
    svg = charts.roc(lines, f"chart-roc-{number}", title, say.ROC_X, say.ROC_Y)
    blocks: list[Block] = [Chart(title, svg, table)]
    if rest:
        blocks.append(Prose(say.roc_more(label(f.attack) for f, _ in rest), "small"))
    return blocks


def _roc(f: Finding) -> Curve | None:
    found = (c for c in f.curves if "roc" in c.name.lower() and c.x and len(c.x) == len(c.y))
    return next(found, None)


def _at(curve: Curve, x: float) -> str:
    """The curve at the last point that is not to the right of x."""
    i = bisect_right(curve.x, x * (1 + 1e-9)) - 1
    if i < 0:
        return "too few patients"
    low = curve.low[i] if len(curve.low) == len(curve.x) else None
    high = curve.high[i] if len(curve.high) == len(curve.x) else None
    return n.estimate_text(Estimate("tpr_at_fpr_", curve.y[i], low, high))


def evasion_chart(subject: Subject, found: list[Finding], number: int, table: Table) -> list[Block]:
    """Success against the budget, each attack with its control."""
    lines: list[charts.Line] = []
    quoted: tuple[str, str, Estimate, Estimate | None] | None = None
    usable = [(f, c) for f in found if (c := _against_budget(f, "attack")) is not None]
    for i, (f, c) in enumerate(usable[:MOST]):
        lines.append(charts.Line(label(f.attack), c, i))
        control = _against_budget(f, "control")
        if control is not None:
            lines.append(charts.Line(say.noise(label(f.attack)), control, i, control=True))
        last = next((b for b in reversed(budgets(f)) if _has(b.attack)), None)
        if last is not None and last.attack is not None:
            beats = quoted is None or (last.attack.value or 0) > (quoted[2].value or 0)
            if beats:
                beside = last.control if _has(last.control) else None
                quoted = (label(f.attack), last.size, last.attack, beside)
    before = next((c for f, _ in usable if (c := _against_budget(f, "guess")) is not None), None)
    if before is not None:
        lines.append(charts.Line(say.UNCHANGED, before, len(s.STYLES), control=True))
    if not lines or quoted is None:
        return [table]
    title = say.evasion_title(subject.name, *quoted)
    svg = charts.evasion(lines, f"chart-evasion-{number}", title, say.EVASION_X, say.EVASION_Y)
    return [Chart(title, svg, table, open=True)]


def _against_budget(f: Finding, what: str) -> Curve | None:
    """The rate by budget: from the estimates, which have intervals, or from a stored curve."""
    points = []
    for b in budgets(f):
        e = {"attack": b.attack, "control": b.control, "guess": b.guess}[what]
        size = n.amount(b.size)
        if e is not None and e.value is not None and b.size and size != float("inf"):
            low = e.value if e.low is None else e.low
            high = e.value if e.high is None else e.high
            points.append((size, e.value, low, high))
    if len(points) > 1:
        x, y, low_, high_ = zip(*sorted(points), strict=True)
        return Curve(what, x, y, low_, high_)
    found = (c for c in f.curves if what in c.name and len(c.x) > 1 and len(c.x) == len(c.y))
    return next(found, None)
