"""A run that is killed or interrupted goes on where it stopped, to the same numbers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from toy_audit import ToyLearner, numbers, request

from privaudit.engine.run import run

HERE = Path(__file__).parent

SCRIPT = """
import sys
from pathlib import Path
from toy_audit import ToyLearner, request
from privaudit.engine.run import run

if __name__ == "__main__":
    finished = run(request(learners={"slow": ToyLearner(wait=0.12)}), out=Path(sys.argv[1]),
                   workers=int(sys.argv[2]))
    print(finished.trained, finished.reused)
"""


def start(out: Path, workers: int) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(HERE), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(out), str(workers)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )


def kept(out: Path) -> int:
    return len(list((out / "restricted" / "store").glob("margins/*/*.npz")))


def wait_for_a_group(out: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while kept(out) < 1:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("stop", "workers"), [(signal.SIGKILL, 1), (signal.SIGINT, 1), (signal.SIGINT, 2)]
)
def test_a_run_cut_short_goes_on_where_it_stopped(
    tmp_path: Path, stop: signal.Signals, workers: int
) -> None:
    process = start(tmp_path / "cut", workers)
    wait_for_a_group(tmp_path / "cut", process)
    os.kill(process.pid, stop)
    _, said = process.communicate(timeout=60)
    assert process.returncode != 0
    if stop == signal.SIGINT:
        assert said.rstrip().endswith("KeyboardInterrupt")
    finished = [p for p in (tmp_path / "cut").glob("*-toy-*") if (p / "shareable").exists()]
    assert finished == []
    before = kept(tmp_path / "cut")

    learners = {"slow": ToyLearner(wait=0.12)}
    again = run(request(learners=learners), out=tmp_path / "cut", workers=1)
    assert again.reused == 4 * before > 0
    assert again.trained == 8 - 4 * before
    whole = run(request(learners=learners), out=tmp_path / "whole", workers=1)
    assert whole.trained == 8
    assert numbers(again.audit) == numbers(whole.audit)
    events = (again.folder / "events.jsonl").read_text().splitlines()
    refits = [e for e in map(json.loads, events) if e["what"] == "4 refits"]
    assert len(refits) == 2 - before
