"""The encrypted sum, the ring it lives in, and the attack on its key."""

from __future__ import annotations

import random
import sys
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from privaudit.attacks.federated.key_recovery import (
    IN_FLOAT64,
    SHARED_KEY,
    KeyRecovery,
    solve,
)
from privaudit.contracts import Access, CipherTranscript, Release, Target, Trials
from privaudit.errors import PrivauditError
from privaudit.facts import Setting
from privaudit.records import Column, Records, Split
from privaudit.ring import Ring
from privaudit.seeds import Seeds

pytest.importorskip("tenseal")
pytest.importorskip("cryptography")

from pipelines.federated.encrypted_sum import NOISE, EncryptedSum
from pipelines.federated.network import FlatModel
from pipelines.federated.protect import Plain, Protection, Summed
from pipelines.federated.secure_sum import SecureSum
from pipelines.methods.federated import Federated

SERVER = Setting("attacker", "server")

SMALL = Ring(7681, 16)
FINEST = EncryptedSum().finest(4)
SEAL = Ring(18014398509293569, 4096)


@dataclass(frozen=True)
class Middle:
    linear: ClassVar[bool] = False


@dataclass(frozen=True)
class Average:
    linear: ClassVar[bool] = True


def updates(clients: int, size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(clients, size)) * 0.05


@pytest.fixture(scope="module")
def federation() -> tuple[Protection, list[np.ndarray], list[Summed]]:
    """Two rounds of four hospitals, of which three stay in the second one."""
    own = EncryptedSum().start()
    vectors = [updates(4, 2500, seed) for seed in (1, 2)]
    rng = np.random.default_rng(5)
    return own, vectors, [own.total(vectors[0], rng), own.total(vectors[1], rng, [1])]


@pytest.fixture(scope="module")
def cipher(federation: tuple[Protection, Any, Any]) -> CipherTranscript:
    found = federation[0].cipher
    assert found is not None
    return found


def attacked(cipher: CipherTranscript, **fields: float) -> dict[str, Trials]:
    target = SimpleNamespace(release=Release(cipher=cipher))
    return KeyRecovery(**fields).run(target, (), np.random.default_rng(9))  # type: ignore[arg-type]


# Arithmetic.


@given(st.integers(0, SEAL.modulus - 1), st.integers(0, SEAL.modulus - 1))
@settings(max_examples=200, deadline=None)
def test_products_are_exact(a: int, b: int) -> None:
    got = SEAL.mul(np.array([a], np.uint64), np.array([b], np.uint64))
    assert int(got[0]) == a * b % SEAL.modulus


