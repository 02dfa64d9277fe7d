"""The process that holds one untrusted model: it opens the file, binds it and answers.

It knows no patient and no path: it is sent the model's bytes, and the inputs of records in batches.
"""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO

import numpy as np

from privaudit.contracts import Differentiable, HasTrees, Predictor
from privaudit.errors import PrivauditError, python_session
from privaudit.inputs.models.asked_trees import describe_trees
from privaudit.inputs.models.child_limits import limit_resources, limit_time, restrict_files
from privaudit.inputs.models.child_wire import read_request, send_answer, write_scalar
from privaudit.inputs.models.layout import Frame, Layout, Place, TextsAsNumbers
from privaudit.inputs.models.open_bytes import open_bytes
from privaudit.inputs.models.opened_model import Binding, Opened
from privaudit.records import Column, OutcomeKind, Records

PARENT_CHECK = 2.0
"""Seconds between two looks whether the audit still runs."""


@dataclass(frozen=True)
class Opening:
    """What to open, and where code of trusted files may be imported from.

    path: folders of modules; readable: folders that may be read; scratch: the empty folder that the
    process works in; home: the user's working folder; runs_code: code of the user's own is run, a
    trusted pickle or a named module.
    """

    suffix: str
    raw: bytes = field(repr=False)
    trust_pickle: bool
    module: str
    path: tuple[str, ...]
    readable: tuple[str, ...]
    scratch: str
    home: str
    runs_code: bool

    @property
    def writes(self) -> bool:
        """Whether it may write into its own folder: CatBoost reads models from files alone."""
        return self.runs_code or self.suffix in (".cbm", ".json")


@dataclass(frozen=True)
class Question:
    """Inputs to ask a bound model about. y: codes of the outcome where a gradient is asked for.

    columns: None for those of the binding; reads: None for the model's own way to read a table.
    """

    of: str
    bound: int
    X: np.ndarray
    y: np.ndarray | None = None
    columns: tuple[Column, ...] | None = None
    reads: Frame | Layout | None = None


def serve(reader: BinaryIO, writer: BinaryIO, parent: int) -> None:
    """Answer requests until the audit closes its end."""
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    warnings.simplefilter("ignore")
    server = _Server()
    while True:
        try:
            name, seconds, in_python, request = read_request(reader)
        except EOFError:
            return
        limit_time(seconds)
        answer: tuple[Any, ...]
        try:
            with python_session() if in_python else nullcontext():
                answer = getattr(server, name)(request)
        except PrivauditError as error:
            answer = ({"refused": _describe_refusal(error)},)
        except MemoryError:
            answer = ({"failed": "MemoryError"},)
        except RecursionError:
            answer = ({"failed": "RecursionError"},)
        except Exception as error:
            answer = ({"failed": type(error).__name__},)
        send_answer(writer, *answer)


def _end_with(parent: int) -> None:
    """End this process when the one that started it is gone."""
    while os.getppid() == parent:
        time.sleep(PARENT_CHECK)
    os._exit(1)


def _describe_refusal(error: PrivauditError) -> list[str]:
    column = [error.column] if isinstance(error, TextsAsNumbers) else []
    return [error.what, error.because, error.fix, *column]


