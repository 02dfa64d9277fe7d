"""The sum of updates under homomorphic encryption: the server adds what it cannot read."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from pipelines.federated.aggregate import Aggregate, Mean
from pipelines.federated.ciphers import (
    MODULI,
    Adder,
    KeyHolder,
    can_add,
    check_bound,
    find_bound,
    find_grid,
    tenseal,
)
from pipelines.federated.protect import REPEATS, Protection, Summed, check_vectors
from pipelines.federated.roll import (
    CODES,
    DEGREE,
    FEWEST,
    SLOTS,
    Roll,
    check_agreed,
    count_quorum,
)
from privaudit.contracts import CipherTranscript
from privaudit.errors import PrivauditError
from privaudit.ring import Ring

NOISE = 8.6e-12
"""Standard deviation of one fresh ciphertext's error at a scale of 2^44, in the units of
updates."""
MARGIN = 12
"""Standard deviations of the error in half a step; beyond 12 lies less than 1e-32 of it."""
RECORDED_ROUNDS, RECORDED_CHUNKS, RECORDED_CLIENTS = 2, 2, 16
"""What of a federation goes into its transcript."""


@dataclass(frozen=True)
class EncryptedSum(Protection):
    """Every hospital encrypts its update; the server adds ciphertexts; the hospitals decrypt the
    sum.

    CKKS by TenSEAL with N = 4096 and one 54-bit modulus, which allows additions and nothing else.
    All hospitals hold one secret key, as in TenSEAL's and NVFlare's own set-ups. What comes back to
    the server is safe against reading the key out of CKKS's errors (Li and Micciancio 2021, eprint
    2020/1533): hospitals round their values to a grid before encryption and round the decrypted sum
    to the same grid, which removes the error whole (so no noise has to be added), then to float32.
    The error is far below half a step: `check` sees to that.

    Keys and ciphertexts come from the operating system's randomness (SEAL takes no other), yet the
    sum is the same in every run. Bytes are those of the serialised ciphertexts; handing out the
    keys is not counted. Cheon et al. 2017 (eprint 2016/421).

    Args:
        bits: Bits of the scale.
        step: Bits behind the point of the grid, None: the finest that is safe.
    """

    bits: int = 46
    step: int | None = None

    name: ClassVar[str] = "encrypted_sum"

    def require(self) -> None:
        tenseal()

    def check(self, clients: int, aggregate: Aggregate) -> None:
        self.require()
        if clients < FEWEST:
            raise PrivauditError(
                f"encrypted_sum with {clients} client{'' if clients == 1 else 's'}",
                "the sum of one update is that update, and it is published"
                if clients < 2
                else "each hospital can compute the other's update, the sum minus its own",
                f"use at least {FEWEST} clients",
            )
        if not aggregate.linear:
            raise PrivauditError(
                f"encrypted_sum with {aggregate!r}",
                "this aggregator compares single updates, which the server cannot do on "
                "ciphertexts",
                "use the mean with encrypted_sum, or this aggregator without",
            )
        if not 30 <= self.bits <= 46:
            raise PrivauditError(f"bits={self.bits!r}", "it lies between 30 and 46", "use 46")
        finest = self.finest(clients)
        if finest < 1 or not 1 <= (finest if self.step is None else self.step) <= finest:
            raise PrivauditError(
                f"step={self.step!r} with bits={self.bits!r} and {clients} clients",
                f"half a step of the grid must hold the ciphertexts' error {MARGIN} times, "
                "so that rounding removes it",
                f"use a step between 1 and {finest}" if finest >= 1 else "raise bits",
            )

    def finest(self, clients: int) -> int:
        """Bits behind the point of the finest grid on which rounding removes the error."""
        error = NOISE * np.sqrt(clients) * 2.0 ** (44 - self.bits)
        return int(np.floor(-np.log2(2 * MARGIN * error)))

    def start(self) -> Protection:
        return _Federation(self)

    def total(
        self, vectors: np.ndarray, rng: np.random.Generator, dropped: Sequence[int] = ()
    ) -> Summed:
        """One round under keys of its own; a federation calls `start` once instead."""
        return self.start().total(vectors, rng, dropped)

    @property
    def trust(self) -> tuple[tuple[str, str, str], ...]:
        return (
            ("server", "one {site}'s update", "no, a ciphertext; the published sum"),
            (
                "another {site}",
                "one {site}'s update",
                "yes, if it sees the ciphertext: one key",
            ),
            (
                "all the other {sites} together",
                "one {site}'s update",
                "yes, the published sum minus their own",
            ),
            ("whoever made the keys", "one {site}'s update", "yes, if it sees the ciphertext"),
            ("server with one {site}", "one {site}'s update", "yes, every one, in every round"),
            ("whoever holds the released model", "{a_site}'s update", "no"),
        )

    @property
    def trust_apart(self) -> tuple[tuple[str, str, str], ...]:
        decrypts = (
            "server that has one {site}'s ciphertext decrypted, or two sums",
            "one {site}'s update",
            "no, {sites} see who is in a sum and sign it",
        )
        changed = (
            "server that changes a sum before it is decrypted",
            "one {site}'s update",
            "no, {sites} see that it does not add up",
        )
        two_lists = (
            "server that lies about who arrived, with a third of the {sites}",
            "one {site}'s update",
            "yes, they sign both of its lists",
        )
        invents = ("server that invents {sites}", "one {site}'s update", "no, {sites} sign")
        rows = (decrypts, changed, two_lists, invents, REPEATS)
        return (*self.trust[:-1], *rows, self.trust[-1])


class _Federation(Protection):
    """The hospitals' keys over the rounds of one federation, and what the server keeps of it."""

    name: ClassVar[str] = EncryptedSum.name

    def __init__(self, terms: EncryptedSum) -> None:
        self.terms = terms
        self.keys = KeyHolder.make(terms)
        self.clients = self.keys.context
        self.adder = Adder(terms)
        self.rounds: list[_Round] = []

    def check(self, clients: int, aggregate: Aggregate) -> None:
        self.terms.check(clients, aggregate)

    def start(self) -> Protection:
        return _Federation(self.terms)

    @property
    def trust(self) -> tuple[tuple[str, str, str], ...]:
        return self.terms.trust

    def total(
        self, vectors: np.ndarray, rng: np.random.Generator, dropped: Sequence[int] = ()
    ) -> Summed:
        start = time.process_time()
        stay = check_vectors(vectors, dropped)
        self.check(len(stay), Mean())
        count, size = vectors.shape
        grid = find_grid(self.terms, count)
        check_bound(vectors[stay], self.terms, count)
        chunks = -(-size // SLOTS)
        padded = np.zeros((count, chunks * SLOTS))
        padded[:, :size] = np.rint(vectors * grid) / grid
        sent = [self.keys.seal(padded[i].reshape(chunks, SLOTS)) for i in stay]
        back = self.adder.add(sent)
        middle = time.process_time()
        exact = self.keys.open(back)
        end = time.process_time()
        published = (np.rint(exact * grid) / grid).astype(np.float32)
        if len(self.rounds) < RECORDED_ROUNDS:
            recorded = [messages[:RECORDED_CHUNKS] for messages in sent[:RECORDED_CLIENTS]]
            self.rounds.append(
                _Round(self, recorded, back[:RECORDED_CHUNKS], exact, published, padded[stay], size)
            )
        seen = np.zeros(vectors.shape, np.float32)
        for i, messages in zip(stay, sent, strict=True):
            seen[i] = read(messages, size)
        return Summed(
            total=published.astype(np.float64).ravel()[:size],
            seen=seen,
            bytes_up=sum(len(m) for messages in sent for m in messages) + 4 * size,
            bytes_down=len(stay) * sum(len(message) for message in back),
            seconds=middle - start + len(stay) * (end - middle),
            transcript=(
                *(message for messages in sent for message in messages),
                published.ravel()[:size].tobytes(),
            ),
        )

    @cached_property
    def reader(self) -> _Reader:
        return _Reader(self.clients)

    @property
    def cipher(self) -> CipherTranscript | None:
        """The first chunks of the first rounds; rows of clients are those that stayed in a
        round."""
        if not self.rounds:
            return None
        rows = min(len(part.single) for part in self.rounds)
        ring = self.reader.ring
        sums = np.concatenate([part.sums for part in self.rounds])
        single = np.concatenate([part.single[:rows] for part in self.rounds], axis=1)
        return CipherTranscript(
            sums=self.reader.coefficients(sums),
            published=np.concatenate([part.published for part in self.rounds]),
            exact=np.concatenate([part.exact for part in self.rounds]),
            single=self.reader.coefficients(single),
            update=np.concatenate([part.update[:rows] for part in self.rounds], axis=1),
            secret=self.reader.secret(),
            modulus=ring.modulus,
            scale=2.0**self.terms.bits,
        )


class _Round:
    """One round's part of the transcript, ciphertexts as SEAL stores them."""

    def __init__(
        self,
        own: _Federation,
        sent: Sequence[Sequence[bytes]],
        back: Sequence[bytes],
        exact: np.ndarray,
        published: np.ndarray,
        padded: np.ndarray,
        size: int,
    ) -> None:
        self.sums = own.reader.polynomials(back)
        self.single = np.array([own.reader.polynomials(messages) for messages in sent])
        chunks = len(back)
        self.exact = exact[:chunks]
        self.published = published[:chunks].astype(np.float64)
        hidden = np.where(np.arange(padded.shape[1]) < size, padded[: len(sent)], np.nan)
        self.update = hidden.reshape(len(sent), -1, DEGREE // 2)[:, :chunks]


class _Reader:
    """Reads the numbers of SEAL's ciphertexts, which TenSEAL's own interface does not show."""

    def __init__(self, context: Any) -> None:
        from tenseal import sealapi

        self.api, self.context = sealapi, context
        parameters = sealapi.EncryptionParameters(sealapi.SCHEME_TYPE.CKKS)
        parameters.set_poly_modulus_degree(DEGREE)
        moduli = sealapi.CoeffModulus.Create(DEGREE, list(MODULI))
        parameters.set_coeff_modulus(moduli)
        self.seal = sealapi.SEALContext(parameters, True, sealapi.SEC_LEVEL_TYPE.TC128)
        self.ring = Ring(moduli[0].value(), DEGREE)

    def polynomials(self, messages: Sequence[bytes]) -> np.ndarray:
        """(m, 2, N) uint64: values of each serialised ciphertext, in SEAL's order of points."""
        from tenseal import ckks_vector_from

        found = np.empty((len(messages), 2, DEGREE), np.uint64)
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "ciphertext")
            for i, message in enumerate(messages):
                (cipher,) = ckks_vector_from(self.context, message).ciphertext()
                cipher.save(path)
                plain = self.api.Ciphertext()
                plain.load(self.seal, path)
                numbers = plain.dyn_array()
                found[i].flat = [numbers.at(j) for j in range(2 * DEGREE)]
        return found

    def coefficients(self, values: np.ndarray) -> np.ndarray:
        ordered = np.empty_like(values)
        ordered[..., self.ring.reversal] = values
        return self.ring.coefficients(ordered)

    def secret(self) -> np.ndarray:
        key = self.context.secret_key().data.data()
        values = np.array([key.data(j) for j in range(DEGREE)], np.uint64)
        return self.ring.centre(self.coefficients(values)).astype(np.int8)


def read(messages: Sequence[bytes], size: int) -> np.ndarray:
    """(size,) float32 in [-1, 1): a ciphertext's bytes as the numbers that the server could take
    them for."""
    raw = np.frombuffer(b"".join(messages), np.uint8)
    words = raw[len(raw) - 4 * (len(raw) // 4) :].view("<i4")
    return (words[-size:] / 2.0**31).astype(np.float32)


__all__ = [
    "CODES",
    "Adder",
    "EncryptedSum",
    "KeyHolder",
    "Roll",
    "can_add",
    "check_agreed",
    "count_quorum",
    "find_bound",
    "find_grid",
    "read",
]
