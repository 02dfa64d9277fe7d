"""A federation's certificates: made by NVFlare's own commands, and checked by ourselves.

Each private key is made in the folder of its owner and stays there; what travels is a request and
the signed answer. With the answer goes a statement of who takes part, signed by the root, because
NVFlare's own knows neither the roster nor the operator.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict, fields
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization

from pipelines.deploy.homes import make_private
from pipelines.deploy.identity import (
    Identity,
    Root,
    normalise,
    read_certificate,
    read_key,
    sign_as_root,
)
from pipelines.deploy.members import HOSPITAL_NAME, Federation
from pipelines.deploy.private_files import (
    close_to_others,
    make_zip,
    read_zip,
    read_zip_bytes,
    sync_folder,
    write_json,
    write_private,
)
from privaudit.errors import PrivauditError

SIGNED = ("nvflare.signed.zip", "federation.json", "federation.sig")
SECONDS = 60.0
"""In which a command of NVFlare ends; it takes half a second."""

_CODES = {
    "CA_ALREADY_EXISTS": "this folder has a root already",
    "CA_LOAD_FAILED": "the root's key or certificate is missing or damaged",
    "CA_NOT_FOUND": "there is no root in this folder",
    "PROJECT_CA_MISMATCH": "the request is for another federation",
    "PROJECT_PROFILE_MISMATCH": "the request is for another federation",
    "ROOTCA_FINGERPRINT_MISMATCH": "the fingerprint is another root's",
    "KEY_CERT_MISMATCH": "the private key here is not the one of the request that was signed",
    "CERT_CHAIN_INVALID": "the root has not signed the certificate",
    "CERT_EXPIRED": "the certificate has expired",
    "REQUEST_DIR_NOT_FOUND": "the folder of the request is not here",
}


def run_nvflare(home: Path, *words: str) -> dict[str, Any]:
    """Run a command of NVFlare; what it answers.

    It gets a HOME inside the folder, none of this process's variables that could change what it
    does, and a time limit.

    Raises:
        PrivauditError: It failed, in words; its own text, which holds paths, is not shown.
    """
    own = make_private(home / ".nvflare-home")
    keep = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "SYSTEMROOT", "VIRTUAL_ENV")
    environment = {name: os.environ[name] for name in keep if name in os.environ}
    environment |= {"HOME": str(own), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "nvflare.cli", "--format", "json", *words]
    try:
        done = subprocess.run(
            command,
            cwd=own,
            env=environment,
            capture_output=True,
            timeout=SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
            umask=0o077,
        )
    except subprocess.TimeoutExpired:
        raise PrivauditError(
            f"`nvflare {words[0]}` did not end in {SECONDS:.0f} s",
            "this machine is too busy, or its disk is full",
            "run the same command again",
        ) from None
    answer: dict[str, Any] = {}
    for line in reversed(done.stdout.decode("utf-8", "replace").splitlines()):
        with suppress(ValueError):
            made = json.loads(line)
            if isinstance(made, dict) and "status" in made:
                answer = made
                break
    if done.returncode == 0 and answer.get("status") == "ok":
        data = answer.get("data")
        return data if isinstance(data, dict) else {}
    code = str(answer.get("error_code", "no answer"))[:40]
    raise PrivauditError(
        f"`nvflare {' '.join(words[:1])}` answers {code}",
        _CODES.get(code, "NVFlare refuses the files or names that it was given"),
        "check the files and names; the fingerprint by telephone",
    )


def make_root(home: Path, federation: Federation) -> Root:
    """The root's key and certificate in `ca/`, made once."""
    folder = home / "ca"
    if not folder.is_dir():
        part = _fresh(home / ".ca.part")
        write_profile(home, federation)
        run_nvflare(home, "cert", "init", "--profile", str(home / "profile.json"), "-o", str(part))
        close_to_others(part)
        os.rename(part, folder)
        sync_folder(home)
    return Root.load(folder)


def write_profile(home: Path, federation: Federation) -> None:
    """The profile of the project, which NVFlare's commands ask for."""
    server = {"host": federation.host, "fed_learn_port": federation.port}
    profile = {
        "name": federation.name,
        "scheme": "grpc",
        "connection_security": "mtls",
        "server": {**server, "admin_port": federation.port},
    }
    write_json(home / "profile.json", profile)


def make_request(home: Path, folder: Path, project: str, name: str, kind: str) -> Path:
    """A private key in this folder and a request for its certificate, made once.

    Args:
        kind: `client`, `server` or `admin`, which is the operator.

    Returns:
        The zip file of the request, which holds no key.
    """
    request = folder / f"{name}.request.zip"
    if not request.is_file():
        part = _fresh(home / f".{folder.name}.part")
        org = "coordinator"
        if kind == "client":
            # NVFlare allows no dash here, and `a-b` and `a_b` are two organisations.
            plain = "-" not in name
            org = f"hospital_{name if plain else sha256(name.encode()).hexdigest()[:16]}"
        person: dict[str, str] = {"name": name, "type": kind, "org": org}
        if kind == "admin":
            person["role"] = "lead"
        write_json(home / ".participant.json", {"name": project, "participants": [person]})
        try:
            run_nvflare(
                home,
                *("cert", "request", "-p", str(home / ".participant.json"), "--out", str(part)),
            )
        finally:
            (home / ".participant.json").unlink(missing_ok=True)
        close_to_others(part)
        make_private(folder.parent)
        os.rename(part, folder)
        sync_folder(folder.parent)
    return request


