"""Ways to reduce what is given away: other ways of training and narrower access, as measured here."""

from __future__ import annotations

from privaudit.report import numbers as n
from privaudit.report import wording as say
from privaudit.report.blocks import Block, Prose, Strong, Table, Text
from privaudit.report.notes import ACCESS, kind_of, label
from privaudit.report.reading import findings, ranked, read, stated
from privaudit.results import Audit, Estimate, Subject

ORDER = 70


def build(audit: Audit) -> tuple[Block, ...]:
    readings = [read(audit, s) for s in audit.subjects]
    order = [i for i in ranked(audit, readings) if readings[i].auc is not None]
    if not order or any(r.state == "invalid" for r in readings):
        return ()
    pooled = [i for i in order if kind_of(audit.subjects[i]) in ("pooled", "")]
    first = (pooled or order)[0]
    reference, risk = audit.subjects[first], readings[first].auc
    assert risk is not None
    others = [(audit.subjects[i], e) for i in order if i != first and (e := readings[i].auc)]
    blocks: list[Block] = [Prose(say.REDUCE if others else say.REDUCE_NONE)]
    if others:
        blocks += _ways(reference, risk, others)
    return (*blocks, *_access(reference))


def _ways(
    reference: Subject, risk: Estimate, others: list[tuple[Subject, Estimate]]
) -> list[Block]:
    use = stated(reference.utility, "auroc")
    rows: list[tuple[Text, ...]] = []
    better: list[tuple[float, str, Estimate, Estimate | None]] = []
    for s, e in sorted(others, key=lambda entry: (entry[1].value or 0.0, entry[0].name)):
        own = stated(s.utility, "auroc")
        less, good = _side(e, risk), _side(own, use)
        if less < 0:
            better.append((-(own.value or 0.0) if own else 0.0, s.name, e, own))
        told = say.beside(less, good)
        rows.append(
            (
                s.name,
                say.TRADEOFF_KINDS.get(kind_of(s), ""),
                n.estimate_text(e),
                "" if own is None else n.estimate_text(own),
                (Strong(told),) if less < 0 else told,
            )
        )
    if better:
        _, name, e, own = min(better, key=lambda entry: entry[:2])
        line = say.best_reduction(name, e, own, reference.name)
    else:
        line = say.nothing_better(reference.name)
    columns = tuple(c.format(name=reference.name) for c in say.REDUCE_COLUMNS[-1:])
    table = Table(
        say.reduce_caption(reference.name), (*say.REDUCE_COLUMNS[:-1], *columns), tuple(rows)
    )
    return [Prose(line), table]


def _side(one: Estimate | None, two: Estimate | None) -> int:
    """Below, above, or not to be told apart, by intervals that do not touch."""
    if one is None or two is None or None in (one.low, one.high, two.low, two.high):
        return 0
    if (one.high or 0.0) < (two.low or 0.0):
        return -1
    return 1 if (one.low or 0.0) > (two.high or 0.0) else 0


def _access(subject: Subject) -> tuple[Block, ...]:
    """The strongest membership attack by what it had to be given, where that differs."""
    short = {words: say.POWERS.get(key, words) for key, (words, _) in ACCESS.items()}
    best: dict[tuple[str, ...], tuple[Estimate, str]] = {}
    for f in findings(subject, "membership"):
        e = stated(f.estimates, "auc")
        if e is not None:
            held = best.get(f.access)
            if held is None or (e.value or 0.0) > (held[0].value or 0.0):
                best[f.access] = (e, f.attack)
    if len(best) < 2:
        return ()
    rows = tuple(
        (", ".join(short.get(a, a).lower() for a in access), label(attack), n.estimate_text(e))
        for access, (e, attack) in sorted(best.items(), key=lambda entry: len(entry[0]))
    )
    table = Table(say.access_caption(subject.name), say.ACCESS_COLUMNS, rows, numeric=(2,))
    return (table, Prose(say.ACCESS_NOTE, "small"))
