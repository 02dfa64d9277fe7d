"""What the tasks on ICU stays share: find the source, read it, and turn an outcome into records."""

from __future__ import annotations

import hashlib
import shutil
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import gettempdir, mkdtemp
from typing import ClassVar, get_args

import numpy as np
import polars as pl

from mimic_demo import EMBEDDED_PATIENTS
from pipelines.sources import features, overview
from pipelines.sources.extract import Extract
from pipelines.sources.mimic3 import Mimic3
from pipelines.sources.recognise import recognise
from pipelines.sources.source import Profile
from privaudit.contracts import FlowStep, Prepared, Progress, Task
from privaudit.disclosure.marginals import OF_CLASS, WHOLE
from privaudit.disclosure_limits import name_count
from privaudit.errors import PrivauditError
from privaudit.facts import Caveat, CaveatCode, Param
from privaudit.words import Words

WINDOWS = (24, 48)
DEMO_SEED = 2012
HELD_OUT = 0.4
"""Share of the patients that `Split.assign` holds out when the attacker owns the usual fifth."""
NEEDED = 1000
"""Held-out patients below which a false-positive rate of 1 % is fewer than ten of them."""

GENERATED = "This is synthetic demo data: these numbers are not MIMIC-III results."
PUBLIC_SPLIT = (
    "The usual train/test split of MIMIC-III (mimic3-benchmarks) is public: for a model trained on "
    "it, anyone can look up who was a member. The split used here is assigned at random anew."
)


@dataclass(frozen=True)
class StayTask(Task):
    """A task on ICU stays. Subclasses say in `label` what is asked of each stay.

    Args:
        window: Hours of each stay that are read: 24 or 48.
        cohort: "first_stay" (one stay a patient), "all_stays", or "benchmarks" (the rule of
            mimic3-benchmarks).
        as_known: Read only what had been charted by the end of the window, where the source says
            when.
        patients: Size of the embedded demo, where no data are given.
        codes: A hospital's own code map (CSV), read on top of the source's.
    """

    words: ClassVar[Words] = Words(record="stay", records="stays")

    window: int = 48
    cohort: Profile = "first_stay"
    as_known: bool = False
    patients: int = EMBEDDED_PATIENTS
    codes: str = ""

    @abstractmethod
    def label(self, extract: Extract) -> Label:
        """The outcome of each stay of an extract."""

    def prepare(self, data: Path | None, cache: Path, progress: Progress) -> Prepared:
        """Records with one class an outcome: see `privaudit.contracts.Task.prepare`."""
        self.check_settings()
        extract = self.read(data, cache, progress)
        return prepare(extract, self.label(extract))

    def check_settings(self) -> None:
        """PrivauditError for settings that the task does not know."""
        if self.window not in WINDOWS:
            raise PrivauditError(
                f"a window of {self.window!r} hours",
                f"tasks are defined on the first {WINDOWS[0]} or {WINDOWS[1]} hours of a stay",
                "use window=24 or window=48",
            )
        if self.cohort not in get_args(Profile):
            raise PrivauditError(
                f"a cohort called {self.cohort!r}",
                f"known: {', '.join(get_args(Profile))}",
                "choose one of these",
            )

    def read(self, data: Path | None, cache: Path, progress: Progress) -> Extract:
        """The source at `data`, harmonised; the embedded demo where it is None.

        The demo's tables are written once into `cache` and read by the code that reads MIMIC-III.

        Raises:
            PrivauditError: For what a source cannot give.
        """
        source = Mimic3(demo(self.patients, cache, progress)) if data is None else recognise(data)
        extract = source.extract(
            window=self.window,
            cohort=self.cohort,
            as_known=self.as_known,
            cache=cache,
            progress=progress,
            codes=Path(self.codes) if self.codes else None,
        )
        if data is None:
            return replace(extract, source="generated demo", real=False)
        return extract

    def check(self, data: Path) -> Mapping[str, str]:
        """What the folder holds, and what the task would read of it.

        Every table is read to its end, so that a damaged file is found. What is kept in between
        lies in a private folder of the working directory, or of the system where that belongs to
        the data or may not be written, and is deleted.

        Raises:
            PrivauditError: For every fault of the source.
        """
        found = dict(recognise(data).check())
        with _scratch(data) as cache:
            try:
                extract = self.read(data, cache, lambda what, share: None)
            except PrivauditError as error:
                # The tables are whole; that they make no cohort is told beside their rows.
                return found | {"cohort": f"none: {error.what}: {error.because}"}
        return found | overview.lines(extract)


@contextmanager
def _scratch(data: Path) -> Iterator[Path]:
    """A private folder that is not in the data: a source may be shared, or be read by others."""
    folder = _new_folder(data)
    try:
        yield folder
    finally:
        try:
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            # A second Ctrl-C, or a table that a thread was still writing, must leave nothing.
            shutil.rmtree(folder, ignore_errors=True)


