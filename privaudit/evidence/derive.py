"""Every number of an audit recomputed from what is stored under `restricted/`, compared exactly.

No model is trained and no attack is run: the attacks' scores and the models' answers are there
record by record, the random streams follow from the entropy in the manifest, and the statistics are
the package's own. What cannot be recomputed from these is named.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from privaudit import __version__, stats
from privaudit.contracts import Access, Claim, FlowStep, Prepared, Scores
from privaudit.engine import controls, document, measure
from privaudit.engine.cells import POOLS, count_cells
from privaudit.engine.run import caveats, find_few_people
from privaudit.evidence import structure
from privaudit.evidence.compare import Compare, Derived
from privaudit.evidence.stored import Stored, Unreadable
from privaudit.facts import COMPARED_NULLS, Caveat, CaveatCode
from privaudit.records import Split
from privaudit.results import Audit, Control, Estimate, Finding, Subject, from_tree
from privaudit.seeds import Seeds
from privaudit.stats.guarantees import check_guarantee

NOT_DERIVED = (
    "which attack the headline quotes, where it was chosen on shadow models (their answers are "
    "in the cache, not in the run); its numbers are recomputed",
    "whether members and held-out records differ without the model (it asks for their inputs)",
    "costs and times, which were measured once",
    "descriptions of methods and attacks, and what releases show and state of themselves, which "
    "are compared with what was stored of them",
)
_UTILITY = (
    "utility",
    "utility_members",
    "utility_groups",
    "utility_everybody",
    "reliability",
)
FIDELITY = (
    "fidelity and utility of synthetic tables, for which models are trained on the table: they are "
    "compared with what was stored of them (`verify --retrain all` measures them again)"
)
GUARANTEE = {
    CaveatCode.EPSILON_ABOVE_CLAIM,
    CaveatCode.BOUND_OF_ANOTHER_UNIT,
    CaveatCode.BOUND_NOT_COVERED,
}
"""What `check_guarantee` states of a finding."""

AUDIT = {
    CaveatCode.FEW_PEOPLE,
    CaveatCode.GENERATED_RECORDS,
    CaveatCode.CONTROL_FAILED,
    CaveatCode.CONTROL_NOT_MADE,
    CaveatCode.PLANTED_LEAK_MISSED,
    CaveatCode.ATTACK_FAILED,
    CaveatCode.GUARANTEE_BROKEN,
    CaveatCode.NOT_TRAINED,
    CaveatCode.AUC_BELOW_HALF,
    CaveatCode.SHADOW_ATTACKS_LOST,
    CaveatCode.SCORE_DRIFT,
}
"""What `privaudit.engine.run.caveats` and `find_few_people` state of an audit."""

Progress = Callable[[str], None]


def derive(
    run: Path, audit: Audit, *, rounding: float = 0.0, progress: Progress = lambda _: None
) -> Derived:
    """Recompute every number and compare.

    Args:
        run: The run directory.
        audit: Its document.
        rounding: Relative difference that is no fault, for numbers that another version of a
            numeric library made.
        progress: Called with each subject's name.
    """
    found = Derived(left=list(NOT_DERIVED))
    stored = Stored(run)
    try:
        split = stored.split
    except Unreadable as error:
        found.faults.append(f"restricted/split.npz: {error}; no number can be recomputed")
        return found
    compare = Compare(found, rounding)
    _data(audit, split, run / "restricted" / "flow.csv", compare)
    for subject in audit.subjects:
        progress(subject.name)
        _Subject(subject, audit, stored, compare).derive()
    structure.check_outcomes(audit, run, compare)
    structure.check_coverage(audit, compare)
    _stated(audit, split, compare)
    if audit.manifest.version != __version__:
        found.left.append(structure.OTHER_VERSION.format(audit.manifest.version))
    if any(subject.fidelity is not None for subject in audit.subjects):
        found.left.append(FIDELITY)
    return found


def _data(audit: Audit, split: Split, flow: Path, compare: Compare) -> None:
    """Sizes and shares of the pools, and the cohort flow."""
    made = [document.pool(name, getattr(split, name)) for name in POOLS]
    compare("data.pools", audit.data.pools, made)
    compare("data.cells", audit.data.cells, count_cells(split))
    compare("data.ordered", audit.data.ordered, split.members.ordered)
    try:
        with open(flow, encoding="utf-8", newline="") as file:
            steps = tuple(
                FlowStep(r["step"], int(r["excluded_stays"]), int(r["stays"]), int(r["patients"]))
                for r in csv.DictReader(file)
            )
    except (OSError, ValueError, KeyError, UnicodeDecodeError):
        compare.fault("restricted/flow.csv: missing or not readable")
        return
    rows = [(s.excluded_stays, s.stays, s.patients) for s in steps]
    compare("data.flow", [(r.excluded, r.stays, r.patients) for r in audit.data.flow], rows)


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, Unreadable) else type(error).__name__


class _Subject:
    """The numbers of one subject."""

    def __init__(self, subject: Subject, audit: Audit, stored: Stored, compare: Compare) -> None:
        self.subject, self.audit, self.stored, self.compare = subject, audit, stored, compare
        self.seeds, self.confidence = Seeds(audit.manifest.entropy or 0), audit.manifest.confidence
        self.claim = Claim(epsilon=subject.claim.epsilon, delta=subject.claim.delta)
        self.scores: dict[str, Scores] = {}

    def derive(self) -> None:
        """Compare all of them."""
        for outcome in self.subject.outcomes:
            if isinstance(outcome, Finding):
                self._finding(outcome)
        for control in self.subject.controls:
            self._control(control)
        self._measures()

    def _finding(self, found: Finding) -> None:
        where = f"{self.subject.name}.{found.attack}"
        try:
            evidence = self.stored.evidence(self.subject.name, found.attack)
            rng = self.seeds.rng("stats", self.subject.name, found.attack, "subject")
            made = measure.judge(
                evidence, self.stored.split, self.confidence, rng, claim=self.claim
            )
        except Exception as error:
            self.compare.fault(f"{where}: its scores cannot be judged again ({_reason(error)})")
            return
        self.compare(f"{where}.estimates", found.estimates, made["estimates"])
        self.compare(f"{where}.curves", found.curves, made["curves"])
        self.compare(f"{where}.by_record", found.by_record, made["by_record"])
        self.compare(f"{where}.evened", found.evened, made.get("evened", []))
        groups = made.get("over_represented", [])
        self.compare(f"{where}.over_represented", found.over_represented, groups)
        self._caveats(where, found, [from_tree(part, Estimate) for part in made["estimates"]])
        attack = structure.find_attack(found.attack)
        family = found.family if attack is None else attack.family
        if isinstance(evidence, Scores) and family == "membership":
            self.scores[found.attack] = evidence

    def _caveats(self, where: str, found: Finding, known: list[Estimate]) -> None:
        """What is stated of the guarantee: a defect where it does not hold, and no more."""
        try:
            used = [Access[name] for name in found.access]
        except KeyError:
            self.compare.fault(f"{where}.access: is not known")
            return
        wanted = check_guarantee(self.subject.claim, known, used)
        stored = [c for c in found.caveats if c.code in GUARANTEE or c.severity == "defect"]
        self.compare(f"{where}.caveats", stored, wanted)

    def _control(self, control: Control) -> None:
        where = f"{self.subject.name}.{control.attack}.{control.kind} control"
        negative = control.kind == "negative"
        if not control.estimates:
            # A control without a number failed with an error: it cannot have passed.
            if control.passed:
                self.compare.fault(f"{where}: passed is stored, without a number")
            return
        split = self.stored.split
        if negative and control.made.code == CaveatCode.NULL_HALVES:
            split = controls.halves(split, self.seeds.rng("halves"))
        names = self.subject.name, control.attack, control.kind
        try:
            made = measure.judge(
                self.stored.evidence(*names),
                split,
                measure.null_confidence() if negative else self.confidence,
                self.seeds.rng("stats", *names),
                brief=True,
                claim=self.claim,
            )
        except Exception as error:
            self.compare.fault(f"{where}: its scores cannot be judged again ({_reason(error)})")
            return
        self.compare(f"{where}.estimates", control.estimates, made["estimates"])
        known = [from_tree(part, Estimate) for part in made["estimates"]]
        passed = stats.control_passed(control.kind, known)
        self.compare(f"{where}.passed", control.passed, passed)

    def _measures(self) -> None:
        """Utility on both pools, groups, calibration, and the headline."""
        subject, compare = self.subject, self.compare
        stored, proba = self.stored.run / "restricted" / "answers" / f"{subject.name}.npz", None
        answers: dict[str, Any] = {}
        if subject.utility or stored.is_file():
            try:
                answers = self.stored.load_answers(subject.name)
                proba = answers["proba"]
            except Unreadable as error:
                compare.fault(f"{subject.name}.utility: its answers cannot be read ({error})")
        headline = subject.headline
        # A headline chosen on two halves is chosen again; one chosen on refits is taken as it is.
        codes = {caveat.code for caveat in headline.caveats} if headline else set()
        chosen = None
        if headline is not None and CaveatCode.CHOSEN_ON_REFITS in codes and self._has_refits():
            chosen = headline.attack if headline.attack in self.scores else None
        seeds = self.seeds.child("measure", subject.name)
        split = self.stored.split
        try:
            made = measure.subject(
                proba, self.scores, chosen, split, self.confidence, seeds, self._nulls(), answers
            )
        except Exception as error:
            compare.fault(f"{subject.name}: it cannot be measured again ({_reason(error)})")
            return
        if proba is not None or not stored.is_file():
            for part in _UTILITY:
                compare(f"{subject.name}.{part}", getattr(subject, part), made[part])
        for found in subject.outcomes:
            if isinstance(found, Finding) and (found.groups or found.attack in made["groups"]):
                groups = made["groups"].get(found.attack, [])
                compare(f"{subject.name}.{found.attack}.groups", found.groups, groups)
        for found in subject.outcomes:
            if isinstance(found, Finding):
                for part in ("null", "corrected"):
                    wanted = made[part].get(found.attack, [])
                    compare(f"{subject.name}.{found.attack}.{part}", getattr(found, part), wanted)
        self._headline(made["strongest"])

    def _nulls(self) -> dict[str, Scores]:
        """What each attack made of a null of the same records, as it is stored."""
        found = {}
        for control in self.subject.controls:
            compared = not self.audit.data.random_split and control.made.code in COMPARED_NULLS
            if compared and control.estimates and control.attack in self.scores:
                names = self.subject.name, control.attack, control.kind
                try:
                    evidence = self.stored.evidence(*names)
                except (Unreadable, ValueError) as error:
                    where = f"{self.subject.name}.{control.attack}.null"
                    self.compare.fault(f"{where}: its scores cannot be read ({_reason(error)})")
                    continue
                if isinstance(evidence, Scores):
                    found[control.attack] = evidence
        return found

    def _has_refits(self) -> bool:
        """Whether membership attacks may have been compared on refits."""
        tables = any(map(structure.reads_table, self.scores))
        return not tables and any(map(structure.asks_for_refits, self.scores))

    def _headline(self, best: Any) -> None:
        """The strongest membership finding, with how it was chosen."""
        where, headline = f"{self.subject.name}.headline", self.subject.headline
        if best is None or headline is None:
            self.compare(f"{where}.attack", headline and headline.attack, best and best["attack"])
            return
        own = next(
            o
            for o in self.subject.outcomes
            if isinstance(o, Finding) and o.attack == best["attack"]
        )
        known, code = own.estimates, CaveatCode.CHOSEN_ON_REFITS
        if best["estimates"] is not None:
            known = tuple(from_tree(part, Estimate) for part in best["estimates"])
            code = CaveatCode.CHOSEN_ON_HALVES
        elif len(self.scores) == 1:
            code = CaveatCode.CHOSEN_AS_ONLY
        shift = self.audit.data.distribution_shift
        stated = (Caveat(code, "note"), *(() if shift is None else (shift,)))
        wanted = replace(own, estimates=known, curves=(), caveats=stated)
        self.compare(where, headline, wanted)


def _stated(audit: Audit, split: Split, compare: Compare) -> None:
    """The audit's own caveats: what its findings and controls ask for, and no other."""
    known = Prepared(None, (), "", audit.data.real)  # type: ignore[arg-type]
    wanted = (*find_few_people(split), *caveats(known, audit.subjects, audit.untrained))
    stored = [caveat for caveat in audit.caveats if caveat.code in AUDIT]
    compare("caveats", stored, wanted)
    shift = audit.data.distribution_shift
    for subject in audit.subjects:
        for one in subject.outcomes:
            if isinstance(one, Finding) and one.family == "membership":
                code = CaveatCode.DISTRIBUTION_SHIFT
                stated = [c for c in one.caveats if c.code is code or c == shift]
                where = f"{subject.name}.{one.attack}.distribution_shift"
                compare(where, stated, [] if shift is None else [shift])


__all__ = ["FIDELITY", "NOT_DERIVED", "Derived", "Progress", "derive"]
