"""The end of a run: the audit that counts allow is judged and verified as any other."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from graded_lab import TERMS, Answers, make_split, memorise

from pipelines.deploy.finish import finish_run, make_release, read_all, read_ended
from pipelines.deploy.grade import grade_model
from pipelines.deploy.homes import CoordinatorHome
from pipelines.deploy.journal import Event, Journal
from pipelines.deploy.state import load, save
from pipelines.deploy.terms import RunTerms
from pipelines.methods.federated import Federated
from privaudit import policy
from privaudit.engine.folder import read
from privaudit.errors import PrivauditError
from privaudit.evidence.verification import verify
from privaudit.facts import CaveatCode, Metric, ReasonCode
from privaudit.report.reading import read_membership
from privaudit.report.sections.federation_between_hospitals import build
from privaudit.report.wording.summary import word_ranking
from privaudit.results import Audit, Estimate, Finding, from_json, to_json

RUN = replace(TERMS, settings=("federated.rounds=2", "federated.hidden=8"))
POLICY = """
schema = "privaudit.policy/1"
name = "test"
review_by = 2100-01-01
[statistics]
positive_control = "optional"
[[limit]]
id = "ranking"
metric = "membership.auc"
max = 0.99
by = ["site"]
[[guard]]
id = "use"
metric = "utility.auroc"
min = 0.5
"""


def write_run(home: CoordinatorHome, terms: RunTerms, grades: dict[str, str], rounds: int) -> None:
    """A run as the coordinator leaves it."""
    folder, roster = home.run(terms.run), list(terms.roster)
    p = 6 * 8 + 8 + 8 * 2 + 2
    meta = {
        "terms": terms.fingerprint,
        "round": rounds,
        "seconds": 4.0,
        "schema": "abc",
        "shape": [6, 2],
        "records": dict.fromkeys(roster, 250),
        "took": roster,
        "costs": {"rounds": 2.0, "bytes_up": 900.0, "bytes_down": 800.0, "idle_rounds": 0.0},
        "traffic": {name: {"train": [2, 5000], "grade": [1, 4000]} for name in roster},
    }
    arrays = {
        "weights": np.linspace(-1, 1, p),
        "counts": np.full(len(roster), 250.0),
        "sent": np.zeros((2, p), np.float32),
        "seen": np.zeros((2, len(roster), p), np.float32),
    }
    save(folder / "state.npz", meta, arrays)
    journal = Journal(folder / "journal.jsonl")
    for name in roster:
        journal.write(Event.HELLO, hospital=name, state="ready", patients=250)
    for place in range(rounds):
        journal.write(Event.ROUND, round=place, hospitals=roster[: len(roster) - place])
    journal.write(Event.NO_ANSWER, hospital="d", kind="train", round=1)
    journal.write(Event.ALARM, hospital="b", what="second_login")
    (folder / "grades").mkdir()
    for name, text in grades.items():
        (folder / "grades" / f"{name}.json").write_text(text, "utf-8")


def grade_all(terms: RunTerms, leaking: str = "") -> dict[str, str]:
    draw = np.random.default_rng(1)
    found = {}
    for name in terms.roster:
        split = make_split(250 if name != "c" else 12, draw, reference=60)
        model = memorise(split) if name == leaking else Answers()
        sent = {"train": 6000 if name != "a" else 10, "grade": 5000}
        found[name] = grade_model(model, split, terms, False, sent=sent)
    return found


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = CoordinatorHome(tmp_path_factory.mktemp("federation"))
    write_run(home, RUN, grade_all(RUN, "d") | {"b": "not a statement"}, 2)
    return finish_run(home, RUN)


@pytest.fixture(scope="module")
def audit(finished: Path) -> Audit:
    return read(finished.parent.parent)


def test_the_document_names_whom_it_rests_on(audit: Audit) -> None:
    codes = {caveat.code: caveat for caveat in audit.caveats}
    assert CaveatCode.COUNTS_OF_SITES in codes
    # c has too few patients, and what b sent is no statement.
    assert codes[CaveatCode.SITES_NOT_COUNTED].params["names"] == ("b", "c")
    assert audit.federation is not None
    sites = {site.name: site for site in audit.federation.sites}
    assert [sites[name].graded for name in "abcd"] == [True, False, False, True]
    assert dict(sites["c"].withheld) == {"pools": "few_patients"}
    assert [sites[name].rounds for name in "abcd"] == [2, 2, 2, 1]
    assert sites["d"].missed == 1
    assert sites["b"].alarms == ("second_login",)
    assert [part.agrees for part in sites["a"].traffic] == [False, True]
    assert [part.agrees for part in sites["d"].traffic] == [True, True]
    assert from_json(to_json(audit)) == audit


def test_the_planted_leak_is_the_largest(audit: Audit) -> None:
    (subject,) = audit.subjects
    found = next(o for o in subject.outcomes if o.attack == "threshold")
    assert isinstance(found, Finding)
    auc = found.estimates[0]
    assert (auc.low or 0) > 0.5
    assert {g.level for g in found.groups} == {"a", "d"}
    assert max(found.groups, key=lambda g: g.estimates[0].low or 0).level == "d"
    assert subject.headline is not None
    assert [(c.kind, c.passed) for c in subject.controls] == [
        ("positive", True),
        ("negative", True),
    ]


def test_nothing_exact_is_in_what_is_written(finished: Path) -> None:
    """The document's own door rounds every count of people to tens."""
    tree = json.loads((finished.parent / "audit.json").read_text("utf-8"))
    assert all(pool["patients"] % 10 == 0 for pool in tree["data"]["pools"])
    assert tree["data"]["cells"] == []
    assert not (finished.parent.parent / "restricted").exists()


