"""The owner's own probabilities for some rows, against those that the audit computes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np

from privaudit.contracts import Model
from privaudit.errors import PrivauditError
from privaudit.facts import Caveat, CaveatCode
from privaudit.inputs.class_order import order_evidently
from privaudit.inputs.probability_columns import find_columns
from privaudit.inputs.read_table import attach_series, list_names, read_cells, to_records
from privaudit.inputs.schema import TableSchema
from privaudit.inputs.table_file import open_table
from privaudit.records import Column, Records

TOLERANCE = 1e-5
"""The largest difference of a probability that is rounding."""

MIN_ROWS = 10
"""Fewer rows might agree by chance."""

Pool = Literal["members", "non-members", "reference"]
ROW, TABLE = "row", "table"
POOLS: Mapping[str, Pool] = {
    "members": "members",
    "nonmembers": "non-members",
    "non-members": "non-members",
    "reference": "reference",
}


class Disagreement(PrivauditError):
    """The owner's probabilities are not those computed here."""


def check_expected(
    path: Path,
    model: Model,
    tables: Mapping[Pool, Path],
    schema: TableSchema,
) -> Caveat:
    """Compare the owner's probabilities with the model's, and state how far they are apart.

    Args:
        path: A table with a column `row` (the number of the row in its table, the first after the
            header 0) or the patient's column where each patient has one row; with a column `table`
            (members, nonmembers or reference; members where there is none); and probabilities, one
            column a class or one of the event.
        model: The model as the audit reads it.
        tables: The audit's tables.
        schema: What their columns are, classes in the order of the model's outputs.

    Returns:
        How many rows were compared, and the greatest difference.

    Raises:
        PrivauditError: A file that says something else, with the greatest difference and the
            likely cause.
    """
    what = "expected probabilities"
    if schema.outcome_kind != "class":
        raise PrivauditError(
            f"{what} of an outcome that is a {schema.outcome_kind}",
            "probabilities belong to classes",
            "leave --expect out",
        )
    with open_table(path, f"the table of {what}") as opened:
        names = opened.columns
    key = ROW if ROW in names else schema.patient
    if not key or key not in names:
        raise PrivauditError(
            f"{what} without a key of the rows",
            f"the table has: {list_names(names)}",
            f"add a column {ROW!r}: the number of the row in its table, the first after the header "
            "0; or the patient's column, where each patient has one row",
        )
    rest = [name for name in names if name not in (key, TABLE, schema.outcome)]
    chosen = find_columns((), rest, schema.classes)
    if not chosen.named and order_evidently(schema.classes) is None:
        raise PrivauditError(
            f"{what} in {', '.join(chosen.names)}, of classes called {', '.join(schema.classes)}",
            "a column that does not name its class agrees under either order of the classes",
            f"name each column after its class (p_{schema.classes[-1]})",
        )
    columns = tuple(map(Column, chosen.names))
    by_row = key == ROW
    wanted = TableSchema(
        (*columns, *((Column(ROW, integer=True),) if by_row else ())),
        patient="" if by_row else key,
        groups=(TABLE,) if TABLE in names else (),
    )
    patients: dict[str, int] = {}
    cells_of = [read_cells(t, schema, what=pool, patients=patients) for pool, t in tables.items()]
    joined, _ = attach_series(cells_of, list(tables))
    read = {pool: to_records(one, schema, pool) for pool, one in zip(tables, joined, strict=True)}
    known = len(patients)
    cells = read_cells(path, wanted, what=what, patients=patients, dtype=np.float64)
    of = _read_pools(cells.groups.get(TABLE), len(cells.X))
    answers = np.empty((len(cells.X), len(schema.classes)))
    shifted = np.full_like(answers, np.nan)
    place = np.empty(len(answers), dtype=np.int64)
    for pool in dict.fromkeys(of):
        if pool not in read:
            raise PrivauditError(
                f"{what} of the {pool} table, which was not given",
                f"tables are: {', '.join(read)}",
                "give that table, or leave its rows out",
            )
        mine = np.array([one == pool for one in of])
        records = read[pool]
        rows = (
            _find_rows(cells.X[mine, -1], len(records), pool)
            if by_row
            else _find_patients(cells.patient[mine], records, known, pool)
        )
        # Of a deployed model every answer counts: no others are asked for.
        before = np.maximum(rows - 1, 0) if by_row else rows
        asked = np.unique(np.concatenate([rows, before]))
        p = model.predict_proba(records.take(asked))
        answers[mine], place[mine] = p[np.searchsorted(asked, rows)], rows
        shifted[mine] = p[np.searchsorted(asked, before)]
    p = chosen.fill(cells.X[:, : len(columns)], len(schema.classes))
    there = np.isfinite(p)
    if not there.any() or np.isnan(cells.X[:, : len(columns)]).any():
        raise PrivauditError(
            f"{what} with cells that hold none",
            "each row states the owner's probability",
            "leave rows without one out",
        )
    keys = {(pool, int(row)) for pool, row in zip(of, place, strict=True)}
    return compare_answers(answers, p, rows=len(keys), shifted=shifted if by_row else None)