def _new_folder(data: Path) -> Path:
    for place in (Path.cwd, lambda: Path(gettempdir())):
        try:
            here = place().resolve()
            if data.resolve() not in (here, *here.parents):
                return Path(mkdtemp(prefix=".privaudit-", dir=here))
        except OSError:
            continue
    raise PrivauditError(
        "no folder to work in",
        "the working directory and the system's temporary folder lie in the data or may not be "
        "written, and nothing is written beside the data",
        "change to a folder outside the data that you may write to",
    )


def demo(patients: int, cache: Path, progress: Progress) -> Path:
    """The folder of the embedded demo's tables in `cache`, written there by the first call."""
    import mimic_demo

    if patients < 1:
        raise PrivauditError(
            f"a demo of {patients} patients",
            "it takes at least 1",
            f"leave it at {mimic_demo.EMBEDDED_PATIENTS} for about 3,000 stays",
        )
    folder = cache / f"demo-{_generator()}-{patients}-{DEMO_SEED}"
    if not folder.is_dir():
        try:
            # write() leaves the whole folder or none.
            mimic_demo.write(folder, patients, DEMO_SEED, partial(_named, progress))
        except OSError as error:
            # Another run may have put the same tables there in the meantime.
            if not folder.is_dir():
                raise PrivauditError(
                    f"the demo cannot be written: {error.strerror or 'the disk refused'}",
                    "its tables (about 12 kB a patient) are written once into the cache",
                    "free some space, or give another folder as the cache",
                ) from None
    return folder


def _named(progress: Progress, what: str, share: float) -> None:
    progress(f"writing the demo: {what}", share)


def _generator() -> str:
    """The generator's version: a digest of its code and of its aggregates."""
    spec = find_spec("mimic_demo")
    digest = hashlib.sha256()
    for folder in (spec.submodule_search_locations if spec else None) or ():
        for path in sorted(Path(folder).rglob("*")):
            if path.is_file() and path.suffix in {".py", ".json", ".csv"}:
                digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:12]


@dataclass(frozen=True, eq=False)
class Label:
    """What a task asks of each stay.

    Args:
        outcome: One code a stay of the extract, null where left out.
        classes: The names of the codes.
        steps: What is left out and why: each a name and a bool a stay, counted in this order.
        notes: Texts that the report prints.
        ordered: Whether the order of the classes means something, as that of buckets of days does.
    """

    outcome: pl.Series
    classes: Sequence[str]
    steps: Sequence[tuple[str, pl.Series]] = ()
    notes: Sequence[str] = ()
    ordered: bool = False


def prepare(extract: Extract, label: Label) -> Prepared:
    """Records of one outcome with the cohort flow and the texts that belong to the numbers.

    Raises:
        PrivauditError: Where fewer than two patients or two classes are left.
    """
    keep = np.ones(len(extract.stays), bool)
    flow = list(extract.flow)
    patient = extract.stays["patient"].to_numpy()
    for name, left_out in label.steps:
        drop = left_out.fill_null(True).to_numpy() & keep
        keep &= ~drop
        flow.append(FlowStep(name, int(drop.sum()), int(keep.sum()), len(np.unique(patient[keep]))))
    codes = label.outcome.fill_null(-1).to_numpy().astype(np.int64)
    patients = len(np.unique(patient[keep]))
    if patients < 2:
        raise PrivauditError(
            "fewer than two patients in the cohort",
            "an audit compares patients that were trained on with others",
            "look at the cohort flow; use a source with at least a few hundred patients",
        )
    counts = {name: int((codes[keep] == code).sum()) for code, name in enumerate(label.classes)}
    if sum(count > 0 for count in counts.values()) < 2:
        raise PrivauditError(
            "one outcome only: "
            + ", ".join(f"{name} {name_count(count)}" for name, count in counts.items() if count),
            "a model needs stays of at least two outcomes to learn a difference",
            "use a source with more stays, or another task",
        )
    records = features.build(
        extract, codes, classes=label.classes, ordered=label.ordered, keep=keep
    )
    return Prepared(
        records=records,
        flow=tuple(flow),
        source=extract.source,
        real=extract.real,
        notes=(*_warnings(extract, patients), *extract.notes, *label.notes),
        facts={**extract.facts, "window_hours": extract.window, WHOLE: patients}
        | {OF_CLASS.format(name): count for name, count in counts.items()},
    )


def _warnings(extract: Extract, patients: int) -> list[str | Caveat]:
    warnings: list[str | Caveat] = []
    if not extract.real:
        warnings.append(GENERATED)
    if extract.real and extract.source == Mimic3.title:
        warnings.append(PUBLIC_SPLIT)
    held = round(HELD_OUT * patients)
    if held < NEEDED:
        few: dict[str, Param] = {"patients": held, "wanted": NEEDED, "fpr": 0.01}
        warnings.append(Caveat(CaveatCode.FEW_HELD_OUT, "note", few))
    found = set(extract.events["variable"].unique())
    absent = [v.name for v in extract.variables if v.name not in found]
    if absent:
        warnings.append(f"Never measured in these stays: {', '.join(absent)}.")
    return warnings
