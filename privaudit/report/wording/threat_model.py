"""Threat model."""

from __future__ import annotations

from privaudit.report.wording.nouns import Phrase

INTRO = Phrase(
    "What an attacker can do depends on what leaves the {site}. The attacks were given exactly "
    "the following access; an attacker with more access could do more."
)
KNOWS = Phrase(
    "For membership inference the attacker is assumed to hold the full record of the {person} in "
    "question already, and to ask only whether it was used for training: a strong attacker, on "
    "purpose. What else they hold makes them stronger or weaker, so every membership number says "
    "whose it is. A limit of a policy is compared with the strongest, unless it names attacks."
)
NO_ACCESS = "Nothing was released that an attacker could use."
ATTACKS_CAPTION = "Attacks, with class and knowledge by NIST AI 100-2 E2025"
ATTACKS_COLUMNS = ("Attack", "Class", "Knowledge", "Access used", "Attacker")
ACCESS_CAPTION = "What an attacker may do, and who could"
ACCESS_COLUMNS = ("Access", "What the attacker can do", "Who could do it")
RELEASES_CAPTION = "Which access each release gives, or an attack on it was granted"
YES, NO = "yes", "no"
