"""What an officer reads first: the verdict, five questions in their order, and what to do."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from reader import Page, html_tables, markdown_tables, squeeze
from ruled import WAIVER, guard, limit, mixed, ruled
from sample import every, membership, sample, subject

from privaudit import plugins, report
from privaudit.facts import Reason, ReasonCode
from privaudit.report.judged import (
    Standing,
    count_broken,
    get_decisive,
    get_standing,
    group_by_rule,
)
from privaudit.report.wording import policy_verdicts, questions, reproducibility, summary
from privaudit.report.wording.knowledge import method_notes, name_attack
from privaudit.report.wording.page import find_forbidden
from privaudit.report.wording.verdicts import word_remedy
from privaudit.results import Attempts, Audit, Subject
from privaudit.verdicts import State, Verdicts

STATES: tuple[State, ...] = ("WITHIN", "EXCEEDS", "INCONCLUSIVE", "NOT TESTED")
NAMES = {g.level for s in sample().subjects if s.headline for g in s.headline.groups}


def many(count: int) -> Audit:
    made = tuple(
        replace(subject("mlp", 0.84, 0.9, 0.3 * (i % 3), ()), name=f"model {i}")
        for i in range(count)
    )
    return replace(sample(), subjects=made)


def first_screen(audit: Audit, verdicts: Verdicts | None = None) -> str:
    section = Page(report.html(audit, verdicts)).root.all("section")[0]
    return squeeze(section.words)


AUDITS = {"none": many(0), "one": many(1), "few": sample(), "many": many(12), "every": every()}


@pytest.mark.parametrize("name", AUDITS)
@pytest.mark.parametrize("kind", ["no policy", "no rule", "one rule", "many rules"])
def test_every_template_renders_for_none_one_and_many(name: str, kind: str) -> None:
    audit = AUDITS[name]
    names = tuple(s.name for s in audit.subjects)
    verdicts = {
        "no policy": None,
        "no rule": ruled((), "WITHIN"),
        "one rule": ruled((limit(names[0] if names else "the run", "EXCEEDS"),)),
        "many rules": mixed(names),
    }[kind]
    page, text = report.html(audit, verdicts), report.markdown(audit, verdicts)
    assert html_tables(page) == markdown_tables(text)
    words = Page(page).root.all("body")[0].words
    assert find_forbidden(words, NAMES) == []
    assert find_forbidden(text, NAMES) == []
    told = squeeze(Page(page).root.all("body")[0].text)
    for bad in (r"\bNone\b", r"\bnan\b", r"[{}]", r" [.,;:](?![.0-9])", r"(?<!\.)\.\.(?!\.)"):
        found = re.search(bad, told)
        assert found is None, told[max(0, found.start() - 60) : found.end() + 20]


@pytest.mark.parametrize("state", STATES)
def test_the_verdict_comes_first_by_shape_word_and_what_to_do(state: State) -> None:
    audit = sample()
    verdicts = ruled((limit("baseline-mlp", state), guard("baseline-mlp")), state)
    text = first_screen(audit, verdicts)
    badge = questions.VERDICTS[state].text
    assert not badge[0].isalnum()
    assert badge.endswith(state)
    asked = (question for _, question in questions.list_questions())
    order = [text.index(part) for part in (badge, "What to do:", *asked)]
    assert order == sorted(order)
    assert "your policy allows 3 in 100" in text
    assert "guessing would recognise 1 in 100" in text
    remedy = squeeze(word_remedy(verdicts.verdicts[0]))
    assert bool(remedy and remedy in text) == (state != "WITHIN")


def test_the_five_questions_are_answered_where_they_are_asked() -> None:
    root = Page(report.html(every(), mixed(tuple(s.name for s in every().subjects)))).root
    asked = [e for e in root.all("div") if e.attributes.get("class") == "question"]
    told = [squeeze(e.words) for e in asked]
    assert [t.split("?")[0] for t in told] == [q.rstrip("?") for _, q in questions.list_questions()]
    tested, happened, against, means, untested = told
    assert "that predict" in tested
    assert "patients" in tested
    assert "describe no patient" in tested
    assert "Membership inference" in tested
    assert "95 % interval" in happened
    assert "guessing would recognise 1 in 100" in happened
    assert "Most affected group" in happened
    assert "Models to partners" in against
    assert "at most 3 in 100" in against
    assert "at least 0.8" in against
    assert "whom the attack names at a false positive rate of 1 % about" in means
    assert "would be training patients" in means
    assert "Model inversion:" in untested
    assert "dp_ebm" in untested
    assert questions.OPEN in untested


def test_without_a_policy_no_verdict_is_made_up() -> None:
    page = report.html(sample())
    text = squeeze(Page(page).root.words)
    assert questions.NO_VERDICT.text in text
    assert questions.NO_VERDICT_TITLE in text
    for badge in questions.VERDICTS.values():
        assert badge.text not in text
    assert 'id="policy-verdicts"' not in page


def test_a_waiver_never_reads_as_within() -> None:
    verdicts = ruled((limit("baseline-mlp", "EXCEEDS", waiver=WAIVER),), "WITHIN")
    for text in (report.html(sample(), verdicts), report.markdown(sample(), verdicts)):
        assert "EXCEEDS (waived until 2027-01-31)" in squeeze(text)
        assert "needed for the trial" in text
        assert "Dr Weber" in text
    card = Page(report.html(sample(), verdicts)).root
    (article,) = [e for e in card.all("article") if e.attributes["id"] == "rule-1"]
    assert "is-exceeds" in article.attributes["class"]


def test_the_worst_verdict_decides_and_blocking_goes_before_warning() -> None:
    verdicts = mixed(tuple(s.name for s in sample().subjects))
    first = get_decisive(verdicts)
    assert first is not None
    assert (first.state, first.severity, first.waiver) == ("EXCEEDS", "block", None)
    found = group_by_rule(verdicts)
    assert [r.severity for r in found] == sorted((r.severity for r in found), key="block warn".find)
    assert found[0].state == "EXCEEDS"
    within = ruled((limit("a", "WITHIN", 0.01), limit("b", "WITHIN", 0.02)), "WITHIN")
    near = get_decisive(within)
    assert near is not None
    assert near.subject == "b"
    assert get_decisive(ruled((), "WITHIN")) is None


def test_no_release_is_left_without_a_word_on_where_it_stands() -> None:
    names = [f"m{i}" for i in range(10)]
    broken = [limit(name, "EXCEEDS") for name in names]
    elsewhere = Reason(ReasonCode.NOT_APPLICABLE)
    rest = (
        limit("kept", "WITHIN"),
        limit("kept", "NOT TESTED", rule="tables", reason=elsewhere),
        limit("open", "WITHIN"),
        limit("open", "INCONCLUSIVE", rule="ranking"),
        guard("bare", "EXCEEDS"),
    )
    verdicts = ruled((*broken, *rest))
    stand = get_standing(verdicts, [*names, "kept", "open", "bare", "other"])
    assert stand == Standing(tuple(names), ("kept",), ("open", "bare"), ("other",))
    assert count_broken(verdicts) == (1, 2)
    failed = get_standing(replace(verdicts, code=5), ["kept"])
    assert failed == Standing((), (), ("kept",), ())
    told = questions.word_standing("exceeding", names)
    assert told.endswith("(10): m0, m1, m2, m3, m4, m5, m6, m7 and 2 more.")
    text = first_screen(many(3), ruled((limit("model 0", "EXCEEDS"), limit("model 1", "WITHIN"))))
    assert "The one blocking rule is exceeded by at least one release." in text
    assert "Exceed a blocking limit (1): model 0." in text
    assert "Within every blocking limit that applies to them (1): model 1." in text
    assert "No rule of this policy is about them (1): model 2." in text
    two = ruled((limit("a", "EXCEEDS"), limit("a", "WITHIN", rule="b"), guard("a", "EXCEEDS")))
    assert "1 of the 2 blocking rules is exceeded by at least one release." in first_screen(
        many(1), two
    )


def test_too_little_of_what_is_asked_for_falls_short() -> None:
    weak = replace(guard("baseline-mlp", "EXCEEDS"), value=0.55)
    over = replace(weak, value=0.3, limit=0.1, rule="brier", at_least=False)
    text = squeeze(report.markdown(sample(), ruled((weak, over))))
    assert "| at least 0.8 | **✕ FALLS SHORT** | is a warning | baseline-mlp: 0.55 |" in text
    assert "1 FALLS SHORT" in text
    assert "| at most 0.1 | **✕ EXCEEDS** | is a warning | baseline-mlp: 0.3 |" in text
    waived = replace(weak, waiver=WAIVER)
    assert policy_verdicts.get_badge(waived).text == "✕ FALLS SHORT (waived until 2027-01-31)"


def test_a_row_tells_what_was_promised_and_by_which_attack() -> None:
    bare = limit(
        "m", "EXCEEDS", metric="epsilon.claimed", fpr=None, attack="", limit=8.0, number=None
    )
    assert policy_verdicts.word_decided(replace(bare, value=None)) == "m: no guarantee"
    assert policy_verdicts.word_decided(replace(bare, value=9.5)) == "m: 9.5"
    area = limit("m", "EXCEEDS", 0.818, metric="membership.auc", fpr=None)
    assert policy_verdicts.word_decided(area) == f"m: 0.818, by {name_attack('few_shadow_lira')}"


def test_the_banner_names_demo_data_and_whom_it_calls_training_patients() -> None:
    verdicts = ruled((limit("baseline-mlp", "EXCEEDS"),))
    real = replace(sample(), data=replace(sample().data, real=True))
    for given in (verdicts, None):
        told = first_screen(sample(), given).split(questions.list_questions()[0][1])[0]
        assert summary.GENERATED_TITLE in told
        assert summary.GENERATED_TITLE not in first_screen(real, given)
    banner = first_screen(real, verdicts).split(questions.list_questions()[0][1])[0]
    assert "Training patients are patients whose records a model was trained on." in banner
    assert "Another 3,190, assigned at random, were held out" in first_screen(real)


def test_those_with_leakage_are_named() -> None:
    names = [f"m{i}" for i in range(8)]
    text = questions.count_readings(["undetected", *["detected"] * 7], ["model"] * 8, names)
    assert (
        "on 7 an attack recognised training patients, beyond chance (m1, m2, m3, m4, m5 and 2 more)"
        in text
    )
    assert "m0" not in text
    assert "reveal" not in questions.count_readings(["undetected"] * 2, ["model"] * 2, names[:2])


def test_a_card_a_rule_and_no_verdict_is_lost() -> None:
    verdicts = mixed(tuple(s.name for s in sample().subjects))
    root = Page(report.html(sample(), verdicts)).root
    cards = [e for e in root.all("article") if e.attributes["id"].startswith("rule-")]
    assert len(cards) == len(group_by_rule(verdicts))
    rows = sum(len(t.all("tr")) - 1 for card in cards for t in card.all("table"))
    named = [int(n) for n in re.findall(r"\((\d+)\): ", " ".join(squeeze(c.words) for c in cards))]
    assert rows + sum(named) == len(verdicts.verdicts)


def test_a_rule_about_other_releases_is_told_apart_from_one_not_tested() -> None:
    reason = Reason(ReasonCode.NOT_APPLICABLE)
    other = limit("baseline-mlp", "NOT TESTED", rule="tables", reason=reason, severity="warn")
    missing = limit("baseline-mlp", "NOT TESTED", rule="missing")
    text = squeeze(report.markdown(sample(), ruled((other, missing), "NOT TESTED")))
    assert "tables: · DOES NOT APPLY" in text
    assert "missing: – NOT TESTED" in text
    assert text.index("missing: – NOT TESTED") < text.index("tables: · DOES NOT APPLY")


def test_the_five_classes_of_the_data_protection_board_are_all_named() -> None:
    for audit in AUDITS.values():
        text = squeeze(report.markdown(audit))
        for name in ("Membership", "Attribute", "Exfiltration", "Regurgitation", "Model inversion"):
            assert f"| {name}" in text
        assert "| Reconstruction" in text
    assert "Not tested" in report.markdown(sample())


def test_attempts_and_digests_are_printed() -> None:
    tried = Attempts(4, 3, 1, {"1": 2, "130": 1}, "2026-11-20T10:00:00+00:00", "c" * 64)
    audit = replace(sample(), manifest=replace(sample().manifest, attempts=tried))
    text = squeeze(report.markdown(audit, ruled(())))
    assert "This is attempt 4" in text
    assert "| 1: a limit exceeded | 2 |" in text
    assert "a" * 64 in text
    assert "b" * 64 in text
    assert reproducibility.NO_LEDGER in report.markdown(sample())


def test_reductions_rest_on_intervals_that_do_not_touch() -> None:
    text = squeeze(report.markdown(every()))
    (best,) = [
        line for line in text.split(". ") if "the most useful is" in line and "reveal less" in line
    ]
    assert "baseline-logreg: AUC of the strongest attack 0.503 (0.483 to 0.523)" in best
    alone = squeeze(report.markdown(many(1)))
    assert "This run holds nothing to compare" in alone


def test_real_mimic_data_carry_the_caveat_of_the_public_split() -> None:
    data = replace(sample().data, real=True, source="MIMIC-III 1.4")
    text = first_screen(replace(sample(), data=data), mixed(()))
    assert summary.MEASURES_MODEL() in text


def test_an_invalid_audit_gives_no_number_on_the_first_screen() -> None:
    s = sample().subjects[3]
    wrong = tuple(replace(c, passed=c.kind == "positive") for c in s.controls)
    audit = replace(sample(), subjects=(replace(s, controls=wrong),))
    root = Page(report.html(audit)).root
    asked = [e for e in root.all("div") if e.attributes.get("class") == "question"]
    assert " in 100" not in squeeze(asked[1].words)
    assert questions.INVALID_SHORT in squeeze(asked[1].words)
    assert "to compare" not in report.markdown(audit)


def weighty(count: int) -> Audit:
    """As many models as all methods give, each with six attacks and many groups."""
    base: list[Subject] = list(every().subjects)
    made = []
    for i in range(count):
        s = base[i % len(base)]
        more = membership("sixth", 0.2, 3.0)
        made.append(replace(s, name=f"{s.name}-{i}", outcomes=(*s.outcomes, more)))
    return replace(every(), subjects=tuple(made))


def test_all_methods_stay_light_and_are_all_there() -> None:
    audit = weighty(27)
    names = tuple(s.name for s in audit.subjects)
    page = report.html(audit, mixed(names))
    assert len(page.encode()) < 400_000
    for name in names:
        assert page.count(name) >= 4


def test_same_verdicts_same_bytes() -> None:
    one, two = (report.html(sample(), mixed(("baseline-mlp",))) for _ in range(2))
    assert one == two


def test_a_method_calls_itself_by_none_of_the_words() -> None:
    """Methods of the house are described by the report; others by themselves, but for the words."""
    s = sample().subjects[0]
    own = replace(s, method="mine", description="Trained with a clever trick.")
    boast = replace(own, description="A safe and certified way.")
    assert "clever trick" in report.markdown(replace(sample(), subjects=(own,)))
    text = report.markdown(replace(sample(), subjects=(boast,)))
    assert find_forbidden(text, NAMES) == []
    assert "certified way" not in text
    for name in plugins.members("methods"):
        assert find_forbidden(method_notes()[name].how) == []
