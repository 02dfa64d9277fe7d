"""What happens to a run when something breaks, at whichever party: it goes on, or it stops cleanly,
and the journal says what happened. Real processes, each party on a machine of its own."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from net_federation import Federation, named, read_lines, wait
from net_lab import build_clock
from net_places import SERVER
from net_slow import SlowLink
from net_table import Table, Watch

pytestmark = pytest.mark.network
ROUNDS = 200
DISK = 1300 * 2**20
LIAR = Path(__file__).with_name("liar")


@pytest.fixture(autouse=True)
def _everybody_is_there(federation: Federation) -> Iterator[None]:
    """Every fault begins with a server and four hospitals, and ends with its runs stopped."""
    restart_missing(federation)
    yield
    federation.end_runs()


def restart_missing(federation: Federation) -> None:
    if not federation.is_up(SERVER):
        federation.serve()
    missing = [name for name in federation.hospitals if not federation.is_up(name)]
    for name in missing:
        federation.rejoin(name)
    for name in federation.hospitals:
        federation.wait_connected(name)


def train(
    federation: Federation,
    run: str,
    *more: str,
    method: str = "federated",
    rounds: int = ROUNDS,
    begun: int = 2,
) -> None:
    """Begin a run of all hospitals and wait until some rounds are made."""
    federation.begin(run, method, f"{method}.rounds={rounds}", f"{method}.hidden=0", more=more)
    federation.consent(run)
    wait_for_round(federation, run, begun)


def rounds(federation: Federation, run: str) -> list[dict[str, Any]]:
    return named(federation.events(run), "round")


def wait_for_round(federation: Federation, run: str, number: int, seconds: float = 300) -> None:
    def reached() -> bool:
        federation.check_running(run)
        return any(line["round"] >= number for line in rounds(federation, run))

    wait(f"round {number} of {run}", seconds, reached)


def wait_for(
    federation: Federation, run: str, event: str, seconds: float = 240, **fields: Any
) -> Any:
    return wait(
        f"{event} {fields} in {run}",
        seconds,
        lambda: named(federation.events(run), event, **fields),
    )[-1]


def finish(federation: Federation, run: str, number: int = ROUNDS, seconds: float = 400) -> None:
    """The run is done: every round was made once, and the weights are finite."""
    wait_for(federation, run, "done", seconds)
    made = [line["round"] for line in rounds(federation, run)]
    idle = [line["round"] for line in named(federation.events(run), "idle")]
    assert sorted(set(made) | set(idle)) == list(range(number))
    assert len(made) == len(set(made)), made
    assert np.isfinite(federation.weights(run)).all()


def back(federation: Federation, run: str, name: str, since: float) -> Any:
    """The first round with this hospital after this moment."""
    return wait(
        f"{name} is back in {run}",
        300,
        lambda: [
            line
            for line in rounds(federation, run)
            if line["t"] > since and name in line["hospitals"]
        ],
    )[0]


def test_a_worker_that_is_killed_comes_back(federation: Federation, table: Table) -> None:
    train(federation, "worker-killed", "--timeout", "20")
    (worker, *_) = federation.processes("c", "worker")
    watch, now = Watch(), federation.now()
    worker.send_signal(signal.SIGKILL)
    wait("it is gone", 10, lambda: not worker.is_running())
    back(federation, "worker-killed", "c", now + 0.5)
    seconds = watch.seconds
    finish(federation, "worker-killed")
    table.add("a hospital's worker is killed", "started again; no round lost", seconds)


def test_a_hospital_that_is_killed_is_done_without_and_rejoins(
    federation: Federation, table: Table
) -> None:
    train(federation, "site-killed", "--timeout", "10", rounds=400)
    watch, now = Watch(), federation.now()
    federation.kill("c")
    without = wait(
        "a round without c",
        200,
        lambda: [
            line
            for line in rounds(federation, "site-killed")
            if line["t"] > now and "c" not in line["hospitals"]
        ],
    )
    assert set(without[0]["hospitals"]) == {"a", "b", "d"}
    table.add("a hospital is killed whole", "rounds go on with the others", watch.seconds)
    watch, now = Watch(), federation.now()
    federation.rejoin("c")
    back(federation, "site-killed", "c", now)
    table.add("it is started again", "takes part again in the same run", watch.seconds)
    finish(federation, "site-killed", 400)


def test_a_server_that_is_killed_resumes(federation: Federation, table: Table) -> None:
    train(federation, "server-killed", "--timeout", "20")
    before = max(line["round"] for line in rounds(federation, "server-killed"))
    watch = Watch()
    federation.kill(SERVER)
    federation.serve()
    wait_for_round(federation, "server-killed", before + 2, 180)
    table.add(
        "the server is killed and started again", "goes on from the last round", watch.seconds
    )
    finish(federation, "server-killed")
    assert named(federation.events("server-killed"), "resumed")


def without(federation: Federation, run: str, name: str, since: float) -> Any:
    """The first round without this hospital after this moment."""
    return wait(
        f"a round without {name}",
        200,
        lambda: [
            line
            for line in rounds(federation, run)
            if line["t"] > since and name not in line["hospitals"]
        ],
    )[0]


def test_a_hang_a_full_disk_and_a_withdrawal_in_one_run(
    federation: Federation, table: Table
) -> None:
    """One hospital after the other: there are four, and three are enough."""
    run, number = "three-faults", 3000
    train(federation, run, "--timeout", "8", rounds=number)
    # A worker that hangs is not waited for after the time limit; killed, it is started again.
    (worker, *_) = federation.processes("d", "worker")
    watch, now = Watch(), federation.now()
    worker.send_signal(signal.SIGSTOP)
    wait_for(federation, run, "no_answer", hospital="d")
    without(federation, run, "d", now)
    table.add("a worker hangs (SIGSTOP)", "not waited for after `--timeout 8`", watch.seconds)
    worker.send_signal(signal.SIGKILL)
    back(federation, run, "d", federation.now())
    # A full disk: what cannot be written down does not leave.
    watch, now = Watch(), federation.now()
    assert federation.disk is not None
    federation.disk.fill()
    try:
        without(federation, run, "b", now)
    finally:
        federation.disk.resize(DISK)
    table.add("a hospital's disk is full", "it sends nothing; rounds go on", watch.seconds)
    assert federation.outbox("b"), "the outbox is still read"
    back(federation, run, "b", federation.now())
    # A consent that is withdrawn.
    watch = Watch()
    federation.call("c", "stop", federation.home("c").root, "--withdraw", run)
    now = federation.now()
    wait_for(federation, run, "withdrawn", hospital="c")
    without(federation, run, "c", now)
    table.add("a consent is withdrawn in mid-run", "nothing more leaves", watch.seconds)
    wait_for_round(federation, run, rounds(federation, run)[-1]["round"] + 20)
    # What was being written when it was withdrawn may have left within the second.
    late = [
        line
        for line in federation.outbox("c")
        if line["run"] == run and line["t"] > now + 1 and not line.get("why")
    ]
    assert [line for line in late if line["kind"] != "hello"] == []
    made = [line["round"] for line in rounds(federation, run)]
    assert made == sorted(set(made)), "a round was made twice"


@pytest.fixture
def liar(federation: Federation) -> Iterator[Any]:
    """Hospital d with code of its own that lies."""

    def lie(how: str) -> None:
        federation.kill("d")
        federation.extra["d"] = {"PRIVAUDIT_TEST_LIE": how, "PYTHONPATH": str(LIAR)}
        federation.rejoin("d")
        federation.wait_connected("d")

    yield lie
    federation.extra.pop("d", None)
    federation.kill("d")


def test_what_a_lying_hospital_sends_is_refused(
    federation: Federation, table: Table, liar: Any
) -> None:
    """One hospital with a thousand million patients that lies in another way every few rounds."""
    liar("claim:0,nan:3,shape:6,large:9,replay:12")
    watch = Watch()
    train(federation, "lies", "--timeout", "20", rounds=20)
    wait_for_round(federation, "lies", 11)
    events = federation.events("lies")
    said = named(events, "hello", hospital="d", state="ready")
    assert said[-1]["patients"] == 10**9
    told = {
        line["round"]: (line["event"], line.get("why"))
        for line in events
        if line["event"] in ("refused", "clipped", "bad_answer") and line["hospital"] == "d"
    }
    assert told[3][0] == "refused", told
    assert told[6][0] == "refused", told
    assert told[9][0] == "clipped", told
    bad = wait_for(federation, "lies", "bad_answer", hospital="d")
    assert bad["round"] >= 12
    finish(federation, "lies", 20)
    table.add("a hospital claims 1e9 patients", "counts as ten times the usual", watch.seconds)
    table.add("an update with a NaN", f"refused: {told[3][1]}", watch.seconds)
    table.add("an update of another shape", f"refused: {told[6][1]}", watch.seconds)
    table.add("an update a million times as long", "shortened by the gate", watch.seconds)
    table.add("the answer of an earlier round", "no answer to this one", watch.seconds)


def test_a_secure_sum_is_recovered_or_not_made(federation: Federation, table: Table) -> None:
    train(federation, "secure-killed", "--timeout", "12", method="federated_secure", rounds=40)
    (worker, *_) = federation.processes("b", "worker")
    watch, now = Watch(), federation.now()
    worker.send_signal(signal.SIGKILL)
    wait("it is gone", 10, lambda: not worker.is_running())
    back(federation, "secure-killed", "b", now + 0.5)
    table.add("a worker is killed in a secure sum", "sum recovered or made again", watch.seconds)
    finish(federation, "secure-killed", 40)


def test_a_copied_kit_raises_an_alarm(federation: Federation, table: Table) -> None:
    copy = federation.folder / "copied"
    shutil.copytree(federation.home("c").root, copy)
    for pid in copy.glob("*.pid"):
        pid.unlink()
    watch = Watch()
    federation.start("outsider", "join", copy, called="copied")
    try:
        wait("an alarm", 120, lambda: federation.alarms("second_login", "c"))
        table.add("a kit is copied and used elsewhere", "alarm at the coordinator", watch.seconds)
    finally:
        federation.kill("copied")
        federation.kill("c")


def test_a_signed_file_of_another_hospital_is_refused(federation: Federation, table: Table) -> None:
    folder = federation.folder / "other"
    server = f"{federation.host}:{federation.port}"
    federation.call("outsider", "join", folder, "--name", "a", "--coordinator", server)
    watch = Watch()
    said = federation.call(
        "outsider", "join", folder, "--signed", federation.signed("b"), "--fingerprint",
        federation.fingerprint, "--task", "mortality", "--data", federation.data["a"], code=2,
    )  # fmt: skip
    assert "b" in said
    table.add("the signed file of another hospital", "refused, exit code 2", watch.seconds)


def test_a_foreign_federation_is_refused(
    federation: Federation, table: Table, tmp_path: Path
) -> None:
    foreign = Federation(tmp_path, federation.hospitals[:3], federation.places)
    foreign.provision()
    more = ("--task", "mortality", "--data", federation.data["a"])
    watch = Watch()
    foreign.call(
        "outsider", "join", foreign.home("a").root, "--signed", foreign.signed("a"),
        "--fingerprint", federation.fingerprint, *more, code=2,
    )  # fmt: skip
    table.add("a root of another fingerprint", "refused, exit code 2", watch.seconds)
    watch = Watch()
    said = foreign.call(
        "outsider", "join", foreign.home("a").root, "--signed", foreign.signed("a"),
        "--fingerprint", foreign.fingerprint, *more, code=2,
    )  # fmt: skip
    assert "certificate" in said
    table.add("a kit of a foreign root, the right server", "refused, exit code 2", watch.seconds)


@pytest.fixture
def off(federation: Federation, tmp_path: Path) -> Iterator[Any]:
    """Hospital a with a clock that is off by so many seconds."""

    def shift(seconds: int) -> None:
        clock = build_clock(tmp_path, seconds)
        federation.extra["a"] = {key: clock[key] for key in ("LD_PRELOAD", "PRIVAUDIT_TEST_CLOCK")}

    federation.kill("a")
    yield shift
    del federation.extra["a"]
    federation.kill("a")


@pytest.mark.parametrize(
    ("seconds", "what"),
    [(-86400, "clock is a day slow"), (1200 * 86400, "certificate has expired (1,200 days on)")],
)
def test_a_certificate_out_of_its_dates_is_refused(
    federation: Federation, table: Table, off: Any, seconds: int, what: str
) -> None:
    off(seconds)
    watch = Watch()
    said = federation.call("a", "join", federation.home("a").root, code=2)
    assert "clock" in said
    assert "certificate" in said
    table.add(f"a hospital's {what}", "refused, exit code 2", watch.seconds)


def test_code_in_a_job_is_refused(federation: Federation, table: Table, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    watch = Watch()
    said = federation.submit_code(tmp_path, marker)
    assert not marker.exists()
    assert said, "it was accepted"
    table.add("a job with code, by the operator", "refused", watch.seconds)


def test_a_slow_link_and_a_fast_clock_are_borne(
    federation: Federation, table: Table, off: Any
) -> None:
    assert federation.places is not None
    off(86400)
    federation.kill("d")
    link = SlowLink(federation.places, "d", delay=0.1, rate=1e6)
    try:
        watch = Watch()
        federation.rejoin("a")
        federation.rejoin("d")
        federation.wait_connected("a")
        federation.wait_connected("d")
        train(federation, "slow", "--timeout", "60", rounds=5, begun=1)
        finish(federation, "slow", 5)
        took = [line["seconds"] for line in rounds(federation, "slow")]
        assert all({"a", "d"} <= set(line["hospitals"]) for line in rounds(federation, "slow"))
        happened = f"{np.median(took):.1f} s a round"
        table.add("a link of 1 Mbit/s and 200 ms", happened, watch.seconds)
        table.add("a hospital's clock is a day fast", "takes part", watch.seconds)
    finally:
        federation.kill("d")
        link.close()
        federation.places.mend_cable("d")


def test_logs_hold_no_patient_no_key_and_no_path(federation: Federation) -> None:
    from net_account import find_in_files, key_needles
    from net_shards import FOLDER, PATIENT, RARE

    train(federation, "searched", rounds=3, begun=1)
    finish(federation, "searched", 3)
    needles = {"patient": PATIENT.encode(), "value": RARE.encode(), "path": FOLDER.encode()}
    spare: list[Path] = list(federation.data.values())
    for name in federation.hospitals:
        home = federation.home(name)
        (key,) = home.root.glob("kit/startup/client.key")
        spare += [home.config, home.root / "restricted", key, home.root / "request"]
        needles |= {f"{what} of {name}": found for what, found in key_needles(key).items()}
    copied = federation.folder / "copied"
    assert find_in_files(federation.folder, needles, [*spare, copied]) == []
    # The search itself finds what is there.
    (key,) = federation.home("a").root.glob("kit/startup/client.key")
    assert find_in_files(key.parent, key_needles(key), [])
    assert find_in_files(federation.data["a"], {"patient": PATIENT.encode()}, [])
    assert all(read_lines(federation.home(name).outbox) for name in federation.hospitals)
