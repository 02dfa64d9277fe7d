"""The data contract and the audit document."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from cattrs.errors import BaseValidationError

from privaudit import plugins
from privaudit.errors import PrivauditError
from privaudit.facts import Bound, BoundMethod, Caveat, CaveatCode, Reason, ReasonCode
from privaudit.records import Column, Records, Split
from privaudit.results import from_tree, to_tree
from privaudit.seeds import Seeds, borrowed_globals
from privaudit.signals import margin


def table(n: int, patients: int | None = None) -> Records:
    rng = np.random.default_rng(0)
    return Records(
        columns=(Column("a"), Column("b")),
        X=rng.normal(size=(n, 2)),
        y=rng.integers(0, 2, n),
        patient=np.arange(n) % (patients or n),
        site=np.zeros(n),
        groups={"sex": rng.choice(["F", "M"], n)},
    )


def test_toss_keeps_patients_apart_and_is_fair() -> None:
    records = table(3000, patients=1000)
    split = Split.assign(records, Seeds(1).rng("split"))
    pools = [set(p.patient) for p in (split.members, split.nonmembers, split.reference)]
    assert pools[0].isdisjoint(pools[1])
    assert pools[2].isdisjoint(pools[0] | pools[1])
    assert sum(map(len, pools)) == 1000
    assert len(pools[2]) == 200
    assert abs(len(pools[0]) - 400) < 5 * np.sqrt(800 * 0.25)


def test_split_refuses_a_shared_patient() -> None:
    records = table(10)
    with pytest.raises(PrivauditError, match="in two pools"):
        Split(records.take([0, 1]), records.take([1, 2]), records.take([3]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": [0, 1, 5]}, "outcome codes"),
        ({"y": [0, 1]}, "length is not 3"),
        ({"X": [[1, 2], [3, np.inf], [5, 6]]}, "infinite"),
        ({"X": [[1], [2], [3]]}, "columns described"),
    ],
)
def test_bad_records_are_refused(change: dict, message: str) -> None:
    good = {
        "columns": (Column("a"), Column("b")),
        "X": np.ones((3, 2)),
        "y": [0, 1, 0],
        "patient": [1, 2, 3],
        "site": [0, 0, 0],
    }
    Records(**{k: np.asarray(v) if k != "columns" else v for k, v in good.items()})
    bad = good | change
    with pytest.raises(PrivauditError, match=message):
        Records(**{k: np.asarray(v) if k != "columns" else v for k, v in bad.items()})


def test_fingerprint_sees_every_part() -> None:
    records = table(20)
    other = records.take(np.arange(20)[::-1])
    assert records.fingerprint == table(20).fingerprint
    assert records.fingerprint != other.fingerprint


def test_streams_are_keyed_by_name() -> None:
    a, b = Seeds(3).rng("fit", 1).random(4), Seeds(3).rng("fit", 2).random(4)
    assert not np.allclose(a, b)
    assert np.array_equal(a, Seeds(3).rng("fit", 1).random(4))


def test_borrowed_globals_come_back() -> None:
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    with borrowed_globals(Seeds(1).rng("x")):
        first = np.random.random()  # noqa: NPY002
    with borrowed_globals(Seeds(1).rng("x")):
        assert np.random.random() == first  # noqa: NPY002
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_margin_is_finite_and_keeps_order_when_saturated() -> None:
    tiny = np.array([0.0, 1e-300, 1e-30, 1e-17, 1e-3, 0.5, 1.0])
    proba = np.column_stack([tiny, 1 - tiny])
    m = margin(proba, np.ones(len(tiny), dtype=int))
    assert np.isfinite(m).all()
    assert (np.diff(m) < 0).sum() >= 5
    assert margin(np.float32([[0, 1]]), np.array([1])) > 600


@pytest.fixture
def fresh_registry() -> Iterator[None]:
    caches = (plugins.folders, plugins.members)
    for one in caches:
        one.cache_clear()
    yield
    for one in caches:
        one.cache_clear()


def install(root: Path, package: str, kind: str, *modules: str) -> None:
    """What `pip install` leaves of a package of plugins."""
    (root / package).mkdir(parents=True)
    (root / package / "__init__.py").write_text("")
    for module in modules:
        (root / package / f"{module}.py").write_text('"""Another one."""\n__all__ = ["X"]\n')
    about = root / f"{package}-0.1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 0.1\n")
    (about / "entry_points.txt").write_text(f"[privaudit.plugins]\n{kind} = {package}\n")


@pytest.mark.usefixtures("fresh_registry")
@pytest.mark.parametrize(
    ("kind", "name"),
    [("attacks", "threshold"), ("methods", "baseline"), ("learners", "mlp"), ("tasks", "")],
)
def test_a_plugin_never_replaces_a_member(
    kind: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = name or next(iter(plugins.members(kind)))
    plugins.folders.cache_clear()
    plugins.members.cache_clear()
    install(tmp_path, "shadowing_plugin", kind, taken, "another_name")
    monkeypatch.syspath_prepend(str(tmp_path))
    for call in (plugins.members, lambda kind: plugins.load(kind, taken)):
        with pytest.raises(PrivauditError, match=f"two {kind} called '{taken}'") as caught:
            call(kind)
        assert f"shadowing_plugin.{taken}" in caught.value.what


@pytest.mark.usefixtures("fresh_registry")
def test_a_plugin_of_another_name_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "harmless_plugin", "attacks", "another_name")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert plugins.members("attacks")["another_name"] == "harmless_plugin.another_name"


@pytest.mark.parametrize(
    "fact",
    [
        Caveat(CaveatCode.CONSTANT_ANSWERS),
        Reason(ReasonCode.NO_MEMBER),
        Bound(BoundMethod.WILSON),
    ],
)
def test_a_code_read_back_is_that_code(fact: Caveat | Reason | Bound) -> None:
    tree = to_tree(fact)
    key = "method" if isinstance(fact, Bound) else "code"
    assert getattr(from_tree(tree, type(fact)), key) is getattr(fact, key)
    with pytest.raises(BaseValidationError):
        from_tree({**tree, key: "no such code"}, type(fact))
