"""Whether held-out records are members by another name."""

from __future__ import annotations

import numpy as np

from privaudit.errors import PrivauditError
from privaudit.facts import Caveat, CaveatCode
from privaudit.records import Records, Split

MIN_COPIES = 10
COPIES_SURE = 4.0
"""Standard errors by which copies across the split exceed those among members where it is sure."""


def refuse_copies(split: Split) -> None:
    """Refuse held-out records of which surely more are exact copies of members' records than
    members' records are of other members': they are members by another name."""
    own, held = _as_bytes(split.members, split.nonmembers)
    copied = np.isin(held, own)
    if int(copied.sum()) < MIN_COPIES:
        return
    keys, place = np.unique(own, return_inverse=True)
    pairs = np.unique(np.column_stack([place, split.members.patient]), axis=0)
    shared = np.bincount(pairs[:, 0], minlength=len(keys))[place] > 1
    found, usual = float(copied.mean()), float(shared.mean())
    pooled = (copied.sum() + shared.sum()) / (len(held) + len(own))
    error = np.sqrt(pooled * (1 - pooled) * (1 / len(held) + 1 / len(own)))
    if found - usual > max(COPIES_SURE * error, 0.01):
        raise PrivauditError(
            f"{int(copied.sum()):,} of {len(held):,} held-out records are exact copies of members' "
            "records",
            f"among the members themselves {usual:.0%} are copies of another's: these are likely "
            "records that the model was trained on, and would make a leak seem smaller",
            "take the training records out of the held-out table, and name the patients' column",
        )


def _as_bytes(*pools: Records) -> list[np.ndarray]:
    tables = [p.X if p.series is None else np.c_[p.X, p.series.reshape(len(p), -1)] for p in pools]
    rows = [
        np.ascontiguousarray(np.column_stack([X + X.dtype.type(0), p.y.astype(X.dtype)]))
        for p, X in zip(pools, tables, strict=True)
    ]
    kind = np.dtype((np.void, rows[0].shape[1] * rows[0].itemsize))
    return [part.view(kind).ravel() for part in rows]


def find_duplicates(split: Split) -> list[Caveat]:
    """Records that are among the members and among the held-out ones."""
    own, held = _as_bytes(split.members, split.nonmembers)
    same = np.isin(held, own)
    share = float(same.mean())
    if same.sum() < MIN_COPIES or share < 0.005:
        return []
    return [Caveat(CaveatCode.DUPLICATES_ACROSS_SPLIT, params={"share": share})]


__all__ = ["find_duplicates", "refuse_copies"]
