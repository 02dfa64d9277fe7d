"""Stored rows: training records that the generator's own file gives back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from privaudit.attacks._tables import check_counts, draw_rows
from privaudit.attacks.reconstruction._stored_cells import (
    Cells,
    code_vectors,
    number_vectors,
    recovered,
    tables,
)
from privaudit.contracts import Access, Attack, Fitted, Target, Trials
from privaudit.inputs.artefacts.arrays import opened

ORDER = "the same stored values, held against patients whom the generator was not fitted on"
SET = "the same search for patients whom the generator was not fitted on"


@dataclass(frozen=True)
class StoredRecords(Attack):
    """Opens the file in which the generator is handed out and looks for the training records in it.

    Nothing of the file is run: a pickle is read opcode by opcode. "categories, in row order" and "numbers,
    in row order": of a training record's cells (the outcome among the categories), the share that
    arrays with one entry a training record give back, where the generator was fitted on the members
    in their order. Columns are those of the synthetic table, where there is one: what the generator saw. Codes may name levels as they like: which level a code means is learnt from one half
    of the patients and tried on the other. Lists of row numbers, one for each level, count as codes
    (that is how the ctgan package, 0.12.1, gives back every discrete cell of its training data), and
    so do one-hot columns. Numbers count up to a change of scale, to 0.1 % of a standard deviation. A cell
    that no array gives back is guessed as its column's commonest value. "whole rows, as a set": the
    share of records all of whose identifying cells stand in one stored row, in any order, unscaled, numbers
    and codes of `_stored.TELLING` values and more; found too where the audit reads a part of the records.
    Guess: the commonest value of each column throughout; control: on non-members. One record a
    patient, `records` patients. That a fitted model's file may hold training data: Song et al. 2017,
    Machine Learning Models that Remember Too Much (arXiv 1709.07886).
    """

    records: int = 2000

    needs: ClassVar[frozenset[Access]] = frozenset({Access.FILE})
    family: ClassVar[Literal["reconstruction"]] = "reconstruction"

    def run(
        self, target: Target, refits: Sequence[Fitted], rng: np.random.Generator
    ) -> dict[str, Trials]:
        check_counts(records=self.records)
        file = target.release.file
        if file is None:
            raise ValueError("this release has no file to open")
        members, others = target.split.members, target.split.nonmembers
        inside, outside = (draw_rows(p, self.records, rng) for p in (members, others))
        table = target.release.table
        names = {c.name for c in (members if table is None else table).columns}
        mine, theirs = Cells.of(members, names), Cells.of(others, names)
        half = np.isin(members.patient, _half(members.patient, rng))
        content = opened(file)
        paired = rng.integers(0, len(members), len(others))
        found = {}
        parts = {
            "categories, in row order": (mine.codes, theirs.codes, code_vectors(content, len(members))),
            "numbers, in row order": (mine.numbers, theirs.numbers, number_vectors(content, len(members))),
        }  # fmt: skip
        for name, (own, other, stored) in parts.items():
            if not own.shape[1]:
                continue
            said, usual = recovered(own, stored, half, name.startswith("numbers"))
            found[name] = Trials(
                _share(own, said.right(own))[inside],
                _share(other, said.right(other, paired))[outside],
                _share(own, usual.right(own))[inside],
                ORDER,
                members.patient[inside],
                others.patient[outside],
            )
        held, not_held = tables(content, mine, theirs)
        found["whole rows, as a set"] = Trials(
            held[inside],
            not_held[outside],
            np.zeros(len(inside)),
            SET,
            members.patient[inside],
            others.patient[outside],
        )
        return found


def _half(patients: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    ids = np.unique(patients)
    return rng.permutation(ids)[: len(ids) // 2]


def _share(cells: np.ndarray, right: np.ndarray) -> np.ndarray:
    """(n,) share of each record's measured cells that are right; 0 where none is measured."""
    seen = np.isfinite(cells)
    return (right & seen).sum(axis=1) / np.maximum(1, seen.sum(axis=1))


__all__ = ["StoredRecords"]