def read_request(path: Path, roster: tuple[str, ...], project: str) -> tuple[str, str]:
    """The hospital of a request and the fingerprint of its key.

    Raises:
        PrivauditError: It is no request of a hospital of the roster, or carries more than one.
    """
    match = re.fullmatch(rf"({HOSPITAL_NAME.pattern})\.request\.zip", path.name)
    if not match or match[1] not in roster:
        raise PrivauditError(
            f"a request called {path.name[:80]!r}",
            f"hospitals are: {', '.join(roster)}, and the file is called NAME.request.zip",
            "ask the hospital to make it with the name that this federation knows it by",
        )
    name = match[1]
    found = read_zip(path, ("request.json", "site.yaml", f"{name}.csr"))
    try:
        said = json.loads(found["request.json"])
        wanted = {"name": name, "project": project, "kind": "site", "cert_type": "client"}
        if any(said.get(key) != value for key, value in wanted.items()):
            raise ValueError("another")
        key = str(said["public_key_sha256"])
        if not re.fullmatch(r"[0-9a-f]{64}", key):
            raise ValueError("the key's fingerprint")
    except (ValueError, KeyError, AttributeError):
        raise PrivauditError(
            f"a request of {name} that is none for this federation",
            "its name, its federation or its role is another",
            f"ask the hospital to run `join` with --federation {project}",
        ) from None
    return name, key


def approve(home: Path, ca: Path, federation: Federation, request: Path) -> tuple[Path, str]:
    """Sign a hospital's request.

    Returns:
        (the zip file to send back, the fingerprint of the key that it is for).

    Raises:
        PrivauditError: A request that cannot be signed, or a second key for a hospital.
    """
    name, key = read_request(request, federation.hospitals, federation.name)
    made = home / "signed" / f"{name}.signed.zip"
    if made.is_file():
        before = key_of(read_zip(made, SIGNED)["nvflare.signed.zip"], name)
        if before != key:
            raise PrivauditError(
                f"a second key for {name}",
                "whoever has it could take the hospital's place",
                f"if {name} asked for it by telephone, remove signed/{name}.signed.zip first",
            )
        return made, key
    signed = _sign(home, ca, federation, request, name)
    if key_of(signed, name) != key:
        raise PrivauditError(
            f"a request of {name} whose key is not the one that it states",
            "the file was changed on its way",
            "ask the hospital to send it again",
        )
    text = json.dumps(asdict(federation), sort_keys=True, separators=(",", ":")).encode()
    members = (signed, text, sign_as_root(ca, _statement(text)))
    make_private(made.parent)
    write_private(made, make_zip(dict(zip(SIGNED, members, strict=True))))
    return made, key


def make_own_kit(home: Path, ca: Path, federation: Federation, which: str) -> Path:
    """The coordinator's own kit `server` or `operator`, made once and not yet configured."""
    kit = home / which
    if not kit.is_dir():
        name, kind = federation.host, "server"
        if which == "operator":
            name, kind = federation.operator, "admin"
        folder = home / "requests" / which
        request = make_request(home, folder, federation.name, name, kind)
        signed = _sign(home, ca, federation, request, name)
        _package(
            home, federation.name, name, signed, folder, federation.root, home / f".{which}.part"
        )
        os.rename(home / f".{which}.part", kit)
        sync_folder(home)
    return kit


def read_signed(path: Path, name: str, fingerprint: str) -> tuple[Federation, bytes, Root]:
    """What the coordinator signed: the statement, NVFlare's zip file and the root.

    Args:
        name: The hospital that it is for.
        fingerprint: Of the root, as it was read out by telephone.

    Raises:
        PrivauditError: Another root, a changed file, or a statement that cannot be used.
    """
    found = read_zip(path, SIGNED)
    inner = found["nvflare.signed.zip"]
    root = Root.read(_inner(inner, name)["rootCA.pem"])
    root = _expect(root, fingerprint)
    text = found["federation.json"]
    root.verify_own(found["federation.sig"], _statement(text))
    try:
        made = json.loads(text)
        if set(made) != {part.name for part in fields(Federation)}:
            raise TypeError("other fields")
        federation = Federation(**{**made, "hospitals": tuple(made["hospitals"])})
        federation.check()
    except (ValueError, TypeError, KeyError, AttributeError):
        raise PrivauditError(
            "a statement of who takes part that cannot be used",
            "another version of privaudit wrote it",
            "install the version that the coordinator has",
        ) from None
    if federation.root != root.fingerprint:
        raise PrivauditError(
            "a statement of another root",
            f"it names {federation.root[:100]}",
            "ask the coordinator for the signed file again",
        )
    return federation, inner, root


