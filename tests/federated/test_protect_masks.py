"""The open sum and the sum under pairwise masks."""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

pytest.importorskip("cryptography")

from pipelines.federated import _masks
from pipelines.federated.protect import Plain, Protection
from pipelines.federated.secure_sum import Client, SecureSum, Server, Terms
from privaudit.errors import PrivauditError


@dataclass(frozen=True)
class Middle:
    linear: ClassVar[bool] = False


@dataclass(frozen=True)
class Average:
    linear: ClassVar[bool] = True


def updates(clients: int = 5, size: int = 1500, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(clients, size)) * 0.1


def found(transcript: tuple[bytes, ...], vector: np.ndarray) -> int:
    """How many runs of three neighbouring values stand in a transcript, in any plain encoding."""
    whole = b"|".join(transcript)
    fixed = np.rint(vector * 2.0**30).astype(np.int64)
    plain = (
        vector.astype("<f4"),
        vector.astype("<f8"),
        vector.astype("<f2"),
        fixed.astype("<i4"),
        fixed.astype("<i8"),
    )
    return sum(
        whole.count(values[i : i + 3].tobytes()) for values in plain for i in range(0, 300, 3)
    )


def correlation(seen: np.ndarray, vectors: np.ndarray) -> float:
    return max(abs(np.corrcoef(a, b)[0, 1]) for a in seen for b in vectors)


def test_the_open_sum_is_the_sum_and_the_server_reads_every_update() -> None:
    vectors = updates()
    got = Plain().total(vectors, np.random.default_rng(1), dropped=[2])
    assert np.array_equal(got.total, vectors[[0, 1, 3, 4]].sum(axis=0))
    assert np.array_equal(got.seen[0], vectors[0].astype(np.float32))
    assert not got.seen[2].any()
    assert (got.bytes_up, got.bytes_down) == (4 * 4 * vectors.shape[1], 0)
    assert found(got.transcript, vectors[0]) >= 100
    assert found(got.transcript, vectors[2]) == 0


@pytest.mark.parametrize("clients", [3, 4, 10])
def test_the_masked_sum_is_the_plain_sum(clients: int) -> None:
    vectors = updates(clients)
    got = SecureSum().total(vectors, np.random.default_rng(1))
    assert np.abs(got.total - vectors.sum(axis=0)).max() < 1e-6


def test_the_servers_transcript_holds_no_update() -> None:
    vectors = updates() * 0.5
    got = SecureSum(word=32).total(vectors, np.random.default_rng(1))
    assert all(found(got.transcript, vector) == 0 for vector in vectors)
    assert correlation(got.seen, vectors) < 5 / np.sqrt(vectors.shape[1])
    # Words are uniform over all 32 bits, whatever the update.
    assert abs(got.seen.std() - 4 / np.sqrt(12)) < 0.05
    partial = [got.seen[list(some)].sum(axis=0) for some in ((0, 1), (0, 1, 2), (1, 2, 3, 4))]
    assert correlation(np.array(partial), vectors) < 5 / np.sqrt(vectors.shape[1])


def test_masks_differ_in_every_round() -> None:
    vectors, rng = updates(), np.random.default_rng(1)
    one, two = (SecureSum().total(vectors, rng) for _ in range(2))
    assert np.array_equal(one.total, two.total)
    assert not set(one.transcript) & set(two.transcript)
    assert (one.seen == two.seen).mean() < 0.001


def test_a_round_is_a_function_of_its_stream() -> None:
    vectors = updates()
    state = np.random.get_state()[1].tobytes(), random.getstate()  # noqa: NPY002
    one, two = (SecureSum().total(vectors, np.random.default_rng(3), [1]) for _ in range(2))
    assert one.transcript == two.transcript
    assert state == (np.random.get_state()[1].tobytes(), random.getstate())  # noqa: NPY002


