"""How many patients an attack names: a count of fewer than 10 of them is not shared.

Who is named was trained on, or stands out among the patients audited; so few of them in a group are
as good as a list of it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from privaudit.disclosure_limits import MIN_CELL
from privaudit.results import Estimate, GroupResult

WHOSE = {
    "patients_named": "patients",
    "patients_named_beyond": "patients",
    "members_named": "member_patients",
}
"""Share -> of whom it is."""


def count_named(e: Estimate) -> tuple[int, int] | None:
    """How many are named, of how many; None where the number is none of a count."""
    whose = WHOSE.get(e.metric.name)
    if whose is None or e.value is None or whose not in e.n:
        return None
    return round(e.value * e.n[whose]), e.n[whose]


def find_few_named(estimates: Sequence[Estimate]) -> frozenset[str]:
    """Metrics by which 1 to 9 patients are named, or all but so many, or so many more than by
    another metric over the same patients."""
    known = {e.metric.name: found for e in estimates if (found := count_named(e)) is not None}
    few = set()
    for name, (count, size) in known.items():
        apart = [
            abs(count - other)
            for rival, (other, _) in known.items()
            if WHOSE[rival] == WHOSE[name] and rival not in few
        ]
        if any(0 < part < MIN_CELL for part in (count, size - count, *apart)):
            few.add(name)
    return frozenset(few)


def hide_few_named(
    groups: Sequence[GroupResult],
    exact: Sequence[GroupResult] | None = None,
    few: Collection[str] = (),
) -> tuple[GroupResult, ...]:
    """The groups without those of which 1 to 9 patients, or all but so many, are named; where one
    group of a grouping alone is hidden, or those hidden come to so few, another with it: the total
    would give it away.

    groups: as they are shown so far; exact: the same as measured, where that is known; few: shares
    that are withheld of everyone together, which the groups would add up to.
    """
    known = groups if exact is None else exact
    hidden: set[int] = set()
    for by in dict.fromkeys(g.by for g in groups):
        places = [place for place, g in enumerate(groups) if g.by == by]
        counts = {
            place: found
            for place in places
            if known[place].estimates
            and (found := count_named(known[place].estimates[0])) is not None
        }
        shown = {
            place
            for place in counts
            if groups[place].estimates and groups[place].estimates[0].value is not None
        }
        lost = {
            place
            for place in shown
            if 0 < counts[place][0] < MIN_CELL
            or 0 < counts[place][1] - counts[place][0] < MIN_CELL
            or known[place].estimates[0].metric.name in few
        }
        gone = set() if exact is None else set(places) - shown
        dropped = len(places) - len(shown)
        rest = sorted((counts[place][0], place) for place in shown - lost)
        # Where nobody of any level is named, the total says so too.
        while rest and (lost or (gone and any(count for count, _ in counts.values()))):
            # Of a level of fewer than 10 patients nobody counted who is named.
            together = sum(counts[place][0] for place in (lost | gone) & counts.keys())
            if len(lost) + dropped > 1 and together >= MIN_CELL:
                break
            lost.add(rest.pop(0)[1])
        hidden |= lost
    return tuple(
        replace(g, estimates=(), p_adjusted=None, suppressed=True) if place in hidden else g
        for place, g in enumerate(groups)
    )


__all__ = ["count_named", "find_few_named", "hide_few_named"]
