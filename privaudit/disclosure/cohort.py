"""The cohort's flow and facts without counts of 1 to 9, also not by subtraction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

from privaudit.disclosure import marginals
from privaudit.disclosure.tables import Hidden, any_close, is_close
from privaudit.disclosure_limits import MIN_CELL
from privaudit.results import Data, FlowRow

Fact = str | int | float


def merge_small(flow: Sequence[FlowRow]) -> tuple[FlowRow, ...]:
    """The cohort flow without small counts.

    A step that excludes 1 to 9 stays or patients is combined with the next one (the last, with the
    one before), until 10 or none are excluded.
    """
    shown: list[FlowRow] = []
    waiting: list[FlowRow] = []
    for step in flow:
        waiting.append(step)
        if not _is_small(waiting, shown):
            shown.append(_combine(waiting))
            waiting = []
    while waiting and shown:
        waiting.insert(0, shown.pop())
        if not _is_small(waiting, shown):
            shown.append(_combine(waiting))
            waiting = []
    return tuple(shown) if not waiting else (_combine(waiting),)


def _is_small(steps: Sequence[FlowRow], shown: Sequence[FlowRow]) -> bool:
    """Whether these steps, combined after those shown, give away a count of 1 to 9."""
    gaps = [sum(step.excluded for step in steps)]
    if shown:
        gaps += [shown[-1].stays - steps[-1].stays, shown[-1].patients - steps[-1].patients]
    return any(0 < gap < MIN_CELL for gap in gaps)


def _combine(steps: Sequence[FlowRow]) -> FlowRow:
    if len(steps) == 1 and not 0 < steps[0].excluded < MIN_CELL:
        return steps[0]
    excluded = sum(step.excluded for step in steps)
    name = "; ".join(step.step for step in steps)
    if len(steps) > 1:
        name += " (combined)"
    if 0 < excluded < MIN_CELL:
        name, excluded = f"{name}: fewer than {MIN_CELL} excluded", 0
    return FlowRow(name, excluded, steps[-1].stays, steps[-1].patients)


def show_flow(data: Data, hidden: Hidden) -> tuple[FlowRow, ...]:
    """The flow as it may be shown; none where a pool is so small that the whole would give it, or
    where the pools leave something small of it."""
    pools = sum(p.stays for p in data.pools), sum(p.patients for p in data.pools)
    ends = [(row.stays, row.patients) for row in data.flow[-1:]]
    left = any(is_close(a, b) for end in ends for a, b in zip(end, pools, strict=True))
    return () if hidden.pools or left else merge_small(data.flow)


def show_facts(data: Data, flow: Sequence[FlowRow], hidden: Hidden) -> dict[str, Fact]:
    """The facts that may be shown.

    A count of the whole cohort stands as the pools do, those of its outcomes all or none. A part of
    it must leave no 1 to 9 over of any total, alone or with one more part. What is not declared in
    `marginals` is left out.
    """
    found = {
        name: fact
        for name, fact in data.facts.items()
        if isinstance(fact, str | bool) or name in marginals.SETTINGS
    }
    if hidden.pools:
        return found
    totals = [n for row in flow for n in (row.stays, row.patients)]
    totals += [sum(pool.stays for pool in data.pools), sum(pool.patients for pool in data.pools)]
    classes = _counts(data, [marginals.OF_CLASS.format(name) for name in data.classes])
    if not hidden.joint and not any(0 < count < MIN_CELL for count in classes.values()):
        found |= classes
        totals += classes.values()
    whole = _counts(data, [marginals.WHOLE])
    found |= {name: n for name, n in whole.items() if not any_close(n, totals) or n in totals}
    sources = _counts(data, marginals.SOURCE)
    found |= {name: n for name, n in sources.items() if not any_close(n, totals)}
    return found | _show_parts(_counts(data, marginals.PARTS), totals, list(sources.values()))


def _counts(data: Data, names: Sequence[str] | frozenset[str]) -> dict[str, int]:
    return {
        name: fact
        for name in names
        if isinstance(fact := data.facts.get(name), int) and not isinstance(fact, bool)
    }


def _show_parts(
    parts: Mapping[str, int], totals: Sequence[int], sources: Sequence[int]
) -> dict[str, int]:
    """The parts of the cohort of which nothing small is left, alone or two together."""
    wholes = [*totals, *sources]
    shown: dict[str, int] = {}
    for name in sorted(parts):
        count = parts[name]
        sums = [count] + [count + other for other in shown.values()]
        sums += [count + a + b for a, b in combinations(shown.values(), 2)]
        gaps = any_close(count, [*wholes, *shown.values()])
        if not gaps and not any(any_close(one, wholes) for one in sums):
            shown[name] = count
    return shown


__all__ = ["merge_small", "show_facts", "show_flow"]
