"""The commands of a federation: help, errors, and what each of them leaves behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
from deploy.hospital_lab import make_schema, make_table
from deploy.kits import OPERATOR, make_root, make_signed_zip, make_test_kits

from pipelines.deploy.commands import VERBS, _foreground, _progress, _verb, group
from pipelines.deploy.homes import CoordinatorHome, HospitalHome, make_private
from pipelines.deploy.identity import Identity, Root
from pipelines.deploy.private_files import write_json, write_toml
from pipelines.deploy.terms import RunTerms
from pipelines.deploy.warrant import SIGNED, Warrant
from privaudit import cli
from privaudit.errors import PrivauditError

ROSTER = ("a", "b", "c")
FIRST = ["provision", "--host", "localhost", "--port", "8102", "--hospitals", "a,b,c"]


def run(*words: object) -> int:
    return cli.main(["federation", *map(str, words)])


def fail(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """What a command says that ends with code 2."""
    assert run(*words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "Traceback" not in said.err
    assert "this is a bug" not in said.err
    return said.err


@pytest.fixture
def kits(tmp_path: Path) -> dict[str, Path]:
    return make_test_kits(tmp_path / "kits", ROSTER)


@pytest.fixture
def coordinator(tmp_path: Path, kits: dict[str, Path]) -> CoordinatorHome:
    """A coordinator's folder with kits that NVFlare has not made."""
    root = make_private(tmp_path / "fed")
    kits["operator"].rename(root / "operator")
    kits["server"].rename(root / "server")
    home = CoordinatorHome(root)
    said = {"name": "privaudit", "host": "localhost", "port": 8102, "operator": OPERATOR}
    fingerprint = Root(make_root()).fingerprint
    write_toml(
        home.config, {**said, "hospitals": ROSTER, "auditor": "", "root": fingerprint, "build": ""}
    )
    return home


@pytest.fixture
def hospital(tmp_path: Path, kits: dict[str, Path]) -> HospitalHome:
    """A hospital's folder with a kit that NVFlare has not made."""
    home = HospitalHome(make_private(tmp_path / "site"))
    kits["a"].rename(home.root / "kit")
    said = {"name": "a", "federation": "privaudit", "host": "localhost", "port": 8102}
    said |= {"operator": OPERATOR, "root": Root(make_root()).fingerprint, "build": ""}
    write_toml(home.config, {**said, "hospitals": ROSTER, "data": {"task": "mortality"}})
    return home


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What other modules do, as it is asked for."""
    made = SimpleNamespace(audit=None, asked=[], supervised=[])

    def audit(home: HospitalHome, terms: RunTerms) -> Any:
        made.asked.append(terms)
        return made.audit

    from pipelines.deploy import finish, own_audit

    monkeypatch.setattr(own_audit, "audit_dry_round", audit)
    report = lambda home, terms: home.run(terms.run) / "report.html"  # noqa: E731
    monkeypatch.setattr(finish, "finish_run", report)
    return made


def pend(home: HospitalHome, operator: Path, run: str = "first", **change: Any) -> RunTerms:
    """The terms of a run that waits for this hospital's consent."""
    settings = ("federated_secure.rounds=3",)
    values = {"task": "mortality", "method": "federated_secure", "settings": settings}
    terms = RunTerms(run, roster=ROSTER, **{**values, **change})
    own = Identity.load(operator)
    warrant = Warrant(terms.text, own.sign(SIGNED + terms.text.encode()), own.certificate)
    warrant.keep(home, run)
    return terms


