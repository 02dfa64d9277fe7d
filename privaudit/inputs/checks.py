"""Is the question fair? What is looked at before any attack, for it decides what a number means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from privaudit.contracts import Model, Scores
from privaudit.errors import PrivauditError
from privaudit.inputs import identifiers as _hints
from privaudit.records import Records, Split
from privaudit.results import Estimate
from privaudit.seeds import Seeds
from privaudit.signals import margin
from privaudit.stats import estimates

FEWEST = 20
"""Patients a side below which nothing could be told."""

ENOUGH = 1_000
"""Held-out patients for a rate at 1 false alarm in 100 (10 of them wrong)."""

SIDE = 4_000
"""Records a side, and columns, with which the pools are compared."""

COLUMNS = 300
SURE = 0.999
"""Confidence at which a difference between the pools is said: a false one would void a fair audit."""

TELLS = 0.98


@dataclass(frozen=True)
class Checked:
    """What was found. unfair: why no membership number means what it should, "" where none is known;
    caveats: what a reader must know before any number; notes: the rest; facts: numbers."""

    unfair: str
    caveats: tuple[str, ...]
    notes: tuple[str, ...]
    facts: dict[str, str | int | float]


def overlap(members: Records, nonmembers: Records, patient: str) -> None:
    """Refuse where a patient is on both sides."""
    shared = np.intersect1d(members.patient, nonmembers.patient)
    if len(shared):
        told = f"{len(shared):,}" if len(shared) >= 10 else "fewer than 10"
        raise PrivauditError(
            f"{told} patients are among the members and among the non-members",
            f"by {patient!r}; whoever is on both sides makes the audit read a leak that is none, or miss one",
            "take every row of these patients out of the held-out table",
        )


def enough(split: Split) -> None:
    """Refuse pools of which nothing could be said."""
    sizes = {
        "members": len(np.unique(split.members.patient)),
        "non-members": len(np.unique(split.nonmembers.patient)),
    }
    for name, size in sizes.items():
        if size < FEWEST:
            raise PrivauditError(
                f"{size} patients among the {name}",
                f"below {FEWEST} an interval covers almost everything",
                f"give at least {FEWEST - size} more; {ENOUGH:,} held-out patients allow a rate at 1 false "
                "alarm in 100",
            )


def examine(
    split: Split, model: Model, *, seeds: Seeds, confidence: float = 0.95, reads: bool = True
) -> Checked:
    """All checks of a game that could be played, before any attack.

    reads: whether the records hold what the model reads (no, where only its probabilities are known).
    """
    caveats: list[str] = []
    notes: list[str] = []
    facts: dict[str, str | int | float] = {}
    unfair = ""
    if reads:
        told, found = drift(split, seeds.rng("drift"))
        facts["pools told apart without the model, AUC"] = round(found.value or 0.0, 4)
        if told:
            unfair = told
        else:
            notes.append(
                "Members and held-out records could not be told apart without the model: AUC "
                f"{_interval(found)}. That is what a fair membership game needs."
            )
        caveats += leakage(split.members)
        caveats += identifiers(split.members)
        caveats += copies(split)
    caveats += few(split)
    answered, told_units = answers(split, model, seeds, confidence)
    return Checked(unfair, (*caveats, *answered), (*notes, *told_units), facts)


def drift(split: Split, rng: np.random.Generator) -> tuple[str, Estimate]:
    """Can members be told from non-members without the model? The sentence, "" if not; and the AUC.

    A boosted classifier of features and outcome, each patient judged by one that never saw them.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import GroupKFold

    sides = [_some(pool, SIDE, rng) for pool in (split.members, split.nonmembers)]
    both = Records.concatenate(sides)
    inside = np.arange(len(both)) < len(sides[0])
    X = np.column_stack([both.X, both.y.astype(np.float32)])
    width = X.shape[1]
    if width > COLUMNS:
        X = X[:, np.sort(rng.permutation(width)[:COLUMNS])]
    score = np.empty(len(X))
    for train, test in GroupKFold(3).split(X, groups=both.patient):
        judge = HistGradientBoostingClassifier(
            max_iter=40, learning_rate=0.1, min_samples_leaf=20, early_stopping=False,
            random_state=int(rng.integers(2**31)),
        )  # fmt: skip
        judge.fit(X[train], inside[train])
        score[test] = judge.decision_function(X[test])
    found = _auc(Scores(score[inside], score[~inside]), both.patient[inside], both.patient[~inside], SURE, rng)  # fmt: skip
    if found.value is None or (found.low or 0.0) <= 0.5:
        return "", found
    telling = _telling(both, inside)
    how = "" if found.value > 0.6 else "The difference is slight, but an attack may read it. "
    return (
        "Members and held-out records differ, so that a classifier tells them apart without asking the "
        f"model: AUC {_interval(found)}, most by {telling}. A membership number below measures that "
        f"difference as well, and not only what the model remembers: it is worthless as proof of a leak. {how}"
        "Hold patients out at random from the table that is trained on, and audit again."
    ), found


