"""For code scanning: SARIF 2.1.0, a result a verdict.

OASIS Static Analysis Results Interchange Format 2.1.0, sections 3.27 (result) and 3.35
(suppression).
"""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import version
from typing import Any

from privaudit.report.formats.shared import clean, name_verdict, weigh, word_outcome, word_state
from privaudit.report.wording.verdicts import (
    explain_verdict,
    name_group_of,
    word_notes,
    word_rule_of,
)
from privaudit.verdicts import BROKEN, Verdict, Verdicts

SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
PLACE = "shareable/audit.json"
"""Where the numbers stand; a result has to be somewhere."""

KINDS = {
    "pass": ("pass", "none"),
    "exceeds": ("fail", "error"),
    "undecided": ("fail", "warning"),
    "warns": ("fail", "note"),
    "reported": ("open", "none"),
}
"""Kind and level by what a verdict means for the gate; an undecided one must be seen, so it is a
fail."""


def render(verdicts: Verdicts) -> str:
    """The judgement as SARIF."""
    names = list(dict.fromkeys(one.rule for one in verdicts.verdicts))
    first = {one.rule: one for one in reversed(verdicts.verdicts)}
    tree: dict[str, Any] = {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "privaudit",
                        "semanticVersion": version("privaudit"),
                        "rules": [_rule(first[name]) for name in names],
                    }
                },
                "invocations": [
                    {
                        "executionSuccessful": verdicts.code != 5,
                        "exitCode": verdicts.code,
                        "exitCodeDescription": word_outcome(verdicts),
                        "toolExecutionNotifications": [
                            {
                                "level": "error" if verdicts.code == 5 else "note",
                                "message": {"text": clean(note)},
                            }
                            for note in word_notes(verdicts)
                        ],
                    }
                ],
                "columnKind": "unicodeCodePoints",
                "results": [
                    _result(verdicts, one, names.index(one.rule)) for one in verdicts.verdicts
                ],
                "properties": {
                    "state": verdicts.state,
                    "code": verdicts.code,
                    "run": verdicts.run,
                    "policy": dict(verdicts.policy),
                    "policySha256": verdicts.policy_sha256,
                    "auditSha256": verdicts.audit_sha256,
                },
            }
        ],
    }
    return json.dumps(tree, indent=1, allow_nan=False) + "\n"


def _rule(one: Verdict) -> dict[str, Any]:
    level = "error" if one.severity == "block" else "note"
    return {
        "id": clean(one.rule),
        "name": one.metric,
        "shortDescription": {"text": word_rule_of(one)},
        "defaultConfiguration": {"level": level},
    }


def _result(verdicts: Verdicts, one: Verdict, index: int) -> dict[str, Any]:
    meant = weigh(verdicts, one)
    if meant == "waived":
        kind, level = ("fail", "error") if one.state in BROKEN else ("fail", "warning")
    else:
        kind, level = KINDS[meant]
    text = " ".join(explain_verdict(one))
    group = name_group_of(one)
    setting = "" if one.setting is None else str(one.setting)
    key = json.dumps([one.rule, one.subject, group, one.attack, setting])
    found: dict[str, Any] = {
        "ruleId": clean(one.rule),
        "ruleIndex": index,
        "kind": kind,
        "level": level,
        "message": {"text": clean(f"{word_state(one)}: {name_verdict(one)}. {text}")},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": PLACE},
                    "region": {"startLine": 1},
                },
                "logicalLocations": [{"fullyQualifiedName": clean(name_verdict(one))}],
            }
        ],
        "partialFingerprints": {"verdict/v1": hashlib.sha256(key.encode()).hexdigest()},
        "properties": {
            "state": one.state,
            "severity": one.severity,
            "subject": one.subject,
            "group": group,
            "attack": one.attack,
            "setting": setting,
            "value": one.value,
            "lower": one.lower,
            "upper": one.upper,
            "limit": one.limit,
        },
    }
    if one.waiver is not None and one.state != "WITHIN":
        found["suppressions"] = [
            {
                "kind": "external",
                "status": "accepted",
                "justification": clean(
                    f"{one.waiver.reason} ({one.waiver.approved_by}, until {one.waiver.expires})"
                ),
            }
        ]
    return found
