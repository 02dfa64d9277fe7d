"""A federation on this machine: a coordinator and three hospitals in real processes, each with its
own folder, key and records."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from deploy.hospital_lab import NAMES, SMALL, make_schema, make_table
from deploy.kits import OPERATOR, SERVER

from pipelines.deploy import configure
from pipelines.deploy.certificates import (
    approve,
    make_kit,
    make_own_kit,
    make_request,
    make_root,
    read_signed,
)
from pipelines.deploy.consent import grant
from pipelines.deploy.flare.processes import Parent
from pipelines.deploy.homes import CoordinatorHome, HospitalHome, make_private
from pipelines.deploy.members import Federation
from pipelines.deploy.private_files import write_toml
from pipelines.deploy.terms import RunTerms


def find_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class Loopback:
    """Folders and processes; use it in a `with`, which ends every process."""

    def __init__(self, folder: Path, patients: int = 150) -> None:
        self.folder = folder
        self.home = CoordinatorHome(make_private(folder / "coordinator"))
        made = Federation("privaudit", SERVER, find_port(), OPERATOR, NAMES)
        root = make_root(self.home.root, made)
        self.federation = Federation(**{**asdict(made), "root": root.fingerprint})
        write_toml(self.home.config, asdict(self.federation))
        ca = self.home.root / "ca"
        for which in ("server", "operator"):
            make_own_kit(self.home.root, ca, self.federation, which)
        configure.configure_server(self.home.root / "server", len(NAMES))
        configure.configure_operator(self.home.root / "operator")
        schema = make_schema(folder / "schema.toml")
        self.homes = {}
        for place, name in enumerate(NAMES):
            self.homes[name] = self._join(name, ca, root.fingerprint)
            table = make_table(folder / f"{name}.csv", patients, place)
            data = {
                "task": "table",
                "path": str(table),
                "settings": [f"task.schema={schema}", "task.checked=all"],
                "refits": False,
                "least_patients": 20,
            }
            own = asdict(self.federation)
            own |= {"federation": own.pop("name"), "name": name, "data": data}
            write_toml(self.homes[name].config, own)
        self.parents: dict[str, Parent] = {"server": Parent("server", self.home.root)}
        self.parents |= {n: Parent("client", h.root) for n, h in self.homes.items()}

    def _join(self, name: str, ca: Path, fingerprint: str) -> HospitalHome:
        home = HospitalHome(make_private(self.folder / name))
        request = make_request(home.root, home.root / "request", "privaudit", name, "client")
        signed, _ = approve(self.home.root, ca, self.federation, request)
        stated, inner, root = read_signed(signed, name, fingerprint)
        kit = make_kit(home.root, name, stated, inner, root)
        configure.configure_hospital(kit, SERVER, self.federation.port)
        if kit != home.root / "kit":
            kit.rename(home.root / "kit")
        return home

    def __enter__(self) -> Loopback:
        for parent in self.parents.values():
            parent.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End everything: the hospitals first, who log out at the server."""
        clients = [parent for name, parent in self.parents.items() if name != "server"]
        threads = [threading.Thread(target=parent.stop) for parent in clients]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.parents["server"].stop()

    def terms(self, method: str = "federated", *settings: str, **more: Any) -> RunTerms:
        given = settings or tuple(part.replace("federated.", f"{method}.") for part in SMALL)
        values = {"run": "r1", "roster": NAMES, "least_patients": 20, "timeout": 20.0} | more
        return RunTerms(task="table", method=method, settings=given, **values)

    def consent(self, terms: RunTerms) -> None:
        for home in self.homes.values():
            grant(home, terms, "Dr Test")

    def lines(self, path: Path) -> list[dict[str, Any]]:
        with suppress(FileNotFoundError):
            return [json.loads(line) for line in path.read_text().splitlines() if line]
        return []
