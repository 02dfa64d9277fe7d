"""How each model was trained, what it promised, and how useful it is."""

from __future__ import annotations

from privaudit.report import charts
from privaudit.report import numbers as n
from privaudit.report import sentences as say
from privaudit.report.blocks import Block, Bullets, Chart, Facts, Heading, Prose, Row, Table, Text
from privaudit.report.notes import LEARNERS, METRICS, WAYS
from privaudit.report.reading import get, stated
from privaudit.results import Audit, Curve, Estimate, Subject

ORDER = 60


def build(audit: Audit) -> tuple[Block, ...]:
    blocks: list[Block] = []
    plots: list[Block] = []
    for number, subject in enumerate(audit.subjects, 1):
        blocks.append(Heading(subject.name, f"training-{number}"))
        if subject.description:
            blocks.append(Prose(subject.description))
        blocks.append(Facts(_facts(subject)))
        if subject.notes:
            blocks.append(Bullets(subject.notes))
        blocks += _usefulness(subject)
        if subject.reliability is not None and subject.reliability.x:
            plots.append(_calibration(subject, subject.reliability, number))
    if plots:
        blocks += [Heading("Calibration", "calibration-plots"), Row(tuple(plots))]
    return tuple(blocks)


def _facts(subject: Subject) -> tuple[tuple[Text, Text], ...]:
    family, way = LEARNERS.get(subject.learner, ""), WAYS.get(subject.method)
    pairs: list[tuple[Text, Text]] = []
    if subject.learner:
        pairs.append((say.LEARNER, f"{subject.learner} ({family})" if family else subject.learner))
    pairs.append((say.METHOD, f"{subject.method} ({way.how})" if way else subject.method))
    if subject.params:
        settings = ", ".join(f"{key} = {value}" for key, value in sorted(subject.params.items()))
        pairs.append((say.SETTINGS, settings))
    if subject.costs:
        costs = ", ".join(_cost(key, value) for key, value in sorted(subject.costs.items()))
        pairs.append((say.COST_CAPTION, costs))
    return (*pairs, (say.PROMISE, say.claim(subject.claim)))


def _cost(key: str, value: float) -> str:
    """A cost by its unit, which its name holds: `train_seconds`, `bytes_sent`, `rounds`."""
    words = key.split("_")
    for unit, write, alone in (("seconds", n.duration, "time"), ("bytes", n.size, "size")):
        if unit in words:
            name = " ".join(word for word in words if word != unit) or alone
            return f"{name} {write(value)}"
    return f"{' '.join(words)} {n.significant(value)}"


def _usefulness(subject: Subject) -> list[Block]:
    if not subject.utility:
        return []
    rows = []
    for e in subject.utility:
        title, reading = METRICS.get(e.name, (say.capital(say.measure(e.name)), ""))
        inside = get(subject.utility_members, e.name)
        rows.append((title, _cell(e), "not measured" if inside is None else _cell(inside), reading))
    table = Table(
        say.utility_caption(subject.name), say.UTILITY_COLUMNS, tuple(rows), numeric=(1, 2)
    )
    inside, outside = stated(subject.utility_members, "auroc"), stated(subject.utility, "auroc")
    words = [Prose(say.contrast(subject.name, inside, outside))] if inside and outside else []
    return [*words, table]


def _cell(e: Estimate) -> str:
    return (
        n.estimate_text(e)
        if e.value is not None
        else f"not stated: {e.refusal or 'no reason given'}"
    )


def _calibration(subject: Subject, curve: Curve, number: int) -> Chart:
    slope = get(subject.utility, "calibration_slope")
    intercept = get(subject.utility, "calibration_intercept")
    title = say.reliability_title(subject.name, slope, intercept)
    banded = len(curve.low) == len(curve.high) == len(curve.x)
    rows = []
    for i, (x, y) in enumerate(zip(curve.x, curve.y, strict=False)):
        low, high = (curve.low[i], curve.high[i]) if banded else (None, None)
        observed = n.estimate_text(Estimate("attack_rate", y, low, high))
        rows.append((f"{n.fixed(x * 100, 1)}{n.NBSP}%", observed))
    table = Table(
        say.reliability_caption(subject.name),
        (say.RELIABILITY_X, say.RELIABILITY_Y),
        tuple(rows),
        numeric=(0, 1),
    )
    svg = charts.reliability(
        curve, f"chart-calibration-{number}", title, say.RELIABILITY_X, say.RELIABILITY_Y
    )
    return Chart(title, svg, table, half=True)
