"""Training again is the training that was, or no shadow attack speaks of it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_selection import SelectFromModel
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler
from sklearn.svm import SVC

import privaudit
from privaudit.errors import PrivauditError
from privaudit.facts import CaveatCode, ReasonCode
from privaudit.inputs.models.layout import Layout, Place
from privaudit.inputs.models.scikit_learn import Estimator
from privaudit.inputs.recipes import clone_recipe, find_recipe, seed_estimator
from privaudit.inputs.refit_errors import explain_failure
from privaudit.inputs.retraining import Comparison, compare, settle_recipe
from privaudit.inputs.user_release import Retrained, UserRelease
from privaudit.policy import judge
from privaudit.policy.file import parse
from privaudit.records import Column, Records, Split
from privaudit.seeds import Seeds

ROWS, COLUMNS = 300, 6


def draw(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, COLUMNS)).astype(np.float32).astype(np.float64)
    X[:, 1] *= 20
    z = X[:, 0] + X[:, 1] * X[:, 3] / 20 + 0.5 * X[:, 4]
    return X, (rng.random(rows) < 1 / (1 + np.exp(-z))).astype(int)


def records(X: np.ndarray, y: np.ndarray, first: int = 0) -> Records:
    columns = tuple(Column(f"x{j}") for j in range(X.shape[1]))
    people = first + np.arange(len(X))
    return Records(columns, X.astype(np.float32), y, people, people * 0, classes=("0", "1"))


def make_split(seed: int = 0) -> tuple[Split, np.ndarray, np.ndarray]:
    X, y = draw(2 * ROWS + 100, seed)
    a, b, c = slice(0, ROWS), slice(ROWS, 2 * ROWS), slice(2 * ROWS, None)
    pools = [records(X[s], y[s], s.start) for s in (a, b, c)]
    return Split(*pools), X[a], y[a]


LAYOUT = Layout(tuple(Place(j) for j in range(COLUMNS)))


def compare_with(model: Any, recipe: Any, seed: int = 0) -> Comparison:
    """`model`, trained on all members, beside refits of `recipe`."""
    split, X, y = make_split(seed)
    fitted = Estimator(model.fit(X, y), LAYOUT, 2)
    twin = Retrained.of(find_recipe(recipe), LAYOUT, (0, 1))
    return compare(twin, fitted, split, Seeds(seed))


def forest(**settings: Any) -> Any:
    return RandomForestClassifier(25, random_state=3, **settings)


def perceptron(**settings: Any) -> Any:
    made = MLPClassifier((16,), random_state=3, **{"max_iter": 40, **settings})
    return make_pipeline(StandardScaler(), made)


HONEST = {
    "forest": forest(),
    "forest of leaves": forest(min_samples_leaf=5),
    "boosted": GradientBoostingClassifier(n_estimators=20, subsample=0.7, random_state=3),
    "perceptron": perceptron(),
    "logistic regression": make_pipeline(StandardScaler(), LogisticRegression()),
    "support vectors": make_pipeline(StandardScaler(), SVC(probability=True, random_state=3)),
    "neighbours": make_pipeline(StandardScaler(), KNeighborsClassifier(15)),
}


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_recipe_is_the_training_that_was(name: str) -> None:
    found = compare_with(HONEST[name], HONEST[name])
    assert not found.differs, found.numbers
    numbers = found.numbers
    assert numbers["members_low"] <= 0.02
    assert numbers["members_high"] >= -0.02


WRONG = {
    "depth": (forest(max_depth=3), forest()),
    "rounds": (
        GradientBoostingClassifier(n_estimators=20, random_state=3),
        GradientBoostingClassifier(n_estimators=100, random_state=3),
    ),
    "class weights": (
        make_pipeline(StandardScaler(), LogisticRegression()),
        make_pipeline(StandardScaler(), LogisticRegression(class_weight={0: 1, 1: 3})),
    ),
    "scaling": (
        make_pipeline(StandardScaler(), LogisticRegression()),
        make_pipeline(MinMaxScaler(), LogisticRegression()),
    ),
    "features": (
        make_pipeline(StandardScaler(), LogisticRegression()),
        make_pipeline(FunctionTransformer(np.tanh), StandardScaler(), LogisticRegression()),
    ),
    "neighbours": (KNeighborsClassifier(15), KNeighborsClassifier(5)),
    "calibration": (
        CalibratedClassifierCV(forest(), cv=3),
        forest(),
    ),
    "epochs": (perceptron(max_iter=10), perceptron(max_iter=100)),
}


@pytest.mark.parametrize("name", WRONG)
def test_another_training_is_caught(name: str) -> None:
    model, recipe = WRONG[name]
    assert compare_with(model, recipe).differs


@pytest.mark.slow
def test_of_honest_recipes_more_than_95_of_100_pass() -> None:
    passed = [
        not compare_with(model, model, seed).differs
        for name, model in HONEST.items()
        if name in ("forest", "boosted", "perceptron", "logistic regression", "support vectors")
        for seed in range(1, 13)
    ]
    assert np.mean(passed) >= 0.95, f"{sum(passed)} of {len(passed)}"


# ---------------------------------------------------------------- early stopping


def stopped(kind: str) -> tuple[Any, dict[str, Any]]:
    """A fitted model that was stopped early, and the settings that train it as long again."""
    X, y = draw(400, 5)
    X, y, Xv, yv = X[:250], y[:250], X[250:], y[250:]
    if kind.startswith("lightgbm"):
        lightgbm = pytest.importorskip("lightgbm")
        own: dict[str, Any] = {"n_jobs": 1, "verbose": -1, "n_estimators": 200}
        if kind.endswith("callback"):
            stop = [lightgbm.early_stopping(5, verbose=False)]
            made = lightgbm.LGBMClassifier(**own)
            made.fit(X, y, eval_set=[(Xv, yv)], callbacks=stop)
        else:
            made = lightgbm.LGBMClassifier(**own, early_stopping_round=5)
            made.fit(X, y, eval_set=[(Xv, yv)])
        return made, {"n_estimators": made.best_iteration_}
    if kind.startswith("xgboost"):
        xgboost = pytest.importorskip("xgboost")
        stop = xgboost.callback.EarlyStopping(5)
        how = {"callbacks": [stop]} if kind.endswith("callback") else {"early_stopping_rounds": 5}
        made = xgboost.XGBClassifier(n_estimators=200, n_jobs=1, **how)
        made.fit(X, y, eval_set=[(Xv, yv)], verbose=False)
        left = {"early_stopping_rounds": None, "callbacks": None}
        return made, {"n_estimators": made.best_iteration + 1, **left}
    if kind == "catboost":
        catboost = pytest.importorskip("catboost")
        made = catboost.CatBoostClassifier(iterations=200, verbose=False, allow_writing_files=False)
        made.fit(X, y, eval_set=(Xv, yv), early_stopping_rounds=5)
        return made, {
            "iterations": made.best_iteration_ + 1,
            "learning_rate": float(made.learning_rate_),
        }
    if kind == "histogram":
        made = HistGradientBoostingClassifier(early_stopping=True, random_state=0).fit(X, y)
        return made, {"max_iter": made.n_iter_, "n_iter_no_change": made.n_iter_ + 1}
    if kind == "boosted":
        made = GradientBoostingClassifier(n_iter_no_change=3, random_state=0).fit(X, y)
        rounds = made.n_estimators_
        return made, {"n_estimators": rounds, "n_iter_no_change": rounds + 1}
    if kind == "perceptron":
        made = MLPClassifier((8,), early_stopping=True, random_state=0, max_iter=100).fit(X, y)
        best = int(np.argmax(made.validation_scores_)) + 1
        return made, {"max_iter": best, "n_iter_no_change": best + 1}
    made = SGDClassifier(loss="log_loss", early_stopping=True, random_state=0).fit(X, y)
    return made, {"max_iter": made.n_iter_, "n_iter_no_change": made.n_iter_ + 1}


STOPPED = (
    "lightgbm callback",
    "lightgbm setting",
    "xgboost setting",
    "xgboost callback",
    "catboost",
    "histogram",
    "boosted",
    "perceptron",
    "gradient descent",
)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", STOPPED)
def test_what_was_stopped_early_is_trained_as_long_again(kind: str) -> None:
    model, wanted = stopped(kind)
    before = model.get_params()
    recipe = clone_recipe(model)
    assert recipe is not None
    made = recipe.make()
    own = made.get_params()
    assert {name: own.get(name) for name in wanted} == wanted
    assert model.get_params() == before
    X, y = draw(250, 6)
    # No validation data are needed any more.
    assert seed_estimator(made, np.random.default_rng(0)).fit(X, y).predict_proba(X).shape[1] == 2


def test_stopping_is_found_inside_other_estimators() -> None:
    X, y = draw(300, 5)
    inner = HistGradientBoostingClassifier(early_stopping=True, max_iter=50, random_state=0)
    folds = CalibratedClassifierCV(inner, cv=3).fit(X, y)
    found = clone_recipe(folds)
    assert found is not None
    lengths = sorted(one.estimator.n_iter_ for one in folds.calibrated_classifiers_)
    assert found.make().estimator.max_iter == lengths[1]
    vote = VotingClassifier(
        [("dropped", "drop"), ("a", inner), ("b", replace_depth(inner))], voting="soft"
    ).fit(X, y)
    found = clone_recipe(make_pipeline(StandardScaler(), vote).fit(X, y))
    assert found is not None
    made = dict(found.make()[-1].estimators)
    assert [made["a"].max_iter, made["b"].max_iter] == [one.n_iter_ for one in vote.estimators_]
    search = GridSearchCV(inner, {"max_depth": [1, 3]}, cv=2).fit(X, y)
    found = clone_recipe(search)
    assert found is not None
    best = found.make()
    assert best.max_depth == search.best_params_["max_depth"]
    assert best.max_iter == search.best_estimator_.n_iter_


def replace_depth(inner: Any) -> Any:
    from sklearn.base import clone

    return clone(inner).set_params(max_depth=1, learning_rate=0.05)


# ---------------------------------------------------------------- fitted parts

SCALER = StandardScaler().fit(draw(50, 1)[0])


def scale(X: np.ndarray) -> np.ndarray:
    """Reads a fitted part of its module."""
    return np.asarray(SCALER.transform(X))


def fitted_parts() -> dict[str, tuple[Any, str]]:
    X, y = draw(100, 2)
    inner = forest().fit(X, y)
    enclosed = (lambda held: lambda Z: held.transform(Z))(SCALER)
    partial = functools.partial(lambda Z, held: held.transform(Z), held=SCALER)
    regression = LogisticRegression()
    return {
        "frozen": (CalibratedClassifierCV(FrozenEstimator(inner)), "FrozenEstimator"),
        "frozen in a vote": (
            VotingClassifier([("a", FrozenEstimator(inner)), ("b", regression)], voting="soft"),
            "FrozenEstimator",
        ),
        "stacked": (StackingClassifier([("a", inner)], cv="prefit"), 'cv="prefit"'),
        "selected": (
            make_pipeline(SelectFromModel(inner, prefit=True), LogisticRegression()),
            "prefit=True",
        ),
        "warm": (forest(warm_start=True), "warm_start"),
        "method": (make_pipeline(FunctionTransformer(SCALER.transform), regression), "Scaler"),
        "closure": (make_pipeline(FunctionTransformer(enclosed), regression), "Scaler"),
        "partial": (make_pipeline(FunctionTransformer(partial), regression), "Scaler"),
        "global": (make_pipeline(FunctionTransformer(scale), regression), "Scaler"),
    }


@pytest.mark.parametrize("name", fitted_parts())
def test_a_part_that_was_fitted_before_is_refused_by_name(name: str) -> None:
    template, said = fitted_parts()[name]
    found = clone_recipe(template.fit(*draw(100, 3)))
    assert found is not None
    assert said in found.fitted


def test_settings_that_a_clone_unfits_are_no_fitted_parts() -> None:
    X, y = draw(100, 2)
    inner = forest().fit(X, y)
    for model in (
        inner,
        CalibratedClassifierCV(inner, cv=2).fit(X, y),
        VotingClassifier([("a", inner)], voting="soft").fit(X, y),
        make_pipeline(FunctionTransformer(np.tanh), inner).fit(X, y),
    ):
        found = clone_recipe(model)
        assert found is not None
        assert found.fitted == ""


def test_a_function_that_returns_a_fitted_model_is_no_recipe() -> None:
    X, y = draw(100, 2)
    inner = forest().fit(X, y)
    assert "fitted before" in find_recipe(lambda: inner).fitted
    fresh = forest()
    found = find_recipe(lambda: fresh)
    assert found.fitted == ""
    found.make().fit(X, y)
    assert not hasattr(fresh, "estimators_")


# ---------------------------------------------------------------- refits


def test_a_refit_follows_from_its_stream_and_leaves_the_model_alone() -> None:
    split, X, y = make_split()
    model = forest().fit(X, y)
    twin = Retrained.of(find_recipe(model), LAYOUT, (0, 1))
    before = model.predict_proba(X)
    asked = [
        twin.fit(split.members, np.random.default_rng(seed)).model.predict_proba(split.nonmembers)  # type: ignore[union-attr]
        for seed in (1, 1, 2)
    ]
    np.testing.assert_array_equal(asked[0], asked[1])
    assert np.abs(asked[0] - asked[2]).max() > 0
    np.testing.assert_array_equal(model.predict_proba(X), before)
    assert model.random_state == 3


class Keeps(ClassifierMixin, BaseEstimator):
    """Answers as the model that it was handed, whatever it is trained on."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def fit(self, X: np.ndarray, y: np.ndarray) -> Keeps:
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        p = 1 / (1 + np.exp(-X[:, 0]))
        return np.column_stack([1 - p, p])


