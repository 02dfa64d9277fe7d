"""Data, methods, reproduction and limits."""

from __future__ import annotations

from privaudit.report import numbers as n
from privaudit.results import Data, Pool

FLOW_CAPTION = "From all stays to those used"
FLOW_COLUMNS = ("Step", "Stays left out", "Stays that remain", "Patients")
POOLS_CAPTION = "The three pools of patients; nobody is in two of them"
POOLS_INTRO = (
    "A fair coin decided, patient by patient, who was trained on and who was held out, so that the "
    "two differ by nothing else. A third pool plays the attacker’s own data."
)
POOL_NAMES = {
    "members": "members (trained on)",
    "nonmembers": "non-members (held out)",
    "reference": "reference (the attacker’s own)",
}
NOTES = "Notes on the data"
FACTS = "Further facts"


def pool_name(pool: Pool) -> str:
    return POOL_NAMES.get(pool.name, pool.name)


def shape(data: Data) -> str:
    parts = [f"{n.whole(data.columns)} summary values a stay"]
    if data.channels:
        parts.append(f"{n.whole(data.channels)} measurements hour by hour over {data.hours} hours")
    outcome = f"The outcome is “{data.positive}”" + (
        f", one of {len(data.classes)} classes" if len(data.classes) > 2 else ""
    )
    return f"{outcome}. Each model was given {' and '.join(parts)}."


# --- methods, reproduction, limits ---------------------------------------------------------------


METHODS = "What each attack does, where it was published, and the settings used here."
METHOD_UNKNOWN = "This attack is not in this report’s catalogue; see its own documentation."
SOURCES, ACCESS, SETTINGS_USED, TIME = "Source", "Needs", "Settings here", "Time taken"
INTERVAL_SOURCES = (
    "AUC: DeLong et al. 1988, Biometrics 44, by patient; Newcombe 2006, Statistics in Medicine 25.",
    "Shares: Wilson 1927, J. Am. Stat. Assoc. 22; differences: Newcombe 1998, Statistics in Medicine 17.",
    "Rates at few false alarms: bootstrap of both pools by patient, because the threshold is estimated too.",
)
REPRODUCE = (
    "With the same code, the same data and the same random number, the same numbers come out."
)
PACKAGES = "Versions of libraries"
PACKAGES_COLUMNS = ("Library", "Version")
MANIFEST = {
    "run": "Run",
    "created": "Made at",
    "version": "privaudit version",
    "python": "Python",
    "platform": "Computer",
    "profile": "Profile",
    "command": "Command",
    "entropy": "Random number",
    "fingerprint": "Fingerprint of the records",
    "confidence": "Confidence level",
    "wall": "Time taken",
    "cpu": "Processor time",
    "memory": "Peak memory",
    "refits": "Models trained for attacks",
}
LIMITS = (
    "It does not speak about attacks that were not run, nor about attackers who can do more than "
    "described under “The attacker we imagined”.",
    "It does not say how the model behaves on patients of another hospital or another year.",
    "It does not describe what happens when several models trained on the same patients are "
    "released together.",
    "An attack’s success rate is not the probability that a given patient is found; that also "
    "depends on who asks, about whom, and why.",
    "It gives no legal opinion, and does not replace a data protection impact assessment.",
    "Its numbers grow old: better attacks appear. Review it when the model, its data or its "
    "audience change.",
)
