"""Limits on membership that a model which leaks nothing can keep to, at a given number of patients.

A starter's limits say what its kind of release should allow. Few patients cannot decide them: the
upper bound of a clean model lies above. So the false positive rate is 10 % where fewer than
`FINE` patients are held out, a limit at it allows the same leak as the starter's does (the same
distance between members and others, both normal), and no limit is below what a clean model passes
4 times in 5, all attacks and both limits together.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from privaudit.errors import PrivauditError
from privaudit.facts import Metric
from privaudit.policy.simulate_draw import SHARED, find_sizes, membership
from privaudit.results import Audit
from privaudit.stats import onesided

FINE, COARSE_FPR = 2500, 0.1
"""With fewer held-out patients than this, rates are limited at a false positive rate of 10 %."""
FEWEST = 100
"""Held-out patients below which no rate at 10 % has 10 false positives."""
ATTACKS = 6
"""Membership attacks on a model in an audit with every attack."""
STEP = 0.005
"""Limits are rounded up to a multiple of this."""
LEVEL = 0.05
"""Of the one-sided bounds of the starters."""

ALIKE, RATES_ALIKE = SHARED, 0.4
"""Correlation of the AUCs of two attacks on a clean model, and of their rates: far fewer patients
decide a rate, and each attack puts others there."""

AREAS_PASS, RATES_PASS = 0.92, 0.97
"""How often all AUCs, and all rates, are meant to keep to their limit, so that both do 4 times in 5
(`benchmarks/gate_simulation.py`). The approximation promises more of rates than their intervals
hold: 97 in 100 where about 88 do."""

_RULE = re.compile(
    r"\[\[limit\]\](?P<note> *#[^\n]*)?\n(?P<id>id = [^\n]*\n)"
    r'metric = "(?P<metric>membership\.(?:auc|tpr))"\n(?:fpr = (?P<fpr>[\d.]+)\n)?'
    r"max = (?P<max>[\d.]+)\n"
)


@dataclass(frozen=True)
class Pools:
    """Patients trained on and held out, and attacks that must all pass."""

    members: int
    nonmembers: int
    attacks: int = ATTACKS

    @classmethod
    def of(cls, audit: Audit) -> Pools:
        """Those of a finished run.

        Raises:
            PrivauditError: It has no number of membership inference, or too few patients.
        """
        members, nonmembers = find_sizes(audit.subjects)
        if not members or not nonmembers:
            raise PrivauditError(
                "a run without a number of membership inference",
                "the limits that depend on how many patients there are would be about it",
                "give a run with membership attacks, or --patients N",
            )
        found = cls(members, nonmembers, max(len(membership(one)) for one in audit.subjects))
        if nonmembers < FEWEST:
            raise PrivauditError(
                f"a run of {nonmembers} held-out patients",
                f"even a false positive rate of 10 % wants {FEWEST}, or fewer than 10 are expected",
                "audit more patients",
            )
        return found


def propose(text: str, pools: Pools) -> str:
    """A starter policy whose limits on membership fit these pools, and say so."""

    def fit(rule: re.Match[str]) -> str:
        limit = float(rule["max"])
        if rule["fpr"] is None:
            least = least_limit(Metric("auc"), pools)
            return rule[0].replace(f"max = {rule['max']}", f"max = {max(limit, least):g}")
        fpr = float(rule["fpr"])
        coarse = COARSE_FPR if pools.nonmembers < FINE else fpr
        limit = _same_leak(limit, fpr, coarse) if coarse != fpr else limit
        limit = max(limit, least_limit(Metric("tpr", fpr=coarse), pools))
        rate = f"{coarse * 100:g} in 100"
        note = f"# true positive rate at a false positive rate of {rate}; guessing gives {rate}"
        head = f"{'[[limit]]':<42}{note}\n{rule['id']}"
        return f'{head}metric = "{rule["metric"]}"\nfpr = {coarse:g}\nmax = {limit:g}\n'

    about = (
        f"# The limits on membership are for {pools.members:,} training and {pools.nonmembers:,} "
        f"held-out patients: a model that leaks\n# nothing keeps to them at least 4 times in 5, "
        f"{pools.attacks} attacks together.\n"
    )
    return _put(_RULE.sub(fit, text), about)


def state_size(text: str) -> tuple[str, int]:
    """A starter policy that says for how many patients its limits are, and that number."""
    wanted = wanted_patients(text)
    about = (
        f"# The limits on membership are for about {wanted:,} held-out patients or more, and as "
        "many trained on: with fewer, a model that\n# leaks nothing is often inconclusive. "
        "`privaudit init --patients N` proposes limits for N.\n"
    )
    return _put(text, about), wanted


def wanted_patients(text: str) -> int:
    """The fewest held-out patients with whom a model that leaks nothing keeps to a policy's limits
    on membership 4 times in 5."""
    rules = [(_metric(rule), float(rule["max"])) for rule in _RULE.finditer(text)]
    for patients in _sizes():
        pools = Pools(patients, patients)
        fits = all(
            (metric.fpr is None or metric.fpr * patients >= 10)
            and least_limit(metric, pools, step=0.0) <= limit
            for metric, limit in rules
        )
        if fits:
            return patients
    return patients


def least_limit(metric: Metric, pools: Pools, step: float = STEP) -> float:
    """The least limit that a model which leaks nothing keeps to 4 times in 5, all attacks
    together, as one of the two limits on membership; rounded up to a multiple of `step`."""
    chance = 0.5 if metric.fpr is None else metric.fpr
    together = AREAS_PASS if metric.fpr is None else RATES_PASS
    least = onesided.floor(
        metric,
        chance,
        (pools.members, pools.nonmembers),
        LEVEL,
        power=joint_power(together, pools.attacks, ALIKE if metric.fpr is None else RATES_ALIKE),
    )
    assert least is not None
    return round(math.ceil(least / step - 1e-9) * step, 3) if step else least


@lru_cache(maxsize=64)
def joint_power(together: float, attacks: int, alike: float) -> float:
    """How often each of several attacks must pass so that all do in this share of audits.

    alike: the correlation of their readings, which are normal (one-factor integral, Dunnett and
    Sobel 1955).
    """
    from scipy.special import ndtr, ndtri

    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    weights = weights / weights.sum()

    def passing(edge: float) -> float:
        inner = (edge - math.sqrt(alike) * nodes) / math.sqrt(1 - alike)
        return float((weights * ndtr(inner) ** attacks).sum())

    low, high = float(ndtri(together)), 6.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if passing(middle) >= together else (middle, high)
    return float(ndtr(high))


def _metric(rule: re.Match[str]) -> Metric:
    return Metric("auc") if rule["fpr"] is None else Metric("tpr", fpr=float(rule["fpr"]))


def _same_leak(limit: float, fpr: float, other: float) -> float:
    """The true positive rate at another false positive rate of a model that has this one."""
    from scipy.special import ndtr, ndtri

    shift = float(ndtri(limit) - ndtri(fpr))
    return round(math.floor(float(ndtr(ndtri(other) + shift)) / STEP) * STEP, 3)


def _sizes() -> Iterator[int]:
    """Two digits of patients, from 100 to 100,000."""
    for power in (10, 100, 1000):
        for lead in range(10, 100):
            yield lead * power


def _put(text: str, about: str) -> str:
    """The text with a remark before its schema."""
    return text.replace("\nschema =", f"\n{about}\nschema =", 1)


__all__ = [
    "FEWEST",
    "FINE",
    "Pools",
    "joint_power",
    "least_limit",
    "propose",
    "state_size",
    "wanted_patients",
]
