"""`policy`, `init`, the starter policies and what `simulate` says."""

import json
import re
import runpy
import tomllib
from dataclasses import replace
from datetime import date
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from policy_lab import TOML, TPR, audit, group, member, number, policy, subject, tried

from privaudit.cli import main
from privaudit.errors import PrivauditError
from privaudit.facts import Metric
from privaudit.policy.file import parse
from privaudit.policy.rules import RELEASES, Guard, Limit, Regression
from privaudit.policy.schema import policy_schema
from privaudit.policy.simulate import simulate
from privaudit.policy.starters import starter
from privaudit.results import Audit, to_json

BANNED = r"(?i)\b(anonym\w*|complian\w*|safe|private|de-identified|certified)\b"


@pytest.mark.parametrize("release", RELEASES)
def test_starters_are_policies(release: str) -> None:
    text = starter(release, date(2027, 1, 31))
    made = parse(text.encode())
    assert made.context.release == release
    assert made.review_by == date(2027, 1, 31)
    assert {rule.metric for rule in made.limits} >= {"membership.tpr", "membership.auc"}
    assert made.guards
    assert not re.search(BANNED, text)
    # What is commented out is a policy too once the marks are taken away.
    opened = re.sub(
        r"(?m)^# (?=\[\[waiver|limit =|group =|reason =|approved_|expires|owner|subjects|by =)",
        "",
        text,
    )
    opened = opened.replace("approved_on = 2026-01-31", "approved_on = 2020-01-31")
    assert parse(opened.encode()).waivers[0].approved_by == "Name, role"
    assert parse(opened.encode()).limits[0].by == ("sex", "age")
    # TOML's dates are texts in JSON.
    for part in (text, opened):
        tree = json.loads(json.dumps(tomllib.loads(part), default=str))
        jsonschema.validate(tree, policy_schema(), format_checker=jsonschema.FormatChecker())


FAULTS = [
    ("max = 0.05", "maxx = 0.05"),
    ("max = 0.05", "max = true"),
    ("fpr = 0.01", "fpr = 0.02"),
    ("membership.tpr", "membership.tprr"),
    ('by = ["sex"]', 'by = ["sex", "sex"]'),
    ('by = ["sex"]', 'severity = "stop"'),
    ("privaudit.policy/1", "privaudit.policy/9"),
    ('release = "public-api"', 'release = "public"'),
]


@pytest.mark.parametrize(("old", "new"), FAULTS)
def test_the_schema_finds_what_the_reader_refuses(old: str, new: str) -> None:
    text = TOML.replace(old, new, 1)
    with pytest.raises(PrivauditError):
        parse(text.encode())
    tree = json.loads(json.dumps(tomllib.loads(text), default=str))
    assert list(jsonschema.Draft202012Validator(policy_schema()).iter_errors(tree))


def test_the_schema_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy", "schema"]) == 0
    tree = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator.check_schema(tree)
    assert tree == json.loads(json.dumps(policy_schema()))
    assert "membership.auc" in tree["properties"]["limit"]["items"]["properties"]["metric"]["enum"]


def test_stricter_contexts_allow_less() -> None:
    def most(release: str, metric: str) -> float:
        found = parse(starter(release, date(2027, 1, 1)).encode()).limits
        return next(rule.max for rule in found if rule.metric == metric)

    for metric in ("membership.tpr", "membership.auc", "attribute.advantage"):
        inside, given = most("internal", metric), most("open-weights", metric)
        assert given < most("partner", metric) + 1e-12 <= inside


def test_init_writes_and_leaves_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    there = tmp_path / "new" / "project"
    assert main(["init", str(there), "--release", "partner"]) == 0
    out = capsys.readouterr().out.split()
    assert {Path(line).name for line in out} == {
        "policy.toml",
        "audit_example.py",
        "test_privacy.py",
        "README.md",
    }
    (there / "policy.toml").write_text("mine")
    (there / "README.md").unlink()
    assert main(["init", str(there)]) == 0
    out, err = capsys.readouterr()
    assert [Path(line).name for line in out.split()] == ["README.md"]
    assert "policy.toml is there already" in err
    assert (there / "policy.toml").read_text() == "mine"
    for name in ("audit_example.py", "test_privacy.py"):
        compile((there / name).read_text(), name, "exec")


