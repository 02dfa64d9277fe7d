"""The schema that a synthetic table is made by, and what of it may be public."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from privaudit.errors import PrivauditError

if TYPE_CHECKING:
    from privaudit.inputs.schema import TableSchema


def find_schema(
    options: Mapping[str, Any], claims: bool, say: Callable[[str], None]
) -> tuple[TableSchema, dict[str, Any]]:
    """The schema given, or one proposed, written beside the output.

    Args:
        options: Of the command.
        claims: Whether the generator claims a guarantee: it needs a schema that is public.
        say: Prints a line.

    Returns:
        The schema, and where it came from.

    Raises:
        PrivauditError: A schema that is not public, or none, where a guarantee is claimed.
    """
    from privaudit.inputs.check_public import refuse_unchecked
    from privaudit.inputs.fit_guesses import fit_pooled
    from privaudit.inputs.infer_schema import propose_schema
    from privaudit.inputs.schema import name_roles, read_schema, refuse_numbers, write_schema

    if options["schema"] is not None:
        found = refuse_numbers(read_schema(options["schema"]))
        found = name_roles(found, outcome=options["outcome"], patient=options["patient"])
        if claims:
            # Bounds are never widened by the data that the guarantee covers.
            refuse_unchecked(found, options["table"], options["checked"])
            return replace(found, guessed={}), {"schema": str(options["schema"]), "proposed": False}
        found, widened = fit_pooled(found, options["table"])
        for note in widened:
            say(f"note: {note}")
        return found, {"schema": str(options["schema"]), "proposed": False}
    if claims:
        raise PrivauditError(
            f"the generator {options['generator']!r} without --schema",
            "its guarantee needs bounds and levels that are public knowledge; a proposed schema "
            "reads them off the data",
            "run `privaudit schema TABLE --out schema.toml`, put in public ranges and levels, and "
            "give it with --schema",
        )
    found, notes = propose_schema(
        options["table"], outcome=options["outcome"], patient=options["patient"], pooled=True
    )
    beside = options["out"].with_name(options["out"].stem + ".schema.toml")
    if any(p is not None and are_same(beside, p) for p in (options["table"], options["save"])):
        raise PrivauditError(
            "no place for the proposed schema",
            "it would replace a file named in this command",
            "give another --out",
        )
    write_schema(found, beside, notes)
    say("no --schema: one was proposed from the table. A person must check it:")
    for note in notes:
        say(f"  check: {note}")
    return found, {"schema": str(beside), "proposed": True, "check": list(notes)}


def are_same(one: Path, other: Path) -> bool:
    """Whether two paths name one file."""
    return one.resolve() == other.resolve()


__all__ = ["are_same", "find_schema"]
