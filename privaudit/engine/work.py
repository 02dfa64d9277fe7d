"""The steps of a run: which are still to be done, where they are done, and what came of them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from privaudit.contracts import Access, Release
from privaudit.engine import jobs
from privaudit.engine.configure import Entry, Request
from privaudit.engine.events import Event, Listener
from privaudit.engine.folder import Folder
from privaudit.engine.forecast import (
    Forecast,
    announce,
    attack_key,
    forecast,
    method_key,
    store_time,
)
from privaudit.engine.jobs import Bench, Done, Fault, Job
from privaudit.engine.nulls import is_compared, is_trained
from privaudit.engine.plan import Fit, Plan, Step, judge_key
from privaudit.engine.spread import spread
from privaudit.engine.store import Store, key_of
from privaudit.engine.version import code_of_package
from privaudit.errors import PrivauditError
from privaudit.facts import Reason, ReasonCode
from privaudit.results import Untrained


class Stage:
    """Reports to a listener how one stage goes."""

    def __init__(self, listen: Listener, name: str, total: float = 0.0) -> None:
        self.listen, self.name, self.total = listen, name, total
        self.start = time.perf_counter()
        self.done = 0.0
        listen(Event(name, "start", total=total))

    def step(
        self,
        what: str,
        done: float | None = None,
        total: float | None = None,
        failed: bool = False,
    ) -> None:
        self.done = self.done + 1 if done is None else done
        seconds = time.perf_counter() - self.start
        event = Event(self.name, "step", what, self.done, total or self.total, seconds, failed)
        self.listen(event)

    def note(self, what: str) -> None:
        """Tell of what was left out."""
        self.listen(Event(self.name, "note", what, self.done, self.total))

    def end(self, what: str = "") -> None:
        seconds = time.perf_counter() - self.start
        self.listen(Event(self.name, "end", what, self.total, self.total, seconds))


@dataclass
class Work:
    """The steps of one run, what came of them, and what is still to be done."""

    request: Request
    bench: Bench
    plan: Plan
    workers: int
    listen: Listener
    folder: Folder | None
    releases: dict[str, Release] = field(default_factory=dict)
    faults: dict[str, Fault] = field(default_factory=dict)
    trained: int = 0
    reused: int = 0
    cpu: float = 0.0
    peaks: dict[int, int] = field(default_factory=dict)
    untrained: dict[str, Untrained] = field(default_factory=dict)
    made: list[str] = field(default_factory=list)
    cached: list[str] = field(default_factory=list)
    measured: dict[str, Any] = field(default_factory=dict)

    @property
    def store(self) -> Store:
        return self.bench.store

    def todo(self) -> set[str]:
        """Keys of the steps, fits and groups of refits that the store does not hold yet."""
        steps = [step for step in self.plan.steps if self._missing(step)]
        groups = self._needed_groups()
        needed = {self.fit(step).key for step in steps}
        fits = {
            fit.key
            for fit in self.plan.fits
            if fit.key in needed or self._facts(fit) is None or self._lacks_fidelity(fit)
        }
        stored = {key for key in groups if self.store.has_arrays("margins", key)}
        return {step.key for step in steps} | (groups - stored) | fits

    def do(self) -> None:
        """Everything that the store does not hold: train, attack, measure."""
        stage = Stage(self.listen, "plan")
        todo = self.todo()
        expected = forecast(self.plan, self.bench, self.workers, todo)
        stage.end(announce(expected, self.workers))
        groups = {k: g for k, g in self.plan.groups.items() if not g.method.supplied}
        self.reused = sum(len(g.refits) for key, g in groups.items() if key not in todo)
        for key, label in self._labels().items():
            (self.made if key in todo else self.cached).append(label)
        self._train(todo, expected)
        self._compare_tables()
        self._attack()
        self._measure()

    def repeat(self) -> None:
        """Train and attack again, without measuring or comparing what came of it."""
        todo = self.todo()
        self._train(todo, forecast(self.plan, self.bench, self.workers, todo))
        self._attack()

    def _labels(self) -> dict[str, str]:
        """Every step by its key, as a person names it."""
        found = {fit.key: f"train {fit.entry.name} ({fit.variant})" for fit in self.plan.fits}
        for key, group in self.plan.groups.items():
            if not group.method.supplied:
                found[key] = f"{len(group.refits)} refits {key[:12]}"
        for step in self.plan.steps:
            if step.error is None:
                found[step.key] = f"{step.attack_name} on {step.entry.name} ({step.variant})"
        return found

    @property
    def has_trained(self) -> bool:
        """Whether anything was trained by now, so that there is something to come back to."""
        return bool(self.releases or self.trained)

    @property
    def entries(self) -> list[Entry]:
        """The subjects that were trained."""
        return [entry for entry in self.request.entries if entry.name not in self.untrained]

    def lacks(self, step: Step, access: frozenset[Access]) -> Reason | None:
        """Why a step's attack does not apply; None where it does."""
        return jobs.lacks(step.attack, access, self.bench.split.members.outcome_kind)

    def _missing(self, step: Step) -> bool:
        if step.error is not None or step.entry.name in self.untrained:
            return False
        facts = self._facts(self.fit(step))
        if facts is not None and self.lacks(step, access_of(facts, step.entry)):
            return False
        found = self.store.get_json("findings", step.key)
        return found is None or not self.store.has_arrays("evidence", step.key)

    def fit(self, step: Step) -> Fit:
        bench = self.bench
        again = step.variant == "negative" and is_trained(
            step.entry.method, step.attack, bench.split, supplied=bench.supplied
        )
        variant = "negative" if again else "subject"
        return next(
            fit
            for fit in self.plan.fits
            if fit.entry.name == step.entry.name and fit.variant == variant
        )

    def _facts(self, fit: Fit) -> Any:
        facts = self.store.get_json("facts", fit.key)
        if facts is None:
            return None
        if Access.ANSWERS.name in facts["access"] and not self.store.has_arrays("answers", fit.key):
            return None
        return facts

    def _needed_groups(self) -> set[str]:
        """Keys of the groups of refits that are still to be read: by an attack, by the measurement
        of a subject, or, where shadow models were supplied, to be stored with the run."""
        unread: set[str] = set()
        for entry in self.entries:
            evidences = self._expected(entry)
            known = self._subject_key(entry, evidences, self._expected(entry, "negative"))
            if self.store.get_json("subjects", known) is None:
                unread |= set(evidences.values())
        return {
            key
            for step in self.plan.steps
            if step.key in unread or step.entry.method.shadows or self._missing(step)
            for key in step.groups
        }

    def _expected(self, entry: Entry, variant: str = "subject") -> dict[str, str]:
        """The evidence that a subject will be measured by where no attack fails, by attack; or that
        of the nulls that it is compared with."""
        facts = self._facts(self._own_fit(entry))
        return {
            step.attack_name: step.key
            for step in self.plan.steps
            if step.entry.name == entry.name
            and step.variant == variant
            and self._is_measured(step)
            and step.error is None
            and (facts is None or not self.lacks(step, access_of(facts, entry)))
        }

    def _is_measured(self, step: Step) -> bool:
        """Whether the measurement of a subject reads what this step found."""
        bench = self.bench
        return step.attack.family == "membership" and (
            step.variant == "subject"
            or (
                step.variant == "negative"
                and is_compared(
                    step.entry.method, step.attack, bench.split, supplied=bench.supplied
                )
            )
        )

    def _own_fit(self, entry: Entry) -> Fit:
        return next(f for f in self.plan.fits if f.entry is entry and f.variant == "subject")

    def _subject_key(
        self, entry: Entry, evidences: dict[str, str], compared: dict[str, str]
    ) -> str:
        judge = judge_key(self.request.confidence)
        read = sorted(evidences.items()), sorted(compared.items())
        return key_of("subject", self._own_fit(entry).key, *read, judge)

    def _train(self, todo: set[str], expected: Forecast) -> None:
        rate = expected.methods
        by_kind = {type(e.method): rate.get(e.name, 0.0) for e in self.request.entries}
        by_method = {repr(e.method): rate.get(e.name, 0.0) for e in self.request.entries}
        queue: list[tuple[float, Job]] = []
        for fit in self.plan.fits:
            if fit.key in todo:
                name = fit.entry.name
                what = {
                    "key": fit.key,
                    "name": name,
                    "method": fit.entry.method,
                    "variant": fit.variant,
                }
                label = f"{name}{' (null)' if fit.variant == 'negative' else ''}"
                queue.append((rate.get(name, 0.0), Job("fit", fit.key, label, jobs.fit, what)))
        needed = self._needed_groups()
        for group in self.plan.groups.values():
            if group.key not in needed:
                continue
            # Attacks and measurements read the tables too: they are stored even where the refits
            # are there.
            wanted = [
                {
                    "pool": self.bench.tables.put_records(refit.pool),
                    "ask": self.bench.tables.put_records(refit.ask),
                    "included": refit.included,
                    "name": refit.name,
                }
                for refit in group.refits
            ]
            if group.key in todo:
                what = {"key": group.key, "method": group.method, "wanted": wanted}
                one = by_method.get(repr(group.method), by_kind.get(type(group.method), 0.0))
                cost = one * len(wanted)
                label = f"{len(wanted)} refits"
                queue.append((cost, Job("refit", group.key, label, jobs.refit, what)))
        queue.sort(key=lambda pair: -pair[0])
        fits = {fit.key: fit for fit in self.plan.fits}
        schema = self.bench.split.members.schema
        for done in self._work("train", [job for _, job in queue]):
            if done.fault is not None:
                self._fault(done)
            elif done.kind == "fit":
                fit = fits[done.key]
                self.releases[done.key] = done.value[0]
                if fit.variant == "subject":
                    key = method_key(fit.entry.method, schema)
                    store_time(self.store, key, done.cpu, fit.rows)
            elif not self.plan.groups[done.key].method.supplied:
                self.trained += done.value
        for fit in fits.values():
            if fit.variant == "subject" and fit.key in self.faults:
                self._without(fit, self.faults[fit.key])

    def _without(self, fit: Fit, fault: Fault) -> None:
        """A subject that was not trained: a result where all methods were asked for or a library is
        not installed, an error where the user named it."""
        if not (self.request.every or fault.is_missing_library):
            raise fault.own or RuntimeError(f"a subject could not be trained:\n{fault.trace}")
        entry = fit.entry
        failed = fault.reason.code is ReasonCode.FAILED
        self.untrained[entry.name] = Untrained(entry.name, entry.method_name, fault.reason, failed)
        if not self.entries:
            raise fault.own or PrivauditError(
                "no model could be trained",
                "; ".join(f"{n}: {show_params(u.reason)}" for n, u in self.untrained.items()),
                "install what is missing, or name other methods",
            )

    def _lacks_fidelity(self, fit: Fit) -> bool:
        """Whether this subject's synthetic table is still to be measured."""
        facts = self.store.get_json("facts", fit.key)
        return (
            facts is not None
            and fit.variant == "subject"
            and Access.TABLE.name in facts["access"]
            and self.store.get_json("fidelity", self.fidelity_key(fit)) is None
        )

    def fidelity_key(self, fit: Fit) -> str:
        """The key of a synthetic table's fidelity."""
        judges = sorted((name, repr(learner)) for name, learner in self.request.judges.items())
        made_by = code_of_package("privaudit.fidelity"), code_of_package("privaudit.stats")
        return key_of("fidelity", fit.key, judges, *made_by, self.request.confidence)

    def _compare_tables(self) -> None:
        """Compare every synthetic table with the real one."""
        queue = []
        for fit in self.plan.fits:
            release = self.releases.get(fit.key)
            if release is None or release.table is None or not self._lacks_fidelity(fit):
                if self.store.get_json("fidelity", self.fidelity_key(fit)) is not None:
                    self.cached.append(f"compare the table of {fit.entry.name}")
                continue
            self.made.append(f"compare the table of {fit.entry.name}")
            what = {
                "key": self.fidelity_key(fit),
                "table": release.table,
                "judges": dict(self.request.judges),
                "noisy": dict(release.noisy),
            }
            queue.append(Job("fidelity", fit.key, fit.entry.name, jobs.fidelity, what))
        if not queue:
            return
        for done in self._work("compare", queue):
            if done.fault is not None:
                self._fault(done)
                raise done.fault.own or RuntimeError(
                    f"a synthetic table was not measured:\n{done.fault.trace}"
                )

    def _attack(self) -> None:
        queue = []
        for step in self.plan.steps:
            fit = self.fit(step)
            if not self._missing(step) or fit.key in self.faults:
                continue
            lost = next((key for key in step.groups if key in self.faults), None)
            if lost is not None:
                self.faults[step.key] = self.faults[lost]
                continue
            release = self.releases.get(fit.key)
            if release is None:
                raise RuntimeError("an attack's release was neither stored nor trained")
            reason = self.lacks(step, release.access | privileges(step.entry))
            if reason is None:
                what = {
                    "key": step.key,
                    "stream": step.stream,
                    "attack": step.attack,
                    "method": step.entry.method,
                    "groups": step.groups,
                    "release": jobs.strip_release(release, step.attack),
                }
                label = f"{step.attack_name} on {step.entry.name}"
                label += "" if step.variant == "subject" else f" ({step.variant} control)"
                queue.append((step, Job("attack", step.key, label, jobs.attack, what)))
        queue.sort(key=lambda pair: pair[0].attack.family == "membership")
        schema = self.bench.split.members.schema
        rows = len(self.bench.split.audit)
        steps = {step.key: step for step, _ in queue}
        for done in self._work("attack", [job for _, job in queue]):
            if done.fault is not None:
                self._fault(done)
            else:
                step = steps[done.key]
                key = attack_key(step.attack, step.entry.method, schema)
                store_time(self.store, key, done.cpu, rows)

    def _measure(self) -> None:
        queue, keys = [], {}
        for entry in self.entries:
            read = [
                step
                for step in self.plan.steps
                if step.entry.name == entry.name
                and self._is_measured(step)
                and self.store.get_json("findings", step.key) is not None
            ]
            own = [step for step in read if step.variant == "subject"]
            evidences = {step.attack_name: step.key for step in own}
            compared = {step.attack_name: step.key for step in read if step not in own}
            key = self._subject_key(entry, evidences, compared)
            keys[entry.name] = key
            known = self.store.get_json("subjects", key) is not None
            (self.cached if known else self.made).append(f"measure {entry.name}")
            if not known:
                what = {
                    "key": key,
                    "name": entry.name,
                    "method": entry.method,
                    "answers": self._own_fit(entry).key,
                    "evidences": evidences,
                    "compared": compared,
                    "groups": {step.attack_name: step.groups for step in own},
                    "attacks": {step.attack_name: step.attack for step in own},
                }
                queue.append(Job("subject", key, entry.name, jobs.subject, what))
        for done in self._work("measure", queue):
            if done.fault is not None:
                self._fault(done)
                raise done.fault.own or RuntimeError(
                    f"a subject was not measured:\n{done.fault.trace}"
                )
        self.measured = {name: self.store.get_json("subjects", key) for name, key in keys.items()}

    def _fault(self, done: Done) -> None:
        if done.fault is not None:
            self.faults[done.key] = done.fault
            if self.folder is not None and done.fault.is_failure:
                self.folder.store_failure(done.name, done.fault.trace)

    def _work(self, name: str, queue: Sequence[Job]) -> Iterator[Done]:
        stage = Stage(self.listen, name, float(len(queue)))
        temporary = None if self.folder is None else str(self.folder.restricted / "tables")
        told: set[str] = set()
        subjects = {fit.key for fit in self.plan.fits if fit.variant == "subject"}
        for done in spread(queue, self.bench, self.workers, temporary):
            self.cpu += done.cpu if done.process != own_process() else 0.0
            self.peaks[done.process] = max(done.memory, self.peaks.get(done.process, 0))
            why = "" if done.fault is None else f" ({show_params(done.fault.reason)})"
            if done.fault is not None and not done.fault.is_failure:
                stage.step(f"{done.name}: skipped{why}")
                # A method that refuses these records refuses its null and every refit too.
                if why not in told or done.key in subjects:
                    stage.note(f"{done.name}: skipped{why}")
                told.add(why)
            else:
                failed = done.fault is not None
                stage.step(f"{done.name}: failed{why}" if failed else done.name, failed=failed)
            yield done
        stage.end(f"{len(queue)} steps" if queue else "nothing left to do")


def refuse_untrainable(request: Request) -> None:
    """Refuse settings out of range, and a run of which no method can be trained for want of a
    library, before anything is trained. One method of several without its library is a result."""
    missing: list[PrivauditError] = []
    for entry in request.entries:
        try:
            entry.method.check()
        except PrivauditError as error:
            if jobs.fault_of(error).is_missing_library:
                missing.append(error)
            elif not request.every:
                raise
    if missing and len(missing) == len(request.entries):
        raise missing[0]


def show_params(reason: Reason) -> str:
    """A reason's parameters as they came, for progress and errors on the console."""
    return "; ".join(str(value) for value in reason.params.values() if value)


def own_process() -> int:
    return os.getpid()


def privileges(entry: Entry) -> frozenset[Access]:
    """What the auditor can do beyond holding the release."""
    again = [Access.RERUN] if entry.method.reruns else []
    return frozenset({*again, *([Access.SEAT] if entry.method.seats else [])})


def access_of(facts: Any, entry: Entry) -> frozenset[Access]:
    """What a release shows, and the auditor's privileges."""
    return frozenset(Access[name] for name in facts["access"]) | privileges(entry)
