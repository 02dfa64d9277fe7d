"""How sure we are: controls, the smallest leak that could be seen, resolution, luck."""

from __future__ import annotations

from privaudit.report import numbers as n
from privaudit.report import wording as say
from privaudit.report.blocks import Block, Bullets, Heading, Prose, Table, Text
from privaudit.report.notes import label
from privaudit.report.reading import FEW, get, is_broken, rate_at, read, stated
from privaudit.results import Audit, Control, Estimate

ORDER = 80
FPRS = (0.1, 0.01, 0.001)


def build(audit: Audit) -> tuple[Block, ...]:
    blocks: list[Block] = [Prose(say.CERTAINTY)]
    if audit.caveats:
        blocks += [Heading(say.ABOUT_TITLE, "run-caveats"), Bullets(audit.caveats)]
    blocks += _controls(audit)
    blocks += _least(audit)
    blocks += _resolution(audit)
    hows = dict.fromkeys(
        f"{say.capital(say.measure(e.name))}: {e.how}."
        for s in audit.subjects
        for e in (*(s.headline.estimates if s.headline else ()), *s.utility)
        if e.how and e.value is not None
    )
    blocks += [Heading(say.INTERVALS, "intervals"), Prose(say.luck(audit.data.random_split))]
    blocks.append(Bullets((*_merged(list(hows)), *say.INTERVAL_SOURCES)))
    return tuple(blocks)


def _merged(lines: list[str]) -> list[str]:
    """Numbers that share a method share a line."""
    by_how: dict[str, list[str]] = {}
    for line in lines:
        name, _, how = line.partition(": ")
        by_how.setdefault(how, []).append(name)
    return [f"{', '.join(names)}: {how}" for how, names in by_how.items()]


def _controls(audit: Audit) -> list[Block]:
    if len(audit.subjects) > FEW:
        return _control_matrices(audit)
    rows = []
    for s in audit.subjects:
        for attack in dict.fromkeys(c.attack for c in s.controls):
            own = {c.kind: c for c in s.controls if c.attack == attack}
            cells = [_control(own.get("positive")), _control(own.get("negative"))]
            rows.append((s.name, label(attack), *cells))
    if not rows:
        return [Prose(say.UNCONTROLLED)]
    notes = _control_notes(audit)
    return [Table(say.CONTROLS_CAPTION, say.CONTROLS_COLUMNS, tuple(rows), notes=tuple(notes))]


def _control_matrices(audit: Audit) -> list[Block]:
    """Many models: one table for planted leaks and one for nothing to find, a column an attack."""
    every = [c for s in audit.subjects for c in s.controls]
    if not every:
        return [Prose(say.UNCONTROLLED)]
    blocks: list[Block] = []
    for kind, caption in say.CONTROL_CAPTIONS.items():
        attacks = list(dict.fromkeys(c.attack for c in every if c.kind == kind))
        rows = []
        for s in audit.subjects:
            own = {c.attack: c for c in s.controls if c.kind == kind}
            if own:
                rows.append((s.name, *(_control_cell(own.get(a)) for a in attacks)))
        if rows:
            columns = ("Model", *(label(a) for a in attacks))
            numeric = tuple(range(1, len(columns)))
            blocks.append(Table(caption, columns, tuple(rows), numeric))
    return [*blocks, Bullets(tuple(_control_notes(audit)))]


def _control_cell(c: Control | None) -> Text:
    """The AUC alone where it is as it must be; a mark before it where it is not."""
    if c is None or is_broken(c) or not c.passed:
        return _control(c)
    e = stated(c.estimates, "auc") or next(e for e in c.estimates if e.value is not None)
    return n.estimate_text(e)


def _control_notes(audit: Audit) -> list[Text]:
    every = [c for s in audit.subjects for c in s.controls]
    notes: list[Text] = []
    for kind, what in dict.fromkeys((c.kind, c.what) for c in every if not is_broken(c)):
        alike = [c for c in every if (c.kind, c.what) == (kind, what)]
        levels = sorted({e.confidence for c in alike for e in c.estimates})
        notes.append(say.control_note(kind, what, levels))
    if any(read(audit, s).borrowed for s in audit.subjects):
        notes.append(say.BORROWED)
    return notes


def _control(c: Control | None) -> Text:
    """The AUC that a control came out with, and whether that is as it must be."""
    if c is None:
        return say.CONTROL_NONE
    if is_broken(c):
        return (say.CONTROL_BROKEN,)
    e = stated(c.estimates, "auc") or next(e for e in c.estimates if e.value is not None)
    return (say.control_result(c), f" {n.estimate_text(e)}")


def _least(audit: Audit) -> list[Block]:
    rows: list[tuple[Text, ...]] = []
    for s in audit.subjects:
        finding = read(audit, s).finding
        if finding is None:
            continue
        cells = [get(finding.estimates, "detectable_auc")]
        cells += [rate_at(finding.estimates, x, "detectable_tpr") for x in FPRS]
        if any(e is not None for e in cells):
            rows.append((s.name, *(_cell(e) for e in cells)))
    if not rows:
        return []
    return [Table(say.LEAST_CAPTION, say.LEAST_COLUMNS, tuple(rows), numeric=(1, 2, 3, 4))]


def _cell(e: Estimate | None) -> str:
    if e is None:
        return ""
    return n.value_text(e) if e.value is not None else "too few patients"


def _resolution(audit: Audit) -> list[Block]:
    held_out = next((p.patients for p in audit.data.pools if p.name == "nonmembers"), None)
    if held_out is None:
        return []
    rows = tuple(
        (n.one_in(x), n.whole(10 / x), n.whole(held_out), "yes" if held_out * x >= 10 else "no")
        for x in FPRS
    )
    return [Table(say.RESOLUTION_CAPTION, say.RESOLUTION_COLUMNS, rows, numeric=(1, 2))]
