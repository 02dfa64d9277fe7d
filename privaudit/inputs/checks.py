"""What is checked of the tables and the model before any attack: it decides what a number means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from privaudit.contracts import Model, Scores
from privaudit.disclosure_limits import MIN_PEOPLE, name_count
from privaudit.errors import PrivauditError
from privaudit.facts import Caveat, CaveatCode, Param
from privaudit.inputs import identifiers
from privaudit.inputs.check_answers import examine_answers, rank_auc
from privaudit.inputs.check_copies import find_duplicates
from privaudit.inputs.check_numbers import examine_predictions, examine_risks
from privaudit.inputs.summarise_series import with_summaries
from privaudit.records import Records, Split
from privaudit.results import Estimate
from privaudit.seeds import Seeds
from privaudit.signals import ask, read_signal
from privaudit.signals import confidence as confidence_of
from privaudit.stats import by_record, estimates
from privaudit.stats.patients import has_several

MIN_PATIENTS = MIN_PEOPLE
"""Patients a side below which an interval covers almost everything."""

ENOUGH_HELD_OUT = 1_000
"""Held-out patients for a rate at a false positive rate of 0.01: 10 of them are false positives."""

MAX_COMPARED_RECORDS = 4_000
"""Records a side with which the pools are compared."""

MAX_COMPARED_COLUMNS = 300
SHIFT_CONFIDENCE = 0.999
"""Confidence at which a distribution shift is stated: a false one would void a fair audit."""

MIN_EXPECTED = 20
"""Records of a level to be expected in a pool before it means something that there are none."""

OUTCOME = "the outcome"
RECORDS = "how many records a patient has"
"""What is no column and differs all the same."""

MOST_MARGIN = 700.0
"""Beyond this a margin is that of a probability of 0 or 1."""
OUTCOME_AUC = 0.98
"""A column that ranks the outcome at least this well may hold it."""


@dataclass(frozen=True)
class Checked:
    """What was found.

    distribution_shift: why no membership number means what it should, None where none was found;
    caveats: what a reader must know before any number; notes: the rest; facts: numbers.
    """

    distribution_shift: Caveat | None
    caveats: tuple[Caveat, ...]
    notes: tuple[Caveat, ...]
    facts: dict[str, str | int | float]


def refuse_overlap(members: Records, nonmembers: Records, patient: str) -> None:
    """Refuse where a patient is on both sides."""
    shared = np.intersect1d(members.patient, nonmembers.patient)
    if len(shared):
        raise PrivauditError(
            f"{name_count(len(shared))} patients are among the members and among the non-members",
            f"by {patient!r}; whoever is on both sides makes the audit read a leak that is none, "
            "or miss one",
            "take every row of these patients out of the held-out table",
        )


def refuse_few_patients(split: Split) -> None:
    """Refuse pools of so few patients that nothing can be estimated."""
    for name, pool in (("members", split.members), ("non-members", split.nonmembers)):
        size = len(np.unique(pool.patient))
        if size < MIN_PATIENTS:
            raise PrivauditError(
                f"{size} patients among the {name}",
                f"below {MIN_PATIENTS} an interval covers almost everything",
                f"give at least {MIN_PATIENTS - size} more; {ENOUGH_HELD_OUT:,} held-out patients "
                "allow a rate at a false positive rate of 1 in 100",
            )


def examine(
    split: Split, model: Model | None, *, seeds: Seeds, confidence: float = 0.95, reads: bool = True
) -> Checked:
    """Make all checks of an audit that could be run, before any attack.

    Args:
        split: The pools.
        model: The model under audit; None where its answers were refused.
        seeds: Random streams of the checks.
        confidence: Coverage of the intervals.
        reads: Whether the records hold what the model reads (not where only its probabilities are
            known).

    Returns:
        The caveats, notes and numbers found.
    """
    caveats: list[Caveat] = []
    notes: list[Caveat] = []
    facts: dict[str, str | int | float] = {}
    shift: Caveat | None = None
    pools = (split.members, split.nonmembers)
    p = [] if model is None else [ask(model, pool) for pool in pools]
    kind = split.members.outcome_kind
    examiners = {"class": examine_answers, "number": examine_predictions, "time": examine_risks}
    answered = examiners[kind](split, p) if p else []
    if reads:
        tested = measure_shift(split, seeds.rng("drift"))
        if "auc" in tested.params:
            facts["distribution shift, AUC without the model"] = round(
                float(str(tested.params["auc"])), 4
            )
        if tested.code is CaveatCode.DISTRIBUTION_SHIFT:
            shift = tested
        else:
            (notes if tested.severity == "note" else caveats).append(tested)
        caveats += find_outcome_columns(split.members)
        caveats += find_identifying_columns(split.members)
        caveats += find_duplicates(split)
    else:
        caveats.append(Caveat(CaveatCode.DISTRIBUTION_SHIFT_NOT_TESTED))
    shift = shift or compare_record_counts(split, seeds.rng("records"))
    caveats += count_held_out(split)
    caveats += answered
    if not p:
        return Checked(shift, tuple(caveats), tuple(notes), facts)
    margins = [
        confidence_of(read_signal(one, pool), kind) for one, pool in zip(p, pools, strict=True)
    ]
    if kind != "class":
        unit = float(np.median(-np.concatenate(margins))) or 1.0
        margins = [one / unit for one in margins]
    notes += compare_units(split, margins, seeds.rng("units"), confidence)
    return Checked(shift, tuple(caveats), tuple(notes), facts)


def measure_shift(split: Split, rng: np.random.Generator) -> Caveat:
    """Can members be told from non-members without the model?

    A boosted classifier of features and outcome; each patient is judged by one that never saw them.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import GroupKFold

    sides = [_sample(pool, MAX_COMPARED_RECORDS, rng) for pool in (split.members, split.nonmembers)]
    both = with_summaries(Records.concatenate(sides))
    inside = np.arange(len(both)) < len(sides[0])
    X = np.column_stack([both.X, both.y.astype(np.float32)])
    width = X.shape[1]
    if width > MAX_COMPARED_COLUMNS:
        X = X[:, np.sort(rng.permutation(width)[:MAX_COMPARED_COLUMNS])]
    score = np.empty(len(X))
    for train, test in GroupKFold(3).split(X, groups=both.patient):
        judge = HistGradientBoostingClassifier(
            max_iter=40,
            learning_rate=0.1,
            min_samples_leaf=20,
            early_stopping=False,
            random_state=int(rng.integers(2**31)),
        )
        judge.fit(X[train], inside[train])
        score[test] = judge.decision_function(X[test])
    scores = Scores(score[inside], score[~inside])
    auc = _auc(scores, both.patient[inside], both.patient[~inside], SHIFT_CONFIDENCE, rng)
    read = _interval(auc)
    apart = _find_levels_apart(both, inside)
    if apart is not None and (read is None or read[1] <= 0.5):
        # A classifier splits a rare level off late; that one side lacks it altogether is surer.
        shown = Scores(apart.holds[inside], apart.holds[~inside])
        found = _auc(shown, both.patient[inside], both.patient[~inside], SHIFT_CONFIDENCE, rng)
        read = _interval(found) or read
    if read is None:
        return Caveat(CaveatCode.DISTRIBUTION_SHIFT_NOT_TESTED)
    value, low, high = read
    params: dict[str, Param] = {
        "auc": value,
        "low": low,
        "high": high,
        "confidence": SHIFT_CONFIDENCE,
    }
    if low <= 0.5:
        return Caveat(CaveatCode.NO_DISTRIBUTION_SHIFT, "note", params)
    columns = _most_different_columns(both, inside)
    if apart is not None and apart.column not in columns:
        columns = (apart.column, *columns)[:3]
    return Caveat(CaveatCode.DISTRIBUTION_SHIFT, params={**params, "columns": columns})


