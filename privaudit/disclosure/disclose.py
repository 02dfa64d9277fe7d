"""One pass over the exact document, before anything is written that may be shared."""

from __future__ import annotations

from dataclasses import replace

from privaudit.disclosure.coarsen import coarsen
from privaudit.disclosure.near_groups import withhold_near_groups
from privaudit.disclosure.suppress import suppress
from privaudit.results import Audit


def disclose(audit: Audit) -> Audit:
    """The document that may be shared: without small counts, also by subtraction, rounded, and
    without the secret of its random streams."""
    rounded = coarsen(suppress(withhold_near_groups(audit)))
    return replace(rounded, manifest=replace(rounded.manifest, entropy=None, seed=None))


__all__ = ["disclose"]
