"""Records of three sites with a rare outcome, and the joint network that a split one must equal."""

from __future__ import annotations

import numpy as np
import torch

from privaudit.records import Column, Records, Split
from privaudit.seeds import Seeds


def records(n: int = 1500, share: float = 0.11, sites: int = 3, seed: int = 4) -> Records:
    """Numbers, a yes-or-no column and a category; correlated; some missing; one stay a patient."""
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=(n, 4))
    x = hidden @ np.random.default_rng(0).normal(size=(4, 12)) + 0.3 * rng.normal(size=(n, 12))
    risk = hidden[:, 0] + 0.3 * rng.logistic(size=n)
    y = (risk > np.quantile(risk, 1 - share)).astype(int)
    x[rng.random(x.shape) < 0.05] = np.nan
    table = np.column_stack([x, hidden[:, 1] > 0, np.digitize(hidden[:, 2], (-0.5, 0.5))])
    columns = (
        *(Column(f"x{i}", bounds=(-10.0, 10.0), variable=f"x{i}") for i in range(12)),
        Column("flag", "binary", (0, 1), levels=("no", "yes")),
        Column("kind", "category", levels=("a", "b", "c")),
    )
    series = hidden[:, None, :2] + 0.5 * rng.normal(size=(n, 5, 2))
    series[rng.random(series.shape) < 0.3] = np.nan
    return Records(
        columns=columns,
        X=table,
        y=y,
        patient=np.arange(n),
        site=rng.integers(0, sites, n),
        sites=tuple("abcde"[:sites]),
        series=series,
        channels=(Column("c0", bounds=(-5.0, 5.0)), Column("c1", bounds=(-5.0, 5.0))),
    )


def pools(n: int = 1500, **how: float) -> Split:
    return Split.assign(records(n, **how), Seeds(2).rng("split"), 0.3)  # type: ignore[arg-type]


class Whole:
    """The uncut network with torch's own autograd and AdamW, biases undecayed."""

    def __init__(self, weights: list[np.ndarray], rate: float, decay: float) -> None:
        self.weights = [torch.from_numpy(w.copy()).requires_grad_() for w in weights]
        self.optimiser = torch.optim.AdamW(
            [
                {"params": [w for w in self.weights if w.ndim > 1], "weight_decay": decay},
                {"params": [w for w in self.weights if w.ndim == 1], "weight_decay": 0.0},
            ],
            lr=rate,
        )

    def step(self, x: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
        """One step; returns each hidden layer's activations and their gradients, in turn."""
        h, seen = torch.from_numpy(x), []
        for i in range(0, len(self.weights), 2):
            h = h @ self.weights[i].T + self.weights[i + 1]
            if i < len(self.weights) - 2:
                h = h.relu()
                h.retain_grad()
                seen.append(h)
        self.optimiser.zero_grad()
        torch.nn.functional.cross_entropy(h, torch.from_numpy(y)).backward()
        self.optimiser.step()
        return [part.numpy() for h in seen for part in (h.detach(), h.grad)]

    @property
    def flat(self) -> np.ndarray:
        return np.concatenate([w.detach().numpy().ravel() for w in self.weights])
