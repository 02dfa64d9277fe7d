"""Methods: how each attack works, with its papers and the settings used here."""

from __future__ import annotations

from privaudit.report import numbers as n
from privaudit.report.blocks import Block, Facts, Heading, Prose
from privaudit.report.wording import closing as words
from privaudit.report.wording.access import name_access
from privaudit.report.wording.knowledge import attack_notes
from privaudit.results import Audit, Finding
from privaudit.verdicts import Verdicts

MAX_TIMES = 4


def build(audit: Audit, verdicts: Verdicts | None) -> tuple[Block, ...]:
    """A heading for each attack that was requested."""
    found: dict[str, list[tuple[str, Finding]]] = {}
    for s in audit.subjects:
        for o in s.outcomes:
            runs = found.setdefault(o.attack, [])
            runs += [(s.name, o)] if isinstance(o, Finding) else []
    if not found:
        return ()
    blocks: list[Block] = [Prose(words.METHODS)]
    for i, (attack, runs) in enumerate(found.items(), 1):
        note = attack_notes().get(attack)
        blocks.append(Heading(f"{note.label}: {note.title}" if note else attack, f"attack-{i}"))
        blocks.append(Prose(note.how if note else words.NO_NOTE))
        access = dict.fromkeys(name_access(a) for _, f in runs for a in f.access)
        facts = {words.SOURCES: "; ".join(note.sources) if note else ""}
        if runs:
            facts |= {
                words.ACCESS: "; ".join(access) or words.NO_ACCESS,
                words.SETTINGS: _list_settings(runs),
                words.TIME: _list_times(runs),
            }
        if pairs := tuple((name, text) for name, text in facts.items() if text):
            blocks.append(Facts(pairs))
    return tuple(blocks)


def _list_times(runs: list[tuple[str, Finding]]) -> str:
    """How long the attack took, model by model; with many models, from the least to the most."""
    if len(runs) <= MAX_TIMES:
        return ", ".join(f"{name} {n.duration(f.seconds)}" for name, f in runs)
    times = sorted((f.seconds, name) for name, f in runs)
    least, most = (f"{n.duration(seconds)} ({name})" for seconds, name in (times[0], times[-1]))
    return f"{least} to {most}"


def _list_settings(runs: list[tuple[str, Finding]]) -> str:
    """The settings once, and for whom where they differ."""
    names: dict[str, list[str]] = {}
    for name, f in runs:
        text = ", ".join(f"{key} = {value}" for key, value in sorted(f.params.items()))
        names.setdefault(text or words.NO_SETTINGS, []).append(name)
    if len(names) == 1:
        return next(iter(names))
    return "; ".join(f"{', '.join(at)}: {text}" for text, at in names.items())


__all__ = ["build"]