def test_no_number_of_hospitals_is_within_a_limit_on_their_word(
    audit: Audit, tmp_path: Path
) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(POLICY, "utf-8")
    rules = policy.read(path)
    judged = policy.judge(rules, audit)
    states = {(v.rule, v.group.level if v.group else ""): v for v in judged.verdicts}
    assert "WITHIN" not in {v.state for v in judged.verdicts}
    assert states["use", ""].state == "INCONCLUSIVE"
    # The same numbers, had an auditor counted: whose counts they are keeps them from being within,
    # also where only the caveat was taken out of the document.
    known = tuple(c for c in audit.caveats if c.code is not CaveatCode.COUNTS_OF_SITES)
    bare = policy.judge(rules, replace(audit, caveats=known))
    assert "WITHIN" not in {v.state for v in bare.verdicts}
    without = policy.judge(rules, replace(audit, caveats=known, federation=None))
    assert {v.state for v in without.verdicts if v.rule == "use"} == {"WITHIN"}
    assert states["use", ""].reason.code is ReasonCode.STATED_BY_SITES
    stricter = tmp_path / "stricter.toml"
    stricter.write_text(POLICY.replace("0.99", "0.6"), "utf-8")
    found = policy.judge(policy.read(stricter), audit)
    assert found.state == "EXCEEDS"
    assert found.code == 1


def test_a_hospital_without_counts_is_named_by_a_limit_on_each(
    audit: Audit, tmp_path: Path
) -> None:
    path = tmp_path / "policy.toml"
    waivers = "".join(
        f"""
[[waiver]]
limit = "ranking"
reason = "audited there"
approved_by = "somebody"
expires = 2100-01-01
group = {{ by = "site", level = "{level}" }}
"""
        for level in "ad"
    )
    path.write_text(POLICY + waivers, "utf-8")
    judged = policy.judge(policy.read(path), audit)
    by_site = {v.group.level: v for v in judged.verdicts if v.group and v.rule == "ranking"}
    assert set(by_site) == set("abcd")
    untested = {name: v for name, v in by_site.items() if v.state == "NOT TESTED"}
    assert set(untested) == {"b", "c"}
    assert all(v.waiver is None and v.severity == "block" for v in untested.values())


