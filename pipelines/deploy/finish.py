"""The end of a run: the release, and the audit that hospitals' counts allow, as any other audit.

The coordinator has no records: nothing is written under restricted/, and `privaudit verify` says
that the numbers were not checked, because there is nothing here to compute them from again.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import numpy as np

from pipelines.deploy.earlier import is_written, set_aside
from pipelines.deploy.graded import POOLS, Counts, read_counts
from pipelines.deploy.homes import CoordinatorHome, make_private
from pipelines.deploy.journal import Journal
from pipelines.deploy.record import Protection, Received, record_run
from pipelines.deploy.report_counts import Pool, state_counts
from pipelines.deploy.state import load, save, write_bytes
from pipelines.deploy.terms import RunTerms
from privaudit import __version__, plugins, report
from privaudit.contracts import Access, Claim, Exchange, Release, Task
from privaudit.disclosure import disclose
from privaudit.disclosure_limits import MIN_CELL
from privaudit.engine import document, measure
from privaudit.engine.folder import curves, manifest
from privaudit.engine.version import packages
from privaudit.errors import PrivauditError
from privaudit.evidence.seals import seal
from privaudit.facts import Caveat, CaveatCode, Param, as_caveat
from privaudit.records import Records
from privaudit.results import (
    Audit,
    ClaimText,
    Data,
    Manifest,
    Plugin,
    Subject,
    from_tree,
    to_json,
)
from privaudit.stats.headline import control_state
from privaudit.stats.version import STATISTICS
from privaudit.words import USUAL

COUNTED = (
    "Numbers of {people} are of those {sites} alone that stated counts of them, and up to nine of "
    "each pool are left out at every {site}."
)
MODEL, FOREST = "model.npz", "model.ubj"


@dataclass(frozen=True, eq=False)
class Ended:
    """A run that is over, as the coordinator has it on disk.

    Args:
        rounds: How many were made.
        hospitals: Who took part in any, in the order of the roster.
        records: (hospitals,) as each stated them.
        shape, schema: Of the hospitals' records, as they stated them.
        weights: (p,) of a network, empty where trees were grown; forest: those.
        sent, seen: Of the last rounds, what was sent out and what could be read of each hospital.
        received: What came, by hospital and kind of message.
        grades: What each hospital counted, as text.
    """

    rounds: int
    hospitals: tuple[str, ...]
    records: np.ndarray
    shape: tuple[int, ...]
    schema: str
    weights: np.ndarray
    forest: bytes = b""
    sent: tuple[np.ndarray, ...] = ()
    seen: tuple[np.ndarray, ...] = ()
    costs: Mapping[str, float] = field(default_factory=dict)
    received: Received = field(default_factory=dict)
    grades: Mapping[str, str] = field(default_factory=dict)


def finish_run(home: CoordinatorHome, terms: RunTerms, *, seed: int | None = None) -> Path:
    """Write the released model, the audit document and the report of a run that is over.

    The model's file lies in runs/RUN/release. audits/RUN is a run folder as after any other audit,
    and sealed, so that `privaudit check`, `report`, `sign` and `verify` take it.

    Args:
        seed: For bootstrap intervals; by default one made from the terms.

    Returns:
        report.html.

    Raises:
        PrivauditError: The run is not over, or its state cannot be read.
    """
    folder = home.run(terms.run)
    task, method = terms.build()
    ended = read_ended(folder, terms, method)
    counts, unread = read_all(
        ended.grades, terms, dict(zip(ended.hospitals, map(int, ended.records), strict=True))
    )
    _save_model(make_private(folder / "release"), terms, ended)
    release = make_release(method, ended)
    audit = write_document(terms, task, method, ended, release, counts, unread, folder, seed)
    shared = disclose(audit)
    place = make_private(home.root / "audits") / terms.run
    shareable = place / "shareable"
    if is_written(place, shared):
        return shareable / report.HTML
    set_aside(place)
    make_private(shareable.parent)
    make_private(shareable)
    write_bytes(shareable / "audit.json", to_json(shared).encode())
    write_bytes(shareable / "curves.csv", curves(shared).encode())
    report.write(shared, shareable)
    write_bytes(place / "manifest.json", manifest(shared).encode())
    seal(place)
    return shareable / report.HTML


def read_ended(folder: Path, terms: RunTerms, method: Any) -> Ended:
    """The state of a run that is over; PrivauditError where it is not."""
    kept = load(folder / "state.npz")
    if kept is None or kept[0]["terms"] != terms.fingerprint:
        raise PrivauditError(
            f"no state of the run {terms.run!r} under these terms",
            "it has not begun, or was begun under others",
            "start it with `privaudit federation run`",
        )
    meta, arrays = kept
    if meta["round"] < method.rounds:
        raise PrivauditError(
            f"a run of which {meta['round']} of {method.rounds} rounds were made",
            "its model is not the one that the hospitals consented to",
            "let it go on with `privaudit federation run`",
        )
    places = [i for i, name in enumerate(terms.roster) if name in set(meta["took"])]
    names = tuple(terms.roster[i] for i in places)
    records = np.array([meta["records"].get(name, 0) for name in names], dtype=np.int64)
    forest, costs = b"", meta.get("costs", {})
    if "trees" in meta:
        from pipelines.deploy.tree_rounds import TreeLedger

        trees = TreeLedger.start(method, tuple(meta["shape"]), terms.roster)
        trees.restore(meta["trees"], arrays)
        forest, costs = trees.forest(), trees.costs
    return Ended(
        rounds=meta["round"],
        hospitals=names,
        records=records,
        shape=tuple(meta["shape"]),
        schema=meta["schema"],
        weights=arrays.get("weights", np.empty(0)),
        forest=forest,
        sent=tuple(arrays.get("sent", ())),
        seen=tuple(part[places] for part in arrays.get("seen", ())),
        costs={**costs, "clients": float(len(names)), "seconds": meta.get("seconds", 0.0)},
        received=meta.get("traffic", {}),
        grades=_read_grades(folder / "grades", terms),
    )


def _read_grades(folder: Path, terms: RunTerms) -> dict[str, str]:
    found = {}
    for name in terms.roster:
        try:
            found[name] = (folder / f"{name}.json").read_text("utf-8")
        except (FileNotFoundError, UnicodeDecodeError):
            continue
    return found


def read_all(
    grades: Mapping[str, str], terms: RunTerms, records: Mapping[str, int]
) -> tuple[dict[str, Counts], tuple[str, ...]]:
    """The statements that can be read, and whose could not.

    Args:
        grades: By hospital.
        records: Of each hospital that took part, as it stated before the training. One that counts
            far more afterwards would drown what the others found.
    """
    counts, unread = {}, []
    for name, text in grades.items():
        try:
            found = read_counts(name, text, terms)
        except PrivauditError:
            unread.append(name)
            continue
        if _fits(found, records.get(name, 0)):
            counts[name] = found
        else:
            unread.append(name)
    return counts, tuple(unread)


def _fits(found: Counts, records: int) -> bool:
    """Whether so many can have been counted of so many trained on; with noise where a method adds
    some to what it states."""
    if not found.counted:
        return True
    most = 2 * records + 10 * MIN_CELL
    trained, held_out = (found.sizes[name][0] for name in POOLS)
    return records > 0 and trained <= most and held_out <= 4 * most


def make_release(method: Any, ended: Ended, like: Records | None = None) -> Release:
    """The release of this run, as the simulation makes it, but for the answer sheet.

    Args:
        like: Records of the hospitals' columns, of which no row is read: the public encoding is
            made from the columns. Without them the release has no model that could be asked and no
            exchange that could be attacked: the coordinator does not know the columns.
    """
    model, exchange = None, None
    if like is not None and len(ended.weights):
        network = method.build_network(ended.shape)
        model = method.make_model(like, ended.weights.astype(np.float32))
        exchange = Exchange(
            weights=ended.sent,
            updates=ended.seen,
            clients=np.arange(len(ended.hospitals)),
            counts=ended.records,
            **network.layout,
            encode=method.make_encoding(like).encode,
            rate=method.rate,
            steps=method.steps,
            batch=method.rows,
            protected=_protection(method),
        )
    protect = getattr(method, "protect", None)
    trust = method.trust if protect is None else protect.trust_apart
    notes: list[str] = [
        f"The {{sites}} trained on their own machines; {len(ended.hospitals)} took part."
    ]
    if _protection(method):
        notes.append(
            "The server reads no single update, so its gate cannot bound or refuse one: {sites} "
            "check their own, and a malicious one need not."
        )
    return Release(Claim(), model, exchange, costs=ended.costs, trust=trust, notes=tuple(notes))


def find_access(ended: Ended) -> frozenset[Access]:
    """What whoever holds the release, or the coordinator, can do."""
    found = {Access.ANSWERS, Access.FILE}
    found |= {Access.TREES} if ended.forest else {Access.WEIGHTS, Access.UPDATES}
    return frozenset(found)


def write_document(
    terms: RunTerms,
    task: Task,
    method: Any,
    ended: Ended,
    release: Release,
    counts: Mapping[str, Counts],
    unread: Sequence[str],
    folder: Path,
    seed: int | None = None,
) -> Audit:
    """The audit document, before disclosure control."""
    counted = [counts[name] for name in terms.roster if name in counts and counts[name].counted]
    stated = state_counts(
        counted,
        terms,
        find_access(ended),
        seed=_seed(terms) if seed is None else seed,
        reads_series=getattr(method, "reads_series", False),
    )
    words = _ask(task, "words", USUAL)
    subject = Subject(
        name=terms.method,
        method=terms.method,
        learner="",
        description=document.describe(method),
        params=document.params(method),
        claim=from_tree(measure.claim(release.claim), ClaimText),
        access=tuple(sorted(access.name for access in find_access(ended))),
        utility=stated.utility,
        utility_members=(),
        utility_groups=stated.utility_groups,
        reliability=None,
        headline=stated.headline,
        outcomes=stated.outcomes,
        controls=stated.controls,
        costs=measure.costs(release.costs),
        trust=tuple((words.fill(a), words.fill(b), words.fill(c)) for a, b, c in release.trust),
        notes=tuple(
            as_caveat(words.fill(part) if isinstance(part, str) else part) for part in release.notes
        ),
    )
    absent = [name for name in terms.roster if name not in {one.hospital for one in counted}]
    data = _data(terms, task, counted, stated.pools, ended)
    caveats = [Caveat(CaveatCode.COUNTS_OF_SITES, "warning", {"least": MIN_CELL})]
    if absent:
        caveats.append(
            Caveat(CaveatCode.SITES_NOT_COUNTED, "warning", {"names": tuple(sorted(absent))})
        )
    if not data.real:
        caveats.append(Caveat(CaveatCode.GENERATED_RECORDS))
    caveats += _word_controls(subject)
    families = {
        name: str(getattr(plugins.load("attacks", name), "family", ""))
        for name in plugins.members("attacks")
    }
    events = list(Journal(folder / "journal.jsonl").read())
    return Audit(
        manifest=_manifest(terms, ended),
        data=data,
        subjects=(subject,),
        coverage=document.coverage((subject,), families, {one.attack for one in stated.outcomes}),
        caveats=tuple(caveats),
        federation=record_run(
            terms, _protection(method), events, counts, ended.received, ended.rounds
        ),
    )


def _data(
    terms: RunTerms, task: Task, counted: Sequence[Counts], pools: Sequence[Pool], ended: Ended
) -> Data:
    """What the model was trained on, in the aggregates that hospitals state."""
    first = counted[0].schema if counted else {}
    words, positive = _ask(task, "words", USUAL), _ask(task, "positive", "yes")
    classes = ("other", positive) if ended.shape and ended.shape[-1] == 2 else ()
    return Data(
        source=f"records at {len(ended.hospitals)} {words.forms['sites']}",
        # Unless every hospital says that its records were generated, they are taken for real.
        real=len(counted) < max(1, len(ended.hospitals)) or any(one.real for one in counted),
        task=terms.task,
        title=_ask(task, "title", terms.task),
        positive=positive,
        classes=classes,
        columns=first.get("columns", 0),
        channels=first.get("channels", 0),
        hours=first.get("hours", 0),
        flow=(),
        pools=tuple(pool.state() for pool in pools),
        notes=(as_caveat(words.fill(COUNTED)),),
        cells=tuple(cell for pool in pools for cell in pool.cells()),
        words=words,
    )


def _word_controls(subject: Subject) -> list[Caveat]:
    """What a reader must know of the controls, as `privaudit.engine.run.caveats` states it."""
    found = []
    for one in subject.controls:
        state = control_state(one)
        about: dict[str, Param] = {"attack": one.attack, "subject": subject.name}
        if state == "not made":
            about["control"] = one.kind
            found.append(Caveat(CaveatCode.CONTROL_NOT_MADE, "warning", about))
        elif state == "failed" and one.kind == "negative":
            about["control"] = one.kind
            found.append(Caveat(CaveatCode.CONTROL_FAILED, "defect", about))
        elif state == "failed":
            found.append(Caveat(CaveatCode.PLANTED_LEAK_MISSED, "warning", about))
    return found


def _ask(task: Task, name: str, otherwise: Any) -> Any:
    """What the task is called: one that reads it from a hospital's files cannot say it here."""
    try:
        return getattr(task, name)
    except PrivauditError:
        return otherwise