@pytest.mark.parametrize("dropped", [[0], [9], [0, 4, 9]])
def test_clients_that_vanish_are_left_out_of_the_sum(dropped: list[int]) -> None:
    vectors = updates(10)
    got = SecureSum().total(vectors, np.random.default_rng(1), dropped)
    stay = np.setdiff1d(np.arange(10), dropped)
    assert np.abs(got.total - vectors[stay].sum(axis=0)).max() < 1e-6
    assert not got.seen[dropped].any()
    assert correlation(got.seen[stay], vectors) < 5 / np.sqrt(vectors.shape[1])


@pytest.mark.parametrize(("clients", "dropped"), [(3, [1]), (4, [0, 1]), (10, [0, 1, 2, 3])])
def test_a_round_with_too_few_left_is_refused(clients: int, dropped: list[int]) -> None:
    with pytest.raises(PrivauditError, match=f"of {clients} clients stayed"):
        SecureSum().total(updates(clients), np.random.default_rng(1), dropped)


def test_bytes_are_counted() -> None:
    vectors = updates(10, 50_000) * 0.1
    got = SecureSum(word=32).total(vectors, np.random.default_rng(1))
    assert got.bytes_up == sum(len(message) for message in got.transcript)
    plain = Plain().total(vectors, np.random.default_rng(1))
    assert 1.0 < got.bytes_up / plain.bytes_up < 1.01
    # Everybody's keys, and shares sealed for each other client.
    assert got.bytes_down == 10 * (10 * 96 + 9 * (2 * 33 + 16) + 2)


def test_large_values_take_64_bits_or_are_refused() -> None:
    vectors = updates() * 1e4
    wide = SecureSum().total(vectors, np.random.default_rng(1))
    assert np.abs(wide.total - vectors.sum(axis=0)).max() < 1e-6
    assert wide.bytes_up > 1.9 * 4 * vectors.size
    with pytest.raises(PrivauditError, match="word=64"):
        SecureSum(word=32).total(vectors, np.random.default_rng(1))
    with pytest.raises(PrivauditError, match="hold sums of 5 clients up to"):
        SecureSum().total(vectors * 1e9, np.random.default_rng(1))


def test_the_sum_does_not_wrap_at_the_bound() -> None:
    terms = Terms(4, 3, 3, 32, 24)
    vectors = np.full((4, 3), terms.bound) * np.array([1, -1, 1])
    total = SecureSum(word=32, fraction=24).total(vectors, np.random.default_rng(1)).total
    assert np.abs(total - vectors.sum(axis=0)).max() < 1e-6
    with pytest.raises(PrivauditError):
        SecureSum(word=32, fraction=24).total(vectors * 1.001, np.random.default_rng(1))


@pytest.mark.parametrize(
    ("protect", "clients", "aggregate", "says"),
    [
        (SecureSum(), 2, Average(), "2 clients"),
        (SecureSum(), 1, Average(), "1 client"),
        (SecureSum(), 5, Middle(), r"secure_sum with Middle\(\)"),
        (SecureSum(word=16), 5, Average(), "word=16"),
        (SecureSum(fraction=31), 5, Average(), "fraction=31"),
        (SecureSum(word=64, fraction=41), 5, Average(), "fraction=41"),
        (SecureSum(fraction=0), 5, Average(), "fraction=0"),
        (SecureSum(threshold=2), 5, Average(), "threshold=2"),
        (SecureSum(threshold=6), 5, Average(), "threshold=6"),
        (SecureSum(threshold=3), 6, Average(), "use at least 4"),
        (SecureSum(threshold=3), 10, Average(), "different lists of who arrived"),
        (SecureSum(threshold=5), 10, Average(), "use at least 6"),
    ],
)
def test_what_cannot_be_protected_is_refused(
    protect: Protection, clients: int, aggregate: Average, says: str
) -> None:
    with pytest.raises(PrivauditError, match=says):
        protect.check(clients, aggregate)


def test_two_clients_are_refused_by_the_round_too() -> None:
    with pytest.raises(PrivauditError, match="2 clients"):
        SecureSum().total(updates(2), np.random.default_rng(1))


