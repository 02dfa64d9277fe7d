"""What a policy holds: limits, guards, regressions and waivers, as data with the range of every
key.

Each field is annotated with a `Key`: what it may hold, as JSON Schema and in words. The file is
read by it (`privaudit.policy.file`), and the JSON Schema of a policy is made of it
(`privaudit.policy.schema`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Literal, get_args

from privaudit.disclosure_limits import MIN_CELL, MIN_FALSE_POSITIVES
from privaudit.facts import FAMILIES, Family, Group
from privaudit.stats.catalogue import FPRS, PRIORS

SCHEMA = "privaudit.policy/1"

ReleaseKind = Literal["internal", "partner", "public-api", "open-weights", "tre-egress"]
RELEASES: tuple[ReleaseKind, ...] = get_args(ReleaseKind)
Severity = Literal["block", "warn"]

SHARE = "a share from 0 to 1 (3 in 100 is 0.03)"
EPSILON = "a number from 0 to 1000"


@dataclass(frozen=True)
class Key:
    """What one key of the policy file may hold: in words, for errors, and as JSON Schema."""

    wanted: str
    schema: Mapping[str, Any]

    def read(self, value: Any) -> Any:
        """The value as it is stored.

        Raises:
            ValueError: It is not what the schema allows.
        """
        schema = self.schema
        if schema.get("format") == "date":
            # A datetime is a date to isinstance; a policy speaks of days.
            return value if type(value) is date else date.fromisoformat(_text(value))
        if "enum" in schema:
            return _choice(value, schema["enum"])
        if schema["type"] == "array":
            found = tuple(_text(part) for part in value) if isinstance(value, list) else ()
            return _unless(not found or len(set(found)) != len(found), found)
        if schema["type"] == "object":
            fits = isinstance(value, dict) and set(value) == {"by", "level"}
            return (
                Group(_text(value["by"]), _text(value["level"])) if fits else _unless(True, value)
            )
        if schema["type"] == "string":
            return _text(value)
        whole = schema["type"] == "integer"
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
            raise ValueError
        _unless(not math.isfinite(value), value)
        _unless(value < schema.get("minimum", value) or value > schema.get("maximum", value), value)
        above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
        _unless(above is not None and value <= above, value)
        _unless(below is not None and value >= below, value)
        return value if whole else float(value)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise ValueError
    return value


def _choice(value: Any, choices: list[Any]) -> Any:
    """The choice that it is. A truth value is no number, though Python takes True for 1."""
    if isinstance(value, bool) or value not in choices:
        raise ValueError
    return choices[choices.index(value)]


def _unless(wrong: bool, value: Any) -> Any:
    if wrong:
        raise ValueError
    return value


def _number(wanted: str, **bounds: float) -> Key:
    return Key(wanted, {"type": "number", **bounds})


def _at_least(least: int) -> Key:
    wanted = f"a whole number of at least {least}"
    return Key(wanted, {"type": "integer", "minimum": least})


def _one_of(wanted: str, *choices: str | float) -> Key:
    return Key(wanted, {"enum": list(choices)})


def _string(wanted: str) -> Key:
    return Key(wanted, {"type": "string", "pattern": r"\S"})


def _list(wanted: str) -> Key:
    items = {"type": "string", "pattern": r"\S"}
    return Key(wanted, {"type": "array", "items": items, "minItems": 1, "uniqueItems": True})


_QUOTED = _string("a text in quotes")
_NAME = _string("a short name of the rule")
_METRIC = _string("the name of a metric, such as membership.auc")
_DAY = Key("a day, such as 2027-06-30", {"type": "string", "format": "date"})
_FPR = _one_of(f"one of {', '.join(f'{a:g}' for a in FPRS)}", *FPRS)
_PRIOR = _one_of(f"one of {', '.join(f'{a:g}' for a in PRIORS)}", *PRIORS)
_MAX = _number(SHARE, minimum=0, maximum=1000)
_BOUND = _number("a number", minimum=-1000, maximum=1000)
_AT = _list('a list of settings, such as ["sex"] or ["0.1 sd"]; * stands for anything')
_BY = _list('a list of groupings, such as ["sex", "age"]')
_ATTACKS = _list("a list of names of attacks, none twice")
_FAMILY = _one_of(f"one of {', '.join(FAMILIES)}", *FAMILIES)
_SEVERITY = _one_of('"block" or "warn"', "block", "warn")
_GROUP = Key(
    'a group, written as {by = "sex", level = "F"}',
    {
        "type": "object",
        "properties": {"by": {"type": "string"}, "level": {"type": "string"}},
        "required": ["by", "level"],
        "additionalProperties": False,
    },
)

Texts = tuple[str, ...]


@dataclass(frozen=True)
class Context:
    """Where the release goes. unit: whom the limits protect; subjects: those to be released, every
    subject of a run where none is named."""

    release: Annotated[ReleaseKind, _one_of(f"one of {', '.join(RELEASES)}", *RELEASES)] = (
        "internal"
    )
    unit: Annotated[str, _one_of('"patient", whom every interval counts', "patient")] = "patient"
    subjects: Annotated[Texts, _list("a list of names of subjects, none twice")] = ()


@dataclass(frozen=True)
class Statistics:
    """How sure a verdict must be. confidence: of each one-sided bound; correction: for many
    blocking rules at once; min_false_positives, min_cell: fewer are not judged."""

    confidence: Annotated[
        float, _number("between 0.5 and 1", exclusiveMinimum=0.5, exclusiveMaximum=1)
    ] = 0.95
    correction: Annotated[Literal["holm", "none"], _one_of('"holm" or "none"', "holm", "none")] = (
        "holm"
    )
    min_false_positives: Annotated[int, _at_least(MIN_FALSE_POSITIVES)] = MIN_FALSE_POSITIVES
    min_cell: Annotated[int, _at_least(MIN_CELL)] = MIN_CELL
    positive_control: Annotated[
        Literal["required", "optional"], _one_of('"required" or "optional"', "required", "optional")
    ] = "required"
    on_inconclusive: Annotated[
        Literal["fail", "pass"], _one_of('"fail" or "pass"', "fail", "pass")
    ] = "fail"


@dataclass(frozen=True)
class Limit:
    """A risk and the most of it that is allowed.

    fpr, prior: at what the metric is read; at: settings of the attack, exact or as patterns;
    attacks: those that must have run, any that did where empty; by: groupings whose every group is
    held to it.
    """

    id: Annotated[str, _NAME]
    metric: Annotated[str, _METRIC]
    max: Annotated[float, _MAX]
    fpr: Annotated[float | None, _FPR] = None
    prior: Annotated[float | None, _PRIOR] = None
    at: Annotated[Texts, _AT] = ()
    attacks: Annotated[Texts, _ATTACKS] = ()
    by: Annotated[Texts, _BY] = ()
    severity: Annotated[Severity, _SEVERITY] = "block"


@dataclass(frozen=True)
class Guard:
    """A utility and the least of it (or the most error) that is allowed: a model of no use leaks
    nothing. id: made of the metric where the file gives none."""

    id: Annotated[str, _NAME]
    metric: Annotated[str, _METRIC]
    min: Annotated[float | None, _BOUND] = None
    max: Annotated[float | None, _BOUND] = None
    by: Annotated[Texts, _BY] = ()
    severity: Annotated[Severity, _SEVERITY] = "block"


@dataclass(frozen=True)
class Regression:
    """A metric that must not have got worse than a baseline by more than the margin.

    id: made of the metric where the file gives none; baseline: the file, "" for the one given on
    the command line; candidate_seeds: runs of the candidate that the rule wants.
    """

    id: Annotated[str, _NAME]
    metric: Annotated[str, _METRIC]
    margin: Annotated[
        float, _number("a number between 0 and 1", exclusiveMinimum=0, exclusiveMaximum=1)
    ]
    fpr: Annotated[float | None, _FPR] = None
    prior: Annotated[float | None, _PRIOR] = None
    at: Annotated[Texts, _AT] = ()
    attacks: Annotated[Texts, _ATTACKS] = ()
    baseline: Annotated[str, _string("the path of a baseline file")] = ""
    candidate_seeds: Annotated[int, _at_least(1)] = 3
    severity: Annotated[Severity, _SEVERITY] = "block"


@dataclass(frozen=True)
class Exemption:
    """A waiver as written: which rule, for which group and subject (None, "": all), and until
    when."""

    limit: Annotated[str, _string("the id of a rule")]
    reason: Annotated[str, _string("why, in a sentence")]
    approved_by: Annotated[str, _string("who answers for it")]
    expires: Annotated[date, _DAY]
    group: Annotated[Group | None, _GROUP] = None
    subject: Annotated[str, _string("the name of a subject")] = ""


@dataclass(frozen=True)
class LeftOut:
    """A [[not_tested]] of the policy: a class of attack that it does not ask for, by name.

    attacks: these of the family alone, all of it where empty; subject: "" for every one;
    approved_by: who answers for it, whoever approved the policy where it is "". It excuses that
    nobody tested or limited the class, and nothing that exceeds a limit.
    """

    family: Annotated[Family, _FAMILY]
    reason: Annotated[str, _string("why, in a sentence")]
    attacks: Annotated[Texts, _ATTACKS] = ()
    subject: Annotated[str, _string("the name of a subject")] = ""
    approved_by: Annotated[str, _string("who answers for it")] = ""


@dataclass(frozen=True)
class Policy:
    """What an organisation allows, who says so, and until when it stands."""

    name: Annotated[str, _QUOTED]
    review_by: Annotated[date, _DAY]
    owner: Annotated[str, _QUOTED] = ""
    approved_by: Annotated[str, _QUOTED] = ""
    approved_on: Annotated[date | None, _DAY] = None
    criteria: Annotated[str, _QUOTED] = ""
    context: Context = Context()
    statistics: Statistics = Statistics()
    limits: tuple[Limit, ...] = ()
    guards: tuple[Guard, ...] = ()
    regressions: tuple[Regression, ...] = ()
    waivers: tuple[Exemption, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    sha256: str = ""

    @property
    def rules(self) -> tuple[Limit | Guard | Regression, ...]:
        return (*self.limits, *self.guards, *self.regressions)
