"""A synthetic table that somebody brought, with the real tables beside it, as the parts of an audit."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from privaudit.contracts import (
    Claim,
    FlowStep,
    Method,
    Prepared,
    Progress,
    Release,
    Task,
)
from privaudit.errors import PrivauditError
from privaudit.fidelity.distance import match
from privaudit.records import Records, Split
from privaudit.stats.groups import UNRECORDED, rare_joined

LEAST = 50
"""Patients on each side, and synthetic rows, below which nothing could be told."""

REFERENCE = 1 / 3
"""Share of the control's patients that the attacker is given."""

SAME = 0.5
"""Where at least this share of the control's rows stand in the real table, they are one table."""


@dataclass(frozen=True)
class GivenTable(Method):
    """A synthetic table as it was brought; how it was made is not known here.

    table, file: short sha256 of the table and of the generator's file, "" for none. Made by `of`, which
    keeps what they name out of the fields, so that no description of the method can hold a row.
    """

    table: str
    file: str = ""

    supplied: ClassVar[bool] = True

    @classmethod
    def of(cls, table: Records, file: bytes | None = None, notes: Sequence[str] = ()) -> GivenTable:
        """Hand out this table, and this file of a generator's."""
        named = "" if file is None else hashlib.sha256(file).hexdigest()[:16]
        made = cls(table.fingerprint[:16], named)
        object.__setattr__(made, "_release", Release(Claim(), table=table, file=file, notes=tuple(notes)))  # fmt: skip
        return made

    @property
    def reruns(self) -> bool:
        return False

    def fit(self, members: Records, rng: np.random.Generator) -> Release:
        release: Any = getattr(self, "_release", None)
        if release is None:
            raise PrivauditError(
                "a given table without its rows",
                "only its name came here",
                "make it with GivenTable.of(table)",
            )
        return release


@dataclass(frozen=True)
class GivenTables(Task):
    """Real rows that a synthetic table was made from, and rows of others that it was not made from."""

    title: ClassVar[str] = "A synthetic table beside the real one"
    positive: ClassVar[str] = "outcome"

    data: str = ""

    @classmethod
    def of(cls, prepared: Prepared) -> GivenTables:
        """The task that hands these records out."""
        made = cls(prepared.records.fingerprint[:16])
        object.__setattr__(made, "_prepared", prepared)
        return made

    def prepare(self, data: Path | None, cache: Path, progress: Progress) -> Prepared:
        prepared: Any = getattr(self, "_prepared", None)
        if prepared is None:
            raise PrivauditError(
                "given tables without their rows",
                "only their name came here",
                "make the task with GivenTables.of(prepared)",
            )
        return prepared


def prepared(
    real: Records,
    control: Records,
    rng: np.random.Generator,
    *,
    notes: Sequence[str] = (),
    by_patient: bool = True,
) -> Prepared:
    """The split of an audit from the real table and one of patients held out from it.

    A third of the control's patients are what the attacker owns, the rest are the non-members. Refused:
    patients in both tables (where by_patient tells who they are), one table given twice, and fewer than
    50 patients on a side.
    """
    told = [*notes]
    _enough(real, "real")
    _enough(control, "control")
    shared = np.intersect1d(real.patient, control.patient)
    if by_patient and len(shared):
        raise PrivauditError(
            f"{len(shared):,} patients are in both the real and the control table",
            "the control must be of patients of whom the generator saw nothing, or a leak is read as none",
            "take these patients out of the control, or hold other patients out",
        )
    if not by_patient:
        told += _repeated(real, control)
    ids = rng.permutation(np.unique(control.patient))
    owned = np.isin(control.patient, ids[: max(1, round(REFERENCE * len(ids)))])
    real, control = _unknown_folded(real), _unknown_folded(control)
    patient = control.patient
    if len(shared):
        patient = patient + (int(real.patient.max()) + 1 - min(0, int(patient.min())))
    control = replace(control, patient=patient)
    split = Split(*rare_joined((real, control.take(~owned), control.take(owned))))
    told.append(
        f"{REFERENCE:.0%} of the control's patients, drawn by lot, are what the attacker owns; the others are "
        "the non-members with whom members are compared"
    )
    told.append(
        "Who was held out was not tossed by this audit: it takes members and control for patients alike, "
        "as where patients were held out at random before the generator was trained"
    )
    records = Records.concatenate([split.members, split.nonmembers, split.reference])
    flow = (
        FlowStep("rows of the real and the control table", 0, len(records), _patients(records)),
    )
    facts = {"who was trained on": "as given; not tossed by this audit"}
    return Prepared(records, flow, "tables given", True, tuple(told), facts, split)


