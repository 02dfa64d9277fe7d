"""Whether tables that are to be compared are written alike: values, missing ones and patients.

A copy in another unit or spelling is no copy to any attack, and a patient by another name is on
both sides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from privaudit.errors import PrivauditError
from privaudit.inputs.cell_text import OTHER, fold
from privaudit.records import Records

MIN_VALUES = 20
"""Recorded values, or expected ones, below which nothing is concluded."""

OTHER_SHARE, OTHER_TIMES = 0.05, 3.0
"""Where more than this share of the synthetic rows, and so many times the real share, hold values
that the schema does not list, they are spelled otherwise."""

COMMON_SHARE = 0.05
PATIENT_SHARE = 0.05
MAX_NAMED = 8


def refuse_unlike(table: Records, real: Records) -> None:
    """Refuse a synthetic table that is written unlike the real one.

    Levels that the schema does not list, numbers in another unit or with thousands separators, and
    missing values that are a value in one table: all columns are named in one error.

    Args:
        table: The synthetic table, in the real one's coding.
        real: The real table.
    """
    places = {column.name: j for j, column in enumerate(real.columns)}
    faults: dict[str, list[str]] = {}
    for j, column in enumerate(table.columns):
        own, other = table.X[:, j], real.X[:, places[column.name]]
        fault = ""
        if OTHER in column.levels:
            code = column.levels.index(OTHER)
            shares = [float(np.mean(x == code)) for x in (own, other)]
            if shares[0] > OTHER_SHARE + OTHER_TIMES * shares[1]:
                fault = "levels that the real table lacks"
        elif column.kind == "numeric" and _are_apart(own, other):
            fault = "numbers of another size, as in another unit or with thousands separators"
        if not fault and (_is_missing_elsewhere(own, other) or _is_missing_elsewhere(other, own)):
            fault = "missing values that are a value in the other table"
        if fault:
            faults.setdefault(fault, []).append(column.name)
    if not faults:
        return
    said = [f"{fault}: {', '.join(names[:MAX_NAMED])}" for fault, names in faults.items()]
    raise PrivauditError(
        f"a synthetic table that is written unlike the real one ({'; '.join(said)})",
        "a copy in another spelling or unit is not seen as a copy",
        "write all tables alike, list missing values as `missing` in a schema, or leave the column "
        "out of all tables",
    )


def _are_apart(own: np.ndarray, other: np.ndarray) -> bool:
    """Whether the middle 98 % of two columns of numbers do not overlap."""
    own, other = own[~np.isnan(own)], other[~np.isnan(other)]
    if min(len(own), len(other)) < MIN_VALUES or min(np.ptp(own), np.ptp(other)) == 0:
        return False
    (low, high), (least, most) = (np.percentile(x, (1, 99)) for x in (own, other))
    return bool(low > most or least > high)


def _is_missing_elsewhere(own: np.ndarray, other: np.ndarray) -> bool:
    """Whether a common value of one column never occurs in the other, which lacks about as many."""
    there = own[~np.isnan(own)]
    if not len(other):
        return False
    values, counts = np.unique(there, return_counts=True)
    shares = counts / len(own)
    more = float(np.isnan(other).mean() - np.isnan(own).mean())
    common = (shares >= COMMON_SHARE) & (shares * len(other) >= MIN_VALUES) & (shares / 2 <= more)
    return bool((common & ~np.isin(values, other)).any())


def refuse_respelled_groups(pools: Sequence[Mapping[str, np.ndarray]]) -> None:
    """Refuse groups whose names differ by case or blanks alone: one group would be read as two."""
    names = []
    for name in pools[0]:
        labels = {str(x) for pool in pools for x in np.unique(pool[name])}
        if len({fold(label) for label in labels}) < len(labels):
            names.append(name)
    if names:
        raise PrivauditError(
            f"groups whose names differ by case, blanks or zeros alone: {', '.join(names)}",
            "one group would be reported as two",
            "spell the groups alike in all tables",
        )


def refuse_respelled_patients(names: Mapping[str, int], pools: Sequence[np.ndarray]) -> None:
    """Refuse where patients of one table are those of another but for case, blanks or zeros.

    0123 and 123 are two patients of one table; where they are in different tables, and many, one
    tool wrote the zeros and another did not, and a patient on both sides would not be found.

    Args:
        names: Name -> number of all patients.
        pools: The patients' numbers of each table.
    """
    by_number = {number: name for name, number in names.items()}
    sets = [{by_number[n] for n in np.unique(pool).tolist() if n in by_number} for pool in pools]
    for i, one in enumerate(sets):
        for other in sets[i + 1 :]:
            keys = [{fold(name) for name in a - b} for a, b in ((one, other), (other, one))]
            alike = len(keys[0] & keys[1])
            if alike and alike >= PATIENT_SHARE * min(len(one), len(other)):
                raise PrivauditError(
                    "patients of two tables whose names differ by case, blanks or zeros alone",
                    "the same patient would be read as two, and nobody would be found on both "
                    "sides",
                    "write the patient's column alike in all tables",
                )


__all__ = ["refuse_respelled_groups", "refuse_respelled_patients", "refuse_unlike"]
