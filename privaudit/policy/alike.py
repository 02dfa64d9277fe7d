"""What two audits must share before their numbers may be set side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from privaudit import commitments
from privaudit.errors import PrivauditError
from privaudit.results import Audit, Finding

TOSSED = "a coin for each patient, tossed anew with every seed"
Setting = str | int | float | bool


@dataclass(frozen=True)
class Basis:
    """What was audited and how, apart from the models and the seed.

    data: commitment of the records; split: how members were chosen (`TOSSED`, or the commitment of the
    one split that all share); attacks: attack -> its settings; statistics: version of the estimates.
    """

    task: str
    source: str
    data: str
    split: str
    profile: str
    confidence: float
    statistics: str
    attacks: Mapping[str, Mapping[str, Setting]]


def basis(audits: Sequence[Audit]) -> Basis:
    """What these audits of one kind rest on; the split is told from all of them together."""
    first = audits[0]
    splits = {audit.manifest.split_fingerprint for audit in audits}
    given = first.manifest.split_fingerprint if len(splits) == 1 and len(audits) > 1 else TOSSED
    return Basis(
        task=first.data.task,
        source=first.data.source,
        data=first.manifest.records_fingerprint,
        split=given or TOSSED,
        profile=first.manifest.profile,
        confidence=first.manifest.confidence,
        statistics=statistics(first),
        attacks=settings(audits),
    )


def statistics(audit: Audit) -> str:
    """Which statistics made the numbers; that of the package where none is told."""
    return audit.manifest.statistics or f"privaudit {audit.manifest.version}"


def settings(audits: Sequence[Audit]) -> dict[str, dict[str, Setting]]:
    """attack -> its settings, over all that found something."""
    return {
        found.attack: dict(found.params)
        for audit in audits
        for subject in audit.subjects
        for found in subject.outcomes
        if isinstance(found, Finding)
    }


def differences(
    one: Basis, other: Basis, names: tuple[str, str] = ("one", "other")
) -> tuple[str, ...]:
    """Every way in which two bases differ, in words; none where their numbers may be compared.

    Attacks that only one of them made are no difference: they are not compared.
    """
    left, right = names
    found = []
    for what, a, b in (
        ("task", one.task, other.task),
        ("source of the data", one.source, other.source),
        ("profile", one.profile, other.profile),
        ("confidence", f"{one.confidence:g}", f"{other.confidence:g}"),
        ("statistics", one.statistics, other.statistics),
    ):
        if a != b:
            found.append(f"{what}: {a} ({left}), {b} ({right})")
    told = data(one.data, other.data)
    if told:
        found.append(told)
    if one.split != other.split:
        found.append(f"split: {_split(one.split)} ({left}), {_split(other.split)} ({right})")
    for attack in sorted(one.attacks.keys() & other.attacks.keys()):
        a_set, b_set = one.attacks[attack], other.attacks[attack]
        found += [
            f"{attack}.{key}: {a_set.get(key, 'not set')} ({left}), {b_set.get(key, 'not set')} ({right})"
            for key in sorted(a_set.keys() | b_set.keys())
            if a_set.get(key) != b_set.get(key)
        ]
    return tuple(found)


def comparable(kept: Basis, audits: Sequence[Audit]) -> None:
    """Refuse, naming what differs, audits that must not be set against a baseline that rests on this."""
    told: list[str] = []
    for audit in audits:
        own = basis([audit])
        if kept.split != TOSSED:
            own = replace(own, split=audit.manifest.split_fingerprint or TOSSED)
        for difference in differences(kept, own, ("baseline", "candidate")):
            if difference not in told:
                told.append(difference)
    if told:
        raise PrivauditError(
            f"a baseline that cannot be compared with this run: {'; '.join(told)}",
            "a difference between numbers made in different ways says nothing about the model",
            "run the candidate as the baseline was run, or make a new baseline: "
            "privaudit baseline update BASELINE RUN... --anew --reason TEXT",
        )


def data(one: str, other: str) -> str:
    """Why two commitments do not stand for the same records; empty where they do."""
    if not one or not other:
        return (
            "data: not committed to, so that nobody can tell whether they are the same (`privaudit run` "
            "and `privaudit audit` commit to them)"
        )
    same = commitments.same(one, other)
    if same is None:
        return (
            "data: committed to with different keys, so that nobody can tell whether they are the same "
            "(runs of one folder share the key in its restricted/commitment.key)"
        )
    return "" if same else "data: other records"


def _split(text: str) -> str:
    return text if text == TOSSED else "one split for all seeds"


__all__ = [
    "TOSSED",
    "Basis",
    "basis",
    "comparable",
    "data",
    "differences",
    "settings",
    "statistics",
]