UNKNOWN = ("unknown", "invalid", "missing", "unspecified", "not available")


def _unknown_folded(records: Records) -> Records:
    """Subgroups whose name says that nothing is known are told as not recorded: a handful of them would
    otherwise take a whole group down with them when small groups are suppressed."""
    groups = {
        name: np.array(
            [UNRECORDED if label.strip().lower().startswith(UNKNOWN) else label for label in kinds]
        )[place]
        for name, labels in records.groups.items()
        for kinds, place in [np.unique(labels, return_inverse=True)]
    }
    return replace(records, groups=groups)


def _patients(records: Records) -> int:
    return len(np.unique(records.patient))


def _enough(records: Records, what: str) -> None:
    if _patients(records) >= LEAST:
        return
    raise PrivauditError(
        f"a {what} table of {len(records):,} rows of {_patients(records):,} patients",
        f"fewer than {LEAST} patients tell nothing: every interval would span all that is possible",
        f"give at least {LEAST} patients; a few hundred a side give a meaningful audit",
    )


def _repeated(real: Records, control: Records) -> list[str]:
    """Where nobody says who the patients are: control rows that stand in the real table word for word."""
    from privaudit.fidelity.copies import exact

    found = exact(*match(control, real)[:2])
    count = int(found.sum())
    if count >= SAME * len(control):
        raise PrivauditError(
            f"{count / len(control):.0%} of the control's rows stand in the real table word for word",
            "the control must be of patients of whom the generator saw nothing",
            "give rows that were held out before the generator was trained, or name the patients (--patient)",
        )
    if count < 10:
        return []
    return [
        f"{count / len(control):.1%} of the control's rows stand in the real table word for word; unless these "
        "are other people with equal values, leaks are understated (--patient would tell)"
    ]


def checked(table: Records, columns: Sequence[Any]) -> tuple[Records, tuple[str, ...]]:
    """The synthetic table with the real columns' description, and notes of what breaks it.

    table: read without bounds, which synthetic values may break. Refused: fewer than 50 rows.
    """
    if len(table) < LEAST:
        raise PrivauditError(
            f"a synthetic table of {len(table):,} rows",
            f"fewer than {LEAST} rows tell nothing of how they were made",
            "draw as many synthetic rows as there are real ones",
        )
    outside, broken = [], []
    real = {column.name: column for column in columns}
    for place, own in enumerate(table.columns):
        column, values = real[own.name], table.X[:, place].astype(float)
        values = values[np.isfinite(values)]
        if column.bounds is not None and len(values):
            low, high = column.bounds
            slack = 1e-6 * max(abs(low), abs(high), 1e-30)
            if ((values < low - slack) | (values > high + slack)).any():
                outside.append(column.name)
        if column.integer and (values % 1 > 0).any():
            broken.append(column.name)
    notes = [
        f"{len(names)} columns of the synthetic table hold {what}: {', '.join(names[:5])}"
        + (" and more" if len(names) > 5 else "")
        for names, what in (
            (outside, "values outside the real column's bounds"),
            (broken, "fractions where the real column holds whole numbers"),
        )
        if names
    ]
    return replace(table, columns=tuple(real[c.name] for c in table.columns)), tuple(notes)


def constant(records: Records) -> tuple[str, ...]:
    """Columns in which all rows agree: nothing can be told by them."""
    X = records.X
    seen = np.isfinite(X)
    low = np.where(seen, X, np.inf).min(axis=0, initial=np.inf)
    high = np.where(seen, X, -np.inf).max(axis=0, initial=-np.inf)
    alike = ~seen.any(axis=0) | ((low == high) & seen.all(axis=0))
    return tuple(c.name for c, same in zip(records.columns, alike, strict=True) if same)


__all__ = ["GivenTable", "GivenTables", "checked", "constant", "prepared"]
