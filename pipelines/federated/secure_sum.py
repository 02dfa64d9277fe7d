"""The sum of updates under pairwise masks: the server reads sums and no single update."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from pipelines.federated._masks import agree, join_secret, keystream, split_secret
from pipelines.federated.aggregate import Aggregate, Mean
from pipelines.federated.protect import REPEATS, Protection, Summed, check_vectors
from privaudit.errors import PrivauditError

FEWEST = 3
"""With two clients in a sum, each reads the other's update by taking its own away."""
SHARE = 33
"""Bytes of a share of one key."""


def _refuse(what: str, because: str, fix: str = "run the round again") -> PrivauditError:
    return PrivauditError(what, because, fix)


def _cryptography() -> None:
    try:
        import cryptography  # noqa: F401
    except ImportError as error:
        raise PrivauditError(
            "secure_sum without the package cryptography",
            "the masks come from its key agreement and stream cipher",
            "pip install 'privaudit[federation]'",
        ) from error


def _check_threshold(threshold: int, clients: int) -> None:
    if not FEWEST <= threshold <= clients:
        raise PrivauditError(
            f"threshold={threshold!r}",
            f"it lies between {FEWEST} and the {clients} clients",
            "use None: two thirds of the clients",
        )
    # Every client answers once and names at most (clients - threshold) as dropped, so a server that
    # tells each another list has that many shares of mask keys from each. To read a sum of two it
    # takes `threshold` shares of the key of each of the others, which must be more than there are.
    least = clients**2 // (2 * clients - 2) + 1
    if threshold < least:
        raise PrivauditError(
            f"threshold={threshold!r} with {clients} clients",
            "clients could be told different lists of who arrived, and what they answer together "
            "unmasks the update of one hospital, or the sum of two",
            f"use at least {least}, or None: two thirds of the clients",
        )


@dataclass(frozen=True)
class Terms:
    """What all agree on before a round: how many clients, their vectors' size, and the arithmetic.

    Args:
        threshold: How many clients it takes to recover keys; somewhat more than half of them.
        word: Bits of the arithmetic.
        fraction: How many of them are behind the point.
        context: What else all must agree on: it goes into every pairwise mask, so that vectors of
            clients that were told different things cannot be summed. See `context`.
    """

    clients: int
    size: int
    threshold: int
    word: int
    fraction: int
    context: bytes = b""

    def __post_init__(self) -> None:
        _check_threshold(self.threshold, self.clients)

    @property
    def dtype(self) -> np.dtype:
        return np.dtype("<u4" if self.word == 32 else "<u8")

    @property
    def bound(self) -> float:
        """The largest value of one client at which no sum of all can wrap around."""
        return (2.0 ** (self.word - 1) / self.clients - 1) / 2.0**self.fraction

    def encode(self, vector: np.ndarray) -> np.ndarray:
        """(p,) fixed point, as words; PrivauditError beyond the bound."""
        largest = float(np.abs(vector).max(initial=0.0))
        if not largest <= self.bound:
            raise _refuse(
                f"a value of size {largest:.3g} in an update",
                f"{self.word} bits with {self.fraction} behind the point hold sums of "
                f"{self.clients} clients up to {self.bound:.3g} each",
                "clip the updates, take fewer bits behind the point or word=64",
            )
        return np.rint(vector * 2.0**self.fraction).astype(np.int64).astype(self.dtype)

    def decode(self, words: np.ndarray) -> np.ndarray:
        signed = words.view(words.dtype.str.replace("u", "i"))
        return signed.astype(np.float64) / 2.0**self.fraction


def context(run: str, round: int, members: Sequence[str], counts: Sequence[int]) -> bytes:
    """(32,) What hospitals apart agree on: the round, who is in it, and everybody's records.

    Shares of the sum follow from the counts. A server that told one hospital other counts, to give
    the sum nearly all of its weight, is left with masks that do not cancel.
    """
    said = [run, int(round), list(members), [int(count) for count in counts]]
    return hashlib.sha256(json.dumps(said).encode()).digest()


