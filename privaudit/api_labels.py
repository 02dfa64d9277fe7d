"""Audits of a model of several labels: one audit a label, corrected for their number."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from privaudit.api import audit
from privaudit.errors import PrivauditError
from privaudit.inputs.session_tables import check_index

if TYPE_CHECKING:
    from privaudit.findings import Findings

MAX_LABELS = 50


@dataclass(frozen=True, eq=False)
class LabelFindings:
    """What the audits of a model's labels found.

    Args:
        labels: The findings of each label. Every interval holds at such a confidence that all of
            them together hold at `confidence` (Bonferroni).
        confidence: Of all intervals of all labels together.
    """

    labels: Mapping[str, Findings]
    confidence: float

    @property
    def strongest(self) -> str:
        """The label by which training patients are told apart most surely: the highest lower bound
        of the AUC of any membership attack."""
        return max(self.labels, key=lambda name: _lowest(self.labels[name]))

    @property
    def code(self) -> int | None:
        """The exit code of all verdicts together: 1 where one label exceeds, else what is not 0;
        None without a policy."""
        ends = [found.verdicts.code for found in self.labels.values() if found.verdicts]
        if not ends:
            return None
        return 1 if any(end == 1 for end in ends) else max(ends)


def audit_labels(
    model: Any,
    members: tuple[Any, Any],
    nonmembers: tuple[Any, Any],
    *,
    confidence: float = 0.95,
    out: Path | str | None = None,
    **options: Any,
) -> LabelFindings:
    """Audit a model of several labels that may occur together, one label after the other.

    How to train the model again on one label is not known, so that attacks with shadow models are
    not run: the audit of a model of each label by itself, with `privaudit.audit`, runs them.

    Args:
        model: Anything with `predict_proba`, or a function of X, that answers with the probability
            of each label, (n, k), or with a list of k arrays, one a label, as scikit-learn's
            forests do.
        members: (X, Y) of the rows trained on; Y of shape (n, k), 0 or 1, an array or a data frame
            whose columns name the labels, in the order of the model's answers.
        nonmembers: (X, Y) of rows of patients held out.
        confidence: Coverage of all intervals of all labels together (Bonferroni).
        out: Stores the runs there, a directory a label.
        options: As of `privaudit.audit`; not `estimator`, `outcome`, `outcome_kind`, `reference`
            and `expect`.

    Returns:
        The findings of each label, and which is the strongest.

    Raises:
        PrivauditError: Labels or answers that cannot be told apart, or what cannot be audited.
    """
    for name in ("estimator", "outcome", "outcome_kind", "reference", "expect"):
        if name in options:
            raise PrivauditError(
                f"{name} for a model of several labels",
                "each label is audited by the model's answers for it alone",
                f"leave {name} out, or audit one label with privaudit.audit",
            )
    for pair, name in ((members, "members"), (nonmembers, "nonmembers")):
        check_index(*pair, name, "labels")
    (X, own), (held_X, held) = (_read_labels(*pair) for pair in (members, nonmembers))
    if list(own) != list(held):
        raise PrivauditError(
            f"members with {len(own)} labels and held-out rows with {len(held)}, or in another "
            "order",
            "labels are the model's answers in their order",
            "give the same labels in the same order",
        )
    each = 1.0 - (1.0 - confidence) / len(own)
    found = {}
    for j, name in enumerate(own):
        found[name] = audit(
            _one_label(model, j, len(own)),
            (X, own[name]),
            (held_X, held[name]),
            outcome=name,
            estimator=False,
            confidence=each,
            out=None if out is None else Path(out) / f"label-{j + 1}",
            **options,
        )
    return LabelFindings(found, confidence)


def _read_labels(X: Any, Y: Any) -> tuple[Any, dict[str, np.ndarray]]:
    names = [str(name) for name in getattr(Y, "columns", ())]
    values = np.asarray(Y)
    if values.ndim != 2 or not 2 <= values.shape[1] <= MAX_LABELS:
        raise PrivauditError(
            f"labels of shape {values.shape}",
            f"Y is (rows, labels), of 2 to {MAX_LABELS} labels",
            "pass one column a label; for one outcome use privaudit.audit",
        )
    names = names or [f"label {j + 1}" for j in range(values.shape[1])]
    if len(set(names)) != len(names):
        raise PrivauditError("labels named twice", "findings are by label", "name each label once")
    strange = sum(int((~np.isin(column, (0, 1))).sum()) for column in values.T)
    if strange:
        raise PrivauditError(
            f"{strange:,} labels that are neither 0 nor 1",
            "1 says that a row has the label",
            "code labels as 1 and 0, and fill in or drop what is missing",
        )
    return X, {name: values[:, j].astype(np.int64) for j, name in enumerate(names)}


def _one_label(model: Any, j: int, k: int) -> Callable[[Any], np.ndarray]:
    """The model's probability of label j."""
    ask = getattr(model, "predict_proba", model)
    if not callable(ask):
        raise PrivauditError(
            f"a model of type {type(model).__name__}",
            "it has no predict_proba and cannot be called",
            "give a fitted model, or a function that answers with (n, labels) probabilities",
        )
    classes = getattr(model, "classes_", None)

    def answer(X: Any) -> np.ndarray:
        found = ask(X)
        if isinstance(found, list | tuple):
            return _of_list(found, classes, j, k)
        p = np.asarray(found, dtype=np.float64)
        if p.ndim != 2 or p.shape[1] != k:
            raise PrivauditError(
                f"answers of shape {p.shape} for {k} labels",
                "one probability a row and label is needed",
                "wrap the model so that it answers with (n, labels)",
            )
        if len(p) > 1 and np.abs(p.sum(axis=1) - 1).max() < 1e-6:
            raise PrivauditError(
                "answers whose rows all sum to 1",
                "these are classes that exclude each other, not labels that may occur together",
                "use privaudit.audit with the class of each row as y",
            )
        return np.asarray(p[:, j])

    return answer


def _of_list(found: Sequence[Any], classes: Any, j: int, k: int) -> np.ndarray:
    """Label j of a list of one array a label, the place of 1 read from the model's own classes."""
    if len(found) != k:
        raise PrivauditError(
            f"{len(found)} arrays of answers for {k} labels",
            "one array a label is needed",
            "give the labels that the model was trained on, in their order",
        )
    p = np.asarray(found[j], dtype=np.float64)
    if p.ndim == 1 or p.shape[1] == 1:
        return p.ravel()
    labels: list[Any] = []
    if isinstance(classes, list | tuple) and len(classes) == k:
        labels = np.asarray(classes[j]).tolist()
    if labels not in ([0, 1], [1, 0]):
        raise PrivauditError(
            f"answers of {p.shape[1]} columns for label {j + 1}, of which none is known to be of 1",
            "the order of the columns is not guessed",
            "wrap the model so that it answers with (n, labels), the probability of 1",
        )
    return np.asarray(p[:, labels.index(1)])


def _lowest(found: Findings) -> float:
    """The highest lower bound of an AUC among the membership attacks."""
    bounds = [
        estimate.low
        for one in found.subject.outcomes
        if one.kind == "finding" and one.family == "membership"
        for estimate in one.estimates
        if estimate.metric.name == "auc" and estimate.low is not None
    ]
    return max(bounds, default=float("-inf"))


__all__ = ["LabelFindings", "audit_labels"]
