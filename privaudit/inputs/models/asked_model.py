"""A model that a process of its own holds, as the audit asks it."""

from __future__ import annotations

import copy
import hashlib
import importlib
import pickle
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Self, cast

import numpy as np

from privaudit.contracts import AnswersWithNumbers, Model
from privaudit.errors import PrivauditError
from privaudit.inputs.models.answers import SLACK
from privaudit.inputs.models.asked_trees import read_described
from privaudit.inputs.models.check_trees import ForgedTree, forged_trees
from privaudit.inputs.models.child_process import (
    SECONDS_A_ROW,
    SECONDS_TO_ANSWER,
    SECONDS_TO_OPEN,
    Child,
    ModelFile,
    get_child,
)
from privaudit.inputs.models.child_server import Question
from privaudit.inputs.models.child_wire import BrokenAnswer, read_scalar, read_text
from privaudit.inputs.models.layout import Frame, Layout, Place
from privaudit.inputs.models.opened_model import ROWS, Binding, Opened, in_parts
from privaudit.inputs.models.pickle_file import unpickle
from privaudit.records import Records
from privaudit.trees import Trees

GRADIENT_ROWS = 4_096
SLOWER = 10
"""A gradient may take so many times as long as an answer."""

ALONE, TOGETHER = 160, 352
"""Records of a question that are asked about again, each by itself, and in parts of other company.

A model that lies about 3 % of the records wherever several are asked about is found by 160 asked
about alone with 1 - 0.97^160 = 99.2 %. Every second part has 2 to 5 records and the others 1 to 64:
of 352 some 80 are in parts of 2 to 5, by which a model that tells the truth in such parts alone is
found with 1 - 0.97^80 = 91 % by one question, and with 99 % by two.
"""

LATER_ALONE, LATER_TOGETHER = 8, 56
"""The same for a question that was asked before, and after THOROUGH others: attacks ask about many
variants of the same records, and so the cost of all is bounded."""

THOROUGH = 8
MOST_TOGETHER = 64

APART = 1e-3
"""Answers of float32 and of other orders of summing differ by less: probabilities, and numbers in
units of the median distance from their median, which a few answers far away do not widen."""

ROUNDED = 1e-5
"""And numbers by less than this part of themselves."""

SURE, SURE_FLOOR = 0.01, 1e-6
"""Probabilities near 0 and 1 by less than this part of the smaller side, beside what float32 holds:
0.999 and 0.999999 differ by less than APART, and tell a member as surely as any two numbers."""


def open_in_child(file: ModelFile) -> Opened:
    """What a model file says of itself, read by a process of its own.

    Raises:
        PrivauditError: The file is refused, or ended the process that read it.
    """
    facts = get_child(file).facts
    try:
        names, labels = facts["names"], facts["labels"]
        return Opened(
            read_text(facts["form"]),
            None if names is None else tuple(map(read_text, names)),
            None if labels is None else tuple(map(read_scalar, labels)),
            None if facts["classes"] is None else _count(facts["classes"]),
            lambda binding: _bind(file, binding),
            tuple(map(read_text, facts["notes"])),
            facts["numbered"] is True,
            facts["reads_series"] is True,
        )
    except (BrokenAnswer, KeyError, TypeError):
        raise strange_answer() from None


def _bind(file: ModelFile, binding: Binding) -> Model:
    facts = _bound(get_child(file), binding)
    numbers, gradients = facts.get("numbers") is True, facts.get("gradients") is True
    kind = AskedPredictor if numbers else AskedWithGradients if gradients else AskedModel
    model = kind(file, binding)
    try:
        if facts["reads_as"] in ("layout", "reads"):
            reads = _read_reads(facts["reads"])
            setattr(model, facts["reads_as"], reads)
            model.own_reads = reads
        if facts["counts"] is True:
            model.count_unknown = _Counter(model)
        if facts["trees"] is True:
            model.read_trees, model.tree_inputs = _TreeReader(model), _TreeInputs(model)
    except (BrokenAnswer, KeyError, TypeError, ValueError, IndexError):
        raise strange_answer() from None
    return cast("Model", model)


