"""The audit document: frozen data, strict JSON. Reports, gates and comparisons read this and
nothing else."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import cattrs
from cattrs.errors import BaseValidationError
from cattrs.gen import make_dict_unstructure_fn, override

from privaudit.errors import PrivauditError
from privaudit.facts import (
    FAMILIES,
    PARTIAL_ATTACKS,
    Attacker,
    Bound,
    Caveat,
    CaveatCode,
    Metric,
    Param,
    Reason,
)
from privaudit.federations import Federation
from privaudit.words import USUAL, Words

SCHEMA = "privaudit/4"


@dataclass(frozen=True)
class Estimate:
    """One number that a person may act on.

    value, low, high, chance: rates in [0, 1] where the quantity is a rate; chance is what a model
    that leaks nothing (or a guess) would give. n: how many of what ("members": 1600, ...). bound:
    how the interval was made, None where there is none. refusal: why no value is stated; value is
    then None.
    """

    metric: Metric
    value: float | None
    low: float | None = None
    high: float | None = None
    chance: float | None = None
    n: Mapping[str, int] = field(default_factory=dict)
    confidence: float = 0.95
    bound: Bound | None = None
    refusal: Reason | None = None


@dataclass(frozen=True)
class Curve:
    """A line to draw, with its band. Points that rest on fewer than 10 patients are left out.

    kind: "roc" (x: false positive rate, y: true positive rate), "reliability" (x: predicted, y:
    observed share), "budget" (x: an attack's budget in `unit`, y: the rate that `metric` names), or
    "survival" (x: how often a patient is told apart, y: the share of patients who are more often).
    """

    kind: Literal["roc", "reliability", "budget", "survival"]
    metric: Metric
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    unit: str = ""


@dataclass(frozen=True)
class GroupResult:
    """One subgroup: `by` is what was split on (age band), `level` the group (65-79).

    p_adjusted: for "this group differs from the rest", adjusted over all groups (Holm).
    suppressed: fewer than 10 patients; estimates are then empty and n says nothing.
    """

    by: str
    level: str
    estimates: tuple[Estimate, ...]
    p_adjusted: float | None = None
    suppressed: bool = False


@dataclass(frozen=True)
class Finding:
    """What one attack found about one subject.

    estimates: the unit is the patient. by_record: the same with every record for itself, where some
    patient has several; a second line, which no verdict reads. evened: of a membership attack
    there, with the number of records evened out, so that patients with many do not set the
    threshold for the rest: a limit is kept only where these keep to it too. over_represented: of
    the patients who are named one by one, the share in every group. attacker: who makes a
    membership attack, None for the other families. null: the same attack on models that were
    trained on none of the records that they are asked about; corrected: the estimates less what the
    null reads, paired on the same patients, so that guessing is 0.5 or the false positive rate.
    Both are empty where membership was assigned at random, or no such model could be had.
    """

    attack: str
    family: str
    params: Mapping[str, Param]
    access: tuple[str, ...]
    estimates: tuple[Estimate, ...]
    curves: tuple[Curve, ...] = ()
    groups: tuple[GroupResult, ...] = ()
    caveats: tuple[Caveat, ...] = ()
    seconds: float = 0.0
    by_record: tuple[Estimate, ...] = ()
    evened: tuple[Estimate, ...] = ()
    over_represented: tuple[GroupResult, ...] = ()
    attacker: Attacker | None = None
    null: tuple[Estimate, ...] = ()
    corrected: tuple[Estimate, ...] = ()
    kind: Literal["finding"] = "finding"

    @property
    def is_blind(self) -> bool:
        """Whether the attack looked at columns alone, of a model that reads series."""
        return any(caveat.code is CaveatCode.SERIES_NOT_READ for caveat in self.caveats)

    @property
    def is_partial(self) -> bool:
        """Whether it does not try what its family is about: where no other attack gave a number,
        the class of attack was not tested."""
        return self.attack in PARTIAL_ATTACKS or self.is_blind


@dataclass(frozen=True)
class Skipped:
    """An attack that does not apply, with the reason. Never read as "no risk"."""

    attack: str
    family: str
    reason: Reason
    kind: Literal["skipped"] = "skipped"


@dataclass(frozen=True)
class Failed:
    """An attack that failed with an error. The report shows it and no gate passes it."""

    attack: str
    family: str
    reason: Reason
    kind: Literal["failed"] = "failed"


Outcome = Finding | Skipped | Failed


@dataclass(frozen=True)
class Control:
    """A check on the harness itself: a planted leak that must be found, or a model with no leak.

    passed: the planted leak was found / the null model reads as chance. made: what it was made of;
    error: why it gave no number, None where it did.
    """

    kind: Literal["positive", "negative"]
    attack: str
    estimates: tuple[Estimate, ...]
    passed: bool
    made: Caveat
    error: Reason | None = None


@dataclass(frozen=True)
class ClaimText:
    """A privacy claim as printed."""

    epsilon: float | None
    delta: float
    unit: str
    neighbours: str
    covers: tuple[str, ...]
    basis: str


@dataclass(frozen=True)
class ComposedClaim:
    """What the guarantees of several releases come to, for whoever holds all of them.

    They were trained on the same patients. subjects: those that claim a guarantee for this `unit`
    under this relation, at least two; guarantees for another unit or relation never enter. method:
    "pld" where the privacy losses of all noisy steps were composed, "basic" where epsilons and
    deltas were added up.
    """

    epsilon: float
    delta: float
    unit: str
    neighbours: str
    subjects: tuple[str, ...]
    method: Literal["pld", "basic"]


@dataclass(frozen=True)
class ColumnFit:
    """One column of a synthetic table beside the real one, in shares of all rows.

    bins: what is counted (levels, or ranges of numbers; "not recorded" last where any is missing),
    merged until none rests on 1 to 9 real patients. real, synthetic: (bins,) shares; noisy: shares
    that a private generator had to work from, where it says so. distance: of synthetic from real
    (total variation over the bins); reference: of a real table of other patients from real, what
    distance means none.
    """

    name: str
    kind: str
    bins: tuple[str, ...]
    real: tuple[float, ...]
    synthetic: tuple[float, ...]
    distance: float
    reference: float
    noisy: tuple[float, ...] = ()


@dataclass(frozen=True)
class Utility:
    """One learner trained on synthetic records and tested on real ones, beside one trained on real.

    synthetic, real: estimates on the same real non-members; loss: real minus synthetic, paired.
    """

    learner: str
    synthetic: tuple[Estimate, ...]
    real: tuple[Estimate, ...]
    loss: Estimate


@dataclass(frozen=True)
class Fidelity:
    """How like the real table a synthetic one is, and what it is good for.

    estimates: named as in `privaudit.stats.catalogue.FIDELITY`; the first is the outcome's
    prevalence. groups: utility in subgroups, for the learner named first. by_record: duplicates
    with every record for itself, where some patient has several.
    """

    rows: int
    estimates: tuple[Estimate, ...]
    columns: tuple[ColumnFit, ...]
    utility: tuple[Utility, ...] = ()
    groups: tuple[GroupResult, ...] = ()
    notes: tuple[Caveat, ...] = ()
    by_record: tuple[Estimate, ...] = ()


@dataclass(frozen=True)
class Subject:
    """One release: how it was made, how useful it is, what was found.

    utility: on the non-members. utility_members: on the records trained on, for contrast. headline:
    the strongest membership attack; its one caveat says how it was chosen without favour (on
    refits, or on one half of the patients and estimated on the other). reliability: calibration
    curve on the non-members. trust: (who, what, whether) rows, who could read what of one
    hospital's contribution. notes: sentences of the method itself. fidelity: of the synthetic
    table, where one is released. utility_everybody: of a release of one model a site, the utility
    of each of them on all non-members, beside `utility_groups`, where each answers for its own.
    """

    name: str
    method: str
    learner: str
    description: str
    params: Mapping[str, str]
    claim: ClaimText
    access: tuple[str, ...]
    utility: tuple[Estimate, ...]
    utility_members: tuple[Estimate, ...]
    utility_groups: tuple[GroupResult, ...]
    reliability: Curve | None
    headline: Finding | None
    outcomes: tuple[Outcome, ...]
    controls: tuple[Control, ...]
    costs: Mapping[str, float]
    trust: tuple[tuple[str, str, str], ...] = ()
    notes: tuple[Caveat, ...] = ()
    fidelity: Fidelity | None = None
    utility_everybody: tuple[GroupResult, ...] = ()


@dataclass(frozen=True)
class Untrained:
    """A subject that was asked for and not trained, with the reason. Never read as "no risk".

    failed: it stopped on a fault of the software, not on a refusal or a missing library.
    """

    name: str
    method: str
    reason: Reason
    failed: bool = False


@dataclass(frozen=True)
class FlowRow:
    """One row of the cohort flow. excluded and remaining count stays."""

    step: str
    excluded: int
    stays: int
    patients: int


@dataclass(frozen=True)
class Pool:
    """One pool of the split: members, nonmembers or reference."""

    name: str
    patients: int
    stays: int
    rates: Mapping[str, float]


@dataclass(frozen=True)
class Cell:
    """How many are in one level of one grouping of one pool, with one outcome.

    by, level: "" for everybody in the pool; outcome: "" for any. Of a time to an event the outcomes
    are whether it was seen.
    """

    pool: str
    by: str
    level: str
    outcome: str
    patients: int
    records: int


@dataclass(frozen=True)
class Data:
    """What the models were trained on, in aggregates.

    distribution_shift: members and held-out patients can be told apart without the model, so that
    a membership number may be that difference; None where none is known. random_split: this audit
    assigned patients to members and non-members at random; no where the split was supplied.
    outcome_kind: what the outcome is; a number and a time have no `classes`. ordered: whether the
    order of `classes` means something. pictures: whether every column is a pixel. cells: what
    disclosure control counts with; the document that is shared has none. words: what the report
    calls people, sites and records; no verdict and no number reads them.
    """

    source: str
    real: bool
    task: str
    title: str
    positive: str
    classes: tuple[str, ...]
    columns: int
    channels: int
    hours: int
    flow: tuple[FlowRow, ...]
    pools: tuple[Pool, ...]
    notes: tuple[Caveat, ...] = ()
    facts: Mapping[str, str | int | float] = field(default_factory=dict)
    distribution_shift: Caveat | None = None
    random_split: bool = True
    outcome_kind: Literal["class", "number", "time"] = "class"
    ordered: bool = False
    pictures: bool = False
    cells: tuple[Cell, ...] = ()
    words: Words = USUAL


@dataclass(frozen=True)
class Attempts:
    """How often an audit of this task on these data was tried where this run is kept, this one
    included: a run repeated until one passes shows here.

    finished: those that came to an end before this one; outcomes: exit code -> how many of these
    ended with it; requests: how many different commands, seeds aside; since: when the first was
    started; head: sha256 of the ledger's last line when this was counted.
    """

    started: int
    finished: int
    requests: int
    outcomes: Mapping[str, int]
    since: str
    head: str


@dataclass(frozen=True)
class Plugin:
    """A package that provided tasks, methods, learners, generators or attacks.

    sha256: over the files of the folders that it announces.
    """

    name: str
    version: str
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What was run, with what, so that it can be run again: same key and seed, same numbers.

    entropy, seed: the secret that every random stream came from, and the seed as given; None in the
    document that is shared. seed_commitment: to the entropy (`privaudit.seeds.commit_to`).
    statistics: version of `privaudit.stats` that made the estimates; attempts: None where no ledger
    is written; exact_counts: small counts of real records are in the document too, as it was asked
    for. steps: how many were "made" in this run, and how many taken "from_cache", which
    `restricted/steps.json` names; plugins: those installed, whatever was asked of them.
    """

    run: str
    created: str
    version: str
    python: str
    platform: str
    packages: Mapping[str, str]
    command: str
    profile: str
    confidence: float
    records_fingerprint: str
    seconds: float
    cpu_seconds: float
    peak_memory_bytes: int
    refits: Mapping[str, int]
    split_fingerprint: str = ""
    statistics: str = ""
    attempts: Attempts | None = None
    exact_counts: bool = False
    entropy: int | None = None
    seed: int | None = None
    seed_commitment: str = ""
    steps: Mapping[str, int] = field(default_factory=dict)
    plugins: tuple[Plugin, ...] = ()


@dataclass(frozen=True)
class Coverage:
    """Whether a class of attack was tested, in this run, on any subject.

    attacks: those with a finding; others: (attack, why it found nothing); not_requested: attacks of
    the class that this run was not asked for; reason: why the class was not tested, None where it
    was or where `others` says it.
    """

    family: str
    state: Literal["TESTED", "NOT TESTED", "NOT APPLICABLE"]
    attacks: tuple[str, ...]
    others: tuple[tuple[str, Reason], ...] = ()
    not_requested: tuple[str, ...] = ()
    reason: Reason | None = None


@dataclass(frozen=True)
class Audit:
    """The whole document.

    composed: one for each unit and relation for which at least two subjects claim a guarantee.
    federation: of a federation between machines, not of a simulated one; no document of another run
    names it.
    """

    manifest: Manifest
    data: Data
    subjects: tuple[Subject, ...]
    coverage: tuple[Coverage, ...]
    caveats: tuple[Caveat, ...] = ()
    untrained: tuple[Untrained, ...] = ()
    composed: tuple[ComposedClaim, ...] = ()
    schema: str = SCHEMA
    federation: Federation | None = None

    @property
    def counted_by_sites(self) -> bool:
        """Whether its numbers are hospitals' own statements, which nobody else could check."""
        stated = any(caveat.code is CaveatCode.COUNTS_OF_SITES for caveat in self.caveats)
        return stated or self.federation is not None


def converter() -> cattrs.Converter:
    """Strict: no unknown key, and a number is a number."""
    converter = cattrs.Converter(forbid_extra_keys=True, prefer_attrib_converters=True)
    kinds = {"finding": Finding, "skipped": Skipped, "failed": Failed}

    def outcome(value: Any, _: type) -> Outcome:
        return converter.structure(value, kinds[value["kind"]])

    def number(value: Any, _: type) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError(f"expected a number, got {type(value).__name__}")
        return float(value)

    def text(value: Any, kind: type[str]) -> str:
        if not isinstance(value, str):
            raise TypeError(f"expected a text, got {type(value).__name__}")
        # This hook also serves the codes, which are texts: each becomes a member, or is refused.
        return kind(value)

    def flag(value: Any, _: type) -> bool:
        if not isinstance(value, bool):
            raise TypeError(f"expected true or false, got {type(value).__name__}")
        return value

    converter.register_structure_hook(Outcome, outcome)
    converter.register_structure_hook(bool, flag)
    converter.register_structure_hook(float, number)
    converter.register_structure_hook(str, text)
    for union in (Param, str | int | float, str | float):
        converter.register_structure_hook(union, lambda value, _: _plain(value))
    converter.register_unstructure_hook(
        Audit, make_dict_unstructure_fn(Audit, converter, federation=override(omit_if_default=True))
    )
    return converter


def _plain(value: Any) -> Param:
    if isinstance(value, list):
        return tuple(str(part) for part in value)
    if not isinstance(value, str | int | float):
        raise TypeError(f"expected a text or a number, got {type(value).__name__}")
    return value


_CONVERTER = converter()


def to_json(audit: Audit) -> str:
    """The document as JSON: sorted keys, no non-finite number."""
    tree = _CONVERTER.unstructure(audit)
    _refuse_non_finite(tree, "audit")
    return json.dumps(tree, indent=1, sort_keys=True, allow_nan=False) + "\n"


def from_json(text: str) -> Audit:
    """Read a document back; every fault names where in the document it is."""
    try:
        tree = json.loads(text)
    except json.JSONDecodeError as error:
        raise PrivauditError(
            f"this is not an audit document: line {error.lineno}, {error.msg}",
            "an audit document is JSON as `privaudit run` wrote it",
            "give the audit.json of a finished run",
        ) from None
    except RecursionError:
        raise PrivauditError(
            "this is not an audit document: its parts lie too deep in each other",
            "an audit document is JSON as `privaudit run` wrote it",
            "give the audit.json of a finished run",
        ) from None
    if not isinstance(tree, dict) or tree.get("schema") != SCHEMA:
        came = tree.get("schema") if isinstance(tree, dict) else None
        raise PrivauditError(
            f"a document with schema {came!r}",
            f"this version reads {SCHEMA}",
            "give an audit.json written by this version, or run the audit again",
        )
    try:
        _refuse_non_finite(tree, "audit")
        audit: Audit = _CONVERTER.structure(tree, Audit)
        _refuse_contradictions(audit)
    except (BaseValidationError, KeyError, TypeError) as error:
        raise _faulty("; ".join(cattrs.transform_error(error)[:3])) from None
    except ValueError as error:
        raise _faulty(str(error)) from None
    return audit


def _faulty(where: str) -> PrivauditError:
    return PrivauditError(
        f"an audit document with faults: {where}",
        "it does not hold what the schema asks for",
        "give an audit.json as `privaudit run` wrote it, not edited",
    )


def _refuse_contradictions(audit: Audit) -> None:
    """Refuse numbers that no run writes: a verdict read off them would mean nothing."""
    for subject in audit.subjects:
        epsilon, delta = subject.claim.epsilon, subject.claim.delta
        if (epsilon is not None and epsilon < 0) or not 0 <= delta < 1:
            raise ValueError(f"{subject.name} claims epsilon {epsilon} at delta {delta}")
        findings = [o for o in subject.outcomes if isinstance(o, Finding)]
        for one in subject.outcomes:
            if one.family not in FAMILIES:
                raise ValueError(f"{one.attack} has the family {one.family!r}")
        attacks = [one.attack for one in subject.outcomes]
        if len(set(attacks)) < len(attacks):
            raise ValueError(f"an attack stands twice in {subject.name}")
        heads = [] if subject.headline is None else [subject.headline]
        table = subject.fidelity
        fidelity = () if table is None else (table.estimates, table.by_record)
        groups = [*subject.utility_groups, *(g for one in findings for g in one.groups)]
        groups += [g for one in findings for g in one.over_represented]
        groups += subject.utility_everybody
        for part in (
            subject.utility,
            subject.utility_members,
            *fidelity,
            *(one.estimates for one in (*findings, *heads)),
            *(one.by_record for one in (*findings, *heads)),
            *(one.estimates for one in subject.controls),
            *(one.estimates for one in groups),
        ):
            _refuse_impossible(part)


def _refuse_impossible(estimates: tuple[Estimate, ...]) -> None:
    if len({e.metric for e in estimates}) < len(estimates):
        raise ValueError("one number is stated twice")
    for e in estimates:
        crossed = e.low is not None and e.high is not None and e.low > e.high
        if not 0 < e.confidence < 1 or crossed or (e.value is not None and e.refusal is not None):
            raise ValueError(f"{e.metric} contradicts itself")


def to_tree(part: Any) -> Any:
    """Any part of a document as plain dictionaries, lists and numbers, none of them non-finite."""
    tree = _CONVERTER.unstructure(part)
    _refuse_non_finite(tree, type(part).__name__)
    return tree


def from_tree(tree: Any, kind: Any) -> Any:
    """A part of a document of this type from what `to_tree` made of it."""
    return _CONVERTER.structure(tree, kind)


def _refuse_non_finite(tree: Any, where: str) -> None:
    if isinstance(tree, float) and not math.isfinite(tree):
        raise ValueError(f"{where} is {tree}: no non-finite number is ever stored")
    if isinstance(tree, dict):
        for key, value in tree.items():
            _refuse_non_finite(value, f"{where}.{key}")
    elif isinstance(tree, list | tuple):
        for index, value in enumerate(tree):
            _refuse_non_finite(value, f"{where}[{index}]")
