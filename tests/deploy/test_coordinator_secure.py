"""Masked updates between machines: the simulation's result, dropouts, and a server that lies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from coordinator_lab import (
    Killed,
    MemoryWire,
    events,
    make_terms,
    make_wards,
    run,
    simulate,
)

from pipelines.deploy.messages import Body
from pipelines.federated.protect import REPEATS
from pipelines.federated.secure_sum import Client, SecureSum, Server, Terms, context
from privaudit.errors import PrivauditError

pytest.importorskip("cryptography")

SECURE = "federated_secure"


def test_it_trains_what_the_simulation_trains(tmp_path: Path) -> None:
    terms = make_terms(SECURE)
    found = run(terms, tmp_path, MemoryWire(make_wards(terms)))
    same = simulate(terms)
    assert np.abs(found.weights - same.weights).max() < 1e-6
    assert (
        "server that invents {sites}",
        "one {site}'s update",
        "no, {sites} sign their keys",
    ) in (found.trust)
    # What the coordinator can read of a hospital is nothing like its update.
    open_run = simulate(make_terms())
    for own, seen in zip(open_run.seen[-1], found.seen[-1], strict=True):
        assert abs(np.corrcoef(own, seen)[0, 1]) < 0.6
        assert np.abs(seen).max() > 1000 * np.abs(own).max()


@pytest.mark.parametrize("after", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_run_that_is_killed_at_any_question_goes_on_to_the_same_end(
    tmp_path: Path, after: bool
) -> None:
    terms = make_terms(SECURE, "rounds=2")
    whole = MemoryWire(make_wards(terms))
    expected = run(terms, tmp_path / "whole", whole)
    assert whole.questions == 1 + 2 * 5 + 1
    for at in range(whole.questions):
        wire = MemoryWire(make_wards(terms), kill_at=at)
        wire.kill_after = after
        with pytest.raises(Killed):
            run(terms, tmp_path / str(at), wire)
        found = run(terms, tmp_path / str(at), wire)
        assert np.array_equal(found.weights, expected.weights)
        assert found.costs["idle_rounds"] == 0


@pytest.mark.parametrize("kind", ["mask_keys", "mask_shares"])
def test_who_vanishes_before_all_have_shared_is_left_out_and_new_keys_are_made(
    tmp_path: Path, kind: str
) -> None:
    terms = make_terms(SECURE)
    wards = make_wards(terms)

    def fault(name: str, asked: str, body: Body) -> str | None:
        return "no_answer" if (name, asked, body.get("round")) == ("b", kind, 1) else None

    found = run(terms, tmp_path, MemoryWire(wards, fault))
    made = [one["hospitals"] for one in events(tmp_path, "round")]
    assert made == [list("abcd"), list("acd"), list("abcd"), list("abcd")]
    assert not events(tmp_path, "recovered")
    assert np.abs(found.weights - _without(terms, 1, "b", tmp_path)).max() < 1e-6


def test_who_vanishes_after_sharing_is_recovered(tmp_path: Path) -> None:
    terms = make_terms(SECURE)
    wards = make_wards(terms)

    def fault(name: str, kind: str, body: Body) -> str | None:
        return "no_answer" if (name, kind, body.get("round")) == ("b", "masked", 1) else None

    found = run(terms, tmp_path, MemoryWire(wards, fault))
    (one,) = events(tmp_path, "recovered")
    assert (one["round"], one["hospitals"]) == (1, ["b"])
    assert not found.seen[-3][1].any()
    assert np.abs(found.weights - _without(terms, 1, "b", tmp_path)).max() < 1e-6


def test_one_that_reveals_nothing_is_not_missed_and_one_that_lies_is_found(
    tmp_path: Path,
) -> None:
    terms = make_terms(SECURE)
    wards = make_wards(terms)

    def fault(name: str, kind: str, body: Body) -> Body | str | None:
        if kind != "reveal":
            return None
        if (name, body["round"]) == ("b", 1):
            return "no_answer"
        if (name, body["round"]) == ("a", 2):
            found = wards[name].answer(kind, body)
            return {**found, "shares": bytes(33) + found["shares"][33:]}
        return None

    found = run(terms, tmp_path, MemoryWire(wards, fault))
    assert np.abs(found.weights - simulate(terms).weights).max() < 1e-6
    (bad,) = events(tmp_path, "bad_answer")
    assert (bad["hospital"], bad["round"], bad["why"]) == ("a", 2, "shares")


def test_too_few_that_reveal_end_the_round_and_not_the_run(tmp_path: Path) -> None:
    terms = make_terms(SECURE)
    wards = make_wards(terms)

    def fault(name: str, kind: str, body: Body) -> str | None:
        return "no_answer" if kind == "reveal" and body["round"] == 1 and name in "ab" else None

    found = run(terms, tmp_path, MemoryWire(wards, fault))
    assert found.costs["idle_rounds"] == 1
    assert [one["hospitals"] for one in events(tmp_path, "round")][1] == []
    assert {ward.revealed_in for ward in wards.values()} == {3}
    assert all(ward.asked["reveal"] == 4 for name, ward in wards.items() if name in "cd")


def test_a_worker_that_lost_its_keys_has_all_make_new_ones(tmp_path: Path) -> None:
    terms = make_terms(SECURE)
    wards = make_wards(terms)

    def fault(name: str, kind: str, body: Body) -> None:
        if (name, kind, body.get("round")) == ("c", "mask_shares", 1) and not wards["c"].asked["x"]:
            wards["c"].asked["x"] += 1
            wards["c"].forget_keys()

    found = run(terms, tmp_path, MemoryWire(wards, fault))
    assert [one["hospitals"] for one in events(tmp_path, "round")][1] == list("abd")
    assert found.hospitals == tuple("abcd")


def test_a_coordinator_and_a_worker_that_die_in_one_round_lose_that_round_alone(
    tmp_path: Path,
) -> None:
    terms = make_terms(SECURE)
    wire = MemoryWire(make_wards(terms), kill_at=1 + 5 + 3)
    wire.kill_after = True  # vectors of the second round have left, and nobody has written them
    with pytest.raises(Killed):
        run(terms, tmp_path, wire)
    wire.wards["c"].forget_keys()
    found = run(terms, tmp_path, wire)
    assert found.costs["idle_rounds"] == 1
    assert found.costs["rounds"] == 4
    assert np.isfinite(found.weights).all()


def test_a_server_that_tells_two_hospitals_of_other_counts_gets_no_sum() -> None:
    # To one it says that the others have next to no records: the sum would be that one's update.
    names, true, false = ["a", "b", "c"], [100, 100, 100], [100, 1, 1]
    vector = np.random.default_rng(1).normal(size=50) * 0.1

    def total(counts: dict[int, list[int]]) -> np.ndarray:
        terms = {
            i: Terms(3, 50, 3, 64, 40, context("run", 0, names, own)) for i, own in counts.items()
        }
        clients = {i: Client(i, own) for i, own in terms.items()}
        server = Server(terms[1])
        keys = {i: client.advertise() for i, client in clients.items()}
        for i, key in keys.items():
            server.take_key(i, key)
        boxes = {i: client.share(keys) for i, client in clients.items()}
        for i, sealed in boxes.items():
            server.take_shares(i, sealed)
        for i, client in clients.items():
            inbox = {j: boxes[j][i] for j in boxes if j != i}
            server.take_masked(i, client.send(vector, inbox))
        for i, client in clients.items():
            server.take_reveal(i, client.reveal([0, 1, 2]))
        return terms[1].decode(server.sum())

    assert np.abs(total(dict.fromkeys(range(3), true)) - 3 * vector).max() < 1e-9
    assert np.abs(total({0: false, 1: true, 2: true}) - 3 * vector).min() > 1


def test_a_key_that_the_server_made_is_refused(tmp_path: Path) -> None:
    terms = make_terms(SECURE)
    wards = make_wards(terms)
    forged = Client(1, Terms(4, 34, 3, 64, 40)).advertise()

    def fault(name: str, kind: str, body: Body) -> Body | None:
        if (name, kind) != ("b", "mask_keys"):
            return None
        return {**wards[name].answer(kind, body), "keys": forged}

    with pytest.raises(PrivauditError, match="hospitals that are ready"):
        run(terms, tmp_path, MemoryWire(wards, fault), patience=0.05)
    assert all(ward.sent_in == -1 for ward in wards.values())


@pytest.mark.parametrize("key", [b"", bytes(96), bytes(95)])
def test_a_hospital_whose_key_is_none_does_not_stop_the_others(tmp_path: Path, key: bytes) -> None:
    terms = make_terms(SECURE, "rounds=1")
    wards = make_wards(terms)

    def fault(name: str, kind: str, body: Body) -> Body | None:
        if (name, kind) != ("a", "mask_keys"):
            return None
        return {**wards[name].answer(kind, body), "keys": key}

    found = run(terms, tmp_path, MemoryWire(wards, fault))
    assert found.hospitals == tuple("bcd")
    assert events(tmp_path, "bad_answer")[0]["why"] == "no_key"


def test_the_trust_of_signed_keys_differs_in_one_row_and_names_repeated_rounds() -> None:
    own = SecureSum()
    apart = [row for row in own.trust_apart if row != REPEATS]
    assert len(apart) == len(own.trust_apart) - 1
    changed = [(a, b) for a, b in zip(own.trust, apart, strict=True) if a != b]
    assert len(changed) == 1
    assert changed[0][0][0] == "server that invents {sites}"
    assert changed[0][1][2].startswith("no")


def _without(terms: object, round: int, name: str, folder: Path) -> np.ndarray:
    """The open run in which this hospital's update of this round is missing, trained all the
    same."""
    plain = make_terms()
    wards = make_wards(plain)

    def fault(asked: str, kind: str, body: Body) -> str | None:
        if (asked, kind, body.get("round")) != (name, "train", round):
            return None
        wards[asked].answer(kind, body)
        return "no_answer"

    return run(plain, folder / "plain", MemoryWire(wards, fault)).weights
