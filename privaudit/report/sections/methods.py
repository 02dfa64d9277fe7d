"""How each attack works, with its paper and the settings used here."""

from __future__ import annotations

from privaudit.report import numbers as n
from privaudit.report import wording as say
from privaudit.report.blocks import Block, Facts, Heading, Prose, Text
from privaudit.report.notes import ACCESS, ATTACKS
from privaudit.report.reading import findings
from privaudit.results import Audit, Finding

ORDER = 160
MANY = 6


def build(audit: Audit) -> tuple[Block, ...]:
    found: dict[str, list[tuple[str, Finding]]] = {}
    for s in audit.subjects:
        for f in findings(s):
            found.setdefault(f.attack, []).append((s.name, f))
        for o in s.outcomes:
            found.setdefault(o.attack, [])
    if not found:
        return ()
    blocks: list[Block] = [Prose(say.METHODS)]
    for i, (attack, runs) in enumerate(found.items(), 1):
        note = ATTACKS.get(attack)
        blocks.append(Heading(f"{note.label}: {note.title}" if note else attack, f"attack-{i}"))
        blocks.append(Prose(note.how if note else say.METHOD_UNKNOWN))
        pairs: list[tuple[Text, Text]] = []
        if note:
            pairs.append((say.SOURCES, "; ".join(note.sources)))
        if runs:
            needs = dict.fromkeys(ACCESS.get(a, (a, ""))[0] for _, f in runs for a in f.access)
            pairs.append((say.ACCESS, "; ".join(needs) or "nothing named"))
            pairs.append((say.SETTINGS_USED, _settings(runs)))
            pairs.append((say.TIME, _spent(runs)))
        if pairs:
            blocks.append(Facts(tuple(pairs)))
    return tuple(blocks)


def _spent(runs: list[tuple[str, Finding]]) -> str:
    """How long the attack took, model by model; with many models, from the least to the most."""
    if len(runs) <= MANY:
        return ", ".join(f"{name} {n.duration(f.seconds)}" for name, f in runs)
    times = sorted((f.seconds, name) for name, f in runs)
    least, most = (f"{n.duration(seconds)} ({name})" for seconds, name in (times[0], times[-1]))
    return f"{least} to {most}"


def _settings(runs: list[tuple[str, Finding]]) -> str:
    """The settings once, and for whom where they differ."""
    texts: dict[str, list[str]] = {}
    for name, f in runs:
        text = ", ".join(f"{key} = {value}" for key, value in sorted(f.params.items())) or "none"
        texts.setdefault(text, []).append(name)
    if len(texts) == 1:
        return next(iter(texts))
    return "; ".join(f"{', '.join(names)}: {text}" for text, names in texts.items())
