"""Models of every kind answer as their own library does, and the untrusted never run."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from privaudit.contracts import Differentiable
from privaudit.errors import PrivauditError
from privaudit.inputs.infer_schema import propose_schema
from privaudit.inputs.models.in_process import open_live
from privaudit.inputs.models.open_model import bind, open_model
from privaudit.inputs.read_table import read_table
from privaudit.inputs.schema import TableSchema
from privaudit.records import Records

NUMBERS = ["age", "lactate", "heart"]


@pytest.fixture
def table(
    tmp_path: Path, make_ward: Callable[..., pd.DataFrame]
) -> tuple[pd.DataFrame, TableSchema, Records]:
    frame = make_ward(400)
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame = pd.read_csv(tmp_path / "t.csv")
    proposed, _ = propose_schema(tmp_path / "t.csv", outcome="died")
    return frame, proposed, read_table(tmp_path / "t.csv", proposed)


def load(
    path: Path,
    *,
    schema: TableSchema,
    encode: Any = "",
    answers: str = "",
    **trust: Any,
) -> tuple[Any, str]:
    opened, digest = open_model(path, **trust)
    return bind(opened, schema, encode=encode, answers=answers), digest


def narrowed(kept: TableSchema, names: list[str]) -> TableSchema:
    columns = tuple(c for name in names for c in kept.columns if c.name == name)
    return TableSchema(columns, kept.outcome, kept.classes, kept.patient)


def again(records: Records, kept: TableSchema) -> Records:
    at = [c.name for c in records.columns]
    chosen = [at.index(c.name) for c in kept.columns]
    return Records(
        kept.columns,
        records.X[:, chosen],
        records.y,
        records.patient,
        records.site,
        classes=kept.classes,
    )


def same(model: Any, records: Records, expected: np.ndarray, within: float = 2e-5) -> None:
    p = model.predict_proba(records)
    assert p.shape == (len(records), expected.shape[1])
    np.testing.assert_allclose(p, expected, atol=within)
    sent = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(sent.predict_proba(records), p)


@pytest.mark.parametrize("suffix", ["json", "ubj"])
def test_xgboost_by_name_with_one_hot_and_missing(table: Any, tmp_path: Path, suffix: str) -> None:
    from xgboost import XGBClassifier

    frame, kept, records = table
    X = pd.get_dummies(frame[["heart", "sex", "lactate", "unit"]]).astype(float)
    model = XGBClassifier(n_estimators=8, n_jobs=1).fit(X, frame.died)
    path = tmp_path / f"m.{suffix}"
    model.save_model(path)
    loaded, digest = load(path, schema=kept)
    assert len(digest) == 64
    same(loaded, records, model.predict_proba(X))


def test_xgboost_with_its_own_categories(table: Any, tmp_path: Path) -> None:
    from xgboost import XGBClassifier

    frame, kept, records = table
    X = frame[["unit", "lactate"]].assign(
        unit=pd.Categorical(frame.unit, ["surgical", "medical", "cardiac"])
    )
    model = XGBClassifier(n_estimators=8, n_jobs=1, enable_categorical=True).fit(X, frame.died)
    model.save_model(tmp_path / "m.json")
    loaded, _ = load(tmp_path / "m.json", schema=kept)
    same(loaded, records, model.predict_proba(X))


def test_xgboost_stopped_early_is_read_once_its_best_rounds_are_cut_out(
    table: Any, tmp_path: Path
) -> None:
    from xgboost import XGBClassifier

    frame, kept, records = table
    X, y = frame[NUMBERS], frame.died
    model = XGBClassifier(n_estimators=60, n_jobs=1, early_stopping_rounds=3)
    model.fit(X[:300], y[:300], eval_set=[(X[300:], y[300:])], verbose=False)
    assert model.best_iteration < 50
    model.save_model(tmp_path / "m.json")
    with pytest.raises(PrivauditError, match="its best"):
        load(tmp_path / "m.json", schema=kept)
    model.get_booster()[: model.best_iteration + 1].save_model(tmp_path / "m.json")
    loaded, _ = load(tmp_path / "m.json", schema=kept)
    same(loaded, records, model.predict_proba(X))


def test_lightgbm_text_with_categories(table: Any, tmp_path: Path) -> None:
    lightgbm = pytest.importorskip("lightgbm")
    frame, kept, records = table
    X = frame[["age", "unit", "sex", "lactate"]].assign(
        unit=pd.Categorical(frame.unit, ["surgical", "medical", "cardiac"]),
        sex=pd.Categorical(frame.sex),
    )
    model = lightgbm.LGBMClassifier(n_estimators=8, n_jobs=1, verbose=-1).fit(X, frame.died)
    model.booster_.save_model(tmp_path / "m.txt")
    loaded, _ = load(tmp_path / "m.txt", schema=kept)
    same(loaded, records, model.predict_proba(X))
    held = open_live(model)
    same(bind(held, kept), records, model.predict_proba(X))


def test_skops_pipeline_gets_the_frame_it_was_trained_on(table: Any, tmp_path: Path) -> None:
    skops = pytest.importorskip("skops.io")
    frame, kept, records = table
    model = pipeline().fit(frame[["unit", "sex", *NUMBERS]], frame.died)
    skops.dump(model, tmp_path / "m.skops")
    loaded, _ = load(tmp_path / "m.skops", schema=kept)
    same(loaded, records, model.predict_proba(frame[["unit", "sex", *NUMBERS]]))


def pipeline() -> Any:
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    return make_pipeline(
        make_column_transformer(
            (OneHotEncoder(handle_unknown="ignore"), ["unit", "sex"]),
            (make_pipeline(SimpleImputer(), StandardScaler()), NUMBERS),
        ),
        LogisticRegression(),
    )


def test_classes_in_another_order_and_spelling(table: Any) -> None:
    from sklearn.ensemble import RandomForestClassifier

    frame, kept, records = table
    words = np.where(frame.died == 1, "dead", "alive")
    model = RandomForestClassifier(10, random_state=0).fit(frame[["age", "heart"]], words)
    spelled = TableSchema(kept.columns, "died", ("dead", "alive"))
    p = bind(open_live(model), spelled).predict_proba(records)
    np.testing.assert_allclose(p[:, 0], model.predict_proba(frame[["age", "heart"]])[:, 1])
    with pytest.raises(PrivauditError, match="unknown to it"):
        bind(open_live(model), kept)


@pytest.mark.parametrize("zipmap", [True, False])
def test_onnx_of_scikit_learn(table: Any, tmp_path: Path, zipmap: bool) -> None:
    pytest.importorskip("onnxruntime")
    convert = pytest.importorskip("skl2onnx")
    from skl2onnx.common.data_types import FloatTensorType
    from sklearn.linear_model import LogisticRegression

    frame, kept, records = table
    X = frame[["age", "heart"]].to_numpy(np.float32)
    model = LogisticRegression().fit(X, frame.died)
    graph = convert.convert_sklearn(
        model, initial_types=[("X", FloatTensorType([None, 2]))], options={"zipmap": zipmap}
    )
    (tmp_path / "m.onnx").write_bytes(graph.SerializeToString())
    two = narrowed(kept, ["age", "heart"])
    loaded, _ = load(tmp_path / "m.onnx", schema=two)
    same(loaded, again(records, two), model.predict_proba(X))
    with pytest.raises(PrivauditError, match="reads 2 numbers"):
        load(tmp_path / "m.onnx", schema=narrowed(kept, NUMBERS))


def test_onnx_with_one_input_a_column(table: Any, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    convert = pytest.importorskip("skl2onnx")
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

    frame, kept, records = table
    whole = frame.assign(unit=frame.unit.fillna(""))
    names = ["unit", "sex", *NUMBERS]
    model = pipeline().fit(whole[names], whole.died)
    kinds = [
        (n, StringTensorType([None, 1]) if n in ("unit", "sex") else FloatTensorType([None, 1]))
        for n in names
    ]
    graph = convert.convert_sklearn(model, initial_types=kinds, options={"zipmap": False})
    (tmp_path / "m.onnx").write_bytes(graph.SerializeToString())
    loaded, _ = load(tmp_path / "m.onnx", schema=kept)
    same(loaded, records, model.predict_proba(whole[names]), 1e-4)


def network() -> Any:
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))


def test_torch_files_and_modules(
    table: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    _, kept, records = table
    two = narrowed(kept, ["age", "heart"])
    records = again(records, two)
    net = network()
    with torch.no_grad():
        expected = torch.softmax(net(torch.from_numpy(records.X)).double(), 1).numpy()
    torch.jit.save(torch.jit.script(net), str(tmp_path / "m.pt"))
    scripted, _ = load(tmp_path / "m.pt", schema=two)
    same(scripted, records, expected)

    safe = pytest.importorskip("safetensors.torch")
    safe.save_file(net.state_dict(), tmp_path / "m.safetensors")
    (tmp_path / "ward_net.py").write_text(
        "import torch\n\ndef make():\n    return torch.nn.Sequential(torch.nn.Linear(2, 8), "
        "torch.nn.ReLU(), torch.nn.Linear(8, 2))\n"
    )
    monkeypatch.chdir(tmp_path)
    named, _ = load(tmp_path / "m.safetensors", schema=two, module="ward_net:make")
    same(named, records, expected)
    with pytest.raises(PrivauditError, match="without a module"):
        load(tmp_path / "m.safetensors", schema=two)
    with pytest.raises(PrivauditError, match="nothing callable"):
        load(tmp_path / "m.safetensors", schema=two, module="ward_net:absent")

    net.train()
    held = bind(open_live(net), two)
    same(held, records, expected)
    assert net.training
    for model in (scripted, named, held):
        assert isinstance(model, Differentiable)
        check_gradients(model, records)

    torch.save(net, tmp_path / "pickled.pt")
    with pytest.raises(PrivauditError, match="no TorchScript"):
        load(tmp_path / "pickled.pt", schema=two)


def check_gradients(model: Any, records: Records) -> None:
    few = records.take(slice(0, 5))
    found, _ = model.input_gradient(few)

    def loss(X: np.ndarray) -> np.ndarray:
        moved = Records(few.columns, X, few.y, few.patient, few.site, classes=few.classes)
        return -np.log(model.predict_proba(moved)[np.arange(5), few.y])

    for j, step in enumerate((0.05, 0.05)):
        up, down = few.X.copy(), few.X.copy()
        up[:, j] += step
        down[:, j] -= step
        slope = (loss(up) - loss(down)) / (up[:, j] - down[:, j])
        np.testing.assert_allclose(found[:, j], slope, atol=2e-3)
    assert model.weight_gradient(few).shape == (5, 2 * 8 + 8 + 8 * 2 + 2)


@pytest.mark.parametrize("end", ["Sigmoid", "none", "Softmax"])
def test_torch_ends_of_every_kind(table: Any, end: str) -> None:
    import torch

    _, kept, records = table
    two = narrowed(kept, ["age", "heart"])
    records = again(records, two)
    last = {
        "Sigmoid": [torch.nn.Linear(2, 1), torch.nn.Sigmoid()],
        "none": [torch.nn.Linear(2, 1)],
        "Softmax": [torch.nn.Linear(2, 2), torch.nn.Softmax(1)],
    }[end]
    net = torch.nn.Sequential(*last)
    with torch.no_grad():
        for weight in net.parameters():
            weight.mul_(0.02)
        out = net(torch.from_numpy(records.X)).double().numpy()
    p = bind(open_live(net), two).predict_proba(records)
    expected = {"Sigmoid": out[:, 0], "none": 1 / (1 + np.exp(-out[:, 0])), "Softmax": out[:, -1]}[
        end
    ]
    np.testing.assert_allclose(p[:, 1], expected, atol=1e-6)


class Evil:
    def __reduce__(self) -> Any:
        return os.system, ("touch pwned",)


@pytest.mark.parametrize(
    "name",
    [
        "m.pkl",
        "m.joblib",
        "m.pickle",
        "m.json",
        "m.onnx",
        "m.pt",
        "m.txt",
        "m.skops",
        "m.safetensors",
    ],
)
def test_a_pickle_by_any_name_does_not_run(
    table: Any, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(pickle.dumps(Evil()))
    with pytest.raises(PrivauditError):
        load(tmp_path / name, schema=table[1])
    assert not (tmp_path / "pwned").exists()


def test_trusted_pickle_says_what_it_means(table: Any, tmp_path: Path) -> None:
    from sklearn.dummy import DummyClassifier

    frame, _, _ = table
    (tmp_path / "m.pkl").write_bytes(
        pickle.dumps(DummyClassifier().fit(frame[NUMBERS], frame.died))
    )
    with pytest.raises(PrivauditError, match="runs whatever code"):
        open_model(tmp_path / "m.pkl")
    opened, _ = open_model(tmp_path / "m.pkl", trust_pickle=True)
    assert "runs whatever code" in opened.notes[-1]


def test_skops_with_untrusted_types_is_refused(table: Any, tmp_path: Path) -> None:
    skops = pytest.importorskip("skops.io")
    from xgboost import XGBClassifier

    frame, kept, _ = table
    skops.dump(XGBClassifier(n_estimators=2).fit(frame[NUMBERS], frame.died), tmp_path / "m.skops")
    with pytest.raises(PrivauditError, match=r"xgboost\.sklearn\.XGBClassifier"):
        load(tmp_path / "m.skops", schema=kept)


def test_torchscript_that_touches_files_is_refused(tmp_path: Path) -> None:
    import torch

    torch.jit.save(torch.jit.script(network()), str(tmp_path / "a.pt"))
    with zipfile.ZipFile(tmp_path / "a.pt") as old, zipfile.ZipFile(tmp_path / "m.pt", "w") as new:
        for entry in old.namelist():
            data = old.read(entry)
            if "/code/" in entry and entry.endswith(".py"):
                data += b"\n  torch.save(input, 'x')\n"
            new.writestr(entry, data)
    with pytest.raises(PrivauditError, match=r"uses 'torch\.save'"):
        open_model(tmp_path / "m.pt")


@pytest.mark.parametrize("suffix", ["skops", "pt"])
def test_zip_bomb_is_refused(tmp_path: Path, suffix: str) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/code/x.py", bytes(200 << 20))
    (tmp_path / f"m.{suffix}").write_bytes(packed.getvalue())
    with pytest.raises(PrivauditError, match="unpacks to"):
        open_model(tmp_path / f"m.{suffix}")


@pytest.mark.parametrize("name", ["m.json", "m.ubj", "m.txt", "m.onnx", "m.pt", "m.skops", "m.dat"])
@pytest.mark.parametrize("content", [b"", b"tree\nhello", b"{}", b"\x00\x01\x02" * 50])
def test_damaged_models(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(PrivauditError):
        open_model(tmp_path / name)


def test_columns_that_do_not_match_are_told(table: Any, tmp_path: Path) -> None:
    from xgboost import XGBClassifier

    frame, kept, _ = table
    X = frame[NUMBERS].rename(columns={"lactate": "lactat"}).assign(gcs=3.0)
    XGBClassifier(n_estimators=2).fit(X, frame.died).save_model(tmp_path / "m.json")
    with pytest.raises(PrivauditError) as caught:
        load(tmp_path / "m.json", schema=kept)
    assert "'lactat', 'gcs'" in str(caught.value)
    assert "did you mean 'lactate'" in str(caught.value)


def test_texts_that_would_be_read_as_numbers(table: Any, tmp_path: Path) -> None:
    from xgboost import XGBClassifier

    frame, kept, records = table
    X = frame[["unit", "age"]].assign(unit=pd.factorize(frame.unit, sort=True)[0].astype(float))
    X.loc[frame.unit.isna(), "unit"] = np.nan
    model = XGBClassifier(n_estimators=4).fit(X, frame.died)
    model.save_model(tmp_path / "m.json")
    with pytest.raises(PrivauditError, match="texts there"):
        load(tmp_path / "m.json", schema=kept)
    loaded, _ = load(tmp_path / "m.json", schema=kept, encode="codes")
    same(loaded, records, model.predict_proba(X))


def test_three_classes(table: Any, tmp_path: Path) -> None:
    from xgboost import XGBClassifier

    frame, kept, records = table
    y = np.digitize(frame.age, [40, 70])
    model = XGBClassifier(n_estimators=4, n_jobs=1).fit(frame[["heart", "age"]], y)
    model.save_model(tmp_path / "m.json")
    three = TableSchema(kept.columns, "died", ("0", "1", "2"))
    asked = Records(
        records.columns, records.X, y, records.patient, records.site, classes=three.classes
    )
    same(
        load(tmp_path / "m.json", schema=three)[0],
        asked,
        model.predict_proba(frame[["heart", "age"]]),
    )
    with pytest.raises(PrivauditError, match="3 classes"):
        load(tmp_path / "m.json", schema=kept)


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        (lambda n: np.full((n, 2), np.nan), "NaN"),
        (lambda n: np.full(n, 1.5), "outside"),
        (lambda n: np.tile([0.2, 0.2], (n, 1)), "sum to 1"),
        (lambda n: np.full((n, 3), 1 / 3), "3 classes"),
        (lambda n: np.full(n - 1, 0.5), "shape"),
        (lambda n: "yes", "no array"),
        (lambda n: [object()] * n, "no array"),
    ],
)
def test_bad_answers(table: Any, answers: Any, said: str) -> None:
    _, kept, records = table
    model = bind(open_live(lambda X: answers(len(X))), narrowed(kept, NUMBERS))
    with pytest.raises(PrivauditError, match=said):
        model.predict_proba(again(records, narrowed(kept, NUMBERS)))


def test_one_number_a_row_is_the_last_class(table: Any) -> None:
    _, kept, records = table
    model = bind(open_live(lambda X: np.full(len(X), 0.25)), narrowed(kept, NUMBERS))
    p = model.predict_proba(again(records, narrowed(kept, NUMBERS)))
    assert (p == [0.75, 0.25]).all()


def test_what_is_no_model() -> None:
    with pytest.raises(PrivauditError, match="cannot be called"):
        open_live(3)
    from sklearn.svm import SVC

    with pytest.raises(PrivauditError, match="without probabilities"):
        open_live(SVC())
