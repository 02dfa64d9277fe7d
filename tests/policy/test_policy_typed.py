"""No verdict hangs on a text: neither on what the product wrote, nor on what things are called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from datetime import date
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from policy_lab import (
    DAY,
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

from privaudit.contracts import Access
from privaudit.facts import Caveat, CaveatCode, Group, Metric, Reason, ReasonCode, Setting, note
from privaudit.policy import baseline, judge
from privaudit.policy.rules import Context, Exemption, Guard, Limit, Policy, Regression
from privaudit.report.formats import FORMATS, render
from privaudit.results import (
    Audit,
    ClaimText,
    Control,
    Failed,
    Finding,
    Skipped,
    from_json,
    to_json,
)
from privaudit.verdicts import Verdicts

NAMES = ("sex", "race", "age", "F", "M", "old", "lira", "rmia", "attr", "flip", "one", "two")
"""Columns, groups, attacks and subjects of the audit below; any text may stand for each."""

Rename = Callable[[str], str]


def made(name: Rename = lambda text: text) -> Audit:
    """Every kind of verdict at once, with names as `name` gives them."""
    groups = (
        group(name("F"), number(), by=name("sex")),
        group(name("M"), number("auc", 0.8, 0.78, 0.82), by=name("sex")),
        group(name("old"), number("auc", 0.9, 0.85, 0.95), by=name("age")),
    )
    refused = Reason(ReasonCode.TOO_FEW_HELD_OUT, {"more": 3, "have": 997, "fpr": 0.01})
    lira = member(name("lira"), number(), number(TPR, None, refusal=refused), groups=groups)
    rmia = member(name("rmia"), number("auc", 0.55), number(TPR, 0.02))
    columns: dict[str | Setting, tuple[float, float]] = {
        Setting("column", name("sex")): (0.0, 0.02),
        Setting("column", name("race")): (0.4, 0.02),
    }
    poison: dict[str | Setting, tuple[float, float]] = {
        Setting("aggregator", name("one"), details=(name("two"),)): (0.0, 0.02),
        Setting("aggregator", name("two"), "", (name("two"),), counterfactual=True): (0.5, 0.02),
    }
    above = {"bound": 4.0, "confidence": 0.95, "claimed": 1.0}
    first = subject(
        name("one"),
        [
            replace(lira, caveats=(note("a control of its own"),)),
            rmia,
            tried(name("attr"), "attribute", columns),
            tried(name("flip"), "poisoning", poison),
            Skipped("copies", "synthetic", Reason(ReasonCode.LACKS_ACCESS, {"access": ("TABLE",)})),
        ],
        [*controls(name("lira")), *controls(name("rmia"), positive=False)],
    )
    claim = ClaimText(1.0, 1e-5, "patient", "add-remove", ("ANSWERS",), "a proof")
    failed = Failed("shadow", "membership", Reason(ReasonCode.FAILED, {"error": "a fault"}))
    broken = Caveat(CaveatCode.EPSILON_ABOVE_CLAIM, "defect", above)
    second = subject(
        name("two"), [replace(rmia, caveats=(broken,)), failed], claim=claim, description="a model"
    )
    return audit(first, second)


def rules(name: Rename = lambda text: text) -> Policy:
    auc = Limit("auc", "membership.auc", 0.6, by=(name("sex"),))
    attr = Limit("attr", "attribute.advantage", 0.1)
    flip = Limit("flip", "poisoning.advantage", 0.1)
    waived = Group(name("sex"), name("M"))
    return policy(
        auc,
        Limit("tpr", "membership.tpr", 0.05, fpr=0.01, attacks=(name("rmia"), name("lira"))),
        attr,
        replace(attr, id="named", at=(name("sex"),)),
        replace(attr, id="both", at=(name("race"), name("sex"))),
        flip,
        replace(flip, id="other", at=(f"{name('two')}, {name('two')}",)),
        Limit("table", "synthetic.advantage", 0.1),
        Limit("claim", "epsilon.claimed", 3.0),
        Guard("useful", "utility.auroc", min=0.7, by=(name("age"),)),
        Regression("worse", "membership.auc", 0.02, attacks=(name("lira"), name("rmia"))),
        context=Context(subjects=(name("one"), name("two"))),
        waivers=(Exemption("auc", "few", "Dr. Who", date(2030, 1, 1), waived, name("one")),),
    )


def accepted(name: Rename = lambda text: text) -> baseline.Baseline:
    runs = [seeded(made(name), seed) for seed in range(3)]
    return baseline.create(runs, who="Dr. Who", when="2026-11-01", reason="first release")


def seeded(one: Audit, seed: int) -> Audit:
    return replace(
        one,
        manifest=replace(one.manifest, seed_commitment=f"sha256:{seed:064x}", run=f"run-{seed}"),
    )


def judged(name: Rename = lambda text: text, change: Callable[[Audit], Audit] | None = None) -> Any:
    one = made(name) if change is None else change(made(name))
    others = [seeded(one, seed) for seed in (11, 12)]
    held = baseline.parse(baseline.write(accepted(name)))
    return judge(rules(name), seeded(one, 10), baseline=held, candidates=others, today=DAY)


def stable(found: Verdicts, name: Rename = lambda text: text) -> Any:
    """All of the verdicts but for texts: names of the audit as `name` gives them."""
    return (
        found.state,
        found.code,
        [note.code for note in found.notes],
        [
            (
                (v.rule, v.state, v.severity, v.reason.code, v.waiver is not None),
                (v.limit, v.value, v.low, v.high, v.lower, v.upper, v.chance, dict(v.n)),
                (v.subject, v.attack, v.setting and str(v.setting.value), v.group),
                [code.code for _, code in v.untested],
            )
            for v in found.verdicts
        ],
    )


def mapped(found: Any, name: dict[str, str]) -> Any:
    """The same with the names of the audit replaced, to compare a renamed audit's verdicts with."""

    def one(text: str | None) -> str | None:
        return text if text is None else name.get(text, text)

    state, code, notes, verdicts = found
    changed = []
    for head, numbers, (who, attack, setting, about), blanks in verdicts:
        about = about and Group(name[about.by], name[about.level])
        changed.append((head, numbers, (one(who), one(attack), one(setting), about), blanks))
    return state, code, notes, changed


