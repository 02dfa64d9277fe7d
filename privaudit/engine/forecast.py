"""How long an audit takes and how much memory it needs.

Times that this machine stored come first. Else `costs.csv` answers, measured on the synthetic demo
data by `benchmarks/measure_costs.py` and scaled by the work to do and by this machine's speed. A
method that neither knows is trained once on a few records.
"""

from __future__ import annotations

import csv
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from importlib.resources import files
from statistics import median
from typing import Any

import numpy as np

from privaudit.contracts import Access, Attack, Method
from privaudit.engine.configure import Entry
from privaudit.engine.jobs import Bench, one_thread
from privaudit.engine.plan import Plan, Step
from privaudit.engine.store import Store, key_of
from privaudit.engine.version import code
from privaudit.records import Records

PROBE = 150
"""Records of the trial fit where no time is known."""

LONG = 0.5
"""Seconds from which a trial fit is not repeated: first-time costs no longer matter."""

STARTUP = 10.0
"""Seconds until every process has loaded the numeric libraries."""

CONTROL = 0.5
"""What an attack's control costs, as a share of the attack: it is judged by the AUC alone."""

SPREAD, SPREAD_PROBED = 2.0, 3.0
"""The range is the expected time divided and multiplied by this; the second after a trial fit."""

SIZES = (
    "records",
    "rows",
    "queries",
    "steps",
    "attempts",
    "restarts",
    "repeats",
    "epochs",
    "rounds",
    "probes",
)
"""Settings that the time is proportional to. `records` replaces the number of audit records."""


@dataclass(frozen=True)
class Forecast:
    """What is still to be done, with its wall time and peak memory.

    Args:
        attacks: Those that apply to a subject, done or not.
        fits, refits, steps: Models, shadow models and attack runs (with controls) to do.
        reused: Shadow models that more than one attack uses, counted beyond the first.
        seconds: Expected wall time; low and high: its range.
        memory_low, memory_high: Range of the peak memory, in bytes.
        methods: Subject -> seconds to train one model on the members, 0 where not known.
        untimed: Planned attacks and subjects whose time is not known, so that it is not included.
    """

    attacks: tuple[str, ...]
    fits: int
    refits: int
    steps: int
    reused: int
    seconds: float
    low: float
    high: float
    memory_low: int
    memory_high: int
    methods: Mapping[str, float]
    untimed: tuple[str, ...]


def method_key(method: Method, schema: str) -> str:
    """Names the time of training this method on tables of this schema."""
    return key_of("time", repr(method), code(method), schema)


def attack_key(attack: Attack, method: Method, schema: str) -> str:
    """Names the time of this attack on this method's releases."""
    return key_of("time", repr(attack), repr(method), code(attack), schema)


def store_time(store: Store, key: str, seconds: float, rows: int) -> None:
    """Store seconds of CPU a record."""
    if rows > 0 and seconds > 0:
        store.put_json("times", key, {"seconds_per_row": seconds / rows, "rows": rows})


