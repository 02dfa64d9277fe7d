"""Texts become settings by their annotated types; what cannot be is refused with a suggestion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import pytest

from privaudit import plugins
from privaudit.engine.configure import build, request
from privaudit.engine.profiles import PROFILES, profile
from privaudit.engine.texts import parse_value
from privaudit.errors import PrivauditError
from privaudit.facts import Reason, ReasonCode


@dataclass(frozen=True)
class Part:
    whole: int = 1
    share: float | None = None
    on: bool = False
    mode: Literal["record", "global"] = "record"
    sizes: tuple[int, ...] = (64,)
    pair: tuple[int, float] = (1, 0.5)
    name: str = "x"
    text: str | None = None


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ("whole", "12", 12),
        ("share", "0.25", 0.25),
        ("share", "none", None),
        ("on", "Yes", True),
        ("on", "false", False),
        ("mode", "global", "global"),
        ("sizes", "32,16", (32, 16)),
        ("sizes", "8", (8,)),
        ("pair", "3, 0.1", (3, 0.1)),
        ("name", "__import__('os')", "__import__('os')"),
        ("text", "None", None),
        ("text", "a", "a"),
    ],
)
def test_texts_are_read_by_type(field: str, text: str, value: object) -> None:
    assert getattr(build(Part, "part", {field: text}), field) == value


@pytest.mark.parametrize(
    ("field", "text", "told"),
    [
        ("whole", "1.5", "a whole number"),
        ("whole", "", "a whole number"),
        ("share", "many", "a number or none"),
        ("on", "maybe", "true or false"),
        ("mode", "Global", "record, global"),
        ("sizes", "3,x", "comma-separated"),
        ("pair", "3", "comma-separated"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_would(field: str, text: str, told: str) -> None:
    with pytest.raises(PrivauditError, match=told):
        build(Part, "part", {field: text})


def test_an_unknown_field_is_refused_with_the_nearest() -> None:
    with pytest.raises(PrivauditError, match=r"did you mean part\.sizes"):
        build(Part, "part", {"size": "3"})


def test_a_type_that_no_text_can_give_is_refused() -> None:
    with pytest.raises(PrivauditError, match="cannot be given as text"):
        parse_value("x", dict[str, int], "part.map")


def ask(**more: Any) -> Any:
    return request("mortality", profile("smoke"), seed=0, **more)


def test_a_request_is_made_of_the_installed_parts() -> None:
    made = ask(
        learners=["mlp"],
        attacks=["membership"],
        settings=["mlp.hidden=32,16", "lira.shadows=64", "task.window=24"],
    )
    (entry,) = made.entries
    assert entry.name == "baseline-mlp"
    assert "hidden=(32, 16)" in repr(entry.method)
    assert made.attacks["lira"].shadows == 64
    assert made.attacks["rmia"].shadows == PROFILES["smoke"].refits
    assert {attack.family for attack in made.attacks.values()} == {"membership"}
    assert made.task.window == 24


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"settings": ["mlp.hiden=3"]}, "did you mean mlp.hidden"),
        ({"settings": ["mpl.hidden=3"]}, "did you mean 'mlp'"),
        ({"learners": ["logreg"], "settings": ["mlp.hidden=3"]}, "let 'mlp' take part"),
        ({"settings": ["hidden=3"]}, "COMPONENT.FIELD=VALUE"),
        ({"settings": ["mlp.hidden"]}, "COMPONENT.FIELD=VALUE"),
        ({"learners": ["mpl"]}, "did you mean 'mlp'"),
        ({"attacks": ["membershp"]}, "did you mean 'membership'"),
        ({"methods": ["baselin"]}, "did you mean 'baseline'"),
        ({"confidence": 95}, "confidence of 95"),
    ],
)
def test_wrong_requests_are_refused_with_the_remedy(more: dict[str, Any], told: str) -> None:
    with pytest.raises(PrivauditError, match=told):
        ask(**more)


@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_can_be_built_from_what_is_installed(name: str) -> None:
    made = request("mortality", profile(name), seed=0)
    asked = {a.shadows for a in made.attacks.values() if hasattr(a, "shadows")}
    assert asked == {PROFILES[name].refits}
    if PROFILES[name].learners is not None:
        assert {entry.learner_name for entry in made.entries} == set(PROFILES[name].learners)


def test_a_part_of_a_method_is_chosen_by_its_name() -> None:
    texts = ["federated.aggregate=TrimmedMean(2)", "federated.sites=Dirichlet(alpha=0.1)"]
    (entry,) = ask(methods=["federated"], settings=texts).entries
    assert "aggregate=TrimmedMean(f=2)" in repr(entry.method)
    assert "alpha=0.1" in repr(entry.method.sites)
    for wrong in ("Meddian", "Median(3)", "Median(", "__import__('os')", "print(1)"):
        with pytest.raises(PrivauditError, match=r"one of .*Median"):
            ask(methods=["federated"], settings=[f"federated.aggregate={wrong}"])


def test_all_methods_come_with_their_usual_learner_and_their_promises() -> None:
    made = ask(methods=["all"])
    names = [entry.name for entry in made.entries]
    assert made.every
    assert {"baseline-boosted", "baseline-logreg", "baseline-mlp", "federated"} <= set(names)
    assert "dp_sgd" in names
    known = plugins.members("methods")
    assert {e.method_name for e in made.entries} | {u.method for u in made.untrained} == set(known)
    strict = request("mortality", profile("thorough"), seed=0, methods=["all"])
    promised = [e.method.epsilon for e in strict.entries if e.method_name == "dp_sgd"]
    assert promised == [0.5, 1.0, 3.0, 10.0]
    assert [e.name for e in ask(methods=["dp_sgd@0.5"]).entries] == ["dp_sgd@0.5"]
    assert {e.method_name for e in ask().entries} == {"baseline"}
    only = ask(methods=["all"], learners=["logreg"])
    assert {e.learner_name for e in only.entries} == {"logreg", ""}


def test_what_cannot_be_composed_is_refused() -> None:
    with pytest.raises(PrivauditError, match="no method of this run is composed with it"):
        ask(methods=["federated"], learners=["boosted"])
    with pytest.raises(PrivauditError, match="no field 'epsilon'"):
        ask(methods=["federated@3"])


def test_a_method_whose_library_is_missing_is_told_and_never_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = plugins.load

    def load(kind: str, name: str) -> type:
        if name == "dp_sgd":
            raise ModuleNotFoundError("No module named 'nothing'", name="nothing.of.it")
        return whole(kind, name)

    monkeypatch.setattr(plugins, "load", load)
    made = ask(methods=["all"])
    assert [(u.name, u.reason) for u in made.untrained] == [
        ("dp_sgd", Reason(ReasonCode.MISSING_EXTRA, {"library": "nothing", "fix": ""}))
    ]
    with pytest.raises(PrivauditError, match="dp_sgd needs nothing"):
        ask(methods=["dp_sgd"])


def test_an_unknown_profile_is_refused_with_the_nearest() -> None:
    with pytest.raises(PrivauditError, match="did you mean 'smoke'"):
        profile("smok")
