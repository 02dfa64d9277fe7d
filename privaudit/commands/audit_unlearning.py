"""privaudit audit-unlearning."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from privaudit.commands import _inputs as inputs
from privaudit.commands._options import CONFIDENCE, JSON, PATH, option, several, with_options
from privaudit.errors import PrivauditError

if TYPE_CHECKING:
    from privaudit.forgetting.results import Unlearning
    from privaudit.inputs.read_unlearning import ReadUnlearning
    from privaudit.seeds import Seeds

_BEFORE = "The model that was trained on the forgotten too: a file as `audit --model` opens it."
_AFTER = "The model that is said to have forgotten them."
_FORGOTTEN = "The rows that were to be forgotten."
_RETAINED = "The training rows that stay."
_STRANGERS = "Rows of patients held out, never trained on by either model."
_ESTIMATOR = (
    "A function that returns the unfitted estimator, for models that never saw the forgotten; "
    "`none` for none, with which nothing can be shown. [default: scikit-learn's clone of the model]"
)
_ROLE = (
    "Where --before and --after are tables of predictions (CSV or Parquet): the column that says "
    "forgotten, retained or stranger."
)
_REFITS = "Models to train, half of them without the forgotten; a multiple of 4."
_LIMIT = (
    "The imprint that has to be ruled out, as a share of that of a model that saw them all: about "
    "so many of the forgotten may still be in the model where no trace is found."
)
_OUT = "Also write report.html and unlearning.json there."
_TABLES = (".csv", ".parquet")


@click.command("audit-unlearning")
@with_options(
    option("--before", "FILE", _BEFORE, PATH, required=True),
    option("--after", "FILE", _AFTER, PATH, required=True),
    option("--forgotten", "TABLE", _FORGOTTEN, PATH),
    option("--retained", "TABLE", _RETAINED, PATH),
    option("--strangers", "TABLE", _STRANGERS, PATH),
    inputs.OUTCOME,
    inputs.PATIENT,
    inputs.SCHEMA,
    option("--estimator", "MODULE:FUNCTION", _ESTIMATOR, default=""),
    option("--module", "MODULE:FUNCTION", "As of `audit`.", default=""),
    option("--trust-pickle", "", "As of `audit`: a pickle runs whatever its maker put into it."),
    option("--encode", "HOW", "As of `audit`: codes or onehot.", default=""),
    option(
        "--answers", "KIND", "What the models answer with: probabilities or logits.", default=""
    ),
    option("--classes", "A,B", "The classes in the order of the models' outputs."),
    option("--event", "CLASS", "Of two classes, the one whose probability is given.", default=""),
    option("--role", "COLUMN", _ROLE, default="role"),
    option("--probabilities", "A,B", "In tables of predictions, the columns of probabilities."),
    option("--refits", "N", _REFITS, click.IntRange(min=8), default=16),
    option("--limit", "SHARE", _LIMIT, float, default=0.25),
    CONFIDENCE,
    option("--seed", "N", "Seed of every random stream.", click.IntRange(min=0), default=0),
    option("--out", "DIR", _OUT, PATH),
    JSON,
)
def command(*, out: Path | None, as_json: bool, **options: Any) -> int:
    """Look for what a model kept of patients it was to forget.

    \b
    privaudit audit-unlearning --before a.skops --after b.skops --forgotten gone.csv
        --retained stay.csv --strangers heldout.csv --outcome died

    With a recipe, models are trained that never saw the forgotten patients, and models that did;
    the model after is held against both.

    Exit code 0: no trace was found, and an imprint of --limit is ruled out, which is no proof that
    nothing is left; 1: a trace was found, answers that are worse than those of a model that never
    saw them included; 2: wrong use or input; 3: inconclusive, as always where nothing was found and
    the recipe is not known.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from privaudit.forgetting.audit import audit_unlearning
    from privaudit.report.wording.reasons_and_caveats import word_caveat
    from privaudit.report.wording.unlearning import list_lines
    from privaudit.seeds import Seeds

    seeds = Seeds(options["seed"]).child("unlearning")
    read = _read(options, seeds)
    for note in read.notes:
        click.echo(f"note: {note if isinstance(note, str) else word_caveat(note)}", err=True)
    found = audit_unlearning(
        read.pools,
        read.before,
        read.after,
        recipe=read.recipe,
        has_features=read.features,
        refits=options["refits"],
        limit=options["limit"],
        confidence=options["confidence"],
        other_kind=read.other_kind,
        seeds=seeds,
        progress=lambda done, of: click.echo(f"trained {done} of {of} models", err=True),
    )
    document = json.dumps({**dataclasses.asdict(found), "code": found.answer.code}, indent=1)
    if out is not None:
        _write(out, found, document)
    click.echo(document if as_json else "\n".join(list_lines(found)))
    return found.answer.code


def _read(options: dict[str, Any], seeds: Seeds) -> ReadUnlearning:
    from privaudit.inputs.class_order import StatedOrder
    from privaudit.inputs.read_model import ModelOptions
    from privaudit.inputs.read_unlearning import (
        ROLES,
        UnlearningPaths,
        read_models,
        read_predictions,
    )

    before, after = options["before"], options["after"]
    how = ModelOptions(
        options["trust_pickle"],
        options["module"],
        options["encode"],
        options["answers"],
        StatedOrder(several(options["classes"]), options["event"]),
    )
    predicted = [path.suffix.lower() in _TABLES for path in (before, after)]
    if predicted[0] != predicted[1]:
        raise PrivauditError(
            "a model and a table of predictions",
            "the two are compared by answers that were made the same way",
            "give two models, or two tables of predictions",
        )
    given = [role for role in ROLES if options[role] is not None]
    if predicted[0]:
        beside = [*given, *(name for name in ("schema", "estimator", "module") if options[name])]
        if beside:
            raise PrivauditError(
                f"tables of predictions together with --{beside[0]}",
                "such tables hold every role and outcome, and no model can be trained from them",
                f"leave --{beside[0]} out, or give models",
            )
        return read_predictions(
            before,
            after,
            role=options["role"],
            outcome=options["outcome"],
            patient=options["patient"],
            columns=several(options["probabilities"]),
            options=how,
        )
    for role in ROLES:
        if role not in given:
            raise PrivauditError(
                f"no --{role}",
                "forgetting is seen beside patients still known and patients never known",
                f"add --{role} TABLE",
            )
    tables = UnlearningPaths(
        members=options["retained"],
        nonmembers=options["strangers"],
        schema=options["schema"],
        outcome=options["outcome"],
        patient=options["patient"],
        sample=None,
        forgotten=options["forgotten"],
    )
    return read_models(
        before, after, tables, options=how, estimator=options["estimator"], seeds=seeds
    )


def _write(out: Path, found: Unlearning, document: str) -> None:
    from datetime import UTC, datetime

    from privaudit import __version__
    from privaudit.inputs.table_file import write_atomically
    from privaudit.report.unlearning import render

    created = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    page = render(found, created=created, version=__version__)
    for name, text in (("report.html", page), ("unlearning.json", document + "\n")):
        with write_atomically(out / name) as part:
            part.write_text(text, encoding="utf-8")


__all__ = ["command"]
