"""The answer first: what happened, model by model, in plain frequencies."""

from __future__ import annotations

from privaudit.report import numbers as n
from privaudit.report import wording as say
from privaudit.report.blocks import Block, Bullets, Callout, Card, Link, Prose, Table, Text
from privaudit.report.kinds import kinds, useful
from privaudit.report.notes import FAMILIES, label
from privaudit.report.reading import (
    PRIMARY,
    Budget,
    Reading,
    blanks,
    bounds,
    broken_controls,
    broken_promise,
    budgets,
    excess,
    failed_controls,
    families,
    findings,
    halved,
    middle,
    on_all,
    read,
    told,
)
from privaudit.report.sections._officer import banner, questions
from privaudit.report.sections.poisoning import parts
from privaudit.results import Audit, Control, Failed, Subject
from privaudit.verdicts import Verdicts

ORDER = 10
JUDGED = True


def build(audit: Audit, verdicts: Verdicts | None = None) -> tuple[Block, ...]:
    readings = [read(audit, subject) for subject in audit.subjects]
    shown = told(audit)
    cards = tuple(_card(i + 1, audit.subjects[i], readings[i]) for i in shown)
    many = len(shown) < len(audit.subjects)
    words: tuple[Block, ...] = (
        (Prose(say.cards_of(len(shown), len(audit.subjects)), "small"), *cards) if many else cards
    )
    warned = _warnings(audit)
    first = [b for b in warned if b.kind == "stop"]
    return (
        *first,
        banner(audit, verdicts),
        questions(audit, readings, verdicts),
        *(b for b in warned if b not in first),
        _glance(audit, readings, set(shown)),
        *words,
    )


def _warnings(audit: Audit) -> list[Callout]:
    """What must be known before any number is read."""
    found: list[Callout] = []
    broken = [say.defect(s.name, why) for s in audit.subjects if (why := broken_promise(s))]
    if broken:
        found.append(Callout("stop", say.DEFECT_TITLE, tuple(Prose(text) for text in broken)))
    if audit.data.distribution_shift:
        found.append(Callout("stop", say.UNFAIR_TITLE, (Prose(audit.data.distribution_shift),)))
    invalid = failed_controls(audit, "negative")
    if invalid:
        found.append(Callout("stop", say.INVALID_TITLE, (Prose(say.invalid(_places(invalid))),)))
    missed = failed_controls(audit, "positive")
    if missed:
        found.append(Callout("warn", say.POWERLESS_TITLE, (Prose(say.powerless(_places(missed))),)))
    stuck = broken_controls(audit)
    if stuck:
        whats = dict.fromkeys(c.what for _, c in stuck)
        lines = [
            Prose(say.broken(_places([(s, c) for s, c in stuck if c.what == what]), what))
            for what in whats
        ]
        found.append(Callout("warn", say.BROKEN_TITLE, tuple(lines)))
    if not any(s.controls for s in audit.subjects):
        found.append(Callout("warn", say.UNCONTROLLED_TITLE, (Prose(say.UNCONTROLLED),)))
    if audit.untrained:
        left = tuple(say.untrained(one.name, one.reason, one.broke) for one in audit.untrained)
        body = (Bullets(left), Prose(say.UNTRAINED_MEANS))
        found.append(Callout("warn", say.UNTRAINED_TITLE, body))
    if not audit.data.real:
        found.append(Callout("warn", say.GENERATED_TITLE, (Prose(say.generated(audit.data)),)))
    return found


def _places(controls: list[tuple[Subject, Control]]) -> list[str]:
    """Which attack on which model, each named once."""
    return list(dict.fromkeys(say.place(label(c.attack), s.name) for s, c in controls))


def _glance(audit: Audit, readings: list[Reading], shown: set[int]) -> Table:
    rows: list[tuple[Text, ...]] = []
    for i, (s, r) in enumerate(zip(audit.subjects, readings, strict=True)):
        auroc, _ = useful(s)
        rate = r.rate
        rows.append(
            (
                (Link(s.name, f"model-{i + 1}"),) if i in shown else s.name,
                (say.BADGES[r.state],),
                n.estimate_text(rate) if rate else "not stated",
                n.one_in(r.fpr) if r.fpr else "",
                n.share(r.fpr) if r.fpr else "",
                n.estimate_text(auroc) if auroc else "not measured",
            )
        )
    columns = (say.heading(kinds(audit)), *say.GLANCE_COLUMNS)
    return Table(say.GLANCE, columns, tuple(rows), numeric=(2, 3, 4, 5))