def test_init_names_the_kinds_there_are() -> None:
    from privaudit.commands.init import KINDS

    assert tuple(KINDS.split(", ")) == RELEASES


def test_init_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", str(tmp_path), "--release", "open"]) == 2
    assert "did you mean 'open-weights'" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert main(["init", str(tmp_path / "file")]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_validate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(TOML)
    assert main(["policy", "validate", str(path)]) == 0
    out = capsys.readouterr().out
    asks = "membership.tpr at a false positive rate of 1 %, at most 0.05"
    assert f"recognition: {asks} (blocks)" in out
    assert "guard utility.auroc: utility.auroc, at least 0.7 (blocks)" in out
    assert main(["policy", "validate", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rules"][1]["id"] == "ranking"
    path.write_text(TOML.replace("[[guard]]", "[[gaurd]]"))
    assert main(["policy", "validate", str(path)]) == 2
    assert "did you mean 'guard'" in capsys.readouterr().err


def test_metrics_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy", "metrics", "--json"]) == 0
    names = {m["name"] for m in json.loads(capsys.readouterr().out)}
    assert {"membership.auc", "synthetic.linkability", "epsilon.claimed", "utility.auroc"} <= names
    # Descriptions decide nothing.
    assert not any("distance" in n and "closest" in n for n in names)
    assert main(["policy", "metrics"]) == 0
    assert "membership.tpr" in capsys.readouterr().out


# ---------------------------------------------------------------- simulate


def sized(n: int, attacks: int = 2) -> Audit:
    count = dict.fromkeys(("members", "nonmembers", "member_patients", "nonmember_patients"), n)
    found = [
        replace(
            member(
                f"a{i}",
                number("auc", 0.7, 0.6, 0.8, n=count),
                number(TPR, 0.1, 0.05, 0.15, n=count),
                number(Metric("tpr", fpr=0.1), 0.3, 0.25, 0.35, n=count, chance=0.1),
            ),
            groups=(
                group("F", number("auc", 0.7, 0.6, 0.8, n=dict.fromkeys(count, n // 2))),
                group("M", number("auc", 0.7, 0.6, 0.8, n=dict.fromkeys(count, n - n // 2))),
            ),
        )
        for i in range(attacks)
    ]
    return audit(subject(outcomes=[*found, tried("attribute", "attribute", {"sex": (0.2, 0.02)})]))


RULES = (
    Limit("tpr", "membership.tpr", 0.05, fpr=0.01),
    Limit("auc", "membership.auc", 0.6, by=("sex",)),
    Limit("attr", "attribute.advantage", 0.05),
    Guard("useful", "utility.auroc", min=0.7),
)


def test_a_large_run_tells_clean_from_leaking() -> None:
    shares = []
    made = simulate(
        policy(*RULES), sized(3000), runs=30, rng=np.random.default_rng(1), progress=shares.append
    )
    assert shares[-1] == 1.0
    assert made.patients == (3000, 3000)
    assert made.gate["clean"].share("0") > 0.9
    assert made.gate["clean"].share("1") == 0
    assert made.gate["leaking"].share("1") > 0.9
    for name in ("tpr", "auc", "attr"):
        assert made.rules[name]["clean"].share("WITHIN") > 0.9
        assert made.rules[name]["leaking"].share("WITHIN") == 0
        assert made.rules[name]["leaking"].share("EXCEEDS") > 0.9
    assert made.leak["auc"] == pytest.approx(0.7)
    assert made.leak["tpr"] == pytest.approx(0.09)


def test_a_class_that_nobody_tested_leaves_the_gate_undecided() -> None:
    made = simulate(policy(*RULES, left_out=()), sized(3000), runs=10, rng=np.random.default_rng(1))
    assert made.open == ("inversion", "evasion")
    assert made.gate["clean"].share("3") > 0.9


def test_a_small_run_cannot_say_and_says_so() -> None:
    made = simulate(policy(RULES[0]), sized(1100, 4), runs=30, rng=np.random.default_rng(1))
    tight = simulate(
        policy(replace(RULES[0], max=0.012)), sized(1100, 4), runs=30, rng=np.random.default_rng(1)
    )
    assert made.gate["clean"].share("0") > 0.8
    assert tight.gate["clean"].share("3") > 0.8
    assert tight.gate["clean"].share("1") <= 0.1


def test_a_leak_is_simulated_for_every_rule_that_has_one() -> None:
    """Each against a leak of its own: a rule that allows more is not credited with the largest."""
    evaded = tried("fgsm", "evasion", {"1 sd": (0.02, 0.02)})
    one = sized(3000)
    (only,) = one.subjects
    one = replace(one, subjects=(replace(only, outcomes=(*only.outcomes, evaded)),))
    rules = (
        Limit("strict", "membership.auc", 0.55),
        Limit("loose", "membership.auc", 0.75),
        Limit("misled", "evasion.advantage", 0.1),
        Guard("useful", "utility.auroc", min=0.7),
        Regression("worse", "membership.auc", 0.03),
        Regression("use", "utility.auroc", 0.1),
    )
    made = simulate(policy(*rules), one, runs=12, rng=np.random.default_rng(2))
    assert made.skipped == ("useful",)
    assert made.pairs == 5
    assert made.leak["strict"] == pytest.approx(0.6)
    assert made.leak["loose"] == pytest.approx(0.999)
    assert made.leak["worse"] == pytest.approx(0.06)
    assert made.gate["clean"].share("0") > 0.8
    assert made.gate["leaking"].share("1") == 1
    for name in ("strict", "loose", "misled", "worse", "use"):
        assert made.rules[name]["clean"].share("WITHIN") > 0.8, name
        assert made.rules[name]["leaking"].share("WITHIN") == 0, name
        assert made.rules[name]["leaking"].share("EXCEEDS") > 0.8, name


def test_a_margin_that_few_pairs_cannot_decide_is_told() -> None:
    rule = Regression("worse", "membership.auc", 0.005, candidate_seeds=2)
    made = simulate(policy(rule), sized(300), runs=20, rng=np.random.default_rng(2), pairs=2)
    assert made.pairs == 2
    assert made.rules["worse"]["clean"].share("INCONCLUSIVE") > 0.5
    assert made.rules["worse"]["leaking"].share("WITHIN") <= 0.05


def test_the_same_stream_gives_the_same_answer() -> None:
    one, two = (
        simulate(policy(*RULES), sized(500), runs=5, rng=np.random.default_rng(3)) for _ in range(2)
    )
    assert one == two


def test_simulate_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "policy.toml").write_text(TOML)
    (tmp_path / "audit.json").write_text(to_json(sized(1500)))
    words = [
        "policy",
        "simulate",
        str(tmp_path / "policy.toml"),
        "--audit",
        str(tmp_path / "audit.json"),
    ]
    assert main([*words, "--runs", "10"]) == 0
    out = capsys.readouterr().out
    assert "10 clean models, and 10 leaking ones for each rule, with 1,500 training patients" in out
    assert "the whole gate" in out
    assert main([*words, "--runs", "10", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert set(made["gate"]["clean"]) == {"blocks", "undecided", "passes"}


@pytest.mark.slow
def test_the_short_cut_of_simulate_agrees_with_real_intervals() -> None:
    """Widths of its rates' intervals are those of the bootstrap that an audit makes."""
    from privaudit.contracts import Scores
    from privaudit.policy.simulate_draw import _rate
    from privaudit.stats.membership import membership

    rng = np.random.default_rng(5)
    for n, shift in ((1200, 0.0), (1200, 1.0), (3000, 0.5)):
        real, short = [], []
        for _ in range(25):
            ones, zeros = rng.normal(shift, 1, n), rng.normal(0, 1, n)
            (e,) = membership(
                Scores(ones, zeros),
                patients=(np.arange(n), np.arange(n, 2 * n)),
                confidence=0.95,
                rng=rng,
                names=[str(TPR)],
            )
            assert e.low is not None
            assert e.high is not None
            value, low, high = _rate(0.01, ones, zeros, e)
            assert value == pytest.approx(e.value, abs=0.002)
            real.append(e.high - e.low)
            short.append(high - low)
        assert 0.8 < np.mean(short) / np.mean(real) < 1.3


@pytest.mark.slow
def test_the_example_runs_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", str(tmp_path)]) == 0
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    runpy.run_path(str(tmp_path / "audit_example.py"), run_name="__main__")
    out = capsys.readouterr().out
    assert "EXCEEDS" in out
    assert "policy Models used inside one hospital" in out
