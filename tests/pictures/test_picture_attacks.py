"""Attacks on pictures: budgets in shades, pictures rebuilt from updates, what is left untried."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pictures_lab import records

from pipelines.federated.front import Pooled, Strided
from pipelines.learners.cnn import CNN
from pipelines.methods.baseline import Baseline
from pipelines.methods.federated import Federated
from pipelines.methods.federated_secure import FederatedSecure
from privaudit import stats
from privaudit.attacks.disclosure.attribute import Attribute
from privaudit.attacks.evasion._evasion import LEVELS, Field
from privaudit.attacks.evasion._gradient import Climb
from privaudit.attacks.evasion.fgsm import Fgsm
from privaudit.attacks.federated import _picture_inversion as inversion
from privaudit.attacks.federated.gradient_inversion import GradientInversion
from privaudit.attacks.inversion.model_inversion import ModelInversion
from privaudit.contracts import Access, Method, Rebuilt, Target, Trials
from privaudit.engine import jobs, measure
from privaudit.engine.configure import request
from privaudit.engine.profiles import profile
from privaudit.engine.run import run
from privaudit.errors import PrivauditError
from privaudit.facts import Reason, ReasonCode, Setting
from privaudit.records import Records, Split
from privaudit.seeds import Seeds

QUICK = CNN(channels=(4, 6), hidden=(8,), epochs=6)


def split(side: int = 8, n: int = 240, low: float = 0.0, high: float = 255.0) -> Split:
    own = records(n, 1, side)
    if (low, high) != (0.0, 255.0):
        columns = tuple(replace(c, bounds=(low, high), integer=False) for c in own.columns)
        own = replace(own, columns=columns, X=low + own.X / 255 * (high - low))
    return Split.assign(own, Seeds(1).rng("split"))


def target(own: Split, method: Method) -> Target:
    return Target(method.fit(own.members, Seeds(2).rng("fit")), own, method)


@pytest.mark.parametrize("ends", [(0.0, 255.0), (0.0, 1.0)])
def test_budgets_are_shades_and_pictures_stay_pictures(ends: tuple[float, float]) -> None:
    own = split(low=ends[0], high=ends[1])
    field = Field.of(target(own, Baseline(QUICK)), 30)
    assert field.budgets == LEVELS
    climb = Climb(field, 1)
    for budget in LEVELS:
        changed = climb.at(budget).X.astype(float)
        moved = np.abs(changed - field.records.X)
        shade = (ends[1] - ends[0]) / 255
        assert moved.max() == pytest.approx(budget * shade, rel=1e-3)
        assert changed.min() >= ends[0]
        assert changed.max() <= ends[1]
        if ends[1] == 255:
            assert np.array_equal(changed, np.rint(changed))
    found = Fgsm(records=30).run(target(own, Baseline(QUICK)), (), np.random.default_rng(0))
    assert [str(at) for at in found] == ["1/255", "2/255", "4/255", "8/255", "16/255"]


def test_pixels_of_no_stated_range_are_refused() -> None:
    own = records(120, 1)
    free = replace(own, columns=tuple(replace(c, bounds=None) for c in own.columns))
    parts = Split.assign(free, Seeds(1).rng("split"))
    with pytest.raises(PrivauditError, match="range is not stated"):
        Field.of(target(parts, Baseline(QUICK)), 30)


@pytest.mark.parametrize("attack", [Attribute(), ModelInversion()])
def test_what_asks_for_a_column_is_not_tested_on_pictures(attack: Attribute) -> None:
    access = frozenset({Access.ANSWERS})
    assert jobs.lacks(attack, access, "class", True) == Reason(ReasonCode.NOT_FOR_PICTURES)
    assert jobs.lacks(attack, access, "class", False) is None


# --- pictures rebuilt from updates --------------------------------------------------------------


def rebuild(method: Method, side: int = 12) -> tuple[Trials, Split]:
    own = smooth(side)
    attack = GradientInversion(steps=60)
    found = attack.run(target(own, method), (), np.random.default_rng(0))
    assert list(found) == [Setting("variant", "pictures")]
    return found[Setting("variant", "pictures")], own


def smooth(side: int) -> Split:
    """Pictures of smooth spots, as of tissue: noise has no nearest picture at all."""
    rng = np.random.default_rng(4)
    n = 120
    r, c = np.mgrid[:side, :side] / side
    at, wide = rng.random((3, n, 1, 1)), 0.1 + 0.3 * rng.random((n, 1, 1))
    x = np.exp(-((r - at[0]) ** 2 + (c - at[1]) ** 2) / wide**2) * (0.4 + 0.6 * at[2])
    own = records(n, 1, side)
    own = replace(own, X=np.rint(255 * x.reshape(n, -1)), y=(at[0] > at[1]).ravel().astype(int))
    return Split.assign(own, Seeds(1).rng("split"))


ONE = {"rounds": 1, "steps": 1, "rows": 1, "hidden": 16}


def test_one_picture_a_step_is_rebuilt_from_the_update(monkeypatch: pytest.MonkeyPatch) -> None:
    trials, own = rebuild(Federated(front=Strided((8, 8)), **ONE))
    assert trials.rebuilt is not None
    assert len(trials.success) == 4
    assert trials.success.mean() == 1
    assert (trials.rebuilt.attack > 28).all()
    assert (trials.rebuilt.attack > trials.rebuilt.control + 5).all()
    # The picture that is graded is the hospital's own, and the chance is that of a draw.
    assert trials.patients is not None
    assert np.isin(trials.patients, own.members.patient).all()
    sizes = np.bincount(own.members.site)
    assert np.allclose(np.sort(trials.control), np.sort(sizes / (sizes + len(own.reference))))


@pytest.mark.parametrize(
    "method",
    [
        FederatedSecure(front=Strided((8, 8)), **ONE),
        Federated(front=Pooled((4, 6)), hidden=16, rounds=1),
    ],
    ids=["secure sum", "usual training"],
)
def test_nothing_is_rebuilt_of_a_sum(method: Method, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inversion, "ATTEMPTS", 2)
    trials, _ = rebuild(method)
    assert trials.rebuilt is not None
    assert trials.rebuilt.attack.mean() < trials.rebuilt.control.mean() + 2


def test_decibels_of_known_pictures() -> None:
    ends = np.zeros(4), np.full(4, 255.0)
    one = np.array([0.0, 255.0, 0.0, 255.0])
    others = np.stack([one, 255 - one, one + np.array([25.5, 0, 0, 0])])
    found = inversion.measure_psnr(one, others, ends)
    assert found == pytest.approx([inversion.MOST, 0.0, 10 * np.log10(400)])


def test_decibels_become_estimates_and_come_back_from_the_store() -> None:
    rng = np.random.default_rng(3)
    attack, control = rng.normal(30, 2, 40), rng.normal(18, 2, 40)
    made = Rebuilt(attack, control, np.zeros((40, 4)), np.ones((40, 4)))
    half = np.full(40, 0.5)
    trials = Trials(np.ones(40), half, half, "c", np.arange(40) // 2, rebuilt=made)
    series: Mapping[Setting, Trials] = {Setting("variant", "pictures"): trials}
    found = {e.metric.name: e for e in stats.estimates(series, rng=rng)}
    for name, truth in (("psnr_attack", 30), ("psnr_control", 18), ("psnr_gain", 12)):
        low, high = found[name].low, found[name].high
        assert low is not None
        assert high is not None
        assert low < truth < high
    (again,) = measure.evidence_of(measure.arrays(series)).values()  # type: ignore[union-attr]
    assert again.rebuilt is not None
    assert np.array_equal(again.rebuilt.pictures, made.pictures)
    assert np.array_equal(again.rebuilt.attack, attack)


# --- end to end --------------------------------------------------------------------------------


def test_learners_and_methods_are_chosen_for_pictures() -> None:
    smoke = profile("smoke")
    made = request("tumour", smoke, methods=("baseline", "local_only"), attacks=("threshold",))
    assert [e.name for e in made.entries] == ["baseline-cnn", "local_only-cnn"]
    named = request("tumour", smoke, learners=("logreg",), attacks=("threshold",))
    assert [e.name for e in named.entries] == ["baseline-logreg"]
    every = request("tumour", smoke, methods=("all",), attacks=("threshold",))
    left = {one.method: one.reason.code for one in every.untrained}
    assert left["synthetic"] is ReasonCode.NOT_FOR_PICTURES
    assert left["dp_forest"] is ReasonCode.NOT_FOR_PICTURES
    assert "dp_sgd" not in left
    stays = request("mortality", profile("standard"), attacks=("threshold",))
    assert "baseline-cnn" not in [e.name for e in stays.entries]
    for refused in ({"methods": ("synthetic",)}, {"task": "mortality", "learners": ("cnn",)}):
        asked = {"task": "tumour", "attacks": ("threshold",)} | refused
        with pytest.raises(PrivauditError):
            request(profile=smoke, **asked)  # type: ignore[arg-type]


def test_no_pixel_and_no_path_leaves_with_the_results(tmp_path: Path) -> None:
    rng = np.random.default_rng(9)
    x = rng.integers(1, 255, (160, 8, 8)).astype(np.uint8)
    y = rng.integers(0, 2, (160, 1))
    folder = tmp_path / "Canary-Folder"
    folder.mkdir()
    np.savez(folder / "Canary-File.npz", train_images=x, train_labels=y)
    asked = request(
        "tumour",
        profile("smoke"),
        seed=1,
        attacks=("threshold", "fgsm", "attribute"),
        settings=("cnn.epochs=2", "cnn.channels=4,4", "fgsm.records=40"),
    )
    done = run(asked, out=tmp_path / "out", data=folder / "Canary-File.npz", workers=1)
    text = "".join(p.read_text("utf-8") for p in done.results.rglob("*") if p.is_file())
    assert "Canary" not in text
    row = ", ".join(str(v) for v in x[0].ravel()[:6])
    assert row not in text
    assert row.replace(" ", "") not in text.replace(" ", "").replace("\n", "")
    document = json.loads((done.results / "audit.json").read_text("utf-8"))
    assert document["data"]["pictures"]
    states = {one["family"]: one for one in document["coverage"]}
    assert states["attribute"]["state"] == "NOT TESTED"
    assert states["attribute"]["others"][0][1]["code"] == "not_for_pictures"
    assert states["evasion"]["state"] == "TESTED"


def test_records_of_pictures_are_mapped_as_pictures(tmp_path: Path) -> None:
    from privaudit.engine.store import Store

    own: Records = records(12, 1)
    store = Store(str(tmp_path))
    again = store.get_records(store.put_records(own))
    assert again.image == (8, 8, 1)
    assert again.fingerprint == own.fingerprint
