"""What is stated about a run, as one document to sign: its files, its result, its attempts.

An in-toto Statement (v1) in canonical JSON (RFC 8785), so that it has one sequence of bytes. Its
subjects are the files that `SHA256SUMS` lists, the list of restricted files among them, so that one
signature covers every file of the run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from privaudit.results import Audit, to_tree
from privaudit.verdicts import Verdicts

FILE = "statement.json"
TYPE = "https://in-toto.io/Statement/v1"
PREDICATE = "urn:privaudit:audit:v2"
MEDIA = "application/vnd.in-toto+json"


def canonical(tree: Any) -> bytes:
    """A JSON document in its only canonical form: sorted keys, no space, ECMAScript's numbers.

    Raises:
        ValueError: For a number that is not finite, or a whole number beyond 2^53.
    """
    import rfc8785

    try:
        return rfc8785.dumps(tree)
    except rfc8785.CanonicalizationError as error:
        raise ValueError(f"not canonical: {type(error).__name__}") from None


def render(
    audit: Audit, digests: Mapping[str, str], verdicts: Verdicts | None, rendering: str
) -> bytes:
    """The statement's bytes, which are what a signature is over.

    Args:
        audit: The document that it is about.
        digests: File -> sha256.
        verdicts: Those stored in the run, None where it was not judged.
        rendering: Names the code that made the report.
    """
    made = audit.manifest
    auditor = {"name": "privaudit", "version": made.version, "statistics": made.statistics}
    predicate = {
        "run": made.run,
        "created": made.created,
        "auditor": {**auditor, "rendering": rendering},
        "task": audit.data.task,
        "profile": made.profile,
        "confidence": made.confidence,
        # A whole number beyond 2^53 has no canonical form as a number.
        "seedCommitment": made.seed_commitment,
        "data": made.records_fingerprint,
        "split": made.split_fingerprint,
        "models": [subject.name for subject in audit.subjects],
        "attempts": None if made.attempts is None else to_tree(made.attempts),
        "verdict": None,
    }
    if verdicts is not None:
        policy = {"policy": verdicts.policy.get("name", ""), "policySha256": verdicts.policy_sha256}
        predicate["verdict"] = {"state": verdicts.state, "code": verdicts.code, **policy}
    subjects = [{"name": name, "digest": {"sha256": digests[name]}} for name in sorted(digests)]
    kinds = {"_type": TYPE, "predicateType": PREDICATE}
    return canonical({**kinds, "subject": subjects, "predicate": predicate})


def read(path: Path) -> tuple[dict[str, str], str]:
    """The files of a stored statement with their sha256, and which code made the report.

    Raises:
        ValueError: For a file that is not as `render` makes it.
    """
    body = path.read_bytes()
    try:
        tree = json.loads(body)
        kinds = tree["_type"], tree["predicateType"]
        files = {part["name"]: part["digest"]["sha256"] for part in tree["subject"]}
        rendering = str(tree["predicate"]["auditor"]["rendering"])
    except (KeyError, TypeError, UnicodeDecodeError, json.JSONDecodeError):
        raise ValueError("it is no statement of an audit") from None
    if kinds != (TYPE, PREDICATE):
        raise ValueError("it is a statement of another kind")
    if canonical(tree) != body:
        raise ValueError("it is not in canonical form")
    return files, rendering


def is_judged(run: Path) -> bool:
    """Whether the statement of a run states a verdict."""
    try:
        return json.loads((run / FILE).read_bytes())["predicate"]["verdict"] is not None
    except (OSError, ValueError, KeyError, TypeError):
        return False


__all__ = ["FILE", "MEDIA", "PREDICATE", "TYPE", "canonical", "is_judged", "read", "render"]
