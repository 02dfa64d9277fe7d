"""Signatures over the statement of a run: Ed25519 with a key of one's own, no network needed.

A signature is a DSSE envelope (in-toto's) in canonical JSON under `signatures/`, named by its key, with
the public key beside it. Who the key belongs to is for the reader to know: hand the public key over
by another way than the run. DSSE v1: https://github.com/secure-systems-lab/dsse.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from privaudit.engine.store import write_atomically
from privaudit.errors import PrivauditError
from privaudit.evidence import statement, sums
from privaudit.evidence.canonical import canonical

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

ENVELOPE, PUBLIC, BUNDLE = ".dsse.json", ".pub", "sigstore.json"


@dataclass(frozen=True)
class Signature:
    """One signature of a run. faults: why it does not hold; none where it does."""

    key: str
    file: str
    faults: tuple[str, ...]


def _library() -> None:
    try:
        import cryptography  # noqa: F401
    except ImportError:
        raise PrivauditError(
            "signatures need the library cryptography, which is not installed",
            "Ed25519 is not in Python's own library",
            "pip install 'privaudit[sign]'",
        ) from None


def new_key(path: Path) -> str:
    """Make a key pair: the private key at `path` (owner alone may read it), the public one at PATH.pub.

    The name of the key. An existing file is never overwritten.
    """
    _library()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = Ed25519PrivateKey.generate()
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for file, body, mode in ((path, secret, 0o600), (_beside(path), _pem(key.public_key()), 0o644)):
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
                f"the system says: {error.strerror}",
                "name a file in a folder that you may write to",
            ) from None
        with os.fdopen(handle, "wb") as out:
            out.write(body)
    return name_of(key.public_key())


def _beside(path: Path) -> Path:
    return path.with_name(path.name + PUBLIC)


def _pem(key: Ed25519PublicKey) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def name_of(key: Ed25519PublicKey) -> str:
    """What a key is called: the start of the sha256 of its 32 bytes."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


def private_key(path: Path, password: bytes | None = None) -> Ed25519PrivateKey:
    """The Ed25519 private key in a PEM file, which nobody but its owner may read."""
    _library()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    body = _bytes(path, "make one: privaudit sign RUN --key FILE --new-key")
    mode = stat.S_IMODE(path.stat().st_mode)
    if os.name == "posix" and mode & 0o077:
        raise PrivauditError(
            f"the private key {path.name!r} may be read by others (mode {mode:04o})",
            "whoever can read it can sign in your name; 0600 is asked for",
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
            f"{path.name!r} holds a key of another kind",
            "runs are signed with Ed25519",
            "make one: privaudit sign RUN --key FILE --new-key",
        )
    return key


def public_key(path: Path) -> Ed25519PublicKey:
    """The Ed25519 public key in a PEM file."""
    _library()
    key = _public(_bytes(path, "give the signer's public key, which --new-key wrote as FILE.pub"))
    if key is None:
        raise PrivauditError(
            f"{path.name!r} holds no Ed25519 public key",
            "a public key is a PEM file as --new-key or openssl writes it",
            "give FILE.pub, not the private key and not the signature",
        )
    return key


def _bytes(path: Path, fix: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise PrivauditError(
            f"the key {path.name!r} cannot be read", f"the system says: {error.strerror}", fix
        ) from None


def _public(body: bytes) -> Ed25519PublicKey | None:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(body)
    except (ValueError, UnsupportedAlgorithm):
        return None
    return key if isinstance(key, Ed25519PublicKey) else None


def encoded(payload: bytes) -> bytes:
    """What is signed: DSSE's pre-authentication encoding of the statement."""
    kind = statement.MEDIA.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def sign(run: Path, key: Ed25519PrivateKey) -> Path:
    """Sign a sealed run; the envelope's path. A run whose files no longer match its seal is refused."""
    payload = checked(run)
    name = name_of(key.public_key())
    envelope = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": statement.MEDIA,
        "signatures": [
            {"keyid": name, "sig": base64.b64encode(key.sign(encoded(payload))).decode()}
        ],
    }
    folder = run / sums.SIGNATURES
    path = folder / f"{name}{ENVELOPE}"
    public = _pem(key.public_key())
    write_atomically(folder / f"{name}{PUBLIC}", lambda made: made.write_bytes(public))
    write_atomically(path, lambda made: made.write_bytes(canonical(envelope)))
    return path


def checked(run: Path) -> bytes:
    """The statement of a run whose files are as they were sealed."""
    faults = sums.check(run)
    if faults:
        more = f" and {len(faults) - 1} more" if len(faults) > 1 else ""
        raise PrivauditError(
            f"a run that is not as it was sealed: {faults[0]}{more}",
            "a signature says that these files are what the audit wrote",
            "look with `privaudit verify RUN`; sign a run that verifies",
        )
    return (run / statement.FILE).read_bytes()


def signatures(run: Path) -> Iterator[Signature]:
    """Every signature of a run, checked against the key beside it and the statement as it is."""
    folder = run / sums.SIGNATURES
    if not folder.is_dir():
        return
    _library()
    try:
        wanted = (run / statement.FILE).read_bytes()
    except OSError:
        wanted = b""
    names = sorted(path.name for path in folder.iterdir())
    for name in names:
        if name.endswith(ENVELOPE):
            key = name.removesuffix(ENVELOPE)
            yield Signature(key, name, tuple(_faults(folder, key, wanted)))
        elif name == BUNDLE:
            continue
        elif not (name.endswith(PUBLIC) and name.removesuffix(PUBLIC) + ENVELOPE in names):
            yield Signature("", name, ("no signature belongs to it",))


def _faults(folder: Path, name: str, wanted: bytes) -> Iterator[str]:
    from cryptography.exceptions import InvalidSignature

    try:
        key = _public((folder / f"{name}{PUBLIC}").read_bytes())
    except OSError:
        key = None
    # The file must be the key's only form, so that no bit of it can change unnoticed.
    if (
        key is None
        or name_of(key) != name
        or _pem(key) != (folder / f"{name}{PUBLIC}").read_bytes()
    ):
        yield "the public key beside it is missing, or is not the one that it is named after"
        return
    try:
        payload, signature = _opened((folder / f"{name}{ENVELOPE}").read_bytes(), name)
    except (ValueError, KeyError, TypeError, IndexError):
        yield "it is not an envelope as privaudit writes it"
        return
    try:
        key.verify(signature, encoded(payload))
    except InvalidSignature:
        yield "the signature does not fit what it is over"
        return
    if payload != wanted:
        yield "it was made over another statement: the run was sealed again after it was signed"


def _opened(whole: bytes, name: str) -> tuple[bytes, bytes]:
    tree: Any = json.loads(whole)
    if canonical(tree) != whole or tree["payloadType"] != statement.MEDIA:
        raise ValueError
    (one,) = tree["signatures"]
    if one["keyid"] != name:
        raise ValueError
    parts = []
    for text in (tree["payload"], one["sig"]):
        part = base64.b64decode(text, validate=True)
        # Base64 has spare bits at its end; only the plain form counts.
        if base64.b64encode(part).decode() != text:
            raise ValueError
        parts.append(part)
    return parts[0], parts[1]


__all__ = [
    "Signature",
    "checked",
    "name_of",
    "new_key",
    "private_key",
    "public_key",
    "sign",
    "signatures",
]
