"""What an audit document records of a federation between machines: who sent what, and who could
read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Custody = Literal["none", "sites"]
"""Who holds a key that opens single updates: nobody, or every hospital."""


SLACK = 600
"""Bytes a message by which the two may differ without any message more: the coordinator counts 8
for each number, which packing may make shorter."""


@dataclass(frozen=True)
class Traffic:
    """What one hospital sent of one kind of message.

    messages, received: how many arrived, and the bytes of what they hold, as the coordinator
    counted them; sent: bytes that left, packing included, as the hospital's own outbox has them.
    None where they are not known.
    """

    kind: str
    messages: int | None = None
    received: int | None = None
    sent: int | None = None

    @property
    def agrees(self) -> bool | None:
        """Whether no more arrived in the hospital's name than it says it sent; None for unknown."""
        if self.received is None or self.sent is None:
            return None
        return self.received <= self.sent + SLACK * (self.messages or 0)


@dataclass(frozen=True)
class SiteRecord:
    """One hospital in a federation.

    rounds, missed, late, refused: rounds in which its update came, in which it did not answer, in
    which it came too late, and in which the gate refused it. withdrew: whether it took its consent
    back. alarms: codes. graded: whether it stated counts; withheld: (part, code) of what it did not
    state.
    """

    name: str
    traffic: tuple[Traffic, ...] = ()
    consented: bool = False
    withdrew: bool = False
    rounds: int = 0
    missed: int = 0
    late: int = 0
    refused: int = 0
    alarms: tuple[str, ...] = ()
    graded: bool = False
    withheld: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Federation:
    """One run of a federation between machines.

    terms: fingerprint of what the hospitals consented to; protection: as of `Exchange.protected`;
    rounds, idle, recovered: made, without enough updates, and in which the masks of hospitals that
    had dropped out were taken away.
    """

    run: str
    terms: str
    protection: Literal["", "secure_sum", "encrypted_sum"]
    custody: Custody
    quorum: int
    rounds: int
    idle: int
    recovered: int
    sites: tuple[SiteRecord, ...]


__all__ = ["SLACK", "Custody", "Federation", "SiteRecord", "Traffic"]
