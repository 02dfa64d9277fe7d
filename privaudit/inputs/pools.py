"""The pools of an audit from user-supplied tables, and what is checked of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from privaudit.contracts import Access, FlowStep, Model, Prepared
from privaudit.errors import PrivauditError, spell
from privaudit.facts import Caveat, Reason, ReasonCode
from privaudit.inputs import checks
from privaudit.inputs.check_alike import refuse_respelled_groups
from privaudit.inputs.check_batches import refuse_answers_by_batch
from privaudit.inputs.check_copies import refuse_copies
from privaudit.inputs.models.answers import canonical
from privaudit.inputs.models.layout import Frame, Layout
from privaudit.inputs.models.opened_model import Opened
from privaudit.inputs.models.scikit_learn import Named
from privaudit.inputs.recipes import Recipe
from privaudit.inputs.user_release import Retrained
from privaudit.inputs.user_task import UserTask
from privaudit.records import Records, Split
from privaudit.seeds import Seeds
from privaudit.stats.groups import rare_classes, rare_joined

REFERENCE_SHARE = 0.2
"""Share of the held-out patients that the attacker is given where no reference table is."""
MOST_STRATA = 50
"""An outcome of more different values is no class, and the reference is drawn without it."""


def split_pools(
    members: Records,
    nonmembers: Records,
    reference: Records | None,
    rng: np.random.Generator,
    patient: str = "",
) -> tuple[Split, tuple[str, ...]]:
    """The three pools, checked, and notes.

    Args:
        members: Records that the model was trained on.
        nonmembers: Records of patients held out.
        reference: Records that the attacker owns; None for a share of the held-out patients.
        rng: Draws that share, as much of every outcome as there is among the held-out patients.
        patient: What messages call the patient's column.

    Raises:
        PrivauditError: A patient is on both sides, or a pool has too few patients.
    """
    notes = []
    checks.refuse_overlap(members, nonmembers, patient or "the row")
    if reference is None:
        ids = np.unique(nonmembers.patient)
        if len(ids) < checks.MIN_PATIENTS:
            raise PrivauditError(
                f"{len(ids)} patients among the non-members",
                f"below {checks.MIN_PATIENTS} an interval covers almost everything, and the "
                "attacker "
                f"is given {REFERENCE_SHARE:.0%} of them",
                f"hold at least {checks.MIN_PATIENTS * 2 - len(ids)} more patients out",
            )
        owned = _draw_reference(nonmembers, rng)
        is_owned = np.isin(nonmembers.patient, owned)
        reference, nonmembers = nonmembers.take(is_owned), nonmembers.take(~is_owned)
        notes.append(
            f"No reference table was given, so the attacker was given {REFERENCE_SHARE:.0%} of the "
            "held-out patients, who are left out of the membership game."
        )
    else:
        shared = np.isin(reference.patient, np.concatenate([members.patient, nonmembers.patient]))
        reference = reference.take(~shared) if shared.any() else reference
        if not len(reference):
            raise PrivauditError(
                "a reference table of members or held-out patients alone",
                "the attacker's table holds other patients",
                f"leave {spell('--reference', 'reference')} out, or give records of other patients",
            )
    refuse_respelled_groups([one.groups for one in (members, nonmembers, reference)])
    split = Split(*rare_joined((members, nonmembers, reference)))
    checks.refuse_few_patients(split)
    return split, tuple(notes)


def _draw_reference(records: Records, rng: np.random.Generator) -> np.ndarray:
    """The patients whom the attacker is given: a share of those of each outcome.

    A patient counts for the rarest outcome of any of their records, so that a null model of few
    patients still sees every outcome. Each outcome of two patients or more has one on either side;
    apart from that the whole share is kept, the largest remainders first.
    """
    ids, whose = np.unique(records.patient, return_inverse=True)
    total = round(REFERENCE_SHARE * len(ids))
    _, own, counts = np.unique(records.y, return_inverse=True, return_counts=True)
    drawn = rng.permutation(len(ids))
    if len(counts) > MOST_STRATA:
        return ids[drawn[:total]]
    # The rarest outcome first: of a patient's records the first place is the rarest.
    place = np.argsort(np.argsort(counts, kind="stable"), kind="stable")[own]
    stratum = np.full(len(ids), len(counts))
    np.minimum.at(stratum, whose, place)
    parts = [ids[drawn[stratum[drawn] == code]] for code in np.unique(stratum)]
    exact = np.array([REFERENCE_SHARE * len(part) for part in parts])
    most = np.array([max(0, len(part) - 1) for part in parts])
    taken = np.minimum(np.maximum(np.floor(exact).astype(int), 1), most)
    for code in np.argsort(taken - exact, kind="stable"):
        if taken.sum() < total and taken[code] < most[code]:
            taken[code] += 1
    return np.concatenate([part[:count] for part, count in zip(parts, taken, strict=True)])


def refuse_rare_classes(pools: Sequence[Records], outcome: str) -> None:
    """Refuse classes of a handful of patients, whose names nobody called public."""
    rare = rare_classes(pools)
    if rare:
        raise PrivauditError(
            f"the outcome {outcome!r} has {len(rare)} classes of fewer than 10 patients",
            "every class is named in what is written, and the name alone would give these patients "
            "away",
            "join them with another class, or call the classes by numbers 0, 1, 2; where they are "
            "public knowledge, list them in a schema (privaudit schema TABLE --outcome COLUMN) and "
            "give it with --schema",
        )


def replace_rare_class_names(split: Split) -> Split:
    """The same pools, with a number for the name of each class that a handful of patients have."""
    pools = (split.members, split.nonmembers, split.reference)
    rare = rare_classes(pools)
    if not rare:
        return split
    classes = tuple(f"class {c}" if c in rare else name for c, name in enumerate(pools[0].classes))
    return Split(*(replace(pool, classes=classes) for pool in pools))


SHADOW_ATTACKS = ("few_shadow_lira", "lira", "rmia", "shadow")
"""They compare a model with shadow models; supplied ones answer for every record."""


def find_applicable_attacks(
    split: Split, *, reads: bool = True, shadows: bool = False, asked: bool = True
) -> tuple[tuple[str, ...], tuple[str, ...], dict[str, Reason]]:
    """Names of the attacks that can be run here, notes on why others cannot, and by family why the
    records leave nothing to try.

    reads: whether the records hold what the model reads; with its answers alone, only the attack
    that asks no more remains, and where shadow models were supplied those that read these. asked:
    whether the model's answers are used, without which those remain that open the file alone.
    """
    from privaudit.plugins import load, members

    if not asked:
        alone = (n for n in members("attacks") if _needs(load("attacks", n)) == {Access.FILE})
        return tuple(alone), (), {}

    if not reads:
        return (*(SHADOW_ATTACKS if shadows else ()), "threshold"), (), {}
    untested: dict[str, Reason] = {}
    notes = [
        "The one-run bound on epsilon was not computed: it holds where membership was assigned at "
        "random, which is not known of a user-supplied model (privaudit audit-dp is for canaries)."
    ]
    # Of supplied shadow models only answers are known, so that no null answers beside a record.
    with_recipe = ("neighbourhood", "property_inference", "reference_lira")
    left = {"one_run", *(with_recipe if shadows else ())}
    both = (split.members, split.nonmembers)
    inferred = [
        column.sensitive
        and all(not np.isnan(pool.X[:, j]).all() for pool in both)
        and (column.kind == "binary" or len(column.levels) > 1 or column.bounds is not None)
        for j, column in enumerate(split.members.columns)
    ]
    if not any(inferred):
        left |= {"attribute", "property_inference"}
        untested["attribute"] = Reason(ReasonCode.NO_SENSITIVE_COLUMN)
        untested["property"] = Reason(ReasonCode.NO_SENSITIVE_COLUMN)
        notes.append(
            "Attribute inference was not run: no column is marked sensitive in the schema."
        )
    X = split.reference.X
    moved = [
        column.mutable
        and column.kind == "numeric"
        and not np.isnan(x := X[:, j]).all()
        and float(np.nanmax(x) - np.nanmin(x)) > 0
        for j, column in enumerate(split.members.columns)
    ]
    moved += [channel.mutable for channel in split.members.channels]
    if not any(moved):
        left |= {"fgsm", "pgd", "square"}
        untested["evasion"] = Reason(ReasonCode.NO_CHANGEABLE_NUMBER)
        notes.append("Evasion was not run: the table has no number that an attacker may change.")
    names = tuple(name for name in members("attacks") if name not in left)
    return names, tuple(notes), untested


def _needs(attack: Any) -> frozenset[Access]:
    found: frozenset[Access] = attack.needs
    return found


def prepare_task(
    split: Split,
    model: Model | None,
    *,
    outcome: str,
    seeds: Seeds,
    confidence: float,
    source: str,
    flow: tuple[FlowStep, ...] = (),
    notes: Sequence[str | Caveat] = (),
    reads: bool = True,
    shadows: bool = False,
    facts: Mapping[str, str | int | float] | None = None,
    caveats: Sequence[Caveat] = (),
    patients: Mapping[str, int] | None = None,
) -> UserTask:
    """The task of an audit: the pools with everything that was checked of them.

    model: None where its answers were refused. patients: name -> number, where the tables name
    them.
    """
    refuse_copies(split)
    if reads and model is not None:
        refuse_answers_by_batch(model, split.nonmembers)
    found = checks.examine(split, model, seeds=seeds, confidence=confidence, reads=reads)
    attacks, left_out, untested = find_applicable_attacks(
        split, reads=reads, shadows=shadows, asked=model is not None
    )
    records = Records.concatenate([split.members, split.nonmembers, split.reference])
    people = len(np.unique(records.patient))
    shift = (found.distribution_shift,) if found.distribution_shift else ()
    prepared = Prepared(
        records,
        flow or (FlowStep("records of all three pools", 0, len(records), people),),
        source,
        True,
        notes=(*notes, *found.notes, *left_out),
        facts={**(facts or {}), **found.facts},
        split=split,
        caveats=(*shift, *caveats, *found.caveats),
        distribution_shift=found.distribution_shift,
        untested=untested,
        patients=patients or {},
    )
    last = records.classes[-1] if records.classes else outcome
    event = f"{outcome} = {last}" if canonical(last) in ("1", "true") else last
    return UserTask.of(prepared, outcome, event, attacks)


def make_twin(
    recipe: Recipe, model: Model, opened: Opened, classes: tuple[str, ...], frame: Frame
) -> Retrained:
    """The recipe, handed tables as the model reads them.

    classes: the schema's; frame: the table as a frame, for a recipe whose model does not say how it
    reads.
    """
    reads = getattr(model, "reads", None) or getattr(model, "layout", None) or frame
    if isinstance(reads, Layout) and not isinstance(reads, Named) and opened.names is not None:
        reads = Named(reads.places, opened.names)
    if opened.labels is not None:
        own = {canonical(label): label for label in opened.labels}
        return Retrained.of(recipe, reads, tuple(own.get(canonical(c), c) for c in classes))
    try:
        return Retrained.of(recipe, reads, tuple(int(name) for name in classes))
    except ValueError:
        return Retrained.of(recipe, reads, classes)


__all__ = [
    "REFERENCE_SHARE",
    "find_applicable_attacks",
    "make_twin",
    "prepare_task",
    "refuse_rare_classes",
    "replace_rare_class_names",
    "split_pools",
]
