"""Watches, within the server, who logs in: two processes that live with one hospital's kit are an
alarm, for the second takes the hospital's work over without a word."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipelines.deploy.homes import CoordinatorHome
from pipelines.deploy.journal import Event, Journal

LOGIN, LOGOUT = "login", "logout"
"""Events of connections.jsonl beside those of a run."""
FRESH = 25.0
"""Seconds within which a hospital that lives has spoken: it does so every 10."""
AGAIN_AFTER = 60.0
"""Seconds between two alarms about the same hospital."""


def connections(home: CoordinatorHome) -> Journal:
    """Logins, logouts and second logins at the federation's server."""
    return Journal(home.root / "connections.jsonl")


class Logins:
    """What the server has seen of tokens: NVFlare gives one to every login, and drops the one that
    stood.

    A hospital that ends logs out. A login while another process with the same kit has just spoken
    is an alarm, and so is an old token that speaks again. A hospital whose client crashed and began
    anew within `FRESH` seconds looks the same: the operator asks it by telephone.

    Args:
        journal: Where events go.
        clock: Seconds.
    """

    def __init__(self, journal: Journal, clock: Callable[[], float] = time.monotonic) -> None:
        self._journal, self._clock = journal, clock
        self._known: dict[str, str] = {}
        self._told: dict[str, float] = {}

    def login(self, name: str, token: str, silent: float | None = None) -> None:
        """A hospital was given a token.

        Args:
            silent: Seconds since its standing token last spoke; None where it had none.
        """
        self._known[name] = token
        self._journal.write(LOGIN, hospital=name)
        if silent is not None and silent < FRESH:
            self._alarm(name)

    def logout(self, name: str, token: str) -> None:
        """A hospital left, or was silent for too long."""
        if self._known.get(name) == token:
            del self._known[name]
            self._journal.write(LOGOUT, hospital=name)

    def heartbeat(self, name: str, token: str) -> None:
        """A token spoke."""
        known = self._known.get(name)
        if known is None:
            # The server began anew, and the hospital with it goes on.
            self.login(name, token)
        elif known != token:
            self._alarm(name)

    def _alarm(self, name: str) -> None:
        told = self._told.get(name)
        if told is None or self._clock() - told >= AGAIN_AFTER:
            self._told[name] = self._clock()
            self._journal.write(Event.ALARM, hospital=name, what="second_login")


def watch_logins(home: CoordinatorHome) -> None:
    """Follow NVFlare's list of clients; call it before the server starts."""
    from nvflare.private.fed.server.client_manager import ClientManager

    seen = Logins(connections(home))
    authenticate, heartbeat, remove = (
        ClientManager.authenticate,
        ClientManager.heartbeat,
        ClientManager.remove_client,
    )

    def authenticate_and_note(self: Any, request: Any, fl_ctx: Any) -> Any:
        before = dict(self.name_to_clients)
        client = authenticate(self, request, fl_ctx)
        # Relays, jobs and the operator log in here too.
        if client is not None and self.name_to_clients.get(client.name) is client:
            stood = before.get(client.name)
            silent = None if stood is None else time.time() - stood.last_connect_time
            seen.login(client.name, client.token, silent)
        return client

    def heartbeat_and_note(self: Any, token: str, name: str, fqcn: str, fl_ctx: Any) -> Any:
        new = heartbeat(self, token, name, fqcn, fl_ctx)
        seen.heartbeat(name, token)
        return new

    def remove_and_note(self: Any, token: str) -> Any:
        client = remove(self, token)
        if client is not None:
            seen.logout(client.name, token)
        return client

    ClientManager.authenticate = authenticate_and_note
    ClientManager.heartbeat = heartbeat_and_note
    ClientManager.remove_client = remove_and_note


def find_server_home(argv: list[str]) -> CoordinatorHome:
    """The federation's folder, from the server's own command line: its kit lies in it."""
    return CoordinatorHome(Path(argv[argv.index("-m") + 1]).absolute().parent)


__all__ = ["LOGIN", "LOGOUT", "Logins", "connections", "find_server_home", "watch_logins"]
