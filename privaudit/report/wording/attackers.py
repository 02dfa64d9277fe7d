"""Who makes a membership attack: what they hold beside the release, and so whose number it is."""

from __future__ import annotations

from dataclasses import dataclass

from privaudit.facts import Attacker
from privaudit.report import numbers as n
from privaudit.report.wording.nouns import Phrases, fill, w
from privaudit.results import Estimate


@dataclass(frozen=True)
class AttackerNote:
    """An attacker in plain words. name: as a table names them; holds: what they hold beside the
    patient's record and the release; measured: what was done in their place; by: in a sentence."""

    name: str
    holds: str
    measured: str
    by: str


_ATTACKERS: dict[Attacker, AttackerNote] = {
    Attacker.CANDIDATES: AttackerNote(
        "holds the candidates",
        "The records of all candidates, some of whom were trained on, and how the model was "
        "trained: a former partner of the study, or {a_site} that handed in more than was used.",
        "Shadow models were trained on halves of the training and held-out {people} themselves, so "
        "that each {person} is in some of them and not in others. The strongest attacker measured.",
        "by somebody who holds the records of all candidates",
    ),
    Attacker.SIMILAR_PATIENTS: AttackerNote(
        "holds similar {people}",
        "Records of other, similar {people}, and how the release was trained or what it looks "
        "like: another {site}, or a research group with a cohort of its own.",
        "Shadow models, or densities, were made of the reference {people} alone. No training or "
        "held-out {person} was in any of them.",
        "by somebody who holds records of similar {people} only",
    ),
    Attacker.KNOWN_MEMBERS: AttackerNote(
        "knows some of the members",
        "Records of other {people}, of each of whom it is known whether the model was trained on "
        "them, and nothing of how it was trained.",
        "Each training and held-out {person} was judged by what was learnt on others of them. No "
        "model was trained as it was.",
        "by somebody who knows some of those who were trained on",
    ),
    Attacker.KNOWN_OUTSIDERS: AttackerNote(
        "holds other {people}",
        "Records of other {people} of whom it is known that the model was not trained on them, and "
        "nothing of how it was trained.",
        "The model was asked about reference and held-out {people}, and each {person} was judged "
        "by what was learnt on others. No model was trained as it was.",
        "by somebody who holds records of {people} who were not trained on",
    ),
    Attacker.RELEASE_ALONE: AttackerNote(
        "holds the release alone",
        "No other record: anybody who may query the model.",
        "The release was asked about the {person}, and nothing else was trained.",
        "by somebody who holds the release and no other records",
    ),
}

CAPTION = "Attackers of membership inference: whose numbers these are"
COLUMNS = Phrases(
    ("Attacker", "Holds, beside the {person}’s record", "How it was measured", "Attacks")
)
UNKNOWN = "not stated"


def list_attackers() -> dict[Attacker, AttackerNote]:
    """Every attacker, the strongest first."""
    return {
        attacker: AttackerNote(fill(a.name), fill(a.holds), fill(a.measured), fill(a.by))
        for attacker, a in _ATTACKERS.items()
    }


def name_attacker(attacker: Attacker | None) -> str:
    """Who makes the attack, for a table; nothing where it is no membership attack."""
    return "" if attacker is None else list_attackers()[attacker].name


def add_attacker(attack: str, attacker: Attacker | None) -> str:
    """The attack's name with who makes it, as it stands in brackets in a sentence."""
    return attack if attacker is None else f"{attack}, {list_attackers()[attacker].by}"


def word_weaker(attack: str, e: Estimate) -> str:
    """What somebody finds who holds similar patients only, beside the stronger attacker."""
    return (
        f"Somebody who holds records of similar {w.people} only ({attack}) picks the training "
        f"{w.person} of one and one other {n.count_in(e.value or 0, 100, n.half_width(e))} times "
        f"in 100 ({n.frequency_interval(e, 100)})."
    )


__all__ = [
    "CAPTION",
    "COLUMNS",
    "UNKNOWN",
    "AttackerNote",
    "add_attacker",
    "list_attackers",
    "name_attacker",
    "word_weaker",
]
