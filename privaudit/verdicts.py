"""Verdicts: what a run says of an organisation's limits. Data alone; the rule is in `privaudit.policy`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import cattrs
from cattrs.errors import BaseValidationError

from privaudit.errors import PrivauditError
from privaudit.results import converter

SCHEMA = "privaudit.verdicts/1"

State = Literal["WITHIN", "EXCEEDS", "INCONCLUSIVE", "NOT TESTED"]


@dataclass(frozen=True)
class Waiver:
    """An exception that somebody answers for until it expires. Never makes a verdict WITHIN."""

    reason: str
    approved_by: str
    expires: str


@dataclass(frozen=True)
class Verdict:
    """One rule applied to one number of one subject.

    rule: the policy's id of it; kind: limit (a risk, at most), guard (a usefulness, at least), or
    regression (change against a baseline, at most the margin). attack, group ("sex: F"): empty where
    the rule is about none; setting: what the attack was set to where it was run several ways. limit: the number allowed; value, chance: as measured; lower, upper: the
    one-sided bounds that decided (lower adjusted over blocking rules). sentence: what happened, in
    natural frequencies; reason: why this state; remedy: what to do or what would decide it.
    """

    rule: str
    kind: Literal["limit", "guard", "regression"]
    subject: str
    metric: str
    state: State
    severity: Literal["block", "warn"]
    limit: float
    value: float | None = None
    lower: float | None = None
    upper: float | None = None
    chance: float | None = None
    attack: str = ""
    setting: str = ""
    group: str = ""
    fpr: float | None = None
    n: Mapping[str, int] = field(default_factory=dict)
    sentence: str = ""
    reason: str = ""
    remedy: str = ""
    waiver: Waiver | None = None


@dataclass(frozen=True)
class Verdicts:
    """Every verdict of one run under one policy, and what follows: `state` overall and exit `code`.

    policy: name, owner, approved_by, approved_on, review_by, criteria, release, unit, as given;
    policy_sha256: of the file's bytes; baseline: the run it was compared with, empty for none.
    """

    run: str
    audit_sha256: str
    policy: Mapping[str, str]
    policy_sha256: str
    confidence: float
    state: State
    code: int
    verdicts: tuple[Verdict, ...]
    notes: tuple[str, ...] = ()
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


__all__ = ["SCHEMA", "State", "Verdict", "Verdicts", "Waiver", "from_json", "to_json"]
