"""A small web server that bounds what a client may send, and for how long."""

from __future__ import annotations

import io
import socket
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from pipelines.deploy.pages import labels
from pipelines.deploy.pages import render as draw

PATIENCE = 10.0
"""Seconds from the first byte of a request to the last of its answer."""
LARGEST_HEAD, LARGEST_FORM = 16384, 4096
MOST_AT_ONCE = 16
LINGER, MOST_PIECES = 1.0, 16
"""Seconds and pieces of a refused request that are still taken."""
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src '{style}'; img-src data:; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    # Not `no-referrer`, with which browsers send `Origin: null` from our own form.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Connection": "close",
}


class Listener(ThreadingHTTPServer):
    """Hands each connection to a thread of its own; there are never many.

    Args:
        page: What handlers find as `server.page`.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64
    allow_reuse_port = False

    def __init__(
        self, page: Any, host: str, port: int, handler: type[BaseHTTPRequestHandler]
    ) -> None:
        self.page = page
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._places = threading.BoundedSemaphore(MOST_AT_ONCE)
        super().__init__((host, port), handler)

    def server_bind(self) -> None:
        # Not HTTPServer's, which asks a name server for this computer's name.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._places.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: a traceback would show the address."""


class _Bounded(io.RawIOBase):
    """What a client sends, until it has sent too much or taken too long."""

    def __init__(self, connection: socket.socket, until: float) -> None:
        self._connection, self._until = connection, until
        self._left = LARGEST_HEAD + LARGEST_FORM

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        seconds = self._until - time.monotonic()
        if seconds <= 0 or self._left <= 0:
            raise TimeoutError
        self._connection.settimeout(seconds)
        count = self._connection.recv_into(buffer, min(len(buffer), self._left))
        self._left -= count
        return count


class Handler(BaseHTTPRequestHandler):
    """One request, one answer, and the connection is closed."""

    def setup(self) -> None:
        super().setup()
        self.until = time.monotonic() + PATIENCE
        self.rfile = io.BufferedReader(_Bounded(self.connection, self.until), 2048)

    def handle(self) -> None:
        with suppress(OSError):
            try:
                self.handle_one_request()
            except OSError:
                raise
            except Exception:
                # Nothing of it is shown or logged: it may hold a path.
                self.send_error(500)

    def answer(self, code: int, page: str, to: str = "") -> None:
        """Send a page, or lead to another one."""
        content = page.encode("utf-8", "replace")
        self.send_response_only(code)
        if to:
            self.send_header("Location", to)
        for name, value in HEADERS.items():
            self.send_header(name, value.format(style=draw.style_hash()))
        if code == 405:
            self.send_header("Allow", "GET, POST")
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.connection.settimeout(max(0.1, self.until - time.monotonic()))
        self.wfile.write(content)
        self.close_connection = True
        if code >= 400:
            self._linger()

    def _linger(self) -> None:
        """Take what is still coming: closed with it unread, the connection would be reset, and the
        answer lost on its way."""
        until = time.monotonic() + LINGER
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            for _ in range(MOST_PIECES):
                self.connection.settimeout(max(0.01, until - time.monotonic()))
                if not self.connection.recv(16384):
                    return

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """A page that says what was refused, and nothing of the request or of the federation."""
        code = 405 if code == 501 else code
        text = labels.REFUSED.get(code, labels.REFUSED[400])
        with suppress(OSError):
            if self.request_version == "HTTP/0.9":
                self.request_version = "HTTP/1.0"
            self.answer(int(code), draw.render_message(text))
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the path holds the secret."""


__all__ = ["LARGEST_FORM", "Handler", "Listener"]
