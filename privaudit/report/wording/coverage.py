"""What was tested, and the attacker imagined."""

from __future__ import annotations

COVERAGE_INTRO = (
    "A low number speaks only about the attacks that were run. Everything marked “not tested” is an "
    "open question, not a low risk."
)
COVERAGE_CAPTION = "Classes of attack"
COVERAGE_COLUMNS = (
    "Class of attack",
    "State",
    "Attacks that gave a result",
    "How far, or why not",
    "Asked for by",
)
COVERAGE_WORDS = {
    "TESTED": "○ Tested",
    "NOT TESTED": "– Not tested",
    "NOT APPLICABLE": "· Not applicable",
}
COVERAGE_NOTE = (
    "The European Data Protection Board (Opinion 28/2024, paragraph 55) counts a test as evidence "
    "only for the attacks that were run, and asks for attribute and membership inference, "
    "exfiltration, regurgitation, model inversion and reconstruction."
)
NONE, OTHERWISE = "none", "this run"


def extent(models: int, of: int) -> str:
    return "on every model" if models == of else f"on {models} of {of} models"


CARD_CAPTION = "The attacker’s card: class and knowledge by NIST AI 100-2 E2025"
CARD_COLUMNS = ("Attack", "Class", "Knowledge", "Was given")
KNOWLEDGE = {
    "WEIGHTS": "white box: reads the model file",
    "FILE": "white box: reads the generator’s file",
    "UPDATES": "grey box: sees the training",
    "CUT": "grey box: sees the training",
    "CIPHER": "grey box: sees the training",
    "SEAT": "grey box: takes part in the training",
    "RERUN": "grey box: knows how the model was trained",
    "TABLE": "black box: holds the synthetic records alone",
    "ANSWERS": "black box: asks and gets answers",
}
"""By access, the most telling first."""
ATTACKER = (
    "What an attacker can do depends on what leaves the hospital. The attacks above were given "
    "exactly the following, and an attacker with more could do more."
)
ATTACKER_CAPTION = "What the attacker was allowed to do, model by model"
ATTACKER_COLUMNS = ("What the attacker can do", "Who could do that")
POWERS_CAPTION = "What an attacker might do, and who could"
POWERS = {
    "ANSWERS": "Ask",
    "WEIGHTS": "Read parameters",
    "UPDATES": "Read updates",
    "CUT": "Read the cut",
    "CIPHER": "Hold ciphertexts",
    "TABLE": "Read synthetic records",
    "FILE": "Open the file",
    "SEAT": "Take part",
    "RERUN": "Train again",
}
KNOWS = (
    "The attacker already holds the full record of the patient asked about, and only wants to know "
    "whether it was used for training. That is a strong attacker, on purpose: one who knows less "
    "does no better."
)
NO_ACCESS = "Nothing was released that an attacker could use."
