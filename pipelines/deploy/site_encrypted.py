"""A hospital's side of an encrypted sum: a key that the coordinator never has, and a decryption of
nothing but the sum that most of the hospitals have signed.

The ciphers are `pipelines.federated.ciphers`. What is added here is who the others are (every key,
secret and list is signed), that one list is signed a round, and that a sum which does not open is
not tried again, since each try would tell the coordinator a little.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NoReturn

from pipelines.deploy.messages import Body
from pipelines.deploy.refused import Refused, Remembered
from pipelines.deploy.site_secure import (
    Signer,
    check_members,
    check_share,
    find_share,
    verify_names,
)
from pipelines.deploy.site_state import SiteState
from pipelines.deploy.terms import RunTerms
from pipelines.federated.encrypted_sum import (
    EncryptedSum,
    KeyHolder,
    Roll,
    check_agreed,
    count_quorum,
    read,
)
from privaudit.errors import PrivauditError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    from pipelines.deploy.identity import Root

POINT = 32
"""Bytes of a public key."""


class CipherSite:
    """One hospital in the encrypted sums of one run.

    Args:
        size: Parameters of the network.
        stated: How many records this hospital has said to have.
    """

    def __init__(
        self,
        identity: Signer,
        root: Root,
        terms: RunTerms,
        protect: EncryptedSum,
        size: int,
        stated: int,
    ) -> None:
        self._identity, self._root, self._terms, self._protect = identity, root, terms, protect
        self._size, self._stated = size, stated
        self._box: tuple[X25519PrivateKey, list[str], bytes] | None = None
        self._holder: tuple[bytes, KeyHolder] | None = None

    def answer(self, kind: str, body: Body, state: SiteState) -> Body:
        """One answer; see `messages`. What must outlive this worker is left in `state`."""
        made: dict[str, Callable[[Body, SiteState], Body]] = {
            "box_key": self._make_box,
            "make_secret": self._make_secret,
            "take_secret": self._take_secret,
            "encrypt": self._encrypt,
            "agree": self._agree,
            "decrypt": self._decrypt,
        }
        try:
            return made[kind](body, state)
        except Refused:
            raise
        except PrivauditError as error:
            raise Refused("unsafe", error.what, error.because, error.fix) from None

    def _make_box(self, body: Body, state: SiteState) -> Body:
        """A new key to be sent a secret under, for this one exchange and in memory alone."""
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

        members = list(body["members"])
        number = check_members(members, self._identity.name, self._terms.roster)
        if body["number"] != number:
            raise Refused("bad_question", "another number than this hospital's place", "they agree")
        said = repr((members, body.get("attempt", 0))).encode()
        key = X25519PrivateKey.from_private_bytes(os.urandom(32))
        self._box = (key, members, hashlib.sha256(said).digest())
        public = key.public_key().public_bytes_raw()
        return {
            "key": public,
            "signature": self._identity.sign(self._box_text(public)),
            "certificate": self._identity.certificate,
        }

    def _make_secret(self, body: Body, state: SiteState) -> Body:
        """The key of all, sealed and signed for each other hospital."""
        members = self._check_boxes(body)
        holder = KeyHolder.make(self._protect)
        raw, own = holder.sealed_bytes(), members.index(self._identity.name)
        sealed = {
            str(i): self._seal(body["keys"][str(i)], raw) for i in range(len(members)) if i != own
        }
        made: Body = {
            "sealed": sealed,
            "signatures": {
                i: self._identity.sign(self._secret_text(text)) for i, text in sealed.items()
            },
            "public": holder.public,
        }
        self._accept(raw, holder, members, state)
        return made

    def _take_secret(self, body: Body, state: SiteState) -> Body:
        """The key of all from the hospital that made it, and from nobody else."""
        members = self._check_boxes(body)
        maker = body["maker"]
        if not 0 <= maker < len(members) or members[maker] == self._identity.name:
            raise Refused("bad_question", "a secret of nobody else in the sum", "another makes it")
        proof = {
            "signatures": {"maker": body["signature"]},
            "certificates": {"maker": body["certificates"].get(str(maker), b"")},
        }
        text = {"maker": self._secret_text(body["sealed"])}
        verify_names(self._root, text, proof, {"maker": members[maker]})
        raw = self._open(body["sealed"])
        self._accept(raw, KeyHolder.load(self._protect, raw), members, state)
        return {"taken": True}

    def _encrypt(self, body: Body, state: SiteState) -> Body:
        """The update times this hospital's share, readable by whoever holds the key of all."""
        if state.agreed >= body["round"]:
            raise Refused("replay", "a round that was signed", "its sum is made of what was sent")
        members = list(body["members"])
        number = check_members(members, self._identity.name, self._terms.roster)
        if not set(members) <= set(state.holders):
            raise Refused(
                "out_of_order", "a sum of hospitals without one key", "they make it first"
            )
        share = find_share(body, number, self._stated)
        check_share(float(body["share"]), share)
        roll = self._roll(body["round"], members, body["counts"])
        sent = self._key(state).encrypt(state.update * share, number, roll)
        state.received = read(sent, self._size)
        state.roll = {"round": body["round"], "members": members, "counts": list(body["counts"])}
        return {"round": body["round"], "ciphertexts": sent}

    def _agree(self, body: Body, state: SiteState) -> Body:
        """Sign who arrived, once a round."""
        roll = self._own_roll(body, state)
        arrived = list(body["arrived"])
        # Its own signature stands for those of the others: of the list itself nothing is let by.
        check_agreed(arrived, roll, {roll.members[i] for i in arrived if i < len(roll.members)})
        self._require_part(roll, arrived)
        state.agreed = body["round"]
        return {
            "round": body["round"],
            "signature": self._identity.sign(self._arrived_text(roll, arrived, state)),
            "certificate": self._identity.certificate,
        }

    def _decrypt(self, body: Body, state: SiteState) -> Body:
        """The sum of those that arrived, for which two thirds of the hospitals have signed."""
        roll = self._own_roll(body, state)
        arrived = list(body["arrived"])
        if state.agreed != body["round"]:
            raise Refused("out_of_order", "a sum before its list was signed", "signing is first")
        if state.failed >= body["round"]:
            raise Refused(
                "unsafe", "another try to decrypt a sum of this round", "each one tells a little"
            )
        self._require_part(roll, arrived)
        signers = self._verify_signers(body, roll, arrived, state)
        check_agreed(arrived, roll, signers)
        least = max(count_quorum(len(roll.members)), -(-2 * len(roll.members) // 3))
        if len(signers) < least:
            raise Refused(
                "unsafe",
                f"{len(signers)} signatures of who arrived",
                f"it takes {least}: with fewer, two sums of one round could differ in two",
            )
        try:
            total = self._key(state).decrypt(body["sums"], arrived, roll)
        except PrivauditError as error:
            state.failed = body["round"]
            raise Remembered("unsafe", error.what, error.because, error.fix) from None
        return {"round": body["round"], "total": total.astype("<f4").tobytes()}

    def _verify_signers(
        self, body: Body, roll: Roll, arrived: list[int], state: SiteState
    ) -> set[str]:
        """Whose signatures of this list are good. One that is not is an attack, not an accident."""
        numbers: Mapping[str, bytes] = body["signatures"]
        names = {str(i): roll.members[i] for i in arrived}
        if not set(numbers) <= set(names):
            raise Refused("bad_proof", "a signature of a hospital that is not in the sum", "it is")
        text = self._arrived_text(roll, arrived, state)
        verify_names(self._root, dict.fromkeys(numbers, text), body, names)
        return {names[i] for i in numbers}

    def _require_part(self, roll: Roll, arrived: list[int]) -> None:
        if roll.members.index(self._identity.name) not in arrived:
            raise Refused(
                "unsafe", "a sum without this hospital", "it signs and opens its own alone"
            )

    def _own_roll(self, body: Body, state: SiteState) -> Roll:
        """The sum that this hospital has encrypted for in this round."""
        if state.roll.get("round") != body["round"]:
            raise Refused("out_of_order", "a sum for which nothing was encrypted", "that is first")
        return self._roll(body["round"], state.roll["members"], state.roll["counts"])

    def _roll(self, round: int, members: list[str], counts: list[int]) -> Roll:
        return Roll(self._terms.run, round, tuple(members), tuple(counts), self._size)

    def _check_boxes(self, body: Body) -> list[str]:
        """The members, once each key is known to be its hospital's."""
        if self._box is None:
            raise Refused(
                "out_of_order",
                "a secret without a key to take it by",
                "it is in memory alone, and a worker that starts again has none",
            )
        key, members, _ = self._box
        keys: Mapping[str, bytes] = body["keys"]
        names = {str(i): name for i, name in enumerate(members)}
        if set(keys) != set(names) or any(len(part) != POINT for part in keys.values()):
            raise Refused("bad_question", "keys that are not those of the members", "one of each")
        own = str(members.index(self._identity.name))
        if keys[own] != key.public_key().public_bytes_raw() or len(set(keys.values())) < len(keys):
            raise Refused("bad_proof", "another key in this hospital's place", "or one key twice")
        texts = {i: self._box_text(part) for i, part in keys.items()}
        verify_names(self._root, texts, body, names)
        return members

    def _accept(self, raw: bytes, holder: KeyHolder, members: list[str], state: SiteState) -> None:
        state.secret, state.holders, self._box = raw, list(members), None
        self._holder = (raw, holder)

    def _key(self, state: SiteState) -> KeyHolder:
        if not state.secret:
            raise Refused("out_of_order", "a sum before there is a key", "hospitals make it first")
        if self._holder is None or self._holder[0] != state.secret:
            self._holder = (state.secret, KeyHolder.load(self._protect, state.secret))
        return self._holder[1]

    def _seal(self, public: bytes, raw: bytes) -> bytes:
        """Readable by the owner of this key alone: X25519 with a key of this message, HKDF,
        ChaCha20-Poly1305."""
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
        from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

        own = X25519PrivateKey.from_private_bytes(os.urandom(32))
        point = own.public_key().public_bytes_raw()
        key = self._agree_key(own, public, point + public)
        return point + ChaCha20Poly1305(key).encrypt(bytes(12), raw, None)

    def _open(self, sealed: bytes) -> bytes:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

        assert self._box is not None
        own, point = self._box[0], sealed[:POINT]
        public = own.public_key().public_bytes_raw()
        try:
            key = self._agree_key(own, point, point + public)
            return ChaCha20Poly1305(key).decrypt(bytes(12), sealed[POINT:], None)
        except (InvalidTag, ValueError):
            refuse_sealed()

    def _agree_key(self, own: X25519PrivateKey, other: bytes, both: bytes) -> bytes:
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        shared = own.exchange(X25519PublicKey.from_public_bytes(other))
        info = b"privaudit secret of " + self._terms.fingerprint.encode() + both
        return HKDF(SHA256(), 32, salt=None, info=info).derive(shared)

    def _box_text(self, key: bytes) -> bytes:
        assert self._box is not None
        return b"\0".join((b"privaudit box", self._terms.run.encode(), key, self._box[2]))

    def _secret_text(self, sealed: bytes) -> bytes:
        return b"\0".join((b"privaudit secret", self._terms.run.encode(), sealed))

    def _arrived_text(self, roll: Roll, arrived: list[int], state: SiteState) -> bytes:
        """The list, of which sum, and which weights this hospital was sent: others that were sent
        weights on which they learn nothing would leave this one's update alone in the sum."""
        listed = ",".join(map(str, arrived)).encode()
        parts = (b"privaudit arrived", roll.run.encode(), str(roll.round).encode(), listed)
        return b"\0".join((*parts, roll.label, state.trained_on.encode()))


def refuse_sealed() -> NoReturn:
    """Of bytes that are no sealed secret for this hospital."""
    raise Refused("bad_proof", "a secret that does not open", "it was changed, or is another's")


__all__ = ["CipherSite", "refuse_sealed"]
