"""Verdicts: what a run says of an organisation's limits, as data that `privaudit.policy` makes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import cattrs
from cattrs.errors import BaseValidationError

from privaudit.errors import PrivauditError
from privaudit.facts import Caveat, Group, Metric, Reason, Setting
from privaudit.results import converter

SCHEMA = "privaudit.verdicts/3"

State = Literal["WITHIN", "EXCEEDS", "INCONCLUSIVE", "NOT TESTED", "REFUTED", "NOT REFUTED"]
"""The last two are of a limit on what an attack proves, which has no upper bound: it is proved to
be broken, or that is not proved and nothing more is known."""

BROKEN: frozenset[State] = frozenset({"EXCEEDS", "REFUTED"})
"""A limit is surely broken."""

STATES: tuple[State, ...] = (
    "EXCEEDS",
    "REFUTED",
    "INCONCLUSIVE",
    "NOT TESTED",
    "NOT REFUTED",
    "WITHIN",
)
"""The worst first."""

OF_WHOLE: Mapping[State, State] = {"REFUTED": "EXCEEDS", "NOT REFUTED": "INCONCLUSIVE"}
"""What the whole is in where a verdict of this state decides; its own state for the others."""

Kind = Literal["limit", "guard", "regression", "coverage"]


@dataclass(frozen=True)
class Waiver:
    """An exception that somebody answers for until it expires. Never makes a verdict WITHIN."""

    reason: str
    approved_by: str
    expires: str


@dataclass(frozen=True)
class Verdict:
    """One rule applied to one number of one subject. `privaudit.report.wording.verdicts` words it.

    rule: the policy's id of it; kind: limit (a risk, at most), guard (a utility), regression
    (change against a baseline, at most the margin), or coverage (a class of attack that applies to
    the release must be tested and limited: `metric` is its family, and `limit` says nothing);
    metric: the policy's name of it, read at `fpr` or `prior`. limit: the number allowed; at_least:
    it is a minimum. reason: why this state; where the number that decides is not stated, the reason
    of that number. value, low, high, chance: as measured (less what a null reads, where membership
    was not assigned at random), with the two-sided interval at `confidence`; lower, upper: the
    one-sided bounds that decided (the one that blocks is adjusted over the blocking rules). attack,
    setting, group: "" or None where it is about none. number: which number of the audit it is.
    untested: attacks of this kind that gave no number, and why. control: why a control of the
    attack was not made, None where the reason is another. together: for a guarantee, the subjects
    whose claims are judged as one, since whoever holds all of them knows more than each says;
    `subject` is then "".
    """

    rule: str
    kind: Kind
    subject: str
    metric: str
    state: State
    severity: Literal["block", "warn"]
    limit: float
    reason: Reason
    value: float | None = None
    low: float | None = None
    high: float | None = None
    lower: float | None = None
    upper: float | None = None
    chance: float | None = None
    confidence: float = 0.95
    attack: str = ""
    setting: Setting | None = None
    group: Group | None = None
    fpr: float | None = None
    prior: float | None = None
    n: Mapping[str, int] = field(default_factory=dict)
    at_least: bool = False
    number: Metric | None = None
    untested: tuple[tuple[str, Reason], ...] = ()
    waiver: Waiver | None = None
    control: Reason | None = None
    together: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verdicts:
    """Every verdict of one run under one policy, and what follows: `state` overall and exit `code`.

    policy: name, owner, approved_by, approved_on, review_by, criteria, release, unit, as written;
    policy_sha256: of the file's bytes; baseline: the one it was compared with, empty for none.
    notes: those of severity "defect" are why the audit failed. untrained: subjects that were asked
    for and not trained, and why. unshown: subjects of which a limit is not refuted and nothing else
    shows a risk to be within one.
    """

    run: str
    audit_sha256: str
    policy: Mapping[str, str]
    policy_sha256: str
    confidence: float
    state: State
    code: int
    verdicts: tuple[Verdict, ...]
    notes: tuple[Caveat, ...] = ()
    untrained: tuple[tuple[str, Reason], ...] = ()
    unshown: tuple[str, ...] = ()
    baseline: str = ""
    schema: str = SCHEMA


_CONVERTER = converter()


def to_json(verdicts: Verdicts) -> str:
    """The document as JSON: sorted keys, no non-finite number."""
    tree = _CONVERTER.unstructure(verdicts)
    return json.dumps(tree, indent=1, sort_keys=True, allow_nan=False) + "\n"


def from_json(text: str) -> Verdicts:
    """Read a document back; a fault is an error that says where."""
    try:
        tree: Any = json.loads(text)
        if not isinstance(tree, dict) or tree.get("schema") != SCHEMA:
            raise ValueError("its schema is another")
        return _CONVERTER.structure(tree, Verdicts)
    except (BaseValidationError, KeyError, TypeError, ValueError, RecursionError) as error:
        where = (
            "; ".join(cattrs.transform_error(error)[:3])
            if isinstance(error, BaseValidationError)
            else str(error)
        )
        raise PrivauditError(
            f"a document of verdicts with faults: {where}",
            f"it does not hold what {SCHEMA} asks for",
            "make it again with `privaudit check RUN --policy FILE --format json`",
        ) from None


__all__ = [
    "BROKEN",
    "OF_WHOLE",
    "SCHEMA",
    "STATES",
    "State",
    "Verdict",
    "Verdicts",
    "Waiver",
    "from_json",
    "to_json",
]
