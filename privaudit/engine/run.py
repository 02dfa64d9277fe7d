"""Run an audit: plan it, train, attack, measure, write. What is in the store is not done again."""

from __future__ import annotations

import hashlib
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from privaudit import __version__, plugins
from privaudit.contracts import Prepared
from privaudit.engine import document, jobs
from privaudit.engine.configure import Request
from privaudit.engine.events import Listener, silent, to_file
from privaudit.engine.folder import Folder, make_private
from privaudit.engine.forecast import Forecast, forecast
from privaudit.engine.guarantees import DEFECT
from privaudit.engine.jobs import Bench
from privaudit.engine.plan import Plan, plan
from privaudit.engine.store import Store
from privaudit.engine.subjects import subject
from privaudit.engine.version import packages
from privaudit.engine.work import Stage, Work, own_process
from privaudit.errors import PrivauditError
from privaudit.records import Split
from privaudit.results import (
    Attempts,
    Audit,
    Control,
    Failed,
    Finding,
    Manifest,
    Subject,
    Untrained,
)
from privaudit.seeds import Seeds
from privaudit.stats.version import STATISTICS

Report = Callable[[Audit, Path], object]


class Witness(Protocol):
    """Who keeps account of the audits made on a shelf of runs."""

    def commit(self, value: str) -> str:
        """What stands for a fingerprint in a document that leaves: nobody can guess the data from it."""
        ...

    def saw(self, run: str, task: str, data: str) -> Attempts:
        """Told once the data are read, by their commitment; how often they were tried so far."""
        ...


@dataclass(frozen=True)
class Finished:
    """A run that came to its end. code: 0, or 5 where something is wrong with it (`verdict`)."""

    audit: Audit
    folder: Path
    code: int
    trained: int
    reused: int


def cores() -> int:
    """Cores that this process may use."""
    import joblib

    return int(joblib.cpu_count())


def run(
    request: Request,
    *,
    out: Path,
    data: Path | None = None,
    workers: int | None = None,
    listen: Listener = silent,
    report: Report | None = None,
    witness: Witness | None = None,
) -> Finished:
    """Audit every subject of the request and write the run folder under `out`.

    workers: processes of one thread each, all cores unless told; inside
    `joblib.parallel_config(backend=...)` the work goes to that backend, whose workers must see
    `out`. report: writes the report files beside audit.json. witness: without one, the document names
    neither the data nor the split, and counts no attempts. Ctrl-C or a kill loses only the steps
    in progress: the same request and `out` finds the finished ones again.
    """
    workers = cores() if workers is None else workers
    if workers < 1:
        raise PrivauditError(
            f"{workers} jobs", "work needs at least one process", "give --jobs 1 or more"
        )
    folder = Folder.start(out, request.task_name)
    tell = to_file(folder.events, listen)
    shelf = make_private(out / "restricted")
    begun = Clock()
    stage = Stage(tell, "prepare")
    try:
        prepared = request.task.prepare(
            data, shelf / "cache", lambda what, share: stage.step(what, share, 1.0)
        )
        split = tossed(prepared, request)
    except PrivauditError:
        folder.discard()
        raise
    stage.end(f"{len(prepared.records)} records")
    seen = None
    if witness is not None:
        data_name = witness.commit(prepared.records.fingerprint)
        split_name = witness.commit(fingerprint(split))
        attempts = witness.saw(folder.name, request.task_name, data_name)
        seen = (data_name, split_name, attempts)
    with Tables(folder.restricted / "tables") as tables:
        bench = shelve(request, split, Store(str(shelf / "store")), tables)
        work = Work(request, bench, plan(request, split), workers, tell, folder)
        work.do()
        stage = Stage(tell, "write")
        subjects = [
            warned(subject(work, entry), prepared.distribution_shift) for entry in work.entries
        ]
        audit = whole(request, prepared, split, subjects, work, begun, folder.name, seen)
        keep_restricted(folder, split, prepared, work)
        folder.finish(audit, report)
        folder.make_latest()
        stage.end("report")
    return Finished(audit, folder.root, verdict(audit), work.trained, work.reused)


