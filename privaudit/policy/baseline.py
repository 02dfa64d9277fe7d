"""A baseline: the numbers of several runs of an accepted model, for later ones to be no worse than.

One run says little: retrained with another seed, the same model reads a little more or a little
less, and a gate that blocks any increase blocks an unchanged model half of the time. So a baseline
holds several runs with different seeds, a candidate is several runs too, and the question is
whether the candidate is worse by more than a margin (`regress`). A baseline holds aggregates
alone.
"""

from __future__ import annotations

import hashlib
import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import cattrs
from cattrs.errors import BaseValidationError

from privaudit.errors import PrivauditError
from privaudit.facts import CaveatCode, Metric
from privaudit.policy import alike
from privaudit.policy.alike import Basis
from privaudit.policy.metrics import find_metric, list_numbers, select_numbers
from privaudit.policy.rules import Regression
from privaudit.results import Audit, Estimate, Finding, converter, to_json

SCHEMA = "privaudit.baseline/2"
SEEDS = 5
"""How many runs of different seeds a baseline should have."""

DETECTABLE = ("detectable_auc", "detectable_tpr")
"""Numbers that follow from the sizes of the pools alone."""


@dataclass(frozen=True)
class Number:
    """One estimate of one run: `attack` and `family` are empty for utility and fidelity."""

    subject: str
    attack: str
    family: str
    metric: Metric
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Run:
    """One run of the baseline. seed, split: commitments to its seed and its split, so that a run of
    the candidate can be paired with it; audit_sha256: of its audit.json."""

    run: str
    created: str
    seed: str
    audit_sha256: str
    numbers: tuple[Number, ...]
    split: str = ""


@dataclass(frozen=True)
class Step:
    """One entry of the history: who accepted which runs, when and why, under which policy."""

    when: str
    who: str
    action: Literal["create", "add", "replace"]
    reason: str
    runs: tuple[str, ...]
    basis_sha256: str
    policy: str = ""
    policy_sha256: str = ""


@dataclass(frozen=True)
class Baseline:
    """What was accepted, on what it rests, and how it came about. asked: attacks that its runs
    asked for, those that did not apply included."""

    basis: Basis
    runs: tuple[Run, ...]
    history: tuple[Step, ...]
    asked: tuple[str, ...] = ()
    schema: str = SCHEMA

    @property
    def name(self) -> str:
        """How verdicts call it: its task, its number of runs, and when it was last changed."""
        return f"{self.basis.task}, {len(self.runs)} runs, {self.history[-1].when}"

    def values(self, subject: str, attack: str, metric: Metric) -> list[float]:
        """This estimate in every run that has it."""
        return list(self.by_seed(subject, attack, metric).values())

    def by_seed(self, subject: str, attack: str, metric: Metric) -> dict[str, float]:
        """The same by the commitment to the run's seed, in the order of the runs."""
        return {
            run.seed: number.value
            for run in self.runs
            for number in run.numbers
            if (number.subject, number.attack, number.metric) == (subject, attack, metric)
        }

    def expected(self, rule: Regression) -> list[tuple[str, str, Metric]]:
        """(subject, attack, metric) of every number held here that the rule is about."""
        known = find_metric(rule.metric)
        attacked = known.place == "outcomes"
        family = known.family if attacked else ""
        asked = {*rule.attacks} or {*known.attacks} if attacked else {""}
        there: dict[tuple[str, str], dict[Metric, None]] = {}
        for run in self.runs:
            for number in run.numbers:
                if number.family == family and (not asked or number.attack in asked):
                    key = number.subject, number.attack
                    there.setdefault(key, {})[number.metric] = None
        return [
            (*key, metric)
            for key, metrics in there.items()
            for metric in select_numbers(
                known, list(metrics), fpr=rule.fpr, prior=rule.prior, at=rule.at
            )
        ]


