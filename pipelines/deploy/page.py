"""The status of a federation as a page on this computer, for the owner of the folder alone.

The server is the standard library's: a handful of short answers need nothing more, and it stays
the same whatever web library NVFlare brings. It listens on the loopback. Its address holds a
secret, which stands in a file that the owner alone can read, since other users of a computer reach
its loopback too.

    python -m pipelines.deploy.page FOLDER [PORT]
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import importlib
import json
import os
import secrets
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from pipelines.deploy.homes import CoordinatorHome, HospitalHome
from pipelines.deploy.pages import follow, labels
from pipelines.deploy.pages import render as draw
from pipelines.deploy.pages.facts import HospitalRun, HospitalStatus
from pipelines.deploy.pages.listen import LARGEST_FORM, Handler, Listener
from pipelines.deploy.private_files import write_json
from pipelines.deploy.status import StatusReader, find_home
from privaudit.errors import PrivauditError

LOOPBACKS = ("127.0.0.1", "::1")
FILE = "page.json"
"""In the home: the address with its secret."""
Withdraw = Callable[[HospitalHome, str], Any]


class Server:
    """A page that is being served; closes with `close`, or at the end of a `with` block.

    `url` is the address with its secret.
    """

    def __init__(
        self, home: CoordinatorHome | HospitalHome, host: str, port: int, withdraw: Withdraw
    ) -> None:
        self.home = home
        self.secret = secrets.token_urlsafe(32)
        self._forms = secrets.token_bytes(32)
        self._reader = StatusReader(home)
        self._withdraw = withdraw
        self._http = Listener(self, host, port, _Handler)
        self.host, self.port = host, int(self._http.server_address[1])
        self.names = {f"{_bracket(host)}:{self.port}", f"localhost:{self.port}"}
        self.base = f"/{self.secret}/"
        self.url = f"http://{_bracket(host)}:{self.port}{self.base}"
        self._file = home.root / FILE
        write_json(self._file, {"url": self.url, "process": os.getpid()})
        self._thread = threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop serving; the file with the address goes, where it is still this one's."""
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()
        if read_url(self.home) == self.url:
            with suppress(OSError):
                self._file.unlink()

    def wait(self) -> None:
        """Until it is closed."""
        self._thread.join()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def show(self, refresh: int | None, done: str = "") -> str:
        """The status as a page. done: a run whose consent has just been withdrawn."""
        status = self._reader.read()
        ended = isinstance(status, HospitalStatus) and any(
            run.run == done and _has_ended(run) for run in status.runs
        )
        said = labels.WITHDRAWN if ended else ""
        return draw.render_status(status, self.base, refresh, said)

    def find_run(self, name: str) -> tuple[HospitalStatus, HospitalRun] | None:
        """A run whose consent can be withdrawn; None for anything else."""
        status = self._reader.read()
        if not isinstance(status, HospitalStatus):
            return None
        for run in status.runs:
            if run.run == name and run.consent is not None:
                return status, run
        return None

    def show_withdraw(self, status: HospitalStatus, run: HospitalRun) -> str:
        """The page that asks whether it shall be withdrawn."""
        return draw.render_withdraw(status, run, self.base, self.sign(run))

    def sign(self, run: HospitalRun) -> str:
        """What a form must bring along: bound to the run and to the consent that was shown."""
        granted = None if run.consent is None else run.consent.granted
        fingerprint = "" if run.consent is None else run.consent.fingerprint
        text = json.dumps([run.run, fingerprint, granted]).encode()
        return hmac.new(self._forms, text, hashlib.sha256).hexdigest()

    def withdraw(self, name: str) -> str | None:
        """Withdraws, and looks whether it is so: None, or a page that says why it is not."""
        assert isinstance(self.home, HospitalHome)
        lines: tuple[str, ...] = labels.NOT_WITHDRAWN_LINES
        try:
            self._withdraw(self.home, name)
        except PrivauditError as error:
            lines = (error.what, error.because, error.fix)
        except Exception:
            # What another part says when it fails may hold a path.
            lines = labels.NOT_WITHDRAWN_LINES
        found = self.find_run(name)
        if found is not None and _has_ended(found[1]):
            return None
        command = f"privaudit federation stop DIR --withdraw {name}"
        return draw.render_message(labels.NOT_WITHDRAWN, lines, self.base, command)


def serve_page(
    home: CoordinatorHome | HospitalHome,
    port: int = 0,
    *,
    host: str = "127.0.0.1",
    withdraw: Withdraw | None = None,
) -> Server:
    """Serve the status of this home from a thread of its own.

    Args:
        port: 0: one that is free.
        host: 127.0.0.1 or ::1.
        withdraw: What ends a consent, `consent.withdraw` by default.

    Raises:
        PrivauditError: For another host, or a port that is taken.
    """
    if host not in LOOPBACKS:
        raise PrivauditError(
            f"a status page at {host!r}",
            "what it shows, and its button to withdraw, are for this computer alone",
            "use 127.0.0.1 or ::1; from elsewhere, use a tunnel such as `ssh -L`",
        )
    try:
        return Server(home, host, port, withdraw or _withdraw)
    except OSError as error:
        raise PrivauditError(
            f"a status page at port {port}",
            f"the port cannot be used: {error.strerror or type(error).__name__}",
            "use another port, or 0 for one that is free",
        ) from None


