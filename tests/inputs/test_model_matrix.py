"""Forty kinds of models, in a session and from files, answer as their own library answers."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import (
    calibration,
    compose,
    discriminant_analysis,
    dummy,
    ensemble,
    gaussian_process,
    linear_model,
    model_selection,
    multiclass,
    naive_bayes,
    neighbors,
    neural_network,
    pipeline,
    preprocessing,
    svm,
    tree,
)
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.impute import SimpleImputer
from sklearn.metrics import roc_auc_score

import privaudit
from privaudit.inputs.dataframe import read_frames
from privaudit.inputs.infer_schema import propose_schema
from privaudit.inputs.models.in_process import open_live
from privaudit.inputs.models.open_model import bind, open_model
from privaudit.inputs.models.opened_model import Binding
from privaudit.inputs.read_table import read_table
from privaudit.signals import margin

ROWS = 200
HALF = ROWS // 2
WITHIN = 1e-5

pytestmark = pytest.mark.filterwarnings("ignore")


def draw() -> tuple[pd.DataFrame, np.ndarray]:
    """Mixed columns with missing values, and an outcome of two classes."""
    rng = np.random.default_rng(7)
    frame = pd.DataFrame(
        {
            "age": rng.integers(18, 95, ROWS),
            "lactate": rng.gamma(2.0, 1.0, ROWS).round(2),
            "heart": rng.normal(85, 15, ROWS).round(1),
            "sex": rng.choice(["F", "M"], ROWS),
            "unit": rng.choice(["surgical", "cardiac", "medical"], ROWS),
        }
    )
    frame.loc[rng.random(ROWS) < 0.1, "lactate"] = np.nan
    risk = 0.04 * (frame.age - 60) + 0.8 * (frame.unit == "cardiac") + rng.logistic(size=ROWS)
    return frame, (risk > 0).astype(int).to_numpy()


FRAME, OUTCOME = draw()
NUMBERS = FRAME[["age", "heart"]].astype(float)
MIXED = FRAME.assign(lactate=FRAME.lactate.fillna(1.0))
MATRIX = NUMBERS.to_numpy()
THREE = np.digitize(FRAME.age + FRAME.heart / 3, [70, 95])
WORDS = np.array(["dead", "alive"])[OUTCOME]
CATEGORIES = FRAME.assign(
    sex=pd.Categorical(FRAME.sex),
    unit=pd.Categorical(FRAME.unit, ["surgical", "medical", "cardiac"]),
)
ORDERED = CATEGORIES.assign(unit=pd.Categorical(FRAME.unit, ordered=True))
NULLABLE = FRAME.assign(
    age=FRAME.age.astype("Int64").mask(FRAME.age > 90),
    lactate=FRAME.lactate.astype("Float64"),
    sex=FRAME.sex.astype("string").mask(FRAME.age < 20),
    ill=(FRAME.heart > 100).astype("boolean").mask(FRAME.heart < 60),
)
OBJECTS = FRAME.assign(
    ill=pd.Series([None if h < 60 else bool(h > 100) for h in FRAME.heart], dtype=object),
    beds=pd.Series([int(a) % 4 for a in FRAME.age], dtype=object),
)


class Clean(TransformerMixin, BaseEstimator):
    """A user's own first step, which knows its columns by name and minds their dtypes."""

    def fit(self, X: pd.DataFrame, y: Any = None) -> Clean:
        self.dtypes_ = X.dtypes.astype(str).to_dict()
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        assert X.dtypes.astype(str).to_dict() == self.dtypes_
        made = pd.DataFrame(index=X.index)
        for name, column in X.items():
            if isinstance(column.dtype, pd.CategoricalDtype):
                column = column.cat.codes
            elif not pd.api.types.is_numeric_dtype(column.dtype):
                column = column.map(lambda x: -1 if x is None else sum(map(ord, str(x))) % 7)
            made[str(name)] = column.astype("Float64").fillna(-5).astype(float)
        return made


class Wrapper:
    """Knows its classes and nothing of columns."""

    def __init__(self, held: Any) -> None:
        self.held, self.classes_ = held, held.classes_

    def predict_proba(self, X: Any) -> np.ndarray:
        return np.asarray(self.held.predict_proba(X))


