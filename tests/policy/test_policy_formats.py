"""Every format says the same of every verdict, and holds up against hostile names."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from markdown_it import MarkdownIt
from policy_lab import (
    DAY,
    TOML,
    TPR,
    audit,
    controls,
    group,
    member,
    number,
    policy,
    subject,
    tried,
)

from privaudit.cli import main
from privaudit.facts import (
    REASON_PARAMS,
    Bound,
    BoundMethod,
    CaveatCode,
    Metric,
    Reason,
    ReasonCode,
)
from privaudit.policy import judge
from privaudit.policy.metrics import METRICS
from privaudit.policy.rules import Exemption, Guard, Limit, Regression, Statistics
from privaudit.report.formats import FORMATS, render
from privaudit.report.formats.shared import MARKS, weigh, word_state
from privaudit.report.wording import reasons_and_caveats as facts
from privaudit.report.wording.tables import read_table
from privaudit.report.wording.verdicts import (
    explain_policy_metric,
    explain_verdict,
    name_group_of,
)
from privaudit.results import Estimate, Finding, to_json
from privaudit.verdicts import Verdict, Verdicts, from_json

AUC = Limit("auc", "membership.auc", 0.6, by=("sex",))
EPSILON = Limit("eps", "epsilon.lower_bound", 3.0)
PROVED = {"refuted": 3.5, "waived": 4.0, "not": 0.5}
HOSTILE = 'x|y <script>alert(1)</script> & "q" `c` *b* ]]> \x1b[31m'


def auc(value: float, attack: str = "lira") -> Any:
    return member(attack, number("auc", value, value - 0.02, value + 0.02))


def proof(value: float) -> Finding:
    count = {"member_patients": 1600, "nonmember_patients": 1600}
    made = Bound(BoundMethod.MAHLOUJIFAR, delta=1e-5, levels=((0.001, value),))
    bound = Estimate(Metric("epsilon_lower_bound_fdp"), value, value, None, 0.0, count, 0.95, made)
    return Finding("one_run", "epsilon", {}, (), (bound,))


def every() -> Verdicts:
    """All states, kinds and weights at once."""
    groups = (
        group("F", number("auc", 0.5)),
        group("M", number("auc", 0.8, 0.78, 0.82)),
        group(HOSTILE, number("auc", 0.9, 0.85, 0.95)),
        group("small", suppressed=True),
    )
    first = subject(
        "one",
        outcomes=[
            replace(auc(0.5), groups=groups),
            tried("attribute", "attribute", {"sex": (0.3, 0.01)}),
        ],
    )
    second = subject("two", outcomes=[auc(0.59)], checks=controls(positive=False))
    rules = policy(
        AUC,
        Limit("attr", "attribute.advantage", 0.1, severity="warn"),
        Limit("claim", "epsilon.claimed", 3.0),
        Guard("useful", "utility.auroc", min=0.7),
        Regression("worse", "membership.auc", 0.02, severity="warn"),
        waivers=(
            Exemption("claim", f"pilot {HOSTILE}", "Dr. <b>", date(2030, 1, 1), subject="one"),
        ),
    )
    return judge(rules, audit(first, second), today=DAY)


def none() -> Verdicts:
    return judge(policy(AUC), audit(), today=DAY)


def single() -> Verdicts:
    return judge(policy(replace(AUC, by=())), audit(subject()), today=DAY)


def passing() -> Verdicts:
    rules = policy(replace(AUC, by=()), statistics=Statistics(on_inconclusive="pass"))
    return judge(rules, audit(subject(outcomes=[auc(0.59)])), today=DAY)


def failed() -> Verdicts:
    return judge(
        policy(replace(AUC, by=())), audit(subject(checks=controls(negative=False))), today=DAY
    )


def proofs() -> Verdicts:
    """A limit on what is proved: refuted with and without a waiver, and not refuted."""
    models = [subject(name, outcomes=[auc(0.5), proof(at)]) for name, at in PROVED.items()]
    made = policy(
        EPSILON,
        replace(AUC, by=()),
        waivers=(Exemption("eps", "pilot", "Dr. Who", date(2030, 1, 1), subject="waived"),),
    )
    return judge(made, audit(*models), today=DAY)


def unproved() -> Verdicts:
    return judge(policy(EPSILON), audit(subject(outcomes=[proof(0.5)])), today=DAY)


ALL = [every, none, single, passing, failed, proofs, unproved]
Rows = list[tuple[str, str, str, str]]


def key(verdicts: Verdicts) -> Rows:
    return sorted(
        (v.rule, v.subject, name_group_of(v).replace("\x1b", "\ufffd"), word_state(v))
        for v in verdicts.verdicts
    )


def from_junit(text: str) -> tuple[str, int, Rows, dict[str, int]]:
    root = ElementTree.fromstring(text)
    (suite,) = root.findall("testsuite")
    cases = suite.findall("testcase")
    said = []
    counts = {"tests": len(cases), "failures": 0, "errors": 0, "skipped": 0}
    for case in cases:
        held = {p.get("name"): p.get("value") for p in case.findall("properties/property")}
        for tag, name in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
            counts[name] += len(case.findall(tag))
        if case is cases[-1]:
            state, code = held["state"], int(held["code"] or 0)
            continue
        found = held["state"] or ""
        if held.get("waived_until") and found != "WITHIN":
            found += f" (waived until {held['waived_until']})"
        elif held["severity"] == "warn" and found not in ("WITHIN", "NOT TESTED", "NOT REFUTED"):
            found += " (warns)"
        for tag in ("failure", "error"):
            for node in case.findall(tag):
                assert node.get("type") == held["state"]
        said.append(
            (held["rule"] or "", case.get("classname") or "", held.get("group") or "", found)
        )
    for name, count in counts.items():
        assert int(suite.get(name) or -1) == count
        assert int(root.get(name) or -1) == count
    return state or "", code, sorted(said), counts


def from_sarif(text: str) -> tuple[str, int, Rows]:
    tree = json.loads(text)
    sarif_is_valid(tree)
    (run,) = tree["runs"]
    said = []
    for result in run["results"]:
        held = result["properties"]
        found = held["state"]
        if "suppressions" in result:
            until = result["suppressions"][0]["justification"].rsplit("until ", 1)[1].rstrip(")")
            found += f" (waived until {until})"
        elif held["severity"] == "warn" and found not in ("WITHIN", "NOT TESTED", "NOT REFUTED"):
            found += " (warns)"
        said.append(
            (result["ruleId"], held["subject"], held["group"].replace("\x1b", "\ufffd"), found)
        )
    assert run["invocations"][0]["exitCode"] == run["properties"]["code"]
    return run["properties"]["state"], run["properties"]["code"], sorted(said)


def sarif_is_valid(tree: Any) -> None:
    """What section 3 of SARIF 2.1.0 requires of the parts that are written here."""
    assert tree["version"] == "2.1.0"
    assert tree["$schema"].endswith("sarif-schema-2.1.0.json")
    for run in tree["runs"]:
        driver = run["tool"]["driver"]
        assert driver["name"]
        ids = [rule["id"] for rule in driver["rules"]]
        assert len(ids) == len(set(ids))
        for rule in driver["rules"]:
            assert rule["shortDescription"]["text"]
            assert rule["defaultConfiguration"]["level"] in ("none", "note", "warning", "error")
        for call in run["invocations"]:
            assert isinstance(call["executionSuccessful"], bool)
            for told in call["toolExecutionNotifications"]:
                assert told["message"]["text"]
        for result in run["results"]:
            assert ids[result["ruleIndex"]] == result["ruleId"]
            assert result["message"]["text"]
            assert result["kind"] in (
                "notApplicable",
                "pass",
                "fail",
                "review",
                "open",
                "informational",
            )
            assert result["level"] in ("none", "note", "warning", "error")
            # 3.27.10: a result that is no failure has the level "none".
            assert (result["kind"] == "fail") == (result["level"] != "none")
            assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
            for held in result.get("suppressions", ()):
                assert held["kind"] in ("inSource", "external")
                assert held["status"] in ("accepted", "underReview", "rejected")


def from_markdown(text: str) -> tuple[str, int, Rows]:
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(text)
    title = next(t for i, t in enumerate(tokens) if tokens[i - 1].type == "heading_open")
    state, code = whole(title.content)
    rows: list[list[str]] = []
    for index, token in enumerate(tokens):
        if token.type == "tr_open":
            rows.append([])
        if token.type == "inline" and tokens[index - 1].type in ("td_open", "th_open"):
            kids = token.children or []
            assert {k.type for k in kids} <= {"text", "text_special"}, "markup in a cell"
            rows[-1].append("".join(k.content for k in kids))
    said = [(r[1], r[2], "" if r[3] == "all" else r[3], r[0][2:]) for r in rows[1:]]
    return state, code, sorted(said)


def from_text(text: str) -> tuple[str, int, Rows]:
    lines = text.splitlines()
    state, code = whole(lines[0][2:])
    said = []
    for line in lines[1:]:
        found = re.match(
            r"[✓✗✖?–□] (WITHIN|EXCEEDS|REFUTED|INCONCLUSIVE|NOT TESTED|NOT REFUTED)"
            r"( \([^)]*\))?  (.*)",
            line,
        )
        if found:
            about, numbers = found[3].rsplit("  (", 1)
            assert re.search("at most |at least |to be tested", numbers)
            rule, who, *rest = about.split(" / ")
            said.append((rule, who, " / ".join(rest), found[1] + (found[2] or "")))
    return state, code, sorted(said)


def whole(text: str) -> tuple[str, int]:
    found = re.match(r"(?:[✓✗?–] )?([A-Z ]+) \(exit code (\d):", text)
    assert found
    return found[1], int(found[2])


@pytest.mark.parametrize("make", ALL)
def test_all_formats_agree_on_every_verdict(make: Any) -> None:
    made: Verdicts = make()
    truth = made.state, made.code, key(made)
    assert from_json(render(made, "json")) == made
    state, code, said, counts = from_junit(render(made, "junit"))
    flat = [(r, s, g, w) for r, s, g, w in truth[2]]
    assert (state, code, said) == (truth[0], truth[1], flat)
    assert (counts["failures"] + counts["errors"] > 0) == (made.code != 0)
    stops = sum(weigh(made, one) in ("exceeds", "undecided") for one in made.verdicts)
    assert counts["failures"] + counts["errors"] - (made.code not in (0, 1)) == stops
    assert from_sarif(render(made, "sarif")) == (truth[0], truth[1], flat)
    loose = [(r, s, re.sub(r"\s+", " ", g).strip(), w) for r, s, g, w in flat]
    assert from_markdown(render(made, "markdown")) == (truth[0], truth[1], loose)
    assert from_markdown(render(made, "github")) == (truth[0], truth[1], loose)
    assert from_text(render(made, "text")) == (truth[0], truth[1], flat)


def test_every_weight_occurs() -> None:
    made = every()
    assert {weigh(made, one) for one in made.verdicts} == {
        "pass",
        "exceeds",
        "undecided",
        "warns",
        "waived",
        "reported",
    }
    assert {one.state for one in made.verdicts} == {
        "WITHIN",
        "EXCEEDS",
        "INCONCLUSIVE",
        "NOT TESTED",
    }


def test_proofs_have_words_shapes_and_weights_of_their_own() -> None:
    made = proofs()
    found = {one.subject: one for one in made.verdicts if one.rule == "eps"}
    assert {name: one.state for name, one in found.items()} == {
        "refuted": "REFUTED",
        "waived": "REFUTED",
        "not": "NOT REFUTED",
    }
    assert {name: weigh(made, one) for name, one in found.items()} == {
        "refuted": "exceeds",
        "waived": "waived",
        "not": "reported",
    }
    alone = unproved()
    assert [weigh(alone, one) for one in alone.verdicts] == ["undecided"]
    assert len(set(MARKS.values())) == len(MARKS)


@pytest.mark.parametrize("name", FORMATS)
def test_names_are_inert(name: str) -> None:
    text = render(every(), name)
    assert "\x1b" not in text
    if name in ("markdown", "github"):
        assert "<script" not in text
        assert "<b>" not in text
    assert text.endswith("\n")


BANNED = r"(?i)\b(anonym\w*|complian\w*|safe|private|de-identified|certified)\b"


@pytest.mark.parametrize("make", ALL)
def test_words_that_no_test_can_back_are_absent(make: Any) -> None:
    for name in FORMATS:
        assert not re.search(BANNED, render(make(), name))


def test_banned_words_are_in_no_sentence_of_the_catalogue() -> None:
    folder = Path(__file__).parents[2] / "privaudit" / "report"
    for file in ("wording/verdicts.py", "formats/text.py", "formats/markdown.py"):
        assert not re.search(BANNED, (folder / file).read_text(encoding="utf-8"))


def test_colour_is_never_alone() -> None:
    from privaudit.report.formats.text import render as paint

    made = every()
    plain = re.sub(r"\x1b\[[0-9]*m", "", paint(made, colour=True))
    assert plain == paint(made)


def test_a_long_summary_is_cut_to_what_a_job_summary_holds() -> None:
    made = every()
    why = Reason(ReasonCode.FAILED, {"error": "word " * 60_000})
    asked = Reason(ReasonCode.ATTACKS_MISSING, {"attacks": ("lira",)})
    long = replace(made.verdicts[2], reason=asked, untested=(("lira", why),))
    text = render(replace(made, verdicts=(long,) * 10), "github")
    assert len(text.encode()) < 2**20


# ---------------------------------------------------------------- the command


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished run without sums, and a policy beside it."""
    (tmp_path / "run" / "shareable").mkdir(parents=True)
    document = audit(subject(outcomes=[member("lira", number(), number(TPR, 0.01))]))
    (tmp_path / "run" / "shareable" / "audit.json").write_text(to_json(document), encoding="utf-8")
    simple = TOML.replace('by = ["sex"]\n', "")
    (tmp_path / "policy.toml").write_text(simple, encoding="utf-8")
    return tmp_path / "run"


