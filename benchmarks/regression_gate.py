"""How often is an unchanged model blocked? Four gates on the same runs, and what each misses.

    python benchmarks/regression_gate.py [--gates 4000] [--runs FOLDER] [--out FILE]

An unchanged model is retrained with other seeds: its split, training and attack move a little. Each
gate is handed one baseline and one candidate of that same model and asked whether it got worse:

- any increase: one run each; blocked where the number is higher.
- + 0.01: one run each; blocked where it is higher by more than 0.01.
- own interval: one run each; blocked where the candidate's lower bound is above the baseline's
  number.
- non-inferiority: five runs against three; blocked where the lower bound of the difference is above
  the margin (`privaudit.policy.regress`).

Gaussian scores stand for the models; with --runs, also every AUC and true positive rate of the
finished runs in a folder (made by one command with different --seed) stands for itself. "worse"
shifts the candidate by three margins: how often it is then blocked. Exits with 1 unless any
increase blocks near half, and non-inferiority at most 1 in 200, of the unchanged models in every
setting.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from privaudit import stats
from privaudit.contracts import Scores
from privaudit.engine.folder import read
from privaudit.policy.change import Change
from privaudit.results import Finding

BASELINE, CANDIDATE, MARGIN = 5, 3, 0.02
STEP = 0.005
"""What an AUC of so many patients is rounded to where it is shared."""


@dataclass(frozen=True)
class Reading:
    value: float
    low: float


@dataclass(frozen=True)
class Line:
    """What the gates did with one number, in shares of the gates tried."""

    number: str
    runs: int
    mean: float
    spread: float
    any_increase: float
    tolerance: float
    own_interval: float
    blocked: float
    inconclusive: float
    worse_blocked: float


def gaussian(
    n: int, shift: float, training: float, rng: np.random.Generator, runs: int = 150
) -> dict[str, list[Reading]]:
    """Runs of one model: n patients a side, scores apart by `shift`, which training moves by
    `training`."""
    found: dict[str, list[Reading]] = defaultdict(list)
    ids = (np.arange(n), n + np.arange(n))
    names = ("auc", "tpr_at_fpr_0.01")
    for _ in range(runs):
        apart = shift + training * rng.normal()
        scores = Scores(rng.normal(apart, 1, n), rng.normal(0, 1, n))
        for one in stats.estimates(scores, patients=ids, rng=rng, names=names):
            if one.value is not None and one.low is not None:
                found[str(one.metric)].append(Reading(one.value, one.low))
    return found


def audited(folder: Path) -> dict[str, list[Reading]]:
    """Every AUC and true positive rate of the finished runs in a folder, one run a seed."""
    found: dict[str, list[Reading]] = defaultdict(list)
    seeds = set()
    for path in sorted(folder.glob("*/shareable/audit.json")):
        if path.parts[-3] == "latest":
            continue
        audit = read(path)
        if audit.manifest.seed_commitment in seeds:
            continue
        seeds.add(audit.manifest.seed_commitment)
        for subject in audit.subjects:
            for outcome in subject.outcomes:
                if isinstance(outcome, Finding) and outcome.family == "membership":
                    for one in outcome.estimates:
                        metric = str(one.metric)
                        judged = metric in ("auc", "tpr_at_fpr_0.01", "tpr_at_fpr_0.1")
                        if judged and one.value is not None:
                            name = f"{subject.name} {outcome.attack} {metric}"
                            found[name].append(Reading(one.value, one.low or 0.0))
    return {
        name: readings for name, readings in found.items() if len(readings) >= BASELINE + CANDIDATE
    }


def gates(name: str, readings: list[Reading], tries: int, rng: np.random.Generator) -> Line:
    """Deal the runs to a baseline and a candidate, over and over."""
    values, lows = np.array([r.value for r in readings]), np.array([r.low for r in readings])
    hits = np.zeros(6)
    for _ in range(tries):
        dealt = rng.permutation(len(values))[: BASELINE + CANDIDATE]
        before, after = dealt[:BASELINE], dealt[BASELINE:]
        one, other = before[0], after[0]
        change = Change("", "", None, "low", tuple(values[before]), tuple(values[after]))
        lower, upper = change.bound(0.95, "lower"), change.bound(0.95, "upper")
        hits += [
            values[other] > values[one],
            values[other] > values[one] + 0.01,
            lows[other] > values[one],
            lower > MARGIN,
            lower <= MARGIN < upper,
            lower + 3 * MARGIN > MARGIN,
        ]
    shares = (hits / tries).tolist()
    return Line(name, len(values), float(values.mean()), float(values.std(ddof=1)), *shares)


def paired(tries: int, rng: np.random.Generator) -> bool:
    """What pairs change: shares of gates that are undecided on an unchanged model, and that find
    twice the margin. Seeds move an AUC by .021 to .038; differences inside a pair by .006 to .014
    after a change without consequence, by .025 where every training draws other numbers
    (`benchmarks/paired_gate.py`); shared AUCs are rounded to .005."""
    print(
        f"\n{'seeds':>8}{'inside':>8}{'pairs':>7}{'':>4}{'unpaired ?':>12}{'paired ?':>10}"
        f"{'found, unpaired':>17}{'found, paired':>15}{'false block':>13}"
    )
    whole = True
    for spread in (0.021, 0.038):
        for inside in (0.006, 0.008, 0.010, 0.025):
            for count in (4, 5):
                hits, names = np.zeros(5), tuple(map(str, range(count)))
                for _ in range(tries):
                    split = 0.63 + spread * rng.normal(size=(2, count))
                    own = inside / np.sqrt(2) * rng.normal(size=(2, count))
                    held = round_to(split[0] + own[0])
                    for worse in (0.0, 2 * MARGIN):
                        mates = round_to(split[0] + own[1] + worse)
                        others = round_to(split[1] + own[1] + worse)
                        pair = Change("", "", None, "low", held, mates, step=STEP, pairs=names)
                        plain = Change("", "", None, "low", held, others[:CANDIDATE], step=STEP)
                        for place, one in enumerate((plain, pair)):
                            lower, upper = one.bound(0.95, "lower"), one.bound(0.95, "upper")
                            if worse:
                                hits[2 + place] += lower > MARGIN
                            else:
                                hits[place] += lower <= MARGIN < upper
                                hits[4] += place == 1 and lower > MARGIN
                shares = hits / tries
                whole &= bool(shares[4] < 0.02)
                if inside <= 0.010 and count == 5:
                    whole &= bool(shares[1] < 0.07 and shares[3] > 0.94)
                print(
                    f"{spread:>8}{inside:>8}{count:>7}{'':>4}{shares[0]:>12.1%}{shares[1]:>10.1%}"
                    f"{shares[2]:>17.1%}{shares[3]:>15.1%}{shares[4]:>13.2%}"
                )
    return whole


def round_to(values: np.ndarray) -> tuple[float, ...]:
    return tuple((np.round(values / STEP) * STEP).tolist())


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gates", type=int, default=4000)
    parser.add_argument("--runs", type=Path)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    rng = np.random.default_rng(20261121)
    numbers: dict[str, list[Reading]] = {}
    for n, shift, training in ((1200, 0.0, 0.0), (1200, 0.3, 0.03), (3236, 0.3, 0.03)):
        for name, readings in gaussian(n, shift, training, rng).items():
            numbers[f"gaussian n={n} shift={shift} {name}"] = readings
    if asked.runs is not None:
        numbers |= audited(asked.runs)
    lines = [gates(name, readings, asked.gates, rng) for name, readings in numbers.items()]
    head = ("any", "+0.01", "own", "ours", "ours ?", "worse")
    print(
        f"margin {MARGIN}\n{'number':<44}{'runs':>5}{'mean':>8}{'sd':>8}"
        + "".join(f"{h:>8}" for h in head)
    )
    for line in lines:
        shares = (
            line.any_increase,
            line.tolerance,
            line.own_interval,
            line.blocked,
            line.inconclusive,
            line.worse_blocked,
        )
        print(
            f"{line.number:<44}{line.runs:>5}{line.mean:>8.3f}{line.spread:>8.4f}"
            + "".join(f"{share:>8.1%}" for share in shares)
        )
    if asked.out is not None:
        asked.out.write_text(
            json.dumps([asdict(line) for line in lines], indent=1) + "\n", encoding="utf-8"
        )
    whole = all(0.4 <= line.any_increase <= 0.6 and line.blocked <= 0.005 for line in lines)
    whole &= paired(asked.gates, rng)
    print("an unchanged model is not blocked" if whole else "NOT AS CLAIMED")
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main())
