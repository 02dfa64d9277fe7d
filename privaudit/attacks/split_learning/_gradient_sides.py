"""Which records of a training have the same outcome, read off their gradients alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans

LINK, SHARP = 1000.0, 5
"""Nats by which two neighbouring batches whose directions agree are taken to be named alike, times
this power of their cosine: more than any batch can say by its own counts, which mislead in one that
holds one outcome alone, and next to nothing where the directions agree by chance."""
KNOWN = 9
"""Patients of each outcome whom the attacker must know where the shares of the outcomes cannot name
the sides: a vote, one name for the whole training."""
MISFIT = 0.1
"""How far, beside chance, the shares of the sides may be off those of the outcomes: noise that
turns gradients round makes sides of patients of both."""
APART = 2.0
"""Standard errors by which two outcomes' shares must differ for one to be called the rarer."""
STEPS, RATE = 300, 0.02
"""Of Adam, for the cones of three and more outcomes: 1,064 gradients take 0.3 CPU-seconds."""
STARTS = 10


@dataclass(frozen=True, eq=False)
class Sides:
    """called: (m,) the outcome that each record is taken to have; score: (m,), larger for the
    rarer one; open: (m,) bool, False for the patients whose outcome had to be known."""

    called: np.ndarray
    score: np.ndarray
    open: np.ndarray

    @property
    def informed(self) -> bool:
        """Whether any outcome had to be known."""
        return not bool(self.open.all())


