"""One pass over the exact document, before anything is written that may be shared."""

from __future__ import annotations

from dataclasses import replace

from privaudit.disclosure.coarsen import coarsen
from privaudit.results import Audit


def disclose(audit: Audit) -> Audit:
    """The document that may be shared: rounded, and without the secret of its random streams."""
    rounded = coarsen(audit)
    return replace(rounded, manifest=replace(rounded.manifest, entropy=None, seed=None))


__all__ = ["disclose"]
