"""What a hospital looks at before anything of its own starts: each check with a code, a result and
numbers, each within a time limit.

NVFlare's client waits without a word when a certificate is foreign or expired, so that all of it is
looked at here. Nothing of a patient is in the results but how many there are, and that not below
ten.
"""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from pipelines.deploy.build import source_digest
from pipelines.deploy.homes import HospitalHome
from pipelines.deploy.identity import HOSPITAL, SERVER, Identity, Root, read_certificate
from pipelines.deploy.look_at_data import look_at_data, terms_of_no_run
from pipelines.deploy.private_files import find_open_to_others
from privaudit.errors import PrivauditError

SECONDS = 10.0
"""For what asks the network; a data set may take longer."""
DATA_SECONDS = 1800.0
DISK = 1 << 30
"""Bytes that have to be free."""
SMALL = 10
"""Fewer patients than this are not counted out."""
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\x04\0\0\0\0\0"
"""What a client of HTTP/2 says first: the greeting and empty settings (RFC 9113, 3.4)."""


class Code(StrEnum):
    """What is looked at, in this order."""

    ROOT = "root"
    KEY = "key"
    CERTIFICATE = "certificate"
    NAME = "name"
    PRIVATE = "private"
    ROSTER = "roster"
    BUILD = "build"
    DISK = "disk"
    HOST = "host"
    PORT = "port"
    SERVER = "server"
    ACCEPTED = "accepted"
    CLOCK = "clock"
    DATA = "data"
    PATIENTS = "patients"


WORDS: Mapping[Code, str] = {
    Code.ROOT: "the root's fingerprint is the one that was read out",
    Code.KEY: "the private key belongs to the certificate",
    Code.CERTIFICATE: "the root signed the certificate, and it is valid today",
    Code.NAME: "the certificate is this hospital's",
    Code.PRIVATE: "nobody else on this machine can read the folder",
    Code.ROSTER: "this hospital is in the roster, with two others or more",
    Code.BUILD: "the installed code is the coordinator's",
    Code.DISK: "there is room on the disk",
    Code.HOST: "the coordinator's name leads to an address",
    Code.PORT: "something answers at its port",
    Code.SERVER: "the server there has a certificate of the same root for this name",
    Code.ACCEPTED: "the server accepts this hospital's certificate",
    Code.CLOCK: "the clock is within the dates of both certificates",
    Code.DATA: "the task's records open",
    Code.PATIENTS: "there are enough patients to train on",
}


class Outcome(StrEnum):
    """How a check ended. `noted`: looked at, and no reason to stop. `skipped`: one before it
    failed."""

    OK = "ok"
    FAILED = "failed"
    NOTED = "noted"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Check:
    """One check. error: why it failed, as `PrivauditError` says it. facts: numbers and names."""

    code: Code
    outcome: Outcome
    facts: Mapping[str, Any] = field(default_factory=dict)
    error: PrivauditError | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        made: dict[str, Any] = {"check": str(self.code), "outcome": str(self.outcome)}
        if self.facts:
            made["facts"] = dict(self.facts)
        if self.error:
            made |= {
                "what": self.error.what,
                "because": self.error.because,
                "do": self.error.fix,
            }
        return made


def run_preflight(
    home: HospitalHome,
    kit: Path,
    with_data: bool = True,
    seconds: float = SECONDS,
) -> Iterator[Check]:
    """Every check in order, each as soon as it is made; one that needs another that failed is
    skipped.

    Args:
        kit: NVFlare's folder, which may not be in its place yet.
        with_data: Whether the records are opened too.
        seconds: Time limit of each check that asks the network.
    """
    said = read_hospital(home)
    looks = _Looks(home, kit, said, seconds)
    failed: set[Code] = set()
    for code, look, needs in looks.all(with_data):
        if failed & set(needs):
            check = Check(code, Outcome.SKIPPED)
        else:
            check = _look(code, look, DATA_SECONDS + seconds if code is Code.DATA else seconds)
        if check.outcome in (Outcome.FAILED, Outcome.SKIPPED):
            failed.add(code)
        yield check


def read_hospital(home: HospitalHome) -> dict[str, Any]:
    """hospital.toml; PrivauditError where it lacks what every command needs."""
    said = home.read()
    kinds: dict[str, type] = {"name": str, "host": str, "port": int, "operator": str, "root": str}
    kinds |= {"hospitals": list, "data": dict}
    if wrong := sorted(name for name, kind in kinds.items() if type(said.get(name)) is not kind):
        raise PrivauditError(
            f"a hospital.toml without {', '.join(wrong)}",
            "it was changed by hand, or the hospital has not joined yet",
            "join again with the signed file: privaudit federation join DIR --signed FILE",
        )
    return said


Found = tuple[Outcome, Mapping[str, Any]]


