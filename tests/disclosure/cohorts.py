"""Random cohorts with rare outcomes, rare levels and small steps, and the exact documents that the
engine would make of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from privaudit.contracts import FlowStep, Prepared
from privaudit.engine import document
from privaudit.engine.groups import read_groups
from privaudit.facts import Caveat, CaveatCode, Metric, Setting
from privaudit.inputs.user_task import UserTask
from privaudit.records import Column, Records, Split
from privaudit.results import (
    Attempts,
    Audit,
    ClaimText,
    ColumnFit,
    Curve,
    Estimate,
    Fidelity,
    Finding,
    GroupResult,
    Manifest,
    Subject,
    Utility,
)

UTILITY = ("auroc", "auprc", "brier", "log_loss", "calibration_slope", "calibration_intercept")
POOLS = ("members", "nonmembers", "reference")
PARTS = ("died_without_deathtime", "died_with_deathtime_outside_admission", "ages_over_89")


@dataclass(frozen=True)
class Cohort:
    """A split, the steps before it, counts of parts of it, and how many lack the usual value of a
    column."""

    split: Split
    flow: tuple[FlowStep, ...]
    parts: Mapping[str, int]
    rare: int

    def outcomes(self, pool: str, by: str = "", level: str = "") -> Mapping[str, int]:
        table, mask = self._mask(pool, by, level)
        return {name: int((table.y[mask] == c).sum()) for c, name in enumerate(table.classes)}

    def size(self, pool: str, by: str = "", level: str = "") -> int:
        return int(self._mask(pool, by, level)[1].sum())

    def _mask(self, pool: str, by: str, level: str) -> tuple[Records, np.ndarray]:
        table: Records = getattr(self.split, pool)
        if not by:
            return table, np.ones(len(table), dtype=bool)
        return table, read_groups(self.split)[by][POOLS.index(pool)] == level

    def small(self) -> Mapping[str, Mapping[Any, int]]:
        """Every count of 1 to 9 patients, in words, as a sum of what an attacker counts.

        Of outcomes that occur, none in a pool or a level is small too.
        """
        found: dict[str, dict[Any, int]] = {}
        totals = {c: sum(self.outcomes(p)[c] for p in POOLS) for c in self.split.members.classes}

        def look(count: int, *cell: str, least: int = 1) -> None:
            if least <= count < 10:
                found[" ".join(cell)] = {cell: 1}

        for pool in POOLS:
            for outcome, count in self.outcomes(pool).items():
                look(count, pool, "", "", outcome, least=0 if totals[outcome] else 1)
        for by, both in read_groups(self.split).items():
            for level in np.unique(np.concatenate(both)).tolist():
                for pool in POOLS[:2]:
                    look(self.size(pool, by, level), pool, by, level, "")
                    for outcome, count in self.outcomes(pool, by, level).items():
                        look(count, pool, by, level, outcome, least=0 if totals[outcome] else 1)
        for step in self.flow:
            look(step.excluded_stays, "step", step.step)
        whole = sum(map(self.size, POOLS))
        last = self.split.members.classes[-1]
        for outcome, count in totals.items():
            look(count, "all", "", "", outcome)
        for name, count in self.parts.items():
            look(count, "part", name)
            if 0 < whole - count < 10:
                found[f"all but {name}"] = {("all", "", "", ""): 1, ("part", name): -1}
        died = {("all", "", "", last): 1, ("part", PARTS[0]): -1}
        if 0 < totals[last] - self.parts[PARTS[0]] < 10:
            found["died with a time"] = died
        both_parts = self.parts[PARTS[0]] + self.parts[PARTS[1]]
        if 0 < totals[last] - both_parts < 10:
            found["died with a time inside"] = {**died, ("part", PARTS[1]): -1}
        look(self.rare, "rare", "dialysis")
        return found


def draw_cohort(rng: np.random.Generator) -> Cohort:
    """One cohort: two or three outcomes, two or three groupings, often with something rare."""
    classes = ("survived", "died") if rng.random() < 0.7 else ("none", "some", "many")
    sizes = [int(rng.integers(*ends)) for ends in ((60, 320), (40, 260), (5, 110))]
    rate = float(rng.choice([0.01, 0.03, 0.08, 0.2, 0.5]))
    usual = [1 - rate, rate] if len(classes) == 2 else [0.9 - rate * 0.8, 0.1, rate * 0.8]
    n = sum(sizes)
    y = rng.choice(len(classes), n, p=usual)
    groups = {}
    for by in ("sex", "unit", "age")[: int(rng.integers(2, 4))]:
        count = int(rng.integers(2, 6))
        shares = rng.dirichlet(np.full(count, 0.7))
        level = rng.choice(count, n, p=shares)
        # Outcomes gather in some levels.
        moved = (rng.random(n) < 0.3) & (y > 0)
        level[moved] = int(rng.integers(count))
        names = np.array([f"{by} {i}" for i in range(count)])
        names[-1] = "not recorded" if rng.random() < 0.3 else names[-1]
        groups[by] = names[level]
    X = rng.normal(size=(n, 1))
    table = Records(
        columns=(Column("a"),),
        X=X,
        y=y,
        patient=np.arange(n),
        site=np.zeros(n),
        groups=groups,
        classes=classes,
    )
    ends = np.cumsum(sizes)
    pools = [table.take(np.arange(end - size, end)) for size, end in zip(sizes, ends, strict=True)]
    excluded = [int(rng.choice([0, 1, 3, 7, 12, 40, 300])) for _ in range(int(rng.integers(1, 5)))]
    left, flow = n + sum(excluded), []
    flow.append(FlowStep("all", 0, left, left))
    for place, out in enumerate(excluded):
        left -= out
        flow.append(FlowStep(f"step {place}", out, left, left))
    died = int((y == len(classes) - 1).sum())
    first = int(rng.integers(0, died + 1))
    if rng.random() < 0.3:
        first = max(0, died - int(rng.integers(0, 12)))
    second = int(rng.integers(0, died - first + 1))
    old = int(rng.choice([2, 8, 15, n - 4, n // 2]))
    parts = dict(zip(PARTS, (first, second, old), strict=True))
    return Cohort(Split(*pools), tuple(flow), parts, int(rng.choice([3, 8, 20, sizes[0] // 2])))


def number(name: str, n: Mapping[str, int], at: Setting | None = None, **more: Any) -> Estimate:
    """An estimate with every part that can state anything."""
    stated: dict[str, Any] = {"value": 0.5, "chance": 0.5, **more}
    return Estimate(Metric(name, at=at), low=0.4, high=0.6, n=n, **stated)


def exact_document(cohort: Cohort, *, real: bool = True, open_: bool = False) -> Audit:
    """The document before disclosure control: every number that there can be, however small."""
    split = cohort.split
    facts = {
        f"stays ({c})": sum(cohort.outcomes(p)[c] for p in POOLS) for c in split.members.classes
    }
    facts |= {"patients": sum(map(cohort.size, POOLS)), "window_hours": 48, **cohort.parts}
    facts["rows of the tables"] = cohort.flow[0].stays
    records = Records.concatenate([getattr(split, pool) for pool in POOLS])
    skill = {"held_out": 0.7, "members": 0.6}
    notes = (Caveat(CaveatCode.BETTER_ON_HELD_OUT, "note", skill),)
    prepared = Prepared(records, cohort.flow, "tables", real, notes, facts=facts)
    manifest = Manifest(
        *("run", "2026-01-01T00:00:00", "1", "3", "linux", {}, "run", "smoke", 0.95, ""),
        *(1.0, 1.0, 1, {}),
        exact_counts=open_,
        attempts=Attempts(1, 0, 1, {}, "", ""),
    )
    task = UserTask("Toy", split.members.classes[-1], "")
    data = document.data("toy", task, prepared, split)
    return Audit(manifest, data, (subject(cohort), subject(cohort)), (), ())


def subject(cohort: Cohort) -> Subject:
    split = cohort.split
    n = {pool: {"patients": cohort.size(pool), "records": cohort.size(pool)} for pool in POOLS}
    if len(split.members.classes) == 2:
        for pool in POOLS:
            n[pool]["events"] = list(cohort.outcomes(pool).values())[1]
    rarest = min(cohort.outcomes("nonmembers").values())
    poisoned = number("attack_rate", {"attempts": 2 * rarest, "patients": 2 * rarest})
    budget = Setting("budget", 0.1, "sd")
    shaken = number("attack_rate", {"attempts": n["nonmembers"]["patients"]}, budget)
    column, tried = Setting("column", "dialysis"), cohort.size("members")
    usual = 1 - cohort.rare / tried
    guessed = tuple(
        number(name, {"attempts": tried, "patients": tried}, column, value=value, chance=usual)
        for name, value in (("attack_rate", 0.9), ("guess_rate", usual))
    )
    findings = (
        Finding("threshold", "membership", {}, (), (), groups=score_groups(cohort)),
        Finding("poison", "poisoning", {}, (), (poisoned,)),
        Finding("square", "evasion", {}, (), (shaken,), curves=(_line("budget"),)),
        Finding("attribute", "attribute", {}, (), guessed),
    )
    return Subject(
        name="one",
        method="baseline",
        learner="",
        description="",
        params={},
        claim=ClaimText(None, 0.0, "patient", "add-remove", (), ""),
        access=("ANSWERS",),
        utility=tuple(number(name, n["nonmembers"]) for name in UTILITY),
        utility_members=tuple(number(name, n["members"]) for name in UTILITY),
        utility_groups=utility_groups(cohort),
        reliability=_line("reliability"),
        headline=findings[0],
        outcomes=findings,
        controls=(),
        costs={},
        fidelity=fidelity(cohort, n),
    )


def _line(kind: Any) -> Curve:
    return Curve(kind, Metric("observed_rate"), (0.1, 0.9), (0.2, 0.8), (0.1, 0.7), (0.3, 0.9))


def levels_of(cohort: Cohort, by: str) -> list[str]:
    found: list[str] = np.unique(np.concatenate(read_groups(cohort.split)[by])).tolist()
    return found


def utility_groups(cohort: Cohort) -> tuple[GroupResult, ...]:
    found = []
    for by in cohort.split.members.groups:
        for level in levels_of(cohort, by):
            n = {"patients": cohort.size("nonmembers", by, level)}
            known = tuple(number(name, n) for name in ("auroc", "brier", "calibration_intercept"))
            found.append(GroupResult(by, level, known, 0.5))
    return tuple(found)


def score_groups(cohort: Cohort) -> tuple[GroupResult, ...]:
    found = []
    for by in cohort.split.members.groups:
        for level in levels_of(cohort, by):
            n = {
                "member_patients": cohort.size("members", by, level),
                "nonmember_patients": cohort.size("nonmembers", by, level),
            }
            found.append(GroupResult(by, level, (number("auc", n),), 0.5))
    return tuple(found)


def fidelity(cohort: Cohort, n: Mapping[str, Mapping[str, int]]) -> Fidelity:
    found, members = [], cohort.size("members")
    columns = []
    for by in cohort.split.members.groups:
        levels = levels_of(cohort, by)
        for level in levels:
            size = {"patients": cohort.size("nonmembers", by, level)}
            share = number("group_share_real", {"members": members, "patients": members})
            lost = tuple(number(name, size) for name in ("auroc_synthetic", "auroc_loss"))
            found.append(GroupResult(by, level, (share, *lost)))
        real = [cohort.size("members", by, level) / members for level in levels]
        drawn = tuple(1 / len(levels) for _ in levels)
        columns.append(ColumnFit(by, "category", tuple(levels), tuple(real), drawn, 0.1, 0.1))
    names = ("prevalence_synthetic", "prevalence_real", "prevalence_gap")
    utility = tuple(number(name, n["nonmembers"]) for name in UTILITY)
    loss = number("auroc_loss", n["nonmembers"])
    return Fidelity(
        rows=100,
        estimates=tuple(number(name, {"members": members}) for name in names),
        columns=tuple(columns),
        utility=(Utility("logreg", utility, utility, loss),),
        groups=tuple(found),
    )
