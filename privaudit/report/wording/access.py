"""What an attacker can do, by the names of `privaudit.contracts.Access`: the one table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class AccessNote:
    """One kind of access. does: what the attacker can do; who: who could; short: the head of a
    column; knowledge: the level of NIST AI 100-2."""

    does: str
    who: str
    short: str
    knowledge: str


ACCESS: dict[str, AccessNote] = {
    "WEIGHTS": AccessNote(
        "read the model’s parameters and take gradients",
        "anyone who is given the model file",
        "Parameters",
        "white box: reads the model file",
    ),
    "FILE": AccessNote(
        "open the file in which the generator is saved",
        "anyone who is given the generator’s file",
        "Generator file",
        "white box: reads the generator’s file",
    ),
    "UPDATES": AccessNote(
        "read each client’s update, as the server does",
        "whoever runs the federated training",
        "Client updates",
        "grey box: observes the training",
    ),
    "CUT": AccessNote(
        "read the traffic at a split model’s cut",
        "whoever runs the server of split learning",
        "Split activations",
        "grey box: observes the training",
    ),
    "CIPHER": AccessNote(
        "hold the encrypted updates and their sums, as the server does",
        "whoever runs the federated training",
        "Ciphertexts",
        "grey box: observes the training",
    ),
    "SEAT": AccessNote(
        "take part in training as one client",
        "a hospital that takes part in the training",
        "Malicious client",
        "grey box: takes part in the training",
    ),
    "RERUN": AccessNote(
        "train shadow models in the same way on other records",
        "an expert who knows how the model was trained and has similar patients",
        "Shadow training",
        "grey box: knows how the model was trained",
    ),
    "TABLE": AccessNote(
        "read the synthetic records",
        "anyone who is given the synthetic table",
        "Synthetic table",
        "black box: holds the synthetic records only",
    ),
    "ANSWERS": AccessNote(
        "query the model for probabilities",
        "anyone who may use the model",
        "Answers",
        "black box: sees the model’s answers only",
    ),
}
"""The most telling first."""


def name_access(access: str) -> str:
    """What the attacker can do; an unknown name is printed as it came."""
    return ACCESS[access].does if access in ACCESS else access


def shorten_access(access: str) -> str:
    """The same in a word or two."""
    return ACCESS[access].short if access in ACCESS else access


__all__ = ["ACCESS", "AccessNote", "name_access", "shorten_access"]
