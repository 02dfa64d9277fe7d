"""Split learning: what crosses the cut, what it costs, and what it gives away."""

from __future__ import annotations

from privaudit.report import numbers as n
from privaudit.report import wording as say
from privaudit.report.blocks import Block, Prose, Table, Text
from privaudit.report.notes import ATTACKS, kind, label
from privaudit.report.reading import budgets, findings
from privaudit.report.sections.federation import costs, trust
from privaudit.results import Audit, Estimate, Finding, Subject

ORDER = 108
ATTACKS_ON_CUT = ("label_leakage", "split_inversion")


def build(audit: Audit) -> tuple[Block, ...]:
    shown = [s for s in audit.subjects if kind(s.method) == "split"]
    if not shown:
        return ()
    blocks: list[Block] = [Prose(say.SPLITTING), *trust(shown, say.TRUST_CAPTION)]
    blocks += costs(shown, say.CUT_COSTS_CAPTION)
    blocks += told(shown, ATTACKS_ON_CUT, say.CUT_CAPTION)
    return tuple(blocks)


def told(subjects: list[Subject], attacks: tuple[str, ...], caption: str) -> list[Block]:
    """These attacks on these models, with their control and the guess without the release."""
    rows: list[tuple[Text, ...]] = []
    notes: list[Text] = []
    for s in subjects:
        for f in findings(s):
            if f.attack in attacks:
                rows += [
                    (s.name, label(f.attack), b.size, *map(_text, (b.attack, b.control, b.guess)))
                    for b in budgets(f)
                ]
                notes += beside(f)
    table = Table(
        caption, say.TOLD_COLUMNS, tuple(rows), numeric=(3, 4, 5), notes=tuple(dict.fromkeys(notes))
    )
    return [table] if rows else []


def beside(f: Finding) -> list[Text]:
    """What an attack's control was, and what stands for not having the release."""
    said: list[Text] = [
        say.control_is(label(f.attack), caveat.removeprefix("control: "))
        for caveat in f.caveats
        if caveat.startswith("control: ")
    ]
    note = ATTACKS.get(f.attack)
    if note is not None and note.guess and any(b.guess for b in budgets(f)):
        said.append(say.guess_is(note.label, note.guess))
    return said


def _text(e: Estimate | None) -> str:
    return "" if e is None else n.estimate_text(e)
