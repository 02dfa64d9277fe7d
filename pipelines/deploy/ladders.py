"""Counts of few people that may be shared: rising counts, each known to a block of ten or more.

A ladder is a row of counts of one pool, each of people who are among those of the next: scored
above a threshold, above a lower one, and so on. Of each count only its block is shared: 0 to 9, 10
to 19, and so on, the last block ending at the size of the pool. Whoever knows the size of the pool
exactly, and all blocks, can still give each count every value of its block, and so each difference
of two counts at least ten values where it may be under ten (docs/design/051).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from privaudit.disclosure_limits import MIN_CELL
from privaudit.errors import PrivauditError


def find_blocks(counts: Sequence[int] | np.ndarray, size: int) -> list[int]:
    """The least value of the block that each count lies in.

    Args:
        counts: Of people in one pool, from 0 to `size`.
        size: Of the pool.
    """
    last = _last(size)
    return [min(int(count) // MIN_CELL * MIN_CELL, last) for count in counts]


def find_ranges(blocks: Sequence[int], size: int) -> tuple[np.ndarray, np.ndarray]:
    """(k,) int64 the least and the most that each count can be."""
    least = np.array(blocks, dtype=np.int64)
    most = np.where(least == _last(size), size, least + MIN_CELL - 1)
    return least, most


def read_ladder(found: object, size: int, steps: int, *, rising: bool = False) -> list[int]:
    """The blocks that somebody sent, checked: whole, of this pool, in order.

    Args:
        found: What was sent.
        size: Of the pool, as they state it.
        steps: How many counts are wanted.
        rising: Whether the counts rise; else they fall, as those above rising thresholds do.

    Raises:
        PrivauditError: It is no such ladder.
    """
    last = _last(size)
    if not isinstance(found, list) or len(found) != steps:
        raise refuse_counts(f"a list of {steps} blocks of counts was wanted")
    for one in found:
        if isinstance(one, bool) or not isinstance(one, int):
            raise refuse_counts("a block of counts is named by a whole number")
        if one % MIN_CELL or not 0 <= one <= last:
            raise refuse_counts(f"there is no such block of a pool of {size}")
    order = found if rising else found[::-1]
    if any(b < a for a, b in pairwise(order)):
        raise refuse_counts("those counted at one step are among those of the next")
    return found


def refuse_counts(because: str) -> PrivauditError:
    """Counts that a hospital sent and that cannot be."""
    return PrivauditError(
        "counts of a hospital that cannot be",
        because,
        "let the hospital grade the model again with the same version of privaudit",
    )


def _last(size: int) -> int:
    """The least value of the last block, which holds ten values or more."""
    return max(0, (size + 1) // MIN_CELL - 1) * MIN_CELL


__all__ = ["find_blocks", "find_ranges", "read_ladder", "refuse_counts"]
