"""Who makes a membership attack: what they hold beside the release, and so whose number it is."""

from __future__ import annotations

from dataclasses import dataclass

from privaudit.facts import Attacker
from privaudit.report import numbers as n
from privaudit.results import Estimate


@dataclass(frozen=True)
class AttackerNote:
    """An attacker in plain words. name: as a table names them; holds: what they hold beside the
    patient's record and the release; measured: what was done in their place; by: in a sentence."""

    name: str
    holds: str
    measured: str
    by: str


ATTACKERS: dict[Attacker, AttackerNote] = {
    Attacker.CANDIDATES: AttackerNote(
        "holds the candidates",
        "The records of all candidates, some of whom were trained on, and how the model was "
        "trained: a former partner of the study, or a hospital that handed in more than was used.",
        "Shadow models were trained on halves of the training and held-out patients themselves, so "
        "that each patient is in some of them and not in others. The strongest attacker measured.",
        "by somebody who holds the records of all candidates",
    ),
    Attacker.SIMILAR_PATIENTS: AttackerNote(
        "holds similar patients",
        "Records of other, similar patients, and how the release was trained or what it looks "
        "like: another hospital, or a research group with a cohort of its own.",
        "Shadow models, or densities, were made of the reference patients alone. No training or "
        "held-out patient was in any of them.",
        "by somebody who holds records of similar patients only",
    ),
    Attacker.KNOWN_MEMBERS: AttackerNote(
        "knows some of the members",
        "Records of other patients, of each of whom it is known whether the model was trained on "
        "them, and nothing of how it was trained.",
        "Each training and held-out patient was judged by what was learnt on others of them. No "
        "model was trained as it was.",
        "by somebody who knows some of those who were trained on",
    ),
    Attacker.KNOWN_OUTSIDERS: AttackerNote(
        "holds other patients",
        "Records of other patients of whom it is known that the model was not trained on them, and "
        "nothing of how it was trained.",
        "The model was asked about reference and held-out patients, and each patient was judged by "
        "what was learnt on others. No model was trained as it was.",
        "by somebody who holds records of patients who were not trained on",
    ),
    Attacker.RELEASE_ALONE: AttackerNote(
        "holds the release alone",
        "No other record: anybody who may query the model.",
        "The release was asked about the patient, and nothing else was trained.",
        "by somebody who holds the release and no other records",
    ),
}
"""The strongest first."""

CAPTION = "Attackers of membership inference: whose numbers these are"
COLUMNS = ("Attacker", "Holds, beside the patient’s record", "How it was measured", "Attacks")
UNKNOWN = "not stated"


def name_attacker(attacker: Attacker | None) -> str:
    """Who makes the attack, for a table; nothing where it is no membership attack."""
    return "" if attacker is None else ATTACKERS[attacker].name


def add_attacker(attack: str, attacker: Attacker | None) -> str:
    """The attack's name with who makes it, as it stands in brackets in a sentence."""
    return attack if attacker is None else f"{attack}, {ATTACKERS[attacker].by}"


def word_weaker(attack: str, e: Estimate) -> str:
    """What somebody finds who holds similar patients only, beside the stronger attacker."""
    return (
        f"Somebody who holds records of similar patients only ({attack}) picks the training "
        f"patient of one and one other {n.count_in(e.value or 0, 100, n.half_width(e))} times "
        f"in 100 ({n.frequency_interval(e, 100)})."
    )


__all__ = [
    "ATTACKERS",
    "CAPTION",
    "COLUMNS",
    "UNKNOWN",
    "AttackerNote",
    "add_attacker",
    "name_attacker",
    "word_weaker",
]
