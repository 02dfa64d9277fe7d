"""Rows behind turned axes and in folds are found; what holds rows that nobody read is refused."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cross_decomposition import PLSRegression
from sklearn.decomposition import PCA
from sklearn.neighbors import KernelDensity, KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import KBinsDiscretizer, Normalizer, StandardScaler
from sklearn.svm import SVC

from privaudit.attacks.reconstruction.stored_records import ANY_ORDER, StoredRecords
from privaudit.contracts import Release, Target
from privaudit.errors import PrivauditError
from privaudit.records import Column, Records, Split
from privaudit.seeds import Seeds

N = 120
COLUMNS = (*(Column(f"lab{j}", bounds=(-1e4, 1e4)) for j in range(6)), Column("sex", kind="binary"))


def world(audited: int = N) -> tuple[np.ndarray, np.ndarray, Split]:
    rng = Seeds(11).rng("people")
    n = 2 * N + 40
    z = rng.normal(size=(n, 2))
    x = (z @ rng.normal(size=(2, 6)) + rng.normal(size=(n, 6)) * (1, 2, 3, 1, 5, 1)).round(2)
    x = np.column_stack([x, rng.integers(0, 2, n)])
    y = (z[:, 0] + rng.normal(size=n) > 0).astype(np.int64)

    def pool(rows: np.ndarray) -> Records:
        at = np.zeros(len(rows))
        return Records(
            COLUMNS, x[rows].astype(np.float32), y[rows], rows, at, classes=("no", "yes")
        )

    mixed = Seeds(1).rng("order").permutation(N)[:audited]
    split = Split(pool(mixed), pool(np.arange(N, 2 * N)), pool(np.arange(2 * N, n)))
    return x[:N], y[:N], split


def rates(model: Any, split: Split) -> tuple[float, float]:
    target = Target(Release(file=pickle.dumps(model)), split)
    found = StoredRecords().run(target, (), Seeds(2).rng("run"))[ANY_ORDER]
    return float(found.success.mean()), float(found.control.mean())


FOUND: dict[str, Callable[[], Any]] = {
    "turned": lambda: make_pipeline(StandardScaler(), PCA(), KNeighborsClassifier()),
    "whitened": lambda: make_pipeline(StandardScaler(), PCA(whiten=True), KNeighborsClassifier()),
    "folds": lambda: CalibratedClassifierCV(
        make_pipeline(StandardScaler(), KNeighborsClassifier()), cv=3
    ),
}


@pytest.mark.parametrize(("kind", "audited"), [(kind, N) for kind in FOUND] + [("turned", 70)])
def test_rows_on_turned_axes_and_in_folds_are_found_in_any_order(kind: str, audited: int) -> None:
    x, y, split = world(audited)
    success, control = rates(FOUND[kind]().fit(x, y), split)
    assert success > 0.95
    assert control < 0.1


UNREAD: dict[str, Callable[[], Any]] = {
    "bins": lambda: make_pipeline(
        KBinsDiscretizer(20, encode="ordinal", quantile_method="averaged_inverted_cdf"),
        KNeighborsClassifier(),
    ),
    "directions": lambda: make_pipeline(Normalizer(), SVC()),
    "directions in a tree": lambda: make_pipeline(Normalizer(), KernelDensity()),
    "scores": lambda: PLSRegression(2),
}


@pytest.mark.parametrize("audited", [N, 70])
@pytest.mark.parametrize("kind", UNREAD)
def test_holders_of_rows_that_nobody_read_are_refused(kind: str, audited: int) -> None:
    x, y, split = world(audited)
    with pytest.raises(PrivauditError, match="seems to hold"):
        rates(UNREAD[kind]().fit(x, y), split)


def test_a_table_with_one_row_a_record_that_nobody_read_is_refused() -> None:
    x, _, split = world()
    hidden = make_pipeline(StandardScaler()).fit(x)
    hidden.table = np.sin(x[:, :6] * np.linspace(1, 9, 6))
    with pytest.raises(PrivauditError, match="seems to hold 100%"):
        rates(hidden, split)


@pytest.mark.filterwarnings("ignore")
def test_a_network_behind_turned_axes_is_not_refused() -> None:
    x, y, split = world()
    model = make_pipeline(StandardScaler(), PCA(), MLPClassifier((40, 30), max_iter=5)).fit(x, y)
    success, control = rates(model, split)
    assert success - control < 0.03
