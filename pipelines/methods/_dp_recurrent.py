"""DP-SGD for a recurrent network: per-stay gradients by Opacus, clipped patient by patient."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from pipelines.learners._training import one_thread
from pipelines.learners.lstm import _scan
from pipelines.methods._dp_training import FIRST, SECOND, Plan, add_noise
from pipelines.methods._split_trunks import Hours
from privaudit.records import Records
from privaudit.seeds import borrowed_globals

CHUNK = 1024
"""Rows encoded and answered at once: bounds the memory of hourly inputs."""
GROUP = 256
"""Patients whose gradients are formed at once: bounds the memory of per-stay gradients."""


@dataclass(frozen=True)
class Bins:
    """The publicly encoded hours, averaged over bins of `pool` hours; the last may be shorter."""

    hours: Hours
    pool: int

    def __call__(self, records: Records) -> np.ndarray:
        """(n, bins, width) float32."""
        parts = []
        for i in range(0, max(len(records), 1), CHUNK):
            (x,) = self.hours(records.take(slice(i, i + CHUNK)))
            starts = np.arange(0, x.shape[1], self.pool)
            counts = np.diff(np.append(starts, x.shape[1])).astype(np.float32)
            parts.append(np.add.reduceat(x, starts, axis=1) / counts[:, None])
        return np.concatenate(parts)


@dataclass(frozen=True, eq=False)
class Hourly:
    """A trained recurrent network that answers without Opacus; holds no record.

    enter: (width, 4 u); again: (u, 4 u); bias: (4 u,), gates in the order in, forget, out, value;
    read: (2 u, classes), from the last and the mean state; cut: (classes,).
    """

    reader: Bins
    enter: np.ndarray
    again: np.ndarray
    bias: np.ndarray
    read: np.ndarray
    cut: np.ndarray

    def predict_proba(self, records: Records) -> np.ndarray:
        """(n, classes) float64."""
        parts = []
        with one_thread(), torch.no_grad():
            for i in range(0, max(len(records), 1), CHUNK):
                x = torch.from_numpy(self.reader(records.take(slice(i, i + CHUNK))))
                parts.append(torch.softmax(self.logits(x).double(), dim=1).numpy())
        return np.concatenate(parts)

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """(n, classes) from encoded series (n, bins, width)."""
        enter, again, bias, read, cut = (
            torch.from_numpy(w) for w in (self.enter, self.again, self.bias, self.read, self.cut)
        )
        n, bins, width = x.shape
        gates = torch.addmm(bias, x.reshape(n * bins, width), enter)
        last, total = _scan(gates.view(1, n, bins, -1), again[None])
        return torch.addmm(cut, torch.cat([last[0], total[0] / bins], dim=1), read)


class Network(torch.nn.Module):
    """Opacus' LSTM over the bins and a linear answer from its last and its mean state.

    Its second bias is fixed at 0: it would have the gradient of the first, and cost noise twice.
    """

    def __init__(self, width: int, units: int, classes: int, rng: np.random.Generator) -> None:
        from opacus.layers import DPLSTM

        super().__init__()
        with borrowed_globals(rng):  # both layers draw weights, which are replaced below
            self.recurrent = DPLSTM(width, units, batch_first=True)
            self.answer = torch.nn.Linear(2 * units, classes)
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
        read = rng.standard_normal((classes, 2 * units)) / np.sqrt(2 * units)
        self.answer.weight.data = torch.from_numpy(read).float()
        self.answer.bias.data = torch.zeros(classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        states, _ = self.recurrent(x)
        return self.answer(torch.cat([states[:, -1], states.mean(1)], dim=1))

    def model(self, reader: Bins) -> Hourly:
        """What was learned, with the gates in the order that the ordinary network has."""
        layer = self.recurrent
        units = layer.hidden_size
        order = np.r_[: 2 * units, 3 * units : 4 * units, 2 * units : 3 * units]
        enter, again, bias = (
            getattr(layer, name).detach().numpy()[order]
            for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0")
        )
        read, cut = self.answer.weight.detach().numpy(), self.answer.bias.detach().numpy()
        return Hourly(
            reader, enter.T.copy(), again.T.copy(), bias.copy(), read.T.copy(), cut.copy()
        )


@contextmanager
def per_stay(network: Network) -> Iterator[Any]:
    """The network in Opacus' GradSampleModule, which keeps each stay's gradient apart."""
    from opacus.grad_sample import GradSampleModule

    with warnings.catch_warnings():
        # The inputs need no gradient, which the hooks remark on at every step.
        warnings.filterwarnings("ignore", message="Full backward hook is firing")
        yield GradSampleModule(network, loss_reduction="sum")


def clipped_sum(
    wrapped: Any, x: torch.Tensor, y: torch.Tensor, patient: torch.Tensor, clip: float
) -> torch.Tensor:
    """(p,): the sum over patients of each one's gradient, cut to L2 norm `clip`.

    x: (n, bins, width) and y: (n,) of the stays drawn; patient: (n,) codes in rising order. A
    patient's gradient is the sum of the log-loss gradients of all the stays, whatever their number.
    """
    trained = [p for p in wrapped.parameters() if p.requires_grad]
    total = torch.zeros(sum(p.numel() for p in trained))
    _, stays = torch.unique_consecutive(patient, return_counts=True)
    start = 0
    for counts in stays.split(GROUP):
        rows = int(counts.sum())
        if not rows:
            continue
        part = slice(start, start + rows)
        start += rows
        wrapped.zero_grad(set_to_none=True)
        loss = torch.nn.functional.cross_entropy(wrapped(x[part]), y[part], reduction="sum")
        loss.backward()
        stay = torch.cat([p.grad_sample.flatten(1) for p in trained], dim=1)
        own = torch.repeat_interleave(torch.arange(len(counts)), counts)
        summed = torch.zeros(len(counts), stay.shape[1]).index_add_(0, own, stay)
        norm = torch.linalg.vector_norm(summed, dim=1, dtype=torch.float64)
        keep = (clip / norm).clamp_(max=1).float()
        total += keep @ summed
    wrapped.zero_grad(set_to_none=True)
    return total


def train(
    reader: Bins,
    records: Records,
    units: int,
    rng: np.random.Generator,
    plan: Plan,
) -> Hourly:
    """The network that these records' patients taught, through noisy sums alone.

    Each step draws every patient by a coin of its own and adds Gaussian noise of plan.noise[0] x
    plan.clip to the clipped sum. How many were drawn, or exist, is never used: Adam's step does
    not depend on the sum's scale. The rate falls along a cosine.
    """
    order = np.argsort(records.patient, kind="stable")
    ids, code = np.unique(records.patient[order], return_inverse=True)
    with one_thread():
        x = torch.from_numpy(reader(records)[order])
        y = torch.from_numpy(records.y[order].astype(np.int64))
        network = Network(reader.hours.width, units, len(records.classes), rng)
        trained = [p for p in network.parameters() if p.requires_grad]
        sizes = [p.numel() for p in trained]
        optimizer = torch.optim.Adam(trained, lr=plan.rate, betas=(FIRST, SECOND))
        with per_stay(network) as wrapped:
            for step in range(plan.steps):
                drawn = np.flatnonzero((rng.random(len(ids)) < plan.sampling)[code])
                rows = torch.from_numpy(drawn)
                patient = torch.from_numpy(code[drawn])
                total = clipped_sum(wrapped, x[rows], y[rows], patient, plan.clip)
                (noisy,) = add_noise(total[None], [plan.noise[0] * plan.clip], [rng])
                for p, own in zip(trained, noisy.split(sizes), strict=True):
                    p.grad = own.view_as(p)
                for group in optimizer.param_groups:
                    group["lr"] = plan.rate * 0.5 * (1 + np.cos(np.pi * step / plan.steps))
                optimizer.step()
    return network.model(reader)


__all__ = ["Bins", "Hourly", "Network", "clipped_sum", "per_stay", "train"]
