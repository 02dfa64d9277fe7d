"""What the audit of a de-identified table found, as data: no text, no row."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from privaudit.facts import Param
from privaudit.results import Estimate, from_tree, to_tree

SCHEMA = "privaudit.release/1"


class Attacker(StrEnum):
    """Who looks for a patient, as ISO/IEC 27559 and El Emam name them."""

    PROSECUTOR = "prosecutor"
    """knows that the patient is in the table"""
    JOURNALIST = "journalist"
    """knows a patient of the population, and not whether they are in the table"""
    MARKETER = "marketer"
    """links as many as possible, and does not mind errors"""


class Known(StrEnum):
    """What the attacker knows of a patient."""

    ONE_RECORD = "one_record"
    ALL_RECORDS = "all_records"


class Missing(StrEnum):
    """What a missing value is to the attacker."""

    VALUE = "value"
    """a value of its own"""
    WILDCARD = "wildcard"
    """one that fits every value"""


class Source(StrEnum):
    """Where a number of patients of the population comes from."""

    TABLE = "table"
    REGISTER = "register"
    ESTIMATE = "estimate"
    BOUND = "bound"
    """nothing is known of the population but that it holds the table"""


class State(StrEnum):
    WITHIN = "WITHIN"
    EXCEEDS = "EXCEEDS"
    INCONCLUSIVE = "INCONCLUSIVE"
    NO_LIMIT = "NO LIMIT"


EXIT_CODES: Mapping[State, int] = {
    State.WITHIN: 0,
    State.EXCEEDS: 1,
    State.INCONCLUSIVE: 3,
    State.NO_LIMIT: 0,
}


class NoteCode(StrEnum):
    """What a reader must know. Those of `DOUBTS` keep a table from being within its limits."""

    FINER_COLUMN = "finer_column"
    """an undeclared column from which a quasi-identifier follows (columns, quasi)"""
    KNOWN_COLUMN = "known_column"
    """undeclared columns of a kind that others know (columns)"""
    SINGLES_OUT = "singles_out"
    """undeclared columns that tell patients apart by themselves: numbers of people, free text,
    places, measurements (columns, more)"""
    NOTHING_RECORDED = "nothing_recorded"
    """a quasi-identifier without any value (columns)"""
    CONSTANT = "constant"
    """a quasi-identifier with one value (columns)"""
    MEASURED = "measured"
    """a quasi-identifier that is a number with decimals (columns)"""
    DATES = "dates"
    """a quasi-identifier with full dates (columns)"""
    SPELLINGS_MERGED = "spellings_merged"
    """values that differ by case, blanks or zeros were taken for one (columns, levels)"""
    SPELLINGS_DECIDE = "spellings_decide"
    """and as they are written, a limit is exceeded"""
    COPIED_ROWS = "copied_rows"
    """rows equal in everything were counted as one patient (rows)"""
    REGISTER_LACKS = "register_lacks"
    """patients whose class has more members in the table than in the register (share)"""
    REGISTER_WRONG = "register_wrong"
    """so many that the register is no population of this table (share)"""
    RANDOM_SAMPLE = "random_sample"
    """estimates hold where the table is a simple random sample"""
    POPULATION_STATED = "population_stated"
    """the population's size is as it was stated (population)"""
    NO_POPULATION = "no_population"
    """neither register nor size: the population's risk is bounded by the table's"""
    EXACT_WITH_SEVERAL = "exact_with_several"
    """with several rows a patient, values are matched exactly"""
    TOO_MANY_PATTERNS = "too_many_patterns"
    """values are missing in too many ways to be compared as wildcards"""
    PATIENT_COLUMN = "patient_column"
    """the column by which patients were told apart (columns)"""
    ROWS_ARE_PATIENTS = "rows_are_patients"
    """no column names patients"""
    PSEUDONYMS = "pseudonyms"
    """columns said to hold made-up numbers (columns)"""
    SENSITIVE_NOT_LIMITED = "sensitive_not_limited"
    """limits are given, and none on what classes give away of the sensitive columns"""
    NEARLY_GIVEN_AWAY = "nearly_given_away"
    """more patients than the limit are in classes that nearly all have one value, which is not the
    most frequent (columns)"""
    SENSITIVE_NOT_NAMED = "sensitive_not_named"
    """undeclared columns, sensitive by their name, whose values classes give away (columns)"""
    STATED_ALONE = "stated_alone"
    """columns that tell patients apart by themselves, and were stated not to be known (columns,
    more)"""
    NOT_KNOWN = "not_known"
    """columns of which it was stated that nobody outside knows them (columns)"""
    TOLERANCE = "tolerance"
    """others' knowledge of these was stated to be imprecise (columns)"""
    WILDCARD_ALONE = "wildcard_alone"
    """a missing value was stated to fit all, and not judged as a value of its own"""
    WILDCARD_DECIDES = "wildcard_decides"
    """and judged as values of their own, a limit is exceeded"""
    REPEATED_NAMES = "repeated_names"
    """columns that name patients, of whom some have several rows, each counted as one (columns)"""
    NAMES_ALIKE = "names_alike"
    """patients of one class whose names differ by signs between the letters alone (columns)"""
    COPIED_PATIENTS = "copied_patients"
    """patients with other names are equal in everything, or every class a multiple of a number"""
    REGISTER_COPIED = "register_copied"
    """the same of the register"""


