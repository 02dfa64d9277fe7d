"""The owner's own probabilities in a Python session, against those that the audit computes."""

from __future__ import annotations

from typing import Any

import numpy as np

from privaudit.contracts import Model
from privaudit.errors import PrivauditError
from privaudit.facts import Caveat
from privaudit.inputs.expected import compare_answers
from privaudit.records import Records

WHAT = "expected probabilities"


def check_expected_arrays(
    expect: Any, model: Model, members: Records, nonmembers: Records
) -> Caveat:
    """Compare the owner's probabilities with the model's, and state how far they are apart.

    Args:
        expect: Probabilities of all n rows of members, then of non-members, or a pair of places
            among these n rows, the first 0, and their probabilities; of shape (n, k) in the order
            of the model's answers, or (n,) of the last of two classes.
        model: The model as the audit reads it.
        members: Rows trained on.
        nonmembers: Rows held out.

    Raises:
        PrivauditError: Probabilities of another shape, or others than the model's.
    """
    if members.outcome_kind != "class":
        raise PrivauditError(
            f"expect with an outcome that is a {members.outcome_kind}",
            "it takes probabilities, which belong to classes",
            "leave expect out",
        )
    total, k = len(members) + len(nonmembers), len(members.classes)
    rows, stated = np.arange(total), expect
    if isinstance(expect, tuple):
        if len(expect) != 2:
            raise _misshapen(f"{WHAT} in {len(expect)} parts", total, k)
        rows, stated = _read_rows(expect[0], total), expect[1]
    p = _read_probabilities(stated, len(rows), total, k)
    before = np.maximum(rows - 1, 0)
    answers = np.concatenate([model.predict_proba(members), model.predict_proba(nonmembers)])
    different = len(np.unique(rows))
    return compare_answers(answers[rows], p, rows=different, shifted=answers[before])


def _read_rows(given: Any, total: int) -> np.ndarray:
    found = np.asarray(given).ravel()
    whole = found.dtype.kind in "iu"
    if not whole or ((found < 0) | (found >= total)).any():
        raise PrivauditError(
            f"{WHAT} of rows that are not there" if whole else f"{WHAT} whose rows are no places",
            f"rows are numbered from 0 to {total - 1:,}: those of members, then those of "
            "nonmembers",
            "pass expect=(rows, probabilities) with rows as whole numbers",
        )
    result: np.ndarray = found.astype(np.int64)
    return result


def _read_probabilities(stated: Any, rows: int, total: int, k: int) -> np.ndarray:
    stated = stated.detach().cpu().numpy() if hasattr(stated, "detach") else stated
    try:
        p = np.asarray(stated, dtype=np.float64)
    except (TypeError, ValueError):
        raise _misshapen(f"{WHAT} that are no array of numbers", total, k) from None
    if p.ndim == 2 and p.shape[1] == 1:
        p = p[:, 0]
    if p.ndim == 1 and k == 2:
        p = np.column_stack([1 - p, p])
    if p.shape != (rows, k):
        raise _misshapen(f"{WHAT} of shape {np.shape(stated)} for {rows:,} rows", total, k)
    if not np.isfinite(p).all():
        raise PrivauditError(
            f"{WHAT} of which some are missing",
            "each row states the owner's probability",
            "leave rows without one out: pass expect=(rows, probabilities)",
        )
    return p


def _misshapen(what: str, total: int, k: int) -> PrivauditError:
    one = f", or ({total},) of the last class" if k == 2 else ""
    return PrivauditError(
        what,
        "it is an array of all rows of members, then of nonmembers, or a pair of places among them "
        "and the probabilities there",
        f"pass an array of shape ({total}, {k}){one}; or expect=(rows, probabilities)",
    )


__all__ = ["check_expected_arrays"]