@pytest.mark.parametrize(
    ("vectors", "dropped", "says"),
    [
        (np.zeros((0, 3)), [], "shape"),
        (np.zeros(3), [], "shape"),
        (np.array([[1.0], [np.nan], [2.0]]), [], "client 1"),
        (np.ones((3, 2)), [3], "dropped"),
        (np.ones((3, 2)), [1, 1], "dropped"),
        (np.ones((3, 2)), [0, 1, 2], "every client"),
    ],
)
@pytest.mark.parametrize("protect", [Plain(), SecureSum()])
def test_what_cannot_be_summed_is_refused(
    protect: Protection, vectors: np.ndarray, dropped: list[int], says: str
) -> None:
    with pytest.raises(PrivauditError, match=says):
        protect.total(vectors, np.random.default_rng(1), dropped)


def test_without_cryptography_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(PrivauditError, match=r"privaudit\[federation\]"):
        SecureSum().check(5, Average())


def test_trust_names_who_reads_what() -> None:
    for protect in (Plain(), SecureSum(), SecureSum(threshold=4)):
        assert all(len(row) == 3 and all(row) for row in protect.trust)
    assert {who: whether for who, _, whether in Plain().trust}["server"].startswith("yes")
    assert {who: whether for who, _, whether in SecureSum().trust}["server"].startswith("no")
    assert "server with 4 {sites}" in [who for who, _, _ in SecureSum(threshold=4).trust]


# The protocol, message by message.


class Round:
    """A round up to the masked vectors, with keys of the operating system."""

    def __init__(self, clients: int = 5, size: int = 400, terms: Terms | None = None) -> None:
        self.vectors = updates(clients, size)
        self.terms = terms or Terms(clients, size, SecureSum().quorum(clients), 32, 24)
        self.clients = [Client(i, self.terms) for i in range(clients)]
        self.server = Server(self.terms)
        for i, client in enumerate(self.clients):
            self.server.take_key(i, client.advertise())
        self.boxes = [client.share(self.server.keys) for client in self.clients]
        for i, sealed in enumerate(self.boxes):
            self.server.take_shares(i, sealed)

    def inbox(self, i: int) -> dict[int, bytes]:
        return {j: box[i] for j, box in enumerate(self.boxes) if j != i}

    def send(self, i: int) -> bytes:
        return self.clients[i].send(self.vectors[i], self.inbox(i))


def test_a_client_that_is_silent_at_the_end_is_still_in_the_sum() -> None:
    own = Round()
    for i in range(5):
        own.server.take_masked(i, own.send(i))
    for i in (0, 2, 3, 4):
        own.server.take_reveal(i, own.clients[i].reveal(range(5)))
    total = own.terms.decode(own.server.sum())
    assert np.abs(total - own.vectors.sum(axis=0)).max() < 1e-6


def test_too_few_answers_unmask_nothing() -> None:
    own = Round()
    for i in range(5):
        own.server.take_masked(i, own.send(i))
    for i in range(own.terms.threshold - 1):
        own.server.take_reveal(i, own.clients[i].reveal(range(5)))
    with pytest.raises(PrivauditError, match="it takes 4"):
        own.server.sum()


def test_a_vector_that_arrives_late_stays_masked() -> None:
    own = Round()
    late = own.send(1)
    stay = [0, 2, 3, 4]
    for i in stay:
        own.server.take_masked(i, own.send(i))
    for i in stay:
        own.server.take_reveal(i, own.clients[i].reveal(stay))
    total = own.terms.decode(own.server.sum())
    assert np.abs(total - own.vectors[stay].sum(axis=0)).max() < 1e-6
    # The server now holds client 1's mask key, takes the pair masks away, and reads noise.
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    shares = {i + 1: own.server.shares[i][1] for i in stay}
    key = X25519PrivateKey.from_private_bytes(_masks.join_secret(shares))
    words = np.frombuffer(late, own.terms.dtype).copy()
    for i in stay:
        agreed = _masks.agree(key, own.server.keys[i][32:64], b"mask")
        stream = _masks.keystream(agreed, own.terms.size, own.terms.dtype)
        words = words - stream if i > 1 else words + stream
    read = own.terms.decode(words)
    assert abs(np.corrcoef(read, own.vectors[1])[0, 1]) < 5 / np.sqrt(own.terms.size)
    own_mask = _masks.keystream(own.clients[1].own, own.terms.size, own.terms.dtype)
    assert np.abs(own.terms.decode(words - own_mask) - own.vectors[1]).max() < 1e-6