def _bound(child: Child, binding: Binding) -> dict[str, Any]:
    """What a process says of a binding, which it makes once."""
    key = pickle.dumps(binding)
    found = child.bound.get(key)
    if found is None:
        found = child.bound[key] = child.ask("bind", binding, SECONDS_TO_OPEN)[0]
    return found


class AnsweredInCompany(PrivauditError):
    """A model whose answer for a record depends on which others are asked with it, or on chance."""


class _Asked:
    """What is common to all: how a question is asked, and what of its answer is checked."""

    count_unknown: Any
    read_trees: Any
    tree_inputs: Any

    def __init__(self, file: ModelFile, binding: Binding) -> None:
        self.file, self.binding = file, binding
        self.own_reads: Frame | Layout | None = None
        self.compares = True

    def _ask(
        self, of: str, records: Records, *, with_outcome: bool = False, wide: int = 0
    ) -> np.ndarray:
        child = get_child(self.file)
        bound = _bound(child, self.binding)["bound"]
        reads = self.__dict__.get("layout", self.__dict__.get("reads"))
        columns = None if records.columns == self.binding.columns else records.columns
        question = Question(
            of,
            bound,
            records.X,
            records.y if with_outcome else None,
            columns,
            None if reads is self.own_reads else reads,
        )
        seconds = SECONDS_TO_ANSWER + SECONDS_A_ROW * len(records) * (SLOWER**with_outcome)
        if with_outcome:
            _, arrays, _ = child.ask("ask", question, seconds)
        else:
            wide = wide or max(len(self.binding.classes), 1)
            _, arrays, _ = child.ask("ask", question, seconds, 8 * wide * len(records))
        if len(arrays) != 1 or arrays[0].shape[:1] != (len(records),):
            raise strange_answer()
        return arrays[0]

    def _ask_twice(self, ask: Callable[[Records], np.ndarray], records: Records) -> np.ndarray:
        """The answers, compared with others of the same records: see `_compare_again`."""
        if not len(records) or not self.compares:
            return ask(records)
        asked = _ASKED.setdefault(self.file.key, set())
        digest = hashlib.sha256(np.ascontiguousarray(records.X).tobytes()).digest()
        if digest in asked or len(asked) >= THOROUGH:
            return _compare_again(ask, records, LATER_ALONE, LATER_TOGETHER)
        found = _compare_again(ask, records, ALONE, TOGETHER)
        asked.add(digest)
        return found

    def asking_once(self) -> Self:
        """The same model without the comparison, for questions about how a table is read: the
        answers that numbers are made of are compared all the same."""
        found = copy.copy(self)
        found.compares = False
        return found

    def count_cells(self, records: Records) -> dict[str, int]:
        """Columns, and how many cells of each hold a level that the model does not know."""
        child = get_child(self.file)
        bound = _bound(child, self.binding)["bound"]
        columns = None if records.columns == self.binding.columns else records.columns
        seconds = SECONDS_TO_ANSWER + SECONDS_A_ROW * len(records)
        facts = child.ask("count", Question("", bound, records.X, columns=columns), seconds)[0]
        try:
            return {read_text(name): _count(count) for name, count in facts["counts"]}
        except (BrokenAnswer, KeyError, TypeError, ValueError):
            raise strange_answer() from None

    def ask_trees(self) -> Trees:
        """Its trees, read once a process."""
        found = _TREES.get(self.file.key)
        if found is None:
            child = get_child(self.file)
            bound = _bound(child, self.binding)["bound"]
            facts, arrays, _ = child.ask("trees", bound, SECONDS_TO_OPEN)
            try:
                found = read_described(facts, arrays)
            except (ForgedTree, ValueError, TypeError):
                raise forged_trees("the model's own process") from None
            # One model a process at a time: trees are large, and attacks ask for one's together.
            _TREES.clear()
            _TREES[self.file.key] = found
        return found

    def ask_tree_inputs(self, records: Records) -> np.ndarray:
        """(n, inputs): what its trees compare."""
        wide = self.ask_trees().inputs

        def ask(part: Records) -> np.ndarray:
            found = self._ask("tree_inputs", part, wide=max(wide, 1))
            if found.ndim != 2 or found.shape[1] != wide:
                raise strange_answer()
            return found

        return in_parts(ask, records, ROWS)

    def unfitted(self) -> tuple[bool, bytes]:
        """Whether it holds an estimator that can be cloned, and the clone as skops, b"" where it
        has parts that skops does not know."""
        child = get_child(self.file)
        bound = _bound(child, self.binding)["bound"]
        facts, _, blob = child.ask("unfitted", bound, SECONDS_TO_OPEN)
        return facts.get("clones") is True, blob


