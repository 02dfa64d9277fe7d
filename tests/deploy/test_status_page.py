"""The page's server: who may read it, who may withdraw, and what it refuses."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from deploy import written as w

from pipelines.deploy.homes import HospitalHome
from pipelines.deploy.page import Server, main, read_url, serve_page
from pipelines.deploy.pages import listen
from pipelines.deploy.status import read_status
from privaudit.errors import PrivauditError


@pytest.fixture
def hospital(tmp_path: Path) -> Iterator[Server]:
    with serve_page(w.make_hospital(tmp_path / "h"), withdraw=w.withdraw) as server:
        yield server


@pytest.fixture
def coordinator(tmp_path: Path) -> Iterator[Server]:
    with serve_page(w.make_coordinator(tmp_path / "c")) as server:
        yield server


Reply = tuple[int, dict[str, str], str]


def ask(
    server: Server,
    path: str = "",
    method: str = "GET",
    headers: dict[str, str] | None = None,
    body: str | None = None,
) -> Reply:
    """path: after the secret; an absolute one as it is."""
    connection = http.client.HTTPConnection(server.host, server.port, timeout=10)
    full = path if path.startswith("/") else server.base + path
    connection.request(method, full, body, headers or {})
    reply = connection.getresponse()
    text = reply.read().decode()
    connection.close()
    return reply.status, {k.lower(): v for k, v in reply.getheaders()}, text


def send(server: Server, raw: bytes) -> bytes:
    """What comes back for these bytes, until the server closes."""
    with socket.create_connection((server.host, server.port), timeout=10) as connection:
        connection.sendall(raw)
        answer = b""
        try:
            while chunk := connection.recv(65536):
                answer += chunk
        except ConnectionError:
            pass
        return answer


def find_token(text: str) -> str:
    found = re.search(r'name="csrf" value="([0-9a-f]{64})"', text)
    assert found is not None
    return found[1]


def withdraw(server: Server, token: str, run: str = "first", **headers: str) -> Reply:
    usual = {
        "Content-Type": "application/x-www-form-urlencoded",
        "Origin": f"http://127.0.0.1:{server.port}",
        "Sec-Fetch-Site": "same-origin",
    }
    named = {k.replace("_", "-"): v for k, v in headers.items()}
    kept = {k: v for k, v in {**usual, **named}.items() if v}
    return ask(server, f"withdraw/{run}", "POST", kept, f"csrf={token}")


def has_withdrawn(server: Server) -> bool:
    assert isinstance(server.home, HospitalHome)
    return next(r for r in read_status(server.home).runs if r.run == "first").state == "withdrawn"


# --- what it shows ------------------------------------------------------------------------------


def test_the_coordinators_page(coordinator: Server) -> None:
    code, headers, text = ask(coordinator)
    assert code == 200
    assert headers["content-type"] == "text/html; charset=utf-8"
    for part in ("icu-study", "12 of 20", "does not answer since", "waits for consent since"):
        assert part in text
    assert "values that are not finite" in text
    assert "<svg" in text
    assert "withdraw/" not in text


def test_the_hospitals_page(hospital: Server) -> None:
    _, _, text = ask(hospital)
    for part in ("211 kB in 7 messages", "Dr Grey", "masked update"):
        assert part in text
    assert "privaudit federation join DIR --consent second" in text
    assert f'href="{hospital.base}withdraw/first"' in text
    assert f'href="{hospital.base}withdraw/second"' not in text


def test_no_path_and_no_folder_on_a_page(hospital: Server, coordinator: Server) -> None:
    for server in (hospital, coordinator):
        text = ask(server)[2]
        assert str(server.home.root) not in text
        assert str(Path.home()) + "/" not in text


def test_headers_keep_it_to_itself(hospital: Server) -> None:
    for path in ("", "withdraw/first", "nothing", "/"):
        _, headers, text = ask(hospital, path)
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "form-action 'self'" in policy
        assert "script-src" not in policy
        assert "unsafe" not in policy
        assert headers["x-frame-options"] == "DENY"
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert "server" not in headers
        assert "access-control-allow-origin" not in headers
        assert "set-cookie" not in headers
        assert "<script" not in text
        assert not re.search(r'(src|href|action)="(https?:)?//', text)


def test_it_is_read_again_only_where_asked(hospital: Server) -> None:
    assert "http-equiv" not in ask(hospital)[2]
    live = ask(hospital, "?refresh=10")[2]
    assert '<meta http-equiv="refresh" content="10">' in live
    assert f'<a href="{hospital.base}">Pause</a>' in live
    assert "http-equiv" not in ask(hospital, "?refresh=0;url=http://evil.example")[2]


def test_what_came_in_between_is_shown(hospital: Server) -> None:
    assert isinstance(hospital.home, HospitalHome)
    w.write_lines(hospital.home.outbox, [w.left(40, "masked", 3, 1_000_000)])
    assert "1.21 MB in 8 messages" in ask(hospital)[2]


class Outline(HTMLParser):
    """Headings, landmarks, ids and table heads of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.levels: list[int] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.names: list[str] = []
        self.bare: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        found = dict(attrs)
        if re.fullmatch(r"h[1-6]", tag):
            self.levels.append(int(tag[1]))
        if found.get("id"):
            self.ids.append(str(found["id"]))
        if found.get("aria-labelledby"):
            self.names.append(str(found["aria-labelledby"]))
        if tag == "th" and found.get("scope") not in ("row", "col"):
            self.bare.append(tag)


