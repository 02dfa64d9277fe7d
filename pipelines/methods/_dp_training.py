"""DP-SGD for K small networks as one program of stacked tensors, patient by patient.

The per-patient norm comes from each layer's inputs and errors without ever forming a per-patient
gradient ("ghost clipping": Goodfellow 2015, arXiv 1510.01799; Li et al. 2022, arXiv 2110.05679,
section 4), and one weighted product a layer gives the clipped sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from pipelines.federated.local import clip_by_record
from pipelines.federated.network import Network
from pipelines.learners._training import one_thread
from privaudit.dp.noise import add_gaussian
from privaudit.secure_random import SecretGenerator

FIRST, SECOND = 0.9, 0.999
"""Adam's memories. All that it reads is noisy already, so none of it costs privacy."""


@dataclass(frozen=True, eq=False)
class Patients:
    """One table as training reads it: rows sorted by patient, and which rows share one.

    Args:
        x: (n, w) float32.
        y: (n,).
        code: (n,) 0..count-1.
        square: (n,) squared row norms.
        pairs: (m, 2) rows of one patient, i < j, and inner: (m,) their products.
    """

    x: np.ndarray
    y: np.ndarray
    code: np.ndarray
    count: int
    square: np.ndarray
    pairs: np.ndarray
    inner: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray, y: np.ndarray, patient: np.ndarray) -> Patients:
        order = np.argsort(patient, kind="stable")
        ids, code = np.unique(patient[order], return_inverse=True)
        x, y = np.ascontiguousarray(x[order], dtype=np.float32), y[order]
        pairs = _pairs(np.bincount(code))
        inner = np.empty(len(pairs))
        for at in range(0, len(pairs), 4096):
            left, right = pairs[at : at + 4096].T
            inner[at : at + 4096] = np.einsum("nw,nw->n", x[left], x[right], dtype=np.float64)
        square = np.einsum("nw,nw->n", x, x, dtype=np.float64)
        return cls(x, y, code, len(ids), square, pairs, inner)


def _pairs(counts: np.ndarray) -> np.ndarray:
    """(m, 2) of all i < j within runs of these lengths."""
    start = np.cumsum(counts) - counts
    found = [np.empty((0, 2), dtype=np.int64)]
    for size in np.unique(counts[counts > 1]):
        i, j = np.triu_indices(int(size), 1)
        first = start[counts == size][:, None]
        found.append(np.stack([first + i, first + j], axis=-1).reshape(-1, 2))
    return np.concatenate(found)


@dataclass(frozen=True, eq=False)
class Batch:
    """The patients drawn for one step of K models, padded to the longest.

    Args:
        x: (K, rows, w).
        y: (K, rows).
        real: (K, rows), 0 for padding.
        patient: (K x rows,), one code for each patient of each model.
        square: (K, rows) of x.
        pairs: (2, m) rows, counted over all models, that share a patient, and inner: (m,) products
            of their x.
    """

    x: torch.Tensor
    y: torch.Tensor
    real: torch.Tensor
    patient: torch.Tensor
    square: torch.Tensor
    pairs: torch.Tensor
    inner: torch.Tensor


