"""Training and guarantees: how each release was trained, what it claims, and its utility."""

from __future__ import annotations

from privaudit.composition import group_claims
from privaudit.facts import Metric
from privaudit.report import charts_curves
from privaudit.report import numbers as n
from privaudit.report.blocks import (
    Block,
    Bullets,
    Chart,
    Details,
    Heading,
    Prose,
    Row,
    make_table,
)
from privaudit.report.kinds import get_kind, get_kinds, get_utility_metric
from privaudit.report.reading import get, get_detailed, get_stated
from privaudit.report.wording import training_and_guarantees as words
from privaudit.report.wording.knowledge import method_notes
from privaudit.report.wording.metrics import (
    capitalise,
    explain_reading,
    name_metric,
    name_setting,
)
from privaudit.report.wording.page import find_forbidden
from privaudit.report.wording.reasons_and_caveats import word_caveat
from privaudit.report.wording.releases import name_column, name_subset
from privaudit.results import Audit, Curve, Estimate, Subject
from privaudit.verdicts import Verdicts

PARTS = ("calibration_slope", "calibration_intercept")
"""What is stated of each outcome, or cut, where there are more than two."""


def build(audit: Audit, verdicts: Verdicts | None) -> tuple[Block, ...]:
    """Method and guarantee, utility, settings, notes; calibration of the most exposed."""
    if not audit.subjects:
        return ()
    head = name_column(get_kinds(audit))
    ways = [
        (s.name, s.learner, describe_method(audit, s), words.word_guarantee(s.claim))
        for s in audit.subjects
    ]
    blocks: list[Block] = [make_table(words.WAYS_CAPTION, (head, *words.WAYS_COLUMNS), ways)]
    blocks += [Prose(words.word_composed(c)) for c in audit.composed]
    if len(relations := group_claims({s.name: s.claim for s in audit.subjects})) > 1:
        blocks.append(Prose(words.word_apart(list(relations)), "small"))
    if any(s.claim.epsilon is None for s in audit.subjects):
        blocks.append(Prose(words.NO_CLAIM, "small"))
    learners = {s.learner for s in audit.subjects} & set(words.LEARNERS)
    if learners:
        meanings = "; ".join(f"{name}: {words.LEARNERS[name]()}" for name in sorted(learners))
        blocks.append(Prose(f"{meanings}.", "small"))
    blocks += [*_build_utility(audit, head), *_build_settings(audit, head)]
    notes: dict[str, list[str]] = {}
    for s in audit.subjects:
        for caveat in s.notes:
            notes.setdefault(word_caveat(caveat), []).append(s.name)
    if notes:
        lines = (f"{text} ({name_subset(at, len(audit.subjects))})" for text, at in notes.items())
        blocks += [Heading(words.NOTES, "training-notes"), Bullets(tuple(lines))]
    curves = [(i, audit.subjects[i].reliability) for i in get_detailed(audit)]
    plots = [_draw_calibration(audit.subjects[i], c, i + 1) for i, c in curves if c and c.x]
    if plots:
        blocks += [Heading(words.CALIBRATION, "calibration-plots"), Row(tuple(plots))]
    return tuple(blocks)


def describe_method(audit: Audit, subject: Subject) -> str:
    """How a release was trained: as the report knows it, else as the method describes itself."""
    note = method_notes().get(subject.method)
    if get_kind(audit, subject) == "supplied table":
        return words.NOT_KNOWN
    if note is not None:
        return f"{note.label}: {note.how}"
    return words.NOT_KNOWN if find_forbidden(subject.description) else subject.description


