"""How sure we are: controls, the smallest leak that could be seen, resolution, luck."""

from __future__ import annotations

from privaudit.report import numbers as n
from privaudit.report import sentences as say
from privaudit.report.blocks import Block, Bullets, Heading, Prose, Table, Text
from privaudit.report.notes import label
from privaudit.report.reading import get, rate_at, read, stated
from privaudit.results import Audit, Control, Estimate

ORDER = 80
FPRS = (0.1, 0.01, 0.001)


def build(audit: Audit) -> tuple[Block, ...]:
    blocks: list[Block] = [Prose(say.CERTAINTY), *_controls(audit)]
    blocks += _least(audit)
    blocks += _resolution(audit)
    hows = dict.fromkeys(
        f"{say.capital(say.measure(e.name))}: {e.how}."
        for s in audit.subjects
        for e in (*(s.headline.estimates if s.headline else ()), *s.utility)
        if e.how and e.value is not None
    )
    blocks += [Heading(say.INTERVALS, "intervals", 4), Prose(say.SEEDS)]
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
    rows = tuple(
        (
            s.name,
            say.control_kind(c),
            label(c.attack),
            c.what,
            _outcome(c),
            (say.control_result(c),),
        )
        for s in audit.subjects
        for c in s.controls
    )
    if not rows:
        return [Prose(say.UNCONTROLLED)]
    notes = (say.BORROWED,) if any(read(audit, s).borrowed for s in audit.subjects) else ()
    return [Table(say.CONTROLS_CAPTION, say.CONTROLS_COLUMNS, rows, notes=notes)]


def _outcome(c: Control) -> str:
    """The estimates that a control rests on, best known first, refusals left out."""
    wanted = ["auc", "tpr_at_fpr_0.01", "tpr_at_fpr_0.1"]
    found = [e for name in wanted if (e := stated(c.estimates, name)) is not None][:2]
    found = found or [e for e in c.estimates if e.value is not None][:2]
    return "; ".join(f"{say.measure(e.name)} {n.estimate_text(e)}" for e in found) or "no number"


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
