"""Rounding of a whole document: numbers to what their interval supports, counts to tens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from privaudit.disclosure import steps
from privaudit.disclosure.marginals import HOSPITALS, PATIENTS_FOUND, SETTINGS
from privaudit.facts import Bound, Caveat, Metric, Param, Reason
from privaudit.results import (
    Audit,
    ClaimText,
    ColumnFit,
    Control,
    Curve,
    Data,
    Estimate,
    Failed,
    Fidelity,
    Finding,
    GroupResult,
    Outcome,
    Pool,
    Skipped,
    Subject,
    Untrained,
    Utility,
)
from privaudit.stats.catalogue import CATALOGUE, PATIENTS
from privaudit.stats.onesided import PROOF_STEP, proof, restated

HELD_OUT, ATTACKS, MEMBERS = 0.25, 0.5, 1.0
"""How large a step is, as a share of half the interval: of numbers on held-out patients, of rates
that members are a part of, and of numbers on members alone."""
RANKED = ("auc", "detection_auc")
"""Numbers of an attack which one patient of n moves by a fraction of 1 / n; a rate moves by all of
it. They are rounded as those on held-out patients are."""
SPARE = 0.2
"""Share of a step that an interval is widened by before it is rounded outwards: a one-sided bound
is made of half an interval, which rounding the value shortens by up to half a step."""
DIGITS = 3
"""Significant digits of a number without an interval."""
DIGITS_STEP = 0.001
"""Step of a share whose pool is not known."""
PLACES = 0.005
"""Step of shares without an interval: of a synthetic table's columns, and of curves."""
LEVELS = (0.05, 0.025, 0.01, 0.001)
"""Levels at which a bound on epsilon is stated again, for rules that are judged together."""
CLAIM_PLACES = 0.001
"""Step that an epsilon which is claimed is rounded up to."""

COUNTS = frozenset(
    (
        *("have", "members", "patients", "records", "rows", "held_out", "held_out_rows"),
        "synthetic_rows",
        "merged",
        *("early", "late", "channels", "strangers", "without"),
    )
)
"""Parameters that count patients or their records, where they are whole numbers."""
WANTED = frozenset(("more",))
"""Counts of patients that are lacking; rounded up."""
LEVEL_NAMES = frozenset(("confidence", "fpr", "prior", "tolerance", "delta"))
"""Parameters that are settings, and stay as they are."""
DIGEST = "digest"
"""A setting of supplied releases: of predictions it is a hash of patients' rows, which whoever
knows all but a few of them could try."""
CLAIMED = frozenset(("claimed", "epsilon"))
"""What a method claims."""


def coarsen(audit: Audit) -> Audit:
    """The document with rounded numbers; with rounded counts too, unless they are open."""
    exact = audit.manifest.exact_counts or not audit.data.real
    sizes = [p.patients for p in audit.data.pools if p.name != "reference" and p.patients]
    rounding = _Rounding(exact, min(sizes, default=0))
    return replace(
        audit,
        data=rounding.data(audit.data),
        subjects=tuple(map(rounding.subject, audit.subjects)),
        coverage=tuple(
            replace(
                one,
                others=tuple((name, rounding.needed_reason(why)) for name, why in one.others),
                reason=rounding.reason(one.reason),
            )
            for one in audit.coverage
        ),
        caveats=rounding.caveats(audit.caveats),
        untrained=tuple(map(rounding.untrained, audit.untrained)),
        composed=tuple(
            replace(one, epsilon=steps.up(one.epsilon, CLAIM_PLACES)) for one in audit.composed
        ),
    )


