"""What a policy holds: limits, guards, regressions and waivers, as data."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal

from privaudit.limits import MIN_CELL, MIN_FALSE_POSITIVES

SCHEMA = "privaudit.policy/1"

ReleaseKind = Literal["internal", "partner", "public-api", "open-weights", "tre-egress"]
RELEASES: tuple[ReleaseKind, ...] = (
    "internal",
    "partner",
    "public-api",
    "open-weights",
    "tre-egress",
)
Severity = Literal["block", "warn"]


@dataclass(frozen=True)
class Context:
    """Where the release goes. unit: whom the limits protect; subjects: those to be released, every
    subject of a run where none is named."""

    release: ReleaseKind = "internal"
    unit: str = "patient"
    subjects: tuple[str, ...] = ()


@dataclass(frozen=True)
class Statistics:
    """How sure a verdict must be. confidence: of each one-sided bound; correction: for many blocking
    rules at once; min_false_positives, min_cell: fewer are not judged."""

    confidence: float = 0.95
    correction: Literal["holm", "none"] = "holm"
    min_false_positives: int = MIN_FALSE_POSITIVES
    min_cell: int = MIN_CELL
    positive_control: Literal["required", "optional"] = "required"
    on_inconclusive: Literal["fail", "pass"] = "fail"


@dataclass(frozen=True)
class Limit:
    """A risk and the most of it that is allowed.

    fpr, prior: at what the metric is read; at: settings of the attack (patterns over what follows `@`); attacks:
    those that must have run, any that did where empty; by: groupings whose every group is held to it.
    """

    id: str
    metric: str
    max: float
    fpr: float | None = None
    prior: float | None = None
    at: tuple[str, ...] = ()
    attacks: tuple[str, ...] = ()
    by: tuple[str, ...] = ()
    severity: Severity = "block"


@dataclass(frozen=True)
class Guard:
    """A usefulness and the least of it (or the most error) that is allowed: no privacy by uselessness."""

    id: str
    metric: str
    min: float | None = None
    max: float | None = None
    by: tuple[str, ...] = ()
    severity: Severity = "block"


@dataclass(frozen=True)
class Regression:
    """A metric that must not have got worse than a baseline by more than the margin.

    baseline: the file, "" for the one given on the command line; candidate_seeds: runs of the
    candidate that the rule wants.
    """

    id: str
    metric: str
    margin: float
    fpr: float | None = None
    prior: float | None = None
    at: tuple[str, ...] = ()
    attacks: tuple[str, ...] = ()
    baseline: str = ""
    candidate_seeds: int = 3
    severity: Severity = "block"


@dataclass(frozen=True)
class Exemption:
    """A waiver as written: which rule, for which group and subject (empty: all), and until when."""

    limit: str
    reason: str
    approved_by: str
    expires: date
    group: str = ""
    subject: str = ""


@dataclass(frozen=True)
class Policy:
    """What an organisation allows, who says so, and until when it stands."""

    name: str
    review_by: date
    owner: str = ""
    approved_by: str = ""
    approved_on: date | None = None
    criteria: str = ""
    context: Context = Context()
    statistics: Statistics = Statistics()
    limits: tuple[Limit, ...] = ()
    guards: tuple[Guard, ...] = ()
    regressions: tuple[Regression, ...] = ()
    waivers: tuple[Exemption, ...] = ()
    sha256: str = ""

    @property
    def rules(self) -> tuple[Limit | Guard | Regression, ...]:
        return (*self.limits, *self.guards, *self.regressions)


__all__ = [
    "RELEASES",
    "SCHEMA",
    "Context",
    "Exemption",
    "Guard",
    "Limit",
    "Policy",
    "Regression",
    "Severity",
    "Statistics",
]
