"""Rows of a small batch, exactly, from the first layer's gradient: its span and ReLU zeros."""

from __future__ import annotations

import numpy as np

DRAWS = 30_000
"""Sets of units tried at most; the rows of 10 records need about a thousand at 64 units."""
CHUNK = 2_000
MOST_POOLED = 60
ALIKE, APART = 0.98, 0.05
"""Cosine from which two directions are one; least singular value of directions that are several."""
SURE, IDLE = 0.9, 0.35
"""Share of active units whose error is in proportion, or, without a slope, of inactive ones among
all, from which a direction is taken at once; two records together are idle at a quarter."""
CLIFF = 2.5
"""How much the singular values must fall after the last record's: below is rounding of float32."""
MOST = 13
"""Most records: with more, sets of units that are all inactive for one record are too rare."""
ZERO = 0.004
"""An error this small beside the largest is a unit that was inactive."""


def separate(
    weight: np.ndarray,
    bias: np.ndarray,
    n: int,
    slope: np.ndarray | None,
    rng: np.random.Generator,
) -> np.ndarray:
    """(n, w) the rows behind a gradient (h, w), (h,) of n records; (0, w) where not found.

    slope: (h,) for one hidden layer and two classes, how far each unit moves the log odds: errors
    at active units are in proportion to it, which tells a record from the difference of two.

    The gradient [dW | db] is D [X | 1], D (h, n) the errors at the units: its rank is n, its row
    space is that of the records, and D = L Q for an unknown (n, n) Q. A ReLU unit that is inactive
    for a record has an exact 0 in that record's column of D, so n - 1 units that all are give that
    column of Q as the only vector that L sends to 0 there; a column that is right has many more
    zeros than were asked for. The last column of [X | 1] sets each row's scale. Holds for any
    number of local steps as long as a record's inactive units stay so. A direction that belongs to
    two records at once spoils some of the rows: the caller takes those that the encoding can
    produce. Dimitrov et al. 2024 (SPEAR, arXiv 2403.03945), sections 3 and 4, with the bias as one
    more input.
    """
    both = np.concatenate([weight, bias[:, None]], axis=1)
    none = np.empty((0, weight.shape[1]))
    if not np.isfinite(both).all() or not both.any():
        return none
    left, size, right = np.linalg.svd(both, full_matrices=False)
    if not 2 <= n <= min(MOST, len(bias) // 3, len(size) - 1) or size[n - 1] < CLIFF * size[n]:
        return none
    left, right = left[:, :n], size[:n, None] * right[:n]
    pool: list[tuple[float, np.ndarray]] = []
    sure = IDLE if slope is None else SURE
    draws = int(np.ceil(min(DRAWS, 1000 * 2 ** (n / 2.5)) / CHUNK))
    for draw in range(draws):
        for mark, q in _directions(left, n, slope, rng):
            if all(abs(q @ other) < ALIKE for _, other in pool):
                pool.append((mark, q))
        pool = sorted(pool, key=lambda one: one[0], reverse=True)[:MOST_POOLED]
        last = draw == draws - 1
        found: list[np.ndarray] = []
        for mark, q in pool:
            if len(found) == n or (mark < sure and not last):
                break
            trial = np.array([*found, q])
            if np.linalg.svd(trial, compute_uv=False)[-1] > APART:
                found.append(q)
        if len(found) == n:
            return _rows(np.array(found).T, right, none)
    return none


def _directions(
    left: np.ndarray, n: int, slope: np.ndarray | None, rng: np.random.Generator
) -> list[tuple[float, np.ndarray]]:
    """How surely, and which unit vectors `left` (h, n) sends to 0 at more units than chosen."""
    units = rng.random((CHUNK, len(left))).argpartition(n - 1, axis=1)[:, : n - 1]
    scaled = left / np.maximum(np.linalg.norm(left, axis=1, keepdims=True), 1e-300)
    chosen = scaled[units]
    _, vectors = np.linalg.eigh(chosen.transpose(0, 2, 1) @ chosen)
    q = vectors[:, :, 0]
    signed = q @ left.T
    error = np.abs(signed)
    active = error >= ZERO * error.max(axis=1, keepdims=True)
    zeros = (~active).sum(axis=1)
    mark = zeros / len(left)
    clear = zeros >= n - 1 + max(3, len(left) // 12)
    if slope is not None:
        ratio = np.where(active, signed / slope, np.nan)[clear]
        middle = np.nanmedian(ratio, axis=1, keepdims=True)
        near = (np.abs(ratio / middle - 1) < 0.25).sum(axis=1) / active[clear].sum(axis=1)
        mark[clear] = near
        clear[clear] = near >= 0.6
    return [(float(mark[i]), _refine(left, error[i])) for i in np.flatnonzero(clear)]


def _refine(left: np.ndarray, error: np.ndarray) -> np.ndarray:
    """The vector nearest to 0 at all units found inactive, without those that only seem so."""
    inactive = error < ZERO * error.max()
    for _ in range(3):
        q = np.linalg.svd(left[inactive], full_matrices=True)[2][-1]
        error = np.abs(left @ q)
        again = error <= max(6 * float(np.median(error[inactive])), 1e-7 * float(error.max()))
        if again.sum() < left.shape[1] - 1 or (again == inactive).all():
            break
        inactive = again
    return np.asarray(q)


def _rows(q: np.ndarray, right: np.ndarray, none: np.ndarray) -> np.ndarray:
    both = np.linalg.solve(q, right)
    scale = both[:, -1:]
    if (np.abs(scale) < 1e-9).any():
        return none
    return both[:, :-1] / scale
