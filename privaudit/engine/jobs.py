"""The work of one worker process: fit, refit, attack, measure. One thread each, nothing printed.

A job is given names and small parts; tables are mapped from disk. What it makes goes to the store
before it answers, so that a run cut short loses at most the jobs in progress.
"""

from __future__ import annotations

import errno
import multiprocessing
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from privaudit import checkpoints
from privaudit.contracts import (
    Access,
    Attack,
    Fitted,
    Learner,
    Method,
    ReadsTable,
    Release,
    SiteModels,
    Target,
)
from privaudit.engine import choose, controls, measure, nulls, site_models
from privaudit.engine.configure import missing_library
from privaudit.engine.guarantees import refuse_claim
from privaudit.engine.store import Store
from privaudit.errors import PrivauditError
from privaudit.facts import Reason, ReasonCode, as_caveat
from privaudit.records import OutcomeKind, Records, Split
from privaudit.results import to_tree
from privaudit.seeds import Seeds
from privaudit.signals import ask, read_signal


@dataclass(frozen=True)
class Bench:
    """What every job of a run shares: where things are stored, which pools, which entropy.

    pools: fingerprints of members, non-members and reference in `tables`. supplied: the pools were
    supplied, and nobody assigned membership at random. unguaranteed: no guarantee may be claimed of
    a training on these records.
    """

    store: Store
    tables: Store
    pools: tuple[str, str, str]
    entropy: int
    confidence: float
    supplied: bool = False
    unguaranteed: bool = False

    @property
    def seeds(self) -> Seeds:
        return Seeds(self.entropy)

    @property
    def split(self) -> Split:
        return _split(self.tables, self.pools)


@lru_cache(maxsize=2)
def _split(tables: Store, pools: tuple[str, str, str]) -> Split:
    return Split(*(tables.get_records(key) for key in pools))


class Refusal(PrivauditError):
    """An attack states that it cannot be made on this release: a result, not a fault."""


class OneOutcome(ValueError):
    """A null model cannot be trained: all patients that it would learn from have one outcome."""


@dataclass(frozen=True)
class Fault:
    """Why a job failed.

    reason: safe to show, it holds no message of a library and so no data; trace: of the error, for
    `restricted/` alone; own: the error itself where it was written for people.
    """

    reason: Reason
    trace: str
    own: PrivauditError | None = None

    @property
    def is_failure(self) -> bool:
        """Whether it stopped on an error of the software, not on a refusal or a missing library."""
        return self.reason.code is ReasonCode.FAILED

    @property
    def is_missing_library(self) -> bool:
        return self.reason.code is ReasonCode.MISSING_EXTRA


@dataclass(frozen=True, eq=False)
class Done:
    """What a job answers with. seconds: wall; cpu: CPU seconds; memory: peak bytes of its
    process."""

    kind: str
    key: str
    name: str
    value: Any = None
    fault: Fault | None = None
    seconds: float = 0.0
    cpu: float = 0.0
    memory: int = 0
    process: int = 0


@dataclass(frozen=True, eq=False)
class Job:
    """A call to be made somewhere: `call(bench, **what)`, timed and with its faults caught."""

    kind: str
    key: str
    name: str
    call: Callable[..., Any]
    what: dict[str, Any] = field(default_factory=dict)

    def run(self, bench: Bench) -> Done:
        leave_with_parent()
        wall, cpu = time.perf_counter(), time.process_time()
        value, fault = None, None
        try:
            with one_thread():
                value = self.call(bench, **self.what)
        except Exception as error:
            fault = fault_of(error)
        return Done(
            self.kind,
            self.key,
            self.name,
            value,
            fault,
            time.perf_counter() - wall,
            time.process_time() - cpu,
            peak_memory(),
            os.getpid(),
        )


@lru_cache(maxsize=1)
def leave_with_parent() -> None:
    """End this worker process soon after the one that started it is gone: nobody waits for its
    answers, and it holds records."""
    if not multiprocessing.current_process().name.startswith("LokyProcess"):
        return
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(2)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def refusal(error: PrivauditError) -> Reason:
    """What a PrivauditError states, as a reason."""
    said = {"what": error.what, "because": error.because, "fix": error.fix}
    return Reason(ReasonCode.REFUSED, said)


