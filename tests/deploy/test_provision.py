"""Certificates by NVFlare's commands, zip files of strangers, and what kits are closed to."""

from __future__ import annotations

import json
import stat
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from deploy.kits import OPERATOR, SERVER, make_signed_zip, make_test_kits

from pipelines.deploy import configure
from pipelines.deploy.certificates import (
    approve,
    make_kit,
    make_own_kit,
    make_request,
    make_root,
    public_digest,
    read_request,
    read_signed,
    run_nvflare,
)
from pipelines.deploy.homes import CoordinatorHome, make_private
from pipelines.deploy.identity import Identity, Root
from pipelines.deploy.members import (
    Federation,
    check_hospital,
    read_federation,
    state_build,
)
from pipelines.deploy.private_files import find_open_to_others, make_zip, read_zip, write_toml
from privaudit.errors import PrivauditError

ROSTER = ("a", "b", "c")


def federation(**change: object) -> Federation:
    values = {"name": "privaudit", "host": SERVER, "port": 8102, "operator": OPERATOR}
    return Federation(**{**values, "hospitals": ROSTER, **change})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"host": "10.0.0.1"}, "a certificate is for a name"),
        ({"host": "http://x"}, "the host"),
        ({"host": "x" * 65}, "the host"),
        ({"port": 0}, "the port 0"),
        ({"operator": "root"}, "the operator"),
        ({"name": "../x"}, "name of a federation"),
        ({"hospitals": ("a", "b")}, "quorum of 3 with 2"),
        ({"hospitals": ("b", "a", "c")}, "not sorted"),
        ({"hospitals": ("a", "a", "b", "c")}, "names one twice"),
        ({"hospitals": ("a", "b", "c.d")}, "hospital's name 'c.d'"),
        ({"hospitals": ("a", "b", SERVER)}, "hospital's name 'localhost'"),
    ],
)
def test_a_federation_that_cannot_be(change, what):
    federation().check()
    with pytest.raises(PrivauditError, match=what):
        federation(**change).check()


@pytest.mark.parametrize(
    "name", ["", "A", "a b", "a/b", "../a", "a\n", "-a", "ä", "a.b", "x" * 41, "server", "a\0"]
)
def test_names_of_hospitals_that_cannot_be(name):
    with pytest.raises(PrivauditError, match="hospital's name"):
        check_hospital(name, SERVER)


def test_federation_toml_is_read_as_it_was_written(tmp_path):
    home = CoordinatorHome(tmp_path)
    made = federation(root="SHA256:AA", build="x")
    from dataclasses import asdict

    write_toml(home.config, asdict(made))
    assert read_federation(home.read()) == made
    assert stat.S_IMODE(home.config.stat().st_mode) == 0o600
    odd = 'p"\\\n\t\x7fä😀'
    write_toml(tmp_path / "federation.toml", {"a": odd, "n": 3, "data": {"path": odd, "x": True}})
    assert home.read() == {"a": odd, "n": 3, "data": {"path": odd, "x": True}}
    with pytest.raises(PrivauditError, match="cannot be used"):
        read_federation({"name": "x"})


def write_zip(path: Path, members: list[tuple[str, bytes]], mode: int = stat.S_IFREG) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members:
            info = zipfile.ZipInfo(name)
            info.external_attr = (mode | 0o600) << 16
            file.writestr(info, content)
    return path


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    "members",
    [
        [("x", b"")],
        [("x", b""), ("y", b""), ("z", b"")],
        [("x", b""), ("../y", b"")],
        [("x", b""), ("/y", b"")],
        [("x", b""), ("x", b""), ("y", b"")],
        [("x", b""), ("y/", b"")],
        [("x", b"0" * (1 << 20)), ("y", b"0" * 64)],
    ],
)
def test_zip_files_with_other_members_are_refused(tmp_path, members):
    good = write_zip(tmp_path / "good.zip", [("x", b"1"), ("y", b"2")])
    assert read_zip(good, ("y", "x")) == {"x": b"1", "y": b"2"}
    with pytest.raises(PrivauditError, match="zip file that is not as it should be"):
        read_zip(write_zip(tmp_path / "bad.zip", members), ("x", "y"))


