"""A coordinator that reads every update: the simulation's result, and what may go wrong."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coordinator_lab import Killed, MemoryWire, events, make_terms, make_wards, run, simulate

from pipelines.deploy.kept import check_kept
from pipelines.deploy.messages import Body
from pipelines.deploy.state import load, save
from pipelines.deploy.wire import Answers, Stopped
from privaudit.errors import PrivauditError


@pytest.mark.parametrize(
    "settings",
    [
        (),
        ("server=FedAdam()",),
        ("server=FedYogi()", "proximal=0.5"),
        ("aggregate=TrimmedMean(1)",),
        ("central=SiteNoise(clip=0.5)", "bound=None"),
    ],
    ids=str,
)
def test_it_trains_what_the_simulation_trains(tmp_path: Path, settings: tuple[str, ...]) -> None:
    terms = make_terms("federated", *settings)
    found = run(terms, tmp_path, MemoryWire(make_wards(terms)))
    same, near = simulate(terms), simulate(terms, one_by_one=False)
    assert np.array_equal(found.weights, same.weights)
    assert np.abs(found.weights - near.weights).max() < 1e-6
    assert all(np.array_equal(a, b) for a, b in zip(found.sent, same.sent, strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(found.seen, same.seen, strict=True))
    assert found.hospitals == ("a", "b", "c", "d")
    assert list(found.counts) == list(same.counts)
    assert found.costs["rounds"] == 4
    assert found.costs["bytes_up"] > same.costs["bytes_up"]
    assert set(found.grades) == set(found.hospitals)
    assert len(events(tmp_path, "round")) == 4
    assert len(events(tmp_path, "done")) == 1


def test_a_robust_aggregate_is_the_methods_own(tmp_path: Path) -> None:
    terms = make_terms("federated_robust")
    found = run(terms, tmp_path, MemoryWire(make_wards(terms)))
    assert np.array_equal(found.weights, simulate(terms).weights)


@pytest.mark.parametrize("after", [False, True])
def test_a_run_that_is_killed_at_any_question_goes_on_to_the_same_end(
    tmp_path: Path, after: bool
) -> None:
    terms = make_terms("federated", "rounds=2", "server=FedAdam()", "central=SiteNoise(clip=0.5)")
    whole = MemoryWire(make_wards(terms))
    expected = run(terms, tmp_path / "whole", whole)
    assert whole.questions == 1 + 2 + 1
    for at in range(whole.questions):
        wire = MemoryWire(make_wards(terms), kill_at=at)
        wire.kill_after = after
        with pytest.raises(Killed):
            run(terms, tmp_path / str(at), wire)
        found = run(terms, tmp_path / str(at), wire)
        assert np.array_equal(found.weights, expected.weights)
        assert all(np.array_equal(a, b) for a, b in zip(found.seen, expected.seen, strict=True))
        assert found.grades == expected.grades
        assert found.costs["rounds"] == 2
        asked = [ward.asked["train"] for ward in wire.wards.values()]
        assert max(asked) <= 3  # the broken round twice, and no other


def test_without_a_seed_the_first_weights_are_on_disk_before_they_are_sent(tmp_path: Path) -> None:
    terms = make_terms("federated", "rounds=2", seed=None)
    wire = MemoryWire(make_wards(terms), kill_at=1)
    wire.kill_after = True
    with pytest.raises(Killed):
        run(terms, tmp_path, wire)
    found = run(terms, tmp_path, wire)
    assert not events(tmp_path, "bad_answer")
    assert found.costs["rounds"] == 2


def test_two_coordinators_do_not_make_one_run(tmp_path: Path) -> None:
    terms = make_terms()
    wards = make_wards(terms)
    refused = []

    def fault(name: str, kind: str, body: Body) -> None:
        if (name, kind) == ("a", "train"):
            with pytest.raises(PrivauditError, match="under way"):
                run(terms, tmp_path, MemoryWire(wards))
            refused.append(body["round"])

    run(terms, tmp_path, MemoryWire(wards, fault))
    assert refused == [0, 1, 2, 3]


def test_a_run_that_is_over_asks_nobody_again(tmp_path: Path) -> None:
    terms = make_terms()
    wire = MemoryWire(make_wards(terms))
    expected = run(terms, tmp_path, wire)
    wire.away = set("abcd")
    asked = wire.questions
    again = run(terms, tmp_path, wire)
    assert wire.questions == asked
    assert np.array_equal(again.weights, expected.weights)
    assert again.grades == expected.grades


@pytest.mark.parametrize("shape", [[], [5], [5, 2, 2, 2, 2], [10**9, 2], [-3, 2], [5, -2], [0, 0]])
def test_a_shape_that_no_network_has_ends_the_run_in_words(
    tmp_path: Path, shape: list[int]
) -> None:
    terms = make_terms()
    wards = make_wards(terms)

    def fault(name: str, kind: str, body: Body) -> Body | None:
        return {**wards[name].answer(kind, body), "widths": shape} if kind == "hello" else None

    with pytest.raises(PrivauditError):
        run(terms, tmp_path, MemoryWire(wards, fault))


def test_numbers_that_are_absurd_do_no_harm(tmp_path: Path) -> None:
    terms = make_terms()
    wards = make_wards(terms)

    def fault(name: str, kind: str, body: Body) -> Body | None:
        if name != "d" or kind not in ("hello", "train"):
            return None
        found = wards[name].answer(kind, body)
        if kind == "train":
            return {**found, "loss": 10**400 if body["round"] % 2 else float("nan")}
        return {**found, "records": 10**400} if body == {} and not wards["d"].kept else None

    found = run(terms, tmp_path, MemoryWire(wards, fault))
    assert found.hospitals == tuple("abc")
    assert {one["loss"] for one in events(tmp_path, "round")} == {0.5}


def test_the_gate_refuses_nan_other_shapes_and_wild_counts(tmp_path: Path) -> None:
    terms = make_terms()
    wards = make_wards(terms)
    wards["d"].stated = 10**9

    def fault(name: str, kind: str, body: Body) -> Body | None:
        if kind != "train" or name not in "ab" or body["round"] not in (1, 2):
            return None
        found = wards[name].answer(kind, body)
        update = np.frombuffer(found["update"], "<f4").copy()
        if name == "a":
            update[3] = np.nan
            return {**found, "update": update.tobytes()}
        return {**found, "update": update[:-1].tobytes()} if body["round"] == 2 else None

    found = run(terms, tmp_path, MemoryWire(wards, fault))
    why = [(one["hospital"], one["round"], one["why"]) for one in events(tmp_path, "refused")]
    assert why[0] == ("a", 1, "values that are not finite")
    assert [part[:2] for part in why] == [("a", 1), ("a", 2), ("b", 2)]
    # With two left of four, under the quorum of three, the model stays as it was.
    assert found.costs["idle_rounds"] == 1
    assert np.isfinite(found.weights).all()
    # 10^9 records are counted as the usual hospital's.
    assert found.seen[-1][3].any()
    one, two = (make_wards(terms)["d"].stated, wards["d"].stated)
    assert one < 100 < two
    last = found.weights - found.sent[-1]
    shares = [np.dot(last, part) / np.dot(part, part) for part in found.seen[-1]]
    assert max(shares) < 0.9


def test_a_vector_cut_in_a_number_and_an_update_of_another_round_do_not_count(
    tmp_path: Path,
) -> None:
    terms = make_terms()
    wards = make_wards(terms)

    def fault(name: str, kind: str, body: Body) -> Body | None:
        if kind != "train" or name not in "ab" or body["round"] != 1 or name == "a":
            return None
        found = wards[name].answer(kind, body)
        return {**found, "update": found["update"][:-1]}

    run(terms, tmp_path, MemoryWire(wards, fault))
    (bad,) = events(tmp_path, "bad_answer")
    assert (bad["hospital"], bad["round"], bad["why"]) == ("b", 1, "size")
    replay = MemoryWire(
        make_wards(terms),
        lambda name, kind, body: (
            {"round": 0, "update": b"\0" * 4}
            if (name, kind) == ("a", "train") and body["round"]
            else None
        ),
    )
    run(terms, tmp_path / "replay", replay)
    assert {one["why"] for one in events(tmp_path / "replay", "bad_answer")} == {"other_round"}


def test_who_vanishes_is_left_out_and_taken_back(tmp_path: Path) -> None:
    terms = make_terms("federated", "rounds=6")
    wards = make_wards(terms)

    def fault(name: str, kind: str, body: Body) -> str | None:
        return "no_answer" if (name, kind, body.get("round")) == ("b", "train", 1) else None

    found = run(terms, tmp_path, MemoryWire(wards, fault))
    made = [one["hospitals"] for one in events(tmp_path, "round")]
    assert made == [list("abcd"), list("acd"), *[list("abcd")] * 4]
    assert [one["hospital"] for one in events(tmp_path, "no_answer")] == ["b"]
    assert [one["hospital"] for one in events(tmp_path, "back")] == ["b"]
    assert found.costs["late_updates"] == 1


@pytest.mark.parametrize("careful", ["ab", "a"])
def test_a_run_ends_where_too_many_hold_back_what_they_would_send(
    tmp_path: Path, careful: str
) -> None:
    terms = make_terms("federated", "rounds=6")
    wards = make_wards(terms)

    def fault(name: str, kind: str, body: Body) -> str | None:
        return "unsafe" if name in careful and (kind, body.get("round")) == ("train", 1) else None

    if len(careful) == 1:
        run(terms, tmp_path, MemoryWire(wards, fault))
        assert len(events(tmp_path, "round")) == 6
        return
    with pytest.raises(PrivauditError, match="2 hospitals held back"):
        run(terms, tmp_path, MemoryWire(wards, fault))
    assert [one["round"] for one in events(tmp_path, "round")] == [0]
    assert len(events(tmp_path, "idle")) == 4
    assert [one["why"] for one in events(tmp_path, "stopped")] == ["unsafe"]


def test_who_withdraws_is_not_asked_for_more(tmp_path: Path) -> None:
    terms = make_terms("federated", "rounds=6")
    wards = make_wards(terms)

    def fault(name: str, kind: str, body: Body) -> None:
        if (name, kind, body.get("round")) == ("c", "train", 2):
            wards["c"].state = "withdrawn"

    found = run(terms, tmp_path, MemoryWire(wards, fault))
    made = [one["hospitals"] for one in events(tmp_path, "round")]
    assert made == [list("abcd")] * 2 + [list("abd")] * 4
    assert [one["hospital"] for one in events(tmp_path, "withdrawn")] == ["c"]
    assert set(found.grades) == set("abd")
    assert found.hospitals == tuple("abcd")


def test_it_waits_for_a_quorum_and_says_who_does_not_fit(tmp_path: Path) -> None:
    terms = make_terms()
    wards = make_wards(terms)
    hellos = 0

    def fault(name: str, kind: str, body: Body) -> Body | None:
        nonlocal hellos
        if kind != "hello":
            return None
        hellos += 1
        if name == "a":
            return {"state": "pending"} if hellos < 12 else None
        found = wards[name].answer(kind, body)
        return {**found, "schema": "other columns"} if name == "d" else None

    run(terms, tmp_path, MemoryWire(wards, fault))
    states = [(one["hospital"], one["state"]) for one in events(tmp_path, "hello")]
    assert states.count(("a", "pending")) == 1
    assert states[-1] == ("a", "ready")
    alarms = [(one["hospital"], one["what"]) for one in events(tmp_path, "alarm")]
    assert alarms == [("d", "other_schema")]


@pytest.mark.parametrize(("field", "what"), [("build", "other_build"), ("terms", "other_terms")])
def test_another_build_and_other_terms_are_alarms(tmp_path: Path, field: str, what: str) -> None:
    terms = make_terms()
    wards = make_wards(terms)

    def fault(name: str, kind: str, body: Body) -> Body | None:
        if (name, kind) != ("b", "hello"):
            return None
        return {**wards[name].answer(kind, body), field: "0" * 64}

    found = run(terms, tmp_path, MemoryWire(wards, fault))
    assert found.hospitals == tuple("acd")
    (alarm,) = events(tmp_path, "alarm")
    assert (alarm["hospital"], alarm["what"]) == ("b", what)


def test_too_few_hospitals_end_the_wait_with_the_state_kept(tmp_path: Path) -> None:
    terms = make_terms()
    wire = MemoryWire(make_wards(terms))
    wire.away = {"a", "b"}
    with pytest.raises(PrivauditError, match="2 hospitals that are ready"):
        run(terms, tmp_path, wire, patience=0.05)
    assert events(tmp_path, "stopped")[-1]["why"] == "too_few"
    wire.away = set()
    assert np.array_equal(run(terms, tmp_path, wire).weights, simulate(terms).weights)


def test_the_file_stop_ends_it_and_removing_it_goes_on(tmp_path: Path) -> None:
    terms = make_terms()

    def fault(name: str, kind: str, body: Body) -> None:
        if (kind, body.get("round")) == ("train", 2):
            (tmp_path / "stop").touch()

    with pytest.raises(Stopped):
        run(terms, tmp_path, MemoryWire(make_wards(terms), fault))
    assert len(events(tmp_path, "round")) == 3
    wards = make_wards(terms)
    (tmp_path / "stop").unlink()
    # New hospitals know nothing of the rounds before: the same streams must be gone through.
    wire = MemoryWire(wards)
    for ward in wards.values():
        for round in range(3):
            ward.answer(
                "train", {"round": round, "weights": _sent(terms, round), "protected": False}
            )
    assert np.array_equal(run(terms, tmp_path, wire).weights, simulate(terms).weights)


def _sent(terms: object, round: int) -> bytes:
    full = make_terms("federated", "recorded=9")
    return simulate(full).sent[round].astype("<f4").tobytes()


def test_a_state_of_other_terms_is_not_gone_on_from(tmp_path: Path) -> None:
    run(make_terms(), tmp_path, MemoryWire(make_wards(make_terms())))
    other = make_terms("federated", "rate=0.2")
    with pytest.raises(PrivauditError, match="other terms"):
        run(other, tmp_path, MemoryWire(make_wards(other)))
    (tmp_path / "state.npz").write_bytes(b"PK nonsense")
    with pytest.raises(PrivauditError, match="cannot be read"):
        run(make_terms(), tmp_path, MemoryWire(make_wards(make_terms())))


def test_updates_that_would_diverge_end_the_run(tmp_path: Path) -> None:
    terms = make_terms("federated", "bound=None")
    wards = make_wards(terms)

    def fault(name: str, kind: str, body: Body) -> Body | None:
        if kind != "train":
            return None
        found = wards[name].answer(kind, body)
        huge = np.full(len(found["update"]) // 4, 3e38, "<f4")
        return {**found, "update": huge.tobytes()}

    with pytest.raises(PrivauditError, match="diverged"):
        run(terms, tmp_path, MemoryWire(wards, fault))
    assert events(tmp_path, "stopped")[-1]["why"] == "diverged"


@pytest.mark.parametrize("loss", [1e308, -1e308, 10**400, float("inf"), float("nan")])
def test_a_loss_that_is_none_stays_out_of_the_journal(tmp_path: Path, loss: float) -> None:
    terms = make_terms()
    wards = make_wards(terms)

    def fault(name: str, kind: str, body: Body) -> Body | None:
        return {**wards[name].answer(kind, body), "loss": loss} if kind == "train" else None

    run(terms, tmp_path, MemoryWire(wards, fault))
    text = (tmp_path / "journal.jsonl").read_text()
    assert "Infinity" not in text
    assert "NaN" not in text
    assert len(events(tmp_path, "round")) == 4


def test_a_text_that_cannot_be_stored_ends_no_run(tmp_path: Path) -> None:
    terms = make_terms()

    def fault(name: str, kind: str, body: Body) -> Body | None:
        return {"counts": "\ud800"} if kind == "grade" and name == "a" else None

    found = run(terms, tmp_path, Unlooked(make_wards(terms), fault))
    assert set(found.grades) == {"b", "c", "d"}
    assert events(tmp_path, "bad_answer")[0]["hospital"] == "a"


class Unlooked(MemoryWire):
    """Hands on what came without having looked at it."""

    def ask(self, kind: str, questions: Mapping[str, Body], timeout: float) -> Answers:
        found = super().ask(
            kind, {n: q for n, q in questions.items() if not self._lies(n, kind)}, 1
        )
        lies = {n: self.fault(n, kind, q) for n, q in questions.items() if self._lies(n, kind)}
        return Answers({**found.came, **lies}, found.missing)  # type: ignore[dict-item]

    def _lies(self, name: str, kind: str) -> bool:
        return self.fault is not None and self.fault(name, kind, {}) is not None


@pytest.mark.parametrize("method", ["federated", "federated_trees"])
def test_a_state_that_was_edited_is_refused_whole(tmp_path: Path, method: str) -> None:
    terms = make_terms(method)
    with pytest.raises(Killed):
        run(terms, tmp_path, MemoryWire(make_wards(terms), kill_at=3))
    path = tmp_path / "state.npz"
    kept = load(path)
    assert kept is not None
    meta, arrays = kept
    changed: list[tuple[dict[str, Any], dict[str, np.ndarray]]] = [({}, arrays)]
    changed += [({n: v for n, v in meta.items() if n != name}, arrays) for name in meta]
    changed += [({**meta, name: "x"}, arrays) for name in meta if name != "schema"]
    changed += [(meta, {n: v for n, v in arrays.items() if n != name}) for name in arrays]
    changed += [(meta, {**arrays, name: arrays[name].ravel()[:-1]}) for name in arrays]
    changed += [({**meta, "round": number}, arrays) for number in (-5, 99)]
    changed += [({**meta, "took": ["zz"]}, arrays), ({**meta, "records": {"a": -5}}, arrays)]
    if method == "federated":
        changed += [(meta, {**arrays, "weights": arrays["weights"] * np.nan})]
    for other, more in changed[1:]:
        if "terms" in other and other["terms"] != "x":
            with pytest.raises(PrivauditError):
                check_kept(other, more, terms, 4)
    run_again = [changed[0], ({**meta, "terms": "x"}, arrays), ({**meta, "round": 99}, arrays)]
    if method == "federated":
        run_again += [({**meta, "shape": [7, 2]}, arrays), ({**meta, "noise": {}}, arrays)]
    wire = MemoryWire(make_wards(terms))
    for other, more in run_again:
        save(path, other, more)
        with pytest.raises(PrivauditError):
            run(terms, tmp_path, wire, patience=0.01)
    assert set(wire.wards["a"].asked) <= {"hello"}
    save(path, meta, arrays)
    assert run(terms, tmp_path, MemoryWire(make_wards(terms))).rounds == 4


def test_who_withdraws_while_others_are_waited_for_is_seen_to_have(tmp_path: Path) -> None:
    terms = make_terms()
    first, *rest = terms.roster
    said = {name: {"state": "withdrawn"} for name in rest}

    def fault(name: str, kind: str, body: Body) -> Body | None:
        # One never consents, the others do, and withdraw before there are enough.
        if name == first:
            return {"state": "pending"}
        return said[name] if wire.questions > 3 else None

    wire = MemoryWire(make_wards(terms), fault)
    with pytest.raises(PrivauditError, match="0 hospitals that are ready"):
        run(terms, tmp_path, wire, patience=0.2)
    assert {one["hospital"] for one in events(tmp_path, "withdrawn")} == set(rest)
    assert not events(tmp_path, "back")
