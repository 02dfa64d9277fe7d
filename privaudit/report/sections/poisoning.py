"""Poisoning: every malicious client against every aggregator, with and without it."""

from __future__ import annotations

from collections.abc import Sequence

from privaudit.report import numbers as n
from privaudit.report.blocks import Block, Prose, Table, Text, embolden, make_table
from privaudit.report.reading import exceeds_chance
from privaudit.report.series import Series, get_all_series, is_against_absence
from privaudit.report.wording import federated_learning as words
from privaudit.report.wording.knowledge import name_attack
from privaudit.results import Audit, Finding, Subject
from privaudit.verdicts import Verdicts

Attempt = tuple[Finding, Series]


def build(audit: Audit, verdicts: Verdicts | None) -> tuple[Block, ...]:
    """What each attack changes: a row an attack, a column an aggregator."""
    attempts = get_all_series(audit.subjects, "poisoning")
    if not attempts:
        return ()
    whole = [entry for entry in attempts if not is_against_absence(entry[2])]
    beyond = [entry for entry in attempts if is_against_absence(entry[2])]
    tables = [_tabulate(words.POISONING_CAPTION(), whole)]
    tables += [_tabulate(words.ABSENCE_CAPTION(), beyond)] if beyond else []
    sentences = []
    for s in audit.subjects:
        own = [(f, t) for subject, f, t in whole if subject is s and _get_gap(t) is not None]
        sentences += [Prose(_word_worst(s.name, own))] if own else []
    return (Prose(words.POISONING()), *sentences, *tables)


def _tabulate(caption: str, attempts: Sequence[tuple[Subject, Finding, Series]]) -> Table:
    aggregators = list(dict.fromkeys(_name_aggregator(t) for _, _, t in attempts))
    rows: dict[tuple[str, str], dict[str, Text]] = {}
    for s, f, t in attempts:
        cell = embolden(n.cell_text(t.gap), exceeds_chance(t.gap))
        rows.setdefault((s.name, _name_act(f, t)), {})[_name_aggregator(t)] = cell
    return make_table(
        caption,
        (*words.POISONING_COLUMNS, *aggregators),
        [(*key, *(cells.get(a, "") for a in aggregators)) for key, cells in rows.items()],
        2,
        (words.POISONING_NOTE,),
    )


def _name_aggregator(t: Series) -> str:
    """The aggregator, in brackets where it is not that of the release."""
    name = "" if t.setting is None else str(t.setting.value)
    return f"({name})" if t.counterfactual else name


def _name_act(f: Finding, t: Series) -> str:
    details = t.setting.details if t.setting is not None else ()
    return ", ".join((name_attack(f.attack), *details))


def _get_gap(t: Series) -> float | None:
    return None if t.gap is None else t.gap.value


def _word_worst(model: str, attempts: list[Attempt]) -> str:
    """The worst attack on this release, and the aggregator that resists it best."""
    own = [entry for entry in attempts if not entry[1].counterfactual] or attempts
    f, worst = max(own, key=lambda entry: _get_gap(entry[1]) or 0.0)
    act = _name_act(f, worst)
    same = [t for g, t in attempts if g.attack == f.attack and _name_act(g, t) == act]
    best = min(same, key=lambda t: _get_gap(t) or 0.0)
    better = 2 * (_get_gap(best) or 0.0) < (_get_gap(worst) or 0.0)
    assert worst.gap is not None
    name = _name_aggregator(best) if better else ""
    return words.word_poisoning(model, act, _name_aggregator(worst), worst.gap, name)


__all__ = ["build"]
