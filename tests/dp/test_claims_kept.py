"""Every private method: what it claims is at most what was asked, and is about what it read."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.generators.dp_histogram import DPHistogram
from pipelines.generators.dp_marginals import DPMarginals
from pipelines.learners.logreg import LogReg
from pipelines.methods.dp_ebm import DPEBM
from pipelines.methods.dp_forest import DPForest
from pipelines.methods.dp_linear import DPLinear
from pipelines.methods.dp_output import DPOutput
from pipelines.methods.dp_sgd import DPSGD
from pipelines.methods.dp_sgd_lstm import DPSGDLSTM
from pipelines.methods.federated import Federated
from pipelines.methods.federated_private import FederatedPrivate
from pipelines.methods.synthetic import Synthetic
from privaudit import plugins
from privaudit.contracts import Method, Release
from privaudit.dp import accounting
from privaudit.records import Column, Records
from privaudit.secure_random import KeyStream, SecretGenerator, derive_key
from privaudit.seeds import Seeds

sys.path.insert(0, str(Path(__file__).parents[1]))

EPSILONS = (0.1, 0.5, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 15, 20, 50, 1000)


def table(n: int = 300, seed: int = 0, hours: int = 0) -> Records:
    rng = np.random.default_rng(seed)
    x = np.clip(rng.normal(size=(n, 3)), -3, 3)
    y = (x[:, 0] + rng.logistic(size=n) > 0).astype(int)
    columns = tuple(Column(f"x{i}", bounds=(-3.0, 3.0)) for i in range(3))
    return Records(columns, x, y, np.arange(n), np.arange(n) % 3, sites=("a", "b", "c"))


@pytest.mark.parametrize("epsilon", EPSILONS)
def test_no_claim_is_above_what_was_asked(epsilon: float) -> None:
    """One Gaussian answer and many: what boosting, histograms, marginals and answers ask for."""
    for times in (1, 7, 62):
        sigma = accounting.solve_gaussian(epsilon, 1e-5, times)
        assert accounting.gaussian(sigma, 1e-5, times=times).epsilon <= epsilon


@pytest.mark.parametrize("epsilon", [1.0, 4.0, 8.0, 12.0])
def test_no_claim_of_sampled_steps_is_above_what_was_asked(epsilon: float) -> None:
    for method in (DPSGD(), DPSGDLSTM()):
        q, steps = method.sampling, method.steps
        sigma = accounting.solve_sigma(epsilon, 1e-5, q, steps)
        assert accounting.poisson_gaussian(sigma, q, steps, 1e-5).epsilon <= epsilon
    private = FederatedPrivate(epsilon=epsilon, delta=1e-5)
    claim = private._with_claim(table(), Release(), np.random.default_rng(0)).claim
    assert claim.epsilon <= epsilon
    assert claim.neighbours == "add-remove"


def test_no_claim_at_a_small_epsilon_is_above_it() -> None:
    """A coarser grid for the claim than for the search made 0.01006 of 0.01."""
    sigma = accounting.solve_sigma(0.05, 1e-5, 0.1, 20)
    assert accounting.poisson_gaussian(sigma, 0.1, 20, 1e-5).epsilon <= 0.05


PRIVATE: dict[str, Callable[[float], Method]] = {
    "dp_ebm": lambda e: DPEBM(e, rounds=2),
    "dp_linear": lambda e: DPLinear(e),
    "dp_forest": lambda e: DPForest(e, trees=3),
    "dp_output": lambda e: DPOutput(LogReg(), e, teachers=5, answers=20),
    "dp_sgd": lambda e: DPSGD(hidden=4, epsilon=e, steps=10),
    "dp_sgd_lstm": lambda e: DPSGDLSTM(epsilon=e, units=2, pool=12, steps=4),
    "federated_private": lambda e: FederatedPrivate(epsilon=e, rounds=2),
    "dp_histogram": lambda e: Synthetic(DPHistogram(e), LogReg()),
    "dp_marginals": lambda e: Synthetic(DPMarginals(e, iterations=20), LogReg()),
}
"""Every method and generator that has an epsilon: a test below asks for those that are not here."""

SECRET = Seeds(3**165)


def records_for(name: str, n: int = 300, seed: int = 0) -> Records:
    if name == "dp_sgd_lstm":
        from test_dp_sgd_lstm import stays

        return stays(n, seed=seed)
    return table(n, seed)


def test_every_private_member_is_tried_here() -> None:
    there = {
        name
        for kind in ("methods", "generators")
        for name in plugins.members(kind)
        if hasattr(plugins.load(kind, name), "epsilon")
    }
    assert there == set(PRIVATE)


@pytest.mark.parametrize("name", PRIVATE)
@pytest.mark.parametrize("epsilon", [2.0, 8.0])
def test_a_fitted_claim_keeps_to_what_was_asked_and_names_its_noise(
    name: str, epsilon: float
) -> None:
    method = PRIVATE[name](epsilon)
    records = records_for(name)
    release = method.fit(records, SECRET.secret_rng("fit", name))
    claim = release.claim
    assert claim.epsilon is not None
    assert 0.9 * epsilon < claim.epsilon <= epsilon
    assert claim.neighbours == "add-remove"
    assert claim.unit == "patient"
    assert accounting.SECRET in claim.basis
    assert any("cipher" in str(note) for note in release.notes)
    assert release.model is not None
    again = method.fit(records, SECRET.secret_rng("fit", name)).model.predict_proba(records)
    other = method.fit(records, SECRET.secret_rng("fit", "x")).model.predict_proba(records)
    p = release.model.predict_proba(records)
    assert np.array_equal(p, again), "same key and data, same numbers"
    assert not np.array_equal(p, other)


@pytest.mark.parametrize("name", PRIVATE)
def test_a_twin_adds_the_same_noise(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What shadow models are trained with: as many noisy answers, of the same spreads, and the same
    model from the same stream."""
    method = PRIVATE[name](3.0)
    records = records_for(name)
    spreads: list[list[tuple[int, float]]] = []
    for one in (method, method.twin):
        asked = spy_on_noise(monkeypatch)
        release = one.fit(records, SECRET.secret_rng("fit"))
        assert release.claim.epsilon is not None
        spreads.append(asked)
        p = release.model.predict_proba(records)
    assert spreads[0] == spreads[1]
    assert spreads[0] or name in ("dp_linear", "dp_forest"), "their noise is their library's"
    plain = one.fit(records, SECRET.secret_rng("fit")).model.predict_proba(records)
    assert np.array_equal(p, plain)


