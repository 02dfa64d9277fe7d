"""Reliability of this audit: controls, power, resolution, and how the intervals were made."""

from __future__ import annotations

from dataclasses import replace

from privaudit.facts import Metric
from privaudit.report import numbers as n
from privaudit.report.blocks import Block, Bullets, Heading, Prose, Text, make_table
from privaudit.report.kinds import get_kinds
from privaudit.report.reading import (
    AUC,
    FPRS,
    get,
    get_stated,
    is_not_made,
    read_membership,
)
from privaudit.report.sections._drift import build_drift
from privaudit.report.wording import reliability as words
from privaudit.report.wording import summary
from privaudit.report.wording.knowledge import name_attack
from privaudit.report.wording.metrics import capitalise, name_metric
from privaudit.report.wording.reasons_and_caveats import describe_bound, word_caveat
from privaudit.report.wording.releases import name_column
from privaudit.results import Audit, Control, Estimate
from privaudit.stats.headline import control_state, is_drift
from privaudit.verdicts import Verdicts

DETECTABLE = (Metric("detectable_auc"), *(Metric("detectable_tpr", fpr=fpr) for fpr in FPRS))


def build(audit: Audit, verdicts: Verdicts | None) -> tuple[Block, ...]:
    """Caveats of the run, controls, power, resolution, intervals."""
    blocks: list[Block] = [Prose(words.INTRO())]
    if audit.caveats:
        lines = tuple(word_caveat(c) for c in audit.caveats)
        blocks += [Heading(words.RUN_CAVEATS, "run-caveats"), Bullets(lines)]
    split = words.RANDOM_SPLIT() if audit.data.random_split else words.SUPPLIED_SPLIT()
    return (
        *blocks,
        *_build_controls(audit),
        *build_drift(audit),
        *_build_power(audit),
        *_build_resolution(audit),
        Heading(words.INTERVALS, "intervals"),
        Prose(f"{split} {words.SEEDS()}"),
        *_list_methods(audit),
    )


def _list_methods(audit: Audit) -> list[Block]:
    """How the intervals were made, once for all numbers that share a method."""
    names: dict[str, dict[str, None]] = {}
    for s in audit.subjects:
        findings = ((*o.estimates, *o.corrected) for o in s.outcomes if o.kind == "finding")
        for e in (*(e for found in findings for e in found), *s.utility):
            if e.bound is not None and e.value is not None:
                bare = Metric(e.metric.name, e.metric.fpr)
                name = capitalise(name_metric(bare))
                names.setdefault(describe_bound(replace(e.bound, made=0, right=0, assigned=0)), {})[
                    name
                ] = None
    lines = tuple(words.word_interval(found, how) for how, found in names.items())
    return [Bullets(lines)] if lines else []


def _build_controls(audit: Audit) -> list[Block]:
    """One table for positive and one for negative controls, a column an attack."""
    every = [c for s in audit.subjects for c in s.controls]
    if not every:
        return [Prose(summary.UNCONTROLLED)]
    blocks: list[Block] = []
    for kind, caption in words.CONTROLS_CAPTIONS.items():
        attacks = list(dict.fromkeys(c.attack for c in every if c.kind == kind))
        rows: list[tuple[Text, ...]] = []
        for s in audit.subjects:
            own = {c.attack: c for c in s.controls if c.kind == kind}
            if own:
                rows.append((s.name, *(_word_control(own.get(a)) for a in attacks)))
        if rows:
            columns = (name_column(get_kinds(audit)), *(name_attack(a) for a in attacks))
            blocks.append(make_table(caption, columns, rows, 1))
    return [*blocks, Bullets((words.CONTROLS_NOTE, *_describe_controls(audit)))]


def _word_control(c: Control | None) -> Text:
    """The AUC alone where the control passed; a mark before it where it did not."""
    if c is None:
        return words.NOT_RUN
    if is_not_made(c):
        return (words.CONTROL_ERROR,)
    e = get_stated(c.estimates, AUC) or next(e for e in c.estimates if e.value is not None)
    text = n.estimate_text(e)
    if control_state(c) == "passed":
        return text
    return (words.CONTROL_DRIFTED if is_drift(c) else words.CONTROL_FAILED, f" {text}")


def _describe_controls(audit: Audit) -> list[str]:
    levels: dict[tuple[str, str], set[float]] = {}
    for s in audit.subjects:
        for c in s.controls:
            if not is_not_made(c):
                found = levels.setdefault((c.kind, word_caveat(c.made)), set())
                found.update(e.confidence for e in c.estimates)
    lines = [words.word_control(kind, text, sorted(at)) for (kind, text), at in levels.items()]
    borrowed = any(read_membership(audit, s).borrowed for s in audit.subjects)
    return [*lines, summary.BORROWED] if borrowed else lines


def _build_power(audit: Audit) -> list[Block]:
    """A row for all releases with the same power."""
    names: dict[tuple[str, ...], list[str]] = {}
    for s in audit.subjects:
        finding = read_membership(audit, s).finding
        cells = [] if finding is None else [get(finding.estimates, m) for m in DETECTABLE]
        if any(e is not None for e in cells):
            names.setdefault(tuple(map(_word_power, cells)), []).append(s.name)
    rows = [(", ".join(found), *cells) for cells, found in names.items()]
    columns = (
        name_column(get_kinds(audit)),
        *(capitalise(name_metric(m)) for m in DETECTABLE),
    )
    return [make_table(words.DETECTABLE_CAPTION, columns, rows, 1)] if rows else []


def _word_power(e: Estimate | None) -> str:
    if e is None:
        return ""
    return n.value_text(e) if e.value is not None else words.TOO_FEW()


def _build_resolution(audit: Audit) -> list[Block]:
    held_out = next((p.patients for p in audit.data.pools if p.name == "nonmembers"), None)
    if held_out is None:
        return []
    rows = [
        (
            n.share(fpr),
            n.count(10 / fpr),
            n.count(held_out),
            words.YES if held_out * fpr >= 10 else words.NO,
        )
        for fpr in FPRS
    ]
    columns = words.RESOLUTION_COLUMNS()
    return [make_table(words.RESOLUTION_CAPTION(), columns, rows, 1)]


__all__ = ["build"]
