"""Guarantees that somebody with the key lowers, with all that is stored of them, are found."""

from __future__ import annotations

import importlib
import shutil
from dataclasses import replace
from pathlib import Path

import forging
import pytest
from forgery_table import Tree
from forging import change_json, edit
from sealed_lab import ask, make_run

from privaudit.dp import accounting
from privaudit.engine.configure import Entry
from privaudit.evidence import Again, Verification, claims, verify


def state(found: Verification, name: str) -> str:
    return next(one.state for one in found.checks if one.name == name)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, shelf: Path) -> Path:
    """A run of two methods whose guarantees are composed."""
    from toy_noisy import Noisy

    from privaudit.attacks.membership.threshold import Threshold

    out = tmp_path_factory.mktemp("composed")
    shutil.copy(shelf / "policy.toml", out)
    entries = (Entry("one", "noisy", "", Noisy()), Entry("two", "noisy", "", Noisy(sigma=3.0)))
    return make_run(out, replace(ask(), entries=entries, attacks={"threshold": Threshold()}))


@pytest.fixture
def guaranteed(made: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    shutil.copytree(made.parent, tmp_path / "runs", symlinks=True)
    return tmp_path / "runs" / made.name


def lower_composed(run: Path, change: Tree) -> None:
    edit(run, lambda tree: [one.update(change) for one in tree["composed"]])
    forging.forge_ledger(run)


def test_what_guarantees_come_to_together_is_composed_again(guaranteed: Path) -> None:
    found = verify(guaranteed, policy=guaranteed.parent / "policy.toml")
    assert (found.code, state(found, "claims")) == (0, "holds")
    lower_composed(guaranteed, {"epsilon": 3.0})
    found = verify(guaranteed, numbers=False)
    assert (found.code, state(found, "claims")) == (4, "fails")
    assert any(fault.startswith("composed.0.epsilon: 3.0") for fault in found.faults)


@pytest.mark.parametrize("change", [{"delta": 0.0}, {"subjects": ["one"]}, {"unit": "stay"}])
def test_all_of_a_composed_guarantee_is_compared(guaranteed: Path, change: Tree) -> None:
    lower_composed(guaranteed, change)
    assert state(verify(guaranteed, numbers=False), "claims") == "fails"


def test_without_the_library_nothing_is_called_composed(
    guaranteed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.import_module

    def lack(name: str, package: str | None = None) -> object:
        if name == claims.COMPOSES:
            raise ImportError(name)
        return real(name, package)

    monkeypatch.setattr(importlib, "import_module", lack)
    found = verify(guaranteed, numbers=False, require=["claims"])
    assert (found.code, state(found, "claims")) == (6, "not checked")
    notes = next(one.notes for one in found.checks if one.name == "claims")
    assert "they add up to" in notes[0]


@pytest.fixture(scope="module")
def bought(tmp_path_factory: pytest.TempPathFactory, shelf: Path) -> Path:
    """A run of a method that was set to an epsilon."""
    from toy_noisy import Bought

    from privaudit.attacks.membership.threshold import Threshold

    out = tmp_path_factory.mktemp("bought")
    shutil.copy(shelf / "policy.toml", out)
    entries = (Entry("one", "bought", "", Bought()),)
    return make_run(out, replace(ask(), entries=entries, attacks={"threshold": Threshold()}))


@pytest.mark.parametrize(
    ("asked", "code"), [(None, 6), (2.8, 6), (0.5, 4), (12.0, 4)], ids=lambda v: str(v)
)
def test_a_claim_stated_with_fitting_noise_does_not_pass(
    bought: Path, tmp_path: Path, asked: float | None, code: int
) -> None:
    shutil.copytree(bought.parent, tmp_path / "runs", symlinks=True)
    run = tmp_path / "runs" / bought.name
    if asked is not None:
        sigma = accounting.solve_gaussian(asked, 1e-5)
        epsilon = accounting.gaussian(sigma, 1e-5).epsilon

        def lower(body: Tree) -> None:
            body["claim"]["epsilon"] = epsilon
            if "mechanisms" in body:
                body["mechanisms"][0]["scale"] = sigma

        change_json(run / "restricted" / "releases" / "one.json", lower)
        edit(run, lambda tree: [lower(one) for one in tree["subjects"]])
        forging.forge_ledger(run)
    found = verify(run, policy=run.parent / "policy.toml", numbers=False)
    assert (found.code, "claims" in found.required) == (code, True), found.checks
    assert state(found, "claims") == ("fails" if code == 4 else "not checked")


def test_claims_are_made_again_by_training_all(bought: Path, tmp_path: Path) -> None:
    shutil.copytree(bought.parent, tmp_path / "runs", symlinks=True)
    run = tmp_path / "runs" / bought.name
    from toy_noisy import Bought

    from privaudit.attacks.membership.threshold import Threshold

    entries = (Entry("one", "bought", "", Bought()),)
    asked = replace(ask(), entries=entries, attacks={"threshold": Threshold()})
    found = verify(
        run,
        policy=run.parent / "policy.toml",
        numbers=False,
        again=Again(None, request=asked),
    )
    assert (found.code, state(found, "retraining")) == (0, "holds"), found.checks
    few = Again(1, request=asked)
    assert verify(run, policy=run.parent / "policy.toml", numbers=False, again=few).code == 6
