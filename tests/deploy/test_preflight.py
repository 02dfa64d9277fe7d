"""What a hospital looks at before anything starts: each fault has its own code."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from deploy.hospital_lab import make_schema, make_table
from deploy.kits import OPERATOR, make_certificate, make_key, make_root, make_test_kits, write_kit

from pipelines.deploy import preflight
from pipelines.deploy.build import source_digest
from pipelines.deploy.homes import HospitalHome, make_private
from pipelines.deploy.identity import Root
from pipelines.deploy.look_at_data import Seen, look_at_data
from pipelines.deploy.preflight import Code, Outcome, run_preflight
from pipelines.deploy.private_files import write_toml
from privaudit.errors import PrivauditError

SETTINGS = b"\0\0\0\x04\0\0\0\0\0"
NETWORK = {Code.HOST, Code.PORT, Code.SERVER, Code.ACCEPTED, Code.CLOCK}


@contextmanager
def serve(kit: Path, refuse: bool = False, silent: bool = False) -> Iterator[int]:
    """A TLS server with this kit that asks for certificates, as gRPC's does; its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    (certificate,) = (kit / "startup").glob("*.crt")
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    context.load_verify_locations(kit / "startup" / "rootCA.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols(["h2"])
    listener = socket.create_server(("localhost", 0))
    listener.settimeout(0.1)
    over = threading.Event()

    def answer() -> None:
        while not over.is_set():
            try:
                line, _ = listener.accept()
            except TimeoutError:
                continue
            line.settimeout(2.0)
            try:
                if silent:
                    over.wait(30.0)
                    continue
                with context.wrap_socket(line, server_side=True) as secure:
                    secure.recv(64)
                    secure.sendall(b"HTTP/1.1 400 no\r\n" if refuse else SETTINGS)
            except OSError:
                line.close()

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        over.set()
        thread.join()
        listener.close()


@pytest.fixture(scope="module")
def kits(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make_test_kits(tmp_path_factory.mktemp("kits"), ["a", "b", "c"])


@pytest.fixture(scope="module")
def port(kits: dict[str, Path]) -> Iterator[int]:
    with serve(kits["server"]) as found:
        yield found


def settle(folder: Path, kit: Path, port: int, **change: object) -> HospitalHome:
    """A hospital's folder with a copy of this kit."""
    shutil.copytree(kit, folder / "kit")
    folder.chmod(0o700)
    (folder / "kit").chmod(0o700)
    (folder / "kit" / "startup").chmod(0o700)
    for path in (folder / "kit" / "startup").iterdir():
        path.chmod(0o600)
    home = HospitalHome(folder)
    said = {
        "name": "a",
        "federation": "privaudit",
        "host": "localhost",
        "port": port,
        "operator": OPERATOR,
        "hospitals": ["a", "b", "c"],
        "root": Root(make_root()).fingerprint,
        "build": source_digest(),
        "data": {"task": "mortality"},
    }
    write_toml(home.config, {**said, **change})
    return home


def look(home: HospitalHome, seconds: float = 10.0, with_data: bool = False) -> dict[Code, str]:
    checks = list(run_preflight(home, home.root / "kit", with_data, seconds))
    assert json.dumps([check.as_dict() for check in checks])
    assert all((check.error is not None) == (check.outcome is Outcome.FAILED) for check in checks)
    return {check.code: str(check.outcome) for check in checks}


def failures(found: dict[Code, str]) -> set[Code]:
    return {code for code, outcome in found.items() if outcome == "failed"}


def test_everything_in_order(tmp_path, kits, port):
    found = look(settle(tmp_path, kits["a"], port))
    assert list(found) == [code for code in Code if code not in (Code.DATA, Code.PATIENTS)]
    assert {code for code, outcome in found.items() if outcome != "ok"} == {Code.CLOCK}
    assert found[Code.CLOCK] == "noted"


@pytest.mark.parametrize(
    ("kit", "code"),
    [
        ("foreign", Code.CERTIFICATE),
        ("expired", Code.CERTIFICATE),
        ("early", Code.CERTIFICATE),
        ("wrong_key", Code.KEY),
        ("b", Code.NAME),
        ("operator", Code.NAME),
    ],
)
def test_a_bad_kit(tmp_path, kits, port, kit, code):
    found = look(settle(tmp_path, kits[kit], port))
    assert failures(found) == {code}


def test_another_root(tmp_path, kits, port):
    found = look(settle(tmp_path, kits["a"], port, root="00" * 32))
    assert failures(found) == {Code.ROOT}
    assert found[Code.CERTIFICATE] == found[Code.SERVER] == "skipped"


@pytest.mark.parametrize("hospitals", [["b", "c", "d"], ["a", "b"], ["b", "a", "c"]])
def test_a_bad_roster(tmp_path, kits, port, hospitals):
    assert failures(look(settle(tmp_path, kits["a"], port, hospitals=hospitals))) == {Code.ROSTER}


@pytest.mark.parametrize("path", ["kit/startup/client.key", "kit", "request/a.key", ""])
def test_files_that_others_can_read(tmp_path, kits, port, path):
    home = settle(tmp_path, kits["a"], port)
    make_private(home.root / "request")
    (home.root / "request" / "a.key").touch(0o600)
    found = home.root / path
    found.chmod(0o750 if found.is_dir() else 0o640)
    assert failures(look(home)) == {Code.PRIVATE}


def test_a_full_disk(tmp_path, kits, port, monkeypatch):
    home = settle(tmp_path, kits["a"], port)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1 << 29))
    assert failures(look(home)) == {Code.DISK}


