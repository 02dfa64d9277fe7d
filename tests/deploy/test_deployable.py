"""Settings that hospitals apart cannot train by are refused before anybody is asked."""

from __future__ import annotations

import pytest
from coordinator_lab import NAMES, make_terms

from pipelines.deploy.terms import RunTerms
from privaudit.errors import PrivauditError


@pytest.mark.parametrize(
    ("method", "setting", "match"),
    [
        ("federated_secure", "aggregate=Median()", "aggregator compares"),
        ("federated_encrypted", "aggregate=GeometricMedian()", "aggregator compares"),
        ("federated_secure", "compress=Float16()", "compress"),
        ("federated", "compress=TopK(0.1)", "compress"),
        ("federated_secure", "protect=SecureSum(threshold=2)", "threshold"),
        ("federated", "sites=Dirichlet()", "sites"),
        ("federated_trees", "sites=ByQuantity()", "sites"),
        ("federated", "policy=Deadline(1.0)", "policy"),
        ("federated", "clock=Clock(step=1.0)", "clock"),
        ("federated_private", "epsilon=3.0", "delta"),
        ("federated_encrypted", "protect=EncryptedSum(step=4)", "step"),
        ("federated_secure", "central=SiteNoise()", "SiteNoise"),
        ("federated_trees", "depth=17", "depth"),
        ("federated", "aggregate=TrimmedMean(2)", "at least 5"),
        ("federated", "proximal=20.0", "proximal"),
    ],
)
def test_impossible_pairs_are_refused(method: str, setting: str, match: str) -> None:
    with pytest.raises(PrivauditError, match=match):
        make_terms(method, setting).build()


@pytest.mark.parametrize(
    ("method", "setting"),
    [
        ("federated", "server=FedYogi()"),
        ("federated_robust", "proximal=0.1"),
        ("federated_secure", "protect=SecureSum(threshold=3)"),
        ("federated_encrypted", "proximal=0.1"),
        ("federated_private", "delta=0.00001"),
        ("federated_trees", "depth=2"),
    ],
)
def test_what_can_be_trained_is_built(method: str, setting: str) -> None:
    _, made = make_terms(method, setting).build()
    assert made.rounds == 4


def test_two_hospitals_are_too_few() -> None:
    with pytest.raises(PrivauditError):
        RunTerms("run", "mortality", "federated", NAMES[:2], quorum=2)
