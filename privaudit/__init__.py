"""privaudit: a privacy audit for models trained on tabular health records."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from privaudit.api import audit, audit_table
    from privaudit.api_labels import LabelFindings, audit_labels
    from privaudit.api_release import ReleaseFindings, audit_release
    from privaudit.errors import PrivauditError
    from privaudit.facts import Caveat, Group, Metric, Reason, Setting
    from privaudit.findings import Findings
    from privaudit.records import Column, Records, Split
    from privaudit.results import Audit, Estimate, Finding, Subject
    from privaudit.words import Words

__version__ = "0.2.0"

_PLACES = {
    "audit": "api",
    "audit_labels": "api_labels",
    "audit_release": "api_release",
    "audit_table": "api",
    "Audit": "results",
    "Caveat": "facts",
    "Column": "records",
    "Estimate": "results",
    "Finding": "results",
    "Findings": "findings",
    "Group": "facts",
    "LabelFindings": "api_labels",
    "Metric": "facts",
    "PrivauditError": "errors",
    "Reason": "facts",
    "Records": "records",
    "ReleaseFindings": "api_release",
    "Setting": "facts",
    "Split": "records",
    "Subject": "results",
    "Words": "words",
}


def __getattr__(name: str) -> object:
    # The engine is loaded when it is asked for, so that `import privaudit` stays light.
    if name in _PLACES:
        import importlib

        return getattr(importlib.import_module(f"privaudit.{_PLACES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])


__all__ = [
    "Audit",
    "Caveat",
    "Column",
    "Estimate",
    "Finding",
    "Findings",
    "Group",
    "LabelFindings",
    "Metric",
    "PrivauditError",
    "Reason",
    "Records",
    "ReleaseFindings",
    "Setting",
    "Split",
    "Subject",
    "Words",
    "audit",
    "audit_labels",
    "audit_release",
    "audit_table",
]
