"""What a command leaves behind, however it ends: no table, nothing for others, nothing for git."""

from __future__ import annotations

import gzip
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from toy_audit import CANARY, ToyLearner, ToyModel, request

from privaudit import cli
from privaudit.commitments import load_key
from privaudit.engine.run import forecast_only, run
from privaudit.errors import PrivauditError
from privaudit.records import Records
from privaudit.restricted import hold, make_private, sweep

READER = f"""
import sys, time, types
import click
from privaudit import cli

@click.command("read")
@click.option("--table")
@click.option("--out")
def command(table, out):
    from privaudit.inputs.table_file import open_table

    with open_table(table, "the table") as opened:
        print("patient {CANARY}", opened.columns, flush=True)
        time.sleep(30)

sys.modules["reader"] = types.SimpleNamespace(command=command)
cli.COMMANDS["read"] = "reader"
sys.exit(cli.main())
"""


def start_reading(folder: Path, *before: str) -> subprocess.Popen[str]:
    """A command that has unpacked a table and works on it."""
    (folder / "tmp").mkdir(exist_ok=True)
    with gzip.open(folder / "t.csv.gz", "wt") as file:
        file.write(f"patient,x\n{CANARY},1\n")
    arguments = [*before, sys.executable, "-c", READER, "read", "--table", "t.csv.gz"]
    process = subprocess.Popen(
        [*arguments, "--out", "runs"],
        cwd=folder,
        env=os.environ | {"TMPDIR": str(folder / "tmp"), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert "patient" in process.stdout.readline()
    return process


def unpacked(folder: Path) -> list[Path]:
    """Every file below that holds the table's row."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return [path for path in files if str(CANARY).encode() in path.read_bytes()]


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_an_unpacked_table_goes_with_the_command_that_is_ended(tmp_path: Path, name: str) -> None:
    process = start_reading(tmp_path)
    (table,) = unpacked(tmp_path)
    assert table.is_relative_to(tmp_path / "runs" / "restricted")
    assert table.parent.stat().st_mode & 0o077 == 0
    process.send_signal(getattr(signal, name))
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted" in said
    assert "Traceback" not in said
    assert unpacked(tmp_path) == []
    assert not (tmp_path / "runs").exists(), "nothing else was made"


def test_a_table_left_by_a_kill_is_swept_at_the_next_start_and_one_in_use_is_not(
    tmp_path: Path,
) -> None:
    process = start_reading(tmp_path)
    sweep(tmp_path / "runs")
    assert len(unpacked(tmp_path)) == 1, "in use"
    process.kill()
    process.communicate()
    assert len(unpacked(tmp_path)) == 1
    assert list((tmp_path / "tmp").iterdir()) == []
    assert staged(tmp_path, "runs") == []
    run(request(), out=tmp_path / "runs", workers=1)
    assert unpacked(tmp_path / "runs" / "restricted") == []


def test_nohup_stays_in_force(tmp_path: Path) -> None:
    process = start_reading(tmp_path, "nohup")
    process.send_signal(signal.SIGHUP)
    time.sleep(0.3)
    assert process.poll() is None
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 130


def staged(folder: Path, *what: str) -> list[str]:
    """What `git add -A` would put into the next commit."""
    if not (folder / ".git").exists():
        subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    subprocess.run(["git", "add", "-A", *what], cwd=folder, check=True)
    listed = ["git", "diff", "--cached", "--name-only"]
    done = subprocess.run(listed, cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.splitlines()


def test_a_run_leaves_nothing_for_others_and_nothing_for_git(tmp_path: Path) -> None:
    before = os.umask(0o002)
    try:
        run(request(), out=tmp_path / "runs", workers=1)
        forecast_only(request(), out=tmp_path / "plans", workers=1)
    finally:
        os.umask(before)
    folders = list(tmp_path.rglob("restricted"))
    assert len(folders) == 3
    open_to_others = [
        path
        for folder in folders
        for path in (folder, *folder.rglob("*"))
        if path.stat().st_mode & 0o077
    ]
    assert open_to_others == []
    report = next(tmp_path.glob("runs/*/shareable/audit.json"))
    assert report.stat().st_mode & 0o044, "what may be shared can be read"
    assert staged(tmp_path) == []


def test_a_run_that_was_refused_leaves_nothing_for_git(tmp_path: Path) -> None:
    load_key(tmp_path / "runs")
    assert staged(tmp_path) == []


def test_a_folder_of_runs_that_is_a_repository_keeps_its_rules(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    run(request(), out=tmp_path, workers=1)
    assert not (tmp_path / ".gitignore").exists()
    assert [name for name in staged(tmp_path) if "restricted/" in name] == []


def test_files_of_others_in_the_folder_of_runs_stay_in_git(tmp_path: Path) -> None:
    (tmp_path / "analysis.py").write_text("")
    run(request(), out=tmp_path, workers=1)
    names = staged(tmp_path)
    assert "analysis.py" in names
    assert [name for name in names if "restricted/" in name] == []


@pytest.mark.parametrize("name", ["restricted", "restricted/store", "restricted/cache"])
def test_a_link_in_the_place_of_a_restricted_folder_is_refused(tmp_path: Path, name: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o755)
    link = tmp_path / "runs" / name
    link.parent.mkdir(parents=True)
    link.symlink_to(elsewhere)
    for call in (run, forecast_only):
        with pytest.raises(PrivauditError, match="is a link"):
            call(request(), out=tmp_path / "runs", workers=1)
    assert list(elsewhere.iterdir()) == []
    assert elsewhere.stat().st_mode & 0o777 == 0o755


def test_sweeping_follows_no_link(tmp_path: Path) -> None:
    with hold(tmp_path / "other" / "tables"):
        pass
    kept = tmp_path / "other" / "tables"
    make_private(kept)
    (kept / ".lock").write_text("")
    (kept / "kept.csv").write_text("1")
    (tmp_path / "runs" / "one" / "restricted").mkdir(parents=True)
    (tmp_path / "runs" / "one" / "restricted" / "tables").symlink_to(kept)
    (tmp_path / "runs" / "two").mkdir()
    (tmp_path / "runs" / "two" / "restricted").symlink_to(kept.parent)
    (tmp_path / "runs" / "restricted").mkdir()
    (tmp_path / "runs" / "restricted" / "unpacked-1").symlink_to(kept)
    sweep(tmp_path / "runs")
    assert (kept / "kept.csv").exists()


def call_cli(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> int:
    def broken(**_: object) -> int:
        raise error

    monkeypatch.setattr(cli.app, "main", broken)
    return cli.main(["list"])


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (MemoryError(), "too little memory"),
        (OSError(12, "Cannot allocate memory"), "too little memory"),
        (OSError(28, "No space left on device"), "too little disk space"),
    ],
)
def test_lack_of_memory_or_disk_is_no_bug(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], error: Exception, says: str
) -> None:
    monkeypatch.setattr(cli, "_leave_stdout", lambda: None)
    assert call_cli(monkeypatch, error) == 2
    assert says in capfd.readouterr().err


PRINTER = """
import sys
from privaudit import cli

sys.exit(cli.main(["list", "attacks"]))
"""


def print_to(shell: str) -> subprocess.CompletedProcess[str]:
    """A command's exit code and messages where standard output is what a shell makes of it."""
    command = f'"{sys.executable}" -c "$PRINTER"'
    return subprocess.run(
        ["bash", "-c", shell.format(command)],
        env=os.environ | {"PRINTER": PRINTER},
        capture_output=True,
        text=True,
        check=False,
    )


def test_output_that_nobody_reads_is_told_as_that_and_is_no_verdict() -> None:
    done = print_to("{} | true; exit ${{PIPESTATUS[0]}}")
    assert done.returncode == 141
    assert "standard output was closed" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_a_full_disk_or_no_output_at_all() -> None:
    full = print_to("{} > /dev/full")
    assert full.returncode == 2
    assert "too little disk space" in full.stderr
    assert "Exception ignored" not in full.stderr
    assert print_to("{} >&-").returncode == 0


class Hungry(ToyLearner):
    """Needs more memory than there is."""

    def fit(self, records: Records, rng: np.random.Generator) -> ToyModel:
        raise MemoryError


class Killed(ToyLearner):
    """Its process is killed, as the system does when memory runs out."""

    def fit(self, records: Records, rng: np.random.Generator) -> ToyModel:
        if multiprocessing.current_process().name.startswith("LokyProcess"):
            os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("not in a worker")


def test_a_model_that_does_not_fit_into_memory_is_told_as_that(tmp_path: Path) -> None:
    with pytest.raises(PrivauditError, match="too little memory"):
        run(request(learners={"hungry": Hungry()}), out=tmp_path, workers=1)


def test_a_worker_that_the_system_kills_is_told_as_that(tmp_path: Path) -> None:
    with pytest.raises(PrivauditError, match="ended from outside"):
        run(request(learners={"killed": Killed()}), out=tmp_path, workers=2)