def forecast_only(
    request: Request, *, out: Path, data: Path | None = None, workers: int | None = None,
    listen: Listener = silent,
) -> tuple[Plan, Forecast, set[str]]:  # fmt: skip
    """What `run` would do, how long, and how much memory; keys of the steps still to be done."""
    import tempfile

    workers = cores() if workers is None else workers
    shelf = make_private(out / "restricted")
    stage = Stage(listen, "prepare")
    prepared = request.task.prepare(
        data, shelf / "cache", lambda what, share: stage.step(what, share, 1.0)
    )
    stage.end(f"{len(prepared.records)} records")
    split = tossed(prepared, request)
    with (
        tempfile.TemporaryDirectory(dir=shelf, prefix="plan-") as scratch,
        Tables(Path(scratch)) as t,
    ):
        bench = shelve(request, split, Store(str(shelf / "store")), t)
        work = Work(request, bench, plan(request, split), workers, listen, None)
        todo = work.todo()
        return work.plan, forecast(work.plan, bench, workers, todo), todo


def tossed(prepared: Prepared, request: Request) -> Split:
    """Who was trained on: as given, or by a fair coin for each patient."""
    if prepared.split is not None:
        return prepared.split
    return Split.assign(prepared.records, Seeds(request.entropy).rng("split"))


class Tables:
    """The tables of a run in progress, on disk for the workers to map; removed with the run."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __enter__(self) -> Store:
        self.root.mkdir(parents=True, exist_ok=True)
        return Store(str(self.root))

    def __exit__(self, *_: object) -> None:
        import shutil

        shutil.rmtree(self.root, ignore_errors=True)


def shelve(request: Request, split: Split, store: Store, tables: Store) -> Bench:
    """Put the pools where workers can map them."""
    keys = tuple(
        tables.put_records(pool) for pool in (split.members, split.nonmembers, split.reference)
    )
    return Bench(store, tables, keys, request.entropy, request.confidence)  # type: ignore[arg-type]


class Clock:
    """Wall and CPU seconds since it was made."""

    def __init__(self) -> None:
        self.wall, self.cpu = time.perf_counter(), time.process_time()
        self.created = datetime.now(UTC).isoformat(timespec="seconds")

    def seconds(self) -> tuple[float, float]:
        return time.perf_counter() - self.wall, time.process_time() - self.cpu


def keep_restricted(folder: Folder, split: Split, prepared: Prepared, work: Work) -> None:
    """The split, the exact flow, and every attack's evidence record by record."""
    from privaudit.engine.folder import write_text

    folder.write_split(split)
    rows = ["step,excluded_stays,stays,patients"]
    rows += [
        f'"{s.step.replace(chr(34), chr(39))}",{s.excluded_stays},{s.stays},{s.patients}'
        for s in prepared.flow
    ]
    write_text(folder.restricted / "flow.csv", "\n".join(rows) + "\n")
    write_text(folder.restricted / "argv.txt", " ".join(sys.argv) + "\n")
    for step in work.plan.steps:
        arrays = work.store.get_arrays("evidence", step.key)
        if arrays is not None:
            variant = "" if step.variant == "subject" else f"-{step.variant}"
            folder.write_scores(step.entry.name, f"{step.attack_name}{variant}", arrays)
    for fit in work.plan.fits:
        arrays = work.store.get_arrays("answers", fit.key)
        if fit.variant == "subject" and arrays is not None:
            folder.write_answers(fit.entry.name, arrays)


def fingerprint(split: Split) -> str:
    """One name for who is in which pool."""
    pools = (split.members, split.nonmembers, split.reference)
    return hashlib.sha256("".join(pool.fingerprint for pool in pools).encode()).hexdigest()


