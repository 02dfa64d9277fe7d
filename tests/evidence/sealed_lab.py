"""How the sealed run of toy parts is asked for, made and judged."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from privaudit.engine.configure import Request

POLICY = """\
schema = "privaudit.policy/1"
name = "Toy policy"
owner = "Data office"
approved_by = "Dr. Who"
approved_on = 2026-01-01
review_by = 2099-01-01

[[limit]]
id = "recognition"
metric = "membership.tpr"
fpr = 0.1
max = 0.3

[[guard]]
metric = "utility.auroc"
min = 0.5
"""


def install(patch: pytest.MonkeyPatch) -> None:
    """The toy attacks and methods as another package would provide them."""
    from toy_audit import Broken, Cheat, Noise, install_attacks
    from toy_noisy import Bought, Noisy, Silent

    from privaudit import plugins

    install_attacks(patch, {"broken": Broken, "cheat": Cheat, "noise": Noise})
    methods = {"noisy": Noisy, "silent": Silent, "bought": Bought}
    members, load = plugins.members, plugins.load

    def listed(kind: str) -> dict[str, str]:
        return members(kind) | (dict.fromkeys(methods, "toy_noisy") if kind == "methods" else {})

    def loaded(kind: str, name: str) -> type:
        return methods[name] if kind == "methods" and name in methods else load(kind, name)

    patch.setattr(plugins, "members", listed)
    patch.setattr(plugins, "load", loaded)


def ask() -> Request:
    """What the run of `shelf` was asked for."""
    from toy_audit import Broken, Cheat, Noise, ToyLearner, request

    from privaudit.attacks.membership.lira import Lira
    from privaudit.attacks.membership.one_run import OneRun
    from privaudit.attacks.membership.threshold import Threshold

    attacks = {"lira": Lira(shadows=16), "threshold": Threshold(), "one_run": OneRun()}
    attacks |= {"noise": Noise(), "broken": Broken(), "cheat": Cheat()}
    learners = {"plain": ToyLearner(), "recall": ToyLearner(memory=3.0)}
    return replace(request(attacks, learners), command="privaudit run toy --seed 1")


def make_run(out: Path, asked: Request) -> Path:
    """A run of it, judged by the policy in its folder, and sealed."""
    from privaudit import report, verdicts
    from privaudit.engine.run import run
    from privaudit.evidence import account
    from privaudit.policy import judge, read
    from privaudit.results import Audit

    rules = read(out / "policy.toml", today=date(2026, 11, 21))

    def write(audit: Audit, folder: Path) -> None:
        digest = hashlib.sha256((folder / "audit.json").read_bytes()).hexdigest()
        day = date.fromisoformat(audit.manifest.created[:10])
        judged = judge(rules, audit, audit_sha256=digest, today=day)
        (folder / "verdicts.json").write_text(verdicts.to_json(judged), encoding="utf-8")
        report.write(audit, folder, judged)

    with pytest.MonkeyPatch.context() as patch, account(out, asked.command) as witness:
        install(patch)
        finished = run(asked, out=out, workers=1, report=write, witness=witness)
        witness.finish(finished.folder, finished.code)
    return finished.folder
