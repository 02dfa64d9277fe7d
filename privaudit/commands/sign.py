"""privaudit sign."""

from __future__ import annotations

import json
from pathlib import Path

import click

PATH = click.Path(path_type=Path)


@click.command("sign")
@click.argument("run", type=PATH, metavar="RUN")
@click.option("--key", type=PATH, metavar="FILE", help="Your private Ed25519 key (PEM, mode 0600).")
@click.option("--new-key", is_flag=True, help="Make the key first, and its public half FILE.pub.")
@click.option(
    "--sigstore",
    is_flag=True,
    help="Sign through sigstore.dev instead: needs a network and privaudit[sigstore].",
)
@click.option("--json", "as_json", is_flag=True, help="Answer with JSON on standard output.")  # fmt: skip
def command(run: Path, key: Path | None, new_key: bool, sigstore: bool, as_json: bool) -> None:
    """Sign a finished RUN: one signature over the sums of all its files.

    Without a network. Hand the public key to whoever verifies by another way than the run.
    """
    from privaudit.engine.folder import find
    from privaudit.errors import PrivauditError
    from privaudit.evidence import sign

    folder = find(run).resolve().parent.parent
    if sigstore:
        if key is not None or new_key:
            raise PrivauditError(
                "--sigstore together with a key",
                "sigstore signs in the name of an identity, without a key of yours",
                "give one of the two",
            )
        from privaudit.evidence import keyless

        path, name = keyless.sign(folder), "sigstore"
    else:
        if key is None:
            raise PrivauditError(
                "no key to sign with",
                "a signature says who vouches for the run",
                "give --key FILE; with --new-key it is made",
            )
        if key.resolve().is_relative_to(folder):
            raise PrivauditError(
                "a private key inside the run",
                "who is handed the run could sign in your name",
                "keep the key elsewhere",
            )
        sign.checked(folder)
        if new_key:
            sign.new_key(key)
        private = sign.private_key(key, _password(key))
        path, name = sign.sign(folder, private), sign.name_of(private.public_key())
    told = {"signature": str(path), "key": name}
    click.echo(json.dumps(told, indent=1) if as_json else str(path))


def _password(key: Path) -> bytes | None:
    """The key's password, asked for where it has one."""
    try:
        locked = b"ENCRYPTED" in key.read_bytes()
    except OSError:
        return None
    if not locked:
        return None
    return str(click.prompt("password of the key", hide_input=True, err=True)).encode()