class _Rounding:
    """exact: counts stay as they are; patients: of the smaller audited pool, 0 where not known."""

    def __init__(self, exact: bool, patients: int = 0) -> None:
        self.exact = exact
        # What one of them moves a mean by is far below this.
        self.spread = 0.5 / max(1, patients) ** 0.5 if patients else DIGITS_STEP

    # --- counts

    def count(self, number: int) -> int:
        return number if self.exact else steps.count_down(number)

    def counts(self, named: Mapping[str, int]) -> dict[str, int]:
        return {name: self.count(number) for name, number in named.items()}

    def data(self, data: Data) -> Data:
        return replace(
            data,
            flow=tuple(
                replace(
                    row,
                    excluded=self.count(row.excluded),
                    stays=self.count(row.stays),
                    patients=self.count(row.patients),
                )
                for row in data.flow
            ),
            pools=tuple(map(self.pool, data.pools)),
            notes=self.caveats(data.notes),
            facts={name: self.fact(name, fact) for name, fact in data.facts.items()},
            distribution_shift=self.caveat(data.distribution_shift),
        )

    def pool(self, pool: Pool) -> Pool:
        """Class shares to what as many patients tell of a share, and to ten of them."""
        rates = {}
        for name, rate in pool.rates.items():
            half = 1.96 * (rate * (1 - rate) / max(1, pool.patients)) ** 0.5
            step = steps.step_above(max(half * MEMBERS, steps.BASE / max(1, pool.patients)))
            rates[name] = rate if self.exact else steps.nearest(rate, min(step, 0.1))
        return replace(
            pool, patients=self.count(pool.patients), stays=self.count(pool.stays), rates=rates
        )

    def fact(self, name: str, fact: str | int | float) -> str | int | float:
        if isinstance(fact, str | bool):
            return fact
        if isinstance(fact, int):
            return fact if name in SETTINGS else self.count(fact)
        return self.measured(fact)

    def measured(self, value: float) -> float:
        """A number whose interval is not at hand: a share, or a mean of what patients have."""
        if self.exact:
            return steps.significant(value, DIGITS)
        if abs(value) > 1:
            return steps.significant(value, 2)
        return steps.nearest(value, steps.step_above(self.spread))

    # --- reasons and caveats

    def params(self, params: Mapping[str, Param]) -> dict[str, Param]:
        return {name: self.param(name, value) for name, value in params.items()}

    def param(self, name: str, value: Param) -> Param:
        if isinstance(value, str | bool | tuple) or name in LEVEL_NAMES:
            return value
        if name in CLAIMED:
            return steps.up(value, CLAIM_PLACES)
        if isinstance(value, float):
            return self.measured(value)
        if self.exact:
            return value
        if name in WANTED:
            return steps.count_up(value)
        return steps.count_down(value) if name in COUNTS else value

    def needed_reason(self, reason: Reason) -> Reason:
        return replace(reason, params=self.params(reason.params))

    def reason(self, reason: Reason | None) -> Reason | None:
        return None if reason is None else self.needed_reason(reason)

    def caveat(self, caveat: Caveat | None) -> Caveat | None:
        return None if caveat is None else replace(caveat, params=self.params(caveat.params))

    def caveats(self, caveats: Iterable[Caveat]) -> tuple[Caveat, ...]:
        return tuple(replace(one, params=self.params(one.params)) for one in caveats)

    def untrained(self, one: Untrained) -> Untrained:
        return replace(one, reason=self.needed_reason(one.reason))

    # --- numbers

    def estimates(
        self, found: Iterable[Estimate], share: float, tens: bool = False
    ) -> tuple[Estimate, ...]:
        return tuple(self.estimate(one, share, tens) for one in found)

    def estimate(self, one: Estimate, share: float, tens: bool = False) -> Estimate:
        """The number, rounded; tens: to no less than ten patients' share."""
        n, refusal = self.counts(one.n), self.reason(one.refusal)
        if one.value is None:
            return replace(one, n=n, refusal=refusal, chance=_chance(one, None))
        if proof(one):
            return replace(_round_proof(one, self.exact), n=n)
        step = _step(one, HELD_OUT if one.metric.name in RANKED else share)
        if step is None:
            value = steps.significant(one.value, DIGITS)
            return replace(one, value=value, n=n, chance=_chance(one, None))
        if tens and not self.exact:
            step = max(step, tens_step(one))
        spare = SPARE * step
        return replace(
            one,
            value=steps.nearest(one.value, step),
            low=None if one.low is None else _inside(one, steps.down(one.low - spare, step)),
            high=None if one.high is None else _inside(one, steps.up(one.high + spare, step)),
            chance=_chance(one, step),
            n=n,
            bound=_round_listed(one, step),
        )

    def curve(self, curve: Curve, share: float) -> Curve:
        """One step for the whole line, so that it rises where it rose."""
        halves = [(b - a) / 2 for a, b in zip(curve.low, curve.high, strict=True)]
        half = sum(halves) / len(halves) if halves else 0.0
        step = steps.step_below(half * share) if half > 0 else 2 * PLACES

        def clip(found: float) -> float:
            return min(1.0, max(0.0, found))

        x = curve.x
        if curve.kind != "budget":
            # The first false positive rate is 10 / held-out patients.
            x = tuple(steps.significant(one, 2) if one else 0.0 for one in curve.x)
        return replace(
            curve,
            x=x,
            y=tuple(clip(steps.nearest(one, step)) for one in curve.y),
            low=tuple(clip(steps.down(one, step)) for one in curve.low),
            high=tuple(clip(steps.up(one, step)) for one in curve.high),
        )

    def group(self, group: GroupResult, share: float) -> GroupResult:
        p = group.p_adjusted
        return replace(
            group,
            estimates=self.estimates(group.estimates, share),
            p_adjusted=None if not p else min(1.0, steps.significant_up(p, 2)),
        )

    # --- subjects

    def subject(self, one: Subject) -> Subject:
        return replace(
            one,
            params={name: text for name, text in one.params.items() if name != DIGEST},
            claim=_round_claim(one.claim),
            utility=self.estimates(one.utility, HELD_OUT),
            utility_members=self.estimates(one.utility_members, MEMBERS),
            utility_groups=tuple(self.group(group, HELD_OUT) for group in one.utility_groups),
            utility_everybody=tuple(self.group(g, HELD_OUT) for g in one.utility_everybody),
            reliability=None if one.reliability is None else self.curve(one.reliability, HELD_OUT),
            headline=None if one.headline is None else self.finding(one.headline),
            outcomes=tuple(map(self.outcome, one.outcomes)),
            controls=tuple(map(self.control, one.controls)),
            costs={name: steps.significant(cost, DIGITS) for name, cost in one.costs.items()},
            notes=self.caveats(one.notes),
            fidelity=None if one.fidelity is None else self.fidelity(one.fidelity),
        )

    def outcome(self, one: Outcome) -> Outcome:
        if isinstance(one, Finding):
            return self.finding(one)
        made: Skipped | Failed = replace(one, reason=self.needed_reason(one.reason))
        return made

    def finding(self, one: Finding) -> Finding:
        if one.attack in HOSPITALS:
            return one
        tens = one.attack in PATIENTS_FOUND
        return replace(
            one,
            estimates=self.estimates(one.estimates, ATTACKS, tens),
            by_record=self.estimates(one.by_record, ATTACKS, tens),
            evened=self.estimates(one.evened, ATTACKS),
            curves=tuple(self.curve(curve, ATTACKS) for curve in one.curves),
            groups=tuple(self.group(group, ATTACKS) for group in one.groups),
            over_represented=tuple(self.group(group, ATTACKS) for group in one.over_represented),
            caveats=self.caveats(one.caveats),
            null=self.estimates(one.null, ATTACKS),
            corrected=self.estimates(one.corrected, ATTACKS),
        )

    def control(self, one: Control) -> Control:
        return replace(
            one,
            estimates=self.estimates(one.estimates, ATTACKS, one.attack in PATIENTS_FOUND),
            made=replace(one.made, params=self.params(one.made.params)),
            error=self.reason(one.error),
        )

    def fidelity(self, one: Fidelity) -> Fidelity:
        return replace(
            one,
            estimates=self.estimates(one.estimates, ATTACKS),
            columns=tuple(map(self.column, one.columns)),
            utility=tuple(map(self.utility, one.utility)),
            groups=tuple(self.group(group, HELD_OUT) for group in one.groups),
            notes=self.caveats(one.notes),
            by_record=self.estimates(one.by_record, ATTACKS),
        )

    def column(self, column: ColumnFit) -> ColumnFit:
        step = PLACES if self.exact else steps.step_above(max(self.spread, PLACES))

        def shares(found: tuple[float, ...]) -> tuple[float, ...]:
            """Rounded shares; the largest takes up what the others gave or took."""
            rounded = [steps.nearest(one, step) for one in found]
            if rounded and abs(sum(found) - 1) < 1e-6:
                most = max(range(len(rounded)), key=rounded.__getitem__)
                rounded[most] = steps.nearest(rounded[most] + 1 - sum(rounded), step)
            return tuple(rounded)

        return replace(
            column,
            real=shares(column.real),
            synthetic=shares(column.synthetic),
            noisy=shares(column.noisy),
            distance=steps.nearest(column.distance, step),
            reference=steps.nearest(column.reference, step),
        )

    def utility(self, one: Utility) -> Utility:
        return replace(
            one,
            synthetic=self.estimates(one.synthetic, HELD_OUT),
            real=self.estimates(one.real, HELD_OUT),
            loss=self.estimate(one.loss, HELD_OUT),
        )