def spy_on_noise(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, float]]:
    asked: list[tuple[int, float]] = []
    from privaudit.dp import noise

    real = noise.add_gaussian

    def spy(values: np.ndarray, spread: float, sensitivity: float, rng: Any) -> np.ndarray:
        asked.append((np.size(values), spread))
        return real(values, spread, sensitivity, rng)

    replace_noise(monkeypatch, spy)
    return asked


def replace_noise(monkeypatch: pytest.MonkeyPatch, instead: Callable[..., np.ndarray]) -> None:
    """In every module that adds noise by this name."""
    import pipelines.federated.ledger
    import pipelines.federated.local
    import pipelines.generators.dp_histogram
    import pipelines.generators.dp_marginals
    import pipelines.methods._boosted_curves
    import pipelines.methods._dp_training
    import pipelines.methods.dp_output
    import pipelines.methods.federated_private

    for module in (
        pipelines.federated.ledger,
        pipelines.federated.local,
        pipelines.generators.dp_histogram,
        pipelines.generators.dp_marginals,
        pipelines.methods._boosted_curves,
        pipelines.methods._dp_training,
        pipelines.methods.dp_output,
        pipelines.methods.federated_private,
    ):
        monkeypatch.setattr(module, "add_gaussian", instead)


class EachCallAlone(SecretGenerator):
    """A generator whose every call has a stream of its own: drawing for one patient more moves
    nothing that is drawn after it."""

    def __init__(self, key: bytes, is_secret: bool = True) -> None:
        super().__init__(key, is_secret)
        self.calls = 0

    def child(self, *names: str | int) -> EachCallAlone:
        return EachCallAlone(derive_key(self._key, "child", *names))

    def _next(self) -> None:
        self.calls += 1
        self.stream = KeyStream(derive_key(self._key, "call", self.calls))

    def random(self, *args: Any, **more: Any) -> Any:
        self._next()
        return super().random(*args, **more)

    def integers(self, *args: Any, **more: Any) -> Any:
        self._next()
        return super().integers(*args, **more)

    def permutation(self, *args: Any, **more: Any) -> Any:
        self._next()
        return super().permutation(*args, **more)


