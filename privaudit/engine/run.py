"""Run an audit: plan it, train, attack, measure, write. What the store holds is not done again."""

from __future__ import annotations

import hashlib
import platform
import secrets
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import numpy as np

from privaudit import __version__, plugins
from privaudit.commitments import load_key
from privaudit.contracts import Prepared
from privaudit.disclosure import steps
from privaudit.disclosure_limits import MIN_PEOPLE
from privaudit.dp.together import compose_claims
from privaudit.engine import cohorts, document, jobs, measure, planned
from privaudit.engine.configure import Request
from privaudit.engine.events import Listener, silent, to_file
from privaudit.engine.folder import Folder, private, write_text
from privaudit.engine.forecast import Forecast, forecast
from privaudit.engine.guarantees import leave_out_guarantees
from privaudit.engine.jobs import Bench
from privaudit.engine.plan import Plan, plan
from privaudit.engine.rare_names import join_rare_names
from privaudit.engine.store import Store, derive_seal_key
from privaudit.engine.subjects import mechanisms, subject
from privaudit.engine.version import packages
from privaudit.engine.work import Stage, Work, own_process, refuse_untrainable, show_params
from privaudit.errors import PrivauditError, spell
from privaudit.facts import (
    LOST_REFITS,
    UNCONFIRMED,
    Caveat,
    CaveatCode,
    Param,
    ReasonCode,
    Severity,
)
from privaudit.records import Split
from privaudit.restricted import PLANNED, TABLES, hold, keep_from_git, make_owners_own, sweep
from privaudit.results import (
    Attempts,
    Audit,
    Failed,
    Finding,
    Manifest,
    Outcome,
    Plugin,
    Skipped,
    Subject,
    Untrained,
)
from privaudit.seeds import Seeds, commit_to, derive_entropy
from privaudit.stats.headline import control_state, is_drift
from privaudit.stats.version import STATISTICS
from privaudit.stats.wrong_way import find_below_half

Report = Callable[[Audit, Path], object]


class Witness(Protocol):
    """Records the audits made in a folder of runs."""

    def commit(self, value: str) -> str:
        """What stands for a fingerprint in a document that leaves: nobody can guess the data
        from it."""
        ...

    def saw(self, run: str, task: str, data: str) -> Attempts:
        """Called once the data are read, with their commitment; how often they were audited so
        far."""
        ...

    def planned(self, run: str, plan: str) -> None:
        """Called before anything is trained, with the text of what is to be made."""
        ...