def whole(
    request: Request,
    prepared: Prepared,
    split: Split,
    subjects: Sequence[Subject],
    work: Work,
    begun: Clock,
    name: str,
    seen: tuple[str, str, Attempts] | None = None,
) -> Audit:
    """The document."""
    wall, cpu = begun.seconds()
    peaks = [peak for pid, peak in work.peaks.items() if pid != own_process()]
    made = Manifest(
        run=name,
        created=begun.created,
        version=__version__,
        python=platform.python_version(),
        platform=platform.platform(terse=True),
        packages=packages(),
        command=request.command,
        profile=request.profile,
        entropy=request.entropy,
        confidence=request.confidence,
        records_fingerprint=seen[0] if seen else "",
        split_fingerprint=seen[1] if seen else "",
        attempts=seen[2] if seen else None,
        statistics=STATISTICS,
        seconds=wall,
        cpu_seconds=cpu + work.cpu,
        peak_memory_bytes=jobs.peak_memory() + sum(sorted(peaks)[-work.workers :]),
        refits={
            "distinct": work.plan.refits,
            "trained": work.trained,
            "reused": work.reused,
            "asked_for": work.plan.wanted,
        },
    )
    families = {
        name: family_of(plugins.load("attacks", name)) for name in plugins.members("attacks")
    }
    title, positive = request.task.title, request.task.positive
    untrained = (*request.untrained, *work.untrained.values())
    return Audit(
        manifest=made,
        data=document.data(
            request.task_name, title, positive, prepared, split, request.exact_counts
        ),
        subjects=tuple(subjects),
        coverage=document.coverage(subjects, families, set(request.attacks)),
        caveats=caveats(prepared, subjects, untrained),
        untrained=untrained,
    )


def warned(one: Subject, unfair: str) -> Subject:
    """The subject with what makes its membership numbers mean something else said beside each of them."""
    if not unfair:
        return one

    def told(outcome: Any) -> Any:
        if not isinstance(outcome, Finding) or outcome.family != "membership":
            return outcome
        return replace(outcome, caveats=(*outcome.caveats, unfair))

    return replace(one, headline=told(one.headline), outcomes=tuple(told(o) for o in one.outcomes))


def family_of(attack: Any) -> str:
    return str(attack.family)


def caveats(
    prepared: Prepared, subjects: Sequence[Subject], untrained: Sequence[Untrained] = ()
) -> tuple[str, ...]:
    """What a reader must know before any number."""
    found = []
    if not prepared.real:
        found.append(
            "The records were generated: no number in this report describes patients or any "
            "hospital's data."
        )
    found += prepared.caveats
    void = [(s, c) for s in subjects for c in s.controls if invalid(c)]
    if void:
        named = ", ".join(f"{c.attack} on {s.name} ({c.kind} control)" for s, c in void)
        found.append(f"Controls failed, so these attacks' findings cannot be relied on: {named}.")
    weak = [(s, c) for s in subjects for c in s.controls if not c.passed and not invalid(c)]
    if weak:
        named = ", ".join(f"{c.attack} on {s.name}" for s, c in weak)
        found.append(
            "A planted leak was missed, so a low reading of these attacks speaks for nothing: "
            f"{named}."
        )
    broken = sorted({o.attack for s in subjects for o in s.outcomes if isinstance(o, Failed)})
    if broken:
        found.append(f"Attacks broke and say nothing about the risk: {', '.join(broken)}.")
    found += [
        f"Defect in {name}: {caveat.removeprefix(DEFECT)}." for name, caveat in defects(subjects)
    ]
    if untrained:
        names = ", ".join(one.name for one in untrained)
        found.append(f"Asked for and not trained, so that nothing is known about them: {names}.")
    return tuple(found)


def defects(subjects: Sequence[Subject]) -> list[tuple[str, str]]:
    """(subject, caveat) for every promise that an attack shows to be broken."""
    return [
        (one.name, caveat)
        for one in subjects
        for outcome in one.outcomes
        if isinstance(outcome, Finding)
        for caveat in outcome.caveats
        if caveat.startswith(DEFECT)
    ]


def verdict(audit: Audit) -> int:
    """The exit code.

    5 where a null control reads as a leak or a control broke, an attack or a method broke, or a promise
    does not hold; 3, inconclusive, where every attack on a model missed the leak planted in it;
    else 0. One attack without power beside others with it is a caveat.
    """
    if defects(audit.subjects) or any(one.broke for one in audit.untrained):
        return 5
    code = 0
    for one in audit.subjects:
        if any(invalid(control) for control in one.controls):
            return 5
        if any(isinstance(outcome, Failed) for outcome in one.outcomes):
            return 5
        planted = [control.passed for control in one.controls if control.kind == "positive"]
        if planted and not any(planted):
            code = 3
    return code


def invalid(control: Control) -> bool:
    """Whether a control says that the harness itself is at fault, not that an attack lacks power."""
    return not control.passed and (control.kind == "negative" or not control.estimates)
