"""What every member of every plugin folder must keep."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
import pytest

from pipelines.methods.federated import Federated
from privaudit import plugins
from privaudit.attacks.federated._malicious_clients import LabelFlip
from privaudit.contracts import (
    Access,
    Attack,
    Differentiable,
    Fitted,
    Generator,
    HasTrees,
    Learner,
    Method,
    Model,
    Refit,
    Release,
    Scores,
    Target,
    Task,
    Trials,
)
from privaudit.engine import jobs
from privaudit.errors import PrivauditError
from privaudit.facts import Setting
from privaudit.records import Column, Records, Split
from privaudit.seeds import Seeds

BASES = {
    "attacks": Attack,
    "generators": Generator,
    "learners": Learner,
    "methods": Method,
    "tasks": Task,
}
MEMBERS = [(kind, name) for kind in plugins.KINDS for name in plugins.members(kind)]


def records(n: int = 240) -> Records:
    rng = np.random.default_rng(5)
    x = rng.normal(size=(n, 6)).astype(np.float32)
    y = (x[:, 0] + rng.normal(size=n) > 0.3).astype(int)
    series = rng.normal(size=(n, 6, 2)).astype(np.float32)
    series[rng.random(series.shape) < 0.3] = np.nan
    x[rng.random(x.shape) < 0.1] = np.nan
    x[:, 5] = rng.integers(0, 3, n)
    columns = (
        *(Column(f"x{i}", bounds=(-6.0, 6.0)) for i in range(5)),
        Column("unit", kind="category", levels=("a", "b", "c"), sensitive=True, mutable=False),
    )
    return Records(
        columns=columns,
        X=x,
        y=y,
        patient=np.arange(n) // 2,
        site=x[:, 5],
        sites=("a", "b", "c"),
        series=series,
        channels=(Column("c0", bounds=(-5.0, 5.0)), Column("c1", bounds=(-5.0, 5.0))),
        groups={"unit": np.array(["a", "b", "c"])[x[:, 5].astype(int)]},
    )


@pytest.fixture(scope="module")
def split() -> Split:
    return Split.assign(records(), Seeds(1).rng("split"))


def global_state() -> tuple:
    import random

    import torch

    return (
        np.random.get_state()[1].tobytes(),  # noqa: NPY002
        random.getstate(),
        torch.get_rng_state().numpy().tobytes(),
        torch.get_num_threads(),
    )


@pytest.mark.parametrize(("kind", "name"), MEMBERS)
def test_a_member_is_a_documented_frozen_dataclass(kind: str, name: str) -> None:
    member = plugins.load(kind, name)
    assert issubclass(member, BASES[kind])
    assert is_dataclass(member)
    assert member.__dataclass_params__.frozen
    assert inspect.getdoc(member)
    assert plugins.summary(kind, name)
    made = member()
    names = dict(vars(inspect.getmodule(member)))
    for field in fields(made):
        value = getattr(made, field.name)
        names[type(value).__name__] = type(value)
    assert eval(repr(made), names) == made
    assert hash(made) == hash(member())


@pytest.mark.parametrize("name", plugins.members("attacks"))
def test_an_attack_names_its_source(name: str) -> None:
    member = plugins.load("attacks", name)
    text = (inspect.getdoc(member) or "") + (inspect.getmodule(member).__doc__ or "")
    assert any(str(year) in text for year in range(2014, 2027)), "no source with its year"
    assert member.needs
    assert member.needs <= set(Access)


def as_pictures(split: Split) -> Split:
    """The same records with noise in the place of their columns: 6 x 6 pixels."""

    def redraw(part: Records) -> Records:
        x = np.random.default_rng(len(part)).integers(0, 256, (len(part), 36))
        pixels = tuple(
            Column(f"pixel {i}", bounds=(0.0, 255.0), statistic="pixel") for i in range(36)
        )
        return replace(part, columns=pixels, X=x, image=(6, 6, 1))

    return Split(redraw(split.members), redraw(split.nonmembers), redraw(split.reference))


@pytest.mark.parametrize("name", plugins.members("learners"))
def test_a_learner_is_a_function_of_its_stream(name: str, split: Split) -> None:
    learner = plugins.load("learners", name)()
    if learner.reads == "picture":
        split = as_pictures(split)
    before, state = split.members.fingerprint, global_state()
    one, two = (learner.fit(split.members, Seeds(2).rng("fit")) for _ in range(2))
    p = one.predict_proba(split.nonmembers)
    assert np.array_equal(p, two.predict_proba(split.nonmembers))
    assert p.dtype == np.float64
    assert p.shape == (len(split.nonmembers), 2)
    assert np.allclose(p.sum(axis=1), 1)
    assert np.array_equal(p, pickle.loads(pickle.dumps(one)).predict_proba(split.nonmembers))
    assert global_state() == state
    del split.members.__dict__["fingerprint"]
    assert split.members.fingerprint == before


@pytest.fixture(scope="module")
def targets(split: Split) -> Callable[[frozenset[Access]], Target]:
    """The first way of training, the usual one first, whose release shows what an attack needs."""
    made: dict[str, Target] = {}

    def one(name: str) -> Target:
        if name not in made:
            learner = plugins.load("learners", "logreg")()
            member = plugins.load("methods", name)
            method = member(learner) if name == "baseline" else member()
            release = method.fit(split.members, Seeds(3).rng("fit"))
            made[name] = Target(release, split, method)
        return made[name]

    def grow() -> Target:
        """A forest whose leaves hold few: no way of training here grows one."""
        from sklearn.ensemble import RandomForestClassifier

        from privaudit.inputs.models.in_process import open_live
        from privaudit.inputs.models.opened_model import Binding

        members = split.members
        held = RandomForestClassifier(10, random_state=0, n_jobs=1)
        held.fit(members.X.astype(np.float64), members.y)
        binding = Binding(members.columns, members.classes, "codes", in_order=True)
        return Target(Release(model=open_live(held).bind(binding)), split)

    def find(needs: frozenset[Access]) -> Target:
        if Access.TREES in needs:
            return made.setdefault("forest", grow())
        if Access.EXPLANATIONS in needs:
            # No way of training here releases any: they are a user's own.
            plain = find(needs - {Access.EXPLANATIONS})
            release = replace(plain.release, explanations=FirstColumns())
            return Target(release, plain.split, plain.method)
        order = ["baseline", "federated", "split_learning", *plugins.members("methods")]
        present = [name for name in order if name in plugins.members("methods")]
        shown = (one(name) for name in dict.fromkeys(present))
        found = next((target for target in shown if needs <= target.access), None)
        assert found is not None, f"no method's release gives {sorted(a.name for a in needs)}"
        return found

    return find


def outcomes(asked: Sequence[Refit], rng: np.random.Generator) -> list[Fitted]:
    """Random answers to training jobs, for tests that train none."""
    return [
        Fitted(r.included, rng.normal(1, 1, (*signals(r), len(r.ask))).astype(np.float32))
        for r in asked
    ]


def signals(refit: Refit) -> tuple[int, ...]:
    """How many signals of a table are read, where several are."""
    reader = getattr(refit.method, "reader", None)
    return () if reader is None else (4,)


@pytest.mark.parametrize("name", plugins.members("attacks"))
def test_an_attack_is_a_function_of_its_stream_and_changes_nothing(
    name: str, split: Split, targets: Callable[[frozenset[Access]], Target]
) -> None:
    attack = plugins.load("attacks", name)()
    target = targets(attack.needs)
    state, kept = global_state(), copy.deepcopy(split.audit.X)
    asked = list(attack.refits(target, Seeds(4)))
    again = list(attack.refits(target, Seeds(4)))
    assert [r.key for r in asked] == [r.key for r in again]
    assert all(isinstance(r, Refit) for r in asked)
    rng = np.random.default_rng(0)
    fitted = outcomes(asked, rng)
    one, two = (attack.run(target, fitted, Seeds(6).rng("run")) for _ in range(2))
    assert global_state() == state
    assert np.array_equal(kept, split.audit.X, equal_nan=True)
    if isinstance(one, Scores):
        assert one.members.shape == (len(split.members),)
        assert one.nonmembers.shape == (len(split.nonmembers),)
        assert np.isfinite(one.members).all()
        assert np.isfinite(one.nonmembers).all()
        assert np.array_equal(one.members, two.members)
        assert np.array_equal(one.nonmembers, two.nonmembers)
    else:
        assert one
        assert one.keys() == two.keys()
        for key, trials in one.items():
            assert isinstance(key, Setting)
            assert isinstance(trials, Trials)
            assert np.array_equal(trials.success, two[key].success)
            assert np.array_equal(trials.control, two[key].control)


class FirstColumns:
    """Explains every answer by the first columns of its record."""

    def explain(self, records: Records) -> np.ndarray:
        return np.nan_to_num(records.X[:, :5]).astype(float)


class Watched:
    """A model that notes which of its sides is used."""

    def __init__(self, model: Model, used: set[Access]) -> None:
        self.model, self.used = model, used

    def predict_proba(self, records: Records) -> np.ndarray:
        self.used.add(Access.ANSWERS)
        return self.model.predict_proba(records)


class WatchedDifferentiable(Watched):
    """The same of a model that gives its gradients."""

    model: Differentiable

    def input_gradient(self, records: Records) -> tuple[np.ndarray, np.ndarray | None]:
        self.used.add(Access.WEIGHTS)
        return self.model.input_gradient(records)

    def weight_gradient(self, records: Records) -> np.ndarray:
        self.used.add(Access.WEIGHTS)
        return self.model.weight_gradient(records)


class WatchedTrees(Watched):
    """The same of a model that is made of trees."""

    model: Any

    def read_trees(self) -> Any:
        self.used.add(Access.TREES)
        return self.model.read_trees()

    def tree_inputs(self, records: Records) -> np.ndarray:
        self.used.add(Access.TREES)
        return self.model.tree_inputs(records)


PARTS = {
    "updates": Access.UPDATES,
    "cut": Access.CUT,
    "table": Access.TABLE,
    "cipher": Access.CIPHER,
    "file": Access.FILE,
    "explanations": Access.EXPLANATIONS,
}
SHOWN = Release.access.fget  # type: ignore[attr-defined]


def watched(target: Target, used: set[Access]) -> Target:
    """The target, noting in `used` which parts of its release are read."""

    class WatchedRelease(Release):
        access = property(lambda self: SHOWN(target.release))

        def __getattribute__(self, name: str) -> Any:
            value = super().__getattribute__(name)
            if name in PARTS and value is not None:
                used.add(PARTS[name])
            return value

    release, model = target.release, target.release.model
    if model is not None:
        kind = WatchedDifferentiable if isinstance(model, Differentiable) else Watched
        kind = WatchedTrees if isinstance(model, HasTrees) else kind
        model = kind(model, used)
    shown = {part.name: getattr(release, part.name) for part in fields(release)}
    return Target(WatchedRelease(**(shown | {"model": model})), target.split, target.method)


VARIANTS = [
    *((name, plugins.load("attacks", name)()) for name in plugins.members("attacks")),
    ("one_run of 8 shadow models", plugins.load("attacks", "one_run")(shadows=8)),
]


@pytest.mark.parametrize(("name", "attack"), VARIANTS, ids=[name for name, _ in VARIANTS])
def test_an_attack_uses_what_it_declares_and_nothing_else(
    name: str, attack: Attack, targets: Callable[[frozenset[Access]], Target]
) -> None:
    used: set[Access] = set()
    plain = targets(attack.needs | attack.helped_by)
    target = watched(plain, used)
    asked = list(attack.refits(target, Seeds(4)))
    attack.run(target, outcomes(asked, np.random.default_rng(0)), Seeds(6).rng("run"))
    if asked:
        used.add(Access.RERUN)
    if any(getattr(refit.method, "malicious", None) is not None for refit in asked):
        used.add(Access.SEAT)
    assert used == attack.uses(plain.access)


def test_an_attack_that_may_not_train_again_declares_no_shadow_training(
    targets: Callable[[frozenset[Access]], Target],
) -> None:
    attack = plugins.load("attacks", "one_run")(shadows=8)
    assert attack.uses(frozenset({Access.ANSWERS})) == {Access.ANSWERS}
    assert attack.uses(frozenset({Access.ANSWERS, Access.RERUN})) == {Access.ANSWERS, Access.RERUN}
    assert plugins.load("attacks", "one_run")().helped_by == frozenset()


def test_a_worker_is_handed_every_part_that_an_attack_uses(
    targets: Callable[[frozenset[Access]], Target],
) -> None:
    attack = plugins.load("attacks", "stored_records")()
    release = targets(attack.needs | attack.helped_by).release
    sent = jobs.strip_release(release, attack)
    assert sent.file is not None
    assert sent.table is not None
    assert jobs.strip_release(release, plugins.load("attacks", "copies")()).file is None


def answers(release: Release, asked: Records) -> np.ndarray:
    """What a release answers: probabilities, or the synthetic table where there is no model."""
    if release.model is not None:
        return release.model.predict_proba(asked)
    assert release.table is not None
    return np.column_stack([release.table.X, release.table.y])


@pytest.mark.parametrize("seated", [False, True], ids=["honest", "one malicious client"])
@pytest.mark.parametrize("name", plugins.members("methods"))
def test_a_twin_trains_the_same_model(name: str, seated: bool, split: Split) -> None:
    """Refits are made with twins: one that trains another model makes every attack another one."""
    method: Any = plugins.load("methods", name)()
    if seated:
        if not method.seats:
            pytest.skip("no client takes part in this training")
        method = replace(method, malicious=LabelFlip(1))
    twin: Method = method.twin
    if twin == method:
        return
    try:
        released, again = (part.fit(split.members, Seeds(3).rng("fit")) for part in (method, twin))
    except PrivauditError as error:
        pytest.skip(f"{error.what}: {error.because}")
    one, two = (answers(release, split.nonmembers) for release in (released, again))
    assert np.allclose(one, two, rtol=0, atol=1e-5, equal_nan=True)


def test_the_test_of_twins_finds_one_that_leaves_the_noise_out(split: Split) -> None:
    method: Any = plugins.load("methods", "federated_private")()
    own = {part.name: getattr(method, part.name) for part in fields(Federated)}
    one, two = (
        answers(part.fit(split.members, Seeds(3).rng("fit")), split.nonmembers)
        for part in (method, Federated(**own))
    )
    assert not np.allclose(one, two, rtol=0, atol=1e-5)


def test_access_is_what_the_release_shows(split: Split) -> None:
    assert Target(Release(), split).access == frozenset()
    boosted = plugins.load("learners", "boosted")()
    release = Release(model=boosted.fit(split.members, Seeds(1).rng("fit")))
    assert Target(release, split).access == {Access.ANSWERS, Access.TREES}
    logreg = plugins.load("learners", "logreg")()
    release = Release(model=logreg.fit(split.members, Seeds(1).rng("fit")))
    assert Target(release, split).access == {Access.ANSWERS, Access.WEIGHTS}


def test_an_unknown_member_is_named_with_a_suggestion() -> None:
    with pytest.raises(PrivauditError, match="did you mean 'lira'"):
        plugins.load("attacks", "lirra")
