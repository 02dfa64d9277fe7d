"""What a document states beside its numbers, derived again: families, attacks that do not apply,
controls, access, coverage.

A number that is left out, or filed under another family, misleads as a wrong one does.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import MISSING, Field, fields, is_dataclass
from itertools import product
from pathlib import Path
from typing import Any

from privaudit import __version__, plugins
from privaudit.contracts import FAMILIES, Access, Attack, Method
from privaudit.engine import controls, document, jobs
from privaudit.errors import PrivauditError
from privaudit.evidence.compare import Compare
from privaudit.facts import LOST_REFITS, CaveatCode, ReasonCode
from privaudit.policy.coverage import BY_DATA
from privaudit.records import OutcomeKind
from privaudit.results import Audit, Control, Data, Failed, Finding, Outcome, Skipped, Subject

REFUSALS = (ReasonCode.REFUSED, ReasonCode.MISSING_EXTRA)
"""Why an attack that applies by its access may be skipped all the same."""

OTHER_VERSION = "which attacks there were to ask for in privaudit {}, as this is " + __version__


def find_attack(name: str) -> type[Attack] | None:
    """The class of an installed attack, None where none of this name is installed."""
    if name not in plugins.members("attacks"):
        return None
    try:
        return plugins.load("attacks", name)
    except (ImportError, PrivauditError):
        return None


def reads_table(name: str) -> bool:
    """Whether an installed attack needs a synthetic table."""
    attack = find_attack(name)
    return attack is not None and Access.TABLE in attack.needs


def reads_explanations(name: str) -> bool:
    """Whether an installed attack needs released explanations."""
    attack = find_attack(name)
    return attack is not None and Access.EXPLANATIONS in attack.needs


def asks_for_refits(name: str) -> bool:
    """Whether an installed attack may ask for models to be trained again."""
    attack = find_attack(name)
    return attack is not None and attack.refits is not Attack.refits


def check_outcomes(audit: Audit, run: Path, compare: Compare) -> None:
    """Compare outcomes, controls and access of all subjects with what was stored and installed."""
    names = Counter(subject.name for subject in audit.subjects)
    for name, count in names.items():
        if count > 1:
            compare.fault(f"{name}: {count} subjects have this name")
    made = {outcome.attack for subject in audit.subjects for outcome in subject.outcomes}
    for subject in audit.subjects:
        own = Counter(outcome.attack for outcome in subject.outcomes)
        for attack in sorted(made):
            if own[attack] != 1:
                compare.fault(f"{subject.name}.{attack}: {own[attack]} outcomes instead of one")
        _check_subject(subject, audit.data, run / "restricted", compare)
    _check_failures(audit, run / "restricted", compare)


def _check_subject(subject: Subject, data: Data, restricted: Path, compare: Compare) -> None:
    shown = _shown(subject, restricted, compare)
    # Whether the auditor could train again or take a seat is not in the document: of what can have
    # been, the one that explains most.
    found = [list(_outcome_faults(subject, shown | more, data)) for more in _privileges(subject)]
    for fault in min(found, key=len):
        compare.fault(f"{subject.name}.{fault}")
    for outcome in subject.outcomes:
        where = f"{subject.name}.{outcome.attack}"
        if isinstance(outcome, Failed):
            _check_failed(outcome, where, compare)


def _check_failed(outcome: Failed, where: str, compare: Compare) -> None:
    lacks = (ReasonCode.LACKS_ACCESS, ReasonCode.NEEDS_RETRAINING, *LOST_REFITS)
    if outcome.reason.code in (*lacks, ReasonCode.NEEDS_OTHER_OUTCOME):
        compare.fault(f"{where}: failed with the reason of an attack that does not apply")


def _shown(subject: Subject, restricted: Path, compare: Compare) -> frozenset[Access]:
    """What the release shows, compared with what is stored of it."""
    names = {access.name for access in Access} - {Access.RERUN.name, Access.SEAT.name}
    for name in set(subject.access) - names:
        compare.fault(f"{subject.name}.access: {name:.40} is not what a release can show")
    answers = (restricted / "answers" / f"{subject.name}.npz").is_file()
    compare(f"{subject.name}.access.ANSWERS", Access.ANSWERS.name in subject.access, answers)
    fitted = subject.fidelity is not None
    compare(f"{subject.name}.access.TABLE", Access.TABLE.name in subject.access, fitted)
    return frozenset(Access[name] for name in subject.access if name in names)


def _privileges(subject: Subject) -> Iterator[frozenset[Access]]:
    """What the auditor may have been able to do beside holding the release."""
    # The null of an attack on explanations is the same, whether the auditor can train again or not.
    made = {
        one.made.code
        for one in subject.controls
        if one.kind == "negative" and not reads_explanations(one.attack)
    }
    method: Any = None
    if subject.method in plugins.members("methods"):
        with suppress(ImportError, PrivauditError):
            method = plugins.load("methods", subject.method)
    reruns: tuple[bool, ...] = (True, False)
    trained = {CaveatCode.NULL_MODEL, CaveatCode.NULL_FOLDS, CaveatCode.NULL_SHADOW}
    if (method is not None and method.reruns is Method.reruns) or CaveatCode.NULL_SHADOW in made:
        reruns = (True,)
    elif made & {*trained, CaveatCode.NULL_HALVES, CaveatCode.NULL_STAND_IN}:
        reruns = (bool(made & trained),)
    seats = (True, False) if method is None else (bool(method.seats),)
    for again, seat in product(reruns, seats):
        yield frozenset({Access.RERUN} if again else ()) | ({Access.SEAT} if seat else set())


def _outcome_faults(subject: Subject, access: frozenset[Access], data: Data) -> Iterator[str]:
    """What is wrong with the outcomes and controls of a subject of this access."""
    wanted: Counter[tuple[str, str]] = Counter()
    stored: Counter[tuple[str, str]] = Counter()
    stored.update((one.attack, one.kind) for one in subject.controls)
    for outcome in subject.outcomes:
        attack = find_attack(outcome.attack)
        if attack is None:
            yield (
                f"{outcome.attack}: no attack of this name is installed, so that neither its "
                "family nor whether it applies was verified; install the package that provides it"
            )
            continue
        if outcome.family != attack.family:
            yield f"{outcome.attack}.family: {outcome.family:.40} is stored, not {attack.family}"
        yield from _access_faults(outcome, attack, access, data)
        if isinstance(outcome, Finding) and outcome.attacker != attack.attacker:
            yield f"{outcome.attack}.attacker: is not who makes this attack"
        kinds = {(outcome.attack, which) for which in ("positive", "negative")}
        if attack.family == "membership":
            # One that failed before it ran has no controls; else they ran beside it.
            ran = isinstance(outcome, Failed) and any(stored[one] for one in kinds)
            wanted.update(kinds if ran or isinstance(outcome, Finding) else ())
    for key in sorted(wanted | stored):
        if wanted[key] != stored[key]:
            yield f"{key[0]}.{key[1]} control: {stored[key]} instead of {wanted[key]}"
    for control in subject.controls:
        null = _find_null(subject, control, Access.RERUN in access, data)
        yield from _control_faults(control, null, data.outcome_kind)


def _find_null(
    subject: Subject, control: Control, retrained: bool, data: Data
) -> controls.NullKind:
    """What the null of this attack must be: see `privaudit.engine.nulls.null_kind`."""
    if reads_explanations(control.attack):
        return "halves"
    if any(one.made.code is CaveatCode.NULL_SHADOW for one in subject.controls):
        return "shadow"
    table = reads_table(control.attack) or subject.fidelity is not None
    if data.random_split or table:
        return "reference" if retrained else "halves"
    if retrained:
        return "folds"
    readable = bool(data.columns or data.channels) and data.outcome_kind != "time"
    return "stand_in" if readable else "halves"


def _access_faults(
    outcome: Outcome, attack: type[Attack], access: frozenset[Access], data: Data
) -> Iterator[str]:
    # Whether an attack lacks something is read from its class: it need not be made.
    kind: Any = attack
    lacking = jobs.lacks(kind, access, data.outcome_kind, data.pictures)
    if isinstance(outcome, Skipped):
        retraining = lacking is not None and lacking.code is ReasonCode.NEEDS_RETRAINING
        if retraining and outcome.reason.code in LOST_REFITS:
            return
        if outcome.reason != lacking and (lacking or outcome.reason.code not in REFUSALS):
            yield f"{outcome.attack}: skipped, and its access is no such reason"
    elif lacking:
        yield f"{outcome.attack}: made, and the release gives no access to what it needs"
    elif isinstance(outcome, Finding):
        used = _uses(attack, outcome.params, access)
        if used is None or set(outcome.access) != {one.name for one in used}:
            yield f"{outcome.attack}.access: is not what the attack uses, set as it is"


def _uses(
    attack: type[Attack], params: Mapping[str, Any], access: frozenset[Access]
) -> frozenset[Access] | None:
    """What the attack uses with these settings, None where they are no settings of it."""
    known: dict[str, Any] = {}
    settings: tuple[Field[Any], ...] = fields(attack) if is_dataclass(attack) else ()
    for field in settings:
        plain = field.default is None or isinstance(field.default, int | float | str)
        if field.default is not MISSING and plain and field.name in params:
            known[field.name] = params[field.name]
    try:
        return attack(**known).uses(access)
    except (TypeError, ValueError, PrivauditError):
        return None


def _control_faults(control: Control, null: controls.NullKind, kind: OutcomeKind) -> Iterator[str]:
    where = f"{control.attack}.{control.kind} control"
    wanted = controls.describe(control.kind == "positive", reads_table(control.attack), null, kind)
    if control.made != wanted:
        yield f"{where}: is not made as such a control is"
    if bool(control.estimates) == (control.error is not None):
        yield f"{where}: has either a number or an error"


def find_failure(restricted: Path, subject: Subject, attack: str) -> Path:
    """Where the trace of an attack that failed is stored."""
    safe = re.sub(r"[^A-Za-z0-9_.-]+", "-", f"{attack} on {subject.name}")
    return restricted / "failures" / f"{safe}.txt"


def _check_failures(audit: Audit, restricted: Path, compare: Compare) -> None:
    """Failures that the document does not report."""
    failed = {
        find_failure(restricted, subject, one.attack)
        for subject in audit.subjects
        for one in subject.outcomes
        if not isinstance(one, Finding)
    }
    for subject, attack in product(audit.subjects, plugins.members("attacks")):
        path = find_failure(restricted, subject, attack)
        if path.is_file() and path not in failed:
            compare.fault(f"restricted/failures/{path.name}: no outcome reports it")


def check_coverage(audit: Audit, compare: Compare) -> None:
    """Compare which classes of attack are stated to be tested with what the outcomes make."""
    families = [row.family for row in audit.coverage]
    compare("coverage.families", families, list(FAMILIES))
    outcomes = [outcome for subject in audit.subjects for outcome in subject.outcomes]
    listed = {name: row.family for row in audit.coverage for name in row.not_requested}
    made = {outcome.attack for outcome in outcomes}
    built = {}
    for name, module in plugins.members("attacks").items():
        # An attack of this version was there to ask for; one of another package may have come
        # since, and so may one of another version.
        own = module.startswith("privaudit.") and audit.manifest.version == __version__
        attack = find_attack(name)
        if attack is not None and (own or name in listed or name in made):
            built[name] = str(attack.family)
    others = {name: family for name, family in listed.items() if find_attack(name) is None}
    requested = made if audit.subjects else built.keys() - listed.keys()
    stored = {row.family: row for row in audit.coverage}
    # What the records leave to try is in the document alone.
    untested = {
        row.family: row.reason
        for row in audit.coverage
        if row.reason is not None and row.reason.code in BY_DATA
    }
    rows = document.coverage(audit.subjects, {**others, **built}, set(requested), untested)
    for row in rows:
        if row.family in stored:
            compare(f"coverage.{row.family}", stored[row.family], row)


__all__ = [
    "OTHER_VERSION",
    "REFUSALS",
    "asks_for_refits",
    "check_coverage",
    "check_outcomes",
    "find_attack",
    "find_failure",
    "reads_table",
]
