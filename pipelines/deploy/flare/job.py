"""The three files of a job: configuration alone, so that no code travels to a hospital."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from pipelines.deploy.homes import make_private
from pipelines.deploy.terms import RunTerms

CONTROLLER: Final = "pipelines.deploy.flare.controller.Federate"
EXECUTOR: Final = "pipelines.deploy.flare.executor.SiteExecutor"
ASK_EVERY = 0.05
"""Seconds between two questions of a hospital for its next task; NVFlare's own 2 s are the largest
part of a round."""


def write_job(terms: RunTerms, signature: bytes, certificate: bytes, folder: Path) -> Path:
    """Write the job of these terms.

    Args:
        terms: What the job does.
        signature: Of `signed_terms(terms)`, by the operator's certificate key.
        certificate: The operator's, as PEM.
        folder: Is made; its last part names the job.

    Returns:
        The folder, as an absolute path: NVFlare reads relative ones from the operator's kit.
    """
    folder = make_private(folder.absolute())
    config = make_private(make_private(folder / "app") / "config")
    args = {
        # As hexadecimal digits: NVFlare would read the braces of JSON as places to fill in.
        "terms": terms.text.encode().hex(),
        "signature": signature.hex(),
        "certificate": certificate.decode("ascii"),
    }
    meta: dict[str, Any] = {
        "name": f"privaudit-{terms.run}",
        "resource_spec": {},
        "min_clients": terms.quorum,
        "deploy_map": {"app": ["@ALL"]},
    }
    server = {
        "format_version": 2,
        "server": {"task_request_interval": ASK_EVERY},
        "workflows": [{"id": "federate", "path": CONTROLLER, "args": args}],
        "components": [],
    }
    client = {
        "format_version": 2,
        "executors": [{"tasks": ["*"], "executor": {"path": EXECUTOR, "args": args}}],
        "components": [],
    }
    for path, content in (
        (folder / "meta.json", meta),
        (config / "config_fed_server.json", server),
        (config / "config_fed_client.json", client),
    ):
        path.write_text(json.dumps(content, indent=1), "utf-8")
        path.chmod(0o600)
    return folder


def read_terms(terms: str) -> str:
    """The text of the terms from a job's argument; ValueError where it is none."""
    return bytes.fromhex(terms).decode("utf-8")


def signed_terms(text: str) -> bytes:
    """What the operator signs."""
    return b"privaudit terms\0" + text.encode()


__all__ = ["CONTROLLER", "EXECUTOR", "read_terms", "signed_terms", "write_job"]
