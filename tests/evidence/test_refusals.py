"""An attack that was begun cannot be stated to have refused, and one that refused holds."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import forging
import pytest
from forgery_table import Tree
from forging import change_json, edit
from sealed_lab import ask, make_run
from toy_audit import Refusing, install_attacks

from privaudit.contracts import Refit, Target
from privaudit.errors import PrivauditError
from privaudit.evidence import seal, verify
from privaudit.seeds import Seeds

REASON = {"what": "too few records", "because": "it needs more", "fix": "give more"}


@dataclass(frozen=True)
class Early(Refusing):
    """Refuses before anything is made for it."""

    def refits(self, target: Target, seeds: Seeds) -> Sequence[Refit]:
        raise PrivauditError(**REASON)


@pytest.fixture(autouse=True)
def more(monkeypatch: pytest.MonkeyPatch, installed: None) -> None:
    install_attacks(monkeypatch, {"late": Refusing, "early": Early})


@pytest.fixture
def refused(tmp_path: Path, shelf: Path) -> Path:
    """A run of an attack that gives a number, and of two that refuse."""
    out = tmp_path / "refused"
    out.mkdir()
    shutil.copy(shelf / "policy.toml", out)
    attacks = {"threshold": ask().attacks["threshold"], "late": Refusing(), "early": Early()}
    asked = replace(ask(), entries=ask().entries[1:], attacks=attacks, every=True)
    return make_run(out, asked)


def faults(run: Path) -> tuple[str, ...]:
    return next(one.faults for one in verify(run).checks if one.name == "numbers")


def test_what_refused_then_holds(refused: Path) -> None:
    assert faults(refused) == ()
    steps = refused / "restricted" / "steps.json"
    change_json(steps, lambda tree: tree["made"].append("early on toy-recall (subject)"))
    seal(refused)
    assert any("refused before it was begun" in fault for fault in faults(refused))


def test_an_early_refusal_that_was_not_planned_is_found(refused: Path) -> None:
    change_json(refused / "restricted" / "plan.json", lambda tree: tree.update(refused=[]))
    seal(refused)
    assert any("the plan has no such refusal" in fault for fault in faults(refused))


def test_a_refusal_for_another_reason_is_found(refused: Path) -> None:
    def change(tree: Tree) -> None:
        found = forging.outcome(tree["subjects"][0], "late")
        found["reason"]["params"]["what"] = "it was a holiday"
        row = next(row for row in tree["coverage"] if row["family"] == found["family"])
        for name, reason in row["others"]:
            if name == "late":
                reason["params"]["what"] = "it was a holiday"

    edit(refused, change)
    assert any("for another reason" in fault for fault in faults(refused))


def state_refused(run: Path, name: str) -> None:
    """As if the attack had refused: no scores of it, and nothing else reports it."""
    reason = {"code": "refused", "params": REASON}

    def change(tree: Tree) -> None:
        for subject in tree["subjects"]:
            found = forging.outcome(subject, name)
            family = found["family"]
            found.clear()
            found.update(kind="skipped", attack=name, family=family, reason=reason)
            subject["controls"] = [c for c in subject["controls"] if c["attack"] != name]
            if subject["headline"] and subject["headline"]["attack"] == name:
                left = forging.outcome(subject, "threshold")
                caveats = subject["headline"]["caveats"]
                subject["headline"] = {**left, "curves": [], "caveats": caveats}
        for row in tree["coverage"]:
            if name in row["attacks"]:
                row["attacks"] = [one for one in row["attacks"] if one != name]
                row["others"] = sorted([*row["others"], [name, reason]])

    for path in (run / "restricted" / "scores").glob(f"*-{name}*.npz"):
        path.unlink()
    edit(run, change)


@pytest.mark.parametrize("trace", ["", "PrivauditError: no time", "with steps"])
def test_an_attack_that_was_begun_did_not_refuse(run: Path, trace: str) -> None:
    """With the key: what was planned, and what was made, is stored."""
    for name in ("toy-plain", "toy-recall") if trace else ():
        path = run / "restricted" / "failures" / f"lira-on-{name}.txt"
        path.write_text(trace, encoding="utf-8")
    if trace == "with steps":
        for path in (run / "restricted" / "failures").glob("lira-*"):
            path.unlink()
        change_json(
            run / "restricted" / "steps.json",
            lambda tree: tree.update(made=[one for one in tree["made"] if "lira on" not in one]),
        )
    state_refused(run, "lira")
    forging.forge_ledger(run)
    wanted = {"": "holds no trace", "PrivauditError: no time": "for another reason"}
    assert any(
        fault.startswith("toy-recall.lira: refused")
        and wanted.get(trace, "the plan has no such refusal") in fault
        for fault in faults(run)
    )
