"""The coordinator and real hospitals, with certificates, in one process: whole runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("cryptography")

from coordinator_lab import Killed, MemoryWire, events, run
from deploy.hospital_lab import Lab, again

from pipelines.deploy.messages import Body
from pipelines.deploy.terms import RunTerms
from pipelines.federated.kernel import Job, federate, streams

NAMES = ("a", "b", "c", "d")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return Lab(tmp_path_factory.mktemp("lab"), {"a": 90, "b": 100, "c": 110, "d": 120}, NAMES)


def make_terms(lab: Lab, method: str, name: str, *settings: str, **more: Any) -> RunTerms:
    own = {"federated_trees": ("rounds=2",)}.get(
        method, ("hidden=4", "rounds=2", "steps=2", "rows=16")
    )
    lines = tuple(f"{method}.{part}" for part in (*own, *settings))
    return lab.terms(method, *lines, run=name, **({"seed": 5, "grade": ()} | more))


def simulate(lab: Lab, terms: RunTerms, wards: dict[str, Any]) -> np.ndarray:
    """(p,) what one process trains on the same records."""
    method: Any = terms.build()[1]
    tables = [wards[name].data.trained for name in lab.names]
    parts = [method.make_encoding(table).encode(table) for table in tables]
    ends = np.cumsum([len(part) for part in parts])
    rows = tuple(np.split(np.arange(ends[-1]), ends[:-1]))
    own, network = streams(np.random.default_rng(terms.seed)), method.make_network(tables[0])
    y = np.concatenate([table.y for table in tables])
    job = Job(np.concatenate(parts), y, rows, network.start(own["start"]), own)
    (found,) = federate(method.make_plan(), network, [job])
    return found.weights


@pytest.mark.parametrize(
    "method", ["federated", "federated_robust", "federated_secure", "federated_encrypted"]
)
def test_hospitals_apart_train_what_the_simulation_trains(
    lab: Lab, tmp_path: Path, method: str
) -> None:
    if method == "federated_encrypted":
        pytest.importorskip("tenseal")
    terms = make_terms(lab, method, f"whole-{method[9:] or 'open'}".replace("_", "-"))
    wards: Any = lab.all(terms)
    found = run(terms, tmp_path, MemoryWire(wards))
    assert np.abs(found.weights - simulate(lab, terms, wards)).max() < 1e-6
    assert found.hospitals == NAMES
    assert not events(tmp_path, "bad_answer")
    assert found.costs["idle_rounds"] == 0


def test_trees_and_noise_at_the_hospitals_come_to_an_end(lab: Lab, tmp_path: Path) -> None:
    pytest.importorskip("xgboost")
    terms = make_terms(lab, "federated_trees", "trees")
    grown = run(terms, tmp_path / "trees", MemoryWire(lab.all(terms)))  # type: ignore[arg-type]
    assert grown.forest
    assert not events(tmp_path / "trees", "bad_answer")
    pytest.importorskip("dp_accounting")
    private = make_terms(lab, "federated_private", "private", "delta=0.00001", seed=None)
    wards: Any = lab.all(private)
    found = run(private, tmp_path / "private", MemoryWire(wards))
    assert np.isfinite(found.weights).all()
    assert list(found.counts) == [ward.data.count for ward in wards.values()]
    assert "loss" not in events(tmp_path / "private", "round")[0]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["federated_secure", "federated_encrypted", "federated_trees"])
def test_a_coordinator_killed_at_any_question_and_a_worker_with_it(
    lab: Lab, tmp_path: Path, method: str
) -> None:
    """The worker of one hospital dies with it; no round is made of a half, and the run ends."""
    pytest.importorskip(
        {"federated_encrypted": "tenseal", "federated_trees": "xgboost"}.get(method, "cryptography")
    )
    for at in range(2, 9):
        terms = make_terms(lab, method, f"k{at}-{method[10:]}")
        wards: Any = lab.all(terms)
        wire = MemoryWire(wards, kill_at=at)
        wire.kill_after = True
        try:
            run(terms, tmp_path / str(at), wire)
        except Killed:
            data = wards["b"].data
            wards["b"] = again(wards["b"])
            vars(wards["b"])["data"] = data
        wire.kill_at = -1
        found = run(terms, tmp_path / str(at), wire)
        assert found.costs["rounds"] == 2
        assert found.costs["idle_rounds"] <= 1
        if not found.costs["idle_rounds"] and method != "federated_trees":
            made = [one["hospitals"] for one in events(tmp_path / str(at), "round")]
            if all(part == list(NAMES) for part in made):
                assert np.abs(found.weights - simulate(lab, terms, wards)).max() < 1e-6


def test_one_that_vanishes_after_sharing_is_recovered(lab: Lab, tmp_path: Path) -> None:
    terms = make_terms(lab, "federated_secure", "gone")

    def fault(name: str, kind: str, body: Body) -> str | None:
        return "no_answer" if (name, kind, body.get("round")) == ("b", "masked", 0) else None

    found = run(terms, tmp_path, MemoryWire(lab.all(terms), fault))  # type: ignore[arg-type]
    assert events(tmp_path, "recovered")[0]["hospitals"] == ["b"]
    assert found.costs["idle_rounds"] == 0
    assert [one["hospitals"] for one in events(tmp_path, "round")][1] == list(NAMES)
