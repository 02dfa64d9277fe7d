"""Make mimic_demo/aggregates.json from the open PhysioNet/CinC Challenge 2012 set A.

The file holds aggregates only: quantile knots that each rest on at least 20 stays, one pooled
correlation matrix of latent scores, shifts by type of unit, and the weights of one logistic model.
No row, no identifier, no minimum or maximum is kept.

    python benchmarks/calibrate_demo.py --challenge PATH/challenge-2012
        --out mimic_demo/aggregates.json

The copula with counts and missing values follows Hoff (2007), "Extending the rank likelihood for
semiparametric copula estimation", Annals of Applied Statistics 1(1), section 2: observed values
keep their normal scores, the latent scores of missing and tied values are drawn in turn.
"""

from __future__ import annotations

import argparse
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import expit, ndtr, ndtri
from scipy.stats import rankdata

Array = NDArray[np.float64]

HOURS = 48
FEWEST = 20
"""No published figure rests on fewer stays than this."""

SCALE = 1.85
"""The label's slope, over that of the strongly shrunk fit: chosen so that a model trained on real
stays ranks generated ones about as well as it ranks real ones (benchmarks/demo_fidelity.py)."""

MORTALITY = {"CCU": 0.113, "CSRU": 0.046, "MICU": 0.145, "SICU": 0.126, "TSICU": 0.114}
"""In-hospital deaths by first unit, Johnson et al. 2016, MIMIC-III, Table 2."""
LONG_STAYS = 13.2 / 11.5
"""How much more often patients staying 48 h or longer die (cohort of mimic3-benchmarks over
all)."""
TYPES = {"CCU": 0, "CSRU": 1, "MICU": 2, "SICU": 3, "TSICU": 3}

LOG = {
    **dict.fromkeys(("glucose", "pao2", "paco2", "lactate", "bun", "creatinine", "wbc"), 0.0),
    **dict.fromkeys(("platelets", "bilirubin", "alt", "ast", "alp", "troponin_t"), 0.0),
    "urine": 5.0,
    "fio2": -0.15,
}
"""Right-skewed: summaries and paths are on the scale log(value + offset)."""
HIDDEN = ("resp_rate", "spo2", "ventilated")
"""Whether these were measured says nothing in the generated tables: the label may not use it."""
NAMES = {
    "HR": ("heart_rate", 10, 280),
    "RespRate": ("resp_rate", 3, 68),
    "Temp": ("temperature", 30, 43),
    "GCS": ("gcs", 3, 15),
    "NISysABP": ("sbp_ni", 30, 290),
    "NIDiasABP": ("dbp_ni", 10, 200),
    "NIMAP": ("map_ni", 15, 240),
    "SysABP": ("sbp_art", 30, 290),
    "DiasABP": ("dbp_art", 10, 200),
    "MAP": ("map_art", 15, 240),
    "Urine": ("urine", 0, 4000),
    "Glucose": ("glucose", 15, 1500),
    "FiO2": ("fio2", 0.21, 1),
    "SaO2": ("spo2", 50, 100),
    "pH": ("ph_art", 6.6, 7.9),
    "PaO2": ("pao2", 20, 700),
    "PaCO2": ("paco2", 8, 180),
    "Lactate": ("lactate", 0.2, 40),
    "BUN": ("bun", 1, 280),
    "Creatinine": ("creatinine", 0.1, 40),
    "Na": ("sodium", 95, 190),
    "K": ("potassium", 1.3, 15),
    "HCO3": ("bicarbonate", 3, 60),
    "Mg": ("magnesium", 0.4, 12),
    "HCT": ("hematocrit", 8, 70),
    "WBC": ("wbc", 0.1, 500),
    "Platelets": ("platelets", 3, 1900),
    "Bilirubin": ("bilirubin", 0.1, 90),
    "Albumin": ("albumin", 0.7, 6.5),
    "ALT": ("alt", 1, 18000),
    "AST": ("ast", 2, 28000),
    "ALP": ("alp", 5, 4500),
    "TroponinT": ("troponin_t", 0.005, 40),
    "Weight": ("weight", 30, 280),
    "MechVent": ("ventilated", 0.5, 1.5),
}
FOLLOWS = {
    **{"dbp_ni": "sbp_ni", "map_ni": "sbp_ni", "dbp_art": "sbp_art", "map_art": "sbp_art"},
    **{"pao2": "ph_art", "paco2": "ph_art"},
}
"""Measured at the hours of another variable: no count of its own."""
CURVED = ("heart_rate", "temperature", "ph_art", "sodium", "potassium", "wbc", "paco2", "map_ni")
"""Both low and high values are bad: the label also gets the square."""


