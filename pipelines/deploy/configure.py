"""The local configuration of kits: what NVFlare's defaults leave open is closed here.

Written anew whenever a process starts, so that a kit that was moved or changed by hand works by
what stands here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.deploy.homes import make_private
from pipelines.deploy.private_files import close_to_others, write_json
from privaudit.errors import PrivauditError

CONTROLLER = "pipelines.deploy.flare.controller.Federate"
EXECUTOR = "pipelines.deploy.flare.executor.SiteExecutor"
OUTBOX = "pipelines.deploy.flare.outbox.Outbox"
LAUNCHER = "pipelines.deploy.flare.launcher.Persistent"
"""The only classes that a job or a kit's configuration may name."""

_NOTHING = dict.fromkeys(
    (
        *("submit_job", "clone_job", "manage_job", "download_job", "view", "operate"),
        *("shell_commands", "byoc", "server-predeployed-flwr"),
    ),
    "none",
)
PERMISSIONS = {
    "lead": {**_NOTHING, "submit_job": "any", "manage_job": "n:submitter", "view": "any"},
    "org_admin": {**_NOTHING, "view": "o:site", "operate": "o:site"},
    "member": _NOTHING,
}
"""No role may bring code or open a shell. There is no project_admin, who could do anything."""


def configure_hospital(kit: Path, host: str, port: int) -> None:
    """Close a hospital's kit.

    Raises:
        PrivauditError: It is no kit of NVFlare, or names another server.
    """
    _check_server(kit, host, port)
    made = _defaults(kit)
    made["class_list_enforcement_mode"] = "enforce"
    made["class_allow_list"] = [EXECUTOR, OUTBOX, LAUNCHER]
    # Error logs would leave beside every filter.
    made["allow_log_streaming"] = False
    made["components"] = [
        _replace(part) for part in made["components"] if part.get("id") != "site_log_streamer"
    ]
    _write(kit, "fed_client.json", made)
    outbox = {"path": OUTBOX, "args": {}, "direction": "out"}
    scope = {
        "name": "outbox",
        "properties": {},
        "task_result_filters": [outbox],
        "task_data_filters": [],
    }
    # One scope: a job that names another is refused.
    write_json(kit / "local" / "privacy.json", {"scopes": [scope], "default_scope": "outbox"})
    _close(kit)


def configure_server(kit: Path, hospitals: int) -> None:
    """Close the coordinator's server kit.

    Args:
        hospitals: How many there are.

    Raises:
        PrivauditError: It is no kit of NVFlare.
    """
    made = _defaults(kit)
    made["class_list_enforcement_mode"] = "enforce"
    made["class_allow_list"] = [CONTROLLER]
    made["allow_log_streaming"] = False
    made["servers"][0] |= {"max_num_clients": hospitals, "heart_beat_timeout": 30}
    # A folder that everybody on the machine may read is the default of both.
    jobs, snapshots = make_private(kit / "jobs"), make_private(kit / "snapshots")
    made["snapshot_persistor"]["args"]["storage"]["args"]["root_dir"] = str(snapshots.absolute())
    made["components"] = [p for p in made["components"] if p.get("id") != "log_receiver"]
    arguments = {
        "job_manager": {"uri_root": str(jobs.absolute())},
        "job_scheduler": {"max_jobs": 1},
    }
    for part in made["components"]:
        part.setdefault("args", {}).update(arguments.get(part.get("id"), {}))
    _write(kit, "fed_server.json", made)
    _close(kit)


def configure_operator(kit: Path) -> None:
    """Close the operator's kit."""
    make_private(kit / "transfer")
    _close(kit)


def _replace(part: dict[str, Any]) -> dict[str, Any]:
    return {**part, "path": LAUNCHER} if part.get("id") == "process_launcher" else part


def _defaults(kit: Path) -> dict[str, Any]:
    made = _read(kit / "local" / "resources.json.default")
    known = {"resource_manager", "resource_consumer", "process_launcher", "site_log_streamer"}
    known |= {"job_scheduler", "job_manager", "job_store", "log_receiver"}
    parts = made.get("components")
    found = {str(p.get("id")) for p in parts} if isinstance(parts, list) else set()
    if "process_launcher" not in found or found - known:
        raise PrivauditError(
            "a kit whose parts are not those of NVFlare 2.9",
            f"it has {', '.join(sorted(found)) or 'none'}",
            "make it with NVFlare 2.9: pip install 'privaudit[federation]'",
        )
    return made


def _write(kit: Path, startup: str, resources: Mapping[str, Any]) -> None:
    local = kit / "local"
    write_json(local / "resources.json", resources)
    write_json(local / "authorization.json", {"format_version": "1.0", "permissions": PERMISSIONS})
    write_json(local / "log_config.json", _quiet(_read(local / "log_config.json.default")))
    begin = _read(kit / "startup" / startup)
    # The default where a root is there; written so that a change of the default opens nothing.
    write_json(kit / "startup" / startup, {**begin, "require_signed_jobs": True})
    make_private(kit / "transfer")


def _quiet(made: dict[str, Any]) -> dict[str, Any]:
    """Warnings alone, and what our own modules say."""
    loggers = made.setdefault("loggers", {})
    for logger in loggers.values():
        if isinstance(logger, dict):
            logger["level"] = "WARNING"
    if isinstance(loggers.get("root"), dict):
        loggers["root"]["level"] = "WARNING"
    loggers["pipelines"] = {"level": "INFO"}
    return made


def _close(kit: Path) -> None:
    # They start a client that lets the server run commands; `join` starts one that does not.
    for path in (kit / "startup").glob("*.sh"):
        path.unlink()
    close_to_others(kit)


def _check_server(kit: Path, host: str, port: int) -> None:
    begin = _read(kit / "startup" / "fed_client.json")
    try:
        (server,) = begin["servers"]
        found = (server["service"]["target"], server["identity"])
        safe = begin["client"]["connection_security"] == "mtls"
    except (KeyError, TypeError, ValueError):
        found, safe = ("", ""), False
    if found != (f"{host}:{port}", host) or not safe:
        raise PrivauditError(
            f"a kit for the server {found[0][:80] or '?'}",
            f"the federation's is {host}:{port}, with certificates on both sides",
            "ask the coordinator for the signed file again",
        )


def _read(path: Path) -> dict[str, Any]:
    try:
        made = json.loads(path.read_text("utf-8"))
        if not isinstance(made, dict):
            raise TypeError("no object")
    except (OSError, ValueError, TypeError):
        raise PrivauditError(
            f"no {path.name} that can be read in this kit",
            "it is damaged, or no kit of NVFlare 2.9",
            "make the kit again from the signed file",
        ) from None
    return made


__all__ = [
    "CONTROLLER",
    "EXECUTOR",
    "LAUNCHER",
    "OUTBOX",
    "PERMISSIONS",
    "configure_hospital",
    "configure_operator",
    "configure_server",
]
