"""Synthetic records instead of real ones: a generator's table, its file, and a model trained on
it."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from pipelines.generators.copula import Copula
from pipelines.learners._prepare import check_outcomes
from pipelines.learners.boosted import Boosted
from privaudit import checkpoints
from privaudit.contracts import (
    Access,
    AnswersWithNumbers,
    Claim,
    FocalPoints,
    Generator,
    Learner,
    Method,
    Model,
    Release,
    Sampler,
    TableReader,
)
from privaudit.errors import PrivauditError
from privaudit.records import Column, Records

STATISTICS = ("first", "last", "min", "max", "mean", "count", "measured")
FOLLOWS = frozenset({Access.ANSWERS, Access.WEIGHTS})
"""What is made from a table that a guarantee covers is covered too."""


@dataclass(frozen=True)
class Synthetic(Method):
    """Draw a table of synthetic patients, and release it, the generator's file, and a model of it.

    The model answers for full records by reading the columns that were retained.

    Args:
        generator: What learns from the members.
        learner: What is trained on the synthetic table, and on nothing else, as anybody can who
            holds it.
        rows: Rows of the table; None for as many as members, or, from a private generator, as its
            noisy counts say there are patients.
        statistics: Which summaries of each measured variable are kept beside the columns that are
            no summaries; empty keeps all. Seven of each drown every generator, and the last value
            holds nearly all that they hold about the outcome.
        rerun: Let the auditor train costly generators again and again.

    Source: train on synthetic, test on real, Esteban et al. 2017 (arXiv 1706.02633), section 5.
    """

    generator: Generator = field(default_factory=Copula)
    learner: Learner = field(default_factory=Boosted)
    rows: int | None = None
    statistics: tuple[str, ...] = ("last",)
    rerun: bool = False

    learners: ClassVar[tuple[str, ...]] = ("boosted", "logreg", "mlp")

    @property
    def reruns(self) -> bool:
        return not self.generator.costly or self.rerun

    @property
    def costly(self) -> bool:
        return self.generator.costly

    @property
    def nearness(self) -> Method:
        """The same generator, releasing how near its table comes to a record: for shadow
        generators."""
        return _Nearness(self)

    def read_table(self, reader: TableReader) -> Method:
        """The same generator, releasing what `reader` reads of its table."""
        return _Nearness(self, reader)

    def focal_points(self, records: Records, rng: np.random.Generator) -> FocalPoints | None:
        """What the generator would count of these records."""
        return self.generator.focal_points(self.narrow(records), rng)

    def check(self) -> None:
        self.generator.check()

    def fit(self, members: Records, rng: np.random.Generator) -> Release:
        check_outcomes(members)
        start = time.process_time()
        sampler, table = self.draw(members, rng)
        drawn = time.process_time() - start
        if len(np.unique(table.y)) < 2:
            raise PrivauditError(
                f"a synthetic table whose {len(table)} outcomes are all "
                f"{table.classes[int(table.y[0])]!r}",
                "the generator lost the rarer outcomes, so that nobody can train on its table",
                "train the generator longer, draw more rows, or choose another generator",
            )
        start = time.process_time()
        model = self.learner.fit(table, rng)
        file = sampler.save()
        copied = "yes" if getattr(self.generator, "copies", False) else "no"
        return Release(
            claim=_covered(sampler.claim),
            model=Narrowed(table.columns, model),
            table=table,
            file=file,
            costs={
                "train_seconds": drawn + time.process_time() - start,
                "generator_seconds": drawn,
                "rows": float(len(table)),
                "columns": float(len(table.columns)),
                "file_bytes": float(len(file)),
            },
            trust=(
                ("whoever is given the table", "synthetic records", "yes"),
                ("whoever is given the table", "{a_site}'s own records", copied),
            ),
            notes=(*self._describe(members, table), *sampler.notes),
            noisy=getattr(sampler, "noisy", {}),
        )

    def draw(self, members: Records, rng: np.random.Generator) -> tuple[Sampler, Records]:
        """The fitted generator and its table."""
        narrow = self.narrow(members)
        folder = checkpoints.folder() if self.generator.costly else None
        sampler = self.generator.fit(narrow, rng, checkpoint=self._place(folder, narrow))
        return sampler, sampler.sample(self._count(sampler, members), rng)

    def _count(self, sampler: Sampler, members: Records) -> int:
        """How many rows to draw: of a private table as many as its noisy counts say, since a
        guarantee for one patient added or removed covers their exact number."""
        if self.rows is not None:
            return self.rows
        if sampler.claim.epsilon is None:
            return len(members)
        count = getattr(sampler, "rows", None)
        if count is None:
            raise PrivauditError(
                f"{type(self.generator).__name__} with a guarantee and no number of rows",
                "as many rows as patients would give their exact number away, which the guarantee "
                "covers",
                "say how many rows to draw, for instance rows=1000",
            )
        return int(count)

    def narrow(self, records: Records) -> Records:
        """The records as the generator sees them: fewer columns, no series and no groups."""
        if self.rows is not None and self.rows < 1:
            raise PrivauditError(
                f"a synthetic table of {self.rows} rows", "it has at least one", "leave rows out"
            )
        wanted = set(self.statistics) - {""}
        unknown = sorted(wanted - set(STATISTICS))
        if unknown:
            raise PrivauditError(
                f"statistics to keep: {', '.join(unknown)}",
                f"a variable's summaries are: {', '.join(STATISTICS)}",
                "name some of these, or none to keep all",
            )
        keep = [
            j
            for j, c in enumerate(records.columns)
            if not wanted or not c.statistic or c.statistic in wanted
        ]
        if not keep:
            raise PrivauditError(
                f"no column left of {len(records.columns)}",
                f"only the summaries {', '.join(sorted(wanted))} are kept, and no column is one",
                "keep more statistics",
            )
        columns = tuple(records.columns[j] for j in keep)
        return replace(
            records, columns=columns, X=records.X[:, keep], series=None, channels=(), groups={}
        )

    def _place(self, folder: Path | None, records: Records) -> Path | None:
        """Where the generator keeps its state: a name for this generator and these records."""
        if folder is None:
            return None
        folder.mkdir(parents=True, exist_ok=True)
        text = f"{self.generator!r}\0{records.fingerprint}"
        return folder / f"{hashlib.sha256(text.encode()).hexdigest()[:20]}.checkpoint"

    def _describe(self, members: Records, table: Records) -> tuple[str, ...]:
        model = f"The model is {type(self.learner).__name__}, trained on the synthetic table alone."
        if len(table.columns) == len(members.columns):
            return (model,)
        kept = ", ".join(s for s in STATISTICS if s in self.statistics)
        return (
            f"The synthetic table has {len(table.columns)} of the {len(members.columns)} columns: "
            "of each "
            f"measured variable the {kept} value alone.",
            model,
        )


def _covered(claim: Claim) -> Claim:
    """The generator's guarantee, which holds for whatever is made from the table alone."""
    if claim.epsilon is None or Access.TABLE not in claim.covers:
        return claim
    return replace(claim, covers=claim.covers | FOLLOWS)