def forest(**settings: Any) -> Any:
    return ensemble.RandomForestClassifier(10, random_state=0, **settings)


def scaled(last: Any) -> Any:
    return pipeline.make_pipeline(preprocessing.StandardScaler(), last)


def cleaned(last: Any = None) -> Any:
    return pipeline.make_pipeline(Clean(), last or forest())


def encoded(last: Any) -> Any:
    hot = preprocessing.OneHotEncoder(handle_unknown="ignore")
    numbers = pipeline.make_pipeline(SimpleImputer(), preprocessing.StandardScaler())
    columns = (hot, ["unit", "sex"]), (numbers, ["age", "lactate", "heart"])
    return pipeline.make_pipeline(compose.make_column_transformer(*columns), last)


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))


@dataclass(frozen=True)
class Kind:
    """A model, the table that it is asked with, the outcomes, and its library's own answers."""

    model: Any
    X: Any
    y: np.ndarray
    expected: np.ndarray


def fit(model: Any, X: Any = MATRIX, y: np.ndarray = OUTCOME) -> Kind:
    """A model trained on the first half, as scikit-learn's are."""
    model.fit(X[:HALF], y[:HALF])
    return Kind(model, X, y, np.asarray(model.predict_proba(X)))


def as_function(kind: Kind, ask: Callable[[Any], Any]) -> Kind:
    return Kind(ask, kind.X, kind.y, kind.expected)


def booster(kind: Kind) -> Any:
    found = kind.model
    return found.get_booster() if hasattr(found, "get_booster") else found.booster_


def xgb(**settings: Any) -> Any:
    return pytest.importorskip("xgboost").XGBClassifier(n_estimators=8, n_jobs=1, **settings)


def lgb(**settings: Any) -> Any:
    own = {"n_estimators": 8, "n_jobs": 1, "verbose": -1, "min_child_samples": 5, **settings}
    return pytest.importorskip("lightgbm").LGBMClassifier(**own)


def cat(**settings: Any) -> Any:
    own = {"iterations": 8, "verbose": False, "thread_count": 1, "allow_writing_files": False}
    return pytest.importorskip("catboost").CatBoostClassifier(**own, **settings)


