"""A hospital attacks the final model on its own patients and counts, in blocks of ten or more.

What comes of it is all that leaves: no score, no threshold, no value of anybody. The attacks are
those of `privaudit.attacks`, run here on the hospital's own members (trained on), held-out and
reference patients; the unit is the patient. What cannot be shared is a code of `WITHHELD`.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.deploy.grade_parts import (
    count_above,
    count_people,
    count_people_of,
    divide_reference,
    state_size,
    take_first_records,
    thin_out,
    train_shadows,
)
from pipelines.deploy.ladders import find_blocks
from privaudit.attacks.disclosure.attribute import Attribute
from privaudit.attacks.federated.gradient_inversion import GradientInversion
from privaudit.attacks.membership.few_shadow_lira import FewShadowLira
from privaudit.attacks.membership.rmia import Rmia
from privaudit.attacks.membership.threshold import Threshold
from privaudit.contracts import (
    Access,
    Attack,
    Exchange,
    Fitted,
    Method,
    Model,
    Release,
    Scores,
    Target,
    Trials,
)
from privaudit.disclosure_limits import MIN_CELL
from privaudit.engine.controls import plant
from privaudit.errors import PrivauditError
from privaudit.records import Records, Split
from privaudit.seeds import Seeds
from privaudit.signals import ask
from privaudit.stats.patients import combine_records

if TYPE_CHECKING:
    from pipelines.deploy.terms import RunTerms

FORM = "privaudit counts/1"
LEAST = 2 * MIN_CELL
"""Patients in each audited pool, and of each outcome: of fewer no count can be told from none."""
LEVELS = (*(round(0.01 * step, 2) for step in range(1, 100)), 0.995, 0.999)
"""Where on its own reference patients' scores a hospital sets its thresholds."""
CUTS = (0.001, 0.002, 0.005, *(round(0.01 * step, 2) for step in range(1, 100)), 0.995)
"""Predicted risks above which patients are counted: the same at every hospital."""

SHADOWS = 8
MEMBERSHIP: Mapping[str, Attack] = {
    "threshold": Threshold(),
    "few_shadow_lira": FewShadowLira(shadows=SHADOWS),
    "rmia": Rmia(shadows=SHADOWS),
}
"""The membership attacks that a hospital can make on its own patients, with their settings."""
ATTEMPTS = ("attribute", "gradient_inversion")
ROWS = "exact rows"
"""The series of a gradient inversion that is counted: rows read completely."""

WITHHELD = (
    "few_patients",
    "few_with_outcome",
    "many_outcomes",
    "refits_not_allowed",
    "not_applicable",
    "nothing_sent",
    "refused",
    "unknown_attack",
)
"""Why a hospital does not state something: too few of its patients; too few with an outcome; more
than two outcomes; attacks that train again may not run there; the attack does not apply to this
model or these records; it has sent nothing that could be inverted; the attack refused; it knows no
such attack."""


def grade_model(
    model: Model,
    split: Split,
    terms: RunTerms,
    refits_allowed: bool,
    *,
    exchange: Exchange | None = None,
    real: bool = True,
    method: Method | None = None,
    sent: Mapping[str, int] | None = None,
) -> str:
    """What this hospital states of the model: canonical JSON of blocks of counts.

    Args:
        model: The final model, as it would be released.
        split: This hospital's patients: trained on, held out, and those that an attacker is taken
            to have.
        terms: Of the run; `grade` names the attacks.
        refits_allowed: Whether attacks that train again may run here (hospital.toml).
        exchange: What this hospital itself sent last, as the server received it, with one client:
            None where it sent no update.
        real: Whether the records are real patients'.
        sent: Bytes that left for this run by kind of message, by this hospital's own outbox.
        method: How shadow models are trained here; by default by the terms' recipe, on this
            hospital's records alone.
    """
    thinned = thin_out(split, Seeds(secrets.randbits(256) if terms.seed is None else terms.seed))
    grading = Grading(model, thinned, terms, refits_allowed, exchange, method, sent or {})
    return json.dumps(
        {
            "form": FORM,
            "run": terms.run,
            "terms": terms.fingerprint,
            "real": bool(real),
            "sent": {str(kind): int(size) for kind, size in grading.sent.items()},
            **grading.count(),
        },
        sort_keys=True,
        separators=(",", ":"),
    )


