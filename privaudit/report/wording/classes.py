"""Classes of attack that authorities and standards ask about, and the families that make them up:
the one table of both."""

from __future__ import annotations

from dataclasses import dataclass

from privaudit.report.wording.nouns import Phrase, fill
from privaudit.report.wording.tables import read_table


@dataclass(frozen=True)
class AttackClass:
    """A class of attack. name, question: its heading; asked: who asks for it; nist: its class in
    NIST AI 100-2 E2025; families: of attacks, as the audit names them; attacks: single ones, which
    go before families. lacking: why it is not tested where the audit does not say. table: it
    applies only where synthetic records are released."""

    name: str
    question: str = ""
    asked: str = ""
    nist: str = ""
    families: tuple[str, ...] = ()
    attacks: tuple[str, ...] = ()
    lacking: str = "no such attack was run"
    table: bool = False

    @property
    def title(self) -> str:
        """Name and question."""
        return f"{self.name}: {fill(self.question)}" if self.question else self.name


CLASSES = {key: AttackClass(**entry) for key, entry in read_table("classes").items()}

NEEDS_ASSIGNMENT = Phrase(
    "it needs {people} assigned to training at random, and here the split was supplied; "
    "privaudit audit-dp takes canaries"
)
NO_FILE = "no file was released or supplied"
NO_EXCHANGE = "nothing that is exchanged while training is released in this run"
ANSWERS_KNOWN = "only the model’s answers were supplied, and this class needs more"
NO_TABLE = "no synthetic records are released in this run"


def name_family(family: str) -> str:
    """The heading of a family of attacks; an unknown one keeps its own name."""
    found = next((c.name for c in CLASSES.values() if family in c.families), "")
    return found or family.replace("_", " ").capitalize()


def class_of(attack: str, family: str) -> str:
    """The class that an attack belongs to; nothing for a family that is not known here."""
    named = next((key for key, c in CLASSES.items() if attack in c.attacks), "")
    return named or next((key for key, c in CLASSES.items() if family in c.families), "")
