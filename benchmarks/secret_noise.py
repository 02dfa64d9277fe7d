"""What exact secret noise costs, beside numpy's and, where it is installed, OpenDP's.

    python benchmarks/secret_noise.py

Prints the nanoseconds a number and the ratio to numpy's, for vectors of the sizes that are noised
in one go, and the seconds that a private training takes with secret and with simulation noise.
Times are of one machine; the ratios are what docs/design/022-secret-noise.md quotes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import numpy as np

from pipelines.methods.dp_sgd import DPSGD
from privaudit.dp.noise import add_gaussian
from privaudit.records import Column, Records
from privaudit.seeds import Seeds

SECRET = Seeds(3**200)
SIZES = (100, 10_000, 1_000_000)
MOST_OPENDP = 10_000
"""It takes a tenth of a millisecond a number."""


def seconds(action: Callable[[], object], least: float = 0.3) -> float:
    """The mean of as many calls as fill `least` seconds, after one that is not counted."""
    action()
    calls, start = 0, time.perf_counter()
    while time.perf_counter() - start < least:
        action()
        calls += 1
    return (time.perf_counter() - start) / calls


def opendp(size: int) -> Callable[[], object] | None:
    """OpenDP's own vector of Gaussian noise, on its default grid."""
    try:
        import opendp.prelude as dp
    except ModuleNotFoundError:
        return None
    dp.enable_features("contrib")
    space = dp.vector_domain(dp.atom_domain(T=float, nan=False)), dp.l2_distance(T=float)
    mechanism = dp.m.make_gaussian(*space, scale=2.0)
    values = [0.0] * size
    return lambda: mechanism(values)


def table(patients: int = 5000, columns: int = 60) -> Records:
    """Numbers within their bounds."""
    rng = np.random.default_rng(0)
    x = np.clip(rng.normal(size=(patients, columns)), -3, 3)
    y = (x[:, 0] + rng.logistic(size=patients) > 1).astype(int)
    told = tuple(Column(f"x{i}", bounds=(-3.0, 3.0)) for i in range(columns))
    return Records(told, x, y, np.arange(patients), np.zeros(patients))


def main() -> None:
    """Print the table."""
    print("numbers      numpy ns   secret ns  ratio   OpenDP ns  ratio")
    for size in SIZES:
        values, secret, plain = np.zeros(size), SECRET.secret_rng("n"), np.random.default_rng(0)
        base = seconds(partial(add_gaussian, values, 2.0, 1.0, plain))
        rows, other = [seconds(partial(add_gaussian, values, 2.0, 1.0, secret))], opendp(size)
        if other is not None and size <= MOST_OPENDP:
            rows.append(seconds(other))
        cells = "".join(f"{t / size * 1e9:12.0f}{t / base:7.1f}" for t in rows)
        print(f"{size:<12,}{base / size * 1e9:9.0f}{cells}")
    records = table()
    for method in (DPSGD(hidden=0), DPSGD(hidden=64)):
        spent = []
        for rng in (SECRET.secret_rng("fit"), Seeds(1).rng("fit")):
            method.fit(records, rng)  # imports, and the accountant's search for the noise
            start = time.perf_counter()
            method.fit(records, rng)
            spent.append(time.perf_counter() - start)
        print(
            f"dp_sgd, hidden {method.hidden}, 5,000 patients: secret {spent[0]:.2f} s, simulated "
            f"{spent[1]:.2f} s, ratio {spent[0] / spent[1]:.2f}"
        )


if __name__ == "__main__":
    main()
