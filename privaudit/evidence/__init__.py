"""Evidence that outlives a run: sums, statements, signatures, and their verification.

with account(out, command) as witness: ...   keeps account of an audit while it runs, and seals it
seal(run)                                    ends an audit: bill of materials, statement, sums
with resealed(run): ...                      lets files of a sealed run be made again
verify(run, key=PUB).faults                  tells a year later whether it still says what it said
"""

from __future__ import annotations

from privaudit.evidence.account import Account, account
from privaudit.evidence.checks import Check, Verification, verify
from privaudit.evidence.seals import resealed, seal

__all__ = ["Account", "Check", "Verification", "account", "resealed", "seal", "verify"]
