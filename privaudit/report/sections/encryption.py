"""Encryption: what masks and ciphertexts leave to be seen, what they cost, and whether the key holds."""

from __future__ import annotations

from privaudit.report import numbers as n
from privaudit.report import wording as say
from privaudit.report.blocks import Block, Prose, Table, Text
from privaudit.report.reading import get
from privaudit.report.sections.federation import cost, trust
from privaudit.report.sections.splitting import told
from privaudit.results import Audit, Subject

ORDER = 110
PROTECTED = ("federated_secure", "federated_encrypted")
WORDS = ("securesum", "encryptedsum")


def build(audit: Audit) -> tuple[Block, ...]:
    shown = [s for s in audit.subjects if protected(s)]
    if not shown:
        return ()
    blocks: list[Block] = [Prose(say.ENCRYPTION), *trust(shown, say.SEEN_CAPTION)]
    blocks += told(shown, ("key_recovery",), say.KEY_CAPTION)
    blocks += _overhead(audit, shown)
    return tuple(blocks)


def protected(s: Subject) -> bool:
    """Whether updates were masked or encrypted."""
    settings = {value.lower().replace("_", "") for value in s.params.values()}
    return s.method in PROTECTED or bool(settings & set(WORDS))


def _overhead(audit: Audit, shown: list[Subject]) -> list[Block]:
    """Traffic, time and usefulness beside the same training in the open."""
    plain = next((s for s in audit.subjects if s.method == "federated" and not protected(s)), None)
    if plain is None or not plain.costs.get("bytes_up"):
        return []
    rows: list[tuple[Text, ...]] = []
    for s in (plain, *shown):
        auroc = get(s.utility, "auroc")
        sent = s.costs.get("bytes_up")
        times = "" if not sent else n.significant(sent / plain.costs["bytes_up"])
        time = s.costs.get("train_seconds", s.costs.get("fit_cpu_seconds"))
        rows.append(
            (
                s.name,
                cost("bytes_up", sent),
                times,
                cost("seconds", time),
                "" if auroc is None else n.estimate_text(auroc),
            )
        )
    table = Table(say.OVERHEAD_CAPTION, say.OVERHEAD_COLUMNS, tuple(rows), numeric=(1, 2, 3, 4))
    return [table]