def _card(number: int, subject: Subject, r: Reading) -> Card:
    body: list[Block] = [*_membership(subject, r)]
    body += [line for family in families(subject) for line in _others(subject, family)]
    auroc, learner = useful(subject)
    if auroc:
        body.append(Prose(say.useful(auroc, learner)))
    empty = blanks(subject)
    if empty:
        broken = sum(isinstance(o, Failed) for o in empty)
        body.append(Prose(say.unfinished(len(empty) - broken, broken), "small"))
    return Card(subject.name, f"model-{number}", say.BADGES[r.state], tuple(body))


def _membership(subject: Subject, r: Reading) -> list[Block]:
    if r.finding is None:
        return [Prose(say.UNTESTED, "lead")]
    said: list[str] = []
    if r.rate is not None and r.fpr is not None:
        said.append(say.recognises(label(r.finding.attack), r.rate, r.fpr, excess(r.rate)))
    if r.auc is not None and excess(r.auc) and not excess(r.rate):
        said.insert(0, say.ranks(r.auc, label(r.finding.attack)))
    if r.refused is not None:
        small = say.too_small(r.refused, PRIMARY, halved(subject, r))
        said.insert(len(said) if r.state == "found" else 0, small)
        full = on_all(subject, r)
        said += [say.on_all(full, PRIMARY)] if full is not None else []
    if r.state == "unfair":
        said.insert(0, say.UNFAIR_SHORT)
    lines: list[Block] = [Prose(text, "" if i else "lead") for i, text in enumerate(said)]
    if r.auc is not None and (excess(r.rate) or not excess(r.auc)):
        lines.append(Prose(say.ranks(r.auc)))
    if r.state == "weak":
        lines.append(Prose(say.WEAK))
    if r.least is not None and r.fpr is not None and r.state != "found":
        lines.append(Prose(say.least(r.least, r.fpr)))
    if r.afterwards:
        lines.append(Prose(say.AFTERWARDS, "small"))
    return lines


def _others(subject: Subject, family: str) -> list[Block]:
    """One sentence for each family other than membership: its strongest attack."""
    if family == "membership":
        return []
    if family == "epsilon":
        known = [(a, e) for a, e in bounds(subject) if e.value is not None]
        if not known:
            return []
        attack, e = max(known, key=lambda pair: pair[1].value or 0.0)
        return [Prose(say.bounded(label(attack), e, subject.claim.epsilon))]
    tried = [(f, b) for f in findings(subject, family) for b in budgets(f) if _value(b.attack) >= 0]
    if not tried:
        return []
    if family == "evasion":
        size = middle([b.size for _, b in tried])
        tried = [entry for entry in tried if entry[1].size == size]
        f, b = max(tried, key=lambda entry: _value(entry[1].attack))
    else:
        f, b = max(tried, key=lambda entry: _gain(entry[1]))
    assert b.attack is not None
    if family == "poisoning":
        against, act = parts(b.size)
        return [Prose(say.poisoned(act or label(f.attack), against, b.attack, b.control))]
    if family == "evasion":
        return [Prose(say.evaded(label(f.attack), b.size, b.attack, b.control, b.guess))]
    title = FAMILIES.get(family, (family, ""))[0]
    if family == "synthetic":
        return [Prose(say.on_others(label(f.attack), title, b.attack, b.control, b.guess))]
    return [Prose(say.trial(label(f.attack), title, b.attack, b.guess or b.control))]


def _value(e: object) -> float:
    value = getattr(e, "value", None)
    return -1.0 if value is None else float(value)


def _gain(b: Budget) -> float:
    """How much more the attack does than what stands beside it."""
    beside = [_value(e) for e in (b.control, b.guess) if e is not None and e.value is not None]
    return _value(b.attack) - max(beside, default=0.0)
