"""The drawings: labels do not collide, scales hold every value, thinning keeps the line."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reader import Element, Page

from privaudit.facts import Metric
from privaudit.report import _svg as s
from privaudit.report import charts, charts_curves
from privaudit.results import Curve, Estimate

TPR = Metric("tpr", fpr=0.01)
rates = st.floats(0, 1, allow_nan=False)


def parsed(svg: str) -> Element:
    return Page(svg).root


def words(root: Element) -> list[Element]:
    return root.all("text")


def boxes(root: Element) -> list[tuple[float, float, float, float]]:
    """Estimated boxes of all words: left, top, right, bottom."""
    found = []
    for e in words(root):
        size = float(e.attributes.get("font-size", 13))
        x, y, wide = float(e.attributes["x"]), float(e.attributes["y"]), 0.5 * size * len(e.text)
        anchor = e.attributes.get("text-anchor", "start")
        left = x - {"start": 0, "middle": wide / 2, "end": wide}[anchor]
        found.append((left, y - 0.7 * size, left + wide, y + 0.1 * size))
    return found


def apart(root: Element) -> bool:
    found = boxes(root)
    return not any(
        a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
        for i, a in enumerate(found)
        for b in found[i + 1 :]
    )


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(rates, rates), min_size=1, max_size=14))
def test_tradeoff_labels_never_collide(points: list[tuple[float, float]]) -> None:
    dots = [
        charts.Dot(
            f"model-{i}",
            Estimate(Metric("auroc"), x, max(0.0, x - 0.02), min(1.0, x + 0.02)),
            Estimate(TPR, y, max(0.0, y - 0.01), min(1.0, y + 0.01), 0.01),
        )
        for i, (x, y) in enumerate(points)
    ]
    root = parsed(charts.draw_tradeoff(dots, "c", "Title.", "x", "y"))
    names = [e.text for e in words(root) if e.text.startswith("model-")]
    assert sorted(names) == sorted(d.name for d in dots)
    assert apart(root)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-1e4, 1e4), max_size=20), st.floats(1, 40))
def test_spread_keeps_the_gap_and_the_order(wanted: list[float], gap: float) -> None:
    placed = s.spread(wanted, gap, 0, 400)
    order = sorted(range(len(wanted)), key=lambda i: (wanted[i], i))
    for a, b in pairwise(order):
        assert placed[b] - placed[a] >= gap - 1e-6
    assert all(p >= -1e-6 for p in placed)
    if gap * (len(wanted) - 1) <= 400:
        assert all(p <= 400 + 1e-6 for p in placed)


@settings(max_examples=100, deadline=None)
@given(rates, rates, st.integers(1, 8))
def test_ticks_cover_what_is_drawn(a: float, b: float, about: int) -> None:
    low, high = sorted((a, b))
    marks = s.ticks(low, high, about)
    assert marks[0] <= low + 1e-8
    assert marks[-1] >= high - 1e-8
    assert len(marks) <= about + 3
    steps = {round(y - x, 8) for x, y in pairwise(marks)}
    assert len(steps) <= 1 or max(steps) - min(steps) < 1e-6


def test_thinning_moves_the_line_by_less_than_a_pixel() -> None:
    points = [(float(i), 100 * math.sin(i / 40) + (3 if i == 77 else 0)) for i in range(300)]
    kept = s.thin(points)
    assert 77 in kept
    assert len(kept) < 60
    for i, (x, y) in enumerate(points):
        right = next(k for k in kept if k >= i)
        left = max(k for k in kept if k <= i)
        if left == right:
            continue
        (x0, y0), (x1, y1) = points[left], points[right]
        away = abs((x1 - x0) * (y0 - y) - (x0 - x) * (y1 - y0)) / math.hypot(x1 - x0, y1 - y0)
        assert away <= 0.7


def test_roc_of_zeros_and_ones_stays_on_the_page() -> None:
    curve = Curve(
        "roc", TPR, (0.001, 0.01, 1.0), (0.0, 0.0, 1.0), (0.0, 0.0, 1.0), (0.01, 0.5, 1.0)
    )
    root = parsed(
        charts_curves.draw_roc([charts_curves.Line("a", curve, 0)], "c", "Title.", "x", "y")
    )
    (band, line) = [
        e.attributes["d"]
        for e in root.all("path")
        if e.attributes.get("fill-opacity") or e.attributes.get("stroke-linejoin")
    ]
    for d in (band, line):
        numbers = [float(n) for n in d.replace("M", " ").replace("L", " ").replace("Z", "").split()]
        assert all(0 <= n <= 680 for n in numbers)


@pytest.mark.parametrize("count", [1, 3, 5, 9])
def test_five_looks_told_apart_by_more_than_colour(count: int) -> None:
    looks = [s.style(i) for i in range(count)]
    for part in range(3):
        assert len({look[part] for look in looks}) == min(count, len(s.STYLES))


def test_forest_says_why_a_number_is_missing() -> None:
    bars = [
        charts.Bar("a", (Estimate(Metric("auc"), 0.6, 0.5, 0.7, 0.5), None)),
        charts.Bar("b", (Estimate(Metric("auc"), 0.61, 0.55, 0.7, 0.5), None), "too few patients"),
    ]
    panels = [charts.Panel("AUC", 0.5), charts.Panel("Recognised", 0.01)]
    root = parsed(charts.draw_forest(bars, panels, "c", "Title."))
    texts = [e.text for e in words(root)]
    assert texts.count("too few patients") == 1
    assert texts.count("not stated") == 1
    assert "0.60 (0.50–0.70)" in texts


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(rates, rates, rates), min_size=1, max_size=12))
def test_forest_words_do_not_run_into_each_other(rows: list[tuple[float, float, float]]) -> None:
    bars = []
    for i, row in enumerate(rows):
        low, value, high = sorted(row)
        bars.append(
            charts.Bar(
                f"group: level {i}",
                (
                    Estimate(Metric("auc"), value, low, high, 0.5),
                    Estimate(TPR, value, low, high, 0.01),
                ),
                strong=i % 2 == 0,
            )
        )
    panels = [charts.Panel("AUC", 0.5), charts.Panel("Recognised at 1 in 100", 0.01)]
    assert apart(parsed(charts.draw_forest(bars, panels, "c", "Title.")))


def test_evasion_labels_of_equal_ends_are_spread() -> None:
    curve = Curve(
        "budget",
        Metric("attack_rate"),
        (0.1, 0.5, 1.0),
        (0.1, 0.2, 0.3),
        (0.05, 0.1, 0.2),
        (0.2, 0.3, 0.4),
    )
    lines = [charts_curves.Line(f"attack {i}", curve, i, control=i > 1) for i in range(6)]
    assert apart(parsed(charts_curves.draw_evasion(lines, "c", "Title.", "x", "y")))


def test_reliability_of_one_point() -> None:
    curve = Curve("reliability", TPR, (0.9,), (1.0,), (0.8,), (1.0,))
    root = parsed(charts_curves.draw_reliability(curve, "c", "Title.", "x", "y"))
    assert len(root.all("circle")) == 1
    assert apart(root)


def test_the_auroc_under_attack_is_a_table_and_a_chart() -> None:
    """Beside the share of wrong predictions, and not once more among further numbers."""
    from dataclasses import replace

    import sample

    from privaudit.report.blocks import Chart, Table
    from privaudit.report.sections import results_by_attack
    from privaudit.report.wording import results_by_attack as words

    audit = sample.sample()
    subject = audit.subjects[1]
    changed = []
    for one in subject.outcomes:
        if one.family == "evasion":
            n = {"attempts": 300, "patients": 300}
            settings_ = dict.fromkeys(e.metric.at for e in one.estimates)
            more = [
                Estimate(Metric(name, at=at), v, v - 0.05, min(1.0, v + 0.05), 0.5, n)
                for at in settings_
                for name, v in (
                    ("auroc_attacked", 0.8 - 0.5 * float(at.value)),
                    ("auroc_shaken", 0.84),
                    ("auroc_unchanged", 0.85),
                    ("auroc_fall", 0.04 + 0.5 * float(at.value)),
                )
            ]
            one = replace(one, estimates=(*one.estimates, *more))
        changed.append(one)
    subject = replace(subject, outcomes=tuple(changed))
    audit = replace(audit, subjects=(audit.subjects[0], subject, *audit.subjects[2:]))
    blocks = results_by_attack.build(audit, None)
    tables = {b.caption: b for b in blocks if isinstance(b, Table)}
    table = tables[words.RANKING_CAPTION]
    tried = sum(one.family == "evasion" for one in changed)
    assert len(table.rows) == tried * len(settings_)
    assert not any(
        "AUROC under attack" in str(row) for row in tables.get(words.OTHERS_CAPTION, table).rows
    )
    charts_ = [b for b in blocks if isinstance(b, Chart) and "chart-ranking" in b.svg]
    assert len(charts_) == 1
    assert "the AUROC is" in charts_[0].title
    assert apart(parsed(charts_[0].svg))
    assert not any(
        isinstance(b, Table) and b.caption == words.RANKING_CAPTION
        for b in results_by_attack.build(sample.sample(), None)
    )