class AskedModel(_Asked):
    """A model of classes."""

    def predict_proba(self, records: Records) -> np.ndarray:
        """(n, classes): see `privaudit.contracts.Model`."""
        return in_parts(lambda part: self._ask_twice(self._probabilities, part), records, ROWS)

    def _probabilities(self, records: Records) -> np.ndarray:
        p = self._ask("predict_proba", records)
        fits = p.shape == (len(records), len(self.binding.classes))
        if not fits or p.dtype != np.float64 or not ((p >= 0) & (p <= 1)).all():
            raise strange_answer()
        if np.abs(p.sum(axis=1) - 1).max(initial=0) > SLACK:
            raise strange_answer()
        return p


class AskedWithGradients(AskedModel):
    """A model of classes whose gradients its process takes."""

    def input_gradient(self, records: Records) -> tuple[np.ndarray, np.ndarray | None]:
        """Gradient of each record's log loss for its inputs: see `privaudit.contracts`."""
        parts = self._in_parts("input_gradient", records)
        if parts.shape != records.X.shape:
            raise strange_answer()
        return parts, None

    def weight_gradient(self, records: Records) -> np.ndarray:
        """(n, p) float32, per record, in the order of the module's parameters."""
        return self._in_parts("weight_gradient", records)

    def _in_parts(self, of: str, records: Records) -> np.ndarray:
        def ask(part: Records) -> np.ndarray:
            found = self._ask(of, part, with_outcome=True)
            if found.ndim != 2:
                raise strange_answer()
            return found

        return in_parts(ask, records, GRADIENT_ROWS)


class AskedPredictor(AnswersWithNumbers, _Asked):
    """A model of an outcome that is a number or a time."""

    def predict(self, records: Records) -> np.ndarray:
        """(n,): see `privaudit.contracts.Predictor`."""
        return in_parts(lambda part: self._ask_twice(self._numbers, part), records, ROWS)

    def _numbers(self, records: Records) -> np.ndarray:
        found = self._ask("predict", records)
        if found.shape != (len(records),) or not np.isfinite(found).all():
            raise strange_answer()
        return found


class _Counter:
    """`count_unknown` of a model that has it."""

    def __init__(self, model: _Asked) -> None:
        self._model = model

    def __call__(self, records: Records) -> dict[str, int]:
        return self._model.count_cells(records)


class _TreeReader:
    """`read_trees` of a model that has trees."""

    def __init__(self, model: _Asked) -> None:
        self._model = model

    def __call__(self) -> Trees:
        return self._model.ask_trees()


class _TreeInputs:
    """`tree_inputs` of a model that has trees."""

    def __init__(self, model: _Asked) -> None:
        self._model = model

    def __call__(self, records: Records) -> np.ndarray:
        return self._model.ask_tree_inputs(records)


_TREES: dict[tuple[Any, ...], Trees] = {}
"""The trees of the model that was asked for them last."""

_ASKED: dict[tuple[Any, ...], set[bytes]] = {}
"""Of each model, digests of the questions that were asked again thoroughly."""