def read(folder: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Long events (stay, hour, variable, value) and one row a stay with its general descriptors."""
    rows: list[tuple[int, float, str, float]] = []
    with tarfile.open(folder / "set-a.tar.gz") as archive:
        for member in archive:
            handle = archive.extractfile(member) if member.name.endswith(".txt") else None
            if handle is None:
                continue
            stay = int(Path(member.name).stem)
            for line in handle.read().decode().splitlines()[1:]:
                time, name, value = line.split(",")
                if name and value:
                    rows.append((stay, int(time[:2]) + int(time[3:]) / 60, name, float(value)))
    long = pl.DataFrame(rows, schema=["stay", "time", "name", "value"], orient="row")
    general = ("Age", "Gender", "Height", "ICUType")
    first = (
        long.filter(pl.col("name").is_in(general)).group_by("stay", "name").agg(pl.first("value"))
    )
    stays = first.pivot("name", index="stay", values="value")
    outcome = pl.read_csv(folder / "Outcomes-a.txt").select(
        stay="RecordID", los="Length_of_stay", died="In-hospital_death"
    )
    frame = pl.DataFrame(
        [(name, key, low, high) for name, (key, low, high) in NAMES.items()],
        schema=["name", "variable", "low", "high"],
        orient="row",
    )
    events = (
        long.join(frame, on="name")
        .filter(pl.col("value").is_between(pl.col("low"), pl.col("high")))
        .filter(pl.col("time") < HOURS)
        .with_columns(hour=pl.col("time").floor())
        .group_by("stay", "variable", "hour")
        .agg(pl.median("value"))
    )
    return events, stays.join(outcome, on="stay").sort("stay")


def bend(variable: str, value: Array) -> Array:
    """The scale in which a variable's summaries and path are written."""
    if variable not in LOG:
        return value
    return np.asarray(np.log(value + LOG[variable]))


def summaries(
    events: pl.DataFrame, stays: pl.DataFrame
) -> tuple[dict[str, Array], dict[str, dict[str, Any]]]:
    """Per stay and variable: hours observed, level, change over the observed span, log spread.

    Also, pooled over stays, what is left after level and change, in units of the spread: its
    correlation from hour to hour, its mean by hour, and its quantiles.
    """
    order = {s: i for i, s in enumerate(stays["stay"])}
    out: dict[str, Array] = {}
    rests: dict[str, dict[str, Any]] = {"lag": {}, "curve": {}, "tail": {}}
    for variable, _, _ in NAMES.values():
        part = events.filter(pl.col("variable") == variable)
        grid = np.full((len(order), HOURS), np.nan)
        rows = np.array([order[s] for s in part["stay"]])
        grid[rows, part["hour"].to_numpy().astype(int)] = bend(variable, part["value"].to_numpy())
        seen = ~np.isnan(grid)
        n = seen.sum(1)
        value = np.where(seen, grid, 0.0)
        hour = np.arange(HOURS)
        with np.errstate(invalid="ignore", divide="ignore"):
            level = value.sum(1) / n
            centre = (seen * hour).sum(1) / n
            t = np.where(seen, hour - centre[:, None], 0.0)
            slope = (t * value).sum(1) / (t**2).sum(1)
            last = HOURS - 1 - seen[:, ::-1].argmax(1)
            change = slope * (last - seen.argmax(1))
            rest = np.where(seen, grid - level[:, None] - slope[:, None] * t, 0.0)
            spread = np.sqrt((rest**2).sum(1) / n)
        out[f"n:{variable}"] = n.astype(float)
        if variable == "ventilated":
            continue
        out[f"level:{variable}"] = np.where(n > 0, level, np.nan)
        out[f"change:{variable}"] = np.where(n > 1, change, np.nan)
        floor = 0.002 * np.maximum(np.abs(level), 0.5)
        out[f"spread:{variable}"] = np.where(n > 2, np.log(np.maximum(spread, floor)), np.nan)
        unit = rest / np.maximum(spread, floor)[:, None]
        lively = (spread > floor * 1.01) & (n > 3)
        both = seen[:, 1:] & seen[:, :-1] & (lively & (n > 4))[:, None]
        if both.sum() > 500:
            rests["lag"][variable] = round(
                float(np.clip((unit[:, 1:] * unit[:, :-1])[both].mean(), 0.0, 0.95)), 3
            )
        use = seen & lively[:, None]
        some = use.sum(0)
        mean = np.where(some >= FEWEST, np.where(use, unit, 0).sum(0) / np.maximum(some, 1), np.nan)
        if np.isfinite(mean).all():
            rests["curve"][variable] = np.round(mean, 2).tolist()
            many = use & (n >= 12)[:, None]
            if many.sum() >= 20_000:
                left = (unit - mean)[many]
                q = np.quantile(left, ndtr(TAIL))
                rests["tail"][variable] = np.round(q, 3).tolist()
    return out, rests


TAIL = np.array([-2.8, -2.4, -2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 2.4, 2.8])
"""Normal scores at which residuals are tabled; the outermost leave 0.26 % of 20,000 or more."""


def features(summary: dict[str, Array], stays: pl.DataFrame) -> tuple[list[str], Array]:
    columns = dict(summary)
    age, height = (stays[c].to_numpy().astype(float) for c in ("Age", "Height"))
    sex, los = (stays[c].to_numpy().astype(float) for c in ("Gender", "los"))
    columns["age"] = age
    columns["male"] = np.where(sex >= 0, sex, np.nan)
    columns["height"] = np.where((height > 135) & (height < 205), height, np.nan)
    columns["los"] = np.where(los > 0, los, np.nan)
    keep = []
    for name, value in columns.items():
        if name.startswith("n:"):
            if name[2:] not in FOLLOWS and name != "n:weight":
                keep.append(name)
        elif (~np.isnan(value)).mean() > 0.12:
            keep.append(name)
    return keep, np.column_stack([columns[k] for k in keep])


def knots(name: str, value: Array) -> dict[str, list[float]]:
    """A marginal as a table of latent score against value; every bin holds FEWEST stays or more."""
    x = np.sort(value[~np.isnan(value)])
    n = len(x)
    if name.startswith("n:") or name == "male":
        levels, counts = np.unique(x, return_counts=True)
        upper: list[float] = []
        tops: list[float] = []
        running = total = 0
        for level, count in zip(levels, counts, strict=True):
            running += int(count)
            total += int(count)
            if (running >= FEWEST and n - total >= FEWEST) or total == n:
                upper.append(total / n)
                tops.append(float(level))
                running = 0
        return {"share": [round(u, 5) for u in upper], "top": tops}
    edge = FEWEST / n
    p = np.linspace(edge, 1 - edge, min(37, int(n * (1 - 2 * edge) / FEWEST)))
    q = np.quantile(x, p)
    return {"z": [round(float(v), 4) for v in ndtri(p)], "value": [float(f"{v:.5g}") for v in q]}


def latent(
    names: list[str], X: Array, kind: NDArray[np.int64], rng: np.random.Generator, sweeps: int
) -> tuple[Array, Array, Array]:
    """Hoff's Gibbs sampler. Returns shifts by unit type (4, d), covariance (d, d), scores (n,
    d)."""
    n, d = X.shape
    Z, low, high = np.zeros((n, d)), np.zeros((n, d)), np.zeros((n, d))
    free = np.isnan(X)
    low[:], high[:] = -np.inf, np.inf
    for j, name in enumerate(names):
        seen = ~free[:, j]
        x = X[seen, j]
        if name.startswith("n:") or name == "male":
            below = rankdata(x, "min") - 1
            upto = rankdata(x, "max")
            low[seen, j], high[seen, j] = ndtri(below / len(x)), ndtri(upto / len(x))
            Z[seen, j] = ndtri((below + upto) / 2 / len(x))
            free[:, j] = True
        else:
            Z[seen, j] = ndtri(rankdata(x) / (len(x) + 1))
    shift, cov = np.zeros((4, d)), np.eye(d)
    shifts, covs = [], []
    for sweep in range(sweeps):
        P = np.linalg.inv(cov + 0.01 * np.eye(d))
        M = shift[kind]
        E = Z - M
        for j in range(d):
            rows = free[:, j]
            if not rows.any():
                continue
            mean = M[:, j] + E[:, j] - (E @ P[:, j]) / P[j, j]
            sd = P[j, j] ** -0.5
            a, b = (ndtr((e[rows, j] - mean[rows]) / sd) for e in (low, high))
            u = a + (b - a) * rng.random(rows.sum())
            draw = mean[rows] + sd * ndtri(u.clip(1e-9, 1 - 1e-9))
            Z[rows, j] = draw.clip(low[rows, j], high[rows, j]).clip(-4.5, 4.5)
            E[rows, j] = Z[rows, j] - M[rows, j]
        shift = np.stack([Z[kind == k].mean(0) for k in range(4)])
        cov = np.cov((Z - shift[kind]).T)
        if sweep >= sweeps // 2:
            shifts.append(shift)
            covs.append(cov)
    return np.mean(shifts, 0), np.mean(covs, 0), Z


def design(names: list[str], Z: Array, N: dict[str, Array]) -> tuple[list[str], Array]:
    """What the label sees: scores of what was measured, zero for what was not, and how often.

    N: hours observed by variable. The generator builds the same columns by the same names.
    """
    columns: dict[str, Array] = {}
    for j, name in enumerate(names):
        kind, _, variable = name.partition(":")
        if kind == "n":
            if variable in HIDDEN:
                continue
            columns[name] = np.log1p(N[variable])
            columns[f"some:{variable}"] = (N[variable] > 0).astype(float)
        elif not variable:
            if name in ("age", "male"):
                columns[name] = Z[:, j] if name == "age" else (Z[:, j] > 0).astype(float)
        else:
            need = {"level": 1, "change": 2, "spread": 3}[kind]
            seen = N[FOLLOWS.get(variable, variable)] >= need
            columns[name] = np.where(seen, Z[:, j], 0.0)
            if kind == "level" and variable in CURVED:
                columns[f"square:{variable}"] = np.where(seen, Z[:, j] ** 2 - 1, 0.0)
    return list(columns), np.column_stack(list(columns.values()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--challenge", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sweeps", type=int, default=80)
    args = parser.parse_args()
    from sklearn.linear_model import LogisticRegressionCV

    rng = np.random.default_rng(2012)
    events, stays = read(args.challenge)
    summary, rests = summaries(events, stays)
    names, X = features(summary, stays)
    kind = stays["ICUType"].to_numpy().astype(int) - 1
    shift, cov, Z = latent(names, X, kind, rng, args.sweeps)

    N = {name[2:]: value for name, value in summary.items() if name.startswith("n:")}
    columns, D = design(names, Z, N)
    units = np.eye(4)[kind][:, [0, 1, 3]]
    centre, width = D.mean(0), D.std(0).clip(1e-6)
    model = LogisticRegressionCV(
        Cs=np.logspace(-3.5, -1, 8), cv=5, scoring="neg_log_loss", max_iter=2000
    ).fit(np.c_[(D - centre) / width, units], stays["died"].to_numpy())
    weight = model.coef_[0][: D.shape[1]] / width
    eta = D @ weight
    print("stays", len(stays), "features", len(names), "label columns", len(columns))
    print("C", model.C_, "spread of the risk score", eta.std())

    root = np.linalg.cholesky(nearest(cov))
    marginals = {name: knots(name, X[:, j]) for j, name in enumerate(names)}
    intercept = {}
    for unit, rate in MORTALITY.items():
        E = shift[TYPES[unit]] + rng.standard_normal((40000, len(names))) @ root.T
        C = {
            name[2:]: count(marginals[name], E[:, j])
            for j, name in enumerate(names)
            if name.startswith("n:")
        }
        C["weight"] = np.ones(len(E))
        C |= dict.fromkeys(("resp_rate", "spo2"), C["heart_rate"])
        score = SCALE * (design(names, E, C)[1] @ weight)
        for label, goal in (("long", rate * LONG_STAYS), ("short", rate * (2 - LONG_STAYS))):
            low, high = -60.0, 60.0
            for _ in range(60):
                mid = (low + high) / 2
                low, high = (mid, high) if expit(score + mid).mean() < goal else (low, mid)
            intercept[f"{unit}:{label}"] = round(mid, 4)
    out = {
        "about": (
            "Aggregates of the PhysioNet/Computing in Cardiology Challenge 2012, set A (4,000 ICU "
            "stays), under the Open Data Commons Attribution License v1.0. Silva I, Moody G, "
            "Scott DJ, Celi LA, Mark RG. Predicting in-hospital mortality of ICU patients: the "
            "PhysioNet/Computing in Cardiology Challenge 2012. Comput Cardiol 2012;39:245-248; "
            "Goldberger A et al. PhysioBank, PhysioToolkit, and PhysioNet. Circulation "
            "2000;101(23):e215-e220. Made by benchmarks/calibrate_demo.py; no row, minimum or "
            "maximum is kept and every bin holds at least 20 stays."
        ),
        "names": names,
        "marginals": marginals,
        "shift": np.round(shift, 3).tolist(),
        "root": [np.round(root[i, : i + 1], 3).tolist() for i in range(len(names))],
        **rests,
        "scores": TAIL.tolist(),
        "follows": FOLLOWS,
        "log": LOG,
        "weights": {c: round(float(w), 4) for c, w in zip(columns, weight, strict=True)},
        "scale": SCALE,
        "intercept": intercept,
    }
    args.out.write_text(json.dumps(out, separators=(",", ":")) + "\n")
    print("bytes", args.out.stat().st_size)


def count(marginal: dict[str, list[float]], z: Array) -> Array:
    """Hours observed for a latent score."""
    share, top = np.array(marginal["share"]), np.array(marginal["top"])
    u = ndtr(z)
    bin_ = np.searchsorted(share, u).clip(max=len(share) - 1)
    below, floor = np.r_[0.0, share][bin_], np.r_[-1.0, top][bin_]
    width = top[bin_] - floor
    return np.asarray(floor + np.ceil((u - below) / (share[bin_] - below) * width).clip(1, width))


def nearest(cov: Array) -> Array:
    """The nearest positive definite matrix by clipping eigenvalues, same diagonal."""
    value, vector = np.linalg.eigh((cov + cov.T) / 2)
    fixed = (vector * value.clip(0.005)) @ vector.T
    scale = np.sqrt(np.diag(cov) / np.diag(fixed))
    return np.asarray(fixed * scale[:, None] * scale[None, :])


if __name__ == "__main__":
    main()