DOUBTS = frozenset(
    (
        *(NoteCode.FINER_COLUMN, NoteCode.KNOWN_COLUMN, NoteCode.NOTHING_RECORDED),
        *(NoteCode.SPELLINGS_DECIDE, NoteCode.WILDCARD_DECIDES, NoteCode.REGISTER_WRONG),
        *(NoteCode.SENSITIVE_NOT_LIMITED, NoteCode.NEARLY_GIVEN_AWAY),
        *(NoteCode.SENSITIVE_NOT_NAMED, NoteCode.SINGLES_OUT),
        *(NoteCode.REPEATED_NAMES, NoteCode.NAMES_ALIKE, NoteCode.COPIED_PATIENTS),
        NoteCode.REGISTER_COPIED,
    )
)
ASSUMPTIONS = (
    *(NoteCode.NOT_KNOWN, NoteCode.PSEUDONYMS, NoteCode.TOLERANCE, NoteCode.WILDCARD_ALONE),
    *(NoteCode.ROWS_ARE_PATIENTS, NoteCode.POPULATION_STATED, NoteCode.RANDOM_SAMPLE),
)
"""What was taken at its word and a verdict rests on; stated where the verdict is."""


@dataclass(frozen=True)
class Note:
    code: NoteCode
    params: Mapping[str, Param] = field(default_factory=dict)


@dataclass(frozen=True)
class Risk:
    """The risk under one attacker who knows so much.

    estimates: unique_share (patients alone in their class), below_5, below_10, below_20 (in classes
    of fewer), max_risk, average_risk; of the table these are counts and have no interval beyond
    themselves.
    """

    attacker: Attacker
    known: Known
    missing: Missing
    source: Source
    estimates: tuple[Estimate, ...]

    def get(self, name: str) -> Estimate | None:
        return next((one for one in self.estimates if one.metric.name == name), None)


@dataclass(frozen=True)
class SensitiveRisk:
    """What the classes give away of one sensitive column.

    estimates: disclosed_share (of patients whose class has one recorded value alone),
    disclosed_large (the same, in classes of 10 or more), disclosed_nearly (of patients whose value
    95 % of their class have), right_share (patients whose value is the
    most frequent of their class), right_without (the same without their own row, what the table's
    statistics give away of anybody), guess_share (the most frequent value of all),
    right_minus_without; farthest (largest total variation distance of a class of 10 or more from
    the whole: t of t-closeness). least_values: the fewest different values of a class (l of
    l-diversity), None where it is not shared. banded: the column is a number, in ten bands.
    """

    column: str
    estimates: tuple[Estimate, ...]
    least_values: int | None
    banded: bool


