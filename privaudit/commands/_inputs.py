"""Options of the commands that read a user's tables."""

from __future__ import annotations

from typing import Any

import click

from privaudit.commands._options import PATH, option
from privaudit.errors import PrivauditError


class _Outcome(click.Option):
    """--outcome, which is also accepted as --target; the help shows the first."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        self.opts = ["--outcome"]
        try:
            return super().get_help_record(ctx)
        finally:
            self.opts = ["--outcome", "--target"]


OUTCOME = click.option(
    "--outcome",
    "--target",
    cls=_Outcome,
    default="",
    metavar="COLUMN",
    help="The outcome's column.",
)
_KIND = (
    "What the outcome is: `class`, `number` such as a length of stay, `time` to an event, or "
    "`ordered`: a class of several, which --classes or the schema lists in their order. "
    "[default: class, or what the schema says]"
)
OUTCOME_KIND = option("--outcome-kind", "KIND", _KIND, default="")
_EVENT = "Of a time, the column that says whether the event happened: 1, or 0 for censored."
EVENT_COLUMN = option("--event-column", "COLUMN", _EVENT, default="")
_PATIENT = "The column that names patients. [default: guessed by its name, else each row is one]"
PATIENT = option("--patient", "COLUMN", _PATIENT, default="")
_SCHEMA = "What the columns are, as `privaudit schema` proposes it. [default: proposed]"
SCHEMA = option("--schema", "FILE", _SCHEMA, PATH)
GROUPS = option("--groups", "A,B", "Columns whose subgroups are reported.")
SET = click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="ATTACK.FIELD=VALUE",
    help="Change one setting of an attack. Repeatable.",
)


def spell_command(
    name: str, options: dict[str, Any], files: tuple[str, ...], texts: tuple[str, ...]
) -> str:
    """The command as documents may show it: without the names of files."""
    words = ["privaudit", name]
    words += [f"--{file.replace('_', '-')} FILE" for file in files if options[file] is not None]
    words += [
        f"--{text.replace('_', '-')} {options[text]}"
        for text in texts
        if options[text] not in (None, "")
    ]
    words += [f"--set {text}" for text in options["settings"]]
    if options["confidence"] != 0.95:
        words.append(f"--confidence {options['confidence']}")
    if options["exact_counts"]:
        words.append("--exact-counts")
    return " ".join(words)


def parse_sample(text: str) -> int | None:
    """How many rows to read, None for all."""
    if text == "all":
        return None
    if not text.isdigit() or int(text) < 100:
        raise PrivauditError(
            f"--sample {text}", "it is a number of rows, at least 100, or `all`", "use 50000"
        )
    return int(text)


__all__ = [
    "EVENT_COLUMN",
    "GROUPS",
    "OUTCOME",
    "OUTCOME_KIND",
    "PATIENT",
    "SCHEMA",
    "SET",
    "parse_sample",
    "spell_command",
]
