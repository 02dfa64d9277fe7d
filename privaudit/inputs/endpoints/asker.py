"""Asking a server: no row twice but to compare, in batches, within a budget."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from privaudit.errors import PrivauditError, spell
from privaudit.inputs.endpoints.answers import KINDS, Kind, decide_kind, read_answers
from privaudit.inputs.endpoints.cells import Cells
from privaudit.inputs.endpoints.memo import Memo
from privaudit.inputs.endpoints.protocol import Speaks
from privaudit.inputs.endpoints.transport import Transport, Unanswered
from privaudit.inputs.models.asked_model import APART, SURE, SURE_FLOOR
from privaudit.records import Column

PROBES = 20
"""Rows that are asked about twice at the start, when a run resumes, and one by one at the end."""

ALONE, MOST_ALONE = 0.02, 100
"""The share of new rows that are asked about one by one at the end where that is more than PROBES,
and the most: of a server that answers otherwise for 5 % of the rows where several are asked about,
100 leave 6 in a thousand undetected."""

REPEATED = 0.04
"""The share of the rows of all batches that was asked about before: at random places, so that a
server that answers honestly only where it expects to be compared is found out. Of answers of which
every second is another row's, 20 repeats leave one in a million undetected."""

KEPT = 8
MOST_KEPT = 500
"""Rows of each batch that are kept to be asked about again, and of all batches together."""

BATCH = 500


class Changed(PrivauditError):
    """A server whose answers to the same row differ."""


