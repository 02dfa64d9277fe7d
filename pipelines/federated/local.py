"""Local training at many clients as one program of stacked matrix products."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from pipelines.federated.network import Network, by_record
from privaudit.dp.noise import add_gaussian
from privaudit.secure_random import SecretGenerator


@dataclass(frozen=True)
class Recipe:
    """One round of local training: plain gradient descent on the log loss.

    Args:
        steps, batch: Every client does this many steps of this many rows (all its rows where it has
            fewer), in an endless run of shuffles.
        rate: The learning rate.
        proximal: How strongly a client is held to the weights it was sent (FedProx, Li et al. 2020,
            arXiv 1812.06127, equation 2).
    """

    steps: int = 10
    batch: int = 32
    rate: float = 0.1
    proximal: float = 0.0


@dataclass(frozen=True)
class PerPatient:
    """Noise at the clients: each step clips every record's gradient and adds Gaussian noise.

    Args:
        sample: The chance of each record to be in a step (a batch by Poisson sampling).
        clip: The largest length of one record's gradient.
        sigma: Noise standard deviation over clip.

    Source: Abadi et al. 2016 (arXiv 1607.00133), algorithm 1; lengths without the gradients
    themselves: Goodfellow 2015 (arXiv 1510.01799).
    """

    sample: float
    clip: float
    sigma: float


class Trainer:
    """Clients of one or several federations, trained side by side; each from its own stream alone.

    Args:
        x: (n, w) float32, of all clients together.
        y: (n,) class codes.
        rows: For each client its rows.
        counts: For each client how many records it is taken to have where noise is added: a number
            that may be known, where the exact one may not. None: the exact number.

    `drawn` holds the rows of the last client that was trained, where no noise is added.
    """

    def __init__(
        self,
        network: Network,
        x: np.ndarray,
        y: np.ndarray,
        rows: Sequence[np.ndarray],
        rngs: Sequence[np.random.Generator],
        private: PerPatient | None = None,
        counts: np.ndarray | None = None,
    ) -> None:
        self.network, self.private = network, private
        self.x, self.y = torch.from_numpy(x), torch.from_numpy(y)
        self.rows, self.rngs = rows, rngs
        self.left = [np.empty(0, dtype=np.int64) for _ in rows]
        self.drawn = np.empty(0, dtype=np.int64)
        self.counts = np.array([len(own) for own in rows]) if counts is None else counts
        self.precise = any(isinstance(rng, SecretGenerator) for rng in rngs)

    def train(self, sent: np.ndarray, who: np.ndarray, recipe: Recipe) -> np.ndarray:
        """(m, p) float64 updates of the clients `who`, who were sent (m, p) weights."""
        start = torch.from_numpy(np.ascontiguousarray(sent, dtype=np.float32))
        if not self.network.is_dense:
            found = self._train_one_by_one(start, who, recipe)
            return found.double().numpy() - start.double().numpy()
        flat = start.clone()
        parts = self.network.unpack(flat)
        index, weight = self._batches(who, recipe)
        with torch.no_grad():
            for rows, share in zip(index, weight, strict=True):
                x = self.x.index_select(0, rows.view(-1)).view(*rows.shape, self.x.shape[1])
                y = self.y.index_select(0, rows.view(-1)).view(rows.shape)
                inputs, errors = _pass(parts, x, y)
                if self.private is not None:
                    step = self._noisy_mean(who, inputs, errors, share, self.private)
                if recipe.proximal:
                    flat.lerp_(start, recipe.rate * recipe.proximal)
                if self.private is not None:
                    flat.sub_(step, alpha=recipe.rate)
                    continue
                for i, (h, error) in enumerate(zip(inputs, errors, strict=True)):
                    error *= share.unsqueeze(-1)
                    parts[2 * i].baddbmm_(error.mT, h, alpha=-recipe.rate)
                    parts[2 * i + 1].sub_(error.sum(dim=1), alpha=recipe.rate)
        return flat.double().numpy() - start.double().numpy()

    def _train_one_by_one(
        self, start: torch.Tensor, who: np.ndarray, recipe: Recipe
    ) -> torch.Tensor:
        """The same by automatic differentiation, client by client: stacked convolutions are slower
        than one after another, and no client's result depends on who trains beside it."""
        flat = start.clone()
        index, weight = self._batches(who, recipe)
        for rows, share in zip(index, weight, strict=True):
            for i, k in enumerate(who):
                here = share[i] > 0
                x, y = self.x[rows[i][here]], self.y[rows[i][here]]
                if self.private is None:
                    step = _mean_gradient(self.network, flat[i], x, y)
                else:
                    step = self._noisy_own_mean(int(k), flat[i], x, y, self.private)
                if recipe.proximal:
                    flat[i].lerp_(start[i], recipe.rate * recipe.proximal)
                flat[i].sub_(step, alpha=recipe.rate)
        return flat

    def _noisy_own_mean(
        self, client: int, flat: torch.Tensor, x: torch.Tensor, y: torch.Tensor, private: PerPatient
    ) -> torch.Tensor:
        """(p,) as `_noisy_mean`, from each record's own gradient."""
        total = clip_by_record(self.network, flat, x, y, private.clip, self.precise)
        rng = self.rngs[client]
        noisy = add_gaussian(
            total.double().numpy(), private.sigma * private.clip, private.clip, rng
        )
        return torch.from_numpy(noisy / self._expected(client, private.sample)).float()

    def _batches(self, who: np.ndarray, recipe: Recipe) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows (steps, m, b) and their weights in the mean; unused places have weight 0."""
        if self.private is not None:
            return self._poisson(who, recipe.steps, self.private.sample)
        sizes = [min(recipe.batch, len(self.rows[k])) for k in who]
        index = np.zeros((recipe.steps, len(who), max(sizes)), dtype=np.int64)
        weight = np.zeros(index.shape, dtype=np.float32)
        for i, (k, size) in enumerate(zip(who, sizes, strict=True)):
            rows, want = self.rows[k], recipe.steps * size
            runs, have = [self.left[k]], len(self.left[k])
            while have < want:
                runs.append(self.rngs[k].permutation(rows))
                have += len(rows)
            order = np.concatenate(runs)
            index[:, i, :size] = order[:want].reshape(recipe.steps, size)
            self.drawn = order[:want]
            weight[:, i, :size] = 1 / size
            self.left[k] = order[want:]
        return torch.from_numpy(index), torch.from_numpy(weight)

    def _poisson(
        self, who: np.ndarray, steps: int, sample: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        draws = [self.rngs[k].random((steps, len(self.rows[k]))) < sample for k in who]
        most = max(1, max(int(c.sum(axis=1).max()) for c in draws))
        index = np.zeros((steps, len(who), most), dtype=np.int64)
        weight = np.zeros(index.shape, dtype=np.float32)
        for i, (k, drawn_by_step) in enumerate(zip(who, draws, strict=True)):
            for step, drawn in enumerate(drawn_by_step):
                rows = self.rows[k][drawn]
                index[step, i, : len(rows)] = rows
                weight[step, i, : len(rows)] = 1
        return torch.from_numpy(index), torch.from_numpy(weight)

    def _expected(self, client: int, sample: float) -> float:
        return max(1.0, sample * float(self.counts[client]))

    def _noisy_mean(
        self,
        who: np.ndarray,
        inputs: list[torch.Tensor],
        errors: list[torch.Tensor],
        here: torch.Tensor,
        private: PerPatient,
    ) -> torch.Tensor:
        """(m, p) each client's sum of clipped gradients with noise, over how many it expects.

        Args:
            here: (m, b), 1 for a record that was drawn and 0 for an unused place.
        """
        kind = torch.float64 if self.precise else torch.float32
        keep = (_shrink(inputs, errors, private.clip) * here).to(kind).unsqueeze(-1)
        found = []
        for h, error in zip(inputs, errors, strict=True):
            clipped = error.to(kind) * keep
            found += [torch.bmm(clipped.mT, h.to(kind)), clipped.sum(dim=1)]
        total = self.network.pack(found).double().numpy()
        spread = private.sigma * private.clip
        means = [
            add_gaussian(own, spread, private.clip, self.rngs[k])
            / self._expected(k, private.sample)
            for k, own in zip(who, total, strict=True)
        ]
        return torch.from_numpy(np.stack(means)).float()


def _mean_gradient(
    network: Network, flat: torch.Tensor, x: torch.Tensor, y: torch.Tensor
) -> torch.Tensor:
    own = flat.detach().requires_grad_()
    with torch.enable_grad():
        loss = torch.nn.functional.cross_entropy(network.forward(own, x), y)
    (found,) = torch.autograd.grad(loss, own)
    return found


def clip_by_record(
    network: Network,
    flat: torch.Tensor,
    x: torch.Tensor,
    y: torch.Tensor,
    clip: float,
    precise: bool,
    patient: torch.Tensor | None = None,
) -> torch.Tensor:
    """(p,) the sum of gradients of the log loss, each cut to the length `clip`.

    Args:
        precise: Sum in float64, as secret noise asks for.
        patient: (n,) whose each record is, 0, 1, ...: all of one patient are cut together. None:
            every record for itself.
    """
    kind = torch.float64 if precise else torch.float32
    if not len(x):
        return torch.zeros(len(flat), dtype=kind)
    own = by_record(network, flat, x, y)
    if patient is not None and int(patient.max()) + 1 < len(own):
        own = own.new_zeros(int(patient.max()) + 1, len(flat)).index_add_(0, patient, own)
    norm = own.double().square().sum(1).sqrt()
    keep = (clip / norm.clamp_min(1e-12)).clamp_max(1.0).to(kind)
    return keep @ own.to(kind)


def _pass(
    parts: list[torch.Tensor], x: torch.Tensor, y: torch.Tensor
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Each layer's input (m, b, in) and each record's loss gradient at its output (m, b, out)."""
    layers = len(parts) // 2
    inputs = [x]
    for i in range(layers):
        out = torch.baddbmm(parts[2 * i + 1].unsqueeze(1), inputs[-1], parts[2 * i].mT)
        inputs.append(out.relu_() if i < layers - 1 else out)
    error = torch.softmax(inputs.pop(), dim=-1)
    error.scatter_add_(2, y.unsqueeze(-1), error.new_tensor(-1.0).expand(*y.shape, 1))
    errors = [error]
    for i in range(layers - 1, 0, -1):
        errors.append(torch.bmm(errors[-1], parts[2 * i]).mul_(inputs[i] > 0))
    return inputs, errors[::-1]


def _shrink(inputs: list[torch.Tensor], errors: list[torch.Tensor], clip: float) -> torch.Tensor:
    """(m, b) float64, what scales each record's gradient down to the length `clip`, at most 1."""
    square = torch.zeros(errors[0].shape[:2], dtype=torch.float64)
    for h, error in zip(inputs, errors, strict=True):
        square += error.double().square().sum(-1) * (h.double().square().sum(-1) + 1)
    return (clip / square.sqrt().clamp_min(1e-12)).clamp_max(1.0)


__all__ = ["PerPatient", "Recipe", "Trainer", "clip_by_record"]