def test_a_client_reveals_once_and_only_for_enough() -> None:
    own = Round()
    own.send(0)
    with pytest.raises(PrivauditError, match="vectors of 2 clients"):
        own.clients[0].reveal([0, 1])
    with pytest.raises(PrivauditError, match="vectors of 4 clients"):
        own.clients[0].reveal([1, 2, 3, 4])
    own.send(2)
    own.clients[2].reveal([0, 1, 2, 3])
    with pytest.raises(PrivauditError, match="second"):
        own.clients[2].reveal([0, 1, 2, 3, 4])


def test_shares_that_were_changed_are_refused() -> None:
    own = Round()
    inbox = own.inbox(0)
    inbox[3] = inbox[3][:-1] + bytes([inbox[3][-1] ^ 1])
    with pytest.raises(PrivauditError, match="shares of client 3"):
        own.clients[0].send(own.vectors[0], inbox)
    swapped = own.inbox(1) | {2: own.boxes[2][3]}
    with pytest.raises(PrivauditError, match="shares of client 2"):
        own.clients[1].send(own.vectors[1], swapped)


def test_a_wrong_share_is_found_out() -> None:
    for place in (0, 4):
        own = Round()
        stay = [0, 1, 2, 3]
        for i in stay:
            own.server.take_masked(i, own.send(i))
        for i in stay:
            own.server.take_reveal(i, own.clients[i].reveal(stay))
        own.server.shares[2][place] ^= 1
        with pytest.raises(PrivauditError, match=f"client {place}"):
            own.server.sum()


def test_a_client_refuses_a_changed_list_of_keys() -> None:
    terms = Terms(3, 2, 3, 32, 24)
    clients = [Client(i, terms) for i in range(3)]
    keys = {i: client.advertise() for i, client in enumerate(clients)}
    with pytest.raises(PrivauditError, match="own key"):
        clients[0].share(keys | {0: keys[1]})
    with pytest.raises(PrivauditError, match="one key"):
        clients[0].share(keys | {1: keys[2]})
    with pytest.raises(PrivauditError, match="2 clients' keys"):
        clients[0].share({0: keys[0], 1: keys[1]})


def test_secret_sharing() -> None:
    rng = np.random.default_rng(0)
    secret = bytes(rng.bytes(32))
    shares = _masks.split_secret(secret, 7, 4, rng.bytes)
    for some in ([1, 2, 3, 4], [7, 3, 5, 1], [2, 4, 6, 7]):
        assert _masks.join_secret({x: shares[x - 1] for x in some}) == secret
    assert _masks.join_secret({x: shares[x - 1] for x in (1, 2, 3)}) != secret
    for edge in (bytes(32), b"\xff" * 32):
        values = _masks.split_secret(edge, 3, 3, rng.bytes)
        assert _masks.join_secret(dict(enumerate(values, 1))) == edge


# A server that cheats.


