"""The scores of canaries whose membership was assigned at random, from a user's table."""

from __future__ import annotations

import numpy as np

from privaudit.contracts import Scores
from privaudit.errors import PrivauditError
from privaudit.inputs.cell_text import to_numbers
from privaudit.inputs.read_predictions import read_membership
from privaudit.inputs.read_table import read_cells
from privaudit.inputs.schema import TableSchema
from privaudit.inputs.table_file import Table, open_table
from privaudit.records import Column


def read_canaries(
    table: Table, *, score: str = "score", member: str = "member", patient: str = ""
) -> tuple[Scores, tuple[np.ndarray, np.ndarray]]:
    """The scores of members and non-members, and whose canaries they are.

    Args:
        table: A CSV or Parquet file, or a data frame, of one row a canary.
        score: The column that says how member-like each canary looks.
        member: The column that says whether it was trained on, 1 or 0.
        patient: The column that names patients, "" where each canary is its own.

    Returns:
        The scores, assigned at random; the patients of (members, non-members).

    Raises:
        PrivauditError: Whatever `read_table` refuses, a canary without a score, and a patient on
            both sides.
    """
    _refuse_no_numbers(table, score)
    schema = TableSchema((Column(score),), patient=patient, groups=(member,))
    names: dict[str, int] = {}
    cells = read_cells(
        table,
        schema,
        what="canaries",
        patients=names,
        named_by="--score, --member and --patient name them",
        dtype=np.float64,
    )
    values = cells.X[:, 0]
    missing = int(np.isnan(values).sum())
    if missing:
        raise PrivauditError(
            f"{missing:,} cells of {score!r} in the canaries table have no score",
            "every canary needs a score and a membership",
            "fill them in, or leave out patients by a rule that does not know their membership",
        )
    is_member = read_membership(cells.groups[member], member)
    patients = cells.patient
    if patient:
        # Numbered in the order of their names, so that the order of rows changes nothing.
        order = {names[name]: place for place, name in enumerate(sorted(names))}
        patients = np.array([order[number] for number in patients.tolist()])
    split = np.intersect1d(patients[is_member], patients[~is_member])
    if len(split):
        raise PrivauditError(
            f"{len(split):,} patients are both members and non-members",
            "membership is assigned once for all canaries of a patient",
            "assign it for each patient, or leave --patient out if each canary was assigned alone",
        )
    scores = Scores(values[is_member], values[~is_member], randomised=True)
    return scores, (patients[is_member], patients[~is_member])


def _refuse_no_numbers(table: Table, score: str) -> None:
    """Refuse scores that are no plain numbers: no schema can say here how they are written."""
    with open_table(table, "the canaries table") as opened:
        there = [score] if score in opened.columns else []
        batches = opened.batches(there) if there else ()
        bad = sum(to_numbers(batch[score])[1] for batch in batches)
    if bad:
        raise PrivauditError(
            f"{bad:,} cells of {score!r} in the canaries table are no number",
            "a score is finite and written as 12, -0.5 or 1e-3: no decimal comma, no percent sign, "
            "no unit",
            "write the scores so; where they come of an overflow, compute them again in double "
            "precision, or on the log scale",
        )


__all__ = ["read_canaries"]
