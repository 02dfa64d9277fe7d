"""DP-SGD for a recurrent network: per-stay gradients by Opacus, clipped patient by patient."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from pipelines.federated.recurrent import Bins
from pipelines.learners._neural import Neural
from pipelines.learners._training import one_thread
from pipelines.learners.lstm import Recurrent
from pipelines.methods._dp_training import FIRST, SECOND, Plan, add_noise
from privaudit.records import Records
from privaudit.secure_random import SecretGenerator
from privaudit.seeds import borrowed_globals

GROUP = 256
"""Patients whose gradients are formed at once: bounds the memory of per-stay gradients."""


class Network(torch.nn.Module):
    """Opacus' LSTM over the bins and a linear answer from its last and its mean state.

    Its second bias is fixed at 0: it would have the gradient of the first, and cost noise twice.
    """

    def __init__(
        self, width: int, units: int, fixed: int, classes: int, rng: np.random.Generator
    ) -> None:
        from opacus.layers import DPLSTM

        super().__init__()
        with borrowed_globals(rng):  # both layers draw weights, which are replaced below
            self.recurrent = DPLSTM(width, units, batch_first=True)
            self.answer = torch.nn.Linear(2 * units + fixed, classes)
        layer = self.recurrent
        bias = np.zeros(4 * units)
        bias[units : 2 * units] = 1  # the forget gate starts open (Jozefowicz et al. 2015)
        for name, value in (
            ("weight_ih_l0", rng.standard_normal((4 * units, width)) / np.sqrt(width)),
            ("weight_hh_l0", rng.standard_normal((4 * units, units)) / np.sqrt(units)),
            ("bias_ih_l0", bias),
            ("bias_hh_l0", np.zeros(4 * units)),
        ):
            getattr(layer, name).data = torch.from_numpy(value).float()
        layer.bias_hh_l0.requires_grad_(False)
        # Random weights of age and unit would have to be unlearned through the noise.
        read = np.zeros((classes, 2 * units + fixed))
        read[:, : 2 * units] = rng.standard_normal((classes, 2 * units)) / np.sqrt(2 * units)
        self.answer.weight.data = torch.from_numpy(read).float()
        self.answer.bias.data = torch.zeros(classes)

    def forward(self, x: torch.Tensor, fixed: torch.Tensor) -> torch.Tensor:
        states, _ = self.recurrent(x)
        return self.answer(torch.cat([states[:, -1], states.mean(1), fixed], dim=1))

    def model(self, reader: Bins) -> Neural:
        """What was learned, as the network of the learner `lstm`, which needs no Opacus."""
        layer = self.recurrent
        units = layer.hidden_size
        order = np.r_[: 2 * units, 3 * units : 4 * units, 2 * units : 3 * units]
        enter, again, bias = (
            getattr(layer, name).detach().numpy()[order]
            for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0")
        )
        read, cut = self.answer.weight.detach().numpy(), self.answer.bias.detach().numpy()
        shape = Recurrent(reader.width, units, reader.fixed, len(cut), 0.0)
        arrays = (enter.T, again.T, bias[None], read.T, cut[None])
        return Neural(reader, shape, tuple(np.array(w, order="C") for w in arrays))


@contextmanager
def per_stay(network: Network) -> Iterator[Any]:
    """The network in Opacus' GradSampleModule, which keeps each stay's gradient apart."""
    from opacus.grad_sample import GradSampleModule

    with warnings.catch_warnings():
        # The inputs need no gradient, which the hooks remark on at every step.
        warnings.filterwarnings("ignore", message="Full backward hook is firing")
        yield GradSampleModule(network, loss_reduction="sum")


def clipped_sum(
    wrapped: Any,
    inputs: Sequence[torch.Tensor],
    y: torch.Tensor,
    patient: torch.Tensor,
    clip: float,
    precise: bool = False,
) -> torch.Tensor:
    """(p,): the sum over patients of each one's gradient, cut to L2 norm `clip`.

    A patient's gradient is the sum of the log-loss gradients of all the stays, whatever their
    number.

    Args:
        inputs: (n, ...) each, and y: (n,) of the stays drawn.
        patient: (n,) codes in rising order.
        precise: Sum in float64, as secret noise asks for.
    """
    trained = [p for p in wrapped.parameters() if p.requires_grad]
    kind = torch.float64 if precise else torch.float32
    total = torch.zeros(sum(p.numel() for p in trained), dtype=kind)
    _, stays = torch.unique_consecutive(patient, return_counts=True)
    start = 0
    for counts in stays.split(GROUP):
        rows = int(counts.sum())
        if not rows:
            continue
        part = slice(start, start + rows)
        start += rows
        wrapped.zero_grad(set_to_none=True)
        logits = wrapped(*(x[part] for x in inputs))
        torch.nn.functional.cross_entropy(logits, y[part], reduction="sum").backward()
        stay = torch.cat([p.grad_sample.flatten(1) for p in trained], dim=1).to(kind)
        own = torch.repeat_interleave(torch.arange(len(counts)), counts)
        summed = torch.zeros(len(counts), stay.shape[1], dtype=kind).index_add_(0, own, stay)
        norm = torch.linalg.vector_norm(summed, dim=1, dtype=torch.float64)
        keep = (clip / norm).clamp_(max=1).to(kind)
        total += keep @ summed
    wrapped.zero_grad(set_to_none=True)
    return total


def train(
    reader: Bins,
    records: Records,
    units: int,
    rng: np.random.Generator,
    plan: Plan,
) -> Neural:
    """The network that these records' patients taught, through noisy sums alone.

    Each step draws every patient independently at random and adds Gaussian noise of plan.noise[0] x
    plan.clip to the clipped sum. How many were drawn, or exist, is never used: Adam's step does
    not depend on the sum's scale. The rate falls along a cosine.
    """
    order = np.argsort(records.patient, kind="stable")
    ids, code = np.unique(records.patient[order], return_inverse=True)
    with one_thread():
        inputs = [torch.from_numpy(x[order]) for x in reader(records)]
        y = torch.from_numpy(records.y[order].astype(np.int64))
        network = Network(reader.width, units, reader.fixed, len(records.classes), rng)
        trained = [p for p in network.parameters() if p.requires_grad]
        sizes = [p.numel() for p in trained]
        optimizer = torch.optim.Adam(trained, lr=plan.rate, betas=(FIRST, SECOND))
        precise = isinstance(rng, SecretGenerator)
        with per_stay(network) as wrapped:
            for step in range(plan.steps):
                drawn = np.flatnonzero((rng.random(len(ids)) < plan.sampling)[code])
                rows = torch.from_numpy(drawn)
                patient = torch.from_numpy(code[drawn])
                own = [x[rows] for x in inputs]
                total = clipped_sum(wrapped, own, y[rows], patient, plan.clip, precise)
                spread = plan.noise[0] * plan.clip
                (noisy,) = add_noise(total[None], [spread], [rng], plan.clip)
                for p, part in zip(trained, noisy.split(sizes), strict=True):
                    p.grad = part.view_as(p)
                for group in optimizer.param_groups:
                    group["lr"] = plan.rate * 0.5 * (1 + np.cos(np.pi * step / plan.steps))
                optimizer.step()
    return network.model(reader)
