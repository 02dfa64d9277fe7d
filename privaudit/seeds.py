"""One named random stream for every step, so that adding a step moves no other number."""

from __future__ import annotations

import hashlib
import hmac
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

    from privaudit.secure_random import SecretGenerator

WEAK = 128
"""Bits up to which an entropy may be a seed that somebody chose, or one that was derived."""


@dataclass(frozen=True)
class Seeds:
    """Random streams keyed by name: `Seeds(7).rng("fit", key)` is the same stream in every run."""

    entropy: int

    def rng(self, *names: str | int) -> np.random.Generator:
        """An independent generator for this name (numpy SeedSequence over a sha256 of the name).

        Where the entropy is a secret, over an HMAC of the name under it, so that whoever works out
        one stream's state from what it drew learns nothing of the others.
        """
        if self.entropy.bit_length() > WEAK:
            return np.random.default_rng(np.random.SeedSequence(list(self._key(names))))
        return np.random.default_rng(np.random.SeedSequence([self.entropy, *_words(names)]))

    def secret_rng(self, *names: str | int) -> SecretGenerator:
        """A cryptographic generator for this name, for what protects a release.

        Its noise is a secret only where the entropy is one: a seed that somebody typed in fits
        into 128 bits, as a key of 256 bits drawn at random does not.
        """
        from privaudit.secure_random import SecretGenerator

        return SecretGenerator(self._key(("noise", *names)), self.entropy.bit_length() > WEAK)

    def _key(self, names: tuple[str | int, ...]) -> bytes:
        return hmac.digest(str(self.entropy).encode(), repr(names).encode(), "sha256")

    def child(self, *names: str | int) -> Seeds:
        """A family of streams of its own, for a part that names its own steps."""
        digest = hashlib.sha256(repr((self.entropy, names)).encode()).digest()
        return Seeds(int.from_bytes(digest[:16], "little"))


def derive_entropy(key: bytes, seed: int | None) -> int:
    """The secret that every stream of a run comes from: the seed under a key, in 256 bits.

    A seed is a small number that anybody can try; who is a member, and every noise that protects
    them, would follow from it. Same key and seed, same entropy.

    Args:
        key: The key of the folder of runs (`privaudit.commitments.load_key`).
        seed: As given; None where none was, for the one that the key stands for.
    """
    name = "drawn" if seed is None else str(seed)
    return int.from_bytes(hmac.digest(key, f"privaudit seed {name}".encode(), "sha256"), "big")


def commit_to(entropy: int) -> str:
    """What a document shows of an entropy: it tells nothing, and `verify` opens it."""
    secret = entropy.to_bytes(max(32, (entropy.bit_length() + 7) // 8), "big")
    return f"sha256:{hashlib.sha256(b'privaudit entropy' + secret).hexdigest()}"


def _words(names: tuple[str | int, ...]) -> list[int]:
    digest = hashlib.sha256(repr(names).encode()).digest()
    return [int.from_bytes(digest[i : i + 4], "little") for i in range(0, 32, 4)]


def torch_generator(rng: np.random.Generator) -> torch.Generator:
    """A torch generator driven by a numpy stream; torch's global state stays where it is."""
    import torch

    return torch.Generator().manual_seed(int(rng.integers(2**63 - 1)))


@contextmanager
def borrowed_globals(rng: np.random.Generator) -> Iterator[None]:
    """Seed the global numpy, random and (where loaded) torch state from `rng`; put them back after.

    For libraries that draw from global state and take no generator.
    """
    torch = sys.modules.get("torch")
    numpy_state, random_state = np.random.get_state(), random.getstate()  # noqa: NPY002
    torch_state = torch.get_rng_state() if torch is not None else None
    seed = int(rng.integers(2**31 - 1))
    try:
        np.random.seed(seed)  # noqa: NPY002
        random.seed(seed)
        if torch is not None:
            torch.manual_seed(seed)
        yield
    finally:
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(random_state)
        if torch is not None:
            torch.set_rng_state(torch_state)