@pytest.mark.parametrize("path", ["", "withdraw/first"])
def test_the_outline_can_be_followed(hospital: Server, coordinator: Server, path: str) -> None:
    for server in (hospital, coordinator) if path == "" else (hospital,):
        text = ask(server, path)[2]
        outline = Outline(text)
        assert '<html lang="en">' in text
        assert [outline.tags.count(t) for t in ("main", "header", "footer", "h1")] == [1, 1, 1, 1]
        steps = zip([0, *outline.levels], outline.levels, strict=False)
        assert all(after - before <= 1 for before, after in steps)
        assert len(set(outline.ids)) == len(outline.ids)
        assert set(outline.names) <= set(outline.ids)
        assert outline.bare == []
        assert outline.tags.count("caption") == outline.tags.count("table")
        assert "style=" not in text


# --- who may read it ----------------------------------------------------------------------------


def test_the_secret_is_for_the_owner_alone(hospital: Server) -> None:
    path = hospital.home.root / "page.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_url(hospital.home) == hospital.url
    assert len(hospital.secret) >= 40


@pytest.mark.parametrize(
    "path", ["/", "/x/", "//", "/../", "/?token=x", "/favicon.ico", "/%00/", "/\xe9/"]
)
def test_without_the_secret_there_is_nothing(hospital: Server, path: str) -> None:
    raw = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{hospital.port}\r\n\r\n".encode("latin-1")
    answer = send(hospital, raw)
    assert answer.startswith(b"HTTP/1.0 404 ")
    for word in (b"east", b"Dr Grey", b"icu-study", hospital.secret.encode()):
        assert word not in answer


def test_a_part_of_the_secret_is_not_enough(hospital: Server) -> None:
    for path in (hospital.base[:-2] + "/", hospital.base[:-1], hospital.base.swapcase()):
        assert ask(hospital, path)[0] == 404


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "", "[::1]:{port}"),
        *("localhost.evil:{port}", "127.0.0.1:{port}.evil.example", "127.0.0.1:{port}, evil"),
    ],
)
def test_another_name_is_refused(hospital: Server, host: str) -> None:
    """A page elsewhere whose name leads to this computer (DNS rebinding) has its own name."""
    named = host.format(port=hospital.port)
    answer = send(hospital, f"GET {hospital.base} HTTP/1.1\r\nHost: {named}\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.0 421 ")
    assert b"east" not in answer