def fault_of(error: Exception) -> Fault:
    """What may be shown of an error: its kind and place, or its own words where they are ours."""
    trace = "".join(traceback.format_exception(error))
    absent = next((e for e in _causes(error) if isinstance(e, ModuleNotFoundError)), None)
    own = error if isinstance(error, PrivauditError) else None
    if isinstance(error, OneOutcome):
        return Fault(Reason(ReasonCode.NULL_OF_ONE_OUTCOME), trace)
    if absent is not None:
        return Fault(missing_library(absent, "" if own is None else own.fix), trace, own)
    if own is not None:
        return Fault(refusal(own), trace, own)
    frames = traceback.extract_tb(error.__traceback__)
    last = frames[-1] if frames else None
    place = f" in {Path(last.filename).name}, line {last.lineno}" if last else ""
    failed = {"error": f"{type(error).__name__}{place}"}
    return Fault(Reason(ReasonCode.FAILED, failed), trace, _lack_of(error))


def _lack_of(error: Exception) -> PrivauditError | None:
    """In words, that memory or disk space ran out; None for any other error."""
    number = error.errno if isinstance(error, OSError) else None
    if isinstance(error, MemoryError) or number == errno.ENOMEM:
        return PrivauditError(
            "there is too little memory on this machine",
            "a table or a model did not fit",
            "give fewer jobs, fewer records or more memory; finished steps are stored",
        )
    if number in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
        return PrivauditError(
            "there is too little disk space",
            "what was made could not be stored",
            "make room, and start the same again; finished steps are stored",
        )
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what it came from, the last first."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


@contextmanager
def one_thread() -> Iterator[None]:
    """Hold every numeric library of this process to one thread, and restore what was set after."""
    from threadpoolctl import threadpool_limits

    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    torch = sys.modules.get("torch")
    threads = torch.get_num_threads() if torch is not None else None
    try:
        os.environ.update(dict.fromkeys(names, "1"))
        if torch is not None and threads != 1:
            torch.set_num_threads(1)
        with threadpool_limits(1):
            yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        if torch is not None and threads != 1:
            torch.set_num_threads(threads)


def peak_memory() -> int:
    """Peak resident bytes of this process; 0 where the system does not state it."""
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def fit(
    bench: Bench, key: str, name: str, method: Method, variant: str
) -> tuple[Release, dict[str, Any]]:
    """Train a subject on the members, or its null (`privaudit.engine.nulls`); store its answers."""
    split = bench.split
    start = time.process_time()
    with checkpoints.within(bench.store.path("checkpoints", key, ""), keep=method.costly):
        if variant == "negative":
            release = _fit_null(bench, name, method)
        else:
            # What is released is trained with secret noise; the null, as refits are, is not.
            release = method.fit(
                split.members, bench.seeds.secret_rng("fit", _stream(name, method))
            )
    refuse_claim(release.claim.epsilon, bench.unguaranteed)
    trained = time.process_time() - start
    facts: dict[str, Any] = {
        "claim": measure.claim(release.claim),
        "mechanisms": [asdict(step) for step in release.claim.mechanisms],
        "access": sorted(access.name for access in release.access),
        "costs": measure.costs(release.costs) | {"fit_cpu_seconds": trained},
        "trust": [[str(part) for part in row] for row in release.trust],
        "notes": to_tree([as_caveat(part) for part in release.notes]),
        "reads_series": reads_series(method, release, split),
        "restricted_notes": list(release.restricted_notes),
    }
    if release.model is not None:
        start = time.process_time()
        answers = ask(release.model, split.audit)
        facts["costs"]["predict_cpu_seconds_per_1000"] = (
            (time.process_time() - start) / len(answers) * 1000
        )
        given = {"proba": answers}
        if isinstance(release.model, SiteModels):
            given |= site_models.ask_sites(release.model, split.nonmembers)
        bench.store.put_arrays("answers", key, given)
    bench.store.put_json("facts", key, facts)
    return release, facts


def reads_series(method: Method, release: Release, split: Split) -> bool:
    """Whether what is released may hold something of the records' series.

    A model of this project reads them where its answers change with them; of one that was supplied,
    or that shows something else than answers, it is taken for granted.
    """
    members = split.members
    if members.series is None or release.table is not None:
        return False
    learner = getattr(method, "learner", None)
    if method.supplied or (release.model is None and learner is None):
        return True
    if release.model is None:
        return getattr(learner, "reads", "series") == "series"
    some = members.take(slice(0, PROBED))
    other = replace(some, series=np.zeros_like(some.series))
    return not np.array_equal(ask(release.model, some), ask(release.model, other))


