"""torch modules are asked as they answer, whatever wraps them, and nothing of them is guessed."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from privaudit.contracts import Differentiable
from privaudit.errors import PrivauditError
from privaudit.inputs.check_batches import refuse_answers_by_batch
from privaudit.inputs.models.opened_model import Binding
from privaudit.inputs.models.torch_module import open_module
from privaudit.records import Column, Records

torch = pytest.importorskip("torch")
nn = torch.nn

X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
COLUMNS = tuple(Column(f"x{j}") for j in range(3))
ROWS = Records(COLUMNS, X, np.arange(40) % 2, np.arange(40), np.zeros(40, int), classes=("0", "1"))

pytestmark = pytest.mark.filterwarnings("ignore")


def bound(module: Any, answers: str = "") -> Any:
    return open_module(module).bind(Binding(COLUMNS, ("0", "1"), answers=answers))


def plain() -> Any:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Dropout(0.5), nn.Linear(6, 2))


def softmax(out: Any) -> np.ndarray:
    return np.asarray(torch.softmax(out.double(), dim=1).numpy())


def own_answers(module: Any) -> np.ndarray:
    with torch.no_grad():
        return softmax(copy.deepcopy(module).eval()(torch.from_numpy(X)))


class Applies(nn.Module):  # type: ignore[misc, name-defined]
    """Some code after layers."""

    def __init__(self, outputs: int, after: Callable[[Any], Any]) -> None:
        super().__init__()
        self.lines, self.after = nn.Linear(3, outputs), after

    def forward(self, x: Any) -> Any:
        return self.after(self.lines(x))


def forbid(*_: Any) -> None:
    raise RuntimeError("no second backward pass")


def with_backward_hooks(net: Any) -> Any:
    for part in net:
        part.register_full_backward_hook(forbid)
    return net


def with_a_hook_that_answers(net: Any) -> Any:
    net[3].register_forward_hook(lambda module, given, out: 3 * out)
    return net


def with_a_map_kept(net: Any) -> Any:
    net.train()
    net[0].kept = net[0](torch.from_numpy(X))
    return net


def opacus(net: Any) -> Any:
    return pytest.importorskip("opacus").GradSampleModule(net)


WRAPPED: dict[str, Callable[[Any], Any]] = {
    "opacus": opacus,
    "data parallel": nn.DataParallel,
    "compiled": torch.compile,
    "averaged": torch.optim.swa_utils.AveragedModel,
    "backward hooks": with_backward_hooks,
    "a tensor kept": with_a_map_kept,
    "double precision": lambda net: net.double(),
}


@pytest.mark.parametrize("name", WRAPPED)
def test_a_wrapped_module_answers_as_the_plain_one_and_has_gradients(name: str) -> None:
    expected = own_answers(plain())
    module = WRAPPED[name](plain().train())
    model = bound(module)
    np.testing.assert_allclose(model.predict_proba(ROWS), expected, atol=1e-6)
    assert isinstance(model, Differentiable)
    gradient, _ = model.input_gradient(ROWS)
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() > 0
    model.input_gradient(ROWS)
    assert model.weight_gradient(ROWS).shape == (40, 3 * 6 + 6 + 6 * 2 + 2)
    assert module.training


def test_a_hook_that_changes_the_answers_is_kept() -> None:
    module = with_a_hook_that_answers(plain())
    expected = own_answers(module)
    assert np.abs(expected - own_answers(plain())).max() > 0.01
    np.testing.assert_allclose(bound(module).predict_proba(ROWS), expected, atol=1e-6)


def test_a_quantised_module_has_answers_and_no_gradients() -> None:
    module = torch.ao.quantization.quantize_dynamic(plain().eval(), {nn.Linear})
    model = bound(module)
    np.testing.assert_allclose(model.predict_proba(ROWS), own_answers(module), atol=1e-6)
    assert not isinstance(model, Differentiable)


def test_a_module_that_cannot_be_copied_is_left_in_training() -> None:
    module = plain().train()
    expected = own_answers(module)
    module.__class__ = type("Stubborn", (nn.Sequential,), {"__deepcopy__": forbid})
    p = bound(module, "logits").predict_proba(ROWS)
    np.testing.assert_allclose(p, expected, atol=1e-6)
    assert all(part.training for part in module.modules())


def test_answers_by_batch_are_refused() -> None:
    module = nn.Sequential(nn.BatchNorm1d(3, track_running_stats=False), nn.Linear(3, 2))
    with pytest.raises(PrivauditError, match="which others it is asked with"):
        refuse_answers_by_batch(bound(module), ROWS)
    refuse_answers_by_batch(bound(plain()), ROWS)


READ: dict[str, tuple[Any, str]] = {
    "linear": (Applies(2, lambda z: z), "logits"),
    "temperature": (Applies(2, lambda z: z / 3), "logits"),
    "residual": (Applies(2, lambda z: z + z @ torch.ones(2, 2)), "logits"),
    "softmax": (Applies(2, lambda z: torch.softmax(z, dim=1)), "probabilities"),
    "log softmax": (Applies(2, lambda z: torch.log_softmax(z, dim=1)), "logits"),
    "sigmoid": (Applies(1, lambda z: torch.sigmoid(z).squeeze(1)), "probabilities"),
    "clamped sigmoid": (Applies(1, lambda z: torch.sigmoid(z).clamp(0.01, 0.99)), "probabilities"),
    "both of a sigmoid": (
        Applies(1, lambda z: torch.cat([1 - torch.sigmoid(z), torch.sigmoid(z)], dim=1)),
        "probabilities",
    ),
}


@pytest.mark.parametrize("name", READ)
def test_what_a_module_answers_with_is_read_off_what_it_computes(name: str) -> None:
    module, answers = READ[name]
    assert bound(module).answers == answers


UNCLEAR: dict[str, Any] = {
    "two sigmoids": Applies(2, torch.sigmoid),
    "relu": Applies(2, torch.relu),
    "squeezed by hand": Applies(1, lambda z: z.abs() / (1 + z.abs())),
    "small logits": Applies(1, lambda z: z * 0 + 0.3),
}


@pytest.mark.parametrize("name", UNCLEAR)
def test_where_it_does_not_say_it_is_asked_for(name: str) -> None:
    module = UNCLEAR[name]
    with pytest.raises(PrivauditError, match="may be probabilities or logits"):
        bound(module)
    assert bound(module, "logits").predict_proba(ROWS).shape == (40, 2)


def test_an_unused_softmax_says_nothing() -> None:
    module = Applies(2, lambda z: z)
    module.unused = nn.Softmax(dim=1)
    assert bound(module).answers == "logits"


def test_of_several_outputs_the_only_one_of_numbers_is_read() -> None:
    module = Applies(2, lambda z: (z, z.argmax(1)))
    expected = own_answers(Applies(2, lambda z: z)).shape
    assert bound(module).predict_proba(ROWS).shape == expected
    with pytest.raises(PrivauditError, match="2 outputs"):
        bound(Applies(2, lambda z: (z, -z)))
    with pytest.raises(PrivauditError, match="2 outputs of numbers"):
        bound(Applies(2, lambda z: (z, torch.cat([z, z], dim=1))))
    with pytest.raises(PrivauditError, match="2 outputs of numbers"):
        bound(Applies(2, lambda z: (z, [z, z])))
    with pytest.raises(PrivauditError, match="a dict"):
        bound(Applies(2, lambda z: {"logits": z}))
