"""Certificates, signatures and fingerprints."""

from __future__ import annotations

from pathlib import Path
from time import time

import pytest
from deploy.kits import make_certificate, make_key, make_test_kits, pem

from pipelines.deploy.identity import Identity, Root, Verified, normalise
from privaudit.errors import PrivauditError

TEXT = b"privaudit mask\0run\x001\0key"


@pytest.fixture(scope="module")
def kits(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make_test_kits(tmp_path_factory.mktemp("kits"), ["a", "b", "c"])


def test_who_signed(kits):
    root = Root.load(kits["b"])
    for kit, name, role in (("a", "a", "client"), ("operator", "operator@coordinator.org", "lead")):
        own = Identity.load(kits[kit])
        assert (own.name, own.role) == (name, role)
        assert root.verify(own.certificate, own.sign(TEXT), TEXT) == Verified(name, role)
    server = Identity.load(kits["server"])
    assert root.vouch(server.certificate) == Verified("localhost", "server")


def test_another_text_key_or_signature_is_refused(kits):
    root, own, other = Root.load(kits["a"]), Identity.load(kits["a"]), Identity.load(kits["b"])
    signature = own.sign(TEXT)
    for certificate, signed, text in (
        (own.certificate, signature, TEXT + b"x"),
        (other.certificate, signature, TEXT),
        (own.certificate, signature[:-1] + bytes([signature[-1] ^ 1]), TEXT),
        (own.certificate, b"", TEXT),
    ):
        with pytest.raises(PrivauditError, match="signature that does not verify"):
            root.verify(certificate, signed, text)


@pytest.mark.parametrize(
    ("kit", "what"),
    [
        ("foreign", "certificate of another root"),
        ("expired", "certificate that has expired"),
        ("early", "certificate that is not yet valid"),
    ],
)
def test_bad_certificates_are_refused(kits, kit, what):
    root, own = Root.load(kits["a"]), Identity.load(kits[kit])
    with pytest.raises(PrivauditError, match=what):
        root.verify(own.certificate, own.sign(TEXT), TEXT)


def test_a_certificate_is_judged_at_the_time_asked(kits):
    root, own = Root.load(kits["a"]), Identity.load(kits["early"])
    later = time() + 2 * 86400
    assert root.verify(own.certificate, own.sign(TEXT), TEXT, at=later).name == "a"


def test_a_key_of_another_is_refused(kits):
    with pytest.raises(PrivauditError, match="not the certificate's"):
        Identity.load(kits["wrong_key"])


def test_a_hospital_cannot_issue_certificates(kits):
    """Signed with a hospital's key, under a hospital's name and under the root's."""
    root = Root.load(kits["a"])
    own = make_certificate(make_key("a"), "a", "client")
    for issuer in (own.subject, root.certificate.subject):
        made = make_certificate(make_key("x"), "c", "client", issuer, make_key("a"))
        with pytest.raises(PrivauditError, match="another root"):
            root.vouch(pem(made))


def test_a_party_that_may_issue_or_has_no_role_is_refused(kits):
    root = Root.load(kits["a"])
    issuer, key = root.certificate.subject, make_key("root")
    with pytest.raises(PrivauditError, match="may issue"):
        root.vouch(pem(make_certificate(make_key("a"), "a", "client", issuer, key, ca=True)))
    for role in (None, "king"):
        with pytest.raises(PrivauditError, match="without a name and a role"):
            root.vouch(pem(make_certificate(make_key("a"), "a", role, issuer, key)))


def test_a_root_that_is_none(kits, tmp_path):
    with pytest.raises(PrivauditError, match="is none"):
        Root.read(Identity.load(kits["a"]).certificate)
    with pytest.raises(PrivauditError, match=r"no rootCA\.pem"):
        Root.load(tmp_path)


def test_fingerprints(kits):
    root = Root.load(kits["a"])
    digits = root.fingerprint.removeprefix("SHA256:")
    assert len(digits) == 95
    for told in (
        root.fingerprint,
        digits.lower(),
        digits.replace(":", ""),
        f"sha256 Fingerprint={digits}",
    ):
        assert normalise(told) == root.fingerprint
        assert Root.load(kits["b"], told) == root
    other = "SHA256:" + ":".join(["00"] * 32)
    with pytest.raises(PrivauditError, match="the one expected is SHA256:00"):
        Root.load(kits["a"], other)
    for bad in ("", "abc", digits[:-1], digits + "00", "zz" * 32):
        with pytest.raises(PrivauditError, match="64 hexadecimal"):
            normalise(bad)


@pytest.mark.parametrize(
    "junk", [b"", b"junk", b"-----BEGIN CERTIFICATE-----\nAAAA\n", b"x" * 20000]
)
def test_junk_is_refused(kits, junk):
    root = Root.load(kits["a"])
    own = Identity.load(kits["a"])
    for certificate in (junk, own.certificate + own.certificate):
        with pytest.raises(PrivauditError, match="cannot be read"):
            root.verify(certificate, own.sign(TEXT), TEXT)


def test_no_key_is_shown(kits, tmp_path):
    own = Identity.load(kits["a"])
    assert "key" not in repr(own)
    kit = tmp_path / "kit" / "startup"
    kit.mkdir(parents=True)
    secret = (kits["a"] / "startup" / "client.key").read_bytes()
    (kit / "client.crt").write_bytes(own.certificate)
    (kit / "client.key").write_bytes(secret[:900])
    with pytest.raises(PrivauditError) as caught:
        Identity.load(kit.parent)
    assert secret[100:140].decode() not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)
