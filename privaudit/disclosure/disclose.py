"""One pass over the exact document, before anything is written that may be shared."""

from __future__ import annotations

from dataclasses import replace

from privaudit.disclosure.suppress import suppress
from privaudit.results import Audit


def disclose(audit: Audit) -> Audit:
    """The document that may be shared: without the secret of its random streams, and without small
    counts, also not by subtraction."""
    audit = suppress(audit)
    return replace(audit, manifest=replace(audit.manifest, entropy=None, seed=None))


__all__ = ["disclose"]
