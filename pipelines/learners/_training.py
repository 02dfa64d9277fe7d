"""The one training loop: K networks, each on its own table, as one program of stacked tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch.optim.adam import adam

Weight = torch.Tensor
Weights = Sequence[torch.Tensor]


class Network(Protocol):
    """The shape of a network. Weights and inputs are stacked: their first axis is the model."""

    @property
    def drops(self) -> tuple[tuple[int, float], ...]:
        """(width, rate) of every dropout layer, in the order in which `logits` applies them."""
        ...

    def start(self, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        """Initial weights of one model, float32, without the model axis."""
        ...

    def logits(self, weights: Weights, inputs: Weights, masks: Weights) -> torch.Tensor:
        """(models, rows, classes) from inputs of (models, rows, ...); masks: empty to predict."""
        ...

    def slopes(self, weights: Weights, inputs: Weights, masks: Weights, target: Weight) -> Weights:
        """Gradient of each model's mean log loss for its own weights; target: (models, rows)."""
        ...


def by_autograd(
    network: Network, weights: Weights, inputs: Weights, masks: Weights, target: Weight
) -> Weights:
    """`Network.slopes` of any network."""
    own = [w.detach().requires_grad_() for w in weights]
    logits = network.logits(own, inputs, masks)
    loss = torch.nn.functional.cross_entropy(
        logits.reshape(-1, logits.shape[-1]), target.reshape(-1), reduction="sum"
    )
    return torch.autograd.grad(loss / target.shape[1], own)


@dataclass(frozen=True)
class Plan:
    """How long and how fast to train. epochs: the most; patience: epochs without a
    better validation loss; rate: AdamW's; decay: AdamW's, one a model; batch: rows a step."""

    rate: float
    decay: tuple[float, ...]
    batch: int
    epochs: int
    patience: int


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep torch on one thread within: on a busy machine two cost several times the CPU of one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def train(
    network: Network,
    inputs: Sequence[tuple[np.ndarray, ...]],
    outcomes: Sequence[np.ndarray],
    held: Sequence[np.ndarray],
    rngs: Sequence[np.random.Generator],
    plan: Plan,
) -> list[tuple[np.ndarray, ...]]:
    """Weights of K models, each from its table's rows, stream and held-out rows alone.

    AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101) on the log loss; every model keeps the
    weights of its own best validation loss, or its last ones where no row is held out. A model that
    has stopped is carried along without effect, so that no model's arithmetic depends on when
    another stops.

    Args:
        inputs: For each table its arrays of (rows, ...).
        outcomes: Class codes.
        held: Rows for early stopping.
    """
    with one_thread():
        return _train(network, inputs, outcomes, held, rngs, plan)


