"""An encrypted sum whose server lies: one key that it never has, one list, one sum, one try."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from deploy.hospital_lab import Lab, again, start_weights, train

from pipelines.deploy.hospital import Hospital
from pipelines.deploy.messages import Body
from pipelines.deploy.refused import Refused
from pipelines.federated.gate import share_out

pytest.importorskip("tenseal")
NAMES = ("a", "b", "c", "d")
PARTS = (("keys", "key"), ("signatures", "signature"), ("certificates", "certificate"))


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return Lab(tmp_path_factory.mktemp("lab"), 120, NAMES)


class Ciphers:
    """A coordinator's half, whose every message a test may change."""

    def __init__(self, lab: Lab, run: str) -> None:
        self.lab = lab
        self.terms = lab.terms("federated_encrypted", run=run)
        self.hospitals: dict[str, Hospital] = lab.all(self.terms)
        weights = start_weights(self.hospitals["a"])
        self.size = len(weights)
        for hospital in self.hospitals.values():
            train(hospital, 0, weights, protected=True)
        self.members = list(NAMES)
        self.counts = [h.data.count for h in self.hospitals.values()]

    def ask(self, name: str, kind: str, body: Body) -> Body:
        return self.hospitals[name].answer(kind, body)

    def make_boxes(self, attempt: int = 0) -> Body:
        made = {
            name: self.ask(
                name, "box_key", {"members": self.members, "number": i, "attempt": attempt}
            )
            for i, name in enumerate(self.members)
        }
        self.table: Body = {
            field: {str(i): made[name][part] for i, name in enumerate(self.members)}
            for field, part in PARTS
        }
        return self.table

    def make_key(self) -> None:
        self.make_boxes()
        self.secret = self.ask("a", "make_secret", self.table)
        for i, name in enumerate(self.members[1:], 1):
            assert self.ask(name, "take_secret", self.taking(i)) == {"taken": True}

    def taking(self, number: int) -> Body:
        return {
            **self.table,
            "maker": 0,
            "sealed": self.secret["sealed"][str(number)],
            "signature": self.secret["signatures"][str(number)],
        }

    def encrypting(self, number: int) -> Body:
        share = float(share_out(self.counts)[number])
        return {"round": 0, "share": share, "members": self.members, "counts": self.counts}

    def encrypt(self) -> dict[str, list[bytes]]:
        self.sent = {
            name: self.ask(name, "encrypt", self.encrypting(i))["ciphertexts"]
            for i, name in enumerate(self.members)
        }
        return self.sent

    def add(self, names: str) -> list[bytes]:
        from pipelines.federated.encrypted_sum import Adder

        adder = Adder(self.hospitals["a"].training.plan.protect)
        return adder.add([self.sent[name] for name in names])

    def agree(self, arrived: list[int], by: str = "abcd") -> Body:
        made = {name: self.ask(name, "agree", {"round": 0, "arrived": arrived}) for name in by}
        return {
            field: {str(self.members.index(n)): body[part] for n, body in made.items()}
            for field, part in PARTS[1:]
        }

    def decrypting(self, arrived: list[int], sums: list[bytes], signed: Mapping[str, Any]) -> Body:
        return {"round": 0, "arrived": arrived, "sums": sums, **signed}


def refused(asked: Callable[[], Any]) -> str:
    with pytest.raises(Refused) as error:
        asked()
    return str(error.value.code)


def test_the_sum_is_the_weighted_mean_after_any_kill(lab: Lab) -> None:
    own = Ciphers(lab, "sum")
    own.make_key()
    sent = own.encrypt()
    own.hospitals = {name: again(h) for name, h in own.hospitals.items()}
    assert own.encrypt() == sent
    arrived = [0, 1, 2, 3]
    signed = own.agree(arrived)
    asked = own.decrypting(arrived, own.add("abcd"), signed)
    total = own.ask("b", "decrypt", asked)
    updates = np.array([h.state.update for h in own.hospitals.values()])
    found = np.frombuffer(total["total"], "<f4")
    np.testing.assert_allclose(found, share_out(own.counts) @ updates, atol=1e-7)
    assert np.abs(found).max() > 1e-3
    own.hospitals = {name: again(h) for name, h in own.hospitals.items()}
    assert own.ask("b", "decrypt", asked) == total
    assert own.ask("c", "decrypt", asked) == total


def test_a_server_that_forges_boxes_gets_no_secret(lab: Lab) -> None:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    own = Ciphers(lab, "boxes")
    mine = X25519PrivateKey.generate().public_key().public_bytes_raw()
    operator = lab.identity("operator")
    for forge in ("key", "operator", "twice", "missing", "older"):
        table = own.make_boxes(attempt=1)
        if forge == "older":
            old = {field: dict(part) for field, part in table.items()}
            table = own.make_boxes(attempt=2)
            for field, part in table.items():
                part["1"] = old[field]["1"]
        elif forge == "missing":
            del table["signatures"]["1"]
        elif forge == "twice":
            for part in table.values():
                part["1"] = part["2"]
        else:
            table["keys"]["1"] = mine
        if forge == "operator":
            box = own.hospitals["a"].cipher
            table["signatures"]["1"] = operator.sign(box._box_text(mine))
            table["certificates"]["1"] = operator.certificate
        assert refused(lambda asked=table: own.ask("a", "make_secret", asked)) == "bad_proof"
        own.hospitals["a"].__dict__.pop("cipher")
        own.hospitals["a"]._live.clear()


