"""Poisoning against the federated method itself: the gate stops it, bad input is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from poison_lab import against_honest, audit, hospitals, series

from pipelines.federated import ledger
from pipelines.federated.aggregate import Krum, Mean, Median
from pipelines.federated.gate import LARGEST
from pipelines.federated.sites import ByQuantity
from pipelines.methods.federated import Federated
from privaudit.attacks.federated._malicious_clients import (
    Absent,
    Gaussian,
    InflatedCounts,
    NaNUpdate,
    SignFlip,
)
from privaudit.attacks.federated.backdoor import Backdoor
from privaudit.attacks.federated.byzantine import Byzantine
from privaudit.attacks.federated.label_flip import LabelFlip
from privaudit.attacks.federated.sign_flip import SignFlip as SignFlipAttack
from privaudit.errors import PrivauditError
from privaudit.records import Split

QUICK = Federated(hidden=8, rounds=6, rate=0.3)


@pytest.fixture(scope="module")
def split() -> Split:
    return hospitals(900, sites=7)


@pytest.mark.parametrize("name", list(QUICK.alternatives))
@pytest.mark.parametrize(
    "act", [NaNUpdate(1), Gaussian(1, 1e30), InflatedCounts(1)], ids=lambda act: type(act).__name__
)
def test_every_update_that_is_combined_came_through_the_gate(
    name: str, act: object, split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = replace(QUICK.alternatives[name], malicious=act, rounds=3)  # type: ignore[type-var]
    seen, passed = [], []
    kind, real = type(method.aggregate), ledger.admit

    def admit(*given: object, **named: object) -> object:
        found = real(*given, **named)  # type: ignore[arg-type]
        passed.append(found.updates)
        return found

    def combine(self: object, updates: np.ndarray, counts: np.ndarray) -> np.ndarray:
        seen.append((updates, counts))
        return original(self, updates, counts)

    original = kind.combine
    monkeypatch.setattr(ledger, "admit", admit)
    monkeypatch.setattr(kind, "combine", combine)
    release = method.fit(split.members, np.random.default_rng(0))
    outer = [entry for entry in seen if any(entry[0] is updates for updates in passed)]
    assert len(outer) == len(passed) == 3
    for updates, counts in outer:
        assert np.isfinite(updates).all()
        assert np.abs(updates).max() <= LARGEST
        assert counts.max() <= 10 * np.median(counts)
    assert np.isfinite(release.model.predict_proba(split.nonmembers)).all()
    assert release.costs["refused_updates"] == (3 if isinstance(act, NaNUpdate) else 0)


def test_inflated_counts_do_not_take_over_the_mean(split: Split) -> None:
    honest, liar = (
        replace(QUICK, malicious=act).fit(split.members, np.random.default_rng(0)).model
        for act in (None, InflatedCounts(1))
    )
    one, two = (m.predict_proba(split.nonmembers)[:, 1] for m in (honest, liar))
    assert np.corrcoef(one, two)[0, 1] > 0.95


@pytest.mark.parametrize("name", ["mean", "median", "Krum"])
def test_an_absent_hospital_is_a_federation_of_the_others(name: str, split: Split) -> None:
    method = QUICK.alternatives[name]
    away = replace(method, malicious=Absent(1)).fit(split.members, np.random.default_rng(0))
    others = split.members.take(split.members.site != 6)
    assert len(others) < len(split.members)
    fewer = replace(method, aggregate=method.aggregate.after(1)).fit(
        others, np.random.default_rng(0)
    )
    here = method.fit(split.members, np.random.default_rng(0))
    one, two, three = (r.model.predict_proba(split.nonmembers) for r in (away, fewer, here))
    assert np.allclose(one, two, atol=1e-5)
    assert not np.allclose(one, three, atol=1e-3)
    assert away.costs["refused_updates"] == 0


def test_sign_flip_of_the_federated_method(split: Split) -> None:
    found = audit(SignFlipAttack(clients=2, rivals=2, repeats=1), split, QUICK)
    names = ("mean", "median", "trimmed mean")
    assert against_honest(found) == [series(name, "sign flip x10") for name in names]
    mean, median = (found[series(name, "sign flip x10")] for name in names[:2])
    assert mean.success.mean() > mean.control.mean() + 0.08
    assert median.success.mean() < median.control.mean() + 0.05


def test_the_usual_attacks_run_on_the_smallest_federation_that_a_median_bears() -> None:
    three = hospitals(300, sites=3)
    for attack in (SignFlipAttack(), LabelFlip(), Backdoor(), Byzantine()):
        found = audit(replace(attack, repeats=1), three, replace(QUICK, rounds=2))
        assert len({setting.value for setting in found}) == 5


@pytest.mark.parametrize(
    ("method", "sites", "words"),
    [
        (replace(QUICK, malicious=SignFlip(1)), 1, r"1 site"),
        (replace(QUICK, malicious=SignFlip(7)), 7, r"7 malicious of 7 clients"),
        (replace(QUICK, malicious=SignFlip(9)), 7, r"9 malicious of 7 clients"),
        (replace(QUICK, aggregate=Krum(3)), 7, r"Krum\(f=3\) over 7 client.*\n.*at least 9"),
        (replace(QUICK, aggregate=Median(), sites=ByQuantity(2)), 7, r"Median\(\) over 2 client"),
    ],
    ids=["one site", "all malicious", "more than all", "too many for Krum", "two hospitals"],
)
def test_a_federation_that_cannot_stand_is_refused(
    method: Federated, sites: int, words: str
) -> None:
    with pytest.raises(PrivauditError, match=words):
        method.fit(hospitals(300, sites=sites).members, np.random.default_rng(0))


def test_the_mean_bears_two_hospitals() -> None:
    release = replace(QUICK, aggregate=Mean(), sites=ByQuantity(2), rounds=1).fit(
        hospitals(300).members, np.random.default_rng(0)
    )
    assert release.costs["clients"] == 2
