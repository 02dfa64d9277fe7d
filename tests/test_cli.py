"""The command line: fast to start, exact in its exit codes, and helpful about names."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from privaudit import __version__, cli, plugins
from privaudit.commands import _progress, doctor
from privaudit.engine.events import Event
from privaudit.errors import PrivauditError

sys.path.insert(0, str(Path(__file__).parent / "engine"))
import toy_audit

HEAVY = (
    *("numpy", "scipy", "pandas", "sklearn", "torch", "polars", "xgboost", "joblib", "rich"),
    *(
        "nvflare",
        "cryptography",
        "jinja2",
        "cattrs",
        "privaudit.engine",
        "privaudit.stats",
        "privaudit.report",
    ),
)


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Plugins are toys, and the working folder is empty."""
    kinds: dict[str, dict[str, Any]] = {
        "tasks": {"toy": toy_audit.ToyTask, "stopped": Stopped, "bug": Bug, "wrong": Wrong},
        "methods": {"plain": toy_audit.ToyMethod},
        "learners": {"least": toy_audit.ToyLearner},
        "generators": {},
        "attacks": {"threshold": toy_audit.Threshold, "broken": toy_audit.Broken},
    }
    monkeypatch.setattr(plugins, "members", lambda kind: dict.fromkeys(kinds[kind], "toy"))
    monkeypatch.setattr(plugins, "load", lambda kind, name: kinds[kind][name])
    monkeypatch.setattr(plugins, "summary", lambda kind, name: f"the {name}")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Stopped(toy_audit.ToyTask):
    def prepare(self, *_: object) -> Any:
        raise KeyboardInterrupt


class Bug(toy_audit.ToyTask):
    def prepare(self, *_: object) -> Any:
        raise ZeroDivisionError(f"patient {toy_audit.CANARY}")


class Wrong(toy_audit.ToyTask):
    def prepare(self, *_: object) -> Any:
        raise PrivauditError("a folder without tables", "there must be some", "give another")


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_help_loads_nothing_heavy() -> None:
    done = python(
        "import sys\nfrom privaudit.cli import main\ncode = main(['--help'])\n"
        f"print('LOADED', [n for n in {HEAVY!r} if n in sys.modules], code)"
    )
    assert done.returncode == 0
    assert "Usage: privaudit" in done.stdout
    assert done.stdout.splitlines()[-1] == "LOADED [] 0"


def test_help_shows_one_whole_line_a_command_by_group() -> None:
    done = python("from privaudit.cli import main\nmain(['--help'])")
    lines = done.stdout.splitlines()
    width = max(map(len, cli.COMMANDS))
    for group, summaries in cli.GROUPS.items():
        assert f"{group}:" in lines
        for name, summary in summaries.items():
            assert f"  {name:<{width}}  {summary}" in lines
            assert not summary.endswith("...")


def test_the_package_runs_as_a_module() -> None:
    command = [sys.executable, "-m", "privaudit", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"privaudit {__version__}\n"


def test_help_of_every_command_loads_nothing_heavy() -> None:
    done = python(
        "import sys\nfrom privaudit.cli import COMMANDS, main\n"
        "codes = [main([name, '--help']) for name in COMMANDS]\n"
        f"print('LOADED', [n for n in {HEAVY!r} if n in sys.modules], set(codes))"
    )
    assert done.stdout.splitlines()[-1] == "LOADED [] {0}"


@pytest.mark.slow
def test_help_takes_under_150_ms() -> None:
    """Of processor time: how busy the machine is does not count."""
    times = []
    for _ in range(9):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        python("from privaudit.cli import main\nmain(['--help'])")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    assert min(times) < 0.15


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["rnu", "toy"], "did you mean 'run'?"),
        (["run", "tyo"], "did you mean 'toy'?"),
        (["run", "toy", "--profil", "smoke"], "--profile"),
        (["run", "toy", "--profile", "smoek"], "did you mean 'smoke'?"),
        (["run", "toy", "--learners", "laest"], "did you mean 'least'?"),
        (["run", "toy", "--set", "least.memry=1"], "did you mean least.memory?"),
        (["run", "toy", "--window", "12"], "its fields are: n, real"),
        (["run", "toy", "--jobs", "0"], "'--jobs'"),
        (["run"], "Missing argument 'TASK'"),
        (["run", "wrong"], "a folder without tables"),
        (["explain", "treshold"], "did you mean 'threshold'?"),
        (["list", "atacks"], "did you mean 'attacks'?"),
        (["report", "nowhere"], "no finished run at 'nowhere'"),
        (["doctor", "--data", "nowhere"], "not there"),
        (["--nonsense"], "No such option"),
    ],
)
def test_wrong_use_exits_2_and_says_what_to_do(
    toy: Path, capsys: pytest.CaptureFixture[str], args: list[str], told: str
) -> None:
    assert cli.main(args) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert told in err
    assert "do this:" in err
    assert "Traceback" not in err


