"""What was tested, and the attacker imagined."""

from __future__ import annotations

COVERAGE_INTRO = (
    "A low number speaks only about the attacks that were run. Everything marked “not tested” is an "
    "open question, not a low risk."
)
COVERAGE_CAPTION = "Classes of attack"
COVERAGE_COLUMNS = ("Class of attack", "State", "Attacks run", "Why, or what it means")
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
    "SEAT": "Take part",
    "RERUN": "Train again",
}
KNOWS = (
    "The attacker already holds the full record of the patient asked about, and only wants to know "
    "whether it was used for training. That is a strong attacker, on purpose: one who knows less "
    "does no better."
)
NO_ACCESS = "Nothing was released that an attacker could use."
