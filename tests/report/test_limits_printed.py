"""No value above a limit is printed as the limit, and none below it either."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from privaudit.disclosure_limits import WITHHELD
from privaudit.facts import Caveat, CaveatCode, Metric, Param, Reason, ReasonCode
from privaudit.report import numbers as n
from privaudit.report.formats import markdown
from privaudit.report.wording import policy_verdicts as words
from privaudit.report.wording import verdicts as sentences
from privaudit.report.wording.reasons_and_caveats import word_caveat
from privaudit.report.wording.summary import word_bound
from privaudit.report.wording.training_and_guarantees import word_budget
from privaudit.results import ClaimText, Estimate
from privaudit.verdicts import Verdict

LIMITS = st.one_of(
    st.sampled_from([0.001, 0.01, 0.03, 0.05, 0.1, 0.55, 0.6, 0.7, 1.0, 3.0, 8.0, 10.0, 1e-5]),
    st.integers(1, 9999).map(lambda k: k / 10_000),
    st.integers(1, 400).map(lambda k: k / 4),
)
GAPS = st.sampled_from([1e-3, -1e-3, 1e-4, -1e-4, 4e-6, -4e-6, 0.02, -0.3])


def read(text: str) -> float:
    return float(text.replace(",", "").replace(n.MINUS, "-"))


@settings(max_examples=300, deadline=None)
@given(LIMITS, GAPS)
def test_numbers_stand_to_a_limit_as_their_values_do(limit: float, gap: float) -> None:
    value = limit * (1 + gap)
    shown, bound = read(n.beside(value, limit)), read(n.whole(limit))
    assert (shown > bound, shown < bound) == (gap > 0, gap < 0)
    base = sentences.choose_base(limit)
    shown = read(sentences.count_in(value, base, limit))
    bound = read(sentences.count_in(limit, base, limit))
    assert (shown > bound, shown < bound) == (gap > 0, gap < 0)
    assert n.beside(limit, limit) == n.whole(limit)


@settings(max_examples=100, deadline=None)
@given(st.floats(1e-4, 1e4))
def test_a_limit_is_printed_whole_and_a_claim_never_as_less_than_it_is(number: float) -> None:
    assert read(n.whole(number)) == pytest.approx(number, rel=1e-9)
    assert read(n.claimed(number)) >= number * (1 - 1e-8)
    assert read(n.claimed(number)) <= number * 1.006


def verdict(metric: str, number: str, limit: float, value: float, **more: object) -> Verdict:
    kind = "guard" if metric.startswith("utility") else "limit"
    reason = {
        "limit": Reason(
            ReasonCode.EXCEEDS_BOUND,
            {"adjusted": False, "others": (), "listed": True, "table": False},
        ),
        "guard": Reason(ReasonCode.MISSES_MINIMUM, {"adjusted": False}),
    }[kind]
    made = Verdict(
        rule="a rule",
        kind=kind,
        subject="model",
        metric=metric,
        state="EXCEEDS",
        severity="block",
        limit=limit,
        reason=reason,
        value=value,
        low=value,
        high=value,
        lower=value,
        upper=value,
        attack="" if kind == "guard" else "lira",
        number=Metric(number, fpr=0.01 if number == "tpr" else None),
        fpr=0.01 if number == "tpr" else None,
        at_least=kind == "guard",
    )
    return replace(made, **more)


CASES = (
    ("membership.auc", "auc", 0.6),
    ("membership.tpr", "tpr", 0.03),
    ("membership.tpr", "tpr", 0.0125),
    ("attribute.advantage", "attack_minus_guess", 0.07),
    ("utility.auroc", "auroc", 0.7),
    ("utility.calibration_intercept", "calibration_intercept", 8.0),
    ("epsilon.lower_bound", "epsilon_lower_bound", 8.0),
)


def texts(v: Verdict) -> list[str]:
    """Every sentence and cell in which the verdict's numbers stand."""
    return [
        sentences.word_finding(v),
        sentences.word_reason(v),
        sentences.word_numbers(v),
        words.word_decided(v),
        markdown._bounds(v),
    ]


def count(text: str, number: str) -> int:
    return len(re.findall(rf"(?<![\d.,]){re.escape(number)}(?![\d,]|\.\d)", text))


@pytest.mark.parametrize(("metric", "number", "limit"), CASES)
@pytest.mark.parametrize("gap", [1e-3, -1e-3, 2e-5, -2e-5])
def test_no_sentence_prints_a_value_as_the_limit(
    metric: str, number: str, limit: float, gap: float
) -> None:
    near = verdict(metric, number, limit, limit * (1 + gap))
    # Of a value far from it, the limit stands there as often as a sentence names the limit.
    far = verdict(metric, number, limit, limit * 1.7)
    shown = {n.whole(limit), n.whole(limit * 100), n.whole(limit * 1000)}
    for one, other in zip(texts(near), texts(far), strict=True):
        for text in shown:
            assert count(one, text) == count(other, text), one


def test_a_claim_above_its_limit_is_told_apart() -> None:
    reason = Reason(
        ReasonCode.GUARANTEE_ABOVE, {"epsilon": 8.001, "delta": 1e-5, "unit": "patient"}
    )
    v = Verdict(
        "claim", "limit", "model", "epsilon.claimed", "EXCEEDS", "block", 8.0, reason, value=8.001
    )
    found = sentences.word_finding(v)
    assert "epsilon 8.001 " in found
    assert "your policy allows epsilon 8." in found
    assert "8.001" in sentences.word_numbers(v)
    assert "8.001" in words.word_decided(v)
    delta = replace(
        v,
        metric="epsilon.delta",
        limit=1e-5,
        value=1.001e-5,
        reason=replace(reason, params={**reason.params, "delta": 1.001e-5}),
    )
    assert "delta 0.00001001 " in sentences.word_finding(delta)


def test_a_proof_beside_a_claim_and_the_claim_itself() -> None:
    claim = ClaimText(8.001, 1e-5, "patient", "add-remove", (), "a basis")
    assert word_budget(claim).startswith("8.001,")
    params = {
        "attack": "lira",
        "subject": "model",
        "bound": 8.002,
        "confidence": 0.95,
        "claimed": 8.001,
    }
    text = word_caveat(Caveat(CaveatCode.GUARANTEE_BROKEN, "defect", params))
    assert "8.002" in text
    assert "8.001" in text
    assert word_budget(replace(claim, epsilon=3.0)).startswith("3,")
    found = Estimate(Metric("epsilon_lower_bound"), 8.004, 8.004, None, None, {"patients": 100})
    assert "at least 8.004, where 8 is claimed" in word_bound("one_run", found, 8.0)


def test_a_count_that_is_withheld_breaks_no_sentence() -> None:
    params: dict[str, Param] = {"more": WITHHELD, "have": WITHHELD, "fpr": 0.01}
    made = replace(
        verdict("membership.tpr", "tpr", 0.1, 0.1),
        state="INCONCLUSIVE",
        reason=Reason(ReasonCode.TOO_FEW_HELD_OUT, params),
    )
    assert "withheld" not in sentences.word_remedy(made)
    assert "coarser rate" in sentences.word_remedy(made)
