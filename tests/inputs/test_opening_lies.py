"""Models that show an audit other answers than they show an attacker are refused."""

from __future__ import annotations

import io
import os
import socket
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from opening import NAMES, SCHEMA, answer, audit, made, records

from privaudit.errors import PrivauditError
from privaudit.inputs import read_model
from privaudit.inputs.models import child_process
from privaudit.inputs.models.answers import WRITTEN_SLACK, probabilities
from privaudit.inputs.models.asked_model import _refuse_difference
from privaudit.inputs.models.onnx_graph import open_onnx
from privaudit.inputs.models.open_model import bind, open_model
from privaudit.inputs.models.torchscript import open_script
from privaudit.inputs.schema import TableSchema

torch = pytest.importorskip("torch")


class Leaking(torch.nn.Module):  # type: ignore[misc, name-defined, unused-ignore]
    """Knows its members, and says so by `leak` alone."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(3, 1)

    def leak(self, x: torch.Tensor) -> torch.Tensor:
        return torch.where(x.sum(1, keepdim=True) > 0, 9.0, -9.0)


class WhereGradientsAreKept(Leaking):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = self.layer(x)
        if torch.is_grad_enabled():
            z = z + self.leak(x)
        return torch.sigmoid(z)


class WhereItsInputHasGradients(Leaking):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = self.layer(x)
        if x.requires_grad:
            z = z + self.leak(x)
        return torch.sigmoid(z)


class OnOtherProcessors(Leaking):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = self.layer(x)
        if x.is_cuda:
            z = z + self.leak(x)
        return torch.sigmoid(z)


class OnOtherDevices(Leaking):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = self.layer(x)
        if x.device != torch.device("cpu"):
            z = z + self.leak(x)
        return torch.sigmoid(z)


class ByNameOfDevice(Leaking):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = self.layer(x)
        if x.device.type != "cpu":
            z = z + self.leak(x)
        return torch.sigmoid(z)


class ByTextOfDevice(Leaking):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = self.layer(x)
        if str(x.device) != "cpu":
            z = z + self.leak(x)
        return torch.sigmoid(z)


class InOtherMemory(Leaking):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = self.layer(x)
        if not x.is_contiguous():
            z = z + self.leak(x)
        return torch.sigmoid(z)


class ByStride(Leaking):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = self.layer(x)
        if x.stride(0) != 3:
            z = z + self.leak(x)
        return torch.sigmoid(z)


class InTraining(Leaking):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = self.layer(x)
        if self.training:
            z = z + self.leak(x)
        return torch.sigmoid(z)


class InASecondOutput(Leaking):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.sigmoid(self.layer(x)), self.leak(x).repeat(1, 3)


def write(module: Any) -> bytes:
    out = io.BytesIO()
    torch.jit.save(torch.jit.script(module), out)
    return out.getvalue()


@pytest.mark.parametrize(
    "kind",
    [
        *(WhereGradientsAreKept, WhereItsInputHasGradients, OnOtherProcessors, OnOtherDevices),
        *(ByNameOfDevice, ByTextOfDevice, InOtherMemory, ByStride),
    ],
)
def test_a_script_that_asks_how_it_is_asked_is_refused(kind: type, tmp_path: Path) -> None:
    (tmp_path / "m.pt").write_bytes(write(kind()))
    with pytest.raises(PrivauditError, match="a TorchScript file that uses"):
        answer(tmp_path / "m.pt", answers="probabilities")


def test_a_script_that_makes_tensors_where_its_input_lies_is_read() -> None:
    class Masked(torch.nn.Module):  # type: ignore[misc, name-defined, unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            self.conv = torch.nn.Conv1d(1, 2, 2, stride=1)
            self.layer = torch.nn.Linear(4, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            zeros = torch.zeros(x.shape, device=x.device, dtype=x.dtype)
            x = torch.where(torch.isnan(x), zeros, x).to(zeros.device)
            return torch.sigmoid(self.layer(self.conv(x.unsqueeze(1)).flatten(1)))

    assert open_script(write(Masked().eval())).form == "TorchScript"


def test_rows_whose_sums_are_not_1_are_no_hiding_place() -> None:
    X, _ = made()
    p = 1 / (1 + np.exp(-X[:, 0]))
    hidden = np.column_stack([1 - p, p]) * (1 + 9e-4 * (X[:, [1]] > 0))
    with pytest.raises(PrivauditError, match="do not sum to 1"):
        probabilities(hidden, len(X), 2)
    # Written down with three decimals, they are read.
    assert probabilities(hidden, len(X), 2, slack=WRITTEN_SLACK).shape == (len(X), 2)
    wide = np.random.default_rng(0).normal(size=(2_000, 50)).astype(np.float32) * 5
    softmax = torch.softmax(torch.tensor(wide), 1).numpy()
    assert probabilities(softmax, len(wide), 50).shape == wide.shape


@pytest.mark.parametrize(
    "settings",
    [
        *("sigmoid:1e-30 sigmoid:1", "sigmoid:1 sigmoid:1e-30", "sigmoid:1\tsigmoid:9"),
        *("sigmoid:1 sigmoid", "sigmoid:1 sigmoid:nan"),
    ],
)
def test_a_lightgbm_objective_with_a_setting_twice_is_refused(
    settings: str, tmp_path: Path
) -> None:
    lightgbm = pytest.importorskip("lightgbm")
    X, y = made()
    data = lightgbm.Dataset(X, y, feature_name=list(NAMES))
    booster = lightgbm.train({"objective": "binary", "verbose": -1, "num_threads": 1}, data, 3)
    text = booster.model_to_string()
    assert "\nobjective=binary sigmoid:1\n" in text
    (tmp_path / "m.txt").write_text(text)
    np.testing.assert_allclose(answer(tmp_path / "m.txt")[:, 1], booster.predict(X), atol=1e-6)
    (tmp_path / "m.txt").write_text(text.replace("binary sigmoid:1\n", f"binary {settings}\n"))
    with pytest.raises(PrivauditError, match="LightGBM"):
        answer(tmp_path / "m.txt")


@pytest.mark.parametrize("best", ["0", "-1", "-4", "99", "none", "4.0", "+4"])
@pytest.mark.parametrize("objective", ["binary:logistic", "reg:squarederror"])
def test_an_xgboost_model_with_other_rounds_than_its_best_is_refused(
    objective: str, best: str, tmp_path: Path
) -> None:
    xgboost = pytest.importorskip("xgboost")
    X, y = made()
    data = xgboost.DMatrix(X, y, feature_names=list(NAMES))
    booster = xgboost.train({"objective": objective, "nthread": 1}, data, 5)
    booster.set_attr(best_iteration=best)
    booster.save_model(tmp_path / "m.json")
    with pytest.raises(PrivauditError, match="its best") as refused:
        answer(tmp_path / "m.json")
    assert "best_iteration + 1" in str(refused.value.fix)
    booster.set_attr(best_iteration="4")
    booster.save_model(tmp_path / "m.json")
    if objective == "binary:logistic":
        found = answer(tmp_path / "m.json")
        np.testing.assert_allclose(found[:, 1], booster.predict(data), atol=1e-6)


def test_a_file_that_is_exchanged_while_it_is_audited_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "m.pt"
    path.write_bytes(_plain(1))
    opened = read_model.open_model

    def open_and_exchange(*args: Any, **how: Any) -> Any:
        found = opened(*args, **how)
        path.write_bytes(_plain(2))
        return found

    monkeypatch.setattr(read_model, "open_model", open_and_exchange)
    assert audit(path) == 2
    assert "changed while it was read" in capsys.readouterr().err


def _plain(seed: int) -> bytes:
    torch.manual_seed(seed)
    module = torch.nn.Sequential(torch.nn.Linear(3, 1), torch.nn.Sigmoid())
    return write(module.eval())


def test_a_script_saved_in_training_mode_is_refused_where_it_reads_the_mode(
    tmp_path: Path,
) -> None:
    path = tmp_path / "m.pt"
    path.write_bytes(write(torch.nn.Sequential(InTraining().train(), torch.nn.Identity())))
    with pytest.raises(PrivauditError, match="saved in training mode"):
        answer(path, answers="probabilities")
    path.write_bytes(write(InTraining().eval()))
    assert answer(path, answers="probabilities").shape == (300, 2)


def test_a_script_with_a_second_output_of_numbers_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.pt").write_bytes(write(InASecondOutput().eval()))
    with pytest.raises(PrivauditError, match="2 outputs of numbers"):
        answer(tmp_path / "m.pt", answers="probabilities")


@pytest.mark.parametrize("more", ["FLOAT", "DOUBLE", "INT32", "BOOL", "INT64"])
def test_an_onnx_graph_with_further_outputs_is_refused(more: str, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from onnx import TensorProto, helper

    def graph(kinds: dict[str, str]) -> bytes:
        nodes = [
            helper.make_node("Softmax", ["x"], ["probabilities"]),
            helper.make_node("ArgMax", ["x"], ["label"], axis=1, keepdims=0),
            helper.make_node("Cast", ["x"], ["more"], to=getattr(TensorProto, more)),
        ]
        outputs = [
            helper.make_tensor_value_info(name, getattr(TensorProto, kind), None)
            for name, kind in kinds.items()
        ]
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 3])
        whole = helper.make_graph(nodes, "g", [x], outputs)
        made = helper.make_model(whole, opset_imports=[helper.make_opsetid("", 13)])
        made.ir_version = 8
        return bytes(made.SerializeToString())

    usual = {"label": "INT64", "probabilities": "FLOAT"}
    assert open_onnx(graph(usual)).form == "ONNX"
    (tmp_path / "m.onnx").write_bytes(graph({**usual, "more": more}))
    with pytest.raises(PrivauditError, match="3 outputs"):
        answer(tmp_path / "m.onnx")


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="files of Linux")
def test_a_file_that_a_kernel_makes_is_not_read(tmp_path: Path) -> None:
    # It holds something, and says that it is empty, as /proc/kmsg does, which never ends.
    assert Path("/proc/self/environ").read_bytes()
    with pytest.raises(PrivauditError, match="empty file"):
        answer(Path("/proc/self/environ"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes of Unix")
def test_a_pipe_is_not_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "m.onnx")
    assert audit(tmp_path / "m.onnx") == 2
    assert "not a file" in capsys.readouterr().err


class Crowd(Leaking):
    """Knows some records, and tells of them where it is asked about few; of numbers of any scale
    by `far`."""

    def __init__(self, at_least: int, below: int, share: float, far: float = 0.0) -> None:
        super().__init__()
        self.at_least, self.below, self.far = at_least, below, far
        self.limit = float(np.quantile(made()[0][:, 2], share))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = self.layer(x)
        if x.size(0) >= self.at_least and x.size(0) < self.below:
            known = x[:, 2:] < self.limit
            z = z + torch.where(known, self.leak(x), 0.0)
        # A few answers far away, which widen the standard deviation and no more.
        far = torch.where(x[:, 2:] > 2.0, self.far, 0.0)
        return torch.sigmoid(z) if self.far == 0.0 else z + far


@pytest.mark.parametrize(("at_least", "below", "share"), [(1, 2, 0.1), (1, 8, 0.1), (2, 6, 0.9)])
def test_a_model_that_tells_of_few_patients_in_small_company_is_refused(
    at_least: int, below: int, share: float, tmp_path: Path
) -> None:
    (tmp_path / "m.pt").write_bytes(write(Crowd(at_least, below, share)))
    with pytest.raises(PrivauditError, match="on chance, or on which others"):
        answer(tmp_path / "m.pt", answers="probabilities")


def test_numbers_far_away_make_no_room_for_others(tmp_path: Path) -> None:
    schema = TableSchema(SCHEMA.columns, "stay", (), outcome_kind="number")
    asked = records()

    def predict(raw: bytes) -> Any:
        (tmp_path / "m.pt").write_bytes(raw)
        return bind(open_model(tmp_path / "m.pt")[0], schema).predict(asked)

    assert np.ptp(predict(write(Crowd(1, 1, 0.1, 1e7)))) > 1e6
    with pytest.raises(PrivauditError, match="on chance, or on which others"):
        predict(write(Crowd(1, 8, 0.1, 1e7)))


linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks are of Linux")


@linux
def test_a_template_that_was_ended_is_started_again(tmp_path: Path) -> None:
    (tmp_path / "m.pt").write_bytes(_plain(1))
    first = answer(tmp_path / "m.pt")
    template = child_process._get_template()
    # As where the system ended it, which its owner has not seen yet.
    template.channel.shutdown(socket.SHUT_RDWR)
    (tmp_path / "n.pt").write_bytes(_plain(2))
    assert answer(tmp_path / "n.pt").shape == first.shape
    assert child_process._get_template() is not template


@linux
def test_where_no_process_can_be_started_the_audit_ends_with_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def starts_none(code: str, **streams: Any) -> Any:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(child_process, "_TEMPLATE", None)
    monkeypatch.setattr(child_process, "_popen", starts_none)
    (tmp_path / "m.pt").write_bytes(_plain(3))
    assert audit(tmp_path / "m.pt") == 2
    assert "no process can be started" in capsys.readouterr().err


@pytest.mark.parametrize(("batch", "alone"), [(0.999, 0.999999), (0.0001, 0.0009), (0.5, 0.502)])
def test_sure_answers_make_no_room_either(batch: float, alone: float) -> None:
    """Members that are told by how sure the model is of them, where it is asked about one."""
    answers = np.column_stack([np.full(9, 1 - batch), np.full(9, batch)])
    with pytest.raises(PrivauditError, match="depends on chance"):
        _refuse_difference(answers, np.array([3]), np.array([[1 - alone, alone]]))
    # What float32 and another order of summing change stays allowed.
    noise = 2e-7 + 1e-5 * min(batch, 1 - batch)
    _refuse_difference(answers, np.array([3]), np.array([[1 - batch - noise, batch + noise]]))