PROBED = 200
"""Records by which it is seen whether a model reads series."""


def _fit_null(bench: Bench, name: str, method: Method) -> Release:
    """The null of a method's releases: one model, or one for each part of the audit's patients."""
    split, stream = bench.split, ("null", _stream(name, method))
    recipe = method.twin if method.supplied else method
    if not bench.supplied or method.nearness is not None:
        _refuse_one_outcome(split.reference)
        return recipe.fit(split.reference, bench.seeds.rng(*stream))
    parts = nulls.Parts.cut(split, bench.seeds.rng(*stream, "parts"))
    tables = nulls.trainings(split, parts)
    for table in tables:
        _refuse_one_outcome(table)
    if not method.reruns:
        given = method.fit(split.members, bench.seeds.rng(*stream))
        models = nulls.fit_stand_in(split, given, parts, bench.seeds.rng(*stream))
        return Release(model=parts.join(split, models))
    made = [
        recipe.fit(table, bench.seeds.rng(*stream, place)) for place, table in enumerate(tables)
    ]
    answering = [one.model for one in made if one.model is not None]
    if len(answering) < len(made):
        return made[0]
    return Release(claim=made[0].claim, model=parts.join(split, answering))


def _refuse_one_outcome(table: Records) -> None:
    if len(np.unique(table.y)) < 2:
        raise OneOutcome


def _stream(name: str, method: Method) -> str:
    """The name of a subject's stream: a protected method shares its open twin's, so that both train
    the same model and differ by the protection alone."""
    twin = method.twin
    return name if twin == method else type(twin).__module__.rpartition(".")[2]


def refit(bench: Bench, key: str, method: Method, wanted: list[dict[str, Any]]) -> int:
    """Train a group of refits and store their signals and what each was trained on."""
    pools = [bench.tables.get_records(part["pool"]) for part in wanted]
    masks = [part["included"] for part in wanted]
    rngs = [bench.seeds.rng("refit", part["name"]) for part in wanted]
    tables = [pool.take(mask) for pool, mask in zip(pools, masks, strict=True)]
    releases = method.fit_many(tables, rngs)
    asked = bench.tables.get_records(wanted[0]["ask"])
    margins = []
    for release in releases:
        if release.model is None:
            raise ValueError("a refit without a model has no answers")
        if isinstance(release.model, ReadsTable):
            signal = release.model.read(asked)
        else:
            signal = read_signal(ask(release.model, asked), asked)
        margins.append(np.asarray(signal, dtype=np.float32))
    bench.store.put_arrays(
        "margins",
        key,
        {
            "margins": np.stack(margins),
            "included": np.packbits(np.array(masks), axis=1),
            "pool": np.array([part["pool"] for part in wanted]),
            "ask": np.array([part["ask"] for part in wanted]),
        },
    )
    return len(wanted)


def fitted(bench: Bench, groups: tuple[str, ...], lift: float = 0.0) -> list[Fitted]:
    """The refits' answers from the store, with a planted leak of `lift` where one is asked for."""
    found = []
    for key in groups:
        stored = bench.store.get_arrays("margins", key)
        if stored is None:
            raise LookupError("refits that should be stored are not: they failed or were removed")
        parts = (stored[part] for part in ("margins", "included", "pool", "ask"))
        for margins, packed, pool, asked in zip(*parts, strict=True):
            included = np.unpackbits(packed, count=_size(bench.tables, str(pool))).astype(bool)
            if lift:
                place = controls.places(bench.tables, str(pool), str(asked))
                kind = bench.tables.get_records(str(asked)).outcome_kind
                seen = controls.trained_on(included, place)
                margins = controls.lift_signal(margins, seen, lift, kind)
            found.append(Fitted(included, margins))
    return found


def _size(tables: Store, key: str) -> int:
    return len(tables.get_records(key))