def _round_listed(one: Estimate, step: float) -> Bound | None:
    """Bounds that are stated at several levels, rounded outwards as the interval is."""
    if one.bound is None or not one.bound.below:
        return one.bound
    return replace(
        one.bound,
        levels=tuple((at, _inside(one, steps.up(b, step))) for at, b in one.bound.levels),
        below=tuple((at, _inside(one, steps.down(b, step))) for at, b in one.bound.below),
    )


def _step(one: Estimate, share: float) -> float | None:
    """The step of a number; None where it has no interval of a width."""
    assert one.value is not None
    bounds = [bound for bound in (one.low, one.high) if bound is not None]
    if len(bounds) == 2:
        half = (bounds[1] - bounds[0]) / 2
    else:
        half = abs(one.value - bounds[0]) if bounds else 0.0
    least = least_step(one)
    if half <= 0:
        return least or None
    size = half * share
    return max(least, steps.step_above(size) if share >= 1 else steps.step_below(size))


def least_step(one: Estimate) -> float:
    """The step below which a share of patients would tell how many of fewer than 10 there are; 0
    for other numbers."""
    patients = one.n.get("patients") or one.n.get("member_patients") or 0
    if one.metric.name not in PATIENTS or not patients:
        return 0.0
    return steps.step_above(steps.BASE / patients)


