"""The public encoding reads nothing off the data and can be undone."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.federated.encode import PublicEncoding
from privaudit.errors import PrivauditError
from privaudit.records import Column, Records

COLUMNS = (
    Column("age", bounds=(15.0, 95.0)),
    Column("creatinine.max", bounds=(0.1, 60.0), variable="creatinine", statistic="max"),
    Column("creatinine.count", bounds=(0, 192), variable="creatinine", statistic="count"),
    Column("creatinine.measured", "binary", (0, 1), variable="creatinine", statistic="measured"),
    Column("odd"),
    Column("sex", "binary", (0, 1)),
    Column("unit", "category", levels=("a", "b", "c")),
)


def table(x: np.ndarray) -> Records:
    n = len(x)
    return Records(COLUMNS, x, np.arange(n) % 2, np.arange(n), np.zeros(n))


X = np.array(
    [
        [50, 1.4, 3, 1, -2.5, 1, 2],
        [95, np.nan, 0, 0, np.nan, 0, np.nan],
        [15, 0.95, 192, 1, 9, 1, 0],
    ]
)


def test_a_row_is_encoded_alone_and_decoded_back() -> None:
    encoding = PublicEncoding(COLUMNS)
    z = encoding.encode(table(X))
    assert z.shape == (3, encoding.width) == (3, 6 + 3 + 3)
    assert z.dtype == np.float32
    assert np.isfinite(z).all()
    assert np.abs(z).max() <= 4
    assert np.array_equal(z[1:2], encoding.encode(table(X[1:2])))
    assert np.allclose(encoding.decode(z), X, rtol=1e-5, equal_nan=True)
    assert z[1, 0] == 1
    assert z[2, 0] == -1
    assert z[2, 1] == pytest.approx(0, abs=1e-6)
    assert z[1, 6:].tolist() == [0, 1, 0, 0, 0, 0]


def test_the_gradient_is_that_of_the_encoding() -> None:
    encoding = PublicEncoding(COLUMNS)
    rng = np.random.default_rng(1)
    w = rng.normal(size=encoding.width)
    pulled = encoding.pull_back(table(X), np.tile(w, (3, 1)))
    h = 1e-2
    for i, j in [(0, 0), (0, 1), (0, 2), (2, 1), (0, 4), (2, 4)]:
        up, down = X.copy(), X.copy()
        up[i, j] += h
        down[i, j] -= h
        slope = ((encoding.encode(table(up)) - encoding.encode(table(down)))[i] @ w) / (2 * h)
        assert pulled[i, j] == pytest.approx(slope, rel=0.02)
    assert pulled[1, 1] == 0
    assert not pulled[:, 6].any()


def test_other_columns_and_codes_without_level_are_refused() -> None:
    with pytest.raises(PrivauditError, match="name no level"):
        PublicEncoding(COLUMNS).encode(table(np.where(X == 2, 7, X)))
    with pytest.raises(PrivauditError, match="not the model's"):
        PublicEncoding(COLUMNS[:3]).encode(table(X))
