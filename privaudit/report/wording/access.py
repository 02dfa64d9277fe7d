"""What an attacker can do, in words: documents hold the names of `contracts.Access`."""

from __future__ import annotations

from privaudit.contracts import Access

ACCESS: dict[Access, str] = {
    Access.ANSWERS: "ask the model for probabilities",
    Access.WEIGHTS: "read the parameters and take gradients",
    Access.UPDATES: "read each client's update, as the server does",
    Access.CIPHER: "hold the encrypted updates and their sums, as the server does",
    Access.CUT: "read the traffic at a split model's cut",
    Access.TABLE: "read the synthetic records",
    Access.FILE: "open the file that the generator is saved in",
    Access.SEAT: "take part in training as one client",
    Access.RERUN: "train again the same way on other records",
}
"""Access is a StrEnum: a name from a document finds its wording too, `ACCESS[Access(name)]`."""

__all__ = ["ACCESS"]