def compare_record_counts(split: Split, rng: np.random.Generator) -> Caveat | None:
    """That members and non-members can be told apart by how many records they have, None where they
    cannot (Kolmogorov and Smirnov's test).

    Scores are added over a patient's records: held-out patients of many records spread farther by
    chance, and hide members of few from a rate at a low false positive rate.
    """
    from scipy.stats import ks_2samp

    pools = [pool.patient for pool in (split.members, split.nonmembers)]
    if not has_several(pools):
        return None
    (ones, members), (zeros, others) = (np.unique(ids, return_counts=True) for ids in pools)
    tested = ks_2samp(members, others)
    if tested.pvalue > 1 - SHIFT_CONFIDENCE:
        return None
    cut = tested.statistic_location
    above = [np.asarray(counts > cut, dtype=np.float64) for counts in (members, others)]
    sign = 1.0 if above[0].mean() >= above[1].mean() else -1.0
    told = Scores(sign * above[0], sign * above[1])
    read = _interval(_auc(told, ones, zeros, SHIFT_CONFIDENCE, rng))
    if read is None:
        return None
    params: dict[str, Param] = {
        "auc": read[0],
        "low": read[1],
        "high": read[2],
        "confidence": SHIFT_CONFIDENCE,
        "columns": (RECORDS,),
    }
    return Caveat(CaveatCode.DISTRIBUTION_SHIFT, params=params)


