"""How long the search for stored rows takes on a large table: python benchmarks/stored_rows.py."""

from __future__ import annotations

import argparse
import time

import numpy as np

from privaudit.attacks.reconstruction._row_search import find_rows


def main() -> None:
    """Search a scaled and shuffled copy of the members, and a table that holds none of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--columns", type=int, default=100)
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    shape = (given.rows, given.columns)
    inside, outside = (rng.normal(size=shape).round(3) for _ in range(2))
    half = rng.random(given.rows) < 0.5
    mean, scale = inside.mean(axis=0), inside.std(axis=0)
    rows = rng.permutation(given.rows)
    for name, arrays in (
        ("as they are", [inside[rows]]),
        ("scaled", [((inside - mean) / scale)[rows], mean, scale]),
        ("none", [rng.normal(size=shape)]),
    ):
        start, cpu = time.perf_counter(), time.process_time()
        present, absent = find_rows(arrays, inside, half, outside)
        print(
            f"{name}: {present.mean():.1%} of members, {absent.mean():.1%} of others, "
            f"{time.process_time() - cpu:.1f} CPU-seconds, {time.perf_counter() - start:.1f} s"
        )


if __name__ == "__main__":
    main()
