"""What the count of patients at risk finds, and what it says where nothing leaks.

    python benchmarks/patients_at_risk.py null|planted|halves
    python benchmarks/patients_at_risk.py real DATA [--refits 32] [--models boosted,mlp,...]

null: 20 audits of each of two ways of training that cannot leak, and of one that hardly can; how
many name anybody. planted: 10 % of the patients stand 20 times in whatever is trained on; who is
named, and the share of them that is wrong, the truth being known from 400 further refits.
halves: how often patients are told apart within complementary halves, across halves, and between
models of separate patients. real: PhysioNet/CinC Challenge 2012. One thread: OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

from privaudit import stats
from privaudit.attacks.membership.patient_risk import PatientRisk
from privaudit.contracts import Fitted, Method, Release, Scores, Target
from privaudit.records import Column, Records, Split
from privaudit.seeds import Seeds
from privaudit.signals import ask, read_signal
from privaudit.stats.patient_risk import list_patients

SEEDS = Seeds(20260)
LIMIT = 0.75
AUDITS = 20


def table(n: int, rng: np.random.Generator, columns: int = 10) -> Records:
    """One row a patient, a linear outcome with noise."""
    X = rng.normal(size=(n, columns))
    y = (X @ np.linspace(1.0, 0.0, columns) + rng.logistic(size=n) > 0).astype(int)
    return Records(
        columns=tuple(Column(f"x{i}") for i in range(columns)),
        X=X,
        y=y,
        patient=np.arange(n),
        site=np.zeros(n),
        classes=("no", "yes"),
    )


@dataclass(frozen=True, eq=False)
class Linear:
    """A fitted logistic regression."""

    weights: np.ndarray
    offset: float

    def predict_proba(self, records: Records) -> np.ndarray:
        p = 1.0 / (1.0 + np.exp(-(records.X @ self.weights + self.offset)))
        return np.column_stack([1.0 - p, p])


def regress(X: np.ndarray, y: np.ndarray, C: float, weight: np.ndarray | None = None) -> Linear:
    made = LogisticRegression(C=C).fit(X, y, weight)
    return Linear(made.coef_[0], float(made.intercept_[0]))


@dataclass(frozen=True)
class Plain(Method):
    """Logistic regression; copies: ids of patients who stand 20 times in the training table."""

    C: float = 1.0
    copies: tuple[int, ...] = ()

    def fit(self, members: Records, rng: np.random.Generator) -> Release:
        weight = np.where(np.isin(members.patient, self.copies), 20.0, 1.0)
        return Release(model=regress(members.X, members.y, self.C, weight))


@dataclass(frozen=True)
class Memory(Method):
    """Ridge regression on random features, which bends towards heavy rows; copies: as `Plain`."""

    copies: tuple[int, ...] = ()
    features: int = 300
    ridge: float = 300.0

    def fit(self, members: Records, rng: np.random.Generator) -> Release:
        drawn = SEEDS.rng("features")
        directions = drawn.normal(size=(members.X.shape[1], self.features)) * 0.7
        shift = drawn.uniform(0.0, 2.0 * np.pi, self.features)
        Z = np.cos(members.X @ directions + shift)
        weight = np.where(np.isin(members.patient, self.copies), 20.0, 1.0)
        gram = (Z * weight[:, None]).T @ Z + self.ridge * np.eye(self.features)
        found = np.linalg.solve(gram, (Z * weight[:, None]).T @ (2.0 * members.y - 1.0))
        return Release(model=Waves(directions, shift, found))


@dataclass(frozen=True, eq=False)
class Waves:
    """A fitted `Memory`."""

    directions: np.ndarray
    shift: np.ndarray
    weights: np.ndarray

    def predict_proba(self, records: Records) -> np.ndarray:
        score = np.cos(records.X @ self.directions + self.shift) @ self.weights
        p = 1.0 / (1.0 + np.exp(-2.0 * score))
        return np.column_stack([1.0 - p, p])


@dataclass(frozen=True)
class Constant(Method):
    """The same answer for everybody: every pair is a tie."""

    def fit(self, members: Records, rng: np.random.Generator) -> Release:
        return Release(model=Linear(np.zeros(members.X.shape[1]), 0.0))


@dataclass(frozen=True)
class Public(Method):
    """Trained on half of a public table, drawn anew each time; members are never looked at."""

    rows: int = 600
    kept: Records = field(default_factory=lambda: table(600, SEEDS.rng("public")), repr=False)

    def fit(self, members: Records, rng: np.random.Generator) -> Release:
        drawn = self.kept.take(rng.permutation(self.rows)[: self.rows // 2])
        return Release(model=regress(drawn.X, drawn.y, 1.0))


def refit(method: Method, target: Target, count: int, seeds: Seeds) -> list[Fitted]:
    """Refits of complementary halves."""
    made = []
    for one in PatientRisk(shadows=count).refits(target, seeds):
        model = method.fit(one.train, seeds.rng("refit", one.name)).model
        assert model is not None
        signal = read_signal(ask(model, one.ask), one.ask)
        made.append(Fitted(one.included, signal.astype(np.float32)))
    return made


def audit(records: Records, method: Method, refits: int, seeds: Seeds) -> tuple[Scores, Target]:
    """The evidence of one audit."""
    split = Split.assign(records, seeds.rng("split"), reference=0.2)
    target = Target(method.fit(split.members, seeds.rng("fit")), split, method)
    bank = refit(method, target, refits, seeds)
    attack = PatientRisk(shadows=refits)
    return attack.run(target, bank, seeds.rng("attack")), target


def read(evidence: Scores, target: Target, seeds: Seeds) -> dict[str, str]:
    """The numbers of one audit, as text."""
    ids = target.split.members.patient, target.split.nonmembers.patient
    rng = seeds.rng("stats")
    found = stats.estimates(
        evidence, patients=ids, confidence=0.95, rng=rng, names=("auc", "tpr")
    ) + stats.patients_at_risk(evidence, patients=ids, confidence=0.95, rng=rng)
    return {
        str(e.metric): f"{e.value:.4f} ({e.low:.4f} to {e.high:.4f})"
        if e.value is not None
        else f"refused: {e.refusal.code if e.refusal else ''}"
        for e in found
    }


def columns(evidence: Scores, target: Target) -> dict[str, np.ndarray]:
    ids = target.split.members.patient, target.split.nonmembers.patient
    return list_patients(evidence, ids)


def null(refits: int) -> None:
    """Audits of models that leak nothing, or next to nothing."""
    for method in (Constant(), Public(), Plain(C=1e-4)):
        named, beyond, members, bounds = [], [], [], []
        for place in range(AUDITS):
            seeds = SEEDS.child("null", type(method).__name__, place)
            evidence, target = audit(table(1000, seeds.rng("table")), method, refits, seeds)
            own = columns(evidence, target)
            named.append(int((own["adjusted"] <= 0.05).sum()))
            beyond.append(int((own["beyond"] <= 0.05).sum()))
            members.append(int(own["named"].sum()))
            bounds.append(read(evidence, target, seeds)["patients_at_risk"])
        print(
            f"{method!r:.40}: audits of {AUDITS} that name nobody beyond guessing "
            f"{named.count(0)}, beyond the limit {beyond.count(0)}, of the released model's "
            f"members {members.count(0)}; named {named} {members}; at risk {bounds[:3]}"
        )


def planted(refits: int) -> None:
    """Duplicates: who is named, and how many of them wrongly."""
    rows = []
    for place in range(AUDITS):
        seeds = SEEDS.child("planted", place)
        records = table(1000, seeds.rng("table"))
        copies = tuple(seeds.rng("copies").permutation(1000)[:100].tolist())
        method = Memory(copies=copies)
        evidence, target = audit(records, method, refits, seeds)
        own = columns(evidence, target)
        more = refit(method, target, 400, seeds.child("truth"))
        pairs = PatientRisk().run(target, more, seeds.rng("truth")).pairs
        assert pairs is not None
        won = ((pairs.moved[0] > 0) == pairs.first).mean(axis=0)
        truth = np.maximum(won, 1.0 - won)
        is_copy = np.isin(own["patient"], copies)
        named, beyond = own["adjusted"] <= 0.05, own["beyond"] <= 0.05
        low, high = (
            float(part)
            for part in read(evidence, target, seeds)["patients_at_risk"]
            .split("(")[1]
            .rstrip(")")
            .split(" to ")
        )
        share = float((truth > LIMIT).mean())
        rows.append(
            [
                named[is_copy].mean(),
                float(np.mean(~is_copy[named])) if named.any() else 0.0,
                beyond[is_copy].mean(),
                float(np.mean(truth[beyond] <= LIMIT)) if beyond.any() else 0.0,
                truth[is_copy].mean(),
                truth[~is_copy].mean(),
                share,
                low <= share <= high,
                low,
                high,
            ]
        )
    names = (
        "copies named beyond guessing",
        "others among those named",
        "copies named beyond limit",
        "wrongly, by the truth",
        "copies are told apart",
        "others are told apart",
        "truly at risk",
        "interval covers",
        "low",
        "high",
    )
    for name, value in zip(names, np.mean(rows, axis=0), strict=True):
        print(f"{name}: {value:.4f}")


def halves() -> None:
    """Complementary halves against models of separate patients, for a learner of averages."""
    many, method = 400, Plain(C=1e-2)
    for n in (200, 800):
        seeds = SEEDS.child("halves", n)
        records = table(n, seeds.rng("table"))
        watched = np.arange(0, n, n // 40)
        asked = records.take(watched)

        def signal(part: Records, rng: np.random.Generator, of: Records = asked) -> np.ndarray:
            return read_signal(ask(method.fit(part, rng).model, of), of)

        inside, outside = np.empty((many, 40)), np.empty((many, 40))
        for j in range(many):
            rng = seeds.rng("half", j)
            chosen = np.zeros(n, dtype=bool)
            chosen[rng.permutation(n)[: n // 2]] = True
            one, two = signal(records.take(chosen), rng), signal(records.take(~chosen), rng)
            inside[j] = np.where(chosen[watched], one, two)
            outside[j] = np.where(chosen[watched], two, one)
        # Separate patients: each patient in turn joins others who were never seen before.
        fresh_in, fresh_out = np.empty((many, 40)), np.empty((many, 40))
        for j in range(many):
            rng = seeds.rng("fresh", j)
            other, third = table(n // 2, rng), table(n // 2, rng)
            fresh_out[j] = signal(third, rng)
            for place, i in enumerate(watched):
                joined = replace_row(other, records, int(i))
                fresh_in[j, place] = signal(joined, rng, records.take([i]))[0]
        within = (inside > outside).mean(axis=0)
        across, apart = area(inside, outside), area(fresh_in, fresh_out)
        print(
            f"n {n}: within pairs {within.mean():.3f}, across halves {across.mean():.3f}, separate "
            f"{apart.mean():.3f}; within minus separate {np.mean(within - apart):+.3f} "
            f"(sd over patients {np.std(within - apart):.3f}), across minus separate "
            f"{np.mean(across - apart):+.3f}",
            flush=True,
        )


def area(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """(n,) AUC of each column."""
    from scipy.stats import rankdata

    many = len(above)
    ranks = rankdata(np.vstack([above, below]), axis=0)[:many].mean(axis=0)
    result: np.ndarray = (ranks - (many + 1) / 2) / many
    return result


def replace_row(other: Records, records: Records, i: int) -> Records:
    """The other table with its first row replaced by this patient's."""
    X, y, patient = other.X.copy(), other.y.copy(), other.patient.copy() + 10**6
    X[0], y[0], patient[0] = records.X[i], records.y[i], records.patient[i]
    return Records(other.columns, X, y, patient, other.site, classes=other.classes)