@dataclass(frozen=True)
class Grading:
    """One hospital's grading of one model; see `grade_model`."""

    model: Model
    split: Split
    terms: RunTerms
    refits_allowed: bool
    exchange: Exchange | None
    method: Method | None
    sent: Mapping[str, int]

    def count(self) -> dict[str, Any]:
        """Everything that is stated, and codes for what is not."""
        members, nonmembers = self.split.members, self.split.nonmembers
        sizes = {"members": count_people(members), "nonmembers": count_people(nonmembers)}
        if min(sizes.values()) < LEAST or count_people(self.split.reference) < MIN_CELL:
            return {"withheld": {"pools": "few_patients"}}
        found: dict[str, Any] = {
            "pools": {"members": state_size(members), "nonmembers": state_size(nonmembers)},
            "schema": {
                "columns": len(members.columns),
                "channels": len(members.channels),
                "hours": 0 if members.series is None else int(members.series.shape[1]),
            },
            "membership": {},
            "attempts": {},
        }
        withheld: dict[str, str] = {}
        for name, make in self._parts().items():
            try:
                made = make()
            except PrivauditError:
                # Its text may quote what it was given.
                made = "refused"
            if isinstance(made, str):
                withheld[name] = made
            elif name == "utility":
                found["utility"] = made
            else:
                found["membership" if name in MEMBERSHIP else "attempts"][name] = made
        return {**found, "withheld": withheld}

    def _parts(self) -> dict[str, Callable[[], dict[str, Any] | str]]:
        asked = dict.fromkeys(("threshold", *self.terms.grade, *ATTEMPTS))
        parts: dict[str, Callable[[], dict[str, Any] | str]] = {"utility": self._utility}
        for name in asked:
            if name in MEMBERSHIP:
                parts[name] = lambda name=name: self._membership(MEMBERSHIP[name])  # type: ignore[misc]
            elif name == "attribute":
                parts[name] = self._attribute
            elif name == "gradient_inversion":
                parts[name] = self._inversion
            else:
                parts["unknown"] = lambda: "unknown_attack"
        return parts

    # --- membership

    def _membership(self, attack: Attack) -> dict[str, Any] | str:
        """How many members and held-out patients score above the reference patients' quantiles; the
        same of a leak that is planted in the model, and of two halves of the held-out patients,
        between whom there is none."""
        split = self.split
        again = Access.RERUN in attack.needs
        if again and not self.refits_allowed:
            return "refits_not_allowed"
        asked, own = divide_reference(split.reference, half=again)
        wide = Split(split.members, Records.concatenate([split.nonmembers, asked]), own)
        target = Target(Release(model=self.model), wide, self._method() if again else None)
        seeds = self._seeds(type(attack).__name__)
        refits = train_shadows(attack.refits(target, seeds), seeds) if again else ()
        read = [
            self._score(attack, one, refits, asked, seeds) for one in (target, plant(target)[0])
        ]
        found: dict[str, Any] = {
            "members": count_above(*read[0].of_members),
            "nonmembers": count_above(*read[0].of_nonmembers),
            "planted": {
                "members": count_above(*read[1].of_members),
                "nonmembers": count_above(*read[1].of_nonmembers),
            },
        }
        half = len(read[0].outside) // 2 // MIN_CELL * MIN_CELL
        if half >= LEAST:
            mixed = seeds.rng("halves").permutation(read[0].outside)
            found["halves"] = {
                "patients": half,
                "first": count_above(mixed[:half], read[0].thresholds),
                "second": count_above(mixed[half : 2 * half], read[0].thresholds),
            }
        return found

    def _score(
        self,
        attack: Attack,
        target: Target,
        refits: Sequence[Fitted],
        asked: Records,
        seeds: Seeds,
    ) -> _Read:
        """Patients' scores, and the thresholds that the reference patients set.

        Args:
            target: Whose non-members are the held-out patients, then the reference patients.
            asked: The latter.
        """
        scores = attack.run(target, refits, seeds.rng("run"))
        assert isinstance(scores, Scores)
        cut = len(self.split.nonmembers)
        pools = (scores.members, scores.nonmembers[:cut], scores.nonmembers[cut:])
        tables = (self.split.members, self.split.nonmembers, asked)
        # The centre is the reference patients': no member has a part in any threshold.
        centre = float(np.mean(pools[2]))
        inside, outside, known = (
            combine_records(part, table.patient, scores.combine, centre)[0]
            for part, table in zip(pools, tables, strict=True)
        )
        return _Read(inside, outside, np.quantile(known, LEVELS))

    def _method(self) -> Method:
        """The terms' recipe, on this hospital's records as the only site."""
        if self.method is not None:
            return self.method
        from pipelines.deploy.one_site import OneSite

        method: Any = self.terms.build()[1].twin
        alone: Method = replace(method, sites=OneSite())
        return alone

    # --- utility

    def _utility(self) -> dict[str, Any] | str:
        """How many held-out patients of each outcome are predicted to be above each risk, and above
        each quantile of the reference patients' risks.

        Of a patient with several records the first counts, so that everybody counts once.
        """
        held_out = self.split.nonmembers
        if held_out.outcome_kind != "class" or len(held_out.classes) != 2:
            return "many_outcomes"
        one, known = take_first_records(held_out), take_first_records(self.split.reference)
        risk, rng = ask(self.model, one)[:, 1], self._seeds("utility").rng("kept")
        thresholds = np.quantile(ask(self.model, known)[:, 1], LEVELS)
        found = []
        for code in (0, 1):
            own = risk[one.y == code]
            if len(own) < LEAST:
                return "few_with_outcome"
            kept = rng.permutation(own)[: len(own) // MIN_CELL * MIN_CELL]
            found.append(
                {
                    "patients": len(kept),
                    "above": count_above(kept, np.array(CUTS)),
                    "ranked": count_above(kept, thresholds),
                }
            )
        return {"outcomes": found}

    # --- attempts

    def _attribute(self) -> dict[str, Any] | str:
        """Of how many patients a sensitive value is named: by the model, and by a guess without
        it."""
        attack, split = Attribute(), self.split
        if split.members.outcome_kind not in attack.outcomes:
            return "not_applicable"
        if not any(column.sensitive for column in split.members.columns):
            return "not_applicable"
        rng = self._seeds("Attribute").rng("run")
        made = attack.run(Target(Release(model=self.model), split), (), rng)
        found = {}
        for at, trials in made.items():
            part = self._count_trials(trials)
            if part is not None:
                found[str(at.value)] = part
        return {"columns": found} if found else "few_patients"

    def _inversion(self) -> dict[str, Any] | str:
        """How many rows can be read whole out of what this hospital itself sent last."""
        exchange, members = self.exchange, self.split.members
        if exchange is None:
            return "nothing_sent"
        if exchange.image is not None:
            return "not_applicable"
        own = replace(exchange, holder=np.zeros(len(members), dtype=np.int64), clients=np.zeros(1))
        rng = self._seeds("GradientInversion").rng("run")
        target = Target(Release(model=self.model, updates=own), self.split)
        made = GradientInversion().run(target, (), rng)
        trials = next((t for at, t in made.items() if at.value == ROWS), None)
        if trials is None or trials.patients is None or trials.guess is None:
            return "not_applicable"
        size = count_people(members)
        tried = np.unique(trials.patients)
        if len(tried) < LEAST:
            return "few_patients"
        read, usual = (
            count_people_of(trials.patients, part >= 0.5)
            for part in (trials.success, trials.control)
        )
        return {
            "members": find_blocks([read, len(tried)], size),
            "control": find_blocks([usual, len(tried)], size),
            "protected": exchange.protected,
        }

    def _count_trials(self, trials: Trials) -> dict[str, Any] | None:
        """Rows [right, tried] of members, of the guess and of the control; None for too few."""
        from privaudit.stats.trial_patients import by_patient

        if trials.patients is None or trials.control_patients is None or trials.guess is None:
            return None
        pools = self.split.members, self.split.nonmembers
        made = by_patient(trials, trials.patients, trials.control_patients)
        if made.guess is None or made.control_ids is None:
            return None
        tried = len(np.unique(made.ids))
        others = len(np.unique(made.control_ids))
        if min(tried, others) < LEAST:
            return None
        sizes = [count_people(pool) for pool in pools]
        # Members' numbers of records are the control's too: a rate, as of so many patients.
        rate = np.average(made.control, weights=made.weights)
        return {
            "members": find_blocks([round(float(made.success.sum())), tried], sizes[0]),
            "guess": find_blocks([round(float(made.guess.sum())), tried], sizes[0]),
            "control": find_blocks([round(float(rate) * others), others], sizes[1]),
        }

    def _seeds(self, name: str) -> Seeds:
        seed = self.terms.seed
        return Seeds(secrets.randbits(256) if seed is None else seed).child("grade", name)


@dataclass(frozen=True, eq=False)
class _Read:
    """(m,), (n,) scores of members and of held-out patients, and thresholds."""

    inside: np.ndarray
    outside: np.ndarray
    thresholds: np.ndarray

    @property
    def of_members(self) -> tuple[np.ndarray, np.ndarray]:
        return self.inside, self.thresholds

    @property
    def of_nonmembers(self) -> tuple[np.ndarray, np.ndarray]:
        return self.outside, self.thresholds


__all__ = [
    "CUTS",
    "FORM",
    "LEAST",
    "LEVELS",
    "MEMBERSHIP",
    "ROWS",
    "WITHHELD",
    "grade_model",
    "thin_out",
]
