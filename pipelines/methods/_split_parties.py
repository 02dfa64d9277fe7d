"""The two parties of split learning and the wire between them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from pipelines.methods._split_defences import Defence
from pipelines.methods._split_trunks import Trunk

State = list[torch.Tensor]

FIRST, SECOND, TINY = 0.9, 0.999, 1e-8
"""Adam's usual constants (Kingma and Ba 2015, arXiv 1412.6980, algorithm 1)."""


class Part:
    """A stretch of a network that one party holds, with its own optimiser.

    AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101): weight matrices decay, biases do not.
    """

    def __init__(self, weights: Sequence[np.ndarray], rate: float, decay: float) -> None:
        self.weights = [torch.from_numpy(w.copy()).requires_grad_() for w in weights]
        self.moments = [torch.zeros_like(w) for w in self.weights for _ in range(2)]
        self.rate, self.keep, self.steps = rate, 1 - rate * decay, 0

    def step(self) -> None:
        """Move against the gradients that the last backward pass left, and forget them."""
        self.steps += 1
        stride = self.rate / (1 - FIRST**self.steps)
        correct = (1 - SECOND**self.steps) ** 0.5
        with torch.no_grad():
            for i, w in enumerate(self.weights):
                if w.grad is None:
                    raise RuntimeError("a step before its backward pass")
                mean, square = self.moments[2 * i], self.moments[2 * i + 1]
                mean.lerp_(w.grad, 1 - FIRST)
                square.mul_(SECOND).addcmul_(w.grad, w.grad, value=1 - SECOND)
                if w.ndim > 1:
                    w.mul_(self.keep)
                w.addcdiv_(mean, square.sqrt().div_(correct).add_(TINY), value=-stride)
                w.grad = None

    def state(self) -> State:
        """Weights and optimiser, as they are handed to another party."""
        count = torch.tensor([self.steps], dtype=torch.int32)
        return [
            *(w.detach().clone() for w in self.weights),
            *(m.clone() for m in self.moments),
            count,
        ]

    def load(self, state: State) -> None:
        """Take over what `state` of such a part gave."""
        self.take(state[: len(self.weights)])
        for mine, given in zip(self.moments, state[len(self.weights) : -1], strict=True):
            mine.copy_(given)
        self.steps = int(state[-1])

    def take(self, weights: Sequence[torch.Tensor]) -> None:
        """Take over weights and keep the own optimiser."""
        with torch.no_grad():
            for mine, given in zip(self.weights, weights, strict=True):
                mine.copy_(given)


class Wire:
    """Carries every message between a site and the server, and counts bytes. Nothing else crosses.

    between: bytes that sites hand to each other. A message is cut from the sender's graph: the
    receiver gets numbers and no way back.
    """

    def __init__(self) -> None:
        self.sent_up = self.sent_down = self.between = 0

    def up(self, message: torch.Tensor) -> torch.Tensor:
        self.sent_up += message.nbytes
        return message.detach()

    def down(self, message: torch.Tensor) -> torch.Tensor:
        self.sent_down += message.nbytes
        return message.detach()

    def across(self, state: State) -> State:
        self.between += sum(t.nbytes for t in state)
        return [t.detach() for t in state]


class Client:
    """A site: its encoded records, its outcomes, the first layers, and in the U shape the last
    one."""

    def __init__(
        self,
        rows: np.ndarray,
        inputs: tuple[np.ndarray, ...],
        y: np.ndarray,
        trunk: Trunk,
        part: Part,
        head: Part | None,
        defence: Defence,
        rng: np.random.Generator,
    ) -> None:
        self.rows, self.trunk, self.part, self.head = rows, trunk, part, head
        self.inputs = tuple(torch.from_numpy(x) for x in inputs)
        self.y = torch.from_numpy(y)
        self.defence, self.rng = defence, rng
        self._left: torch.Tensor | None = None

    def batches(self, size: int) -> list[np.ndarray]:
        """A new shuffle of the own records, in runs of `size`; the last may be shorter."""
        order = self.rng.permutation(len(self.rows))
        return [order[i : i + size] for i in range(0, len(order), size)]

    def forward(self, index: np.ndarray) -> torch.Tensor:
        """(b, w) activations of these records, with the defence's noise on them."""
        at = torch.from_numpy(index)
        given = tuple(x.index_select(0, at) for x in self.inputs)
        self._left = self.defence.smashed(self.trunk.forward(self.part.weights, given), self.rng)
        return self._left

    def labels(self, index: np.ndarray) -> torch.Tensor:
        """(b,) uint8 outcomes, one byte a record."""
        return self.y[torch.from_numpy(index)].to(torch.uint8)

    def finish(self, features: torch.Tensor, index: np.ndarray) -> torch.Tensor:
        """U shape: the last layer and the loss at the site. Returns the gradient to send back."""
        if self.head is None:
            raise RuntimeError("a client without a head")
        features = features.requires_grad_()
        logits = dense(self.head.weights, features)
        loss = torch.nn.functional.cross_entropy(logits, self.y[torch.from_numpy(index)])
        loss.backward()
        self.head.step()
        return self.defence.gradient(gradient_of(features), self.rng)

    def backward(self, gradient: torch.Tensor) -> None:
        """Finish the step with the gradient at the cut."""
        if self._left is None:
            raise RuntimeError("a gradient for activations that were never sent")
        self._left.backward(gradient)
        self._left = None
        self.part.step()

    @property
    def parts(self) -> list[Part]:
        """What this site holds of the network."""
        return [self.part] if self.head is None else [self.part, self.head]


class Server:
    """The middle and, in the vanilla shape, the end of the network. It never holds a record."""

    def __init__(self, part: Part, defence: Defence, rng: np.random.Generator) -> None:
        self.part, self.defence, self.rng = part, defence, rng
        self._given: torch.Tensor | None = None
        self._left: torch.Tensor | None = None

    def learn(self, smashed: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Vanilla: the rest of the network and the loss. Returns the gradient at the cut."""
        smashed = smashed.requires_grad_()
        logits = dense(self.part.weights, smashed)
        torch.nn.functional.cross_entropy(logits, labels.long()).backward()
        self.part.step()
        return self.defence.gradient(gradient_of(smashed), self.rng)

    def forward(self, smashed: torch.Tensor) -> torch.Tensor:
        """U shape: the middle of the network."""
        self._given = smashed.requires_grad_()
        self._left = torch.relu(dense(self.part.weights, self._given))
        return self._left

    def backward(self, gradient: torch.Tensor) -> torch.Tensor:
        """U shape: from the gradient that the site sent to the one at the cut."""
        if self._left is None or self._given is None:
            raise RuntimeError("a gradient for features that were never sent")
        self._left.backward(gradient)
        self.part.step()
        found, self._left, self._given = gradient_of(self._given), None, None
        return found


def gradient_of(leaf: torch.Tensor) -> torch.Tensor:
    if leaf.grad is None:
        raise RuntimeError("no gradient reached the message")
    return leaf.grad


def dense(weights: Sequence[torch.Tensor], h: torch.Tensor) -> torch.Tensor:
    """Fully connected layers, rectified in between; weights: W (out, in), b (out,), W, b, ..."""
    for i in range(0, len(weights), 2):
        h = torch.nn.functional.linear(torch.relu(h) if i else h, weights[i], weights[i + 1])
    return h
