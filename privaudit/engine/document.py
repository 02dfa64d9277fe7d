"""Assemble the exact audit document from finished steps."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, Literal

import numpy as np

from privaudit.contracts import FAMILIES, REQUIRED_ACCESS, Access, Prepared, Task
from privaudit.engine.cells import POOLS, count_cells
from privaudit.facts import Param, Reason, ReasonCode, as_caveat
from privaudit.records import Records, Split
from privaudit.results import (
    Coverage,
    Data,
    Finding,
    FlowRow,
    GroupResult,
    Outcome,
    Pool,
    Subject,
    from_tree,
)


def pool(name: str, records: Records) -> Pool:
    """One pool in aggregates, with the share of each class."""
    rates = {label: float(np.mean(records.y == code)) for code, label in enumerate(records.classes)}
    return Pool(name, len(np.unique(records.patient)), len(records), rates)


def data(task: str, asked: Task, prepared: Prepared, split: Split) -> Data:
    """What the models were trained on, in full: `privaudit.disclosure` takes out what may not be
    shared."""
    records = prepared.records
    return Data(
        source=prepared.source,
        real=prepared.real,
        task=task,
        title=asked.title,
        positive=asked.positive,
        classes=tuple(records.classes),
        columns=len(records.columns),
        channels=len(records.channels),
        hours=0 if records.series is None else int(records.series.shape[1]),
        flow=tuple(FlowRow(s.step, s.excluded_stays, s.stays, s.patients) for s in prepared.flow),
        pools=tuple(pool(name, getattr(split, name)) for name in POOLS),
        notes=tuple(map(as_caveat, prepared.notes)),
        facts=dict(prepared.facts),
        distribution_shift=prepared.distribution_shift,
        random_split=prepared.split is None,
        outcome_kind=records.outcome_kind,
        ordered=records.ordered,
        pictures=records.image is not None,
        cells=count_cells(split),
        words=prepared.words or asked.words,
    )


def params(part: Any, prefix: str = "") -> dict[str, str]:
    """Every setting of a method or attack and of what it is made of, as texts."""
    found: dict[str, str] = {}
    if not is_dataclass(part):
        return found
    for field in fields(part):
        value = getattr(part, field.name)
        if value is None:
            continue
        if is_dataclass(value):
            found[f"{prefix}{field.name}"] = type(value).__name__
            found |= params(value, f"{prefix}{field.name}.")
        else:
            found[f"{prefix}{field.name}"] = value if isinstance(value, str) else repr(value)
    return found


def typed_params(part: Any) -> dict[str, Param]:
    """An attack's settings, numbers as numbers."""
    texts = params(part)
    found: dict[str, Param] = dict(texts)
    for name in texts:
        value = getattr(part, name, None)
        if isinstance(value, int | float | str):
            found[name] = value
    return found


def describe(part: Any) -> str:
    """The first docstring line of a method, then of the learner in it."""
    lines = [(inspect.getdoc(type(part)) or "").split("\n", 1)[0]]
    if is_dataclass(part):
        lines += [describe(v) for f in fields(part) if is_dataclass(v := getattr(part, f.name))]
    return " ".join(line for line in lines if line)


def groups(tree: Any) -> tuple[GroupResult, ...]:
    return tuple(from_tree(part, GroupResult) for part in tree)


def coverage(
    subjects: Sequence[Subject],
    families: Mapping[str, str],
    requested: set[str],
    untested: Mapping[str, Reason] | None = None,
) -> tuple[Coverage, ...]:
    """Every class of attack, tested or not, with the reason.

    families: every attack there is -> its family; requested: the attacks that this run was to make;
    untested: family -> why the records leave it nothing to try.
    """
    outcomes = [outcome for subject in subjects for outcome in subject.outcomes]
    return tuple(
        _coverage_of(family, outcomes, subjects, families, requested, (untested or {}).get(family))
        for family in FAMILIES
    )


def _coverage_of(
    family: str,
    outcomes: Sequence[Outcome],
    subjects: Sequence[Subject],
    families: Mapping[str, str],
    requested: set[str],
    untried: Reason | None,
) -> Coverage:
    own = [outcome for outcome in outcomes if outcome.family == family]
    found = sorted({o.attack for o in own if o.kind == "finding"})
    others: list[tuple[str, Reason]] = []
    for o in sorted(own, key=lambda o: o.attack):
        if o.kind != "finding" and o.attack not in found and (o.attack, o.reason) not in others:
            others.append((o.attack, o.reason))
    built = sorted(name for name, f in families.items() if f == family)
    left = tuple(name for name in built if name not in requested)
    state: Literal["TESTED", "NOT TESTED", "NOT APPLICABLE"] = "NOT TESTED"
    reason = None
    tried = [o for o in own if isinstance(o, Finding)]
    if any(not one.is_partial for one in tried):
        state = "TESTED"
    elif any(one.is_blind for one in tried):
        reason = Reason(ReasonCode.SERIES_UNREAD)
    elif others:
        if all(_lacks(why, family) for _, why in others) and not _gives_away(subjects, family):
            state = "NOT APPLICABLE"
        elif all(why.code is ReasonCode.NEEDS_OTHER_OUTCOME for _, why in others):
            state, reason = "NOT APPLICABLE", others[0][1]
    elif family == "synthetic" and subjects and not _gives_away(subjects, family):
        state, reason = "NOT APPLICABLE", Reason(ReasonCode.NO_SYNTHETIC_TABLE)
    elif not built:
        reason = Reason(ReasonCode.NOT_BUILT)
    elif not subjects:
        reason = Reason(ReasonCode.NOTHING_TRAINED)
    else:
        reason = untried or Reason(ReasonCode.NOT_REQUESTED, {"attacks": left})
    return Coverage(family, state, tuple(found), tuple(others), left, reason)


def _lacks(why: Reason, family: str) -> bool:
    """Whether an attack was skipped for the want of what the family needs at the least."""
    lacking = why.params["access"] if why.code is ReasonCode.LACKS_ACCESS else ()
    return isinstance(lacking, tuple) and bool(REQUIRED_ACCESS[family] & set(map(Access, lacking)))


def _gives_away(subjects: Sequence[Subject], family: str) -> bool:
    """Whether any release gives away what an attack of the family needs at the least."""
    return any(REQUIRED_ACCESS[family] & set(map(Access, one.access)) for one in subjects)
