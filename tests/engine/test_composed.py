"""What a run writes down of the guarantees of all its releases together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from toy_audit import Noise, ToyMethod, install_attacks, request

from privaudit.contracts import Release
from privaudit.dp import accounting
from privaudit.engine.configure import Entry
from privaudit.engine.run import run
from privaudit.records import Records
from privaudit.results import from_json, to_json
from privaudit.secure_random import SecretGenerator

DREW: list[tuple[str, bool]] = []


@dataclass(frozen=True)
class Private(ToyMethod):
    """Claims one Gaussian answer of this multiplier, or Laplace noise where it has none."""

    sigma: float | None = 2.0
    name: str = ""

    def fit(self, members: Records, rng: np.random.Generator) -> Release:
        DREW.append((self.name, isinstance(rng, SecretGenerator)))
        claim = accounting.gaussian(self.sigma, 1e-5) if self.sigma else accounting.laplace(1.0)
        return Release(claim, self.learner.fit(members, np.random.default_rng(0)))


def test_a_run_composes_the_noisy_steps_of_its_releases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    DREW.clear()
    install_attacks(monkeypatch, {"noise": Noise})
    methods = {
        "one": Private(name="one"),
        "two": Private(name="two"),
        "pure": Private(sigma=None, name="pure"),
        "open": ToyMethod(),
    }
    entries = tuple(Entry(name, name, "", method) for name, method in methods.items())
    made = replace(request({"noise": Noise()}), entries=entries)
    audit = run(made, out=tmp_path, workers=1).audit
    (found,) = audit.composed
    assert found.subjects == ("one", "two", "pure")
    assert (found.method, found.delta, found.unit) == ("pld", 1e-5, "patient")
    expected = accounting.compose(
        [accounting.gaussian(2.0, 1e-5), accounting.gaussian(2.0, 1e-5), accounting.laplace(1.0)]
    )
    # Rounded up in what is shared.
    assert expected.epsilon <= found.epsilon < expected.epsilon + 0.001
    alone = [s.claim.epsilon for s in audit.subjects if s.claim.epsilon is not None]
    assert max(alone) < found.epsilon < sum(alone)
    assert from_json(to_json(audit)) == audit
    # What is released draws secret noise; a null model, trained beside it, need not.
    for name in ("one", "two", "pure"):
        assert (name, True) in DREW
