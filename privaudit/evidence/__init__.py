"""Evidence that outlives a run: sums, statements, signatures, and their verification.

seal(run)                        ends an audit: bill of materials, statement, sums
verify(run, key=PUB).faults      tells a year later whether it still says what it said
"""

from __future__ import annotations

from privaudit.evidence.checks import Check, Verification, verify
from privaudit.evidence.seals import resealed, seal

__all__ = ["Check", "Verification", "resealed", "seal", "verify"]
