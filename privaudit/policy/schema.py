"""The JSON Schema of a policy, made of the types that the file is read into.

Editors check a policy by it while it is written. What depends on several keys (which metric takes
an fpr, which one bound a guard has) is checked when the file is read, by `privaudit.policy.file`.
"""

from __future__ import annotations

import json
from dataclasses import MISSING, fields
from typing import Any

from privaudit.policy.file import KINDS, LISTS, TABLES, keys_of
from privaudit.policy.metrics import METRICS
from privaudit.policy.rules import SCHEMA, Policy

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def policy_schema() -> dict[str, Any]:
    """The schema of a policy file as JSON Schema; TOML's dates are texts like 2027-06-30."""
    tree = _object(Policy)
    tree["properties"]["schema"] = {"const": SCHEMA}
    tree["required"].append("schema")
    for name, kind in TABLES.items():
        tree["properties"][name] = _object(kind)
    for name, (_, kind) in LISTS.items():
        tree["properties"][name] = {"type": "array", "items": _object(kind)}
    return {"$schema": DIALECT, "$id": SCHEMA, "title": "A policy of privaudit", **tree}


def render_schema() -> str:
    """The schema as JSON."""
    return json.dumps(policy_schema(), indent=1, sort_keys=True) + "\n"


def _object(kind: type) -> dict[str, Any]:
    properties = {
        name: {"description": key.wanted, **key.schema} for name, key in keys_of(kind).items()
    }
    needed = [one.name for one in fields(kind) if one.default is MISSING]
    if kind in KINDS:
        kinds, _ = KINDS[kind]
        names = [known.name for known in METRICS.values() if known.kind in kinds]
        properties["metric"] = {"description": properties["metric"]["description"], "enum": names}
        # A limit is named by its owner; other rules are named by their metric where they are not.
        needed = [name for name in needed if name != "id" or "max" in needed]
    return {
        "type": "object",
        "properties": properties,
        "required": needed,
        "additionalProperties": False,
    }
