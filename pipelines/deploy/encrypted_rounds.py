"""Rounds of encrypted updates: the coordinator adds what it cannot read and asks for the sum."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from pipelines.deploy.journal import Event
from pipelines.deploy.messages import Body
from pipelines.deploy.rounds import Made, Rounds
from pipelines.deploy.state import load, save, write_bytes
from pipelines.federated.encrypted_sum import (
    Adder,
    EncryptedSum,
    Roll,
    can_add,
    count_quorum,
    read,
)
from pipelines.federated.gate import share_out


class EncryptedRounds(Rounds):
    """The hospitals make a key together that the coordinator never has; each round they encrypt,
    sign who arrived, and decrypt the sum of just those.

    The sum is on disk before anybody is asked to sign: every hospital signs one list a round, so
    another must never be asked for.
    """

    def make(self, round: int, ready: Sequence[str]) -> Made | None:
        kept = load(self.folder / "attempt.npz")
        if kept is not None and kept[0]["round"] == round:
            return self._open(round, *kept)
        came = self.train(round, ready, protected=True)
        members, loss = tuple(came), self.mean_loss(came)
        while len(members) >= self.terms.quorum:
            if set(members) <= self._read_holders()[0]:
                return self._add(round, members, loss)
            held = self._make_key(members)
            members = tuple(name for name in members if name in held)
        return None

    @cached_property
    def protect(self) -> EncryptedSum:
        assert isinstance(self.ledger.plan.protect, EncryptedSum)
        return self.ledger.plan.protect

    @cached_property
    def adder(self) -> Adder:
        """Of the arithmetic that the terms name, whatever a hospital says that it is."""
        return Adder(self.protect)

    def _read_holders(self) -> tuple[set[str], int]:
        """Who has the key of all, and how many keys were begun."""
        path = self.folder / "holders.json"
        if not path.exists():
            return set(), 0
        found = json.loads(path.read_text("utf-8"))
        return set(found["hospitals"]), int(found["begun"])

    def _set_holders(self, names: Iterable[str], begun: int | None = None) -> None:
        count = self._read_holders()[1] if begun is None else begun
        what = {"hospitals": sorted(names), "begun": count}
        write_bytes(self.folder / "holders.json", json.dumps(what).encode())

    def _make_key(self, members: Sequence[str]) -> set[str]:
        """Have one of these make a new key for all; who is left of them."""
        number = {name: i for i, name in enumerate(members)}
        attempt = self._read_holders()[1]
        # A number of its own for each: boxes of another time may be lost.
        self._set_holders((), attempt + 1)
        boxes = self.desk.ask(
            "box_key",
            {
                name: {"members": list(members), "number": i, "attempt": attempt}
                for name, i in number.items()
            },
        )
        if len(boxes) < len(members):
            return set(boxes)
        table = {
            field: {str(number[name]): body[part] for name, body in boxes.items()}
            for field, part in (
                ("keys", "key"),
                ("signatures", "signature"),
                ("certificates", "certificate"),
            )
        }
        # Another makes the key where it was tried before: one may fail every time.
        maker = members[attempt % len(members)]
        others = {name: i for name, i in number.items() if name != maker}

        def look(name: str, body: Body) -> str:
            wanted = {str(i) for i in others.values()}
            fits = set(body["sealed"]) == wanted == set(body["signatures"])
            return "" if fits else "not_an_answer"

        made = self.desk.ask("make_secret", {maker: table}, look=look)
        if not made:
            return set(others)
        secret = made[maker]
        taken = self.desk.ask(
            "take_secret",
            {
                name: {
                    **table,
                    "maker": number[maker],
                    "sealed": secret["sealed"][str(i)],
                    "signature": secret["signatures"][str(i)],
                }
                for name, i in others.items()
            },
            look=lambda name, body: "" if body["taken"] else "refused",
        )
        holders = {maker, *taken}
        if len(holders) == len(members):
            self._set_holders(holders)
        return holders

    def _add(self, round: int, members: Sequence[str], loss: float | None) -> Made:
        counts = [self.records[name] for name in members]
        shares = share_out(counts)
        roll = self._roll(round, members, counts)
        begin = {"round": round, "members": list(members), "counts": counts}
        sent = self.desk.ask(
            "encrypt",
            {name: {**begin, "share": float(shares[i])} for i, name in enumerate(members)},
            round,
            look=lambda name, body: (
                "" if can_add(self.adder, body["ciphertexts"], roll) else "not_ciphertexts"
            ),
        )
        if len(sent) < len(members):
            # Who has lost the key needs a new one, and then all do.
            self._set_holders(self._read_holders()[0] - (set(members) - set(sent)))
        if len(sent) < max(count_quorum(len(members)), self.terms.quorum):
            # No hospital encrypts twice in a round.
            return Made(None, self.ledger.blank(), ())
        seen = self.ledger.blank()
        for name, body in sent.items():
            place = self.terms.roster.index(name)
            seen[place] = read(body["ciphertexts"], roll.size)
        sums = self.adder.add([body["ciphertexts"] for body in sent.values()])
        meta: dict[str, Any] = {
            "round": round,
            "members": list(members),
            "counts": counts,
            "arrived": [i for i, name in enumerate(members) if name in sent],
            "lengths": [len(part) for part in sums],
            "loss": loss,
        }
        arrays = {"sums": np.frombuffer(b"".join(sums), np.uint8), "seen": seen}
        save(self.folder / "attempt.npz", meta, arrays)
        return self._open(round, meta, arrays)

    def _roll(self, round: int, members: Sequence[str], counts: Sequence[int]) -> Roll:
        size = len(self.ledger.weights)
        return Roll(self.terms.run, round, tuple(members), tuple(counts), size)

    def _open(self, round: int, meta: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Made:
        """Have those that arrived sign that they did, then decrypt: one list, however often."""
        members: list[str] = meta["members"]
        arrived: list[int] = meta["arrived"]
        here = [members[i] for i in arrived]
        question = {"round": round, "arrived": arrived}
        signed = self.desk.ask("agree", dict.fromkeys(here, question), round)
        idle = Made(None, arrays["seen"], ())
        if len(signed) < count_quorum(len(members)):
            return idle
        number = {name: str(i) for i, name in enumerate(members)}
        ends = np.cumsum(meta["lengths"])[:-1]
        asked = {
            **question,
            "sums": [part.tobytes() for part in np.split(arrays["sums"], ends)],
            "signatures": {number[n]: body["signature"] for n, body in signed.items()},
            "certificates": {number[n]: body["certificate"] for n, body in signed.items()},
        }
        size = len(self.ledger.weights)
        totals = self.desk.ask(
            "decrypt",
            dict.fromkeys(signed, asked),
            round,
            look=lambda name, body: "" if len(body["total"]) == 4 * size else "size",
        )
        total = self._agree_on(round, totals)
        if total is None:
            self._set_holders(())
            return idle
        if gone := [name for name in members if name not in here]:
            self.note(event=Event.RECOVERED, round=round, hospitals=gone)
        share = share_out(meta["counts"])[arrived].sum()
        return Made(total / share, arrays["seen"], tuple(here), meta["loss"])

    def _agree_on(self, round: int, totals: Mapping[str, Body]) -> np.ndarray | None:
        """(p,) what more than half of them decrypted to: rounding makes it the same to the bit."""
        found = Counter(body["total"] for body in totals.values()).most_common(1)
        if not found or 2 * found[0][1] <= len(totals):
            return None
        for name, body in totals.items():
            if body["total"] != found[0][0]:
                self.desk.drop(name, "decrypt", round, "other_total")
        total = np.frombuffer(found[0][0], "<f4").astype(np.float64)
        return total if np.isfinite(total).all() else None


__all__ = ["EncryptedRounds"]
