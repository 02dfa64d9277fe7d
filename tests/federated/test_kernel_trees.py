"""Bagged boosted trees over hospitals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipelines.federated.sites import Dirichlet
from pipelines.methods.federated_trees import FederatedTrees
from privaudit.errors import PrivauditError
from privaudit.records import Column, Records
from privaudit.seeds import Seeds

QUICK = FederatedTrees(rounds=10, rate=0.3, columns=0.8)


def stays(classes: int = 2, n: int = 300, sites: int = 3) -> Records:
    rng = np.random.default_rng(8)
    x = rng.normal(size=(n, 4))
    y = np.digitize(x[:, 0] + 0.3 * rng.normal(size=n), np.arange(classes - 1) * 0.8)
    x[rng.random(x.shape) < 0.1] = np.nan
    return Records(
        tuple(Column(f"x{i}") for i in range(4)),
        x,
        y,
        np.arange(n),
        rng.integers(0, sites, n),
        classes=tuple(map(str, range(classes))),
        sites=tuple(map(str, range(sites))),
    )


@pytest.mark.parametrize("classes", [2, 3])
def test_the_joined_forest_adds_up_every_hospitals_weighted_trees(classes: int) -> None:
    records = stays(classes)
    release = QUICK.fit(records, Seeds(1).rng("f"))
    p = release.model.predict_proba(records)
    assert p.shape == (300, classes)
    assert (p.argmax(axis=1) == records.y).mean() > 0.75
    rows = [np.flatnonzero(records.site == c) for c in range(3)]
    from pipelines.federated.kernel import streams
    from pipelines.federated.trees import join_documents

    grown, sent = QUICK._grow(records, rows, streams(Seeds(1).rng("f"))["clients"])
    assert release.costs["bytes_up"] == sent
    total = np.zeros((300, 1 if classes == 2 else classes))
    import json

    import xgboost

    for document, weight in grown:
        booster = xgboost.Booster()
        booster.load_model(bytearray(json.dumps(document).encode()))
        margin = booster.inplace_predict(records.X, predict_type="margin")
        total += weight * np.asarray(margin, dtype=np.float64).reshape(300, -1)
    logit = np.log(p) - np.log(p).mean(axis=1, keepdims=True)
    if classes == 2:
        assert np.allclose(np.log(p[:, 1] / p[:, 0]), total[:, 0], atol=1e-4)
    else:
        assert np.allclose(logit, total - total.mean(axis=1, keepdims=True), atol=1e-4)
    assert join_documents(grown, classes)[1] == release.costs["model_bytes"]


def test_it_is_a_function_of_its_stream_and_composes_with_made_up_sites() -> None:
    records = stays()
    one, two = (QUICK.fit(records, Seeds(1).rng("f")).model for _ in range(2))
    assert np.array_equal(one.predict_proba(records), two.predict_proba(records))
    made = replace(QUICK, sites=Dirichlet(0.2, 5)).fit(records, Seeds(1).rng("f"))
    assert made.costs["clients"] == 5
    with pytest.raises(PrivauditError, match="1 site"):
        QUICK.fit(records.take(records.site == 1), Seeds(1).rng("f"))
    with pytest.raises(PrivauditError, match="rate=0"):
        replace(QUICK, rate=0.0).fit(records, Seeds(1).rng("f"))
