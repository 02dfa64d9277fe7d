"""An outcome of your own table: a bank's customers, a school's pupils, a hospital's export."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from privaudit.contracts import FlowStep, Prepared, Progress, Task
from privaudit.disclosure.marginals import OF_CLASS, WHOLE
from privaudit.errors import PrivauditError
from privaudit.facts import Caveat, CaveatCode, Param, Reason, ReasonCode
from privaudit.inputs import identifiers
from privaudit.inputs.check_alike import refuse_respelled_groups
from privaudit.inputs.check_copies import refuse_twins
from privaudit.inputs.check_public import find_unchecked
from privaudit.inputs.checks import ENOUGH_HELD_OUT, MIN_PATIENTS
from privaudit.inputs.fit_guesses import fit_pooled
from privaudit.inputs.read_table import attach_series, read_cells, to_records
from privaudit.inputs.schema import TableSchema, read_schema
from privaudit.inputs.table_file import open_table
from privaudit.records import Records
from privaudit.stats.groups import UNRECORDED, name_rare_classes

if TYPE_CHECKING:
    from privaudit.inputs.read_table import Cells

SOURCE = "user-supplied table"
HELD_OUT = 0.4
"""Share of the people that `Split.assign` holds out when the attacker owns the usual fifth."""
LEAST = 5 * MIN_PATIENTS // 2
"""People of whom each of members and held-out gets about 20: of fewer nothing can be estimated."""
MIN_SAMPLE = 100
SUCH = 3
"""Columns that a reason names as examples."""
SEED = 2026
"""Draws the people of a sample."""
_PROPOSE = "privaudit schema TABLE --outcome COLUMN --patient COLUMN --out schema.toml"


@dataclass(frozen=True)
class Table(Task):
    """The outcome of a user's own table, predicted from the columns that a schema describes.

    The schema says what each column is, who the person is, and which site holds a record; nothing
    is guessed. Methods that guarantee an epsilon are trained where every bound, level and class is
    public knowledge.

    Args:
        schema: The schema's file, as `privaudit schema` proposes it.
        checked: Columns whose bounds, levels or classes are public knowledge, though they may have
            been read off the table; `all` for every one.
        sample: About how many rows to read, of people drawn at random; 0 for all.
        target, site, person: The columns of the outcome, of the site and of the person, where the
            schema names none.
        equal_rows: Whether people whose rows are equal in every column are known to be different
            people, however many there are.
    """

    schema: str = ""
    checked: tuple[str, ...] = ()
    sample: int = 0
    target: str = ""
    site: str = ""
    person: str = ""
    equal_rows: bool = False

    @property
    def title(self) -> str:  # type: ignore[override]
        """The outcome's name."""
        return self.read_roles().outcome

    @property
    def positive(self) -> str:  # type: ignore[override]
        """The event, of an outcome of two classes."""
        schema = self.read_roles()
        if len(schema.classes) != 2:
            return schema.outcome
        last = schema.classes[-1]
        return f"{schema.outcome} = {last}" if last.strip().isdigit() else last

    def prepare(self, data: Path | None, cache: Path, progress: Progress) -> Prepared:
        """Records of the table: see `privaudit.contracts.Task.prepare`.

        Raises:
            PrivauditError: No table or no schema; a schema that leaves open who the person is; an
                outcome that is no class; too few people; and every fault of the table.
        """
        if data is None:
            raise PrivauditError(
                "the task `table` without --data",
                "it reads a table of your own",
                "give a CSV or Parquet file: --data TABLE.csv --schema schema.toml",
            )
        if data.is_dir():
            raise PrivauditError(
                "a folder as --data of the task `table`",
                "it reads one table",
                "give a CSV or Parquet file",
            )
        if self.sample and self.sample < MIN_SAMPLE:
            raise PrivauditError(
                f"a sample of {self.sample} rows",
                "it is about so many rows, of people drawn at random",
                f"use {MIN_SAMPLE} or more, or 0 for all rows",
            )
        schema = self.read_roles()
        refuse_unstated_person(schema, data)
        progress("reading the schema", 0.1)
        unchecked = find_unchecked(schema, data, self.checked)
        widened: list[str] = []
        if unchecked:
            schema, widened = fit_pooled(schema, data)
        else:
            # Bounds are never widened by the data that a guarantee covers.
            schema = replace(schema, guessed={})
        progress("reading the table", 0.4)
        own = replace(schema, groups=tuple(dict.fromkeys([*schema.groups, *_site(schema)])))
        patients: dict[str, int] = {}
        cells = read_cells(
            data,
            own,
            patients=patients,
            max_rows=self.sample or None,
            rng=np.random.default_rng(SEED),
        )
        (cells,), of_series = attach_series([cells])
        records = name_rare_classes(_to_records(cells, schema))
        people = _refuse_few(records)
        if not self.equal_rows:
            refuse_twins(records)
        such = {"columns": unchecked[:SUCH]}
        why = Reason(ReasonCode.SCHEMA_NOT_CHECKED, such) if unchecked else None
        counts = {name: int((records.y == k).sum()) for k, name in enumerate(records.classes)}
        step = "rows of the table, less those not drawn into the sample"
        return Prepared(
            records,
            (FlowStep(step, cells.rows - len(records), len(records), people),),
            SOURCE,
            True,
            notes=(
                *_describe(records, people, drawn=len(records) < cells.rows),
                *of_series,
                *widened,
            ),
            facts={WHOLE: people} | {OF_CLASS.format(n): count for n, count in counts.items()},
            patients=patients if schema.patient else {},
            words=schema.words,
            unguaranteed=why,
        )

    def read_roles(self) -> TableSchema:
        """The schema, with the columns named beside it.

        Raises:
            PrivauditError: No schema, no outcome, one that is no class, or a column named twice.
        """
        if not self.schema:
            raise PrivauditError(
                "the task `table` without --schema",
                "what the columns are, who a person is and which column is the outcome is never "
                "guessed",
                f"run `{_PROPOSE}`, check every line, and give it with --schema schema.toml",
            )
        schema = read_schema(self.schema)
        for role, asked in (("outcome", self.target), ("site", self.site)):
            schema = _name_role(schema, role, asked)
        if self.person:
            schema = replace(_name_role(schema, "patient", self.person), states_patient=True)
        if not schema.outcome:
            raise PrivauditError(
                "a schema without an outcome",
                "a model is trained to predict one",
                f'write `outcome = "COLUMN"` and its `classes` into [table], or run `{_PROPOSE}`',
            )
        if schema.outcome_kind != "class":
            raise PrivauditError(
                f"the outcome {schema.outcome!r} is a {schema.outcome_kind}",
                "the methods of `run` train models of classes",
                "put it into classes, as a length of stay into days; or train a model of your own "
                "and audit it: `privaudit audit` takes numbers and times",
            )
        return schema