def test_links_bombs_and_junk_are_refused(tmp_path):
    link = write_zip(tmp_path / "l.zip", [("x", b"/etc/passwd")], stat.S_IFLNK)
    bomb = tmp_path / "b.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("x", b"0" * (64 << 20))
    assert bomb.stat().st_size < 1 << 20
    junk = tmp_path / "j.zip"
    junk.write_bytes(b"PK\x03\x04 junk")
    large = tmp_path / "big.zip"
    large.write_bytes(bytes((1 << 20) + 1))
    cut = tmp_path / "c.zip"
    cut.write_bytes(make_zip({"x": b"1" * 100})[:-30])
    for path in (link, bomb, junk, large, cut):
        with pytest.raises(PrivauditError, match="zip file that is not as it should be"):
            read_zip(path, ("x",))
    with pytest.raises(PrivauditError, match=r"no file n\.zip") as caught:
        read_zip(tmp_path / "n.zip", ("x",))
    assert str(tmp_path) not in str(caught.value)


def test_what_the_coordinator_signed_is_read(tmp_path):
    path = make_signed_zip(tmp_path, "a")
    kits = make_test_kits(tmp_path / "kits", ROSTER)
    told = Root.load(kits["a"]).fingerprint
    made, _, root = read_signed(path, "a", told.lower().removeprefix("sha256:"))
    assert (made.hospitals, made.operator, root.fingerprint) == (ROSTER, OPERATOR, told)


def test_a_wrong_fingerprint_is_refused(tmp_path):
    path = make_signed_zip(tmp_path, "a")
    with pytest.raises(PrivauditError, match="you were told SHA256:00"):
        read_signed(path, "a", "00" * 32)


@pytest.mark.parametrize("which", ["federation.json", "federation.sig", "nvflare.signed.zip"])
def test_a_changed_signed_file_is_refused(tmp_path, which):
    path = make_signed_zip(tmp_path, "a")
    told = Root.load(make_test_kits(tmp_path / "kits", ROSTER)["a"]).fingerprint
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    middle = len(members[which]) // 2
    changed = members[which][:middle] + bytes([members[which][middle] ^ 1])
    members[which] = changed + members[which][middle + 1 :]
    path.write_bytes(make_zip(members))
    with pytest.raises(PrivauditError):
        read_signed(path, "a", told)


@pytest.mark.parametrize(
    "change",
    [
        {"root": "SHA256:00"},
        {"hospitals": ["a", "b"]},
        {"hospitals": 3},
        {"port": "x"},
        {"another": 1},
        {"operator": "../x"},
    ],
)
def test_a_signed_statement_that_makes_no_sense_is_refused(tmp_path, change):
    told = Root.load(make_test_kits(tmp_path / "kits", ROSTER)["a"]).fingerprint
    with pytest.raises(PrivauditError):
        read_signed(make_signed_zip(tmp_path, "a", change=change), "a", told)


def make_defaults(kit: Path, server: bool) -> None:
    """What NVFlare 2.9 puts into a kit, as far as it matters here."""
    (kit / "local").mkdir(parents=True)
    (kit / "startup").mkdir(exist_ok=True)
    names = ["resource_manager", "process_launcher", "site_log_streamer"]
    if server:
        names = ["job_scheduler", "job_manager", "job_store", "process_launcher", "log_receiver"]
    resources = {
        "class_allow_list": ["nvflare.everything"],
        "allow_log_streaming": True,
        "components": [{"id": name, "path": f"nvflare.{name}"} for name in names],
        "servers": [{}],
        "snapshot_persistor": {"args": {"storage": {"args": {"root_dir": "/tmp/nvflare"}}}},
    }
    begin = {
        "servers": [{"service": {"target": "localhost:8102"}, "identity": "localhost"}],
        "client": {"connection_security": "mtls"},
    }
    loggers = {"loggers": {"root": {"level": "INFO"}}}
    name = "fed_server.json" if server else "fed_client.json"
    (kit / "startup" / name).write_text(json.dumps(begin))
    (kit / "startup" / "start.sh").write_text("#!/bin/sh\n")
    (kit / "local" / "resources.json.default").write_text(json.dumps(resources))
    (kit / "local" / "log_config.json.default").write_text(json.dumps(loggers))