def _build_utility(audit: Audit, head: str) -> list[Block]:
    """Utility on held-out patients, and AUROC or R2 on training patients for contrast."""
    measure = get_utility_metric(audit)
    found = dict.fromkeys(e.metric for s in audit.subjects for e in s.utility)
    metrics = [metric for metric in found if metric.at is None]
    rows, overfitted = [], []
    for s in audit.subjects:
        if not s.utility:
            continue
        inside = get(s.utility_members, measure)
        cells = [n.cell_text(get(s.utility, metric)) for metric in metrics]
        rows.append((s.name, *cells, n.cell_text(inside)))
        outside = get_stated(s.utility, measure)
        if inside is not None and outside is not None and _is_above(inside, outside):
            overfitted.append(s.name)
    if not rows:
        return []
    titles = [capitalise(name_metric(metric)) for metric in metrics]
    readings = zip(titles, map(explain_reading, metrics), strict=True)
    notes = [f"{title}: {reading}." for title, reading in readings if reading]
    columns = (head, *titles, words.title_training(measure))
    table = make_table(words.UTILITY_CAPTION(), columns, rows, 1, notes)
    text = words.word_overfitting(overfitted, len(audit.subjects))
    return [table, *([Prose(text)] if overfitted else []), *_build_parts(audit, head)]


def _build_parts(audit: Audit, head: str) -> list[Block]:
    """What is stated outcome by outcome, or cut by cut: calibration of more than two outcomes."""
    rows = [
        (
            s.name,
            capitalise(name_setting(at)),
            *(n.cell_text(get(s.utility, Metric(name, at=at))) for name in PARTS),
        )
        for s in audit.subjects
        for at in dict.fromkeys(e.metric.at for e in s.utility)
        if at is not None
    ]
    if not rows:
        return []
    metrics = [Metric(name) for name in PARTS]
    titles = [capitalise(name_metric(metric)) for metric in metrics]
    notes = [
        f"{title}: {explain_reading(metric)}."
        for title, metric in zip(titles, metrics, strict=True)
    ]
    columns = (head, words.PART, *titles)
    return [make_table(words.PARTS_CAPTION(), columns, rows, 2, notes)]


def _is_above(one: Estimate, two: Estimate) -> bool:
    return one.low is not None and two.high is not None and one.low > two.high


def _build_settings(audit: Audit, head: str) -> list[Block]:
    rows = [
        (
            s.name,
            ", ".join(f"{key} = {value}" for key, value in sorted(s.params.items())),
            ", ".join(word_cost(key, s.costs[key]) for key in sorted(s.costs)),
        )
        for s in audit.subjects
    ]
    table = make_table(words.SETTINGS_CAPTION, (head, *words.SETTINGS_COLUMNS), rows)
    return [Details(words.SETTINGS_CAPTION, (table,))]


def word_cost(key: str, value: float) -> str:
    """A cost by its unit, which its name holds: `train_seconds`, `bytes_sent`, `rounds`."""
    parts = key.split("_")
    for unit, write, alone in (("seconds", n.duration, "time"), ("bytes", n.size, "size")):
        if unit in parts:
            name = " ".join(part for part in parts if part != unit) or alone
            return f"{name} {write(value)}"
    return f"{' '.join(parts)} {n.significant(value)}"


def _draw_calibration(subject: Subject, curve: Curve, number: int) -> Chart:
    slope = get(subject.utility, "calibration_slope")
    intercept = get(subject.utility, "calibration_intercept")
    title = words.title_reliability(subject.name, slope, intercept)
    banded = len(curve.low) == len(curve.high) == len(curve.x)
    rows = []
    for i, (x, y) in enumerate(zip(curve.x, curve.y, strict=False)):
        low, high = (curve.low[i], curve.high[i]) if banded else (None, None)
        observed = n.estimate_text(Estimate(Metric("observed_rate"), y, low, high))
        rows.append((f"{n.fixed(x * 100, 1)}{n.NBSP}%", observed))
    axes = (words.PREDICTED, words.OBSERVED)
    table = make_table(words.caption_reliability(subject.name), axes, rows, 0)
    svg = charts_curves.draw_reliability(curve, f"chart-calibration-{number}", title, *axes)
    return Chart(title, svg, table, half=True)


__all__ = ["build", "describe_method", "word_cost"]
