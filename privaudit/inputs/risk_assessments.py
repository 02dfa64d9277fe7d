"""FHIR RiskAssessment resources, as a table of predictions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from privaudit.disclosure_limits import name_count
from privaudit.errors import PrivauditError
from privaudit.inputs.models.json_text import parse_json
from privaudit.inputs.table_file import Table, open_table

if TYPE_CHECKING:
    import polars as pl

SUFFIXES = (".ndjson", ".jsonl", ".json")

MOST_BYTES = 4 << 30
MOST_LINE = 4 << 20
MOST_BUNDLE = 256 << 20
"""Of a line, and of a bundle, which is read whole."""

VOID = ("entered-in-error", "cancelled")
"""States of an assessment that counts for nothing."""

WHAT = "the file of risk assessments"


@dataclass(frozen=True)
class Assessments:
    """A file of assessments and the tables that say who was trained on and what was recorded."""

    path: Path
    members: Table
    nonmembers: Table
    outcome: str
    patient: str


def is_assessments(path: Path) -> bool:
    """Whether a file of predictions holds resources and not rows."""
    return path.suffix.lower() in SUFFIXES


def read_assessments(given: Assessments) -> tuple[pl.DataFrame, str, tuple[str, ...]]:
    """One row a patient: name, outcome, membership and probabilities.

    Returns:
        The rows, the column of membership, and the columns of probabilities: one for each outcome
        that the assessments name, or one alone where each has one prediction.

    Raises:
        PrivauditError: What is no RiskAssessment, a patient of two assessments or rows, one without
            an assessment, or a probability that is none.
    """
    import polars as pl

    found: dict[str, dict[str, float]] = {}
    for resource in _read(given.path):
        if resource.get("resourceType") == "RiskAssessment" and resource.get("status") not in VOID:
            name = _read_subject(resource)
            if name in found:
                raise PrivauditError(
                    "several assessments of one patient",
                    "which of them belongs to the patient's row is not guessed",
                    "keep one for each patient, as it was given at the time of the row",
                )
            found[name] = _read_predictions(resource)
    kinds = {tuple(sorted(one)) for one in found.values()}
    if len(kinds) != 1:
        raise PrivauditError(
            f"{WHAT} holds no assessment" if not kinds else "assessments of different outcomes",
            "every patient needs a probability of the same outcomes",
            "keep the RiskAssessment resources of one model",
        )
    (names,) = kinds
    member = "trained_on" if given.outcome != "trained_on" else "is_member"
    parts = []
    for table, what, inside in (
        (given.members, "the members table", 1),
        (given.nonmembers, "the non-members table", 0),
    ):
        rows = _read_rows(table, what, given)
        parts.append(rows.with_columns(pl.lit(inside).alias(member)))
    both = pl.concat(parts)
    keys = both[given.patient].to_list()
    absent = sum(key not in found for key in keys)
    if absent:
        raise PrivauditError(
            f"{name_count(absent)} patients of the tables without an assessment",
            "who has none may differ from the others",
            "give the assessments of all, with the patient's identifier as the tables spell it "
            "(Patient/IDENTIFIER), or leave these rows out of the tables",
        )
    columns = tuple(f"p_{name}" if len(names) > 1 else "p" for name in names)
    values = {
        column: [found[key][name] for key in keys]
        for column, name in zip(columns, names, strict=True)
    }
    return (
        both.with_columns(pl.Series(n, v, pl.Float64) for n, v in values.items()),
        member,
        columns,
    )


def _read_rows(table: Table, what: str, given: Assessments) -> pl.DataFrame:
    import polars as pl

    wanted = [given.patient, given.outcome]
    with open_table(table, what) as opened:
        lacking = [name for name in wanted if name not in opened.columns]
        if lacking:
            raise PrivauditError(
                f"{what} has no column {lacking[0]!r}",
                "assessments are joined with the tables by the patient",
                "name the columns: --patient COLUMN --outcome COLUMN",
            )
        rows = pl.concat(
            [
                part.select(pl.col(name).cast(pl.String).str.strip_chars() for name in wanted)
                for part in opened.batches(wanted)
            ]
        )
    if rows[given.patient].null_count() or rows[given.patient].is_duplicated().any():
        raise PrivauditError(
            f"{what} has patients of several rows, or of no name",
            "an assessment names its patient and no row",
            "keep one row for each patient",
        )
    return rows


def _read(path: Path) -> Iterator[dict[str, Any]]:
    """The resources of a file, one a line or in a bundle."""
    if not path.is_file():
        raise PrivauditError(f"{WHAT} is not there", "it is one file", "check the path given")
    size = path.stat().st_size
    most = MOST_BUNDLE if path.suffix.lower() == ".json" else MOST_BYTES
    if not 0 < size <= most:
        raise PrivauditError(
            f"{WHAT} of {size:,} bytes",
            f"up to {most >> 20} MB are read, and an empty one says nothing",
            "give one resource a line (.ndjson)",
        )
    if path.suffix.lower() == ".json":
        tree = _parse(path.read_bytes())
        entries = tree.get("entry") if isinstance(tree, dict) else None
        if not isinstance(entries, list):
            raise _strange()
        for entry in entries:
            yield _as_table(entry.get("resource") if isinstance(entry, dict) else None)
        return
    with path.open("rb") as file:
        while line := file.readline(MOST_LINE + 1):
            if len(line) > MOST_LINE:
                raise _strange()
            if line.strip():
                yield _as_table(_parse(line))


def _parse(raw: bytes) -> Any:
    try:
        return parse_json(raw)
    except (ValueError, json.JSONDecodeError):
        raise _strange() from None


def _as_table(tree: Any) -> dict[str, Any]:
    if not isinstance(tree, dict):
        raise _strange()
    return tree


def _read_subject(resource: dict[str, Any]) -> str:
    """The identifier in a reference such as Patient/ID, a URL that ends so, or urn:uuid:ID."""
    subject = resource.get("subject")
    text = subject.get("reference") if isinstance(subject, dict) else None
    if not isinstance(text, str):
        raise _strange()
    text = text.partition("/_history/")[0].strip()
    kind, mark, name = text.rpartition("/")
    if mark and kind.rpartition("/")[2] != "Patient":
        raise PrivauditError(
            "an assessment whose subject is no patient",
            "patients are the unit of privacy here",
            "keep the assessments of patients",
        )
    name = name.removeprefix("urn:uuid:")
    if not name:
        raise _strange()
    return name


def _read_predictions(resource: dict[str, Any]) -> dict[str, float]:
    given = resource.get("prediction")
    if not isinstance(given, list) or not given or not all(isinstance(p, dict) for p in given):
        raise _strange()
    found: dict[str, float] = {}
    for one in given:
        p = one.get("probabilityDecimal")
        if isinstance(p, bool) or not isinstance(p, int | float):
            raise PrivauditError(
                "a prediction without probabilityDecimal",
                "membership is inferred from the probability; a range or a word such as `high` is "
                "none",
                "write the model's probability as probabilityDecimal",
            )
        if not 0 <= p <= 1:
            raise PrivauditError(
                "a probabilityDecimal outside [0, 1]",
                "percentages and probabilities cannot be told apart by their values, and the "
                "standard allows both",
                "divide percentages by 100",
            )
        name = _name_outcome(one.get("outcome"), needed=len(given) > 1)
        if name in found:
            raise _strange()
        found[name] = float(p)
    return found


def _name_outcome(outcome: Any, *, needed: bool) -> str:
    """An outcome's own name; where it is alone, a name tells whether others are of another one."""
    if isinstance(outcome, dict):
        codings = outcome.get("coding")
        first = codings[0] if isinstance(codings, list) and codings else {}
        code = first.get("code") if isinstance(first, dict) else None
        for text in (outcome.get("text"), code):
            if isinstance(text, str) and text.strip():
                return text.strip()
    if not needed:
        return ""
    raise PrivauditError(
        "several predictions of which one names no outcome",
        "each is the probability of one class",
        "name it in prediction.outcome.text or .coding",
    )


def _strange() -> PrivauditError:
    return PrivauditError(
        f"{WHAT} cannot be read",
        "it holds one FHIR resource a line (.ndjson), or a bundle (.json), and each RiskAssessment "
        "has a subject and predictions with probabilityDecimal",
        "export the RiskAssessment resources again",
    )


__all__ = ["SUFFIXES", "Assessments", "is_assessments", "read_assessments"]
