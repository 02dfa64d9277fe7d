"""The policy file: what is read, and what every fault is told as."""

from datetime import date
from pathlib import Path

import pytest
from policy_lab import DAY, TOML

from privaudit.errors import PrivauditError
from privaudit.facts import Group
from privaudit.policy.file import check_dates, parse, read
from privaudit.policy.metrics import METRICS
from privaudit.policy.rules import Guard, Limit


def test_a_whole_policy_is_read() -> None:
    policy = parse(TOML.encode())
    assert policy.name == "Toy policy"
    assert policy.context.release == "public-api"
    assert policy.limits[0] == Limit("recognition", "membership.tpr", 0.05, 0.01, by=("sex",))
    assert policy.guards == (Guard("guard utility.auroc", "utility.auroc", 0.7),)
    assert policy.review_by == date(2099, 1, 1)
    assert len(policy.sha256) == 64
    assert policy.statistics.confidence == 0.95


FAULTS = [
    ("max = 0.05", "maxx = 0.05", "max", "missing"),
    ("max = 0.05", "max = 0.05\nmaxx = 1", "maxx", "did you mean 'max'"),
    ('owner = "Data office"', "owner = 3", "owner = 3", "a text"),
    ('[context]\nrelease = "public-api"', '[contxt]\nx = "y"', "contxt", "did you mean 'context'"),
    ('"public-api"', '"public"', "'public'", "public-api"),
    ("max = 0.05", "max = 5", "max = 5", "a share from 0 to 1"),
    ("max = 0.05", "max = true", "max = True", "a share from 0 to 1"),
    ("max = 0.05", "max = nan", "max = nan", "a share from 0 to 1"),
    ("fpr = 0.01", "fpr = 0.02", "fpr = 0.02", "one of 0.1, 0.01, 0.001"),
    ("fpr = 0.01", "", "fpr is missing", "one of 0.1"),
    ("membership.tpr", "membership.tprr", "'membership.tprr'", "did you mean 'membership.tpr'"),
    ("membership.auc", "auc", "no metric 'auc'", "did you mean 'membership.auc'"),
    ('"membership.auc"', '"membership.auc"\nfpr = 0.01', "fpr for the metric", "take fpr out"),
    ('"membership.auc"', '"utility.auroc"', "'utility.auroc'", "[[guard]]"),
    ('"utility.auroc"', '"membership.auc"', "'membership.auc'", "[[limit]]"),
    ("min = 0.7", "min = 0.7\nmax = 0.9", "both min and max", "one bound"),
    ("min = 0.7", "", "neither min nor max", "one bound"),
    ('id = "ranking"', 'id = "recognition"', "twice", "rename"),
    ('by = ["sex"]', 'by = ["sex", "sex"]', "by = ['sex', 'sex']", "list of groupings"),
    ('by = ["sex"]', 'by = "sex"', "by = 'sex'", "list of groupings"),
    ('by = ["sex"]', 'attacks = ["liraa"]', "no attack 'liraa'", "did you mean 'lira'"),
    ('by = ["sex"]', 'severity = "stop"', "severity = 'stop'", '"block" or "warn"'),
    ('by = ["sex"]', 'at = ["sex"]', "at for the metric", "no settings"),
    ("2099-01-01", "01.01.2099", "not valid TOML", "privaudit init"),
    ("2099-01-01", '"2099-13-01"', "review_by = '2099-13-01'", "a day"),
    ("2099-01-01", "2099-01-01T00:00:00Z", "review_by = ", "a day"),
    ("review_by = 2099-01-01", "", "review_by is missing", "a day"),
    ("privaudit.policy/1", "privaudit.policy/9", "privaudit.policy/9", "reads privaudit.policy/1"),
    ("[[guard]]", "[guard]", "guard is not a list", "two brackets"),
    ("[context]", "[[context]]", "context = ", "a line of its own"),
]


@pytest.mark.parametrize(("old", "new", "what", "told"), FAULTS)
def test_every_fault_names_the_value_and_the_range(
    old: str, new: str, what: str, told: str
) -> None:
    assert old in TOML
    with pytest.raises(PrivauditError) as caught:
        parse(TOML.replace(old, new, 1).encode())
    assert what in str(caught.value)
    assert told in str(caught.value)


