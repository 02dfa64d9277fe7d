"""Reproducibility: fingerprints, attempts, and what it takes to repeat the audit."""

from __future__ import annotations

from privaudit.report import numbers as n
from privaudit.report.blocks import Block, Code, Details, Facts, Prose, Text, make_table
from privaudit.report.wording import reproducibility as words
from privaudit.results import Attempts, Audit
from privaudit.verdicts import Verdicts

VERBATIM = ("command", "run", "seed", "fingerprint", "audit", "policy", "baseline")
"""Printed letter by letter, to be copied."""


def build(audit: Audit, verdicts: Verdicts | None) -> tuple[Block, ...]:
    """Attempts, the manifest, versions."""
    m = audit.manifest
    facts = {
        "command": m.command,
        "run": m.run,
        "created": m.created,
        "profile": m.profile,
        "seed": m.seed_commitment,
        "confidence": n.share(m.confidence),
        "fingerprint": m.records_fingerprint,
        "version": m.version,
        "python": m.python,
        "platform": m.platform,
        "wall": n.duration(m.seconds),
        "cpu": n.duration(m.cpu_seconds),
        "memory": n.size(m.peak_memory_bytes),
        "refits": ", ".join(f"{name} {n.count(count)}" for name, count in sorted(m.refits.items())),
        "steps": words.word_steps(m.steps),
        "statistics": m.statistics,
    }
    if verdicts is not None:
        facts["audit"] = verdicts.audit_sha256
        facts["policy"] = verdicts.policy_sha256
        facts["baseline"] = verdicts.baseline
    pairs: list[tuple[Text, Text]] = [
        (words.MANIFEST[key], (Code(text),) if key in VERBATIM else text)
        for key, text in facts.items()
        if text
    ]
    table = make_table(words.PACKAGES, words.PACKAGES_COLUMNS, sorted(m.packages.items()))
    versions = (Details(words.PACKAGES, (table,)),) if m.packages else ()
    plugins = [(one.name, one.version, (Code(one.sha256),)) for one in m.plugins]
    provided = make_table(words.PLUGINS, words.PLUGINS_COLUMNS, plugins)
    return (
        Prose(words.INTRO()),
        *_build_attempts(m.attempts),
        Facts(tuple(pairs)),
        *versions,
        *([provided] if plugins else []),
    )


def _build_attempts(a: Attempts | None) -> list[Block]:
    """How often this was tried: an audit repeated until it passes must show."""
    if a is None:
        return [Prose(words.NO_LEDGER)]
    rows = [
        (words.EXIT_CODES.get(code, code), n.count(count))
        for code, count in sorted(a.outcomes.items())
    ]
    table = make_table(words.ATTEMPTS_CAPTION, words.ATTEMPTS_COLUMNS, rows, 1)
    return [Prose(words.word_attempts(a)), *([table] if rows else [])]


__all__ = ["build"]
