"""A hospital trains as the simulation does, answers a question once, and goes on where it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from deploy.hospital_lab import Lab, again, start_weights, train

from pipelines.deploy.consent import withdraw
from pipelines.deploy.hospital import Hospital
from pipelines.deploy.journal import Journal
from pipelines.deploy.refused import Refused
from pipelines.deploy.self_check import find_units_that_tell
from pipelines.federated.kernel import Job, federate, streams


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return Lab(tmp_path_factory.mktemp("lab"))


def code(asked: object) -> str:
    return str(asked.value.code)  # type: ignore[attr-defined]


def test_three_hospitals_train_what_the_simulation_trains(lab: Lab) -> None:
    terms = lab.terms(run="same", seed=7)
    hospitals = lab.all(terms)
    one = hospitals["a"]
    own = streams(np.random.default_rng(7))
    start = one.network.start(own["start"])
    tables = [h.data for h in hospitals.values()]
    ends = np.cumsum([len(t.trained) for t in tables])
    rows = tuple(np.arange(e - len(t.trained), e) for e, t in zip(ends, tables, strict=True))
    method = one.data.method
    job = Job(
        np.concatenate([method.encode(t.trained) for t in tables]),
        np.concatenate([t.trained.y for t in tables]),
        rows,
        start,
        own,
    )
    (run,) = federate(one.training.plan, one.network, [job])
    weights = start.astype(np.float64)
    for round in range(3):
        updates = []
        for name, hospital in hospitals.items():
            raw = train(hospital, round, weights)["update"]
            updates.append(np.frombuffer(raw, "<f4").astype(np.float64))
            # A worker that is killed after every answer makes no difference.
            hospitals[name] = again(hospital)
        counts = np.array([len(t.trained) for t in tables])
        usual = np.median([np.linalg.norm(u) for u in updates])
        assert max(map(np.linalg.norm, updates)) < 5 * usual
        weights = weights + counts / counts.sum() @ np.array(updates)
    np.testing.assert_allclose(weights, run.weights, atol=2e-7)
    assert np.abs(run.weights - start).max() > 1e-3


def test_the_same_question_has_the_same_answer_and_no_other_one(lab: Lab) -> None:
    hospital = lab.hospital("a", lab.terms(run="replay"))
    weights = start_weights(hospital)
    first = train(hospital, 0, weights)
    assert train(hospital, 0, weights) == first
    assert train(again(hospital), 0, weights) == first
    other = weights.copy()
    other[3] += 0.1
    for one in (hospital, again(hospital)):
        with pytest.raises(Refused) as refused:
            train(one, 0, other)
        assert code(refused) == "replay"
    train(hospital, 1, other)
    with pytest.raises(Refused) as refused:
        train(hospital, 0, weights)
    assert code(refused) == "replay"


def test_no_round_more_than_was_agreed_to(lab: Lab) -> None:
    hospital = lab.hospital("a", lab.terms(run="spent"))
    weights = start_weights(hospital)
    for round in (3, -1, 10**9):
        with pytest.raises(Refused) as refused:
            train(hospital, round, weights)
        assert code(refused) == "spent"


def test_two_hospitals_without_a_seed_draw_differently(lab: Lab) -> None:
    a, b = (lab.hospital("a", lab.terms(run=run)) for run in ("one", "two"))
    weights = start_weights(a)
    assert train(a, 0, weights)["update"] != train(b, 0, weights)["update"]


@pytest.mark.parametrize("bad", ["nan", "inf", "size", "huge"])
def test_weights_that_came_are_looked_at(lab: Lab, bad: str) -> None:
    hospital = lab.hospital("a", lab.terms(run=f"bad-{bad}"))
    weights = start_weights(hospital).astype(np.float64)
    if bad == "size":
        weights = weights[:-1]
    else:
        weights[5] = {"nan": np.nan, "inf": np.inf, "huge": 1e30}[bad]
    with pytest.raises(Refused) as refused:
        train(hospital, 0, weights)
    assert code(refused) == "bad_weights"
    # A round that was refused is not spent.
    assert hospital.state.trained == 0
    train(hospital, 0, start_weights(hospital))


def set_trap(hospital: Hospital, units: int) -> np.ndarray:
    """Weights whose first units are active for one record each: the outermost along itself."""
    weights = start_weights(hospital)
    parts = hospital.network.unpack(weights.copy())
    x = hospital.training.x
    centre = x.mean(axis=0)
    for unit, one in enumerate(np.argsort(-((x - centre) ** 2).sum(axis=1))[:units]):
        along = (x - centre) @ (x[one] - centre)
        between = float(np.sort(along)[-2:].mean())
        # Small, so that float32 does not lose what is added.
        parts[0][unit] = (x[one] - centre) / 100
        parts[1][unit] = -(between + float(centre @ (x[one] - centre))) / 100
    return np.concatenate([part.ravel() for part in parts]).astype(np.float32)


TRAPPED = ("steps=1", "rows=500", "hidden=16")


def test_a_unit_that_hands_over_a_row_is_left_out(lab: Lab) -> None:
    settings = [f"federated.{part}" for part in TRAPPED]
    hospital = lab.hospital("a", lab.terms("federated", *settings, run="trap"))
    x, network = hospital.training.x, hospital.network
    raw = train(hospital, 0, set_trap(hospital, 1))["update"]
    sent = np.frombuffer(raw, "<f4")
    assert not len(find_units_that_tell(network, sent, x))
    width = network.widths[0]
    assert not sent[:width].any()
    assert sent[width:].any()
    # Under a seed the run is the simulation's, and shows that there was something to leave out.
    seeded = lab.hospital("a", lab.terms("federated", *settings, run="trap-seeded", seed=3))
    raw = train(seeded, 0, set_trap(seeded, 1))["update"]
    assert list(find_units_that_tell(network, np.frombuffer(raw, "<f4"), x)) == [0]


@pytest.mark.parametrize("method", ["federated", "federated_secure"])
def test_weights_that_catch_many_records_get_no_update(lab: Lab, method: str) -> None:
    settings = [f"{method}.{part}" for part in TRAPPED]
    for seed in (None, 3):
        run = f"traps-{method.replace('_', '-')}-{seed or 0}"
        hospital = lab.hospital("a", lab.terms(method, *settings, run=run, seed=seed))
        trap, protected = set_trap(hospital, 8), method != "federated"
        with pytest.raises(Refused) as refused:
            train(hospital, 0, trap, protected)
        assert code(refused) == "unsafe"
        assert hospital.state.trained == 0
        train(hospital, 0, start_weights(hospital), protected)


def test_an_update_that_is_held_back_is_tried_three_times(lab: Lab) -> None:
    settings = [f"federated.{part}" for part in TRAPPED]
    hospital = lab.hospital("a", lab.terms("federated", *settings, run="tries"))
    trap = set_trap(hospital, 8)
    for _ in range(3):
        with pytest.raises(Refused, match=r"hand over a row|into bins"):
            train(hospital, 0, trap)
    again = lab.hospital("a", lab.terms("federated", *settings, run="tries"))
    for weights in (trap, start_weights(again)):
        with pytest.raises(Refused, match="once more") as refused:
            train(again, 0, weights)
        assert code(refused) == "unsafe"
    train(again, 1, start_weights(again))
    assert again.state.trained == 1


def set_bins(hospital: Hospital, units: int) -> np.ndarray:
    """Weights whose first units sort records into bins along one direction, so that neighbours
    differ in about one record (Fowl et al. 2022); the rest as it is."""
    x, network = hospital.training.x, hospital.network
    along = np.random.default_rng(1).normal(size=x.shape[1]) / 100
    along[np.ptp(x, axis=0) <= 1e-6] = 0
    parts = [part.copy() for part in network.unpack(start_weights(hospital).copy())]
    at = np.sort(x @ along)
    parts[0][:units] = along
    parts[1][:units] = -(at[: units + 1][:-1] + at[1 : units + 1]) / 2
    parts[2][:, :units] = np.array([[0.3], [-0.3]])
    return np.concatenate([part.ravel() for part in parts]).astype(np.float32)


@pytest.mark.parametrize("units", [3, 32])
def test_rows_that_two_units_give_between_them_are_not_sent(lab: Lab, units: int) -> None:
    settings = ("federated.steps=1", "federated.rows=500", "federated.hidden=32")
    hospital = lab.hospital("a", lab.terms("federated", *settings, run=f"bins-{units}"))
    trap, (width, high) = set_bins(hospital, units), hospital.network.widths[:2]
    if units == 32:
        with pytest.raises(Refused) as refused:
            train(hospital, 0, trap)
        assert code(refused) == "unsafe"
        return
    sent = np.frombuffer(train(hospital, 0, trap)["update"], "<f4").astype(np.float64)
    seeded = lab.hospital("a", lab.terms("federated", *settings, run="bins-seeded", seed=3))
    plain = np.frombuffer(train(seeded, 0, trap)["update"], "<f4").astype(np.float64)

    def count_rows(update: np.ndarray) -> int:
        x = hospital.training.x
        telling = np.ptp(x, axis=0) > 1e-6
        weight, bias = np.split(update[: high * (width + 1)], [high * width])
        weight = weight.reshape(high, width)
        found = 0
        for i in range(units - 1):
            with np.errstate(all="ignore"):
                read = (weight[i] - weight[i + 1]) / (bias[i] - bias[i + 1])
            found += bool((np.abs(x - read)[:, telling] <= 0.01).all(axis=1).any())
        return found

    assert count_rows(plain) == units - 1
    assert count_rows(sent) == 0


def test_an_update_is_not_sent_in_the_open_where_a_sum_was_agreed_to(lab: Lab) -> None:
    hospital = lab.hospital("a", lab.terms("federated_secure", run="open"))
    with pytest.raises(Refused) as refused:
        train(hospital, 0, start_weights(hospital), protected=False)
    assert code(refused) == "unsafe"
    assert train(hospital, 0, start_weights(hospital), protected=True) == {"round": 0}


def test_a_withdrawal_takes_effect_while_an_answer_is_made(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    hospital = lab.hospital("a", lab.terms(run="leave"))
    weights = start_weights(hospital)
    train(hospital, 0, weights)
    made = hospital._train

    def train_and_withdraw(body: dict[str, object]) -> dict[str, object]:
        answer = made(body)
        withdraw(hospital.home, "leave")
        return answer

    monkeypatch.setattr(hospital, "_train", train_and_withdraw)
    with pytest.raises(Refused) as refused:
        train(hospital, 1, weights)
    assert code(refused) == "not_consented"
    assert hospital.answer("hello", {}) == {"state": "withdrawn"}
    with pytest.raises(Refused):
        train(again(hospital), 0, weights)


def test_a_damaged_state_is_not_begun_anew(lab: Lab) -> None:
    hospital = lab.hospital("a", lab.terms(run="damaged"))
    train(hospital, 0, start_weights(hospital))
    path = hospital.home.run("damaged") / "restricted" / "state.npz"
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) // 2])
    with pytest.raises(Refused) as refused:
        train(again(hospital), 1, start_weights(hospital))
    assert code(refused) == "bad_state"
    assert again(hospital).answer("hello", {}) == {"state": "refused"}


def test_a_state_that_is_gone_is_not_begun_anew(lab: Lab, tmp_path: Path) -> None:
    own = Lab(tmp_path)
    hospital = own.hospital("a", own.terms(run="gone"))
    assert hospital.answer("hello", {})["state"] == "ready"
    Journal(hospital.home.outbox).write("sent", run="gone", kind="hello", bytes=9)
    train(hospital, 0, start_weights(hospital))
    Journal(hospital.home.outbox).write("sent", run="gone", kind="train", round=0, bytes=9)
    (hospital.home.run("gone") / "restricted" / "state.npz").unlink()
    with pytest.raises(Refused) as refused:
        train(again(hospital), 0, start_weights(hospital))
    assert code(refused) == "bad_state"
    assert again(hospital).answer("hello", {}) == {"state": "refused"}
    # What was refused has not left.
    other = own.hospital("a", own.terms(run="other"))
    Journal(hospital.home.outbox).write("sent", run="other", kind="train", why="bad_question")
    assert other.answer("hello", {})["state"] == "ready"


def test_a_run_whose_records_changed_ends(lab: Lab, tmp_path: Path) -> None:
    own = Lab(tmp_path)
    hospital = own.hospital("a", own.terms())
    train(hospital, 0, start_weights(hospital))
    table = tmp_path / "a.csv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join(lines[:-9]) + "\n")
    with pytest.raises(Refused) as refused:
        train(again(hospital), 1, start_weights(hospital))
    assert code(refused) == "bad_state"


def test_other_terms_under_the_name_of_an_answered_run_are_refused(lab: Lab) -> None:
    hospital = lab.hospital("a", lab.terms(run="twice"))
    train(hospital, 0, start_weights(hospital))
    other = lab.hospital("a", lab.terms(run="twice", timeout=99.0))
    assert other.answer("hello", {}) == {"state": "refused"}
    assert other.why is not None


def test_the_split_is_the_hospitals_own_and_stays(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    one = lab.hospital("a", lab.terms(run="split"))
    found = one.data.split.members.fingerprint
    assert again(one).data.split.members.fingerprint == found
    key = one.home.root / "restricted" / "split.key"
    assert key.stat().st_mode & 0o077 == 0
    key.write_bytes(bytes(32))
    assert again(one).data.split.members.fingerprint != found
    key.write_bytes(b"short")
    with pytest.raises(Refused):
        _ = again(one).data


def test_nothing_of_a_run_is_readable_by_others(lab: Lab) -> None:
    hospital = lab.hospital("a", lab.terms(run="private"))
    train(hospital, 0, start_weights(hospital))
    inside = [
        p for p in hospital.home.root.rglob("*") if p.name not in (".gitignore", "hospital.toml")
    ]
    assert len(inside) > 4
    for path in inside:
        if path.is_file():
            assert path.stat().st_mode & 0o077 == 0, path.name
