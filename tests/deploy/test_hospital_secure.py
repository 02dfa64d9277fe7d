"""A secure sum whose server lies: in every case the hospital answers nothing that tells of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from deploy.hospital_lab import Lab, Masks, again, start_weights, train

from pipelines.deploy.hospital import Hospital
from pipelines.deploy.journal import Journal
from pipelines.deploy.refused import Refused
from pipelines.federated.gate import share_out

NAMES = ("a", "b", "c", "d")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return Lab(tmp_path_factory.mktemp("lab"), 120, NAMES)


def begin(lab: Lab, run: str, round: int = 0) -> Masks:
    """All four have trained one round, with an update to hide."""
    terms = lab.terms("federated_secure", run=run)
    hospitals = lab.all(terms)
    weights = start_weights(hospitals["a"])
    for hospital in hospitals.values():
        train(hospital, round, weights, protected=True)
    return MasksOf(run, hospitals, round, len(weights))


class MasksOf(Masks):
    def __init__(self, run: str, hospitals: dict[str, Hospital], round: int, size: int) -> None:
        super().__init__(hospitals, round, size)
        self.run = run


def refused(asked: Callable[[], Any]) -> str:
    with pytest.raises(Refused) as error:
        asked()
    return str(error.value.code)


def test_the_sum_is_the_weighted_mean_and_no_message_holds_an_update(lab: Lab) -> None:
    masks = begin(lab, "r")
    total = masks.total()
    updates = np.array([h.state.update for h in masks.hospitals.values()])
    np.testing.assert_allclose(total, share_out(masks.counts) @ updates, atol=1e-11)
    assert np.abs(updates).max() > 1e-3
    # What was masked looks like noise beside what it hides.
    raw = masks.hospitals["a"].answer("masked", masks.inbox("a"))["masked"]
    words = np.frombuffer(raw, "<u8").view("<i8") / 2.0**40
    assert abs(np.corrcoef(words, updates[0])[0, 1]) < 0.4
    assert np.abs(words).min() > np.abs(updates).max()


def test_a_killed_worker_has_no_keys_and_sends_no_second_vector(lab: Lab) -> None:
    masks = begin(lab, "killed")
    masks.keys()
    masks.share()
    asked = masks.inbox("a")
    # Killed between its shares and its vector: the keys are gone with it.
    masks.hospitals["a"] = again(masks.hospitals["a"])
    assert refused(lambda: masks.ask("a", "masked", asked)) == "out_of_order"
    # Nothing was sent, so the round may begin again, with new keys of all who are left.
    fewer = MasksOf("killed", {n: masks.hospitals[n] for n in "abc"}, 0, masks.size)
    fewer.keys()
    fewer.share()
    first = fewer.ask("a", "masked", fewer.inbox("a"))
    assert fewer.ask("a", "masked", fewer.inbox("a")) == first
    for name in "bc":
        fewer.ask(name, "masked", fewer.inbox(name))
    fewer.ask("a", "reveal", {"round": 0, "arrived": [0, 1, 2]})
    # Killed after it helped to read a sum: there is no second one of this round.
    fewer.hospitals["a"] = again(masks.hospitals["a"])
    for members in (masks, fewer):
        begun = {**members.begin, "number": 0}
        assert refused(lambda body=begun: fewer.ask("a", "mask_keys", body)) == "replay"


def test_no_second_vector_under_one_mask(lab: Lab) -> None:
    masks = begin(lab, "second")
    masks.keys()
    masks.share()
    asked = masks.inbox("a")
    masks.ask("a", "masked", asked)
    assert refused(lambda: masks.ask("a", "masked", {**asked, "share": 0.2})) == "replay"
    for name in "bcd":
        masks.ask(name, "masked", masks.inbox(name))
    masks.ask("a", "reveal", {"round": 0, "arrived": [0, 1, 2, 3]})
    fewer = MasksOf("second", {n: masks.hospitals[n] for n in "abc"}, 0, masks.size)
    assert refused(lambda: fewer.ask("a", "mask_keys", {**fewer.begin, "number": 0})) == "replay"


def swap_a_key(masks: Masks, lab: Lab) -> None:
    """The server puts a key of its own in b's place and leaves b's signature."""
    masks.table["keys"]["1"] = bytes(96)


def sign_as_the_server(masks: Masks, lab: Lab) -> None:
    """The same, signed by the certificate of the operator."""
    operator = lab.identity("operator")
    masks.table["keys"]["1"] = bytes(96)
    masks.table["signatures"]["1"] = operator.sign(bytes(96))
    masks.table["certificates"]["1"] = operator.certificate


def put_one_twice(masks: Masks, lab: Lab) -> None:
    """c's signed key stands in b's place too."""
    for field in ("keys", "signatures", "certificates"):
        masks.table[field]["1"] = masks.table[field]["2"]


def leave_one_out(masks: Masks, lab: Lab) -> None:
    for field in ("keys", "signatures", "certificates"):
        del masks.table[field]["3"]


def take_the_signature_away(masks: Masks, lab: Lab) -> None:
    del masks.table["signatures"]["1"]


def take_another_round(masks: Masks, lab: Lab) -> None:
    """b's key of an earlier round, signed for that one."""
    old = begin(lab, "older", 1)
    old.keys()
    for field in ("keys", "signatures", "certificates"):
        masks.table[field]["1"] = old.table[field]["1"]


def take_an_expired_one(masks: Masks, lab: Lab) -> None:
    from pipelines.deploy.identity import Identity

    expired = Identity.load(lab.kits["expired"])
    masks.table["certificates"]["0"] = expired.certificate