def test_every_kind_of_verdict_is_looked_at() -> None:
    found = judged()
    assert {v.state for v in found.verdicts} == {"WITHIN", "EXCEEDS", "INCONCLUSIVE", "NOT TESTED"}
    assert {v.kind for v in found.verdicts} == {"limit", "guard", "regression"}
    assert found.code == 5
    by_rule = {v.rule: v.state for v in found.verdicts if v.subject == "one" and v.group is None}
    assert (by_rule["attr"], by_rule["named"], by_rule["both"]) == ("EXCEEDS", "WITHIN", "EXCEEDS")
    assert (by_rule["flip"], by_rule["other"]) == ("WITHIN", "EXCEEDS")
    assert {v.group for v in found.verdicts if v.waiver} == {Group("sex", "M")}


PLAIN = stable(judged())
NO_SHRINKING = (Phase.explicit, Phase.reuse, Phase.generate)

TEXTS = st.one_of(
    st.sampled_from(
        [
            "race / ethnicity",
            "24h insulin, had sums come back in float64",
            "0.1 sd",
            "sex: F",
            "auc@sex",
            "tpr_at_fpr_0.01",
            "*",
            "lab[1]?",
            "defect: broken",
            "Does not apply",
            "\u202eright to left\u202c \u05d0\u05d1",
            "{p_least} %s {}",
            "control: x",
            "",
            " ",
            "a\nb\x00\x1b[31m",
        ]
    ),
    st.text(max_size=300),
    st.text(" /@:,.*?[]0123456789", min_size=1, max_size=30),
)