def forecast(plan: Plan, bench: Bench, jobs: int, todo: set[str] | None = None) -> Forecast:
    """Time and memory of what is still to be done.

    Args:
        plan: Everything that the audit consists of.
        bench: The data and the cache of finished steps.
        jobs: Number of processes.
        todo: Keys of the steps that are not in the cache yet; None for all.
    """
    members, rows = bench.split.members, len(bench.split.audit)
    subjects = {
        fit.entry.name: _Subject(fit.entry, fit.key, bench)
        for fit in plan.fits
        if fit.variant == "subject"
    }
    by_method: dict[str, float | None] = {}
    for one in subjects.values():
        # Refits with malicious clients take about as long as the method that they are made from.
        for method in (one.entry.method, one.entry.method.twin, one.entry.method.nearness):
            if method is not None:
                by_method.setdefault(repr(method), one.refit)
                by_method.setdefault(type(method).__name__, one.refit)
    stages: dict[str, list[float]] = {}
    untimed = set()
    counts: Counter[str] = Counter()

    def is_wanted(key: str) -> bool:
        return todo is None or key in todo

    def add(stage: str, who: str, seconds: float | None, times: float = 1.0) -> None:
        if seconds is None:
            untimed.add(who)
        else:
            stages.setdefault(stage, []).append(seconds * times)

    for fit in plan.fits:
        if is_wanted(fit.key):
            one = subjects[fit.entry.name]
            seconds = one.fit if fit.variant == "subject" else one.refit
            counts["fits"] += 1
            add("train", fit.entry.name, seconds, fit.rows / len(members))
            if fit.variant == "subject" and Access.TABLE in one.access:
                add("compare", fit.entry.name, _table_cost("compare", "", "", rows / 1000))
    for group in plan.groups.values():
        # What a supplied shadow model answers is known already.
        if is_wanted(group.key) and not group.method.supplied:
            counts["refits"] += len(group.refits)
            seconds = by_method.get(repr(group.method), by_method[type(group.method).__name__])
            add("train", type(group.method).__name__, seconds, group.rows / len(members))
    for name in {step.entry.name for step in plan.steps if is_wanted(step.key)}:
        add("measure", name, _table_cost("measure", "", "", rows / 1000))
    planned = [s for s in plan.steps if s.attack.needs <= subjects[s.entry.name].powers]
    for step in planned:
        if is_wanted(step.key):
            counts["steps"] += 1
            share = 1.0 if step.variant == "subject" else CONTROL
            cost = _attack_cost(step, bench.store, members.schema, rows)
            add("attack", step.attack_name, cost, share)
    # No stage is shorter than its longest job.
    wall = sum(max(sum(costed) / jobs, max(costed)) for costed in stages.values())
    wall += STARTUP if stages else 0.0
    spread = SPREAD_PROBED if any(one.probed for one in subjects.values()) else SPREAD
    row = _row_bytes(members)
    batch = max((len(group.refits) for group in plan.groups.values()), default=1)
    data = row * (rows + len(bench.split.reference)) + jobs * batch * row * rows // 2
    memory = sorted(cost.value for cost in costs() if cost.job == "memory")
    return Forecast(
        attacks=tuple(sorted({step.attack_name for step in planned})),
        fits=counts["fits"],
        refits=counts["refits"],
        steps=counts["steps"],
        reused=plan.wanted - plan.refits,
        seconds=wall,
        low=wall / spread,
        high=wall * spread,
        memory_low=int(0.8 * (jobs + 1) * memory[0] + data),
        memory_high=int(1.1 * (jobs + 1) * memory[-1] + 4 * data),
        methods={name: one.fit or 0.0 for name, one in subjects.items()},
        untimed=tuple(sorted(untimed)),
    )


def announce(expected: Forecast, workers: int) -> str:
    """What is about to happen, in one line."""
    if not expected.fits + expected.refits + expected.steps:
        return "everything is in the cache already"
    text = (
        f"{expected.fits} models, {expected.refits} shadow models ({expected.reused} reused), "
        f"{expected.steps} attack runs; about {duration(expected.seconds)} "
        f"({duration(expected.low)} to {duration(expected.high)}) on {workers} "
        f"{'core' if workers == 1 else 'cores'}, {expected.memory_low / 1e9:.1f} to "
        f"{expected.memory_high / 1e9:.1f} GB of memory"
    )
    if expected.untimed:
        text += f"; without {', '.join(expected.untimed)}, whose time is not known"
    return text


