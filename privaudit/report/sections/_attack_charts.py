"""The charts of one release's attacks, each with the table of what it draws."""

from __future__ import annotations

from bisect import bisect_right

from privaudit.report import _svg as s
from privaudit.report import charts_curves
from privaudit.report import numbers as n
from privaudit.report.blocks import Block, Chart, Prose, make_table
from privaudit.report.reading import AUC, get_roc, get_stated, tpr_at
from privaudit.report.series import Series, get_ranking, get_series, get_unit
from privaudit.report.wording import results_by_attack as words
from privaudit.report.wording.knowledge import name_attack
from privaudit.report.wording.metrics import name_setting
from privaudit.results import Curve, Estimate, Finding, Subject

MAX_LINES = 4
GRID = (0.001, 0.01, 0.05, 0.1, 0.2, 0.5)


def draw_roc(subject: Subject, attacks: list[Finding], number: int) -> list[Block]:
    """The ROC of the four strongest attacks, with the band of the strongest."""
    curves = [(f, c) for f in attacks if (c := get_roc(f)) is not None]
    if not curves:
        return []
    head = subject.headline.attack if subject.headline is not None else None
    curves.sort(key=lambda entry: (entry[0].attack != head, -_get_area(entry[0])))
    drawn, rest = curves[:MAX_LINES], curves[MAX_LINES:]
    lines = [
        charts_curves.Line(name_attack(f.attack), c, i, banded=i == 0)
        for i, (f, c) in enumerate(drawn)
    ]
    title = words.title_roc(subject.name, lines[0].name, bool(drawn[0][1].low))
    xs = [x for x in GRID if any(c.x[0] <= x * (1 + 1e-9) for _, c in drawn)]
    table = make_table(
        words.caption_roc(subject.name),
        (words.ROC_X, *(line.name for line in lines)),
        [(n.share(x), *(_word_at(c, x) for _, c in drawn)) for x in xs],
        1,
    )
    svg = charts_curves.draw_roc(lines, f"chart-roc-{number}", title, words.ROC_X, words.ROC_Y)
    more = [Prose(words.word_not_drawn(name_attack(f.attack) for f, _ in rest), "small")]
    return [Chart(title, svg, table), *(more if rest else [])]


def _get_area(f: Finding) -> float:
    e = get_stated(f.estimates, AUC)
    return e.value or 0.0 if e is not None else 0.0


def _word_at(curve: Curve, x: float) -> str:
    """The curve at the last point that is not to the right of x."""
    i = bisect_right(curve.x, x * (1 + 1e-9)) - 1
    if i < 0:
        return words.TOO_FEW()
    low = curve.low[i] if len(curve.low) == len(curve.x) else None
    high = curve.high[i] if len(curve.high) == len(curve.x) else None
    return n.estimate_text(Estimate(tpr_at(x), curve.y[i], low, high))


def draw_evasion(subject: Subject, attacks: list[Finding], number: int) -> list[Block]:
    """Wrong predictions by the size of the change, each attack with random changes of that size."""
    unit = get_unit(attacks)
    tried = [(f, sized) for f in attacks if (sized := [t for t in get_series(f) if t.size])]
    lines: list[charts_curves.Line] = []
    last: list[tuple[str, Series]] = []
    for i, (f, series) in enumerate(tried[:MAX_LINES]):
        name = name_attack(f.attack)
        for label, of, control in (
            (name, "attack", False),
            (words.name_random(name), "control", True),
        ):
            curve = _make_curve(series, of)
            lines += [charts_curves.Line(label, curve, i, control)] if curve is not None else []
        stated = [t for t in series if t.attack is not None and t.attack.value is not None]
        last += [(name, stated[-1])] if stated else []
    unchanged = (curve for _, series in tried if (curve := _make_curve(series, "guess")))
    before = next(unchanged, None)
    if before is not None:
        lines.append(charts_curves.Line(words.UNCHANGED, before, len(s.STYLES), control=True))
    if not lines or not last:
        return []
    name, t = max(last, key=lambda entry: (entry[1].attack and entry[1].attack.value) or 0.0)
    assert t.attack is not None
    title = words.title_evasion(subject.name, name, name_setting(t.setting), t.attack, t.control)
    sizes = sorted({x for line in lines for x in line.curve.x})
    table = make_table(
        words.caption_evasion(subject.name),
        (words.LARGEST_CHANGE, *(words.name_size(size, unit) for size in sizes)),
        [(line.name, *(_word_point(line.curve, size) for size in sizes)) for line in lines],
        1,
    )
    svg = charts_curves.draw_evasion(
        lines, f"chart-evasion-{number}", title, words.label_sizes(unit), words.EVASION_Y
    )
    return [Chart(title, svg, table)]


def draw_ranking(subject: Subject, attacks: list[Finding], number: int) -> list[Block]:
    """The AUROC by the size of the change, of each attack with random changes of that size."""
    lines: list[charts_curves.Line] = []
    lowest: list[tuple[float, str, float, Estimate, Estimate]] = []
    unit = get_unit(attacks)
    for i, f in enumerate(attacks[:MAX_LINES]):
        name = name_attack(f.attack)
        found = [(size, e) for size, e in get_ranking(f) if all(p.value is not None for p in e)]
        if len(found) < 2:
            continue
        for part, label, control in ((0, name, False), (1, words.name_random(name), True)):
            points = [
                (size, e[part].value or 0.0, e[part].low or 0.0, e[part].high or 0.0)
                for size, e in found
            ]
            x, y, low, high = zip(*points, strict=True)
            curve = Curve("budget", found[0][1][part].metric, x, y, low, high)
            lines.append(charts_curves.Line(label, curve, i, control))
        size, last = found[-1]
        lowest.append((last[0].value or 0.0, name, size, last[0], last[1]))
    if not lines:
        return []
    _, name, size, e, control_e = min(lowest, key=lambda entry: entry[0])
    title = words.title_ranking(subject.name, name, words.name_size(size, unit), e, control_e)
    sizes = sorted({x for line in lines for x in line.curve.x})
    table = make_table(
        words.caption_ranking(subject.name),
        (words.LARGEST_CHANGE, *(words.name_size(size, unit) for size in sizes)),
        [(line.name, *(_word_point(line.curve, size) for size in sizes)) for line in lines],
        1,
    )
    svg = charts_curves.draw_evasion(
        lines, f"chart-ranking-{number}", title, words.label_sizes(unit), words.RANKING_Y
    )
    return [Chart(title, svg, table)]


def _make_curve(series: list[Series], of: str) -> Curve | None:
    """A rate by budget, with its intervals."""
    points = []
    for t in series:
        e: Estimate | None = getattr(t, of)
        if e is not None and e.value is not None and t.size is not None:
            low = e.value if e.low is None else e.low
            high = e.value if e.high is None else e.high
            points.append((t.size, e.value, low, high))
    if len(points) < 2:
        return None
    metric = next(e.metric for t in series if (e := getattr(t, of)) is not None)
    x, y, low_, high_ = zip(*sorted(points), strict=True)
    return Curve("budget", metric, x, y, low_, high_)


def _word_point(curve: Curve, x: float) -> str:
    if x not in curve.x:
        return ""
    i = curve.x.index(x)
    return n.estimate_text(Estimate(curve.metric, curve.y[i], curve.low[i], curve.high[i]))


__all__ = ["draw_evasion", "draw_ranking", "draw_roc"]