def real(data: Path, refits: int, models: Sequence[str]) -> None:
    """Challenge 2012."""
    from pipelines.learners.boosted import Boosted
    from pipelines.learners.logreg import LogReg
    from pipelines.learners.mlp import MLP
    from pipelines.methods.baseline import Baseline
    from pipelines.methods.dp_sgd import DPSGD
    from pipelines.tasks.mortality import Mortality

    with tempfile.TemporaryDirectory() as cache:
        records = Mortality().prepare(data, Path(cache), lambda _, __: None).records
    ways: dict[str, Method] = {
        "boosted": Baseline(Boosted()),
        "mlp": Baseline(MLP()),
        "logreg": Baseline(LogReg()),
        "dp_sgd@3": DPSGD(epsilon=3.0),
    }
    for name in models:
        start, seeds = time.perf_counter(), SEEDS.child("real", name)
        evidence, target = audit(records, ways[name], refits, seeds)
        print(name, f"{refits} refits, {time.perf_counter() - start:.0f} s", flush=True)
        for metric, text in read(evidence, target, seeds).items():
            print("   ", metric, text)
        curve = stats.risk_curve(evidence, confidence=0.95)
        if curve is not None:
            points = zip(curve.x, curve.y, curve.low, curve.high, strict=True)
            print("   ", " ".join(f"{x:g}:{y:.3f}({a:.3f}-{b:.3f})" for x, y, a, b in points))
        own = columns(evidence, target)
        print("    pairs told apart:", np.bincount(own["told_apart"]).tolist(), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("null", "planted", "halves", "real"))
    parser.add_argument("data", nargs="?", type=Path)
    parser.add_argument("--refits", type=int, default=0)
    parser.add_argument("--models", default="boosted,mlp,logreg,dp_sgd@3")
    asked = parser.parse_args()
    if asked.what == "null":
        null(asked.refits or 32)
    elif asked.what == "planted":
        planted(asked.refits or 64)
    elif asked.what == "halves":
        halves()
    else:
        real(asked.data, asked.refits or 32, asked.models.split(","))


if __name__ == "__main__":
    main()
