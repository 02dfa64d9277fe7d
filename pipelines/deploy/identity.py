"""Who a party of a federation is: its certificate and key, and the root that vouches for both.

Nothing here asks NVFlare: a certificate is checked against the root's key, its dates and its
subject by this process itself (X.509, RFC 5280; RSA-PSS, RFC 8017). NVFlare writes the name into
the common name and the role into the unstructured name: "client" for a hospital.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from privaudit.errors import PrivauditError

HOSPITAL, SERVER, OPERATOR = "client", "server", "lead"
ROLES = (HOSPITAL, SERVER, OPERATOR, "org_admin", "member", "project_admin")
"""What a certificate may say that its owner is; `client` is a hospital, `lead` the operator."""

FEWEST_BITS = 2048
LARGEST = 16384
"""Bytes of a certificate, as `messages` has it."""


@dataclass(frozen=True)
class Verified:
    """Whose signature it is."""

    name: str
    role: str


@dataclass(frozen=True)
class Identity:
    """A certificate and the key to it, which never leaves its folder.

    Args:
        name: As the certificate has it.
        certificate: PEM.
    """

    name: str
    role: str
    certificate: bytes
    _key: rsa.RSAPrivateKey = field(repr=False)

    @classmethod
    def load(cls, kit: Path) -> Identity:
        """Of a kit's folder.

        Raises:
            PrivauditError: There is none, it cannot be read, or the key is another's.
        """
        stem = "server" if (kit / "startup" / "server.crt").is_file() else "client"
        pem = _read(kit / "startup" / f"{stem}.crt")
        certificate = read_certificate(pem)
        key = read_key(_read(kit / "startup" / f"{stem}.key"))
        if _public(key.public_key()) != _public(certificate.public_key()):
            raise PrivauditError(
                "a private key that is not the certificate's",
                "they were not made together, so nothing signed here would be accepted",
                "join again with the folder in which the request was made",
            )
        found = read_subject(certificate)
        return cls(found.name, found.role, pem, key)

    def sign(self, text: bytes) -> bytes:
        """RSA-PSS with SHA-256."""
        return self._key.sign(text, _pss(), hashes.SHA256())


@dataclass(frozen=True)
class Root:
    """The certificate of the federation's root, by which all others are judged."""

    certificate: x509.Certificate = field(repr=False)

    @classmethod
    def load(cls, kit: Path, fingerprint: str | None = None) -> Root:
        """Of a kit's folder, or a folder that holds `rootCA.pem`.

        Args:
            fingerprint: What the root's has to be.

        Raises:
            PrivauditError: There is none, or it is another root.
        """
        path = kit / "startup" / "rootCA.pem"
        root = cls.read(_read(path if path.is_file() else kit / "rootCA.pem"))
        if fingerprint is not None and normalise(fingerprint) != root.fingerprint:
            raise PrivauditError(
                f"a root whose fingerprint is {root.fingerprint}",
                f"the one expected is {normalise(fingerprint)}",
                "ask the coordinator for the fingerprint again, by telephone, and trust neither"
                " until they are equal",
            )
        return root

    @classmethod
    def read(cls, pem: bytes) -> Root:
        """Of a PEM file; PrivauditError where it is no root's certificate."""
        certificate = read_certificate(pem)
        try:
            certificate.verify_directly_issued_by(certificate)
            basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
            if not basic.value.ca:
                raise ValueError("it may not issue certificates")
        except (
            ValueError,
            TypeError,
            InvalidSignature,
            UnsupportedAlgorithm,
            x509.ExtensionNotFound,
        ):
            raise PrivauditError(
                "a root certificate that is none",
                "it is not signed by itself, or may not issue certificates",
                "use the rootCA.pem of the federation",
            ) from None
        return cls(certificate)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate, as people read it to each other: `SHA256:AA:BB:...`."""
        return "SHA256:" + self.certificate.fingerprint(hashes.SHA256()).hex(":").upper()

    def vouch(self, certificate: bytes, at: float | None = None) -> Verified:
        """Whose certificate it is.

        Args:
            certificate: PEM.
            at: Seconds since 1970 at which it has to be valid; None: now.

        Raises:
            PrivauditError: Another root's, expired, not yet valid, or no certificate of a party.
        """
        made = read_certificate(certificate)
        try:
            made.verify_directly_issued_by(self.certificate)
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
            raise PrivauditError(
                "a certificate of another root",
                "this federation's root has not signed it",
                "use the certificate that this federation's coordinator signed",
            ) from None
        moment = datetime.fromtimestamp(time.time() if at is None else at, UTC)
        for which in (self.certificate, made):
            _check_dates(which, moment)
        if _may_issue(made):
            raise PrivauditError(
                "a certificate that may issue others",
                "only the root may",
                "use the certificate that the coordinator signed",
            )
        return read_subject(made)

    def verify(
        self, certificate: bytes, signature: bytes, text: bytes, at: float | None = None
    ) -> Verified:
        """Whose signature of the text it is.

        Args:
            certificate: PEM, of the signer.
            at: Seconds since 1970 at which the certificate has to be valid; None: now.

        Raises:
            PrivauditError: Another root's, expired, not yet valid, or another's signature.
        """
        found = self.vouch(certificate, at)
        key = read_certificate(certificate).public_key()
        try:
            assert isinstance(key, rsa.RSAPublicKey)
            key.verify(signature, text, _pss(), hashes.SHA256())
        except (InvalidSignature, ValueError, TypeError):
            raise PrivauditError(
                "a signature that does not verify",
                "the text was changed on its way, or another key signed it",
                "trust nothing that came with it, and ask its sender",
            ) from None
        return found

    def verify_own(self, signature: bytes, text: bytes) -> None:
        """PrivauditError where the root itself has not signed the text."""
        key = self.certificate.public_key()
        try:
            assert isinstance(key, rsa.RSAPublicKey)
            key.verify(signature, text, _pss(), hashes.SHA256())
        except (InvalidSignature, ValueError, TypeError):
            raise PrivauditError(
                "a statement that the root has not signed",
                "it was changed on its way, or is another federation's",
                "ask the coordinator for the signed file again",
            ) from None


def normalise(fingerprint: str) -> str:
    """As `Root.fingerprint` writes it; PrivauditError where it is none."""
    found = "".join(fingerprint.split()).upper()
    for start in ("SHA256FINGERPRINT=", "SHA256:", "SHA-256:"):
        found = found.removeprefix(start)
    digits = found.replace(":", "")
    if len(digits) != 64 or set(digits) - set("0123456789ABCDEF"):
        raise PrivauditError(
            f"the fingerprint {fingerprint[:80]!r}",
            "one has 64 hexadecimal digits",
            "give it as the coordinator reads it out: SHA256:AA:BB:...",
        )
    return "SHA256:" + bytes.fromhex(digits).hex(":").upper()


def read_certificate(pem: bytes) -> x509.Certificate:
    """The one certificate of a PEM text with an RSA key; PrivauditError where there is none."""
    try:
        if len(pem) > LARGEST:
            raise ValueError("too large")
        (made,) = x509.load_pem_x509_certificates(pem)
        key = made.public_key()
        if not isinstance(key, rsa.RSAPublicKey) or key.key_size < FEWEST_BITS:
            raise ValueError("the key")
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise PrivauditError(
            "a certificate that cannot be read",
            f"it is not one PEM certificate of an RSA key of {FEWEST_BITS} bits or more",
            "use the file that the coordinator signed",
        ) from None
    return made


def read_key(pem: bytes) -> rsa.RSAPrivateKey:
    """A private key; PrivauditError, which quotes nothing of it, where it is none."""
    try:
        key = serialization.load_pem_private_key(pem, None)
        if not isinstance(key, rsa.RSAPrivateKey):
            raise TypeError("not an RSA key")
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise PrivauditError(
            "a private key that cannot be read",
            "the file holds no RSA key without a password",
            "join again in the folder in which the request was made",
        ) from None
    return key


def read_subject(certificate: x509.Certificate) -> Verified:
    """The name and the role of a certificate; PrivauditError where it has none."""

    def only(oid: x509.ObjectIdentifier) -> str:
        found = certificate.subject.get_attributes_for_oid(oid)
        return str(found[0].value) if len(found) == 1 else ""

    name, role = only(NameOID.COMMON_NAME), only(NameOID.UNSTRUCTURED_NAME)
    if not name or role not in ROLES:
        raise PrivauditError(
            "a certificate without a name and a role",
            f"roles are {', '.join(ROLES)}",
            "use the certificate that the coordinator signed",
        )
    return Verified(name, role)


def sign_as_root(folder: Path, text: bytes) -> bytes:
    """The signature of the root, whose key lies in the folder as `rootCA.key`."""
    return read_key(_read(folder / "rootCA.key")).sign(text, _pss(), hashes.SHA256())


def _pss() -> padding.PSS:
    return padding.PSS(padding.MGF1(hashes.SHA256()), hashes.SHA256.digest_size)


def _public(key: object) -> bytes:
    assert isinstance(key, rsa.RSAPublicKey)
    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _may_issue(certificate: x509.Certificate) -> bool:
    try:
        found = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    except x509.ExtensionNotFound:
        return False
    except ValueError:
        return True
    return found.value.ca


def _check_dates(certificate: x509.Certificate, at: datetime) -> None:
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if at < start:
        raise PrivauditError(
            "a certificate that is not yet valid",
            f"it begins at {start:%Y-%m-%d %H:%M} UTC, and this machine's clock says"
            f" {at:%Y-%m-%d %H:%M}",
            "set the clock of this machine, or wait",
        )
    if at > end:
        raise PrivauditError(
            "a certificate that has expired",
            f"it ended at {end:%Y-%m-%d %H:%M} UTC",
            "request a new one with `privaudit federation join`",
        )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        raise PrivauditError(
            f"no {path.name} that can be read in this kit",
            "it is missing or belongs to another user",
            "make the kit again with `privaudit federation join` or `provision`",
        ) from None


__all__ = [
    "HOSPITAL",
    "OPERATOR",
    "ROLES",
    "SERVER",
    "Identity",
    "Root",
    "Verified",
    "normalise",
    "read_certificate",
    "read_key",
    "read_subject",
    "sign_as_root",
]
