"""A hospital's side of a secure sum: keys signed by its certificate, and no server believed.

The protocol is `pipelines.federated.secure_sum.Client`. What is added here is who the others are:
each key is verified against the federation's root and this hospital's own roster, and each
signature covers the whole plan of the round, so that all who take part have been told the same.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from pipelines.deploy.messages import Body
from pipelines.deploy.refused import Refused
from pipelines.federated.gate import share_out
from pipelines.federated.secure_sum import FEWEST, Client, SecureSum, Terms, context
from privaudit.errors import PrivauditError

if TYPE_CHECKING:
    from pipelines.deploy.identity import Root


class Signer(Protocol):
    """An identity, as `pipelines.deploy.identity.Identity` is one."""

    @property
    def name(self) -> str: ...

    @property
    def certificate(self) -> bytes: ...

    def sign(self, text: bytes) -> bytes: ...


def check_members(members: list[str], name: str, roster: tuple[str, ...]) -> int:
    """This hospital's number among the members of a sum.

    Raises:
        Refused: Fewer than three, a name twice, one that is not on the roster, or not this one.
    """
    if len(members) < FEWEST:
        raise Refused(
            "unsafe",
            f"a sum of {len(members)} hospitals",
            "in a sum of two, each reads the other's update by taking its own away",
        )
    if len(set(members)) != len(members) or not set(members) <= set(roster):
        raise Refused(
            "bad_proof",
            f"a sum of {len(members)} hospitals, one of them twice or not on the roster",
            "a server that invents a hospital reads what it hides from the others",
        )
    if name not in members:
        raise Refused("bad_proof", "a sum without this hospital", "it takes part or answers not")
    return members.index(name)


def verify_names(
    root: Root,
    texts: Mapping[str, bytes],
    body: Mapping[str, Any],
    names: Mapping[str, str],
    at: float | None = None,
) -> None:
    """Verify that each text is signed by the hospital that is said to have.

    Args:
        texts: What is signed, by key of the message.
        body: The message, with `signatures` and `certificates` by the same keys.
        names: The hospital behind each key.

    Raises:
        Refused: A signature is missing, or another's, or of somebody who is no hospital.
    """
    from pipelines.deploy.identity import HOSPITAL

    signatures, certificates = body["signatures"], body["certificates"]
    for key, text in texts.items():
        if key not in signatures or key not in certificates:
            raise Refused("bad_proof", "a key without a signature", "anybody can have made it")
        try:
            found = root.verify(certificates[key], signatures[key], text, at)
        except PrivauditError as error:
            raise Refused("bad_proof", error.what, error.because, error.fix) from None
        if found.name != names[key] or found.role != HOSPITAL:
            raise Refused(
                "bad_proof",
                "a key that another party has signed",
                "only the hospital in whose place it stands may",
                "tell the other hospitals: somebody has put a key in one's place",
            )


class MaskRound:
    """One round of a secure sum at one hospital. Its keys are in memory alone.

    Args:
        roster: Who may take part.
        size: Parameters of the network.
        stated: How many records this hospital has said to have.
        trained_on: sha256 of the weights that came: a server that sends others weights on which
            they learn nothing would read this hospital's update in the sum.
        body: The question that begins the round.
    """

    def __init__(
        self,
        identity: Signer,
        root: Root,
        run: str,
        roster: tuple[str, ...],
        protect: SecureSum,
        size: int,
        stated: int,
        trained_on: str,
        body: Body,
    ) -> None:
        self._identity, self._root, self._run = identity, root, run
        self.round: int = body["round"]
        self.members: list[str] = list(body["members"])
        number = check_members(self.members, identity.name, roster)
        if body["number"] != number:
            raise Refused("bad_question", "another number than this hospital's place", "they agree")
        count = len(self.members)
        most = 40 if body["word"] == 64 else 30
        if body["size"] != size or body["word"] not in (protect.word or 32, 64):
            raise Refused("bad_question", "vectors of another size than the network's", "they fit")
        if not 1 <= body["fraction"] <= most:
            raise Refused(
                "bad_question", f"{body['fraction']} bits behind the point", f"1 to {most}"
            )
        if body["threshold"] < protect.quorum(count):
            raise Refused(
                "unsafe",
                f"a threshold of {body['threshold']} with {count} hospitals",
                f"the terms say {protect.quorum(count)}: with fewer, their shares unmask more",
            )
        self.share_of_sum = find_share(body, number, stated)
        agreed = context(run, self.round, self.members, body["counts"])
        try:
            terms = Terms(
                count, size, body["threshold"], body["word"], body["fraction"], context=agreed
            )
        except PrivauditError as error:
            raise Refused("unsafe", error.what, error.because, error.fix) from None
        numbers = (count, size, terms.threshold, terms.word, terms.fraction)
        self._plan = hashlib.sha256(repr((numbers, trained_on)).encode() + agreed).digest()
        self.client = Client(number, terms)
        self.is_shared = False

    def advertise(self) -> Body:
        """Its keys of this round, signed together with the plan of the round."""
        keys = self.client.advertise()
        return {
            "round": self.round,
            "keys": keys,
            "signature": self._identity.sign(self._text(keys)),
            "certificate": self._identity.certificate,
        }

    def share(self, body: Body) -> Body:
        """Its secrets in shares, sealed for the others, once it knows who they are."""
        keys: dict[str, bytes] = body["keys"]
        names = {str(i): name for i, name in enumerate(self.members)}
        if set(keys) != set(names):
            raise Refused(
                "unsafe",
                f"keys of {len(keys)} of {len(names)} hospitals",
                "a server that leaves some out chooses whose masks hide whom",
            )
        if any(len(key) != 96 for key in keys.values()):
            raise Refused("bad_question", "a key of another length than 96 bytes", "they are three")
        verify_names(self._root, {n: self._text(k) for n, k in keys.items()}, body, names)
        sealed = self._do(lambda: self.client.share({int(n): key for n, key in keys.items()}))
        self.is_shared = True
        return {"round": self.round, "sealed": {str(n): text for n, text in sealed.items()}}

    def mask(self, body: Body, update: np.ndarray) -> Body:
        """The update times this hospital's share, under its masks; the one vector of this round."""
        if not self.is_shared:
            raise Refused("out_of_order", "a vector before the keys were shared", "keys come first")
        check_share(float(body["share"]), self.share_of_sum)
        inbox = _number(body["inbox"], len(self.members))
        words = self._do(lambda: self.client.send(update * self.share_of_sum, inbox))
        return {"round": self.round, "masked": words}

    def reveal(self, body: Body) -> Body:
        """Shares that take the masks from the sum, once a round."""
        shares = self._do(lambda: self.client.reveal(body["arrived"]))
        return {"round": self.round, "shares": shares}

    def _text(self, keys: bytes) -> bytes:
        parts = (b"privaudit mask", self._run.encode(), str(self.round).encode(), keys, self._plan)
        return b"\0".join(parts)

    @staticmethod
    def _do(step: Any) -> Any:
        try:
            return step()
        except PrivauditError as error:
            raise Refused("unsafe", error.what, error.because, error.fix) from None