def gather(tables: Sequence[Patients], drawn: Sequence[np.ndarray]) -> Batch:
    """All rows of the patients drawn: drawn[k] is (count,) bool over the patients of table k."""
    rows = [np.flatnonzero(d[t.code]) for t, d in zip(tables, drawn, strict=True)]
    size = max(1, *(len(r) for r in rows))
    models, width = len(tables), tables[0].x.shape[1]
    x = torch.empty(models, size, width)
    y = torch.zeros(models, size, dtype=torch.int64)
    real = torch.zeros(models, size)
    square = torch.zeros(models, size, dtype=torch.float64)
    patient = np.zeros((models, size), dtype=np.int64)
    pairs, inner = [], []
    for k, (table, own, d) in enumerate(zip(tables, rows, drawn, strict=True)):
        n = len(own)
        torch.index_select(torch.from_numpy(table.x), 0, torch.from_numpy(own), out=x[k, :n])
        x[k, n:] = 0
        y[k, :n] = torch.from_numpy(table.y[own])
        real[k, :n] = 1
        square[k, :n] = torch.from_numpy(table.square[own])
        patient[k, :n] = table.code[own]
        patient[k] += sum(t.count for t in tables[:k])
        if len(table.pairs):
            both = d[table.code[table.pairs[:, 0]]]
            place = np.empty(len(table.x), dtype=np.int64)
            place[own] = np.arange(n) + k * size
            pairs.append(place[table.pairs[both]].T)
            inner.append(table.inner[both])
    joined = np.concatenate(pairs, axis=1) if pairs else np.empty((2, 0), dtype=np.int64)
    return Batch(
        x,
        y,
        real,
        torch.from_numpy(patient.reshape(-1)),
        square,
        torch.from_numpy(joined),
        torch.from_numpy(np.concatenate(inner) if inner else np.empty(0)),
    )


def clipped_sum(
    network: Network,
    weights: torch.Tensor,
    batch: Batch,
    clip: float,
    patients: int,
    precise: bool = False,
) -> torch.Tensor:
    """(K, p): the sum over patients of each one's gradient, cut to L2 norm `clip`.

    A patient's gradient is the sum of the log-loss gradients of all the stays, so the bound holds
    however many there are. Norms are taken in float64: opposite gradients of two stays must not
    cancel into rounding error.

    Args:
        weights: (K, p).
        patients: How many patient codes there are.
        precise: Sum in float64, as secret noise asks for: in float32 the order of summing moves a
            sum by more than the guarantee leaves room for.
    """
    if network.image is not None:
        return _clipped_pictures(network, weights, batch, clip, precise)
    parts = network.unpack(weights)
    layers = len(parts) // 2
    inputs, h = [], batch.x
    for i in range(layers):
        inputs.append(h)
        h = torch.baddbmm(parts[2 * i + 1].unsqueeze(1), h, parts[2 * i].mT)
        if i < layers - 1:
            h = h.relu_()
    error = torch.softmax(h, dim=2)
    error.scatter_add_(2, batch.y.unsqueeze(2), torch.full_like(batch.real, -1).unsqueeze(2))
    error *= batch.real.unsqueeze(2)
    errors = [error]
    for i in range(layers - 1, 0, -1):
        errors.insert(0, torch.bmm(errors[0], parts[2 * i]).mul_(inputs[i] > 0))

    alone = torch.zeros(batch.real.shape, dtype=torch.float64)
    shared = torch.zeros(len(batch.inner), dtype=torch.float64)
    for i, (a, e) in enumerate(zip(inputs, errors, strict=True)):
        square = batch.square if i == 0 else a.double().square().sum(2)
        alone += (square + 1) * e.double().square().sum(2)  # 1 is the bias
        if len(shared):
            product = batch.inner if i == 0 else _inner(a, batch.pairs)
            shared += 2 * (product + 1) * _inner(e, batch.pairs)
    norm = torch.zeros(patients, dtype=torch.float64)
    norm.index_add_(0, batch.patient, alone.view(-1))
    if len(shared):
        norm.index_add_(0, batch.patient[batch.pairs[0]], shared)
    keep = (clip / norm.clamp_(min=0).sqrt_()).clamp_(max=1)
    kind = torch.float64 if precise else torch.float32
    keep = keep[batch.patient].view(batch.real.shape).to(kind).unsqueeze(2)
    found = []
    for a, e in zip(inputs, errors, strict=True):
        clipped = e.to(kind) * keep
        found += [torch.bmm(clipped.mT, a.to(kind)), clipped.sum(1)]
    return network.pack(found)


def _clipped_pictures(
    network: Network, weights: torch.Tensor, batch: Batch, clip: float, precise: bool
) -> torch.Tensor:
    """The same from each record's own gradient: of a convolution, no product of an input and an
    error gives its norm."""
    found = []
    patient = batch.patient.view(batch.real.shape)
    for k, own in enumerate(weights):
        here = batch.real[k] > 0
        _, code = torch.unique(patient[k][here], return_inverse=True)
        x, y = batch.x[k][here], batch.y[k][here]
        found.append(clip_by_record(network, own, x, y, clip, precise, code))
    return torch.stack(found)


