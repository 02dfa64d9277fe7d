"""How often the gate blocks a model that leaks nothing, whether intervals cover, and headlines.

A check of the rule by simulation, not a comparison with a peer.

    python benchmarks/gate_simulation.py                       # normal scores
    python benchmarks/gate_simulation.py --run runs/latest     # and the scores of a finished run

Clean runs: members and non-members are drawn alike, six attacks (correlation .8), twelve groups,
judged under a starter policy by the product's own estimates and rule. With --run, records of both
pools are drawn from the run's own non-members, so the scores are those of a real model on real
records. Coverage: the run's own scores (members above non-members) are the population, whose AUC
and rates are known; samples are drawn from it with replacement.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from importlib import resources
from pathlib import Path

import numpy as np

from privaudit import stats
from privaudit.contracts import Scores
from privaudit.facts import FAMILIES, Metric, note
from privaudit.policy import judge
from privaudit.policy.file import parse
from privaudit.policy.propose import Pools, propose
from privaudit.policy.rules import LeftOut
from privaudit.policy.simulate import PASSING
from privaudit.results import (
    Audit,
    ClaimText,
    Control,
    Data,
    Estimate,
    Finding,
    Manifest,
    Pool,
    Subject,
)
from privaudit.stats.rates import wilson

ATTACKS = ("few_shadow_lira", "lira", "rmia", "shadow", "structural", "threshold")
GROUPS = 12
SHARED = 0.8
NAMES = ("auc", "tpr_at_fpr_0.1", "tpr_at_fpr_0.01")
Draw = Callable[[np.random.Generator, int], np.ndarray]


def normal(rng: np.random.Generator, n: int) -> np.ndarray:
    """(n, attacks) scores of records that were not trained on."""
    common = rng.normal(size=(n, 1))
    return np.sqrt(SHARED) * common + np.sqrt(1 - SHARED) * rng.normal(size=(n, len(ATTACKS)))


def real(run: Path) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """(subject, member scores, non-member scores) of a run's membership attacks, (n, attacks)."""
    folder = run.resolve() / "restricted" / "scores"
    subjects = sorted({p.stem.rpartition("-")[0] for p in folder.glob("*-few_shadow_lira.npz")})
    for subject in subjects:
        kept = []
        for path in sorted(folder.glob(f"{subject}-*.npz")):
            name = path.stem.removeprefix(f"{subject}-")
            if name in (*ATTACKS, "domias", "distance", "shadow_generator"):
                with np.load(path) as file:
                    kept.append((file["members"], file["nonmembers"]))
        inside, outside = zip(*kept, strict=True)
        yield subject, np.stack(inside, axis=1), np.stack(outside, axis=1)


def resampled(pool: np.ndarray) -> Draw:
    return lambda rng, n: pool[rng.integers(0, len(pool), n)]


def read(
    scores: np.ndarray, others: np.ndarray, rng: np.random.Generator, names: tuple[str, ...]
) -> tuple[Estimate, ...]:
    ids = (np.arange(len(scores)), len(scores) + np.arange(len(others)))
    return stats.estimates(
        Scores(scores, others), patients=ids, confidence=0.95, rng=rng, names=names
    )


def document(findings: tuple[Finding, ...], n: int) -> Audit:
    """An audit of one subject whose controls passed."""
    checks = tuple(
        Control(kind, one.attack, (number,), True, note("simulated"))  # type: ignore[arg-type]
        for one in findings
        for kind, number in PASSING.items()
    )
    subject = Subject(
        "model",
        "baseline",
        "logreg",
        "",
        {},
        ClaimText(None, 0.0, "patient", "add-remove", (), ""),
        ("ANSWERS",),
        (Estimate(Metric("auroc"), 0.8, 0.78, 0.82, 0.5),),
        (),
        (),
        None,
        None,
        findings,
        checks,
        {},
    )
    manifest = Manifest(
        "simulated",
        "2026-01-01T00:00:00+00:00",
        "0",
        "3",
        "",
        {},
        "",
        "standard",
        0,
        0.95,
        "",
        0.0,
        0.0,
        0,
        {},
    )
    pools = tuple(Pool(name, n, n, {}) for name in ("members", "nonmembers"))
    data = Data("simulated", False, "toy", "", "yes", ("no", "yes"), 1, 0, 0, (), pools)
    return Audit(manifest, data, (subject,), ())