def _telling(both: Records, inside: np.ndarray) -> str:
    found = [abs(_rank_auc(both.X[:, j], inside) - 0.5) for j in range(both.X.shape[1])]
    best = np.argsort(found)[::-1][:3]
    named = [both.columns[j].name for j in best if found[j] > 0.02]
    return ", ".join(named) or "columns taken together"


def leakage(members: Records) -> list[str]:
    """Columns that tell the outcome by themselves."""
    some = members.take(slice(0, 20_000))
    other = some.patient % 2 == 0
    found = []
    for j, column in enumerate(some.columns):
        x = some.X[:, j]
        if column.levels and not 1 < len(column.levels) <= 50:
            continue
        best = 0.5
        for k in np.unique(some.y):
            own = (some.y == k).astype(np.float64)
            seen = _by_rate(x, own, other, len(column.levels)) if column.levels else x
            best = max(best, abs(_rank_auc(seen, some.y == k) - 0.5) + 0.5)
        if best >= TELLS and len(np.unique(some.y)) > 1:
            found.append((column.name, best))
    return [
        f"The column {name!r} tells the outcome by itself (AUC {best:.3f} on the members): the outcome may "
        "have been encoded as a feature, or the column may be known only after it."
        for name, best in found[:5]
    ]


def identifiers(members: Records) -> list[str]:
    """Features that name a person, by their names and by every value being different."""
    named: dict[str, list[str]] = {}
    for j, column in enumerate(members.columns):
        what = _hints.identifier(column.name)
        x = members.X[: min(len(members), 20_000), j]
        x = x[~np.isnan(x)]
        all_differ = len(x) >= 100 and len(np.unique(x)) == len(x)
        if what and (all_differ or len(np.unique(x)) > 50):
            named.setdefault(what, []).append(column.name)
        elif all_differ and bool((x % 1 == 0).all()):
            named.setdefault("a number of its own for each row", []).append(column.name)
    return [
        f"Among the features, {', '.join(map(repr, names))} may hold {what} (listed in 45 CFR 164.514(b)(2), "
        "HIPAA): a model that reads it can remember who is who."
        for what, names in named.items()
    ]


def copies(split: Split) -> list[str]:
    """Records that stand on both sides, word for word."""
    rows = [
        np.ascontiguousarray(np.column_stack([p.X + np.float32(0), p.y.astype(np.float32)]))
        for p in (split.members, split.nonmembers)
    ]
    kind = np.dtype((np.void, rows[0].shape[1] * 4))
    own, held = (part.view(kind).ravel() for part in rows)
    same = np.isin(held, own)
    share = float(same.mean())
    if same.sum() < 10 or share < 0.005:
        return []
    return [
        f"{share:.1%} of the held-out records are equal to a member's in every column: they cannot be told "
        "apart, so that the attacks read lower than they would; the same records may have been entered twice."
    ]


def few(split: Split) -> list[str]:
    """How many held-out patients are lacking for a rate at few false alarms."""
    size = len(np.unique(split.nonmembers.patient))
    if size >= ENOUGH:
        return []
    return [
        f"Only {size:,} held-out patients: the rate at 1 false alarm in 100 needs {ENOUGH:,}, so "
        f"{ENOUGH - size:,} more; until then the AUC is what can be said."
    ]


def answers(
    split: Split, model: Model, seeds: Seeds, confidence: float
) -> tuple[list[str], list[str]]:
    """What the model's answers say of how it was asked: caveats, and notes on the unit of privacy."""
    p = [model.predict_proba(pool) for pool in (split.members, split.nonmembers)]
    caveats = []
    if all(((one == 0) | (one == 1)).all() for one in p):
        caveats.append(
            "Every answer is 0 or 1: these may be classes, not probabilities, and then the attacks see "
            "only whether the model is right."
        )
    if all(np.ptp(one, axis=0).max(initial=0.0) == 0 for one in p):
        caveats.append(
            "The model answers the same for every record: it can leak nothing by its answers, and may have "
            "been asked in another way than it was trained."
        )
    else:
        skill = [
            _skill(one, pool.y)
            for one, pool in zip(p, (split.members, split.nonmembers), strict=True)
        ]
        if skill[1] - skill[0] > 0.1:
            caveats.append(
                f"The model is better on the held-out records (AUROC {skill[1]:.2f}) than on the members "
                f"({skill[0]:.2f}): the two tables may have been exchanged."
            )
        elif skill[0] < 0.52 and max(len(pool) for pool in (split.members, split.nonmembers)) > 200:
            caveats.append(
                f"The model is no better than chance on its own members (AUROC {skill[0]:.2f}): it may read "
                "the table in another way than it was trained (order, units or encoding of columns)."
            )
    margins = [
        margin(one, pool.y) for one, pool in zip(p, (split.members, split.nonmembers), strict=True)
    ]
    return caveats, units(split, margins, seeds.rng("units"), confidence)


