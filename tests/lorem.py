"""The lorem test's helper: an audit document in which every free text is "x".

What the product decides (exit codes, verdicts, every number that is recomputed) must not move,
since nothing may read meaning out of a text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from privaudit.facts import Caveat, CaveatCode, Reason
from privaudit.results import Audit

T = TypeVar("T")

TEXT = "x"

FREE = {
    "ClaimText.basis",
    "Data.facts",
    "Data.positive",
    "Data.source",
    "Data.title",
    "FlowRow.step",
    "Manifest.command",
    "Manifest.packages",
    "Manifest.platform",
    "Manifest.python",
    "Plugin.name",
    "Plugin.sha256",
    "Plugin.version",
    "Subject.description",
    "Subject.trust",
    "Words.people",
    "Words.person",
    "Words.record",
    "Words.records",
    "Words.site",
    "Words.sites",
}
"""Fields that hold texts: prose, or what somebody else wrote."""

NAMES = {
    "Attempts.head",
    "Attempts.since",
    "Audit.schema",
    "Bound.family",
    "Bound.method",
    "Cell.by",
    "Cell.level",
    "Cell.outcome",
    "Cell.pool",
    "ClaimText.covers",
    "ClaimText.neighbours",
    "ClaimText.unit",
    "ColumnFit.bins",
    "ColumnFit.kind",
    "ColumnFit.name",
    "Control.attack",
    "Control.kind",
    "Coverage.attacks",
    "Coverage.family",
    "Coverage.not_requested",
    "Coverage.others",
    "Coverage.state",
    "Curve.kind",
    "Curve.unit",
    "Data.classes",
    "Data.outcome_kind",
    "Data.task",
    "ComposedClaim.method",
    "ComposedClaim.neighbours",
    "ComposedClaim.subjects",
    "ComposedClaim.unit",
    "Failed.attack",
    "Failed.family",
    "Failed.kind",
    "Finding.access",
    "Finding.attack",
    "Finding.attacker",
    "Finding.family",
    "Finding.kind",
    "Finding.params",
    "GroupResult.by",
    "GroupResult.level",
    "Manifest.created",
    "Manifest.profile",
    "Manifest.records_fingerprint",
    "Manifest.run",
    "Manifest.seed_commitment",
    "Manifest.split_fingerprint",
    "Manifest.statistics",
    "Manifest.version",
    "Metric.name",
    "Pool.name",
    "Setting.details",
    "Setting.kind",
    "Setting.unit",
    "Setting.value",
    "Skipped.attack",
    "Skipped.family",
    "Skipped.kind",
    "Subject.access",
    "Subject.learner",
    "Subject.method",
    "Subject.name",
    "Subject.params",
    "Untrained.method",
    "Untrained.name",
    "Utility.learner",
}
"""Fields that hold names, codes, settings and dates."""

FREE_PARAMS = ("what", "because", "fix", "error", "text")
"""Parameters of reasons and caveats that are texts; of CONTROL_DESCRIBED `control` is one too."""


def lorem(audit: Audit) -> Audit:
    """The audit with every free text replaced by "x"; names, codes, settings and numbers stay."""
    return _replace(audit)


def _replace(part: T) -> T:
    if isinstance(part, Reason | Caveat):
        free = FREE_PARAMS
        if part.code is CaveatCode.CONTROL_DESCRIBED:
            free = (*free, "control")
        params = {name: TEXT if name in free else value for name, value in part.params.items()}
        return replace(part, params=params)
    if is_dataclass(part) and not isinstance(part, type):
        return replace(part, **{f.name: _field(part, f.name) for f in fields(part)})
    if isinstance(part, tuple):
        return tuple(map(_replace, part))  # type: ignore[return-value]
    return part


def _field(part: Any, name: str) -> Any:
    value, place = getattr(part, name), f"{type(part).__name__}.{name}"
    if place in FREE:
        return _blank(value)
    if _holds_text(value) and place not in NAMES:
        raise AssertionError(
            f"{place} holds a text: is it free, or a name? Add it to tests/lorem.py"
        )
    return _replace(value)


def _holds_text(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_holds_text, value.values()))
    return isinstance(value, str) or (isinstance(value, tuple) and any(map(_holds_text, value)))


def _blank(value: Any) -> Any:
    if isinstance(value, str):
        return TEXT
    if isinstance(value, Mapping):
        return {key: _blank(part) for key, part in value.items()}
    return tuple(map(_blank, value)) if isinstance(value, tuple) else value


__all__ = ["lorem"]
