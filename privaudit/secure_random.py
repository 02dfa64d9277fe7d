"""Random numbers that nobody can predict, and exact Gaussian noise on a grid.

numpy's generators are quick and predictable: whoever sees enough of their output knows the rest.
What protects a released model is drawn here instead, from SHAKE-256 (FIPS 202) under a key. The
same key gives the same numbers, so a run can be repeated by whoever holds its secret, and by nobody
else.
"""

from __future__ import annotations

import hashlib
import hmac
import math
from collections.abc import Sequence
from decimal import Decimal, localcontext
from functools import cache
from typing import Any

import numpy as np

BLOCK = 1 << 16
"""Bytes of the key stream made at once."""
GUARD = 256
"""Bits to which a decision is carried where the first 64 do not settle it."""
TAIL = 26
"""Standard deviations up to which the table of the sampler reaches: e^-338 lies beyond."""


def derive_key(key: bytes, *names: str | int) -> bytes:
    """(32 bytes) a key of its own for this name: HMAC-SHA256 of the name under `key`."""
    return hmac.digest(key, repr(names).encode(), "sha256")


class KeyStream:
    """An endless stream of bits: SHAKE-256 of the key and a counter, block by block."""

    def __init__(self, key: bytes) -> None:
        self._key, self._block, self._at, self._held = key, 0, 0, b""

    def take(self, count: int) -> bytes:
        """The next bytes of the stream."""
        parts = []
        while count > 0:
            if self._at == len(self._held):
                seed = self._key + self._block.to_bytes(8, "little")
                self._held, self._at = hashlib.shake_256(seed).digest(BLOCK), 0
                self._block += 1
            part = self._held[self._at : self._at + count]
            self._at += len(part)
            count -= len(part)
            parts.append(part)
        return b"".join(parts)

    def words(self, count: int) -> np.ndarray:
        """(count,) uint64."""
        return np.frombuffer(self.take(8 * count), dtype="<u8")

    def whole(self, bits: int) -> int:
        """A whole number below 2^bits; bits is a multiple of 8."""
        return int.from_bytes(self.take(bits // 8), "big")

    def below(self, high: int, count: int) -> np.ndarray:
        """(count,) int64, each whole number from 0 to high - 1 equally likely; high at most
        2^63."""
        spare = np.uint64(64 - max((high - 1).bit_length(), 1))
        found = np.empty(0, dtype=np.int64)
        while len(found) < count:
            drawn = (self.words(count - len(found)) >> spare).astype(np.int64)
            found = np.concatenate([found, drawn[drawn < high]])
        return found


class SecretGenerator(np.random.Generator):
    """A numpy generator whose coins, permutations and whole numbers come from a key stream.

    It stands wherever a generator is asked for. `random`, `integers`, `permutation`, `bytes` and
    `spawn` are cryptographic; every other method is numpy's own, from a state derived from the key,
    and is not: noise that protects a release is added by `privaudit.dp.noise`, never drawn here.

    Args:
        key: 32 bytes that nobody else knows.
        is_secret: Whether the key can be as good as that: a key made from a seed that was typed in,
            or that a report prints, is not, whatever cipher it drives.
    """

    def __init__(self, key: bytes, is_secret: bool = True) -> None:
        other = np.frombuffer(derive_key(key, "numpy"), dtype=np.uint32)
        super().__init__(np.random.PCG64(np.random.SeedSequence(other.tolist())))
        self._key, self.is_secret = key, is_secret
        self.stream = KeyStream(derive_key(key, "stream"))
        self._spawned = 0

    def child(self, *names: str | int) -> SecretGenerator:
        """A generator of its own for this name, whatever was drawn here before."""
        return SecretGenerator(derive_key(self._key, "child", *names), self.is_secret)

    def spawn(self, n_children: int) -> list[np.random.Generator]:
        """As numpy's: generators of their own, new ones at every call."""
        first = self._spawned
        self._spawned += n_children
        return [self.child("spawn", first + i) for i in range(n_children)]

    def spawn_stream(self) -> KeyStream:
        """A key stream of its own, a new one at every call."""
        self._spawned += 1
        return KeyStream(derive_key(self._key, "spawn", self._spawned - 1, "stream"))

    def bytes(self, length: int) -> bytes:
        return self.stream.take(length)

    def random(self, size: Any = None, dtype: Any = np.float64, out: Any = None) -> Any:
        """As numpy's: multiples of 2^-53 in [0, 1)."""
        shape = _shape(size if out is None else out.shape)
        found = (self.stream.words(math.prod(shape)) >> np.uint64(11)) * 2.0**-53
        if out is not None:
            out[...] = found.reshape(shape)
            return out
        return float(found[0]) if size is None else found.reshape(shape).astype(dtype)

    def integers(
        self,
        low: Any,
        high: Any = None,
        size: Any = None,
        dtype: Any = np.int64,
        endpoint: Any = False,
    ) -> Any:
        """As numpy's; from the stream for one pair of limits, not for arrays of them."""
        if np.ndim(low) or np.ndim(0 if high is None else high):
            return super().integers(low, high, size=size, dtype=dtype, endpoint=endpoint)
        first, last = (0, low) if high is None else (low, high)
        width = int(last) - int(first) + bool(endpoint)
        if width < 1:
            raise ValueError("low >= high")
        shape = _shape(size)
        found = self.stream.below(width, math.prod(shape)) + int(first)
        return int(found[0]) if size is None else found.reshape(shape).astype(dtype)

    def permutation(self, x: Any, axis: int = 0) -> Any:
        """As numpy's: order by 64-bit numbers, drawn again where two are alike."""
        values = np.arange(x) if isinstance(x, int | np.integer) else np.asarray(x)
        keys = self.stream.words(values.shape[axis])
        while len(np.unique(keys)) < len(keys):
            keys = self.stream.words(len(keys))
        return np.take(values, np.argsort(keys), axis=axis)

    def __reduce__(self) -> Any:
        raise TypeError("a secret generator is not written down")


class SecretState(np.random.RandomState):
    """numpy's older interface over a key stream, for libraries that take nothing else.

    `random`, `random_sample`, `randint`, `uniform`, `standard_normal` and `gamma` are drawn from
    the stream, to 53 bits, the last two by inverting the distribution. Everything else is refused.
    """

    _OURS = frozenset({"random", "random_sample", "randint", "uniform", "standard_normal", "gamma"})

    def __init__(self, stream: KeyStream) -> None:
        super().__init__(0)
        self._stream = stream

    def __getattribute__(self, name: str) -> Any:
        ours = name.startswith("_") or name in SecretState._OURS
        if not ours and callable(getattr(np.random.RandomState, name, None)):
            raise AttributeError(f"{name} is not drawn from a key stream")
        return super().__getattribute__(name)

    def _open(self, size: Any) -> np.ndarray:
        """Uniform, strictly between 0 and 1."""
        words = self._stream.words(math.prod(_shape(size))) >> np.uint64(12)
        return np.asarray((words + np.float64(0.5)) * 2.0**-52).reshape(_shape(size))

    def random_sample(self, size: Any = None) -> Any:
        words = self._stream.words(math.prod(_shape(size))) >> np.uint64(11)
        found = (words * 2.0**-53).reshape(_shape(size))
        return float(found) if size is None else found

    def random(self, size: Any = None) -> Any:
        return self.random_sample(size)

    def randint(self, low: Any, high: Any = None, size: Any = None, dtype: Any = int) -> Any:
        first, last = (0, low) if high is None else (low, high)
        found = self._stream.below(int(last) - int(first), math.prod(_shape(size))) + int(first)
        return int(found[0]) if size is None else found.reshape(_shape(size)).astype(dtype)

    def uniform(self, low: Any = 0.0, high: Any = 1.0, size: Any = None) -> Any:
        return low + (high - low) * self.random_sample(size)

    def standard_normal(self, size: Any = None) -> Any:
        from scipy.special import ndtri

        found = ndtri(self._open(size))
        return float(found) if size is None else found

    def gamma(self, shape: Any, scale: Any = 1.0, size: Any = None) -> Any:
        from scipy.special import gammaincinv

        found = gammaincinv(shape, self._open(size)) * scale
        return float(found) if size is None else found


def _shape(size: Any) -> tuple[int, ...]:
    if size is None:
        return ()
    return tuple(int(part) for part in size) if isinstance(size, Sequence) else (int(size),)


def is_secret(rng: np.random.Generator) -> bool:
    """Whether nobody without the run's key can know what this generator draws."""
    return isinstance(rng, SecretGenerator) and rng.is_secret


def discrete_gaussian(stream: KeyStream, scale: int, count: int) -> np.ndarray:
    """(count,) int64 whole numbers z, each with chance in proportion to exp(-z^2 / (2 scale^2)).

    Exact: every decision is an exact comparison of uniform bits with a real number, carried to 256
    bits where the first 64 leave it open (once in 10^12 draws), and no rounded number decides. So
    every whole number can come, with its own chance, and what can come does not depend on what the
    noise is added to.

    Args:
        scale: A whole number from 2 to 2^32.

    Source: Karney 2016 (arXiv 1303.6257), algorithm D, for a whole scale and centre 0; the
    distribution: Canonne, Kamath and Steinke 2020 (arXiv 2004.00010).
    """
    if not 2 <= scale <= 1 << 32:
        raise ValueError("a scale from 2 to 2^32")
    found, have = np.empty(count, dtype=np.int64), 0
    while have < count:
        part = _accepted(stream, scale, count - have)
        found[have : have + len(part)] = part
        have += len(part)
    return found


def _accepted(stream: KeyStream, scale: int, most: int) -> np.ndarray:
    """At most `most` draws. k whole scales and j of the next; exp(-(k + j/s)^2 / 2) is what is
    wanted, of which exp(-k^2 / 2) is in k's chance and the rest in the acceptance."""
    tries = min(max(2 * most, 64), 1 << 18)
    words = stream.words(3 * tries).reshape(3, tries)
    spare = np.uint64(64 - (scale - 1).bit_length())
    j = (words[1] >> spare).astype(np.int64)
    inside = np.flatnonzero(j < scale)
    j = j[inside]
    k = _whole_scales(stream, words[0][inside])
    negative = words[2][inside] & np.uint64(1) > 0
    part = j / scale
    power = np.exp(-part * (2 * k + part) / 2)
    # 63 bits: the last one was the sign.
    coin = (words[2][inside] >> np.uint64(1)) * 2.0**-63
    keep = coin < power
    for i in np.flatnonzero(np.abs(coin - power) <= 2.0**-40 * power + 2.0**-58):
        bits = (int(words[2][inside[i]]) >> 1) << (GUARD - 63 - 1)
        keep[i] = bits + (stream.whole(GUARD - 64)) < _power(int(k[i]), int(j[i]), scale)
    keep &= ~(negative & (k == 0) & (j == 0))  # or 0 would come twice as often
    z = k * scale + j
    return np.asarray(np.where(negative, -z, z)[keep][:most])


def _power(k: int, j: int, scale: int) -> int:
    """exp(-j (2 k s + j) / (2 s^2)) in units of 2^-(GUARD - 1), rounded down."""
    with localcontext() as context:
        context.prec = 120
        exact = -Decimal(j * (2 * k * scale + j)) / Decimal(2 * scale * scale)
        return int(exact.exp() * (1 << (GUARD - 1)))


@cache
def _thresholds() -> tuple[int, ...]:
    """The chances of at most 0, 1, ... whole scales, in units of 2^-GUARD."""
    with localcontext() as context:
        context.prec = 120
        weights = [(-Decimal(k * k) / 2).exp() for k in range(TAIL)]
        total, running, found = sum(weights), Decimal(0), []
        for weight in weights:
            running += weight
            found.append(min(int(running / total * (1 << GUARD)), (1 << GUARD) - 1))
    return tuple(found)


@cache
def _first_words() -> np.ndarray:
    """The first 64 bits of every threshold."""
    return np.array([limit >> (GUARD - 64) for limit in _thresholds()], dtype=np.uint64)


def _whole_scales(stream: KeyStream, words: np.ndarray) -> np.ndarray:
    """(n,) int64 k, each with chance in proportion to exp(-k^2 / 2)."""
    exact, first = _thresholds(), _first_words()
    k = np.searchsorted(first, words, side="right")
    for i in np.flatnonzero((k > 0) & (first[k - 1] == words)):
        bits = (int(words[i]) << (GUARD - 64)) + stream.whole(GUARD - 64)
        k[i] = sum(bits >= limit for limit in exact[:-1])
    return np.asarray(np.minimum(k, len(exact) - 1))


__all__ = [
    "KeyStream",
    "SecretGenerator",
    "SecretState",
    "derive_key",
    "discrete_gaussian",
    "is_secret",
]
