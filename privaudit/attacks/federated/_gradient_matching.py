"""Records whose gradient would point where a client's update points, found by optimisation."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from privaudit.attacks._encoded_rows import Layout, matched

if TYPE_CHECKING:
    import torch

MEMBERS = 4
"""Restarts, optimised together and pooled: Vero et al. 2023 use 30; few give most of the gain."""
RATE = 0.05
FIT = 0.8
"""Cosine below which an attacker does not believe the result: masks and noise stay far below."""


def unpack(flat: np.ndarray, widths: tuple[int, ...]) -> list[tuple[np.ndarray, np.ndarray]]:
    """(p,) as (W (out, in), b (out,)) layer by layer, as in `privaudit.contracts.Exchange`."""
    found, at = [], 0
    for a, b in pairwise(widths):
        found.append((flat[at : at + a * b].reshape(b, a), flat[at + a * b : at + a * b + b]))
        at += a * b + b
    return found


def labels(
    sent: np.ndarray, gradient: np.ndarray, widths: tuple[int, ...], likely: np.ndarray, n: int
) -> np.ndarray:
    """(n,) class codes whose frequencies explain the output biases' gradient, p minus truth.

    likely: (m, w) encoded rows on which p is estimated. Zhao et al. 2020 (arXiv 2001.02610) for one
    record; here for the counts of a batch.
    """
    h = likely
    layers = unpack(sent, widths)
    for i, (weight, bias) in enumerate(layers):
        h = h @ weight.T + bias
        if i < len(layers) - 1:
            h = np.maximum(h, 0)
    p = np.exp(h - h.max(axis=1, keepdims=True))
    p = (p / p.sum(axis=1, keepdims=True)).mean(axis=0)
    share = np.clip(p - unpack(gradient, widths)[-1][1], 0, None)
    share = share / share.sum() if np.isfinite(share).all() and share.sum() > 0 else p
    edges = np.round(np.cumsum(share) * n).astype(np.int64)
    return np.searchsorted(edges, np.arange(n), side="right").clip(0, widths[-1] - 1)


def match(
    layout: Layout,
    sent: np.ndarray,
    gradient: np.ndarray,
    widths: tuple[int, ...],
    known: np.ndarray,
    likely: np.ndarray,
    y: np.ndarray,
    steps: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, float]:
    """(n, w) encoded rows and the cosine of their gradient with the one seen.

    gradient: (p,), up to a positive factor; known: (k, w) rows already certain, which stay as they
    are; likely: (m, w) rows of the attacker's own, to start from; y: (n,) class codes.
    Cosine distance as in Geiping et al. 2020 (arXiv 2003.14053), section 4; categories relaxed by a
    softmax, restarts pooled by the median after assignment as in Vero et al. 2023, section 4.
    """
    import torch
    from scipy.optimize import linear_sum_assignment

    n = len(y) - len(known)
    layers = _layers(sent, widths)
    aim = torch.from_numpy(gradient.astype(np.float32))
    aim = aim / aim.norm()
    low, high = (torch.from_numpy(v.astype(np.float32)) for v in (layout.low, layout.high))
    start = likely[rng.integers(len(likely), size=(MEMBERS, n))]
    start[0] = layout.usual
    groups = [torch.from_numpy(where) for where in layout.groups.values() if len(where)]
    start = start + 0.05 * rng.standard_normal(start.shape) * layout.varies
    for where in layout.groups.values():
        start[:, :, where] *= 2.0  # levels become logits: a start, not a conviction
    raw = torch.from_numpy(start.astype(np.float32)).requires_grad_()
    fixed = torch.from_numpy(np.repeat(known[None].astype(np.float32), MEMBERS, axis=0))
    order = _order(layers, known, y, rng)
    one_hot = torch.nn.functional.one_hot(torch.from_numpy(y[order]), widths[-1]).float()
    optimiser = torch.optim.Adam([raw], lr=RATE)
    free = torch.ones(raw.shape[2], dtype=torch.bool)
    for block in groups:
        free[block] = False

    def relaxed() -> torch.Tensor:
        parts = raw.clone()
        for where in groups:
            parts[:, :, where] = torch.softmax(raw[:, :, where], dim=2)
        return parts

    def cosine(x: torch.Tensor) -> torch.Tensor:
        g = _gradient(layers, torch.cat([fixed[: len(x)], x], dim=1), one_hot)
        result: torch.Tensor = (g @ aim) / g.norm(dim=1).clamp_min(1e-12)
        return result

    if n:
        for step in range(steps):
            for group in optimiser.param_groups:
                group["lr"] = RATE * (1 - step / steps) + 1e-3
            optimiser.zero_grad()
            loss = (1 - cosine(relaxed())).sum()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            with torch.no_grad():
                raw.copy_(torch.where(free, torch.minimum(torch.maximum(raw, low), high), raw))
    with torch.no_grad():
        found = relaxed()
        fit = cosine(found).numpy()
        rows = found.numpy().astype(np.float64)
        best = int(fit.argmax())
        aligned = []
        for member in rows if n else ():
            apart = ((rows[best][:, None] - member[None]) ** 2).sum(axis=2)
            aligned.append(member[linear_sum_assignment(apart)[1]])
        pooled = np.median(aligned, axis=0) if n else rows[best]
        pooled = layout.tidy(pooled)
        seen = float(cosine(torch.from_numpy(pooled[None].astype(np.float32)))[0])
        alone = layout.tidy(rows[best])
        other = float(cosine(torch.from_numpy(alone[None].astype(np.float32)))[0])
    chosen, cos = (pooled, seen) if seen >= other else (alone, other)
    return np.concatenate([known, chosen]), cos if np.isfinite(cos) else 0.0


def is_worthwhile(
    layout: Layout,
    sent: np.ndarray,
    widths: tuple[int, ...],
    certain: int,
    own: np.ndarray,
    y: np.ndarray,
    n: int,
    steps: int,
    rng: np.random.Generator,
) -> bool:
    """Whether an attacker, on a batch of their own, reads more by `match` than by filling in.

    own, y: their records, encoded, and their outcomes; certain: how many of the n rows they know.
    """
    import torch

    rows = rng.permutation(len(own))[:n]
    rest = np.setdiff1d(np.arange(len(own)), rows)
    if len(rows) < n or not len(rest):
        return False
    layers = _layers(sent, widths)
    x = torch.from_numpy(own[rows].astype(np.float32))[None]
    one_hot = torch.nn.functional.one_hot(torch.from_numpy(y[rows]), widths[-1]).float()
    gradient = _gradient(layers, x, one_hot)[0].double().numpy()
    guessed = labels(sent, gradient, widths, own[rest], n)
    known, fill = own[rows[:certain]], own[rest[rng.integers(len(rest), size=n - certain)]]
    found, _ = match(layout, sent, gradient, widths, known, own[rest], guessed, steps, rng)
    true = own[rows]
    filled = np.concatenate([known, fill])
    return bool(matched(layout, found, true).mean() > matched(layout, filled, true).mean())


def _layers(sent: np.ndarray, widths: tuple[int, ...]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """`unpack`, in float32 tensors."""
    import torch

    parts = unpack(sent.astype(np.float32), widths)
    return [(torch.from_numpy(np.array(w)), torch.from_numpy(np.array(b))) for w, b in parts]


def _order(
    layers: list[tuple[torch.Tensor, torch.Tensor]],
    known: np.ndarray,
    y: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Which labels go to the known rows: those that the network, as sent, finds likeliest."""
    if not len(known):
        return np.arange(len(y))
    h = known
    for i, (w, b) in enumerate(layers):
        h = h @ w.numpy().T + b.numpy()
        if i < len(layers) - 1:
            h = np.maximum(h, 0)
    left, taken = list(range(len(y))), []
    for row in h:
        pick = max(left, key=lambda i: row[y[i]])
        left.remove(pick)
        taken.append(pick)
    return np.array(taken + left)


def _gradient(
    layers: list[tuple[torch.Tensor, torch.Tensor]], x: torch.Tensor, one_hot: torch.Tensor
) -> torch.Tensor:
    """(e, n, w) rows -> (e, p) gradient of the mean log loss, itself differentiable."""
    import torch

    inputs, h = [], x
    for i, (w, b) in enumerate(layers):
        inputs.append(h)
        h = h @ w.T + b
        if i < len(layers) - 1:
            h = h.relu()
    error, found = (torch.softmax(h, dim=2) - one_hot) / x.shape[1], []
    for i in range(len(layers) - 1, -1, -1):
        found.append((error.mT @ inputs[i], error.sum(dim=1)))
        if i:
            error = (error @ layers[i][0]) * (inputs[i] > 0)
    return torch.cat([t.flatten(1) for pair in reversed(found) for t in pair], dim=1)
