"""Reproducibility: fingerprints, attempts, and what a repetition takes."""

from __future__ import annotations

from collections.abc import Mapping

from privaudit.report import numbers as n
from privaudit.report.wording.nouns import Phrase
from privaudit.results import Attempts

INTRO = Phrase(
    "The same code, data, seed and key give the same numbers. Seed and key are not printed, since "
    "who is a training {person} would follow from them; `privaudit verify` opens the commitment "
    "below where the run is stored."
)
PACKAGES = "Versions of libraries"
PACKAGES_COLUMNS = ("Library", "Version")
PLUGINS = "Packages that provide tasks, methods, learners, generators or attacks"
PLUGINS_COLUMNS = ("Package", "Version", "sha256 of its files")
MANIFEST = {
    "command": "Command",
    "run": "Run",
    "created": "Created",
    "profile": "Profile",
    "seed": "Commitment to the seed",
    "confidence": "Confidence level",
    "fingerprint": "Fingerprint of the records",
    "version": "privaudit version",
    "python": "Python",
    "platform": "Platform",
    "wall": "Duration",
    "cpu": "Processor time",
    "memory": "Peak memory",
    "refits": "Shadow models trained",
    "steps": "Steps",
    "statistics": "Version of the statistics",
    "audit": "sha256 of audit.json",
    "policy": "sha256 of the policy",
    "baseline": "Compared with",
}
NO_LEDGER = "No ledger of attempts was kept where this ran, so earlier attempts are not known."
ATTEMPTS_CAPTION = "How earlier attempts ended"
ATTEMPTS_COLUMNS = ("Exit code", "Attempts")
EXIT_CODES = {
    "0": "0: within, or no limit given",
    "1": "1: a limit exceeded",
    "2": "2: input refused",
    "3": "3: inconclusive",
    "4": "4: evidence does not verify",
    "5": "5: the audit failed",
    "70": "70: an error of the software",
    "130": "130: interrupted",
}


def word_steps(steps: Mapping[str, int]) -> str:
    """How many steps were made in this run, and how many an earlier one had made."""
    if not steps:
        return ""
    made, cached = n.count(steps.get("made", 0)), n.count(steps.get("from_cache", 0))
    return f"{made} made in this run, {cached} taken from the cache of earlier ones"


def word_attempts(a: Attempts) -> str:
    """How often an audit of this task on these data was attempted where this run is kept."""
    if a.started <= 1:
        return "This is the first audit of this task on these data where this run is kept."
    ways = "one command" if a.requests == 1 else f"{a.requests} different commands"
    return (
        f"This is attempt {n.count(a.started)} at an audit of this task on these data where this "
        f"run is kept, since {a.since[:10]}, with {ways}; {n.count(a.finished)} finished before. "
        "An audit that is repeated until it passes is weaker evidence than its numbers suggest."
    )
