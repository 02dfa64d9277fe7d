"""Models that show an audit other answers than they show an attacker are refused."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from opening import answer

from privaudit.errors import PrivauditError
from privaudit.inputs.models.torchscript import open_script

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