def dry(verdict: str = "no_leak_seen", **change: Any) -> Any:
    from pipelines.deploy.own_audit import DryRound, Rebuilt, Told

    values: dict[str, Any] = {
        "verdict": verdict,
        "rebuilt": Rebuilt(0.75, 0.0, 0.9, 0.5, 40, verdict == "leaks"),
        "told": Told(0.53, 0.48, 0.58, (400, 340)),
        "protection": "secure_sum",
        "is_hidden": True,
        "rounds": 3,
        "bytes_per_round": 147_000,
        "patients": 740,
        "records": 740,
        "stated": 740,
        "small_counts": (),
        "seconds": 1.0,
    }
    return DryRound(**{**values, **change})


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_help_loads_neither_nvflare_nor_torch():
    heavy = ("nvflare", "torch", "numpy", "cryptography", "psutil", "pipelines.deploy.homes")
    done = python(
        "import sys\nfrom privaudit.cli import main\n"
        "from pipelines.deploy.commands import VERBS\n"
        "codes = {main(['federation', '--help'])}\n"
        "codes |= {main(['federation', name, '--help']) for name in VERBS}\n"
        f"print('LOADED', [n for n in {heavy!r} if n in sys.modules], codes)"
    )
    assert done.stdout.splitlines()[-1] == "LOADED [] {0}"


def test_every_verb_is_there_and_has_a_line():
    context = click.Context(group)
    for name in VERBS:
        command = group.get_command(context, name)
        assert command is not None
        assert isinstance(command, _verb.Verb)
        assert command.name == name
        assert command.help
    assert group.get_command(context, "another") is None


def test_an_unknown_verb(capsys):
    assert "did you mean 'join'?" in fail(capsys, "jion", "x")
    assert "commands are: provision" in fail(capsys, "another")


@pytest.mark.parametrize("missing", ["nvflare", "cryptography"])
def test_without_nvflare_every_verb_says_what_to_install(capsys, monkeypatch, tmp_path, missing):
    found = _verb.importlib.util.find_spec
    monkeypatch.setattr(
        _verb.importlib.util, "find_spec", lambda name: None if name == missing else found(name)
    )
    words = {name: [name, tmp_path / "x"] for name in VERBS}
    words["run"] = ["run", "mortality", tmp_path / "x"]
    for one in words.values():
        said = fail(capsys, *one)
        assert f"{missing} is not installed" in said
        assert "pip install 'privaudit[federation]'" in said
    assert not (tmp_path / "x").exists()


def test_no_package_brings_the_commands(capsys, monkeypatch):
    from importlib import metadata

    monkeypatch.setattr(metadata, "entry_points", lambda **more: ())
    monkeypatch.delitem(sys.modules, "privaudit.commands.federation", raising=False)
    assert "pip install 'privaudit[federation]'" in fail(capsys, "status", "x")
    monkeypatch.delitem(sys.modules, "privaudit.commands.federation", raising=False)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["provision"], "give --host, --port and --hospitals"),
        ([*FIRST[:-1], "a,b"], "a quorum of 3 with 2 hospitals"),
        ([*FIRST[:-1], "a,b,../c"], "the hospital's name '../c'"),
        ([*FIRST[:-1], "a,b,c,a"], "names one twice"),
        ([*FIRST, "--operator", "me"], "the operator 'me'"),
        (["provision", "--host", "1.2.3.4", *FIRST[3:]], "a certificate is for a name"),
        (["provision", "--host", "a b", *FIRST[3:]], "the host 'a b'"),
        (["provision", *FIRST[1:3], "--port", "70000", *FIRST[5:]], "'--port'"),
        ([*FIRST, "--approve", "x.zip"], "--approve takes the host"),
        (["provision", "--approve", "x.zip"], "no federation.toml"),
        (["join", "--name", "a"], "--name and --coordinator are given together"),
        (["join", "--name", "a", "--coordinator", "h"], "it is a name and a port"),
        (["join", "--name", "a", "--coordinator", "h:x"], "it is a name and a port"),
        (["join", "--name", "a", "--coordinator", "h:0"], "the port 0"),
        (["join", "--name", "A b", "--coordinator", "h:1"], "the hospital's name 'A b'"),
        (["join", "--name", "server", "--coordinator", "h:1"], "the hospital's name 'server'"),
        (["join", "--name", "a", "--coordinator", "h:1", "--yes"], "--name cannot be given with"),
        (["join", "--name", "a", "--coordinator", "h:1", "--task", "x"], "with --task"),
        (["join", "--signed", "x"], "--signed and --fingerprint are given together"),
        (["join", "--consent", "r", "--check"], "--consent cannot be given with --check"),
        (["join"], "a folder in which no request was made"),
        (["join", "--consent", "r"], "no hospital.toml"),
        (["server"], "no federation.toml"),
        (["status"], "neither federation.toml nor hospital.toml"),
        (["stop"], "neither federation.toml nor hospital.toml"),
    ],
)
def test_bad_input_leaves_nothing_behind(capsys, tmp_path, words, told):
    home = tmp_path / "home"
    assert told in fail(capsys, words[0], home, *words[1:])
    assert not home.exists()