@dataclass(frozen=True)
class Linkage:
    """An attacker with their own copy of the quasi-identifiers links patients to rows.

    error, missing: shares of the attacker's values that are wrong and not known. real: the copy is
    the register that was supplied. estimates: best_right (the best candidate is the patient),
    claimed_right (a link is claimed and right), claimed_false (a link is claimed though the patient
    is not in the table), claimed_difference. targets: patients looked for.
    """

    error: float
    missing: float
    real: bool
    targets: int
    estimates: tuple[Estimate, ...]


@dataclass(frozen=True)
class Change:
    """What the table would be with one quasi-identifier changed. step: what is done to it.

    step: none, left_out, band_5, band_10, band (width), month, year, merged (levels below `width`
    patients become one), prefix (first `width` characters). unique, average, highest: shares and
    risks after it; suppressed: share of patients to be left out so that every class then has `k`;
    path: whether it is a step of the shortest way found.
    """

    column: str
    step: str
    width: float
    unique: float
    average: float
    highest: float
    suppressed: float
    path: bool = False


@dataclass(frozen=True)
class Limits:
    """What is asked of the table; None for no limit."""

    max_risk: float | None = None
    max_average_risk: float | None = None
    min_k: int | None = None
    max_unique: float | None = None
    max_disclosed: float | None = None
    attacker: Attacker = Attacker.PROSECUTOR

    @property
    def any(self) -> bool:
        asked = (self.max_risk, self.max_average_risk, self.min_k, self.max_unique)
        return any(one is not None for one in (*asked, self.max_disclosed))


@dataclass(frozen=True)
class Rule:
    """One limit, judged over every view; low, high: of the number that decides."""

    name: str
    limit: float
    state: State
    low: float
    high: float
    known: Known | None = None
    missing: Missing | None = None
    source: Source = Source.TABLE


@dataclass(frozen=True)
class ReleaseAudit:
    """The whole document. exact: every count is in it, for the owner alone."""

    created: str
    version: str
    command: str
    rows: int
    patients: int
    several: bool
    quasi_identifiers: tuple[str, ...]
    tolerances: Mapping[str, float]
    sensitive: tuple[str, ...]
    population: int | None
    source: Source
    confidence: float
    limits: Limits
    state: State
    rules: tuple[Rule, ...]
    risks: tuple[Risk, ...]
    sensitive_risks: tuple[SensitiveRisk, ...]
    linkages: tuple[Linkage, ...]
    changes: tuple[Change, ...]
    k: int
    notes: tuple[Note, ...]
    seconds: float
    exact: bool = True
    schema: str = SCHEMA

    @property
    def code(self) -> int:
        return EXIT_CODES[self.state]

    def risk(
        self,
        attacker: Attacker = Attacker.PROSECUTOR,
        known: Known = Known.ALL_RECORDS,
        missing: Missing = Missing.VALUE,
    ) -> Risk | None:
        """The risk under one attacker; None where it was not measured."""
        return next(
            (
                one
                for one in self.risks
                if (one.attacker, one.known, one.missing) == (attacker, known, missing)
            ),
            None,
        )


def to_json(audit: ReleaseAudit) -> str:
    """The document as JSON: sorted keys, no non-finite number."""
    tree = to_tree(audit)
    return json.dumps(tree, indent=1, sort_keys=True, allow_nan=False) + "\n"


def from_json(text: str) -> ReleaseAudit:
    """Read back what `to_json` wrote."""
    tree: Any = json.loads(text)
    found: ReleaseAudit = from_tree(tree, ReleaseAudit)
    return found


__all__ = [
    *("DOUBTS", "EXIT_CODES", "SCHEMA", "Attacker", "Change", "Known", "Limits", "Linkage"),
    *("Missing", "Note", "NoteCode", "ReleaseAudit", "Risk", "Rule", "SensitiveRisk", "Source"),
    *("State", "from_json", "to_json"),
]
