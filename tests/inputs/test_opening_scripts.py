"""TorchScript files that do more than compute are refused before torch loads them."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from opening import answer, audit, made

from privaudit.errors import PrivauditError
from privaudit.inputs.models.script_archive import inspect_script
from privaudit.inputs.models.torchscript import open_script

torch = pytest.importorskip("torch")


class Plain(torch.nn.Module):  # type: ignore[misc, name-defined, unused-ignore]
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.layer(x))


def write(module: Any) -> bytes:
    out = io.BytesIO()
    torch.jit.save(torch.jit.script(module), out)
    return out.getvalue()


def edit(raw: bytes, change: Callable[[str, bytes], bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(raw)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return out.getvalue()


def with_line(line: str, raw: bytes | None = None) -> bytes:
    """A model whose forward method begins with this line of code."""

    def change(name: str, part: bytes) -> bytes:
        if not name.endswith("code/__torch__.py") and b"class Plain" not in part:
            return part
        text = part.decode()
        head = re.search(r"def forward\(.*?-> Tensor:\n", text, re.DOTALL)
        return text if head is None else (text[: head.end()] + f"    {line}\n" + text[head.end() :])

    return edit(write(Plain()) if raw is None else raw, lambda n, p: _bytes(change(n, p)))


def _bytes(part: bytes | str) -> bytes:
    return part.encode() if isinstance(part, str) else part


LINES = {
    "a blank after the dot": 'torch. save(x, "{}")',
    "a line break after the dot": '(torch.\n      save)(x, "{}")',
    "a method of the tensor": 'x.save("{}")',
    "a method by its name": 'getattr(x, "save")("{}")',
    "an alias": '_9 = torch.save\n    _9(x, "{}")',
    "an alias of torch": '_9 = torch\n    _9.save(x, "{}")',
    "the operators' own name": 'ops.aten.save(x, "{}")',
    "an alias of the operators": '_9 = ops.aten\n    _9.save(x, "{}")',
    "a file as memory": '_9 = torch.from_file("{}", True, 3)',
    "printing": 'print("{}")',
    "a printing operator": 'ops.prim.Print("{}")',
    "Python": 'ops.prim.PythonOp("{}")',
    "a clock": "_9 = ops.prim.TimePoint()",
    "chance": "_9 = torch.rand([3])",
    "chance in place": "_9 = torch.normal_(x)",
    "memory that nobody wrote": "_9 = torch.empty([3])",
    "memory of others": "_9 = torch.as_strided(x, [1000000], [1])",
    "another process": "_9 = fork(x)",
    "a class of torch's": "_9 = __torch__.torch.classes.dist_rpc.WorkerInfo(x, 1)",
}


@pytest.mark.parametrize("name", LINES)
def test_code_that_does_more_than_compute_is_refused(name: str, tmp_path: Path) -> None:
    target = tmp_path / "written"
    path = tmp_path / "m.pt"
    path.write_bytes(with_line(LINES[name].replace("{}", str(target))))
    with pytest.raises(PrivauditError):
        inspect_script(path.read_bytes())
    with pytest.raises(PrivauditError, match="TorchScript"):
        answer(path)
    assert not target.exists()


def test_the_audit_of_a_model_that_writes_files_ends_with_2(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "written"
    (tmp_path / "m.pt").write_bytes(with_line(f'torch. save(x, "{target}")'))
    assert audit(tmp_path / "m.pt") == 2
    assert not target.exists()
    assert "torch.save" in capfd.readouterr().err


def test_the_same_line_without_harm_is_read(tmp_path: Path) -> None:
    # The attacks above are refused for what they name, and not for having been edited.
    (tmp_path / "m.pt").write_bytes(with_line("_9 = torch. abs(x)"))
    assert answer(tmp_path / "m.pt").shape == (300, 2)


@pytest.mark.parametrize("capitals", [False, True])
@pytest.mark.parametrize("bad_first", [False, True])
def test_two_parts_of_one_name_are_refused(bad_first: bool, capitals: bool, tmp_path: Path) -> None:
    target = tmp_path / "written"
    pairs = [write(Plain()), with_line(f'torch.save(x, "{target}")')]
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made_archive:
        for second, raw in enumerate(pairs[::-1] if bad_first else pairs):
            with zipfile.ZipFile(io.BytesIO(raw)) as archive:
                for name in archive.namelist():
                    if second and not name.endswith(".py"):
                        continue
                    spelled = name.upper() if second and capitals else name
                    made_archive.writestr(zipfile.ZipInfo(spelled), archive.read(name))
    (tmp_path / "m.pt").write_bytes(out.getvalue())
    with pytest.raises(PrivauditError, match="two parts of one name"):
        answer(tmp_path / "m.pt")
    assert not target.exists()


def test_code_that_runs_while_the_file_is_loaded_is_inspected(tmp_path: Path) -> None:
    target = tmp_path / "written"

    class Loaded(torch.nn.Module):  # type: ignore[misc, name-defined, unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            self.w = torch.zeros(3)

        @torch.jit.export
        def __getstate__(self):  # type: ignore[no-untyped-def]
            return (self.w, self.training)

        @torch.jit.export
        def __setstate__(self, state: tuple[torch.Tensor, bool]) -> None:
            self.w = state[0]
            self.training = state[1]

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.sigmoid(x @ self.w)

    raw = write(Loaded())
    bad = edit(
        raw,
        lambda name, part: part.replace(
            b"-> NoneType:\n", b'-> NoneType:\n    torch. save(1, "%s")\n' % str(target).encode()
        ),
    )
    assert bad != raw
    (tmp_path / "m.pt").write_bytes(bad)
    with pytest.raises(PrivauditError, match=r"torch\.save"):
        answer(tmp_path / "m.pt")
    assert not target.exists()


@pytest.mark.parametrize("part", ["data.pkl", "constants.pkl"])
def test_pickles_of_the_archive_name_tensors_alone(part: str, tmp_path: Path) -> None:
    raw = edit(
        write(Plain()),
        lambda name, old: b"cos\nsystem\n(S'touch x'\ntR." if name.endswith(part) else old,
    )
    with pytest.raises(PrivauditError, match=r"os\.system"):
        inspect_script(raw)
    (tmp_path / "m.pt").write_bytes(raw)
    with pytest.raises(PrivauditError):
        answer(tmp_path / "m.pt")


def test_what_stands_before_or_behind_the_archive_reaches_nobody(tmp_path: Path) -> None:
    # Two archives in one file: readers that begin at either end see one each.
    target = tmp_path / "written"
    bad = with_line(f'torch.save(x, "{target}")')
    raw = bad + write(Plain())
    with zipfile.ZipFile(io.BytesIO(inspect_script(raw))) as archive:
        code = b"".join(archive.read(name) for name in archive.namelist())
    assert b"torch.save" not in code


class Counting(torch.nn.Module):  # type: ignore[misc, name-defined, unused-ignore]
    """Answers honestly while it was asked little, and with one number after."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(3, 1)
        self.register_buffer("asked", torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.asked.add_(1)
        p = torch.sigmoid(self.layer(x))
        return torch.where(self.asked > 3, torch.full_like(p, 0.5), p)


class BySize(torch.nn.Module):  # type: ignore[misc, name-defined, unused-ignore]
    """Answers with one number where it is asked about many at once."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        p = torch.sigmoid(self.layer(x))
        if x.size(0) > 100:
            p = torch.full_like(p, 0.5)
        return p


class ByPlace(torch.nn.Module):  # type: ignore[misc, name-defined, unused-ignore]
    """Answers with one number for the first half, where an audit puts the members."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        p = torch.sigmoid(self.layer(x))
        first = torch.arange(x.size(0)) < x.size(0) // 2
        return torch.where(first.unsqueeze(1), torch.full_like(p, 0.5), p)


class ByChance(torch.nn.Module):  # type: ignore[misc, name-defined, unused-ignore]
    """Drops inputs at random, also where it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.layer(torch.dropout(x, 0.5, True)))


def test_a_model_remembers_no_question(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = Counting()
    (tmp_path / "m.pt").write_bytes(write(module))
    first = answer(tmp_path / "m.pt", answers="probabilities")
    for _ in range(8):
        again = answer(tmp_path / "m.pt", answers="probabilities")
        np.testing.assert_array_equal(again, first)
    X = torch.tensor(made()[0], dtype=torch.float32)
    with torch.no_grad():
        expected = torch.sigmoid(module.layer(X)).numpy()[:, 0]
    np.testing.assert_allclose(first[:, 1], expected, atol=1e-5)


@pytest.mark.parametrize("kind", [BySize, ByPlace, ByChance])
def test_a_model_that_tells_an_audit_from_an_attacker_is_refused(
    kind: type, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    (tmp_path / "m.pt").write_bytes(write(kind()))
    with pytest.raises(PrivauditError, match="on chance, or on which others"):
        answer(tmp_path / "m.pt", answers="probabilities")


def test_honest_modules_are_read() -> None:
    class Mixed(torch.nn.Module):  # type: ignore[misc, name-defined, unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            self.code = torch.nn.Embedding(5, 3)
            self.body = torch.nn.Sequential(
                torch.nn.Linear(2, 8), torch.nn.BatchNorm1d(8), torch.nn.ReLU(inplace=True)
            )
            self.drop, self.norm = torch.nn.Dropout(0.2), torch.nn.LayerNorm(11)
            self.out = torch.nn.Linear(11, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            codes = x[:, 0].long().clamp(0, 4)
            z = torch.cat([self.drop(self.body(x[:, 1:])), self.code(codes)], 1)
            z = torch.where(torch.isnan(z), torch.zeros_like(z), z)
            return torch.softmax(self.out(self.norm(z)), dim=-1)

    class Recurrent(torch.nn.Module):  # type: ignore[misc, name-defined, unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            self.rnn = torch.nn.LSTM(1, 4, batch_first=True)
            self.out = torch.nn.Linear(4, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.sigmoid(self.out(self.rnn(x.unsqueeze(-1))[0][:, -1]))

    layer = torch.nn.TransformerEncoderLayer(3, 1, 8, batch_first=True)
    mixed = Mixed().eval()
    modules = {
        "scripted": torch.jit.script(mixed),
        "traced": torch.jit.trace(mixed, torch.zeros(4, 3)),
        "frozen": torch.jit.freeze(torch.jit.script(mixed)),
        "recurrent": torch.jit.script(Recurrent().eval()),
        # Scripted, it asks whether gradients are kept, and is refused.
        "transformer": torch.jit.trace(
            torch.nn.TransformerEncoder(layer, 1).eval(), torch.zeros(4, 2, 3)
        ),
    }
    for module in modules.values():
        out = io.BytesIO()
        torch.jit.save(module, out)
        assert open_script(out.getvalue()).form == "TorchScript"


@pytest.mark.parametrize("cut", [0, 3, 11])
def test_tensors_that_reach_beyond_their_bytes_are_refused(cut: int, tmp_path: Path) -> None:
    raw = edit(write(Plain()), lambda name, part: part[:cut] if "/data/" in name else part)
    with pytest.raises(PrivauditError, match="do not fit the bytes"):
        inspect_script(raw)
    (tmp_path / "m.pt").write_bytes(raw)
    with pytest.raises(PrivauditError, match="do not fit the bytes"):
        answer(tmp_path / "m.pt")


def test_a_view_beyond_its_storage_is_refused() -> None:
    # The weights' shape (1, 3) and strides (3, 1) become (1, 200) and (3, 1).
    raw = edit(
        write(Plain()),
        lambda name, part: (
            part.replace(b"K\x01K\x03\x86", b"K\x01K\xc8\x86").replace(
                b"K\x01K\x03t", b"K\x01K\xc8t"
            )
            if name.endswith("/data.pkl")
            else part
        ),
    )
    assert raw != write(Plain())
    with pytest.raises(PrivauditError, match="do not fit the bytes"):
        inspect_script(raw)
