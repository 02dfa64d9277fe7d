"""Every attack has a world in which its leak was planted and one without, and reads both right."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from privaudit import plugins
from privaudit.report.wording.classes import CLASSES, class_of

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "benchmarks"))

import known_truth  # noqa: E402
from known_worlds import WORLDS  # noqa: E402

CHEAP = ("attribute", "copies", "lira", "model_extraction", "one_run", "stored_records")


def test_every_attack_has_a_world_with_a_known_answer() -> None:
    assert known_truth.list_missing() == (), "add an entry to benchmarks/known_worlds.py"
    assert set(WORLDS) <= set(plugins.members("attacks"))


@pytest.mark.parametrize("name", CHEAP)
def test_what_was_planted_is_found_and_nothing_where_there_is_nothing(name: str) -> None:
    world = WORLDS[name]
    assert known_truth.find_leak(world.attack, world.leak(0), 0)
    assert not known_truth.find_leak(world.attack, world.clean(0), 0)


def test_a_world_without_a_leak_is_counted_as_missed() -> None:
    world = WORLDS["copies"]
    deaf = known_truth.World("copies", world.clean, world.leak, "nothing", "a leak")
    row = known_truth.try_world(deaf, 2)
    assert (row.found, row.missed, row.false_alarms, row.refused) == (0, 2, 2, 0)


def test_rows_take_the_place_of_older_ones(tmp_path: Path) -> None:
    out = tmp_path / "table.csv"
    row = known_truth.Row("lira", "membership", "a", "b", 2, 2, 0, 0, 0, 0.1)
    other = known_truth.Row("copies", "synthetic", "c", "d", 2, 1, 1, 0, 0, 0.1)
    known_truth.write_table([row, other], out)
    known_truth.write_table([known_truth.replace(row, found=1, missed=1)], out)
    found = {one["attack"]: one for one in known_truth.read_table(out)}
    assert list(found) == ["copies", "lira"]
    assert found["lira"]["found"] == "1"
    assert found["copies"]["leak"] == "c"


def test_the_stored_table_is_of_attacks_that_there_are() -> None:
    rows = known_truth.read_table(known_truth.TABLE)
    assert {row["attack"] for row in rows} <= set(plugins.members("attacks"))
    for row in rows:
        assert int(row["found"]) + int(row["missed"]) == int(row["seeds"])
        assert int(row["found"]) >= 0.9 * int(row["seeds"]), row["attack"]
        assert int(row["false_alarms"]) <= 0.2 * int(row["seeds"]), row["attack"]


ASKED_FOR = {
    "EDPB Opinion 28/2024, paragraph 55": {
        "membership",
        "attribute",
        "exfiltration",
        "regurgitation",
        "inversion",
        "reconstruction",
    },
    "Article 29 Working Party, Opinion 05/2014 (WP216)": {"synthetic"},
    "NIST AI 100-2 E2025": {"property", "extraction", "evasion", "poisoning"},
}
"""What each document asks about, as the classes here are called; NIST's others are asked by the
EDPB too."""


def test_every_class_that_is_asked_about_has_an_attack_with_a_world() -> None:
    listed = {
        asked: {key for key, one in CLASSES.items() if one.asked == asked} for asked in ASKED_FOR
    }
    assert listed == ASKED_FOR
    rows = {row["attack"]: row for row in known_truth.read_table(known_truth.TABLE)}
    families = {name: plugins.load("attacks", name).family for name in plugins.members("attacks")}
    for key in CLASSES:
        tried = [name for name, family in families.items() if class_of(name, family) == key]
        assert tried, key
        for name in tried:
            assert name in rows, name
