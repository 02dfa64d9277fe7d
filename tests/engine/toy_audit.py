"""A small task, a learner that can be told to memorise, and attacks that behave well or badly."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pytest

from privaudit.attacks.membership.lira import Lira
from privaudit.attacks.membership.threshold import Threshold
from privaudit.contracts import (
    Access,
    Attack,
    Fitted,
    FlowStep,
    Learner,
    Method,
    Prepared,
    Progress,
    Refit,
    Release,
    Scores,
    Target,
    Task,
    Trials,
)
from privaudit.engine.configure import Entry, Request
from privaudit.errors import PrivauditError
from privaudit.facts import Setting
from privaudit.records import Column, Records
from privaudit.results import to_json
from privaudit.seeds import Seeds

CANARY = 987654321012345
"""The first patient key of the toy records: it must appear in nothing that is shareable."""


def records(n: int = 600) -> Records:
    rng = np.random.default_rng(3)
    X = rng.normal(size=(n, 6))
    y = (X[:, 0] + rng.logistic(size=n) > 0).astype(int)
    return Records(
        columns=tuple(Column(f"c{i}") for i in range(6)),
        X=X,
        y=y,
        patient=CANARY + np.arange(n),
        site=np.zeros(n),
        groups={"sex": rng.choice(["F", "M"], n)},
    )


@dataclass(frozen=True)
class ToyTask(Task):
    """Toy records: n patients of one stay each."""

    n: int = 600
    real: bool = True

    title: ClassVar[str] = "Toy"
    positive: ClassVar[str] = "yes"

    def prepare(self, data: Path | None, cache: Path, progress: Progress) -> Prepared:
        progress("drawing", 0.5)
        flow = (
            FlowStep("all", 0, self.n + 3 + 40, self.n + 43),
            FlowStep("too short", 3, self.n + 40, self.n + 40),
            FlowStep("too young", 40, self.n, self.n),
        )
        return Prepared(records(self.n), flow, "toy", self.real)


@dataclass(frozen=True, eq=False)
class ToyModel:
    weights: np.ndarray
    seen: np.ndarray
    memory: float

    def predict_proba(self, table: Records) -> np.ndarray:
        X = np.nan_to_num(table.X.astype(np.float64))
        logit = X @ self.weights[:-1] + self.weights[-1]
        known = np.isin(X[:, 0], self.seen)
        logit = logit + known * self.memory * np.where(table.y == 1, 1, -1)
        p = 1 / (1 + np.exp(-logit))
        return np.column_stack([1 - p, p])


@dataclass(frozen=True)
class ToyLearner(Learner):
    """Least squares on the outcome; `memory` adds log odds to what it saw; `wait` seconds a fit."""

    memory: float = 0.0
    wait: float = 0.0

    batch: ClassVar[int] = 4

    def fit(self, records: Records, rng: np.random.Generator) -> ToyModel:
        time.sleep(self.wait)
        X = np.column_stack([records.X.astype(np.float64), np.ones(len(records))])
        weights = np.linalg.lstsq(X, 4.0 * records.y - 2.0, rcond=None)[0]
        weights = weights + 0.01 * rng.normal(size=len(weights))
        return ToyModel(weights, np.unique(records.X[:, 0].astype(np.float64)), self.memory)


@dataclass(frozen=True)
class ToyMethod(Method):
    """Train on the members."""

    learner: Learner = ToyLearner()

    def fit(self, members: Records, rng: np.random.Generator) -> Release:
        return Release(model=self.learner.fit(members, rng), costs={"rounds": 1.0})

    @property
    def batch(self) -> int:
        return self.learner.batch


@dataclass(frozen=True)
class Broken(Attack):
    """Fails, with data in the message."""

    needs: ClassVar[frozenset[Access]] = frozenset({Access.ANSWERS})
    family: ClassVar[Literal["attribute"]] = "attribute"

    def run(self, target: Target, refits: Sequence[Fitted], rng: np.random.Generator) -> Scores:
        raise ValueError(f"cannot read patient {target.split.members.patient[0]} of {CANARY}")


@dataclass(frozen=True)
class Refusing(Attack):
    """Says of itself that it cannot be made on these data, as a membership attack would."""

    needs: ClassVar[frozenset[Access]] = frozenset({Access.ANSWERS})
    family: ClassVar[Literal["membership"]] = "membership"

    def run(self, target: Target, refits: Sequence[Fitted], rng: np.random.Generator) -> Scores:
        raise PrivauditError("nothing to infer", "no column is sensitive", "mark one")


@dataclass(frozen=True)
class NeedsWeights(Attack):
    """Applies to models whose gradients can be taken."""

    needs: ClassVar[frozenset[Access]] = frozenset({Access.ANSWERS, Access.WEIGHTS})
    family: ClassVar[Literal["evasion"]] = "evasion"

    def run(
        self, target: Target, refits: Sequence[Fitted], rng: np.random.Generator
    ) -> Mapping[Setting, Trials]:
        raise AssertionError("must not run on a model without gradients")


@dataclass(frozen=True)
class Noise(Attack):
    """Flips answers by noise alone: three budgets."""

    needs: ClassVar[frozenset[Access]] = frozenset({Access.ANSWERS})
    family: ClassVar[Literal["evasion"]] = "evasion"

    def run(
        self, target: Target, refits: Sequence[Fitted], rng: np.random.Generator
    ) -> Mapping[Setting, Trials]:
        outside = target.split.nonmembers
        return {
            Setting("budget", budget, "sd"): Trials(
                (rng.random(len(outside)) < budget).astype(float),
                np.zeros(len(outside)),
                control_label="nothing",
                patients=outside.patient,
            )
            for budget in (0.1, 0.2, 0.4)
        }


@dataclass(frozen=True)
class Insulin(Attack):
    """Guesses columns whose names look like budgets."""

    needs: ClassVar[frozenset[Access]] = frozenset({Access.ANSWERS})
    family: ClassVar[Literal["attribute"]] = "attribute"

    def run(
        self, target: Target, refits: Sequence[Fitted], rng: np.random.Generator
    ) -> Mapping[Setting, Trials]:
        outside = target.split.nonmembers
        return {
            Setting("column", name): Trials(
                rng.random(len(outside)), rng.random(len(outside)), patients=outside.patient
            )
            for name in ("24h insulin", "48h insulin")
        }


@dataclass(frozen=True)
class Texts(Attack):
    """Names its series by texts."""

    needs: ClassVar[frozenset[Access]] = frozenset({Access.ANSWERS})
    family: ClassVar[Literal["attribute"]] = "attribute"

    def run(
        self, target: Target, refits: Sequence[Fitted], rng: np.random.Generator
    ) -> Mapping[Setting, Trials]:
        one = Trials(np.ones(40), np.zeros(40), patients=np.arange(40))
        return {"0.1 sd": one}  # type: ignore[dict-item]


@dataclass(frozen=True)
class Cheat(Attack):
    """Reads the answer sheet: the negative control must catch it."""

    needs: ClassVar[frozenset[Access]] = frozenset({Access.ANSWERS})
    family: ClassVar[Literal["membership"]] = "membership"

    def run(self, target: Target, refits: Sequence[Fitted], rng: np.random.Generator) -> Scores:
        inside, outside = len(target.split.members), len(target.split.nonmembers)
        return Scores(rng.random(inside) + 0.5, rng.random(outside))


@dataclass(frozen=True)
class Blind(Attack):
    """Guesses: the positive control must notice that it finds nothing."""

    needs: ClassVar[frozenset[Access]] = frozenset({Access.ANSWERS})
    family: ClassVar[Literal["membership"]] = "membership"

    def run(self, target: Target, refits: Sequence[Fitted], rng: np.random.Generator) -> Scores:
        return Scores(
            rng.random(len(target.split.members)), rng.random(len(target.split.nonmembers))
        )


@dataclass(frozen=True)
class BrokenPlan(Attack):
    """Cannot even say which refits it wants."""

    needs: ClassVar[frozenset[Access]] = frozenset({Access.ANSWERS})
    family: ClassVar[Literal["attribute"]] = "attribute"

    def refits(self, target: Target, seeds: Seeds) -> Sequence[Refit]:
        raise KeyError("nothing")

    def run(self, target: Target, refits: Sequence[Fitted], rng: np.random.Generator) -> Scores:
        raise AssertionError("never")


def request(
    attacks: Mapping[str, Attack] | None = None,
    learners: Mapping[str, Learner] | None = None,
    seed: int = 1,
    **more: Any,
) -> Request:
    chosen = attacks or {"lira": Lira(shadows=8), "threshold": Threshold()}
    made = learners or {"plain": ToyLearner()}
    entries = tuple(
        Entry(f"toy-{name}", "toy", name, ToyMethod(learner)) for name, learner in made.items()
    )
    task = more.pop("task", ToyTask())
    return Request("toy", task, entries, chosen, "toy", seed, **more)


def numbers(audit: Any) -> Any:
    """The document without what may differ between two runs: times, costs, the manifest."""

    def strip(tree: Any) -> Any:
        if isinstance(tree, dict):
            left_out = ("manifest", "costs", "seconds")
            return {key: strip(value) for key, value in tree.items() if key not in left_out}
        return [strip(value) for value in tree] if isinstance(tree, list) else tree

    return strip(json.loads(to_json(audit)))


def install_attacks(patch: pytest.MonkeyPatch, toys: Mapping[str, type[Attack]]) -> None:
    """These attacks as another package would provide them."""
    from privaudit import plugins

    members, load = plugins.members, plugins.load

    def listed(kind: str) -> dict[str, str]:
        return members(kind) | (dict.fromkeys(toys, "toy_audit") if kind == "attacks" else {})

    def loaded(kind: str, name: str) -> type:
        return toys[name] if kind == "attacks" and name in toys else load(kind, name)

    patch.setattr(plugins, "members", listed)
    patch.setattr(plugins, "load", loaded)
