"""Encrypted updates between machines: the simulation's result, and sums that no hospital opens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coordinator_lab import Killed, MemoryWire, events, make_terms, make_wards, run, simulate

from pipelines.deploy.messages import Body
from pipelines.federated.encrypted_sum import (
    Adder,
    EncryptedSum,
    KeyHolder,
    Roll,
    check_agreed,
    count_quorum,
)
from privaudit.errors import PrivauditError

tenseal = pytest.importorskip("tenseal")

ENCRYPTED = "federated_encrypted"
NAMES = ("a", "b", "c", "d")
TERMS = EncryptedSum()
SIZE = 2100
ROLL = Roll("run", 3, NAMES, (50, 60, 70, 80), SIZE)


@pytest.fixture(scope="module")
def keys() -> KeyHolder:
    return KeyHolder.make(TERMS)


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    return np.random.default_rng(2).normal(size=(4, SIZE)) * 0.05


@pytest.fixture(scope="module")
def sent(keys: KeyHolder, vectors: np.ndarray) -> list[list[bytes]]:
    return [keys.encrypt(vector, i, ROLL) for i, vector in enumerate(vectors)]


def test_the_sum_of_those_that_arrived_comes_back(
    keys: KeyHolder, vectors: np.ndarray, sent: list[list[bytes]]
) -> None:
    other = KeyHolder.load(TERMS, keys.sealed_bytes())
    adder = Adder(TERMS, keys.public)
    assert not adder.context.has_secret_key()
    assert ROLL.chunks == 2
    for arrived in ([0, 1, 2, 3], [0, 2, 3]):
        back = adder.add([sent[i] for i in arrived])
        total = other.decrypt(back, arrived, ROLL)
        assert np.abs(total - vectors[arrived].sum(axis=0)).max() < 1e-7
        assert np.array_equal(total, keys.decrypt(back, arrived, ROLL))


def test_no_hospital_opens_one_ciphertext_or_the_sum_of_others_than_arrived(
    keys: KeyHolder, vectors: np.ndarray, sent: list[list[bytes]]
) -> None:
    adder = Adder(TERMS)

    def refused(sums: list[bytes], arrived: list[int], match: str = "not that of") -> None:
        with pytest.raises(PrivauditError, match=match):
            keys.decrypt(sums, arrived, ROLL)

    whole = adder.add(sent)
    refused(sent[0], [0, 1, 2, 3])
    refused(sent[0], [0], "a sum of 1 of 4")
    refused(adder.add(sent[:2]), [0, 1], "a sum of 2 of 4")
    refused(adder.add(sent[:3]), [0, 1, 2, 3])
    refused(whole, [0, 1, 2])
    refused(adder.add([*sent[:3], sent[0]]), [0, 1, 2, 3])
    refused(adder.add([sent[0], sent[0], sent[0]]), [0, 1, 2])
    # The parts of two sums, one of which is a single hospital's.
    refused([whole[0], sent[0][1]], [0, 1, 2, 3])
    refused([whole[1], whole[0]], [0, 1, 2, 3])
    refused(whole[:1], [0, 1, 2, 3], "in 1 parts")
    for other in (
        Roll("run", 4, NAMES, ROLL.counts, SIZE),
        Roll("else", 3, NAMES, ROLL.counts, SIZE),
        Roll("run", 3, NAMES, (50, 60, 70, 81), SIZE),
    ):
        with pytest.raises(PrivauditError, match="not that of"):
            keys.decrypt(whole, [0, 1, 2, 3], other)
    assert keys.decrypt(whole, [0, 1, 2, 3], ROLL).shape == (SIZE,)


def test_a_sum_that_the_server_has_changed_does_not_add_up(
    keys: KeyHolder, sent: list[list[bytes]]
) -> None:
    # One hospital's numbers twice, its code once: by a factor that is known where codes stand. The
    # server needs no key to add numbers or to multiply.
    adder, arrived = Adder(TERMS), [0, 1, 2, 3]
    step = 2.0 ** -TERMS.finest(4)

    def changed(place: int, by: float) -> list[bytes]:
        back = adder.add(sent)
        slots = np.zeros(2048)
        slots[place] = by
        vector = tenseal.ckks_vector_from(adder.context, back[0])
        return [vector.add_(slots.tolist()).serialize(), back[1]]

    assert keys.decrypt(changed(5, 0.0), arrived, ROLL).any()
    for place, by in ((5, step), (5, 0.1), (2047, step), (ROLL.room, step)):
        with pytest.raises(PrivauditError, match="not that of"):
            keys.decrypt(changed(place, by), arrived, ROLL)
    # Half a step in many slots would read their errors out of the rounding.
    back = adder.add(sent)
    slots = np.where(np.arange(2048) < ROLL.room, step / 2, 0.0)
    vector = tenseal.ckks_vector_from(adder.context, back[0]).add_(slots.tolist())
    with pytest.raises(PrivauditError, match="not that of"):
        keys.decrypt([vector.serialize(), back[1]], arrived, ROLL)
    doubled = tenseal.ckks_vector_from(adder.context, back[0])
    doubled.add_(tenseal.ckks_vector_from(adder.context, back[0]))
    with pytest.raises(PrivauditError, match="not that of"):
        keys.decrypt([doubled.serialize(), back[1]], arrived, ROLL)


def test_a_ciphertext_of_another_scale_or_of_nothing_is_none(keys: KeyHolder) -> None:
    adder = Adder(TERMS)
    scaled = tenseal.ckks_vector(keys.context, [0.5] * 2048, 2.0**40).serialize()
    short = tenseal.ckks_vector(keys.context, [0.5] * 7).serialize()
    own = keys.seal(np.zeros((1, 2048)))[0]
    for wrong in (scaled, short, b"", b"\0" * 100, own[: len(own) // 2], own[:-1] + b"\1\1"):
        with pytest.raises(PrivauditError, match="no ciphertext"):
            adder.add([[wrong]])
    other = EncryptedSum(bits=40)
    for raw in (b"", b"\0" * 200, KeyHolder.make(other).sealed_bytes(), b"\0" * 32 + keys.public):
        with pytest.raises(PrivauditError, match="no key"):
            KeyHolder.load(TERMS, raw)


def test_two_lists_of_who_arrived_cannot_both_be_signed_by_enough() -> None:
    for members in range(3, 30):
        assert 2 * count_quorum(members) > members
        assert count_quorum(members) >= 3
    check_agreed([0, 1, 3], ROLL, {"a", "b", "d"})
    for arrived, signers in (
        ([0, 1, 3], {"a", "b", "c"}),  # c says so, and is not in the sum
        ([0, 1, 2, 3], {"a", "b"}),
        ([0, 1], {"a", "b"}),
        ([0, 1, 1], {"a", "b", "c"}),
        ([1, 0, 2], {"a", "b", "c"}),
        ([0, 1, 7], {"a", "b", "c"}),
    ):
        with pytest.raises(PrivauditError):
            check_agreed(arrived, ROLL, signers)


@pytest.mark.parametrize("value", [np.nan, np.inf, 20.0])
def test_a_vector_that_does_not_fit_is_not_encrypted(keys: KeyHolder, value: float) -> None:
    vector = np.zeros(SIZE)
    vector[1] = value
    with pytest.raises(PrivauditError):
        keys.encrypt(vector, 0, ROLL)


def test_rolls_of_two_or_without_room_are_refused() -> None:
    with pytest.raises(PrivauditError, match="2 hospitals"):
        Roll("run", 0, ("a", "b"), (5, 5), 10)
    many = tuple(f"h{i}" for i in range(2016))
    with pytest.raises(PrivauditError, match="do not fit"):
        Roll("run", 0, many, (5,) * 2016, 10)


# Whole runs.


def test_it_trains_what_the_simulation_trains(tmp_path: Path) -> None:
    terms = make_terms(ENCRYPTED, "rounds=3")
    wards = make_wards(terms)
    found = run(terms, tmp_path, MemoryWire(wards))
    assert np.abs(found.weights - simulate(terms).weights).max() < 1e-6
    assert all(
        ward.asked["make_secret"] + ward.asked["take_secret"] == 1 for ward in wards.values()
    )
    assert any("secret key" in part for part in found.missing)
    assert not any(b"secret" in path.name.encode() for path in tmp_path.rglob("*"))


@pytest.mark.parametrize("after", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_run_that_is_killed_at_any_question_goes_on_to_the_same_end(
    tmp_path: Path, after: bool
) -> None:
    terms = make_terms(ENCRYPTED, "rounds=1")
    whole = MemoryWire(make_wards(terms))
    expected = run(terms, tmp_path / "whole", whole)
    for at in range(whole.questions):
        wire = MemoryWire(make_wards(terms), kill_at=at)
        wire.kill_after = after
        with pytest.raises(Killed):
            run(terms, tmp_path / str(at), wire)
        found = run(terms, tmp_path / str(at), wire)
        assert np.array_equal(found.weights, expected.weights)
        assert found.costs["idle_rounds"] == 0


def test_who_vanishes_after_the_keys_were_made_is_left_out_of_the_sum(tmp_path: Path) -> None:
    terms = make_terms(ENCRYPTED, "rounds=2")
    wards = make_wards(terms)

    def fault(name: str, kind: str, body: Body) -> Body | str | None:
        if (name, kind, body.get("round")) == ("b", "encrypt", 0):
            return "no_answer"
        if (name, kind, body.get("round")) == ("c", "decrypt", 1):
            return {"round": 1, "total": bytes(len(wards[name].update) * 4)}
        return None

    found = run(terms, tmp_path, MemoryWire(wards, fault))
    (one,) = events(tmp_path, "recovered")
    assert (one["round"], one["hospitals"]) == (0, ["b"])
    (bad,) = events(tmp_path, "bad_answer")
    assert (bad["hospital"], bad["why"]) == ("c", "other_total")
    assert found.costs["idle_rounds"] == 0


def test_ciphertexts_that_are_none_and_too_few_signatures(tmp_path: Path) -> None:
    terms = make_terms(ENCRYPTED, "rounds=3")
    wards = make_wards(terms)

    def fault(name: str, kind: str, body: Body) -> Body | str | None:
        if (name, kind, body.get("round")) == ("a", "encrypt", 0):
            return {"round": 0, "ciphertexts": [b"nothing"]}
        return "no_answer" if (kind, body.get("round")) == ("agree", 1) and name in "bc" else None

    found = run(terms, tmp_path, MemoryWire(wards, fault))
    bad = events(tmp_path, "bad_answer")
    assert [(one["hospital"], one["why"]) for one in bad] == [("a", "not_ciphertexts")]
    assert found.costs["idle_rounds"] == 1
    assert all(ward.asked["decrypt"] == 2 for name, ward in wards.items() if name != "a")


def test_a_maker_that_fails_every_time_is_not_asked_every_time(tmp_path: Path) -> None:
    terms = make_terms(ENCRYPTED, "rounds=1")
    wards = make_wards(terms)

    def fault(name: str, kind: str, body: Body) -> str | None:
        return "refused" if (name, kind) == ("a", "make_secret") else None

    found: Any = run(terms, tmp_path, MemoryWire(wards, fault))
    assert found.hospitals == tuple("bcd")
    assert found.costs["idle_rounds"] == 0