def test_products_at_the_edges() -> None:
    edge = np.array([0, 1, 2, SEAL.modulus // 2, SEAL.modulus - 2, SEAL.modulus - 1], np.uint64)
    a, b = (x.ravel() for x in np.meshgrid(edge, edge))
    truth = [int(x) * int(y) % SEAL.modulus for x, y in zip(a, b, strict=True)]
    assert SEAL.mul(a, b).tolist() == truth
    assert (SEAL.mul(a, SEAL.invert(a))[a > 0] == 1).all()


def test_values_at_points_multiply_as_polynomials_do() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 7681, (2, 16)).astype(np.uint64)
    slow = np.zeros(16, dtype=int)
    for i in range(16):
        for j in range(16):
            sign = 1 if i + j < 16 else -1
            slow[(i + j) % 16] += sign * int(a[i]) * int(b[j])
    product = SMALL.coefficients(SMALL.mul(SMALL.points(a), SMALL.points(b)))
    assert product.tolist() == (slow % 7681).tolist()
    direct = [
        sum(int(c) * pow(SMALL.root, k * i, 7681) for i, c in enumerate(a)) % 7681
        for k in range(1, 32, 2)
    ]
    assert SMALL.points(a).tolist() == direct


def test_a_ring_round_trip_and_packing() -> None:
    rng = np.random.default_rng(0)
    a = rng.integers(0, SEAL.modulus, (3, 2, 4096)).astype(np.uint64)
    assert np.array_equal(SEAL.coefficients(SEAL.points(a)), a)
    assert np.array_equal(SEAL.residues(SEAL.centre(a)), a)
    numbers = rng.normal(size=(2, 2048))
    packed = SEAL.pack(numbers)
    assert np.allclose(SEAL.unpack(packed), numbers, atol=1e-12)
    mirror = np.concatenate([packed[:, :1], -packed[:, :0:-1]], axis=1)
    assert np.allclose(packed, mirror, atol=1e-15)


def test_our_decryption_is_tenseals_to_the_last_bits(cipher: CipherTranscript) -> None:
    ring = Ring(cipher.modulus, 4096)
    assert set(np.unique(cipher.secret)) == {-1, 0, 1}
    key = ring.points(ring.residues(cipher.secret.astype(np.int64)))
    c0, c1 = (ring.points(cipher.sums[:, i]) for i in range(2))
    plain = ring.centre(ring.coefficients(ring.add(c0, ring.mul(c1, key))))
    assert np.abs(ring.unpack(plain) / cipher.scale - cipher.exact).max() < 1e-14


def test_the_sums_are_the_sums_of_the_ciphertexts(cipher: CipherTranscript) -> None:
    # Four hospitals stayed in the first round, three in the second; the transcript keeps three of
    # each.
    own = Ring(cipher.modulus, 4096)
    assert cipher.single.shape == (3, 4, 2, 4096)
    rest = cipher.sums
    for one in cipher.single:
        rest = own.sub(rest, one)
    assert rest[:2].any()
    assert not rest[2:].any()


# The sum.


def test_the_server_holds_no_key() -> None:
    own: Any = EncryptedSum().start()
    assert own.clients.has_secret_key()
    assert not own.adder.context.has_secret_key()
    sent = own.total(updates(3, 10), np.random.default_rng(1)).transcript[0]
    import tenseal

    assert len(tenseal.ckks_vector_from(own.clients, sent).decrypt()) == 2048
    with pytest.raises(ValueError, match="secret_key"):
        tenseal.ckks_vector_from(own.adder.context, sent).decrypt()


def test_the_encrypted_sum_is_the_plain_sum(
    federation: tuple[Protection, list[np.ndarray], list[Summed]],
) -> None:
    _, vectors, rounds = federation
    assert np.abs(rounds[0].total - vectors[0].sum(axis=0)).max() < 1e-6
    assert np.abs(rounds[1].total - vectors[1][[0, 2, 3]].sum(axis=0)).max() < 1e-6
    assert not rounds[1].seen[1].any()


def test_the_servers_transcript_holds_no_update(
    federation: tuple[Protection, list[np.ndarray], list[Summed]],
) -> None:
    _, vectors, rounds = federation
    for own, got in zip(vectors, rounds, strict=True):
        whole = b"|".join(got.transcript)
        for vector in own:
            grid = np.rint(vector * 2.0**30) / 2.0**30
            for values in (vector, grid):
                for kind in ("<f4", "<f8"):
                    text = values.astype(kind)
                    assert not any(text[i : i + 3].tobytes() in whole for i in range(0, 300, 3))
            seen = got.seen[got.seen.any(axis=1)]
            assert all(abs(np.corrcoef(s, vector)[0, 1]) < 5 / np.sqrt(2500) for s in seen)
    # What the server is meant to have, it has.
    assert rounds[0].total.astype(np.float32).tobytes() in b"|".join(rounds[0].transcript)
    assert not set(rounds[0].transcript) & set(rounds[1].transcript)


def test_what_is_published_is_the_same_whatever_the_key(
    federation: tuple[Protection, list[np.ndarray], list[Summed]], cipher: CipherTranscript
) -> None:
    _, vectors, rounds = federation
    state = np.random.get_state()[1].tobytes(), random.getstate()  # noqa: NPY002
    again = EncryptedSum().total(vectors[0], np.random.default_rng(8))
    assert np.array_equal(again.total, rounds[0].total)
    assert state == (np.random.get_state()[1].tobytes(), random.getstate())  # noqa: NPY002
    grid = np.rint(vectors[0] * 2.0**FINEST).sum(axis=0) / 2.0**FINEST
    assert np.array_equal(again.total, grid.astype(np.float32)), (
        "nothing of the ciphertexts' error is left"
    )
    assert not np.array_equal(cipher.exact, cipher.published)


def test_the_error_is_what_the_check_counts_on(cipher: CipherTranscript) -> None:
    error = cipher.exact - np.rint(cipher.exact * 2.0**FINEST) / 2.0**FINEST
    four, three = error[:2].std(), error[2:].std()
    assert four == pytest.approx(NOISE / 4 * np.sqrt(4), rel=0.1)
    assert three == pytest.approx(NOISE / 4 * np.sqrt(3), rel=0.1)
    assert np.abs(error).max() < 2.0 ** -(FINEST + 1) / 2


def test_bytes_are_those_of_the_messages() -> None:
    got = EncryptedSum().total(updates(3, 5000), np.random.default_rng(1))
    assert got.bytes_up == sum(len(message) for message in got.transcript)
    assert 7 < got.bytes_up / (4 * 3 * 5000) < 11  # a third ciphertext carries 904 of 2,048
    assert got.bytes_down > 3 * 3 * 55_000


@pytest.mark.parametrize(
    ("protect", "clients", "aggregate", "says"),
    [
        (EncryptedSum(), 1, Average(), "1 client"),
        (EncryptedSum(), 2, Average(), "each hospital can compute the other's update"),
        (EncryptedSum(), 5, Middle(), r"encrypted_sum with Middle\(\)"),
        (EncryptedSum(bits=60), 5, Average(), "bits=60"),
        (EncryptedSum(step=36), 5, Average(), "between 1 and 3"),
        (EncryptedSum(bits=36, step=24), 5, Average(), "step=24 with bits=36"),
        (EncryptedSum(step=0), 5, Average(), "step=0"),
    ],
)
def test_what_cannot_be_encrypted_is_refused(
    protect: Protection, clients: int, aggregate: Average, says: str
) -> None:
    with pytest.raises(PrivauditError, match=says):
        protect.check(clients, aggregate)


def test_the_step_that_an_error_proposes_is_taken() -> None:
    for clients in (3, 10, 100):
        with pytest.raises(PrivauditError) as caught:
            EncryptedSum(step=40).check(clients, Average())
        step = int(caught.value.fix.rsplit(" ", 1)[1])
        EncryptedSum(step=step).check(clients, Average())
        with pytest.raises(PrivauditError):
            EncryptedSum(step=step + 1).check(clients, Average())


def test_what_does_not_fit_is_refused() -> None:
    own = EncryptedSum()
    top = np.full((4, 5), 15.9)
    assert np.abs(own.total(top, np.random.default_rng(1)).total - 63.6).max() < 1e-5
    with pytest.raises(PrivauditError, match="a value of size 17"):
        own.total(np.full((4, 5), 17.0), np.random.default_rng(1))
    with pytest.raises(PrivauditError, match="client 1"):
        own.total(np.array([[0.0], [np.inf]]), np.random.default_rng(1))
    with pytest.raises(PrivauditError, match="2 clients"):
        own.total(np.ones((3, 5)), np.random.default_rng(1), [0])


def test_without_tenseal_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tenseal", None)
    for call in (lambda: EncryptedSum().check(5, Average()), EncryptedSum().start):
        with pytest.raises(PrivauditError, match=r"privaudit\[he\]"):
            call()


def test_trust_says_that_one_key_reads_everything() -> None:
    rows = {who: whether for who, _, whether in EncryptedSum().trust}
    assert rows["server"].startswith("no")
    assert rows["another {site}"].startswith("yes")
    assert rows["all the other {sites} together"].startswith("yes")
    assert EncryptedSum().start().trust == EncryptedSum().trust


# The attack.


def test_full_precision_gives_the_key_away(cipher: CipherTranscript) -> None:
    ring = Ring(cipher.modulus, 4096)
    for pair in ([0, 1], [0, 2], [3, 1]):
        part = replace(cipher, sums=cipher.sums[pair])
        key = ring.centre(ring.coefficients(solve(ring, part, cipher.exact[pair])))
        assert np.array_equal(key, cipher.secret), "the key, coefficient by coefficient"
        none = ring.centre(ring.coefficients(solve(ring, part, cipher.published[pair])))
        assert (np.abs(none) > 1).mean() > 0.99


def test_the_attack_reads_updates_only_with_a_key(cipher: CipherTranscript) -> None:
    found = attacked(cipher)
    assert list(found) == [SERVER, IN_FLOAT64, SHARED_KEY]
    assert [setting.counterfactual for setting in found] == [False, True, False]
    assert found[SERVER].success.max() < 0.01
    assert (found[IN_FLOAT64].success == 1).all()
    assert np.array_equal(found[IN_FLOAT64].control, found[SERVER].success)
    assert (found[SHARED_KEY].success == 1).all()
    for trials in found.values():
        assert trials.success.shape == trials.control.shape == (3,)
        assert trials.control.max() < 0.01
        assert trials.guess is not None
        assert trials.guess.max() < 0.05


def test_one_last_bit_less_and_the_key_is_safe_from_this_attack(cipher: CipherTranscript) -> None:
    blurred = cipher.exact + np.random.default_rng(0).normal(size=cipher.exact.shape) * 1e-12
    found = attacked(replace(cipher, exact=blurred))
    assert found[IN_FLOAT64].success.max() < 0.01


def test_a_careless_federation_is_caught(cipher: CipherTranscript) -> None:
    found = attacked(replace(cipher, published=cipher.exact))
    assert (found[SERVER].success == 1).all()


def test_float32_alone_stops_the_solving_too(cipher: CipherTranscript) -> None:
    single = cipher.exact.astype(np.float32).astype(np.float64)
    assert attacked(replace(cipher, published=single))[SERVER].success.max() < 0.01


def test_one_sum_is_not_enough(cipher: CipherTranscript) -> None:
    part = replace(
        cipher,
        sums=cipher.sums[:1],
        published=cipher.published[:1],
        exact=cipher.exact[:1],
        single=cipher.single[:, :1],
        update=cipher.update[:, :1],
    )
    found = attacked(part)
    assert list(found) == [SERVER, SHARED_KEY]
    assert not found[SERVER].success.any()


def test_small_networks_are_read_too() -> None:
    own = EncryptedSum().start()
    for seed in range(2):
        own.total(updates(3, 30, seed), np.random.default_rng(seed))
    assert own.cipher is not None
    found = attacked(own.cipher)
    assert (found[IN_FLOAT64].success == 1).all()
    assert np.isfinite(own.cipher.update).sum() == 3 * 2 * 30


def test_the_attack_wants_ciphertexts_and_a_sane_tolerance(cipher: CipherTranscript) -> None:
    assert Release(cipher=cipher).access == {Access.CIPHER}
    assert Access.CIPHER not in Release().access
    with pytest.raises(PrivauditError, match="tolerance=0"):
        attacked(cipher, tolerance=0)
    with pytest.raises(ValueError, match="no ciphertexts"):
        KeyRecovery().run(Target(Release(), None), (), np.random.default_rng(0))


# In a federation.


def hospitals() -> Records:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(240, 6)).astype(np.float32)
    return Records(
        columns=tuple(Column(f"x{i}", bounds=(-6.0, 6.0)) for i in range(6)),
        X=x,
        y=(x[:, 0] + rng.normal(size=240) > 0).astype(int),
        patient=np.arange(240),
        site=np.arange(240) % 4,
        sites=("a", "b", "c", "d"),
    )


