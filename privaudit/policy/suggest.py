"""A word that was meant, for one that is not known."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def find_nearest(word: str, known: Iterable[str]) -> str:
    """The known word that was meant, or nothing where none is near."""
    names = list(known)
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if not near and len(word) > 2:
        near = [name for name in names if name.startswith(word)][:1]
    if not near:
        tails = {name.rpartition(".")[2]: name for name in names}
        near = [tails[t] for t in difflib.get_close_matches(word, tails, n=1, cutoff=0.75)]
    return near[0] if near else ""


def suggest(word: str, known: Iterable[str]) -> str:
    """`did you mean ...?`, or nothing where no known word is near."""
    near = find_nearest(word, known)
    return f"did you mean {near!r}?" if near else ""
