"""Stored records: training records that the released file itself gives back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from privaudit.attacks._options import check_whole
from privaudit.attacks._pools import PATIENTS, draw_rows
from privaudit.attacks.reconstruction._holders import count_alike, expect_share
from privaudit.attacks.reconstruction._rare_values import find_rare
from privaudit.attacks.reconstruction._row_search import find_rows
from privaudit.attacks.reconstruction._stored_cells import (
    Cells,
    code_vectors,
    number_vectors,
    recovered,
)
from privaudit.contracts import Access, Attack, Fitted, Target, Trials
from privaudit.errors import PrivauditError
from privaudit.facts import Setting
from privaudit.inputs.artefacts.read_arrays import read_arrays
from privaudit.records import OutcomeKind

UNREAD = 10_000
"""Bytes of a file that may stay unread: names and settings."""
PACKED = 256
"""Bytes of it that may be raw, or one long text: keys and random states."""
OTHERS = 0.05
"""Share of the non-members' records in a file above which they are no control."""
GAIN = 0.5
"""A file of which less than this is given back may hold more where nobody looked."""
ANY_ORDER = Setting("variant", "complete records, in any order")
RARE = Setting("variant", "values held by fewer than 10 patients")

IN_ORDER = "the same stored values, compared with {people} who were not trained on"
AS_SET = "the same search for {people} who were not trained on"


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
    "complete records, in any order": the share of patients of whom one stored row holds at least
    `_row_search.AGREE` of the measured identifying cells, two of them and half of the columns being
    measured. Rows and columns may stand in any order, be a part of the records, and each column may
    have been changed by a straight line, a logarithm or root before it, by quantiles that the same
    file holds, or, where the file holds all records, by anything that keeps or turns its order.
    Control: the same search for non-members, and the same search made of their values.
    "values held by fewer than 10 patients": the share of patients of whom the file holds such a
    value: the least or greatest of a number, a level's name; control: the same among non-members.
    Guess, of the first two: the most frequent value of each column throughout; control: on
    non-members. A patient is given back as far as the record of which most is; all records of up to
    `patients` patients. That a fitted model's file may hold training data: Song et al. 2017,
    Machine Learning Models that Remember Too Much (arXiv 1709.07886).
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
        cells = [np.concatenate([c.numbers, c.codes], axis=1) for c in (mine, theirs)]
        away = np.isin(others.patient, _half(others.patient, rng))
        present, absent = find_rows(content.arrays, cells[0], half, cells[1])
        if present.any():
            # The same search made of the others' values: what a reading of any finds by chance.
            absent = np.maximum(absent, find_rows(content.arrays, cells[1], away, cells[0])[0])
        words = content.words.union(
            *(np.unique(one).tolist() for one in content.arrays if one.dtype.kind == "U")
        )
        rare, common = (
            find_rare(content.arrays, words, pool, names).astype(np.float64)
            for pool in (members, others)
        )
        for at, own, control in ((ANY_ORDER, present, absent), (RARE, rare, common)):
            found[at] = Trials(own[inside], control[outside], None, AS_SET, *who, "any")
        gain = _gain(found)
        if gain <= GAIN:
            # Where others stand in the file as well, the control hides what it holds of members.
            chance = rng.permuted(cells[1], axis=0)
            held, drawn = find_rows(content.arrays, cells[1], away, chance)
            _refuse_others(held.mean() - drawn.mean() - count_alike(cells[1], cells[0]))
        _refuse_unread(content.unread, content.packed, gain)
        share = expect_share(content, len(members), len(members.columns))
        _refuse_unfound(share * (1 - count_alike(*cells)), gain)
        return found


def _gain(found: Mapping[Setting, Trials]) -> float:
    """What is given back beyond the guess or the control, of the series that gives most."""
    trials = [trial for at, trial in found.items() if at != RARE]
    gains = [t.success.mean() - (t.control if t.guess is None else t.guess).mean() for t in trials]
    return float(max(gains, default=0.0))


def _refuse_others(share: float) -> None:
    """Refuse a file that holds records of those who are the control: more than have a member's
    record or than rows of values drawn column by column match."""
    if share > OTHERS:
        raise PrivauditError(
            "a file that holds records of patients who were handed in as held out",
            "they are the control of this attack, so that what the file holds of training patients "
            "does not show against them; a step of the model was fitted on them too",
            "fit every step, imputers and scalers included, on the training records alone",
        )


def _refuse_unfound(share: float, gain: float) -> None:
    """Refuse a file of a kind that holds records, of which less than half was found: they stand
    there in a form that the search does not read."""
    if gain <= GAIN and gain < share / 2:
        raise PrivauditError(
            f"a file that seems to hold {share:.0%} of the training records, of which few were "
            "found",
            "it is of a kind that keeps records, or holds a table with one row a record, in a form "
            "that the search does not read",
            "hand out a model that keeps no records, such as a regression, a network or trees",
        )


def _refuse_unread(unread: int, packed: int, gain: float) -> None:
    """Refuse a file that holds much that is no array, where its arrays do not give most back
    anyway: more rows may stand there."""
    if (unread > UNREAD or packed > PACKED) and gain <= GAIN:
        raise PrivauditError(
            f"a file that holds {unread:,} bytes of texts and raw bytes beside its arrays, "
            f"{packed:,} of them packed",
            "few records were found in the arrays, and nobody looked into the rest, where rows "
            "may be",
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
