"""Both sides of an encrypted sum: hospitals that hold one key, and a server that adds.

Between machines the server may be hostile: it could ask the hospitals to decrypt one hospital's
ciphertext instead of the sum, or two sums that differ in one, or a sum in which it has multiplied
one hospital's part. So hospitals write more into every ciphertext than their update:

- **a roll-call**: one slot for each hospital of the round, which holds a secret code of that
  hospital, that round and that chunk. A sum is decrypted only if each hospital that is said to have
  arrived has its code in it, once, and nobody else has;
- **checks**: `CHECKS` slots with the update's whole numbers added up under secret signs. The
  decrypted sum must add up to the same, so that no change of it (a factor, an offset by half a step
  that would read the error out of the rounding) goes unseen but with a chance of 2^-CHECKS.

Codes and signs come from a key that the hospitals share and the server never has. Before a sum is
decrypted, hospitals sign who arrived, each one list a round (`check_agreed`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Protocol

import numpy as np

from pipelines.federated.roll import (
    DEGREE,
    SLOTS,
    Codes,
    Roll,
    check_arrived,
    refuse_sum,
)
from privaudit.errors import PrivauditError

MODULI = (54, 54)
"""Bits of the modulus and of the special prime: 108 of the 109 that 128-bit security allows."""
KEY = 32
"""Bytes of the key of codes and signs."""


class Arithmetic(Protocol):
    """Of `EncryptedSum`: bits of the scale, and behind the point of the grid (None: the finest)."""

    @property
    def bits(self) -> int: ...

    @property
    def step(self) -> int | None: ...

    def finest(self, clients: int) -> int:
        """Bits behind the point of the finest grid that is safe."""
        ...


def tenseal() -> Any:
    """The package; PrivauditError where it is not installed."""
    try:
        import tenseal
    except ImportError as error:
        raise PrivauditError(
            "encrypted_sum without the package tenseal",
            "it does the encryption (CKKS of Microsoft SEAL)",
            "pip install 'privaudit[he]'",
        ) from error
    return tenseal


def find_grid(terms: Arithmetic, clients: int) -> float:
    """Grid steps in 1."""
    return float(2.0 ** (terms.step or terms.finest(clients)))


def find_bound(terms: Arithmetic, clients: int) -> float:
    """The largest value of one client at which no sum of all can wrap around."""
    return float(2.0 ** (MODULI[0] - 2 - terms.bits) / clients)


def check_bound(vectors: np.ndarray, terms: Arithmetic, clients: int) -> None:
    """PrivauditError for a value that a sum of all might not hold."""
    largest, bound = float(np.abs(vectors).max(initial=0.0)), find_bound(terms, clients)
    if not largest <= bound:
        raise PrivauditError(
            f"a value of size {largest:.3g} in an update",
            f"sums of {clients} clients hold up to {bound:.3g} each at a scale of 2^{terms.bits}",
            "clip the updates, or lower bits",
        )


class KeyHolder:
    """A hospital that holds the key that all of them share.

    Args:
        context: TenSEAL's, with the secret key.
        codes: (32,) the key of codes and signs.
    """

    def __init__(self, terms: Arithmetic, context: Any, codes: bytes) -> None:
        self.terms, self.context, self._codes = terms, context, codes

    @classmethod
    def make(cls, terms: Arithmetic, entropy: Callable[[int], bytes] = os.urandom) -> KeyHolder:
        """A new key. SEAL takes its own from the operating system."""
        return cls(terms, _make_context(terms.bits), entropy(KEY))

    def sealed_bytes(self) -> bytes:
        """All of it, to be sealed for one other hospital."""
        return self._codes + bytes(
            self.context.serialize(
                save_public_key=False,
                save_secret_key=True,
                save_galois_keys=False,
                save_relin_keys=False,
            )
        )

    @classmethod
    def load(cls, terms: Arithmetic, raw: bytes) -> KeyHolder:
        """What `sealed_bytes` gave; PrivauditError where it is something else."""
        seal = tenseal()
        try:
            context = seal.context_from(raw[KEY:], n_threads=1)
            fits = context.has_secret_key() and context.global_scale == 2.0**terms.bits
            made = cls(terms, context, raw[:KEY])
            (cipher,) = made._seal(np.zeros(SLOTS)).ciphertext()
            fits = fits and cipher.poly_modulus_degree() == DEGREE
            fits = fits and made.public == find_public(terms.bits)
        except PrivauditError:
            raise
        except Exception:
            fits = False
        if not fits:
            refuse_sum(
                "a secret that is no key of an encrypted sum", "others could read what it hides"
            )
        return made

    @property
    def public(self) -> bytes:
        """The arithmetic without a key: what the server adds by."""
        return _write_public(self.context)

    def _seal(self, slots: np.ndarray) -> Any:
        return tenseal().ckks_vector(self.context, slots.tolist())

    def seal(self, chunks: np.ndarray) -> list[bytes]:
        """A ciphertext for each row of (chunks, SLOTS) values on the grid."""
        return [bytes(self._seal(row).serialize()) for row in chunks]

    def open(self, messages: Sequence[bytes]) -> np.ndarray:
        """(m, SLOTS) float64, error included; PrivauditError for what is no ciphertext."""
        found = np.empty((len(messages), SLOTS))
        for row, message in zip(found, messages, strict=True):
            vector = read_vector(self.context, message, self.terms)
            row[:] = vector.decrypt()
        return found

    def encrypt(self, vector: np.ndarray, number: int, roll: Roll) -> list[bytes]:
        """The ciphertexts of one hospital's vector, already multiplied by its share.

        Raises:
            PrivauditError: A value that is not finite or does not fit.
        """
        if vector.shape != (roll.size,) or not 0 <= number < len(roll.members):
            refuse_sum("a vector of another size than the network's", "sums are of one size")
        if not np.isfinite(vector).all():
            refuse_sum(
                "an update that holds NaN or infinity", "a sum that takes it is worth nothing"
            )
        count = len(roll.members)
        check_bound(vector, self.terms, count)
        grid = find_grid(self.terms, count)
        whole = np.zeros((roll.chunks, SLOTS), np.int64)
        payload = np.zeros(roll.chunks * roll.room, np.int64)
        payload[: roll.size] = np.rint(vector * grid).astype(np.int64)
        whole[:, : roll.room] = payload.reshape(roll.chunks, roll.room)
        own = Codes(self._codes, roll)
        whole[:, roll.room + number] = own.codes[:, number]
        for chunk, row in enumerate(whole):
            row[roll.room + count :] = own.signs(chunk) @ row[: roll.room]
        check_bound(whole / grid, self.terms, count)
        return self.seal(whole / grid)

    def decrypt(self, sums: Sequence[bytes], arrived: Sequence[int], roll: Roll) -> np.ndarray:
        """(size,) float32: the sum, if it is that of just those that arrived.

        Raises:
            PrivauditError: It is the sum of others, or of fewer, or was changed.
        """
        check_arrived(arrived, roll)
        if len(sums) != roll.chunks:
            refuse_sum(f"a sum in {len(sums)} parts", f"the network takes {roll.chunks}")
        count, room = len(roll.members), roll.room
        grid = find_grid(self.terms, count)
        exact = self.open(sums)
        whole = np.rint(np.clip(exact * grid, -(2.0**52), 2.0**52)).astype(np.int64)
        own = Codes(self._codes, roll)
        expected = np.zeros((roll.chunks, count), np.int64)
        expected[:, list(arrived)] = own.codes[:, list(arrived)]
        good = np.array_equal(whole[:, room : room + count], expected)
        for chunk, row in enumerate(whole):
            # Wraps around alike on both sides where values are absurd.
            good &= np.array_equal(own.signs(chunk) @ row[:room], row[room + count :])
        if not good:
            refuse_sum(
                "a sum that is not that of the hospitals that arrived",
                "it holds another hospital's update, or one alone, or was changed on the way",
                "tell the other hospitals: the coordinator asked for what it may not have",
            )
        return (whole[:, :room].ravel()[: roll.size] / grid).astype(np.float32)


@lru_cache(maxsize=4)
def find_public(bits: int) -> bytes:
    """The arithmetic of this scale as TenSEAL writes it, which is the same for every key."""
    return _write_public(_make_context(bits))


def _make_context(bits: int) -> Any:
    seal = tenseal()
    # All hold the secret key, and encryption with it costs half of what a public one does.
    context = seal.context(
        seal.SCHEME_TYPE.CKKS,
        DEGREE,
        coeff_mod_bit_sizes=list(MODULI),
        encryption_type=seal.ENCRYPTION_TYPE.SYMMETRIC,
        n_threads=1,
    )
    context.global_scale = 2.0**bits
    return context


def _write_public(context: Any) -> bytes:
    return bytes(
        context.serialize(
            save_public_key=False,
            save_secret_key=False,
            save_galois_keys=False,
            save_relin_keys=False,
        )
    )


class Adder:
    """The server: adds ciphertexts by the arithmetic alone, without any key."""

    def __init__(self, terms: Arithmetic, public: bytes | None = None) -> None:
        self.terms = terms
        self.context = tenseal().context_from(
            find_public(terms.bits) if public is None else public, n_threads=1
        )

    def add(self, sent: Sequence[Sequence[bytes]]) -> list[bytes]:
        """The sums of what clients sent, chunk by chunk; PrivauditError for what is no
        ciphertext."""
        sums = [read_vector(self.context, message, self.terms) for message in sent[0]]
        for messages in sent[1:]:
            for total, message in zip(sums, messages, strict=True):
                total.add_(read_vector(self.context, message, self.terms))
        return [bytes(vector.serialize()) for vector in sums]


def can_add(adder: Adder, messages: Sequence[bytes], roll: Roll) -> bool:
    """Whether these are one hospital's ciphertexts of this sum."""
    if len(messages) != roll.chunks:
        return False
    try:
        for message in messages:
            read_vector(adder.context, message, adder.terms)
    except PrivauditError:
        return False
    return True


def read_vector(context: Any, message: bytes, terms: Arithmetic) -> Any:
    """One ciphertext of this arithmetic, whoever sent it.

    Raises:
        PrivauditError: It is none: of another scale, say, which would shift what is decrypted.
    """
    try:
        vector = tenseal().ckks_vector_from(context, message)
        (cipher,) = vector.ciphertext()
        fits = (
            vector.size() == SLOTS
            and cipher.size() == 2
            and cipher.scale == 2.0**terms.bits
            and cipher.poly_modulus_degree() == DEGREE
            and not cipher.is_transparent()
        )
    except Exception:
        # SEAL's own words may quote what it read.
        fits = False
    if not fits:
        refuse_sum("bytes that are no ciphertext of this sum", "they were cut off or changed")
    return vector


__all__ = [
    *("MODULI", "Adder", "Arithmetic", "KeyHolder", "can_add", "check_bound", "find_bound"),
    *("find_grid", "find_public", "read_vector", "tenseal"),
]
