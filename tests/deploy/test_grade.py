"""What a hospital states of the final model: what it is, and what nobody can read out of it."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import combinations_with_replacement, pairwise

import numpy as np
import pytest
from graded_lab import TERMS, Answers, make_pool, make_split, memorise

from pipelines.deploy.grade import CUTS, LEAST, LEVELS, WITHHELD, grade_model
from pipelines.deploy.graded import read_counts
from pipelines.deploy.ladders import find_blocks, find_ranges
from pipelines.deploy.own_exchange import own_exchange
from pipelines.methods.federated import Federated
from pipelines.methods.federated_secure import FederatedSecure
from privaudit.records import Records, Split


@pytest.fixture(scope="module")
def split() -> Split:
    return make_split(230, np.random.default_rng(0))


def numbers(part: object) -> list[int]:
    """Every number in the statement."""
    if isinstance(part, dict):
        return [n for value in part.values() for n in numbers(value)]
    if isinstance(part, list):
        return [n for value in part for n in numbers(value)]
    return [part] if isinstance(part, int) and not isinstance(part, bool) else []


def test_every_number_of_patients_is_a_number_of_tens(split: Split) -> None:
    made = json.loads(grade_model(memorise(split), split, TERMS, False))
    assert not [n for n in numbers({**made, "schema": 0, "sent": 0}) if n % 10]
    assert made["pools"]["members"] == {"patients": 230, "records": 230}


def test_a_memoriser_and_a_clean_model_differ(split: Split) -> None:
    clean = json.loads(grade_model(Answers(), split, TERMS, False))["membership"]["threshold"]
    leak = json.loads(grade_model(memorise(split), split, TERMS, False))["membership"]["threshold"]
    middle = LEVELS.index(0.9)
    assert leak["members"][middle] > 200
    assert leak["nonmembers"] == clean["nonmembers"]
    assert clean["members"][middle] < 60


def test_no_member_has_a_part_in_a_threshold(split: Split) -> None:
    """Held-out patients' counts stay, whoever the members are."""
    other = replace(split, members=make_pool(230, 10_000, np.random.default_rng(9)))
    made = [
        json.loads(grade_model(Answers(), one, TERMS, False))["membership"]["threshold"]
        for one in (split, other)
    ]
    assert made[0]["nonmembers"] == made[1]["nonmembers"]
    assert made[0]["members"] != made[1]["members"]


@pytest.mark.parametrize(
    ("members", "nonmembers", "reference"), [(19, 200, 60), (200, 19, 60), (200, 200, 9), (3, 3, 3)]
)
def test_a_hospital_of_few_states_a_code_and_nothing_else(
    members: int, nonmembers: int, reference: int
) -> None:
    few = make_split(members, np.random.default_rng(1), nonmembers, reference)
    made = json.loads(grade_model(memorise(few), few, TERMS, False))
    assert made.pop("withheld") == {"pools": "few_patients"}
    assert set(made) == {"form", "run", "terms", "real", "sent"}


def test_few_with_an_outcome_keep_the_utility_back() -> None:
    rare = make_split(100, np.random.default_rng(2), rate=0.05)
    held_out = rare.nonmembers
    assert 0 < (held_out.y == 1).sum() < LEAST
    made = json.loads(grade_model(Answers(), rare, TERMS, False))
    assert made["withheld"]["utility"] == "few_with_outcome"
    assert "utility" not in made
    assert "threshold" in made["membership"]


def test_shadow_models_are_trained_where_the_hospital_allows_it() -> None:
    small = make_split(60, np.random.default_rng(3))
    terms = replace(
        TERMS,
        grade=("threshold", "rmia", "made_up"),
        settings=("federated.rounds=1", "federated.steps=2", "federated.hidden=4"),
    )
    barred = json.loads(grade_model(Answers(), small, terms, False))
    assert barred["withheld"]["rmia"] == "refits_not_allowed"
    assert barred["withheld"]["unknown"] == "unknown_attack"
    allowed = json.loads(grade_model(Answers(), small, terms, True))
    assert set(allowed["membership"]) == {"threshold", "rmia"}
    assert set(allowed["withheld"].values()) <= set(WITHHELD)


class Breaks:
    """A model that cannot be asked, and says a name as it fails."""

    def predict_proba(self, records: Records) -> np.ndarray:
        return np.full((len(records), 2), np.nan)


def test_what_is_refused_is_a_code_without_its_text(split: Split) -> None:
    made = json.loads(grade_model(Breaks(), split, TERMS, False))
    assert made["withheld"]["threshold"] == "refused"
    assert set(made["withheld"].values()) <= set(WITHHELD)


# --- rows read out of what was sent