def test_no_name_and_two_names_are_refused(hospital: Server) -> None:
    own = f"Host: 127.0.0.1:{hospital.port}\r\n"
    for hosts in ("", own + own, own + "Host: evil\r\n"):
        answer = send(hospital, f"GET {hospital.base} HTTP/1.1\r\n{hosts}\r\n".encode())
        assert answer.startswith(b"HTTP/1.0 421 ")
    assert b"east" not in send(hospital, f"GET {hospital.base}\r\n\r\n".encode())
    assert ask(hospital, headers={"Host": f"localhost:{hospital.port}"})[0] == 200


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Sec-Fetch-Site": "none", "Sec-Fetch-Dest": "document"}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        # A link that somebody followed from elsewhere shows the page to that person alone.
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "document"}, 200),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "empty"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "iframe"}, 403),
        ({"Sec-Fetch-Site": "same-site", "Sec-Fetch-Dest": "script"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
def test_other_pages_cannot_read_it(hospital: Server, headers: dict, code: int) -> None:
    assert ask(hospital, headers=headers)[0] == code


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "localhost", "", "10.0.0.1", "127.0.0.2"])
def test_it_is_served_on_the_loopback_alone(tmp_path: Path, host: str) -> None:
    with pytest.raises(PrivauditError, match="for this computer alone"):
        serve_page(w.make_hospital(tmp_path), host=host)
    assert not (tmp_path / "page.json").exists()


def test_the_other_loopback(tmp_path: Path) -> None:
    try:
        server = serve_page(w.make_hospital(tmp_path), host="::1")
    except PrivauditError:
        pytest.skip("this computer has no ::1")
    with server:
        assert server.url.startswith(f"http://[::1]:{server.port}/")
        assert ask(server)[0] == 200


def test_a_port_that_is_taken_is_said(hospital: Server, tmp_path: Path) -> None:
    with pytest.raises(PrivauditError, match="the port cannot be used"):
        serve_page(w.make_coordinator(tmp_path / "c"), hospital.port)


def test_it_listens_on_nothing_else(hospital: Server) -> None:
    found = hospital._http.socket.getsockname()
    assert found[:2] == ("127.0.0.1", hospital.port)
    assert hospital._http.socket.get_inheritable() is False


# --- withdrawing --------------------------------------------------------------------------------


def test_a_consent_is_withdrawn_in_two_steps(hospital: Server) -> None:
    _, _, text = ask(hospital, "withdraw/first")
    assert "Withdraw the consent to the run first?" in text
    assert not has_withdrawn(hospital), "looking withdraws nothing"
    code, headers, _ = withdraw(hospital, find_token(text))
    assert (code, headers["location"]) == (303, f"{hospital.base}?done=first")
    assert has_withdrawn(hospital)
    after = ask(hospital, "?done=first")[2]
    assert "The consent is withdrawn" in after
    assert "consent withdrawn" in after
    assert f'href="{hospital.base}withdraw/first"' not in after


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": ""},
        {"Origin": "null"},
        {"Origin": "http://evil.example"},
        {"Origin": "https://127.0.0.1:1"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": "none"},
        {"Host": "evil.example"},
    ],
)
def test_other_pages_cannot_withdraw(hospital: Server, headers: dict[str, str]) -> None:
    token = find_token(ask(hospital, "withdraw/first")[2])
    assert withdraw(hospital, token, **headers)[0] in (403, 421)
    assert not has_withdrawn(hospital)


def test_a_token_is_for_one_run_one_consent_and_one_server(
    hospital: Server, tmp_path: Path
) -> None:
    home = hospital.home
    assert isinstance(home, HospitalHome)
    w.write_consent(home, "second")
    first = find_token(ask(hospital, "withdraw/first")[2])
    second = find_token(ask(hospital, "withdraw/second")[2])
    assert first != second
    for token in ("", "0" * 64, second, first[:-1], first + "0"):
        assert withdraw(hospital, token)[0] == 403
    w.write_consent(home, granted_at=w.START + 50)
    assert withdraw(hospital, first)[0] == 403, "another consent than the one shown"
    with serve_page(home, withdraw=w.withdraw) as other:
        assert withdraw(other, find_token(ask(hospital, "withdraw/first")[2]))[0] == 403
    assert not has_withdrawn(hospital)


def test_what_cannot_be_withdrawn(hospital: Server, coordinator: Server) -> None:
    for run in ("second", "none", "", "../first", "first/", "FIRST"):
        assert ask(hospital, f"withdraw/{run}")[0] == 404
        assert withdraw(hospital, "0" * 64, run)[0] == 404
    assert ask(coordinator, "withdraw/first")[0] == 404
    assert withdraw(coordinator, "0" * 64)[0] == 404
    assert not has_withdrawn(hospital)