@pytest.mark.parametrize("words", [FIRST, ["join", "--name", "a", "--coordinator", "h:1"]])
def test_a_folder_in_which_nothing_could_run_later(capsys, tmp_path, words):
    home = tmp_path / "my hospital"
    assert "a folder with a blank" in fail(capsys, words[0], home, *words[1:])
    assert not home.exists()


def test_folders_that_hold_something_else(capsys, tmp_path, coordinator, hospital):
    other = tmp_path / "other"
    other.mkdir()
    (other / "letter.txt").write_text("x")
    assert "a folder that is not empty" in fail(capsys, "provision", other, *FIRST[1:])
    asked = ("--name", "a", "--coordinator", "localhost:8102")
    assert "a folder that is not empty" in fail(capsys, "join", other, *asked)
    assert os.listdir(other) == ["letter.txt"]
    before = sorted(coordinator.root.rglob("*"))
    assert "has a federation already" in fail(capsys, "provision", coordinator.root, *FIRST[1:])
    assert sorted(coordinator.root.rglob("*")) == before
    assert "a hospital that has joined" in fail(capsys, "join", hospital.root, *asked)


def test_the_fingerprint_is_printed_again(capsys, coordinator):
    before = sorted(coordinator.root.rglob("*"))
    assert run("provision", coordinator.root) == 0
    said = capsys.readouterr()
    assert said.out.strip() == Root(make_root()).fingerprint
    assert "hospitals a, b, c" in said.err
    assert sorted(coordinator.root.rglob("*")) == before


def test_another_command_in_a_folder_that_was_begun(capsys, tmp_path):
    home = tmp_path / "fed"
    make_private(home)
    write_json(home / ".begun.json", {"name": "another"})
    assert "another federation was begun" in fail(capsys, "provision", home, *FIRST[1:])
    site = make_private(tmp_path / "site")
    asked = {"name": "b", "host": "localhost", "port": 1, "federation": "privaudit"}
    write_json(site / ".asked.json", asked)
    words = ("--name", "a", "--coordinator", "localhost:8102")
    assert "another request was begun" in fail(capsys, "join", site, *words)


def ask(home: Path, name: str = "a", port: int = 8102) -> None:
    make_private(home)
    asked = {"name": name, "host": "localhost", "port": port, "federation": "privaudit"}
    write_json(home / ".asked.json", asked)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--task", "mortality", "--data", ".", "--fingerprint", "00" * 32], "told SHA256:00"),
        (["--task", "mortality", "--data", ".", "--fingerprint", "abc"], "64 hexadecimal digits"),
        (["--task", "mortalty"], "did you mean 'mortality'?"),
        ([], "no task"),
        (["--task", "mortality"], "no source of records"),
        (["--task", "table", "--data", ".", "--set", "table.x=1"], "task.FIELD=VALUE"),
        (["--task", "table", "--data", ".", "--set", "task.x"], "task.FIELD=VALUE"),
        (["--task", "mortality", "--data", "nowhere"], "a path of --data that is not there"),
        (["--task", "mortality", "--least-patients", "3"], "'--least-patients'"),
    ],
)
def test_a_signed_file_with_bad_options(capsys, tmp_path, more, told):
    home = tmp_path / "site"
    ask(home)
    signed = make_signed_zip(tmp_path, "a")
    if "--fingerprint" not in more:
        more = [*more, "--fingerprint", Root(make_root()).fingerprint]
    assert told in fail(capsys, "join", home, "--signed", signed, *more)
    assert os.listdir(home) == [".asked.json"]


