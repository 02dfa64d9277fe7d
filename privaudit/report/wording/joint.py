"""Training by several hospitals: federation, poisoning, split learning, encryption."""

from __future__ import annotations

from privaudit.report import numbers as n
from privaudit.results import Estimate

FEDERATION = (
    "In federated training records stay in each hospital, but what a hospital sends is made of them. "
    "The first table says who could read what one hospital sent."
)
TRUST_CAPTION = "Who could read what of one hospital’s contribution"
TRUST_COLUMNS = ("Model", "Who", "What", "Could read it")
SHARING_CAPTION = "What joint training cost"
COSTS: tuple[tuple[str, str], ...] = (
    ("rounds", "Rounds"),
    ("bytes_up", "Sent by hospitals"),
    ("bytes_down", "Sent to hospitals"),
    ("bytes_between_sites", "Handed between hospitals"),
    ("simulated_seconds", "Time on a simulated network"),
    ("refused_updates", "Updates refused"),
    ("train_seconds", "Processor time"),
)
SITES_CAPTION = "Usefulness (AUROC) hospital by hospital, on held-out patients"
SITES = (
    "Whether joint training is worth it for a hospital: its own patients, under models trained alone, "
    "together, and in one place."
)
SITE_COLUMN = "Hospital"
EVERYBODY = "all patients"


def sites_title(alone: Estimate, together: Estimate, model: str) -> str:
    both = f"AUROC {n.estimate_text(together)} with {model}, {n.estimate_text(alone)} with hospitals alone"
    if (together.low or 0) > (alone.high or 1):
        return f"Training together is more useful than hospitals alone: {both}."
    if (alone.low or 0) > (together.high or 1):
        return f"Training together is less useful than hospitals alone: {both}."
    return f"Training together and alone cannot be told apart over all patients: {both}."


# --- poisoning ----------------------------------------------------------------------------------


POISONING = (
    "One or more hospitals take part in bad faith. Each row is the same training with them and "
    "without, under one rule for adding updates up (aggregator). For a backdoor, success is a "
    "patient with the mark who gets the answer that the attacker wants; for the others, a patient "
    "about whom the model is wrong."
)
POISON_ACROSS = (
    "How many more answers become wrong (or obey the mark), by rule for adding updates up"
)
POISON_ALONE = "as trained"
BOLD_ADDED = "Bold: more than chance explains. Rates with and without the malicious hospital stand in audit.json."
POISON_COLUMNS = ("Attack", "Aggregator", "What is done", "Without it", "With it", "Difference")


def poison_caption(model: str) -> str:
    return f"{model}: before and after"


def poison_title(model: str, worst: str, against: str, e: Estimate, holds: str | None) -> str:
    text = f"{model}: the worst, {worst} against {against}, adds {n.estimate_text(e)}"
    return (
        f"{text}; no aggregator tried withstands it."
        if holds is None
        else f"{text}; {holds} withstands it best."
    )


# --- split and encryption -----------------------------------------------------------------------


SPLITTING = (
    "The server sees numbers in place of records. These attacks ask what those numbers give away: "
    "the outcomes, and the records themselves."
)
CUT_CAPTION = "What the traffic at the cut gives away"
CUT_COSTS_CAPTION = "What crosses the cut, and what it costs"
TOLD_COLUMNS = ("Model", "Attack", "Setting", "Succeeds", "Control", "Without the traffic")
ENCRYPTION = (
    "Encryption and masks hide single updates from the server, not what the sum of them gives away, "
    "and not what the finished model gives away. Whoever holds the key reads everything."
)
SEEN_CAPTION = "What is seen under masks and encryption"
KEY_CAPTION = "Attempts on the key"
OVERHEAD_CAPTION = "What protection costs beside the same training in the open"
OVERHEAD_COLUMNS = ("Model", "Sent by hospitals", "Times as much", "Processor time", "AUROC")