@pytest.mark.parametrize("protect", [SecureSum(), EncryptedSum()])
def test_protected_training_gives_the_plain_model(protect: Protection) -> None:
    plain, hidden = (
        Federated(rounds=5, protect=way).fit(hospitals(), np.random.default_rng(1))
        for way in (Plain(), protect)
    )
    assert isinstance(plain.model, FlatModel)
    assert isinstance(hidden.model, FlatModel)
    assert np.abs(plain.model.weights - hidden.model.weights).max() < 1e-5
    assert plain.updates is not None
    assert hidden.updates is not None
    assert hidden.updates.protected == protect.name
    for open_, seen in zip(plain.updates.updates, hidden.updates.updates, strict=True):
        moved = open_.std(axis=0) > 0
        assert all(
            abs(np.corrcoef(a[moved], b[moved])[0, 1]) < 5 / np.sqrt(moved.sum())
            for a, b in zip(open_, seen, strict=True)
        )
    assert hidden.costs["bytes_up"] > plain.costs["bytes_up"]
    assert hidden.trust == protect.trust


def test_the_attack_runs_on_the_federations_own_ciphertexts() -> None:
    method = Federated(rounds=3, protect=EncryptedSum())
    records = hospitals()
    release = method.fit(records, np.random.default_rng(1))
    assert Access.CIPHER in release.access
    split = Split.assign(records, Seeds(1).rng("split"))
    found = KeyRecovery().run(Target(release, split, method), (), np.random.default_rng(0))
    assert len(found[SERVER].success) == 4
    assert found[SERVER].success.max() < 0.05
    assert (found[IN_FLOAT64].success > 0.999).all()
    assert (found[SHARED_KEY].success > 0.999).all()
    assert Federated(rounds=2).fit(records, np.random.default_rng(1)).cipher is None