@pytest.mark.parametrize(
    ("change", "ask_port", "told"),
    [
        ({"hospitals": ["b", "c", "d"]}, 8102, "a roster without this hospital"),
        ({}, 9999, "a signed file for the port 8102"),
        ({"host": "elsewhere"}, 8102, "a signed file for the host elsewhere"),
    ],
)
def test_a_signed_file_of_another_federation(capsys, tmp_path, change, ask_port, told):
    home = tmp_path / "site"
    ask(home, port=ask_port)
    signed = make_signed_zip(tmp_path, "a", change=change)
    words = ("--fingerprint", Root(make_root()).fingerprint, "--task", "mortality")
    words = (*words, "--data", tmp_path)
    assert told in fail(capsys, "join", home, "--signed", signed, *words)
    assert not (home / "kit").exists()
    assert not HospitalHome(home).config.exists()


def test_consent_is_written_after_a_clean_audit(capsys, tmp_path, hospital, kits, fakes):
    terms = pend(hospital, kits["operator"])
    fakes.audit = dry()
    assert run("join", hospital.root, "--consent", "first", "--yes", "--by", "Dr A") == 0
    said = capsys.readouterr().err
    for part in (terms.fingerprint, "a, b, c", "740 patients", "147,000 bytes a round, 3 rounds"):
        assert part in said
    made = json.loads(hospital.consent.read_text())["first"]
    assert (made["terms"], made["by"], made["rounds"]) == (terms.fingerprint, "Dr A", 3)
    assert fakes.asked == [terms]
    assert run("join", hospital.root, "--consent", "first", "--yes") == 0
    assert "has consented to first already" in capsys.readouterr().err
    assert len(fakes.asked) == 1
    assert run("stop", hospital.root, "--withdraw", "first") == 0
    assert json.loads(hospital.consent.read_text())["first"]["withdrawn_at"] is not None


@pytest.mark.parametrize("verdict", ["leaks", "too_few"])
def test_a_leak_needs_a_person(capsys, hospital, kits, fakes, verdict):
    pend(hospital, kits["operator"])
    fakes.audit = dry(verdict)
    words = ("join", hospital.root, "--consent", "first", "--yes")
    assert "may give records of this hospital away" in fail(capsys, *words)
    assert not hospital.consent.exists()
    assert run(*words, "--accept-leak") == 0
    assert "first" in json.loads(hospital.consent.read_text())


def test_what_a_sum_hides_is_asked_of_a_person_and_of_no_script(
    capsys, monkeypatch, hospital, kits, fakes
):
    pend(hospital, kits["operator"])
    monkeypatch.setattr("click.confirm", lambda *_, **__: True)
    fakes.audit = dry("leaks", is_hidden=False)
    assert "may give records" in fail(capsys, "join", hospital.root, "--consent", "first")
    fakes.audit = dry("leaks")
    assert run("join", hospital.root, "--consent", "first") == 0
    assert "the sum of one round alone hides it" in capsys.readouterr().err
    assert json.loads(hospital.consent.read_text())["first"]["terms"]
    kept = json.loads((hospital.run("first") / "audit.json").read_text())
    assert (kept["verdict"], kept["is_hidden"]) == ("leaks", True)


def test_what_a_dry_round_says():
    from pipelines.deploy.commands._consent import describe_dry_round

    said = "\n".join(describe_dry_round(dry("leaks", patients=7, small_counts=("patients",))))
    assert "fewer than 10 patients" in said
    assert "7 patients" not in said
    assert "whole records rebuilt: 75.0%" in said
    assert "before it is hidden" in said
    bare = "\n".join(describe_dry_round(dry(told=None, rebuilt=None, cuts=(3, 5))))
    assert "who was trained on" not in bare
    # Silence about an attack that was not made would read as its failure.
    assert "not tried" in bare
    assert "3 of 5" in bare
    assert "first rounds" in "\n".join(describe_dry_round(dry("no_leak_seen")))