def duration(seconds: float) -> str:
    """Seconds for people."""
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{max(seconds, 0.1):.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


@dataclass(frozen=True)
class Row:
    """One measured cost: `value` seconds of CPU (bytes for memory) for this much work.

    Args:
        job: fit, attack, compare, measure, memory or calibration.
        name: Of the attack.
        subject: As `subject_name` names it.
        value: Seconds or bytes.
        work: As `work_of` counts it.
        access: What the release of a fit shows, names of `contracts.Access`.
    """

    job: str
    name: str
    subject: str
    value: float
    work: float
    access: tuple[str, ...]


@cache
def costs() -> tuple[Row, ...]:
    """The measured costs."""
    with files("privaudit.engine").joinpath("costs.csv").open(encoding="utf-8") as file:
        return tuple(
            Row(
                row["job"],
                row["name"],
                row["subject"],
                float(row["value"]),
                float(row["work"]),
                tuple(row["access"].split()),
            )
            for row in csv.DictReader(file)
        )


def subject_name(method: str, part: str) -> str:
    """How costs name a subject: its method, and its learner or generator where it has one."""
    return f"{method}-{part}" if part else method


def work_of(settings: Mapping[str, Any], rows: int) -> float:
    """How much there is to do: thousands of records times the settings it is proportional to."""
    sizes = {name: settings[name] for name in SIZES if name in settings}
    total = min(float(sizes.pop("records", rows)), rows) / 1000
    for size in sizes.values():
        total *= max(1.0, float(size))
    return total


def calibrate() -> float:
    """Seconds of CPU that this machine takes for a fixed piece of work."""
    table = np.random.default_rng(0).normal(size=(400, 400))
    best = np.inf
    with one_thread():
        for _ in range(3):
            start = time.process_time()
            for _ in range(5):
                np.sort(table @ table, axis=None)
            sum(index * index for index in range(200_000))
            best = min(best, time.process_time() - start)
    return float(best)


@cache
def _speed() -> float:
    """How many times longer this machine takes than the one that the costs were measured on."""
    (then,) = (row.value for row in costs() if row.job == "calibration")
    return min(max(calibrate() / then, 0.1), 10.0)


def _table_cost(job: str, name: str, subject: str, work: float) -> float | None:
    """Measured cost of the nearest amount of work; of the median subject where this one is new."""
    known = [row for row in costs() if row.job == job and row.name == name]
    own = [row for row in known if row.subject == subject]
    if not own and job == "fit":
        return None
    nearest: dict[str, Row] = {}
    for row in sorted(own or known, key=lambda row: abs(np.log(work / row.work))):
        nearest.setdefault(row.subject, row)
    if not nearest:
        return None
    return _speed() * median(row.value * work / row.work for row in nearest.values())


def _stored_cost(store: Store, key: str, rows: int) -> float | None:
    stored: Any = store.get_json("times", key)
    return None if stored is None else float(stored["seconds_per_row"]) * rows


def _attack_cost(step: Step, store: Store, schema: str, rows: int) -> float | None:
    found = _stored_cost(store, attack_key(step.attack, step.entry.method, schema), rows)
    if found is not None:
        return found
    work = work_of(_settings(step.attack), rows)
    return _table_cost("attack", step.attack_name, _name_of(step.entry), work)


def _settings(part: Any) -> dict[str, Any]:
    """The numeric settings of a component and of what it is made of, the component's own last."""
    values = [getattr(part, field.name) for field in fields(part)] if is_dataclass(part) else []
    found: dict[str, Any] = {}
    for value in values:
        found |= _settings(value) if is_dataclass(value) else {}
    named = {field.name: getattr(part, field.name) for field in fields(part)} if values else {}
    return found | {name: n for name, n in named.items() if type(n) in (int, float)}


def _name_of(entry: Entry) -> str:
    generator = getattr(entry.method, "generator", None)
    module = type(generator).__module__ if generator is not None else ""
    return subject_name(entry.method_name, entry.learner_name or module.rpartition(".")[2])


class _Subject:
    """What is known of one subject before it is trained: its costs, and what it will show."""

    def __init__(self, entry: Entry, key: str, bench: Bench) -> None:
        self.entry, method, rows = entry, entry.method, len(bench.split.members)
        name, schema = _name_of(entry), bench.split.members.schema
        row = next((r for r in costs() if (r.job, r.subject) == ("fit", name)), None)
        facts: Any = bench.store.get_json("facts", key)
        names = facts["access"] if facts is not None else row.access if row is not None else None
        self.fit = _stored_cost(bench.store, method_key(method, schema), rows)
        if self.fit is None and row is not None:
            # Measured with two outcome classes; trees are grown, and gradients taken, for each.
            work = work_of(_fit_settings(method), rows) * max(
                1.0, len(bench.split.members.classes) / 2
            )
            self.fit = _table_cost("fit", "", name, work)
        self.probed = (self.fit is None or names is None) and not method.costly
        self.access = frozenset(Access if names is None else map(Access, names))
        if self.probed:
            seconds, shown = _probe(method, bench)
            self.fit = seconds if self.fit is None else self.fit
            self.access = self.access if shown is None or names is not None else shown
        self.refit = self.fit
        if method.supplied and method.twin is not method:
            self.refit, _ = _probe(method.twin, bench)
        self.powers = self.access - {Access.RERUN, Access.SEAT}
        self.powers |= {Access.RERUN} if method.reruns else set()
        self.powers |= {Access.SEAT} if method.seats else set()


def _fit_settings(method: Method) -> dict[str, Any]:
    """The settings that training time is proportional to; a learner's rows are its batches."""
    return {name: n for name, n in _settings(method).items() if name in ("epochs", "rounds")}


def _probe(method: Method, bench: Bench) -> tuple[float | None, frozenset[Access] | None]:
    """Train on a few records: seconds of CPU for all members, and what the release shows."""
    rng = bench.seeds.rng("probe")
    members = bench.split.members
    few = members.take(np.sort(rng.permutation(len(members))[:PROBE]))
    times: list[float] = []
    try:
        with one_thread():
            while not times or (len(times) == 1 and times[0] < LONG):
                start = time.process_time()
                release = method.fit(few, rng)
                times.append(time.process_time() - start)
    except Exception:
        # A probe that fails tells nothing: the real fit will report its own error.
        return None, None
    return min(times) / len(few) * len(members), release.access


def _row_bytes(records: Records) -> int:
    size = records.X.nbytes + (0 if records.series is None else records.series.nbytes)
    return int(size // max(1, len(records)))
