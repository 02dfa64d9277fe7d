"""HTTP to one server: one connection for all batches of a question, patience with limits, no
detours."""

from __future__ import annotations

import email.utils
import http.client
import json
import math
import os
import random
import re
import socket
import ssl
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from privaudit.errors import PrivauditError, spell
from privaudit.inputs.documents import refuse_depth
from privaudit.inputs.endpoints.address import Address

MAX_DEPTH = 8
"""Lists and tables within one another in an answer."""

BYTES_A_ROW, LEAST_BYTES = 1 << 14, 1 << 20
"""How large an answer may be: 16 kB for each row that was asked, and 1 MB beside."""

LONGEST_WAIT = 300.0
"""Seconds that a server may ask for; a longer pause is left to the user."""

AGAIN = (429, 500, 502, 503, 504)
"""Answers after which the same may be asked again."""


@dataclass(frozen=True)
class Patience:
    """How long and how often a server is waited for.

    timeout: seconds until an answer is complete; tries: of one question; pause: seconds before the
    second, doubled for each further one.
    """

    timeout: float = 60.0
    tries: int = 5
    pause: float = 0.5


class Unanswered(PrivauditError):
    """A question that got no usable answer. status: of HTTP, 0 where there was none."""

    def __init__(self, status: int, what: str, because: str, fix: str) -> None:
        super().__init__(what, because, fix)
        self.status = status


RESUME = "answers so far are stored: start the same again when that is mended"


