"""Key agreement, mask streams and secret sharing of the secure sum."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

PRIME = 2**256 + 297
"""The field of Shamir's scheme; every 32-byte key is an element of it."""


def split_secret(
    secret: bytes, shares: int, threshold: int, entropy: Callable[[int], bytes]
) -> list[int]:
    """Values at 1..shares of a random polynomial whose value at 0 is the secret (Shamir 1979)."""
    draws = [int.from_bytes(entropy(40), "big") % PRIME for _ in range(threshold - 1)]
    coefficients = [int.from_bytes(secret, "big"), *draws]
    values = []
    for x in range(1, shares + 1):
        value = 0
        for coefficient in reversed(coefficients):
            value = (value * x + coefficient) % PRIME
        values.append(value)
    return values


def join_secret(shares: Mapping[int, int]) -> bytes:
    """The secret behind shares {x: value}; b"" where they are not shares of one 32-byte secret."""
    secret = 0
    for x, value in shares.items():
        above, below = 1, 1
        for other in shares:
            if other != x:
                above, below = above * other % PRIME, below * (other - x) % PRIME
        secret = (secret + value * above * pow(below, -1, PRIME)) % PRIME
    return secret.to_bytes(32, "big") if secret < 2**256 else b""


def keystream(key: bytes, count: int, dtype: np.dtype) -> np.ndarray:
    """(count,) words of ChaCha20 under a key that is used once."""
    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20

    stream = Cipher(ChaCha20(key, bytes(16)), mode=None).encryptor()
    return np.frombuffer(stream.update(bytes(count * dtype.itemsize)), dtype=dtype)


def agree(own: Any, other: bytes, purpose: bytes) -> bytes:
    """The 32-byte key that two clients share for one purpose: X25519, then HKDF-SHA256."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    shared = own.exchange(X25519PublicKey.from_public_bytes(other))
    return HKDF(SHA256(), 32, salt=None, info=b"privaudit secure sum " + purpose).derive(shared)
