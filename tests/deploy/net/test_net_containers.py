"""The image is built, and a coordinator and three hospitals of it find each other."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from net_federation import named, read_lines, wait
from net_shards import write_hospital

pytestmark = pytest.mark.network
ROOT = Path(__file__).parents[3]
HOSPITALS = ("a", "b", "c")


def why_not() -> str:
    if shutil.which("docker") is None:
        return "no container engine here: no `docker`"
    asked = subprocess.run(["docker", "info"], capture_output=True, text=True, timeout=30)
    return "" if asked.returncode == 0 else "no container engine here: its daemon does not answer"


def docker(*words: str, timeout: float = 300) -> str:
    done = subprocess.run(["docker", *words], capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


@contextmanager
def closed_network() -> Iterator[tuple[str, str]]:
    """A tag for everything of this test, and a network without a way out; both are removed."""
    tag = f"privaudit-{uuid.uuid4().hex[:8]}"
    docker("network", "create", "--internal", tag)
    try:
        yield tag, f"{tag}-image"
    finally:
        for name in ("coordinator", *HOSPITALS):
            subprocess.run(["docker", "rm", "-f", f"{tag}-{name}"], capture_output=True)
        subprocess.run(["docker", "network", "rm", tag], capture_output=True)
        subprocess.run(["docker", "rmi", "-f", f"{tag}-image"], capture_output=True)


def test_hospitals_join_from_containers(tmp_path: Path) -> None:
    if reason := why_not():
        pytest.skip(reason)
    folders = {name: tmp_path / name for name in ("coordinator", *HOSPITALS)}
    with closed_network() as (tag, image):
        docker("build", "--tag", image, str(ROOT), timeout=3000)
        inside = docker("run", "--rm", "--entrypoint", "find", image, "/federation", "/home")
        assert ".key" not in inside
        for number, (name, folder) in enumerate(folders.items()):
            folder.mkdir(mode=0o700)
            write_hospital(tmp_path / f"data-{name}", number, patients=200)
            for path in (folder, *(tmp_path / f"data-{name}").rglob("*")):
                os.chown(path, 10001, 10001)

        def options(name: str) -> list[str]:
            # What compose.yaml says, so that it is tried here.
            return ["--network", tag, "--read-only", "--cap-drop", "ALL",
                    "--tmpfs", "/tmp:mode=1777", "--tmpfs", "/home/privaudit:uid=10001,gid=10001",
                    "--security-opt", "no-new-privileges:true", "--init",
                    "--volume", f"{folders[name]}:/federation",
                    "--volume", f"{tmp_path / f'data-{name}'}:/data:ro"]  # fmt: skip

        def once(name: str, *words: str) -> str:
            return docker("run", "--rm", *options(name), image, *words)

        def start(name: str, *words: str) -> None:
            alias = ["--network-alias", "coordinator"] if name == "coordinator" else []
            named = ["--detach", "--name", f"{tag}-{name}"]
            docker("run", *named, *options(name), *alias, image, *words)

        fed = "/federation/fed"
        said = once("coordinator", "provision", fed, "--host", "coordinator", "--port", "8002",
                    "--hospitals", ",".join(HOSPITALS))  # fmt: skip
        fingerprint = re.search(r"SHA256:[0-9A-Fa-f:]+", said)
        assert fingerprint, said
        for name in HOSPITALS:
            once(
                name,
                "join",
                "/federation/here",
                "--name",
                name,
                "--coordinator",
                "coordinator:8002",
            )
            (request,) = folders[name].rglob(f"{name}.request.zip")
            shutil.copy(request, folders["coordinator"])
            os.chown(folders["coordinator"] / request.name, 10001, 10001)
            once("coordinator", "provision", fed, "--approve", f"/federation/{request.name}")
        start("coordinator", "server", fed)
        for name in HOSPITALS:
            (signed,) = folders["coordinator"].rglob(f"{name}.signed.zip")
            shutil.copy(signed, folders[name])
            os.chown(folders[name] / signed.name, 10001, 10001)
            (data,) = (tmp_path / f"data-{name}").glob("*/set-a")
            start(name, "join", "/federation/here", "--signed", f"/federation/{signed.name}",
                  "--fingerprint", fingerprint[0], "--task", "mortality",
                  "--data", f"/data/{data.parent.name}")  # fmt: skip
        logins = folders["coordinator"] / "fed" / "connections.jsonl"
        wait(
            "all hospitals",
            180,
            lambda: all(named(read_lines(logins), "login", hospital=name) for name in HOSPITALS),
        )
        assert "Federation" in docker(
            "exec", f"{tag}-coordinator", "privaudit", "federation", "status", fed
        )
