"""A small federation of logistic regressions, fast enough to be trained hundreds of times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from pipelines.federated.aggregate import Aggregate, Krum, Mean, Median, TrimmedMean
from pipelines.federated.gate import admit, usual_count, usual_norm
from privaudit.attacks.federated._poisoning import BESIDE
from privaudit.contracts import (
    Attack,
    Fitted,
    Malicious,
    Method,
    Model,
    Refit,
    Release,
    Target,
    Trials,
)
from privaudit.facts import Setting
from privaudit.records import Column, Records, Split
from privaudit.seeds import Seeds
from privaudit.signals import margin

COLUMNS = tuple(Column(f"x{i}", bounds=(-6.0, 6.0)) for i in range(8))


@dataclass(frozen=True, eq=False)
class Softmax:
    weights: np.ndarray

    def predict_proba(self, records: Records) -> np.ndarray:
        z = _inputs(records) @ self.weights
        z = np.exp(z - z.max(axis=1, keepdims=True))
        return z / z.sum(axis=1, keepdims=True)


@dataclass(frozen=True)
class ToyFederation(Method):
    """Sites are clients: `rounds` rounds of a few full gradient steps each, behind the gate."""

    aggregate: Aggregate = field(default_factory=Mean)
    malicious: Malicious | None = None
    rounds: int = 8
    gate: bool = True

    seats: ClassVar[bool] = True

    @property
    def alternatives(self) -> Mapping[str, Method]:
        others = {
            "mean": Mean(),
            "median": Median(),
            "trimmed mean": TrimmedMean(1),
            "krum": Krum(1),
        }
        return {name: replace(self, aggregate=made) for name, made in others.items()}

    def fit(self, members: Records, rng: np.random.Generator) -> Release:
        clients = len(members.sites)
        parts = [members.take(members.site == site) for site in range(clients)]
        counts = np.array([len(part) for part in parts], dtype=float)
        bad = 0 if self.malicious is None else self.malicious.clients
        honest = clients - bad
        if self.malicious is not None:
            parts[honest:] = [self.malicious.poison(part, rng) for part in parts[honest:]]
            counts[honest:] = self.malicious.claim_counts(counts[honest:])
        classes = len(members.classes)
        weights = 0.01 * rng.normal(size=(len(members.columns) + 1, classes))
        refused = 0
        for _ in range(self.rounds):
            sent = np.array([_trained(part, weights) - weights.ravel() for part in parts])
            claimed = counts
            if self.malicious is not None and self.malicious.absent:
                sent, claimed = sent[:honest], counts[:honest]
            elif self.malicious is not None:
                sent[honest:] = self.malicious.corrupt(sent[:honest], sent[honest:], rng)
            if self.gate:
                size = sent.shape[1]
                typical = usual_norm(list(sent), size)
                bound = None if typical is None else 3 * typical
                got = admit(
                    list(sent), claimed, size=size, bound=bound, cap=2 * usual_count(counts)
                )
                refused += len(got.refused)
                aggregate = self.aggregate.after(len(got.refused) + clients - len(sent))
                step = aggregate.combine(got.updates, got.counts)
            else:
                step = self.aggregate.combine(sent, claimed)
            weights = weights + step.reshape(weights.shape)
        return Release(model=Softmax(weights), costs={"refused_updates": refused})


def _inputs(records: Records) -> np.ndarray:
    x = np.clip(np.nan_to_num(records.X.astype(np.float64)), -6, 6)
    return np.column_stack([x, np.ones(len(x))])


def _trained(part: Records, weights: np.ndarray) -> np.ndarray:
    x, truth = _inputs(part), np.eye(weights.shape[1])[part.y]
    weights = weights.copy()
    for _ in range(5):
        z = np.exp(x @ weights)
        weights += x.T @ (truth - z / z.sum(axis=1, keepdims=True)) / len(x)
    return weights.ravel()


def hospitals(n: int = 1200, sites: int = 7, classes: int = 2, seed: int = 3) -> Split:
    """Records whose outcome follows from two columns; sites alike but for their size."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, len(COLUMNS))).astype(np.float32)
    risk = 1.6 * x[:, 0] - 1.2 * x[:, 1] + 0.7 * rng.logistic(size=n)
    cuts = np.quantile(risk, [0.75] if classes == 2 else np.arange(1, classes) / classes)
    records = Records(
        COLUMNS,
        x,
        np.searchsorted(cuts, risk),
        patient=np.arange(n) // 2,
        site=rng.integers(0, sites, n),
        classes=tuple(f"class {c}" for c in range(classes)),
        sites=tuple(f"hospital {s}" for s in range(sites)),
    )
    return Split.assign(records, rng)


def train(refits: Sequence[Refit]) -> list[Fitted]:
    """What the engine does with refits, equal ones once."""
    seeds, done = Seeds(11), {}
    for refit in refits:
        if refit.key not in done:
            release = refit.method.fit(refit.train, seeds.rng("refit", refit.name))
            model: Model | None = release.model
            assert model is not None
            found = margin(model.predict_proba(refit.ask), refit.ask.y).astype(np.float32)
            done[refit.key] = Fitted(refit.included, found)
    return [done[refit.key] for refit in refits]


def series(aggregator: str, attack: str, own: str = "mean", *, absent: bool = False) -> Setting:
    """The series of an attack under an aggregator; own: the aggregator of the method itself;
    absent: beside the malicious hospitals' absence, not beside all hospitals honest."""
    kind = "absent" if absent else "aggregator"
    details = (attack, BESIDE) if absent else (attack,)
    return Setting(kind, aggregator, details=details, counterfactual=aggregator != own)


def against_honest(found: dict[Setting, Trials]) -> list[Setting]:
    """The series that are held against all hospitals honest."""
    return [setting for setting in found if setting.kind == "aggregator"]


def audit(attack: Attack, split: Split, method: Method) -> dict[Setting, Trials]:
    target = Target(method.fit(split.members, np.random.default_rng(0)), split, method)
    assert attack.needs <= target.access
    return dict(
        attack.run(target, train(attack.refits(target, Seeds(4))), np.random.default_rng(1))
    )