def attack(
    bench: Bench,
    key: str,
    stream: tuple[str, str, str],
    attack: Attack,
    method: Method,
    release: Release,
    groups: tuple[str, ...],
) -> None:
    """Run one attack on one release, judge its evidence, and store both."""
    variant = stream[-1]
    split = bench.split
    kind = nulls.null_kind(method, attack, split, supplied=bench.supplied)
    posed = variant == "negative" and kind == "shadow"
    if variant == "negative" and kind == "halves":
        split = controls.halves(split, bench.seeds.rng("halves"))
    target, lift = Target(release, split, method), 0.0
    if variant == "positive" and Access.TABLE in attack.needs:
        target = controls.copy_in(target, bench.seeds.rng("copies", stream[0]))
    elif variant == "positive":
        target, lift = controls.plant(target)
    start = time.perf_counter()
    given = fitted(bench, groups, lift)
    if posed:
        target, given = choose.pose_null(split, given, method)
    try:
        evidence = attack.run(target, given, bench.seeds.rng("attack", *stream))
    except PrivauditError as error:
        raise Refusal(error.what, error.because, error.fix) from error
    confidence = measure.null_confidence() if variant == "negative" else bench.confidence
    rng = bench.seeds.rng("stats", *stream)
    found = measure.judge(
        evidence, target.split, confidence, rng, brief=variant != "subject", claim=release.claim
    )
    body = {**found, "seconds": time.perf_counter() - start, "lift": lift}
    bench.store.put_arrays("evidence", key, measure.arrays(evidence))
    bench.store.put_json("findings", key, body)


def fidelity(
    bench: Bench, key: str, table: Records, judges: dict[str, Learner], noisy: Any = None
) -> None:
    """Measure how like the members' table a synthetic one is, and what it is good for."""
    from privaudit.fidelity.measure import fidelity as measured

    found = measured(
        table,
        bench.split,
        learners=judges,
        confidence=bench.confidence,
        seeds=bench.seeds.child("fidelity"),
        noisy=noisy,
    )
    bench.store.put_json("fidelity", key, to_tree(found))


def subject(
    bench: Bench,
    key: str,
    name: str,
    method: Method,
    answers: str,
    evidences: dict[str, str],
    compared: dict[str, str],
    attacks: dict[str, Attack],
    groups: dict[str, tuple[str, ...]],
) -> None:
    """Measure a subject's utility, also by group, and its strongest membership attack.

    evidences, attacks, groups: by attack, the key of what it found, and the refits it was given.
    compared: by attack, the key of what it found in a null of the same records.
    """
    stored = bench.store.get_arrays("answers", answers)
    scores, null = (
        {
            attack_name: measure.scores(arrays)
            for attack_name, evidence in keys.items()
            if (arrays := bench.store.get_arrays("evidence", evidence)) is not None
        }
        for keys in (evidences, compared)
    )
    seeds = bench.seeds.child("measure", name)
    chosen = None
    if len(scores) > 1:
        given = {attack_name: fitted(bench, groups[attack_name]) for attack_name in scores}
        ran = {attack_name: attacks[attack_name] for attack_name in scores}
        chosen = choose.strongest(ran, given, bench.split, method, seeds.child("choose"))
    body = measure.subject(
        None if stored is None else stored["proba"],
        scores,
        chosen,
        bench.split,
        bench.confidence,
        seeds,
        null,
        stored,
    )
    bench.store.put_json("subjects", key, body)


def strip_release(release: Release, attack: Attack) -> Release:
    """The release without the heavy parts that this attack does not read, to be sent to a
    worker."""
    heavy = {
        "updates": Access.UPDATES,
        "cut": Access.CUT,
        "cipher": Access.CIPHER,
        "table": Access.TABLE,
        "file": Access.FILE,
        "explanations": Access.EXPLANATIONS,
    }
    used = attack.uses(release.access)
    drop = {part: None for part, access in heavy.items() if access not in used}
    return replace(release, **drop)  # type: ignore[arg-type]


def lacks(
    attack: Attack,
    access: frozenset[Access],
    kind: OutcomeKind = "class",
    pictures: bool = False,
) -> Reason | None:
    """Why an attack does not apply to a release of this access; None where it does.

    kind: what the outcome is; pictures: whether the records are pictures. NEEDS_RETRAINING where
    the auditor alone lacks something: the release gives what the attack asks for.
    """
    missing = attack.needs - access
    if missing <= {Access.RERUN} and kind not in attack.outcomes:
        wanted = tuple(sorted(attack.outcomes))
        return Reason(ReasonCode.NEEDS_OTHER_OUTCOME, {"kind": kind, "wanted": wanted})
    if missing <= {Access.RERUN} and pictures and not attack.pictures:
        return Reason(ReasonCode.NOT_FOR_PICTURES)
    if not missing:
        return None
    if missing == {Access.RERUN}:
        return Reason(ReasonCode.NEEDS_RETRAINING)
    names = tuple(sorted(need.name for need in missing))
    return Reason(ReasonCode.LACKS_ACCESS, {"access": names})