@pytest.mark.parametrize(
    ("method", "told"),
    [
        ("federated", "server; one hospital's update; yes"),
        ("federated_secure", "server with two thirds of the hospitals"),
        ("federated_private", "noise that hides single patients"),
        ("federated_trees", "server"),
    ],
)
def test_who_can_read_what(method, told):
    from pipelines.deploy.commands._consent import describe_readers

    private = ("federated_private.delta=1e-5",) if method == "federated_private" else ()
    lines = describe_readers(RunTerms("first", "mortality", method, ROSTER, private))
    assert any(told in line for line in lines)
    assert not any("{" in line for line in lines)


def test_no_answer_is_no_consent(capsys, monkeypatch, hospital, kits, fakes):
    pend(hospital, kits["operator"])
    fakes.audit = dry()
    for answer in (False, click.Abort(), KeyboardInterrupt()):

        def confirm(*_: Any, answer: Any = answer, **__: Any) -> bool:
            if isinstance(answer, BaseException):
                raise answer
            return bool(answer)

        monkeypatch.setattr(click, "confirm", confirm)
        assert run("join", hospital.root, "--consent", "first") == 130
        assert not hospital.consent.exists()


def test_terms_that_the_operator_did_not_sign(capsys, hospital, kits, fakes):
    words = ("join", hospital.root, "--yes", "--consent")
    assert "no terms of a run 'first'" in fail(capsys, *words, "first")
    for bad in ("b", "expired"):
        pend(hospital, kits[bad])
        fail(capsys, *words, "first")
    pend(hospital, kits["operator"])
    path = hospital.pending("first")
    made = json.loads(path.read_text())
    path.rename(hospital.pending("second"))
    assert "in the place of second" in fail(capsys, *words, "second")
    made["terms"] = made["terms"].replace('"quorum":3', '"quorum":4')
    path.write_text(json.dumps(made))
    fail(capsys, *words, "first")
    assert "no run can have this name" in fail(capsys, *words, "../first")
    assert not fakes.asked
    assert not hospital.consent.exists()


def supervise_as(fakes: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, ended: Any) -> None:
    from pipelines.deploy.flare import supervise

    def fake(home: CoordinatorHome, terms: RunTerms, tell: Any) -> Any:
        fakes.supervised.append(terms)
        tell({"event": "round", "round": 1, "hospitals": ["a", "b"], "seconds": 1.25, "loss": 0.5})
        if isinstance(ended, BaseException):
            raise ended
        return getattr(supervise.Ended, ended)

    monkeypatch.setattr(supervise, "supervise", fake)
    monkeypatch.setattr(
        _verb.socket, "create_connection", lambda *a, **k: SimpleNamespace(close=int)
    )


def test_a_run_prints_its_report_alone(capsys, monkeypatch, coordinator, fakes):
    supervise_as(fakes, monkeypatch, "DONE")
    words = ("run", "mortality", coordinator.root, "--set", "federated_secure.rounds=3")
    assert run(*words) == 0
    said = capsys.readouterr()
    (terms,) = fakes.supervised
    folder = coordinator.run(terms.run)
    assert said.out == f"{folder / 'report.html'}\n"
    assert "round 2: a, b; 1.2 s; loss 0.5000" in said.err
    assert (folder / "terms.json").read_text() == terms.text
    assert terms.roster == ROSTER
    (folder / "stop").touch()
    assert run(*words) == 0
    assert fakes.supervised == [terms, terms]
    assert not (folder / "stop").exists()
    assert "goes on" in capsys.readouterr().err