def _manifest(terms: RunTerms, ended: Ended) -> Manifest:
    created = datetime.now(UTC).isoformat(timespec="seconds")
    return Manifest(
        run=terms.run,
        created=created,
        version=__version__,
        python=platform.python_version(),
        platform=platform.platform(terse=True),
        packages=packages(),
        command=f"privaudit federation run {terms.task} --method {terms.method}"
        + "".join(f" --set {part}" for part in terms.settings),
        profile="",
        confidence=0.95,
        records_fingerprint="",
        seconds=float(ended.costs.get("seconds", 0.0)),
        cpu_seconds=0.0,
        peak_memory_bytes=0,
        refits={},
        statistics=STATISTICS,
        plugins=tuple(Plugin(*one) for one in plugins.packages()),
    )


def _save_model(place: Path, terms: RunTerms, ended: Ended) -> None:
    """The weights, or the trees, with what a hospital needs to ask them: the shape and the
    terms."""
    if ended.forest:
        write_bytes(place / FOREST, ended.forest)
        return
    meta = {"terms": json.loads(terms.text), "shape": list(ended.shape), "schema": ended.schema}
    save(place / MODEL, meta, {"weights": ended.weights.astype("<f4")})


def _protection(method: Any) -> Protection:
    return cast(Protection, getattr(getattr(method, "protect", None), "name", ""))


def _seed(terms: RunTerms) -> int:
    """The same intervals whenever the same run is finished again."""
    return int(terms.fingerprint[:12], 16)


__all__ = ["Ended", "find_access", "finish_run", "make_release", "read_ended", "write_document"]
