"""Who may import whom, beyond what the import contracts can say."""

from __future__ import annotations

import subprocess
import sys

import grimp
import pytest

from privaudit import plugins

HEAVY = ("torch", "xgboost", "sklearn", "art", "polars", "joblib", "ctgan", "opacus")


@pytest.mark.parametrize(
    "module",
    [
        "privaudit.records",
        "privaudit.contracts",
        "privaudit.signals",
        "privaudit.results",
        "privaudit.stats",
        "privaudit.report",
        "privaudit.plugins",
    ],
)
def test_the_core_loads_nothing_heavy(module: str) -> None:
    code = f"import {module}, sys; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_listing_imports_no_member() -> None:
    code = (
        "from privaudit import plugins; import sys\n"
        "names = {k: list(plugins.members(k)) for k in plugins.KINDS}\n"
        "assert 'lira' in names['attacks'] and 'mlp' in names['learners'], names\n"
        "[plugins.summary(k, n) for k in names for n in names[k]]\n"
        "print([m for k in names for m in plugins.members(k).values() if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_attack_imports_another() -> None:
    graph = grimp.build_graph("privaudit", cache_dir=None)
    attacks = set(plugins.members("attacks").values())
    assert attacks <= graph.modules
    for one in attacks:
        assert not graph.find_upstream_modules(one) & attacks, f"{one} imports another attack"