def read_by_two_lists(
    own: Round, target: int, told_all: Sequence[int], told_dropped: Sequence[int]
) -> np.ndarray | None:
    """What a server reads of one update that asks some clients for shares with a list on which
    everybody arrived, and others with one on which the target did not; None where it fails."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    everybody = list(range(len(own.clients)))
    sent = {i: own.send(i) for i in everybody}
    lists = [everybody] * len(told_all) + [[i for i in everybody if i != target]] * len(
        told_dropped
    )
    shares: tuple[dict[int, int], dict[int, int]] = ({}, {})
    for i, arrived in zip([*told_all, *told_dropped], lists, strict=True):
        try:
            message = own.clients[i].reveal(arrived)
        except PrivauditError:
            continue
        value = int.from_bytes(message[target * 33 : (target + 1) * 33], "big")
        shares[target not in arrived][i + 1] = value
    seed, mask = (_masks.join_secret(part) for part in shares)
    if not seed or not mask:
        return None
    key = X25519PrivateKey.from_private_bytes(mask)
    words = np.frombuffer(sent[target], own.terms.dtype).copy()
    words -= _masks.keystream(seed, own.terms.size, own.terms.dtype)
    for other in set(everybody) - {target}:
        agreed = _masks.agree(key, own.server.keys[other][32:64], b"mask")
        stream = _masks.keystream(agreed, own.terms.size, own.terms.dtype)
        words = words - stream if target < other else words + stream
    return own.terms.decode(words)


def unchecked_terms(clients: int, size: int, threshold: int) -> Terms:
    """Terms that nobody checked, as another program could send them."""
    terms = object.__new__(Terms)
    for name, value in zip(
        ("clients", "size", "threshold", "word", "fraction"),
        (clients, size, threshold, 32, 24),
        strict=True,
    ):
        object.__setattr__(terms, name, value)
    return terms


def reads(seen: np.ndarray | None, vector: np.ndarray) -> bool:
    return seen is not None and bool(np.abs(seen - vector).max() < 1e-6)


@pytest.mark.parametrize("threshold", [3, 5])
def test_two_lists_read_an_update_where_two_groups_fit_and_such_terms_are_refused(
    threshold: int,
) -> None:
    # The target answers too, with the list on which it arrived.
    order = [7, *(i for i in range(10) if i != 7)]
    groups = order[:threshold], order[threshold : 2 * threshold]
    own = Round(10, 60, unchecked_terms(10, 60, threshold))
    assert reads(read_by_two_lists(own, 7, *groups), own.vectors[7])
    with pytest.raises(PrivauditError, match="different lists of who arrived"):
        Terms(10, 60, threshold, 32, 24)


@pytest.mark.parametrize(("clients", "threshold"), [(10, 6), (10, 7), (5, 4), (4, 3), (3, 3)])
def test_two_lists_read_nothing_whoever_is_told_which(clients: int, threshold: int) -> None:
    rng = np.random.default_rng(0)
    for target in range(0, clients, 3):
        for told_all in (0, clients // 2, threshold, clients):
            own = Round(clients, 60, Terms(clients, 60, threshold, 32, 24))
            order = [int(i) for i in rng.permutation(clients)]
            # The target itself, and everybody, may be asked with both lists.
            seen = read_by_two_lists(own, target, order[:told_all], [*order[told_all:], *order])
            assert not reads(seen, own.vectors[target])


def read_a_pair_by_many_lists(own: Round, pair: tuple[int, int]) -> np.ndarray | None:
    """What a server reads that tells every client another list of who arrived: never that the pair
    did not, and of the others, in turn, as many as a list may lack. With enough shares of the mask
    keys of all others, the sum of the two is left; None where there are too few."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    n, t = own.terms.clients, own.terms.threshold
    others = [i for i in range(n) if i not in pair]
    sent = {i: own.send(i) for i in range(n)}
    given: dict[int, dict[int, int]] = {i: {} for i in range(n)}
    told: dict[int, set[int]] = {i: set() for i in others}
    for c in sorted(range(n), key=lambda c: c in pair):
        named = sorted((j for j in others if j != c), key=lambda j: len(told[j]))[: n - t]
        for j in named:
            told[j].add(c)
        answer = own.clients[c].reveal([i for i in range(n) if i not in named])
        for i in (*pair, *named):
            given[i][c + 1] = int.from_bytes(answer[i * 33 : (i + 1) * 33], "big")
    if min(len(given[i]) for i in range(n)) < t:
        return None
    total = np.zeros(own.terms.size, own.terms.dtype)
    for i in pair:
        total += np.frombuffer(sent[i], own.terms.dtype)
        total -= _masks.keystream(_masks.join_secret(given[i]), own.terms.size, own.terms.dtype)
    for j in others:
        key = X25519PrivateKey.from_private_bytes(_masks.join_secret(given[j]))
        for i in pair:
            agreed = _masks.agree(key, own.server.keys[i][32:64], b"mask")
            stream = _masks.keystream(agreed, own.terms.size, own.terms.dtype)
            total = total - stream if i < j else total + stream
    return own.terms.decode(total)


