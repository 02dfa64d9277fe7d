"""The audit of a de-identified table, from what was asked for to the document."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from privaudit import __version__
from privaudit.deidentified.changes import find_path, try_changes
from privaudit.deidentified.counted_twice import find_register_repeats, find_repeats
from privaudit.deidentified.decided_by import spelling_decides, wildcard_decides
from privaudit.deidentified.document import (
    Limits,
    Missing,
    Note,
    NoteCode,
    ReleaseAudit,
    Source,
)
from privaudit.deidentified.judge import judge
from privaudit.deidentified.linkage import link, link_register
from privaudit.deidentified.measure import (
    collapse_copies,
    measure,
)
from privaudit.deidentified.read import (
    ReleaseTable,
    align,
    read_column,
    read_release,
    read_tolerances,
)
from privaudit.deidentified.sensitive import measure_sensitive, share_singled
from privaudit.deidentified.undeclared import find_notes, refuse_identifiers
from privaudit.disclosure_limits import MIN_CELL
from privaudit.errors import PrivauditError, spell
from privaudit.inputs.identifiers import find_patient, is_outcome, is_sensitive
from privaudit.inputs.read_table import list_names
from privaudit.seeds import Seeds

if TYPE_CHECKING:
    from privaudit.inputs.schema import TableSchema
    from privaudit.inputs.table_file import Table

K = 10
"""The size that classes are to reach where no limit says another."""
SUPPRESSED = 0.01
"""A way of coarsening is looked for until no more patients than this are to be left out."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a release audit is asked for; see `privaudit.audit_release`."""

    table: Table
    quasi_identifiers: tuple[str, ...]
    patient: str = ""
    sensitive: tuple[str, ...] = ()
    pseudonyms: tuple[str, ...] = ()
    not_known: tuple[str, ...] = ()
    population: Table | None = None
    population_size: int | None = None
    sampling_fraction: float | None = None
    tolerances: Mapping[str, float] = field(default_factory=dict)
    missing: tuple[Missing, ...] = (Missing.VALUE, Missing.WILDCARD)
    limits: Limits = field(default_factory=Limits)
    register_error: float = 0.05
    register_missing: float = 0.05
    schema: Path | None = None
    confidence: float = 0.95
    seed: int = 0
    command: str = ""


@dataclass(frozen=True, eq=False)
class AtRisk:
    """Of each patient, for the owner alone: the name in the table, and how many share their class
    by one record and by all; disclosed: the sensitive columns that their class gives away."""

    names: tuple[str, ...]
    by_record: np.ndarray
    k: np.ndarray


def audit_release_table(asked: Asked) -> tuple[ReleaseAudit, AtRisk]:
    """Audit a de-identified table; the exact document and its patients, neither to be shared."""
    start = time.perf_counter()
    _check(asked)
    schema = _read_schema(asked)
    table, patient = _read(asked, schema)
    tolerances = read_tolerances(asked.tolerances, table)
    notes = _note_inputs(asked, table, patient)
    table, copies = _collapse(table, patient)
    if copies:
        notes.append(Note(NoteCode.COPIED_ROWS, {"rows": copies}))
    if table.patients < MIN_CELL:
        raise PrivauditError(
            f"a table of fewer than {MIN_CELL} patients",
            "no class of so few patients is described, and every patient of such a table is in one",
            "audit the table that is to be released, not an excerpt",
        )
    notes += find_repeats(table, patient, asked.pseudonyms, asked.sensitive)
    register = _read_register(asked, table, patient, schema)
    if register is not None:
        notes += find_register_repeats(register, patient)
    population = _find_population(asked, table, register)
    done = measure(
        table,
        tolerances=tolerances,
        missing=asked.missing,
        register=register,
        population=None if register is not None else population,
        confidence=asked.confidence,
    )
    notes += done.notes
    sensitive = [
        measure_sensitive(table, done.classes, read_column(table.frame[name]), asked.confidence)
        for name in asked.sensitive
    ]
    limits = asked.limits
    if limits.any and sensitive and limits.max_disclosed is None:
        notes.append(Note(NoteCode.SENSITIVE_NOT_LIMITED))
    notes += _note_given_away(asked, table, patient, done.classes)
    if spelling_decides(table, done, limits, sensitive, tolerances, asked.missing):
        notes.append(Note(NoteCode.SPELLINGS_DECIDE))
    if wildcard_decides(table, done, limits, sensitive, tolerances, asked.missing):
        notes.append(Note(NoteCode.WILDCARD_DECIDES))
    state, rules = judge(limits, done.risks, sensitive, notes)
    seeds = Seeds(asked.seed).child("release")
    settings = [(0.0, 0.0), (asked.register_error, asked.register_missing)]
    linkages = [
        link(
            table,
            error=error,
            missing=lacking,
            tolerances=tolerances,
            rng=seeds.rng("linkage", place),
            confidence=asked.confidence,
        )
        for place, (error, lacking) in enumerate(dict.fromkeys(settings))
    ]
    if register is not None and patient in register.frame.columns:
        real = link_register(
            table, register, rng=seeds.rng("register"), confidence=asked.confidence
        )
        linkages += [real] if real is not None else []
    wanted = _wanted_k(limits)
    changes = try_changes(table, wanted)
    # Fewer than 10 are not told from none by where the path ends.
    most = max(SUPPRESSED, MIN_CELL / table.patients)
    changes += find_path(table, wanted, most, changes)
    audit = ReleaseAudit(
        created=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        version=__version__,
        command=asked.command,
        rows=table.rows,
        patients=table.patients,
        several=table.several,
        quasi_identifiers=asked.quasi_identifiers,
        tolerances=dict(tolerances),
        sensitive=asked.sensitive,
        population=population,
        source=(
            Source.REGISTER
            if register is not None
            else Source.BOUND
            if population is None
            else Source.ESTIMATE
        ),
        confidence=asked.confidence,
        limits=limits,
        state=state,
        rules=rules,
        risks=tuple(done.risks),
        sensitive_risks=tuple(sensitive),
        linkages=tuple(linkages),
        changes=tuple(changes),
        k=int(done.k.min()),
        notes=tuple(notes),
        seconds=time.perf_counter() - start,
    )
    return audit, AtRisk(table.names, done.by_record, done.k)


