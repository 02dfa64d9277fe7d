"""Leave methods out whose guarantee these records do not allow."""

from __future__ import annotations

from dataclasses import replace

from privaudit.contracts import Method, Prepared
from privaudit.engine import document
from privaudit.engine.configure import Entry, Request
from privaudit.errors import PrivauditError, spell
from privaudit.facts import Reason, ReasonCode
from privaudit.results import Untrained

EPSILON = "epsilon"
"""The setting of whatever claims a guarantee, in a method or in a part of it."""


def claims_guarantee(method: Method) -> bool:
    """Whether a method, or a part of it such as its generator, is set to claim an epsilon."""
    return any(name.rpartition(".")[2] == EPSILON for name in document.params(method))


def leave_out_guarantees(request: Request, prepared: Prepared) -> Request:
    """The request without the methods that would claim a guarantee which does not hold here.

    A private method takes bounds, levels and classes for public knowledge. Where they were read off
    the records, its epsilon would be claimed of something that the noise does not cover. What is
    left out is a result with its reason; the rest is trained.

    Raises:
        PrivauditError: Where nothing is left.
    """
    why = prepared.unguaranteed
    if why is None:
        return request
    out = [entry for entry in request.entries if claims_guarantee(entry.method)]
    if not out:
        return request
    kept = tuple(entry for entry in request.entries if entry not in out)
    if not kept:
        raise _refuse(out, why)
    left = tuple(Untrained(entry.name, entry.method_name, why) for entry in out)
    return replace(request, entries=kept, untrained=(*request.untrained, *left))


def refuse_claim(epsilon: float | None, unguaranteed: bool) -> None:
    """Refuse an epsilon of records that allow none, whoever claims it."""
    if unguaranteed and epsilon is not None:
        raise PrivauditError(
            f"a guarantee of epsilon {epsilon:g} on records that allow none",
            "bounds, levels or classes may have been read off them, or nobody says whose they are",
            "give a schema that is public knowledge and names the people",
        )


def _refuse(out: list[Entry], why: Reason) -> PrivauditError:
    if why.code is ReasonCode.PEOPLE_NOT_NAMED:
        return PrivauditError(
            f"{', '.join(entry.name for entry in out)} on pictures of which nobody says whose they "
            "are",
            "a guarantee is for a person, who may have several",
            "name the people in labels.csv, or say that each picture is of another person: "
            "--set task.each_a_person=true",
        )
    columns = why.params.get("columns", ())
    named = ", ".join(map(repr, columns)) if isinstance(columns, tuple) else str(columns)
    checked = spell("--checked COLUMN (or --checked all)", "checked")
    return PrivauditError(
        f"{', '.join(entry.name for entry in out)} on a table whose schema is not checked",
        "a guarantee needs bounds, levels and classes that are public knowledge, and those of "
        f"columns such as {named} may have been read off the table",
        "put in what is possible and remove `guessed`; where what stands there is public, say so "
        f"with {checked}",
    )


__all__ = ["claims_guarantee", "leave_out_guarantees", "refuse_claim"]