class _Server:
    """One model. Each method answers one kind of request with facts, arrays and bytes."""

    def __init__(self) -> None:
        self.opened: Opened | None = None
        self.bound: list[tuple[Any, Binding]] = []

    def open(self, opening: Opening) -> tuple[Any, ...]:
        if opening.runs_code:
            sys.path[:] = opening.path
        os.chdir(opening.scratch)
        tempfile.tempdir = opening.scratch
        limit_resources(len(opening.raw), may_write=opening.writes)
        restrict_files(opening.readable, [opening.scratch] if opening.writes else [])
        found = open_bytes(
            opening.suffix, opening.raw, opening.trust_pickle, opening.module, opening.home
        )
        self.opened = found
        facts = {
            "form": found.form,
            "names": None if found.names is None else list(found.names),
            "labels": None if found.labels is None else [write_scalar(x) for x in found.labels],
            "classes": None if found.classes is None else int(found.classes),
            "notes": list(found.notes),
            "numbered": found.numbered,
            "reads_series": found.reads_series,
        }
        return (facts,)

    def bind(self, binding: Binding) -> tuple[Any, ...]:
        assert self.opened is not None
        model: Any = self.opened.bind(binding)
        self.bound.append((model, binding))
        own = ((n, getattr(model, n, None)) for n in ("layout", "reads"))
        name = next((n for n, reads in own if isinstance(reads, Frame | Layout)), "")
        facts = {
            "bound": len(self.bound) - 1,
            "numbers": isinstance(model, Predictor),
            "gradients": isinstance(model, Differentiable),
            "reads_as": name,
            "reads": _describe_reads(getattr(model, name)) if name else None,
            "counts": hasattr(model, "count_unknown"),
            "trees": isinstance(model, HasTrees),
        }
        return (facts,)

    def ask(self, question: Question) -> tuple[Any, ...]:
        model, binding = self.bound[question.bound]
        if question.reads is not None:
            model = _read_otherwise(model, question.reads)
        records = _make_records(question, binding)
        if question.of == "input_gradient":
            return {}, (model.input_gradient(records)[0],)
        found: Callable[[Records], np.ndarray] = getattr(model, question.of)
        return {}, (np.asarray(found(records)),)

    def trees(self, bound: int) -> tuple[Any, ...]:
        """The model's trees, as numbers."""
        return describe_trees(self.bound[bound][0].read_trees())

    def count(self, question: Question) -> tuple[Any, ...]:
        model, binding = self.bound[question.bound]
        found = model.count_unknown(_make_records(question, binding))
        return ({"counts": [[name, int(count)] for name, count in found.items()]},)

    def unfitted(self, bound: int) -> tuple[Any, ...]:
        """An unfitted copy of the estimator as skops, which holds no code; nothing for others."""
        from privaudit.inputs.clones import clone_estimator, is_estimator
        from privaudit.inputs.fitted_parts import fix_length

        held = getattr(self.bound[bound][0], "held", None)
        if not is_estimator(held):
            return ({"clones": False},)
        try:
            template = fix_length([held], clone_estimator(held))
        except (TypeError, RuntimeError, ValueError):
            return ({"clones": False},)
        try:
            skops = importlib.import_module("skops.io")
            blob = skops.dumps(template)
            plain = not skops.get_untrusted_types(data=blob)
        except Exception:
            # Parts of another library than scikit-learn.
            blob, plain = b"", False
        return {"clones": True}, (), blob if plain else b""


def _make_records(question: Question, binding: Binding) -> Records:
    """Records of nobody: inputs without patients, and outcomes where a gradient needs them."""
    n = len(question.X)
    kind: OutcomeKind = binding.outcome_kind
    y = question.y
    if y is None:
        y = np.zeros(n, dtype=np.int64) if kind == "class" else np.ones(n)
    nobody = np.zeros(n, dtype=np.int64)
    columns = question.columns or binding.columns
    classes = binding.classes if kind == "class" else ()
    return Records(columns, question.X, y, nobody, nobody, classes=classes, outcome_kind=kind)


def _read_otherwise(model: Any, reads: Frame | Layout) -> Any:
    """The model, handed the table in another way: as `privaudit.inputs.other_readings` tries."""
    import copy

    name = "layout" if hasattr(model, "layout") else "reads"
    own = getattr(model, name)
    if isinstance(reads, Frame):
        changed = replace(own, kinds=reads.kinds, array=reads.array)
    else:
        changed = replace(own, places=reads.places)
    model = copy.copy(model)
    object.__setattr__(model, name, changed)
    return model


def _describe_reads(reads: Frame | Layout) -> dict[str, Any]:
    if isinstance(reads, Frame):
        return {
            "names": list(reads.names),
            "kinds": dict(reads.kinds),
            "categories": {
                name: [write_scalar(level) for level in levels]
                for name, levels in reads.categories.items()
            },
            "nones": sorted(reads.nones),
            "array": reads.array,
            "ordered": sorted(reads.ordered),
        }
    return {"places": [_describe_place(place) for place in reads.places]}


def _describe_place(place: Place) -> list[Any]:
    return [
        int(place.column),
        None if place.level is None else int(place.level),
        [write_scalar(float(code)) for code in place.codes],
        [write_scalar(float(value)) for value in place.values],
        write_scalar(float(place.missing)),
        bool(place.stated),
    ]


__all__ = ["Opening", "Question", "serve"]
