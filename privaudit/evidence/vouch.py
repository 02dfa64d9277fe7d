"""Signing a run: it is verified first, and what was found is part of what is signed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from privaudit.errors import PrivauditError
from privaudit.evidence import keyless, ledger, sign, statement, sums
from privaudit.evidence.derive import Progress
from privaudit.evidence.verification import verify

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

BESIDE = ("signature", "verdicts")
"""What a signer need not have checked: other signatures, and verdicts whose policy is elsewhere."""


def vouch(
    run: Path,
    key: Ed25519PrivateKey,
    *,
    policy: Path | None = None,
    numbers: bool = True,
    require: Sequence[str] | None = None,
    progress: Progress = lambda _: None,
) -> Path:
    """Verify a run and sign it; the envelope's path.

    Args:
        run: The run directory.
        key: The signer's private key.
        policy: The policy that the run was judged by, to verify its verdicts too.
        numbers: Whether to recompute every number; the signature states where it was not done.
        require: The checks that must hold, in place of all that the run should have.
        progress: Called with the name of each subject whose numbers are recomputed.

    Raises:
        PrivauditError: For a run with a fault, or of which something could not be verified.
    """
    found = examine(run, policy=policy, numbers=numbers, require=require, progress=progress)
    name = sign.key_id(key.public_key())
    path = sign.sign(run, key, found)
    _note(run, name)
    return path


def vouch_keyless(
    run: Path,
    *,
    policy: Path | None = None,
    numbers: bool = True,
    require: Sequence[str] | None = None,
    progress: Progress = lambda _: None,
) -> Path:
    """As `vouch`, by sigstore; the bundle's path."""
    examine(run, policy=policy, numbers=numbers, require=require, progress=progress)
    path = keyless.sign(run)
    _note(run, sign.SIGSTORE)
    return path


def examine(
    run: Path,
    *,
    policy: Path | None,
    numbers: bool,
    require: Sequence[str] | None,
    progress: Progress,
) -> dict[str, str]:
    """Check -> state of a run that may be signed."""
    sign.sealed_statement(run)
    found = verify(run, policy=policy, numbers=numbers, require=require, progress=progress)
    checks = [check for check in found.checks if check.name != "signature"]
    faults = [fault for check in checks for fault in check.faults]
    if faults:
        raise PrivauditError(
            f"a run with {len(faults)} fault(s): {faults[0]}",
            "a signature states that the run was verified",
            "look with `privaudit verify RUN`; sign a run that verifies",
        )
    unmade = [name for name in found.unmade if require is not None or name not in BESIDE]
    if unmade:
        raise PrivauditError(
            f"a run of which {', '.join(unmade)} could not be verified",
            "a signature states that the run was verified",
            "sign it where it was made, with restricted/ and the ledger; or name what must hold "
            "with --require: the signature states what was not checked",
        )
    return {check.name: check.state for check in checks}


def _note(run: Path, signer: str) -> None:
    digest = sums.digest(run / statement.FILE)
    ledger.note(run.resolve().parent, run.resolve().name, "signed", statement=digest, signer=signer)


__all__ = ["vouch", "vouch_keyless"]
