"""A forest grown to pure leaves is blocked where its file is handed out, and read from its file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from opening import audit, made

from privaudit import cli

pytestmark = pytest.mark.slow

POLICY = """\
schema = "privaudit.policy/1"
name = "Inversion alone"
approved_by = "Dr. Who"
review_by = 2099-01-01

[context]
release = "{release}"

[statistics]
positive_control = "optional"

[[limit]]
id = "inverted records"
metric = "inversion.advantage"
max = 0.1
"""
LEFT = '\n[[not_tested]]\nfamily = "{}"\nreason = "not the matter of this test"\n'
OTHERS = ("membership", "attribute", "reconstruction", "evasion", "property", "extraction")


def judge(path: Path, release: str, attacks: str) -> int:
    home = path.parent
    assert audit(path, "--attacks", attacks, "--estimator", "none") == 0
    (run,) = (home / "runs").glob("2*")
    policy = home / "policy.toml"
    policy.write_text(POLICY.format(release=release) + "".join(map(LEFT.format, OTHERS)))
    return cli.main(["check", str(run), "--policy", str(policy)])


@pytest.mark.parametrize(
    ("least", "attacks", "code"),
    [
        (1, "leaf_facts", 1),
        # Nobody read the trees that are handed out.
        (40, "model_inversion", 3),
    ],
)
def test_a_forest_whose_file_is_handed_out(
    least: int, attacks: str, code: int, tmp_path: Path
) -> None:
    skops = pytest.importorskip("skops.io")
    from sklearn.ensemble import RandomForestClassifier

    held: Any = RandomForestClassifier(50, min_samples_leaf=least, random_state=0, n_jobs=1)
    held.fit(*made(200, 1))
    path = tmp_path / "model.skops"
    skops.dump(held, path)
    assert judge(path, "open-weights", attacks) == code
    (made_at,) = (tmp_path / "runs").glob("2*/shareable/audit.json")
    (subject,) = json.loads(made_at.read_text())["subjects"]
    assert "TREES" in subject["access"]
