"""A bill of materials (CycloneDX 1.6, ECMA-424): the models with their model cards, every package.

Made from the audit document alone, so that the same document gives the same bytes and anybody can
make it again. By hand, since cyclonedx-python-lib 11 has no model cards.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any

from privaudit.results import Audit, Estimate, Finding, Plugin, Subject, to_json

FILE = "bom.json"
_DATA = "data"
_UNSTATED = ("detectable_auc", "detectable_tpr")
"""Metrics that speak of the audit's power, not of the model."""

Tree = dict[str, Any]


def render(audit: Audit) -> str:
    """The bill of materials as JSON."""
    from privaudit.report.wording.nouns import use_words

    with use_words(audit.data.words):
        return _render(audit)


def _render(audit: Audit) -> str:
    made = audit.manifest
    packages = [_package(name, version) for name, version in sorted(made.packages.items())]
    packages += [_plugin(one) for one in made.plugins]
    models = [_model(subject, audit) for subject in audit.subjects]
    refs, parts = ([part["bom-ref"] for part in kind] for kind in (models, packages))
    root = {
        "type": "application",
        "bom-ref": "audit",
        "name": f"privacy audit: {audit.data.title}",
        "version": made.run,
        "description": "Models of one task, trained and attacked by privaudit.",
    }
    names = (
        "python",
        "platform",
        "profile",
        "seed_commitment",
        "confidence",
        "statistics",
        "command",
    )
    tool = {"type": "application", "name": "privaudit", "version": made.version}
    tree = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, to_json(audit))}",
        "version": 1,
        "metadata": {
            "timestamp": made.created,
            "tools": {"components": [tool]},
            "component": root,
            "properties": _properties({name: getattr(made, name) for name in names}),
        },
        "components": [*models, _data(audit), *packages],
        "dependencies": [
            {"ref": "audit", "dependsOn": [*refs, _DATA]},
            *({"ref": ref, "dependsOn": [_DATA, *parts]} for ref in refs),
        ],
    }
    return json.dumps(tree, indent=1, sort_keys=True, allow_nan=False) + "\n"


def _package(name: str, version: str) -> Tree:
    where = f"pkg:pypi/{name.lower().replace('_', '-')}@{version}"
    return {"type": "library", "bom-ref": where, "name": name, "version": version, "purl": where}


def _plugin(one: Plugin) -> Tree:
    """A package that provides attacks, methods or tasks, known by its content too."""
    name = one.name or "unnamed"
    return {
        "type": "application",
        "bom-ref": f"plugin:{name}@{one.version}",
        "name": name,
        "version": one.version,
        "description": "Provides tasks, methods, learners, generators or attacks.",
        "hashes": [{"alg": "SHA-256", "content": one.sha256}],
    }


def _data(audit: Audit) -> Tree:
    from privaudit.report.wording.nouns import w

    data = audit.data
    kind = f"records of {w.people}" if data.real else "synthetic demo data"
    sizes = {f"{p.name}:{n}": getattr(p, n) for p in data.pools for n in ("patients", "stays")}
    return {
        "type": "data",
        "bom-ref": _DATA,
        "name": data.source,
        "description": f"{data.title}: {data.columns} columns, {data.channels} channels",
        "data": [{"type": "dataset", "name": data.source, "classification": kind}],
        "properties": _properties({"commitment": audit.manifest.records_fingerprint, **sizes}),
    }


def _model(subject: Subject, audit: Audit) -> Tree:
    from privaudit.report.wording.nouns import name_unit, w
    from privaudit.report.wording.reasons_and_caveats import word_caveat

    claim = subject.claim
    guarantee = (
        "no privacy guarantee"
        if claim.epsilon is None
        else f"epsilon {claim.epsilon!r}, delta {claim.delta!r}, one {name_unit(claim.unit)} "
        f"({claim.neighbours})"
    )
    limits = [word_caveat(caveat) for caveat in audit.caveats]
    risk = {
        "name": f"{w.People} whose records a model was trained on may be recognised by it.",
        "mitigationStrategy": f"{subject.description} Privacy claim: {guarantee}.",
    }
    properties = {"claim": guarantee, "claim:basis": claim.basis}
    properties["access"] = "; ".join(subject.access)
    properties |= {f"setting:{name}": text for name, text in subject.params.items()}
    others = [one for one in subject.outcomes if not isinstance(one, Finding)]
    properties |= {f"not-found:{one.attack}": one.kind for one in others}
    return {
        "type": "machine-learning-model",
        "bom-ref": f"model:{subject.name}",
        "name": subject.name,
        "version": audit.manifest.run,
        "description": subject.description,
        "modelCard": {
            "modelParameters": {
                "approach": {"type": "supervised"},
                "task": "classification" if audit.data.classes else "regression",
                "architectureFamily": subject.learner or subject.method,
                "modelArchitecture": subject.description,
                "datasets": [{"ref": _DATA}],
                "outputs": [{"format": _name_answers(audit)}],
            },
            "quantitativeAnalysis": {"performanceMetrics": _metrics(subject)},
            "considerations": {
                "technicalLimitations": limits or ["none noted by the audit"],
                "ethicalConsiderations": [risk],
            },
            "properties": _properties(properties),
        },
    }


def _name_answers(audit: Audit) -> str:
    classes = ", ".join(audit.data.classes)
    return f"probability of: {classes}" if classes else f"predicted number: {audit.data.title}"


def _metrics(subject: Subject) -> list[Tree]:
    from privaudit.report.wording.nouns import w

    found = [_metric(one, f"held-out {w.people}") for one in subject.utility]
    for outcome in subject.outcomes:
        if isinstance(outcome, Finding):
            found += [
                _metric(one, f"all audited {w.people}", f"{outcome.attack}: ")
                for one in outcome.estimates
                if one.metric.name not in _UNSTATED
            ]
    return [one for one in found if one]


def _metric(one: Estimate, patients: str, before: str = "") -> Tree:
    if one.value is None:
        return {}
    found: Tree = {"type": f"{before}{one.metric}", "value": repr(one.value), "slice": patients}
    if one.low is not None and one.high is not None:
        found["confidenceInterval"] = {"lowerBound": repr(one.low), "upperBound": repr(one.high)}
    return found


def _properties(named: Mapping[str, Any]) -> list[dict[str, str]]:
    return [{"name": f"privaudit:{n}", "value": str(v)} for n, v in named.items() if v != ""]


__all__ = ["FILE", "render"]
