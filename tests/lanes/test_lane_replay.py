"""The replay lane: a stored audit and fixed streams give the same numbers and verdicts as before.

A number that moves is a bug, or belongs under "Estimates that change" in the changelog;
`python tests/lanes/golden.py` then writes the stored ones anew.
"""

import json
from typing import Any

import pytest
from golden import HERE, numbers, stable_part, stored, verdicts

from privaudit.policy.rules import RELEASES
from privaudit.report.formats import FORMATS, render


def kept(name: str) -> Any:
    return json.loads((HERE / f"{name}.json").read_text(encoding="utf-8"))


def same(one: Any, other: Any) -> None:
    """Equal but for the last digits of numbers, which another processor may round otherwise."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            same(one[key], other[key])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            same(a, b)
    elif isinstance(one, float) and isinstance(other, float | int):
        assert one == pytest.approx(other, rel=1e-6, abs=1e-9)
    else:
        assert one == other


@pytest.mark.parametrize("release", RELEASES)
def test_stored_verdicts(release: str) -> None:
    made = stable_part(verdicts(release))
    same(json.loads(json.dumps(made)), kept(release))


def test_estimates_of_fixed_streams() -> None:
    same(json.loads(json.dumps(numbers())), kept("numbers"))


def test_the_stored_audit_says_something_in_every_way() -> None:
    states = {one["state"] for release in RELEASES for one in kept(release)["verdicts"]}
    assert states == {"WITHIN", "EXCEEDS", "INCONCLUSIVE", "NOT TESTED"}
    assert not stored().data.real


@pytest.mark.parametrize("name", FORMATS)
def test_rendering_twice_gives_the_same_bytes(name: str) -> None:
    assert render(verdicts("public-api"), name) == render(verdicts("public-api"), name)
