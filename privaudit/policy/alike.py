"""What two audits must share before their numbers may be set side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from privaudit import commitments
from privaudit.disclosure_limits import MIN_CELL
from privaudit.errors import PrivauditError
from privaudit.facts import Param
from privaudit.results import Audit, Finding


@dataclass(frozen=True)
class Basis:
    """What was audited and how, apart from the models and the seed.

    data: commitment of the records; split: of the one split that all runs share, "" where each
    assigned its members anew; attacks: attack -> its settings; statistics: version of the
    estimates.
    """

    task: str
    source: str
    data: str
    split: str
    profile: str
    confidence: float
    statistics: str
    attacks: Mapping[str, Mapping[str, Param]]


def basis(audits: Sequence[Audit]) -> Basis:
    """What these audits of one kind rest on; whether they share a split shows in all together."""
    first = audits[0]
    splits = {audit.manifest.split_fingerprint for audit in audits}
    shared = len(splits) == 1 and len(audits) > 1
    return Basis(
        task=first.data.task,
        source=first.data.source,
        data=first.manifest.records_fingerprint,
        split=first.manifest.split_fingerprint if shared else "",
        profile=first.manifest.profile,
        confidence=first.manifest.confidence,
        statistics=statistics(first),
        attacks=settings(audits),
    )


def statistics(audit: Audit) -> str:
    """Which statistics made the numbers; that of the package where none is stated."""
    return audit.manifest.statistics or f"privaudit {audit.manifest.version}"


def settings(audits: Sequence[Audit]) -> dict[str, dict[str, Param]]:
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
    found = [
        f"{what}: {a} ({left}), {b} ({right})"
        for what, a, b in (
            ("task", one.task, other.task),
            ("source of the data", one.source, other.source),
            ("profile", one.profile, other.profile),
            ("confidence", f"{one.confidence:g}", f"{other.confidence:g}"),
            ("statistics", one.statistics, other.statistics),
        )
        if a != b
    ]
    records = compare_records(one.data, other.data)
    found += [records] if records else []
    if one.split != other.split:
        found.append(
            f"split: {describe_split(one.split)} ({left}), {describe_split(other.split)} ({right})"
        )
    for attack in sorted(one.attacks.keys() & other.attacks.keys()):
        ours, theirs = one.attacks[attack], other.attacks[attack]
        for key in sorted(ours.keys() | theirs.keys()):
            a, b = ours.get(key, "not set"), theirs.get(key, "not set")
            found += [f"{attack}.{key}: {a} ({left}), {b} ({right})"] if a != b else []
    return tuple(found)


def check_comparable(held: Basis, audits: Sequence[Audit]) -> None:
    """Refuse, naming what differs, audits that must not be set against a baseline that rests on
    this."""
    found: list[str] = []
    for audit in audits:
        own = basis([audit])
        if held.split:
            own = replace(own, split=audit.manifest.split_fingerprint)
        for difference in differences(held, own, ("baseline", "candidate")):
            if difference not in found:
                found.append(difference)
    if found:
        raise refuse(found)


def refuse(found: Sequence[str]) -> PrivauditError:
    """What to do where a run differs from a baseline in these ways."""
    return PrivauditError(
        f"a baseline that cannot be compared with this run: {'; '.join(found)}",
        "a difference between numbers made in different ways says nothing about the model",
        "run the candidate as the baseline was run, or make a new baseline: "
        "privaudit baseline update BASELINE RUN... --anew --reason TEXT",
    )


def compare_records(one: str, other: str) -> str:
    """Why two commitments do not stand for the same records; empty where they do."""
    if not one or not other:
        return (
            "data: not committed to, so that nobody can tell whether they are the same "
            "(`privaudit run` and `privaudit audit` commit to them)"
        )
    same = commitments.same(one, other)
    if same is None:
        return (
            "data: committed to with different keys, so that nobody can tell whether they are the "
            "same (runs of one directory share the key in its restricted/commitment.key)"
        )
    return "" if same else "data: other records"


def are_same_patients(one: Audit, other: Audit) -> bool:
    """Whether the commitments of two audits show that their records are the same, and so are their
    pools, unless each assigned them at random."""
    first, second = one.manifest, other.manifest
    random = one.data.random_split and other.data.random_split
    return commitments.same(first.records_fingerprint, second.records_fingerprint) is True and (
        random or commitments.same(first.split_fingerprint, second.split_fingerprint) is True
    )


def have_near_counts(one: Audit, other: Audit) -> bool:
    """Whether the cohorts of two audits of other records, or a pool of theirs, may differ by fewer
    than 10 patients, as far as the counts in the documents can tell, which may be rounded."""
    sizes = [{pool.name: pool.patients for pool in audit.data.pools} for audit in (one, other)]
    if sizes[0].keys() != sizes[1].keys():
        return True
    near = [abs(sizes[0][name] - sizes[1][name]) <= 2 * MIN_CELL for name in sizes[0]]
    if one.data.random_split and other.data.random_split:
        # Sizes of random pools say little; each of them may be rounded.
        total = sum(sizes[0].values()) - sum(sizes[1].values())
        return abs(total) <= (len(near) + 1) * MIN_CELL
    return any(near)


def is_open(audit: Audit) -> bool:
    """Whether the records are of nobody, or openly licensed."""
    return not audit.data.real or audit.manifest.exact_counts


def have_one_split(one: str, other: str) -> bool:
    """Whether two commitments to splits show that they are the same."""
    return commitments.same(one, other) is True


def describe_split(split: str) -> str:
    """How members were chosen, in words."""
    return "one split for all seeds" if split else "assigned at random, anew with every seed"


def runs_of_one_seed(audits: Sequence[Audit]) -> tuple[str, ...]:
    """The runs that share their seed with another of them."""
    seeds = [audit.manifest.seed_commitment for audit in audits]
    return tuple(a.manifest.run for a in audits if seeds.count(a.manifest.seed_commitment) > 1)
