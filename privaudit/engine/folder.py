"""The run directory: what may be shared, what must not, and nothing half-written."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from privaudit.disclosure import disclose
from privaudit.engine.store import write_atomically
from privaudit.errors import PrivauditError, spell
from privaudit.records import Records, Split
from privaudit.restricted import keep_from_git, make_private
from privaudit.results import Audit, Finding, from_json, to_json

NOTICE = """# Restricted

This folder belongs inside the hospital's secure environment, under the data use agreement of the
source data. It must not be shared, attached, uploaded or committed.

- `audit.json` is the whole document with every number in full, and the secret that every random
  stream came from: with the list of a cohort it names the members.
- `split.npz` is the list of training and held-out patients, with patient keys.
- `answers/` holds the answers of each released model on every record.
- `scores/` holds one score for every record and attack: with the list it singles people out.
- `patients/` lists every patient with their own risk: who is told apart, and who is named.
- `unshared/` holds a report that must not be shared: another one, of nearly the same patients, was.
- `cohorts/` holds keyed marks of the patients of every document that was shared.
- `flow.csv` holds the exact cohort counts, small ones included.
- `plan.json` holds what was asked for, `steps.json` what was taken from the cache, `releases/` and
  `fidelity/` what is known of each model or synthetic table.
- `failures/` holds the traceback of each error; it may quote data.
- `store/`, `cache/` and `tables/` hold records and models' answers on them.

