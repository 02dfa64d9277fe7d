"""Noise at the hospital is secret, new every round and spent once; trees are the simulation's."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from deploy.hospital_lab import Lab, again, start_weights, train

from pipelines.deploy.refused import Refused
from pipelines.federated.kernel import streams
from pipelines.federated.trees import join_documents, pack_forest, weigh_trees
from pipelines.learners.boosted import Trees
from pipelines.methods.federated_trees import FederatedTrees

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
        for i in range(2)
    }
    assert len(others | {hospital.data.patients}) > 1


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
        parts = dict(zip(last, map(float, shares), strict=bool(last)))
        body = {"round": round, "trees": last, "shares": json.dumps(parts).encode()}
        grown = {name: h.answer("grow", body) for name, h in hospitals.items()}
        hospitals = {name: again(h) for name, h in hospitals.items()}
        assert hospitals["a"].answer("grow", body) == grown["a"]
        last = {f"{round}/{name}": made["trees"] for name, made in grown.items()}
        sent = zip(last.values(), shares, strict=True)
        found += [weigh_trees(json.loads(raw)["trees"], share) for raw, share in sent]
    forest = pack_forest([tree for part in found for tree in part])
    model = hospitals["a"].trees.read_model(forest)
    data = hospitals["a"].data.trained
    other = Trees(data.columns, 2, join_documents(list(wanted), 2)[0])
    assert np.array_equal(model.predict_proba(data), other.predict_proba(data))
    assert model.predict_proba(data)[:, 1].std() > 0.01


def test_trees_of_others_are_looked_at(lab: Lab) -> None:
    terms = lab.terms("federated_trees", "federated_trees.rounds=3", run="forged")
    a, b = (lab.hospital(name, terms) for name in "ab")
    empty = {"round": 0, "trees": {}, "shares": b"{}"}
    own, other = (h.answer("grow", empty)["trees"] for h in (a, b))
    document = json.loads(other)
    document["trees"][0]["left"][0] = 10**6
    wild = json.dumps(document).encode()

    def ask(trees: dict[str, bytes], shares: bytes) -> None:
        a.answer("grow", {"round": 1, "trees": trees, "shares": shares})

    for trees, shares in (
        ({"0/b": wild}, b'{"0/b": 0.5}'),
        ({"0/b": b"\x80\x04."}, b'{"0/b": 0.5}'),
        ({"0/stranger": other}, b'{"0/stranger": 0.5}'),
        ({"1/b": other}, b'{"1/b": 0.5}'),
        ({"b": other}, b'{"b": 0.5}'),
        ({"0/a": other}, b'{"0/a": 0.5}'),
        ({"0/b": other}, b""),
        ({"0/b": other}, b"{"),
        ({"0/b": other}, b'{"0/b": NaN}'),
        ({"0/b": other}, b'{"0/b": 7.0}'),
    ):
        with pytest.raises(Refused):
            ask(trees, shares)
    ask({"0/a": own, "0/b": other}, b'{"0/a": 0.5, "0/b": 0.5}')


def test_the_key_of_a_hospital_decides_who_is_trained_on(tmp_path: Path) -> None:
    one, two = (Lab(tmp_path / name) for name in "xy")
    found = [lab.hospital("a", lab.terms()).data.split.members.content for lab in (one, two)]
    assert found[0] != found[1]