def refuse_unstated_person(schema: TableSchema, data: Path) -> None:
    """Refuse to take each row for a person where nobody said so.

    Were several rows one person, that person would be trained on and held out at once, and a leak
    would be read too small.

    Raises:
        PrivauditError: The schema says nothing of who the person is, or says that each row is one
            while a column of the table names people who have several.
    """
    if schema.patient:
        return
    if not schema.states_patient:
        raise PrivauditError(
            "a schema that does not say who the person is",
            "members and held-out people are told apart by person, and a person may have several "
            "rows",
            'write `patient = "COLUMN"` into [table], or `patient = ""` where each row is a person '
            "of its own",
        )
    with open_table(data, "the table") as table:
        named = identifiers.find_patient(tuple(table.columns))
        if not named or named in (schema.outcome, schema.site):
            return
        seen: set[object] = set()
        for batch in table.batches([named]):
            values = batch[named].drop_nulls().to_list()
            if len(set(values)) < len(values) or seen & set(values):
                raise PrivauditError(
                    f"each row is said to be a person, and the column {named!r} names people who "
                    "have several rows",
                    "a person on both sides makes a leak look smaller than it is",
                    f"write `patient = {named!r}` into [table]; if the column names no people, "
                    "give it another name",
                )
            seen |= set(values)


def _name_role(schema: TableSchema, role: str, asked: str) -> TableSchema:
    """The schema with a column's role; a column that has one is no feature."""
    named = getattr(schema, role)
    if not asked or asked == named:
        return schema
    if named:
        raise PrivauditError(
            f"the {role} {asked!r} with a schema whose {role} is {named!r}",
            "the schema says what each column is",
            f"leave the setting out, or change {role} in the schema",
        )
    columns = tuple(column for column in schema.columns if column.name != asked)
    return replace(schema, columns=columns, **{role: asked})  # type: ignore[arg-type]


def _site(schema: TableSchema) -> tuple[str, ...]:
    return (schema.site,) if schema.site else ()


def _to_records(cells: Cells, schema: TableSchema) -> Records:
    """The records, at their sites."""
    sites = cells.groups.get(schema.site)
    if sites is not None and schema.site not in schema.groups:
        del cells.groups[schema.site]
    refuse_respelled_groups([cells.groups if sites is None else {**cells.groups, "site": sites}])
    records = to_records(cells, schema)
    if sites is None:
        return records
    names, codes = np.unique(sites, return_inverse=True)
    return replace(records, site=codes, sites=tuple(map(str, names)))


def _refuse_few(records: Records) -> int:
    """How many people there are, enough for an audit and of two outcomes at least."""
    people = len(np.unique(records.patient))
    if people < LEAST:
        raise PrivauditError(
            f"a table of {people} people",
            f"an audit holds some of them out, and below {MIN_PATIENTS} a side an interval covers "
            "almost everything",
            f"give a table of at least {LEAST}; a few hundred make a meaningful audit",
        )
    if len(np.unique(records.y)) < 2:
        raise PrivauditError(
            "a table in which everybody has one outcome",
            "a model needs rows of at least two outcomes to learn a difference",
            "give more rows, or another outcome",
        )
    return people


def _describe(records: Records, people: int, *, drawn: bool) -> tuple[str | Caveat, ...]:
    notes: list[str | Caveat] = []
    held = round(HELD_OUT * people)
    if held < ENOUGH_HELD_OUT:
        few: dict[str, Param] = {"patients": held, "wanted": ENOUGH_HELD_OUT, "fpr": 0.01}
        notes.append(Caveat(CaveatCode.FEW_HELD_OUT, "note", few))
    if drawn:
        # No counts: rounding does not read texts.
        notes.append("Of the table a sample of people was drawn at random (task.sample).")
    if len(records.sites) > 1:
        # Whether there are any is not said: they may be few.
        notes.append(f"Rows that name no site are one site of their own, {UNRECORDED!r}.")
    absent = np.isnan(records.X).all(axis=0)
    if absent.any():
        names = [column.name for column, gone in zip(records.columns, absent, strict=True) if gone]
        notes.append(f"Never recorded in these rows: {', '.join(names)}.")
    return tuple(notes)


__all__ = ["Table"]