@dataclass(frozen=True, eq=False)
class _LevelApart:
    """A level that one side holds and the other does not. holds: (n,) its sign, 0 for no record."""

    column: str
    holds: np.ndarray


def _find_levels_apart(both: Records, inside: np.ndarray) -> _LevelApart | None:
    """The commonest level or class, or missing values, of one side that never occur in the other.

    Only where at least 20 records were to be expected there.
    """
    best, found = 0.0, None
    parts = [(c.name, both.X[:, j]) for j, c in enumerate(both.columns) if c.kind != "numeric"]
    if len(both.classes) > 1:
        parts.append((OUTCOME, both.y.astype(np.float32)))
    sizes = {True: int(inside.sum()), False: int((~inside).sum())}
    for name, x in parts:
        code = np.where(np.isnan(x), -1, x).astype(np.int64) + 1
        counts = {s: np.bincount(code[inside == s], minlength=int(code.max()) + 1) for s in sizes}
        for side in (True, False):
            share = np.where(counts[not side] == 0, counts[side], 0) / sizes[side]
            level = int(share.argmax())
            if share[level] > best and share[level] * sizes[not side] >= MIN_EXPECTED:
                best = float(share[level])
                found = _LevelApart(name, np.where(code == level, 1.0 if side else -1.0, 0.0))
    return found


def _most_different_columns(both: Records, inside: np.ndarray) -> tuple[str, ...]:
    found = [abs(rank_auc(both.X[:, j], inside) - 0.5) for j in range(both.X.shape[1])]
    names = [*(column.name for column in both.columns), OUTCOME]
    found.append(abs(rank_auc(both.y.astype(np.float64), inside) - 0.5))
    best = np.argsort(found)[::-1][:3]
    return tuple(names[j] for j in best if found[j] > 0.02)


def find_outcome_columns(members: Records) -> list[Caveat]:
    """Columns that give the outcome away by themselves."""
    some = members.take(slice(0, 20_000))
    y = some.y
    if some.outcome_kind != "class":
        size = np.abs(y) if some.outcome_kind == "time" else y
        y = (size > np.median(size)).astype(np.int64)
    other = some.patient % 2 == 0
    found = []
    for j, column in enumerate(some.columns):
        x = some.X[:, j]
        if column.levels and not 1 < len(column.levels) <= 50:
            continue
        best = 0.5
        for k in np.unique(y):
            own = (y == k).astype(np.float64)
            seen = _by_rate(x, own, other, len(column.levels)) if column.levels else x
            best = max(best, abs(rank_auc(seen, y == k) - 0.5) + 0.5)
        if best >= OUTCOME_AUC and len(np.unique(y)) > 1:
            found.append((column.name, best))
    return [
        Caveat(CaveatCode.OUTCOME_IN_COLUMN, params={"column": name, "auc": best})
        for name, best in found[:5]
    ]