@dataclass(frozen=True, eq=False)
class Narrowed:
    """A model of some columns that answers for records of more, by their names."""

    columns: tuple[Column, ...]
    model: Model

    def predict_proba(self, records: Records) -> np.ndarray:
        """(n, k) float64, rows sum to 1."""
        place = {column.name: j for j, column in enumerate(records.columns)}
        lacking = [column.name for column in self.columns if column.name not in place]
        if lacking:
            raise PrivauditError(
                f"records without {len(lacking)} of the model's columns",
                f"the model reads {len(self.columns)} columns by name, {lacking[0]!r} among them",
                "build the records by the pipeline that built the training records",
            )
        keep = [place[column.name] for column in self.columns]
        columns = tuple(records.columns[j] for j in keep)
        return self.model.predict_proba(replace(records, columns=columns, X=records.X[:, keep]))


@dataclass(frozen=True)
class _Nearness(Method):
    """Draws a table as `synthetic` does and releases how near it comes to a record, or what
    `reader` reads of it, not the table."""

    synthetic: Synthetic
    reader: TableReader | None = None

    @property
    def reruns(self) -> bool:
        return self.synthetic.reruns

    @property
    def costly(self) -> bool:
        return self.synthetic.costly

    def fit(self, members: Records, rng: np.random.Generator) -> Release:
        start = time.process_time()
        sampler, table = self.synthetic.draw(members, rng)
        return Release(
            claim=_covered(sampler.claim),
            model=Near(table) if self.reader is None else Read(table, self.reader),
            costs={"train_seconds": time.process_time() - start},
        )


@dataclass(frozen=True, eq=False)
class Near:
    """Answers with nearness for a probability: the margin of the true class is minus the log
    distance from the record, its outcome included, to the nearest record of the table."""

    table: Records

    def predict_proba(self, records: Records) -> np.ndarray:
        """(n, k) float64, rows sum to 1; `privaudit.signals.margin` gives the nearness back."""
        from scipy.special import expit

        from privaudit.fidelity.distance import closeness

        near = closeness(records, self.table)
        k = len(records.classes)
        out = np.repeat(expit(-near)[:, None] / (k - 1), k, axis=1)
        out[np.arange(len(records)), records.y] = expit(near)
        return out


@dataclass(frozen=True, eq=False)
class Read(AnswersWithNumbers):
    """Answers with what a reader reads of the table, and with no probability."""

    table: Records
    reader: TableReader

    def read(self, records: Records) -> np.ndarray:
        """(s, n) float64: see `privaudit.contracts.ReadsTable`."""
        return self.reader.read(self.table, records)


__all__ = ["Synthetic"]
