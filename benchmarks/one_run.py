"""The f-DP bound of one-run audits beside the published algorithm, and what it proves.

    OMP_NUM_THREADS=1 python benchmarks/one_run.py [--repeats 3] [--audits 200]

The reference is algorithm 3 of Mahloujifar, Melis and Chaudhuri 2024 (arXiv 2410.22235), with
abstentions, as printed: a Python loop over the number of right guesses, one call of the normal
distribution function and one of its quantile a step, and bisection over mu. Both are asked for
Gaussian differential privacy, the family of the paper's experiments. Prints the bounds, the
largest difference and CPU seconds (median over repeats).

Then audits of one noisy sum each, with members' scores N(2, 1) and the others' N(0, 1): the median
bound at 95 % and delta 1e-5, its middle half, and how often it exceeds the true epsilon. A peer's
bounds, `epsilon_one_run_fdp` of jax_privacy, are measured on the same scores where that package is
installed; else its algorithm is followed here: guesses of members alone, every threshold on the
hull of the ROC, with Bonferroni's correction for their number or half of the canaries to choose
one. Neither uses more than the published theorem.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
from scipy.stats import norm

from privaudit import stats
from privaudit.contracts import Scores
from privaudit.stats.epsilon_bounds import epsilon_of, tradeoff

DELTA, LEVEL = 1e-5, 0.05
CASES = (
    (1000, 1000, 650),
    (1250, 1250, 1000),
    (1250, 125, 120),
    (5000, 5000, 3500),
    (5000, 500, 480),
)
MU = 2.0
SIZES = (1_000, 10_000)


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


def find_hull(members: np.ndarray, nonmembers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(t,) guesses and right ones at the thresholds on the hull of the ROC."""
    scores = np.concatenate([members, nonmembers])
    is_member = np.arange(len(scores)) < len(members)
    hits = np.append(0, np.cumsum(is_member[np.argsort(-scores)]))
    hull: list[int] = []
    for k in range(len(hits)):
        while len(hull) > 1:
            i, j = hull[-2:]
            if (hits[j] - hits[i]) * (k - i) > (hits[k] - hits[i]) * (j - i):
                break
            hull.pop()
        hull.append(k)
    made = np.array(hull[1:])
    return made, hits[made]


def peer(members: np.ndarray, nonmembers: np.ndarray) -> tuple[float, float]:
    """What a peer proves, corrected for all thresholds and with half the canaries to choose one."""
    try:
        from jax_privacy import auditing
    except ImportError:
        return _follow_peer(members, nonmembers)
    auditor = auditing.CanaryScoreAuditor(members, nonmembers)
    ways = auditing.Bonferroni(), auditing.Split(seed=0)
    every, split = (
        float(auditor.epsilon_one_run_fdp(LEVEL, DELTA, threshold_strategy=way)) for way in ways
    )
    return every, split


def _follow_peer(members: np.ndarray, nonmembers: np.ndarray) -> tuple[float, float]:
    def prove(sides: tuple[np.ndarray, np.ndarray], level: float) -> tuple[float, float]:
        made, right = find_hull(*sides)
        m = len(sides[0]) + len(sides[1])
        found = tradeoff(m, made, right, DELTA, level, "gaussian")
        k = int(made[found.argmax()])
        return float(found.max()), float(np.sort(np.concatenate(sides))[-k])

    sides = members, nonmembers
    # No guess at all is one of the peer's thresholds too.
    every, _ = prove(sides, LEVEL / (len(find_hull(*sides)[0]) + 1))
    rng = np.random.default_rng(0)
    halves = [np.array_split(rng.permutation(side), 2) for side in sides]
    _, cut = prove((halves[0][0], halves[1][0]), LEVEL)
    hit, wrong = int((halves[0][1] >= cut).sum()), int((halves[1][1] >= cut).sum())
    rest = len(halves[0][1]) + len(halves[1][1])
    made, right = np.array([hit + wrong]), np.array([hit])
    return every, float(tradeoff(rest, made, right, DELTA, LEVEL, "gaussian")[0])


def prove(m: int, k: int) -> dict[str, float]:
    """The bounds of one audit of m canaries, its own stream each."""
    rng = np.random.default_rng([k, m])
    member = rng.random(m) < 0.5
    scores = rng.normal(size=m) + MU * member
    ids = np.arange(m)
    sides = scores[member], scores[~member]
    found = {}
    for family in ("approximate", "gaussian"):
        (estimate,) = stats.lower_bounds(
            Scores(*sides, randomised=True),
            patients=(ids[member], ids[~member]),
            rng=rng,
            family=family,
            names={"epsilon_lower_bound_fdp"},
        )
        found[f"ours, {family}"] = float(estimate.value or 0.0)
    found["peer, every threshold"], found["peer, split"] = peer(*sides)
    return found


def compare(audits: int) -> None:
    """The table of bounds at mu = 2."""
    truth = epsilon_of(MU, DELTA)
    print(f"\nscores N({MU:g}, 1) and N(0, 1): the true epsilon is {truth:.2f}")
    print(f"{'canaries':>8} {'audits':>6}  {'bound':<22} {'median':>6}   middle half   above truth")
    for m in SIZES:
        times = audits if m < 5_000 else max(2, audits // 5)
        found = [prove(m, k) for k in range(times)]
        for name in found[0]:
            values = np.array([one[name] for one in found])
            low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
            above = float((values > truth).mean())
            print(
                f"{m:8,d} {times:6d}  {name:<22} {middle:6.2f}   {low:.2f} to {high:.2f} "
                f"{above:9.1%}"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--repeats", type=int, default=3, help="of ours; the reference runs once")
    parser.add_argument("--audits", type=int, default=200, help="of 1,000 canaries")
    asked = parser.parse_args()
    repeats = asked.repeats
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
    compare(asked.audits)


if __name__ == "__main__":
    main()
