"""The first screen tells the truth of every kind of audit: trained here, brought, tables, answers alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from brought import AUDITS, GIVEN, UNFAIR, audit, own, table
from reader import Page, html_tables, markdown_tables, squeeze
from ruled import limit, ruled
from sample import every, few, game, sample, subject

from privaudit import plugins, report
from privaudit.engine.document import described
from privaudit.report import kinds
from privaudit.report import wording as sentences
from privaudit.report.blocks import Table, parts, walk
from privaudit.report.notes import ATTACKS
from privaudit.report.reading import ranked, read
from privaudit.report.sections import sections
from privaudit.results import (
    Data,
)


def screen(name: str) -> str:
    return squeeze(Page(report.html(AUDITS[name])).root.all("section")[0].words)


def whole(name: str) -> str:
    return squeeze(Page(report.html(AUDITS[name])).root.all("body")[0].words)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("own", "1 model as brought by its owner (XGBoost), to predict “died”."),
        (
            "answers",
            "The probabilities of “died” that 1 model gave for each record; the model itself",
        ),
        ("table", "1 synthetic table, as brought by its owner."),
        (
            "tables",
            "2 synthetic tables (drawn by copula, bootstrap), each with a model trained on it",
        ),
        ("mixed", "and 1 synthetic table (drawn by bootstrap), with a model trained on it."),
    ],
)
def test_what_was_tested_is_called_by_its_name(name: str, told: str) -> None:
    assert told in screen(name)


@pytest.mark.parametrize("name", ["own", "answers", "table", "unfair"])
def test_a_split_that_was_given_is_no_toss_of_a_coin(name: str) -> None:
    text = whole(name)
    assert "No coin of this audit decided" in screen(name)
    assert "picked by the toss of a coin" not in text
    assert sentences.POOLS_TOSSED not in text
    assert sentences.SPLIT_TOSSED not in text
    assert squeeze(sentences.POOLS_GIVEN) in text
    assert "it needs a coin that decided" in text


def test_a_split_of_this_audit_is() -> None:
    text = whole("mixed")
    assert "picked by the toss of a coin" in text
    assert sentences.SPLIT_TOSSED in text
    assert "No coin of this audit" not in text


def test_the_drift_check_is_told_or_its_absence() -> None:
    assert "could not tell the two sides apart" in screen("own")
    assert "0.519, where 0.5 is guessing" in screen("own")
    assert "Whether they do was not checked here." in screen("answers")
    assert "They do differ: see the warning above." in screen("unfair")


def test_sides_that_differ_void_every_reading_of_membership() -> None:
    text = screen("unfair")
    assert text.index(UNFAIR) < text.index("NO VERDICT")
    assert "◇ No fair comparison" in text
    assert "Leak found" not in text.split("5. What was not tested?")[1]
    assert "gave away who was" not in text
    assert "would truly be" not in text
    assert [read(AUDITS["unfair"], s).state for s in AUDITS["unfair"].subjects] == ["unfair"]


def test_what_a_brought_model_could_not_be_asked_is_named() -> None:
    refits = [o.attack for o in AUDITS["own"].subjects[0].outcomes if o.attack in kinds.REFITS]
    assert refits
    bare = replace(
        AUDITS["own"].subjects[0],
        outcomes=tuple(
            o for o in AUDITS["own"].subjects[0].outcomes if o.attack not in kinds.REFITS
        ),
    )
    text = squeeze(report.markdown(audit(bare, **GIVEN)))
    assert "privaudit audit --estimator" in text
    assert "privaudit audit --estimator" not in screen("own")
    for word in ("--estimator", "--model"):
        assert f"privaudit audit {word}" in screen("answers")


def test_a_table_without_a_model_is_as_useful_as_what_learns_from_it() -> None:
    assert "0.740 (0.720 to 0.760)" in screen("table")
    assert "Usefulness of a model (logreg) that learns from it" in screen("table")


def test_copies_and_other_attacks_stand_on_the_first_screen() -> None:
    text = screen("mixed")
    assert "Records of real patients stand in synthetic-bootstrap" in text
    assert "better than their control and than guessing" in text
    assert "Singling out on synthetic-bootstrap" in text
    assert "on patients whom the table never saw" in text
    assert "Records of real patients" not in screen("table")


def test_the_most_exposed_is_told_by_what_all_can_state() -> None:
    """A table whose half is too small for 1 in 100 must not rank below a model that can state it."""
    small = {"member_patients": 400, "nonmember_patients": 400}
    loud = table("synthetic-bootstrap", 2.0)
    assert loud.headline is not None
    loud = replace(loud, headline=replace(loud.headline, estimates=game(2.0, small)))
    quiet = subject("mlp", 0.84, 0.9, 0.3, ())
    both = audit(quiet, loud)
    assert few(0.01, 400)
    assert ranked(both, [read(both, s) for s in both.subjects])[0] == 1


@pytest.mark.parametrize("name", AUDITS)
def test_both_forms_agree_and_no_word_is_said_that_must_not_be(name: str) -> None:
    made = AUDITS[name]
    verdicts = ruled((limit(made.subjects[0].name, "EXCEEDS"),))
    groups = {g.level for s in made.subjects if s.headline for g in s.headline.groups}
    for judged in (None, verdicts):
        page, text = report.html(made, judged), report.markdown(made, judged)
        assert html_tables(page) == markdown_tables(text)
        assert sentences.forbidden(Page(page).root.all("body")[0].words, groups) == []
        assert sentences.forbidden(text, groups) == []


@pytest.mark.parametrize("kind", ["methods", "generators", "learners", "attacks"])
def test_no_plugin_calls_itself_by_one_of_the_words(kind: str) -> None:
    """The first lines of docstrings are a subject's description in every document."""
    for name in plugins.members(kind):
        text = f"{name.replace('_', ' ')}: {described_kind(plugins.load(kind, name))}"
        allowed = {"federated private"}
        assert sentences.forbidden(text, allowed) == [], name


