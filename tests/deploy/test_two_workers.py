"""A server that sends one job out twice has two workers at a hospital, which answer as one."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from deploy.hospital_lab import Lab, Masks, again, start_weights, train

from pipelines.deploy.messages import Body
from pipelines.deploy.refused import Refused


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return Lab(tmp_path_factory.mktemp("lab"))


@pytest.mark.parametrize("method", ["federated", "federated_private"])
def test_noise_is_spent_once(lab: Lab, method: str) -> None:
    given = (f"{method}.hidden=8", f"{method}.rounds=3", f"{method}.steps=2")
    more = () if method == "federated" else (f"{method}.delta=1e-5",)
    one = lab.hospital("a", lab.terms(method, *given, *more, run=f"two-{method.replace('_', '-')}"))
    two = again(one)
    assert [h.answer("hello", {})["state"] for h in (one, two)] == ["ready"] * 2
    weights = start_weights(one)
    first = train(one, 0, weights)
    assert train(two, 0, weights) == first
    with pytest.raises(Refused) as refused:
        train(two, 0, weights + 1)
    assert refused.value.code == "replay"
    second = train(two, 1, weights)
    assert train(one, 1, weights) == second
    assert (one.state.trained, two.state.trained) == (2, 2)


def test_two_that_are_asked_at_once_answer_alike(lab: Lab) -> None:
    one = lab.hospital("b", lab.terms(run="at-once"))
    workers, weights = [one, again(one), again(one)], start_weights(one)
    made: list[Body] = []
    for worker in workers:
        worker.answer("hello", {})
    threads = [
        threading.Thread(target=lambda w=worker: made.append(train(w, 0, weights)))
        for worker in workers
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert made == [made[0]] * 3


def test_one_list_of_who_arrived_is_answered_by_both_together(lab: Lab, tmp_path: Path) -> None:
    names = ("a", "b", "c", "d")
    own = Lab(tmp_path, names=names)
    hospitals = own.all(own.terms("federated_secure"))
    workers = {name: again(hospital) for name, hospital in hospitals.items()}
    weights, size = start_weights(hospitals["a"]), hospitals["a"].network.size
    rounds = []
    for group in (hospitals, workers):
        for hospital in group.values():
            train(hospital, 0, weights, protected=True)
        rounds.append(Masks(group, 0, size))
    for masks in rounds:
        masks.keys()
        masks.share()
        for name in names:
            masks.ask(name, "masked", masks.inbox(name))
    assert rounds[0].ask("a", "reveal", {"round": 0, "arrived": [0, 1, 2, 3]})["shares"]
    with pytest.raises(Refused) as refused:
        rounds[1].ask("a", "reveal", {"round": 0, "arrived": [0, 1, 2]})
    assert refused.value.code == "replay"
