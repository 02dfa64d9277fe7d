"""Classes of attack that a data protection authority asks about, and which of them this run tried."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from privaudit.report.kinds import can, kinds
from privaudit.results import Audit, Failed, Finding

State = Literal["TESTED", "NOT TESTED", "NOT APPLICABLE"]


@dataclass(frozen=True)
class Class:
    """A class of attack. attacks go before families; none: this version has no such attack.

    asked: who asks for it. nist: its class in NIST AI 100-2 E2025. lacking: why it is not tested,
    where the audit itself does not say. table: it makes sense only where synthetic records leave.
    """

    title: str
    asked: str
    nist: str
    families: tuple[str, ...]
    attacks: tuple[str, ...]
    lacking: str
    table: bool = False

    @property
    def short(self) -> str:
        """The name alone, without its question."""
        return self.title.partition(":")[0]


NO_COIN = (
    "it needs a coin that decided, patient by patient, who was trained on, and here that was given; "
    "privaudit audit-dp takes canaries"
)
NO_FILE = "no generator’s file is handed out or was given"
NO_FILES = "this version looks for stored records in the files of generators alone"
ALONE = "nothing that is exchanged while training is released in this run"
ANSWERS = "only answers of the model are known, and this takes more"
MODELLED = ("attribute", "evasion", "poisoning")
EDPB = "EDPB Opinion 28/2024, paragraph 55"

CLASSES: dict[str, Class] = {
    "membership": Class(
        "Membership inference: was this patient in the training data?",
        EDPB,
        "privacy: membership inference",
        ("membership",),
        (),
        "no such attack was run",
    ),
    "attribute": Class(
        "Attribute inference: can a hidden value of a patient be learnt?",
        EDPB,
        "privacy: data reconstruction",
        ("attribute",),
        (),
        "no such attack was run",
    ),
    "exfiltration": Class(
        "Exfiltration: does the released file itself hold records?",
        EDPB,
        "privacy: data reconstruction",
        (),
        ("stored_records",),
        "no attack of this run looks for records stored in a released file",
    ),
    "regurgitation": Class(
        "Regurgitation: are training records repeated word for word?",
        EDPB,
        "privacy: data reconstruction",
        (),
        ("copies",),
        "no attack of this run counts repeated records",
        True,
    ),
    "inversion": Class(
        "Model inversion: can a typical training record be rebuilt from the finished model?",
        EDPB,
        "privacy: data reconstruction",
        ("inversion",),
        (),
        "this version has no such attack; guessing one hidden value stands under attribute inference",
    ),
    "reconstruction": Class(
        "Reconstruction: can records, outcomes or keys be rebuilt from what training exchanges?",
        EDPB,
        "privacy: data reconstruction",
        ("reconstruction",),
        (),
        "no such attack was run",
    ),
    "synthetic": Class(
        "Singling out, linkage and inference from synthetic records",
        "Article 29 Working Party, Opinion 05/2014 (WP216)",
        "privacy: data reconstruction",
        ("synthetic",),
        (),
        "no such attack was run",
        True,
    ),
    "epsilon": Class(
        "A lower bound on epsilon: does a promise of differential privacy hold?",
        "NIST SP 800-226",
        "privacy: membership inference",
        ("epsilon",),
        (),
        "no such attack was run",
    ),
    "property": Class(
        "Property inference and model extraction",
        "NIST AI 100-2 E2025",
        "privacy: property inference, model extraction",
        ("property", "extraction"),
        (),
        "this version has no such attack",
    ),
    "evasion": Class(
        "Evasion: small changes of the input that turn the answer",
        "NIST AI 100-2 E2025",
        "evasion",
        ("evasion",),
        (),
        "no such attack was run",
    ),
    "poisoning": Class(
        "Poisoning: a dishonest hospital in joint training",
        "NIST AI 100-2 E2025",
        "poisoning: model and backdoor poisoning",
        ("poisoning",),
        (),
        "no such attack was run",
    ),
}


@dataclass(frozen=True)
class Tried:
    """One class in this run: the attacks that gave a result, on how many models, and why not."""

    key: str
    state: State
    attacks: tuple[str, ...]
    models: int
    reason: str


def class_of(attack: str, family: str) -> str:
    """The class that an attack belongs to; nothing for a family that is not known here."""
    named = next((key for key, c in CLASSES.items() if attack in c.attacks), "")
    return named or next((key for key, c in CLASSES.items() if family in c.families), "")


def tried(audit: Audit) -> tuple[Tried, ...]:
    """Every class with its state in this run."""
    told = {c.family: c for c in audit.coverage}
    found: list[Tried] = []
    for key, c in CLASSES.items():
        own = [
            (s.name, o)
            for s in audit.subjects
            for o in s.outcomes
            if class_of(o.attack, o.family) == key
        ]
        ran = [(name, o.attack) for name, o in own if isinstance(o, Finding)]
        if ran:
            attacks = tuple(sorted({attack for _, attack in ran}))
            found.append(Tried(key, "TESTED", attacks, len({name for name, _ in ran}), ""))
            continue
        engine = next((told[family] for family in c.families if family in told), None)
        broke = next((o.error for _, o in own if isinstance(o, Failed)), "")
        state: State = "NOT TESTED"
        reason = c.lacking
        if c.table and not _releases_table(audit):
            state, reason = "NOT APPLICABLE", "no synthetic records are released in this run"
        elif key == "epsilon" and not audit.data.random_split:
            reason = NO_COIN
        elif key == "exfiltration" and not any(can(s, "FILE") for s in audit.subjects):
            reason = NO_FILE if _releases_table(audit) else NO_FILES
        elif key == "reconstruction" and audit.subjects and not _exchanges(audit):
            state, reason = "NOT APPLICABLE", ALONE
        elif key in MODELLED and audit.subjects and set(kinds(audit)) == {"answers"}:
            reason = ANSWERS
        elif broke:
            reason = f"the attack broke: {broke}"
        elif engine is not None and engine.state != "TESTED":
            state, reason = engine.state, engine.reason
        elif own:
            reason = "; ".join(dict.fromkeys(getattr(o, "reason", "") for _, o in own)) or c.lacking
        found.append(Tried(key, state, (), 0, reason))
    return tuple(found)


def _exchanges(audit: Audit) -> bool:
    return any(can(s, key) for s in audit.subjects for key in ("UPDATES", "CUT", "CIPHER"))


def _releases_table(audit: Audit) -> bool:
    return any(can(s, "TABLE") for s in audit.subjects)


__all__ = ["CLASSES", "EDPB", "Class", "Tried", "class_of", "tried"]
