"""A table of a model's probabilities, as the task and the release of an audit."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from privaudit.contracts import Model
from privaudit.errors import PrivauditError
from privaudit.inputs import pools
from privaudit.inputs.infer_schema import propose_schema
from privaudit.inputs.models.answers import from_logits, probabilities
from privaudit.inputs.models.predictors import RecordedNumbers, read_numbers, split_numbers
from privaudit.inputs.read_model import SAMPLE
from privaudit.inputs.read_table import list_names, read_cells, to_records
from privaudit.inputs.schema import TableSchema
from privaudit.inputs.table_file import open_table
from privaudit.inputs.user_release import ANSWERS_ONLY, UserRelease
from privaudit.inputs.user_task import UserTask
from privaudit.records import Column, OutcomeKind, Records
from privaudit.seeds import Seeds

PROBABILITY_NAMES = (
    *("p", "prob", "probability", "proba", "score", "prediction", "predicted", "y_prob", "y_pred"),
    "risk",
)
PREDICTION_NAMES = (
    *("prediction", "predicted", "y_pred", "y_hat", "yhat", "pred", "predictions", "estimate"),
    *("estimated", "fitted", "risk", "risk_score"),
)
MEMBER_NAMES = (
    "member",
    "is_member",
    "membership",
    "train",
    "in_train",
    "trained_on",
    "split",
    "set",
)
MEMBER_LABELS = ("1", "true", "yes", "member", "members", "train", "training", "in")
NONMEMBER_LABELS = (
    *("0", "false", "no", "nonmember", "nonmembers", "non-member", "test", "heldout", "held-out"),
    *("holdout", "out", "valid", "validation"),
)


@dataclass(frozen=True)
class PredictionsTable:
    """A file of probabilities: which columns hold them, and who is a member."""

    path: Path
    outcome: str
    member: str = ""
    probabilities: tuple[str, ...] = ()
    patient: str = ""
    groups: tuple[str, ...] = ()
    sample: int | None = SAMPLE
    outcome_kind: OutcomeKind = "class"
    event: str = ""


@dataclass(frozen=True, eq=False)
class RecordedModel:
    """A model of which only its answers for these records are known.

    The records hold the logarithms of its probabilities.
    """

    classes: int

    def predict_proba(self, records: Records) -> np.ndarray:
        """(n, classes): see `privaudit.contracts.Model`."""
        return from_logits(records.X, len(records), self.classes)


def read_predictions(
    table: PredictionsTable, *, seeds: Seeds, confidence: float
) -> tuple[UserTask, UserRelease, tuple[str, ...]]:
    """The task and the release of a table of probabilities, and notes for the terminal.

    Args:
        table: The file, with the recorded outcome and membership of each record.
        seeds: Random streams of what is read and checked.
        confidence: Coverage of the intervals of the checks.

    Raises:
        PrivauditError: A table that cannot be audited.
    """
    what = "predictions"
    if not table.outcome:
        raise PrivauditError(
            "--predictions without --outcome",
            "membership is inferred from how sure the model is of what was recorded",
            "name the column of the recorded outcome: --outcome COLUMN",
        )
    with open_table(table.path, f"the {what} table") as opened:
        names = opened.columns
    member = _find_member_column(table.member, names)
    own = (table.outcome, table.event, member, table.patient, *table.groups)
    rest = [n for n in names if n not in own]
    of_numbers = table.outcome_kind != "class"
    proposed, _ = propose_schema(
        table.path,
        outcome=table.outcome,
        list_rare=True,
        whats=[f"the {what} table"],
        outcome_kind=table.outcome_kind,
        event=table.event,
    )
    classes = proposed.classes
    if of_numbers:
        found: tuple[str, ...] = (_find_prediction_column(table.probabilities, rest),)
    else:
        found = _find_probability_columns(table.probabilities, rest, classes)
    columns = tuple(map(Column, found))
    groups = (*table.groups, member)
    schema = TableSchema(
        columns,
        table.outcome,
        classes,
        table.patient,
        groups,
        outcome_kind=table.outcome_kind,
        event=table.event,
    )
    cells = read_cells(
        table.path,
        schema,
        what=what,
        max_rows=None if table.sample is None else 2 * table.sample,
        rng=seeds.rng("read", what),
        dtype=np.float64 if of_numbers else np.float32,
    )
    is_member = read_membership(cells.groups.pop(member), member)
    read = to_records(cells, schema, what)
    if of_numbers:
        answers = _hold_numbers(read, read_numbers(cells.X, len(read), who="the predictions table"))
    else:
        pools.refuse_rare_classes((read,), table.outcome)
        answers = _hold_probabilities(read)
    split, notes = pools.split_pools(
        answers.take(is_member),
        answers.take(~is_member),
        None,
        seeds.rng("reference"),
        table.patient,
    )
    if len(read) < cells.rows:
        drawn = f"{len(read):,} of {cells.rows:,} rows"
        notes = (*notes, f"A sample of patients was drawn at random: {drawn} (--sample).")
    model: Model = RecordedNumbers() if of_numbers else RecordedModel(len(classes))
    task = pools.prepare_task(
        split,
        model,
        outcome=table.outcome,
        seeds=seeds,
        confidence=confidence,
        source=f"the user's own table of {'predictions' if of_numbers else 'probabilities'}",
        notes=notes,
        reads=False,
    )
    digest = hashlib.sha256(answers.fingerprint.encode()).hexdigest()
    release = UserRelease.of_model(model, "probabilities", digest, notes=(ANSWERS_ONLY,))
    return task, release, notes


def _hold_probabilities(read: Records) -> Records:
    """Records whose inputs are the logarithms of the probabilities that were read."""
    p = probabilities(
        read.X.astype(np.float64), len(read), len(read.classes), who="the predictions table"
    )
    return replace(
        read,
        columns=tuple(Column(f"log probability of {name}") for name in read.classes),
        # Logarithms keep the order of answers that are nearly sure; a float32 probability does not.
        X=np.log(np.clip(p, 1e-300, 1.0)),
    )


def _hold_numbers(read: Records, predicted: np.ndarray) -> Records:
    """Records whose inputs are the predictions that were read."""
    columns = (Column("prediction"), Column("prediction, what float32 lost"))
    return replace(read, columns=columns, X=split_numbers(predicted))


def _find_prediction_column(given: tuple[str, ...], rest: Sequence[str]) -> str:
    """The column of predicted numbers."""
    if given:
        if len(given) != 1 or given[0] not in rest:
            raise PrivauditError(
                f"--probabilities {','.join(given)}",
                "for an outcome that is a number it names the one column of predictions; columns "
                f"left are: {list_names(rest)}",
                "name that column",
            )
        return given[0]
    found = [column for column in rest if column.strip().lower() in PREDICTION_NAMES]
    if len(found) != 1:
        raise PrivauditError(
            f"{len(found)} columns of the predictions table look like predicted numbers",
            f"expected is one called {', '.join(PREDICTION_NAMES[:4])}",
            "name it: --probabilities COLUMN",
        )
    return found[0]


def read_membership(labels: np.ndarray, member: str) -> np.ndarray:
    """(n,) bool: who was trained on, by the labels of a column.

    Raises:
        PrivauditError: A label that is neither, or one side alone.
    """
    lower = np.char.lower(labels.astype(str))
    # A whole number may have been spelled with a point.
    lower = np.where(np.isin(lower, ("1.0", "0.0")), np.char.replace(lower, ".0", ""), lower)
    inside, outside = np.isin(lower, MEMBER_LABELS), np.isin(lower, NONMEMBER_LABELS)
    strange = int((~(inside | outside)).sum())
    if strange:
        raise PrivauditError(
            f"{strange:,} rows whose {member!r} is neither member nor non-member",
            "read are 1, true, yes, member, train and 0, false, no, nonmember, test",
            "say of each row whether the model was trained on it",
        )
    if not inside.any() or inside.all():
        raise PrivauditError(
            f"a table of {'members' if inside.any() else 'non-members'} alone",
            "an audit compares members with non-members",
            "give rows of both",
        )
    return inside


def _find_member_column(given: str, names: Sequence[str]) -> str:
    if given:
        if given not in names:
            raise PrivauditError(
                f"--member {given}",
                f"the predictions table has: {list_names(names)}",
                "name one of its columns",
            )
        return given
    found = [name for name in names if name.strip().lower() in MEMBER_NAMES]
    if len(found) != 1:
        raise PrivauditError(
            f"{len(found)} columns of the predictions table look like who was trained on (1 or 0)",
            f"it has: {list_names(names)}",
            "name the column: --member COLUMN",
        )
    return found[0]


def _find_probability_columns(
    given: tuple[str, ...], rest: Sequence[str], classes: tuple[str, ...]
) -> tuple[str, ...]:
    """One column for two classes (of the last one), else one a class in their order."""
    if given:
        absent = [name for name in given if name not in rest]
        if absent or len(given) not in (1, len(classes)):
            raise PrivauditError(
                f"--probabilities {','.join(given)}",
                f"it names one column (of the class {classes[-1]!r}) or {len(classes)}, in the "
                "order "
                f"{', '.join(classes)}; columns left are: {list_names(rest)}",
                "name the columns that hold probabilities",
            )
        return given
    per_class = []
    for name in classes:
        forms = {
            f"{word}{mark}{name}".lower()
            for word in PROBABILITY_NAMES
            for mark in ("_", "", ".", "=")
        }
        per_class.append([column for column in rest if column.lower() in forms])
    if all(len(found) == 1 for found in per_class):
        return tuple(found[0] for found in per_class)
    single = [column for column in rest if column.lower() in PROBABILITY_NAMES]
    if len(single) == 1 and len(classes) == 2:
        return (single[0],)
    raise PrivauditError(
        "no column of the predictions table looks like probabilities",
        f"expected is one called {', '.join(PROBABILITY_NAMES[:4])}, or one a class "
        f"(p_{classes[0]}, ...)",
        "name them: --probabilities A,B",
    )


__all__ = ["PredictionsTable", "read_membership", "read_predictions"]
