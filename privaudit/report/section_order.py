"""The sections in the report's order: the one table. A key is the section's file name and
anchor; a title may hold places for nouns."""

from __future__ import annotations

SECTIONS = {
    "summary": "Summary",
    "policy_verdicts": "Policy verdicts",
    "risk_and_utility": "Risk and utility",
    "most_affected_groups": "Most affected groups",
    "patients_at_risk": "{People} at risk",
    "attack_coverage": "Attack coverage",
    "threat_model": "Threat model",
    "training_and_guarantees": "Training and guarantees",
    "differential_privacy": "Differential privacy",
    "mitigations": "Mitigations",
    "reliability": "Reliability of this audit",
    "results_by_attack": "Results by attack",
    "synthetic_tables": "Synthetic tables",
    "federation_between_hospitals": "Who could read what, measured",
    "federated_learning": "Federated learning",
    "poisoning": "Poisoning",
    "split_learning": "Split learning",
    "encryption": "Encryption",
    "data_and_cohort": "Data and cohort",
    "dpia": "DPIA text",
    "criteria": "Criteria",
    "reproducibility": "Reproducibility",
    "methods": "Methods",
    "limitations": "Limitations",
    "glossary": "Glossary",
}

__all__ = ["SECTIONS"]
