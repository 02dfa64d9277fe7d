"""Whole runs: real hospitals and the real coordinator, in memory, with workers that are killed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from deploy.hospital_lab import Lab, again

from pipelines.deploy.consent import withdraw
from pipelines.deploy.coordinator import Coordinator, Finished
from pipelines.deploy.hospital import Hospital
from pipelines.deploy.journal import Journal
from pipelines.deploy.messages import Body, check_answer
from pipelines.deploy.refused import Refused
from pipelines.deploy.terms import RunTerms
from pipelines.deploy.wire import Answers

NAMES = ("a", "b", "c", "d")


class Wire:
    """Hospitals in this process. before: kinds before (or after) which every worker is killed."""

    def __init__(self, hospitals: dict[str, Hospital], killed: frozenset[str] = frozenset()):
        self.hospitals, self.killed = hospitals, killed
        self.refused: list[tuple[str, str, str]] = []
        self.leaving: dict[tuple[str, int], str] = {}

    def ask(self, kind: str, questions: Mapping[str, Body], timeout: float) -> Answers:
        came, missing = {}, {}
        for name, body in questions.items():
            run = self.leaving.get((kind, body.get("round", -1)))
            if run is not None and name == "d":
                withdraw(self.hospitals[name].home, run)
            if kind in self.killed:
                self.hospitals[name] = again(self.hospitals[name])
            try:
                came[name] = self.hospitals[name].answer(kind, body)
                check_answer(kind, came[name])
            except Refused as error:
                missing[name] = error.code
                self.refused.append((name, kind, error.code))
            if kind in self.killed:
                # Killed after the answer was on the disk, before it left: asked again.
                self.hospitals[name] = again(self.hospitals[name])
                if name in came:
                    assert self.hospitals[name].answer(kind, body) == came[name]
        return Answers(came, missing)

    def present(self) -> tuple[str, ...]:
        return tuple(self.hospitals)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return Lab(tmp_path_factory.mktemp("lab"), 130, NAMES)


def run(lab: Lab, terms: RunTerms, folder: Path, wire: Wire) -> Finished:
    journal = Journal(folder / "journal.jsonl")
    return Coordinator(terms, folder, wire, journal, patience=20, pause=0.01).run()


@pytest.mark.parametrize(
    ("method", "settings", "killed"),
    [
        ("federated", (), {"train", "grade"}),
        ("federated_trees", ("federated_trees.rounds=3",), {"grow"}),
        pytest.param(
            *("federated_encrypted", (), {"train", "encrypt", "agree", "decrypt"}),
            marks=pytest.mark.slow,
        ),
        pytest.param("federated_secure", (), {"train"}, marks=pytest.mark.slow),
    ],
)
def test_workers_that_are_killed_make_no_difference(
    lab: Lab, tmp_path: Path, method: str, settings: tuple[str, ...], killed: set[str]
) -> None:
    if method == "federated_encrypted":
        pytest.importorskip("tenseal")
    made = []
    for name, kinds in (("whole", set()), ("killed", killed)):
        terms = lab.terms(method, *settings, run=f"{method.replace('_', '-')}-{name}", seed=5)
        wire = Wire(lab.all(terms), frozenset(kinds))
        made.append(run(lab, terms, tmp_path / name, wire))
        assert wire.refused == []
        assert made[-1].hospitals == NAMES
        assert set(made[-1].grades) == set(NAMES)
    whole, other = made
    assert np.array_equal(whole.weights, other.weights)
    assert whole.forest == other.forest
    assert len(whole.forest) + np.abs(whole.weights).sum() > 1


def test_who_withdraws_in_the_middle_sends_nothing_more(lab: Lab, tmp_path: Path) -> None:
    terms = lab.terms("federated_secure", run="leave", seed=5)
    wire = Wire(lab.all(terms))
    wire.leaving[("masked", 1)] = "leave"
    finished = run(lab, terms, tmp_path, wire)
    lines: list[dict[str, Any]] = list(Journal(tmp_path / "journal.jsonl").read())
    rounds = [line["hospitals"] for line in lines if line["event"] == "round"]
    assert rounds == [list("abcd"), list("abc"), list("abc")]
    assert [line["hospital"] for line in lines if line["event"] == "withdrawn"] == ["d"]
    assert wire.refused == [("d", "masked", "not_consented")]
    assert set(finished.grades) == set("abc")


def test_a_worker_killed_within_a_secure_round_is_left_out_of_it(lab: Lab, tmp_path: Path) -> None:
    terms = lab.terms("federated_secure", run="within", seed=5)
    wire = Wire(lab.all(terms))
    ask = wire.ask

    def ask_and_kill(kind: str, questions: Mapping[str, Body], timeout: float) -> Answers:
        if kind == "masked" and next(iter(questions.values()))["round"] == 1:
            wire.hospitals["b"] = again(wire.hospitals["b"])
        return ask(kind, questions, timeout)

    wire.ask = ask_and_kill  # type: ignore[method-assign]
    run(lab, terms, tmp_path, wire)
    lines: list[dict[str, Any]] = list(Journal(tmp_path / "journal.jsonl").read())
    rounds = [line["hospitals"] for line in lines if line["event"] == "round"]
    assert rounds == [list("abcd"), list("acd"), list("abcd")]
    assert wire.refused == [("b", "masked", "out_of_order")]
