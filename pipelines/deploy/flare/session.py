"""The operator's session with the server, with NVFlare's errors in words and a limit on every
wait."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from pipelines.deploy.homes import CoordinatorHome, make_private
from privaudit.errors import PrivauditError

CONNECTS_IN = 20.0
ANSWERS_IN = 20.0
"""Seconds for which the server may take to answer a command."""
ENDED: Final = ("FINISHED", "ABORTED", "ABANDONED", "FAILED")
T = TypeVar("T")
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Seen:
    """A hospital that the server knows: its name and when it last spoke (seconds since 1970)."""

    name: str
    last: float


@dataclass(frozen=True)
class Standing:
    """What the server says of itself.

    Args:
        hospitals: Those that are logged in.
        jobs: The jobs that run.
        since: When the server began, seconds since 1970; None where it does not say.
    """

    hospitals: tuple[Seen, ...]
    jobs: tuple[str, ...]
    since: float | None


class OperatorSession:
    """A secure session with the operator's kit. Use it in a `with`.

    Args:
        home: The federation's folder.
    """

    def __init__(self, home: CoordinatorHome) -> None:
        self._home = home
        self._session: Any = None
        self._put_back: Callable[[], None] = lambda: None

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def open(self) -> None:
        """Log in; PrivauditError where that is refused or takes too long."""
        config = self._home.read()
        kit = self._home.root.absolute() / "operator"
        if not (kit / "startup" / "fed_admin.json").is_file():
            raise PrivauditError(
                "a folder without the operator's kit",
                "only the operator may start runs",
                "make it with `privaudit federation provision`",
            )
        self._put_back = _keep_apart(self._home)
        make_private(kit / "transfer")
        try:
            self._session = within(CONNECTS_IN + 5, lambda: _connect(str(config["operator"]), kit))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Log out; a server that is gone is no error."""
        session, self._session = self._session, None
        try:
            if session is not None:
                with suppress(PrivauditError):
                    within(5.0, session.close)
        finally:
            put_back, self._put_back = self._put_back, lambda: None
            put_back()

    def submit(self, job: Path) -> str:
        """Hand the job to the server, and get its number."""
        return str(self._ask(lambda session: session.submit_job(str(job.absolute()))))

    def look(self) -> Standing:
        """Who is connected and what runs."""
        info = self._ask(lambda session: session.get_system_info())
        return Standing(
            tuple(
                Seen(str(part.name), float(part.last_connect_time or 0))
                for part in sorted(info.client_info, key=lambda part: str(part.name))
            ),
            tuple(str(part.job_id) for part in info.job_info),
            None if info.server_info.start_time is None else float(info.server_info.start_time),
        )

    def state(self, job: str) -> str:
        """What the server says of the job: SUBMITTED, RUNNING, FINISHED:COMPLETED and others."""
        return str(self._ask(lambda session: session.get_job_status(job)))

    def has_ended(self, job: str) -> bool:
        """Whether nothing of the job runs any more."""
        return self.state(job).startswith(ENDED)

    def abort(self, job: str) -> None:
        """End the job; one that has ended is no error."""
        try:
            self._ask(lambda session: session.abort_job(job))
        except PrivauditError:
            if not self.has_ended(job):
                raise

    def jobs(self, run: str) -> tuple[str, ...]:
        """The jobs of a run that have not ended."""
        found = self._ask(lambda session: session.list_jobs(name_prefix=f"privaudit-{run}"))
        return tuple(
            str(job["job_id"])
            for job in found
            if job.get("job_name") == f"privaudit-{run}"
            and not str(job.get("status")).startswith(ENDED)
        )

    def _ask(self, command: Callable[[Any], T]) -> T:
        session = self._session
        if session is None:
            raise _NOT_OPEN
        return within(ANSWERS_IN, lambda: command(session))


_NOT_OPEN = PrivauditError(
    "a session that is not open", "it was closed, or the server went away", "open it again"
)


def _connect(user: str, kit: Path) -> Any:
    from nvflare.fuel.flare_api.flare_api import new_secure_session
    from nvflare.fuel.hci.client import api

    # It writes to the operator's terminal otherwise.
    api._print_hci_message = _LOG.debug

    return new_secure_session(
        user,
        str(kit),
        timeout=CONNECTS_IN,
        command_timeout=ANSWERS_IN,
        auto_login_max_tries=2,
    )