def make_kit(home: Path, name: str, federation: Federation, inner: bytes, root: Root) -> Path:
    """A hospital's kit in `.kit.part`: certificate, key and root, all checked; not yet configured.

    Raises:
        PrivauditError: The certificate is not this hospital's, or not for the key here.
    """
    part = home / ".kit.part"
    key = home / "request" / f"{name}.key"
    if key.is_file() and digest_key(read_key(key.read_bytes()).public_key()) != key_of(inner, name):
        raise PrivauditError(
            "a certificate for another private key than the one here",
            "the coordinator signed a request that was made in another folder, or by somebody else",
            "telephone the coordinator, and compare the fingerprints of the keys",
        )
    _package(home, federation.name, name, inner, home / "request", root.fingerprint, part)
    own = Identity.load(part)
    Root.load(part, root.fingerprint)
    found = root.vouch(own.certificate, max(time.time(), _start(own.certificate)))
    if (found.name, found.role) != (name, "client"):
        raise PrivauditError(
            f"a certificate of {found.name}, a {found.role}",
            f"this is the folder of the hospital {name}",
            "use the file that the coordinator signed for it",
        )
    return part


def key_of(inner: bytes, name: str) -> str:
    """The fingerprint of the key that a signed zip file of NVFlare is for."""
    return public_digest(_inner(inner, name)[f"{name}.crt"])


def public_digest(certificate: bytes) -> str:
    """sha256 of a certificate's public key, which a hospital reads out by telephone."""
    return digest_key(read_certificate(certificate).public_key())


def digest_key(key: Any) -> str:
    """The same of a public key."""
    encoding, form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    return sha256(key.public_bytes(encoding, form)).hexdigest()


def _sign(home: Path, ca: Path, federation: Federation, request: Path, name: str) -> bytes:
    """NVFlare's signed zip file for a request."""
    if not (ca / "rootCA.key").is_file():
        raise PrivauditError(
            "no key of the root in this folder",
            "it is kept offline, and a certificate is signed with it",
            "attach the medium and give its folder with --ca",
        )
    Root.load(ca, federation.root)
    part = home / f".{secrets.token_hex(8)}.signed.zip"
    copy = home / f".{secrets.token_hex(8)}"
    write_profile(home, federation)
    try:
        make_private(copy)
        # A copy, so that what was checked is what is signed.
        write_private(copy / request.name, request.read_bytes())
        if name in federation.hospitals:
            read_request(copy / request.name, federation.hospitals, federation.name)
        words = ("-c", str(ca.absolute()), "--profile", str(home / "profile.json"))
        run_nvflare(home, "cert", "approve", str(copy / request.name), *words, "--out", str(part))
        return part.read_bytes()
    finally:
        part.unlink(missing_ok=True)
        shutil.rmtree(copy, ignore_errors=True)


def _package(
    home: Path, project: str, name: str, signed: bytes, request: Path, root: str, part: Path
) -> None:
    _inner(signed, name)
    if not (request / f"{name}.key").is_file():
        raise PrivauditError(
            f"no private key of {name} in this folder",
            "the kit is made where the request was made: the key never leaves it",
            "give the folder in which `join` made the request",
        )
    work = _fresh(home / ".package.part")
    _fresh(part)
    try:
        make_private(work)
        write_private(work / f"{name}.signed.zip", signed)
        run_nvflare(
            home,
            *("package", str(work / f"{name}.signed.zip"), "-w", str(work / "workspace")),
            *("--request-dir", str(request.absolute()), "--fingerprint", root),
        )
        made = work / "workspace" / project / "prod_00" / name
        os.rename(made, part)
        close_to_others(part)
        # NVFlare lays the certificate beside the key, for everybody to read.
        close_to_others(request)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _inner(signed: bytes, name: str) -> dict[str, bytes]:
    members = ("signed.json", "signed.json.sig", "site.yaml", f"{name}.crt", "rootCA.pem")
    return read_zip_bytes(signed, members)


def _expect(root: Root, fingerprint: str) -> Root:
    if normalise(fingerprint) != root.fingerprint:
        raise PrivauditError(
            f"a root whose fingerprint is {root.fingerprint}",
            f"you were told {normalise(fingerprint)}",
            "telephone the coordinator again, and trust neither until they are equal",
        )
    return root


def _start(certificate: bytes) -> float:
    return read_certificate(certificate).not_valid_before_utc.timestamp()


def _statement(text: bytes) -> bytes:
    return b"privaudit federation\0" + text


def _fresh(path: Path) -> Path:
    """What an interruption left under this name is removed."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)
    return path


__all__ = [
    "SIGNED",
    "approve",
    "key_of",
    "make_kit",
    "make_own_kit",
    "make_request",
    "make_root",
    "public_digest",
    "read_request",
    "read_signed",
    "run_nvflare",
]
