"""How each model was trained, what it promised, and how useful it is."""

from __future__ import annotations

from privaudit.report import charts
from privaudit.report import numbers as n
from privaudit.report import wording as say
from privaudit.report.blocks import (
    Block,
    Bullets,
    Chart,
    Details,
    Facts,
    Heading,
    Prose,
    Row,
    Table,
    Text,
)
from privaudit.report.kinds import kind
from privaudit.report.notes import LEARNERS, METRICS, WAYS, Way
from privaudit.report.reading import get, stated, told
from privaudit.results import Audit, Curve, Estimate, Subject

ORDER = 60


def build(audit: Audit) -> tuple[Block, ...]:
    shown = told(audit)
    many = len(shown) < len(audit.subjects)
    blocks: list[Block] = _across(audit) if many else []
    for number, subject in enumerate(() if many else audit.subjects, 1):
        blocks.append(Heading(subject.name, f"training-{number}"))
        if way_of(audit, subject) is None and not say.forbidden(subject.description):
            blocks.append(Prose(subject.description))
        blocks.append(Facts(_facts(subject, way_of(audit, subject))))
        if subject.notes:
            blocks.append(Bullets(subject.notes))
        blocks += _usefulness(subject)
    curves = [(i, c) for i in shown if (c := audit.subjects[i].reliability) is not None and c.x]
    plots = tuple(_calibration(audit.subjects[i], c, i + 1) for i, c in curves)
    if plots:
        blocks += [Heading("Calibration", "calibration-plots"), Row(plots)]
    return tuple(blocks)


def _across(audit: Audit) -> list[Block]:
    """Many models: who is who, usefulness, settings, and notes, each note once."""
    settings = tuple(
        (s.name, _settings(s), ", ".join(_cost(key, s.costs[key]) for key in sorted(s.costs)))
        for s in audit.subjects
    )
    table = Table(say.SETTINGS_CAPTION, say.SETTINGS_COLUMNS, settings)
    notes: dict[str, list[str]] = {}
    for s in audit.subjects:
        for note in s.notes:
            notes.setdefault(note, []).append(s.name)
    lines = tuple(
        f"{note} ({say.models(tuple(names), len(audit.subjects))})" for note, names in notes.items()
    )
    blocks = [*_ways(audit), *_metrics(audit), Details(say.SETTINGS_CAPTION, (table,))]
    if lines:
        blocks += [Heading(say.TRAINING_NOTES, "training-notes"), Bullets(lines)]
    return blocks


def _settings(subject: Subject) -> str:
    return ", ".join(f"{key} = {value}" for key, value in sorted(subject.params.items()))


def _ways(audit: Audit) -> list[Block]:
    """Who is who: the model family, the way of training, and the promise, in a row each."""
    rows: list[tuple[Text, ...]] = []
    for s in audit.subjects:
        way = WAYS.get(s.method)
        c = s.claim
        promise = (
            say.UNPROMISED if c.epsilon is None else f"epsilon {say.promise_size(c)}, one {c.unit}"
        )
        rows.append((s.name, s.learner, f"{way.label}: {way.how}" if way else s.method, promise))
    return [Table(say.WAYS_CAPTION, say.WAYS_COLUMNS, tuple(rows))]


def _metrics(audit: Audit) -> list[Block]:
    """Usefulness of every model on patients it never saw, and AUROC on its own for contrast."""
    names = list(dict.fromkeys(e.name for s in audit.subjects for e in s.utility))
    rows: list[tuple[Text, ...]] = []
    for s in audit.subjects:
        if not s.utility:
            continue
        inside = get(s.utility_members, "auroc")
        cells = [_short(get(s.utility, name)) for name in names]
        rows.append((s.name, *cells, _short(inside)))
    if not rows:
        return []
    titles = [METRICS.get(name, (say.capital(say.measure(name)), "")) for name in names]
    notes = tuple(f"{title}: {reading}." for title, reading in titles if reading)
    columns = ("Model", *(title for title, _ in titles), say.INSIDE)
    numeric = tuple(range(1, len(columns)))
    return [Table(say.USE_CAPTION, columns, tuple(rows), numeric, notes)]


def _short(e: Estimate | None) -> str:
    return "" if e is None else n.estimate_text(e)


def way_of(audit: Audit, subject: Subject) -> Way | None:
    """How it was trained, where this audit knows."""
    return None if kind(audit, subject) == "given" else WAYS.get(subject.method)


def _facts(subject: Subject, way: Way | None) -> tuple[tuple[Text, Text], ...]:
    family = LEARNERS.get(subject.learner, "")
    pairs: list[tuple[Text, Text]] = []
    if subject.learner:
        pairs.append((say.LEARNER, f"{subject.learner} ({family})" if family else subject.learner))
    pairs.append((say.METHOD, f"{subject.method} ({way.how})" if way else say.NOT_KNOWN))
    if subject.params:
        pairs.append((say.SETTINGS, _settings(subject)))
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