def tens_step(one: Estimate) -> float:
    """The step of ten of the patients that were tried; 0 where none were."""
    tried = one.n.get("attempts", 0)
    return steps.step_above(steps.BASE / tried) if tried else 0.0


def _inside(one: Estimate, bound: float) -> float:
    """No bound beyond the ends of its scale because it was rounded outwards."""
    least = {"share": 0.0, "difference": -1.0}.get(CATALOGUE.get(one.metric.name) or "")
    own = [number for number in (one.value, one.low, one.high) if number is not None]
    if least is None or any(number > 1 for number in own):
        return bound
    return min(1.0, max(least, bound))


def _chance(one: Estimate, step: float | None) -> float | None:
    """What guessing gives: a measured one as its number is rounded, a setting as it is."""
    if one.chance is None or _is_setting(one.metric, one.chance):
        return one.chance
    if step is None:
        return steps.significant(one.chance, 2)
    return steps.nearest(one.chance, step)


def _is_setting(metric: Metric, chance: float) -> bool:
    return chance in (0.0, 0.5, 1.0, metric.fpr, metric.prior)


def _round_proof(one: Estimate, exact: bool) -> Estimate:
    """A bound on epsilon, rounded down; in the place of the guesses that prove it, which bounds
    they prove at smaller levels. From finer ones the counts of guesses could be solved for."""
    if exact or one.bound is None:
        return one

    def rounded(number: float | None) -> float | None:
        return None if number is None else steps.down(number, PROOF_STEP)

    known = [(level, restated(one, level)) for level in LEVELS if level < 1 - one.confidence]
    stated = tuple((level, steps.down(e, PROOF_STEP)) for level, e in known if e is not None)
    # Never empty: by it a reader knows that the bound is rounded.
    levels = stated or ((LEVELS[-1], 0.0),)
    bound = replace(one.bound, tried=0, made=0, right=0, assigned=0, levels=levels)
    return replace(
        one, value=rounded(one.value), low=rounded(one.low), high=rounded(one.high), bound=bound
    )


def _round_claim(claim: ClaimText) -> ClaimText:
    """What is claimed, rounded up: digits of it can depend on how many patients there are."""
    if claim.epsilon is None:
        return claim
    return replace(claim, epsilon=steps.up(claim.epsilon, CLAIM_PLACES))


__all__ = ["CLAIMED", "COUNTS", "LEVEL_NAMES", "WANTED", "coarsen"]
