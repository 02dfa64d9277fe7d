"""Split learning: what crosses the cut, what it costs, and what it reveals."""

from __future__ import annotations

from collections.abc import Sequence

from privaudit.report import numbers as n
from privaudit.report.blocks import Block, Prose, Text, make_table
from privaudit.report.reading import get_findings
from privaudit.report.sections.federated_learning import build_costs, build_trust, select_by_kind
from privaudit.report.sections.results_by_attack import list_comparisons, word_setting
from privaudit.report.series import Series, get_series
from privaudit.report.wording import federated_learning as words
from privaudit.report.wording.knowledge import name_attack
from privaudit.report.wording.metrics import name_setting
from privaudit.results import Audit, Subject
from privaudit.verdicts import Verdicts

OUTCOMES = "label_leakage"
ATTACKS_ON_CUT = (OUTCOMES, "split_inversion")


def build(audit: Audit, verdicts: Verdicts | None) -> tuple[Block, ...]:
    """Trust, cost, and the attacks on the traffic."""
    shown = select_by_kind(audit, "split")
    if not shown:
        return ()
    return (
        Prose(words.SPLIT_LEARNING()),
        *_build_outcomes(shown),
        *build_trust(shown, words.TRUST_CAPTION()),
        *build_costs(shown, words.CUT_COST_CAPTION),
        *build_attempts(shown, ATTACKS_ON_CUT, words.CUT_CAPTION),
    )


def _build_outcomes(subjects: Sequence[Subject]) -> list[Block]:
    """The strongest series of each model for which nothing of any patient is known."""
    found: list[Block] = []
    for s in subjects:
        known = [
            (closed, name_setting(t.setting), t.attack, t.guess)
            for f in get_findings(s)
            if f.attack == OUTCOMES
            for t in get_series(f)
            if t.setting is not None and t.setting.kind != "informed"
            if (closed := _measure_closed(t)) is not None
        ]
        if known:
            _, series, rate, guess = max(known, key=lambda entry: entry[0])
            assert rate is not None
            assert guess is not None
            found.append(Prose(words.word_outcomes(s.name, series, rate, guess)))
    return found


def _measure_closed(t: Series) -> float | None:
    """How much of what guessing gets wrong the attack gets right: pairs and single statements have
    this in common."""
    if t.attack is None or t.guess is None or t.attack.value is None or t.guess.value is None:
        return None
    if t.guess.value >= 1:
        return None
    return (t.attack.value - t.guess.value) / (1 - t.guess.value)


def build_attempts(
    subjects: Sequence[Subject], attacks: Sequence[str], caption: str
) -> list[Block]:
    """These attacks on these models, with their control and their baseline."""
    rows: list[tuple[Text, ...]] = []
    notes: list[Text] = []
    for s in subjects:
        for f in get_findings(s):
            if f.attack in attacks:
                notes += list_comparisons(f)
                for t in get_series(f):
                    cells = map(n.cell_text, (t.attack, t.control, t.guess))
                    rows.append((s.name, name_attack(f.attack), word_setting(t), *cells))
    columns = words.ATTEMPT_COLUMNS
    return [make_table(caption, columns, rows, 3, dict.fromkeys(notes))] if rows else []


__all__ = ["build", "build_attempts"]
