"""Every way of training: what was not trained is told, promises are checked, seats and heavy
releases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pytest
from toy_audit import ToyMethod, numbers, records, request

from privaudit.attacks.membership.threshold import Threshold
from privaudit.contracts import (
    Access,
    Attack,
    Claim,
    Exchange,
    Fitted,
    Malicious,
    Refit,
    Release,
    Scores,
    Target,
    Trials,
)
from privaudit.engine import groups
from privaudit.engine.configure import Entry
from privaudit.engine.run import Finished, run
from privaudit.errors import PrivauditError
from privaudit.facts import CaveatCode, Metric, Reason, ReasonCode, Setting, note
from privaudit.records import Records
from privaudit.results import ClaimText, Estimate, Finding, Skipped
from privaudit.seeds import Seeds
from privaudit.stats.guarantees import check_guarantee, epsilon_bounds


@dataclass(frozen=True)
class Refuses(ToyMethod):
    """Refuses the data."""

    def fit(self, members: Records, rng: np.random.Generator) -> Release:
        raise PrivauditError("1 site", "a federation needs two", "name another method")


@dataclass(frozen=True)
class Lacks(ToyMethod):
    """Wants a library that is not there."""

    def fit(self, members: Records, rng: np.random.Generator) -> Release:
        import no_such_library_at_all  # type: ignore[import-not-found]

        return no_such_library_at_all.fit(members)


@dataclass(frozen=True)
class Breaks(ToyMethod):
    """Has a fault."""

    def fit(self, members: Records, rng: np.random.Generator) -> Release:
        raise ZeroDivisionError(f"patient {members.patient[0]}")


@dataclass(frozen=True)
class Promises(ToyMethod):
    """Promises an epsilon, true or not."""

    epsilon: float = 0.1

    def fit(self, members: Records, rng: np.random.Generator) -> Release:
        covers = frozenset({Access.ANSWERS})
        promise = Claim(self.epsilon, 1e-5, "patient", "add-remove", covers, "said so")
        return Release(promise, self.learner.fit(members, rng))


@dataclass(frozen=True)
class Flip(Malicious):
    """Send the reverse."""

    clients: int = 1


def read(table: Records) -> np.ndarray:
    return np.asarray(table.X)


@dataclass(frozen=True)
class Federation(ToyMethod):
    """Clients take part; the server sees updates."""

    malicious: Malicious | None = None

    seats: ClassVar[bool] = True

    def fit(self, members: Records, rng: np.random.Generator) -> Release:
        model = self.learner.fit(members, rng)
        if self.malicious is not None:
            model = replace(model, weights=-model.weights)
        update = np.ones((2, 4), dtype=np.float32)
        seen = Exchange(
            (np.zeros(4),), (update,), np.arange(2), np.array([1, 2]), (1, 2), read, 0.1, 1, 1
        )
        return Release(
            model=model,
            updates=seen,
            costs={"rounds": 3, "bytes_up": 12.0, "lost": float("nan")},
            trust=(("server", "one {site}'s update", "yes"),),
            notes=("Two clients of {people} and {others}.",),
        )


@dataclass(frozen=True)
class Coins(Attack):
    """Guesses every coin, from the answer sheet: an epsilon far above any small promise."""

    needs: ClassVar[frozenset[Access]] = frozenset({Access.ANSWERS})
    family: ClassVar[Literal["epsilon"]] = "epsilon"

    def run(self, target: Target, refits: Sequence[Fitted], rng: np.random.Generator) -> Scores:
        inside, outside = len(target.split.members), len(target.split.nonmembers)
        return Scores(1 + rng.random(inside), rng.random(outside), randomised=True)


@dataclass(frozen=True)
class Poison(Attack):
    """Trains with and without a malicious client on all members, and asks the non-members."""

    needs: ClassVar[frozenset[Access]] = frozenset({Access.SEAT, Access.RERUN})
    family: ClassVar[Literal["poisoning"]] = "poisoning"

    def refits(self, target: Target, seeds: Seeds) -> Sequence[Refit]:
        members, asked = target.split.members, target.split.nonmembers
        everyone = np.ones(len(members), dtype=bool)
        methods = [replace(target.method, malicious=who) for who in (None, Flip())]  # type: ignore[type-var]
        return [Refit(m, members, everyone, asked, "poison") for m in methods]  # type: ignore[arg-type]

    def run(
        self, target: Target, refits: Sequence[Fitted], rng: np.random.Generator
    ) -> Mapping[Setting, Trials]:
        clean, bad = ((one.margins < 0).astype(float) for one in refits)
        assert all(one.included.all() for one in refits)
        at = Setting("aggregator", "mean", details=("flip",))
        return {at: Trials(bad, clean, patients=target.split.nonmembers.patient)}


@dataclass(frozen=True)
class Look(Attack):
    """Reads an update."""

    needs: ClassVar[frozenset[Access]] = frozenset({Access.UPDATES})
    family: ClassVar[Literal["reconstruction"]] = "reconstruction"
    seen: int = 1

    def run(
        self, target: Target, refits: Sequence[Fitted], rng: np.random.Generator
    ) -> Mapping[Setting, Trials]:
        assert target.release.updates is not None
        hit = np.full(40, float(target.release.updates.updates[0].mean() == self.seen))
        return {
            Setting("variant", "cells"): Trials(
                hit, np.zeros(40), np.zeros(40), patients=np.arange(40)
            )
        }


def go(out: Path, methods: Mapping[str, ToyMethod], every: bool, **attacks: Attack) -> Finished:
    entries = tuple(Entry(name, name, "", method) for name, method in methods.items())
    made = replace(request(attacks or {"threshold": Threshold()}), entries=entries, every=every)
    return run(made, out=out, workers=1)


def test_a_method_that_refuses_is_told_where_all_were_asked_and_an_error_where_it_was_named(
    tmp_path: Path,
) -> None:
    methods = {"plain": ToyMethod(), "refuses": Refuses()}
    finished = go(tmp_path, methods, True)
    assert finished.code == 0
    assert [s.name for s in finished.audit.subjects] == ["plain"]
    (left,) = finished.audit.untrained
    said = {"what": "1 site", "because": "a federation needs two", "fix": "name another method"}
    assert (left.name, left.failed) == ("refuses", False)
    assert left.reason == Reason(ReasonCode.REFUSED, said)
    (caveat,) = (c for c in finished.audit.caveats if c.code is CaveatCode.NOT_TRAINED)
    assert (caveat.severity, caveat.params) == ("warning", {"subject": "refuses"})
    with pytest.raises(PrivauditError, match="1 site"):
        go(tmp_path, methods, False)
    with pytest.raises(PrivauditError, match="1 site"):
        go(tmp_path, {"refuses": Refuses()}, True)


@pytest.mark.parametrize("every", [True, False])
def test_a_missing_library_is_told_and_never_a_crash(tmp_path: Path, every: bool) -> None:
    finished = go(tmp_path, {"plain": ToyMethod(), "lacks": Lacks()}, every)
    assert finished.code == 0
    (left,) = finished.audit.untrained
    absent = {"library": "no_such_library_at_all", "fix": ""}
    assert left.reason == Reason(ReasonCode.MISSING_EXTRA, absent)
    with pytest.raises(PrivauditError, match="no model could be trained"):
        go(tmp_path, {"lacks": Lacks()}, every)


def test_a_method_with_a_fault_fails_the_audit_and_says_nothing_of_the_data(tmp_path: Path) -> None:
    finished = go(tmp_path, {"plain": ToyMethod(), "breaks": Breaks()}, True)
    assert finished.code == 5
    (left,) = finished.audit.untrained
    assert left.failed
    assert str(left.reason.params["error"]).startswith("ZeroDivisionError in test_every.py")
    with pytest.raises(RuntimeError, match="could not be trained"):
        go(tmp_path, {"plain": ToyMethod(), "breaks": Breaks()}, False)


def test_a_bound_above_the_promise_is_a_defect(tmp_path: Path) -> None:
    methods = {"open": ToyMethod(), "small": Promises(epsilon=0.1), "large": Promises(epsilon=50.0)}
    finished = go(tmp_path, methods, False, coins=Coins())
    assert finished.code == 5
    defects = {}
    for subject in finished.audit.subjects:
        (found,) = subject.outcomes
        assert isinstance(found, Finding)
        bounds = epsilon_bounds(found.estimates)
        assert {e.metric.name for e in bounds} == {
            "epsilon_lower_bound",
            "epsilon_lower_bound_fdp",
        }
        assert all((e.value or 0) > 1 for e in bounds)
        defects[subject.name] = [c for c in found.caveats if c.severity == "defect"]
    assert [len(defects[name]) for name in methods] == [0, 1, 0]
    (caveat,) = (c for c in finished.audit.caveats if c.severity == "defect")
    assert caveat.code == CaveatCode.GUARANTEE_BROKEN
    assert (caveat.params["subject"], caveat.params["claimed"]) == ("small", 0.1)
    assert go(tmp_path, {"large": methods["large"]}, False, coins=Coins()).code == 0


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, CaveatCode.EPSILON_ABOVE_CLAIM),
        ({"unit": "site"}, CaveatCode.EPSILON_ABOVE_CLAIM),
        ({"neighbours": "replace"}, CaveatCode.BOUND_OF_ANOTHER_UNIT),
        ({"unit": "record"}, CaveatCode.BOUND_OF_ANOTHER_UNIT),
        ({"covers": ()}, CaveatCode.BOUND_NOT_COVERED),
        ({"covers": (Access.WEIGHTS.name,)}, CaveatCode.EPSILON_ABOVE_CLAIM),
        ({"epsilon": 3.0}, None),
        ({"epsilon": None}, None),
    ],
)
def test_only_comparable_guarantees_are_called_broken(
    changes: dict[str, object], code: CaveatCode | None
) -> None:
    claim = ClaimText(1.0, 1e-5, "patient", "add-remove", (Access.ANSWERS.name,), "x")
    claim = replace(claim, **changes)  # type: ignore[arg-type]
    known = (
        Estimate(Metric("epsilon_lower_bound"), 2.5),
        Estimate(Metric("epsilon_lower_bound_fdp"), None),
    )
    found = check_guarantee(claim, known, {Access.ANSWERS, Access.RERUN})
    assert [caveat.code for caveat in found] == ([] if code is None else [code])
    broken = code is CaveatCode.EPSILON_ABOVE_CLAIM
    assert any(caveat.severity == "defect" for caveat in found) == broken


def test_poisoning_asks_for_refits_with_malicious_clients_where_there_are_seats(
    tmp_path: Path,
) -> None:
    methods = {"plain": ToyMethod(), "joint": Federation()}
    attacks = {"poison": Poison(), "look": Look(), "threshold": Threshold()}
    finished = go(tmp_path, methods, False, **attacks)
    assert finished.code == 0
    assert finished.audit.manifest.refits["distinct"] == 2
    plain, joint = finished.audit.subjects
    skipped = {o.attack: o.reason for o in plain.outcomes if isinstance(o, Skipped)}
    assert set(skipped) == {"poison", "look"}
    assert skipped["poison"] == Reason(ReasonCode.LACKS_ACCESS, {"access": ("SEAT",)})
    found = {o.attack: o for o in joint.outcomes if isinstance(o, Finding)}
    rates = {e.metric: e.value for e in found["poison"].estimates}
    at = Setting("aggregator", "mean", details=("flip",))
    gain = rates[Metric("attack_minus_control", at=at)]
    assert gain is not None
    assert gain > 0.2
    assert joint.trust == (("server", "one hospital's update", "yes"),)
    assert joint.notes == (note("Two clients of patients and {others}."),)
    assert joint.costs["rounds"] == 3.0
    assert "lost" not in joint.costs


def test_updates_are_not_kept_and_made_again_when_an_attack_needs_them(tmp_path: Path) -> None:
    methods = {"joint": Federation()}
    go(tmp_path, methods, False, threshold=Threshold())
    later = go(tmp_path, methods, False, threshold=Threshold(), look=Look())
    once = go(tmp_path / "other", methods, False, threshold=Threshold(), look=Look())
    assert numbers(later.audit) == numbers(once.audit)
    (found,) = (o for o in later.audit.subjects[0].outcomes if o.attack == "look")
    assert isinstance(found, Finding)
    assert found.estimates[0].value == 1.0


def test_sites_are_a_group_unless_a_group_is_cut_as_they_are() -> None:
    table = records(40)
    site = np.arange(40) % 2
    two = replace(table, site=site, sites=("a", "b"))
    assert set(groups.with_sites(two)) == {"sex", "site"}
    assert list(groups.with_sites(two)["site"][:2]) == ["a", "b"]
    named = replace(two, groups={"unit": np.array(["A", "B"])[site]})
    assert set(groups.with_sites(named)) == {"unit"}
    assert set(groups.with_sites(table)) == {"sex"}