def compare_answers(
    answers: np.ndarray, p: np.ndarray, *, rows: int, shifted: np.ndarray | None = None
) -> Caveat:
    """Compare the owner's probabilities with those computed here, and state how far they are apart.

    Args:
        answers: (n, classes) what the model answers.
        p: (n, classes) what the owner has, NaN where that is not stated.
        rows: How many different rows these are.
        shifted: (n, classes) what it answers for the row before each.

    Raises:
        PrivauditError: They differ, with the likely cause, or are too few.
    """
    what = "expected probabilities"
    if rows < MIN_ROWS:
        raise PrivauditError(
            f"{what} of {rows} different rows",
            f"fewer than {MIN_ROWS} may agree by chance",
            f"give {MIN_ROWS} rows or more, of patients who differ",
        )
    greatest = _greatest(answers, p)
    if greatest > TOLERANCE:
        raise Disagreement(
            f"the model answers otherwise here than in the table of {what}: the greatest "
            f"difference is {greatest:.2g} (over {len(p):,} rows)",
            _likely_cause(answers, shifted, p),
            "hand the tables over as in training, and the model that these probabilities are of",
        )
    params = {"rows": rows, "greatest": greatest, "tolerance": TOLERANCE}
    return Caveat(CaveatCode.EXPECTED_ANSWERS, "note", params)


def _greatest(answers: np.ndarray, p: np.ndarray) -> float:
    return float(np.nanmax(np.abs(answers - p)))


def _likely_cause(answers: np.ndarray, shifted: np.ndarray | None, p: np.ndarray) -> str:
    if p.shape[1] == 2 and _greatest(answers[:, ::-1], p) <= TOLERANCE:
        return "the classes are the other way round: with their order exchanged all rows agree"
    if shifted is not None and np.median(np.nanmax(np.abs(shifted - p), axis=1)) <= TOLERANCE:
        return "the rows are counted from 1: the first row after the header is row 0"
    for digits in range(1, 5):
        if _greatest(np.round(answers, digits), p) <= 10.0**-6:
            return (
                f"the probabilities in the table are rounded to {digits} digits: give all of them"
            )
    near = float(np.mean(np.nanmax(np.abs(answers - p), axis=1) <= TOLERANCE))
    if near > 0.5:
        return (
            f"{near:.0%} of the rows agree, so likely some values (missing ones, rare levels) are "
            "read otherwise than in training"
        )
    return (
        "likely columns, their order, the codes of texts or missing values differ from training, "
        "or the probabilities are of another version of the model"
    )


def _read_pools(labels: np.ndarray | None, rows: int) -> list[str]:
    if labels is None:
        return ["members"] * rows
    found = [POOLS.get(str(label).strip().lower(), "") for label in labels]
    if "" in found:
        raise PrivauditError(
            f"{found.count('')} rows of expected probabilities whose {TABLE!r} is unknown",
            f"tables are called: {', '.join(POOLS)}",
            "say of each row which table it is in",
        )
    return found


def _find_rows(numbers: np.ndarray, rows: int, pool: str) -> np.ndarray:
    outside = int((~((numbers >= 0) & (numbers < rows))).sum())
    if outside:
        raise PrivauditError(
            f"expected probabilities of {outside:,} rows that the {pool} table does not have",
            f"it has {rows:,} rows, numbered from 0 to {rows - 1:,}",
            "number rows as they stand in the table, the first after the header 0",
        )
    return numbers.astype(np.int64)


def _find_patients(wanted: np.ndarray, records: Records, known: int, pool: str) -> np.ndarray:
    ids, first, counts = np.unique(records.patient, return_index=True, return_counts=True)
    at = {number: j for j, number in enumerate(ids.tolist())}
    absent = sum(1 for number in wanted.tolist() if number >= known or number not in at)
    if absent:
        raise PrivauditError(
            f"expected probabilities of {absent:,} patients who are not in the {pool} table",
            "each row is found by its patient",
            f"name them as in the table, or say with a column {TABLE!r} which table they are in",
        )
    places = [at[number] for number in wanted.tolist()]
    several = int((counts[places] > 1).sum())
    if several:
        raise PrivauditError(
            f"expected probabilities of {several:,} patients with several rows in the {pool} table",
            "which row is meant is not known",
            f"name rows by a column {ROW!r} instead",
        )
    result: np.ndarray = first[places]
    return result


__all__ = ["TOLERANCE", "Disagreement", "check_expected", "compare_answers"]
