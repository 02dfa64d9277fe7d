"""Split training is training of the uncut network, and every byte at the cut is counted."""

from __future__ import annotations

import pickle
import random
from itertools import pairwise

import numpy as np
import pytest
import torch
from split_lab import Whole, records

from pipelines.federated.encode import PublicEncoding
from pipelines.federated.network import Network
from pipelines.federated.sites import Dirichlet
from pipelines.methods import _split_shapes, _split_training
from pipelines.methods._split_defences import EqualNorms, NoiseOnSmashed
from pipelines.methods._split_shapes import UShaped
from pipelines.methods._split_trunks import Dense, Recurrent
from pipelines.methods.split_learning import SplitLearning
from pipelines.methods.split_u import SplitU
from pipelines.methods.splitfed import Splitfed
from privaudit.contracts import Differentiable
from privaudit.errors import PrivauditError
from privaudit.seeds import Seeds

METHODS = (SplitLearning, SplitU, Splitfed)


def first_weights(method, members, seed: int = 1) -> list[np.ndarray]:
    """The weights that a fit with this stream begins with: drawn before anything else."""
    rng = Seeds(seed).rng("fit")
    reader = method.trunk.reader(members)
    below = method.trunk.start(reader, rng)
    net = Network((method.trunk.out, *method.hidden, 2))
    return [*below, *(np.array(w) for w in net.unpack(net.start(rng)))]


@pytest.mark.parametrize("kind", [SplitLearning, SplitU])
def test_split_training_is_joint_training_step_by_step(kind) -> None:
    members = records(400)
    method = kind(epochs=2, rows=32, trunk=Dense(16), hidden=(8,), rate=0.01, decay=2.0)
    release = method.fit(members, Seeds(1).rng("fit"))
    cut, x = release.cut, PublicEncoding(members.columns).encode(members)
    whole = Whole(first_weights(method, members), 0.01, 2.0)
    for step in range(cut.batch.max() + 1):
        at = np.flatnonzero(cut.batch == step)
        h, dh, _, dh2 = whole.step(x[cut.row[at]], members.y[cut.row[at]])
        assert np.allclose(cut.smashed[at], h, atol=2e-5)
        assert np.allclose(cut.gradients[at], dh, atol=2e-6)
        if cut.returned is not None:
            assert np.allclose(cut.returned[at], dh2, atol=2e-6)
    assert step + 1 == release.costs["exchanges"]
    assert np.allclose(release.model.weights, whole.flat, atol=1e-4)
    assert np.abs(whole.flat - Whole(first_weights(method, members), 0, 0).flat).max() > 0.01


def test_splitfed_is_federated_averaging_of_the_uncut_network() -> None:
    members = records(300)
    method = Splitfed(epochs=2, rows=32, trunk=Dense(12), hidden=(6,), rate=0.01, decay=1.0)
    release = method.fit(members, Seeds(1).rng("fit"))
    cut, x = release.cut, PublicEncoding(members.columns).encode(members)
    codes = np.unique(members.site)
    sites = [Whole(first_weights(method, members), 0.01, 1.0) for _ in codes]
    share = np.bincount(members.site) / len(members)
    for epoch in range(2):
        for step in np.unique(cut.batch[cut.epoch == epoch]):
            rows = cut.row[cut.batch == step]
            (site,) = np.unique(members.site[rows])
            sites[site].step(x[rows], members.y[rows])
        with torch.no_grad():
            for same in zip(*(s.weights for s in sites), strict=True):
                mean = sum(a * w for a, w in zip(share.tolist(), same, strict=True))
                for w in same:
                    w.copy_(mean)
    assert np.allclose(release.model.weights, sites[0].flat, atol=1e-4)


def test_splitfed_in_sequence_trains_one_network_at_the_server() -> None:
    members = records(300)
    one, two = (
        Splitfed(epochs=3, main=main).fit(members, Seeds(1).rng("fit"))
        for main in ("averaged", "sequential")
    )
    assert not np.allclose(one.model.weights, two.model.weights)
    assert one.costs["bytes_up"] == two.costs["bytes_up"]


def test_the_shape_changes_who_sees_what_and_not_the_model() -> None:
    members = records(300)
    one, two = (
        kind(epochs=3).fit(members, Seeds(1).rng("fit")) for kind in (SplitLearning, SplitU)
    )
    assert np.allclose(one.model.weights, two.model.weights, atol=1e-5)
    assert np.array_equal(one.cut.labels, members.y[one.cut.row])
    assert two.cut.labels is None