def check(run: Path, *words: str) -> int:
    policy = run.parent / "policy.toml"
    return main(["check", str(run), "--policy", str(policy), *words])


def test_check_says_it_on_standard_output(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(run) == 0
    out, err = capsys.readouterr()
    assert out.startswith("✓ WITHIN (exit code 0: within; not asked for by the policy: ")
    assert "no sums" in err
    assert check(run, "--format", "json") == 0
    made = from_json(capsys.readouterr().out)
    assert made.audit_sha256
    assert made.policy["release"] == "public-api"


def test_check_writes_several_formats(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    there = run.parent
    words = [w for n in ("junit", "sarif", "json") for w in ("--format", f"{n}={there / n}.out")]
    assert check(run, *words, "--format", "markdown", "--output", str(there / "out.md")) == 0
    assert capsys.readouterr().out == ""
    assert from_junit((there / "junit.out").read_text())[:2] == ("WITHIN", 0)
    assert from_sarif((there / "sarif.out").read_text())[:2] == ("WITHIN", 0)
    assert (there / "out.md").read_text().startswith("# ✓ WITHIN")


USAGE = [
    (["--format", "jnit"], "did you mean 'junit'"),
    (["--format", "text", "--format", "json"], "standard output"),
    (["--format", "json=x.json", "--output", "y.json"], "--output y.json"),
    (["--baseline", "none.json"], "no baseline can be read"),
]


@pytest.mark.parametrize(("words", "told"), USAGE)
def test_wrong_use(
    run: Path, words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(run, *words) == 2
    assert told in capsys.readouterr().err


def test_faulty_policies_and_runs(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy = run.parent / "policy.toml"
    whole = policy.read_text()
    for old, new, told in (
        ("[[limit]]", "[[limit", "not valid TOML"),
        ("max = 0.05", "maxx = 0.05", "missing"),
        ("2099-01-01", "2026-01-02", "was to be reviewed"),
        ("membership.auc", "membership.ucc", "did you mean"),
    ):
        policy.write_text(whole.replace(old, new, 1))
        assert check(run) == 2
        err = capsys.readouterr().err
        assert told in err
        assert "Traceback" not in err
    policy.write_text(whole)
    (run / "shareable" / "audit.json").rename(run / "shareable" / "kept.json")
    assert check(run) == 2
    assert "cut short" in capsys.readouterr().err
    for schema, told in (("privaudit/4", "faults"), ("privaudit/3", "run the audit again")):
        (run / "shareable" / "audit.json").write_text(json.dumps({"schema": schema}))
        assert check(run) == 2
        assert told in capsys.readouterr().err


def test_an_expired_waiver_is_named_and_waives_nothing(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = run.parent / "policy.toml"
    waiver = (
        '[[waiver]]\nlimit = "ranking"\nreason = "x"\napproved_by = "y"\nexpires = 2020-01-01\n'
    )
    policy.write_text(policy.read_text().replace("max = 0.6", "max = 0.1") + waiver)
    assert check(run) == 1
    assert "expired on 2020-01-01 and waives nothing" in " ".join(capsys.readouterr().out.split())


def test_a_tampered_run_is_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from privaudit.evidence import sums

    (run / "manifest.json").write_text("{}")
    assert check(run) == 4
    assert "never sealed" in capsys.readouterr().err
    assert check(run, "--unsealed") == 0
    sums.write(run)
    capsys.readouterr()
    assert check(run) == 0
    assert "no sums" not in capsys.readouterr().err
    path = run / "shareable" / "audit.json"
    path.write_bytes(path.read_bytes().replace(b'"value": 0.5', b'"value": 0.4', 1))
    assert check(run, "--unsealed") == 4
    out, err = capsys.readouterr()
    assert out == ""
    assert "shareable/audit.json: changed since the run was sealed" in err
    assert main(["check", str(path), "--policy", str(run.parent / "policy.toml")]) == 4


def test_a_terminal_that_cannot_write_every_letter(run: Path) -> None:
    from privaudit.commands.check import command

    runner = CliRunner(charset="ascii")
    policy = str(run.parent / "policy.toml")
    found = runner.invoke(command, [str(run), "--policy", policy], standalone_mode=False)
    assert found.exception is None
    assert "WITHIN" in found.output


def test_no_color_is_honoured(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from privaudit.commands import _paint as module

    class Terminal:
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(module.sys, "stdout", Terminal())
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert module.has_colour()
    monkeypatch.setenv("NO_COLOR", "1")
    assert not module.has_colour()


def test_verdict_orders_worst_first() -> None:
    from privaudit.report.formats.shared import sort_verdicts

    states = [one.state for one in sort_verdicts(every())]
    rank: dict[str, int] = {"EXCEEDS": 0, "INCONCLUSIVE": 1, "NOT TESTED": 2, "WITHIN": 3}
    assert [rank[s] for s in states] == sorted(rank[s] for s in states)
    assert all(isinstance(one, Verdict) for one in sort_verdicts(every()))


def test_every_reason_and_note_of_a_verdict_has_a_wording() -> None:
    """Codes of verdicts here, all others in `report.wording.facts`; no sentence without a code."""
    texts = read_table("verdicts")
    codes = {str(code) for code in ReasonCode}
    assert set(texts["reasons"]) | set(map(str, facts.REASONS)) == codes
    assert set(texts["remedies"]) <= codes
    assert set(texts["notes"]) | set(map(str, facts.CAVEATS)) == {str(c) for c in CaveatCode}
    made = every().verdicts[0]
    for code in texts["reasons"]:
        params = dict.fromkeys(REASON_PARAMS.get(ReasonCode(code), ()), 0.5)
        lists = ("weak", "others", "attacks", "settings", "known", "access")
        named = {name: ("TABLE",) if name in lists else value for name, value in params.items()}
        for state in ("EXCEEDS", "WITHIN", "INCONCLUSIVE"):
            one = replace(made, state=state, reason=Reason(ReasonCode(code), named))
            for text in explain_verdict(one):
                assert "{" not in text
                assert text.endswith((".", "?"))


@pytest.mark.parametrize("name", sorted(METRICS))
def test_every_metric_of_a_policy_is_explained(name: str) -> None:
    assert explain_policy_metric(name)
