"""Are our learners as good as plain scikit-learn on real stays? Challenge 2012, set A.

    python benchmarks/challenge_baselines.py DATA [--splits 5] [--learners logreg boosted mlp lstm]

DATA is a folder with set-a.tar.gz and Outcomes-a.txt. Every split is assigned at random as in an
audit; each model is trained on the members and graded on the non-members, all on the same rows. The
references read the 226 summary features (37 variables by first, last, min, max, mean, count; age,
sex, height, unit). Differences are means over the splits with paired 95 % bootstrap intervals: one
resample of patients is used for both models and for all splits. Exits with 1 where a learner falls
short of what is required.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pipelines.tasks.mortality import Mortality
from privaudit.plugins import load
from privaudit.records import Records, Split
from privaudit.seeds import Seeds

# learner -> (reference, how far below it the mean AUROC may be)
REQUIRED = {
    "boosted": ("sklearn boosting", 0.01),
    "logreg": ("sklearn logistic", 0.01),
    "mlp": ("sklearn logistic", 0.02),
    "lstm": ("sklearn logistic", 0.02),
}
Fit = Callable[[Records, np.random.Generator], Callable[[Records], np.ndarray]]


def summary(records: Records) -> np.ndarray:
    """The 226 features: all columns but the `measured` flags."""
    return records.X[:, [c.statistic != "measured" for c in records.columns]]


def logistic(train: Records, rng: np.random.Generator) -> Callable[[Records], np.ndarray]:
    """Median-imputed, one-hot unit, standardised: scikit-learn's LogisticRegression."""
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    kinds = [c.kind for c in train.columns if c.statistic != "measured"]
    category = [i for i, kind in enumerate(kinds) if kind == "category"]
    model = make_pipeline(
        make_column_transformer(
            (OneHotEncoder(handle_unknown="ignore"), category),
            remainder=SimpleImputer(strategy="median", keep_empty_features=True),
        ),
        StandardScaler(with_mean=False),
        LogisticRegression(C=0.01, max_iter=2000),
    ).fit(summary(train), train.y)
    return lambda records: model.predict_proba(summary(records))[:, 1]


def boosting(train: Records, rng: np.random.Generator) -> Callable[[Records], np.ndarray]:
    """scikit-learn's HistGradientBoostingClassifier: missing values as they are."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(
        max_iter=120,
        learning_rate=0.05,
        max_leaf_nodes=15,
        min_samples_leaf=20,
        l2_regularization=1.0,
        max_features=0.5,
        random_state=int(rng.integers(2**31)),
    ).fit(summary(train), train.y)
    return lambda records: model.predict_proba(summary(records))[:, 1]


def ours(name: str) -> Fit:
    """One of our learners with its defaults."""

    def fit(train: Records, rng: np.random.Generator) -> Callable[[Records], np.ndarray]:
        model = load("learners", name)().fit(train, rng)
        return lambda records: model.predict_proba(records)[:, 1]

    return fit


def weighted_auc(score: np.ndarray, y: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(b,) AUROC under each of b weightings of the rows: weight is (b, n). Ties count half."""
    order = np.argsort(score, kind="stable")
    starts = np.flatnonzero(np.diff(score[order], prepend=np.nan) != 0)
    positive = np.add.reduceat(weight[:, order] * (y[order] == 1), starts, axis=1)
    negative = np.add.reduceat(weight[:, order] * (y[order] == 0), starts, axis=1)
    below = np.cumsum(negative, axis=1) - negative / 2
    return (positive * below).sum(axis=1) / (positive.sum(axis=1) * negative.sum(axis=1))


def grade(
    records: Records, models: dict[str, Fit], splits: int, seeds: Seeds, resamples: int
) -> dict[str, np.ndarray]:
    """name -> (splits, 1 + resamples) AUROC on the non-members; column 0 is without resampling."""
    patients = np.unique(records.patient)
    draws = seeds.rng("bootstrap").multinomial(
        len(patients), np.full(len(patients), 1 / len(patients)), size=resamples
    )
    draws = np.concatenate([np.ones((1, len(patients))), draws])
    areas: dict[str, list[np.ndarray]] = {name: [] for name in models}
    for index in range(splits):
        split = Split.assign(records, seeds.rng("split", index))
        held = split.nonmembers
        weight = draws[:, np.searchsorted(patients, held.patient)]
        for name, fit in models.items():
            began = time.perf_counter()
            predict = fit(split.members, seeds.rng("fit", name, index))
            score = predict(held)
            areas[name].append(weighted_auc(score, held.y, weight))
            train = weighted_auc(
                predict(split.members), split.members.y, np.ones((1, len(split.members)))
            )
            print(
                f"split {index}  {name:17s} members {train[0]:.3f}  "
                f"held out {areas[name][-1][0]:.3f}  {time.perf_counter() - began:5.1f} s",
                flush=True,
            )
    return {name: np.array(parts) for name, parts in areas.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--learners", nargs="*", default=list(REQUIRED), choices=list(REQUIRED))
    parser.add_argument("--entropy", type=int, default=2012)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--cache", type=Path, help="where the parsed tables stay between runs")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as passing:
        prepared = Mortality().prepare(
            options.data, options.cache or Path(passing), lambda what, share: None
        )
    records = prepared.records
    print(
        f"{len(records)} stays, {(records.y == 1).sum()} deaths, {summary(records).shape[1]} "
        f"summary features, {len(records.channels)} channels by {prepared.facts['window_hours']} h"
    )
    models: dict[str, Fit] = {"sklearn logistic": logistic, "sklearn boosting": boosting}
    models |= {name: ours(name) for name in options.learners}
    areas = grade(records, models, options.splits, Seeds(options.entropy), options.resamples)
    print(f"\nAUROC on the non-members, mean over {options.splits} splits (95 % interval)")
    for name, area in areas.items():
        print(f"{name:17s} {_interval(area.mean(axis=0))}")
    print("\nDifference, paired by patient and by split")
    short = []
    for name in options.learners:
        reference, slack = REQUIRED[name]
        gap = (areas[name] - areas[reference]).mean(axis=0)
        enough = gap[0] >= -slack
        short += [] if enough else [name]
        verdict = f"required at least -{slack}: {'met' if enough else 'NOT met'}"
        print(f"{name:8s} - {reference}: {_interval(gap, sign='+')}  {verdict}")
    return 1 if short else 0


def _interval(values: np.ndarray, sign: str = "") -> str:
    low, high = np.quantile(values[1:], [0.025, 0.975])
    return f"{values[0]:{sign}.4f} ({low:{sign}.4f} to {high:{sign}.4f})"


if __name__ == "__main__":
    sys.exit(main())