def test_many_lists_read_the_sum_of_two_at_half_and_such_terms_are_refused() -> None:
    own = Round(5, 60, unchecked_terms(5, 60, 3))
    assert reads(read_a_pair_by_many_lists(own, (1, 4)), own.vectors[[1, 4]].sum(axis=0))
    with pytest.raises(PrivauditError, match=r"sum of two(.|\n)*at least 4"):
        Terms(5, 60, 3, 32, 24)


@pytest.mark.parametrize("clients", range(3, 13))
def test_many_lists_read_no_sum_of_two_at_the_least_threshold_allowed(clients: int) -> None:
    least = next(t for t in range(3, clients + 1) if allowed(clients, t))
    assert least <= SecureSum().quorum(clients)
    own = Round(clients, 60, Terms(clients, 60, least, 32, 24))
    assert read_a_pair_by_many_lists(own, (0, 1)) is None


def allowed(clients: int, threshold: int) -> bool:
    try:
        Terms(clients, 60, threshold, 32, 24)
    except PrivauditError:
        return False
    return True


@pytest.mark.parametrize("clients", [6, 9])
def test_a_server_that_holds_keys_or_shares_back_is_refused(clients: int) -> None:
    """With masks shared with `threshold - 1` others alone, whose keys a server gets by lists on
    which they dropped out, one update is read: of 10 clients at a threshold of 6, say."""
    own = Round(clients)
    few = own.terms.threshold - 1
    with pytest.raises(PrivauditError, match="holds some back"):
        own.clients[0].send(own.vectors[0], dict(list(own.inbox(0).items())[:few]))
    terms = own.terms
    late = {i: Client(i, terms) for i in range(clients)}
    keys = {i: client.advertise() for i, client in late.items()}
    with pytest.raises(PrivauditError, match="leaves some out"):
        late[0].share({i: keys[i] for i in range(terms.threshold)})


def test_a_client_sends_one_vector_under_its_masks() -> None:
    own = Round()
    first = np.frombuffer(own.send(1), own.terms.dtype)
    own.vectors[1] *= 0.5
    with pytest.raises(PrivauditError, match="a second vector under one mask"):
        own.send(1)
    own.clients[1].sent = False
    second = np.frombuffer(own.send(1), own.terms.dtype)
    apart = own.terms.decode(first - second)
    assert np.abs(apart - own.vectors[1]).max() < 1e-6, "what two would give away"


def test_a_client_shares_its_keys_once_and_with_clients_of_the_round() -> None:
    own = Round()
    with pytest.raises(PrivauditError, match="a second list of keys"):
        own.clients[0].share(own.server.keys)
    terms = Terms(3, 2, 3, 32, 24)
    client = Client(0, terms)
    keys = {i: Client(i, terms).advertise() for i in range(1, 4)} | {0: client.advertise()}
    with pytest.raises(PrivauditError, match="not in the round"):
        client.share(keys)


def test_a_client_reveals_nothing_before_it_sends() -> None:
    own = Round()
    with pytest.raises(PrivauditError, match="impossible request"):
        own.clients[0].reveal([0])
    with pytest.raises(PrivauditError, match="impossible request"):
        own.clients[0].reveal(range(5))
    with pytest.raises(PrivauditError, match="sent no keys"):
        own.clients[0].send(own.vectors[0], own.inbox(0) | {9: b""})


def test_the_trust_table_names_who_can_read_an_update_together() -> None:
    for protect in (SecureSum(), SecureSum(threshold=6)):
        rows = {who: whether for who, _, whether in protect.trust}
        assert rows["all the other {sites} together"].startswith("yes")
        assert any("lies about who dropped out" in who for who in rows)
