"""The cohorts of earlier audits, kept in a folder of runs so that none is left out of sight.

`restricted/cohorts/` holds a file for each document that was shared, of marks of its patients
(`privaudit.engine.overlap`): no name, no value, and no key. It stays where the run's own folder is
removed, since the document may be in anybody's hands by then.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from privaudit import commitments
from privaudit.contracts import Prepared
from privaudit.disclosure_limits import MIN_CELL
from privaudit.engine.overlap import Cohort, Near, find_near, find_near_groupings, make_cohort
from privaudit.engine.store import write_atomically
from privaudit.errors import PrivauditError, spell
from privaudit.facts import Caveat, CaveatCode, Param
from privaudit.records import Split
from privaudit.restricted import NAME, make_private

FOLDER = "cohorts"
ALLOW = "or give --allow-near-cohort, which writes all results under restricted/, not to be shared"
_KEY = "key"
_LOCK = ".lock"
_ARRAYS = tuple(one.name for one in fields(Cohort) if one.name != "groupings")


@dataclass(frozen=True)
class Overlap:
    """What of a cohort differs by 1 to 9 patients from those of earlier audits.

    near: the cohort or a pool, so that nothing of it may be shared; groupings: what splits patients
    into subgroups of which one differs so.
    """

    near: Near | None = None
    groupings: frozenset[str] = frozenset()

    @property
    def caveats(self) -> tuple[Caveat, ...]:
        """What the document says of it."""
        if self.near is not None:
            about: dict[str, Param] = {"run": self.near.run, "least": MIN_CELL}
            return (Caveat(CaveatCode.NEAR_COHORT, "warning", about),)
        if not self.groupings:
            return ()
        names = tuple(sorted(self.groupings))
        return (Caveat(CaveatCode.NEAR_GROUPS, "warning", {"columns": names, "least": MIN_CELL}),)


@dataclass(frozen=True, eq=False)
class Watch:
    """Compares the cohort of one audit with those of the documents shared before.

    out: the folder of runs; kind: which key its marks were made under. cohort: None for records of
    nobody, which are not compared. is_open: whether the records are openly licensed: they are
    compared with those of closed documents, since nothing shows that they are others, and not kept.
    """

    out: Path
    kind: str
    cohort: Cohort | None
    is_open: bool = False

    @classmethod
    def of(cls, out: Path, key: bytes, prepared: Prepared, split: Split, *, is_open: bool) -> Watch:
        """is_open: whether the records are openly licensed."""
        kind = commitments.kind(commitments.commit(key, ""))
        if not prepared.real or (is_open and not any((out / NAME / FOLDER).glob("*.npz"))):
            return cls(out, kind, None, is_open)
        is_random = prepared.split is None
        made = make_cohort(split, key, patients=prepared.patients, is_random=is_random)
        return cls(out, kind, made, is_open)

    def find(self) -> Overlap:
        """What differs by too few patients from earlier audits."""
        if self.cohort is None:
            return Overlap()
        groupings: frozenset[str] = frozenset()
        for path in sorted((self.out / NAME / FOLDER).glob("*.npz")):
            other = _read(path, self.kind)
            near = find_near(self.cohort, other)
            if near is not None:
                return Overlap(replace(near, run=path.stem))
            groupings = find_near_groupings(self.cohort, other, groupings)
        return Overlap(None, groupings)

    @contextmanager
    def claim(self, run: str, known: Overlap) -> Iterator[None]:
        """Keep the cohort of a document that is about to be shared.

        known: what `find` found when the run began.

        Raises:
            PrivauditError: Another run that ended meanwhile has a cohort that is too near.
        """
        if self.cohort is None:
            yield
            return
        folder = make_private(self.out / NAME / FOLDER)
        with _lock(folder):
            found = self.find()
            if found.near is not None:
                raise refuse(found.near)
            if found.groupings - known.groupings:
                raise PrivauditError(
                    "an audit of nearly the same subgroups that ended while this one was at work",
                    f"whoever holds both documents reads of the fewer than {MIN_CELL} patients in "
                    "whom they differ",
                    "run the same command again: what was trained is reused",
                )
            shown = self.cohort.without_groupings(known.groupings)
            if not self.is_open:
                _write(folder / f"{run}.npz", shown, self.kind)
        yield


def read_two(one: Path, other: Path) -> tuple[Cohort, Cohort] | None:
    """The cohorts of two runs, given by their folders; None where they cannot be compared: one was
    not kept, or they were marked under different keys."""
    paths = [run.parent / NAME / FOLDER / f"{run.name}.npz" for run in (one, other)]
    if not all(path.is_file() for path in paths):
        return None
    kinds = [str(_load(path)[_KEY]) for path in paths]
    if kinds[0] != kinds[1]:
        return None
    return _read(paths[0], kinds[0]), _read(paths[1], kinds[1])


def refuse(near: Near) -> PrivauditError:
    """What to do where too few patients differ; without how many, or who."""
    what, again = "cohort", "cohort"
    if near.what == "pool":
        what, again = "training set, or set of held-out patients,", "tables"
    fix = f"audit the same {again} again, or wait until {MIN_CELL} or more patients differ"
    if near.view == "labels":
        named = spell("--patient COLUMN", "patient=...")
        fix = f"name the patients ({named}) as they were named then; or {fix}"
    return PrivauditError(
        f"a {what} that differs from that of the audit {near.run} by fewer than {MIN_CELL} "
        "patients",
        "whoever holds both documents subtracts one from the other and reads these few patients' "
        "groups, outcomes and predictions",
        fix + spell(f"; {ALLOW}", ""),
    )


def _write(path: Path, cohort: Cohort, kind: str) -> None:
    arrays = {name: np.asarray(getattr(cohort, name)) for name in _ARRAYS}
    # Not in the order of the table, which says who is who.
    order = np.argsort(cohort.records)
    place = np.empty(len(order), dtype=np.int32)
    place[order] = np.arange(len(order))
    own = ("name", "outcome", "records", "labels", "pool")
    arrays |= {name: arrays[name][order] for name in own if len(arrays[name])}
    arrays |= {"at": place[cohort.at], _KEY: np.array(kind)}

    def fill(made: Path) -> None:
        with open(made, "wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]

    write_atomically(path, fill)


def _read(path: Path, kind: str) -> Cohort:
    """kind: of the key that its marks must have been made under; "" for any."""
    arrays = _load(path)
    if kind and str(arrays[_KEY]) != kind:
        raise PrivauditError(
            "cohorts of earlier audits that were marked under another key",
            "nobody can tell whether this cohort differs from them by a few patients, whom two "
            "documents would give away",
            f"restore the {commitments.KEY} that this folder of runs had",
        )
    own: dict[str, Any] = {name: arrays[name] for name in _ARRAYS}
    return Cohort(**{**own, "is_random": bool(own["is_random"])})


def _load(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in (_KEY, *_ARRAYS)}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        raise PrivauditError(
            f"a file in {NAME}/{FOLDER} that cannot be read",
            "it holds the cohort of an earlier audit, with which every later one is compared",
            "restore it from a copy; a run that was never shared may be removed together with it",
        ) from None


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Let one run at a time look at the cohorts and add its own."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    handle = os.open(folder / _LOCK, os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


__all__ = ["Overlap", "Watch", "read_two", "refuse"]
