"""A table that was scaled, filled in or ordered otherwise for training is refused; what a file says
of its answers is read, and nothing is taken for probabilities because it looks so."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from asking import ask, stay

from privaudit.errors import PrivauditError
from privaudit.facts import Caveat, CaveatCode, ReasonCode
from privaudit.inputs.models.in_process import open_live
from privaudit.inputs.models.open_model import bind, open_model
from privaudit.inputs.schema import TableSchema
from privaudit.records import Column, Records

NAMES = ["age", "lab", "adm", "noise"]


def ward(seed: int, first: int = 0) -> pd.DataFrame:
    frame = stay(250, seed, first)
    noise = np.random.default_rng(seed).normal(5, 2, 250).round(1)
    return frame.assign(noise=noise)[["pid", *NAMES, "y"]]


MEMBERS, NONMEMBERS = ward(1), ward(2, 5000)


def forest(X: Any, y: Any = None) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    made = RandomForestClassifier(20, bootstrap=False, random_state=0, max_depth=6)
    return made.fit(X, MEMBERS.y.astype(int) if y is None else y)


def dump(model: Any, tmp_path: Path) -> Path:
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(model))
    return tmp_path / "m.pkl"


@pytest.mark.parametrize("named", [True, False])
def test_a_table_that_was_scaled_for_training_is_refused(named: bool, tmp_path: Path) -> None:
    X = MEMBERS[NAMES].astype(float)
    scaled = (X - X.mean()) / X.std()
    path = dump(forest(scaled if named else scaled.to_numpy()), tmp_path)
    with pytest.raises(PrivauditError, match="numbers scaled"):
        ask(path, MEMBERS, NONMEMBERS)
    found = ask(dump(forest(X if named else X.to_numpy()), tmp_path), MEMBERS, NONMEMBERS)
    assert CaveatCode.COLUMN_ORDER_UNCONFIRMED not in found.codes


def test_columns_in_another_order_are_refused_or_doubted(tmp_path: Path) -> None:
    path = dump(forest(MEMBERS[NAMES].to_numpy(float)), tmp_path)
    assert CaveatCode.COLUMN_ORDER_UNCONFIRMED not in ask(path, MEMBERS, NONMEMBERS).codes
    for order in (["lab", "age", "adm", "noise"], NAMES[::-1], ["adm", "noise", "age", "lab"]):
        moved = [frame[["pid", *order, "y"]] for frame in (MEMBERS, NONMEMBERS)]
        assert is_doubted(path, *moved)


def is_doubted(path: Path, members: pd.DataFrame, nonmembers: pd.DataFrame) -> bool:
    try:
        found = ask(path, members, nonmembers)
    except PrivauditError as error:
        return "reads better with" in error.what
    return CaveatCode.COLUMN_ORDER_UNCONFIRMED in found.codes


def test_a_model_at_chance_is_taken_where_it_names_its_columns(tmp_path: Path) -> None:
    y = np.random.default_rng(0).integers(0, 2, len(MEMBERS))
    found = ask(dump(forest(MEMBERS[NAMES], y), tmp_path), MEMBERS, NONMEMBERS)
    assert CaveatCode.COLUMN_ORDER_UNCONFIRMED not in found.codes
    assert CaveatCode.OUTCOMES_WRONG_WAY not in found.codes


def test_a_doubtful_order_is_inconclusive() -> None:
    import sys

    sys.path.append(str(Path(__file__).parents[1] / "policy"))
    from policy_lab import DAY, audit, policy, subject

    from privaudit.policy import judge

    doubt = Caveat(CaveatCode.COLUMN_ORDER_UNCONFIRMED, params={"auroc": 0.52})
    found = judge(policy(), audit(subject(), caveats=(doubt,)), today=DAY)
    assert (found.state, found.code) == ("INCONCLUSIVE", 3)
    assert found.verdicts[0].reason.code is ReasonCode.READING_UNCONFIRMED


def records(rows: int = 60) -> tuple[TableSchema, Records]:
    rng = np.random.default_rng(0)
    columns = (Column("a"), Column("b"))
    X = rng.normal(size=(rows, 2)).astype(np.float32)
    y = rng.integers(0, 2, rows)
    zeros = np.zeros(rows, dtype=np.int64)
    made = Records(columns, X, y, np.arange(rows), zeros, classes=("0", "1"))
    return TableSchema(columns, "y", ("0", "1")), made


def networks() -> dict[str, tuple[Any, Any]]:
    """Modules, and what their outputs are made to be probabilities."""
    import torch

    class Net(torch.nn.Module):
        def __init__(self, outputs: int, end: Any) -> None:
            super().__init__()
            self.inside = torch.nn.Linear(2, 4)
            self.last = torch.nn.Linear(4, outputs)
            self.end = end

        def forward(self, x: Any) -> Any:
            return self.end(self.last(torch.relu(self.inside(x))))

    def two(p: Any) -> Any:
        p = p.reshape(len(p))
        return torch.stack([1 - p, p], 1)

    with torch.random.fork_rng():
        torch.manual_seed(0)
        return {
            "sigmoid": (Net(1, torch.sigmoid), two),
            "squeezed": (Net(1, lambda x: torch.sigmoid(x).squeeze(1)), two),
            "logit": (Net(1, lambda x: x.squeeze(1)), lambda x: two(torch.sigmoid(x))),
            "logits": (Net(2, lambda x: x), lambda x: torch.softmax(x, 1)),
            "log softmax": (Net(2, lambda x: torch.log_softmax(x, 1)), torch.exp),
            "normalised": (Net(2, lambda x: x.exp() / x.exp().sum(1, keepdim=True)), lambda x: x),
            "tanh": (Net(1, torch.tanh), None),
            "squashed": (Net(1, lambda x: 0.5 + 0.01 * torch.tanh(x)), None),
            "two outputs": (Net(2, lambda x: (x, x)), None),
        }


@pytest.mark.parametrize("name", networks())
@pytest.mark.parametrize("traced", [True, False])
def test_what_a_torch_model_answers_is_read_off_it(name: str, traced: bool, tmp_path: Path) -> None:
    import torch

    schema, some = records()
    net, make = networks()[name]
    net.eval()
    if traced:
        torch.jit.save(torch.jit.trace(net, torch.zeros(3, 2)), str(tmp_path / "m.pt"))
        opened, _ = open_model(tmp_path / "m.pt")
    else:
        opened = open_live(net)
    if make is None:
        said = "may be probabilities or logits|which of them holds the answers"
        with pytest.raises(PrivauditError, match=said):
            bind(opened, schema)
        return
    with torch.no_grad():
        expected = make(net(torch.from_numpy(some.X)).double()).numpy()
    np.testing.assert_allclose(bind(opened, schema).predict_proba(some), expected, atol=1e-5)


@pytest.mark.parametrize("end", ["Sigmoid", "Softmax", "Gemm", "Mul"])
def test_what_an_onnx_model_answers_is_read_off_its_graph(end: str, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from onnx import TensorProto, helper, numpy_helper

    outputs = 2 if end == "Softmax" else 1
    W = np.array([[0.3, -0.2], [0.1, 0.4]], dtype=np.float32)[:, :outputs]
    nodes = [helper.make_node("Gemm", ["x", "W"], ["z"])]
    if end == "Mul":
        nodes.append(helper.make_node("Mul", ["z", "z"], ["out"]))
    elif end == "Gemm":
        nodes = [helper.make_node("Gemm", ["x", "W"], ["out"])]
    else:
        nodes.append(helper.make_node(end, ["z"], ["out"]))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [None, outputs])],
        [numpy_helper.from_array(W, "W")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(made, tmp_path / "m.onnx")
    schema, some = records()
    model = bind(open_model(tmp_path / "m.onnx")[0], schema)
    if end == "Mul":
        some = Records(
            some.columns, some.X / 9, some.y, some.patient, some.site, classes=("0", "1")
        )
        with pytest.raises(PrivauditError, match="does not say what its answers are"):
            model.predict_proba(some)
        return
    z = some.X.astype(np.float64) @ W
    p = 1 / (1 + np.exp(-z[:, 0])) if outputs == 1 else np.exp(z[:, 1]) / np.exp(z).sum(axis=1)
    np.testing.assert_allclose(model.predict_proba(some)[:, 1], p, atol=1e-5)


def test_onnx_inputs_of_each_type(tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    convert = pytest.importorskip("skl2onnx")
    from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
    from sklearn.compose import make_column_transformer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    members, nonmembers = stay(200, 1), stay(200, 2, 5000)
    texts, kept = ["site", "spread"], ["pid", "age", "adm", "site", "spread", "y"]
    steps = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), [*texts, "adm"]), ("passthrough", ["age"])
    )
    for kind, spelled in ((Int64TensorType, int), (StringTensorType, str)):
        X = members[[*texts, "adm", "age"]].astype({"adm": spelled})
        model = make_pipeline(steps, forest(np.zeros((250, 1)))).fit(X, members.y.astype(int))
        inputs = [(name, StringTensorType([None, 1])) for name in texts]
        inputs += [("adm", kind([None, 1])), ("age", FloatTensorType([None, 1]))]
        graph = convert.convert_sklearn(
            model, initial_types=inputs, options={id(model): {"zipmap": False}}
        )
        raw = graph.SerializeToString()
        (tmp_path / "m.onnx").write_bytes(raw)
        types = {"adm": np.int64 if spelled is int else object, "age": np.float32}
        feed = {name: X[[name]].to_numpy().astype(types.get(name, object)) for name in X}
        expected = runtime.InferenceSession(raw).run(None, feed)[1]
        found = ask(tmp_path / "m.onnx", members[kept], nonmembers[kept])
        np.testing.assert_allclose(found.p, expected, atol=1e-5)
    upper = [frame[kept].assign(site=frame.site.str.upper()) for frame in (members, nonmembers)]
    with pytest.raises(PrivauditError, match="does not know"):
        ask(tmp_path / "m.onnx", *upper)


def test_a_model_of_several_outcomes_is_refused() -> None:
    y = np.column_stack([MEMBERS.y.astype(int), MEMBERS.adm > 4])
    with pytest.raises(PrivauditError, match="2 outcomes at once"):
        open_live(forest(MEMBERS[NAMES], y))