def _inner(values: torch.Tensor, pairs: torch.Tensor) -> torch.Tensor:
    flat = values.reshape(-1, values.shape[2])
    return (flat[pairs[0]].double() * flat[pairs[1]].double()).sum(1)


@dataclass(frozen=True)
class Plan:
    """clip: the most that one patient moves the sum (L2); rate: Adam's; sampling: each patient's
    chance in each step; steps: how many; noise: standard deviation over clip, one a model (0:
    none)."""

    clip: float
    rate: float
    sampling: float
    steps: int
    noise: tuple[float, ...]


def train(
    network: Network,
    tables: Sequence[Patients],
    rngs: Sequence[np.random.Generator],
    plan: Plan,
) -> list[np.ndarray]:
    """(p,) weights of K models, each from its own table and stream alone.

    Each step draws every patient independently at random, and adds Gaussian noise of plan.noise x
    plan.clip to the clipped sum. The sum is divided by public numbers only: how many patients
    there are is never read. The rate falls along a cosine.
    """
    with one_thread(), torch.no_grad():
        return _train(network, tables, rngs, plan)


def _train(
    network: Network,
    tables: Sequence[Patients],
    rngs: Sequence[np.random.Generator],
    plan: Plan,
) -> list[np.ndarray]:
    weights = torch.from_numpy(np.stack([_start(network, rng) for rng in rngs]))
    first, second = torch.zeros_like(weights), torch.zeros_like(weights)
    patients = sum(t.count for t in tables)
    spread = [noise * plan.clip for noise in plan.noise]
    precise = any(isinstance(rng, SecretGenerator) for rng in rngs)
    for step in range(1, plan.steps + 1):
        drawn = [rng.random(t.count) < plan.sampling for t, rng in zip(tables, rngs, strict=True)]
        batch = gather(tables, drawn)
        total = clipped_sum(network, weights, batch, plan.clip, patients, precise)
        total = add_noise(total, spread, rngs, plan.clip)
        first.lerp_(total, 1 - FIRST)
        second.mul_(SECOND).addcmul_(total, total, value=1 - SECOND)
        rate = plan.rate * 0.5 * (1 + np.cos(np.pi * (step - 1) / plan.steps))
        size = second.div(1 - SECOND**step).sqrt_().add_(1e-8)
        weights.addcdiv_(first, size, value=-rate / (1 - FIRST**step))
    return [w.numpy().copy() for w in weights]


def add_noise(
    total: torch.Tensor,
    spread: Sequence[float],
    rngs: Sequence[np.random.Generator],
    clip: float,
) -> torch.Tensor:
    """(K, p) float32: Gaussian noise of these standard deviations on top, each model's from its own
    stream: secret noise where that is secret, which takes sums in float64."""
    if any(isinstance(rng, SecretGenerator) for rng in rngs):
        rows = zip(total.double().numpy(), spread, rngs, strict=True)
        noisy = [add_gaussian(row, own, clip, rng) for row, own, rng in rows]
        return torch.from_numpy(np.stack(noisy)).float()
    noise = np.empty(total.shape, dtype=np.float32)
    for k, rng in enumerate(rngs):
        rng.standard_normal(dtype=np.float32, out=noise[k])
    noise *= np.array(spread, dtype=np.float32)[:, None]
    return total + torch.from_numpy(noise)


def _start(network: Network, rng: np.random.Generator) -> np.ndarray:
    """He-normal in the last layer too: behind a quiet one, the hidden layer's gradients would stay
    below the noise for most of a private training."""
    weights = network.start(rng)
    if len(network.widths) > 2:
        last = network.unpack(weights)[-2]  # type: ignore[arg-type]
        last[...] = rng.standard_normal(last.shape) * np.sqrt(2 / last.shape[1])
    return weights