@dataclass(frozen=True)
class Finished:
    """A finished run. code: as `exit_code` gives it; results: the folder of its document and
    report, which may be shared unless it lies under restricted/."""

    audit: Audit
    folder: Path
    code: int
    trained: int
    reused: int
    results: Path


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
    key: bytes | None = None,
    allow_near_cohort: bool = False,
    expect: Callable[[str, str], None] | None = None,
    fresh: bool = False,
) -> Finished:
    """Audit every subject of the request and write the run folder under `out`.

    workers: processes of one thread each, all cores by default; inside
    `joblib.parallel_config(backend=...)` the work goes to that backend, whose workers must see
    `out`. report: writes the report files beside audit.json. witness: without one, the document
    names neither the data nor the split, and counts no attempts. key: that the seed is put under,
    the folder's own by default. allow_near_cohort: work also where the cohort differs by fewer than
    10 patients from that of an earlier audit under `out`, and then write nothing to be shared.
    expect: called with the commitments to the data and the split before anything is trained, and
    raises where they are not those wanted. fresh: take nothing from the cache of finished steps
    and leave nothing there. Otherwise Ctrl-C or a kill loses only the
    steps in progress: the same request and `out` finds the finished ones again.

    Raises:
        PrivauditError: the request, the data or the cluster cannot be worked with.
    """
    workers = cores() if workers is None else workers
    if workers < 1:
        raise PrivauditError(
            f"{workers} jobs",
            "work needs at least one process",
            f"give {spell('--jobs 1', 'jobs=1')} or more",
        )
    refuse_untrainable(request)
    sweep(out)
    folder = Folder.start(out, request.task_name)
    report_event = to_file(folder.events, listen)
    restricted = private(out / "restricted")
    keep_from_git(out, restricted)
    key = load_key(out) if key is None else key
    request = derive_streams(request, key)
    begun = Clock()
    stage = Stage(report_event, "prepare")
    try:
        prepared = join_rare_names(
            request.task.prepare(
                data, restricted / "cache", lambda what, share: stage.step(what, share, 1.0)
            )
        )
        request = leave_out_guarantees(request, prepared)
        for one in request.untrained:
            if one.reason.code is ReasonCode.SCHEMA_NOT_CHECKED:
                stage.note(f"{one.name}: skipped (the schema is not checked)")
            elif one.reason.code is ReasonCode.PEOPLE_NOT_NAMED:
                stage.note(f"{one.name}: skipped (nothing says whose each record is)")
        split = assign_split(prepared, request)
        watch = cohorts.Watch.of(out, key, prepared, split, is_open=request.exact_counts)
        overlap = watch.find()
        if overlap.near is not None and not allow_near_cohort:
            raise cohorts.refuse(overlap.near)
    except PrivauditError:
        folder.discard()
        raise
    stage.end(describe_size(prepared))
    seen = None
    if witness is not None:
        data_name = witness.commit(prepared.records.content)
        split_name = witness.commit(fingerprint(split))
        if expect is not None:
            try:
                expect(data_name, split_name)
            except PrivauditError:
                folder.discard()
                raise
        attempts = witness.saw(folder.name, request.task_name, data_name)
        seen = (data_name, split_name, attempts)
    with hold(folder.restricted / TABLES) as place:
        tables = Store(str(place))
        kept = place / "store" if fresh else restricted / "store"
        store = Store(str(kept), derive_seal_key(key))
        bench = prepare_bench(
            request,
            split,
            store,
            tables,
            supplied=prepared.split is not None,
            unguaranteed=prepared.unguaranteed is not None,
        )
        work = Work(
            request,
            bench,
            plan(request, split, supplied=prepared.split is not None),
            workers,
            report_event,
            folder,
        )
        text = planned.render(request, work.plan, folder.name)
        write_text(folder.restricted / planned.FILE, text)
        if witness is not None:
            witness.planned(folder.name, text)
        try:
            work.do()
            for entry in work.entries:
                entry.method.confirm()
        except PrivauditError:
            if not work.has_trained:
                folder.discard()
            raise
        stage = Stage(report_event, "write")
        words = prepared.words or request.task.words
        subjects = [
            add_distribution_shift(subject(work, entry, words), prepared.distribution_shift)
            for entry in work.entries
        ]
        audit = assemble(request, prepared, split, subjects, work, begun, folder.name, seen)
        audit = replace(audit, caveats=(*overlap.caveats, *audit.caveats))
        store_restricted(folder, split, prepared, work)
        make_owners_own(folder.restricted)
        make_owners_own(restricted)
        if overlap.near is None:
            with watch.claim(folder.name, overlap):
                shared = folder.finish(audit, report)
            folder.make_latest()
        else:
            shared = folder.finish_unshared(audit, report)
        stage.end("report")
        if overlap.near is not None:
            folder.restrict_events()
    results = folder.shareable if overlap.near is None else folder.unshared
    return Finished(shared, folder.root, exit_code(shared), work.trained, work.reused, results)


def forecast_only(
    request: Request,
    *,
    out: Path,
    data: Path | None = None,
    workers: int | None = None,
    listen: Listener = silent,
) -> tuple[Plan, Forecast, set[str]]:
    """What `run` would do, how long, and how much memory; keys of the steps still to be done."""
    workers = cores() if workers is None else workers
    refuse_untrainable(request)
    sweep(out)
    restricted = private(out / "restricted")
    keep_from_git(out, restricted)
    key = load_key(out)
    request = derive_streams(request, key)
    stage = Stage(listen, "prepare")
    prepared = join_rare_names(
        request.task.prepare(
            data, restricted / "cache", lambda what, share: stage.step(what, share, 1.0)
        )
    )
    stage.end(describe_size(prepared))
    request = leave_out_guarantees(request, prepared)
    split = assign_split(prepared, request)
    with hold(restricted / f"{PLANNED}{secrets.token_hex(4)}") as scratch:
        tables = Store(str(scratch))
        store = Store(str(restricted / "store"), derive_seal_key(key))
        bench = prepare_bench(request, split, store, tables, supplied=prepared.split is not None)
        work = Work(
            request,
            bench,
            plan(request, split, supplied=prepared.split is not None),
            workers,
            listen,
            None,
        )
        todo = work.todo()
        return work.plan, forecast(work.plan, bench, workers, todo), todo


def describe_size(prepared: Prepared) -> str:
    """How many records were read; of patients in tens, since events may be handed on."""
    count = len(prepared.records)
    return f"about {steps.count_down(count)} records" if prepared.real else f"{count} records"


def derive_streams(request: Request, key: bytes) -> Request:
    """The request with the secret that its random streams come from."""
    return replace(request, entropy=derive_entropy(key, request.seed))


def assign_split(prepared: Prepared, request: Request) -> Split:
    """Who was trained on: as given, or assigned at random, each patient with equal chance."""
    if prepared.split is not None:
        return prepared.split
    return Split.assign(prepared.records, Seeds(request.entropy).rng("split"))


