"""What kind of task came is said first, and then what can be done."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.linear_model import LogisticRegression

import privaudit
from privaudit.errors import PrivauditError

N = 120
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 3))
Y = (X[:, 0] > 0).astype(int)
LABELS = np.column_stack([Y, 1 - Y, np.ones(N, dtype=int)])
SURVIVAL = np.array([(bool(y), 3.0 + y) for y in Y], dtype=[("event", "?"), ("days", "f8")])


@pytest.mark.parametrize(
    ("inputs", "outcomes", "what", "fix"),
    [
        (sparse.csr_matrix(X), Y, "a sparse matrix of 60 rows and 3 columns", "X.toarray()"),
        (X, LABELS, "a multi-label task of 3 labels", "audit_labels"),
        (X, pd.DataFrame(LABELS), "a multi-label task of 3 labels", "audit_labels"),
        (X, np.eye(2, dtype=int)[Y], "one class of 2 in 0 and 1", "y.argmax(axis=1)"),
        (X, RNG.normal(size=(N, 4)), "a task of 4 outputs", "one outcome at a time"),
        (X, LABELS.astype(str), "several outcomes a record", "one outcome at a time"),
        (X, SURVIVAL, "a structured array of the fields event, days", "outcome_kind='time'"),
        (X, np.column_stack([Y, X[:, 1] ** 2]), "survival analysis", "outcome_kind='time'"),
        (X, RNG.gamma(2, 2, N), "different numbers, as of a regression", "classes that the model"),
        (X[:, :, None].repeat(4, axis=2), Y, "such as a series or an image", "the answers"),
    ],
)
def test_the_kind_of_task_is_said_first(inputs: Any, outcomes: Any, what: str, fix: str) -> None:
    half = N // 2
    model = LogisticRegression().fit(X, Y)
    with pytest.raises(PrivauditError) as refused:
        privaudit.audit(
            model,
            members=(inputs[:half], outcomes[:half]),
            nonmembers=(inputs[half:], outcomes[half:]),
            attacks=["threshold"],
            profile="smoke",
            jobs=1,
        )
    assert what in refused.value.what
    assert fix in refused.value.fix
    assert "--" not in str(refused.value)


def test_a_column_of_outcomes_is_one_outcome_a_record() -> None:
    from privaudit.inputs.task_kind import refuse_other_kinds

    for y in (Y, Y[:, None], list(Y), pd.Series(Y)):
        refuse_other_kinds(X, y, "members")
