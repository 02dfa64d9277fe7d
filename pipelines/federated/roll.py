"""Which encrypted sum is which: who is in it, and the secret numbers by which hospitals see it.

See `pipelines.federated.ciphers`.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NoReturn

import numpy as np

from privaudit.errors import PrivauditError

DEGREE = 4096
SLOTS = DEGREE // 2
FEWEST = 3
"""In a sum of two, each hospital reads the other's update by taking its own away."""
CHECKS = 32
"""Sums under secret signs in every ciphertext."""
CODES = 1 << 26
"""How many codes there are: whole numbers of grid steps from 1 on."""


def count_quorum(members: int) -> int:
    """How many hospitals must sign one list of who arrived: no two lists can have so many, unless a
    third of the hospitals sign both."""
    return max(FEWEST, -(-2 * members // 3))


@dataclass(frozen=True)
class Roll:
    """Which sum this is, on which all who take part must agree to the letter.

    Args:
        members: The hospitals of the round; a hospital's number is its place.
        counts: The records that each of them stated: shares in the sum follow from them.
        size: Parameters of the network.
    """

    run: str
    round: int
    members: tuple[str, ...]
    counts: tuple[int, ...]
    size: int

    def __post_init__(self) -> None:
        if len(self.members) < FEWEST or len(set(self.members)) != len(self.members):
            refuse_sum(
                f"an encrypted sum of {len(set(self.members))} hospitals",
                "of two, each reads the other's update by taking its own away",
            )
        if len(self.counts) != len(self.members) or self.size < 1 or self.room < 1:
            refuse_sum(
                "a sum whose parts do not fit",
                "every hospital has a count, and codes and checks leave room for the update",
            )

    @property
    def room(self) -> int:
        """Parameters in one ciphertext; behind them stand the codes, then the checks."""
        return SLOTS - len(self.members) - CHECKS

    @property
    def chunks(self) -> int:
        return -(-self.size // self.room)

    @property
    def label(self) -> bytes:
        """(32,) stands for all of it."""
        said = (self.run, int(self.round), tuple(self.members), tuple(map(int, self.counts)))
        return hashlib.sha256(repr((*said, int(self.size))).encode()).digest()


def check_agreed(arrived: Sequence[int], roll: Roll, signers: Collection[str]) -> None:
    """PrivauditError unless enough of those that arrived have signed that just these have.

    Args:
        arrived: Numbers, ascending.
        signers: Names of the hospitals whose signatures of this list are good.
    """
    check_arrived(arrived, roll)
    here = {roll.members[i] for i in arrived}
    least = count_quorum(len(roll.members))
    if len(here & set(signers)) < least:
        refuse_sum(
            f"{len(here & set(signers))} signatures of who arrived",
            f"it takes those of {least} of them, so that no two sums of one round are decrypted",
            "ask the hospitals that arrived to agree first",
        )


def check_arrived(arrived: Sequence[int], roll: Roll) -> None:
    """PrivauditError for a list that no sum may be made of."""
    numbers = list(arrived)
    if numbers != sorted(set(numbers)) or not set(numbers) <= set(range(len(roll.members))):
        refuse_sum("a list of who arrived that names no such hospitals", "each once, in order")
    if len(numbers) < count_quorum(len(roll.members)):
        refuse_sum(
            f"a sum of {len(numbers)} of {len(roll.members)} hospitals",
            f"with fewer than {count_quorum(len(roll.members))}, two sums of one round could "
            "differ in one hospital",
            "run the round again when more can be reached",
        )


class Codes:
    """Secret numbers of one roll."""

    def __init__(self, key: bytes, roll: Roll) -> None:
        self.roll = roll
        self.key = hmac.digest(key, roll.label, "sha256")

    @cached_property
    def codes(self) -> np.ndarray:
        """(chunks, members) int64 from 1 to CODES."""
        count = self.roll.chunks * len(self.roll.members)
        words = np.frombuffer(self._stream(b"codes", 4 * count), "<u4").astype(np.int64)
        return (1 + words % CODES).reshape(self.roll.chunks, -1)

    def signs(self, chunk: int) -> np.ndarray:
        """(CHECKS, room) int64, each 1 or -1."""
        count = CHECKS * self.roll.room
        raw = self._stream(b"signs" + chunk.to_bytes(4, "big"), -(-count // 8))
        bits = np.unpackbits(np.frombuffer(raw, np.uint8), count=count)
        return 2 * bits.astype(np.int64).reshape(CHECKS, -1) - 1

    def _stream(self, name: bytes, count: int) -> bytes:
        return hashlib.shake_256(self.key + name).digest(count)


def refuse_sum(what: str, because: str, fix: str = "run the round again") -> NoReturn:
    """PrivauditError for a sum that is not made."""
    raise PrivauditError(what, because, fix)


__all__ = [
    *("CHECKS", "CODES", "DEGREE", "FEWEST", "SLOTS", "Codes", "Roll"),
    *("check_agreed", "check_arrived", "count_quorum", "refuse_sum"),
]
