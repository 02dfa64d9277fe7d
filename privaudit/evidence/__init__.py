"""Evidence that outlives a run: sums, statements, signatures, and their verification.

`seal` ends an audit; `verify` tells a year later whether it still says what it said.
"""

from __future__ import annotations

from privaudit.evidence.seals import seal

__all__ = ["seal"]
