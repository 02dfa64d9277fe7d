"""Keys and signatures: made with care, checked to the bit, refused when they are another's."""

from __future__ import annotations

import builtins
import json
import os
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from privaudit.cli import main
from privaudit.errors import PrivauditError
from privaudit.evidence import seal, sign, verify
from privaudit.evidence.vouch import vouch


def key(folder: Path, name: str = "officer.pem") -> Path:
    path = folder / name
    sign.new_key(path)
    return path


def test_a_new_key_is_its_owners_alone(tmp_path: Path) -> None:
    path = key(tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    private = sign.private_key(path)
    assert sign.key_id(sign.public_key(tmp_path / "officer.pem.pub")) == sign.key_id(
        private.public_key()
    )
    with pytest.raises(PrivauditError, match="there already"):
        sign.new_key(path)
    with pytest.raises(PrivauditError, match="cannot be written"):
        sign.new_key(tmp_path / "none" / "key.pem")


def test_keys_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    path = key(tmp_path)
    path.chmod(0o644)
    if os.name == "posix":
        with pytest.raises(PrivauditError, match="may be read by others"):
            sign.private_key(path)
    for name, body in (
        ("text.pem", b"not a key"),
        ("public.pem", (tmp_path / "officer.pem.pub").read_bytes()),
    ):
        (tmp_path / name).write_bytes(body)
        (tmp_path / name).chmod(0o600)
        with pytest.raises(PrivauditError, match="holds no private key"):
            sign.private_key(tmp_path / name)
    pem = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
    other = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        *pem, serialization.NoEncryption()
    )
    (tmp_path / "ec.pem").write_bytes(other)
    (tmp_path / "ec.pem").chmod(0o600)
    with pytest.raises(PrivauditError, match="another kind"):
        sign.private_key(tmp_path / "ec.pem")
    locked = ed25519.Ed25519PrivateKey.generate().private_bytes(
        *pem, serialization.BestAvailableEncryption(b"secret")
    )
    (tmp_path / "locked.pem").write_bytes(locked)
    (tmp_path / "locked.pem").chmod(0o600)
    with pytest.raises(PrivauditError, match="no private key that can be read"):
        sign.private_key(tmp_path / "locked.pem")
    with pytest.raises(PrivauditError, match="no private key that can be read"):
        sign.private_key(tmp_path / "locked.pem", b"wrong")
    assert sign.private_key(tmp_path / "locked.pem", b"secret")
    with pytest.raises(PrivauditError, match="no Ed25519 public key"):
        sign.public_key(path)
    with pytest.raises(PrivauditError, match="cannot be read"):
        sign.public_key(tmp_path / "none.pub")


def test_another_key_is_not_the_one_given(run: Path, tmp_path: Path) -> None:
    mine, other = key(tmp_path), key(tmp_path, "other.pem")
    vouch(run, sign.private_key(other), numbers=False)
    told = verify(run, key=mine.with_name("officer.pem.pub"), numbers=False)
    assert any("not signed with the key given" in fault for fault in told.faults)
    vouch(run, sign.private_key(mine), numbers=False)
    assert verify(run, key=mine.with_name("officer.pem.pub"), numbers=False).faults == ()


def test_a_signature_holds_the_files_of_its_time(run: Path, tmp_path: Path) -> None:
    mine = key(tmp_path)
    vouch(run, sign.private_key(mine), numbers=False)
    (run / "shareable" / "note.txt").write_text("added later", encoding="utf-8")
    with pytest.raises(PrivauditError, match="not as it was sealed"):
        vouch(run, sign.private_key(mine), numbers=False)
    seal(run)
    told = verify(run, numbers=False).faults
    why = "it was made over another statement: the run was sealed again after it was signed"
    assert f"signatures/{_name(run)}: {why}" in told
    assert "shareable/note.txt: is no file that privaudit writes" in told
    assert any("was sealed again by other means" in fault for fault in told)


def _name(run: Path) -> str:
    (found,) = (run / "signatures").glob("*.dsse.json")
    return found.name


def test_forged_envelopes_are_found(run: Path, tmp_path: Path) -> None:
    vouch(run, sign.private_key(key(tmp_path)), numbers=False)
    path = run / "signatures" / _name(run)
    tree = json.loads(path.read_bytes())
    other = ed25519.Ed25519PrivateKey.generate()
    import base64

    from privaudit.evidence.statement import canonical

    def forged(**change: Any) -> tuple[str, ...]:
        path.write_bytes(canonical({**tree, **change}))
        return verify(run, numbers=False).faults

    wrong = base64.b64encode(other.sign(b"x")).decode()
    keyid = tree["signatures"][0]["keyid"]
    assert "does not match" in forged(signatures=[{"keyid": keyid, "sig": wrong}])[0]
    assert "not an envelope" in forged(signatures=[])[0]
    assert "not an envelope" in forged(payloadType="text/plain")[0]
    assert forged() == ()
    public = path.with_name(f"{keyid}.pub")
    public.write_bytes(
        other.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    assert "not the one that it is named after" in verify(run, numbers=False).faults[0]
    path.unlink()
    assert "no signature belongs to it" in verify(run, numbers=False).faults[0]


def test_dsse_is_encoded_as_its_specification_says(monkeypatch: pytest.MonkeyPatch) -> None:
    from privaudit.evidence import statement

    monkeypatch.setattr(statement, "MEDIA", "http://example.com/HelloWorld")
    assert sign.encode(b"hello world") == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


def test_the_command(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "k.pem")
    assert main(["sign", str(run)]) == 2
    assert "--new-key" in capsys.readouterr().err
    assert main(["sign", str(run), "--key", path]) == 2
    capsys.readouterr()
    assert main(["sign", str(run), "--key", str(run / "k.pem"), "--new-key"]) == 2
    assert "inside the run" in capsys.readouterr().err
    assert main(["sign", str(run), "--key", path, "--new-key", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert Path(told["signature"]).name == f"{told['key']}.dsse.json"
    policy = str(run.parent / "policy.toml")
    wanted = ["verify", str(run), "--key", f"{path}.pub", "--quick"]
    assert main([*wanted, "--policy", policy]) == 0
    assert "signed with the key given" in capsys.readouterr().out


def test_without_the_libraries_it_says_what_to_install(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.partition(".")[0] in ("cryptography", "sigstore"):
            raise ImportError(name=name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    for name in [name for name in sys.modules if name.startswith("sigstore")]:
        monkeypatch.delitem(sys.modules, name)
    assert main(["sign", str(run), "--key", "k.pem", "--new-key"]) == 2
    assert "privaudit[sign]" in capsys.readouterr().err
    assert main(["sign", str(run), "--sigstore"]) == 2
    assert "privaudit[sigstore]" in capsys.readouterr().err
    assert main(["sign", str(run), "--sigstore", "--key", "k.pem"]) == 2
    assert verify(run, numbers=False).faults == ()
