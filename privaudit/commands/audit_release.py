"""privaudit audit-release."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from privaudit.commands._inputs import PATIENT, SCHEMA
from privaudit.commands._options import CONFIDENCE, JSON, PATH, option, several, with_options
from privaudit.errors import PrivauditError

_QUASI = "Columns that others may know of a patient."
_SENSITIVE = "Columns whose values nobody is to learn."
_PSEUDONYMS = "Columns of made-up numbers that look like identifiers."
_NOT_KNOWN = "Columns of which you state that nobody outside knows them."
_POPULATION = "A register of everybody from whom the patients are, with the same columns."
_SIZE = "How many people the patients were drawn from."
_FRACTION = "The share of these people that is in the table, in place of their number."
_TOLERANCE = "How far off others' knowledge of a number, or of a date in days, may be. Repeatable."
_MISSING = "What a missing value is: a value of its own, one that fits all, or both."
_ATTACKER = (
    "Whom the limits are meant for: `prosecutor` knows that the patient is in the table, "
    "`journalist` does not."
)
_MAX_RISK = "Limit of the highest risk of a patient: 1 over the size of their class."
_MAX_DISCLOSED = "Limit of the share of patients whose sensitive value their class gives away."
_ERROR = "Of the values in an attacker's list, the share that is wrong."
_UNKNOWN = "And the share that the attacker does not know."
_TEXTS = (
    *("quasi_identifiers", "patient", "sensitive", "pseudonyms", "not_known", "population_size"),
    *("sampling_fraction", "missing", "attacker", "max_risk", "max_average_risk", "min_k"),
    *("max_unique", "max_disclosed", "register_error", "register_missing", "seed"),
)


@click.command("audit-release")
@click.argument("table", type=PATH)
@with_options(
    option("--quasi-identifiers", "A,B", _QUASI, required=True),
    PATIENT,
    option("--sensitive", "A,B", _SENSITIVE),
    option("--pseudonyms", "A,B", _PSEUDONYMS),
    option("--not-known", "A,B", _NOT_KNOWN),
    option("--population", "FILE", _POPULATION, PATH),
    option("--population-size", "N", _SIZE, click.IntRange(min=1)),
    option("--sampling-fraction", "F", _FRACTION, float),
    click.option(
        "--tolerance", "tolerances", multiple=True, metavar="COLUMN=WIDTH", help=_TOLERANCE
    ),
    option(
        "--missing", "HOW", _MISSING, click.Choice(("value", "wildcard", "both")), default="both"
    ),
    option(
        "--attacker",
        "WHO",
        _ATTACKER,
        click.Choice(("prosecutor", "journalist")),
        default="prosecutor",
    ),
    option("--max-risk", "P", _MAX_RISK, float),
    option("--max-average-risk", "P", "Limit of the average of these risks.", float),
    option("--min-k", "K", "Least size of a class, in patients.", click.IntRange(min=1)),
    option("--max-unique", "P", "Limit of the share of patients alone in their class.", float),
    option("--max-disclosed", "P", _MAX_DISCLOSED, float),
    option("--register-error", "P", _ERROR, float, default=0.05),
    option("--register-missing", "P", _UNKNOWN, float, default=0.05),
    SCHEMA,
    option("--out", "DIR", "Where the report is written.", PATH, default=Path("release")),
    option("--seed", "N", "Seed of the patients drawn to be linked.", click.IntRange(0), default=0),
    CONFIDENCE,
    JSON,
)
def command(**options: Any) -> int:
    """Audit a table of patients that is to be released.

    TABLE is a CSV or Parquet file. Counts whom others could find by the quasi-identifiers, what
    their classes give away, how well an attacker links them, and what coarser columns would change.
    Prints the path of the report that may be shared; exact numbers are under restricted/.

    Exit code 0: within the limits, or no limit was asked for; 1: a limit is exceeded; 2: wrong use
    or input; 3: inconclusive.
    """
    from privaudit.api_release import audit_release
    from privaudit.deidentified.document import State, to_json
    from privaudit.report.wording.release import STATES, word_verdict

    found = audit_release(
        options["table"],
        several(options["quasi_identifiers"]),
        patient=options["patient"],
        sensitive=several(options["sensitive"]),
        pseudonyms=several(options["pseudonyms"]),
        not_known=several(options["not_known"]),
        population=options["population"],
        population_size=options["population_size"],
        sampling_fraction=options["sampling_fraction"],
        tolerance=_read_tolerances(options["tolerances"]),
        missing=options["missing"],
        attacker=options["attacker"],
        max_risk=options["max_risk"],
        max_average_risk=options["max_average_risk"],
        min_k=options["min_k"],
        max_unique=options["max_unique"],
        max_disclosed=options["max_disclosed"],
        register_error=options["register_error"],
        register_missing=options["register_missing"],
        schema=options["schema"],
        seed=options["seed"],
        confidence=options["confidence"],
        command=_spell_command(options),
    )
    page = found.write(options["out"])
    judged = found.audit.state is not State.NO_LIMIT
    state = f"{STATES[found.audit.state]}. " if judged else ""
    click.echo(f"{state}{word_verdict(found.shared)}", err=True)
    if options["as_json"]:
        document = json.loads(to_json(found.shared))
        answer = {"report": str(page), "code": found.audit.code, "release": document}
        click.echo(json.dumps(answer, indent=1))
    else:
        click.echo(str(page))
    return found.audit.code


def _read_tolerances(texts: tuple[str, ...]) -> dict[str, float]:
    found: dict[str, float] = {}
    for text in texts:
        name, sign, width = text.rpartition("=")
        try:
            found[name.strip()] = float(width)
        except ValueError:
            sign = ""
        if not sign:
            raise PrivauditError(
                f"--tolerance {text}", "it is COLUMN=WIDTH", "write --tolerance age=1"
            )
    return found


def _spell_command(options: dict[str, Any]) -> str:
    """The command as the report may show it: without the names of files."""
    words = ["privaudit", "audit-release", "TABLE"]
    words += [f"--{f} FILE" for f in ("population", "schema") if options[f] is not None]
    words += [
        f"--{name.replace('_', '-')} {options[name]}"
        for name in _TEXTS
        if options[name] not in (None, "")
    ]
    words += [f"--tolerance {text}" for text in options["tolerances"]]
    if options["confidence"] != 0.95:
        words.append(f"--confidence {options['confidence']}")
    return " ".join(words)