@pytest.mark.parametrize(
    ("headers", "body", "code"),
    [
        ("Content-Length: 5000", b"csrf=", 413),
        ("Content-Length: 99999999999999999999", b"csrf=", 413),
        ("Content-Length: -1", b"csrf=", 411),
        ("Content-Length: 5x", b"csrf=", 411),
        ("X-None: 1", b"csrf=", 411),
        ("Content-Length: 5\r\nContent-Length: 6", b"csrf=", 411),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked", b"csrf=", 415),
        ("Content-Length: 4", b"\xff\xff\xff\xff", 400),
        ("Content-Length: 3", b"xyz", 400),
        ("Content-Length: 11", b"a=1&b=1&c=1&d=1&e=1&f=1", 403),
    ],
)
def test_forms_that_are_none(hospital: Server, headers: str, body: bytes, code: int) -> None:
    own = f"127.0.0.1:{hospital.port}"
    head = (
        f"POST {hospital.base}withdraw/first HTTP/1.1\r\nHost: {own}\r\nOrigin: http://{own}\r\n"
        f"Content-Type: application/x-www-form-urlencoded\r\n{headers}\r\n\r\n"
    )
    assert send(hospital, head.encode() + body).startswith(f"HTTP/1.0 {code} ".encode())
    assert not has_withdrawn(hospital)


def test_another_kind_of_form_is_refused(hospital: Server) -> None:
    token = find_token(ask(hospital, "withdraw/first")[2])
    for kind in ("text/plain", "application/json", "multipart/form-data; boundary=x"):
        assert withdraw(hospital, token, Content_Type=kind)[0] == 415
    assert not has_withdrawn(hospital)


def test_a_withdrawal_that_fails_is_not_called_one(tmp_path: Path) -> None:
    def fail(home: HospitalHome, run: str) -> None:
        raise OSError("/srv/secret/path is full")

    def pretend(home: HospitalHome, run: str) -> None:
        return

    def refuse(home: HospitalHome, run: str) -> None:
        raise PrivauditError("a consent <b>gone</b>", "because of x", "do y")

    for i, act in enumerate((fail, pretend, refuse)):
        with serve_page(w.make_hospital(tmp_path / str(i)), withdraw=act) as server:
            token = find_token(ask(server, "withdraw/first")[2])
            code, _, text = withdraw(server, token)
            assert code == 500
            assert "The consent was not withdrawn" in text
            assert "privaudit federation stop DIR --withdraw first" in text
            assert "/srv" not in text
            assert "<b>" not in text
            assert "is withdrawn" not in ask(server, "?done=first")[2]
        assert ("because of x" in text) == (act is refuse)


def test_the_hospitals_own_consent_ends(tmp_path: Path) -> None:
    from pipelines.deploy import consent

    home = w.make_hospital(tmp_path)
    terms = w.make_terms()
    assert consent.Consent.read(home).allows(terms)
    with serve_page(home) as server:
        code, _, _ = withdraw(server, find_token(ask(server, "withdraw/first")[2]))
        assert code == 303
        assert has_withdrawn(server)
    assert not consent.Consent.read(home).allows(terms)
    assert read_status(home).runs[-1].uncovered == 0


# --- what it refuses ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "method", ["HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "CONNECT", "get", "X" * 50]
)
def test_other_methods_are_refused(hospital: Server, method: str) -> None:
    raw = f"{method} {hospital.base} HTTP/1.1\r\nHost: 127.0.0.1:{hospital.port}\r\n\r\n"
    answer = send(hospital, raw.encode())
    assert answer.startswith(b"HTTP/1.0 405 ")
    assert b"Allow: GET, POST" in answer
    assert hospital.secret.encode() not in answer


@pytest.mark.parametrize(
    "raw",
    [
        b"\x00\xff\x16\x03\x01\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/x\r\n\r\n",
        b"GET / HTTP/1.1\r\nno header\r\n\r\n",
        b"GET " + b"/" * 100_000,
        b"GET / HTTP/1.1\r\n" + b"X: " + b"y" * 100_000,
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 5000 + b"\r\n",
        b"\r\n" * 10,
        b"<script>alert(1)</script> / HTTP/1.1\r\n\r\n",
    ],
)
def test_what_is_no_request_is_refused_and_the_next_is_answered(
    hospital: Server, raw: bytes
) -> None:
    answer = send(hospital, raw)
    assert not answer.startswith(b"HTTP/1.0 200")
    assert b"<script" not in answer
    assert ask(hospital)[0] == 200


