"""Data, methods, reproduction and limits."""

from __future__ import annotations

from privaudit.report import numbers as n
from privaudit.results import Attempts, Data, Pool

FLOW_CAPTION = "From all stays to those used"
FLOW_COLUMNS = ("Step", "Stays left out", "Stays that remain", "Patients")
POOLS_CAPTION = "The three pools of patients; nobody is in two of them"
POOLS_TOSSED = (
    "A fair coin decided, patient by patient, who was trained on and who was held out, so that the "
    "two differ by nothing else. A third pool plays the attacker’s own data."
)
POOLS_GIVEN = (
    "Who was trained on and who was held out was given; no coin of this audit decided it. The two may "
    "differ in other ways as well, such as the year or the ward, and an attack may read that difference "
    "in place of what was remembered. A third pool plays the attacker’s own data."
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
    "statistics": "Version of the statistics",
    "audit": "sha256 of audit.json",
    "policy": "sha256 of the policy",
    "baseline": "Compared with",
}
NO_LEDGER = "How often this audit was tried before is not known: no ledger of attempts was kept where it ran."
ATTEMPTS_CAPTION = "How earlier attempts ended"
ATTEMPTS_COLUMNS = ("Ended with", "Attempts")
ENDINGS = {
    "0": "0: within, or no limit asked",
    "1": "1: a limit exceeded",
    "2": "2: refused input",
    "3": "3: inconclusive",
    "4": "4: evidence does not verify",
    "5": "5: the audit failed",
    "70": "70: a fault of the software",
    "130": "130: interrupted",
}


def attempts(a: Attempts) -> str:
    """How often an audit of this task on these data was tried where this run is kept."""
    if a.started <= 1:
        return "This is the first attempt at an audit of this task on these data where this run is kept."
    ways = "one command" if a.requests == 1 else f"{a.requests} different commands"
    return (
        f"This is attempt {n.whole(a.started)} at an audit of this task on these data where this run "
        f"is kept, since {a.since[:10]}, with {ways}; {n.whole(a.finished)} came to an end before. An "
        "audit that is repeated until it passes says less than its numbers do."
    )


def review(date: str) -> str:
    return f"Review by: {date}, as the policy asks."


NO_REVIEW = (
    "Review by: no date is set. Review when the model, its data, its audience or the known attacks "
    "change, and at the latest after a year."
)
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