def read_sides(
    sent: np.ndarray,
    batches: Sequence[np.ndarray],
    share: np.ndarray,
    attackers: int,
    truth: np.ndarray,
    rng: np.random.Generator,
) -> Sides:
    """Every record's outcome, from the gradients of one epoch.

    With cross entropy the gradient of a record for the inputs of the last layer is (p - y) W: for
    two outcomes one vector, times a number whose sign is the outcome; for k, a vector of a space of
    k - 1 dimensions that lies in one of k cones, one an outcome, because p - y has exactly one
    entry below 0. Further down the network the same holds nearly.

    Args:
        sent: (m, v) gradients; rows that no batch holds are left at the commonest outcome.
        batches: Rows of each batch, in the order of training.
        share: (k,) how common the outcomes are, all that an attacker knows.
        attackers: How many records `share` was counted on.
        truth: (m,) outcomes, read of `KNOWN` random records of each at most, and only where shares
            cannot name the sides: two are too near to each other, or no side is as large.
        rng: Draws those, and the starts of the clusters.
    """
    side, score = (_two if len(share) == 2 else _cones)(sent, batches, share, rng)
    called = np.full(len(sent), int(share.argmax()))
    rows = np.concatenate(batches)
    opened = np.ones(len(sent), dtype=bool)
    known = np.empty(0, dtype=np.int64)
    if _is_near(share, attackers) or _is_misfit(side[rows], share, attackers):
        each = [rows[truth[rows] == c] for c in range(len(share))]
        known = np.concatenate([rng.permutation(one)[: min(KNOWN, len(one) // 2)] for one in each])
        opened[known] = False
    names = _name(side[rows], share, side[known], truth[known])
    called[rows] = names[side[rows]]
    place = {int(name): at for at, name in enumerate(names)}[int(share.argmin())]
    return Sides(called, score[:, place], opened)


def _two(
    sent: np.ndarray, batches: Sequence[np.ndarray], share: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """(m,) sides 0 and 1, and (m, 2) how far on each side a record lies.

    A batch's direction is its first singular vector, not centred. Which end of it is which is
    decided for all batches at once: by how many records lie on each side, and by neighbouring
    batches, whose last layers are nearly equal. So batches of one record or one outcome are read.
    """
    rare = float(np.clip(share.min(), 1e-3, 0.5))
    lean = np.log(rare) - np.log1p(-rare)
    ends, along, counted = [], [], []
    for rows in batches:
        ends.append(_first_direction(sent[rows]))
        along.append(sent[rows] @ ends[-1])
        counted.append((lean * (along[-1] > 0).sum(), lean * (along[-1] < 0).sum()))
    signs = _orient(np.array(counted), np.array(ends))
    projection = np.zeros(len(sent))
    for rows, sign, one in zip(batches, signs, along, strict=True):
        projection[rows] = sign * one
    # Side 1 is where the rarer outcome's records lie, as far as counts can tell.
    return (projection > 0).astype(np.int64), np.column_stack([-projection, projection])


def _orient(counted: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """(b,) +1 or -1: the likeliest signs of all batches' directions together (Viterbi 1967)."""
    link = LINK * (ends[1:] * ends[:-1]).sum(axis=1) ** SHARP
    best, back = counted[0], []
    for own, agree in zip(counted[1:], link, strict=True):
        step = best[:, None] + agree * np.array([[1.0, -1.0], [-1.0, 1.0]])
        back.append(step.argmax(axis=0))
        best = step.max(axis=0) + own
    path = [int(best.argmax())]
    for came in reversed(back):
        path.append(int(came[path[-1]]))
    return 1 - 2 * np.array(path[::-1])


def _cones(
    sent: np.ndarray, batches: Sequence[np.ndarray], share: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """(m,) clusters, and (m, k) how clearly a record belongs to each, for three or more outcomes.

    The gradients' directions are cut to the k - 1 dimensions in which they vary most, clustered by
    k-means, and the clusters then turned until, written in the vertices of a simplex, as many
    gradients as can be have exactly one coefficient below 0: the cones of the outcomes.
    """
    rows, k = np.concatenate(batches), len(share)
    score = np.zeros((len(sent), k))
    unit = _scale(sent[rows])
    told = np.flatnonzero((unit != 0).any(axis=1))
    cut = min(k - 1, sent.shape[1])
    if len(np.unique(unit[told].round(12), axis=0)) < k or cut < k - 1:
        return np.zeros(len(sent), dtype=np.int64), score
    across = np.linalg.svd(unit[told], full_matrices=False)[2][:cut]
    low = _scale(unit[told] @ across.T)
    found = KMeans(k, n_init=STARTS, random_state=int(rng.integers(2**31))).fit(low).labels_
    at = _turn(low, np.array([low[found == c].mean(axis=0) for c in range(k)]))
    # The most negative coefficient is the outcome's own.
    score[rows[told]] = -at
    side = score.argmax(axis=1)
    return side, score - _runner_up(score)


def _turn(low: np.ndarray, means: np.ndarray) -> np.ndarray:
    """(n, k) coefficients of unit vectors in the simplex, each row's absolute sum 1."""
    import torch

    gradients = torch.from_numpy(low)
    corners = torch.from_numpy(-(means - means.mean(axis=0))).requires_grad_()
    optimiser = torch.optim.Adam([corners], lr=RATE)

    def write() -> Any:
        at = gradients @ torch.linalg.pinv(corners - corners.mean(dim=0))
        return at / at.abs().sum(dim=1, keepdim=True).clamp(min=1e-12)

    for _ in range(STEPS):
        optimiser.zero_grad()
        ranked = torch.sort(write(), dim=1).values
        loss = torch.relu(-ranked[:, 1:]).sum(dim=1).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    result: np.ndarray = write().detach().numpy()
    return result


def _name(side: np.ndarray, share: np.ndarray, known: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(k,) which outcome each side is: by the known ones, else by how many lie on each."""
    k = len(share)
    votes = np.zeros((k, k))
    np.add.at(votes, (known, truth), 1.0)
    counts = np.bincount(side, minlength=k).astype(np.float64)
    likely = np.outer(counts / max(counts.sum(), 1), np.log(np.clip(share, 1e-3, 1)))
    # Votes come first: likelihoods here are means, so that they only break ties among them.
    at, names = linear_sum_assignment(-(votes + 1e-3 * likely))
    result: np.ndarray = names[np.argsort(at)]
    return result


def _is_near(share: np.ndarray, attackers: int) -> bool:
    """Whether two outcomes are about as common, so that counts cannot name their sides."""
    ranked = np.sort(share)
    error = np.sqrt((ranked[1:] + ranked[:-1]) / max(attackers, 1))
    return bool((np.diff(ranked) < APART * error).any())


def _is_misfit(side: np.ndarray, share: np.ndarray, attackers: int) -> bool:
    """Whether the sides hold other shares of the records than the outcomes do."""
    lies = np.sort(np.bincount(side, minlength=len(share)) / max(len(side), 1))
    off = 0.5 * np.abs(lies - np.sort(share)).sum()
    return bool(off > MISFIT + APART * np.sqrt(0.25 / max(min(attackers, len(side)), 1)))


def _first_direction(g: np.ndarray) -> np.ndarray:
    unit = _scale(g)
    if not unit.any():
        return np.zeros(g.shape[1])
    result: np.ndarray = np.linalg.svd(unit, full_matrices=False)[2][0]
    return result


def _scale(g: np.ndarray) -> np.ndarray:
    """Every row of length 1, so that no patient who is badly predicted outweighs the others."""
    norm = np.sqrt((g * g).sum(axis=1, keepdims=True))
    result: np.ndarray = np.divide(g, norm, out=np.zeros_like(g), where=norm > 0)
    return result


def _runner_up(score: np.ndarray) -> np.ndarray:
    """(m, k) the largest score of the other columns."""
    top = np.sort(score, axis=1)[:, -2:]
    result: np.ndarray = np.where(score == top[:, 1:], top[:, :1], top[:, 1:])
    return result


__all__ = ["KNOWN", "Sides", "read_sides"]
