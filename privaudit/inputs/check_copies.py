"""Whether held-out records are members by another name."""

from __future__ import annotations

from math import factorial

import numpy as np

from privaudit.errors import PrivauditError
from privaudit.facts import Caveat, CaveatCode
from privaudit.records import Records, Split

MIN_COPIES = 10
COPIES_SURE = 4.0
"""Standard errors by which copies across the split exceed those among members where it is sure."""
TWINS = 0.05
"""Share of people above which records that several share may make a leak look smaller."""
MOST_NAMES = 6
"""Under how many names one person is looked for."""


def refuse_twins(records: Records) -> None:
    """Refuse a table in which people stand under several names: see `has_twins`.

    Wherever the split falls between two names of one person, somebody whom the model saw counts
    as held out, and a leak looks smaller than it is.

    Raises:
        PrivauditError: Without a count.
    """
    if has_twins(records):
        raise PrivauditError(
            "people whose rows are equal in every column, more of them than chance explains",
            "they are likely one person under several names, who would be trained on and held out "
            "at once, so that a leak looks smaller than it is",
            "give each person one name in the column of the person, or take the copies out; if "
            "they are different people, say so: --set task.equal_rows=true",
        )


def has_twins(records: Records) -> bool:
    """Whether more people share a record with few others than people drawn one by one would.

    Let f(k) be k! times the number of records that k people have. Of people who are drawn
    independently, whatever is common among them, the expected f(k) is at most the geometric mean
    of f(k - 1) and f(k + 1): f(k) is a sum of (expected holders)^k exp(-holders) over all records
    (Cauchy and Schwarz). Where half of the people stand in the table twice, f(2) is large and f(3)
    is 0.
    """
    (keys,) = _as_bytes(records)
    _, place = np.unique(keys, return_inverse=True)
    pairs = np.unique(np.column_stack([place.ravel(), records.patient]), axis=0)
    holders = np.bincount(pairs[:, 0])
    counts = np.bincount(np.minimum(holders, MOST_NAMES + 2), minlength=MOST_NAMES + 3)
    for k in range(2, MOST_NAMES + 1):
        if counts[k] < MIN_COPIES or k * counts[k] < TWINS * len(pairs):
            continue
        least = max(counts[k] - 3 * np.sqrt(counts[k]), 0.0)
        below, above = (c + 3 * np.sqrt(c) + 7 for c in (counts[k - 1], counts[k + 1]))
        if (factorial(k) * least) ** 2 > factorial(k - 1) * below * factorial(k + 1) * above:
            return True
    return False


def refuse_copies(split: Split) -> None:
    """Refuse held-out records of which surely more are exact copies of members' records than
    members' records are of other members': they are members by another name."""
    own, held = _as_bytes(split.members, split.nonmembers)
    copied = np.isin(held, own)
    if int(copied.sum()) < MIN_COPIES:
        return
    if copied.mean() >= TWINS and has_twins(Records.concatenate([split.members, split.nonmembers])):
        raise PrivauditError(
            f"{int(copied.sum()):,} of {len(held):,} held-out records are exact copies of members' "
            "records, and hardly any is shared by more people",
            "people who resemble each other by chance are not equal in pairs: these are likely "
            "records that the model was trained on, and would make a leak seem smaller",
            "take the copies out of the held-out table, or name in the patients' column who is who",
        )
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


__all__ = ["find_duplicates", "has_twins", "refuse_copies", "refuse_twins"]
