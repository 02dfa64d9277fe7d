"""Differential privacy: a card for each promise, with what attacks measured beside it."""

from __future__ import annotations

from privaudit.report import charts
from privaudit.report import numbers as n
from privaudit.report import wording as say
from privaudit.report.blocks import Block, Callout, Card, Chart, Facts, Prose, Table, Text
from privaudit.report.notes import WAYS, kind, label
from privaudit.report.reading import bounds, broken_promise, findings, read, stated
from privaudit.results import Audit, Subject

ORDER = 65


def build(audit: Audit) -> tuple[Block, ...]:
    promised = [(i, s) for i, s in enumerate(audit.subjects, 1) if s.claim.epsilon is not None]
    measured = any(bounds(s) for s in audit.subjects)
    if not promised and not measured:
        return ()
    blocks: list[Block] = [Prose(say.PROMISES)]
    blocks += [
        Callout("stop", say.DEFECT_TITLE, (Prose(say.defect(s.name, told)),))
        for _, s in promised
        if (told := broken_promise(s))
    ]
    blocks += _plot(audit)
    blocks += [_card(audit, i, s) for i, s in promised]
    return tuple(blocks)


def _plot(audit: Audit) -> list[Block]:
    """Usefulness and membership against epsilon; a table alone where there is little to compare."""
    rows: list[tuple[Text, ...]] = []
    points: list[charts.Promise] = []
    for s in audit.subjects:
        use, risk = stated(s.utility, "auroc"), read(audit, s).auc
        way = WAYS[s.method].label if s.method in WAYS else s.method
        name = f"{way}, {s.learner}" if s.learner else way
        # Without a promise only the yardsticks are drawn: models trained in one place.
        if use is not None and (s.claim.epsilon is not None or kind(s.method) in ("pooled", "")):
            points.append(charts.Promise(name, s.claim.epsilon, use, risk))
        rows.append(
            (
                s.name,
                say.UNPROMISED if s.claim.epsilon is None else n.significant(s.claim.epsilon),
                _bound(s),
                "" if use is None else n.estimate_text(use),
                "" if risk is None else n.estimate_text(risk),
            )
        )
    table = Table(say.PROMISE_TABLE, say.PROMISE_COLUMNS, tuple(rows), numeric=(1, 2, 3, 4))
    points.sort(key=lambda p: p.epsilon is None)
    drawn = [p for p in points if p.epsilon is not None]
    if len({(p.name, p.epsilon) for p in drawn}) < 2:
        return [table]
    best = max(drawn, key=lambda p: p.use.value or 0.0)
    without = [p.use for p in points if p.epsilon is None]
    top = max(without, key=lambda e: e.value or 0.0, default=None)
    assert best.epsilon is not None
    title = say.promise_title(best.name, best.epsilon, best.use, top)
    svg = charts.promises(
        points, "chart-promises", title, say.PROMISE_X, say.PROMISE_Y, say.UNPROMISED
    )
    return [Prose(say.PROMISE_MARKS, "small"), Chart(title, svg, table, open=True)]


def _bound(s: Subject) -> str:
    known = [e.value for _, e in bounds(s) if e.value is not None]
    return n.significant(max(known)) if known else "not stated" if bounds(s) else "not tested"


def _card(audit: Audit, number: int, s: Subject) -> Card:
    c, facts = s.claim, say.PROMISE_FACTS
    lower = [say.bound(label(attack), e.name, e) for attack, e in bounds(s)]
    risk, use = read(audit, s).auc, stated(s.utility, "auroc")
    rest = [power for power in s.access if power not in c.covers]
    way = WAYS.get(s.method)
    pairs: list[tuple[Text, Text]] = [
        (facts["epsilon"], say.promise_size(c)),
        (facts["odds"], say.odds(c)),
        (facts["unit"], say.unit(c)),
        (facts["neighbours"], say.neighbours(c)),
        (facts["covers"], "; ".join(c.covers) or say.COVERS_NOTHING),
    ]
    if rest:
        pairs.append((facts["open"], "; ".join(rest)))
    pairs += [
        (facts["mechanism"], f"{way.label}: {way.how}" if way else s.description or s.method),
        (facts["basis"], c.basis),
        (facts["bound"], "; ".join(lower) or say.BOUND_NONE),
    ]
    pairs += [
        (facts[name], n.estimate_text(e)) for name, e in (("useful", use), ("risk", risk)) if e
    ]
    return Card(s.name, f"promise-{number}", say.PROMISE_BADGES[_state(s)], (Facts(tuple(pairs)),))


def _state(s: Subject) -> str:
    if broken_promise(s):
        return "broken"
    if not any(e.value is not None for _, e in bounds(s)):
        return "untested"
    apart = any(
        "cannot be compared" in caveat or "does not cover" in caveat
        for f in findings(s, "epsilon")
        for caveat in f.caveats
    )
    return "apart" if apart else "unbroken"
