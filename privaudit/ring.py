"""Arithmetic in Z_q[X] / (X^N + 1), and how CKKS packs numbers into it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Ring:
    """Polynomials of degree below N modulo a prime q, as (..., N) uint64 coefficients.

    `points` evaluates at the odd powers psi, psi^3, ..., psi^(2N-1) of a root of X^N + 1, where
    ring products are products of values; there X -> 1/X reverses the order. psi is the least
    primitive root, as in Microsoft SEAL. q < 2^60. Longa and Naehrig 2016 (eprint 2016/504),
    section 2; slots as in Cheon et al. 2017 (eprint 2016/421), section 3.2, at powers of 3.
    """

    modulus: int
    degree: int

    def mul(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Products modulo q. The quotient in float64 is a few too large or small, never more."""
        q = np.uint64(self.modulus)
        guess = (a.astype(np.float64) * b.astype(np.float64) / float(self.modulus)).astype(
            np.uint64
        )
        with np.errstate(over="ignore"):
            rest = (a * b - guess * q).view(np.int64)
        result: np.ndarray = np.mod(rest, np.int64(self.modulus)).astype(np.uint64)
        return result

    def add(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        result: np.ndarray = (a + b) % np.uint64(self.modulus)
        return result

    def sub(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (a + (np.uint64(self.modulus) - b)) % np.uint64(self.modulus)

    def invert(self, a: np.ndarray) -> np.ndarray:
        """Inverses modulo q, elementwise; 0 for 0."""
        result, power, left = np.ones_like(a), a, self.modulus - 2
        while left:
            if left & 1:
                result = self.mul(result, power)
            power, left = self.mul(power, power), left >> 1
        return result

    @cached_property
    def root(self) -> int:
        """The least primitive 2N-th root of 1 modulo q."""
        q, order = self.modulus, 2 * self.degree
        if (q - 1) % order:
            raise ValueError(f"no root of X^{self.degree} + 1 modulo {q}")
        found = next(
            r
            for g in range(2, 10_000)
            if pow(r := pow(g, (q - 1) // order, q), order // 2, q) == q - 1
        )
        powers, step = [found], found * found % q
        for _ in range(self.degree - 1):
            powers.append(powers[-1] * step % q)
        return min(powers)

    def _powers(self, base: int, count: int) -> np.ndarray:
        values, value = [], 1
        for _ in range(count):
            values.append(value)
            value = value * base % self.modulus
        return np.array(values, dtype=np.uint64)

    @cached_property
    def _twist(self) -> np.ndarray:
        return self._powers(self.root, self.degree)

    @cached_property
    def _untwist(self) -> np.ndarray:
        scaled = pow(self.degree, -1, self.modulus)
        powers = self._powers(pow(self.root, -1, self.modulus), self.degree)
        return self.mul(powers, np.full(self.degree, scaled, np.uint64))

    @cached_property
    def reversal(self) -> np.ndarray:
        """(N,) indices with their bits reversed: the order of points in SEAL."""
        order = np.zeros(1, dtype=np.int64)
        while len(order) < self.degree:
            order = np.concatenate([2 * order, 2 * order + 1])
        return order

    def _cyclic(self, a: np.ndarray) -> np.ndarray:
        x = a[..., self.reversal]
        half = 1
        while half < self.degree:
            turn = self._powers(pow(self.root, self.degree // half, self.modulus), half)
            pairs = x.reshape(*x.shape[:-1], -1, 2, half)
            low, high = pairs[..., 0, :], self.mul(pairs[..., 1, :], turn)
            x = np.stack([self.add(low, high), self.sub(low, high)], axis=-2).reshape(x.shape)
            half *= 2
        return x

    def points(self, a: np.ndarray) -> np.ndarray:
        """(..., N) values at the odd powers of psi, in rising order."""
        return self._cyclic(self.mul(a, self._twist))

    def coefficients(self, values: np.ndarray) -> np.ndarray:
        """The polynomial that has these values; the inverse of `points`."""
        turned = self._cyclic(values)
        back = np.concatenate([turned[..., :1], turned[..., :0:-1]], axis=-1)
        return self.mul(back, self._untwist)

    def residues(self, integers: np.ndarray) -> np.ndarray:
        """Signed integers (int64) modulo q."""
        result: np.ndarray = np.mod(integers, np.int64(self.modulus)).astype(np.uint64)
        return result

    def centre(self, a: np.ndarray) -> np.ndarray:
        """Residues as int64 between -q / 2 and q / 2."""
        signed = a.astype(np.int64)
        return np.where(signed > self.modulus // 2, signed - self.modulus, signed)

    @cached_property
    def _slots(self) -> np.ndarray:
        powers, value = [], 1
        for _ in range(self.degree // 2):
            powers.append(value)
            value = value * 3 % (2 * self.degree)
        return (np.array(powers) - 1) // 2

    def unpack(self, integers: np.ndarray) -> np.ndarray:
        """(..., N / 2): the real parts of what polynomials (..., N) carry, times the scale."""
        angle = np.exp(1j * np.pi * np.arange(self.degree) / self.degree)
        values = np.fft.ifft(integers * angle, axis=-1) * self.degree
        return values[..., self._slots].real

    def pack(self, numbers: np.ndarray) -> np.ndarray:
        """(..., N) float: the polynomial equal to its mirror under X -> 1/X that carries these."""
        values = np.zeros((*numbers.shape[:-1], self.degree))
        values[..., self._slots] = numbers
        values[..., self.degree - 1 - self._slots] = numbers
        angle = np.exp(-1j * np.pi * np.arange(self.degree) / self.degree)
        result: np.ndarray = (np.fft.fft(values, axis=-1) * angle).real / self.degree
        return result


__all__ = ["Ring"]