def test_rows_are_read_out_of_an_open_update_and_not_out_of_a_masked_one() -> None:
    """A planted leak: each unit of the first layer hands over one record."""
    split = make_split(30, np.random.default_rng(5))
    members, method = split.members, Federated()
    network = method.make_network(members)
    leaking = np.zeros(len(network.start(np.random.default_rng(4))), dtype=np.float32)
    weight, bias = network.unpack(leaking)[:2]  # type: ignore[arg-type]
    weight[:30], bias[:30] = method.encode(members), 1.0
    masked = np.random.default_rng(6).uniform(-2, 2, len(leaking))
    read = {}
    for name, received, how in (
        ("open", leaking, method),
        ("masked", masked, FederatedSecure()),
    ):
        exchange = own_exchange(how, members, leaking, received)
        made = json.loads(grade_model(Answers(), split, TERMS, False, exchange=exchange))
        read[name] = made["attempts"]["gradient_inversion"]
    assert read["open"]["members"] == [20, 20]
    assert read["masked"]["members"] == [0, 20]
    assert (read["open"]["protected"], read["masked"]["protected"]) == ("", "secure_sum")


# --- what an outsider can work out


def consistent(blocks: list[int], size: int) -> list[tuple[int, ...]]:
    """Every row of counts that gives these blocks, of a pool whose exact size is known."""
    rows = combinations_with_replacement(range(size + 1), len(blocks))
    return [row for row in rows if find_blocks(row, size) == blocks]


@pytest.mark.parametrize("size", [20, 23, 29, 30])
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_no_count_under_ten_can_be_worked_out(size: int, steps: int) -> None:
    """Brute force over all that could have been counted: of every count, and of every difference of
    two, each value under ten leaves at least ten possible ones to somebody who knows the exact size
    of the pool and the rule."""
    rng = np.random.default_rng(7)
    for _ in range(12):
        counts = sorted(int(n) for n in rng.integers(0, size + 1, steps))
        blocks = find_blocks(counts, size)
        possible = consistent(blocks, size)
        assert tuple(counts) in possible
        walls = [(0, *row, size) for row in possible]
        for i in range(steps + 2):
            for j in range(i + 1, steps + 2):
                if (i, j) == (0, steps + 1):
                    continue
                values = {row[j] - row[i] for row in walls}
                true = (0, *counts, size)
                if true[j] - true[i] < 10:
                    assert len(values) >= 10, (counts, size, i, j)


def test_halves_beside_the_whole_leave_small_counts_open() -> None:
    """Two halves come to the whole: of each count under ten, alone or as a difference, five values
    at least stay possible, to whoever knows that."""
    rng, half = np.random.default_rng(8), 20
    for _ in range(6):
        one, two = (sorted(int(n) for n in rng.integers(0, half + 1, 2)) for _ in range(2))
        whole = [a + b for a, b in zip(one, two, strict=True)]
        stated = find_blocks(whole, 2 * half)
        pairs = [
            (a, b)
            for a in consistent(find_blocks(one, half), half)
            for b in consistent(find_blocks(two, half), half)
            if find_blocks([a[0] + b[0], a[1] + b[1]], 2 * half) == stated
        ]
        cells = (
            (one, half, [a for a, _ in pairs]),
            (two, half, [b for _, b in pairs]),
            (whole, 2 * half, [(a[0] + b[0], a[1] + b[1]) for a, b in pairs]),
        )
        for true, size, rows in cells:
            for read in (
                lambda row, size: row[0],
                lambda row, size: row[1] - row[0],
                lambda row, size: size - row[1],
            ):
                if read(true, size) < 10:
                    assert len({read(row, size) for row in rows}) >= 5


def test_blocks_that_end_with_the_pool_would_give_counts_away() -> None:
    """The check above sees it: plain tens of a pool of 100 state that all of them are there."""
    counts, size = [100], 100
    plain = {row for row in range(size + 1) if row // 10 == counts[0] // 10}
    assert len(plain) == 1
    assert len(consistent(find_blocks(counts, size), size)) >= 10


@pytest.mark.parametrize("size", [20, 57, 1000])
def test_ranges_hold_what_was_counted(size: int) -> None:
    counts = np.arange(size + 1)
    least, most = find_ranges(find_blocks(counts, size), size)
    assert (least <= counts).all()
    assert (counts <= most).all()
    assert ((most - least) >= 9).all()


def test_one_patient_less_changes_blocks_alone(split: Split) -> None:
    """What is stated of two pools that differ by one patient: nothing is off by one."""
    fewer = replace(split, members=split.members.take(slice(1, None)))
    made = [json.loads(grade_model(Answers(), one, TERMS, False)) for one in (split, fewer)]
    for name in ("members", "nonmembers"):
        pairs = zip(*(one["membership"]["threshold"][name] for one in made), strict=True)
        assert all((a - b) % 10 == 0 for a, b in pairs)


def test_levels_and_cuts_rise() -> None:
    for steps in (LEVELS, CUTS):
        assert all(a < b for a, b in pairwise(steps))
        assert 0 < steps[0] < steps[-1] < 1


def test_the_statement_can_be_read_back(split: Split) -> None:
    text = grade_model(Answers(), split, TERMS, False, sent={"train": 7, "grade": 9}, real=False)
    counts = read_counts("a", text, TERMS)
    assert counts.counted
    assert not counts.real
    assert counts.sent == {"train": 7, "grade": 9}
    assert counts.sizes == {"members": (230, 230), "nonmembers": (230, 230)}
    assert set(counts.columns) == {"sex"}