def digest(basis: Basis) -> str:
    """sha256 of what a baseline rests on."""
    text = json.dumps(asdict(basis), sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def create(
    audits: Sequence[Audit], *, who: str, when: str, reason: str, policy: tuple[str, str] = ("", "")
) -> Baseline:
    """A baseline from runs that differ in their seed alone.

    policy: name and sha256 of the policy under which they were accepted. Raises PrivauditError
    where the runs are not of one kind, or two of one seed.
    """
    _check_acceptable(audits, reason)
    found = alike.basis(audits)
    step = Step(when, who, "create", reason.strip(), _names(audits), digest(found), *policy)
    return Baseline(found, tuple(_run(audit) for audit in audits), (step,), _asked(audits))


def update(
    held: Baseline,
    audits: Sequence[Audit],
    *,
    who: str,
    when: str,
    reason: str,
    anew: bool = False,
    policy: tuple[str, str] = ("", ""),
) -> Baseline:
    """Add runs of further seeds, or (anew) put these in the place of all others; the history
    stays."""
    if anew:
        made = create(audits, who=who, when=when, reason=reason, policy=policy)
        step = replace(made.history[0], action="replace")
        return replace(made, history=(*held.history, step))
    _check_acceptable(audits, reason)
    alike.check_comparable(held.basis, audits)
    seeds = {run.seed for run in held.runs}
    again = [a.manifest.run for a in audits if a.manifest.seed_commitment in seeds]
    if again:
        raise PrivauditError(
            f"the runs {', '.join(again)}, of seeds which the baseline holds already",
            "a seed counted twice makes numbers look steadier than they are",
            "run with other seeds (--seed), or start over with --anew",
        )
    attacks = {**alike.settings(audits), **held.basis.attacks}
    basis = replace(held.basis, attacks=attacks)
    step = Step(when, who, "add", reason.strip(), _names(audits), digest(basis), *policy)
    runs = (*held.runs, *(_run(audit) for audit in audits))
    asked = tuple(sorted({*held.asked, *_asked(audits)}))
    return replace(held, basis=basis, runs=runs, history=(*held.history, step), asked=asked)


def check_reason(reason: str) -> None:
    """Refuse a baseline that nobody will understand later."""
    if not reason.strip():
        raise PrivauditError(
            "a baseline without a reason",
            "somebody will ask a year later why these numbers were accepted",
            "say why with --reason",
        )


def _check_acceptable(audits: Sequence[Audit], reason: str) -> None:
    check_reason(reason)
    if not audits:
        raise PrivauditError(
            "a baseline of no run", f"it is made from runs, {SEEDS} or more", "name finished runs"
        )
    unshared = [
        audit.manifest.run
        for audit in audits
        if any(caveat.code is CaveatCode.NEAR_COHORT for caveat in audit.caveats)
    ]
    if unshared:
        raise PrivauditError(
            f"runs that have nothing to be shared: {', '.join(unshared)}",
            "a baseline holds their numbers, which give away by which patients their cohort "
            "differs from that of an earlier audit",
            "use the same cohort as before, or one that differs by 10 patients or more",
        )
    for audit in audits[1:]:
        one, other = alike.basis(audits[:1]), alike.basis([audit])
        names = (audits[0].manifest.run, audit.manifest.run)
        found = alike.differences(one, other, names)
        if found:
            raise PrivauditError(
                f"runs that are not of one kind: {'; '.join(found)}",
                "the runs of a baseline differ in their seed alone",
                "run the same command again with other seeds (--seed 1, 2, 3, ...)",
            )
    twice = alike.runs_of_one_seed(audits)
    if twice:
        raise PrivauditError(
            f"runs of one seed: {', '.join(twice)}",
            "a seed counted twice makes numbers look steadier than they are",
            "name one run of each seed",
        )


def _asked(audits: Sequence[Audit]) -> tuple[str, ...]:
    tried = (one.attack for a in audits for subject in a.subjects for one in subject.outcomes)
    return tuple(sorted(set(tried)))


def _names(audits: Sequence[Audit]) -> tuple[str, ...]:
    return tuple(audit.manifest.run for audit in audits)


def _run(audit: Audit) -> Run:
    made = audit.manifest
    about = (made.run, made.created, made.seed_commitment, digest_of(audit), numbers(audit))
    return Run(*about, made.split_fingerprint)


def digest_of(audit: Audit) -> str:
    """sha256 of an audit's document, by which a run of the baseline is known again."""
    return hashlib.sha256(to_json(audit).encode()).hexdigest()


def numbers(audit: Audit) -> tuple[Number, ...]:
    """Every estimate of an audit that a metric may be about and that has a value."""
    found = []
    for subject in audit.subjects:
        parts: list[tuple[str, str, tuple[Estimate, ...]]] = [("", "", subject.utility)]
        if subject.fidelity is not None:
            parts.append(("", "", subject.fidelity.estimates))
        findings = [one for one in subject.outcomes if isinstance(one, Finding)]
        parts += [(one.attack, one.family, list_numbers(one)) for one in findings]
        found += [
            Number(subject.name, attack, family, one.metric, one.value, one.low, one.high)
            for attack, family, estimates in parts
            for one in estimates
            if one.value is not None and one.metric.name not in DETECTABLE
        ]
    return tuple(found)


_CONVERTER = converter()


def write(baseline: Baseline) -> str:
    """The document as JSON: sorted keys, no non-finite number."""
    tree = _CONVERTER.unstructure(baseline)
    return json.dumps(tree, indent=1, sort_keys=True, allow_nan=False) + "\n"


def read(path: Path) -> Baseline:
    """The baseline in a file; PrivauditError where there is none, or it was edited by hand."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PrivauditError(
            f"no baseline can be read from {path.name!r}",
            f"the system says: {getattr(error, 'strerror', None) or 'it is not text'}",
            "make one: privaudit baseline create RUN... --out baseline.json --reason TEXT",
        ) from None
    return parse(text)


def parse(text: str) -> Baseline:
    """The baseline in a JSON text; PrivauditError where it does not hold one."""
    try:
        tree: Any = json.loads(text)
        came = tree.get("schema") if isinstance(tree, dict) else None
        if came != SCHEMA:
            raise ValueError(f"its schema is {came!r}, and this version reads {SCHEMA}")
        found = _CONVERTER.structure(tree, Baseline)
        if not found.runs or not found.history:
            raise ValueError("it holds no run or no history")
        if found.history[-1].basis_sha256 != digest(found.basis):
            raise ValueError("what it rests on was changed without an entry in its history")
        if not all(math.isfinite(n.value) for run in found.runs for n in run.numbers):
            raise ValueError("a number in it is not finite")
        return found
    except (BaseValidationError, KeyError, TypeError, ValueError) as error:
        broken = isinstance(error, BaseValidationError)
        where = "; ".join(cattrs.transform_error(error)[:3]) if broken else str(error)
        raise PrivauditError(
            f"a baseline with faults: {where}",
            f"it does not hold what {SCHEMA} asks for",
            "make it again: privaudit baseline create RUN... --out baseline.json --reason TEXT",
        ) from None


@dataclass(frozen=True)
class Line:
    """One number over the runs: its mean, and the standard deviation between seeds (None for one
    run)."""

    subject: str
    attack: str
    metric: Metric
    mean: float
    spread: float | None
    runs: int


SHOWN = ("auroc", "r2", "auc", "attack_minus_control", "attack_minus_guess", "epsilon_lower_bound")
"""What `show` prints beside the true positive rate at a false positive rate of 1 %."""


def summarise(baseline: Baseline) -> tuple[Line, ...]:
    """The numbers that a reader asks for first."""
    keys = dict.fromkeys(
        (n.subject, n.attack, n.metric)
        for run in baseline.runs
        for n in run.numbers
        if n.metric.name in SHOWN or n.metric == Metric("tpr", fpr=0.01)
    )
    found = []
    for key in keys:
        values = baseline.values(*key)
        spread = statistics.stdev(values) if len(values) > 1 else None
        found.append(Line(*key, statistics.fmean(values), spread, len(values)))
    return tuple(found)


def warnings(baseline: Baseline) -> tuple[str, ...]:
    """Why it has too few runs to be used as a gate; none where it has enough."""
    count = len(baseline.runs)
    if count >= SEEDS:
        return ()
    alone = (
        "one run says nothing about how much numbers move from seed to seed: every regression rule "
        "will be INCONCLUSIVE"
        if count == 1
        else "fewer runs make wider bounds: more verdicts will be INCONCLUSIVE"
    )
    return (f"{count} of the {SEEDS} runs that are recommended; {alone}",)