def test_no_report_says_no_leakage_on_the_word_of_hospitals(tmp_path: Path) -> None:
    """Of counts large enough, with controls that passed, of models that leak nothing."""
    draw, home = np.random.default_rng(4), CoordinatorHome(tmp_path)
    split = make_split(590, draw, reference=200)
    graded = {name: grade_model(Answers(), split, RUN, False) for name in "ab"}
    write_run(home, RUN, graded, 2)
    place = finish_run(home, RUN)
    made = read(place.parent.parent)
    assert read_membership(made, made.subjects[0]).state == "stated"
    by_others = tuple(c for c in made.caveats if c.code is not CaveatCode.COUNTS_OF_SITES)
    plain = replace(made, caveats=by_others, federation=None)
    assert read_membership(plain, plain.subjects[0]).state == "undetected"
    text = (place.parent / "report.md").read_text("utf-8")
    assert "○ No leakage detected" not in text
    assert "On the hospitals’ word" in text
    assert "cannot infer from the model" not in text


def test_verify_says_what_it_could_not_check(finished: Path) -> None:
    found = verify(finished.parent.parent)
    states = {one.name: one.state for one in found.checks}
    assert not found.faults
    assert states["files"] == states["statement"] == states["documents"] == "holds"
    assert states["numbers"] == "not checked"
    assert found.code == 6


def test_the_report_names_the_hospital_and_the_alarm(finished: Path) -> None:
    text = (finished.parent / "report.md").read_text("utf-8")
    part = text[text.index('id="federation-between-hospitals"') :]
    assert "Membership shows most at d" in part
    assert "b: a second machine logged in with its certificate" in part
    assert "More arrived in the name of a hospital than it sent" in part
    assert "too few patients" in part


@pytest.mark.slow
def test_the_same_run_gives_the_same_numbers(tmp_path: Path) -> None:
    found = []
    for place in ("one", "two"):
        home = CoordinatorHome(tmp_path / place)
        write_run(home, RUN, grade_all(RUN), 2)
        found.append(read(finish_run(home, RUN).parent.parent))
    assert found[0].subjects == found[1].subjects


def test_a_hospital_cannot_drown_what_the_others_found(tmp_path: Path) -> None:
    """Nor can one be counted that trained nothing: its patients are no members."""
    made = json.loads(grade_all(RUN)["a"])
    told: list[tuple[dict[str, int], tuple[str, ...]]] = []
    for times in (1, 1000):
        made["pools"] = {
            name: {"patients": 250 * times, "records": 250 * times}
            for name in ("members", "nonmembers")
        }
        made["membership"], made["attempts"] = {}, {}
        made.pop("utility", None)
        parts = ("threshold", "utility", "attribute", "gradient_inversion")
        made["withheld"] = dict.fromkeys(parts, "refused")
        for stated in ({"a": 250}, {}):
            counts, unread = read_all({"a": json.dumps(made)}, RUN, stated)
            told.append((dict.fromkeys(counts, times), unread))
    assert told == [({"a": 1}, ()), ({}, ("a",)), ({}, ("a",)), ({}, ("a",))]


def test_a_run_that_is_not_over_is_refused(tmp_path: Path) -> None:
    home = CoordinatorHome(tmp_path)
    with pytest.raises(PrivauditError, match="no state"):
        finish_run(home, RUN)
    write_run(home, RUN, {}, 1)
    with pytest.raises(PrivauditError, match="1 of 2 rounds"):
        finish_run(home, RUN)


def test_a_run_without_any_counts_has_a_report_all_the_same(tmp_path: Path) -> None:
    home = CoordinatorHome(tmp_path)
    write_run(home, RUN, {}, 2)
    made = read(finish_run(home, RUN).parent.parent)
    assert not [o for o in made.subjects[0].outcomes if isinstance(o, Finding)]
    assert made.data.real
    text = (tmp_path / "audits" / "run" / "shareable" / "report.md").read_text("utf-8")
    assert "no hospital stated counts of 3" in text
    assert "Of the attacks requested, 3 did not apply" not in text
    assert "what is not released here" not in text


