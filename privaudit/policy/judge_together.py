"""A limit on what is guaranteed, held against all private releases of a run together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from privaudit.composition import add_up, group_claims
from privaudit.facts import Param, Reason, ReasonCode
from privaudit.policy import metrics
from privaudit.policy.judge_number import bound_of
from privaudit.policy.rules import Limit, Policy
from privaudit.results import Audit, ClaimText, ComposedClaim, Subject
from privaudit.verdicts import State, Verdict


def judge_together(policy: Policy, audit: Audit, subjects: Sequence[Subject]) -> list[Verdict]:
    """One verdict for each limit on a guarantee and each unit and relation that is claimed.

    The releases were trained on the same patients, so a patient's privacy is what their guarantees
    come to together. Where they are for different units or relations no number says it, and the
    limit is undecided. None where at most one release claims anything: it is judged alone.
    """
    groups = group_claims({subject.name: subject.claim for subject in subjects})
    found = []
    for rule in policy.limits:
        if metrics.METRICS[rule.metric].kind != "claim":
            continue
        found += [_judge(rule, audit, own) for own in groups.values() if len(own) > 1]
        if len(groups) > 1:
            names = tuple(name for own in groups.values() for name in own)
            kinds = tuple(f"{unit}, {neighbours}" for unit, neighbours in groups)
            reason = Reason(ReasonCode.GUARANTEES_APART, {"kinds": kinds})
            found.append(_verdict(rule, names, "INCONCLUSIVE", reason, None))
    return found


def _judge(rule: Limit, audit: Audit, own: Mapping[str, ClaimText]) -> Verdict:
    made = _bound(audit, own)
    value = made.delta if rule.metric == "epsilon.delta" else made.epsilon
    code = ReasonCode.GUARANTEE_WITHIN if value <= rule.max else ReasonCode.GUARANTEE_ABOVE
    params: dict[str, Param] = {"epsilon": made.epsilon, "delta": made.delta, "unit": made.unit}
    state: State = "WITHIN" if code is ReasonCode.GUARANTEE_WITHIN else "EXCEEDS"
    return _verdict(rule, tuple(own), state, Reason(code, params), value)


def _bound(audit: Audit, own: Mapping[str, ClaimText]) -> ComposedClaim:
    """The composed claim of these releases: that of the document where it is about all of them, or
    about more; the sum where that is less, or the document has none. Neither epsilon nor delta is
    ever less than the largest of its parts.

    A document from which the composed claim was taken out is judged by the sum.
    """
    sums = add_up(own)
    for composed in audit.composed:
        same = (composed.unit, composed.neighbours) == (sums.unit, sums.neighbours)
        enough = composed.epsilon >= max(claim.epsilon or 0.0 for claim in own.values())
        enough = enough and composed.delta >= max(claim.delta for claim in own.values())
        fits = set(own) <= set(composed.subjects) and enough
        if same and fits and composed.epsilon < sums.epsilon:
            return composed
    return sums


def _verdict(
    rule: Limit, names: tuple[str, ...], state: State, reason: Reason, value: float | None
) -> Verdict:
    return Verdict(
        rule=rule.id,
        kind="limit",
        subject="",
        metric=rule.metric,
        state=state,
        severity=rule.severity,
        limit=bound_of(rule),
        reason=reason,
        value=value,
        lower=value,
        upper=value,
        together=names,
    )


__all__ = ["judge_together"]
