"""Signatures over the statement of a run: Ed25519 with a key of one's own, no network needed.

A signature is a DSSE envelope in canonical JSON under `signatures/`, named by its key, with the
public key beside it. What it is over is the run's statement, which names the run, its time and its
files, and beside it what the signer verified first. Who the key belongs to is for the reader to
know: hand over the public key by another channel than the run. DSSE v1:
https://github.com/secure-systems-lab/dsse.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from privaudit.engine.store import write_atomically
from privaudit.errors import PrivauditError
from privaudit.evidence import statement, sums
from privaudit.evidence.statement import canonical

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

ENVELOPE, PUBLIC, BUNDLE = ".dsse.json", ".pub", "sigstore.json"
SIGSTORE = "sigstore"
VERIFIED = "verified"
"""In the predicate of what is signed: when, and check -> what came of it for the signer."""
_NEW = "make one: privaudit sign RUN --key FILE --new-key"


@dataclass(frozen=True)
class Signature:
    """One signature of a run. faults: why it does not hold; none where it does. at: when it was
    made, and verified: check -> state, as the signer's `privaudit` found them."""

    key: str
    file: str
    faults: tuple[str, ...]
    at: str = ""
    verified: Mapping[str, str] = field(default_factory=dict)


def _require_library() -> None:
    try:
        import cryptography  # noqa: F401
    except ImportError:
        raise PrivauditError(
            "signatures need the library cryptography, which is not installed",
            "Ed25519 is not in Python's own library",
            "pip install 'privaudit[sign]'",
        ) from None


def new_key(path: Path) -> str:
    """Make a key pair; its id.

    The private key goes to `path`, which its owner alone may read, the public key to PATH.pub. An
    existing file is never overwritten.
    """
    _require_library()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = Ed25519PrivateKey.generate()
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = path.with_name(path.name + PUBLIC)
    for file, body, mode in ((path, secret, 0o600), (public, _pem(key.public_key()), 0o644)):
        try:
            handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        except FileExistsError:
            raise PrivauditError(
                f"{file.name!r} is there already",
                "a key that signed something must not be lost",
                "sign with it (leave --new-key out), or name another file",
            ) from None
        except OSError as error:
            raise PrivauditError(
                f"the key {file.name!r} cannot be written",
                f"the system reports: {error.strerror}",
                "name a file in a folder that you may write to",
            ) from None
        with os.fdopen(handle, "wb") as out:
            out.write(body)
    return key_id(key.public_key())


def _pem(key: Ed25519PublicKey) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def key_id(key: Ed25519PublicKey) -> str:
    """The name of a key: the start of the sha256 of its 32 bytes."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


def private_key(path: Path, password: bytes | None = None) -> Ed25519PrivateKey:
    """The Ed25519 private key in a PEM file, which nobody but its owner may read."""
    _require_library()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    body = _read(path, _NEW)
    mode = stat.S_IMODE(path.stat().st_mode)
    if os.name == "posix" and mode & 0o077:
        raise PrivauditError(
            f"the private key {path.name!r} may be read by others (mode {mode:04o})",
            "whoever can read it can sign in your name; the mode must be 0600",
            f"chmod 600 {path.name}, and make a new key if others may have read it",
        )
    try:
        key = load_pem_private_key(body, password)
    except (ValueError, TypeError) as error:
        raise PrivauditError(
            f"{path.name!r} holds no private key that can be read",
            "it needs its password, or another one"
            if "assword" in str(error)
            else "a key is a PEM file (PKCS 8) as --new-key or openssl writes it",
            "give the password when asked, or make a key with --new-key",
        ) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise PrivauditError(
            f"{path.name!r} holds a key of another kind", "runs are signed with Ed25519", _NEW
        )
    return key


def public_key(path: Path) -> Ed25519PublicKey:
    """The Ed25519 public key in a PEM file."""
    _require_library()
    key = _load_public(_read(path, "give the signer's public key, FILE.pub of --new-key"))
    if key is None:
        raise PrivauditError(
            f"{path.name!r} holds no Ed25519 public key",
            "a public key is a PEM file as --new-key or openssl writes it",
            "give FILE.pub, not the private key and not the signature",
        )
    return key


def _read(path: Path, fix: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        what = f"the key {path.name!r} cannot be read"
        raise PrivauditError(what, f"the system reports: {error.strerror}", fix) from None


def _load_public(body: bytes) -> Ed25519PublicKey | None:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(body)
    except (ValueError, UnsupportedAlgorithm):
        return None
    return key if isinstance(key, Ed25519PublicKey) else None


def encode(payload: bytes) -> bytes:
    """What is signed: DSSE's pre-authentication encoding of the statement."""
    kind = statement.MEDIA.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def _envelope(payload: bytes, name: str, signature: bytes) -> bytes:
    """The only form of an envelope, so that no bit of it can change unnoticed."""
    sealed, signed = (base64.b64encode(part).decode() for part in (payload, signature))
    signatures = [{"keyid": name, "sig": signed}]
    kind = statement.MEDIA
    return canonical({"payload": sealed, "payloadType": kind, "signatures": signatures})


