"""The audit document: what it holds comes back as the same types, and nothing else is read."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from cattrs.errors import BaseValidationError
from report.sample import sample

from privaudit.errors import PrivauditError
from privaudit.facts import (
    Bound,
    BoundMethod,
    Caveat,
    CaveatCode,
    Metric,
    Reason,
    ReasonCode,
    Setting,
    note,
)
from privaudit.results import Estimate, from_json, from_tree, to_json, to_tree
from privaudit.stats import onesided


@pytest.mark.parametrize(
    "fact",
    [
        Reason(ReasonCode.LACKS_ACCESS, {"access": ("ANSWERS", "TABLE")}),
        note("a / b: c@d"),
        Bound(BoundMethod.WILSON),
        Metric("attack_rate", at=Setting("budget", 0.1, "sd", ("max norm",))),
        Estimate(Metric("auc"), None, refusal=Reason(ReasonCode.NO_MEMBER)),
    ],
)
def test_facts_come_back_as_they_were(fact: object) -> None:
    assert repr(from_tree(to_tree(fact), type(fact))) == repr(fact)


def test_codes_come_back_as_members_that_can_be_compared_by_identity() -> None:
    """Verdicts hang on `code is ReasonCode.X`: a plain text would never match."""
    tree = {"code": "note", "severity": "note", "params": {"text": "x"}}
    assert from_tree(tree, Caveat).code is CaveatCode.NOTE
    reason = from_tree({"code": "no_member", "params": {}}, Reason)
    assert reason.code is ReasonCode.NO_MEMBER
    assert from_tree({"method": "wilson"}, Bound).method is BoundMethod.WILSON


@pytest.mark.parametrize("code", ["nonsense", 3, None])
def test_unknown_codes_are_refused(code: object) -> None:
    with pytest.raises(BaseValidationError):
        from_tree({"code": code, "params": {}}, Reason)


Edit = Callable[[dict[str, Any]], object]


def first(tree: dict[str, Any]) -> dict[str, Any]:
    """The first finding of the first subject."""
    return next(o for o in tree["subjects"][0]["outcomes"] if o["kind"] == "finding")


@pytest.mark.parametrize(
    "edit",
    [
        lambda tree: first(tree)["estimates"][0].update(value=float("nan")),
        lambda tree: first(tree)["estimates"][0].update(low=float("-inf")),
        lambda tree: first(tree)["estimates"][0].update(low=0.9, high=0.1),
        lambda tree: first(tree)["estimates"][0].update(confidence=1.0),
        lambda tree: first(tree)["estimates"][0].update(confidence=0.0),
        lambda tree: first(tree)["estimates"].append(first(tree)["estimates"][0]),
        lambda tree: first(tree).update(family="Membership"),
        lambda tree: tree["subjects"][0]["outcomes"].append(first(tree)),
        lambda tree: next(s for s in tree["subjects"] if s["controls"])["controls"][0].update(
            passed="false"
        ),
        lambda tree: tree["subjects"][0]["claim"].update(epsilon=-1.0),
        lambda tree: tree["subjects"][0]["claim"].update(delta=5.0),
        lambda tree: tree["data"].update(random_split=1),
    ],
)
def test_a_document_that_no_run_writes_is_refused(edit: Edit) -> None:
    text = to_json(sample())
    assert from_json(text) == sample()
    tree = json.loads(text)
    edit(tree)
    with pytest.raises(PrivauditError, match="document with faults"):
        from_json(json.dumps(tree))


@pytest.mark.parametrize(
    ("name", "value", "low", "high", "stated"),
    [
        ("auc", -3.0, -4.0, -2.0, False),
        ("auc", 0.6, 0.5, 1.2, False),
        ("attack_minus_control", -2.0, -3.0, 0.0, False),
        ("no_such_metric", 0.1, 0.0, 0.2, False),
        ("auc", 0.6, 0.5, 0.7, True),
        ("brier", 1.3, 1.2, 1.4, True),
    ],
)
def test_numbers_beyond_their_scale_have_no_bounds(
    name: str, value: float, low: float, high: float, stated: bool
) -> None:
    found = onesided.bounds(Estimate(Metric(name), value, low, high, n={"patients": 100}))
    assert (found is not None) is stated