def is_key(message: bytes) -> bool:
    """Whether this can be what `Client.advertise` gives: with a point of small order in it, nobody
    could agree on a mask."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    if len(message) != 96:
        return False
    try:
        for point in (message[:32], message[32:64]):
            agree(X25519PrivateKey.generate(), point, b"")
    except ValueError:
        return False
    return True


@dataclass(eq=False)
class Client:
    """One hospital's side of one round. Its keys are for this round alone.

    It shares its keys once, sends one vector under its masks, and answers one request for shares,
    so that no server holds both secrets of one peer, or the difference of two vectors.

    Args:
        entropy: Where keys come from; the operating system unless a simulation hands in its own
            stream.
    """

    number: int
    terms: Terms
    entropy: Callable[[int], bytes] = os.urandom
    peers: dict[int, tuple[bytes, bytes]] = field(default_factory=dict)
    held: dict[int, tuple[int, int]] = field(default_factory=dict)
    seals: dict[int, Any] = field(default_factory=dict)
    sent: bool = False
    asked: bool = False

    def __post_init__(self) -> None:
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

        self.box, self.mask = (
            X25519PrivateKey.from_private_bytes(self.entropy(32)) for _ in range(2)
        )
        self.own = self.entropy(32)

    def advertise(self) -> bytes:
        """Two public keys, and a commitment to the seed of its own mask."""
        public = (key.public_key().public_bytes_raw() for key in (self.box, self.mask))
        return b"".join(public) + hashlib.sha256(self.own).digest()

    def share(self, keys: Mapping[int, bytes]) -> dict[int, bytes]:
        """Its mask key and its own seed in shares, sealed for each of the others."""
        from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

        if self.peers:
            raise _refuse(
                "a second list of keys", "a client shares the keys of one round once, with one list"
            )
        if not set(keys) <= set(range(self.terms.clients)):
            raise _refuse(
                "keys of clients that are not in the round",
                f"the terms count {self.terms.clients} clients, numbered from 0",
            )
        if len(keys) < self.terms.clients or keys.get(self.number) != self.advertise():
            raise _refuse(
                f"{len(keys)} clients' keys",
                f"a client takes part among all {self.terms.clients} of the terms, its own key "
                "unchanged: a server that leaves some out chooses whose masks hide whom",
            )
        if len({key[:64] for key in keys.values()}) != len(keys):
            raise _refuse("two clients with one key", "every client makes keys of its own")
        if not all(map(is_key, keys.values())):
            raise _refuse("a key that is none", "nobody can agree on a mask with its owner")
        self.peers = {i: (key[:32], key[32:64]) for i, key in keys.items() if i != self.number}
        t, n = self.terms.threshold, self.terms.clients
        pair = [
            split_secret(secret, n, t, self.entropy)
            for secret in (self.mask.private_bytes_raw(), self.own)
        ]
        self.held[self.number] = (pair[0][self.number], pair[1][self.number])
        sealed = {}
        for i, (box, _) in self.peers.items():
            text = b"".join(values[i].to_bytes(SHARE, "big") for values in pair)
            # One message a direction under this key: the direction is the nonce.
            self.seals[i] = ChaCha20Poly1305(agree(self.box, box, b"shares"))
            sealed[i] = self.seals[i].encrypt(self._nonce(self.number, i), text, None)
        return sealed

    def send(self, vector: np.ndarray, sealed: Mapping[int, bytes]) -> bytes:
        """The masked vector, under a mask with each client whose shares arrived and one of its
        own."""
        from cryptography.exceptions import InvalidTag

        if self.sent:
            raise _refuse(
                "a second vector under one mask",
                "the difference of two is the difference of two updates, in the open",
            )
        if not set(sealed) <= set(self.peers):
            raise _refuse("shares of a client that sent no keys", "there is no mask with it")
        if len(sealed) < len(self.peers):
            raise _refuse(
                f"shares of {len(sealed) + 1} clients",
                f"it takes those of all {self.terms.clients}: a server that holds some back "
                "chooses whose masks hide whom, and has few to take away",
            )
        words = self.terms.encode(vector)
        words += keystream(self.own, self.terms.size, self.terms.dtype)
        for i, text in sealed.items():
            mask = self.peers[i][1]
            try:
                opened = self.seals[i].decrypt(self._nonce(i, self.number), text, None)
            except InvalidTag:
                raise _refuse(
                    f"shares of client {i} that do not open", "they were changed on the way"
                ) from None
            values = (opened[:SHARE], opened[SHARE:])
            self.held[i] = (int.from_bytes(values[0], "big"), int.from_bytes(values[1], "big"))
            stream = keystream(
                agree(self.mask, mask, b"mask" + self.terms.context),
                self.terms.size,
                self.terms.dtype,
            )
            words = words + stream if self.number < i else words - stream
        self.sent = True
        return words.tobytes()

    def reveal(self, arrived: Sequence[int]) -> bytes:
        """Its shares: of the own seeds of clients whose vector arrived, of the mask keys of others.

        Answers once a round, so that no server holds both secrets of one client.
        """
        here = set(arrived)
        if self.asked or not self.sent or not here <= set(self.held) or len(here) != len(arrived):
            raise _refuse("a second or an impossible request for shares", "a client answers one")
        if len(here) < max(FEWEST, self.terms.threshold) or self.number not in here:
            raise _refuse(
                f"vectors of {len(here)} clients arrived",
                f"a sum of fewer than {max(FEWEST, self.terms.threshold)} would say too much of "
                "one",
                "run the round again when more clients can be reached",
            )
        self.asked = True
        return b"".join(
            self.held[i][1 if i in here else 0].to_bytes(SHARE, "big") for i in sorted(self.held)
        )

    @staticmethod
    def _nonce(sender: int, receiver: int) -> bytes:
        return sender.to_bytes(6, "big") + receiver.to_bytes(6, "big")


@dataclass(eq=False)
class Server:
    """The server's side of one round, with everything that reached it. received: in order."""

    terms: Terms
    received: list[bytes] = field(default_factory=list)
    keys: dict[int, bytes] = field(default_factory=dict)
    sharers: set[int] = field(default_factory=set)
    masked: dict[int, np.ndarray] = field(default_factory=dict)
    shares: dict[int, list[int]] = field(default_factory=dict)

    def take_key(self, client: int, message: bytes) -> None:
        self.received.append(message)
        self.keys[client] = message

    def take_shares(self, client: int, sealed: Mapping[int, bytes]) -> None:
        self.received.extend(sealed.values())
        self.sharers.add(client)

    def take_masked(self, client: int, message: bytes) -> None:
        self.received.append(message)
        words = np.frombuffer(message, self.terms.dtype)
        if len(words) != self.terms.size or client not in self.sharers:
            raise _refuse(
                f"a masked vector of {len(words)} words", f"the round takes {self.terms.size}"
            )
        self.masked[client] = words

    def take_reveal(self, client: int, message: bytes) -> None:
        self.received.append(message)
        values = [
            int.from_bytes(message[i : i + SHARE], "big") for i in range(0, len(message), SHARE)
        ]
        if len(values) != len(self.sharers):
            raise _refuse(f"{len(values)} shares", f"{len(self.sharers)} clients shared")
        self.shares[client] = values

    def sum(self) -> np.ndarray:
        """The words of the sum: masks that have no counterpart are recovered and taken away."""
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

        if len(self.shares) < self.terms.threshold:
            raise _refuse(
                f"{len(self.shares)} clients revealed shares",
                f"it takes {self.terms.threshold} to unmask the sum",
                "run the round again when more clients can be reached",
            )
        total = np.zeros(self.terms.size, self.terms.dtype)
        for words in self.masked.values():
            total += words
        for client in sorted(self.sharers):
            secret = self.join(client)
            if not secret:
                raise self._wrong(client)
            if client in self.masked:
                total -= keystream(secret, self.terms.size, self.terms.dtype)
                continue
            mask = X25519PrivateKey.from_private_bytes(secret)
            for other in self.masked:
                key = agree(mask, self.keys[other][32:64], b"mask" + self.terms.context)
                stream = keystream(key, self.terms.size, self.terms.dtype)
                total = total - stream if other < client else total + stream
        return total

    def join(self, client: int) -> bytes:
        """What takes one client's masks away, from the shares of the first that revealed any; b""
        where they do not fit."""
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

        place = sorted(self.sharers).index(client)
        answers = list(self.shares.items())[: self.terms.threshold]
        secret = join_secret({i + 1: values[place] for i, values in answers})
        key = self.keys[client]
        if client in self.masked:
            return secret if hashlib.sha256(secret).digest() == key[64:] else b""
        mask = X25519PrivateKey.from_private_bytes(secret) if secret else None
        fits = mask is not None and mask.public_key().public_bytes_raw() == key[32:64]
        return secret if fits else b""

    @staticmethod
    def _wrong(client: int) -> PrivauditError:
        return _refuse(f"shares of client {client} that do not fit", "one of the shares is wrong")