def find_share(body: Body, number: int, stated: int) -> float:
    """What this hospital's update counts for in a sum, from everybody's records.

    All members mix the counts into their masks or signatures, so that a server that gives one
    hospital nearly all the weight, and tells the others of another weighting, gets no sum.

    Args:
        body: With `counts`, one for each of `members`.
        number: This hospital's place.
        stated: How many records it has said to have.

    Raises:
        Refused: No counts, or another for this hospital than it stated.
    """
    counts = body.get("counts")
    if counts is None or len(counts) != len(body["members"]):
        raise Refused(
            "unsafe",
            "a sum without everybody's number of records",
            "with shares that only the server knows, it can make the sum one hospital's update",
        )
    if counts[number] != stated:
        raise Refused(
            "unsafe",
            "another number of records than this hospital stated",
            "its share of the sum would be what the server likes",
        )
    try:
        return float(share_out(counts)[number])
    except PrivauditError as error:
        raise Refused("unsafe", error.what, error.because, error.fix) from None


def check_share(asked: float, own: float) -> None:
    """Refused where the server asks for another share than follows from the counts."""
    if not math.isclose(asked, own, rel_tol=1e-6):
        raise Refused(
            "unsafe",
            f"a share of {asked:.3g} in a sum",
            f"from everybody's records {own:.3g} follows; with another, the sum is about one",
        )


def _number(inbox: Mapping[str, bytes], count: int) -> dict[int, bytes]:
    """The same by number of the sender."""
    wrong = [key for key in inbox if key not in {str(i) for i in range(count)}]
    if wrong:
        raise Refused("bad_question", "shares of somebody who is not in the round", "they are")
    return {int(key): text for key, text in inbox.items()}


__all__ = ["MaskRound", "Signer", "check_members", "check_share", "find_share", "verify_names"]