def prepare_bench(
    request: Request,
    split: Split,
    store: Store,
    tables: Store,
    *,
    supplied: bool = False,
    unguaranteed: bool = False,
) -> Bench:
    """Put the pools where workers can map them. supplied, unguaranteed: as of `Bench`."""
    keys = (
        tables.put_records(split.members),
        tables.put_records(split.nonmembers),
        tables.put_records(split.reference),
    )
    return Bench(store, tables, keys, request.entropy, request.confidence, supplied, unguaranteed)


class Clock:
    """Wall and CPU seconds since it was made."""

    def __init__(self) -> None:
        self.wall, self.cpu = time.perf_counter(), time.process_time()
        self.created = datetime.now(UTC).isoformat(timespec="seconds")

    def seconds(self) -> tuple[float, float]:
        return time.perf_counter() - self.wall, time.process_time() - self.cpu


def store_restricted(folder: Folder, split: Split, prepared: Prepared, work: Work) -> None:
    """The split, the exact flow, and every attack's evidence record by record."""
    folder.store_split(split)
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
            folder.store_scores(step.entry.name, f"{step.attack_name}{variant}", arrays)
            if not variant and (columns := measure.list_patients(arrays, split)):
                folder.store_patients(step.entry.name, columns, prepared.patients)
    for entry in work.entries:
        bank = next((s.groups for s in work.plan.steps if s.entry is entry and s.groups), ())
        if entry.method.shadows and bank:
            given = jobs.fitted(work.bench, bank)
            arrays = {
                "margins": np.array([one.margins for one in given]),
                "included": np.array([one.included for one in given]),
            }
            folder.store_shadows(entry.name, arrays)
    for fit in work.plan.fits:
        arrays = work.store.get_arrays("answers", fit.key)
        if fit.variant != "subject":
            continue
        if arrays is not None:
            folder.store_answers(fit.entry.name, arrays)
        facts = work.store.get_json("facts", fit.key)
        if facts is not None:
            folder.store_release(fit.entry.name, facts)
        likeness = work.store.get_json("fidelity", work.fidelity_key(fit))
        if likeness is not None:
            folder.store_fidelity(fit.entry.name, likeness)
    folder.store_steps(work.made, work.cached)


def fingerprint(split: Split) -> str:
    """One name for who is in which pool."""
    pools = (split.members, split.nonmembers, split.reference)
    return hashlib.sha256("".join(pool.fingerprint for pool in pools).encode()).hexdigest()


def assemble(
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
        seed=request.seed,
        seed_commitment=commit_to(request.entropy),
        confidence=request.confidence,
        records_fingerprint=seen[0] if seen else "",
        split_fingerprint=seen[1] if seen else "",
        attempts=seen[2] if seen else None,
        statistics=STATISTICS,
        exact_counts=request.exact_counts,
        seconds=wall,
        cpu_seconds=cpu + work.cpu,
        peak_memory_bytes=jobs.peak_memory() + sum(sorted(peaks)[-work.workers :]),
        refits={
            "distinct": work.plan.refits,
            "trained": work.trained,
            "reused": work.reused,
            "asked_for": work.plan.wanted,
        },
        steps={"made": len(work.made), "from_cache": len(work.cached)},
        plugins=tuple(Plugin(*one) for one in plugins.packages()),
    )
    families = {
        name: str(getattr(plugins.load("attacks", name), "family", ""))
        for name in plugins.members("attacks")
    }
    untrained = (*request.untrained, *work.untrained.values())
    return Audit(
        manifest=made,
        data=document.data(request.task_name, request.task, prepared, split),
        subjects=tuple(subjects),
        coverage=document.coverage(subjects, families, set(request.attacks), prepared.untested),
        caveats=(*find_few_people(split), *caveats(prepared, subjects, untrained)),
        untrained=untrained,
        composed=compose_claims({one.name: one.claim for one in subjects}, mechanisms(work)),
    )


def add_distribution_shift(one: Subject, shift: Caveat | None) -> Subject:
    """The subject with the distribution shift as a caveat of each of its membership findings."""
    if shift is None:
        return one

    def add(outcome: Outcome) -> Outcome:
        if not isinstance(outcome, Finding) or outcome.family != "membership":
            return outcome
        return replace(outcome, caveats=(*outcome.caveats, shift))

    headline = one.headline
    if headline is not None and headline.family == "membership":
        headline = replace(headline, caveats=(*headline.caveats, shift))
    return replace(one, headline=headline, outcomes=tuple(map(add, one.outcomes)))