@pytest.mark.parametrize("ended", ["STOPPED", KeyboardInterrupt()])
def test_a_run_that_is_interrupted(capsys, monkeypatch, coordinator, fakes, ended):
    supervise_as(fakes, monkeypatch, ended)
    assert run("run", "mortality", coordinator.root, "--run", "first") == 130
    said = capsys.readouterr()
    assert said.out == ""
    assert "the same command resumes here" in said.err


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--method", "federated_sceure"], "between hospitals these can be trained"),
        (["--method", "generator"], "between hospitals these can be trained"),
        (["--set", "federated_secure.ronds=3"], "did you mean"),
        (["--set", "federated_secure.rounds=x"], "rounds"),
        (["--quorum", "2"], "a quorum of 2"),
        (["--quorum", "4"], "a quorum of 4"),
        (["--hospitals", "a,b,x"], "not of this federation: x"),
        (["--hospitals", "a,b"], "a quorum of 3 with 2"),
        (["--run", "../x"], "the name '../x'"),
        (["--grade", "treshold"], "did you mean 'threshold'?"),
        (["--timeout", "0"], "'--timeout'"),
        (["--method", "federated_robust", "--set", "federated_robust.aggregate=Krom()"], "Krom"),
    ],
)
def test_runs_that_cannot_be_are_refused_before_anybody_is_asked(
    capsys, monkeypatch, coordinator, fakes, more, told
):
    supervise_as(fakes, monkeypatch, "DONE")
    assert told in fail(capsys, "run", "mortality", coordinator.root, *more)
    assert not fakes.supervised
    assert not (coordinator.root / "runs").exists()


def test_a_run_of_this_name_with_other_terms(capsys, monkeypatch, coordinator, fakes):
    supervise_as(fakes, monkeypatch, "DONE")
    words = ("run", "mortality", coordinator.root, "--run", "first")
    assert run(*words) == 0
    capsys.readouterr()
    before = (coordinator.run("first") / "terms.json").read_text()
    assert "with other terms than" in fail(capsys, *words, "--timeout", "60")
    assert (coordinator.run("first") / "terms.json").read_text() == before


def test_a_server_that_is_not_there_or_a_kit_that_hospitals_refuse(
    capsys, monkeypatch, coordinator, kits, fakes
):
    words = ("run", "mortality", coordinator.root)

    def refuse(*_: Any, **__: Any) -> None:
        raise ConnectionRefusedError

    monkeypatch.setattr(_verb.socket, "create_connection", refuse)
    assert "no server at localhost:8102" in fail(capsys, *words)
    supervise_as(fakes, monkeypatch, "DONE")
    (coordinator.root / "operator").rename(coordinator.root / "before")
    kits["b"].rename(coordinator.root / "operator")
    assert "a kit of b" in fail(capsys, *words)
    assert not fakes.supervised


def test_stop_asks_the_runs_that_are_not_done(capsys, coordinator):
    for name, events in (("one", ["started"]), ("two", ["started", "done"])):
        folder = make_private(coordinator.run(name))
        (folder / "terms.json").write_text("{}")
        lines = "".join(json.dumps({"t": 0, "event": event}) + "\n" for event in events)
        (folder / "journal.jsonl").write_text(lines)
    assert run("stop", coordinator.root) == 0
    assert (coordinator.run("one") / "stop").exists()
    assert not (coordinator.run("two") / "stop").exists()
    assert "no server was running" in capsys.readouterr().err
    assert "no run 'three'" in fail(capsys, "stop", coordinator.root, "--run", "three")
    assert "no run can have this name" in fail(capsys, "stop", coordinator.root, "--run", "../x")
    assert "a hospital" in fail(capsys, "stop", coordinator.root, "--withdraw", "one")


def test_status_as_text_and_as_json(capsys, coordinator, hospital):
    for home in (coordinator, hospital):
        assert run("status", home.root) == 0
        assert "privaudit" in capsys.readouterr().out
        assert run("status", home.root, "--json") == 0
        assert json.loads(capsys.readouterr().out)


def test_one_command_at_a_time_in_a_folder(tmp_path):
    with _foreground.alone(tmp_path, "client"):
        with (
            pytest.raises(PrivauditError, match=f"as process {os.getpid()}"),
            _foreground.alone(tmp_path, "client"),
        ):
            pass
        with _foreground.alone(tmp_path, "server"):
            pass
    with _foreground.alone(tmp_path, "client"):
        pass


