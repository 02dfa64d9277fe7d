"""The risk of being told apart, by attacker and by what the attacker knows."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from privaudit.deidentified.classes import Matcher, count_patients, pack, profile, rank
from privaudit.deidentified.document import (
    Attacker,
    Known,
    Missing,
    Note,
    NoteCode,
    Risk,
    Source,
)
from privaudit.deidentified.population import PopulationRisk, Range, estimate_population
from privaudit.deidentified.read import Quasi, ReleaseTable, align
from privaudit.facts import Bound, BoundMethod, Metric
from privaudit.results import Estimate

BELOW = (5, 10, 20)
REGISTER_SHARE = 0.01
"""More patients than this who are fewer in the register than in the table: it is no population of
this table."""


@dataclass(eq=False)
class Measured:
    """risks: of every view. k: (patients,) of the strictest view; by_record: of one record."""

    risks: list[Risk] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    k: np.ndarray = field(default_factory=lambda: np.empty(0))
    by_record: np.ndarray = field(default_factory=lambda: np.empty(0))
    classes: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))


def get_classes(table: ReleaseTable) -> tuple[np.ndarray, np.ndarray]:
    """((rows,) class of each row, (patients,) class of each patient by all their rows)."""
    key = rank(pack([one.codes for one in table.quasi], table.rows))
    return key, profile(key, table.patient, table.patients)


def count_strictest(table: ReleaseTable) -> np.ndarray:
    """(patients,) how many patients have the same rows: the most that any attacker knows."""
    _, classes = get_classes(table)
    found: np.ndarray = np.bincount(classes)[classes]
    return found


def count_by_record(table: ReleaseTable, key: np.ndarray) -> np.ndarray:
    """(patients,) how many patients match the record of theirs that fewest match."""
    found = np.full(table.patients, np.inf)
    np.minimum.at(found, table.patient, count_patients(key, table.patient).astype(float))
    return found


def measure(
    table: ReleaseTable,
    *,
    tolerances: dict[str, float],
    missing: tuple[Missing, ...],
    register: ReleaseTable | None,
    population: int | None,
    confidence: float,
) -> Measured:
    """Every view of a table, of the attacker who knows that the patient is in it, and of those who
    know the population."""
    done = Measured()
    key, classes = get_classes(table)
    done.classes = classes
    strict = np.bincount(classes)[classes].astype(float)
    done.by_record = count_by_record(table, key) if table.several else strict
    fuzzy = bool(tolerances) or any(one.silent.any() for one in table.quasi)
    if table.several and fuzzy:
        done.notes.append(Note(NoteCode.EXACT_WITH_SEVERAL))
    views: list[tuple[Known, Missing, np.ndarray]] = []
    if table.several:
        views.append((Known.ONE_RECORD, Missing.VALUE, done.by_record))
        views.append((Known.ALL_RECORDS, Missing.VALUE, strict))
    else:
        for how in missing:
            counted = _count_loose(table, table, how, tolerances, strict)
            if counted is None:
                done.notes.append(Note(NoteCode.TOO_MANY_PATTERNS))
            else:
                views.append((Known.ALL_RECORDS, how, counted))
        if not views:
            views.append((Known.ALL_RECORDS, Missing.VALUE, strict))
    for known, how, k in views:
        done.risks.append(_risk(Attacker.PROSECUTOR, known, how, Source.TABLE, k, confidence))
    # The strictest view that was asked for: what the owner's list and the estimates are of.
    done.k = np.min([k for _, _, k in views], axis=0)
    if register is not None:
        _hold_against_register(done, table, register, views, tolerances, confidence)
    else:
        _estimate(done, classes, views, population, table.patients, confidence)
    return done


def _count_loose(
    table: ReleaseTable,
    other: ReleaseTable,
    how: Missing,
    tolerances: dict[str, float],
    strict: np.ndarray | None,
) -> np.ndarray | None:
    """(patients,) how many of `other` match, for tables of one row a patient."""
    plain = how is Missing.VALUE and not tolerances
    if plain and strict is not None:
        return strict
    wildcard = how is Missing.WILDCARD
    found = Matcher(tolerances, wildcard=wildcard).count(table, other)
    if found is None:
        return None
    by_patient = np.empty(table.patients)
    by_patient[table.patient] = found
    return by_patient


def _hold_against_register(
    done: Measured,
    table: ReleaseTable,
    register: ReleaseTable,
    views: list[tuple[Known, Missing, np.ndarray]],
    tolerances: dict[str, float],
    confidence: float,
) -> None:
    lacking = _share_absent(table, register)
    for known, how, k in views:
        if table.several and known is Known.ALL_RECORDS and not register.several:
            # One row a person says nothing of who else has all of these records.
            done.risks += _bound_risks(known, how, _bound_by_table(k), Source.BOUND, k, confidence)
            continue
        if table.several or register.several:
            there = _count_in_register(table, register, known)
        else:
            counted = _count_loose(table, register, how, tolerances, None)
            if counted is None:
                continue
            there = counted
        lacking = max(lacking, float((there < k).mean()))
        # A population holds the table, so each class has as many as the table at the least.
        both = np.maximum(there, k)
        for attacker in (Attacker.JOURNALIST, Attacker.MARKETER):
            done.risks.append(_risk(attacker, known, how, Source.REGISTER, both, confidence))
    if lacking > REGISTER_SHARE:
        done.notes.append(Note(NoteCode.REGISTER_WRONG, {"share": lacking}))
    elif lacking > 0:
        done.notes.append(Note(NoteCode.REGISTER_LACKS, {"share": lacking}))


def _share_absent(table: ReleaseTable, register: ReleaseTable) -> float:
    """Share of the table's patients whom the register does not name, where it names some of them:
    names that are none of the table's are other pseudonyms and say nothing."""
    named = set(register.names)
    absent = sum(name not in named for name in table.names) / table.patients
    return absent if absent < 1 and register.named and table.named else 0.0