def read_local(kit: Path, name: str) -> dict:
    return json.loads((kit / "local" / name).read_text())


def test_a_hospitals_kit_is_closed(tmp_path):
    kit = tmp_path / "kit"
    make_defaults(kit, server=False)
    configure.configure_hospital(kit, SERVER, 8102)
    once = {path: path.read_bytes() for path in kit.rglob("*") if path.is_file()}
    configure.configure_hospital(kit, SERVER, 8102)
    assert {path: path.read_bytes() for path in kit.rglob("*") if path.is_file()} == once
    made = read_local(kit, "resources.json")
    ours = [configure.EXECUTOR, configure.OUTBOX, configure.LAUNCHER]
    assert made["class_allow_list"] == ours
    assert made["class_list_enforcement_mode"] == "enforce"
    assert made["allow_log_streaming"] is False
    parts = {part["id"]: part["path"] for part in made["components"]}
    assert parts["process_launcher"] == configure.LAUNCHER
    assert "site_log_streamer" not in parts
    (scope,) = read_local(kit, "privacy.json")["scopes"]
    assert [part["path"] for part in scope["task_result_filters"]] == [configure.OUTBOX]
    check_permissions(kit)
    assert json.loads((kit / "startup" / "fed_client.json").read_text())["require_signed_jobs"]
    assert not list(kit.rglob("*.sh"))
    assert find_open_to_others(kit) == 0


def check_permissions(kit: Path) -> None:
    made = read_local(kit, "authorization.json")["permissions"]
    assert set(made) == {"lead", "org_admin", "member"}
    for rights in made.values():
        assert rights["byoc"] == rights["shell_commands"] == rights["download_job"] == "none"
    assert made["lead"]["submit_job"] == "any"
    assert made["org_admin"]["submit_job"] == made["member"]["submit_job"] == "none"


def test_a_servers_kit_is_closed(tmp_path, monkeypatch):
    kit = tmp_path / "server"
    make_defaults(kit, server=True)
    monkeypatch.chdir(tmp_path)
    configure.configure_server(Path("server"), 3)
    made = read_local(kit, "resources.json")
    assert made["class_allow_list"] == [configure.CONTROLLER]
    assert made["allow_log_streaming"] is False
    stores = [made["snapshot_persistor"]["args"]["storage"]["args"]["root_dir"]]
    stores += [p["args"]["uri_root"] for p in made["components"] if p["id"] == "job_manager"]
    assert stores == [str(kit / "snapshots"), str(kit / "jobs")]
    assert all(part["id"] != "log_receiver" for part in made["components"])
    check_permissions(kit)
    assert find_open_to_others(kit) == 0


def test_kits_of_another_server_or_version_are_refused(tmp_path):
    kit = tmp_path / "kit"
    make_defaults(kit, server=False)
    for host, port in (("other", 8102), (SERVER, 8103)):
        with pytest.raises(PrivauditError, match="a kit for the server localhost:8102"):
            configure.configure_hospital(kit, host, port)
    path = kit / "local" / "resources.json.default"
    made = json.loads(path.read_text())
    made["components"].append({"id": "new_streamer", "path": "nvflare.new"})
    path.write_text(json.dumps(made))
    with pytest.raises(PrivauditError, match=r"not those of NVFlare 2\.9"):
        configure.configure_hospital(kit, SERVER, 8102)
    assert not (kit / "local" / "resources.json").exists()


def test_nvflares_words_are_ours(tmp_path):
    """One real command, which fails: no path of NVFlare's message is shown."""
    pytest.importorskip("nvflare")
    home = make_private(tmp_path / "home")
    with pytest.raises(PrivauditError) as caught:
        run_nvflare(home, "cert", "init", "--profile", str(tmp_path / "none"), "-o", str(home))
    assert str(tmp_path) not in str(caught.value)
    assert (home / ".nvflare-home").is_dir()