@dataclass(eq=False)
class Transport:
    """One server. token_env: the environment variable of the token, "" for none; the token itself
    is read for each request and kept nowhere."""

    address: Address
    token_env: str = ""
    patience: Patience = Patience()
    connection: http.client.HTTPConnection | None = field(default=None, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "connection": None}

    def ask(self, path: str, body: Any = None, rows: int = 0) -> Any:
        """The server's JSON to a GET, or to a POST of `body`, which holds so many rows.

        Raises:
            Unanswered: What went wrong, in words of its own for each fault.
        """
        headers = self._headers()
        raw = None if body is None else json.dumps(body, allow_nan=False).encode()
        for attempt in range(1, self.patience.tries + 1):
            try:
                status, answer, wait = self._once(path, raw, headers, rows)
                if status == 200:
                    return read_json(answer)
                error = _explain(status)
            except Unanswered as fault:
                error, wait = fault, None
                if fault.status:
                    raise
            if error.status not in (0, *AGAIN) or attempt == self.patience.tries:
                raise error
            if wait is not None and wait > LONGEST_WAIT:
                raise Unanswered(
                    error.status,
                    f"a server that asks for a pause of {wait:,.0f} seconds",
                    f"at most {LONGEST_WAIT:.0f} are waited for",
                    RESUME,
                )
            delay = self.patience.pause * 2 ** (attempt - 1)
            time.sleep(delay * (1 + random.random() / 4) if wait is None else wait)
        raise AssertionError("unreachable")

    def _headers(self) -> dict[str, str]:
        headers = {
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "Content-Type": "application/json",
            # No server is to tell an audit from any other client.
            "User-Agent": "python-http",
        }
        if self.token_env:
            headers["Authorization"] = f"Bearer {read_token(self.token_env)}"
        return headers

    def _once(
        self, path: str, raw: bytes | None, headers: dict[str, str], rows: int
    ) -> tuple[int, bytes, float | None]:
        deadline = time.monotonic() + self.patience.timeout
        link = self._connect()
        # A server that sends a byte now and then meets the time-out of no single read.
        watch = threading.Timer(self.patience.timeout + 1, _cut, (link,))
        watch.daemon = True
        watch.start()
        try:
            link.request("GET" if raw is None else "POST", path, raw, headers)
            response = link.getresponse()
            if time.monotonic() > deadline:
                raise TimeoutError
            status = response.status
            if 300 <= status < 400:
                raise _redirected()
            answer = _read(response, LEAST_BYTES + BYTES_A_ROW * rows, deadline)
            if response.will_close:
                self.close()
            return status, answer, _read_wait(response.headers.get("Retry-After"))
        except PrivauditError:
            self.close()
            raise
        except Exception as error:
            self.close()
            raise _lost(error) from None
        finally:
            watch.cancel()

    def _connect(self) -> http.client.HTTPConnection:
        if self.connection is None:
            where = self.address
            if where.secure:
                self.connection = http.client.HTTPSConnection(
                    where.host,
                    where.port,
                    timeout=self.patience.timeout,
                    context=ssl.create_default_context(),
                )
            else:
                self.connection = http.client.HTTPConnection(
                    where.host, where.port, timeout=self.patience.timeout
                )
        return self.connection

    def close(self) -> None:
        """Close the connection; the next question opens another."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None


def _cut(link: http.client.HTTPConnection) -> None:
    """End a connection, whoever waits for it."""
    with suppress(OSError, AttributeError):
        link.sock.shutdown(socket.SHUT_RDWR)


def read_token(name: str) -> str:
    """The token that an environment variable holds.

    Raises:
        PrivauditError: There is none, or it cannot stand in a header. The value is never shown.
    """
    token = os.environ.get(name, "").strip()
    if not re.fullmatch(r"[A-Za-z_]\w*", name):
        raise PrivauditError(
            "a name that is not that of an environment variable",
            "the token itself is never given on the command line, where others see it",
            "put the token into a variable and name that: --token-env NAME",
        )
    if not token:
        raise PrivauditError(
            f"the environment variable {name} is not set",
            "it holds the token for the server",
            f"set it: export {name}=...",
        )
    if not token.isascii() or not token.isprintable() or " " in token:
        raise PrivauditError(
            f"the environment variable {name} holds no token",
            "a token is one word of printable letters and digits",
            "set it to the token alone",
        )
    return token


def read_json(raw: bytes) -> Any:
    """Strict JSON: no key twice, no NaN or infinity, bounded in depth.

    Raises:
        Unanswered: It is none.
    """
    try:
        tree = json.loads(
            raw.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse_constant
        )
        refuse_depth(tree, MAX_DEPTH)
    except (ValueError, RecursionError, PrivauditError) as error:
        if isinstance(error, _NotFinite):
            raise Unanswered(
                200,
                "a server that answered with NaN or infinity",
                "a probability is finite; models that cannot read missing values answer so",
                "fill missing values in before the model is asked, or mend the server",
            ) from None
        raise Unanswered(
            200,
            "a server that answered with what is no JSON",
            "the answer was cut short, is a page for people, or comes from something else",
            "check the address, and ask the server yourself about one made-up row",
        ) from None
    return tree


class _NotFinite(ValueError):
    pass


def _refuse_constant(text: str) -> float:
    raise _NotFinite(text)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key twice")
    return made


def _read(response: http.client.HTTPResponse, most: int, deadline: float) -> bytes:
    stated = response.headers.get("Content-Length", "")
    if stated.isdigit() and int(stated) > most:
        raise _too_large(most)
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Unanswered(
            200,
            "a server that packed its answer, which was not asked for",
            "what a packed answer unpacks to has no limit",
            "switch compression off for this address",
        )
    parts, size, left = [], 0, response.length
    # No more than what is left is read at once: some versions of http.client wait for it.
    while left != 0 and (part := response.read1(1 << 16 if left is None else min(left, 1 << 16))):
        parts.append(part)
        size += len(part)
        left = None if left is None else left - len(part)
        if size > most:
            raise _too_large(most)
        if time.monotonic() > deadline:
            raise TimeoutError
    if left:
        raise http.client.IncompleteRead(b"", left)
    response.close()
    return b"".join(parts)


def _read_wait(text: str | None) -> float | None:
    """Seconds of a Retry-After, which is a number or a date; None for neither."""
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = (email.utils.parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
        except (TypeError, ValueError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _too_large(most: int) -> Unanswered:
    return Unanswered(
        200,
        f"an answer of more than {most >> 20} MB",
        "probabilities of these rows are far smaller",
        "check that the address is that of the model",
    )


def _redirected() -> Unanswered:
    return Unanswered(
        300,
        "a server that sends the question elsewhere (a redirect)",
        "rows of patients and the token go to the address that was given and to no other",
        "give the address that it sends to, if you trust it",
    )


def _lost(error: Exception) -> Unanswered:
    if isinstance(error, ssl.SSLCertVerificationError):
        return Unanswered(
            300,
            "a server whose certificate cannot be verified",
            "it is self-signed, out of date, or made for another host; somebody else may answer",
            "name your authority's certificates in the environment variable SSL_CERT_FILE",
        )
    if isinstance(error, ssl.SSLError):
        return Unanswered(
            300,
            "no encrypted connection could be made",
            "the server does not speak TLS here, or only an outdated version of it",
            "check the scheme and the port of the address",
        )
    if isinstance(error, socket.gaierror):
        return Unanswered(
            300,
            "the host of the address is not known",
            "its name cannot be looked up from this machine",
            "check the address and the network",
        )
    if isinstance(error, TimeoutError):
        return Unanswered(
            0,
            "the server did not answer in time",
            "it is overloaded, or a batch takes it longer than the time-out",
            spell("give --timeout SECONDS or a smaller --batch", "give a longer timeout=")
            + f"; {RESUME}",
        )
    if isinstance(error, ConnectionRefusedError):
        return Unanswered(
            0,
            "the connection was refused",
            "no server listens at this host and port (any more)",
            f"start it, or check the address; {RESUME}",
        )
    return Unanswered(
        0,
        "the connection broke before the answer was complete",
        f"the server ended, or its answer was cut short ({type(error).__name__})",
        RESUME,
    )


def _explain(status: int) -> Unanswered:
    """One sentence for each status; the server's own words are not shown, they may quote cells."""
    if status in (401, 403):
        what = "no token" if status == 401 else "no right to ask this model"
        return Unanswered(
            status,
            f"the server refused access (HTTP {status}: {what})",
            "the token is absent, out of date, or not meant for this model",
            "name the environment variable that holds it: "
            + spell("--token-env NAME", "token_env='NAME'"),
        )
    if status == 404:
        return Unanswered(
            status,
            "the server knows no such model (HTTP 404)",
            "the name, the version or the path of the address is another one, or the model is not "
            "loaded",
            "check the address; the server lists what it holds",
        )
    if status in (400, 422):
        return Unanswered(
            status,
            f"the server does not accept the question (HTTP {status})",
            "it expects other columns, types or no missing values, or has no such output; its own "
            "message is not shown, it may quote cells",
            "give the table as in training, and say how it is sent: "
            + spell("--inputs columns or --inputs tensor, --output NAME", "inputs=, output="),
        )
    if status == 413:
        return Unanswered(
            status,
            "a single row is too large for the server (HTTP 413)",
            "it limits the size of a question",
            "raise its limit",
        )
    if status == 429:
        return Unanswered(
            status,
            "the server asks to be left alone (HTTP 429)",
            "more was asked in a time than it allows",
            f"wait until its limit is free again; {RESUME}",
        )
    if status >= 500:
        return Unanswered(
            status,
            f"the server failed (HTTP {status})",
            "the model raised an error, or what stands before it could not reach it; its own "
            "message is not shown, it may quote cells",
            f"look into its log; if the columns are at fault, give them as in training; {RESUME}",
        )
    return Unanswered(
        status,
        f"the server answered with HTTP {status}",
        "an answer of the model has HTTP 200",
        "check the address",
    )


__all__ = ["Patience", "Transport", "Unanswered", "read_json", "read_token"]
