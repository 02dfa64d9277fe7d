"""The f-DP bound of one-run audits beside the published algorithm, step by step.

    OMP_NUM_THREADS=1 python benchmarks/one_run.py [--repeats 3]

The reference is algorithm 3 of Mahloujifar, Melis and Chaudhuri 2024 (arXiv 2410.22235), with
abstentions, as printed: a Python loop over the number of right guesses, one call of the normal
distribution function and one of its quantile a step, and bisection over mu. Both are asked for
Gaussian differential privacy, the family of the paper's experiments. Prints the bounds, the
largest difference and CPU seconds (median over repeats).
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
from scipy.stats import norm

from privaudit.stats.epsilon_bounds import epsilon_of, tradeoff

DELTA, LEVEL = 1e-5, 0.05
CASES = (
    (1000, 1000, 650),
    (1250, 1250, 1000),
    (1250, 125, 120),
    (5000, 5000, 3500),
    (5000, 500, 480),
)


def reference(m: int, guesses: int, right: int) -> float:
    """The largest epsilon rejected, by bisection over mu to 1e-5."""

    def rejected(mu: float) -> bool:
        h = [0.0] * (right + 1)
        r = [0.0] * (right + 1)
        h[right], r[right] = LEVEL * (guesses - right) / m, LEVEL * right / m
        for i in range(right - 1, -1, -1):
            h[i] = max(h[i + 1], norm.cdf(norm.ppf(min(r[i + 1], 1.0)) - mu))
            r[i] = r[i + 1] + i / (guesses - i) * (h[i] - h[i + 1])
        return r[0] + h[0] > guesses / m

    low, high = 0.0, 10.0
    if not rejected(low):
        return 0.0
    while high - low > 1e-5:
        middle = (low + high) / 2
        low, high = (middle, high) if rejected(middle) else (low, middle)
    return epsilon_of(low, DELTA)


def ours(m: int, guesses: int, right: int) -> float:
    found = tradeoff(m, np.array([guesses]), np.array([right]), DELTA, LEVEL, "gaussian")
    return float(found[0])


def timed(work: Callable[[], float], repeats: int) -> tuple[float, float]:
    seconds, value = [], 0.0
    for _ in range(repeats):
        start = time.process_time()
        value = work()
        seconds.append(time.process_time() - start)
    return value, statistics.median(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--repeats", type=int, default=3, help="of ours; the reference runs once")
    repeats = parser.parse_args().repeats
    ours(100, 100, 60)  # imports
    print("coins guesses right   reference      ours    CPU s    CPU s  ratio")
    gap, slow, fast = 0.0, 0.0, 0.0
    for m, guesses, right in CASES:
        theirs, long = timed(lambda: reference(m, guesses, right), 1)  # noqa: B023
        value, short = timed(lambda: ours(m, guesses, right), repeats)  # noqa: B023
        gap, slow, fast = max(gap, abs(value - theirs)), slow + long, fast + short
        print(
            f"{m:5d} {guesses:7d} {right:5d} {theirs:11.4f} {value:9.4f} {long:8.2f} {short:8.4f} "
            f"{long / short:6.0f}"
        )
    print(
        f"largest difference {gap:.1e}; all cases {slow:.1f} s against {fast:.3f} s: "
        f"{slow / fast:.0f} x"
    )


if __name__ == "__main__":
    main()
