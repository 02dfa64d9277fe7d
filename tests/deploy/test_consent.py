"""Consent is to one text of terms, is read anew each time, and ends where it is withdrawn."""

from __future__ import annotations

import json
import multiprocessing
from dataclasses import replace
from pathlib import Path

import pytest
from deploy.hospital_lab import Lab

from pipelines.deploy.consent import Consent, describe_protection, grant, withdraw
from pipelines.deploy.homes import HospitalHome
from pipelines.deploy.journal import Journal
from pipelines.deploy.spent import add_up
from pipelines.deploy.terms import RunTerms
from privaudit.errors import PrivauditError

DELTA = "federated_private.delta=1e-5"


def make_terms(run: str = "r", method: str = "federated_secure", **more: object) -> RunTerms:
    given = {"task": "mortality", "roster": ("a", "b", "c")} | more
    return RunTerms(run=run, method=method, **given)  # type: ignore[arg-type]


def test_it_is_bound_to_the_terms_to_the_letter(tmp_path: Path) -> None:
    home, terms = HospitalHome(tmp_path), make_terms()
    assert Consent.read(home).state(terms) == "pending"
    made = grant(home, terms, "Dr Test")
    assert (made.rounds, made.protection) == (20, "secure_sum")
    assert Consent.read(home).allows(terms)
    for other in (
        replace(terms, quorum=3, timeout=121.0),
        replace(terms, settings=("federated_secure.rounds=21",)),
        replace(terms, method="federated"),
        replace(terms, run="q"),
    ):
        assert Consent.read(home).state(other) == "pending"
    assert tmp_path.joinpath("consent.json").stat().st_mode & 0o077 == 0


def test_a_withdrawal_holds_until_somebody_consents_again(tmp_path: Path) -> None:
    home, terms = HospitalHome(tmp_path), make_terms()
    with pytest.raises(PrivauditError):
        withdraw(home, "r")
    grant(home, terms, "Dr Test")
    found = withdraw(home, "r")
    assert withdraw(home, "r") == found
    assert Consent.read(home).state(terms) == "withdrawn"
    grant(home, terms, "Dr Test")
    assert Consent.read(home).allows(terms)
    events = [line["event"] for line in Journal(home.journal).read()]
    assert events == ["consented", "withdrawn", "consented"]


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"r": {}}', '{"r": {"terms": 1}}', '{"r": null}'],
)
def test_a_file_that_is_none_allows_nothing(tmp_path: Path, text: str) -> None:
    home = HospitalHome(tmp_path)
    home.consent.write_text(text)
    with pytest.raises(PrivauditError):
        Consent.read(home)
    with pytest.raises(PrivauditError):
        grant(home, make_terms(), "Dr Test")


def test_a_grant_with_another_type_or_field_is_none(tmp_path: Path) -> None:
    home, terms = HospitalHome(tmp_path), make_terms()
    grant(home, terms, "Dr Test")
    good = json.loads(home.consent.read_text())
    for field, value in {
        "terms": 3,
        "rounds": "20",
        "withdrawn_at": "never",
        "granted_at": None,
        "more": 1,
    }.items():
        home.consent.write_text(json.dumps({"r": good["r"] | {field: value}}))
        with pytest.raises(PrivauditError):
            Consent.read(home).allows(terms)


def test_nobody_cannot_consent(tmp_path: Path) -> None:
    with pytest.raises(PrivauditError):
        grant(HospitalHome(tmp_path), make_terms(), "  ")


def _grant_many(folder: str, name: str) -> None:
    for i in range(10):
        grant(HospitalHome(Path(folder)), make_terms(f"{name}{i}"), name)


def test_two_people_at_once_lose_no_consent(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    both = [context.Process(target=_grant_many, args=(str(tmp_path), n)) for n in "pq"]
    for one in both:
        one.start()
    for one in both:
        one.join(60)
    assert len(Consent.read(HospitalHome(tmp_path)).runs) == 20


@pytest.mark.parametrize(
    ("method", "settings", "protection"),
    [
        ("federated", (), "none"),
        ("federated_encrypted", (), "encrypted_sum"),
        ("federated_private", (DELTA,), "patient_noise"),
        (
            "federated_private",
            (DELTA, "federated_private.protect=SecureSum()"),
            "patient_noise+secure_sum",
        ),
        ("federated_trees", (), "none"),
    ],
)
def test_what_hides_an_update_is_named(
    method: str, settings: tuple[str, ...], protection: str
) -> None:
    assert describe_protection(make_terms(method=method, settings=settings)) == protection


def test_guarantees_of_runs_add_up(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    home = lab.homes["a"]
    private = ("federated_private.delta=1e-5", "federated_private.epsilon=2")

    def agree(run: str, *given: str, method: str = "federated_private") -> RunTerms:
        terms = lab.terms(method, *given, run=run)
        lab.warrant(terms).keep(home, run)
        grant(home, terms, "Dr Test")
        return terms

    agree("one", *private)
    last = lab.terms("federated_private", *private, run="two")
    agree("open", method="federated")
    withdraw(home, "one")
    found = add_up(home, last)
    assert found is not None
    assert (found.bounded, found.unbounded) == (("one",), ("open",))
    assert (found.epsilon, found.delta) == (4.0, 2e-5)
    text = "\n".join(found.lines())
    assert "epsilon 4" in text
    assert "open" in text
    # Terms that are gone, or others in their place, bound nothing.
    lab.warrant(lab.terms("federated_private", *private, run="one", timeout=1.0)).keep(home, "one")
    assert add_up(home, last).unbounded == ("one", "open")  # type: ignore[union-attr]
    home.pending("one").unlink()
    assert add_up(home, last).unbounded == ("one", "open")  # type: ignore[union-attr]
    assert add_up(home, lab.terms("federated", run="three")) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"timeout": float("nan")},
        {"timeout": float("inf")},
        {"timeout": 1e300},
        {"timeout": 0},
        {"timeout": "5"},
        {"timeout": True},
        {"least_patients": -1},
        {"least_patients": 50.5},
        {"quorum": True},
        {"quorum": 3.0},
        {"seed": -1},
        {"seed": "1"},
        {"task": 3},
        {"schema": None},
        {"roster": "abc"},
        {"settings": "a"},
        {"settings": [1]},
        {"grade": [["threshold"]]},
    ],
)
def test_signed_terms_hold_what_their_fields_say(wrong: dict[str, object]) -> None:
    """Whoever signs them: the coordinator and hospitals read JSON, which holds NaN too."""
    made = json.loads(make_terms().text) | wrong
    with pytest.raises(PrivauditError):
        RunTerms.read(json.dumps(made))
    assert RunTerms.read(make_terms().text) == make_terms()
