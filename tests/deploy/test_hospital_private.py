"""Noise at the hospital is secret, new every round and spent once; trees are the simulation's."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from deploy.hospital_lab import Lab, again, start_weights, train

from pipelines.deploy.refused import Refused
from pipelines.federated.kernel import streams
from pipelines.methods.federated_trees import FederatedTrees, _join

NOISY = (
    "federated_private.delta=1e-3",
    "federated_private.rounds=3",
    "federated_private.epsilon=3.0",
)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return Lab(tmp_path_factory.mktemp("lab"))


def test_no_exact_number_is_stated(lab: Lab) -> None:
    terms = lab.terms("federated_private", *NOISY)
    hospital = lab.hospital("a", terms)
    exact = len(np.unique(hospital.data.split.members.patient))
    said = hospital.answer("hello", {})
    assert said["patients"] == said["records"] == hospital.data.patients
    # One record of each patient is trained on, and the same after a restart.
    assert len(hospital.data.trained) == exact
    assert again(hospital).answer("hello", {}) == said
    # The noise hangs on the terms, so it is another one in another run.
    others = {
        lab.hospital("a", lab.terms("federated_private", *NOISY, run=f"n{i}")).data.patients
        for i in range(4)
    }
    assert len(others | {exact}) > 2


def test_noise_is_spent_once_and_never_the_same(lab: Lab) -> None:
    terms = lab.terms("federated_private", *NOISY, run="spend")
    hospital = lab.hospital("a", terms)
    weights = start_weights(hospital)
    first = train(hospital, 0, weights)
    assert set(first) == {"round", "update"}
    hospital = again(hospital)
    assert train(hospital, 0, weights) == first
    assert hospital.state.trained == 1
    second = train(hospital, 1, weights)
    parts = [np.frombuffer(made["update"], "<f4") for made in (first, second)]
    # Of equal weights two rounds differ by noise, as large as what it covers.
    apart = np.linalg.norm(parts[0] - parts[1])
    assert apart > 0.5 * max(map(np.linalg.norm, parts))
    train(hospital, 2, weights)
    with pytest.raises(Refused) as refused:
        train(again(hospital), 3, weights)
    assert refused.value.code == "spent"


def test_an_answer_that_never_left_is_not_spent(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    hospital = lab.hospital("a", lab.terms("federated_private", *NOISY, run="disk"))
    weights = start_weights(hospital)

    def fail() -> None:
        raise OSError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr(hospital, "_save", fail)
        with pytest.raises(OSError, match="no space"):
            train(hospital, 0, weights)
    assert hospital.state.trained == 0
    first = train(hospital, 0, weights)
    assert train(again(hospital), 0, weights) == first


def test_trees_are_those_of_the_simulation(lab: Lab) -> None:
    rounds, seed = 3, 11
    terms = lab.terms("federated_trees", f"federated_trees.rounds={rounds}", seed=seed, run="t")
    hospitals = lab.all(terms)
    method = hospitals["a"].data.method
    assert isinstance(method, FederatedTrees)
    tables = [h.data.trained for h in hospitals.values()]
    records = type(tables[0]).concatenate(tables)
    ends = np.cumsum([len(table) for table in tables])
    rows = [np.arange(e - len(t), e) for e, t in zip(ends, tables, strict=True)]
    own = streams(np.random.default_rng(seed))
    wanted, _ = method._grow(records, rows, own["clients"])
    shares = np.array([len(t) for t in tables]) / len(records)
    last: dict[str, bytes] = {}
    found = []
    for round in range(rounds):
        weights = shares.astype("<f8").tobytes() if last else b""
        body = {"round": round, "trees": last, "shares": weights}
        grown = {name: h.answer("grow", body) for name, h in hospitals.items()}
        hospitals = {name: again(h) for name, h in hospitals.items()}
        assert hospitals["a"].answer("grow", body) == grown["a"]
        last = {name: made["trees"] for name, made in grown.items()}
        found += list(last.values())
    made = [(json.loads(raw), w) for raw, (_, w) in zip(found, wanted, strict=True)]
    saved, _ = _join(made, 2)
    expected, _ = _join(list(wanted), 2)
    data = hospitals["a"].data
    model, other = (hospitals["a"].trees.read_model(raw) for raw in (saved, expected))
    assert np.array_equal(model.predict_proba(data.trained), other.predict_proba(data.trained))
    assert model.predict_proba(data.trained)[:, 1].std() > 0.01


def test_trees_of_others_are_looked_at(lab: Lab) -> None:
    terms = lab.terms("federated_trees", "federated_trees.rounds=3", run="forged")
    a, b = (lab.hospital(name, terms) for name in "ab")
    empty = {"round": 0, "trees": {}, "shares": b""}
    own, other = (h.answer("grow", empty)["trees"] for h in (a, b))
    document = json.loads(other)
    (tree,) = document["learner"]["gradient_booster"]["model"]["trees"]
    tree["left_children"][0] = 10**6
    wild = json.dumps(document).encode()
    share = np.array([0.5]).astype("<f8").tobytes()
    for trees, shares in (
        ({"b": wild}, share),
        ({"b": b"\x80\x04."}, share),
        ({"stranger": other}, share),
        ({"a": other}, share),
        ({"b": other}, b""),
        ({"b": other}, np.array([np.nan]).tobytes()),
        ({"b": other}, np.array([7.0]).tobytes()),
    ):
        with pytest.raises(Refused):
            a.answer("grow", {"round": 1, "trees": trees, "shares": shares})
    both = np.array([0.5, 0.5]).tobytes()
    a.answer("grow", {"round": 1, "trees": {"a": own, "b": other}, "shares": both})


def test_the_key_of_a_hospital_decides_who_is_trained_on(tmp_path: Path) -> None:
    one, two = (Lab(tmp_path / name) for name in "xy")
    found = [lab.hospital("a", lab.terms()).data.split.members.content for lab in (one, two)]
    assert found[0] != found[1]
