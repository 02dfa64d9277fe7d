"""Audits of tables that are to be released, from Python."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from privaudit.errors import PrivauditError, python_session

if TYPE_CHECKING:
    from privaudit.deidentified.audit import AtRisk
    from privaudit.deidentified.document import ReleaseAudit
    from privaudit.inputs.table_file import Table

SHAREABLE, DOCUMENT, LIST = "shareable", "release.json", "patients_at_risk.csv"
AT_RISK = 10
"""Patients in classes of fewer are listed for the owner."""


@dataclass(frozen=True, eq=False)
class ReleaseFindings:
    """What an audit of a table found.

    Args:
        audit: The exact document, for the owner of the table.
        shared: The same with small numbers withheld, as it may be shared.
    """

    audit: ReleaseAudit = field(repr=False)
    shared: ReleaseAudit = field(repr=False)
    _patients: AtRisk = field(repr=False)

    @property
    def state(self) -> str:
        """WITHIN, EXCEEDS, INCONCLUSIVE or NO LIMIT."""
        return self.audit.state.value

    def __repr__(self) -> str:
        from privaudit.report.wording.release import word_verdict

        return f"{self.state}: {word_verdict(self.audit)}"

    def write(self, out: Path | str) -> Path:
        """Write the report: `shareable/` for everybody, `restricted/` for the owner.

        Args:
            out: The folder; made if it is not there.

        Returns:
            The path of the report that may be shared.
        """
        from privaudit.deidentified.document import to_json
        from privaudit.report import release_page
        from privaudit.restricted import NAME, keep_from_git, make_owners_own, make_private

        place = Path(out)
        if place.exists() and not place.is_dir():
            raise PrivauditError(
                "--out names a file", "the report is a folder of files", "name a folder"
            )
        private = make_private(place / NAME)
        keep_from_git(place, private)
        shareable = place / SHAREABLE
        shareable.mkdir(exist_ok=True)
        (shareable / DOCUMENT).write_text(to_json(self.shared), encoding="utf-8")
        page = release_page.write(self.shared, shareable)
        (private / DOCUMENT).write_text(to_json(self.audit), encoding="utf-8")
        release_page.write(self.audit, private)
        self._list_patients(private / LIST)
        make_owners_own(private)
        return page

    def _list_patients(self, path: Path) -> None:
        """Patients in small classes, the smallest first, by their names in the table or, without
        any, by the number of their row."""
        import numpy as np

        at_risk = self._patients
        small = np.flatnonzero(np.minimum(at_risk.k, at_risk.by_record) < AT_RISK)
        order = small[np.argsort(at_risk.k[small], kind="stable")]
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["patient", "alike_by_one_record", "alike_by_all_records"])
            for i in order:
                writer.writerow([at_risk.names[i], int(at_risk.by_record[i]), int(at_risk.k[i])])


@python_session()
def audit_release(
    table: Table,
    quasi_identifiers: Sequence[str],
    *,
    patient: str = "",
    sensitive: Sequence[str] = (),
    pseudonyms: Sequence[str] = (),
    not_known: Sequence[str] = (),
    population: Table | None = None,
    population_size: int | None = None,
    sampling_fraction: float | None = None,
    tolerance: Mapping[str, float] | None = None,
    missing: Literal["value", "wildcard", "both"] = "both",
    attacker: Literal["prosecutor", "journalist"] = "prosecutor",
    max_risk: float | None = None,
    max_average_risk: float | None = None,
    min_k: int | None = None,
    max_unique: float | None = None,
    max_disclosed: float | None = None,
    register_error: float = 0.05,
    register_missing: float = 0.05,
    schema: Path | str | None = None,
    out: Path | str | None = None,
    seed: int = 0,
    confidence: float = 0.95,
    command: str = "privaudit.audit_release(...)",
) -> ReleaseFindings:
    """Audit a table that is to be released: whom can others find in it?

    Args:
        table: A CSV or Parquet file, or a data frame.
        quasi_identifiers: Columns that others may know of a patient.
        patient: The column that names patients; guessed by its name, else each row is one.
        sensitive: Columns whose values nobody is to learn.
        pseudonyms: Columns of made-up numbers that look like identifiers.
        not_known: Columns of which you state that nobody outside knows them.
        population: A register of everybody from whom the patients are, with the same columns: the
            population's risk is then counted.
        population_size: How many people the patients were drawn from: it is then estimated.
        sampling_fraction: The share of them that is in the table, in place of their number.
        tolerance: Of numbers, and dates in days, how far off others' knowledge may be.
        missing: What a missing value is: a value of its own, one that fits all, or both.
        attacker: Whom limits are meant for: "prosecutor" knows that the patient is in the table.
        max_risk: Limit of the highest risk of a patient, 1 / the size of their class.
        max_average_risk: Limit of its average.
        min_k: Least size of a class.
        max_unique: Limit of the share of patients alone in their class.
        max_disclosed: Limit of the share of patients whose sensitive value their class gives away.
        register_error: Of the values in an attacker's list, the share that is wrong.
        register_missing: And the share that the attacker does not know.
        schema: A schema file (`privaudit schema`), for how missing values are written.
        out: Writes the report there.
        seed: Of the patients that are drawn to be linked.
        confidence: Of every interval.
        command: What the report says was asked for.

    Returns:
        The findings.

    Raises:
        PrivauditError: A table that cannot be audited, with what to do about it.

    Examples:
        >>> import numpy as np, pandas as pd, privaudit
        >>> rng = np.random.default_rng(0)
        >>> frame = pd.DataFrame(
        ...     {"age": rng.integers(20, 90, 500), "sex": rng.choice(["f", "m"], 500)}
        ... )
        >>> privaudit.audit_release(frame, ["age", "sex"], max_risk=0.2).state
        'EXCEEDS'
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from privaudit.deidentified.audit import Asked, audit_release_table
    from privaudit.deidentified.disclose import disclose
    from privaudit.deidentified.document import Attacker, Limits, Missing

    def names(given: Sequence[str]) -> tuple[str, ...]:
        return (given,) if isinstance(given, str) else tuple(given)

    limits = Limits(
        max_risk, max_average_risk, min_k, max_unique, max_disclosed, Attacker(attacker)
    )
    every = (Missing.VALUE, Missing.WILDCARD)
    audit, at_risk = audit_release_table(
        Asked(
            table=table,
            quasi_identifiers=names(quasi_identifiers),
            patient=patient,
            sensitive=names(sensitive),
            pseudonyms=names(pseudonyms),
            not_known=names(not_known),
            population=population,
            population_size=population_size,
            sampling_fraction=sampling_fraction,
            tolerances=dict(tolerance or {}),
            missing=every if missing == "both" else (Missing(missing),),
            limits=limits,
            register_error=register_error,
            register_missing=register_missing,
            schema=None if schema is None else Path(schema),
            confidence=confidence,
            seed=seed,
            command=command,
        )
    )
    found = ReleaseFindings(audit, disclose(audit), at_risk)
    if out is not None:
        found.write(out)
    return found


__all__ = ["ReleaseFindings", "audit_release"]
