"""The last door before print: what rests on 1 to 9 patients is taken out of a document once more.

A document that the engine wrote passes unchanged: `privaudit.disclosure` saw it.
A document made by hand, by another version or by a fault does not get past this either.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from privaudit.disclosure.marginals import HOSPITALS, PEOPLE, SETTINGS
from privaudit.disclosure.named import hide_few_named
from privaudit.disclosure.suppress import is_few
from privaudit.disclosure_limits import MIN_CELL
from privaudit.facts import Reason, ReasonCode
from privaudit.results import Audit, Control, Data, Estimate, Finding, GroupResult, Outcome, Subject
from privaudit.verdicts import Verdicts

TOO_FEW = Reason(ReasonCode.TOO_FEW_PATIENTS, {"least": MIN_CELL})


def withhold(audit: Audit) -> Audit:
    """The document without any estimate, group or count that rests on 1 to 9 patients.

    Also not by subtraction within a grouping, where the records are of people and not open.
    """
    closed = audit.data.real and not audit.manifest.exact_counts
    return replace(
        audit,
        data=_data(audit.data) if closed else audit.data,
        subjects=tuple(_subject(s, closed) for s in audit.subjects),
    )


def is_small(e: Estimate) -> bool:
    """Whether a number rests on 1 to 9 patients."""
    return is_few(e.n)


def withhold_verdicts(verdicts: Verdicts) -> Verdicts:
    """Verdicts without a number that rests on 1 to 9 patients; the word stays."""
    shown = tuple(
        replace(v, value=None, low=None, high=None, lower=None, upper=None, n={}, reason=TOO_FEW)
        if is_few(v.n) and v.attack not in HOSPITALS
        else v
        for v in verdicts.verdicts
    )
    return verdicts if shown == verdicts.verdicts else replace(verdicts, verdicts=shown)


def _data(data: Data) -> Data:
    """Counts of 1 to 9 among the facts left out."""
    facts = {name: fact for name, fact in data.facts.items() if not _is_small_count(name, fact)}
    return data if facts == dict(data.facts) else replace(data, facts=facts)


def _is_small_count(name: str, fact: str | int | float) -> bool:
    counts = isinstance(fact, int) and not isinstance(fact, bool) and 0 < fact < MIN_CELL
    return counts and name not in SETTINGS


def _subject(s: Subject, closed: bool) -> Subject:
    return replace(
        s,
        utility=_estimates(s.utility),
        utility_members=_estimates(s.utility_members),
        utility_groups=suppress_groups(s.utility_groups, _total(s.utility), closed),
        utility_everybody=tuple(
            replace(g, estimates=_estimates(g.estimates)) for g in s.utility_everybody
        ),
        headline=None if s.headline is None else _finding(s.headline, closed),
        outcomes=tuple(_outcome(o, closed) for o in s.outcomes),
        controls=tuple(_control(c) for c in s.controls),
    )


def _outcome(o: Outcome, closed: bool) -> Outcome:
    return _finding(o, closed) if isinstance(o, Finding) else o


def _finding(f: Finding, closed: bool) -> Finding:
    if f.attack in HOSPITALS:
        return f
    own = _estimates(f.estimates)
    hidden = any(a is not b for a, b in zip(own, f.estimates, strict=True))
    return replace(
        f,
        estimates=own,
        by_record=_estimates(f.by_record),
        evened=_estimates(f.evened),
        null=_estimates(f.null),
        corrected=_estimates(f.corrected),
        groups=suppress_groups(f.groups, _total(f.estimates), closed),
        over_represented=hide_few_named(
            suppress_groups(
                f.over_represented, _total(e for e in f.estimates if "patients" in e.n), closed
            )
        ),
        curves=() if hidden else f.curves,
    )


def _control(c: Control) -> Control:
    return replace(c, estimates=_estimates(c.estimates))


def _estimates(estimates: Sequence[Estimate]) -> tuple[Estimate, ...]:
    return tuple(_estimate(e) for e in estimates)


def _estimate(e: Estimate) -> Estimate:
    if not is_small(e):
        return e
    return Estimate(
        e.metric,
        None,
        chance=e.chance,
        confidence=e.confidence,
        bound=e.bound,
        refusal=e.refusal or TOO_FEW,
    )


def _total(estimates: Iterable[Estimate]) -> Mapping[str, int]:
    """How many patients there are of each pool over all groups."""
    return next((e.n for e in estimates if e.n), {})


def suppress_groups(
    found: Sequence[GroupResult], total: Mapping[str, int], closed: bool = True
) -> tuple[GroupResult, ...]:
    """Groups with the small ones suppressed, and, of closed records, as many more as subtraction
    asks for."""
    hidden: set[int] = set()
    for by in dict.fromkeys(g.by for g in found):
        own = [i for i, g in enumerate(found) if g.by == by]
        hidden |= _hidden({i: _sizes(found[i]) for i in own}, found, total, closed)
    return tuple(
        replace(g, estimates=(), p_adjusted=None, suppressed=True)
        if i in hidden and not g.suppressed
        else g
        for i, g in enumerate(found)
    )


def _hidden(
    sizes: Mapping[int, Mapping[str, int]],
    found: Sequence[GroupResult],
    total: Mapping[str, int],
    closed: bool,
) -> set[int]:
    """Which groups of one grouping must not be shown.

    What the shown groups leave over of each pool is nothing or at least 10; where the pools' sizes
    are not known, no group is suppressed alone.
    """
    hidden = {
        i for i in sizes if found[i].suppressed or any(is_small(e) for e in found[i].estimates)
    }
    order = sorted((i for i in sizes if i not in hidden), key=lambda i: (sum(sizes[i].values()), i))
    while closed and hidden and order:
        left = {
            name: total[name] - sum(sizes[i].get(name, 0) for i in order)
            for name in PEOPLE
            if name in total and any(name in sizes[i] for i in order)
        }
        alone = not left and len(hidden) == 1
        if not alone and not any(0 < rest < MIN_CELL for rest in left.values()):
            break
        hidden.add(order.pop(0))
    return hidden


def _sizes(g: GroupResult) -> Mapping[str, int]:
    return next((e.n for e in g.estimates if e.n), {})


__all__ = ["is_small", "withhold", "withhold_verdicts"]
