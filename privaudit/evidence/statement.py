"""What is said of a run, in one document that can be signed: which files, which result, which attempts.

An in-toto Statement (v1) in canonical JSON. Its subjects are the files that `SHA256SUMS` lists, the
list of restricted files among them, so that one signature holds every file of the run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from privaudit.evidence.canonical import canonical
from privaudit.results import Audit, to_tree
from privaudit.verdicts import Verdicts

FILE = "statement.json"
TYPE = "https://in-toto.io/Statement/v1"
PREDICATE = "urn:privaudit:audit:v1"
MEDIA = "application/vnd.in-toto+json"


def statement(
    audit: Audit, digests: Mapping[str, str], verdicts: Verdicts | None, rendering: str
) -> dict[str, Any]:
    """The statement about a run whose files have these sha256. rendering: of the report's code."""
    made = audit.manifest
    return {
        "_type": TYPE,
        "subject": [{"name": n, "digest": {"sha256": digests[n]}} for n in sorted(digests)],
        "predicateType": PREDICATE,
        "predicate": {
            "run": made.run,
            "created": made.created,
            "auditor": {
                "name": "privaudit",
                "version": made.version,
                "statistics": made.statistics,
            },
            "task": audit.data.task,
            "profile": made.profile,
            "confidence": made.confidence,
            # A whole number beyond 2^53 has no canonical form as a number.
            "entropy": str(made.entropy),
            "data": made.records_fingerprint,
            "split": made.split_fingerprint,
            "models": [subject.name for subject in audit.subjects],
            "attempts": None if made.attempts is None else to_tree(made.attempts),
            "verdict": None
            if verdicts is None
            else {
                "state": verdicts.state,
                "code": verdicts.code,
                "policy": verdicts.policy.get("name", ""),
                "policySha256": verdicts.policy_sha256,
            },
        },
    }


def render(
    audit: Audit, digests: Mapping[str, str], verdicts: Verdicts | None, rendering: str
) -> bytes:
    """The statement's bytes, which are what a signature is over."""
    return canonical(statement(audit, digests, verdicts, rendering))


def read(path: Path) -> dict[str, str]:
    """The files of a stated run with their sha256; ValueError where the file is not as made here."""
    try:
        return {part["name"]: part["digest"]["sha256"] for part in _tree(path)["subject"]}
    except (KeyError, TypeError):
        raise ValueError("it is no statement of an audit") from None


def rendered_by(path: Path) -> str:
    """Which code made the report, as a stored statement says; empty where it does not."""
    try:
        return str(_tree(path)["predicate"]["auditor"]["rendering"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _tree(path: Path) -> Any:
    whole = path.read_bytes()
    try:
        tree = json.loads(whole)
        if tree["_type"] != TYPE or tree["predicateType"] != PREDICATE:
            raise ValueError("it is a statement of another kind")
        if canonical(tree) != whole:
            raise ValueError("it is not in canonical form")
    except (KeyError, TypeError, UnicodeDecodeError, json.JSONDecodeError):
        raise ValueError("it is no statement of an audit") from None
    return tree


__all__ = ["FILE", "MEDIA", "PREDICATE", "TYPE", "read", "render", "rendered_by", "statement"]
