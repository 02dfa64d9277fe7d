"""The document that may be shared: no class of fewer than 10 patients shows in it."""

from __future__ import annotations

import math
from dataclasses import replace

from privaudit.deidentified.document import (
    Change,
    Linkage,
    Note,
    ReleaseAudit,
    Risk,
    Rule,
    SensitiveRisk,
)
from privaudit.disclosure import steps
from privaudit.disclosure_limits import MIN_CELL
from privaudit.results import Estimate

DISTANCE_STEP = 0.05
ERROR_STEP = 0.05


def disclose(audit: ReleaseAudit) -> ReleaseAudit:
    """Counts rounded to tens, shares to tens of patients, upwards; sizes of classes below 10, and
    the risks that they come to, withheld."""
    rounding = _Rounding(audit.patients)
    return replace(
        audit,
        rows=steps.count_down(audit.rows),
        patients=steps.count_down(audit.patients),
        # Made of a sampling fraction, it gives away the number of patients.
        population=None if audit.population is None else steps.count_down(audit.population),
        rules=tuple(map(rounding.rule, audit.rules)),
        risks=tuple(map(rounding.risk, audit.risks)),
        sensitive_risks=tuple(map(rounding.sensitive, audit.sensitive_risks)),
        linkages=tuple(map(rounding.linkage, audit.linkages)),
        changes=tuple(map(rounding.change, audit.changes)),
        k=steps.count_down(audit.k),
        notes=tuple(map(rounding.note, audit.notes)),
        seconds=round(audit.seconds),
        exact=False,
    )


class _Rounding:
    """patients: of the table; shares are stated of them, rounded down to tens."""

    def __init__(self, patients: int) -> None:
        self.patients = patients

    def up(self, share: float, of: int | None = None) -> float:
        n = of or self.patients
        count = steps.count_up(math.ceil(share * n - 1e-6))
        return self._part(count, n)

    def down(self, share: float, of: int | None = None) -> float:
        n = of or self.patients
        return self._part(steps.count_down(math.floor(share * n + 1e-6)), n)

    def _part(self, count: int, n: int) -> float:
        return min(1.0, steps.significant(count / max(MIN_CELL, steps.count_down(n)), 4))

    def highest(self, risk: float) -> float:
        """A highest risk: above 1 in 10 as 1, else of a class rounded down to tens."""
        if risk > 1 / MIN_CELL + 1e-9:
            return 1.0
        return 1 / steps.count_down(math.floor(1 / risk + 1e-6)) if risk > 0 else 0.0

    def estimate(self, one: Estimate) -> Estimate:
        n = one.n.get("patients", self.patients)
        counts = {name: steps.count_down(number) for name, number in one.n.items()}
        if one.metric.name == "max_risk":
            return self._highest(one, counts)
        if one.metric.name == "farthest":
            value = None if one.value is None else steps.up(one.value, DISTANCE_STEP)
            return replace(one, value=value, low=value, high=value, n=counts)
        if one.metric.name in ("right_minus_without", "claimed_difference"):
            values = [one.value, one.low, one.high]
            step = steps.step_above(MIN_CELL / max(MIN_CELL, n))
            middle, low, high = (
                None if x is None else move(x, step)
                for x, move in zip(values, (steps.nearest, steps.down, steps.up), strict=True)
            )
            return replace(one, value=middle, low=low, high=high, n=counts)
        return replace(
            one,
            value=None if one.value is None else self.up(one.value, n),
            low=None if one.low is None else self.down(one.low, n),
            high=None if one.high is None else self.up(one.high, n),
            chance=self._chance(one, n),
            n=counts,
        )

    def _chance(self, one: Estimate, n: int) -> float | None:
        if one.chance is None or one.metric.name == "best_right":
            # 1 over the number of patients, which one digit does not give away.
            return None if one.chance is None else steps.significant(one.chance, 1)
        return self.up(one.chance, n)

    def _highest(self, one: Estimate, counts: dict[str, int]) -> Estimate:
        high = 1.0 if one.high is None else self.highest(one.high)
        if one.low is None or one.low <= 0:
            return replace(one, value=None, low=0.0, high=high, n=counts)
        if one.low > 1 / MIN_CELL + 1e-9:
            return replace(one, value=None, low=1 / MIN_CELL, high=1.0, n=counts)
        return replace(one, value=high, low=high, high=high, n=counts)

    def risk(self, risk: Risk) -> Risk:
        return replace(risk, estimates=tuple(map(self.estimate, risk.estimates)))

    def rule(self, rule: Rule) -> Rule:
        if rule.name in ("max_risk", "min_k"):
            low = 0.0 if rule.low <= 0 else min(1 / MIN_CELL, self.highest(rule.low))
            return replace(
                rule, low=min(low, self.highest(rule.high)), high=self.highest(rule.high)
            )
        return replace(rule, low=self.down(rule.low), high=self.up(rule.high))

    def sensitive(self, risk: SensitiveRisk) -> SensitiveRisk:
        found = tuple(map(self.estimate, risk.estimates))
        return replace(risk, estimates=found, least_values=None)

    def linkage(self, linkage: Linkage) -> Linkage:
        found = tuple(map(self.estimate, linkage.estimates))
        error, missing = linkage.error, linkage.missing
        if linkage.real:
            error, missing = (min(1.0, steps.up(x, ERROR_STEP)) for x in (error, missing))
        targets = steps.count_down(linkage.targets)
        return replace(linkage, error=error, missing=missing, targets=targets, estimates=found)

    def change(self, change: Change) -> Change:
        return replace(
            change,
            unique=self.up(change.unique),
            average=self.up(change.average),
            highest=self.highest(change.highest),
            suppressed=self.up(change.suppressed),
        )

    def note(self, note: Note) -> Note:
        params = dict(note.params)
        for name, value in params.items():
            if name == "share" and isinstance(value, float):
                params[name] = self.up(value)
            if name == "rows" and isinstance(value, int):
                params[name] = steps.count_up(value)
            if name == "population" and isinstance(value, int):
                params[name] = steps.count_down(value)
        return replace(note, params=params)


__all__ = ["disclose"]
