"""What an LSTM's updates give away, and that nothing clears the series that nobody rebuilds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from test_recurrent import stays, stream

from pipelines.federated.front import LSTM
from pipelines.federated.sites import Dirichlet
from pipelines.methods.federated import Federated
from pipelines.methods.federated_secure import FederatedSecure
from privaudit.attacks.federated.gradient_inversion import GradientInversion, read_fixed
from privaudit.contracts import FlowStep, Prepared, Target, Task, Trials
from privaudit.engine.configure import Entry, Request
from privaudit.engine.run import run
from privaudit.errors import PrivauditError
from privaudit.facts import ReasonCode
from privaudit.policy.judge import judge
from privaudit.policy.rules import LeftOut, Limit, Policy
from privaudit.records import Records, Split
from privaudit.results import Finding

ONE: dict[str, Any] = {
    "front": LSTM(6, 2),
    "hidden": 32,
    "rounds": 1,
    "steps": 1,
    "rows": 1,
    "bound": None,
    "sites": Dirichlet(5.0, 40),
}


def invert(method: Federated, own: Records, members: int = 40) -> dict[str, Trials]:
    cuts = (slice(0, members), slice(members, members + 200), slice(members + 200, None))
    split = Split(*map(own.take, cuts))
    release = method.fit(split.members, stream())
    found = GradientInversion().run(Target(release, split, method), (), stream("attack"))
    return {str(setting.value): trials for setting, trials in found.items()}


def test_what_does_not_change_is_read_off_the_update_of_one_record() -> None:
    found = invert(Federated(**ONE), stays(440))
    assert found["exact rows"].success.mean() == 1
    assert found["exact rows"].control.mean() < 0.1
    # Graded by the columns that the network reads: a column of a variable is none.
    assert found["cells"].success.mean() == 1
    assert found["cells"].control.mean() < 0.7


def test_masked_updates_give_nothing() -> None:
    found = invert(FederatedSecure(**ONE), stays(440))
    assert found["exact rows"].success.mean() < 0.1
    assert found["cells"].success.mean() < found["cells"].control.mean() + 0.1


def test_the_dense_layers_are_those_of_the_columns_that_do_not_change() -> None:
    own = stays(440)
    method = Federated(front=LSTM(6, 2), hidden=4, rounds=2)
    exchange = method.fit(own, stream()).updates
    assert exchange is not None
    cut = read_fixed(exchange)
    _, _, _, w1, b1, w2, b2 = method.make_network(own).unpack(exchange.weights[1])  # type: ignore[arg-type]
    kept = (w1[:, 12:], b1, w2, b2)
    assert cut.widths == (5, 4, 2)
    assert np.array_equal(cut.weights[1], np.concatenate([np.ravel(part) for part in kept]))
    assert cut.updates[1].shape == (4, len(cut.weights[1]))
    assert np.array_equal(cut.encode(own), exchange.encode(own)[:, -5:])
    with pytest.raises(ValueError, match="parameters"):
        replace(exchange, lstm=None)
    alone = replace(own, columns=own.columns[2:], X=own.X[:, 2:])
    with pytest.raises(PrivauditError, match="series alone"):
        invert(Federated(**ONE), alone)


@dataclass(frozen=True)
class Worsening(Task):
    """Stays whose outcome is in the series alone."""

    title: ClassVar[str] = "Worsening"
    positive: ClassVar[str] = "yes"

    def prepare(self, data: Path | None, cache: Path, progress: Any) -> Prepared:
        return Prepared(stays(420), (FlowStep("all", 0, 420, 420),), "made", False)


def test_no_audit_of_an_lstm_clears_its_updates(tmp_path: Path) -> None:
    methods = {"lstm": Federated(front=LSTM(6, 3), rounds=3), "dense": Federated(rounds=3)}
    entries = tuple(Entry(name, "federated", "", one) for name, one in methods.items())
    asked = Request(
        "worsening", Worsening(), entries, {"gradient_inversion": GradientInversion()}, "smoke", 1
    )
    audit = run(asked, out=tmp_path, workers=1).audit
    found = {one.name: one.outcomes[0] for one in audit.subjects}
    lstm, dense = found["lstm"], found["dense"]
    assert isinstance(lstm, Finding)
    assert isinstance(dense, Finding)
    assert lstm.is_blind
    assert not dense.is_blind
    # A limit that the dense network of the same records keeps.
    others = (
        "membership",
        "attribute",
        "inversion",
        "property",
        "extraction",
        "evasion",
        "epsilon",
    )
    policy = Policy(
        name="Updates",
        review_by=date(2099, 1, 1),
        limits=(Limit("rows", "reconstruction.over_control", 0.3, at=("exact rows",)),),
        left_out=tuple(LeftOut(one, "not the matter here") for one in (*others, "poisoning")),
    )
    lone = replace(policy, statistics=replace(policy.statistics, positive_control="optional"))
    verdicts = judge(lone, audit, today=date(2026, 12, 1)).verdicts
    (own,) = (one for one in verdicts if one.subject == "lstm")
    assert own.state == "NOT TESTED"
    assert own.reason.code is ReasonCode.SERIES_NOT_READ
    (other,) = (one for one in verdicts if one.subject == "dense")
    assert other.state == "WITHIN", "or the limit could be kept by nobody"