@pytest.mark.parametrize("name", sorted(set(PRIVATE) - {"dp_linear", "dp_forest"}))
def test_nothing_of_the_data_reaches_a_release_but_through_noise(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With every noisy answer replaced by one that the data had no part in, two tables of other
    patients, and of another number of them, give the same release to the last bit: so no exact
    number of patients, rows or records of a hospital is in it. (The two numbers have one order of
    magnitude, which sets delta and is public.)"""
    found = []
    for n, seed in ((300, 0), (331, 5)):
        calls = [0]

        def blind(
            values: np.ndarray,
            spread: float,
            sensitivity: float,
            rng: Any,
            calls: list[int] = calls,
        ) -> np.ndarray:
            calls[0] += 1
            own = np.random.default_rng(calls[0])
            return 120.0 + spread * own.standard_normal(np.shape(values))

        replace_noise(monkeypatch, blind)
        monkeypatch.setattr("privaudit.dp.noise.bind_noise", lambda rng, training, data: rng)
        unbind(monkeypatch)
        release = PRIVATE[name](3.0).fit(records_for(name, n, seed), EachCallAlone(b"e" * 32))
        assert calls[0], "no noise was added at all"
        found.append(release)
    one, two = found
    asked = records_for(name, 50, 9)
    assert np.array_equal(one.model.predict_proba(asked), two.model.predict_proba(asked))
    if one.table is not None:
        assert len(one.table) == len(two.table)
        assert np.array_equal(one.table.X, two.table.X, equal_nan=True)
        assert one.file == two.file
        assert one.costs["rows"] == two.costs["rows"]
    if one.updates is not None:
        assert np.array_equal(one.updates.counts, two.updates.counts)
        for a, b in zip(one.updates.updates, two.updates.updates, strict=True):
            assert np.array_equal(a, b)


def unbind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Noise is bound to the data, which is what is to differ here."""
    for name in (
        "generators.dp_histogram",
        "generators.dp_marginals",
        "methods.dp_ebm",
        "methods.dp_output",
        "methods.dp_sgd",
        "methods.dp_sgd_lstm",
        "methods.federated_private",
    ):
        monkeypatch.setattr(f"pipelines.{name}.bind_noise", lambda rng, training, data: rng)


def test_a_private_table_has_not_as_many_rows_as_patients() -> None:
    rows = {
        len(
            Synthetic(DPHistogram(1.0), LogReg())
            .fit(table(300), SECRET.secret_rng("fit", str(i)))
            .table
        )
        for i in range(8)
    }
    assert len(rows) > 4
    assert max(abs(r - 300) for r in rows) < 100
    assert (
        len(
            Synthetic(DPHistogram(1.0), LogReg(), rows=77).draw(table(300), SECRET.secret_rng("f"))[
                1
            ]
        )
        == 77
    )


def test_a_count_is_noisy_and_what_the_updates_show() -> None:
    counts = [
        FederatedPrivate(rounds=1)
        .fit(table(300), SECRET.secret_rng("fit", str(i)))
        .updates.counts.tolist()
        for i in range(4)
    ]
    assert len({tuple(c) for c in counts}) == 4
    assert [100, 100, 100] not in counts


def test_the_servers_noise_is_for_a_hospital_replaced_and_wide_enough(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The sum over hospitals moves by 2 clips where one update goes and another comes."""
    from pipelines.federated import ledger
    from pipelines.federated.server import SiteNoise
    from pipelines.federated.sites import Dirichlet

    asked = []
    real = ledger.add_gaussian

    def spy(values: np.ndarray, spread: float, sensitivity: float, rng: Any) -> np.ndarray:
        asked.append((spread, sensitivity))
        return real(values, spread, sensitivity, rng)

    monkeypatch.setattr(ledger, "add_gaussian", spy)
    central = SiteNoise(epsilon=5.0, delta=0.01, clip=0.5)
    method = Federated(hidden=0, rounds=2, steps=1, sites=Dirichlet(5.0, 12), central=central)
    release = method.fit(table(300), SECRET.secret_rng("fit"))
    (step,) = release.claim.mechanisms
    assert (release.claim.unit, release.claim.neighbours) == ("site", "replace")
    assert accounting.SECRET in release.claim.basis
    assert [sensitivity for _, sensitivity in asked] == [1.0, 1.0]
    assert all(spread == pytest.approx(step.scale * 1.0) for spread, _ in asked)
    assert replace(method).twin == method