def within(seconds: float, call: Callable[[], T]) -> T:
    """The call's result; PrivauditError in words where it fails or takes longer.

    A call that takes longer goes on in a thread that nobody waits for: NVFlare's own limits do not
    hold where the other side has another certificate.
    """
    came: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            came.append(call())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if failed:
        raise in_words(failed[0]) from None
    if not came and thread.is_alive():
        raise PrivauditError(
            f"no answer of the server within {seconds:.0f} seconds",
            "it is not running, another machine answers at its address, or the certificates of the"
            " two are of different federations",
            "start it with `privaudit federation server`, and look at its log",
        )
    return came[0]


_WORDS: Final[Mapping[str, tuple[str, str, str]]] = {
    "AuthenticationError": (
        "a login that the server refused",
        "it does not know this certificate, or the clocks differ",
        "use the operator's kit of this federation",
    ),
    "AuthorizationError": (
        "a command that the server does not allow",
        "the role in the certificate may not do this",
        "use the operator's kit: its role is lead",
    ),
    "NoConnection": (
        "no connection to the server",
        "it is not running, or something between the two stops it",
        "start it with `privaudit federation server`",
    ),
    "FLCommunicationError": (
        "no connection to the server",
        "it is not running, or something between the two stops it",
        "start it with `privaudit federation server`",
    ),
    "InvalidJobDefinition": (
        "a job that the server refused",
        "it names a class that is not allowed, or brings code",
        "run the same version of privaudit at the coordinator and every hospital",
    ),
    "NoClientsAvailable": (
        "no hospital that is connected",
        "a job needs the quorum of the run",
        "wait until the hospitals have started theirs",
    ),
    "SessionClosed": (
        "a session that the server closed",
        "it was idle for too long, or the server began anew",
        "the command tries again by itself",
    ),
    "JobNotFound": (
        "a job that the server does not know",
        "its store was emptied",
        "start the run again: it goes on from its last round",
    ),
    "InternalError": (
        "a command that the server refused or failed at",
        "a job that is not allowed and a fault of the server look the same from here",
        "look at logs/server.log in the federation's folder",
    ),
}
_ALSO: Final = {
    "SessionExpired": "SessionClosed",
    "ConnectionError": "NoConnection",
    "JobNotRunning": "JobNotFound",
    "NoReply": "NoConnection",
}


def in_words(error: BaseException) -> PrivauditError:
    """NVFlare's error in words, by its class: its own texts hold paths and names of parts."""
    if isinstance(error, PrivauditError):
        return error
    name = type(error).__name__
    what, because, fix = _WORDS[_ALSO.get(name, name if name in _WORDS else "InternalError")]
    return PrivauditError(what, because, fix)


def is_gone(error: PrivauditError) -> bool:
    """Whether the server is away for now: another session may do what this one could not."""
    away = ("NoConnection", "SessionClosed")
    return error.what in {_WORDS[name][0] for name in away} or error.what.startswith("no answer")


def is_refusal(error: PrivauditError) -> bool:
    """Whether the server said no in a way that can pass: it does while it starts or ends."""
    return error.what in {_WORDS[name][0] for name in ("AuthenticationError", "InternalError")}


def _keep_apart(home: CoordinatorHome) -> Callable[[], None]:
    """NVFlare's own files of the operator in the federation's folder, for the operator alone, and
    no lines of its; gives what puts this process back as it was."""
    names = ("HOME", "NVFLARE_SECURE_LOGGING")
    before = {name: os.environ.get(name) for name in names}
    mask, logger = os.umask(0o077), logging.getLogger("nvflare")
    level = logger.level
    os.environ["HOME"] = str(make_private(home.root.absolute() / "home"))
    os.environ["NVFLARE_SECURE_LOGGING"] = "true"
    logger.setLevel(logging.CRITICAL)

    def put_back() -> None:
        os.umask(mask)
        logger.setLevel(level)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

    return put_back


__all__ = ["OperatorSession", "Seen", "Standing", "in_words", "is_gone", "is_refusal", "within"]