def described_kind(made: Any) -> str:
    return (made.__doc__ or "").split("\n", 1)[0] if isinstance(made, type) else described(made)


def test_a_page_of_every_method_name_says_none_of_the_words() -> None:
    names = sorted(plugins.members("methods"))
    drawn = sorted(plugins.members("generators"))
    models = [
        replace(own(0.2), name=n, method=n, description=described_kind(plugins.load("methods", n)))
        for n in names
    ]
    tables = [
        replace(
            table(f"synthetic-{g}", 0.2),
            description=described_kind(plugins.load("generators", g)),
        )
        for g in drawn
    ]
    made = audit(*models, *tables, own(0.4))
    verdicts = ruled(tuple(limit(s.name, "EXCEEDS") for s in made.subjects))
    for judged in (None, verdicts):
        words = Page(report.html(made, judged)).root.all("body")[0].words
        groups = {g.level for s in made.subjects if s.headline for g in s.headline.groups}
        assert sentences.forbidden(words, groups) == []
        assert sentences.forbidden(report.markdown(made, judged), groups) == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("The attack label_leakage recognises 3.", "The attack Label leakage recognises 3."),
        (
            "The attack lacks power here: threshold, shadow and lira missed a leak.",
            "The attack lacks power here: Threshold, Shadow models and LiRA missed a leak.",
        ),
        (
            "lies above. Of threshold and lira, rmia shows it most surely.",
            "lies above. Of Threshold and LiRA, RMIA shows it most surely.",
        ),
        (
            "Not run on x-copies: density, nearest, which the policy asks for (copies: needs).",
            "Not run on x-copies: Density (DOMIAS), Nearest record, which the policy asks for "
            "(Copies: needs).",
        ),
        (
            "an inference attack on copies of density; the shadow of it",
            "an inference attack on copies of density; the shadow of it",
        ),
    ],
)
def test_judged_sentences_name_attacks_by_label(text: str, told: str) -> None:
    assert sentences.labelled(text) == told


def test_every_attack_is_labelled_in_a_rule_and_keyed_in_the_verdict() -> None:
    for key, note in ATTACKS.items():
        v = limit("baseline-mlp", "EXCEEDS")
        v = replace(v, attack=key, sentence=f"The attack {key} recognises about 7 in 100 patients.")
        page = squeeze(report.markdown(sample(), ruled((v,))))
        assert squeeze(f"he attack {note.label} recognises about 7 in 100") in page
        assert v.attack == key


def test_nothing_at_all_is_called_nothing() -> None:
    assert sentences.counted(()) == "nothing"
    assert sentences.counted(("model", "table", "given")) == "1 model and 2 synthetic tables"
    bare = Data("nowhere", True, "own", "x", "x", ("a",), 1, 0, 0, (), (), random_split=False)
    assert sentences.whom(bare, ("own",)) == "The data: nowhere."


def test_every_metric_of_a_policy_has_words() -> None:
    from privaudit.policy.metrics import METRICS

    endings = ("over_control", "over_guess")
    for name in METRICS:
        text = sentences.metric(replace(limit("a", "EXCEEDS"), metric=name, fpr=None))
        if name.rpartition(".")[2] not in endings:
            assert name.replace(".", ": ").replace("_", " ") != text, name


def test_a_table_too_broad_for_paper_becomes_several_and_loses_nothing() -> None:
    broad = Table(
        "caption", ("Model", *"abcdefghij"), (("x", *"0123456789"),), tuple(range(1, 11)), ("note",)
    )
    made = parts(broad)
    assert [len(t.columns) for t in made] == [6, 6]
    assert [t.caption for t in made] == ["caption (1 of 2)", "caption (2 of 2)"]
    assert [c for t in made for c in t.columns[1:]] == list("abcdefghij")
    assert [c for t in made for c in t.rows[0][1:]] == list("0123456789")
    assert all(t.rows[0][0] == "x" and t.figures == 1 for t in made)
    assert [t.notes for t in made] == [(), ("note",)]
    assert parts(replace(broad, numeric=(1, 2))) == (replace(broad, numeric=(1, 2)),)
    for one in (b for s in sections(every()) for b in walk(s.blocks) if isinstance(b, Table)):
        assert len(one.columns) - one.figures <= 6 or not one.figures
