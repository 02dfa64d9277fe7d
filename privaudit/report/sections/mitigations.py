"""Mitigations: other ways of training and narrower access, as measured in this run."""

from __future__ import annotations

from privaudit.report import numbers as n
from privaudit.report.blocks import Block, Prose, Text, embolden, make_table
from privaudit.report.kinds import get_kinds, get_model_utility, get_utility_metric
from privaudit.report.reading import (
    AUC,
    get_findings,
    get_stated,
    overlap,
    rank_by_exposure,
    read_membership,
)
from privaudit.report.training_kind import get_training_kind
from privaudit.report.wording import mitigations as words
from privaudit.report.wording.access import shorten_access
from privaudit.report.wording.knowledge import name_attack
from privaudit.report.wording.releases import name_column
from privaudit.report.wording.risk_and_utility import TRAINING_KINDS, title_utility
from privaudit.results import Audit, Estimate, Subject
from privaudit.verdicts import Verdicts


def build(audit: Audit, verdicts: Verdicts | None) -> tuple[Block, ...]:
    """Every other release beside the most exposed one, then what narrower access changes."""
    readings = [read_membership(audit, s) for s in audit.subjects]
    known = [
        (audit.subjects[i], e)
        for i in rank_by_exposure(audit)
        if (e := readings[i].auc) is not None
    ]
    if not known or any(r.state in ("invalid", "shifted", "reversed") for r in readings):
        return ()
    pooled = [entry for entry in known if get_training_kind(entry[0]) in ("pooled", "other")]
    reference, risk = (pooled or known)[0]
    others = [(s, e) for s, e in known if s is not reference]
    blocks: list[Block] = [Prose(words.INTRO if others else words.NOTHING_TO_COMPARE)]
    if others:
        blocks += _compare(audit, reference, risk, others)
    return (*blocks, *_build_access(reference))


def _compare(
    audit: Audit, reference: Subject, risk: Estimate, others: list[tuple[Subject, Estimate]]
) -> list[Block]:
    utility = get_model_utility(reference)
    rows: list[tuple[Text, ...]] = []
    better: list[tuple[float, str, Estimate, Estimate | None]] = []
    for s, e in sorted(others, key=lambda entry: (entry[1].value or 0.0, entry[0].name)):
        own = get_model_utility(s)
        less = _get_side(e, risk)
        if less < 0:
            better.append((-(own.value or 0.0) if own else 0.0, s.name, e, own))
        text = words.word_comparison(less, _get_side(own, utility))
        kind = TRAINING_KINDS[get_training_kind(s)]()
        cells = (n.estimate_text(e), n.cell_text(own), embolden(text, less < 0))
        rows.append((s.name, kind, *cells))
    line = words.word_none_better(reference.name)
    if better:
        _, name, e, own = min(better, key=lambda entry: entry[:2])
        line = words.word_best(name, e, own, reference.name)
    last = words.COLUMNS[-1].replace("{name}", reference.name)
    head, use = name_column(get_kinds(audit)), title_utility(get_utility_metric(audit))
    columns = (head, *words.COLUMNS[:-1], use, last)
    return [Prose(line), make_table(words.caption_comparison(reference.name), columns, rows)]


def _get_side(one: Estimate | None, two: Estimate | None) -> int:
    """-1 below, 1 above, 0 where intervals overlap or are not known."""
    if one is None or two is None or overlap(one, two):
        return 0
    return -1 if (one.value or 0.0) < (two.value or 0.0) else 1


def _build_access(subject: Subject) -> tuple[Block, ...]:
    """The strongest membership attack by the access it needs, where that differs."""
    best: dict[tuple[str, ...], tuple[float, Estimate, str]] = {}
    for f in get_findings(subject, "membership"):
        e = get_stated(f.estimates, AUC)
        if e is not None and (f.access not in best or (e.value or 0.0) > best[f.access][0]):
            best[f.access] = (e.value or 0.0, e, f.attack)
    if len(best) < 2:
        return ()
    rows = [
        (", ".join(shorten_access(a).lower() for a in access), name_attack(attack), n.cell_text(e))
        for access, (_, e, attack) in sorted(best.items(), key=lambda entry: len(entry[0]))
    ]
    table = make_table(words.caption_access(subject.name), words.ACCESS_COLUMNS, rows, 2)
    return (table, Prose(words.ACCESS_NOTE, "small"))


__all__ = ["build"]
