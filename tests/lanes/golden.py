"""Writes what the replay lane compares with.

python tests/lanes/golden.py            the verdicts, from the stored audit
python tests/lanes/golden.py RUN        the stored audit too, from a finished run on generated
records
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from privaudit.contracts import Scores, Trials
from privaudit.facts import Setting
from privaudit.policy import judge
from privaudit.policy.file import parse
from privaudit.policy.rules import RELEASES
from privaudit.policy.starters import starter
from privaudit.report.wording.verdicts import name_group_of
from privaudit.results import Audit, Finding, GroupResult, Subject, from_json, to_json
from privaudit.stats import estimates
from privaudit.verdicts import Verdicts

HERE = Path(__file__).parent / "golden"
AUDIT = HERE / "audit.json"
DAY = date(2027, 1, 1)


def slim(audit: Audit) -> Audit:
    """Without curves, most groups and repetitions, and the machine it was made on."""

    def few(groups: tuple[GroupResult, ...]) -> tuple[GroupResult, ...]:
        return tuple(group for group in groups if group.by == "sex")

    def bare(subject: Subject) -> Subject:
        outcomes = tuple(
            replace(one, curves=(), seconds=0.0, groups=few(one.groups))
            if isinstance(one, Finding)
            else one
            for one in subject.outcomes
            if one.attack not in ("pgd", "square")
        )
        groups = few(subject.utility_groups)
        return replace(
            subject,
            outcomes=outcomes,
            reliability=None,
            headline=None,
            costs={},
            utility_groups=groups,
        )

    manifest = replace(audit.manifest, platform="", packages={}, seconds=0.0, cpu_seconds=0.0)
    return replace(audit, manifest=manifest, subjects=tuple(map(bare, audit.subjects)))


def stored() -> Audit:
    return from_json(AUDIT.read_text(encoding="utf-8"))


def verdicts(release: str) -> Verdicts:
    return judge(parse(starter(release, DAY).encode()), stored(), today=DAY)


def stable_part(made: Verdicts) -> dict[str, Any]:
    """What must not move: the whole, and every verdict's numbers, word and reason's code."""
    return {
        "state": made.state,
        "code": made.code,
        "verdicts": [
            {
                "about": [v.rule, v.subject, name_group_of(v), v.attack, str(v.setting or "")],
                "state": v.state,
                "reason": v.reason.code,
                "severity": v.severity,
                "numbers": [v.limit, v.value, v.lower, v.upper],
            }
            for v in made.verdicts
        ],
    }


def numbers() -> list[Any]:
    """Estimates of fixed streams, from scores and trials to intervals."""
    rng = np.random.default_rng(20261121)
    n = 1200
    ids = rng.integers(0, 900, n), rng.integers(1000, 1900, n)
    scores = Scores(rng.normal(0.7, 1, n).round(2), rng.normal(0, 1, n).round(2), True)
    found = [*estimates(scores, patients=ids, rng=rng)]
    tried = Trials(*(1.0 * (rng.random(300) < p) for p in (0.3, 0.2, 0.25)))
    ids = rng.integers(0, 200, 300)
    found += estimates({Setting("column", "a"): tried}, patients=ids, rng=rng)
    return [[str(e.metric), e.value, e.low, e.high, e.chance] for e in found]


def write(name: str, tree: Any) -> None:
    (HERE / name).write_text(json.dumps(tree, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        from privaudit.engine.folder import read

        HERE.mkdir(exist_ok=True)
        text = json.dumps(json.loads(to_json(slim(read(Path(sys.argv[1]))))), separators=(",", ":"))
        AUDIT.write_text(text + "\n", encoding="utf-8")
    for release in RELEASES:
        write(f"{release}.json", stable_part(verdicts(release)))
    write("numbers.json", numbers())
