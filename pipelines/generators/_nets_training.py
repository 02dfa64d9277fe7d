"""Long trainings of networks: batches of a mixed table, checkpoints, one thread, no global
state."""

from __future__ import annotations

import hashlib
import os
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from pipelines.generators._nets_table import FLAG, Codes, Table
from privaudit.contracts import Generator, Progress
from privaudit.errors import PrivauditError
from privaudit.records import Records
from privaudit.seeds import borrowed_globals, torch_generator

EVERY = 15.0
"""Seconds between two checkpoints, at the least."""
VERSION = 2


class Spans:
    """A table's encoding as tensor operations: the same few of them for any number of columns."""

    def __init__(self, table: Table, codes: Codes) -> None:
        self.scalars = torch.from_numpy(codes.scalars)
        self.s, self.dim, self.groups = len(table.numbers), table.dim, table.groups
        start, picks = table.start, codes.picks.astype(np.int64)
        # An option that is not there lies in a column of its own at the end, which is cut off.
        self.picked = torch.from_numpy(np.where(picks >= 0, picks + start, self.dim))
        self.seen = torch.from_numpy(self._seen(table, codes))
        self.hider = torch.from_numpy(self._hiders(table))
        self.measured = torch.from_numpy(start[table.flags] + 1)

    @staticmethod
    def _seen(table: Table, codes: Codes) -> np.ndarray:
        """(n, s) float32, 1 where a scalar has a value."""
        flag, _ = table.hidden_by
        measured = codes.picks[:, table.flags] == 1
        ones = np.ones((len(codes.picks), 1), dtype=bool)
        return np.concatenate([measured, ones], axis=1)[:, flag].astype(np.float32)

    @staticmethod
    def _hiders(table: Table) -> np.ndarray:
        """(dim,), the flag that hides each encoded column; the number of flags for none."""
        scalar, pick = table.hidden_by
        every = np.concatenate([scalar, np.repeat(pick, table.width)])
        return np.where(every < 0, int((table.kind == FLAG).sum()), every)

    def __len__(self) -> int:
        return len(self.scalars)

    def rows(self, index: torch.Tensor) -> torch.Tensor:
        """(b, dim) encoded rows: nothing of a column that was not measured."""
        out = torch.zeros(len(index), self.dim + 1)
        out[:, : self.s] = self.scalars[index]
        return out.scatter_(1, self.picked[index], 1.0)[:, : self.dim]

    def soften(
        self, logits: torch.Tensor, scalars: torch.Tensor, heat: float, stream: torch.Generator
    ) -> torch.Tensor:
        """(b, dim): scalars as they are, and Gumbel-softmax draws of every pick, at this
        temperature.

        What a flag says was not measured fades with the flag. Jang et al. 2017 (arXiv 1611.01144).
        """

        parts = [scalars]
        draws = torch.rand(len(logits), self.dim - self.s, generator=stream)
        noise = draws.clamp_(min=1e-20).log_().neg_().log_()
        drawn = (logits[:, self.s :] - noise) / heat
        for first, m, w in self.groups:
            a = first - self.s
            part = drawn[:, a : a + m * w].reshape(-1, m, w)
            parts.append(torch.softmax(part, -1).reshape(-1, m * w))
        return self.fade(torch.cat(parts, 1))

    def fade(self, rows: torch.Tensor) -> torch.Tensor:
        """Encoded rows without what their flags hide."""
        if not len(self.measured):
            return rows
        shown = torch.cat([rows[:, self.measured], torch.ones(len(rows), 1)], 1)
        return rows * shown.index_select(1, self.hider)

    def log_shares(self, logits: torch.Tensor) -> torch.Tensor:
        """(b, dim + 1) log probabilities of the options, 0 for scalars and for what is not
        there."""
        parts = [torch.zeros(len(logits), self.s)]
        for first, m, w in self.groups:
            part = logits[:, first : first + m * w].reshape(-1, m, w)
            parts.append(torch.log_softmax(part, -1).reshape(-1, m * w))
        return torch.cat([*parts, torch.zeros(len(logits), 1)], 1)


