"""What refits are made with: the same models as the method's own, up to rounding, and cheaper."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from pipelines.methods.federated import Federated
from privaudit import plugins
from privaudit.records import Split
from privaudit.seeds import Seeds

sys.path.insert(0, str(Path(__file__).parents[1]))
from test_members import records


@pytest.mark.parametrize("name", ["federated_secure", "federated_encrypted", "federated_robust"])
def test_a_twin_trains_the_same_model(name: str) -> None:
    if name == "federated_encrypted":
        pytest.importorskip("tenseal")
    split = Split.assign(records(), Seeds(1).rng("split"))
    method = plugins.load("methods", name)(rounds=3)
    assert type(method.twin) is Federated
    assert not method.twin.protect.name
    own, twin = (
        made.fit(split.members, Seeds(2).rng("fit")).model.predict_proba(split.nonmembers)
        for made in (method, method.twin)
    )
    assert np.allclose(own, twin, atol=1e-5)


def test_refits_of_the_robust_federation_are_those_of_the_plain_ones_alternative() -> None:
    robust = plugins.load("methods", "federated_robust")()
    assert repr(robust.twin) in {repr(m) for m in Federated().alternatives.values()}
    assert repr(Federated().twin) == repr(Federated())
