"""What refits are made with: the same models as the method's own, up to rounding, and cheaper."""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import pytest

from pipelines.methods.federated import Federated
from pipelines.methods.federated_private import FederatedPrivate
from privaudit import plugins
from privaudit.contracts import Method
from privaudit.records import Split
from privaudit.seeds import Seeds

sys.path.insert(0, str(Path(__file__).parents[1]))
from test_members import records

OPENED = ("federated_secure", "federated_encrypted", "federated_robust")
"""Methods whose twin is a plain federation; every other one is its own twin."""
OWN = tuple(name for name in plugins.members("methods") if name not in OPENED)


@pytest.fixture(scope="module")
def split() -> Split:
    return Split.assign(records(), Seeds(1).rng("split"))


def answers(method: Method, split: Split) -> np.ndarray:
    release = method.fit(split.members, Seeds(2).rng("fit"))
    assert release.model is not None
    return release.model.predict_proba(split.nonmembers)


@pytest.mark.parametrize("name", OPENED)
def test_a_twin_trains_the_same_model(name: str, split: Split) -> None:
    if name == "federated_encrypted":
        pytest.importorskip("tenseal")
    method = plugins.load("methods", name)(rounds=3)
    assert type(method.twin) is Federated
    assert not method.twin.protect.name
    assert np.allclose(answers(method, split), answers(method.twin, split), atol=1e-5)


@pytest.mark.parametrize("name", OWN)
def test_every_other_method_is_its_own_twin(name: str) -> None:
    method = plugins.load("methods", name)()
    assert method.twin == method
    assert type(method.twin) is type(method)


def test_a_private_federation_is_refitted_with_its_noise(split: Split) -> None:
    pytest.importorskip("dp_accounting")
    method = FederatedPrivate(rounds=2, epsilon=5.0)
    assert np.array_equal(answers(method, split), answers(method.twin, split))
    own = {field.name: getattr(method, field.name) for field in fields(Federated)}
    assert not np.allclose(answers(method, split), answers(Federated(**own), split), atol=1e-3)


def test_a_subclass_that_trains_in_another_way_does_not_inherit_the_twin() -> None:
    @dataclass(frozen=True)
    class Other(Federated):
        extra: float = 1.0

    @dataclass(frozen=True)
    class OtherSecure(plugins.load("methods", "federated_secure")):  # type: ignore[misc]
        extra: float = 1.0

    assert Other(extra=2.0).twin == Other(extra=2.0)
    assert OtherSecure(extra=2.0).twin == OtherSecure(extra=2.0)


def test_noise_of_the_server_stays_in_the_twin() -> None:
    from pipelines.federated.server import SiteNoise

    method = replace(Federated(), central=SiteNoise(epsilon=50.0, delta=0.01))
    assert method.twin == method


def test_refits_of_the_robust_federation_are_those_of_the_plain_ones_alternative() -> None:
    robust = plugins.load("methods", "federated_robust")()
    assert repr(robust.twin) in {repr(m) for m in Federated().alternatives.values()}
    assert repr(Federated().twin) == repr(Federated())