def module(wrap: Callable[[Any], Any] = lambda net: net, outputs: int = 2, *more: Any) -> Kind:
    """A torch module, its answers taken from the module that it was before it was wrapped."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    last = torch.nn.Dropout(0.4), torch.nn.Linear(6, outputs), *more
    net = torch.nn.Sequential(torch.nn.Linear(2, 6), torch.nn.Tanh(), *last)
    X = (MATRIX - MATRIX.mean(axis=0)) / MATRIX.std(axis=0)
    X = X.astype(np.float32)
    with torch.no_grad():
        out = net.eval()(torch.from_numpy(X)).double().numpy()
    if more and out.min() < 0:
        p = np.exp(out)
    elif more:
        p = np.column_stack([1 - out[:, 0], out[:, 0]]) if outputs == 1 else out
    else:
        p = softmax(out if outputs > 1 else np.column_stack([0 * out[:, 0], out[:, 0]]))
    return Kind(wrap(net.train()), X, OUTCOME, p)


def grad_sample(net: Any) -> Any:
    return pytest.importorskip("opacus").GradSampleModule(net)


def hooked(net: Any) -> Any:
    net.register_full_backward_hook(forbid)
    return net


def forbid(*_: Any) -> None:
    raise RuntimeError("no second backward pass")


def torch_part(name: str) -> Any:
    return getattr(pytest.importorskip("torch").nn, name)


def search(X: Any = MATRIX) -> Any:
    return fit(model_selection.GridSearchCV(forest(), {"max_depth": [2, 4]}, cv=2), X)


def vote(rule: type) -> Any:
    parts = [("forest", forest()), ("lines", scaled(linear_model.LogisticRegression()))]
    return rule(parts, **({"voting": "soft"} if rule is ensemble.VotingClassifier else {"cv": 2}))


ints = {"age": 0, "lactate": 1, "heart": 2, "sex": 3, "unit": 4}

SESSION: dict[str, Callable[[], Kind]] = {
    "column transformer": lambda: fit(encoded(linear_model.LogisticRegression()), FRAME),
    "column transformer, forest": lambda: fit(encoded(forest()), FRAME, WORDS),
    "logistic regression": lambda: fit(scaled(linear_model.LogisticRegression())),
    "logistic regression, three classes": lambda: fit(
        scaled(linear_model.LogisticRegression()), NUMBERS, THREE
    ),
    "gradient descent": lambda: fit(
        scaled(linear_model.SGDClassifier(loss="log_loss", random_state=0))
    ),
    "forest, frame": lambda: fit(forest(), NUMBERS),
    "forest, words": lambda: fit(forest(), NUMBERS, WORDS),
    "forest, truth values": lambda: fit(forest(), MATRIX, OUTCOME == 1),
    "forest, numbers with a point": lambda: fit(forest(), MATRIX, OUTCOME.astype(float)),
    "forest, whole numbers": lambda: fit(forest(), FRAME[["age"]].to_numpy()),
    "forest, float32": lambda: fit(forest(), MATRIX.astype(np.float32)),
    "extra trees": lambda: fit(ensemble.ExtraTreesClassifier(10, random_state=0)),
    "tree": lambda: fit(tree.DecisionTreeClassifier(min_samples_leaf=4, random_state=0), NUMBERS),
    "boosted": lambda: fit(ensemble.GradientBoostingClassifier(n_estimators=8, random_state=0)),
    "histogram, missing": lambda: fit(
        ensemble.HistGradientBoostingClassifier(max_iter=8), FRAME[["age", "lactate"]]
    ),
    "histogram, categories": lambda: fit(
        ensemble.HistGradientBoostingClassifier(max_iter=8, categorical_features="from_dtype"),
        CATEGORIES,
    ),
    "adaboost": lambda: fit(ensemble.AdaBoostClassifier(n_estimators=8, random_state=0)),
    "bagging": lambda: fit(ensemble.BaggingClassifier(n_estimators=5, random_state=0), NUMBERS),
    "neighbours": lambda: fit(scaled(neighbors.KNeighborsClassifier(7))),
    "support vectors": lambda: fit(scaled(svm.SVC(probability=True, random_state=0)), NUMBERS),
    "gaussian process": lambda: fit(scaled(gaussian_process.GaussianProcessClassifier())),
    "naive Bayes": lambda: fit(naive_bayes.GaussianNB(), NUMBERS, WORDS),
    "discriminant": lambda: fit(discriminant_analysis.LinearDiscriminantAnalysis()),
    "perceptron": lambda: fit(
        scaled(neural_network.MLPClassifier((6,), max_iter=30, random_state=0))
    ),
    "calibrated": lambda: fit(
        calibration.CalibratedClassifierCV(scaled(svm.LinearSVC(random_state=0)), cv=2)
    ),
    "calibrated, isotonic": lambda: fit(
        calibration.CalibratedClassifierCV(forest(), method="isotonic", cv=2), NUMBERS
    ),
    "vote": lambda: fit(vote(ensemble.VotingClassifier)),
    "stack": lambda: fit(vote(ensemble.StackingClassifier), NUMBERS),
    "search": search,
    "one against the rest": lambda: fit(
        multiclass.OneVsRestClassifier(linear_model.LogisticRegression()), NUMBERS, THREE
    ),
    "dummy": lambda: fit(dummy.DummyClassifier()),
    "own first step": lambda: fit(cleaned(), FRAME),
    "own first step, nullable": lambda: fit(cleaned(), NULLABLE),
    "own first step, categories": lambda: fit(cleaned(), CATEGORIES),
    "own first step, ordered": lambda: fit(cleaned(), ORDERED),
    "own first step, objects": lambda: fit(cleaned(), OBJECTS),
    "own first step, numbered columns": lambda: fit(cleaned(), FRAME.rename(columns=ints)),
    "own first step, small numbers": lambda: fit(
        cleaned(), FRAME.astype({"age": "int8", "heart": "float32"})
    ),
    "texts in an array": lambda: fit(
        pipeline.make_pipeline(preprocessing.OneHotEncoder(handle_unknown="ignore"), forest()),
        FRAME[["sex", "unit"]].to_numpy(object),
    ),
    "wrapper": lambda: (
        (kind := fit(encoded(forest()), FRAME))
        and Kind(Wrapper(kind.model), FRAME, OUTCOME, kind.expected)
    ),
    "function of a frame": lambda: (
        (kind := fit(encoded(forest()), FRAME))
        and as_function(kind, lambda X: kind.model.predict_proba(X))
    ),
    "function of one number": lambda: (
        (kind := fit(forest())) and as_function(kind, lambda X: kind.model.predict_proba(X)[:, 1])
    ),
    "method": lambda: (
        (kind := fit(forest(), NUMBERS)) and as_function(kind, kind.model.predict_proba)
    ),
    "xgboost": lambda: fit(xgb(), NUMBERS),
    "xgboost, array": lambda: fit(xgb()),
    "xgboost, three classes": lambda: fit(xgb(), NUMBERS, THREE),
    "xgboost, categories": lambda: fit(xgb(enable_categorical=True), CATEGORIES),
    "xgboost booster": lambda: (
        (kind := fit(xgb(), FRAME[["age", "lactate"]]))
        and Kind(booster(kind), kind.X, kind.y, kind.expected)
    ),
    "lightgbm": lambda: fit(lgb(), NUMBERS),
    "lightgbm, three classes": lambda: fit(lgb(), MATRIX, THREE),
    "lightgbm, categories": lambda: fit(lgb(), CATEGORIES),
    "lightgbm booster": lambda: (
        (kind := fit(lgb(), FRAME[["age", "lactate"]]))
        and Kind(booster(kind), kind.X, kind.y, kind.expected)
    ),
    "catboost": lambda: fit(cat(), NUMBERS),
    "catboost, texts": lambda: fit(cat(cat_features=["sex", "unit"]), MIXED),
    "catboost, codes": lambda: fit(
        cat(cat_features=[0, 1]), FRAME[["age"]].assign(beds=FRAME.age % 4).to_numpy()
    ),
    "catboost, texts in an array": lambda: fit(cat(cat_features=[3, 4]), MIXED.to_numpy(object)),
    "torch": module,
    "torch, one number": lambda: module(outputs=1),
    "torch, softmax": lambda: module(lambda net: net, 2, torch_part("Softmax")(1)),
    "torch, sigmoid": lambda: module(lambda net: net, 1, torch_part("Sigmoid")()),
    "torch, log softmax": lambda: module(lambda net: net, 2, torch_part("LogSoftmax")(1)),
    "torch, opacus": lambda: module(grad_sample),
    "torch, hooks": lambda: module(hooked),
    "torch, data parallel": lambda: module(lambda net: torch_part("DataParallel")(net)),
    "torch, double": lambda: module(lambda net: net.double()),
}


def open_kind(kind: Kind, recipe: bool = False) -> tuple[Any, Any]:
    """The model as an audit holds it, or its recipe, and its records."""
    halves = [(kind.X[:HALF], kind.y[:HALF]), (kind.X[HALF:], kind.y[HALF:])]
    labels = getattr(kind.model, "classes_", None)
    read = read_frames(*halves, labels=None if labels is None else np.asarray(labels).tolist())
    from privaudit.inputs.session_model import hold_model

    held = hold_model(kind.model, read, None if recipe else False, "").release
    return held.twin if recipe else held.model, read


@pytest.mark.parametrize("name", SESSION)
def test_a_model_of_a_session_answers_as_itself(name: str) -> None:
    kind = SESSION[name]()
    model, read = open_kind(kind)
    for part, rows in ((read.members, slice(None, HALF)), (read.nonmembers, slice(HALF, None))):
        p = model.predict_proba(part)
        np.testing.assert_allclose(p, kind.expected[rows], atol=WITHIN)
        y = np.unique(kind.y, return_inverse=True)[1]
        np.testing.assert_array_equal(part.y, y[rows])


FEW = ("column transformer", "own first step, nullable", "xgboost booster", "torch, opacus")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in FEW else pytest.mark.slow)
        for name in SESSION
        if name != "dummy"
    ],
)
def test_the_membership_auc_is_the_one_of_the_model_itself(name: str) -> None:
    kind = SESSION[name]()
    X = kind.X.reset_index(drop=True) if hasattr(kind.X, "columns") else kind.X
    rest = X[HALF:].reset_index(drop=True) if hasattr(X, "columns") else X[HALF:]
    found = privaudit.audit(
        kind.model,
        (X[:HALF], kind.y[:HALF]),
        (rest, kind.y[HALF:]),
        # Rows of its own, so that no non-member is given to the attacker.
        reference=(rest[:30], kind.y[HALF : HALF + 30]),
        patient=(np.arange(HALF), np.arange(HALF, ROWS), np.arange(ROWS, ROWS + 30)),
        estimator=False,
        attacks=["threshold"],
        profile="smoke",
        jobs=1,
    )
    y = np.unique(kind.y, return_inverse=True)[1]
    scores = margin(kind.expected, y)
    own = roc_auc_score(np.arange(ROWS) < HALF, scores)
    auc = found.estimate("auc")
    # The step that it is rounded to is at most an eighth of the interval.
    assert auc.value == pytest.approx(own, abs=2e-3 + (auc.high - auc.low) / 16)


EXACT = ("lightgbm, categories", "xgboost, categories", "histogram, categories", "neighbours")
DRAWN = (
    "catboost, codes",
    "catboost, texts",
    "own first step, nullable",
    "own first step, objects",
    "texts in an array",
    "stack",
)


@pytest.mark.parametrize("name", [*EXACT, *DRAWN])
def test_a_model_trained_again_reads_the_table_as_the_model_does(name: str) -> None:
    kind = SESSION[name]()
    twin, read = open_kind(kind, recipe=True)
    made = twin.fit(read.members, np.random.default_rng(0)).model
    p = made.predict_proba(read.members)
    if name in EXACT:
        np.testing.assert_allclose(p, kind.expected[:HALF], atol=WITHIN)
    else:
        assert np.corrcoef(p[:, 0], kind.expected[:HALF, 0])[0, 1] > 0.8
    assert made.predict_proba(read.nonmembers).shape == p.shape


# ---------------------------------------------------------------- files


@dataclass(frozen=True)
class Stored:
    """A model's file, the columns of the table in its order, and its library's own answers."""

    name: str
    raw: bytes
    columns: tuple[str, ...]
    expected: np.ndarray
    trust: bool = False
    module: str = ""


def store_booster(kind: Kind, suffix: str) -> Stored:
    held = booster(kind)
    text = suffix == "txt"
    raw = held.model_to_string().encode() if text else bytes(held.save_raw(suffix))
    return Stored(f"m.{suffix}", raw, tuple(kind.X.columns), kind.expected)


def store_onnx(zipmap: bool, columns: bool) -> Stored:
    convert = pytest.importorskip("skl2onnx")
    pytest.importorskip("onnxruntime")
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

    if not columns:
        kind = fit(scaled(linear_model.LogisticRegression()), MATRIX)
        inputs: list[Any] = [("X", FloatTensorType([None, 2]))]
        names: tuple[str, ...] = ("age", "heart")
    else:
        kind = fit(encoded(linear_model.LogisticRegression()), MIXED)
        names = tuple(MIXED.columns)
        kinds = [StringTensorType if n in ("sex", "unit") else FloatTensorType for n in names]
        inputs = [(n, one([None, 1])) for n, one in zip(names, kinds, strict=True)]
    graph = convert.convert_sklearn(
        kind.model, initial_types=inputs, options={"zipmap": zipmap}, target_opset=17
    )
    return Stored("m.onnx", graph.SerializeToString(), names, kind.expected)


def raw_module() -> tuple[Any, np.ndarray]:
    torch = pytest.importorskip("torch")
    torch.manual_seed(1)
    scale = torch.nn.BatchNorm1d(2)
    net = torch.nn.Sequential(scale, torch.nn.Linear(2, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    x = torch.from_numpy(MATRIX.astype(np.float32))
    net(x)
    with torch.no_grad():
        return net.eval(), softmax(net(x).double().numpy())


def make_module() -> Any:
    """The module of the safetensors file, named by the test as a user names theirs."""
    return raw_module()[0]


def store_torch(how: str) -> Stored:
    torch = pytest.importorskip("torch")
    net, expected = raw_module()
    if how == "safetensors":
        library = pytest.importorskip("safetensors.torch")
        raw = library.save(net.state_dict())
        name = f"{__name__.rpartition('.')[2]}:make_module"
        return Stored("m.safetensors", raw, ("age", "heart"), expected, module=name)
    x = torch.zeros((2, 2))
    made = torch.jit.trace(net, x) if how == "trace" else torch.jit.script(net)
    buffer = io.BytesIO()
    torch.jit.save(made, buffer)
    return Stored("m.pt", buffer.getvalue(), ("age", "heart"), expected)


def store_sklearn(suffix: str) -> Stored:
    kind = fit(encoded(forest()), FRAME)
    columns = tuple(FRAME.columns)
    if suffix == "skops":
        raw = pytest.importorskip("skops.io").dumps(kind.model)
    elif suffix == "joblib":
        import joblib

        buffer = io.BytesIO()
        joblib.dump(kind.model, buffer, compress=3)
        raw = buffer.getvalue()
    else:
        raw = pickle.dumps(kind.model)
    return Stored(f"m.{suffix}", raw, columns, kind.expected, trust=suffix != "skops")


FILES: dict[str, Callable[[], Stored]] = {
    "xgboost json": lambda: store_booster(fit(xgb(), FRAME[["age", "lactate"]]), "json"),
    "xgboost ubj": lambda: store_booster(fit(xgb(), FRAME[["age", "lactate"]]), "ubj"),
    "xgboost json, categories": lambda: store_booster(
        fit(xgb(enable_categorical=True), CATEGORIES), "json"
    ),
    "xgboost ubj, categories": lambda: store_booster(
        fit(xgb(enable_categorical=True), CATEGORIES), "ubj"
    ),
    "lightgbm text": lambda: store_booster(fit(lgb(), FRAME[["age", "lactate"]]), "txt"),
    "lightgbm text, categories": lambda: store_booster(fit(lgb(), CATEGORIES), "txt"),
    "onnx": lambda: store_onnx(False, False),
    "onnx, zipmap": lambda: store_onnx(True, False),
    "onnx, an input a column": lambda: store_onnx(False, True),
    "torchscript, traced": lambda: store_torch("trace"),
    "torchscript, scripted": lambda: store_torch("script"),
    "safetensors": lambda: store_torch("safetensors"),
    "skops": lambda: store_sklearn("skops"),
    "joblib": lambda: store_sklearn("joblib"),
    "pickle": lambda: store_sklearn("pkl"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_model_from_its_file_answers_as_itself(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = FILES[name]()
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    # A file of codes knows no missing text, and an ONNX graph no missing number.
    table = MIXED if name.startswith("onnx") else FRAME
    table[list(stored.columns)].assign(died=OUTCOME).to_csv(tmp_path / "t.csv", index=False)
    (tmp_path / stored.name).write_bytes(stored.raw)
    schema, _ = propose_schema(tmp_path / "t.csv", outcome="died", always=stored.columns)
    records = read_table(tmp_path / "t.csv", schema)
    opened, _ = open_model(tmp_path / stored.name, trust_pickle=stored.trust, module=stored.module)
    model = bind(opened, schema)
    p = model.predict_proba(records)
    np.testing.assert_allclose(p, stored.expected, atol=WITHIN)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict_proba(records), p)


def test_there_are_forty_kinds_and_more() -> None:
    assert len(SESSION) + len(FILES) >= 70


def test_a_module_that_is_held_in_training_stays_so() -> None:
    kind = module()
    before = kind.model.training
    model, read = open_kind(kind)
    model.predict_proba(read.members)
    assert kind.model.training is before is True
    assert all(part.training for part in kind.model.modules())
    assert isinstance(open_live(kind.model).bind(Binding(read.members.columns, ("0", "1"))), object)