def units(
    split: Split, margins: Sequence[np.ndarray], rng: np.random.Generator, confidence: float
) -> list[str]:
    """Record by record and patient by patient, where patients have several records."""
    ids = (split.members.patient, split.nonmembers.patient)
    rows = sum(len(part) for part in ids)
    patients = sum(len(np.unique(part)) for part in ids)
    if rows < 1.05 * patients:
        return []
    scores = Scores(margins[0], margins[1])
    apart = (np.arange(len(ids[0])), np.arange(len(ids[1])))
    alone = _auc(scores, *apart, confidence, rng)
    clustered = _auc(scores, *ids, confidence, rng)
    means = [_per_patient(m, part) for m, part in zip(margins, ids, strict=True)]
    whole = _auc(Scores(means[0], means[1]), np.arange(len(means[0])), np.arange(len(means[1])), confidence, rng)  # fmt: skip
    return [
        f"The unit of privacy is the patient: {rows:,} records of {patients:,} patients. The plain loss attack, "
        f"asked of each record as if all were of different people, reads AUC {_interval(alone)}; the same "
        f"number with the patient as the unit has the interval {_interval(clustered)}, because records of one "
        "patient are alike and count as less than one each. Asked of each patient, by the mean over all of "
        f"their records, it reads {_interval(whole)}: several records together say more or less of a patient "
        "than one does. The report's membership numbers are of records, with intervals by patient."
    ]


def _per_patient(scores: np.ndarray, patient: np.ndarray) -> np.ndarray:
    _, place = np.unique(patient, return_inverse=True)
    return np.bincount(place, np.clip(scores, -700, 700)) / np.bincount(place)


def _skill(p: np.ndarray, y: np.ndarray) -> float:
    """Mean one-against-rest AUROC over the classes that occur."""
    found = [
        _rank_auc(p[:, k], y == k) for k in range(p.shape[1]) if 0 < int((y == k).sum()) < len(y)
    ]
    return float(np.mean(found)) if found else 0.5


def _rank_auc(x: np.ndarray, positive: np.ndarray) -> float:
    """AUC of a column, a missing value below all others."""
    from scipy.stats import rankdata

    n, m = int(positive.sum()), int((~positive).sum())
    if not n or not m:
        return 0.5
    ranks = rankdata(np.where(np.isnan(x), -np.inf, x))
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * m))


def _by_rate(x: np.ndarray, y: np.ndarray, other: np.ndarray, levels: int) -> np.ndarray:
    """A category's levels by their mean outcome among the patients of the other half (`other`), so
    that no row is judged by its own outcome."""
    code = np.where(np.isnan(x), levels, x).astype(np.int64)
    out = np.empty(len(x))
    for half in (other, ~other):
        total = np.bincount(code[~half], y[~half], levels + 1)
        count = np.bincount(code[~half], minlength=levels + 1)
        out[half] = ((total + y.mean()) / (count + 1))[code[half]]
    return out


def _some(pool: Records, rows: int, rng: np.random.Generator) -> Records:
    """About `rows` records, whole patients drawn by lot."""
    if len(pool) <= rows:
        return pool
    ids, place, counts = np.unique(pool.patient, return_inverse=True, return_counts=True)
    order = rng.permutation(len(ids))
    kept = np.zeros(len(ids), dtype=bool)
    kept[order[np.cumsum(counts[order]) <= rows]] = True
    return pool.take(kept[place])


def _auc(
    scores: Scores, members: np.ndarray, nonmembers: np.ndarray, confidence: float,
    rng: np.random.Generator,
) -> Estimate:  # fmt: skip
    (found,) = estimates(
        scores, patients=(members, nonmembers), confidence=confidence, rng=rng, names=("auc",)
    )
    return found


def _interval(found: Estimate) -> str:
    if found.value is None or found.low is None or found.high is None:
        return "that cannot be stated"
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f}, {found.confidence:.4g} confidence)"


__all__ = ["Checked", "drift", "enough", "examine", "overlap"]