def test_a_refusal_arrives_though_more_was_sent(hospital: Server) -> None:
    """Closed with something unread, a connection is reset and the answer lost."""
    own = f"127.0.0.1:{hospital.port}"
    head = f"POST {hospital.base}withdraw/first HTTP/1.1\r\nHost: {own}\r\nContent-Length: 9999\r\n"
    for _ in range(5):
        answer = send(hospital, f"{head}Origin: http://evil.example\r\n\r\n".encode() + b"x" * 9999)
        assert answer.startswith(b"HTTP/1.0 403 ")
        assert answer.endswith(b"</html>")


def test_slow_requests_end(hospital: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """One byte now and then does not keep a connection."""
    monkeypatch.setattr(listen, "PATIENCE", 0.5)
    begin = time.monotonic()
    with socket.create_connection((hospital.host, hospital.port), timeout=10) as connection:
        ended = False
        while time.monotonic() - begin < 8 and not ended:
            try:
                connection.sendall(b"G")
                connection.settimeout(0.1)
                ended = connection.recv(1) == b""
            except TimeoutError:
                continue
            except OSError:
                ended = True
    assert ended
    assert time.monotonic() - begin > 0.3


def test_many_connections_leave_no_threads(
    hospital: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listen, "PATIENCE", 0.5)
    before = threading.active_count()
    held = [socket.create_connection((hospital.host, hospital.port), timeout=10) for _ in range(60)]
    deadline = time.monotonic() + 20
    while threading.active_count() <= before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert before < threading.active_count() <= before + listen.MOST_AT_ONCE
    for one in held:
        one.close()
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.02)
    assert threading.active_count() <= before
    assert ask(hospital)[0] == 200


def test_nothing_is_logged(
    hospital: Server, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down(*_: Any) -> str:
        raise RuntimeError("/srv/path")

    ask(hospital)
    ask(hospital, "/x")
    monkeypatch.setattr(hospital, "show", break_down)
    code, _, text = ask(hospital)
    assert code == 500
    assert "/srv" not in text
    assert capfd.readouterr() == ("", "")


# --- starting and ending ------------------------------------------------------------------------


def test_its_file_goes_when_it_closes_unless_another_took_it(tmp_path: Path) -> None:
    home = w.make_hospital(tmp_path)
    first, second = serve_page(home), serve_page(home)
    first.close()
    assert read_url(home) == second.url
    second.close()
    assert read_url(home) is None
    assert not list(tmp_path.glob(".page*"))


def test_its_file_cannot_be_led_elsewhere(tmp_path: Path) -> None:
    home = w.make_hospital(tmp_path / "h")
    (tmp_path / "other").write_text("untouched")
    (home.root / "page.json").symlink_to(tmp_path / "other")
    with serve_page(home):
        assert (tmp_path / "other").read_text() == "untouched"


def test_a_process_of_its_own(tmp_path: Path) -> None:
    home = w.make_hospital(tmp_path)
    process = subprocess.Popen(
        [sys.executable, "-m", "pipelines.deploy.page", str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url == read_url(home)
        found = re.fullmatch(r"http://127\.0\.0\.1:(\d+)(/.+/)", url)
        assert found is not None
        connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=60)
        connection.request("GET", found[2])
        assert connection.getresponse().status == 200
        process.terminate()
        assert process.wait(60) == 0
        assert read_url(home) is None
    finally:
        process.kill()
        process.wait()


def test_a_folder_that_is_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("signal.signal", lambda *_: None)
    assert main([str(tmp_path)]) == 2
    assert "do this:" in capsys.readouterr().err


def test_reading_the_file_of_a_page_raises_nothing(tmp_path: Path) -> None:
    home = w.make_hospital(tmp_path)
    for content in ("", "[]", json.dumps({"url": 5})):
        (tmp_path / "page.json").write_text(content)
        assert read_url(home) is None
