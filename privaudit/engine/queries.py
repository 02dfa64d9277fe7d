"""How many rows of a deployed model an audit would ask about, found out without asking any."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from privaudit.contracts import Fitted, Target
from privaudit.engine import controls, nulls
from privaudit.engine.configure import Entry, Request, given
from privaudit.engine.jobs import lacks, one_thread
from privaudit.engine.plan import Group, Step, plan
from privaudit.engine.profiles import profile as find_profile
from privaudit.errors import PrivauditError, spell
from privaudit.facts import Reason, ReasonCode
from privaudit.inputs.deployed import Allot, ForecastOnly
from privaudit.inputs.endpoints.asker import PROBES, REPEATED, count_alone
from privaudit.inputs.endpoints.endpoint import Allotted, Counter, EndpointModel
from privaudit.inputs.endpoints.oip import MOST_OUTPUTS
from privaudit.inputs.pools import find_applicable_attacks
from privaudit.inputs.user_release import UserRelease
from privaudit.inputs.user_task import UserTask
from privaudit.records import Split
from privaudit.seeds import Seeds, derive_entropy


@dataclass(frozen=True)
class Queries:
    """Distinct rows that an audit asks about, less those that the server answered before.

    pools: rows of the audit, which every attack reads; reading: for trying whether the table is
    read as in training; attacks: by name, the rows that it asks about beside those of the pools.
    """

    pools: int
    reading: int
    attacks: Mapping[str, int]

    def total(self, *, reading: bool = True, without: frozenset[str] = frozenset()) -> int:
        """Rows asked about with repeats; attacks that ask about the same rows count twice."""
        rows = self.pools + reading * self.reading
        rows += sum(more for name, more in self.attacks.items() if name not in without)
        alone = count_alone(round(rows / (1 - REPEATED)))
        return round(rows / (1 - REPEATED)) + 2 * PROBES + alone + 1 + MOST_OUTPUTS


def count_queries(
    request: Request, release: UserRelease, split: Split, try_readings: Callable[[], None]
) -> Queries:
    """Make every attack on a model that counts what it is asked, and answers with anything.

    Args:
        request: What is asked for, with the streams of the run: a stream chooses the rows that an
            attack makes up.
        release: Of a model that counts (`EndpointModel.counting`).
        split: The pools.
        try_readings: Asks the counting model in other ways.

    An attack whose questions depend on the answers asks about more or fewer rows of the real model.
    """
    model = cast("EndpointModel", release.model)
    counter = cast("Counter", model.asker)
    for pool in (split.members, split.nonmembers):
        model.predict_proba(pool)
    pools = set(counter.seen)
    try_readings()
    reading = counter.count_new(counter.seen - pools)
    planned = plan(request, split, supplied=True)
    seeds = Seeds(request.entropy)
    attacks: dict[str, int] = {}
    with one_thread():
        for name, attack in request.attacks.items():
            shown = release.fit(split.members, seeds.rng("count"))
            access = Target(shown, split, release).access
            if lacks(attack, access, split.members.outcome_kind):
                continue
            counter.seen = set(pools)
            for step in planned.steps:
                if step.attack_name == name and step.error is None:
                    _make(step, planned.groups, release, split, seeds)
            attacks[name] = counter.count_new(counter.seen - pools)
    return Queries(counter.count_new(pools), reading, attacks)


def _make(
    step: Step,
    groups: Mapping[str, Group],
    release: UserRelease,
    split: Split,
    seeds: Seeds,
) -> None:
    """One attack on the counting model, with shadow models that know nothing."""
    method, attack = step.entry.method, step.attack
    shown = release.fit(split.members, seeds.rng("count"))
    target = Target(shown, split, method)
    kind = nulls.null_kind(method, attack, split, supplied=True)
    rng = seeds.rng("count", *step.stream)
    refits = [
        Fitted(refit.included, rng.normal(size=len(refit.ask)).astype(np.float32))
        for key in step.groups
        for refit in groups[key].refits
    ]
    if step.variant == "negative":
        if kind != "halves":
            # A model that the auditor trained, or a shadow model, is no server's.
            return
        target = Target(shown, controls.halves(split, seeds.rng("halves")), method)
    elif step.variant == "positive":
        target, _ = controls.plant(target)
    try:
        attack.run(target, refits, seeds.rng("attack", *step.stream))
    except Exception:
        # Made-up answers may be refused; what was asked until then is counted.
        return


def allot_budget(queries: Queries, budget: int) -> Allotted:
    """What the budget leaves room for: the readings first, then attacks, the cheapest first.

    Raises:
        PrivauditError: There is no room for the audit's own rows. Nothing was asked yet.
    """
    every = frozenset(queries.attacks)
    least = queries.total(reading=False, without=every)
    if least > budget:
        # Not to the row: a budget is shown, and how many patients there are is not.
        least = -(-least // 100) * 100
        raise PrivauditError(
            f"a budget of {budget:,} rows",
            f"the rows of the audit alone, with those asked about again, are about {least:,}; "
            "nothing was asked",
            spell(
                f"give --queries {least} or more, or a smaller --sample",
                f"give queries={least} or more, or fewer rows",
            ),
        )
    reading = queries.total(without=every) <= budget
    left_out = set(every)
    for name in sorted(queries.attacks, key=lambda one: (queries.attacks[one], one)):
        if queries.total(reading=reading, without=frozenset(left_out - {name})) <= budget:
            left_out.discard(name)
    barred = {
        name: Reason(
            ReasonCode.QUERY_BUDGET, {"rows": _round(queries.attacks[name]), "budget": budget}
        )
        for name in sorted(left_out)
    }
    return Allotted(reading, barred)


def describe_queries(queries: Queries, allotted: Allotted, budget: int | None) -> list[str]:
    """The forecast in lines for a terminal."""
    lines = [
        f"rows to ask the server about: {queries.pools:,} of the audit, "
        f"{queries.reading:,} to try other readings of the table"
    ]
    for name, rows in sorted(queries.attacks.items(), key=lambda pair: (pair[1], pair[0])):
        left = " (not made: over the budget)" if name in allotted.barred else ""
        lines.append(f"  {name}: {rows:,} more{left}")
    total = queries.total(reading=allotted.reading, without=frozenset(allotted.barred))
    limit = "no budget was given" if budget is None else f"the budget is {budget:,}"
    return [*lines, f"in all about {total:,} with those asked about twice; {limit}"]


def make_planner(
    attacks: Sequence[str],
    *,
    profile: str,
    settings: Sequence[str],
    seed: int | None,
    key: bytes,
    budget: int | None,
    dry: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Allot:
    """What decides, before anything is asked, what a budget leaves room for.

    Args:
        attacks: Those asked for; none for all that can be made.
        profile: How much to do.
        settings: Of attacks.
        seed: Of the run.
        key: That the seed is put under.
        budget: Rows that may be asked about, None for any number.
        dry: Raise `ForecastOnly` in place of an audit.
        say: Told the forecast, line by line.
    """
    how = find_profile(profile)

    def decide(release: UserRelease, split: Split, try_readings: Callable[[], None]) -> Allotted:
        request = given(
            "own",
            UserTask("", "", ""),
            [Entry("own-model", "own", "", release)],
            how,
            seed=seed,
            attacks=tuple(attacks) or how.keep(find_applicable_attacks(split)[0]),
            settings=settings,
        )
        request = replace(request, entropy=derive_entropy(key, seed))
        queries = count_queries(request, release, split, try_readings)
        allotted = Allotted() if budget is None else allot_budget(queries, budget)
        for line in describe_queries(queries, allotted, budget):
            say(line)
        if dry:
            raise ForecastOnly
        return allotted

    return decide


def _round(rows: int) -> int:
    """Two digits: how many rows an attack makes up may depend on how many patients there are."""
    digits = max(0, len(str(rows)) - 2)
    return round(rows, -digits)


__all__ = ["Queries", "allot_budget", "count_queries", "describe_queries", "make_planner"]
