"""A deployed model, as an audit opens and asks it."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self

import numpy as np

from privaudit.errors import PrivauditError, spell
from privaudit.facts import Reason
from privaudit.inputs.endpoints import mlflow, oip
from privaudit.inputs.endpoints.address import read_address
from privaudit.inputs.endpoints.answers import KINDS
from privaudit.inputs.endpoints.asker import BATCH, Asker
from privaudit.inputs.endpoints.cells import Cells, choose_cells
from privaudit.inputs.endpoints.memo import FOLDER, Memo
from privaudit.inputs.endpoints.mlflow import MLflow
from privaudit.inputs.endpoints.oip import OpenInference
from privaudit.inputs.endpoints.protocol import INPUTS, TENSOR
from privaudit.inputs.endpoints.transport import Patience, Transport
from privaudit.inputs.models.layout import Layout, by_order, mismatch
from privaudit.inputs.models.opened_model import Binding, Opened
from privaudit.records import Column, Records
from privaudit.restricted import make_private

LONGEST_TIMEOUT = 86_400
"""Seconds."""

PLAIN_VERSION = re.compile(r"[0-9]{1,10}(\.[0-9]{1,10}){0,3}")
"""A version that a report may show. Others may name a host, a path or a person."""

MARGIN = 1.5
"""Steepness of the made-up answers of a forecast."""


@dataclass(frozen=True)
class EndpointOptions:
    """How a deployed model is asked.

    restricted: the folder for what it answers; token_env: the environment variable of the token;
    queries: rows that may be asked about, None for any number; inputs: `columns` or `tensor`, ""
    to read it; output: which output to ask for; batch: rows of a question.
    """

    restricted: Path
    token_env: str = ""
    queries: int | None = None
    inputs: str = ""
    output: str = ""
    batch: int = BATCH
    patience: Patience = field(default_factory=Patience)


@dataclass(frozen=True)
class Allotted:
    """What a budget leaves room for. reading: whether other readings of the table can be tried;
    barred: attacks that cannot be made, and why."""

    reading: bool = True
    barred: Mapping[str, Reason] = field(default_factory=dict)


class Answers(Protocol):
    """Whoever answers for cells: a server, or a count of what it would be asked."""

    def answer(self, cells: Cells) -> np.ndarray:
        """(n, classes) probabilities."""
        ...


@dataclass(eq=False)
class EndpointModel:
    """A model that a server holds.

    layout is there where the server reads one matrix; its places are what other readings exchange.
    """

    asker: Answers
    columns: tuple[Column, ...]

    def predict_proba(self, records: Records) -> np.ndarray:
        """(n, classes): see `privaudit.contracts.Model`."""
        layout = self.__dict__.get("layout")
        return self.asker.answer(choose_cells(records, self.columns, layout))

    def counting(self, classes: int) -> Self:
        """The same model without its server: its `asker` counts what it is asked."""
        known = self.asker.memo if isinstance(self.asker, Asker) else None
        made = type(self)(Counter(classes, known), self.columns)
        made.__dict__ |= {n: v for n, v in self.__dict__.items() if n == "layout"}
        return made

    def finish(self) -> None:
        """Compare the server with itself at the end: see `Asker.finish`."""
        if isinstance(self.asker, Asker):
            self.asker.finish()

    @property
    def asked(self) -> tuple[int, int]:
        """Rows that this run asked about for the first time, and rows asked about in all."""
        asker = self.asker
        return asker.memo.count(asker.run) if isinstance(asker, Asker) else (0, 0)


class Counter:
    """Counts distinct rows, and answers with something smooth that has nothing to do with them."""

    def __init__(self, classes: int, known: Memo | None = None) -> None:
        self.classes, self.known, self.seen = classes, known, set[bytes]()
        self._scale: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None

    def count_new(self, rows: Collection[bytes]) -> int:
        """How many of these rows the server has not answered before."""
        if self.known is None or not rows:
            return len(rows)
        keys = self.known.keys(np.array([np.frombuffer(row, dtype=np.float32) for row in rows]))
        return len(keys) - len(self.known.find(keys))

    def answer(self, cells: Cells) -> np.ndarray:
        """(n, classes) made-up probabilities."""
        X = np.ascontiguousarray(cells.X + np.float32(0))
        self.seen |= {row.tobytes() for row in X}
        filled = np.nan_to_num(X.astype(np.float64))
        if self._scale is None:
            rng = np.random.default_rng(0)
            weights = rng.normal(size=(X.shape[1], self.classes)) * MARGIN / np.sqrt(X.shape[1])
            self._scale = (filled.mean(axis=0), filled.std(axis=0) + 1e-9, weights)
        mean, spread, weights = self._scale
        z = np.clip((filled - mean) / spread, -5, 5) @ weights
        e = np.exp(z - z.max(axis=1, keepdims=True))
        return np.asarray(e / e.sum(axis=1, keepdims=True))


def open_endpoint(text: str, options: EndpointOptions, *, answers: str = "") -> Opened:
    """What a deployed model says of itself before it is bound to a table.

    Args:
        text: Its address.
        options: How it is asked.
        answers: What it answers with, "" where that can be read.

    Raises:
        PrivauditError: An address, an option or a server that cannot be worked with.
    """
    address = read_address(text)
    _check(options, answers)
    transport = Transport(address, options.token_env, options.patience)
    stated: dict[str, str] = {
        "inputs": options.inputs,
        "output": options.output,
        "answers": answers,
    }
    speaks: OpenInference | MLflow
    if address.protocol == "oip":
        speaks, described = oip.describe(transport, **stated)
    else:
        speaks, described = mlflow.describe(**stated)
    transport.close()
    folder = make_private(make_private(options.restricted) / FOLDER)
    run = secrets.token_hex(8)

    def bind(binding: Binding) -> EndpointModel:
        if binding.outcome_kind != "class":
            raise PrivauditError(
                f"a deployed model of an outcome that is a {binding.outcome_kind}",
                "deployed models are asked for probabilities of classes",
                "give the model's file, or its predictions (--predictions)",
            )
        columns = _choose_columns(binding.columns, described.names)
        if isinstance(speaks, OpenInference):
            oip.refuse_types(speaks, columns)
        # Codes of levels mean what the columns say; numbers of a matrix mean themselves.
        levels = () if described.inputs == TENSOR else [(c.name, c.levels) for c in columns]
        known = (address, described, getattr(speaks, "output", ""), levels, binding.classes)
        memo = Memo(folder, hashlib.sha256(repr(known).encode()).hexdigest()[:24])
        if memo.get("broken"):
            memo.remove()
        asker = Asker(
            transport,
            speaks,
            memo,
            binding.classes,
            described.answers,
            options.batch,
            options.queries,
            run,
        )
        model = EndpointModel(asker, columns)
        if described.inputs == TENSOR:
            layout: Layout = by_order(described.wide, columns, encode=binding.encode)
            model.__dict__["layout"] = layout
        return model

    shown = described.version if PLAIN_VERSION.fullmatch(described.version) else "no plain number"
    notes = (
        (f"it states its version ({shown})",)
        if described.version
        else ("it states no version: what it answers is compared with what it answered before",)
    )
    return Opened(address.form, described.names, None, described.classes, bind, notes)


def _choose_columns(
    columns: tuple[Column, ...], names: tuple[str, ...] | None
) -> tuple[Column, ...]:
    """The columns that the server reads, in its own order: whoever reads them by their place and
    not by name reads them so."""
    if names is None:
        return columns
    own = {column.name: column for column in columns}
    absent = [name for name in names if name not in own]
    if absent:
        raise mismatch(names, columns, absent)
    return tuple(own[name] for name in dict.fromkeys(names))


def name_release(model: EndpointModel) -> str:
    """A digest of what is audited: the model, and the memo of its answers."""
    asker = model.asker
    if not isinstance(asker, Asker):
        return hashlib.sha256(b"forecast").hexdigest()
    parts = (asker.memo.path.name, asker.memo.get("generation"))
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _check(options: EndpointOptions, answers: str) -> None:
    if options.inputs not in INPUTS:
        raise PrivauditError(
            f"inputs {options.inputs!r}",
            "rows are sent as one input a column, or as one matrix",
            "say " + spell("--inputs columns or --inputs tensor", "inputs='columns' or 'tensor'"),
        )
    if answers not in ("", *KINDS):
        raise PrivauditError(
            f"answers {answers!r}", f"known are: {', '.join(KINDS)}", "choose one of these"
        )
    queries = options.queries
    whole = isinstance(queries, int | np.integer) and not isinstance(queries, bool)
    if queries is not None and (not whole or queries < 1):
        raise PrivauditError(
            f"a budget of {queries!r} rows",
            "it is a whole number of at least 1",
            "give another number",
        )
    if options.batch < 1 or not 0 < options.patience.timeout <= LONGEST_TIMEOUT:
        raise PrivauditError(
            "a batch or a time-out of nothing, or a time-out without end",
            f"both are above 0, and a time-out is at most {LONGEST_TIMEOUT:,} seconds",
            "give other numbers",
        )


__all__ = [
    "Allotted",
    "Counter",
    "EndpointModel",
    "EndpointOptions",
    "name_release",
    "open_endpoint",
]
