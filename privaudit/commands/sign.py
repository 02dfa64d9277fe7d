"""privaudit sign."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from privaudit.commands._options import JSON, PATH, option, several
from privaudit.commands.verify import REQUIRE
from privaudit.errors import PrivauditError


@click.command("sign")
@click.argument("run", type=PATH, metavar="RUN")
@option("--key", "FILE", "Your private Ed25519 key (PEM, mode 0600).", PATH)
@option("--new-key", "", "Make the key first, with its public key in FILE.pub.")
@option("--sigstore", "", "Sign by sigstore.dev: needs a network and privaudit[sigstore].")
@option("--policy", "FILE", "The policy that the run was judged by.", PATH)
@option("--no-numbers", "", "Do not recompute the numbers; the signature states that.")
@REQUIRE
@JSON
def command(
    run: Path,
    key: Path | None,
    new_key: bool,
    sigstore: bool,
    policy: Path | None,
    no_numbers: bool,
    require: str | None,
    as_json: bool,
) -> None:
    """Verify a finished RUN and sign it: one signature over the checksums of all its files.

    A run with a fault, or of which something could not be verified, is not signed. Needs no
    network. Give the public key to whoever verifies, by another channel than the run.
    """
    from privaudit.engine.folder import find
    from privaudit.evidence import sign, vouch

    def progress(subject: str) -> None:
        click.echo(f"numbers of {subject}: recomputed", err=True)

    how: dict[str, Any] = {
        "policy": policy,
        "numbers": not no_numbers,
        "require": None if require is None else several(require),
        "progress": progress,
    }
    folder = find(run).resolve().parent.parent
    if sigstore:
        if key is not None or new_key:
            raise PrivauditError(
                "--sigstore together with a key",
                "sigstore signs for an identity, without a key of yours",
                "give one of the two",
            )
        path, name = vouch.vouch_keyless(folder, **how), sign.SIGSTORE
    else:
        if key is None:
            raise PrivauditError(
                "no key to sign with",
                "a signature states who vouches for the run",
                "give --key FILE; with --new-key it is made",
            )
        if key.resolve().is_relative_to(folder):
            raise PrivauditError(
                "a private key inside the run",
                "whoever receives the run could sign in your name",
                "store the key elsewhere",
            )
        sign.sealed_statement(folder)
        if new_key:
            sign.new_key(key)
        private = sign.private_key(key, _ask_password(key))
        path = vouch.vouch(folder, private, **how)
        name = sign.key_id(private.public_key())
    answer = {"signature": str(path), "key": name}
    click.echo(json.dumps(answer, indent=1) if as_json else str(path))


def _ask_password(key: Path) -> bytes | None:
    """The key's password, where it has one."""
    try:
        locked = b"ENCRYPTED" in key.read_bytes()
    except OSError:
        return None
    if not locked:
        return None
    return str(click.prompt("password of the key", hide_input=True, err=True)).encode()