def test_another_build_is_noted(tmp_path, kits, port):
    found = look(settle(tmp_path, kits["a"], port, build="00"))
    assert found[Code.BUILD] == "noted"
    assert not failures(found)


def test_a_name_without_an_address(tmp_path, kits, port):
    found = look(settle(tmp_path, kits["a"], port, host="no.such.host.invalid"))
    assert failures(found) == {Code.HOST}
    assert {found[code] for code in NETWORK - {Code.HOST}} == {"skipped"}


def test_a_name_server_that_does_not_answer(tmp_path, kits, port, monkeypatch):
    home = settle(tmp_path, kits["a"], port)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: time.sleep(30.0))
    begin = time.monotonic()
    found = look(home, seconds=2.0)
    assert failures(found) == {Code.HOST}
    assert time.monotonic() - begin < 20.0


def test_nobody_at_the_port(tmp_path, kits):
    with socket.create_server(("localhost", 0)) as taken:
        free = taken.getsockname()[1]
    assert failures(look(settle(tmp_path, kits["a"], free))) == {Code.PORT}


def test_a_server_that_says_nothing(tmp_path, kits):
    with serve(kits["server"], silent=True) as port:
        begin = time.monotonic()
        assert failures(look(settle(tmp_path, kits["a"], port), seconds=2.0)) == {Code.SERVER}
        assert time.monotonic() - begin < 20.0


def test_a_server_that_refuses_or_is_another_program(tmp_path, kits):
    with serve(kits["server"], refuse=True) as port:
        assert failures(look(settle(tmp_path, kits["a"], port))) == {Code.ACCEPTED}


def test_a_server_of_another_root(tmp_path, kits):
    root_key = make_key("foreign root")
    root = make_certificate(root_key, "privaudit", None, ca=True)
    key = make_key("server")
    made = make_certificate(key, "localhost", "server", root.subject, root_key)
    kit = write_kit(tmp_path / "foreign", key, made, root, "server")
    with serve(kit) as port:
        assert failures(look(settle(tmp_path / "a", kits["a"], port))) == {Code.SERVER}


