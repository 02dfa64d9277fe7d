"""What the report concludes: never better than its controls and its size allow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from reader import Page, squeeze
from sample import every, game, sample, subject

from privaudit import plugins, report
from privaudit.report import notes, numbers, reading, terms
from privaudit.report import wording as sentences
from privaudit.report.blocks import Callout, Card, Table, plain, walk
from privaudit.report.sections import answer, promises
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
    return reading.read(audit, audit.subjects[0]).state


def titles(audit: Audit) -> list[str]:
    return [b.title for b in answer.build(audit) if isinstance(b, Callout)]


def test_leak_in_plain_frequencies() -> None:
    audit = only(leaky())
    assert state(audit) == "found"
    assert (
        "The strongest attack (Few-shadow Bayes) recognises about 11.7 in 100 training patients "
        "(95 % interval 9.9 to 13.5) while wrongly naming 1 in 100 others; guessing would recognise "
        "1 in 100." in prose(audit)
    )


def test_no_leak_names_what_could_have_been_seen() -> None:
    audit = only(quiet())
    assert state(audit) == "unseen"
    text = prose(audit)
    assert "guessing gives 1 in 100, within that interval" in text
    assert "The smallest rate that this many patients would have revealed" in text


def test_without_a_positive_control_silence_carries_no_weight() -> None:
    s = quiet()
    negatives = tuple(c for c in s.controls if c.kind == "negative")
    audit = only(s, controls=negatives)
    assert state(audit) == "weak"
    assert sentences.WEAK in prose(audit)
    assert state(only(leaky(), controls=negatives)) == "found"


def test_a_missed_planted_leak_is_said_first() -> None:
    s = quiet()
    missed = tuple(
        replace(c, passed=False) if c.kind == "positive" and c.attack == "few_shadow_lira" else c
        for c in s.controls
    )
    audit = only(s, controls=missed)
    assert state(audit) == "weak"
    assert titles(audit)[0] == sentences.POWERLESS_TITLE
    other = tuple(
        replace(c, passed=False) if c.kind == "positive" and c.attack == "rmia" else c
        for c in s.controls
    )
    assert state(only(s, controls=other)) == "unseen"
    assert titles(only(s, controls=other))[0] == sentences.POWERLESS_TITLE


def test_a_find_where_there_is_nothing_voids_the_audit_before_any_number() -> None:
    s = leaky()
    found = tuple(replace(c, passed=c.kind == "positive") for c in s.controls)
    audit = replace(sample(), subjects=(quiet(), replace(s, controls=found)))
    assert [reading.read(audit, s).state for s in audit.subjects] == ["invalid", "invalid"]
    first = answer.build(audit)[0]
    assert isinstance(first, Callout)
    assert (first.kind, first.title) == ("stop", sentences.INVALID_TITLE)
    for text in (report.html(audit), report.markdown(audit)):
        assert text.index(sentences.INVALID_TITLE) < text.index("in 100")


def test_a_control_that_broke_is_not_a_find() -> None:
    s = quiet()
    broken = tuple(
        replace(c, passed=False, estimates=(), what="the control broke: no memory")
        for c in s.controls
    )
    audit = only(s, controls=broken)
    assert state(audit) == "weak"
    assert sentences.BROKEN_TITLE in titles(audit)
    assert sentences.INVALID_TITLE not in titles(audit)
    assert sentences.POWERLESS_TITLE not in titles(audit)
    assert "the control broke: no memory" in prose(audit)
    assert "could not be run" in report.markdown(audit)


def test_no_controls_at_all_is_said() -> None:
    audit = only(quiet(), controls=())
    assert state(audit) == "weak"
    assert sentences.UNCONTROLLED_TITLE in titles(audit)


def test_controls_of_another_model_serve_and_are_named() -> None:
    audit = sample()
    r = reading.read(audit, audit.subjects[0])
    assert (r.state, r.borrowed) == ("unseen", True)
    assert sentences.BORROWED in report.markdown(audit)


def test_too_small_says_how_many_more() -> None:
    audit = only(with_headline(quiet(), game(0.0, SMALL)))
    assert state(audit) == "small"
    text = prose(audit)
    assert (
        "The cohort is too small for a verdict at 1 in 100 false alarms: there are 290 held-out "
        "patients in the half that the number is measured on, and about 1,420 more held-out "
        "patients are needed in all." in text
    )
    assert "while wrongly naming 1 in 10 others" in text


def test_too_small_for_a_verdict_may_still_show_a_leak() -> None:
    assert state(only(with_headline(quiet(), game(0.9, SMALL)))) == "found"


def test_a_half_too_small_is_backed_by_the_rate_on_all_patients() -> None:
    text = prose(only(with_headline(leaky(), game(0.9, SMALL))))
    assert "On all patients the same attack recognises about 12.3 in 100 (95 % interval" in text
    assert text.index("while wrongly naming 1 in 10 others") < text.index("too small for a verdict")
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
    assert sentences.UNTESTED in prose(audit)
    nothing = only(s, headline=None, outcomes=(), controls=())
    assert state(nothing) == "untested"
    assert sentences.NO_FINDINGS in report.markdown(nothing)


def test_an_attack_picked_afterwards_is_owned_up_to() -> None:
    audit = only(leaky(), headline=None)
    r = reading.read(audit, audit.subjects[0])
    assert r.afterwards
    assert r.finding is not None
    assert r.finding.attack == "few_shadow_lira"
    assert sentences.AFTERWARDS in prose(audit)


def test_generated_data_are_no_mimic_results_and_real_ones_measure_the_model() -> None:
    audit = sample()
    assert "These numbers are not MIMIC-III results" in prose(audit)
    real = replace(audit, data=replace(audit.data, real=True, source="MIMIC-III"))
    assert "not MIMIC-III results" not in report.markdown(real)
    assert sentences.MEASURES_MODEL in prose(real)


def test_no_verdict_against_a_policy_is_said() -> None:
    assert sentences.NO_POLICY in prose(sample())


def test_skipped_and_failed_attacks_are_visible_with_their_reasons() -> None:
    text = report.markdown(sample())
    assert "| FGSM | failed | the gradient was not a number for 12 of 3,190 records |" in text
    assert text.count("| did not apply | needs access to the parameters and gradients") == 2


def test_every_refusal_is_explained() -> None:
    text = squeeze(report.markdown(sample()))
    assert (
        "Recognised at 1 in 1,000 false alarms: not stated for Threshold, Shadow models, LiRA"
        in text
    )
    assert "needs 6810 more held-out patients" in text


def test_every_estimate_of_a_finding_is_shown_even_of_unknown_name() -> None:
    s = leaky()
    strange = (
        Estimate("made_up_measure", 0.123456, 0.1, 0.15, 0.05),
        Estimate("other_thing@3 rounds", 12345.678),
        Estimate("refused_thing", None, refusal="nobody knows"),
    )
    one = s.outcomes[0]
    assert isinstance(one, Finding)
    audit = only(s, outcomes=(replace(one, estimates=one.estimates + strange), *s.outcomes[1:]))
    text = report.markdown(audit)
    assert "| Made up measure | 0.123 (0.100 to 0.150) | 0.05 |" in text.replace("\u00a0", " ")
    assert "Other thing at 3 rounds | 12,345.678" in text
    assert "not stated: nobody knows" in text


def test_other_families_are_told_with_their_comparison() -> None:
    s = leaky()
    n = {"attempts": 100, "patients": 100}
    finding = Finding(
        "guesser",
        "attribute",
        {},
        ("ask the model for probabilities",),
        (
            Estimate("attack_rate@insurance", 0.42, 0.32, 0.52, 0.4, n),
            Estimate("control_rate@insurance", 0.40, 0.31, 0.50, 0.4, n),
            Estimate("attack_minus_control@insurance", 0.02, -0.1, 0.14, 0.0, n),
            Estimate("guess_rate@insurance", 0.39, 0.29, 0.49, 0.39, n),
            Estimate("attack_minus_guess@insurance", 0.03, -0.1, 0.16, 0.0, n),
        ),
    )
    audit = only(s, outcomes=(*s.outcomes, finding))
    text = prose(audit)
    assert (
        "guesser (Can a hidden value of a patient be guessed?) succeeds in about 42 in 100" in text
    )
    assert "without the model it would be 39 in 100" in text
    assert "| guesser | insurance | 42 % (32 to 52) |" in report.markdown(audit).replace(
        "\u00a0", " "
    )


def test_an_epsilon_is_printed_with_all_that_bounds_it() -> None:
    s = leaky()
    promise = replace(
        s.claim, epsilon=1.0, delta=1e-6, covers=("see WEIGHTS",), basis="PLD, 900 steps"
    )
    text = report.markdown(only(s, claim=promise))
    assert "epsilon 1 and delta 0.000001, for one patient (add-remove)" in text
    assert "PLD, 900 steps" in text


def test_groups_lead_with_the_worst_and_own_up_to_what_is_hidden() -> None:
    text = report.markdown(sample()).replace("\u00a0", " ")
    assert "baseline-mlp: highest for age: 18-39" in text
    assert "| unit: TSICU | not shown |  |  |  |  |" in text
    assert sentences.hidden_groups(1) in text


def tables(audit: Audit) -> Iterator[Table]:
    from privaudit.report.sections import sections

    for part in sections(audit):
        for block in walk(part.blocks):
            if isinstance(block, Table):
                yield block


def test_every_interval_is_in_order_and_no_value_is_bare() -> None:
    for table in tables(sample()):
        for row in table.rows:
            assert len(row) == len(table.columns)
            for cell in row:
                text = plain(cell)
                assert "nan" not in text.lower()
                assert "None" not in text


def test_one_card_a_model_with_its_badge() -> None:
    audit = sample()
    cards = [b for b in answer.build(audit) if isinstance(b, Card)]
    assert [c.title for c in cards] == [s.name for s in audit.subjects]
    assert [c.badge.state for c in cards] == ["unseen", "found", "found", "found"]


def test_every_attack_of_the_house_has_its_note_and_source() -> None:
    own = [
        name for name, path in plugins.members("attacks").items() if path.startswith("privaudit.")
    ]
    assert own
    for name in own:
        assert notes.ATTACKS[name].sources


def test_glossary_links_point_at_entries() -> None:
    anchors = {anchor for anchor, _, _ in terms.GLOSSARY}
    assert set(terms.TERMS.values()) <= anchors
    assert len(anchors) == len(terms.GLOSSARY)


@pytest.mark.parametrize("count", [1, 2, 12])
def test_any_number_of_models(count: int) -> None:
    many = tuple(
        replace(subject("mlp", 0.84 + 0.001 * i, 0.9, 0.3, ()), name=f"model {i}")
        for i in range(count)
    )
    audit = replace(sample(), subjects=many)
    root = Page(report.html(audit)).root
    assert sum(e.attributes.get("class", "").startswith("card") for e in root.all("article")) == (
        count if count <= reading.FEW else reading.TOLD
    )


def test_numbers_of_the_half_width_rule() -> None:
    def shown(name: str, value: float, low: float, high: float) -> str:
        return squeeze(numbers.estimate_text(Estimate(name, value, low, high)))

    assert shown("tpr_at_fpr_0.01", 0.0702, 0.0581, 0.0860) == "7.0 % (5.8 to 8.6)"
    assert shown("tpr_at_fpr_0.01", 0.5512, 0.43, 0.67) == "55 % (43 to 67)"
    assert shown("auc", 0.55612, 0.5421, 0.5701) == "0.556 (0.542 to 0.570)"
    assert shown("auc", 0.55612, 0.49, 0.62) == "0.56 (0.49 to 0.62)"
    assert shown("calibration_intercept", -0.2412, -0.35, -0.13) == "−0.24 (−0.35 to −0.13)"
    assert (
        shown("attack_minus_control@0.1 sd", 0.1234, 0.1, 0.15) == "+12.3 points (+10.0 to +15.0)"
    )


def test_a_headline_on_all_patients_asks_for_no_double() -> None:
    s = leaky()
    full = next(o for o in s.outcomes if isinstance(o, Finding) and o.attack == "few_shadow_lira")
    audit = only(replace(s, headline=full))
    assert not reading.halved(audit.subjects[0], reading.read(audit, audit.subjects[0]))
    assert "in the half" not in prose(audit)


def test_a_broken_promise_and_what_was_not_trained_are_said_first() -> None:
    audit = every()
    shown = titles(audit)
    assert shown[0] == sentences.DEFECT_TITLE
    assert sentences.UNTRAINED_TITLE in shown
    text = prose(audit)
    assert "an epsilon of at least 4.2" in text
    assert "dp_ebm: the library interpret is not installed" in text
    badges = {b.title: b.badge.text for b in walk(promises.build(audit)) if isinstance(b, Card)}
    assert badges == {
        "dp_sgd@1": "○ Not broken",
        "dp_sgd@3": "○ Not broken",
        "dp_linear": "✕ Broken",
        "dp_forest": "◇ Not comparable",
    }
