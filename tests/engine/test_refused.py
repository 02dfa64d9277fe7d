"""What cannot be trained is refused before anything is trained, and leaves no folder."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_audit import ToyLearner, ToyMethod, ToyModel, request

from privaudit import plugins
from privaudit.attacks.membership.lira import Lira
from privaudit.attacks.membership.threshold import Threshold
from privaudit.contracts import Attack, Release
from privaudit.engine.configure import Entry
from privaudit.engine.events import Event
from privaudit.engine.jobs import fault_of
from privaudit.engine.run import forecast_only, run
from privaudit.engine.work import refuse_untrainable
from privaudit.errors import PrivauditError
from privaudit.facts import ReasonCode
from privaudit.records import Records
from privaudit.results import Finding, Skipped


@dataclass(frozen=True)
class Unready(ToyMethod):
    """Cannot be trained, and states so before anything is."""

    library: str = ""

    def check(self) -> None:
        error = ModuleNotFoundError(name=self.library) if self.library else None
        raise PrivauditError("it cannot be trained", "of a setting", "another one") from error


@pytest.mark.parametrize("library", ["", "absent"])
def test_a_refused_run_trains_nothing_and_leaves_no_folder(tmp_path: Path, library: str) -> None:
    good, bad = ToyMethod(ToyLearner()), Unready(library=library)
    asked = request()
    for first in ((bad,), (good, bad)):
        entries = tuple(Entry(f"m{i}", "toy", "", one) for i, one in enumerate(first))
        wanted = replace(asked, entries=entries)
        if library and len(first) == 2:
            refuse_untrainable(wanted)
            continue
        for call in (run, forecast_only):
            with pytest.raises(PrivauditError, match="cannot be trained"):
                call(wanted, out=tmp_path / "runs", workers=1)
    assert not (tmp_path / "runs").exists()


def test_a_run_whose_every_subject_is_refused_in_training_leaves_no_folder(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Refused(ToyLearner):
        def fit(self, records: Records, rng: np.random.Generator) -> ToyModel:
            raise PrivauditError("a setting", "it is out of range", "take another")

    with pytest.raises(PrivauditError, match="a setting"):
        run(request(learners={"refused": Refused()}), out=tmp_path, workers=1)
    assert list(tmp_path.glob("2*")) == []


@pytest.mark.parametrize(
    ("method", "library"),
    [
        ("dp_linear", "diffprivlib"),
        ("dp_forest", "diffprivlib"),
        ("dp_ebm", "dp_accounting"),
        ("dp_sgd", "dp_accounting"),
        ("federated_private", "dp_accounting"),
        ("federated_secure", "cryptography"),
        ("federated_encrypted", "tenseal"),
    ],
)
def test_a_method_states_what_it_lacks_before_it_is_trained(
    monkeypatch: pytest.MonkeyPatch, method: str, library: str
) -> None:
    kind: Any = plugins.load("methods", method)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(PrivauditError, match=r"pip install|privaudit\[") as caught:
        kind().check()
    assert fault_of(caught.value).is_missing_library


@pytest.mark.parametrize(
    "method", ["dp_linear", "dp_forest", "dp_ebm", "dp_sgd", "dp_output", "federated_private"]
)
def test_an_epsilon_of_zero_is_refused_before_anything_is_trained(method: str) -> None:
    kind: Any = plugins.load("methods", method)
    with pytest.raises(PrivauditError, match="epsilon 0"):
        kind(epsilon=0.0).check()


@dataclass(frozen=True)
class HalfRefused(ToyMethod):
    """Trained on the members, and refuses the halves of shadow models, as of a missing class."""

    def fit_many(
        self, members: Sequence[Records], rngs: Sequence[np.random.Generator]
    ) -> Sequence[Release]:
        raise PrivauditError("a table of few rows", "it lacks a class", "give more")


def test_refits_that_a_method_refuses_leave_the_attack_out_and_break_nothing(
    tmp_path: Path,
) -> None:
    attacks: dict[str, Attack] = {"threshold": Threshold(), "lira": Lira(shadows=4)}
    asked = replace(
        request(attacks=attacks), entries=(Entry("m", "toy", "", HalfRefused(ToyLearner())),)
    )
    events: list[Event] = []
    finished = run(asked, out=tmp_path, workers=1, listen=events.append)
    by_name = {one.attack: one for one in finished.audit.subjects[0].outcomes}
    assert isinstance(by_name["threshold"], Finding)
    assert isinstance(by_name["lira"], Skipped)
    assert by_name["lira"].reason.code is ReasonCode.REFUSED
    assert finished.code != 5
    told = [event.what for event in events if event.state == "note"]
    assert len([text for text in told if "skipped (a table of few rows" in text]) == 1
    assert not any(event.failed for event in events)
    assert list((finished.folder / "restricted").rglob("failures/*refits*"))