@pytest.mark.parametrize(("name", "role"), [("elsewhere", "server"), ("localhost", "client")])
def test_a_party_that_stands_in_for_the_server(tmp_path, kits, name, role):
    """A certificate of the same root, for another name; and one for this name of a hospital."""
    root = make_root()
    key = make_key("server")
    made = make_certificate(key, name, role, root.subject, make_key("root"))
    kit = write_kit(tmp_path / "other", key, made, root, "server")
    with serve(kit) as port:
        assert failures(look(settle(tmp_path / "a", kits["a"], port))) == {Code.SERVER}


@pytest.mark.parametrize(
    ("exact", "failed", "shown"),
    [(49, True, "49 patients"), (7, True, "fewer than 10 patients"), (50, False, "")],
)
def test_too_few_patients(tmp_path, kits, port, monkeypatch, exact, failed, shown):
    home = settle(tmp_path, kits["a"], port)
    made = Seen("mortality", "ab" * 32, exact, 50)
    monkeypatch.setattr(preflight, "look_at_data", lambda home, seconds: made)
    (*_, data, patients) = run_preflight(home, home.root / "kit", True, 10.0)
    assert data.outcome is Outcome.OK
    assert (patients.outcome is Outcome.FAILED) is failed
    if patients.error:
        assert patients.error.what.startswith(shown)
    assert str(exact) not in json.dumps(patients.as_dict()) or exact >= 10


def test_records_that_do_not_open(tmp_path, kits, port, monkeypatch):
    def refuse(home: HospitalHome, seconds: float) -> Seen:
        raise PrivauditError("a table without columns", "there are none", "add some")

    monkeypatch.setattr(preflight, "look_at_data", refuse)
    home = settle(tmp_path, kits["a"], port)
    found = look(home, with_data=True)
    assert failures(found) == {Code.DATA}
    assert found[Code.PATIENTS] == "skipped"


@pytest.mark.slow
def test_a_real_process_that_opens_records(tmp_path, kits, port):
    table, schema = make_table(tmp_path / "a.csv", 300, 1), make_schema(tmp_path / "schema.toml")
    data = {"task": "table", "path": str(table), "settings": [f"task.schema={schema}"]}
    home = settle(tmp_path / "a", kits["a"], port, data=data)
    found = look_at_data(home, 300.0)
    assert (found.task, len(found.schema)) == ("table", 64)
    assert found.patients > found.least == 50
    bad = settle(tmp_path / "b", kits["b"], port, data={**data, "path": "nowhere.csv"})
    with pytest.raises(PrivauditError) as caught:
        look_at_data(bad, 300.0)
    assert "ended without an answer" not in str(caught.value)


def answer_with(text: str) -> SimpleNamespace:
    return SimpleNamespace(stdout=text.encode())


def test_the_process_that_opens_the_records(tmp_path, kits, port, monkeypatch):
    """It is killed at its time limit, and what it says is checked."""
    home = settle(tmp_path, kits["a"], port)
    begin = time.monotonic()
    with pytest.raises(PrivauditError, match=r"did not open within 0 s"):
        look_at_data(home, 0.05)
    assert time.monotonic() - begin < 20.0
    for said in ("", "killed", "[]", '{"what": 1}', '{"task": "x"}', '{"patients": 3}'):
        monkeypatch.setattr(subprocess, "run", lambda *a, said=said, **k: answer_with(said))
        with pytest.raises(PrivauditError, match="ended without an answer"):
            look_at_data(home, 1.0)
    good = '{"task": "t", "schema": "s", "patients": 60, "least": 50}'
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: answer_with(f"noise\n{good}\n"))
    assert look_at_data(home, 1.0) == Seen("t", "s", 60, 50)


def test_a_hospital_toml_that_was_changed_by_hand(tmp_path, kits, port):
    home = settle(tmp_path, kits["a"], port)
    write_toml(home.config, {"name": "a", "port": "x"})
    with pytest.raises(PrivauditError, match="without data, hospitals, host, operator, port, root"):
        list(run_preflight(home, home.root / "kit"))


def test_every_check_has_words():
    assert set(preflight.WORDS) == set(Code)
