"""Classes of attack that authorities and standards ask about, and the families that make them up: the
one table of both."""

from __future__ import annotations

from dataclasses import dataclass

EDPB = "EDPB Opinion 28/2024, paragraph 55"
RECONSTRUCTION = "privacy: data reconstruction"


@dataclass(frozen=True)
class AttackClass:
    """A class of attack. name, question: its heading; asked: who asks for it; nist: its class in NIST
    AI 100-2 E2025; families: of attacks, as the audit names them; attacks: single ones, which go before
    families. lacking: why it is not tested where the audit does not say. table: it applies only where
    synthetic records are released."""

    name: str
    question: str
    asked: str
    nist: str
    families: tuple[str, ...] = ()
    attacks: tuple[str, ...] = ()
    lacking: str = "no such attack was run"
    table: bool = False

    @property
    def title(self) -> str:
        """Name and question."""
        return f"{self.name}: {self.question}" if self.question else self.name


CLASSES: dict[str, AttackClass] = {
    "membership": AttackClass(
        "Membership inference",
        "was this patient in the training data?",
        EDPB,
        "privacy: membership inference",
        ("membership",),
    ),
    "attribute": AttackClass(
        "Attribute inference",
        "can an undisclosed value of a patient be learnt?",
        EDPB,
        RECONSTRUCTION,
        ("attribute",),
    ),
    "exfiltration": AttackClass(
        "Exfiltration",
        "does the released file itself hold records?",
        EDPB,
        RECONSTRUCTION,
        attacks=("stored_records",),
        lacking="no attack of this run looks for records stored in a released file",
    ),
    "regurgitation": AttackClass(
        "Regurgitation",
        "are training records reproduced?",
        EDPB,
        RECONSTRUCTION,
        attacks=("copies",),
        lacking="no attack of this run counts reproduced records",
        table=True,
    ),
    "inversion": AttackClass(
        "Model inversion",
        "can a typical training record be reconstructed from the finished model?",
        EDPB,
        RECONSTRUCTION,
        ("inversion",),
        lacking="this version has no such attack; inferring one undisclosed value counts as attribute "
        "inference",
    ),
    "reconstruction": AttackClass(
        "Reconstruction",
        "can records, outcomes or keys be reconstructed from what training exchanges?",
        EDPB,
        RECONSTRUCTION,
        ("reconstruction",),
    ),
    "synthetic": AttackClass(
        "Singling out, linkability and inference from synthetic records",
        "",
        "Article 29 Working Party, Opinion 05/2014 (WP216)",
        RECONSTRUCTION,
        ("synthetic",),
        table=True,
    ),
    "epsilon": AttackClass(
        "Empirical lower bound on epsilon",
        "does a differential-privacy guarantee hold?",
        "NIST SP 800-226",
        "privacy: membership inference",
        ("epsilon",),
    ),
    "property": AttackClass(
        "Property inference and model extraction",
        "",
        "NIST AI 100-2 E2025",
        "privacy: property inference, model extraction",
        ("property", "extraction"),
        lacking="this version has no such attack",
    ),
    "evasion": AttackClass(
        "Evasion",
        "do small changes of the input change the prediction?",
        "NIST AI 100-2 E2025",
        "evasion",
        ("evasion",),
    ),
    "poisoning": AttackClass(
        "Poisoning",
        "can a malicious hospital degrade the model?",
        "NIST AI 100-2 E2025",
        "poisoning: model and backdoor poisoning",
        ("poisoning",),
    ),
}

NEEDS_ASSIGNMENT = (
    "it needs patients assigned to training at random, and here the split was supplied; "
    "privaudit audit-dp takes canaries"
)
NO_FILE = "no generator’s file was released or supplied"
NO_FILES = "this version looks for stored records only in the files of generators"
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


__all__ = [
    "ANSWERS_KNOWN",
    "CLASSES",
    "EDPB",
    "NEEDS_ASSIGNMENT",
    "NO_EXCHANGE",
    "NO_FILE",
    "NO_FILES",
    "NO_TABLE",
    "AttackClass",
    "class_of",
    "name_family",
]
