"""Encryption: what masks and ciphertexts leave visible, their overhead, and whether the key
holds."""

from __future__ import annotations

from privaudit.report import numbers as n
from privaudit.report.blocks import Block, Prose, make_table
from privaudit.report.reading import get
from privaudit.report.sections.federated_learning import build_trust, word_cost
from privaudit.report.sections.split_learning import build_attempts
from privaudit.report.wording import federated_learning as words
from privaudit.results import Audit, Subject
from privaudit.verdicts import Verdicts

PROTECTED_METHODS = ("federated_secure", "federated_encrypted")
PROTECTIONS = frozenset(("securesum", "encryptedsum"))
"""Values of a method's settings, without underscores and in small letters."""


def build(audit: Audit, verdicts: Verdicts | None) -> tuple[Block, ...]:
    """What is visible, attempts on the key, overhead."""
    shown = [s for s in audit.subjects if is_protected(s)]
    if not shown:
        return ()
    return (
        Prose(words.ENCRYPTION),
        *build_trust(shown, words.SEEN_CAPTION),
        *build_attempts(shown, ("key_recovery",), words.KEY_CAPTION),
        *_build_overhead(audit, shown),
    )


def is_protected(s: Subject) -> bool:
    """Whether updates were masked or encrypted."""
    settings = {value.lower().replace("_", "") for value in s.params.values()}
    return s.method in PROTECTED_METHODS or bool(settings & PROTECTIONS)


def _build_overhead(audit: Audit, shown: list[Subject]) -> list[Block]:
    """Traffic, time and utility beside the same training without protection."""
    federated = (s for s in audit.subjects if s.method == "federated" and not is_protected(s))
    plain = next(federated, None)
    if plain is None or not plain.costs.get("bytes_up"):
        return []
    rows = []
    for s in (plain, *shown):
        sent = s.costs.get("bytes_up")
        rows.append(
            (
                s.name,
                word_cost("bytes_up", sent),
                n.significant(sent / plain.costs["bytes_up"]) if sent else "",
                word_cost("seconds", s.costs.get("train_seconds", s.costs.get("fit_cpu_seconds"))),
                n.cell_text(get(s.utility, "auroc")),
            )
        )
    return [make_table(words.OVERHEAD_CAPTION, words.OVERHEAD_COLUMNS(), rows, 1)]


__all__ = ["build", "is_protected"]