def find_few_people(split: Split) -> tuple[Caveat, ...]:
    """That a side has so few people that no number is a verdict."""
    sides = (split.members, split.nonmembers)
    if min(len(np.unique(pool.patient)) for pool in sides) >= MIN_PEOPLE:
        return ()
    return (Caveat(CaveatCode.FEW_PEOPLE, "warning", {"least": MIN_PEOPLE}),)


def caveats(
    prepared: Prepared, subjects: Sequence[Subject], untrained: Sequence[Untrained] = ()
) -> tuple[Caveat, ...]:
    """What a reader must know before any number."""
    found = [] if prepared.real else [Caveat(CaveatCode.GENERATED_RECORDS)]
    found += prepared.caveats
    for one in subjects:
        for control in one.controls:
            about: dict[str, Param] = {"attack": control.attack, "subject": one.name}
            state = control_state(control)
            if state == "not made":
                about["control"] = control.kind
                found.append(Caveat(CaveatCode.CONTROL_NOT_MADE, "warning", about))
            elif is_drift(control):
                (auc,) = [e for e in control.estimates if e.metric.name == "auc"]
                read = {"auc": auc.value, "low": auc.low, "high": auc.high}
                known = {name: float(value) for name, value in read.items() if value is not None}
                drift = {**about, **known, "confidence": auc.confidence}
                found.append(Caveat(CaveatCode.SCORE_DRIFT, params=drift))
            elif state == "failed" and control.kind == "negative":
                about["control"] = control.kind
                found.append(Caveat(CaveatCode.CONTROL_FAILED, "defect", about))
            elif state == "failed":
                found.append(Caveat(CaveatCode.PLANTED_LEAK_MISSED, "warning", about))
    for one in subjects:
        for outcome in one.outcomes:
            about = {"attack": outcome.attack, "subject": one.name}
            if isinstance(outcome, Failed):
                failed = {**about, "error": show_params(outcome.reason)}
                found.append(Caveat(CaveatCode.ATTACK_FAILED, "defect", failed))
            elif isinstance(outcome, Finding):
                found += [
                    Caveat(CaveatCode.GUARANTEE_BROKEN, "defect", {**about, **caveat.params})
                    for caveat in outcome.caveats
                    if caveat.code is CaveatCode.EPSILON_ABOVE_CLAIM
                ]
        for low in find_below_half(one):
            below: dict[str, Param] = {
                "attack": low.attack,
                "subject": one.name,
                "auc": low.auc,
                "upper": low.upper,
                "confidence": low.confidence,
            }
            found.append(Caveat(CaveatCode.AUC_BELOW_HALF, params=below))
        lost = tuple(
            outcome.attack
            for outcome in one.outcomes
            if isinstance(outcome, Skipped) and outcome.reason.code in LOST_REFITS
        )
        if lost:
            about = {"attacks": lost, "subject": one.name}
            found.append(Caveat(CaveatCode.SHADOW_ATTACKS_LOST, "warning", about))
    for missing in untrained:
        severity: Severity = "defect" if missing.failed else "warning"
        found.append(Caveat(CaveatCode.NOT_TRAINED, severity, {"subject": missing.name}))
    return tuple(found)


WRONG_WAY = (CaveatCode.OUTCOMES_WRONG_WAY, CaveatCode.AUC_BELOW_HALF, *UNCONFIRMED)
"""Caveats by which nothing can be concluded about membership."""


def exit_code(audit: Audit) -> int:
    """The exit code, from typed fields alone.

    Returns:
        5 where the audit itself or a guarantee is broken: a caveat that is a defect, of the audit
        or of a finding, a null control that reads as a leak, an attack or a method that failed with
        an error; 3, inconclusive, where a control was not made, where every attack on a model
        missed the leak planted in it, where members are read the wrong way round, or where a side
        has too few people; else 0. One attack without power beside others with it is a caveat.
    """
    stated = list(audit.caveats)
    broken = any(one.failed for one in audit.untrained)
    undecided = any(caveat.code is CaveatCode.CONTROL_NOT_MADE for caveat in stated)
    for one in audit.subjects:
        states = [(control.kind, control_state(control)) for control in one.controls]
        broken |= any(
            control.kind == "negative"
            and control_state(control) == "failed"
            and not is_drift(control)
            for control in one.controls
        )
        broken |= any(isinstance(outcome, Failed) for outcome in one.outcomes)
        stated += [c for o in one.outcomes if isinstance(o, Finding) for c in o.caveats]
        planted = [state for kind, state in states if kind == "positive"]
        undecided |= "not made" in {state for _, state in states}
        undecided |= bool(planted) and "passed" not in planted
    if broken or any(caveat.severity == "defect" for caveat in stated):
        return 5
    undecided |= any(caveat.code in (*WRONG_WAY, CaveatCode.FEW_PEOPLE) for caveat in audit.caveats)
    return 3 if undecided else 0