def _check(asked: Asked) -> None:
    limits = asked.limits
    for name, value, low, high in (
        ("max-risk", limits.max_risk, 0.0, 1.0),
        ("max-average-risk", limits.max_average_risk, 0.0, 1.0),
        ("max-unique", limits.max_unique, -1e-12, 1.0),
        ("max-disclosed", limits.max_disclosed, -1e-12, 1.0),
        ("register-error", asked.register_error, -1e-12, 1.0),
        ("register-missing", asked.register_missing, -1e-12, 1.0),
        ("sampling-fraction", asked.sampling_fraction, 0.0, 1.0),
    ):
        if value is not None and not low < value <= high:
            raise PrivauditError(
                f"--{name} {value:g}",
                f"it is a share, {'from' if low < 0 else 'above'} 0 and at most 1",
                "give a share, such as 0.05",
            )
    if not 0.5 <= asked.confidence < 1:
        raise PrivauditError(
            f"a confidence of {asked.confidence:g}",
            "it lies at least at 0.5 and below 1",
            "use 0.95",
        )
    if limits.min_k is not None and limits.min_k < 2:
        raise PrivauditError(
            f"--min-k {limits.min_k}",
            "every class has a patient, so that any table is within it",
            "use 5 or 10",
        )
    for name, value in (
        ("max-risk", limits.max_risk),
        ("max-average-risk", limits.max_average_risk),
        ("max-unique", limits.max_unique),
        ("max-disclosed", limits.max_disclosed),
    ):
        if value is not None and value >= 1:
            raise PrivauditError(
                f"--{name} {value:g}",
                "no share is above 1, so that any table is within it",
                "give a share such as 0.05, or no such limit",
            )
    if limits.max_disclosed is not None and not asked.sensitive:
        raise PrivauditError(
            "--max-disclosed without a sensitive column",
            "it limits what classes give away of the sensitive columns",
            "name them with --sensitive",
        )
    given = [asked.population, asked.population_size, asked.sampling_fraction]
    if sum(one is not None for one in given) > 1:
        raise PrivauditError(
            "a register, a size or a sampling fraction of the population, several of them",
            "each says how large the population is, and they may disagree",
            "give one of --population, --population-size and --sampling-fraction",
        )
    both = set(asked.quasi_identifiers) & set(asked.sensitive)
    if both or (asked.patient in asked.quasi_identifiers + asked.sensitive and asked.patient):
        raise PrivauditError(
            f"{list_names(sorted(both) or [asked.patient])} with two roles",
            "a column is a quasi-identifier, sensitive, or names patients",
            "name it once",
        )


def _read_schema(asked: Asked) -> TableSchema | None:
    if asked.schema is None:
        return None
    from privaudit.inputs.schema import read_schema

    return read_schema(asked.schema)


