"""Withhold what gives a count under ten away, and what would give that by subtraction.

`tables.find_hidden` decides once for the whole document; here every place of it follows, by what
`marginals` declares that it states.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from privaudit.disclosure import marginals
from privaudit.disclosure.cohort import show_facts, show_flow
from privaudit.disclosure.columns import show_columns
from privaudit.disclosure.marginals import States
from privaudit.disclosure.named import find_few_named, hide_few_named
from privaudit.disclosure.tables import Hidden, find_hidden
from privaudit.disclosure_limits import MIN_CELL, WITHHELD
from privaudit.facts import Caveat, Param, Reason, ReasonCode, Setting
from privaudit.results import (
    Audit,
    Control,
    Coverage,
    Curve,
    Data,
    Estimate,
    Fidelity,
    Finding,
    GroupResult,
    Outcome,
    Pool,
    Subject,
    Utility,
)

SMALL_CELL = Reason(ReasonCode.SMALL_CELL, {"least": MIN_CELL})
"""Why a number is withheld. The same for those that are small and for those that would give them by
subtraction: to tell them apart would give them away too."""


def suppress(audit: Audit) -> Audit:
    """The document without any number that states a count of 1 to 9 patients or lets it be
    subtracted.

    Generated records describe nobody, and open ones (`exact_counts`) hide nobody: of these all
    counts stand.
    """
    if not audit.data.real or audit.manifest.exact_counts:
        return replace(audit, data=replace(audit.data, cells=()))
    door = _Door(find_hidden(audit.data))
    return replace(
        audit,
        data=door.data(audit.data),
        subjects=tuple(map(door.subject, audit.subjects)),
        coverage=tuple(map(door.coverage, audit.coverage)),
        caveats=tuple(map(door.caveat, audit.caveats)),
        untrained=tuple(replace(one, reason=door.reason(one.reason)) for one in audit.untrained),
    )


@dataclass(frozen=True)
class _Door:
    """Lets through what may be shown, by type."""

    hidden: Hidden

    @property
    def both(self) -> bool:
        """Whether outcomes of members or of non-members are hidden."""
        return bool({"members", "nonmembers"} & self.hidden.outcomes)

    def data(self, data: Data) -> Data:
        flow = show_flow(data, self.hidden)
        shift = data.distribution_shift
        return replace(
            data,
            flow=flow,
            pools=tuple(self.pool(p) for p in data.pools if p.name not in self.hidden.pools),
            notes=tuple(map(self.caveat, data.notes)),
            facts=show_facts(data, flow, self.hidden),
            distribution_shift=None if shift is None else self.caveat(shift),
            cells=(),
        )

    def pool(self, pool: Pool) -> Pool:
        return replace(pool, rates={}) if pool.name in self.hidden.outcomes else pool

    def subject(self, s: Subject) -> Subject:
        held_out = "nonmembers" in self.hidden.outcomes
        return replace(
            s,
            utility=self.estimates(s.utility, held_out),
            utility_members=self.estimates(s.utility_members, "members" in self.hidden.outcomes),
            utility_groups=self.groups(s.utility_groups),
            utility_everybody=tuple(self.site_model(g, held_out) for g in s.utility_everybody),
            reliability=_empty(s.reliability) if held_out and s.reliability else s.reliability,
            headline=None if s.headline is None else self.finding(s.headline),
            outcomes=tuple(map(self.outcome, s.outcomes)),
            controls=tuple(map(self.control, s.controls)),
            notes=tuple(map(self.caveat, s.notes)),
            fidelity=None if s.fidelity is None else self.fidelity(s.fidelity),
        )

    def outcome(self, o: Outcome) -> Outcome:
        return (
            self.finding(o) if isinstance(o, Finding) else replace(o, reason=self.reason(o.reason))
        )

    def finding(self, f: Finding) -> Finding:
        if f.attack in marginals.HOSPITALS:
            return f
        about = marginals.FAMILIES.get(f.family, States.OUTCOMES)
        hide = self.both and about is States.OUTCOMES and f.attack not in marginals.WITHOUT_OUTCOMES
        rare = find_rare_columns(f.estimates)
        rare |= find_rare_columns(f.by_record)
        if f.attack in marginals.COPIES:
            rare |= find_few_copies(f.estimates, standardised=bool(f.by_record))
            rare |= find_few_copies(f.by_record)
        estimates, by_record = (
            tuple(
                # Poisoning is tried on as many of one outcome as of the other: its n states them.
                replace(withhold(e), n={})
                if hide
                else withhold(e)
                if e.metric.at in rare
                else self.estimate(e, False)
                for e in found
            )
            for found in (f.estimates, f.by_record)
        )
        lost = any(
            a.value is not None and b.value is None
            for a, b in zip(f.estimates, estimates, strict=True)
        )
        few = find_few_named(f.estimates)
        estimates = tuple(withhold(e) if e.metric.name in few else e for e in estimates)
        over = hide_few_named(self.groups(f.over_represented), f.over_represented, few)
        return replace(
            f,
            estimates=estimates,
            by_record=() if hide or lost else by_record,
            # Withheld and not left out: without them a limit would be judged as if there were none.
            evened=tuple(withhold(e) for e in f.evened)
            if hide or lost
            else self.estimates(f.evened, False),
            curves=() if hide or lost else f.curves,
            groups=self.groups(f.groups),
            over_represented=over,
            caveats=tuple(map(self.caveat, f.caveats)),
            null=self.estimates(f.null, False),
            corrected=self.estimates(f.corrected, False),
        )

    def control(self, c: Control) -> Control:
        return replace(
            c,
            estimates=self.estimates(c.estimates, False),
            made=self.caveat(c.made),
            error=None if c.error is None else self.reason(c.error),
        )

    def fidelity(self, f: Fidelity) -> Fidelity:
        held_out, members = (name in self.hidden.outcomes for name in ("nonmembers", "members"))
        return replace(
            f,
            estimates=self.estimates(f.estimates, members),
            columns=show_columns(f.columns, self.hidden),
            utility=tuple(self.utility(one, held_out) for one in f.utility),
            groups=self.groups(f.groups),
            notes=tuple(map(self.caveat, f.notes)),
            by_record=self.estimates(f.by_record, members),
        )

    def utility(self, one: Utility, hide: bool) -> Utility:
        return replace(
            one,
            synthetic=self.estimates(one.synthetic, hide),
            real=self.estimates(one.real, hide),
            loss=self.estimate(one.loss, hide),
        )

    def coverage(self, one: Coverage) -> Coverage:
        return replace(
            one,
            others=tuple((attack, self.reason(why)) for attack, why in one.others),
            reason=None if one.reason is None else self.reason(one.reason),
        )

    def groups(self, found: Sequence[GroupResult]) -> tuple[GroupResult, ...]:
        return tuple(self.group(g) for g in found)

    def group(self, g: GroupResult) -> GroupResult:
        if g.suppressed or self.hidden.hides_level(g.by, g.level):
            return GroupResult(g.by, g.level, (), suppressed=True)
        hide = self.hidden.hides_outcomes(g.by, g.level)
        estimates = self.estimates(g.estimates, hide)
        # The test compares these numbers with everybody else's.
        tested = estimates and estimates[0].value is not None
        p = g.p_adjusted if tested else None
        return GroupResult(g.by, g.level, estimates, p)

    def site_model(self, g: GroupResult, hide: bool) -> GroupResult:
        """What one site's model does on everybody: its number is of the whole pool, and it tells of
        the site that it was trained at."""
        if g.suppressed or self.hidden.hides_outcomes(g.by, g.level):
            return GroupResult(g.by, g.level, (), suppressed=True)
        return replace(g, estimates=self.estimates(g.estimates, hide))

    def estimates(self, found: Sequence[Estimate], hide: bool) -> tuple[Estimate, ...]:
        return tuple(self.estimate(e, hide) for e in found)

    def estimate(self, e: Estimate, hide: bool) -> Estimate:
        """The number as it may be shown; hide: whether those it is of have hidden outcomes."""
        states = marginals.METRICS.get(e.metric.name)
        if states is None or is_few(e.n) or (hide and states is States.OUTCOMES):
            return withhold(e)
        shown = {name: count for name, count in e.n.items() if self.shows(name, hide)}
        n = e.n if len(shown) == len(e.n) else shown
        chance = None if hide and e.metric.name in marginals.CHANCE_OF_OUTCOMES else e.chance
        refusal = None if e.refusal is None else self.reason(e.refusal)
        if n is e.n and chance is e.chance and refusal is e.refusal:
            return e
        return replace(e, n=n, chance=chance, refusal=refusal)

    def shows(self, name: str, hide: bool) -> bool:
        states = marginals.N.get(name)
        return states is not None and not (hide and states is States.OUTCOMES)

    def reason(self, reason: Reason) -> Reason:
        return replace(reason, params=self.params(reason.code, reason.params))

    def caveat(self, caveat: Caveat) -> Caveat:
        return replace(caveat, params=self.params(caveat.code, caveat.params))

    def params(self, code: object, params: Mapping[str, Param]) -> dict[str, Param]:
        """The parameters with those withheld that state a small count or hidden outcomes."""
        sizes = [
            value
            for name, value in params.items()
            if marginals.PARAMS.get(name) is not States.NOTHING and _is_whole(value)
        ]
        few = any(0 < int(size) < MIN_CELL for size in sizes if isinstance(size, int))
        hide = self.both and code not in marginals.OF_MEMBERSHIP
        return {name: _param(name, value, few, hide) for name, value in params.items()}


def _param(name: str, value: Param, few: bool, hide: bool) -> Param:
    states = marginals.PARAMS.get(name)
    if states is States.NOTHING or isinstance(value, str | tuple | bool):
        return value
    if states is None or (few if _is_whole(value) else hide and states is States.OUTCOMES):
        return WITHHELD
    return value


def _is_whole(value: Param) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def is_few(n: Mapping[str, int]) -> bool:
    """Whether any of these counts is one of 1 to 9 patients."""
    return any(0 < n.get(name, 0) < MIN_CELL for name in marginals.PEOPLE)


def withhold(e: Estimate) -> Estimate:
    """The estimate without its number and whatever states those it rests on."""
    chance = e.chance if e.metric.name in marginals.CONSTANT_CHANCE else None
    n = {
        name: count
        for name, count in e.n.items()
        if marginals.N.get(name) in (States.SIZE, States.NOTHING)
    }
    return Estimate(
        e.metric,
        None,
        chance=chance,
        n={} if is_few(n) else n,
        confidence=e.confidence,
        refusal=SMALL_CELL,
    )


def find_rare_columns(estimates: Sequence[Estimate]) -> frozenset[Setting | None]:
    """Guessed columns of which all but 1 to 9 have the value that anybody would guess."""
    found: set[Setting | None] = set()
    for e in estimates:
        at, tried = e.metric.at, e.n.get("attempts", 0)
        if at is None or at.kind != "column" or e.metric.name != "guess_rate" or e.value is None:
            continue
        wrong = round((1 - e.value) * tried)
        if 0 < wrong < MIN_CELL:
            found.add(at)
    return frozenset(found)


def find_few_copies(
    estimates: Sequence[Estimate], standardised: bool = False
) -> frozenset[Setting | None]:
    """Series of an attack in which 1 to 9 patients, or all but so many, have a copy, or in which so
    many more have one than in another series.

    standardised: the control's rate is weighed, so that it tells the count of patients behind it
    only about; it is then taken for few up to twice as many.
    """
    found: set[Setting | None] = set()
    for name, least in (
        ("attack_rate", MIN_CELL),
        ("control_rate", 2 * MIN_CELL if standardised else MIN_CELL),
    ):
        copied = {
            e.metric.at: (round(e.value * e.n["attempts"]), e.n["attempts"])
            for e in estimates
            if e.metric.name == name and e.value is not None and "attempts" in e.n
        }
        for at, (count, tried) in copied.items():
            # Who has an exact copy has a near one too: what two series differ by are patients.
            apart = [abs(count - other) for other, _ in copied.values()]
            if any(0 < size < least for size in (count, tried - count, *apart)):
                found.add(at)
    return frozenset(found)


def _empty(curve: Curve) -> Curve:
    return Curve(curve.kind, curve.metric, (), (), unit=curve.unit)


__all__ = ["SMALL_CELL", "find_few_copies", "find_rare_columns", "is_few", "suppress", "withhold"]