def test_stop_ends_the_command_and_not_only_its_child(tmp_path):
    code = (
        "import sys, time\nfrom pathlib import Path\nimport signal\n"
        "from pipelines.deploy.commands import _foreground\n"
        "signal.signal(signal.SIGTERM, lambda *a: sys.exit(7))\n"
        f"with _foreground.alone(Path({str(tmp_path)!r}), 'client'):\n"
        "    print('up', flush=True)\n    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "up\n"
        assert _foreground.end_foreground(tmp_path, "client")
        assert child.wait(10) == 7
    assert not _foreground.end_foreground(tmp_path, "client")


def test_lines_of_progress_show_no_control_characters():
    from pipelines.deploy.flare.supervise import Step
    from pipelines.deploy.journal import Event

    odd = "x\x1b[2J\n" * 50
    for event in (*Event, *Step):
        line = {"event": event, "hospital": odd, "why": odd, "what": odd, "kind": odd, "round": odd}
        said = _progress.describe({**line, "hospitals": [odd, "b"], "state": odd})
        assert said.isprintable()
        assert len(said) < 250
    assert _progress.describe({"event": "another"}) == ""
    assert _progress.describe({"event": "hello", "hospital": "a", "state": "pending"}) == (
        "a: has not consented yet"
    )


@pytest.mark.slow
@pytest.mark.parametrize("cut", [0, 2, 3, 5, 6])
def test_an_interrupted_provision_goes_on(capsys, monkeypatch, tmp_path, cut):
    pytest.importorskip("nvflare")
    from pipelines.deploy import certificates

    home, calls = tmp_path / "fed", []
    before = certificates.run_nvflare

    def interrupt(*words: Any) -> Any:
        calls.append(words)
        if len(calls) == cut + 1:
            raise KeyboardInterrupt
        return before(*words)

    monkeypatch.setattr(certificates, "run_nvflare", interrupt)
    assert run(FIRST[0], home, *FIRST[1:]) == 130
    assert not CoordinatorHome(home).config.exists()
    monkeypatch.setattr(certificates, "run_nvflare", before)
    capsys.readouterr()
    assert run(FIRST[0], home, *FIRST[1:]) == 0
    told = capsys.readouterr().out.strip()
    assert CoordinatorHome(home).read()["root"] == told
    for kit, role in (("server", "server"), ("operator", "lead")):
        own = Identity.load(home / kit)
        assert Root.load(home / kit, told).vouch(own.certificate).role == role
    assert not [path.name for path in home.iterdir() if path.name.endswith(".part")]


@pytest.mark.slow
def test_from_nothing_to_a_hospital_that_is_ready(capsys, monkeypatch, tmp_path):
    """provision, join, approve, join, and every check but those of a server that is not started."""
    pytest.importorskip("nvflare")
    home, site = tmp_path / "fed", tmp_path / "site"
    assert run(FIRST[0], home, *FIRST[1:]) == 0
    told = capsys.readouterr().out.strip()
    asked = ("--name", "a", "--coordinator", "localhost:8102")
    assert run("join", site, *asked) == 0
    request = capsys.readouterr().out.strip()
    assert run("join", site, *asked) == 0
    assert capsys.readouterr().out.strip() == request
    assert run("provision", home, "--approve", request) == 0
    signed, key = capsys.readouterr().out.split()
    assert len(key) == 64
    monkeypatch.chdir(tmp_path)
    table, schema = make_table(tmp_path / "a.csv", 400, 1), make_schema(tmp_path / "schema.toml")
    words = ("--signed", signed, "--fingerprint", told, "--task", "table", "--data", table)
    words = (*words, "--set", f"task.schema={schema.name}", "--json", "--check")
    for _ in range(2):
        assert run("join", site, *words) == 2
        said = capsys.readouterr()
        found = {one["check"]: one["outcome"] for one in json.loads(said.out)}
        assert found.pop("port") == "failed"
        assert set(found.values()) <= {"ok", "skipped", "noted"}
        assert found["patients"] == found["certificate"] == "ok"
        assert "privaudit federation server" in said.err
    other = tmp_path / "other"
    ask(other)
    assert "no private key of a" in fail(capsys, "join", other, *words)