STATISTICS = [
    ("confidence = 0.95", ""),
    ("confidence = 1", "between 0.5 and 1"),
    ("confidence = 95", "between 0.5 and 1"),
    ('correction = "none"', ""),
    ('correction = "bonferroni"', '"holm" or "none"'),
    ("min_false_positives = 9", "at least 10"),
    ("min_cell = 5", "at least 10"),
    ("min_cell = 20", ""),
    ('positive_control = "off"', '"required" or "optional"'),
    ('on_inconclusive = "ignore"', '"fail" or "pass"'),
    ("minimum_cell = 10", "did you mean 'min_cell'"),
]


@pytest.mark.parametrize(("line", "told"), STATISTICS)
def test_statistics_have_their_ranges(line: str, told: str) -> None:
    text = f"{TOML}\n[statistics]\n{line}\n"
    if not told:
        assert parse(text.encode()).statistics is not None
        return
    with pytest.raises(PrivauditError) as caught:
        parse(text.encode())
    assert told in str(caught.value)


def test_a_waiver_names_a_rule_there_is() -> None:
    waiver = '[[waiver]]\nlimit = "rankin"\nreason = "x"\napproved_by = "y"\nexpires = 2030-01-01\n'
    with pytest.raises(PrivauditError, match="did you mean 'ranking'"):
        parse((TOML + waiver).encode())
    kept = parse((TOML + waiver.replace("rankin", "ranking")).encode()).waivers
    assert kept[0].expires == date(2030, 1, 1)
    assert kept[0].group is None
    named = waiver.replace("rankin", "ranking") + 'group = {by = "a: b", level = "c / d"}\n'
    assert parse((TOML + named).encode()).waivers[0].group == Group("a: b", "c / d")
    for old in ('"sex: F"', '{by = "sex"}', '{by = "sex", level = "F", x = "y"}'):
        text = waiver.replace("rankin", "ranking") + f"group = {old}\n"
        with pytest.raises(PrivauditError) as caught:
            parse((TOML + text).encode())
        assert '{by = "sex", level = "F"}' in str(caught.value)
    with pytest.raises(PrivauditError, match="approved_by is missing"):
        parse(
            (TOML + waiver.replace("rankin", "ranking").replace('approved_by = "y"\n', "")).encode()
        )


def test_a_policy_without_rules_decides_nothing() -> None:
    with pytest.raises(PrivauditError, match="without a rule"):
        parse(b'schema = "privaudit.policy/1"\nname = "x"\nreview_by = 2099-01-01\n')


def test_dates() -> None:
    policy = parse(TOML.encode())
    check_dates(policy, DAY)
    check_dates(policy, date(2099, 1, 1))
    with pytest.raises(PrivauditError, match="was to be reviewed by 2099-01-01"):
        check_dates(policy, date(2099, 1, 2))
    with pytest.raises(PrivauditError, match="does not stand yet"):
        check_dates(policy, date(2025, 12, 31))


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(PrivauditError, match="cannot be read"):
        read(tmp_path / "none.toml")
    with pytest.raises(PrivauditError, match="cannot be read"):
        read(tmp_path)
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PrivauditError, match="UTF-8"):
        read(tmp_path / "bytes.toml")
    (tmp_path / "big.toml").write_bytes(b"#" * 2_000_000)
    with pytest.raises(PrivauditError, match="2,000,000 bytes"):
        read(tmp_path / "big.toml")
    (tmp_path / "cut.toml").write_bytes(TOML.encode()[:150])
    with pytest.raises(PrivauditError, match="not valid TOML"):
        read(tmp_path / "cut.toml")
    (tmp_path / "ok.toml").write_text(TOML, encoding="utf-8")
    assert read(tmp_path / "ok.toml").sha256 == parse(TOML.encode()).sha256


@pytest.mark.parametrize("name", sorted(METRICS))
def test_every_metric_can_be_used_in_a_rule(name: str) -> None:
    known = METRICS[name]
    at = {"fpr": "fpr = 0.01\n", "prior": "prior = 0.01\n", "": ""}[known.takes]
    rule = "guard" if known.kind == "use" else "limit"
    bound = "min = 0.5" if rule == "guard" else "max = 0.5"
    text = f'{TOML}\n[[{rule}]]\nid = "own"\nmetric = "{name}"\n{at}{bound}\n'
    assert any(r.metric == name for r in parse(text.encode()).rules)
