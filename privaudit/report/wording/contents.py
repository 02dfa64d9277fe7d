"""Titles of the sections, in the report's order; a section's key is its file's name and anchor."""

from __future__ import annotations

SECTIONS = {
    "answer": "The answer first",
    "verdicts": "Rule by rule: the policy’s limits and what was measured",
    "tradeoff": "Risk against usefulness",
    "groups": "Who is most affected",
    "coverage": "What was tested and what was not",
    "attacker": "The attacker we imagined",
    "training": "How each model was trained and what it promised",
    "promises": "Differential privacy: what was promised and what was measured",
    "reduce": "Ways to reduce this, with evidence from this run",
    "certainty": "How sure we are",
    "findings": "What was found, attack by attack",
    "synthetic": "Synthetic tables",
    "federation": "Federation: who could read what",
    "poisoning": "Poisoned training",
    "splitting": "Split learning: what crosses the cut",
    "encryption": "Encryption: what is seen, and whether the key holds",
    "cohort": "Data and cohort",
    "dpia": "Text for a data protection impact assessment",
    "criteria": "Criteria, and what this run says to each",
    "evidence": "Evidence, attempts, and doing it again",
    "methods": "How each attack works",
    "limits": "What this report does not say",
    "glossary": "Glossary",
}
