"""A table of a model's probabilities, as the task and the release of an audit."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from privaudit.contracts import Method, Model
from privaudit.errors import PrivauditError
from privaudit.facts import Caveat
from privaudit.inputs import pools
from privaudit.inputs.class_order import (
    UNSTATED,
    StatedOrder,
    find_order,
    refuse_order_of_numbers,
    refuse_unknown_order,
    settle_order,
)
from privaudit.inputs.examine_shadows import join_bank
from privaudit.inputs.infer_schema import propose_schema
from privaudit.inputs.model_tables import SAMPLE
from privaudit.inputs.models.answers import WRITTEN_SLACK, from_logits, probabilities
from privaudit.inputs.models.predictors import RecordedNumbers, read_numbers, split_numbers
from privaudit.inputs.probability_columns import find_columns
from privaudit.inputs.read_shadow_answers import ShadowTables, read_shadow_tables
from privaudit.inputs.read_table import list_names, read_cells, to_records
from privaudit.inputs.schema import TableSchema
from privaudit.inputs.shadow_answers import ShadowAnswers, leave_out_sparse, no_shadows_of_numbers
from privaudit.inputs.table_file import Table, open_table
from privaudit.inputs.user_release import ANSWERS_AND_SHADOWS, ANSWERS_ONLY, UserRelease
from privaudit.inputs.user_task import UserTask
from privaudit.records import Column, OutcomeKind, Records
from privaudit.seeds import Seeds

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
    """A table of probabilities: which columns hold them, and who is a member.

    order: what the user states of the classes, where the columns do not name them.
    """

    path: Table
    outcome: str
    member: str = ""
    probabilities: tuple[str, ...] = ()
    patient: str = ""
    groups: tuple[str, ...] = ()
    sample: int | None = SAMPLE
    outcome_kind: OutcomeKind = "class"
    order: StatedOrder = UNSTATED
    shadows: ShadowTables | None = None
    event: str = ""
    ordered: bool = False


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
) -> tuple[UserTask, UserRelease, tuple[str | Caveat, ...]]:
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
    if table.shadows and of_numbers:
        raise no_shadows_of_numbers()
    if of_numbers:
        refuse_order_of_numbers(table.order)
    proposed, _ = propose_schema(
        table.path,
        outcome=table.outcome,
        list_rare=True,
        whats=[f"the {what} table"],
        outcome_kind=table.outcome_kind,
        needed=(table.outcome,),
        event=table.event,
    )
    columns: tuple[Column, ...]
    if of_numbers:
        columns = (Column(_find_prediction_column(table.probabilities, rest)),)
        classes: tuple[str, ...] = ()
    else:
        order = find_order(proposed.classes, None, table.order)
        classes = order.classes
        chosen = find_columns(table.probabilities, rest, classes, table.order)
        columns = tuple(map(Column, chosen.names))
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
    if not of_numbers:
        schema = settle_order(schema, order, table.order, asked=table.ordered)
    # Shadow models answer for every row.
    most = None if table.sample is None or table.shadows else 2 * table.sample
    patients: dict[str, int] = {}
    cells = read_cells(
        table.path,
        schema,
        what=what,
        patients=patients,
        max_rows=most,
        rng=seeds.rng("read", what),
        dtype=np.float64 if of_numbers else np.float32,
    )
    is_member = read_membership(cells.groups.pop(member), member)
    read = to_records(cells, schema, what)
    if of_numbers:
        answers = _hold_numbers(read, read_numbers(cells.X, len(read), who="the predictions table"))
    else:
        pools.refuse_rare_classes((read,), table.outcome)
        p = probabilities(
            chosen.fill(read.X.astype(np.float64), len(classes)),
            len(read),
            len(classes),
            who="the predictions table",
            slack=WRITTEN_SLACK,
        )
        if not (order.known or chosen.named):
            raise refuse_unknown_order(
                p[is_member],
                read.y[is_member],
                classes,
                who="the predictions table",
                fix=(
                    "say --event NAME, the class whose probability the column is, or "
                    * (len(classes) == 2)
                )
                + "say --classes A,B,..., the classes in the order of the columns; or name the "
                f"columns after the classes (p_{classes[0]}, ...)",
            )
        answers = _hold_probabilities(read, p)
    inside, outside = answers.take(is_member), answers.take(~is_member)
    bank: ShadowAnswers | None = None
    checked: tuple[str | Caveat, ...] = ()
    if table.shadows is not None:
        bank = read_shadow_tables(
            table.shadows,
            (answers,),
            outcome=table.outcome,
            patient=table.patient,
            patients=patients,
            others=(member, *table.groups),
        ).take(np.argsort(~is_member, kind="stable"))
        bank, inside, outside, checked = leave_out_sparse(bank, inside, outside)
    split, notes = pools.split_pools(
        inside,
        outside,
        None,
        seeds.rng("reference"),
        table.patient,
    )
    if len(read) < cells.rows:
        # No counts: rounding does not read texts.
        notes = (*notes, "A sample of patients was drawn at random (--sample).")
    model: Model = RecordedNumbers() if of_numbers else RecordedModel(len(classes))
    shadows: tuple[tuple[Method, np.ndarray], ...] = ()
    if bank is not None:
        shadows, found = join_bank(bank, outside, split, model)
        checked = (*checked, found)
    task = pools.prepare_task(
        split,
        model,
        outcome=table.outcome,
        seeds=seeds,
        confidence=confidence,
        source=f"the user's own table of {'predictions' if of_numbers else 'probabilities'}",
        notes=(*notes, *checked),
        reads=False,
        shadows=bank is not None,
        patients=patients if table.patient else None,
    )
    digest = hashlib.sha256(answers.fingerprint.encode()).hexdigest()
    release = UserRelease.of_model(
        model,
        "probabilities",
        digest,
        notes=(ANSWERS_AND_SHADOWS if shadows else ANSWERS_ONLY,),
        shadows=shadows,
    )
    return task, release, (*notes, *checked)


def _hold_probabilities(read: Records, p: np.ndarray) -> Records:
    """Records whose inputs are the logarithms of the (n, k) probabilities that were read."""
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


__all__ = ["PredictionsTable", "read_membership", "read_predictions"]
