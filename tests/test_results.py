"""The audit document: what it holds comes back as the same types, and nothing else is read."""

from __future__ import annotations

import pytest
from cattrs.errors import BaseValidationError

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
from privaudit.results import Estimate, from_tree, to_tree


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