@pytest.mark.parametrize(
    ("forge", "why"),
    [
        (swap_a_key, "bad_proof"),
        (sign_as_the_server, "bad_proof"),
        (put_one_twice, "bad_proof"),
        (leave_one_out, "unsafe"),
        (take_the_signature_away, "bad_proof"),
        (take_another_round, "bad_proof"),
        (take_an_expired_one, "bad_proof"),
    ],
)
def test_a_server_that_forges_keys_gets_no_shares(
    lab: Lab, forge: Callable[[Masks, Lab], None], why: str
) -> None:
    masks = begin(lab, forge.__name__.replace("_", "-"))
    masks.keys()
    forge(masks, lab)
    assert refused(lambda: masks.ask("c", "mask_shares", masks.table)) == why
    assert refused(lambda: masks.ask("c", "masked", {**MASKED})) == "out_of_order"
    # One line, however often it is tried.
    assert refused(lambda: masks.ask("c", "mask_shares", masks.table)) == why
    run = masks.hospitals["c"].terms.run
    lines = Journal(lab.homes["c"].journal).read()
    alarms = [line["what"] for line in lines if line["event"] == "alarm" and line["run"] == run]
    assert alarms == [why]


MASKED = {"round": 0, "share": 0.25, "inbox": {}}


def test_an_operator_that_signs_the_right_text_is_no_hospital(lab: Lab) -> None:
    masks = begin(lab, "operator")
    masks.keys()
    hospital, operator = masks.hospitals["c"], lab.identity("operator")
    assert hospital._mask is not None
    masks.table["keys"]["1"] = bytes(95) + b"1"
    masks.table["signatures"]["1"] = operator.sign(hospital._mask._text(bytes(95) + b"1"))
    masks.table["certificates"]["1"] = operator.certificate
    assert refused(lambda: masks.ask("c", "mask_shares", masks.table)) == "bad_proof"


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"members": ["a", "b"], "counts": None, "threshold": 2}, "unsafe"),
        ({"members": ["a", "a", "b", "c"]}, "bad_proof"),
        ({"members": ["a", "b", "c", "stranger"]}, "bad_proof"),
        ({"members": ["b", "c", "d"]}, "bad_proof"),
        ({"number": 1}, "bad_question"),
        ({"threshold": 2}, "unsafe"),
        ({"size": 7}, "bad_question"),
        ({"word": 16}, "bad_question"),
        ({"fraction": 60}, "bad_question"),
        ({"counts": None}, "unsafe"),
        ({"counts": "larger"}, "unsafe"),
        ({"round": 1}, "out_of_order"),
    ],
)
def test_a_plan_of_a_round_that_would_unmask_is_refused(
    lab: Lab, changed: dict[str, Any], why: str
) -> None:
    masks = begin(lab, "plan-" + "-".join(changed) + "-" + str(len(str(changed))))
    body = {**masks.begin, "number": 0, **changed}
    if changed.get("counts", "") is None:
        del body["counts"]
    elif changed.get("counts") == "larger":
        body["counts"] = [masks.counts[0] * 1000, *masks.counts[1:]]
    elif len(body["members"]) != 4:
        body["counts"] = masks.counts[: len(body["members"])]
    assert refused(lambda: masks.ask("a", "mask_keys", body)) == why


def test_a_server_that_tells_each_another_weighting_gets_no_sum(lab: Lab) -> None:
    masks = begin(lab, "weights")
    masks.keys()
    # b is told that a has nearly all records.
    other = {**masks.begin, "number": 1, "counts": [9 * masks.counts[0], *masks.counts[1:]]}
    made = masks.ask("b", "mask_keys", other)
    fields = {"keys": "keys", "signatures": "signature", "certificates": "certificate"}
    for field, part in fields.items():
        masks.table[field]["1"] = made[part]
    assert refused(lambda: masks.ask("a", "mask_shares", masks.table)) == "bad_proof"
    assert refused(lambda: masks.ask("b", "mask_shares", masks.table)) == "bad_proof"


def test_a_server_that_sends_each_other_weights_gets_no_sum(lab: Lab) -> None:
    terms = lab.terms("federated_secure", run="others")
    hospitals = lab.all(terms)
    weights = start_weights(hospitals["a"])
    # All but a are sent weights on which they learn next to nothing.
    train(hospitals["a"], 0, weights, protected=True)
    for name in "bcd":
        train(hospitals[name], 0, np.zeros(len(weights)), protected=True)
    masks = MasksOf("others", hospitals, 0, len(weights))
    masks.keys()
    for name in "abcd":
        assert refused(lambda who=name: masks.ask(who, "mask_shares", masks.table)) == "bad_proof"


def test_another_share_than_follows_from_the_counts_is_refused(lab: Lab) -> None:
    masks = begin(lab, "share")
    masks.keys()
    masks.share()
    asked = masks.inbox("a")
    assert refused(lambda: masks.ask("a", "masked", {**asked, "share": 0.9})) == "unsafe"
    masks.ask("a", "masked", asked)


def test_few_or_two_lists_of_who_arrived_are_refused(lab: Lab) -> None:
    masks = begin(lab, "arrived")
    masks.keys()
    masks.share()
    for name in NAMES:
        masks.ask(name, "masked", masks.inbox(name))
    few = {"round": 0, "arrived": [0, 1]}
    assert refused(lambda: masks.ask("a", "reveal", few)) == "unsafe"
    masks.ask("a", "reveal", {"round": 0, "arrived": [0, 1, 2]})
    other = {"round": 0, "arrived": [0, 1, 3]}
    assert refused(lambda: masks.ask("a", "reveal", other)) == "replay"