def _compare_again(
    ask: Callable[[Records], np.ndarray], records: Records, alone: int, together: int
) -> np.ndarray:
    """A model's answers, many of them compared with what it says of the same records elsewhere.

    An attacker asks about one patient, and an audit about thousands at once, members first. A model
    that tells the two apart, by the number of rows, by their order or by what it was asked before,
    would show the audit other answers than it shows the attacker.

    Raises:
        AnsweredInCompany: An answer depends on what else is asked, or on chance.
    """
    found = ask(records)
    # Not from the audit's seed: whoever made the model must not know which records are chosen.
    rng = np.random.default_rng()
    chosen = rng.permutation(len(records))[:together]
    sizes: list[int] = []
    while (left := len(chosen) - sum(sizes)) > 0:
        size = MOST_TOGETHER ** rng.random() if len(sizes) % 2 else rng.integers(2, 6)
        sizes.append(min(int(size), left))
    parts = np.split(chosen, np.cumsum(sizes)[:-1])
    for part in (*rng.permutation(len(records))[:alone, None], *parts):
        _refuse_difference(found, part, ask(records.take(part)))
    return found


def _refuse_difference(found: np.ndarray, part: np.ndarray, again: np.ndarray) -> None:
    allowed: float | np.ndarray
    if found.ndim == 2:
        smaller = np.minimum(found[part], 1 - found[part])
        allowed = np.minimum(APART, SURE_FLOOR + SURE * smaller)
    else:
        spread = float(np.median(np.abs(found - np.median(found))))
        allowed = APART * spread + ROUNDED * np.abs(again)
    if (np.abs(found[part] - again) > allowed).any():
        raise AnsweredInCompany(
            "a model whose answer for a record depends on chance, or on which others it is asked "
            "with",
            "an attacker who holds the file asks about one patient at a time, as often as wanted, "
            "and other numbers would come out than here",
            "give the model as it answers for one record, without chance: normalised by what it "
            "learnt in training, dropout switched off",
        )


def take_unfitted(model: Any) -> Any:
    """The unfitted estimator of a model of scikit-learn's, for training again; None for others.

    It comes as skops, of which scikit-learn's own settings are read alone. An estimator with parts
    of another library, or of the user's own, is taken from the pickle that the user trusts by name,
    which is then opened in this process.
    """
    if not isinstance(model, _Asked):
        return None
    clones, blob = model.unfitted()
    if not clones:
        return None
    if not blob:
        return unpickle(model.file.raw) if model.file.runs_code else None
    skops = importlib.import_module("skops.io")
    try:
        if skops.get_untrusted_types(data=blob):
            raise strange_answer()
        return skops.loads(blob, trusted=[])
    except PrivauditError:
        raise
    except Exception:
        raise strange_answer() from None


def _read_reads(facts: Any) -> Frame | Layout:
    if "places" in facts:
        return Layout(tuple(map(_read_place, facts["places"])))
    return replace(
        Frame(tuple(map(read_text, facts["names"]))),
        kinds={read_text(name): read_text(kind) for name, kind in facts["kinds"].items()},
        categories={
            read_text(name): tuple(map(read_scalar, levels))
            for name, levels in facts["categories"].items()
        },
        nones=frozenset(map(read_text, facts["nones"])),
        array=read_text(facts["array"]),
        ordered=frozenset(map(read_text, facts["ordered"])),
    )


def _read_place(facts: Any) -> Place:
    column, level, codes, values, missing, stated = facts
    return Place(
        _count(column),
        None if level is None else int(level),
        tuple(float(read_scalar(code)) for code in codes),
        tuple(float(read_scalar(value)) for value in values),
        float(read_scalar(missing)),
        stated is True,
    )


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise BrokenAnswer("count")
    return value


def strange_answer() -> PrivauditError:
    """An answer of another shape than what was asked for."""
    return PrivauditError(
        "a model whose process answered with something else than what was asked",
        "probabilities are needed, one a class and record, or one number a record",
        "save it again with the library that trained it",
    )


__all__ = [
    "AnsweredInCompany",
    "AskedModel",
    "AskedPredictor",
    "AskedWithGradients",
    "open_in_child",
    "take_unfitted",
]