def clean(
    draw: Draw,
    n: int,
    runs: int,
    policy: str,
    rng: np.random.Generator,
    *,
    proposed: bool = False,
    shift: float = 0.0,
) -> Counter[str]:
    """States of runs in which nothing leaks, or members' scores are moved by a shift. proposed:
    under the limits that `init --patients` proposes."""
    text = (resources.files("privaudit.policy") / "starters" / f"{policy}.toml").read_text()
    text = propose(text, Pools(n, n)) if proposed else text
    # Only what a membership attack can answer is judged; the rest was not simulated.
    head, *tables = text.replace("$review_by", "2100-01-01").split("\n[[")
    kept = [t for t in tables if t.startswith("limit") and '"membership.' in t]
    rules = parse(("\n[[".join([head, *kept])).encode())
    left_out = (LeftOut(f, "not simulated") for f in FAMILIES if f != "membership")
    rules = replace(rules, left_out=tuple(left_out))
    states: Counter[str] = Counter()
    for _ in range(runs):
        inside, outside = draw(rng, n) + shift, draw(rng, n)
        findings = tuple(
            Finding(
                name,
                "membership",
                {},
                ("ANSWERS", "RERUN"),
                read(inside[:, k], outside[:, k], rng, NAMES),
            )
            for k, name in enumerate(ATTACKS[: inside.shape[1]])
        )
        states[judge(rules, document(findings, n), today=date(2026, 1, 1)).state] += 1
    return states


def coverage(
    draw_in: Draw,
    draw_out: Draw,
    truth: dict[str, float],
    n: int,
    runs: int,
    rng: np.random.Generator,
) -> dict[str, tuple[int, int]]:
    """How many of the nominal 95 % intervals hold the truth, of how many stated."""
    found = {name: [0, 0] for name in truth}
    for _ in range(runs):
        for e in read(draw_in(rng, n)[:, 0], draw_out(rng, n)[:, 0], rng, tuple(truth)):
            if e.value is not None and e.low is not None and e.high is not None:
                key = str(e.metric)
                found[key][0] += e.low <= truth[key] <= e.high
                found[key][1] += 1
    return {name: (hit, of) for name, (hit, of) in found.items()}


def truths(members: np.ndarray, others: np.ndarray) -> dict[str, float]:
    """AUC and rates of a population given by its scores, or of two normals one apart of
    `members`."""
    order = np.sort(others)
    below = np.searchsorted(order, members, "left")
    ties = np.searchsorted(order, members, "right") - below
    found = {"auc": float(np.mean(below + ties / 2) / len(order))}
    for fpr in (0.1, 0.01):
        values, counts = np.unique(np.concatenate([members, others]), return_counts=True)
        tpr = np.append(0, np.cumsum([np.sum(members == v) for v in values[::-1]])) / len(members)
        far = np.append(0, np.cumsum([np.sum(others == v) for v in values[::-1]])) / len(others)
        assert counts.sum() == len(members) + len(others)
        found[f"tpr_at_fpr_{fpr:g}"] = float(np.interp(fpr, far, tpr))
    return found