def test_a_secret_of_the_servers_own_is_not_taken(lab: Lab) -> None:
    from pipelines.federated.encrypted_sum import KeyHolder

    own = Ciphers(lab, "secret")
    own.make_boxes()
    own.secret = own.ask("a", "make_secret", own.table)
    b = own.hospitals["b"]
    raw = KeyHolder.make(b.training.plan.protect).sealed_bytes()
    forged = b.cipher._seal(own.table["keys"]["1"], raw)
    operator = lab.identity("operator")
    signature = operator.sign(b.cipher._secret_text(forged))
    for changed in (
        {"sealed": forged},
        {"sealed": forged, "signature": signature},
        {"maker": 2},
        {"sealed": own.secret["sealed"]["2"], "signature": own.secret["signatures"]["2"]},
    ):
        asked = {**own.taking(1), **changed}
        assert refused(lambda body=asked: own.ask("b", "take_secret", body)) == "bad_proof"
    for maker in (1, 7, -1):
        asked = {**own.taking(1), "maker": maker}
        assert refused(lambda body=asked: own.ask("b", "take_secret", body)) == "bad_question"
    assert own.ask("b", "take_secret", own.taking(1)) == {"taken": True}
    # A worker that starts again has no key to take a secret by, and keeps the one that it took.
    own.hospitals["c"] = again(own.hospitals["c"])
    assert refused(lambda: own.ask("c", "take_secret", own.taking(2))) == "out_of_order"
    assert again(b).state.secret == own.hospitals["a"].state.secret


def test_no_sum_that_shows_one_hospital_is_decrypted(lab: Lab) -> None:
    own = Ciphers(lab, "one")
    own.make_key()
    own.encrypt()
    arrived = [0, 1, 2, 3]
    early = own.decrypting(arrived, own.add("abcd"), {"signatures": {}, "certificates": {}})
    assert refused(lambda: own.ask("a", "decrypt", early)) == "out_of_order"
    assert refused(lambda: own.agree([0, 1], "a")) == "unsafe"
    assert refused(lambda: own.agree([1, 2, 3], "a")) == "unsafe"
    assert refused(lambda: own.agree([0, 1, 9], "a")) == "unsafe"
    signed = own.agree(arrived)
    # One list is signed a round, and nothing more is encrypted for it.
    assert refused(lambda: own.agree([0, 1, 2], "a")) == "replay"
    fewer = {**own.encrypting(0), "members": ["a", "b", "c"], "counts": own.counts[:3]}
    fewer["share"] = float(share_out(own.counts[:3])[0])
    assert refused(lambda: own.ask("a", "encrypt", fewer)) == "replay"
    sums = own.add("abcd")
    few = {field: {i: part[i] for i in "01"} for field, part in signed.items()}
    operator = lab.identity("operator")
    theirs = {field: dict(part) for field, part in signed.items()}
    theirs["certificates"]["1"] = operator.certificate
    swapped = {field: {**part, "1": part["2"]} for field, part in signed.items()}
    cut = {field: dict(part) for field, part in signed.items()}
    cut["signatures"]["1"] = b"none"
    for proof, why in (
        (few, "unsafe"),
        (theirs, "bad_proof"),
        (swapped, "bad_proof"),
        (cut, "bad_proof"),
    ):
        asked = own.decrypting(arrived, sums, proof)
        assert refused(lambda body=asked: own.ask("a", "decrypt", body)) == why
    for other in ([0, 1, 2], [1, 2, 3]):
        asked = own.decrypting(other, own.add("abc"), signed)
        assert refused(lambda body=asked: own.ask("a", "decrypt", body)) in ("unsafe", "bad_proof")
    # One hospital's ciphertext in the place of the sum: refused, and no other try is open.
    asked = own.decrypting(arrived, own.sent["b"], signed)
    assert refused(lambda: own.ask("a", "decrypt", asked)) == "unsafe"
    right = own.decrypting(arrived, sums, signed)
    assert refused(lambda: own.ask("a", "decrypt", right)) == "unsafe"
    assert refused(lambda: again(own.hospitals["a"]).answer("decrypt", right)) == "unsafe"
    assert "total" in own.ask("b", "decrypt", right)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"members": ["a", "b"]}, "unsafe"),
        ({"members": ["a", "b", "stranger"]}, "bad_proof"),
        ({"counts": None}, "unsafe"),
        ({"counts": [10**6, 50, 50, 50]}, "unsafe"),
        ({"share": 0.99}, "unsafe"),
        ({"round": 1}, "out_of_order"),
    ],
)
def test_what_would_make_a_sum_one_hospitals_is_refused(
    lab: Lab, changed: dict[str, Any], why: str
) -> None:
    own = Ciphers(lab, "made-" + "-".join(changed) + str(len(str(changed))))
    own.make_key()
    body = {**own.encrypting(0), **changed}
    if body["counts"] is None:
        del body["counts"]
    assert refused(lambda: own.ask("a", "encrypt", body)) == why


def test_nothing_is_encrypted_before_there_is_a_key(lab: Lab) -> None:
    own = Ciphers(lab, "nokey")
    assert refused(lambda: own.ask("a", "encrypt", own.encrypting(0))) == "out_of_order"
    assert refused(lambda: own.ask("a", "make_secret", ASKED)) == "out_of_order"


ASKED: Body = {"keys": {}, "signatures": {}, "certificates": {}}


def test_a_sum_of_updates_from_other_weights_is_not_decrypted(lab: Lab) -> None:
    own = Ciphers(lab, "others")
    own.make_key()
    for name in "bcd":
        hospital = own.hospitals[name]
        hospital.state.trained_on = "00" * 32
        hospital._save()
    own.encrypt()
    signed = own.agree([0, 1, 2, 3])
    asked = own.decrypting([0, 1, 2, 3], own.add("abcd"), signed)
    assert refused(lambda: own.ask("a", "decrypt", asked)) == "bad_proof"
