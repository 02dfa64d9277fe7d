"""Whose terms a hospital takes, what it says of itself, and what it refuses to be told."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from deploy.hospital_lab import Lab, again, make_table, start_weights, train, write_home

from pipelines.deploy.build import source_digest
from pipelines.deploy.consent import grant
from pipelines.deploy.hospital import Hospital
from pipelines.deploy.identity import Identity, Root
from pipelines.deploy.journal import Journal
from pipelines.deploy.own_audit import audit_dry_round
from pipelines.deploy.refused import Refused
from pipelines.deploy.terms import RunTerms
from pipelines.deploy.warrant import SIGNED, Warrant
from privaudit.errors import PrivauditError


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return Lab(tmp_path_factory.mktemp("lab"))


def test_a_hospital_without_consent_says_so_and_nothing_else(lab: Lab) -> None:
    hospital = lab.hospital("a", lab.terms(run="new"), consent=False)
    assert hospital.answer("hello", {}) == {"state": "pending"}
    with pytest.raises(Refused) as refused:
        hospital.answer("train", {"round": 0, "weights": b"", "protected": False})
    assert refused.value.code == "not_consented"
    assert "data" not in vars(hospital)


def test_a_consent_is_to_the_records_that_were_audited(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    terms, home = lab.terms(run="other"), lab.homes["a"]
    seen = audit_dry_round(home, terms).fingerprint
    grant(home, terms, "Dr Test", seen)
    hospital = lab.hospital("a", terms, consent=False)
    assert hospital.answer("hello", {})["state"] == "ready"
    # Half of the patients are gone, before a round was made.
    make_table(tmp_path / "a.csv", 70, 0)
    for changed in (again(hospital), again(hospital)):
        assert changed.answer("hello", {}) == {"state": "pending"}
    with pytest.raises(Refused) as refused:
        train(again(hospital), 0, start_weights(hospital))
    assert refused.value.code == "not_consented"
    # A worker that has read them takes a new consent to them, and one to others reads them anew.
    new = audit_dry_round(home, terms).fingerprint
    assert new != seen
    grant(home, terms, "Dr Test", new)
    assert changed.answer("hello", {})["state"] == "ready"
    assert hospital.answer("hello", {})["state"] == "ready"


def test_what_a_hospital_says_of_itself(lab: Lab) -> None:
    terms = lab.terms(run="hello")
    hospital = lab.hospital("a", terms)
    data = hospital.data
    assert hospital.answer("hello", {}) == {
        "state": "ready",
        "schema": data.schema,
        "widths": [20, 2],
        "patients": len(np.unique(data.split.members.patient)),
        "records": len(data.split.members),
        "build": source_digest(),
        "terms": terms.fingerprint,
    }
    b = lab.hospital("b", terms).data
    assert b.schema == data.schema
    assert b.fingerprint != data.fingerprint


def test_terms_of_the_operator_are_taken(lab: Lab) -> None:
    terms = lab.terms()
    warrant = lab.warrant(terms)
    assert warrant.check(lab.homes["a"], lab.root) == terms
    warrant.keep(lab.homes["a"], "r")
    assert Warrant.read(lab.homes["a"].pending("r")) == warrant


@pytest.mark.parametrize("by", ["a", "server", "stranger"])
def test_terms_that_another_has_signed_are_not(lab: Lab, by: str) -> None:
    with pytest.raises(Refused) as refused:
        lab.warrant(lab.terms(), by).check(lab.homes["a"], lab.root)
    assert refused.value.code == "bad_terms"


def test_terms_that_were_changed_are_not(lab: Lab) -> None:
    made = lab.warrant(lab.terms())
    longer = lab.terms(timeout=9999.0).text
    for text in (longer, made.text + " ", made.text.replace(",", ", ", 1)):
        with pytest.raises(Refused):
            replace(made, text=text).check(lab.homes["a"], lab.root)
    with pytest.raises(PrivauditError):
        replace(made, text="{").check(lab.homes["a"], lab.root)


def test_a_certificate_of_another_root_or_time_signs_no_terms(lab: Lab) -> None:
    terms = lab.terms()
    for kit in ("foreign", "expired", "early"):
        signer = Identity.load(lab.kits[kit])
        text = SIGNED + terms.text.encode()
        made = Warrant(terms.text, signer.sign(text), signer.certificate)
        with pytest.raises(Refused):
            made.check(lab.homes["a"], lab.root)


def test_a_root_that_the_hospital_was_not_told_of_is_refused(lab: Lab, tmp_path: Path) -> None:
    home = write_home(tmp_path, "a", lab.root)
    text = home.config.read_text().replace(lab.root.fingerprint, "SHA256:" + "AB:" * 31 + "AB")
    home.config.write_text(text)
    with pytest.raises(Refused):
        lab.warrant(lab.terms()).check(home, lab.root)


@pytest.mark.parametrize("roster", [("a", "b", "stranger"), ("b", "c", "d")])
def test_a_forged_roster_is_refused(lab: Lab, roster: tuple[str, ...]) -> None:
    terms = replace(lab.terms(), roster=tuple(sorted(roster)))
    with pytest.raises(Refused) as refused:
        lab.warrant(terms).check(lab.homes["a"], lab.root)
    assert refused.value.code == "bad_terms"
    with pytest.raises(Refused):
        lab.hospital("a", terms, consent=False)


def test_another_hospitals_kit_is_refused(lab: Lab) -> None:
    with pytest.raises(Refused):
        Hospital(lab.homes["a"], lab.terms(), lab.identity("b"), Root.load(lab.kits["b"]))


@pytest.mark.parametrize(
    ("method", "settings", "more"),
    [
        ("federated", ("task.equal_rows=true",), {}),
        ("federated", ("task.schema=/etc/passwd",), {}),
        ("federated", ("federated.malicious=SignFlip(1)",), {}),
        ("federated", ("federated.compress=TopK()",), {}),
        ("federated", ("federated.aggregate=Krum(9)",), {}),
        ("federated_private", (), {}),
        ("federated_private", ("federated_private.delta=1e-3",), {"seed": 1}),
        ("federated_private", ("federated_private.delta=0.5",), {}),
        ("federated", (), {"schema": "00" * 32}),
        ("federated", (), {"task": "mortality"}),
    ],
)
def test_terms_that_this_hospital_cannot_honour(
    lab: Lab, method: str, settings: tuple[str, ...], more: dict[str, Any]
) -> None:
    terms = RunTerms(
        **{
            "run": "no",
            "task": "table",
            "method": method,
            "settings": settings,
            "roster": lab.names,
            "least_patients": 20,
        }
        | more
    )
    try:
        hospital = lab.hospital("a", terms)
    except PrivauditError:
        return  # terms that cannot be built cannot be consented to either
    assert hospital.answer("hello", {}) == {"state": "refused"}
    assert isinstance(hospital.why, PrivauditError)
    weights = bytes(4 * 1000)
    with pytest.raises(PrivauditError):
        hospital.answer("train", {"round": 0, "weights": weights, "protected": False})


def test_too_few_patients_answer_nothing(tmp_path: Path) -> None:
    lab = Lab(tmp_path, {"a": 90, "b": 150, "c": 150})
    terms = lab.terms(least_patients=50)
    hospital = lab.hospital("a", terms)
    assert hospital.answer("hello", {}) == {"state": "too_few"}
    with pytest.raises(Refused) as refused:
        train(hospital, 0, start_weights(hospital))
    assert refused.value.code == "unsafe"
    # The larger of the operator's number and its own holds.
    own = lab.homes["b"].config
    own.write_text(own.read_text().replace("least_patients = 20", "least_patients = 120"))
    assert lab.hospital("b", terms).answer("hello", {}) == {"state": "too_few"}


def test_a_hospital_without_data_of_its_own_is_refused(lab: Lab, tmp_path: Path) -> None:
    home = write_home(tmp_path, "a", lab.root, settings=[])
    terms = lab.terms(run="nodata")
    grant(home, terms, "Dr Test")
    hospital = Hospital(home, terms, lab.identity("a"), lab.root)
    assert hospital.answer("hello", {}) == {"state": "refused"}
    assert isinstance(hospital.why, Refused)
    assert hospital.why.code == "no_data"


def test_a_question_that_is_none_is_refused(lab: Lab) -> None:
    hospital = lab.hospital("a", lab.terms(run="none"))
    for kind, body in (
        ("dump", {}),
        ("hello", {"more": 1}),
        ("train", {"round": "0"}),
        ("train", {"round": 0, "weights": "text", "protected": False}),
        ("grade", {"model": b"\x80\x04."}),
        ("encrypt", {"round": 0, "share": 1.0, "members": ["a", "b", "c"]}),
        ("grow", {"round": 0, "trees": {}, "shares": b""}),
        ("mask_keys", {"round": 0}),
    ):
        with pytest.raises(Refused):
            hospital.answer(kind, body)


def test_one_model_is_graded_once(lab: Lab) -> None:
    hospital = lab.hospital("a", lab.terms(run="grade", grade=("threshold", "gradient_inversion")))
    weights = start_weights(hospital)
    question = {"model": weights.tobytes()}
    with pytest.raises(Refused) as refused:
        hospital.answer("grade", question)
    assert refused.value.code == "out_of_order"
    train(hospital, 0, weights)
    Journal(hospital.home.outbox).write("x", run="grade", kind="train", bytes=77)
    made = hospital.answer("grade", question)
    counts = json.loads(made["counts"])
    assert (counts["run"], counts["sent"]) == ("grade", {"train": 77})
    assert again(hospital).answer("grade", question) == made
    with pytest.raises(Refused) as refused:
        again(hospital).answer("grade", {"model": (weights + 1).tobytes()})
    assert refused.value.code == "replay"


@pytest.mark.parametrize(
    "wrong",
    [
        {"least_patients": "9"},
        {"least_patients": float("nan")},
        {"least_patients": -1},
        {"seed": 1.5},
        {"seed": True},
        {"quorum": 3.0},
        {"timeout": float("nan")},
        {"timeout": "x"},
        {"settings": [1]},
        {"settings": {"federated.rounds=2": 1}},
        {"settings": [" task.equal_rows=true"]},
        {"settings": ["federated.rounds=2", "federated.rounds=200"]},
        {"settings": ["federated.rate=0.1\u202e"]},
        {"grade": None},
        {"schema": ["a"]},
        {"task": 1},
        {"method": ["federated"]},
        {"roster": {"a": 1, "b": 1, "c": 1}},
    ],
    ids=str,
)
def test_signed_terms_of_another_kind_are_refused_whole(lab: Lab, wrong: dict[str, Any]) -> None:
    made = json.loads(lab.terms(run="kinds").text) | wrong
    text = json.dumps(made, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    signer = lab.identity("operator")
    signed = Warrant(text, signer.sign(SIGNED + text.encode()), signer.certificate)
    with pytest.raises(PrivauditError):
        signed.check(lab.homes["a"], lab.root)