def test_every_byte_is_counted() -> None:
    members, w, v, epochs = records(400), 16, 8, 3
    n, sites, numbers = len(members), 3, PublicEncoding(members.columns).width
    settings = {"trunk": Dense(w), "hidden": (v,), "epochs": epochs, "rows": 64}
    below, head = numbers * w + w, v * 2 + 2
    vanilla = SplitLearning(**settings).fit(members, Seeds(1).rng("fit")).costs
    assert vanilla["bytes_up"] == epochs * n * (4 * w + 1)
    assert vanilla["bytes_down"] == epochs * n * 4 * w
    turns = epochs * sites - 1
    assert vanilla["bytes_between_sites"] == turns * (3 * 4 * below + 4)
    assert vanilla["rounds"] == epochs
    assert vanilla["exchanges"] == epochs * sum(-(-np.bincount(members.site) // 64))
    shaped = SplitU(**settings).fit(members, Seeds(1).rng("fit")).costs
    assert shaped["bytes_up"] == shaped["bytes_down"] == epochs * n * 4 * (w + v)
    assert shaped["bytes_between_sites"] == turns * (3 * 4 * (below + head) + 8)
    fed = Splitfed(**settings).fit(members, Seeds(1).rng("fit")).costs
    assert fed["bytes_up"] == epochs * (n * (4 * w + 1) + sites * 4 * below)
    assert fed["bytes_down"] == epochs * (n * 4 * w + sites * 4 * below)
    assert fed["bytes_between_sites"] == 0


@pytest.mark.parametrize("kind", [SplitU, Splitfed])
def test_the_u_shape_sends_no_outcome(kind, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = []

    class Watched(_split_training.Wire):
        def up(self, message):
            sent.append(message)
            return super().up(message)

    monkeypatch.setattr(_split_training, "Wire", Watched)
    members, method = records(200), kind(shape=UShaped(), epochs=2, rows=16)
    method.fit(members, Seeds(1).rng("fit"))
    layers = {w.shape for w in first_weights(method, members)} if kind is Splitfed else set()
    assert all(m.dtype == torch.float32 for m in sent)
    batches = [m for m in sent if tuple(m.shape) not in layers]
    assert {m.shape[1] for m in batches} == {64, 32}
    assert sum(len(m) for m in batches) == 2 * 2 * 200


def test_traffic_is_kept_for_two_epochs_and_thinned_when_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    members = records(400)
    cut = SplitLearning(epochs=5).fit(members, Seeds(1).rng("fit")).cut
    assert np.unique(cut.epoch).tolist() == [0, 4]
    for epoch in (0, 4):
        assert np.array_equal(np.sort(cut.row[cut.epoch == epoch]), np.arange(400))
    assert len(SplitLearning(epochs=1).fit(members, Seeds(1).rng("fit")).cut.row) == 400
    for module in (_split_shapes, _split_training):
        monkeypatch.setattr(module, "RECORDED", 100)
    release = SplitLearning(epochs=5, rows=16).fit(members, Seeds(1).rng("fit"))
    assert 50 <= (release.cut.epoch == 0).sum() <= 130
    assert any("of every 5 batches one" in note for note in release.notes)


def test_what_the_layers_below_the_cut_answer_is_what_crosses() -> None:
    members = records(200)
    release = SplitLearning(epochs=2, trunk=Dense(16)).fit(members, Seeds(1).rng("fit"))
    weights = Network(release.model.widths).unpack(release.model.weights)
    x = PublicEncoding(members.columns).encode(members)
    assert np.allclose(
        release.cut.ask(members), np.maximum(x @ weights[0].T + weights[1], 0), atol=1e-5
    )


@pytest.mark.parametrize("trunk", [Dense(), Recurrent(8)])
@pytest.mark.parametrize("kind", METHODS)
def test_a_fit_is_a_function_of_its_stream_and_learns(kind, trunk) -> None:
    from sklearn.metrics import roc_auc_score

    members, others = records(600, share=0.3), records(300, share=0.3, seed=9)
    method = kind(trunk=trunk, epochs=8, rate=0.01, rows=32)
    state = (
        np.random.get_state()[1].tobytes(),  # noqa: NPY002
        random.getstate(),
        torch.get_rng_state().numpy().tobytes(),
        torch.get_num_threads(),
    )
    one, two = (method.fit(members, Seeds(5).rng("fit")) for _ in range(2))
    assert state == (
        np.random.get_state()[1].tobytes(),  # noqa: NPY002
        random.getstate(),
        torch.get_rng_state().numpy().tobytes(),
        torch.get_num_threads(),
    )
    p = one.model.predict_proba(others)
    assert np.array_equal(p, two.model.predict_proba(others))
    assert np.allclose(p.sum(axis=1), 1)
    assert p.dtype == np.float64
    assert np.array_equal(one.cut.gradients, two.cut.gradients)
    again = pickle.loads(pickle.dumps(one))
    assert np.array_equal(again.model.predict_proba(others), p)
    assert np.array_equal(again.cut.ask(others), one.cut.ask(others))
    assert one.claim.epsilon is None
    assert one.trust
    assert all(len(row) == 3 for row in one.trust)
    assert isinstance(one.model, Differentiable) == isinstance(trunk, Dense)
    assert roc_auc_score(others.y, p[:, 1]) > 0.75


def test_the_recurrent_trunk_reads_hours_and_nothing_that_is_missing() -> None:
    members = records(120)
    reader = Recurrent(4).reader(members)
    (x,) = reader(members)
    assert x.shape == (120, 5, 3 * 2 + reader.fixed.width)
    assert np.isfinite(x).all()
    seen = ~np.isnan(members.series)
    assert np.array_equal(x[:, :, 2:4], seen)
    value = np.where(seen, members.series / 5, 0)[:, 0]
    assert np.allclose(x[:, 0, :2], value, atol=1e-6)
    for i, (a, b) in enumerate(pairwise(range(5))):
        carried = np.where(seen[:, b], members.series[:, b] / 5, x[:, a, :2])
        assert np.allclose(x[:, b, :2], carried, atol=1e-6), i


def test_sites_can_be_made_up() -> None:
    members = records(400, sites=1)
    release = SplitLearning(sites=Dirichlet(1.0, 4), epochs=2).fit(members, Seeds(1).rng("fit"))
    assert release.notes[0].startswith("4 sites")


@pytest.mark.parametrize("kind", METHODS)
def test_one_site_is_refused(kind) -> None:
    with pytest.raises(PrivauditError, match="1 site"):
        kind().fit(records(100, sites=1), Seeds(1).rng("fit"))


def test_a_site_without_records_takes_no_turn() -> None:
    members = records(300)
    some = members.take(members.site != 1)
    release = SplitLearning(epochs=2).fit(some, Seeds(1).rng("fit"))
    assert release.notes[0].startswith("2 sites")
    assert any("left out: b" in note for note in release.restricted_notes)


@pytest.mark.parametrize(
    ("method", "named"),
    [
        (SplitLearning(epochs=0), "epochs=0"),
        (SplitLearning(rows=0), "rows=0"),
        (SplitLearning(rate=0.0), "rate of 0"),
        (SplitLearning(rate=0.1, decay=10.0), "decay of 10"),
        (SplitLearning(hidden=(0,)), "layers of 0"),
        (SplitLearning(trunk=Dense(0)), "0 numbers"),
        (SplitU(hidden=()), "without a layer for the server"),
        (SplitLearning(defence=NoiseOnSmashed(0.0)), "scale 0"),
        (SplitLearning(defence=NoiseOnSmashed(float("nan"))), "scale nan"),
        (SplitLearning(defence=EqualNorms(0.5)), "0.5 times"),
        (Splitfed(epochs=0), "epochs=0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(method, named: str) -> None:
    with pytest.raises(PrivauditError, match=named):
        method.fit(records(100), Seeds(1).rng("fit"))


def test_members_that_cannot_be_learnt_from_are_refused() -> None:
    from dataclasses import replace

    members = records(100)
    with pytest.raises(PrivauditError, match="outcomes are only"):
        SplitLearning().fit(members.take(members.y == 0), Seeds(1).rng("fit"))
    with pytest.raises(PrivauditError, match="without an hourly series"):
        SplitLearning(trunk=Recurrent()).fit(
            replace(members, series=None, channels=()), Seeds(1).rng("fit")
        )