@dataclass(eq=False)
class Asker:
    """Asks one model of one server.

    classes: of the outcome, in the order of the answers; kind: what answers are, "" to read it off
    the first; batch: rows of one question; budget: rows that this run may ask about, None for any
    number; run: names this run among those that share the memo.
    """

    transport: Transport
    speaks: Speaks
    memo: Memo
    classes: tuple[str, ...]
    kind: str = ""
    batch: int = BATCH
    budget: int | None = None
    run: str = ""
    _rng: np.random.Generator = field(default_factory=np.random.default_rng, repr=False)
    _names: tuple[str, ...] = ()
    _columns: tuple[Column, ...] = ()
    _owed: float = field(default=0.0, repr=False)

    def answer(self, cells: Cells) -> np.ndarray:
        """(n, classes) what the server answers, or answered before.

        Raises:
            PrivauditError: The server, its answers or the budget.
        """
        if not len(cells.X):
            return np.zeros((0, len(self.classes)))
        with self._alone():
            self._refuse_broken()
            keys = self.memo.keys(cells.X)
            first = {key: place for place, key in reversed(list(enumerate(keys)))}
            known = self.memo.find(list(first))
            missing = np.array([at for key, at in first.items() if key not in known], dtype=int)
            if not self.memo.get(f"begun:{self.run}"):
                self._begin(cells, keys, missing)
                known = self.memo.find(list(first))
                missing = missing[[keys[at] not in known for at in missing]]
            if len(missing):
                self._ask(cells, keys, missing)
                known = self.memo.find(list(first))
        return np.array([known[key] for key in keys])

    def finish(self) -> None:
        """Ask about some rows again, each by itself, once everything else was asked.

        Raises:
            Changed: Any answer of this run was not what the server answers now; all answers are
                thrown away.
        """
        with self._alone():
            if self.memo.get("broken"):
                self.memo.remove()
                raise changed()
            X, p = self.memo.probes()
            some = self._rng.permutation(len(X))[: count_alone(self.memo.count(self.run)[0])]
            try:
                for at in some:
                    self._compare(self._like(X[[at]]), p[[at]], ending=True)
            except Changed:
                self.memo.remove()
                raise

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold off other processes, and leave no connection open to which nothing is sent: a server
        that answers one connection at a time would keep the others waiting."""
        with self.memo.alone():
            try:
                yield
            finally:
                self.transport.close()

    def _begin(self, cells: Cells, keys: Sequence[bytes], missing: np.ndarray) -> None:
        """Compare the server with itself, or with what it answered when it was last asked."""
        self._names, self._columns = cells.names, cells.columns
        X, p = self.memo.probes(fixed=True)
        one = self._like(X[:1]) if len(X) else cells.take(np.array([0]))
        tried = self.speaks.refuse_less(self.transport, one)
        self.memo.store(self.run, [], np.zeros((0, 1)), tried)
        if len(X):
            try:
                self._compare(self._like(X[self._rng.permutation(len(X))]), None)
            except Changed:
                self.memo.remove()
                raise _replaced() from None
        else:
            some = self._rng.permutation(missing if len(missing) else len(keys))[:PROBES]
            asked = cells.take(some)
            own = [keys[at] for at in some]
            # Where answers are there already, theirs are compared, and not those of now.
            self.memo.store(self.run, own, self._get(asked), len(some))
            self.memo.keep_probes(own, asked.X, fixed=True)
            before = self.memo.find(own)
            p = np.array([before[key] for key in own])
            order = self._rng.permutation(len(some))
            self._compare(asked.take(order), p[order])
        self.memo.put(f"begun:{self.run}", "1")

    def _ask(self, cells: Cells, keys: Sequence[bytes], missing: np.ndarray) -> None:
        self._names, self._columns = cells.names, cells.columns
        # Members stand first in tables: no server is to tell them by the order of the questions.
        left = self._rng.permutation(missing)
        while len(left):
            size = min(self.batch, int(self.memo.get("batch", str(self.batch))))
            # What small questions owe is paid by a later one, be it of one row.
            owed = self._owed + REPEATED * min(size, len(left))
            repeats = min(int(owed + 1e-9), size)
            part = left[: size - repeats]
            X, p = self.memo.probes()
            again = self._rng.permutation(len(X))[:repeats]
            mixed = np.concatenate([cells.X[part], X[again]]) if len(again) else cells.X[part]
            order = self._rng.permutation(len(mixed))
            try:
                found = self._get(self._like(mixed[order]))
            except Unanswered as error:
                if error.status != 413 or size == 1:
                    raise
                self.memo.put("batch", str(max(1, len(mixed) // 2)))
                continue
            self._owed = owed - repeats
            back = np.empty_like(found)
            back[order] = found
            if len(again):
                self._refuse_difference(p[again], back[len(part) :])
            own = [keys[at] for at in part]
            self.memo.store(self.run, own, back[: len(part)], len(mixed))
            if len(X) < MOST_KEPT:
                some = self._rng.permutation(len(part))[:KEPT]
                self.memo.keep_probes([own[j] for j in some], cells.X[part[some]])
            left = left[len(part) :]

    def _compare(self, cells: Cells, p: np.ndarray | None, *, ending: bool = False) -> None:
        if p is None:
            known = self.memo.find(keys := self.memo.keys(cells.X))
            p = np.array([known[key] for key in keys])
        found = self._get(cells, ending=ending)
        self.memo.store(self.run, [], found[:0], len(cells.X))
        self._refuse_difference(p, found)

    def _refuse_difference(self, before: np.ndarray, after: np.ndarray) -> None:
        smaller = np.minimum(before, 1 - before)
        if (np.abs(before - after) > np.minimum(APART, SURE_FLOOR + SURE * smaller)).any():
            self.memo.put("broken", "1")
            raise changed()

    def _refuse_broken(self) -> None:
        if self.memo.get("broken"):
            raise changed()

    def _get(self, cells: Cells, *, ending: bool = False) -> np.ndarray:
        """One question to the server."""
        rows = len(cells.X)
        new, sent = self.memo.count(self.run)
        kept = 0 if ending else count_alone(new + rows)
        if self.budget is not None and sent + rows + kept > self.budget:
            raise spent(self.budget)
        raw = self.speaks.ask(self.transport, cells)
        kind = self.kind or self.memo.get("kind")
        if kind not in KINDS:
            kind = decide_kind(raw, self.classes)
            self.memo.put("kind", kind)
        return read_answers(raw, rows, self.classes, _as_kind(kind))

    def _like(self, X: np.ndarray) -> Cells:
        """Rows that were kept, as cells of the question at hand."""
        return Cells(self._names, np.asarray(X, dtype=np.float32), self._columns)


def count_alone(new: int) -> int:
    """How many rows are asked about one by one at the end of a run that asked about `new` ones."""
    return min(max(PROBES, round(ALONE * new)), MOST_ALONE)


def _as_kind(text: str) -> Kind:
    return next(kind for kind in KINDS if kind == text)


def changed() -> Changed:
    """A server that does not answer the same row the same."""
    return Changed(
        "a server that answers otherwise when it is asked about the same row again",
        "its answers depend on chance, on the other rows of a question, or the model was replaced "
        "meanwhile: what an attacker gets is not what was measured",
        "fix the model and its version while it is audited, switch chance off, and see that "
        "answers come back in the order of the rows; all answers so far were thrown away",
    )


def _replaced() -> Changed:
    return Changed(
        "a server that answers otherwise than when it was last asked",
        "it holds another model now, under the same address and version",
        "audit again: the answers of the model before were thrown away",
    )


def spent(budget: int) -> PrivauditError:
    """No row may be asked about any more."""
    return PrivauditError(
        f"the budget of {budget:,} rows is spent",
        "no more may be asked of the server in this run; its answers so far are stored, and asking "
        "for them again costs nothing",
        spell("give a higher --queries N, or fewer --attacks", "give a higher queries=N"),
    )


__all__ = ["BATCH", "PROBES", "REPEATED", "Asker", "Changed", "count_alone", "spent"]