def sign(run: Path, key: Ed25519PrivateKey, verified: Mapping[str, str]) -> Path:
    """Sign a sealed run; the envelope's path. A run whose files no longer match is refused.

    verified: check -> state, which `privaudit.evidence.vouch` finds before it calls this.
    """
    payload = _add_verified(sealed_statement(run), verified)
    name, public = key_id(key.public_key()), _pem(key.public_key())
    envelope = _envelope(payload, name, key.sign(encode(payload)))
    folder = run / sums.SIGNATURES
    path = folder / f"{name}{ENVELOPE}"
    write_atomically(folder / f"{name}{PUBLIC}", lambda made: made.write_bytes(public))
    write_atomically(path, lambda made: made.write_bytes(envelope))
    return path


def _add_verified(body: bytes, verified: Mapping[str, str]) -> bytes:
    tree = json.loads(body)
    at = datetime.now(UTC).isoformat(timespec="seconds")
    tree["predicate"][VERIFIED] = {"at": at, "checks": dict(verified)}
    return canonical(tree)


def sealed_statement(run: Path) -> bytes:
    """The statement of a run whose files are as they were sealed."""
    faults = sums.check(run)
    if faults:
        more = f" and {len(faults) - 1} more" if len(faults) > 1 else ""
        raise PrivauditError(
            f"a run that is not as it was sealed: {faults[0]}{more}",
            "a signature states that these files are what the audit wrote",
            "look with `privaudit verify RUN`; sign a run that verifies",
        )
    return (run / statement.FILE).read_bytes()


def signatures(run: Path) -> Iterator[Signature]:
    """Every signature of a run, checked against the key beside it and the statement as it is."""
    folder = run / sums.SIGNATURES
    if not folder.is_dir():
        return
    _require_library()
    try:
        wanted = (run / statement.FILE).read_bytes()
    except OSError:
        wanted = b""
    names = {path.name for path in folder.iterdir()} - {BUNDLE}
    keys = {name.removesuffix(ENVELOPE) for name in names if name.endswith(ENVELOPE)}
    for name in sorted(names):
        key = name.removesuffix(ENVELOPE).removesuffix(PUBLIC)
        if name == f"{key}{ENVELOPE}":
            yield _examine(folder, key, wanted)
        elif name != f"{key}{PUBLIC}" or key not in keys:
            yield Signature("", name, ("no signature belongs to it",))


def _examine(folder: Path, name: str, wanted: bytes) -> Signature:
    file = f"{name}{ENVELOPE}"
    payload, fault = _open(folder, name)
    if fault:
        return Signature(name, file, (fault,))
    try:
        tree = json.loads(payload)
        stated = tree["predicate"].pop(VERIFIED)
        at, checks = str(stated["at"]), {str(k): str(v) for k, v in stated["checks"].items()}
        over = canonical(tree)
    except (ValueError, KeyError, TypeError, AttributeError):
        return Signature(name, file, ("it does not state what the signer verified",))
    if over != wanted:
        why = "it was made over another statement: the run was sealed again after it was signed"
        return Signature(name, file, (why,), at, checks)
    return Signature(name, file, (), at, checks)


def _open(folder: Path, name: str) -> tuple[bytes, str]:
    """What a signature is over, and why it does not hold; the second is empty where it does."""
    from cryptography.exceptions import InvalidSignature

    try:
        body = (folder / f"{name}{PUBLIC}").read_bytes()
        key = _load_public(body)
    except OSError:
        key = None
    # The file must be the key's only form, so that no bit of it can change unnoticed.
    if key is None or key_id(key) != name or _pem(key) != body:
        return b"", "the public key beside it is missing, or is not the one that it is named after"
    envelope = (folder / f"{name}{ENVELOPE}").read_bytes()
    try:
        tree = json.loads(envelope)
        (one,) = tree["signatures"]
        payload, signature = base64.b64decode(tree["payload"]), base64.b64decode(one["sig"])
    except (ValueError, KeyError, TypeError):
        payload = signature = b""
    if envelope != _envelope(payload, name, signature):
        return b"", "it is not an envelope as privaudit writes it"
    try:
        key.verify(signature, encode(payload))
    except InvalidSignature:
        return b"", "the signature does not match what it is over"
    return payload, ""


__all__ = [
    "BUNDLE",
    "SIGSTORE",
    "Signature",
    "key_id",
    "new_key",
    "private_key",
    "public_key",
    "sealed_statement",
    "sign",
    "signatures",
]