def test_run_prints_the_report_alone_and_report_renders_it_again(
    toy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = ["run", "toy", "--attacks", "membership", "--jobs", "1", "--seed", "3"]
    assert cli.main([*args, "--set", "least.memory=2"]) == 0
    out, err = capsys.readouterr()
    (path,) = out.splitlines()
    report = Path(path)
    assert report.name == "report.html"
    html = report.read_bytes()
    assert html.lstrip().lower().startswith(b"<!doctype html>")
    lines = err.splitlines()
    stages = ["read the records", "plan", "train", "attack", "measure", "write"]
    assert [line.split(":")[0] for line in lines] == stages
    assert "2 models, 0 shadow models" in lines[1]
    assert "toy_audit" not in err
    audit = json.loads((report.parent / "audit.json").read_text())
    assert audit["manifest"]["command"] == (
        "privaudit run toy --profile standard --attacks membership --set least.memory=2"
    )
    report.unlink()
    assert cli.main(["report", "runs/latest"]) == 0
    out, _ = capsys.readouterr()
    assert Path(out.strip()).read_bytes() == html


def test_a_failed_audit_exits_5_and_still_writes_its_report(
    toy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["run", "toy", "--jobs", "1", "--json"]) == 5
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert told["code"] == 5
    assert Path(told["report"]).exists()
    assert "the audit failed: " in err
    assert "broken" in err
    assert str(toy_audit.CANARY) not in err + Path(told["report"]).read_text()


def test_an_interrupt_exits_130_and_says_how_to_go_on(
    toy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["run", "stopped"]) == 130
    assert "the same command resumes" in capsys.readouterr().err


def test_a_bug_exits_70_and_writes_its_traceback_to_the_restricted_folder(
    toy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["run", "bug", "--out", "else"]) == 70
    out, err = capsys.readouterr()
    assert out == ""
    assert "ZeroDivisionError in test_cli.py" in err
    assert str(toy_audit.CANARY) not in err
    (story,) = (toy / "else" / "restricted").glob("bug-*.txt")
    assert str(toy_audit.CANARY) in story.read_text()
    assert story.parent.stat().st_mode & 0o777 == 0o700


def test_plan_says_what_run_would_do(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["plan", "toy", "--jobs", "1", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["models"] == 2
    assert told["attacks"] == ["broken", "threshold"]
    assert told["not_applicable"] == []
    assert told["attack_runs"] == 4
    assert told["steps_to_do"] == 6
    assert 0 <= told["seconds"][0] < told["seconds"][1] < 60
    assert 1e8 < told["memory_bytes"][0] < told["memory_bytes"][1]
    assert told["not_timed"] == ["broken"]
    assert cli.main(["run", "toy", "--jobs", "1"]) == 5
    capsys.readouterr()
    assert cli.main(["plan", "toy", "--jobs", "1", "--attacks", "threshold"]) == 0
    assert "everything is in the cache already" in capsys.readouterr().out


def test_list_and_explain_answer_machines_and_people(
    toy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["list", "task", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tasks"]["toy"] == "the toy"
    assert cli.main(["list"]) == 0
    assert "  threshold  the threshold\n" in capsys.readouterr().out
    assert cli.main(["explain", "threshold"]) == 0
    told = capsys.readouterr().out
    assert "Yeom et al. 2018" in told
    assert "--set threshold.signal='loss'" in told
    assert cli.main(["explain", "toy", "--json"]) == 0
    first = {"name": "n", "type": "int", "default": "600"}
    assert json.loads(capsys.readouterr().out)["settings"][0] == first
    assert cli.main(["explain", "membership"]) == 0
    answer = capsys.readouterr().out
    assert answer.startswith("membership (family)")
    assert "  threshold  the threshold" in answer
    assert "broken" not in answer


def test_doctor_and_version_answer(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert cli.main(["doctor", "--data", str(tmp_path)]) == 2
    assert "no source that can be read" in capsys.readouterr().err
    (tmp_path / "Outcomes-a.txt").write_text("RecordID\n")
    (tmp_path / "set-a").mkdir()
    (tmp_path / "set-a" / "1.txt").write_text("Time,Parameter,Value\n")
    assert cli.main(["doctor", "--data", str(tmp_path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert set(told) == {"machine", "packages", "extras", "plugins", "data"}
    assert "missing" not in " ".join(told["packages"].values())
    assert told["data"]["files"].startswith("2,")
    assert "Challenge 2012" in told["data"]["source"]
    for args in (["version"], ["--version"], ["-V"]):
        assert cli.main(args) == 0
        assert capsys.readouterr().out == f"privaudit {__version__}\n"
    assert {"dp", "sign", "pdf"} <= set(told["extras"])


def test_doctor_names_the_extra_that_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "_version", lambda one: "" if one.name == "weasyprint" else "1")
    assert cli.main(["doctor", "--json"]) == 0
    extras = json.loads(capsys.readouterr().out)["extras"]
    assert extras["pdf"] == "missing weasyprint: pip install 'privaudit[pdf]'"
    assert extras["sign"] == "installed"


def test_progress_is_a_line_a_stage_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with _progress.listener(terminal=False) as listen:
        listen(Event("train", "start", total=2))
        listen(Event("train", "step", "a", 1, 2))
        listen(Event("train", "end", "2 steps", 2, 2, seconds=3.04))
    assert capsys.readouterr() == ("", "train: 2 steps (3.0 s)\n")


@pytest.mark.parametrize("plain", [True, False])
def test_the_bar_draws_on_standard_error_and_honours_no_color(plain: bool) -> None:
    code = (
        "import time\n"
        "from privaudit.commands._progress import listener\n"
        "from privaudit.engine.events import Event\n"
        "with listener(terminal=True) as listen:\n"
        "    listen(Event('train', 'start', total=2))\n"
        "    listen(Event('train', 'step', '[red]lira', 1, 2))\n"
        "    time.sleep(0.3)\n"
        "    listen(Event('train', 'note', 'hm'))\n"
        "    listen(Event('train', 'end', '2 steps', 2, 2, seconds=3.04))\n"
    )
    environment = {**os.environ, "FORCE_COLOR": "1", "TERM": "xterm-256color", "COLUMNS": "150"}
    environment.pop("NO_COLOR", None)
    if plain:
        environment["NO_COLOR"] = "1"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout == ""
    assert "train: 2 steps (3.0 s)" in done.stderr
    assert "[red]lira" in done.stderr
    assert ("\x1b[38;" in done.stderr) != plain


def test_a_refused_input_leaves_no_run_folder(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    data, out = tmp_path / "data", tmp_path / "runs"
    data.mkdir()
    command = ["run", "mortality", "--profile", "smoke", "--data", str(data), "--out", str(out)]
    assert cli.main(command) == 2
    assert "no source that can be read" in capsys.readouterr().err
    left = {path.name for path in out.iterdir()}
    assert left == {".gitignore", "attempts.jsonl", "restricted"}
