"""A bill of materials of an audit (CycloneDX 1.6): the models with their model cards, and every package.

Made from the audit document alone, so that the same document gives the same bytes and anybody can
make it again. CycloneDX 1.6 (ECMA-424), machine-learning transparency: `modelCard` of components of
type `machine-learning-model`.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from typing import Any

from privaudit.results import Audit, Estimate, Finding, Subject, to_json

FILE = "bom.json"
_DATA = "data"


def bom(audit: Audit) -> dict[str, Any]:
    """The bill of materials as a JSON tree."""
    made = audit.manifest
    text = to_json(audit)
    packages = [_package(name, version) for name, version in sorted(made.packages.items())]
    models = [_model(subject, audit) for subject in audit.subjects]
    root = {
        "type": "application",
        "bom-ref": "audit",
        "name": f"privacy audit: {audit.data.title}",
        "version": made.run,
        "description": "Models of one task, trained and attacked by privaudit.",
    }
    refs = [part["bom-ref"] for part in packages]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, text)}",
        "version": 1,
        "metadata": {
            "timestamp": made.created,
            "tools": {
                "components": [
                    {"type": "application", "name": "privaudit", "version": made.version}
                ]
            },
            "component": root,
            "properties": _properties(
                {
                    "privaudit:python": made.python,
                    "privaudit:platform": made.platform,
                    "privaudit:profile": made.profile,
                    "privaudit:entropy": made.entropy,
                    "privaudit:confidence": made.confidence,
                    "privaudit:statistics": made.statistics,
                    "privaudit:command": made.command,
                }
            ),
        },
        "components": [*models, _data(audit), *packages],
        "dependencies": [
            {"ref": "audit", "dependsOn": [*(m["bom-ref"] for m in models), _DATA]},
            *({"ref": m["bom-ref"], "dependsOn": [_DATA, *refs]} for m in models),
        ],
    }


def render(audit: Audit) -> str:
    """The bill of materials as text."""
    return json.dumps(bom(audit), indent=1, sort_keys=True, allow_nan=False) + "\n"


def _package(name: str, version: str) -> dict[str, Any]:
    where = f"pkg:pypi/{name.lower().replace('_', '-')}@{version}"
    return {"type": "library", "bom-ref": where, "name": name, "version": version, "purl": where}


def _data(audit: Audit) -> dict[str, Any]:
    data = audit.data
    counts = {
        f"privaudit:{pool.name}:{what}": getattr(pool, what)
        for pool in data.pools
        for what in ("patients", "stays")
    }
    return {
        "type": "data",
        "bom-ref": _DATA,
        "name": data.source,
        "description": f"{data.title}: {data.columns} columns, {data.channels} channels",
        "data": [
            {
                "type": "dataset",
                "name": data.source,
                "classification": "health records" if data.real else "generated records",
            }
        ],
        "properties": _properties(
            {"privaudit:commitment": audit.manifest.records_fingerprint, **counts}
        ),
    }


def _model(subject: Subject, audit: Audit) -> dict[str, Any]:
    claim = subject.claim
    promise = (
        "nothing is promised"
        if claim.epsilon is None
        else f"epsilon {claim.epsilon!r}, delta {claim.delta!r}, one {claim.unit} ({claim.neighbours})"
    )
    card = {
        "modelParameters": {
            "approach": {"type": "supervised"},
            "task": "classification",
            "architectureFamily": subject.learner or subject.method,
            "modelArchitecture": subject.description,
            "datasets": [{"ref": _DATA}],
            "outputs": [{"format": f"probability of: {', '.join(audit.data.classes)}"}],
        },
        "quantitativeAnalysis": {"performanceMetrics": _metrics(subject)},
        "considerations": {
            "technicalLimitations": list(audit.caveats) or ["none noted by the audit"],
            "ethicalConsiderations": [
                {
                    "name": "Patients whose records a model was trained on may be recognised by it.",
                    "mitigationStrategy": f"{subject.description} Privacy claim: {promise}.",
                }
            ],
        },
        "properties": _properties(
            {
                "privaudit:claim": promise,
                "privaudit:claim:basis": claim.basis,
                "privaudit:access": "; ".join(subject.access),
                **{f"privaudit:setting:{name}": text for name, text in subject.params.items()},
                **{
                    f"privaudit:not-found:{one.attack}": one.kind
                    for one in subject.outcomes
                    if not isinstance(one, Finding)
                },
            }
        ),
    }
    return {
        "type": "machine-learning-model",
        "bom-ref": f"model:{subject.name}",
        "name": subject.name,
        "version": audit.manifest.run,
        "description": subject.description,
        "modelCard": card,
    }


def _metrics(subject: Subject) -> list[dict[str, Any]]:
    found = [_metric(one, "held-out patients") for one in subject.utility]
    for outcome in subject.outcomes:
        if isinstance(outcome, Finding):
            found += [
                _metric(one, "all audited patients", f"{outcome.attack}: ")
                for one in outcome.estimates
                if not one.name.startswith("detectable_")
            ]
    return [one for one in found if one]


def _metric(one: Estimate, patients: str, before: str = "") -> dict[str, Any]:
    if one.value is None:
        return {}
    found: dict[str, Any] = {"type": before + one.name, "value": repr(one.value), "slice": patients}
    if one.low is not None and one.high is not None:
        found["confidenceInterval"] = {"lowerBound": repr(one.low), "upperBound": repr(one.high)}
    return found


def _properties(told: dict[str, Any]) -> Iterable[dict[str, str]]:
    return [{"name": name, "value": str(value)} for name, value in told.items() if value != ""]


__all__ = ["FILE", "bom", "render"]
