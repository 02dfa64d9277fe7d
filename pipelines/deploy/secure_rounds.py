"""Rounds under masks: the coordinator reads the sum, and takes away the masks of who vanished."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from math import comb
from typing import Any

import numpy as np

from pipelines.deploy.desk import Desk
from pipelines.deploy.journal import Event
from pipelines.deploy.messages import Body
from pipelines.deploy.rounds import Made, Rounds
from pipelines.deploy.state import load, save, write_bytes
from pipelines.federated.gate import share_out
from pipelines.federated.secure_sum import SHARE, SecureSum, Server, Terms, context, is_key
from privaudit.errors import PrivauditError

TRIES = 400
"""Sets of hospitals whose shares are tried until they fit: one that lies must not end the round."""


@dataclass(eq=False)
class SecureRounds(Rounds):
    """Keys, shares, masked vectors, then one request for what unmasks their sum.

    Who vanishes before all have shared is left out, and the others begin again with new keys; who
    vanishes later is recovered. What arrived is on disk before anybody is asked to unmask it: each
    hospital answers for one list of who arrived, so another must never be asked for.

    Args:
        barred: Who has shared out what was no secret of its own, and so ended a round for all: not
            asked again in this segment of the run.
    """

    barred: set[str] = field(default_factory=set)

    def make(self, round: int, ready: Sequence[str]) -> Made | None:
        kept = load(self.folder / "attempt.npz")
        if kept is not None and kept[0]["round"] == round:
            return self._unmask(round, *kept)
        came = self.train(round, [n for n in ready if n not in self.barred], protected=True)
        members, loss = tuple(came), self.mean_loss(came)
        begun = self._read_begun(round)
        if begun["masked"]:
            # Vectors may have left under the keys of an earlier segment, and no hospital sends two
            # in a round: the very same questions, which have the same answers, or none.
            members = tuple(begun["members"])
            whole = self._share(round, members, begun["attempt"]) == members
            return self._mask(round, members, loss) if whole else self.give_up()
        attempt = begun["attempt"] + 1
        while self._are_enough(members):
            self._begin(round, members, attempt, masked=False)
            sharing = self._share(round, members, attempt)
            if sharing == members:
                self._begin(round, members, attempt, masked=True)
                return self._mask(round, members, loss)
            members, attempt = sharing, attempt + 1
        return None

    def give_up(self) -> Made:
        """A round whose sum cannot be had any more: the model stays as it is."""
        return Made(None, self.ledger.blank(), ())

    def _begin(self, round: int, members: Sequence[str], attempt: int, masked: bool) -> None:
        what = {"round": round, "members": list(members), "attempt": attempt, "masked": masked}
        write_bytes(self.folder / "sharing.json", json.dumps(what).encode())

    def _read_begun(self, round: int) -> dict[str, Any]:
        """The last attempt of this round, in this segment of the run or an earlier one."""
        path = self.folder / "sharing.json"
        found = json.loads(path.read_text("utf-8")) if path.exists() else {"round": -1}
        if found["round"] != round:
            return {"members": [], "attempt": -1, "masked": False}
        return dict(found)

    @property
    def protect(self) -> SecureSum:
        assert isinstance(self.ledger.plan.protect, SecureSum)
        return self.ledger.plan.protect

    def _are_enough(self, members: Sequence[str]) -> bool:
        return len(members) >= max(self.terms.quorum, self.protect.quorum(len(members)))

    def _agreed(self, round: int, members: Sequence[str]) -> Terms:
        """Of 64 bits unless the settings say 32: no update is so large that a round fails."""
        word = self.protect.word or 64
        fraction = self.protect.fraction or (30 if word == 32 else 40)
        return Terms(
            len(members),
            len(self.ledger.weights),
            self.protect.quorum(len(members)),
            word,
            fraction,
            context(self.terms.run, round, members, self._stated(members)),
        )

    def _stated(self, members: Sequence[str]) -> list[int]:
        return [self.records[name] for name in members]

    def _share(self, round: int, members: Sequence[str], attempt: int) -> tuple[str, ...]:
        """Who has made keys and shared them with all; the server's half is kept where all have.

        Args:
            attempt: Another number asks for new keys.
        """
        agreed, number = self._agreed(round, members), {n: i for i, n in enumerate(members)}
        begin = {
            "round": round,
            "members": list(members),
            "size": agreed.size,
            "threshold": agreed.threshold,
            "word": agreed.word,
            "fraction": agreed.fraction,
            "counts": self._stated(members),
            "attempt": attempt,
        }
        made = self.desk.ask(
            "mask_keys",
            {name: {**begin, "number": i} for name, i in number.items()},
            round,
            look=lambda name, body: "" if is_key(body["keys"]) else "no_key",
        )
        if len(made) < len(members):
            return tuple(made)
        table = {"round": round} | {
            field: {str(number[name]): body[part] for name, body in made.items()}
            for field, part in (
                ("keys", "keys"),
                ("signatures", "signature"),
                ("certificates", "certificate"),
            )
        }
        shared = self.desk.ask(
            "mask_shares",
            dict.fromkeys(members, table),
            round,
            look=lambda name, body: self._doubt_shares(body, number[name], len(members)),
        )
        self._server = Server(agreed)
        for name, body in made.items():
            self._server.take_key(number[name], body["keys"])
        self._sealed = {
            number[name]: {int(i): text for i, text in body["sealed"].items()}
            for name, body in shared.items()
        }
        for i, sealed in self._sealed.items():
            self._server.take_shares(i, sealed)
        return tuple(shared)

    @staticmethod
    def _doubt_shares(body: Body, own: int, clients: int) -> str:
        others = {str(i) for i in range(clients)} - {str(own)}
        if set(body["sealed"]) != others:
            return "not_an_answer"
        return (
            "" if all(len(text) <= 2 * SHARE + 64 for text in body["sealed"].values()) else "size"
        )

    def _mask(self, round: int, members: Sequence[str], loss: float | None) -> Made:
        server, number = self._server, {name: i for i, name in enumerate(members)}
        shares = share_out(self._stated(members))
        words = server.terms.size * server.terms.dtype.itemsize
        questions: dict[str, Body] = {
            name: {
                "round": round,
                "share": float(shares[i]),
                "inbox": {str(j): self._sealed[j][i] for j in self._sealed if j != i},
            }
            for name, i in number.items()
        }
        masked = self.desk.ask(
            "masked",
            questions,
            round,
            look=lambda name, body: "" if len(body["masked"]) == words else "size",
        )
        if len(masked) < max(server.terms.threshold, self.terms.quorum):
            return self.give_up()
        meta: dict[str, Any] = {
            "round": round,
            "members": list(members),
            "counts": self._stated(members),
            "arrived": sorted(number[name] for name in masked),
            "agreed": [server.terms.threshold, server.terms.word, server.terms.fraction],
            "loss": loss,
        }
        arrays = {
            f"masked{number[name]}": np.frombuffer(body["masked"], np.uint8)
            for name, body in masked.items()
        }
        keys = [server.keys[i] for i in range(len(members))]
        arrays["keys"] = np.frombuffer(b"".join(keys), np.uint8).reshape(len(members), -1)
        save(self.folder / "attempt.npz", meta, arrays)
        return self._unmask(round, meta, arrays)

    def _unmask(self, round: int, meta: dict[str, Any], arrays: dict[str, np.ndarray]) -> Made:
        """Ask who arrived for what unmasks their sum: for one list, however often."""
        members: list[str] = meta["members"]
        arrived: list[int] = meta["arrived"]
        threshold, word, fraction = meta["agreed"]
        told = context(self.terms.run, round, members, meta["counts"])
        size = len(self.ledger.weights)
        server = Server(Terms(len(members), size, threshold, word, fraction, told))
        for i, key in enumerate(arrays["keys"]):
            server.take_key(i, key.tobytes())
            server.sharers.add(i)
        seen = self.ledger.blank()
        for i in arrived:
            server.take_masked(i, arrays[f"masked{i}"].tobytes())
            place = self.terms.roster.index(members[i])
            seen[place] = server.terms.decode(server.masked[i])
        here = [members[i] for i in arrived]
        answers = self.desk.ask(
            "reveal",
            {name: {"round": round, "arrived": arrived} for name in here},
            round,
            look=lambda name, body: "" if len(body["shares"]) == SHARE * len(members) else "size",
        )
        for name, body in answers.items():
            server.take_reveal(members.index(name), body["shares"])
        words, liars = sum_despite_liars(server, members, self.desk, round)
        self.barred.update(liars)
        if words is None:
            return Made(None, seen, ())
        share = share_out(meta["counts"])
        total = server.terms.decode(words) / share[arrived].sum()
        if gone := [name for name in members if name not in here]:
            self.note(event=Event.RECOVERED, round=round, hospitals=gone)
        return Made(total, seen, tuple(here), meta["loss"])


def sum_despite_liars(
    server: Server, members: Sequence[str], desk: Desk, round: int
) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """The words of the sum, from any hospitals whose shares fit, None where no such are enough; and
    who shared out what is no secret of theirs, as far as it can be told.

    A hospital's secret that fits with no set of the others was never shared as it should; where one
    that reveals lies, the sets without it fit.
    """
    given, most = dict(server.shares), server.terms.threshold
    suspects: set[int] | None = None
    tried = 0
    for chosen in _choose(sorted(given), most):
        server.shares = {i: given[i] for i in chosen}
        tried += 1
        failed = {i for i in suspects or () if not server.join(i)}
        if suspects is None:
            failed = {i for i in server.sharers if not server.join(i)}
            suspects = failed
        suspects &= failed
        if failed:
            continue
        try:
            found = server.sum()
        except PrivauditError:
            continue
        for i in sorted(set(given) - set(chosen)):
            # Whether this one fits as well is seen by putting it in the place of another.
            server.shares = {j: given[j] for j in (*chosen[1:], i)}
            if not all(map(server.join, sorted(server.sharers))):
                desk.drop(members[i], "reveal", round, "shares")
        return found, ()
    if tried < 2:
        # Of one set alone nobody knows who lied.
        return None, ()
    dealers = tuple(members[i] for i in sorted(suspects or ()))
    for name in dealers:
        desk.drop(name, "mask_shares", round, "shares")
    return None, dealers


def _choose(numbers: Sequence[int], most: int) -> Iterator[tuple[int, ...]]:
    """All sets of so many, or `TRIES` by chance where they are more: in order, one that lies could
    be in all that are tried."""
    if comb(len(numbers), most) <= TRIES:
        yield from combinations(numbers, most)
        return
    draw = random.SystemRandom()
    for _ in range(TRIES):
        yield tuple(sorted(draw.sample(numbers, most)))


__all__ = ["SecureRounds", "sum_despite_liars"]