@settings(max_examples=30, deadline=None, phases=NO_SHRINKING)
@given(st.lists(TEXTS, min_size=len(NAMES), max_size=len(NAMES), unique=True))
def test_no_verdict_depends_on_what_things_are_called(texts: list[str]) -> None:
    names = dict(zip(NAMES, texts, strict=True))
    # An empty name is that of no attack, subject or setting.
    names = {old: new or f"({old})" for old, new in names.items()}
    if len(set(names.values())) < len(names):
        return
    found = judged(names.__getitem__)
    for one, other in zip(stable(found), mapped(PLAIN, names), strict=True):
        assert one == other
    for form in FORMATS:
        assert render(found, form)


FREE = {"error", "what", "because", "fix", "text", "description", "basis", "title", "command"}
"""Fields and parameters that hold prose, of the product or of other software."""


def lorem(part: Any) -> Any:
    """The same with every free text replaced by "x"."""
    if is_dataclass(part) and not isinstance(part, type):
        found = {one.name: getattr(part, one.name) for one in fields(part)}
        return type(part)(**lorem(found))
    if isinstance(part, dict):
        return {k: "x" if k in FREE and isinstance(v, str) else lorem(v) for k, v in part.items()}
    if isinstance(part, tuple):
        return tuple(lorem(one) for one in part)
    return part


def test_no_verdict_depends_on_a_text_that_somebody_wrote() -> None:
    """The lorem test, verdict side: states, codes, numbers and notes stay."""
    changed = lorem(made())
    assert changed != made()
    assert from_json(to_json(changed)) == changed
    assert stable(judged(change=lorem)) == PLAIN


@pytest.mark.parametrize("text", ["x", "Does not apply: this release gives nothing away", ""])
def test_a_reworded_reason_moves_nothing(text: str) -> None:
    def reworded(one: Audit) -> Audit:
        (first, second) = one.subjects
        failed = Failed("shadow", "membership", Reason(ReasonCode.FAILED, {"error": text}))
        outcomes = (*second.outcomes[:-1], failed)
        return replace(one, subjects=(first, replace(second, outcomes=outcomes)))

    assert stable(judged(change=reworded)) == PLAIN


def test_a_number_that_is_absent_is_never_within() -> None:
    """An attack, a group, a setting or a number that a rule asks for and that the audit lacks."""
    whole = audit(subject(outcomes=[tried("attr", "attribute", {"sex": (0.0, 0.02)})]))
    for rule in (
        Limit("a", "attribute.advantage", 0.1, at=("sex", "race")),
        Limit("a", "attribute.advantage", 0.1, attacks=("attr", "other")),
        Limit("a", "membership.auc", 0.6),
        Limit("a", "synthetic.near_copies", 0.1),
        Limit("a", "epsilon.lower_bound", 1.0),
        Guard("a", "utility.auprc", min=0.1),
        Guard("a", "utility.auroc", min=0.1, by=("sex",)),
        Regression("a", "attribute.advantage", 0.1),
    ):
        found = judge(policy(rule), whole, today=DAY)
        assert found.state != "WITHIN", rule
        assert found.code == 3, rule
    bare = replace(member(), estimates=(number(Metric("detectable_auc")),))
    found = judge(policy(), audit(subject(outcomes=[bare, member("rmia")])), today=DAY)
    assert (found.verdicts[0].state, found.verdicts[0].attack) == ("INCONCLUSIVE", "lira")


def test_a_control_that_was_not_made_is_no_failed_control() -> None:
    error = Reason(ReasonCode.FAILED, {"error": "x"})
    broken = Control("negative", "lira", (), False, note("null"), error)
    made_of = subject(checks=[*controls()[:1], broken])
    found = judge(policy(), audit(made_of), today=DAY)
    assert (found.state, found.code) == ("INCONCLUSIVE", 3)
    assert found.notes[0].code is CaveatCode.CONTROL_NOT_MADE
    assert found.verdicts[0].reason.code is ReasonCode.NEGATIVE_CONTROL_NOT_MADE
    assert found.verdicts[0].control == error
    assert Access.ANSWERS.name in made_of.access
    assert isinstance(made_of.outcomes[0], Finding)
