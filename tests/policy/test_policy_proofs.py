"""A limit on what an attack proves: refuted, or not refuted, which is no evidence of a low risk."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import date

import pytest
from policy_lab import DAY, POOL, TOML, audit, controls, leave_out, member, number, policy, subject

from privaudit.disclosure.coarsen import coarsen
from privaudit.errors import PrivauditError
from privaudit.facts import Bound, BoundMethod, Metric, ReasonCode
from privaudit.policy import baseline, judge
from privaudit.policy.file import parse
from privaudit.policy.judge import overall
from privaudit.policy.rules import Exemption, Guard, Limit, Policy, Regression, Statistics
from privaudit.report.formats.shared import weigh
from privaudit.report.judged import count_broken, get_decisive, get_standing
from privaudit.report.wording.verdicts import explain_verdict, word_finding
from privaudit.results import Audit, ClaimText, Estimate, Finding, Subject
from privaudit.verdicts import Verdict, Verdicts, from_json, to_json

STEINKE = Bound(BoundMethod.STEINKE, delta=0.0, tried=10, made=78, right=78, assigned=2495)
EPSILON = Limit("eps", "epsilon.lower_bound", 3.0)
AUC = Limit("auc", "membership.auc", 0.6)
USEFUL = Guard("useful", "utility.auroc", min=0.7)


def proof(value: float, n: dict[str, int] | None = None) -> Finding:
    bound = Estimate(
        Metric("epsilon_lower_bound"), value, value, None, 0.0, n or POOL, 0.95, STEINKE
    )
    return Finding("one_run", "epsilon", {}, (), (bound,))


def release(value: float, auc: float = 0.5, name: str = "model") -> Subject:
    found = member("lira", number("auc", auc, auc - 0.02, auc + 0.02))
    return subject(name, outcomes=[found, proof(value)], checks=controls())


def ruled(made: Audit, rules: Policy) -> Verdicts:
    found = judge(rules, made, today=DAY)
    assert from_json(to_json(found)) == found
    return found


def of_proof(found: Verdicts) -> Verdict:
    (one,) = (v for v in found.verdicts if v.metric == "epsilon.lower_bound")
    return one


def test_a_proof_refutes_or_does_not_and_never_keeps_a_limit() -> None:
    for value, state, code in (
        (3.5, "REFUTED", ReasonCode.PROVED_ABOVE),
        (2.5, "NOT REFUTED", ReasonCode.NOT_PROVED_ABOVE),
        (0.0, "NOT REFUTED", ReasonCode.NOT_PROVED_ABOVE),
    ):
        one = of_proof(ruled(audit(subject(outcomes=[proof(value)])), policy(EPSILON)))
        assert (one.state, one.reason.code, one.upper) == (state, code, None)
        assert "may be larger" in word_finding(one)
    few = {"member_patients": 20, "nonmember_patients": 20}
    blind = of_proof(ruled(audit(subject(outcomes=[proof(0.2, few)])), policy(EPSILON)))
    assert (blind.state, blind.reason.code) == ("INCONCLUSIVE", ReasonCode.NOTHING_PROVABLE)
    (said,) = (text for text in explain_verdict(one) if "bounds epsilon from above" in text)
    assert "does not show that the limit is kept" in said


@pytest.mark.parametrize(
    ("value", "auc", "rules", "state", "code"),
    [
        (2.5, 0.5, (EPSILON,), "INCONCLUSIVE", 3),
        (2.5, 0.5, (EPSILON, USEFUL), "INCONCLUSIVE", 3),
        (2.5, 0.5, (EPSILON, AUC), "WITHIN", 0),
        (2.5, 0.59, (EPSILON, AUC), "INCONCLUSIVE", 3),
        (2.5, 0.9, (EPSILON, AUC), "EXCEEDS", 1),
        (2.5, 0.5, (EPSILON, replace(AUC, severity="warn")), "INCONCLUSIVE", 3),
        (3.5, 0.5, (EPSILON,), "EXCEEDS", 1),
        (3.5, 0.5, (EPSILON, AUC), "EXCEEDS", 1),
        (3.5, 0.5, (replace(EPSILON, severity="warn"), AUC), "WITHIN", 0),
        (2.5, 0.5, (replace(EPSILON, severity="warn"), AUC), "WITHIN", 0),
        (2.5, 0.5, (replace(EPSILON, severity="warn"), USEFUL), "WITHIN", 0),
    ],
)
def test_what_it_means_for_the_whole(value, auc, rules, state, code) -> None:
    found = ruled(audit(release(value, auc)), policy(*rules))
    assert (found.state, found.code) == (state, code)
    weighed = {weigh(found, one) for one in found.verdicts}
    assert bool(weighed & {"exceeds", "undecided"}) == (code != 0)
    broken, known = count_broken(found)
    assert (broken > 0) == (state == "EXCEEDS")
    assert known == sum(rule.severity == "block" for rule in rules)
    standing = get_standing(found, ["model"])
    place = {"EXCEEDS": "exceeding", "WITHIN": "within", "INCONCLUSIVE": "undecided"}[state]
    assert getattr(standing, place) == ("model",)
    first = get_decisive(found)
    assert first is not None
    if code == 1 and auc == 0.5:
        assert first.state == "REFUTED"


def test_each_release_must_be_shown_by_its_own_limits() -> None:
    one, other = release(2.5, name="one"), replace(release(2.5, name="other"), outcomes=())
    other = replace(other, outcomes=(proof(2.5),), controls=())
    rules = policy(EPSILON, AUC)
    assert ruled(audit(one), rules).state == "WITHIN"
    found = ruled(audit(one, other), rules)
    assert (found.state, found.code) == ("INCONCLUSIVE", 3)


def test_a_refuted_limit_can_be_waived_and_one_that_is_not_refuted_needs_no_waiver() -> None:
    waiver = Exemption("eps", "pilot", "Dr. Who", date(2030, 1, 1))
    rules = policy(EPSILON, AUC, waivers=(waiver,))
    refuted = ruled(audit(release(3.5)), rules)
    assert (refuted.state, refuted.code) == ("EXCEEDS", 0)
    assert of_proof(refuted).waiver is not None
    assert weigh(refuted, of_proof(refuted)) == "waived"
    assert of_proof(ruled(audit(release(2.5)), rules)).waiver is None
    # Whoever waives the only other limit answers for it: the exit code is theirs.
    found = ruled(
        audit(release(2.5, 0.9)), policy(EPSILON, AUC, waivers=(replace(waiver, limit="auc"),))
    )
    assert (found.state, found.code) == ("EXCEEDS", 0)


def test_a_policy_that_lets_the_undecided_pass_still_does_not_call_it_within() -> None:
    rules = policy(EPSILON, statistics=Statistics(on_inconclusive="pass"))
    found = ruled(audit(release(2.5)), replace(rules, left_out=leave_out([EPSILON])))
    assert (found.state, found.code) == ("INCONCLUSIVE", 0)
    assert ruled(audit(release(3.5)), rules).code == 1


def test_no_mix_of_states_passes_by_what_was_not_refuted() -> None:
    """Whatever stands beside it: without a limit that is WITHIN the whole never is."""
    one = of_proof(ruled(audit(release(2.5)), policy(EPSILON, AUC)))
    states = ("WITHIN", "EXCEEDS", "REFUTED", "INCONCLUSIVE", "NOT TESTED", "NOT REFUTED")
    kinds = (
        ("limit", one.metric),
        ("guard", "utility.auroc"),
        ("regression", "membership.auc"),
        ("regression", "utility.auroc"),
    )
    for (a, b), found in itertools.product(
        itertools.product(states, repeat=2), itertools.product(kinds, repeat=2)
    ):
        (kind, metric), (other, second) = found
        beside = [
            replace(one, state=a, kind=kind, metric=metric),
            replace(one, state=b, kind=other, metric=second),
        ]
        state, code = overall(policy(EPSILON), [one, *beside])
        risks = {v.state for v in beside if v.metric != "utility.auroc"}
        assert (state == "WITHIN") == (code == 0)
        if state == "WITHIN":
            assert "WITHIN" in risks
            assert {a, b} <= {"WITHIN", "NOT REFUTED"}
        assert (code == 1) == bool({a, b} & {"EXCEEDS", "REFUTED"})


def test_what_rounding_takes_off_a_proof_is_not_within() -> None:
    """3.04 is proven, the shared document says 3.0, and the limit is 3."""
    made = audit(subject(outcomes=[proof(3.04)]))
    made = replace(made, data=replace(made.data, real=True))
    limit = policy(EPSILON)
    shared = coarsen(made)
    (stated,) = shared.subjects[0].outcomes[0].estimates  # type: ignore[union-attr]
    assert stated.value == 3.0
    assert of_proof(ruled(shared, limit)).state == "INCONCLUSIVE"
    higher = policy(replace(EPSILON, max=3.1))
    assert of_proof(ruled(coarsen(made), higher)).state == "NOT REFUTED"
    open_data = replace(made, manifest=replace(made.manifest, exact_counts=True))
    assert of_proof(ruled(coarsen(open_data), limit)).state == "REFUTED"


def test_a_small_delta_says_nothing_of_a_risk() -> None:
    """A claim of epsilon 500 at a small delta, and no attack that proves more than 3."""
    claim = ClaimText(500.0, 1e-9, "patient", "add-remove", ("ANSWERS",), "stated")
    made = audit(replace(subject(outcomes=[proof(2.5)]), claim=claim))
    found = ruled(made, policy(EPSILON, Limit("delta", "epsilon.delta", 1e-5)))
    states = {v.metric: v.state for v in found.verdicts}
    assert states == {"epsilon.lower_bound": "NOT REFUTED", "epsilon.delta": "WITHIN"}
    assert (found.state, found.code, found.unshown) == ("INCONCLUSIVE", 3, ("model",))
    small = replace(claim, epsilon=2.9)
    made = audit(replace(subject(outcomes=[proof(2.5)]), claim=small))
    assert ruled(made, policy(EPSILON, Limit("claim", "epsilon.claimed", 3.0))).code == 0


def test_what_is_proved_before_and_after_passes_no_gate_by_itself() -> None:
    """A candidate by which 20 patients could prove nothing is no better than one that leaks."""
    rule = Regression("worse", "epsilon.lower_bound", 0.5, candidate_seeds=3)

    def runs(day: int) -> list[Audit]:
        made = [audit(subject(outcomes=[proof(0.0)])) for _ in range(4)]
        return [
            replace(
                one,
                manifest=replace(
                    one.manifest,
                    seed_commitment=f"sha256:{seed:064x}",
                    records_fingerprint="hmac-sha256:0123456789ab:" + "7" * 64,
                    created=f"2026-11-0{day}T00:00:00+00:00",
                ),
            )
            for seed, one in enumerate(made)
        ]

    base = baseline.create(runs(1), who="w", when="2026-11-01", reason="r")
    first, *others = runs(2)
    for rules in ((rule,), (EPSILON, rule), (EPSILON, rule, USEFUL)):
        found = judge(policy(*rules), first, baseline=base, candidates=others, today=DAY)
        assert (found.state, found.code) == ("INCONCLUSIVE", 3)
    text = TOML + '\n[[regression]]\nmetric = "epsilon.lower_bound"\nmargin = 0.5\n'
    with pytest.raises(PrivauditError, match="no evidence that a candidate leaks no more"):
        parse(text.encode())