def _count_in_register(table: ReleaseTable, register: ReleaseTable, known: Known) -> np.ndarray:
    """(patients,) how many of the register have the same rows, or the row of theirs that fewest
    have."""
    theirs = align(table, register)
    joined = [
        np.concatenate([a.codes, b.codes]) for a, b in zip(table.quasi, theirs.quasi, strict=True)
    ]
    key = rank(pack(joined, table.rows + register.rows))
    mine, others = key[: table.rows], key[table.rows :]
    if known is Known.ALL_RECORDS and register.several:
        patient = np.concatenate([table.patient, table.patients + register.patient])
        both = profile(key, patient, table.patients + register.patients)
        counts = np.bincount(both[table.patients :], minlength=int(both.max()) + 1)
        found: np.ndarray = counts[both[: table.patients]].astype(float)
        return found
    pairs = np.unique(others * register.patients + register.patient) // register.patients
    counts = np.bincount(pairs, minlength=int(key.max()) + 1)[mine]
    least = np.full(table.patients, np.inf)
    np.minimum.at(least, table.patient, counts.astype(float))
    return least


def _risk(
    attacker: Attacker,
    known: Known,
    how: Missing,
    source: Source,
    there: np.ndarray,
    confidence: float,
) -> Risk:
    """Counted in the table or in a register. there: (patients,) how many share the class."""
    n = {"patients": len(there)}

    def exact(name: str, value: float) -> Estimate:
        return Estimate(Metric(name), value, value, value, None, n, confidence)

    estimates = [exact("unique_share", float((there <= 1).mean()))]
    estimates += [exact(f"below_{size}", float((there < size).mean())) for size in BELOW]
    if attacker is not Attacker.MARKETER:
        estimates.append(exact("max_risk", float(1 / there.min())))
    estimates.append(exact("average_risk", float((1 / there).mean())))
    return Risk(attacker, known, how, source, tuple(estimates))