Only the files in `shareable/` were made to be shared.
"""


UNSHARED = "unshared"
EXACT = "audit.json"
"""The document before disclosure control, in `restricted/`."""


def private(folder: Path) -> Path:
    """Make a folder that its owner alone may open, with the notice in it.

    Raises:
        PrivauditError: It, or the cache in it, is a link.
    """
    make_private(folder)
    for name in ("store", "cache"):
        if (folder / name).is_symlink():
            make_private(folder / name)
    notice = folder / "README.md"
    if not notice.exists():
        write_text(notice, NOTICE)
    return folder


def write_text(path: Path, text: str) -> None:
    """Write the whole text or nothing."""
    write_atomically(path, lambda made: made.write_text(text, encoding="utf-8"))


@dataclass(frozen=True)
class Folder:
    """Where one run writes."""

    root: Path

    @classmethod
    def start(cls, out: Path, task: str) -> Folder:
        """Make a run directory under `out`, named by time, task and a random mark."""
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        safe = re.sub(r"[^A-Za-z0-9_]+", "-", task)
        folder = cls(out / f"{stamp}-{safe}-{secrets.token_hex(3)}")
        try:
            folder.root.mkdir(parents=True)
            private(folder.restricted)
            keep_from_git(out, folder.restricted)
        except OSError as error:
            raise PrivauditError(
                "the folder for run directories cannot be written",
                f"the system says: {error.strerror}",
                f"give another folder with {spell('--out', 'out=')}",
            ) from None
        return folder

    def discard(self) -> None:
        """Remove a run that trained nothing, because its input or every subject was refused."""
        import shutil

        shutil.rmtree(self.root, ignore_errors=True)

    @property
    def name(self) -> str:
        return self.root.name

    @property
    def restricted(self) -> Path:
        return self.root / "restricted"

    @property
    def shareable(self) -> Path:
        return self.root / "shareable"

    @property
    def unshared(self) -> Path:
        """Where a document goes that together with an earlier one gives patients away."""
        return self.restricted / UNSHARED

    @property
    def events(self) -> Path:
        return self.root / "events.jsonl"

    def store_split(self, split: Split) -> None:
        """Who is in which pool: restricted."""
        names = ("members", "nonmembers", "reference")
        pools: list[Records] = [getattr(split, name) for name in names]
        arrays = {
            "pool": np.repeat(np.array(names), [len(pool) for pool in pools]),
            "patient": np.concatenate([pool.patient for pool in pools]),
            "outcome": np.concatenate([pool.y for pool in pools]),
            "site": np.concatenate([pool.site for pool in pools]),
            "sites": np.array(pools[0].sites),
            "classes": np.array(pools[0].classes),
        }
        if pools[0].outcome_kind != "class":
            arrays["outcome_kind"] = np.array(pools[0].outcome_kind)
        if pools[0].ordered:
            arrays["ordered"] = np.array(True)
        for name in pools[0].groups:
            arrays[f"groups_{name}"] = np.concatenate([pool.groups[name] for pool in pools])
        self._npz("split.npz", arrays)

    def store_scores(self, subject: str, attack: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Evidence of one attack, record by record, in the order of the split: restricted."""
        self._npz(f"scores/{subject}-{attack}.npz", arrays)

    def store_patients(
        self,
        subject: str,
        columns: Mapping[str, np.ndarray],
        names: Mapping[str, int] | None = None,
    ) -> None:
        """Every patient's own risk, the most at risk first: restricted. names: of the patients, by
        the number that `columns` holds."""
        named = {} if names is None else {number: name for name, number in names.items()}
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        order = np.lexsort((columns["patient"], -columns["told_apart"]))
        for row in zip(*(part[order].tolist() for part in columns.values()), strict=True):
            writer.writerow([named.get(row[0], row[0]), *row[1:]])
        write_text(self.restricted / "patients" / f"{subject}.csv", text.getvalue())

    def store_answers(self, subject: str, arrays: Mapping[str, np.ndarray]) -> None:
        """A released model's answers on members, then non-members, in the order of the split:
        restricted."""
        self._npz(f"answers/{subject}.npz", arrays)

    def store_shadows(self, subject: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Supplied shadow models' log odds, and what each was trained on, in the order of the
        split: restricted."""
        self._npz(f"shadows/{subject}.npz", arrays)

    def store_release(self, subject: str, facts: Mapping[str, Any]) -> None:
        """What a release claims, shows and costs, with the mechanisms of its guarantee:
        restricted."""
        self._json(f"releases/{subject}.json", facts)

    def store_fidelity(self, subject: str, body: Any) -> None:
        """How like the real table a synthetic one is, in full: restricted."""
        self._json(f"fidelity/{subject}.json", body)

    def store_steps(self, made: Sequence[str], cached: Sequence[str]) -> None:
        """Which steps this run made, and which it took from the cache: restricted."""
        self._json("steps.json", {"made": sorted(made), "from_cache": sorted(cached)})

    def _json(self, name: str, body: Any) -> None:
        text = json.dumps(body, indent=1, sort_keys=True, allow_nan=False)
        write_text(self.restricted / name, text + "\n")

    def store_failure(self, name: str, text: str) -> None:
        """The trace of an error: restricted."""
        safe = re.sub(r"[^A-Za-z0-9_.-]+", "-", name)
        write_text(self.restricted / "failures" / f"{safe}.txt", text)

    def _npz(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        def fill(made: Path) -> None:
            with open(made, "wb") as file:
                np.savez_compressed(file, **arrays)  # type: ignore[arg-type]

        write_atomically(self.restricted / name, fill)

    def finish(self, audit: Audit, report: Callable[[Audit, Path], object] | None) -> Audit:
        """Write the exact document under `restricted/`; then the shareable folder, whole or not at
        all, and the manifest. The document that is shared."""
        shared = self._write_results(audit, report, self.shareable)
        write_text(self.root / "manifest.json", manifest(shared))
        return shared

    def finish_unshared(
        self, audit: Audit, report: Callable[[Audit, Path], object] | None
    ) -> Audit:
        """The same under `restricted/` alone."""
        return self._write_results(audit, report, self.unshared)

    def restrict_events(self) -> None:
        """Put the events, which state how many records there are, where nothing is shared."""
        os.replace(self.events, self.restricted / self.events.name)

    def _write_results(
        self, exact: Audit, report: Callable[[Audit, Path], object] | None, place: Path
    ) -> Audit:
        audit = disclose(exact)

        def fill(made: Path) -> None:
            made.mkdir()
            (made / "audit.json").write_text(to_json(audit), encoding="utf-8")
            (made / "curves.csv").write_text(curves(audit), encoding="utf-8")
            if report is not None:
                report(audit, made)

        write_text(self.restricted / EXACT, to_json(exact))
        write_atomically(place, fill)
        return audit

    def make_latest(self) -> None:
        """Point `latest` beside this run at it: a link, or a text file where there are no links."""
        link = self.root.parent / "latest"
        try:
            made = link.with_name(f".latest-{secrets.token_hex(3)}")
            made.symlink_to(self.name, target_is_directory=True)
            os.replace(made, link)
        except OSError:
            write_text(link.with_suffix(".txt"), self.name + "\n")


def manifest(audit: Audit) -> str:
    """The manifest alone, as JSON."""
    from privaudit.results import to_tree

    return json.dumps(to_tree(audit.manifest), indent=1, sort_keys=True) + "\n"


def curves(audit: Audit) -> str:
    """Every curve as one table, a point a row."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["subject", "attack", "curve", "metric", "unit", "x", "y", "low", "high"])
    for subject in audit.subjects:
        lines = [("", subject.reliability)] if subject.reliability else []
        for outcome in subject.outcomes:
            if isinstance(outcome, Finding):
                lines += [(outcome.attack, curve) for curve in outcome.curves]
        for attack, curve in lines:
            about = [subject.name, attack, curve.kind, str(curve.metric), curve.unit]
            for index, (x, y) in enumerate(zip(curve.x, curve.y, strict=True)):
                low = curve.low[index] if curve.low else ""
                high = curve.high[index] if curve.high else ""
                writer.writerow([*about, x, y, low, high])
    return text.getvalue()


def find(run: Path) -> Path:
    """The audit.json of a run given as its folder, its shareable folder, `latest`, or the file."""
    pointer = run.with_suffix(".txt")
    if not run.exists() and run.name == "latest" and pointer.exists():
        run = run.parent / pointer.read_text(encoding="utf-8").strip()
    for candidate in (run / "shareable" / "audit.json", run / "audit.json", run):
        if candidate.is_file():
            return candidate
    if (run / "restricted" / UNSHARED).is_dir():
        raise PrivauditError(
            f"the run {run.name!r} has nothing to be shared",
            "its cohort differs by fewer than 10 patients from that of an earlier audit, which "
            "together with it would give them away",
            f"read the report under restricted/{UNSHARED}/ where it is",
        )
    raise PrivauditError(
        f"no finished run at {run.name!r}",
        "a finished run holds shareable/audit.json; one that was cut short does not",
        "give a run directory, for example runs/latest, or run the same command again to resume",
    )


def read_exact(run: Path) -> Audit:
    """The document of a run before disclosure control; it must not be shared."""
    return from_json((run / "restricted" / EXACT).read_text(encoding="utf-8"))


def read(run: Path) -> Audit:
    """The audit document of a finished run."""
    try:
        text = find(run).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise PrivauditError(
            "this is not an audit document: it is no text in UTF-8",
            "an audit document is JSON as `privaudit run` wrote it",
            "give the audit.json of a finished run",
        ) from None
    return from_json(text)
