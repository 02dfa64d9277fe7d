"""The plan: groups of refits, what is shared, and what a key depends on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from toy_audit import Broken, ToyLearner, ToyMethod, records, request

from privaudit.attacks.membership.lira import Lira
from privaudit.attacks.membership.rmia import Rmia
from privaudit.contracts import Refit
from privaudit.engine.plan import cut, plan
from privaudit.engine.version import code
from privaudit.errors import PrivauditError
from privaudit.records import Split
from privaudit.seeds import Seeds


@pytest.fixture(scope="module")
def split() -> Split:
    return Split.assign(records(120), Seeds(0).rng("split"))


@dataclass(frozen=True)
class Wide(ToyMethod):
    """Trains any number at once."""

    @property
    def batch(self) -> int:
        return 100


def refits(method: ToyMethod, count: int) -> list[Refit]:
    table = records(20)
    mask = np.arange(20) < 10
    return [Refit(method, table, mask, table, f"r{i}") for i in range(count)]


def test_refits_are_cut_into_groups_of_the_methods_batch_but_no_more_than_eight() -> None:
    assert [len(part) for part in cut(refits(ToyMethod(), 10))] == [4, 4, 2]
    assert [len(part) for part in cut(refits(Wide(), 10))] == [8, 2]
    mixed = refits(ToyMethod(), 3) + refits(Wide(), 2)
    assert [len(part) for part in cut(mixed)] == [3, 2]
    assert cut([]) == []


def test_an_attack_more_shares_the_groups_it_can(split: Split) -> None:
    small = plan(request({"lira": Lira(shadows=8)}), split)
    large = plan(request({"lira": Lira(shadows=8), "rmia": Rmia(shadows=16)}), split)
    assert set(small.groups) < set(large.groups)
    assert (small.refits, large.refits, large.wanted) == (8, 16, 24)
    keys = {(s.attack_name, s.variant): s.key for s in large.steps}
    assert all(keys[s.attack_name, s.variant] == s.key for s in small.steps)


def test_keys_depend_on_everything_that_moves_a_number(split: Split) -> None:
    base = request()

    def keys(changed: object, pools: Split = split) -> tuple[set[str], set[str]]:
        made = plan(changed, pools)  # type: ignore[arg-type]
        return set(made.groups), {step.key for step in made.steps}

    groups, steps = keys(base)
    assert keys(base) == (groups, steps)
    other = Split.assign(records(120), Seeds(1).rng("split"))
    for changed in (
        keys(replace(base, entropy=2)),
        keys(request(learners={"plain": ToyLearner(memory=1.0)})),
        keys(base, other),
    ):
        assert not groups & changed[0]
        assert not steps & changed[1]
    sure = keys(replace(base, confidence=0.9))
    assert sure[0] == groups
    assert not sure[1] & steps


def test_every_membership_attack_gets_both_controls(split: Split) -> None:
    made = plan(request({"lira": Lira(shadows=8), "broken": Broken()}), split)
    assert [(s.attack_name, s.variant) for s in made.steps] == [
        ("lira", "subject"),
        ("lira", "positive"),
        ("lira", "negative"),
        ("broken", "subject"),
    ]
    assert [(f.variant, f.rows) for f in made.fits] == [
        ("subject", len(split.members)),
        ("negative", len(split.reference)),
    ]


def test_an_attacks_refusal_of_its_settings_stops_the_plan(split: Split) -> None:
    with pytest.raises(PrivauditError, match="8 at a time"):
        plan(request({"lira": Lira(shadows=12)}), split)


def test_code_version_covers_the_parts_of_a_method() -> None:
    assert code(ToyMethod(ToyLearner())) == code(ToyMethod(ToyLearner(memory=2.0)))
    assert code(ToyMethod()) != code(Lira())
