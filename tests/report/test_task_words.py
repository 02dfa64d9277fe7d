"""A report speaks of the people of its task, changes no name of the data, and says what it says of
patients in the usual words."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from reader import squeeze
from ruled import limit, ruled
from sample import every, sample
from supplied import audit as supplied
from supplied import own, table

from privaudit import report
from privaudit.cli import main
from privaudit.errors import PrivauditError
from privaudit.evidence import bom
from privaudit.facts import Group
from privaudit.report import wording
from privaudit.report.formats import FORMATS, render
from privaudit.report.notebook import render_notebook, render_text
from privaudit.report.wording.knowledge import glossary
from privaudit.report.wording.nouns import Phrase, fill, say, use_words
from privaudit.report.wording.tables import read_table
from privaudit.results import Audit, FlowRow, from_json, to_json
from privaudit.words import Words

BANK = Words("customer", "customers", "branch", "branches", "account", "accounts")
FAMILY = Words("émigré", "children", "office", "offices", "entry", "entries")

FIXED = (
    "patient_risk",  # the attack's name on the command line
    "restricted/patients/",  # a folder of every run
    "membership.patients_at_risk",  # a metric's name in a policy
    "that stay where they are",  # the verb
    "list of names stays in",
    "records stay in each",
    "stays in the range of its scale",
    "predictions stay as they were",
    "The limit stays",
    '"unit": "patient"',  # of a policy, in SARIF
)
"""What a report says in these words whatever its task calls people and places."""
NAMED = re.compile(r"(?i)\b(patients?|hospitals?|stay(s|ed)?)\b|_patients?\b|patients?_")


def told(audit: Audit, words: Words) -> Audit:
    """The audit in these words, without the texts of its own task and methods."""
    plain = replace(
        audit.data,
        title="Loan default",
        positive="defaulted",
        classes=("paid", "defaulted"),
        flow=(FlowRow("all", 0, 900, 800),),
        pools=tuple(replace(p, rates={"defaulted": 0.1}) for p in audit.data.pools),
        words=words,
    )
    subjects = tuple(replace(s, trust=(), notes=()) for s in audit.subjects)
    return replace(audit, data=plain, subjects=subjects)


@cache
def audits() -> dict[str, Audit]:
    return {
        "sample": sample(),
        "every": every(),
        "tables": supplied(table("one", 0.1, 0.05), table("two", 0.0)),
        "own": supplied(own(0.1)),
    }


def left_over(text: str) -> list[str]:
    """Where people or places of another task are named."""
    text = squeeze(text)
    for part in FIXED:
        text = text.replace(part, "").replace(part.replace("_", "\\_"), "")
    return [text[max(0, m.start() - 60) : m.end() + 40] for m in NAMED.finditer(text)]


def read_html(page: str) -> str:
    """What a reader sees: no tag, no style, no anchor."""
    return re.sub(r"<[^>]*>", " ", re.sub(r"(?s)<style.*?</style>", "", page))


@cache
def in_html(which: str) -> str:
    return report.html(told(audits()[which], BANK))


@cache
def in_markdown(which: str) -> str:
    return report.markdown(told(audits()[which], BANK))


WRITTEN: dict[str, Callable[[str], str]] = {
    "html": lambda which: read_html(in_html(which)),
    "markdown": lambda which: re.sub(r'<a id="[^"]*"></a>|\]\(#[^)]*\)', "", in_markdown(which)),
    "text": lambda which: render_text(told(audits()[which], BANK), None),
    "notebook": lambda which: read_html(render_notebook(told(audits()[which], BANK), None)),
}


@pytest.mark.parametrize("form", WRITTEN)
@pytest.mark.parametrize("which", ["sample", "every", "tables", "own"])
def test_a_bank_reads_of_customers_and_branches_alone(which: str, form: str) -> None:
    text = WRITTEN[form](which)
    assert left_over(text) == []
    assert "customers" in text
    assert not re.search(r"\{\w*(person|people|site|sites|record|records)\w*\}", text)


def test_titles_badges_and_questions_follow() -> None:
    text = in_markdown("every")
    for part in (
        "[Customers at risk](#patients-at-risk)",
        "4. What does it mean for a customer?",
        "| Step | Accounts excluded | Accounts remaining | Customers |",
        "**Held-out customer (non-member)**",
    ):
        assert part in text, part
    assert re.search(
        r'<a [^>]*href="#term-held-out-patient"[^>]*>held-out customers</a>', in_html("every")
    )


def test_articles_and_possessives() -> None:
    with use_words(FAMILY):
        assert fill("{A_person} of {a_site}") == "An émigré of an office"
        assert fill("{people_own} privacy, {a_record}") == "children’s privacy, an entry"
        assert fill("{People} {unknown} {}") == "Children {unknown} {}"
        assert say("{people} of {subject}", {"subject": "{site}"}) == "children of {site}"
        assert f"{Phrase('{Sites} alone')}" == "Offices alone"
    with use_words(Words(person="user", people="users", site="union", sites="unions")):
        assert fill("{a_person} of {a_site}") == "a user of a union"
    assert fill("{A_person}, {people_own} {record}") == "A patient, patients’ record"


NAMES = ("patient", "hospital", "stays", "{people}", "{a_person} {site}")


@pytest.mark.parametrize("name", NAMES)
def test_no_name_of_the_data_is_changed(name: str) -> None:
    """Columns, levels, sites, models and policies keep the names that they came with."""
    audit = told(sample(), BANK)
    one = audit.subjects[1]
    assert one.headline is not None
    group = replace(one.headline.groups[0], by=name, level=name)
    head = replace(one.headline, groups=(group, *one.headline.groups[1:]))
    asked = replace(
        audit,
        subjects=(replace(one, name=name, headline=head),),
        data=replace(audit.data, source=name, title=name, facts={"x": name}),
    )
    made = ruled((limit(name, "EXCEEDS", rule=name, group=Group(name, name)),), run=name)
    shown = report.markdown(asked, made).replace("\\", "")
    for part in (f"**x**: {name}", f"{name}: {name}", f"Privacy audit: {name}, {name}"):
        assert part in shown, part
    assert f"{name}: {name}" in read_html(report.html(asked, made))
    with use_words(BANK):
        said = render(made, "text")
        assert f"Among customers with {name}: {name}" in squeeze(said)


@pytest.mark.parametrize("form", [name for name in FORMATS if name != "json"])
def test_every_format_of_check_follows(form: str) -> None:
    states = ("EXCEEDS", "INCONCLUSIVE", "NOT TESTED", "WITHIN")
    made = ruled(tuple(limit("model", state) for state in states))
    usual = render(made, form)
    with use_words(BANK):
        text = render(made, form)
    assert left_over(text) == []
    fixed = sum(usual.count(part) for part in FIXED)
    assert text.count("customer") == usual.count("patient") - fixed > 0


def test_check_and_the_bill_of_materials_read_the_words_of_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    audit = told(sample(), BANK)
    run = tmp_path / "run" / "shareable"
    run.mkdir(parents=True)
    (run / "audit.json").write_text(to_json(audit), "utf-8")
    assert main(["init", str(tmp_path / "own")]) == 0
    policy = tmp_path / "own" / "policy.toml"
    own_names = policy.read_text("utf-8").replace("one hospital", "one bank")
    policy.write_text(own_names.replace("recognised patients", "recognised people"), "utf-8")
    capsys.readouterr()
    main(["check", str(tmp_path / "run"), "--policy", str(policy), "--unsealed"])
    out = capsys.readouterr().out
    assert "customers" in out
    assert left_over(out) == []
    bill = json.loads(bom.render(audit))
    about = [c for c in bill["components"] if c["type"] == "machine-learning-model"]
    assert "held-out customers" in json.dumps(about)
    assert left_over(json.dumps(about)) == []


def test_a_document_without_words_reads_in_the_usual_ones() -> None:
    tree = json.loads(to_json(sample()))
    del tree["data"]["words"]
    assert from_json(json.dumps(tree)).data.words == Words()
    audit = replace(sample(), data=replace(sample().data, words=FAMILY))
    assert from_json(to_json(audit)) == audit


@pytest.mark.parametrize("noun", ["<script>", "Ann Smith", "a | b", "{people}", "safe customer", 7])
def test_hostile_words_of_a_document_are_refused(noun: object) -> None:
    tree = json.loads(to_json(sample()))
    tree["data"]["words"]["people"] = noun
    with pytest.raises(PrivauditError, match="an audit document with faults"):
        from_json(json.dumps(tree))


def test_words_change_words_alone() -> None:
    """Whoever reads back the usual nouns reads the same report."""
    other = Words("ppp", "ppps", "sss", "ssss", "rrr", "rrrs")
    usual = report.markdown(told(sample(), Words()))
    back = report.markdown(told(sample(), other))
    for mark, noun in (("ppp", "patient"), ("ssss", "hospitals"), ("sss", "hospital")):
        back = back.replace(mark, noun).replace(mark.capitalize(), noun.capitalize())
    back = back.replace("rrr", "record").replace("Rrr", "Record")
    assert back == usual


def test_the_glossary_links_the_words_of_the_task() -> None:
    with use_words(BANK):
        linked = {word for term in glossary() for word in term.linked}
    assert {"held-out customers", "training customers"} <= linked
    assert not any("patient" in word for word in linked)


def sentences() -> dict[str, list[str]]:
    """File of the wording -> its texts of several words, docstrings aside."""
    found: dict[str, list[str]] = {}
    for path in sorted(Path(wording.__file__).parent.iterdir()):
        if path.stem in OF_PATIENTS or path.suffix not in (".py", ".toml"):
            continue
        if path.suffix == ".toml":
            found[path.name] = list(list_texts(read_table(path.stem)))
            continue
        tree = ast.parse(path.read_text("utf-8"))
        said = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}
        found[path.name] = [
            n.value
            for n in ast.walk(tree)
            if isinstance(n, ast.Constant) and isinstance(n.value, str) and id(n) not in said
        ]
    return {name: [t for t in texts if " " in t or t.istitle()] for name, texts in found.items()}


OF_PATIENTS = ("release", "unlearning")
"""Pages that speak of patients alone."""


def list_texts(part: object) -> Iterator[str]:
    if isinstance(part, str):
        yield part
    elif isinstance(part, dict):
        for one in part.values():
            yield from list_texts(one)
    elif isinstance(part, tuple):
        for one in part:
            yield from list_texts(one)


def test_every_sentence_has_places_for_its_nouns() -> None:
    named = {
        name: [at for text in texts for at in left_over(re.sub(r"\{[^}]*\}", "", text))]
        for name, texts in sentences().items()
    }
    assert len(named) > 30
    assert {name: found for name, found in named.items() if found} == {}
