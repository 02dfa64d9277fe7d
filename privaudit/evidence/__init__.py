"""Evidence that outlives a run: checksums, statements, signatures, and their verification.

with account(out, command) as witness: ...   accounts for an audit while it runs, and seals it
seal(run)                                    ends an audit: bill of materials, statement, checksums
with resealed(run): ...                      lets files of a sealed run be written again
verify(run, key=PUB).faults                  tells whether a run is still what it was
"""

from __future__ import annotations

from privaudit.evidence.account import Account, account
from privaudit.evidence.checks import Check, Verification
from privaudit.evidence.retraining import Again
from privaudit.evidence.seals import resealed, seal
from privaudit.evidence.verification import verify

__all__ = [
    "Account",
    "Again",
    "Check",
    "Verification",
    "account",
    "resealed",
    "seal",
    "verify",
]