def _estimate(
    done: Measured,
    classes: np.ndarray,
    views: list[tuple[Known, Missing, np.ndarray]],
    population: int | None,
    patients: int,
    confidence: float,
) -> None:
    """Estimated of the classes by all that is known; a looser view is bounded by its own k."""
    known_size: PopulationRisk | None = None
    if population is None:
        done.notes.append(Note(NoteCode.NO_POPULATION))
    else:
        known_size = estimate_population(np.bincount(classes), population, confidence)
        done.notes.append(Note(NoteCode.POPULATION_STATED, {"population": population}))
        if population > patients:
            done.notes.append(Note(NoteCode.RANDOM_SAMPLE))
    for known, how, k in views:
        unique, average = _bound_by_table(k)
        exact = known is Known.ALL_RECORDS and _is_partition(classes, k)
        source = Source.BOUND
        if known_size is not None:
            source = Source.ESTIMATE
            # Looser views have larger classes: the upper ends hold for them too.
            unique = _under(known_size.unique, unique.high, exact and how is Missing.VALUE)
            average = _under(known_size.average, average.high, exact and how is Missing.VALUE)
        done.risks += _bound_risks(known, how, (unique, average), source, k, confidence)


def _bound_by_table(k: np.ndarray) -> tuple[Range, Range]:
    """The share alone in a population that holds the table, and their average risk."""
    nothing = float("nan")
    return (
        Range(nothing, 0.0, float((k <= 1).mean())),
        Range(nothing, 0.0, float((1 / k).mean())),
    )


def _bound_risks(
    known: Known,
    how: Missing,
    ranges: tuple[Range, Range],
    source: Source,
    k: np.ndarray,
    confidence: float,
) -> list[Risk]:
    """Of the attackers who know the population; one patient who is surely alone is at risk 1."""
    unique, average = ranges
    n = {"patients": len(k)}
    most = Range(float("nan"), 1.0 if unique.low * len(k) >= 1 else 0.0, float(1 / k.min()))
    bound = Bound(BoundMethod.CLASS_SIZES) if source is Source.ESTIMATE else None
    rows = [("unique_share", unique), ("max_risk", most), ("average_risk", average)]
    made = []
    for attacker in (Attacker.JOURNALIST, Attacker.MARKETER):
        estimates = tuple(
            Estimate(
                Metric(name),
                None if np.isnan(one.value) else one.value,
                one.low,
                one.high,
                None,
                n,
                confidence,
                bound,
            )
            for name, one in rows
            if name != "max_risk" or attacker is Attacker.JOURNALIST
        )
        made.append(Risk(attacker, known, how, source, estimates))
    return made


def _is_partition(classes: np.ndarray, k: np.ndarray) -> bool:
    return bool(np.array_equal(np.bincount(classes)[classes], k))


def _under(found: Range, most: float, exact: bool) -> Range:
    high = min(found.high, most)
    if not exact:
        return Range(float("nan"), 0.0, high)
    return Range(min(found.value, high), min(found.low, high), high)


def collapse_copies(table: ReleaseTable, columns: list[np.ndarray]) -> tuple[ReleaseTable, int]:
    """The table with rows that are equal in everything as one patient's, and how many were more.

    Only where two rows of different classes agree in the other columns less than once in 100 pairs,
    and rows of one class much more often: then they are copies, not patients alike.
    """
    if table.several or not columns:
        return table, 0
    rest = rank(pack(columns, table.rows))
    key, _ = get_classes(table)
    together = rank(key * (int(rest.max()) + 1) + rest)
    alike = _agreeing(together) / max(1.0, _agreeing(key))
    by_chance = max(0.0, _agreeing(rest) - _agreeing(together)) / max(
        1.0, table.rows * (table.rows - 1) / 2 - _agreeing(key)
    )
    if by_chance >= 0.01 or alike <= max(10 * by_chance, 1e-3):
        return table, 0
    _, first = np.unique(together, return_index=True)
    kept = np.sort(first)
    quasi = [
        Quasi(q.name, q.kind, q.codes[kept], q.levels, q.numbers, q.written[kept])
        for q in table.quasi
    ]
    names = tuple(table.names[i] for i in kept)
    frame = table.frame[kept.tolist()]
    return ReleaseTable(tuple(quasi), np.arange(len(kept)), names, frame), table.rows - len(kept)


def _agreeing(key: np.ndarray) -> float:
    """Pairs of rows with the same key."""
    counts = np.bincount(key).astype(float)
    return float((counts * (counts - 1) / 2).sum())


__all__ = [
    *("BELOW", "Measured", "collapse_copies", "count_by_record", "count_strictest"),
    *("get_classes", "measure"),
]
