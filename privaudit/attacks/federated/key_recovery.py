"""Key recovery: encrypted updates read with the key that leaks, and with the key that is shared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from privaudit.attacks._options import check
from privaudit.contracts import Access, Attack, CipherTranscript, Fitted, Target, Trials
from privaudit.facts import Setting
from privaudit.ring import Ring

RANDOM = "decryption with a random key"
IN_FLOAT64 = Setting("attacker", "server", details=("sums in float64",), counterfactual=True)
SHARED_KEY = Setting("attacker", "another hospital", details=("shared secret key",))


@dataclass(frozen=True)
class KeyRecovery(Attack):
    """Tries to decrypt single hospitals' updates in a federation under CKKS encryption.

    CKKS decrypts with a small error that depends on the secret key. Whoever sees two sums as
    ciphertexts and what they decrypt to, to the last bit, solves two linear equations for the key.
    One attempt a hospital: the share of the parameters it changed whose change is read within
    `tolerance` of the update's root mean square, on the first ciphertexts of two rounds. Three
    series:

    The server, with the decrypted sums as they came back to it in this very federation. The server
    with sums in float64: what it would read had the hospitals sent back all that they decrypted, as
    plain CKKS code does; this did not happen (counterfactual), and its control is the first series;
    absent where there are fewer than two sums. Another hospital (or whoever made the keys) that
    gets hold of the ciphertexts, with the one secret key that all hospitals share.

    The guess takes an equal part of the published sum. Ciphertexts are those that were sent;
    nothing is simulated. Li and Micciancio 2021 (eprint 2020/1533), section 3, here from the real
    parts alone, hence two sums.
    """

    tolerance: float = 0.01

    needs: ClassVar[frozenset[Access]] = frozenset({Access.CIPHER})
    family: ClassVar[Literal["reconstruction"]] = "reconstruction"

    def run(
        self, target: Target, refits: Sequence[Fitted], rng: np.random.Generator
    ) -> dict[Setting, Trials]:
        because = "it is a share of an update's root mean square, above 0 and at most 1"
        check(self, "tolerance", 0.0 < self.tolerance <= 1.0, because)
        cipher = target.release.cipher
        if cipher is None:
            raise ValueError("this release shows no ciphertexts")
        ring = Ring(cipher.modulus, cipher.sums.shape[-1])
        single = ring.points(cipher.single)

        def share(numbers: np.ndarray) -> np.ndarray:
            """(clients,) share of the parameters that a client changed, read within tolerance."""
            update = np.nan_to_num(cipher.update)
            real = update != 0
            count = np.maximum(real.sum(axis=(1, 2)), 1)
            size = np.sqrt((update**2).sum(axis=(1, 2)) / count)[:, None, None]
            right = np.abs(numbers - update) <= self.tolerance * size
            result: np.ndarray = (right & real).sum(axis=(1, 2)) / count
            return result

        def read(key: np.ndarray) -> np.ndarray:
            """What decryption with this key (values at the ring's points) reads of the updates."""
            plain = ring.add(single[..., 0, :], ring.mul(single[..., 1, :], key))
            return share(ring.unpack(ring.centre(ring.coefficients(plain))) / cipher.scale)

        def points(key: np.ndarray) -> np.ndarray:
            return ring.points(ring.residues(key.astype(np.int64)))

        control = read(points(rng.integers(-1, 2, ring.degree)))
        clients = len(cipher.update)
        guess = share(np.broadcast_to(cipher.published / clients, cipher.update.shape))
        enough = len(cipher.sums) >= 2
        got = read(solve(ring, cipher, cipher.published)) if enough else np.zeros(clients)
        found = {Setting("attacker", "server"): Trials(got, control, guess, RANDOM)}
        if enough:
            exact = read(solve(ring, cipher, cipher.exact))
            label = "the sums as they were published"
            found[IN_FLOAT64] = Trials(exact, got, guess, label)
        shared = read(points(cipher.secret))
        return {**found, SHARED_KEY: Trials(shared, control, guess, RANDOM)}


def solve(ring: Ring, cipher: CipherTranscript, sums: np.ndarray) -> np.ndarray:
    """(N,) values of the key at the ring's points, from two ciphertexts and (m, N / 2) their sums.

    With m = c0 + c1 s, the real parts of m's numbers give m(X) + m(1/X) to the last bit, so that at
    every point w: c1(w) s(w) + c1(1/w) s(1/w) = (m(w) + m(1/w)) - (c0(w) + c0(1/w)). Two sums make
    two equations for s(w) and s(1/w). Sums that were changed do not give the key.
    """
    first = cipher.sums[:2]
    twice = np.rint(2 * cipher.scale * ring.pack(sums[:2]))
    mirrored = ring.points(ring.residues(twice.astype(np.int64)))
    c0, c1 = (ring.points(first[:, i]) for i in range(2))
    right = ring.sub(mirrored, ring.add(c0, c0[:, ::-1]))
    (a, c), (b, d) = c1, c1[:, ::-1]
    below = ring.sub(ring.mul(a, d), ring.mul(b, c))
    above = ring.sub(ring.mul(right[0], d), ring.mul(b, right[1]))
    return ring.mul(above, ring.invert(below))


__all__ = ["KeyRecovery"]