@dataclass(frozen=True)
class SecureSum(Protection):
    """Every hospital hides its update under random masks that cancel out in the sum.

    Each pair of clients agrees on a mask (X25519, HKDF, ChaCha20); one adds it and the other takes
    it away. Keys are new in every round and shared among the clients in parts (Shamir), so that the
    masks of clients that drop out can be taken away; below the threshold, or three, the round is
    refused. A client shares with all of the round, masks with all of them and answers one request,
    and the threshold is high enough that no lists of who arrived, however many and whoever is told
    which, unmask one update or the sum of two. Who drops out before all have shared ends the round;
    who drops out later does not. Sums are
    exact in fixed point. Against a server that reads everything and lies about who dropped out.
    In a simulation no key is signed, so one that forges clients is out of scope; hospitals apart
    sign their keys (`trust_apart`).

    Bonawitz et al. 2017 (CCS, eprint 2017/281), section 4, figure 4.

    Args:
        word: 32 or 64 bits; None: 32, or 64 in a round where a client says that its values need it
            (one byte of every client's, which the server reads).
        fraction: Bits behind the point; None: 30 of 32, 40 of 64, for vectors that carry their
            weight in a mean, so that sums of 10 clients hold values up to 0.2 or 800,000 each.
        threshold: How many clients can recover keys, somewhat more than half; None: two thirds,
            rounded up, at least 3.
    """

    word: int | None = None
    fraction: int | None = None
    threshold: int | None = None

    name: ClassVar[str] = "secure_sum"

    def require(self) -> None:
        _cryptography()

    def check(self, clients: int, aggregate: Aggregate) -> None:
        self.require()
        if clients < FEWEST:
            raise PrivauditError(
                f"secure_sum with {clients} clients",
                "in a sum of two, each client reads the other's update by taking its own away",
                "use at least 3 clients",
            )
        if not aggregate.linear:
            raise PrivauditError(
                f"secure_sum with {aggregate!r}",
                "this aggregator compares single updates, which the server cannot read under masks",
                "use the mean with secure_sum, or this aggregator without",
            )
        if self.word not in (None, 32, 64):
            raise PrivauditError(f"word={self.word!r}", "it is 32, 64 or None", "use None")
        most = 40 if self.word == 64 else 30
        if self.fraction is not None and not 1 <= self.fraction <= most:
            raise PrivauditError(
                f"fraction={self.fraction!r}",
                f"it lies between 1 and {most} for this word",
                "use None",
            )
        if self.threshold is not None:
            _check_threshold(self.threshold, clients)

    def quorum(self, clients: int) -> int:
        """How many clients must stay for a round to end."""
        return self.threshold or max(FEWEST, -(-2 * clients // 3))

    def _terms(self, clients: int, size: int, word: int) -> Terms:
        fraction = self.fraction or (30 if word == 32 else 40)
        return Terms(clients, size, self.quorum(clients), word, fraction)

    def total(
        self, vectors: np.ndarray, rng: np.random.Generator, dropped: Sequence[int] = ()
    ) -> Summed:
        """One simulated round between client objects and a server; keys come from `rng`.

        PrivauditError, and nothing summed, where too few stay or a value does not fit.

        Args:
            dropped: Clients that vanish after sharing keys.
        """
        start = time.process_time()
        stay = check_vectors(vectors, dropped)
        count, size = vectors.shape
        self.check(count, Mean())
        if len(stay) < self.quorum(count):
            raise PrivauditError(
                f"{len(stay)} of {count} clients stayed in the round",
                f"it takes {self.quorum(count)} to unmask a sum, so that fewer cannot unmask one "
                "update",
                "run the round again when more clients can be reached",
            )
        terms = self._terms(count, size, self.word or 32)
        if self.word is None and float(np.abs(vectors[stay]).max()) > terms.bound:
            terms = self._terms(count, size, 64)
        clients = {i: Client(i, terms, rng.bytes) for i in range(count)}
        server = Server(terms)
        down = 0
        for i, client in clients.items():
            server.take_key(i, client.advertise())
        down += count * sum(len(key) for i, key in server.keys.items())
        boxes = {i: client.share(server.keys) for i, client in clients.items()}
        for i, sealed in boxes.items():
            server.take_shares(i, sealed)
        for i in stay:
            inbox = {j: boxes[j][i] for j in clients if j != i}
            down += sum(len(text) for text in inbox.values())
            server.take_masked(i, clients[i].send(vectors[i], inbox))
        for i in stay:
            down += -(-count // 8)
            server.take_reveal(i, clients[i].reveal(stay))
        total = terms.decode(server.sum())
        seen = np.zeros(vectors.shape, np.float32)
        for i, words in server.masked.items():
            seen[i] = terms.decode(words)
        announced = count if self.word is None else 0
        return Summed(
            total=total,
            seen=seen,
            bytes_up=sum(len(message) for message in server.received) + announced,
            bytes_down=down,
            seconds=time.process_time() - start,
            transcript=tuple(server.received),
        )

    @property
    def trust(self) -> tuple[tuple[str, str, str], ...]:
        return self._trust("yes, keys are not signed")

    @property
    def trust_apart(self) -> tuple[tuple[str, str, str], ...]:
        *rows, released = self._trust("no, {sites} sign their keys")
        return (*rows, REPEATS, released)

    def _trust(self, invents: str) -> tuple[tuple[str, str, str], ...]:
        quorum, common = "two thirds of the {sites} (at least 3)", "a third of the {sites}"
        if self.threshold is not None:
            quorum = f"{self.threshold} {{sites}}"
            common = f"as many {{sites}} as two groups of {self.threshold} have in common"
        return (
            ("server", "one {site}'s update", "no, a masked vector; the sum of at least 3"),
            ("another {site}", "one {site}'s update", "no, only the sum"),
            (
                "all the other {sites} together",
                "one {site}'s update",
                "yes, sum minus their own",
            ),
            (f"server with {quorum}", "one {site}'s update", "yes, by recovering its masks"),
            (
                f"server that lies about who dropped out, with {common}",
                "one {site}'s update",
                "yes, they answer both of its lists",
            ),
            ("server that invents {sites}", "one {site}'s update", invents),
            ("whoever holds the released model", "one {site}'s update", "no"),
        )


__all__ = ["Client", "SecureSum", "Server", "Terms", "context", "is_key"]
