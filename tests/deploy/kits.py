"""Kits for tests: a root, a server, an operator and hospitals, in the layout of NVFlare's kits and
made by the `cryptography` library alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

OPERATOR = "operator@coordinator.org"
SERVER = "localhost"
DAY = timedelta(days=1)


@lru_cache(maxsize=64)
def make_key(number: str) -> rsa.RSAPrivateKey:
    """The key of this name; a name twice gives the same key, which saves time."""
    return rsa.generate_private_key(65537, 2048)


@lru_cache(maxsize=1)
def make_root() -> x509.Certificate:
    """The root of all test kits of this process."""
    return make_certificate(make_key("root"), "privaudit", None, ca=True)


def make_certificate(
    key: rsa.RSAPrivateKey,
    name: str,
    role: str | None,
    issuer: x509.Name | None = None,
    issuer_key: rsa.RSAPrivateKey | None = None,
    start: timedelta = -DAY,
    end: timedelta = 365 * DAY,
    ca: bool = False,
    org: str = "org",
) -> x509.Certificate:
    """A certificate as NVFlare writes it; without an issuer signed by itself."""
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, name)]
    if role:
        parts += [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, org),
            x509.NameAttribute(NameOID.UNSTRUCTURED_NAME, role),
        ]
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name(parts))
        .issuer_name(issuer or x509.Name(parts))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + start)
        .not_valid_after(now + end)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(issuer_key or key, hashes.SHA256())
    )


def write_kit(
    folder: Path,
    key: rsa.RSAPrivateKey,
    certificate: x509.Certificate,
    root: x509.Certificate,
    stem: str = "client",
) -> Path:
    """startup/rootCA.pem, STEM.crt and STEM.key in this folder."""
    startup = folder / "startup"
    startup.mkdir(parents=True, mode=0o700)
    (startup / "rootCA.pem").write_bytes(pem(root))
    (startup / f"{stem}.crt").write_bytes(pem(certificate))
    path = startup / f"{stem}.key"
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )
    return folder


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def make_test_kits(folder: Path, hospitals: Sequence[str]) -> dict[str, Path]:
    """Kits by name: every hospital, `server` (localhost), `operator`, and bad ones.

    Bad ones are the kit of the first hospital: `foreign` (another root's certificate beside this
    root), `expired`, `early` (not yet valid), `wrong_key` (another key).
    """
    root_key = make_key("root")
    root = make_root()
    own = (root.subject, root_key)
    kits = {
        name: write_kit(
            folder / name,
            make_key(name),
            make_certificate(make_key(name), name, "client", *own),
            root,
        )
        for name in hospitals
    }
    key = make_key("server")
    made = make_certificate(key, SERVER, "server", *own)
    kits["server"] = write_kit(folder / "_server", key, made, root, "server")
    key = make_key("operator")
    made = make_certificate(key, OPERATOR, "lead", *own)
    kits["operator"] = write_kit(folder / "_operator", key, made, root)
    first, key = hospitals[0], make_key(hospitals[0])
    foreign_key = make_key("foreign root")
    foreign_root = make_certificate(foreign_key, "privaudit", None, ca=True)
    foreign = make_certificate(key, first, "client", foreign_root.subject, foreign_key)
    expired = make_certificate(key, first, "client", *own, start=-9 * DAY, end=-DAY)
    early = make_certificate(key, first, "client", *own, start=DAY)
    good = make_certificate(key, first, "client", *own)
    kits["foreign"] = write_kit(folder / "_foreign", key, foreign, root)
    kits["expired"] = write_kit(folder / "_expired", key, expired, root)
    kits["early"] = write_kit(folder / "_early", key, early, root)
    kits["wrong_key"] = write_kit(folder / "_wrong_key", make_key("another"), good, root)
    return kits


def make_signed_zip(
    folder: Path,
    name: str,
    key: rsa.RSAPrivateKey | None = None,
    role: str = "client",
    change: Mapping[str, object] | None = None,
    **certificate: object,
) -> Path:
    """NAME.signed.zip as `provision --approve` makes it, without NVFlare.

    Args:
        key: Of the certificate; None: the one of `make_test_kits`.
        change: What the federation's statement says otherwise.
        certificate: Options of `make_certificate`.
    """
    from dataclasses import asdict

    from pipelines.deploy.certificates import SIGNED
    from pipelines.deploy.identity import Root
    from pipelines.deploy.members import Federation
    from pipelines.deploy.private_files import make_zip

    root_key = make_key("root")
    root = make_root()
    made = make_certificate(
        key or make_key(name), name, role, root.subject, root_key, **certificate
    )
    inner = make_zip(
        {
            "signed.json": b"{}",
            "signed.json.sig": b"x",
            "site.yaml": b"x",
            f"{name}.crt": pem(made),
            "rootCA.pem": pem(root),
        }
    )
    fingerprint = Root(root).fingerprint
    federation = Federation(
        "privaudit", SERVER, 8102, OPERATOR, ("a", "b", "c"), "", fingerprint, "build"
    )
    text = json.dumps({**asdict(federation), **(change or {})}).encode()
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
    signature = root_key.sign(b"privaudit federation\0" + text, pss, hashes.SHA256())
    path = folder / f"{name}.signed.zip"
    path.write_bytes(make_zip(dict(zip(SIGNED, (inner, text, signature), strict=True))))
    return path


__all__ = [
    "OPERATOR",
    "SERVER",
    "make_certificate",
    "make_key",
    "make_root",
    "make_signed_zip",
    "make_test_kits",
    "pem",
    "write_kit",
]