def read_url(home: CoordinatorHome | HospitalHome) -> str | None:
    """The address of the page that is being served for this home, where one is."""
    made = follow.read_document(home.root / FILE)
    url = None if made is None else made.get("url")
    return url if isinstance(url, str) else None


def _withdraw(home: HospitalHome, run: str) -> Any:
    # Here, since whoever looks at the coordinator's page needs none of a hospital's parts.
    return importlib.import_module("pipelines.deploy.consent").withdraw(home, run)


def _has_ended(run: HospitalRun) -> bool:
    return run.consent is not None and not run.consent.holds


def _bracket(host: str) -> str:
    return f"[{host}]" if ":" in host else host


class _Handler(Handler):
    server: Listener

    def do_GET(self) -> None:
        """The status, or the page that asks whether to withdraw."""
        rest = self._enter()
        if rest is None:
            return
        page = self.server.page
        if rest == "":
            asked = self.path.partition("?")[2]
            done = asked.removeprefix("done=") if asked.startswith("done=") else ""
            self.answer(200, page.show(10 if asked == "refresh=10" else None, done))
            return
        found = page.find_run(rest.removeprefix("withdraw/"))
        if not rest.startswith("withdraw/") or found is None:
            self.send_error(404)
        elif _has_ended(found[1]):
            self._lead(page.base)
        else:
            self.answer(200, page.show_withdraw(*found))

    def do_POST(self) -> None:
        """Withdraw."""
        rest = self._enter()
        if rest is None:
            return
        page = self.server.page
        found = page.find_run(rest.removeprefix("withdraw/"))
        if not rest.startswith("withdraw/") or found is None:
            self.send_error(404)
            return
        form = self._read_form()
        if form is None:
            return
        if not hmac.compare_digest(form.encode(), page.sign(found[1]).encode()):
            self.send_error(403)
            return
        wrong = page.withdraw(found[1].run)
        if wrong is None:
            self._lead(f"{page.base}?done={found[1].run}")
        else:
            self.answer(500, wrong)

    def _enter(self) -> str | None:
        """What the path says after the secret; None where the request was refused."""
        page, path = self.server.page, self.path.partition("?")[0]
        if self.request_version not in ("HTTP/1.0", "HTTP/1.1"):
            self.send_error(400)
        elif self.headers.get_all("Host", []) not in [[name] for name in page.names]:
            # Another name that leads here is a page elsewhere that wants to read this one.
            self.send_error(421)
        elif not self._is_own():
            self.send_error(403)
        elif not hmac.compare_digest(path[: len(page.base)].encode(), page.base.encode()):
            self.send_error(404)
        else:
            return path[len(page.base) :]
        return None

    def _is_own(self) -> bool:
        """Whether a page of this server asks, or a person who typed the address or followed it."""
        origins = self.headers.get_all("Origin", [])
        site = self.headers.get("Sec-Fetch-Site")
        host = self.headers.get("Host")
        if origins and origins != [f"http://{host}"]:
            return False
        if self.command == "POST":
            return bool(origins) and site in (None, "same-origin")
        whole = self.headers.get("Sec-Fetch-Dest") == "document"
        return site in (None, "same-origin", "none") or whole

    def _read_form(self) -> str | None:
        """The token of the form; None where the request was refused."""
        sizes = self.headers.get_all("Content-Length", [])
        kind = self.headers.get_content_type()
        if len(sizes) != 1 or not (sizes[0].isascii() and sizes[0].isdigit()):
            self.send_error(411)
        elif len(sizes[0]) > 6 or int(sizes[0]) > LARGEST_FORM:
            self.send_error(413)
        elif "Transfer-Encoding" in self.headers or kind != "application/x-www-form-urlencoded":
            self.send_error(415)
        else:
            body = self.rfile.read(int(sizes[0]))
            try:
                fields = parse_qs(body.decode("ascii"), strict_parsing=True, max_num_fields=5)
            except ValueError:
                self.send_error(400)
                return None
            return fields.get("csrf", [""])[0]
        return None

    def _lead(self, path: str) -> None:
        """On to another page, so that reading it again sends no form again."""
        self.answer(303, "", path)


def main(arguments: list[str] | None = None) -> int:
    """Serve the page of a folder until the process is interrupted."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.deploy.page")
    parser.add_argument("folder", type=Path)
    parser.add_argument("port", type=int, nargs="?", default=0)
    parser.add_argument("--host", default="127.0.0.1", choices=LOOPBACKS)
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        server = serve_page(find_home(options.folder), options.port, host=options.host)
    except PrivauditError as error:
        print(error, file=sys.stderr)
        return 2
    with server:
        print(server.url, flush=True)
        with suppress(KeyboardInterrupt):
            server.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())

__all__ = ["Server", "main", "read_url", "serve_page"]
