"""The gate before every aggregation: what a client sends is looked at before it can count.

Without it one NaN breaks median, Krum and geometric median, and one client that claims 10^9 records
takes the mean over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from privaudit.errors import PrivauditError

LARGEST = float(np.finfo(np.float32).max)
"""No value may be larger: the network that clients train is float32."""


@dataclass(frozen=True, eq=False)
class Admitted:
    """What may be combined.

    Args:
        updates: (c, p) float64, finite, norms within the bound.
        counts: (c,) float64 in [1, cap].
        clients: (c,) which clients these are.
        refused: (client, reason) for each other one.
        clipped, capped: The clients whose update was scaled down to the bound, or whose count was
            not believed.
    """

    updates: np.ndarray
    counts: np.ndarray
    clients: np.ndarray
    refused: tuple[tuple[int, str], ...] = ()
    clipped: tuple[int, ...] = ()
    capped: tuple[int, ...] = ()


def admit(
    updates: Sequence[np.ndarray],
    counts: Sequence[float] | np.ndarray,
    *,
    size: int,
    bound: float | None,
    cap: int,
) -> Admitted:
    """Refuse what is no update, scale down what is too large, and believe no wild record count.

    Refused with a reason: another shape, values that are no numbers, not finite, or beyond float32,
    and counts that are not at least 1.

    Args:
        updates: One per client, anything.
        counts: One per client, as claimed.
        size: p, how many parameters of the model.
        bound: The largest L2 norm, above which an update keeps its direction and is scaled down to
            it (Sun et al. 2019, arXiv 1911.07963, norm clipping), None for no bound.
        cap: The largest count that is believed; a client that states more counts as the usual one,
            the median of the counts believed (held to a cap of ten usual ones, three liars of ten
            would still hold 81 % of a mean).
    """
    if len(updates) != len(counts):
        raise ValueError(f"{len(updates)} updates and {len(counts)} counts")
    if cap < 1:
        raise PrivauditError(
            f"a cap of {cap} records", "a client counts for at least one", "use 1 or more"
        )
    if bound is not None and not 0 < bound < np.inf:
        raise PrivauditError(
            f"a norm bound of {bound}", "it is a finite length above 0", "use a number above 0"
        )
    admitted, vectors, shares = [], [], []
    refused: list[tuple[int, str]] = []
    clipped, capped = [], []
    known = [count for count, _ in map(_count, counts) if count is not None]
    unbelieved = float(usual_count([count for count in known if count <= cap] or [cap]))
    for client, (sent, claimed) in enumerate(zip(updates, counts, strict=True)):
        vector, why = _vector(sent, size)
        count, doubt = _count(claimed)
        if vector is None or count is None:
            refused.append((client, why or doubt))
            continue
        if bound is not None:
            norm = _norm(vector)
            if norm > bound:
                vector = vector * (bound / norm)
                clipped.append(client)
        if count > cap:
            count = unbelieved
            capped.append(client)
        admitted.append(client)
        vectors.append(vector)
        shares.append(count)
    rows = np.array(vectors) if vectors else np.empty((0, size))
    return Admitted(
        rows,
        np.array(shares),
        np.array(admitted, dtype=np.int64),
        tuple(refused),
        tuple(clipped),
        tuple(capped),
    )


def share_out(counts: Sequence[int]) -> np.ndarray:
    """(c,) float64: each client's part in a weighted mean, from the record counts that all state.

    A count is believed up to ten usual ones, as at the gate. Of public numbers alone, so that every
    hospital can work it out: a server that set shares could give one hospital all the weight.
    """
    known = [count for count, _ in map(_count, counts)]
    if not known or None in known:
        raise PrivauditError(
            "record counts of which some are below 1",
            "each is a hospital's part in a mean",
            "leave hospitals without records out",
        )
    believed = np.array(known, dtype=np.float64)
    cap = max(1, int(10 * np.median(believed)))
    over = believed > cap
    believed[over] = usual_count(believed[~over])
    return np.asarray(believed / believed.sum())


def usual_norm(updates: Sequence[np.ndarray], size: int) -> float | None:
    """The median L2 norm of what clients sent: a length that fewer than half of them cannot move.

    None where nothing was sent that has a length above 0.
    """
    found = [v for v, _ in (_vector(sent, size) for sent in updates) if v is not None]
    norm = float(np.median([_norm(v) for v in found])) if found else 0.0
    return norm if norm > 0 else None


def usual_count(counts: Sequence[float] | np.ndarray) -> int:
    """The median record count claimed: a number that fewer than half of the clients cannot move."""
    found = [count for count, _ in map(_count, counts) if count is not None]
    return max(1, int(min(np.median(found), 2**62))) if found else 1


def _vector(sent: object, size: int) -> tuple[np.ndarray | None, str]:
    """What was sent as (size,) float64 of its own, or why it is no update."""
    try:
        raw = np.asarray(sent)
    except ValueError:
        return None, "not an array of numbers"
    if raw.dtype.kind not in "fiu":
        return None, f"values of kind {raw.dtype.name}, not real numbers"
    if raw.shape != (size,):
        return None, f"shape {raw.shape} where ({size},) is expected"
    vector = raw.astype(np.float64)
    if not np.isfinite(vector).all():
        return None, "values that are not finite"
    if np.abs(vector).max(initial=0.0) > LARGEST:
        return None, "values beyond the range of float32"
    return vector, ""


def _count(claimed: object) -> tuple[float | None, str]:
    """A claimed record count as a number of at least 1, or why it is none."""
    try:
        count = float(claimed)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None, "a record count that is no number"
    if np.isnan(count) or count < 1:
        return None, "a record count below 1"
    return count, ""


def _norm(vector: np.ndarray) -> float:
    return float(np.linalg.norm(vector))


__all__ = ["LARGEST", "Admitted", "admit", "share_out", "usual_count", "usual_norm"]