def _read(asked: Asked, schema: TableSchema | None) -> tuple[ReleaseTable, str]:
    """The table, and the column that names patients: as said, by the schema, or by its name."""
    from privaudit.inputs.table_file import open_table

    patient = asked.patient or (schema.patient if schema else "")
    if not patient:
        with open_table(asked.table, "the table") as opened:
            patient = find_patient(opened.columns)
        if patient in (*asked.quasi_identifiers, *asked.sensitive):
            patient = ""
    others = (*asked.sensitive, *asked.pseudonyms, *asked.not_known)
    table = read_release(
        asked.table, asked.quasi_identifiers, patient=patient, others=others, schema=schema
    )
    refuse_identifiers(table.frame, patient, asked.pseudonyms)
    return table, patient


def _note_inputs(asked: Asked, table: ReleaseTable, patient: str) -> list[Note]:
    notes = find_notes(table, asked.sensitive, patient, (*asked.not_known, *asked.pseudonyms))
    if patient:
        notes.append(Note(NoteCode.PATIENT_COLUMN, {"columns": (patient,)}))
    else:
        notes.append(Note(NoteCode.ROWS_ARE_PATIENTS))
    for code, names in (
        (NoteCode.PSEUDONYMS, asked.pseudonyms),
        (NoteCode.NOT_KNOWN, asked.not_known),
        (NoteCode.TOLERANCE, tuple(name for name, width in asked.tolerances.items() if width > 0)),
    ):
        if names:
            notes.append(Note(code, {"columns": names}))
    if asked.missing == (Missing.WILDCARD,) and any(one.silent.any() for one in table.quasi):
        notes.append(Note(NoteCode.WILDCARD_ALONE))
    return notes


def _note_given_away(
    asked: Asked, table: ReleaseTable, patient: str, classes: np.ndarray
) -> list[Note]:
    """What classes give away beyond the rule on equal values, and of columns not named."""
    if not asked.limits.any:
        return []
    notes = []
    most = asked.limits.max_disclosed
    nearly = [
        name
        for name in asked.sensitive
        if most is not None and share_singled(table, classes, read_column(table.frame[name])) > most
    ]
    if nearly:
        notes.append(Note(NoteCode.NEARLY_GIVEN_AWAY, {"columns": tuple(nearly)}))
    declared = {one.name for one in table.quasi} | {patient, *asked.sensitive, *asked.pseudonyms}
    given = [
        name
        for name in table.frame.columns
        if name not in declared
        and (is_sensitive(name) or is_outcome(name))
        and share_singled(table, classes, read_column(table.frame[name]), 1.0) > 0
    ]
    if given:
        notes.append(Note(NoteCode.SENSITIVE_NOT_NAMED, {"columns": tuple(given)}))
    return notes


def _collapse(table: ReleaseTable, patient: str) -> tuple[ReleaseTable, int]:
    if patient:
        return table, 0
    declared = {one.name for one in table.quasi}
    rest = [name for name in table.frame.columns if name not in declared]
    return collapse_copies(table, [read_column(table.frame[name]).codes for name in rest])


def _read_register(
    asked: Asked, table: ReleaseTable, patient: str, schema: TableSchema | None
) -> ReleaseTable | None:
    """The register with the table's codes; its patients are told by the same column, if it has
    it."""
    if asked.population is None:
        return None
    from privaudit.inputs.table_file import open_table

    with open_table(asked.population, "the population table") as opened:
        named = patient if patient in opened.columns else find_patient(opened.columns)
        named = "" if named in asked.quasi_identifiers else named
    found = read_release(
        asked.population, asked.quasi_identifiers, patient=named, schema=schema, what="population"
    )
    if found.patients < table.patients:
        raise PrivauditError(
            f"a population of {found.patients:,} for a table of {table.patients:,} patients",
            "the population holds the patients of the table and others",
            spell("give the register of all: --population FILE", "give the register of all"),
        )
    return align(table, found)


def _find_population(
    asked: Asked, table: ReleaseTable, register: ReleaseTable | None
) -> int | None:
    if register is not None:
        return register.patients
    size = asked.population_size
    if asked.sampling_fraction is not None:
        size = round(table.patients / asked.sampling_fraction)
    if size is not None and size < table.patients:
        raise PrivauditError(
            f"a population of {size:,} for a table of {table.patients:,} patients",
            "the population holds the patients of the table and others",
            "give how many people the table's patients were drawn from",
        )
    return size


def _wanted_k(limits: Limits) -> int:
    """The size of class that the limits on the highest risk come to."""
    wanted = [limits.min_k or 1]
    if limits.max_risk is not None:
        wanted.append(int(np.ceil(1 / limits.max_risk - 1e-9)))
    return max(wanted) if limits.min_k or limits.max_risk is not None else K


__all__ = ["Asked", "AtRisk", "audit_release_table"]