def test_a_recipe_that_learns_nothing_is_none() -> None:
    split, X, y = make_split()
    made = Keeps(1.0)
    twin = Retrained.of(find_recipe(made), LAYOUT, (0, 1))
    release = UserRelease.of_model(
        Estimator(made.fit(X, y), LAYOUT, 2), "a test", "digest", twin=twin
    )
    settled, notes = settle_recipe(release, split, Seeds(0), required=False)
    assert settled.unretrained is not None
    assert settled.unretrained.code is ReasonCode.REFIT_LEARNS_NOTHING
    assert not settled.reruns
    assert not notes


class Demanding(ClassifierMixin, BaseEstimator):
    """Fails in training as it is told to."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def fit(self, X: np.ndarray, y: np.ndarray) -> Demanding:
        raise self.error

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        return np.full((len(X), 2), 0.5)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("Must have at least 1 validation dataset for early stopping."), "stops early"),
        (ValueError("could not convert string to float: 'Jane Doe'"), "texts"),
        (ValueError("Input X contains NaN."), "missing values"),
        (KeyError("['hba1c'] not in index"), "columns that the table does not have"),
        (
            ValueError("n_splits=5 cannot be greater than the number of members in each class."),
            "few",
        ),
        (RuntimeError("Jane Doe, born 1 May"), "RuntimeError in fit (test_retraining.py"),
    ],
)
def test_why_a_refit_failed_is_said_without_its_message(error: Exception, said: str) -> None:
    split, _, _ = make_split()
    twin = Retrained.of(find_recipe(Demanding(error)), LAYOUT, (0, 1))
    with pytest.raises(PrivauditError, match=r"could not be trained again") as caught:
        twin.fit(split.members, np.random.default_rng(0))
    assert said in str(caught.value)
    assert "Jane" not in str(caught.value)


def test_memory_that_ran_out_is_called_that() -> None:
    assert explain_failure(MemoryError()) == "there is not enough memory"


# ---------------------------------------------------------------- audits and verdicts

POLICY = """
schema = "privaudit.policy/1"
name = "any"
review_by = 2999-01-01
[context]
release = "internal"
[statistics]
positive_control = "optional"
[[limit]]
id = "ranking"
metric = "membership.auc"
max = 0.999
"""


@functools.lru_cache(maxsize=4)
def audit(recipe: str) -> privaudit.Findings:
    """A model of naive Bayes, audited with its own recipe, another, a frozen part, or a bad one."""
    X, y = draw(700, 9)
    model: Any = GaussianNB().fit(X[:300], y[:300])
    estimators: dict[str, Callable[[], Any]] = {
        "own": lambda: None,
        "another": lambda: GaussianNB(priors=[0.8, 0.2]),
        "frozen": lambda: lambda: FrozenEstimator(model),
    }
    return privaudit.audit(
        model,
        (X[:300], y[:300]),
        (X[300:], y[300:]),
        estimator=estimators[recipe](),
        attacks=["threshold", "few_shadow_lira"],
        profile="smoke",
        jobs=1,
    )


@pytest.mark.parametrize(
    ("recipe", "code"),
    [("another", ReasonCode.REFIT_DIFFERS), ("frozen", ReasonCode.HOLDS_FITTED_PART)],
)
def test_a_lost_shadow_attack_is_never_within(recipe: str, code: ReasonCode) -> None:
    found = audit(recipe)
    (lost,) = (one for one in found.subject.outcomes if one.attack == "few_shadow_lira")
    assert lost.kind == "skipped"
    assert lost.reason.code is code
    assert CaveatCode.SHADOW_ATTACKS_LOST in [caveat.code for caveat in found.audit.caveats]
    verdict = judge(parse(POLICY.encode(), "policy.toml"), found.audit).verdicts[0]
    assert verdict.state == "INCONCLUSIVE"
    assert verdict.reason == lost.reason


def test_the_own_recipe_is_compared_and_judged() -> None:
    found = audit("own")
    kinds = {one.attack: one.kind for one in found.subject.outcomes}
    assert kinds == {"threshold": "finding", "few_shadow_lira": "finding"}
    notes = [one for one in found.audit.data.notes if one.code is CaveatCode.REFIT_COMPARED]
    assert len(notes) == 1
    assert notes[0].params["apart"] == pytest.approx(0.0, abs=1e-3)
    assert judge(parse(POLICY.encode(), "policy.toml"), found.audit).verdicts[0].state == "WITHIN"


def test_a_limit_that_names_its_attacks_does_not_ask_for_others() -> None:
    policy = parse((POLICY + 'attacks = ["threshold"]\n').encode(), "policy.toml")
    assert judge(policy, audit("another").audit).verdicts[0].state == "WITHIN"


def test_numbers_of_the_comparison_stand_in_the_report(tmp_path: Path) -> None:
    from privaudit.report import write

    write(audit("another").audit, tmp_path, None)
    page = (tmp_path / "report.md").read_text()
    assert "it is another model" in page
    assert "Mean log loss" in page


def test_a_model_stopped_early_is_attacked_by_models_as_long(tmp_path: Path) -> None:
    lightgbm = pytest.importorskip("lightgbm")
    X, y = draw(900, 11)
    frame = pd.DataFrame(X, columns=[f"x{j}" for j in range(COLUMNS)])
    a, v, b = slice(0, 300), slice(300, 500), slice(500, 900)
    model = lightgbm.LGBMClassifier(n_estimators=400, n_jobs=1, verbose=-1)
    stop = [lightgbm.early_stopping(5, verbose=False)]
    model.fit(frame[a], y[a], eval_set=[(frame[v], y[v])], callbacks=stop)
    found = privaudit.audit(
        model,
        (frame[a], y[a]),
        (frame[b].reset_index(drop=True), y[b]),
        attacks=["rmia"],
        profile="smoke",
        jobs=1,
    )
    assert found.estimate("auc").value is not None
    notes = [one for one in found.audit.data.notes if one.code is CaveatCode.REFIT_COMPARED]
    assert notes[0].params["apart"] == pytest.approx(0.0, abs=1e-6)


def test_a_comparison_of_equal_models_is_none() -> None:
    rng = np.random.default_rng(0)
    refits = rng.normal(size=(5, 200))
    inside = np.arange(200) < 100
    found = Comparison(refits[0], refits[1:], rng.normal(size=200), inside, np.arange(200))
    assert not found.differs
    assert replace(found, model=refits[0] + 2).differs


def test_the_command_says_why_shadow_attacks_are_not_run(
    wards: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import joblib

    from privaudit.cli import main

    members, heldout = wards
    table = pd.read_csv(members)
    names = ["age", "heart"]
    inner = forest().fit(table[names], table.died)
    model = CalibratedClassifierCV(FrozenEstimator(inner)).fit(table[names], table.died)
    joblib.dump(model, tmp_path / "m.joblib")
    asked = ["--model", str(tmp_path / "m.joblib"), "--trust-pickle", "--members", str(members)]
    asked += ["--nonmembers", str(heldout), "--outcome", "died", "--patient", "subject_id"]
    asked += ["--attacks", "threshold,lira", "--profile", "smoke", "--jobs", "1"]
    assert main(["audit", *asked, "--out", str(tmp_path / "runs")]) == 0
    said = capsys.readouterr().err
    assert "shadow attacks are not run" in said
    assert "a FrozenEstimator of a RandomForestClassifier" in said