@pytest.mark.slow
def test_from_nothing_to_kits(tmp_path):
    """Every step by NVFlare's own commands; each hospital's key stays in its folder."""
    pytest.importorskip("nvflare")
    home = make_private(tmp_path / "fed")
    made = federation(hospitals=("a", "b-c", "d"))
    root = make_root(home, made)
    made = state_build(made, root)
    assert make_root(home, made).fingerprint == root.fingerprint
    server = make_own_kit(home, home / "ca", made, "server")
    configure.configure_server(server, 3)
    operator = make_own_kit(home, home / "ca", made, "operator")
    configure.configure_operator(operator)
    assert root.vouch(Identity.load(server).certificate).role == "server"
    assert root.vouch(Identity.load(operator).certificate).role == "lead"
    site = make_private(tmp_path / "site")
    request = make_request(site, site / "request", "privaudit", "b-c", "client")
    name, key = read_request(request, made.hospitals, "privaudit")
    assert make_request(site, site / "request", "privaudit", "b-c", "client") == request
    signed, again = approve(home, home / "ca", made, request)
    assert (name, again) == ("b-c", key)
    assert approve(home, home / "ca", made, request) == (signed, key)
    secret = (site / "request" / "b-c.key").read_bytes()
    at_coordinator = [path for path in home.rglob("*") if path.is_file()]
    assert all(secret not in path.read_bytes() for path in at_coordinator)
    stated, inner, found = read_signed(signed, "b-c", root.fingerprint)
    assert stated == made
    part = make_kit(site, "b-c", stated, inner, found)
    configure.configure_hospital(part, SERVER, 8102)
    own = Identity.load(part)
    assert (own.name, own.role, public_digest(own.certificate)) == ("b-c", "client", key)
    assert make_kit(site, "b-c", stated, inner, found) == part
    for folder in (home, site):
        assert find_open_to_others(folder) == 0
    refuse_others(tmp_path, home, site, made, signed, root)


def refuse_others(tmp_path, home, site, made, signed, root) -> None:
    """A second key, a foreign federation, a stranger, a lost key, the root offline."""
    other = make_private(tmp_path / "other")
    second = make_request(other, other / "request", "privaudit", "b-c", "client")
    with pytest.raises(PrivauditError, match="a second key for b-c"):
        approve(home, home / "ca", made, second)
    stated, inner, found = read_signed(signed, "b-c", root.fingerprint)
    with pytest.raises(PrivauditError, match="another private key"):
        make_kit(other, "b-c", stated, inner, found)
    foreign = make_private(tmp_path / "foreign")
    request = make_request(foreign, foreign / "request", "another", "d", "client")
    with pytest.raises(PrivauditError, match="none for this federation"):
        approve(home, home / "ca", made, request)
    with pytest.raises(PrivauditError, match="a request called"):
        approve(home, home / "ca", made, request.rename(request.with_name("x.request.zip")))
    offline = tmp_path / "medium"
    (home / "ca").rename(offline)
    request = make_request(other, other / "d", "privaudit", "d", "client")
    with pytest.raises(PrivauditError, match="no key of the root"):
        approve(home, home / "ca", made, request)
    assert approve(home, offline, made, request)[0].is_file()
    wrong = make_private(tmp_path / "wrong")
    make_root(wrong, made)
    request = make_request(other, other / "a", "privaudit", "a", "client")
    with pytest.raises(PrivauditError, match="a root whose fingerprint is"):
        approve(home, wrong / "ca", made, request)
    assert not (home / "signed" / "a.signed.zip").exists()


@pytest.mark.parametrize(
    "wrong", [{"port": True}, {"root": 3}, {"hospitals": "abc"}, {"hospitals": [1]}, {"host": None}]
)
def test_a_federation_toml_that_was_changed_by_hand(wrong: dict[str, Any]) -> None:
    said = {**asdict(Federation("f", "h", 8002, "op@x.org", ("a", "b", "c")))}
    said["hospitals"] = list(said["hospitals"])
    assert read_federation(said).port == 8002
    with pytest.raises(PrivauditError, match=r"federation\.toml"):
        read_federation(said | wrong)