def find_identifying_columns(members: Records) -> list[Caveat]:
    """Features that may identify a person, by their names or because every value is different."""
    named: dict[str, list[str]] = {}
    for j, column in enumerate(members.columns):
        what = identifiers.find_identifier(column.name)
        x = members.X[: min(len(members), 20_000), j]
        x = x[~np.isnan(x)]
        all_differ = len(x) >= 100 and len(np.unique(x)) == len(x)
        if what and (all_differ or len(np.unique(x)) > 50):
            named.setdefault(what, []).append(column.name)
        elif all_differ and bool((x % 1 == 0).all()):
            named.setdefault("a number of its own for each row", []).append(column.name)
    return [
        Caveat(CaveatCode.IDENTIFYING_COLUMNS, params={"columns": tuple(names), "identifier": what})
        for what, names in named.items()
    ]


def count_held_out(split: Split) -> list[Caveat]:
    """Whether there are enough held-out patients for a rate at a low false positive rate."""
    size = len(np.unique(split.nonmembers.patient))
    if size >= ENOUGH_HELD_OUT:
        return []
    params: dict[str, Param] = {"patients": size, "wanted": ENOUGH_HELD_OUT, "fpr": 0.01}
    return [Caveat(CaveatCode.FEW_HELD_OUT, params=params)]


def compare_units(
    split: Split, margins: Sequence[np.ndarray], rng: np.random.Generator, confidence: float
) -> list[Caveat]:
    """The loss attack by record and by patient, where patients have several records."""
    ids = (split.members.patient, split.nonmembers.patient)
    rows = sum(len(part) for part in ids)
    patients = sum(len(np.unique(part)) for part in ids)
    if rows < 1.05 * patients:
        return []
    scores = Scores(*(np.clip(part, -MOST_MARGIN, MOST_MARGIN) for part in margins))
    one_by_one = by_record(scores, patients=ids, confidence=confidence, rng=rng)
    record = _interval(one_by_one[0]) if one_by_one else None
    patient = _interval(_auc(scores, *ids, confidence, rng))
    if record is None or patient is None:
        return []
    params: dict[str, Param] = {
        "records": rows,
        "patients": patients,
        "confidence": confidence,
        "record_auc": record[0],
        "record_low": record[1],
        "record_high": record[2],
        "patient_auc": patient[0],
        "patient_low": patient[1],
        "patient_high": patient[2],
    }
    return [Caveat(CaveatCode.SEVERAL_RECORDS_A_PATIENT, "note", params)]


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


def _sample(pool: Records, rows: int, rng: np.random.Generator) -> Records:
    """About `rows` records of patients drawn at random."""
    if len(pool) <= rows:
        return pool
    ids, place, counts = np.unique(pool.patient, return_inverse=True, return_counts=True)
    order = rng.permutation(len(ids))
    chosen = np.zeros(len(ids), dtype=bool)
    chosen[order[np.cumsum(counts[order]) <= rows]] = True
    return pool.take(chosen[place])


def _auc(
    scores: Scores,
    members: np.ndarray,
    nonmembers: np.ndarray,
    confidence: float,
    rng: np.random.Generator,
) -> Estimate:
    (found,) = estimates(
        scores, patients=(members, nonmembers), confidence=confidence, rng=rng, names=("auc",)
    )
    return found


def _interval(found: Estimate) -> tuple[float, float, float] | None:
    """(value, low, high), None where the estimate is not stated."""
    if found.value is None or found.low is None or found.high is None:
        return None
    return found.value, found.low, found.high


__all__ = [
    "Checked",
    "examine",
    "find_identifying_columns",
    "find_outcome_columns",
    "measure_shift",
    "refuse_few_patients",
    "refuse_overlap",
]