def curse(
    draw: Draw, n: int, runs: int, rng: np.random.Generator
) -> tuple[list[float], list[float]]:
    """Mean AUC and TPR at 1 % of the largest of all attacks and groups, and of the headline's
    choice."""
    best, chosen = [], []
    for _ in range(runs):
        inside, outside = draw(rng, n), draw(rng, n)
        scores = {
            name: Scores(inside[:, k], outside[:, k])
            for k, name in enumerate(ATTACKS[: inside.shape[1]])
        }
        ids = (np.arange(n), n + np.arange(n))
        groups = rng.integers(0, GROUPS, (2, n))
        areas, rates = [], []
        for s in scores.values():
            for g in range(GROUPS):
                a, b = s.members[groups[0] == g], s.nonmembers[groups[1] == g]
                areas.append(truths(a, b)["auc"])
                rates.append(float(np.mean(a > np.quantile(b, 0.99))))
        best.append((max(areas), max(rates)))
        _, found = stats.strongest(scores, patients=ids, rng=rng)
        by = {str(e.metric): e.value for e in found}
        chosen.append(
            (by["auc"], by["tpr_at_fpr_0.01"] if by["tpr_at_fpr_0.01"] is not None else np.nan)
        )
    return list(np.mean(best, axis=0)), [mean([c[k] for c in chosen]) for k in (0, 1)]


def mean(values: list[float | None]) -> float:
    """Of those that could be stated; NaN where none could."""
    known = [v for v in values if v is not None and np.isfinite(v)]
    return float(np.mean(known)) if known else float("nan")


def show(title: str, counts: dict[str, tuple[int, int]]) -> None:
    for name, (hit, of) in counts.items():
        if not of:
            print(f"{title:<34}{name:<18} refused: too few patients")
            continue
        low, high = wilson(hit / of, of, 0.95)
        print(
            f"{title:<34}{name:<18} {hit / of:6.1%} of {of} ({low:.1%} to {high:.1%})", flush=True
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--run", type=Path, help="a finished run folder, with restricted/")
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--patients", type=int, default=3236, help="a side")
    parser.add_argument("--policy", default="partner")
    options = parser.parse_args()
    rng = np.random.default_rng(20261121)
    print(f"clean runs of {options.patients} a side under the starter policy {options.policy!r}")
    print(
        f"{'normal scores':<34}"
        f"{dict(clean(normal, options.patients, options.runs, options.policy, rng))}"
    )
    for n in (300, 1000, 2500):
        states = clean(normal, n, options.runs, options.policy, rng, proposed=True)
        print(f"{f'limits proposed for {n:,} a side':<34}{dict(states)}", flush=True)
    best, chosen = curse(normal, options.patients, max(20, options.runs // 6), rng)
    print(
        f"largest of {len(ATTACKS)} attacks x {GROUPS} groups, no leak: AUC {best[0]:.3f}, TPR at "
        f"1 % {best[1]:.2%}"
    )
    print(
        f"the headline's choice, no leak:            AUC {chosen[0]:.3f}, TPR at 1 % "
        f"{chosen[1]:.2%}"
    )
    for n, shift in ((500, 0.0), (500, 0.5), (options.patients, 0.0), (options.patients, 0.3)):
        from scipy.stats import norm

        truth = {"auc": float(norm.cdf(shift / np.sqrt(2)))}
        truth |= {f"tpr_at_fpr_{f:g}": float(norm.sf(norm.isf(f) - shift)) for f in (0.1, 0.01)}
        counts = coverage(
            lambda r, k, s=shift: normal(r, k) + s, normal, truth, n, options.runs, rng
        )
        show(f"normal, {n} a side, shift {shift}", counts)
    if options.run is not None:
        for subject, inside, outside in real(options.run):
            n = len(outside)
            states = clean(resampled(outside), n, options.runs, options.policy, rng)
            print(f"{subject + ': clean':<34}{dict(states)}")
            best, chosen = curse(resampled(outside), n, max(20, options.runs // 6), rng)
            print(
                f"{subject}: largest of all, no leak: AUC {best[0]:.3f}, TPR {best[1]:.2%}; "
                f"headline AUC {chosen[0]:.3f}, TPR {chosen[1]:.2%}"
            )
            one = np.argmax(
                [truths(inside[:, k], outside[:, k])["auc"] for k in range(inside.shape[1])]
            )
            a, b = inside[:, [one]], outside[:, [one]]
            counts = coverage(
                resampled(a), resampled(b), truths(a[:, 0], b[:, 0]), n, options.runs, rng
            )
            show(subject, counts)


if __name__ == "__main__":
    main()
