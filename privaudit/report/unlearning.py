"""The report of an audit of unlearning: one self-contained page."""

from __future__ import annotations

from privaudit.forgetting.results import Answer, Unlearning
from privaudit.report.blocks import (
    Badge,
    Banner,
    Block,
    Bullets,
    Callout,
    Facts,
    Prose,
    Section,
    State,
    make_table,
)
from privaudit.report.render_html import render_page
from privaudit.report.wording import unlearning as words

STATES: dict[Answer, State] = {
    Answer.FOUND: "detected",
    Answer.NOT_FOUND: "undetected",
    Answer.INCONCLUSIVE: "underpowered",
}


def render(found: Unlearning, *, created: str, version: str) -> str:
    """The page; no row, patient or path is in it."""
    return render_page(
        tuple(_build(found)),
        subtitle=words.TITLE,
        header=(("Created", created), ("privaudit", version)),
        created=created,
    )


def _build(found: Unlearning) -> list[Section]:
    why = tuple(Prose(words.WHY[one]) for one in found.why)
    why += (Prose(left),) if (left := words.word_left(found)) else ()
    power = (Prose(words.word_power(found)),) if found.detectable is not None else ()
    badge = Badge(words.BADGES[found.answer], STATES[found.answer])
    first: list[Block] = [Banner(badge, words.TITLE, (*why, *power))]
    first += [Callout("warn", words.CAUTIONS[one], ()) for one in found.cautions]
    people = ((words.ROLES[role], words.word_count(n)) for role, n in found.patients.items())
    numbers: list[Block] = [
        make_table(words.TABLE_CAPTION, words.COLUMNS, words.list_rows(found), 1)
    ]
    changes = words.list_changes(found)
    numbers += [Bullets(tuple(changes))] if changes else []
    with_refits = found.imprint_after is not None
    return [
        Section("answer", "Answer", tuple(first)),
        Section("patients", "Patients", (Facts(tuple(people)),)),
        Section(
            "numbers", "Numbers", ((Prose(words.IMPRINT),) if with_refits else ()) + tuple(numbers)
        ),
        *([Section("method", "Method", (Prose(words.METHOD),))] if with_refits else []),
    ]


__all__ = ["render"]
