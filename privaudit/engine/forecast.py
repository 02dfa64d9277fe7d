"""How long and how much memory: from times kept on this machine, or from training on a few rows."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from privaudit.contracts import Attack, Method
from privaudit.engine.jobs import Bench, one_thread
from privaudit.engine.plan import Plan
from privaudit.engine.store import Store, key_of
from privaudit.engine.version import code
from privaudit.records import Records

PROBE = 150
"""Rows of the trial fit where no time is known."""

LONG = 0.5
"""Seconds from which a trial fit is not made twice: first-time costs no longer matter."""

BASE_MEMORY = 450_000_000
"""Bytes of a process with the numeric libraries loaded."""


@dataclass(frozen=True)
class Forecast:
    """Seconds of wall time and peak bytes, each as a range.

    methods: subject -> seconds to train one model on the members, 0 where it is not known; untimed:
    attacks and costly subjects that never ran on this machine, whose own time is not in the range.
    """

    low: float
    high: float
    memory_low: int
    memory_high: int
    methods: dict[str, float]
    untimed: tuple[str, ...]


def method_key(method: Method, schema: str) -> str:
    """Names the time of training this method on tables of this schema."""
    return key_of("time", repr(method), code(method), schema)


def attack_key(attack: Attack, method: Method, schema: str) -> str:
    return key_of("time", repr(attack), repr(method), code(attack), schema)


def keep_time(store: Store, key: str, seconds: float, rows: int) -> None:
    """Remember seconds a row."""
    if rows > 0 and seconds > 0:
        store.put_json("times", key, {"seconds_per_row": seconds / rows, "rows": rows})


def forecast(plan: Plan, bench: Bench, jobs: int, todo: set[str] | None = None) -> Forecast:
    """Time and memory of what is to be done. todo: keys of the steps that are not in the store yet.

    Where this machine never trained a method, it is trained once on a few rows, and the range is
    wide: early stopping, batches and caches make training anything but linear in rows.
    """
    split = bench.split
    schema = split.members.schema
    rates: dict[str, tuple[float, bool]] = {}
    methods: dict[str, float] = {}
    for fit in plan.fits:
        if fit.variant == "subject":
            rates[repr(fit.entry.method)] = rate = _rate(fit.entry.method, bench, schema)
            # Refits with malicious clients take about as long as the method that they are made from.
            method = fit.entry.method
            for kind in (method, method.twin, method.nearness):
                if kind is not None:
                    rates.setdefault(repr(kind), rate)
                    rates.setdefault(type(kind).__name__, rate)
            methods[fit.entry.name] = rate[0] * len(split.members)
    low = high = 0.0

    def add(seconds: float, known: bool) -> None:
        nonlocal low, high
        low += seconds * (0.7 if known else 0.3)
        high += seconds * (1.5 if known else 3.0)

    def wanted(key: str) -> bool:
        return todo is None or key in todo

    for fit in plan.fits:
        if wanted(fit.key):
            rate = rates[repr(fit.entry.method)]
            add(rate[0] * fit.rows, rate[1])
    for group in plan.groups.values():
        if wanted(group.key):
            rate = rates.get(repr(group.method)) or rates[type(group.method).__name__]
            add(rate[0] * group.rows, rate[1])
    untimed: set[str] = {
        fit.entry.name
        for fit in plan.fits
        if wanted(fit.key) and fit.entry.method.costly and not methods.get(fit.entry.name)
    }
    audit_rows = len(split.members) + len(split.nonmembers)
    for step in plan.steps:
        if wanted(step.key):
            kept = bench.store.get_json("times", attack_key(step.attack, step.entry.method, schema))
            if kept is None:
                untimed.add(step.attack_name)
            else:
                add(kept["seconds_per_row"] * audit_rows, True)
    row = _row_bytes(split.members)
    batch = max((len(group.refits) for group in plan.groups.values()), default=1)
    tables = row * (audit_rows + len(split.reference))
    worker = batch * row * audit_rows // 2
    memory_low = BASE_MEMORY + tables + jobs * (BASE_MEMORY // 2 + worker)
    memory_high = BASE_MEMORY + 4 * tables + jobs * (2 * BASE_MEMORY + 3 * worker)
    start = 3.0 if jobs > 1 else 0.0
    return Forecast(
        low / jobs + start,
        high / jobs + 2 * start,
        int(memory_low),
        int(memory_high),
        methods,
        tuple(sorted(untimed)),
    )


def _row_bytes(records: Records) -> int:
    size = records.X.nbytes + (0 if records.series is None else records.series.nbytes)
    return int(size // max(1, len(records)))


def _rate(method: Method, bench: Bench, schema: str) -> tuple[float, bool]:
    """CPU seconds a row of training, and whether this was seen on a whole fit."""
    key = method_key(method, schema)
    kept: Any = bench.store.get_json("times", key)
    if kept is not None:
        return float(kept["seconds_per_row"]), True
    if method.costly:
        return 0.0, False
    rng = bench.seeds.rng("probe")
    members = bench.split.members
    few = members.take(np.sort(rng.permutation(len(members))[:PROBE]))
    try:
        with one_thread():
            start = time.process_time()
            method.fit(few, rng)
            first = again = time.process_time() - start
            if first < LONG:
                start = time.process_time()
                method.fit(few, rng)
                again = time.process_time() - start
    except Exception:
        # A probe that breaks says nothing: the real fit will speak for itself.
        return 0.0, False
    return min(first, again) / len(few), False