def test_the_release_is_that_of_the_weights(tmp_path: Path) -> None:
    home = CoordinatorHome(tmp_path)
    write_run(home, RUN, {}, 2)
    method = Federated(rounds=2, hidden=8)
    ended = read_ended(home.run("run"), RUN, method)
    like = make_split(30, np.random.default_rng(2)).members.take(slice(0))
    release = make_release(method, ended, like)
    asked = make_split(30, np.random.default_rng(3)).members
    direct = method.make_model(like, ended.weights.astype(np.float32))
    assert release.model is not None
    assert np.array_equal(release.model.predict_proba(asked), direct.predict_proba(asked))
    assert release.updates is not None
    assert release.updates.counts.tolist() == [250] * 4
    finish_run(home, RUN)
    kept = load(home.run("run") / "release" / "model.npz")
    assert kept is not None
    assert np.array_equal(kept[1]["weights"], ended.weights.astype(np.float32))


def test_a_leak_at_one_hospital_is_named_whatever_reads_highest_over_all(audit: Audit) -> None:
    (subject,) = audit.subjects
    found = next(o for o in subject.outcomes if o.attack == "threshold")
    assert isinstance(found, Finding)
    raised = replace(found.estimates[0], value=0.9, low=0.55, high=0.95)
    level = replace(found.groups[0].estimates[0], value=0.6, low=0.52, high=0.7)
    groups = tuple(replace(g, estimates=(level,)) for g in found.groups)
    other = replace(found, attack="rmia", estimates=(raised,), groups=groups)
    both = replace(subject, outcomes=(other, *subject.outcomes))
    text = str(build(replace(audit, subjects=(both,)), None))
    assert "Membership shows most at d" in text


def test_finishing_again_keeps_what_was_judged_and_signed(tmp_path: Path) -> None:
    home = CoordinatorHome(tmp_path)
    graded = {"a": grade_model(Answers(), make_split(30, np.random.default_rng(8)), RUN, False)}
    write_run(home, RUN, {}, 2)
    report = finish_run(home, RUN)
    first, verdicts = report.read_bytes(), report.parent / "verdicts.json"
    verdicts.write_text("{}", "utf-8")
    assert finish_run(home, RUN) == report
    assert (report.read_bytes(), verdicts.exists()) == (first, True)
    (home.run("run") / "grades" / "a.json").write_text(graded["a"], "utf-8")
    assert finish_run(home, RUN) == report
    assert not verdicts.exists()
    assert verify(report.parent.parent).code == 6
    (kept,) = (tmp_path / "audits" / ".earlier").glob("*/run/shareable/verdicts.json")
    assert (kept.parent / report.name).read_bytes() == first


@pytest.mark.parametrize(("saying", "real"), [("abcd", False), ("a", True), ("abc", True)])
def test_records_are_generated_where_every_hospital_says_so(
    tmp_path: Path, saying: str, real: bool
) -> None:
    home = CoordinatorHome(tmp_path)
    split = make_split(30, np.random.default_rng(8))
    graded = grade_model(Answers(), split, RUN, False, real=False)
    write_run(home, RUN, dict.fromkeys(saying, graded), 2)
    assert read(finish_run(home, RUN).parent.parent).data.real is real


def test_a_rate_that_blocks_leave_open_is_not_called_no_better_than_guessing() -> None:
    e = Estimate(Metric("auc"), 0.64, 0.6, 0.68, 0.5, {"patients": 1000}, 0.95)
    for in_blocks in (True, False):
        text = word_ranking(e, "RMIA", 0.01, in_blocks=in_blocks)
        assert ("no better than guessing" in text) is not in_blocks
        assert ("leave open" in text) is in_blocks
