"""What the report concludes: never better than its controls and its size allow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from reader import Page, squeeze
from sample import every, game, sample, subject

from privaudit import plugins, report
from privaudit.facts import Caveat, CaveatCode, Metric, Reason, ReasonCode, Setting
from privaudit.report import numbers, reading
from privaudit.report.blocks import Callout, Card, Table, plain, walk
from privaudit.report.sections import build_sections, differential_privacy
from privaudit.report.sections import summary as section
from privaudit.report.wording import most_affected_groups, results_by_attack, summary
from privaudit.report.wording.knowledge import attack_notes, glossary, name_attack
from privaudit.results import Audit, Estimate, Finding, Subject

SMALL = {"members": 310, "nonmembers": 290, "member_patients": 310, "nonmember_patients": 290}


def only(s: Subject, **changes: object) -> Audit:
    return replace(sample(), subjects=(replace(s, **changes),))  # type: ignore[arg-type]


def with_headline(s: Subject, estimates: tuple[Estimate, ...]) -> Subject:
    assert s.headline is not None
    return replace(s, headline=replace(s.headline, estimates=estimates))


def quiet() -> Subject:
    """A model in which nothing is seen, with its controls."""
    return replace(sample().subjects[0], controls=sample().subjects[1].controls)


def leaky() -> Subject:
    return sample().subjects[3]


def prose(audit: Audit) -> str:
    return squeeze(Page(report.html(audit)).root.all("main")[0].all("section")[0].text)


def state(audit: Audit) -> str:
    return reading.read_membership(audit, audit.subjects[0]).state


def titles(audit: Audit) -> list[str]:
    return [b.title for b in section.build(audit, None) if isinstance(b, Callout)]


def test_leak_in_plain_frequencies() -> None:
    audit = only(leaky())
    assert state(audit) == "detected"
    assert (
        "The strongest attack (Few-shadow LiRA) recognises about 11.7 in 100 training patients (95 "
        "% interval 9.9 to 13.5) while wrongly naming 1 in 100 others; guessing would recognise "
        "1 in 100." in prose(audit)
    )


def test_no_leak_names_what_could_have_been_seen() -> None:
    audit = only(quiet())
    assert state(audit) == "undetected"
    text = prose(audit)
    assert "guessing would recognise 1 in 100, which is within that interval" in text
    assert "the smallest true positive rate that the audit would detect 4 times in 5" in text


def test_without_a_positive_control_silence_carries_no_weight() -> None:
    s = quiet()
    negatives = tuple(c for c in s.controls if c.kind == "negative")
    audit = only(s, controls=negatives)
    assert state(audit) == "underpowered"
    assert summary.UNDERPOWERED in prose(audit)
    assert state(only(leaky(), controls=negatives)) == "detected"


def test_a_missed_planted_leak_is_said_first() -> None:
    s = quiet()
    missed = tuple(
        replace(c, passed=False) if c.kind == "positive" and c.attack == "few_shadow_lira" else c
        for c in s.controls
    )
    audit = only(s, controls=missed)
    assert state(audit) == "underpowered"
    assert titles(audit)[0] == summary.POWERLESS_TITLE
    other = tuple(
        replace(c, passed=False) if c.kind == "positive" and c.attack == "rmia" else c
        for c in s.controls
    )
    assert state(only(s, controls=other)) == "undetected"
    assert titles(only(s, controls=other))[0] == summary.POWERLESS_TITLE


def test_a_find_where_there_is_nothing_voids_the_audit_before_any_number() -> None:
    s = leaky()
    found = tuple(replace(c, passed=c.kind == "positive") for c in s.controls)
    audit = replace(sample(), subjects=(quiet(), replace(s, controls=found)))
    assert [reading.read_membership(audit, s).state for s in audit.subjects] == [
        "invalid",
        "invalid",
    ]
    first = section.build(audit, None)[0]
    assert isinstance(first, Callout)
    assert (first.kind, first.title) == ("stop", summary.INVALID_TITLE)
    for text in (report.html(audit), report.markdown(audit)):
        assert text.index(summary.INVALID_TITLE) < text.index("in 100")


def test_a_control_that_broke_is_not_a_find() -> None:
    s = quiet()
    broken = tuple(
        replace(
            c, passed=False, estimates=(), error=Reason(ReasonCode.FAILED, {"error": "no memory"})
        )
        for c in s.controls
    )
    audit = only(s, controls=broken)
    assert state(audit) == "underpowered"
    assert summary.CONTROL_ERROR_TITLE in titles(audit)
    assert summary.INVALID_TITLE not in titles(audit)
    assert summary.POWERLESS_TITLE not in titles(audit)
    assert "error: no memory" in prose(audit)
    assert "– not made" in report.markdown(audit)


def test_no_controls_at_all_is_said() -> None:
    audit = only(quiet(), controls=())
    assert state(audit) == "underpowered"
    assert summary.UNCONTROLLED_TITLE in titles(audit)


def test_controls_of_another_model_serve_and_are_named() -> None:
    audit = sample()
    r = reading.read_membership(audit, audit.subjects[0])
    assert (r.state, r.borrowed) == ("undetected", True)
    assert summary.BORROWED in report.markdown(audit)


def test_too_small_says_how_many_more() -> None:
    audit = only(with_headline(quiet(), game(0.0, SMALL)))
    assert state(audit) == "small"
    text = prose(audit)
    assert (
        "There are too few patients for a rate at a false positive rate of 1 %: there are 290 "
        "held-out patients in the half that the number is estimated on, and about 1,420 more are "
        "needed in all." in text
    )
    assert "while wrongly naming 1 in 10 others" in text


def test_too_small_for_a_verdict_may_still_show_a_leak() -> None:
    assert state(only(with_headline(quiet(), game(0.9, SMALL)))) == "detected"


def test_a_half_too_small_is_backed_by_the_rate_on_all_patients() -> None:
    text = prose(only(with_headline(leaky(), game(0.9, SMALL))))
    assert "On all patients the same attack recognises about 12.3 in 100 (95 % interval" in text
    assert text.index("while wrongly naming 1 in 10 others") < text.index(
        "too few patients for a rate"
    )
    assert "On all patients" not in prose(only(leaky()))


def test_a_cohort_too_small_for_any_rate() -> None:
    tiny = dict.fromkeys(SMALL, 40)
    audit = only(with_headline(quiet(), game(0.0, tiny)), outcomes=())
    assert state(audit) == "small"
    assert "while wrongly naming" not in prose(audit)
    assert "picks the training patient" in prose(audit)
    assert "not stated" in prose(audit)


def test_no_membership_result_is_no_low_risk() -> None:
    s = quiet()
    rest = tuple(o for o in s.outcomes if o.family != "membership")
    audit = only(s, headline=None, outcomes=rest)
    assert state(audit) == "untested"
    assert summary.UNTESTED in prose(audit)
    nothing = only(s, headline=None, outcomes=(), controls=())
    assert state(nothing) == "untested"
    assert results_by_attack.NO_FINDINGS in report.markdown(nothing)


def test_an_attack_picked_afterwards_is_owned_up_to() -> None:
    audit = only(leaky(), headline=None)
    r = reading.read_membership(audit, audit.subjects[0])
    assert r.afterwards
    assert r.finding is not None
    assert r.finding.attack == "few_shadow_lira"
    assert summary.AFTERWARDS() in prose(audit)


def test_generated_data_are_no_mimic_results_and_real_ones_measure_the_model() -> None:
    audit = sample()
    assert "These numbers are not MIMIC-III results" in prose(audit)
    real = replace(audit, data=replace(audit.data, real=True, source="MIMIC-III"))
    assert "not MIMIC-III results" not in report.markdown(real)
    assert summary.MEASURES_MODEL() in prose(real)


def test_no_verdict_against_a_policy_is_said() -> None:
    assert summary.NO_POLICY in prose(sample())


def test_skipped_and_failed_attacks_are_visible_with_their_reasons() -> None:
    text = report.markdown(sample())
    assert "| FGSM | failed with an error | error: the gradient was not a number |" in text
    assert "| FGSM, PGD | did not apply | the attack needs to read the model’s parameters" in text


def test_every_refusal_is_explained() -> None:
    audit = only(with_headline(quiet(), game(0.0, SMALL)))
    games = tuple(
        replace(o, estimates=game(0.0, SMALL))
        for o in audit.subjects[0].outcomes
        if isinstance(o, Finding) and o.family == "membership"
    )
    text = squeeze(report.markdown(only(audit.subjects[0], outcomes=games)))
    assert "10 % FPR, by release and attack" in text
    strange = tuple(
        replace(
            o,
            estimates=(
                replace(
                    o.estimates[0],
                    value=None,
                    low=None,
                    high=None,
                    refusal=Reason(ReasonCode.NO_MEMBER),
                ),
                *o.estimates[1:],
            ),
        )
        for o in games
    )
    text = squeeze(report.markdown(only(audit.subjects[0], outcomes=strange)))
    assert "Not stated: there is no training record." in text


def test_every_estimate_of_a_finding_is_shown_even_of_unknown_name() -> None:
    s = leaky()
    strange = (
        Estimate(Metric("made_up_measure"), 0.123456, 0.1, 0.15, 0.05),
        Estimate(Metric("other_thing", at=Setting("variant", "3 rounds")), 12345.678),
        Estimate(Metric("refused_thing"), None, refusal=Reason(ReasonCode.NO_STABLE_FIT)),
    )
    one = s.outcomes[0]
    assert isinstance(one, Finding)
    audit = only(s, outcomes=(replace(one, estimates=one.estimates + strange), *s.outcomes[1:]))
    text = report.markdown(audit)
    assert "| Made up measure | 0.123 (0.100 to 0.150) | 0.05 |" in text.replace("\u00a0", " ")
    assert "Other thing, 3 rounds | 12,345.678" in text
    assert "not stated: the fit does not converge" in text


def test_other_families_are_told_with_their_comparison() -> None:
    s = leaky()
    n = {"attempts": 100, "patients": 100}
    at = Setting("column", "insurance")
    finding = Finding(
        "guesser",
        "attribute",
        {},
        ("ANSWERS",),
        (
            Estimate(Metric("attack_rate", at=at), 0.42, 0.32, 0.52, 0.4, n),
            Estimate(Metric("control_rate", at=at), 0.40, 0.31, 0.50, 0.4, n),
            Estimate(Metric("attack_minus_control", at=at), 0.02, -0.1, 0.14, 0.0, n),
            Estimate(Metric("guess_rate", at=at), 0.39, 0.29, 0.49, 0.39, n),
            Estimate(Metric("attack_minus_guess", at=at), 0.03, -0.1, 0.16, 0.0, n),
        ),
    )
    audit = only(s, outcomes=(*s.outcomes, finding))
    text = prose(audit)
    assert (
        "guesser, insurance (Attribute inference): the share of attempts on training patients that "
        "succeed is about 42 in 100" in text
    )
    assert "without the release (baseline), 39 in 100" in text
    assert "| guesser | insurance | 42 % (32 to 52) |" in report.markdown(audit).replace(
        "\u00a0", " "
    )


def test_an_epsilon_is_printed_with_all_that_bounds_it() -> None:
    s = leaky()
    promise = replace(s.claim, epsilon=1.0, delta=1e-6, covers=("WEIGHTS",), basis="PLD, 900 steps")
    text = report.markdown(only(s, claim=promise))
    assert "epsilon 1, delta 0.000001, for one patient (add-remove)" in text
    assert "PLD, 900 steps" in text


def test_groups_lead_with_the_worst_and_own_up_to_what_is_hidden() -> None:
    text = report.markdown(sample()).replace("\u00a0", " ")
    assert "baseline-mlp: highest for age: 18-39" in text
    assert "| unit: TSICU | not shown |  |  |  |  |" in text
    assert most_affected_groups.word_suppressed(1) in text


def tables(audit: Audit) -> Iterator[Table]:
    for part in build_sections(audit):
        for block in walk(part.blocks):
            if isinstance(block, Table):
                yield block


def test_every_interval_is_in_order_and_no_value_is_bare() -> None:
    for table in tables(sample()):
        for row in table.rows:
            assert len(row) == len(table.columns)
            for cell in row:
                text = plain(cell)
                assert "nan" not in text.lower().split()
                assert "None" not in text


def test_one_card_a_model_with_its_badge() -> None:
    audit = sample()
    cards = [b for b in section.build(audit, None) if isinstance(b, Card)]
    assert [c.title for c in cards] == [s.name for s in audit.subjects]
    assert [c.badge.state for c in cards] == ["undetected", "detected", "detected", "detected"]


def test_every_attack_of_the_house_has_its_note_and_source() -> None:
    own = [
        name for name, path in plugins.members("attacks").items() if path.startswith("privaudit.")
    ]
    assert own
    for name in own:
        assert attack_notes()[name].sources


def test_glossary_links_point_at_entries() -> None:
    page = Page(report.html(sample())).root
    anchors = {e.attributes["id"] for e in page.walk() if "id" in e.attributes}
    assert {f"term-{term.anchor}" for term in glossary()} <= anchors
    linked = [word for term in glossary() for word in term.linked]
    assert len(linked) == len(set(linked))


@pytest.mark.parametrize("count", [1, 2, 12])
def test_any_number_of_models(count: int) -> None:
    many = tuple(
        replace(subject("mlp", 0.84 + 0.001 * i, 0.9, 0.3, ()), name=f"model {i}")
        for i in range(count)
    )
    audit = replace(sample(), subjects=many)
    root = Page(report.html(audit)).root
    assert sum(e.attributes.get("class", "").startswith("card") for e in root.all("article")) == (
        min(count, reading.MAX_DETAILED)
    )


def test_numbers_of_the_half_width_rule() -> None:
    def shown(name: str, value: float, low: float, high: float) -> str:
        fpr = 0.01 if name == "tpr" else None
        return squeeze(numbers.estimate_text(Estimate(Metric(name, fpr=fpr), value, low, high)))

    assert shown("tpr", 0.0702, 0.0581, 0.0860) == "7.0 % (5.8 to 8.6)"
    assert shown("tpr", 0.5512, 0.43, 0.67) == "55 % (43 to 67)"
    assert shown("auc", 0.55612, 0.5421, 0.5701) == "0.556 (0.542 to 0.570)"
    assert shown("auc", 0.55612, 0.49, 0.62) == "0.56 (0.49 to 0.62)"
    assert shown("calibration_intercept", -0.2412, -0.35, -0.13) == "−0.24 (−0.35 to −0.13)"
    assert shown("attack_minus_control", 0.1234, 0.1, 0.15) == "+12.3 points (+10.0 to +15.0)"


def test_a_headline_on_all_patients_asks_for_no_double() -> None:
    s = leaky()
    full = next(o for o in s.outcomes if isinstance(o, Finding) and o.attack == "few_shadow_lira")
    audit = only(replace(s, headline=full))
    assert not reading.is_halved(
        audit.subjects[0], reading.read_membership(audit, audit.subjects[0])
    )
    assert "in the half" not in prose(audit)


def test_a_broken_promise_and_what_was_not_trained_are_said_first() -> None:
    audit = every()
    shown = titles(audit)
    assert shown[0] == summary.DEFECT_TITLE
    assert summary.UNTRAINED_TITLE in shown
    text = prose(audit)
    assert "an epsilon of at least 4.2" in text
    assert "dp_ebm: the library interpret is not installed" in text
    badges = {
        b.title: b.badge.text
        for b in walk(differential_privacy.build(audit, None))
        if isinstance(b, Card)
    }
    assert badges == {
        "dp_sgd@1": "○ Not refuted",
        "dp_sgd@3": "○ Not refuted",
        "dp_linear": "✕ Refuted",
        "dp_forest": "◇ Not comparable",
    }


def test_an_attack_without_a_note_is_reported_under_its_own_name() -> None:
    s = leaky()
    one = s.outcomes[0]
    assert isinstance(one, Finding)
    text = report.markdown(only(s, outcomes=(replace(one, attack="brand_new"), *s.outcomes)))
    assert name_attack("brand_new") == "brand_new"
    assert "brand\\_new" in text or "brand_new" in text


def test_what_speaks_of_another_release_does_not_count_against_this_one() -> None:
    """Key recovery with sums in float64 succeeds always, and the release publishes rounded ones."""
    text = prose(every())
    assert "Key recovery on federated_encrypted" not in text
    assert "(server, sums in float64)" in squeeze(report.markdown(every()))


def test_a_defect_hangs_on_its_severity_alone() -> None:
    s = next(s for s in every().subjects if s.name == "dp_linear")
    found = next(o for o in s.outcomes if isinstance(o, Finding) and o.family == "epsilon")
    (caveat,) = found.caveats
    milder = replace(found, caveats=(replace(caveat, severity="note"),))
    outcomes = tuple(milder if o is found else o for o in s.outcomes)
    assert reading.get_defect(s) == caveat
    assert reading.get_defect(replace(s, outcomes=outcomes)) is None
    other = Caveat(CaveatCode.NOTE, "defect", {"text": "any words"})
    outcomes = tuple(replace(found, caveats=(other,)) if o is found else o for o in s.outcomes)
    assert reading.get_defect(replace(s, outcomes=outcomes)) == other