class _Looks:
    def __init__(
        self, home: HospitalHome, kit: Path, said: Mapping[str, Any], seconds: float
    ) -> None:
        self.home, self.kit, self.said, self.seconds = home, kit, said, seconds
        self.root: Any = None
        self.own: Any = None
        self.server: bytes = b""
        self.data: Any = None

    def all(self, with_data: bool) -> Iterator[tuple[Code, Callable[[], Found], tuple[Code, ...]]]:
        yield Code.ROOT, self.look_at_root, ()
        yield Code.KEY, self.look_at_key, ()
        yield Code.CERTIFICATE, self.look_at_certificate, (Code.ROOT, Code.KEY)
        yield Code.NAME, self.look_at_name, (Code.CERTIFICATE,)
        yield Code.PRIVATE, self.look_at_rights, ()
        yield Code.ROSTER, self.look_at_roster, ()
        yield Code.BUILD, self.look_at_build, ()
        yield Code.DISK, self.look_at_disk, ()
        yield Code.HOST, self.look_at_host, ()
        yield Code.PORT, self.look_at_port, (Code.HOST,)
        yield Code.SERVER, self.look_at_server, (Code.PORT, Code.ROOT, Code.KEY)
        yield Code.ACCEPTED, self.look_at_answer, (Code.SERVER, Code.CERTIFICATE)
        yield Code.CLOCK, self.look_at_clock, (Code.CERTIFICATE, Code.SERVER)
        if with_data:
            yield Code.DATA, self.look_at_data, ()
            yield Code.PATIENTS, self.look_at_patients, (Code.DATA,)

    def look_at_root(self) -> Found:
        self.root = Root.load(self.kit, str(self.said.get("root", "")))
        return Outcome.OK, {"fingerprint": self.root.fingerprint}

    def look_at_key(self) -> Found:
        self.own = Identity.load(self.kit)
        return Outcome.OK, {}

    def look_at_certificate(self) -> Found:
        self.root.vouch(self.own.certificate)
        end = read_certificate(self.own.certificate).not_valid_after_utc
        days = int((end.timestamp() - time.time()) // 86400)
        return (Outcome.OK if days >= 30 else Outcome.NOTED), {"days_left": days}

    def look_at_name(self) -> Found:
        if (self.own.name, self.own.role) != (self.said["name"], HOSPITAL):
            raise PrivauditError(
                f"a certificate of {self.own.name}, whose role is {self.own.role}",
                f"this is the folder of the hospital {self.said['name']}",
                "use the file that the coordinator signed for this hospital",
            )
        return Outcome.OK, {"name": self.own.name}

    def look_at_rights(self) -> Found:
        # The folder's own rights would do; those of what was made before it was closed too.
        request = self.home.root / "request"
        folders = [folder for folder in (self.kit, request) if folder.is_dir()]
        many = sum(map(find_open_to_others, folders))
        many += bool(self.home.root.stat().st_mode & 0o077)
        if many:
            raise PrivauditError(
                f"{many} files and folders that other users of this machine can read",
                "a private key and logs are among them",
                "chmod -R go= the folder",
            )
        return Outcome.OK, {}

    def look_at_roster(self) -> Found:
        # The rules of a roster are those of the terms of a run.
        terms = terms_of_no_run(self.said)
        if self.said["name"] not in terms.roster:
            raise PrivauditError(
                "a roster without this hospital",
                f"it names {', '.join(terms.roster)}",
                "ask the coordinator to sign this hospital's request",
            )
        return Outcome.OK, {"hospitals": len(terms.roster), "operator": self.said["operator"]}

    def look_at_build(self) -> Found:
        own, stated = source_digest(), str(self.said.get("build", ""))
        # The coordinator may have installed another since it signed: the run itself compares.
        same = own == stated
        return (Outcome.OK if same else Outcome.NOTED), {"here": own[:16], "there": stated[:16]}

    def look_at_disk(self) -> Found:
        free = shutil.disk_usage(self.home.root).free
        if free < DISK:
            raise PrivauditError(
                f"{free / DISK:.2f} GiB of free disk space",
                "states, logs and prepared records need 1 GiB at least",
                "make room",
            )
        return Outcome.OK, {"free_gib": round(free / DISK, 1)}

    def look_at_host(self) -> Found:
        host, port = str(self.said["host"]), int(self.said["port"])
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError:
            raise PrivauditError(
                f"no address for {host}",
                "neither DNS nor /etc/hosts of this machine knows it",
                "add the line that the coordinator gives you to /etc/hosts",
            ) from None
        return Outcome.OK, {"host": host, "addresses": len({part[4][0] for part in found})}

    def look_at_port(self) -> Found:
        with self._connect():
            return Outcome.OK, {"port": int(self.said["port"])}

    def look_at_server(self) -> Found:
        host = str(self.said["host"])
        try:
            with (
                self._connect() as line,
                self._tls().wrap_socket(line, server_hostname=host) as secure,
            ):
                self.server = ssl.DER_cert_to_PEM_cert(secure.getpeercert(True) or b"").encode()
        except ssl.SSLCertVerificationError as error:
            raise PrivauditError(
                f"a server at {host} whose certificate is not that of this federation",
                f"{error.verify_message[:100]}",
                "somebody else answers at this address: telephone the coordinator",
            ) from None
        except (ssl.SSLError, OSError) as error:
            raise self._no_tls(error) from None
        found = self.root.vouch(self.server)
        if found.role != SERVER:
            raise PrivauditError(
                f"a server at {host} with the certificate of {found.name}, a {found.role}",
                "a party of the federation stands in for the coordinator",
                "telephone the coordinator",
            )
        return Outcome.OK, {"name": found.name}

    def look_at_answer(self) -> Found:
        """The server judges a certificate after the handshake, so it has to be heard once."""
        host = str(self.said["host"])
        try:
            with (
                self._connect() as line,
                self._tls().wrap_socket(line, server_hostname=host) as secure,
            ):
                secure.sendall(_PREFACE)
                answer = secure.recv(9)
        except (ssl.SSLError, OSError) as error:
            raise self._no_tls(error) from None
        if len(answer) < 4 or answer[3] != 4:
            raise PrivauditError(
                f"no settings of HTTP/2 from {host}",
                "what answers there is no NVFlare server, or it refuses this certificate",
                "telephone the coordinator",
            )
        return Outcome.OK, {}

    def look_at_clock(self) -> Found:
        """Neither TLS nor HTTP/2 tells the server's time, so the dates are all there is: this clock
        is after the start of both certificates. Where they are young that is a narrow bound."""
        made = (read_certificate(self.own.certificate), read_certificate(self.server))
        start = max(part.not_valid_before_utc.timestamp() for part in made)
        return Outcome.NOTED, {
            "seconds_after_start": int(time.time() - start),
            "compared_with_server": False,
        }

    def look_at_data(self) -> Found:
        self.data = look_at_data(self.home, DATA_SECONDS)
        return Outcome.OK, {"task": self.data.task, "schema": self.data.schema[:16]}

    def look_at_patients(self) -> Found:
        many, least = self.data.patients, self.data.least
        if many < least:
            shown = str(many) if many >= SMALL else f"fewer than {SMALL}"
            raise PrivauditError(
                f"{shown} patients to train on",
                f"at least {least} are asked for: an update of few patients holds their records",
                "leave this federation to larger hospitals, or add patients",
            )
        return Outcome.OK, {"patients": many if many >= SMALL else None, "least": least}

    def _connect(self) -> socket.socket:
        host, port = str(self.said["host"]), int(self.said["port"])
        try:
            return socket.create_connection((host, port), timeout=self.seconds / 2)
        except OSError as error:
            why = "it does not answer in time" if isinstance(error, TimeoutError) else "it refuses"
            raise PrivauditError(
                f"no connection to {host}:{port}",
                f"{why}: a firewall, another port, or the server is not started",
                "ask the coordinator whether `privaudit federation server` runs; one TCP port out"
                " is all that this hospital needs",
            ) from None

    def _tls(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_verify_locations(self.kit / "startup" / "rootCA.pem")
        context.set_alpn_protocols(["h2"])
        startup = self.kit / "startup"
        context.load_cert_chain(startup / "client.crt", startup / "client.key")
        return context

    def _no_tls(self, error: Exception) -> PrivauditError:
        host, port = self.said["host"], self.said["port"]
        if isinstance(error, ssl.SSLError):
            reason = str(error.reason or "no reason given").lower().replace("_", " ")[:60]
        else:
            reason = (
                "the connection was cut" if not isinstance(error, TimeoutError) else "no answer"
            )
        return PrivauditError(
            f"no TLS connection with {host}:{port}",
            f"{reason}: the server does not know this hospital's certificate, or is no server",
            "telephone the coordinator; compare the fingerprint and the clocks",
        )


def _look(code: Code, look: Callable[[], Found], seconds: float) -> Check:
    """One check in a thread, because a name server may keep a process waiting for minutes."""
    found: list[Check] = []
    bugs: list[BaseException] = []

    def run() -> None:
        try:
            outcome, facts = look()
            found.append(Check(code, outcome, facts))
        except PrivauditError as error:
            found.append(Check(code, Outcome.FAILED, error=error))
        except OSError as error:
            found.append(Check(code, Outcome.FAILED, error=_system(error)))
        except BaseException as error:
            bugs.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if bugs:
        raise bugs[0]
    if found:
        return found[0]
    late = PrivauditError(
        f"no end of the check `{code}` within {seconds:.0f} s",
        "the network or the disk does not answer",
        "look at the connection of this machine, and run the same command again",
    )
    return Check(code, Outcome.FAILED, error=late)


def _system(error: OSError) -> PrivauditError:
    """Without the file's name."""
    return PrivauditError(
        "a file or a connection that cannot be used",
        os.strerror(error.errno) if error.errno else "the operating system refuses it",
        "check the folder's rights, and run the same command again",
    )


__all__ = ["WORDS", "Check", "Code", "Outcome", "read_hospital", "run_preflight"]
