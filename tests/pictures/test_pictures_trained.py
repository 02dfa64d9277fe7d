"""Pictures through federated, private and split training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from pictures_lab import records
from sklearn.metrics import roc_auc_score

from pipelines.federated.front import Pooled, Strided
from pipelines.federated.local import PerPatient, Recipe, Trainer, clip_by_record
from pipelines.federated.network import Network, by_record
from pipelines.methods import _dp_training as engine
from pipelines.methods.dp_sgd import DPSGD
from pipelines.methods.federated import Federated
from pipelines.methods.federated_private import FederatedPrivate
from pipelines.methods.federated_robust import FederatedRobust
from pipelines.methods.federated_secure import FederatedSecure
from pipelines.methods.split_learning import SplitLearning
from pipelines.methods.split_u import SplitU
from pipelines.methods.splitfed import Splitfed
from privaudit.attacks.federated._malicious_clients import SignFlip
from privaudit.contracts import Access, Differentiable, Method
from privaudit.seeds import Seeds

SMALL = Pooled((4, 6))
FED = {"front": SMALL, "hidden": 8, "rounds": 12}


def stream(name: str = "fit") -> np.random.Generator:
    return Seeds(3).rng(name)


METHODS: dict[str, Method] = {
    "federated": Federated(**FED),
    "robust": FederatedRobust(**FED),
    "secure": FederatedSecure(**FED),
    "dp_sgd": DPSGD(front=SMALL, hidden=8, epsilon=50.0, steps=60),
    "split": SplitLearning(epochs=20),
    "split_u": SplitU(epochs=20),
    "splitfed": Splitfed(epochs=20),
}


@pytest.mark.parametrize("name", METHODS)
def test_it_learns_and_tells_its_shape(name: str) -> None:
    train, held_out = records(300, 1), records(200, 2)
    release = METHODS[name].fit(train, stream())
    assert release.model is not None
    proba = release.model.predict_proba(held_out)
    assert roc_auc_score(held_out.y, proba[:, 1]) > 0.9
    assert isinstance(release.model, Differentiable)
    if release.updates is not None:
        shown = release.updates
        assert shown.image == (8, 8, 1)
        assert len(shown.convolutions) == 2
        assert shown.widths[0] == 2 * 2 * 6
        assert shown.updates[0].shape == (4, len(shown.weights[0]))
    if release.cut is not None:
        # The convolutions stay at the sites: what they make crosses the cut.
        assert release.cut.smashed.shape[1] == 2 * 2 * 16
        assert Access.CUT in release.access


@pytest.mark.parametrize("name", ["federated", "dp_sgd"])
def test_tables_side_by_side_are_those_of_one_alone(name: str) -> None:
    one, two, asked = records(80, 1), records(100, 2), records(30, 3)
    method = replace(METHODS[name], **({"rounds": 2} if name == "federated" else {"steps": 4}))
    alone = method.fit(one, stream()).model
    both = method.fit_many([two, one], [stream("other"), stream()])[1].model
    assert alone is not None
    assert both is not None
    assert np.allclose(alone.predict_proba(asked), both.predict_proba(asked), atol=1e-5)


def test_one_step_is_the_mean_of_each_records_gradient() -> None:
    own = records(20, 4, sites=2)
    method = Federated(front=SMALL, hidden=8, rounds=1, steps=1, rows=64, bound=None)
    shown = method.fit(own, stream()).updates
    assert shown is not None
    network = Network(shown.widths, shown.image, shown.convolutions)
    x, sent = torch.from_numpy(shown.encode(own)), torch.from_numpy(shown.weights[0])
    gradients = by_record(network, sent, x, torch.from_numpy(own.y)).numpy()
    for client in range(2):
        expected = -method.rate * gradients[own.site == client].mean(axis=0)
        assert np.allclose(shown.updates[0][client], expected, atol=1e-6)


def test_a_patients_gradients_are_clipped_together() -> None:
    rng = np.random.default_rng(6)
    own = records(12, 5)
    network = Network.reading(own, 64, (8, 2), SMALL.layers)
    flat = torch.from_numpy(network.start(rng))
    x = torch.from_numpy(own.X / 127.5 - 1)
    y = torch.from_numpy(own.y)
    patient = torch.tensor([0, 0, 0, 1, 2, 2, 3, 4, 5, 6, 7, 7])
    each = by_record(network, flat, x, y).double().numpy()
    sums = np.stack([each[patient.numpy() == p].sum(axis=0) for p in range(8)])
    size = np.linalg.norm(sums, axis=1, keepdims=True)
    clip = float(np.median(size))
    expected = (sums * np.minimum(1, clip / size)).sum(axis=0)
    for precise in (False, True):
        found = clip_by_record(network, flat, x, y, clip, precise, patient).double().numpy()
        assert np.allclose(found, expected, atol=1e-4)
    table = engine.Patients.of(x.numpy(), own.y, patient.numpy())
    everyone = engine.gather([table], [np.ones(8, dtype=bool)])
    summed = engine.clipped_sum(network, flat[None], everyone, clip, 8)[0]
    assert np.allclose(summed.double().numpy(), expected, atol=1e-4)
    none = engine.gather([table], [np.zeros(8, dtype=bool)])
    assert not engine.clipped_sum(network, flat[None], none, clip, 8).any()


def test_noise_at_the_clients_is_what_is_asked_for() -> None:
    own = records(40, 7)
    network = Network.reading(own, 64, (2,), SMALL.layers)
    private = PerPatient(sample=0.5, clip=0.5, sigma=2.0)
    x = (own.X / 127.5 - 1).astype(np.float32)
    start = network.start(stream("start"))
    moves = []
    for run in range(6):
        rngs = [Seeds(run).rng("client")]
        trainer = Trainer(network, x, own.y, [np.arange(40)], rngs, private)
        moves.append(trainer.train(start[None], np.array([0]), Recipe(1, 32, 1.0))[0])
    spread = np.std(moves, axis=0, ddof=1)
    # sigma x clip over the number expected, 20; the records' own gradients move far less.
    assert np.sqrt((spread**2).mean()) == pytest.approx(2.0 * 0.5 / 20, rel=0.15)


@pytest.mark.slow
def test_private_federation_of_pictures_makes_its_claim() -> None:
    method = FederatedPrivate(front=SMALL, hidden=0, rounds=2, steps=2)
    release = method.fit(records(80, 8), stream())
    assert release.claim.epsilon is not None
    assert release.claim.epsilon <= method.epsilon + 1e-6


@pytest.mark.slow
def test_a_flipped_sign_carries_the_mean_away_and_not_the_median() -> None:
    train, held_out = records(300, 1, sites=10), records(300, 2, sites=10)
    hostile = SignFlip(clients=3, scale=4.0)

    def accuracy(method: Method) -> float:
        model = method.fit(train, stream()).model
        assert model is not None
        return float(np.mean(model.predict_proba(held_out).argmax(axis=1) == held_out.y))

    assert accuracy(Federated(**FED)) > 0.9
    assert accuracy(Federated(**FED, malicious=hostile)) < 0.7
    assert accuracy(FederatedRobust(**FED, malicious=hostile)) > 0.9


def test_a_front_of_an_even_square_is_refused() -> None:
    with pytest.raises(Exception, match="Strided with kernel=4"):
        Federated(front=Strided(kernel=4)).fit(records(40, 1), stream())
