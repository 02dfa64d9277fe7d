"""The sizes of drift and of the attacks on a supplied split, side by side."""

from __future__ import annotations

from privaudit.facts import Caveat, CaveatCode
from privaudit.report import numbers as n
from privaudit.report.blocks import Block, Heading, Prose, Text, embolden, make_table
from privaudit.report.reading import AUC, exceeds_chance, get_findings, get_stated
from privaudit.report.wording import drift as words
from privaudit.report.wording.knowledge import name_attack
from privaudit.report.wording.releases import name_place
from privaudit.results import Audit

TESTED = (CaveatCode.DISTRIBUTION_SHIFT, CaveatCode.NO_DISTRIBUTION_SHIFT)


def build_drift(audit: Audit) -> list[Block]:
    """What tells the two sides apart without the model, with models that saw neither, and with the
    release; nothing where the audit assigned patients at random."""
    if audit.data.random_split:
        return []
    rows: list[tuple[Text, ...]] = []
    for s in audit.subjects:
        for f in get_findings(s, "membership"):
            null, left = get_stated(f.null, AUC), get_stated(f.corrected, AUC)
            raw = get_stated(f.estimates, AUC)
            if raw is not None and null is not None and left is not None:
                name = name_place(name_attack(f.attack), s.name)
                shown = embolden(n.estimate_text(left), exceeds_chance(left))
                rows.append((name, n.estimate_text(raw), n.estimate_text(null), shown))
    blocks: list[Block] = [Heading(words.TITLE, "drift"), Prose(words.INTRO())]
    tested = _find_tested(audit)
    if tested is not None:
        known = tested.code is CaveatCode.DISTRIBUTION_SHIFT
        text = words.WITHOUT_MODEL if known else words.WITHOUT_MODEL_ALIKE
        blocks.append(Prose(f"{text.format(auc=_show(tested))} {words.LOWER_BOUND}"))
    if not rows:
        return [*blocks, Prose(words.NOT_COMPARED())]
    return [*blocks, make_table(words.CAPTION(), words.COLUMNS, rows, 1)]


def _find_tested(audit: Audit) -> Caveat | None:
    stated = (audit.data.distribution_shift, *audit.data.notes, *audit.caveats)
    return next((one for one in stated if one is not None and one.code in TESTED), None)


def _show(caveat: Caveat) -> str:
    value, low, high = (float(str(caveat.params[name])) for name in ("auc", "low", "high"))
    return f"{n.significant(value)} ({n.significant(low)} to {n.significant(high)})"


__all__ = ["build_drift"]
