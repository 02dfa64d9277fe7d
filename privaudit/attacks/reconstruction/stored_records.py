"""Stored records: training records that the released file itself gives back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from privaudit.attacks._options import check_whole
from privaudit.attacks._pools import PATIENTS, draw_rows
from privaudit.attacks.reconstruction._stored_cells import (
    Cells,
    code_vectors,
    number_vectors,
    recovered,
    stored_rows,
)
from privaudit.contracts import Access, Attack, Fitted, Target, Trials
from privaudit.errors import PrivauditError
from privaudit.facts import Setting
from privaudit.inputs.artefacts.read_arrays import read_arrays
from privaudit.records import OutcomeKind

UNREAD = 10_000
"""Bytes of a file that may stay unread: names and settings."""
LEAST_FOLDED = 20
"""Records that one row of cells holds at least."""
GAIN = 0.02
"""Less than this above a guess is no find."""

IN_ORDER = "the same stored values, compared with patients who were not trained on"
AS_SET = "the same search for patients who were not trained on"


@dataclass(frozen=True)
class StoredRecords(Attack):
    """Opens the file in which a model or a generator is handed out and looks for training records.

    Nothing of the file is run: a pickle is read opcode by opcode. "categories, in row order" and
    "numbers, in row order": of a training record's cells (the outcome among the categories), the
    share that arrays with one entry a training record give back, where the members were fitted on
    in their order. Columns are those of the synthetic table, where there is one: what the generator
    saw. Codes may name levels as they like: which level a code means is learnt from
    one half of the patients and tried on the other. Lists of row numbers, one for each level, count
    as codes (that is how the ctgan package, 0.12.1, gives back every discrete cell of its training
    data), and so do one-hot columns. Numbers count up to a change of scale, to 0.1 % of a standard
    deviation. A cell that no array gives back is guessed as its column's most frequent value.
    "complete records, in any order": the share of records all of whose identifying cells are in
    one stored row, unscaled, numbers and codes of `_stored_cells.IDENTIFYING` values and more;
    found too where the audit reads a part of the records.
    Guess: the most frequent value of each column throughout; control: on non-members. A patient is
    given back as far as the record of which most is; all records of up to `patients` patients. That
    a fitted model's file may hold training data: Song et al. 2017, Machine Learning Models that
    Remember Too Much (arXiv 1709.07886).
    """

    patients: int = PATIENTS

    needs: ClassVar[frozenset[Access]] = frozenset({Access.FILE})
    family: ClassVar[Literal["reconstruction"]] = "reconstruction"
    outcomes: ClassVar[frozenset[OutcomeKind]] = frozenset({"class", "number"})

    @property
    def helped_by(self) -> frozenset[Access]:
        return frozenset({Access.TABLE})

    def run(
        self, target: Target, refits: Sequence[Fitted], rng: np.random.Generator
    ) -> dict[Setting, Trials]:
        check_whole(self, patients=1)
        file = target.release.file
        if file is None:
            raise ValueError("this release has no file to open")
        members, others = target.split.members, target.split.nonmembers
        inside, outside = (draw_rows(p, self.patients, rng) for p in (members, others))
        table = target.release.table
        names = {c.name for c in (members if table is None else table).columns}
        mine, theirs = Cells.of(members, names), Cells.of(others, names)
        half = np.isin(members.patient, _half(members.patient, rng))
        content = read_arrays(file)
        content.arrays += _fold(content.arrays, members.X.shape[1])
        paired = rng.integers(0, len(members), len(others))
        who = (members.patient[inside], others.patient[outside])
        found = {}
        numbers, codes = number_vectors(content, len(members)), code_vectors(content, len(members))
        for name, scaled, own, other, stored in (
            ("categories, in row order", False, mine.codes, theirs.codes, codes),
            ("numbers, in row order", True, mine.numbers, theirs.numbers, numbers),
        ):
            if not own.shape[1]:
                continue
            read, usual = recovered(own, stored, half, scaled)
            found[Setting("variant", name)] = Trials(
                _share(own, read.right(own))[inside],
                _share(other, read.right(other, paired))[outside],
                _share(own, usual.right(own))[inside],
                IN_ORDER,
                *who,
                "best",
            )
        present, absent = stored_rows(content, mine, theirs)
        found[Setting("variant", "complete records, in any order")] = Trials(
            present[inside], absent[outside], np.zeros(len(inside)), AS_SET, *who, "best"
        )
        _refuse_unread(content.unread, found)
        return found


def _fold(arrays: Sequence[np.ndarray], width: int) -> list[np.ndarray]:
    """Tables that were laid out as one row of cells, by records or by columns, with the outcome or
    without."""
    return [
        part
        for flat in arrays
        if flat.ndim == 1 and flat.dtype.kind in "iuf"
        for d in (width, width + 1)
        if d > 1 and len(flat) >= LEAST_FOLDED * d and len(flat) % d == 0
        for part in (flat.reshape(-1, d), flat.reshape(d, -1).T)
    ]


def _refuse_unread(unread: int, found: Mapping[Setting, Trials]) -> None:
    """Refuse a file that holds much that is no array, where its arrays give nothing back: rows may
    stand there."""
    trials = found.values()
    gains = [t.success.mean() - (0.0 if t.guess is None else t.guess.mean()) for t in trials]
    if unread > UNREAD and max(gains, default=0.0) <= GAIN:
        raise PrivauditError(
            f"a file that holds {unread:,} bytes of texts and raw bytes beside its arrays",
            "no record was found in the arrays, and nobody looked into the rest, where rows may be",
            "hand out the model in a format of arrays alone, or have the rest looked into",
        )


def _half(patients: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    ids = np.unique(patients)
    return rng.permutation(ids)[: len(ids) // 2]


def _share(cells: np.ndarray, right: np.ndarray) -> np.ndarray:
    """(n,) share of each record's measured cells that are right; 0 where none is measured."""
    seen = np.isfinite(cells)
    result: np.ndarray = (right & seen).sum(axis=1) / np.maximum(1, seen.sum(axis=1))
    return result


__all__ = ["StoredRecords"]