class Training(Protocol):
    """A training that can be stopped after any epoch and go on: its parts have a `state_dict`."""

    stream: torch.Generator

    @property
    def parts(self) -> Mapping[str, Any]: ...

    def epoch(self, number: int) -> None: ...

    def weights(self) -> dict[str, np.ndarray]: ...


@dataclass(frozen=True)
class Course:
    """How long a training goes on, what it is called, and where it keeps its state.

    Args:
        key: What the state belongs to: settings, records and random stream.
    """

    what: str
    epochs: int
    key: str
    checkpoint: Path | None = None
    progress: Progress | None = None

    def run(self, training: Training) -> None:
        """Train to the end, from the checkpoint where there is one."""
        done = self._resume(training)
        written, reported = time.monotonic(), -1
        for number in range(done, self.epochs):
            training.epoch(number)
            last = number + 1 == self.epochs
            if self.checkpoint is not None and (last or time.monotonic() - written >= EVERY):
                self._write(training, number + 1)
                written = time.monotonic()
            percent = 100 * (number + 1) // self.epochs
            if self.progress is not None and percent != reported:
                self.progress(
                    f"{self.what}: epoch {number + 1} of {self.epochs}", (number + 1) / self.epochs
                )
                reported = percent
        for part in training.parts.values():
            for value in getattr(part, "parameters", list)():
                if not torch.isfinite(value).all():
                    raise PrivauditError(
                        f"{self.what}: the training diverged",
                        "a network's weights are no longer numbers",
                        "use a lower rate, or a larger batch",
                    )

    def _resume(self, training: Training) -> int:
        if self.checkpoint is None or not self.checkpoint.exists():
            return 0
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                state = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
            key, done = state["key"], state["epochs"]
        except Exception as error:
            raise PrivauditError(
                f"a checkpoint that does not read ({type(error).__name__})",
                "it was cut short or is something else",
                "remove the checkpoint and start again",
            ) from None
        if key != self.key:
            raise PrivauditError(
                "a checkpoint of another training",
                f"it belongs to other records, settings of {self.what}, or another random stream",
                "use the records and settings it was started with, or remove it and start again",
            )
        for name, part in training.parts.items():
            part.load_state_dict(state["parts"][name])
        training.stream.set_state(state["stream"])
        return int(done)

    def _write(self, training: Training, done: int) -> None:
        assert self.checkpoint is not None
        state = {
            "key": self.key,
            "epochs": done,
            "parts": {name: part.state_dict() for name, part in training.parts.items()},
            "stream": training.stream.get_state(),
        }
        passing = self.checkpoint.with_name(f"{self.checkpoint.name}.{os.getpid()}.part")
        try:
            torch.save(state, passing)
            passing.replace(self.checkpoint)
        finally:
            passing.unlink(missing_ok=True)


def key(generator: Generator, records: Records, seed: int) -> str:
    """What a checkpoint belongs to."""
    text = "\0".join([str(VERSION), repr(generator), records.fingerprint, str(seed)])
    return hashlib.sha256(text.encode()).hexdigest()


@contextmanager
def workshop(rng: np.random.Generator, threads: int) -> Iterator[torch.Generator]:
    """A stream for a training, in which torch uses `threads` threads and its global state is ours.

    Both are put back after. Modules made inside start from weights that `rng` decides.
    """
    stream, before = torch_generator(rng), torch.get_num_threads()
    try:
        if before != threads:
            torch.set_num_threads(threads)
        with borrowed_globals(rng):
            yield stream
    finally:
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)


def batches(n: int, size: int, stream: torch.Generator) -> Iterator[torch.Tensor]:
    """All rows once, in random order, in batches of `size` and a last one of what is left (over
    1)."""
    order = torch.randperm(n, generator=stream)
    for part in order.split(size):
        if len(part) > 1 or n == 1:
            yield part
