"""A model of several labels: one audit a label, none guessed, corrected for their number."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier

import privaudit
from privaudit.api_labels import _one_label
from privaudit.errors import PrivauditError
from privaudit.policy.starters import starter

QUICK: dict[str, Any] = {"profile": "smoke", "jobs": 1, "attacks": ["threshold"]}


def ward(rows: int, seed: int) -> tuple[np.ndarray, pd.DataFrame]:
    """The first label follows the inputs, the second is noise that only memory can tell."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, 4))
    sepsis = (X[:, 0] > 0.3).astype(int)
    return X, pd.DataFrame({"sepsis": sepsis, "delirium": rng.integers(0, 2, rows)})


MEMBERS, HELD = ward(200, 1), ward(260, 2)


def forest() -> RandomForestClassifier:
    return RandomForestClassifier(10, max_features=4, random_state=0).fit(*MEMBERS)


def test_the_label_that_leaks_is_named_and_intervals_hold_together(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(starter("internal", date(2030, 1, 1)))
    found = privaudit.audit_labels(forest(), MEMBERS, HELD, policy=policy, **QUICK)
    assert list(found.labels) == ["sepsis", "delirium"]
    assert found.strongest == "delirium"
    estimates = {name: one.estimate("auc") for name, one in found.labels.items()}
    assert {round(e.confidence, 6) for e in estimates.values()} == {0.975}
    assert estimates["delirium"].low >= 0.8
    assert found.labels["delirium"].subject.utility[0].value < 0.65
    assert found.labels["sepsis"].subject.utility[0].value > 0.9
    assert found.code == 1


def test_answers_as_a_list_and_as_a_matrix_are_one() -> None:
    model = forest()
    both = [p[:, 1] for p in model.predict_proba(HELD[0])]
    assert not np.allclose(*both)
    for j in range(2):
        by_list = _one_label(model, j, 2)(HELD[0])
        by_matrix = _one_label(lambda X: np.column_stack(both), j, 2)(HELD[0])
        np.testing.assert_array_equal(by_list, both[j])
        np.testing.assert_array_equal(by_matrix, both[j])


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda X: np.tile([0.3, 0.7], (len(X), 1)), "sum to 1"),
        (lambda X: np.full((len(X), 3), 0.2), "for 2 labels"),
        (lambda X: [np.tile([0.3, 0.7], (len(X), 1))] * 2, "not guessed"),
        (lambda X: [np.full(len(X), 0.3)] * 3, "3 arrays"),
    ],
)
def test_answers_that_cannot_be_told_apart_are_refused(
    answer: Callable[[np.ndarray], Any], said: str
) -> None:
    with pytest.raises(PrivauditError, match=said):
        privaudit.audit_labels(answer, MEMBERS, HELD, **QUICK)


def test_labels_that_cannot_be_read_are_refused() -> None:
    X, Y = MEMBERS
    for members, said in (
        ((X, Y + 1), "neither 0 nor 1"),
        ((X, Y.sepsis), "labels of shape"),
        ((X, Y[["delirium", "sepsis"]]), "another order"),
        ((X, Y.where(Y > 0)), "neither 0 nor 1"),
    ):
        with pytest.raises(PrivauditError, match=said):
            privaudit.audit_labels(forest(), members, HELD, **QUICK)
    with pytest.raises(PrivauditError, match="estimator for a model of several labels"):
        privaudit.audit_labels(forest(), MEMBERS, HELD, estimator=forest(), **QUICK)
    with pytest.raises(PrivauditError, match=r"(?s)a multi-label task of 2 labels.*audit_labels"):
        privaudit.audit(forest(), (X, Y.to_numpy()), (HELD[0], HELD[1].to_numpy()), **QUICK)