def _train(
    network: Network,
    inputs: Sequence[tuple[np.ndarray, ...]],
    outcomes: Sequence[np.ndarray],
    held: Sequence[np.ndarray],
    rngs: Sequence[np.random.Generator],
    plan: Plan,
) -> list[tuple[np.ndarray, ...]]:
    models = len(inputs)
    begin = [network.start(rng) for rng in rngs]
    weights = [torch.from_numpy(np.stack(part)) for part in zip(*begin, strict=True)]
    rule = _Adam(weights, plan.rate)
    # Decoupled decay by hand, since each model has its own; biases, of one row, do not decay.
    shrunk = [w for w in weights if w.shape[1] > 1]
    keep = 1 - plan.rate * torch.tensor(plan.decay, dtype=torch.float32)[:, None, None]
    rows = [np.flatnonzero(~h) for h in held]
    learn = [
        torch.from_numpy(np.concatenate([part[r] for part, r in zip(parts, rows, strict=True)]))
        for parts in zip(*inputs, strict=True)
    ]
    target = torch.from_numpy(np.concatenate([y[r] for y, r in zip(outcomes, rows, strict=True)]))
    check = [
        ([torch.from_numpy(part[h])[None] for part in parts], torch.from_numpy(y[h]))
        for parts, y, h in zip(inputs, outcomes, held, strict=True)
    ]
    # Small tables are looked at every few steps rather than every epoch, or patience would end
    # the training before it began.
    period = [max(-(-len(r) // plan.batch), 8) for r in rows]
    batches = _Batches(rngs, [len(r) for r in rows], plan.batch, network.drops)
    best = [[w[k : k + 1].clone() for w in weights] for k in range(models)]
    lowest, since, epochs = np.full(models, np.inf), [0] * models, [0] * models
    running = set(range(models))
    steps = 0
    while running:
        index, masks = batches.draw()
        given = [x.index_select(0, index).view(models, plan.batch, *x.shape[1:]) for x in learn]
        outcome = target.index_select(0, index).view(models, plan.batch)
        slopes = network.slopes(weights, given, masks, outcome)
        for w in shrunk:
            w.mul_(keep)
        rule.step(slopes)
        steps += 1
        for k in [k for k in running if steps % period[k] == 0]:
            own = [w[k : k + 1] for w in weights]
            epochs[k] += 1
            since[k] += 1
            found = _validation_loss(network, own, *check[k]) if held[k].any() else -epochs[k]
            if found < lowest[k]:
                lowest[k], since[k] = found, 0
                best[k] = [w.clone() for w in own]
            if since[k] >= plan.patience or epochs[k] >= plan.epochs:
                running.discard(k)
    return [tuple(w[0].numpy() for w in own) for own in best]


def _validation_loss(network: Network, weights: Weights, inputs: Weights, y: torch.Tensor) -> float:
    with torch.no_grad():
        logits = network.logits(weights, inputs, ())[0]
        return float(torch.nn.functional.cross_entropy(logits.double(), y))


class _Adam:
    """PyTorch's fused Adam through its functional form.

    The class `torch.optim.Adam` imports the compiler on its first use, which costs a process of a
    few seconds' work half as much again.
    """

    def __init__(self, weights: Sequence[torch.Tensor], rate: float) -> None:
        self.weights, self.rate = list(weights), rate
        self.first = [torch.zeros_like(w) for w in weights]
        self.second = [torch.zeros_like(w) for w in weights]
        self.steps = [torch.zeros(()) for _ in weights]

    def step(self, slopes: Sequence[torch.Tensor]) -> None:
        adam(
            self.weights,
            list(slopes),
            self.first,
            self.second,
            [],
            self.steps,
            fused=True,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=self.rate,
            weight_decay=0.0,
            eps=1e-8,
            maximize=False,
        )


class _Batches:
    """Every model's minibatches: an endless run of shuffles of its rows, and its dropout masks.

    Both are drawn from the model's own stream, many steps at a time because the calls cost more
    than the numbers. Masks are inverted dropout from one random byte a unit, so a rate is a
    multiple of 1/256.
    """

    ahead = 16

    def __init__(
        self,
        rngs: Sequence[np.random.Generator],
        rows: Sequence[int],
        size: int,
        drops: tuple[tuple[int, float], ...],
    ) -> None:
        self.rngs, self.rows, self.size = rngs, rows, size
        self.starts = np.cumsum([0, *rows[:-1]])
        self.drops = [(width, round(rate * 256)) for width, rate in drops]
        self.left = [np.empty(0, dtype=np.int64) for _ in rows]
        shape = (self.ahead, len(rows), size)
        self.index = np.empty(shape, dtype=np.int64)
        self.masks = [np.empty((*shape, width), dtype=bool) for width, _ in self.drops]
        self.at = self.ahead

    def draw(self) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """(models x size,) rows, and a (models, size, width) mask for every dropout layer."""
        if self.at == self.ahead:
            self._refill()
        at, self.at = self.at, self.at + 1
        masks = [
            torch.from_numpy(mask[at]).float().mul_(256 / (256 - dropped))
            for mask, (_, dropped) in zip(self.masks, self.drops, strict=True)
        ]
        return torch.from_numpy(self.index[at].ravel()), masks

    def _refill(self) -> None:
        want = self.ahead * self.size
        for k, (rng, rows) in enumerate(zip(self.rngs, self.rows, strict=True)):
            runs = [self.left[k]]
            while sum(map(len, runs)) < want:
                runs.append(rng.permutation(rows) + self.starts[k])
            order = np.concatenate(runs)
            self.index[:, k], self.left[k] = order[:want].reshape(self.ahead, -1), order[want:]
            for mask, (width, dropped) in zip(self.masks, self.drops, strict=True):
                drawn = np.frombuffer(rng.bytes(want * width), dtype=np.uint8)
                np.greater_equal(
                    drawn.reshape(self.ahead, self.size, width), dropped, out=mask[:, k]
                )
        self.at = 0
