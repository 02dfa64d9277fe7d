"""A federation between machines: what left each hospital, who could read it, what was measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from privaudit.federations import Federation, SiteRecord, Traffic
from privaudit.report import numbers as n
from privaudit.report.blocks import (
    Block,
    Bullets,
    Callout,
    Code,
    Facts,
    Link,
    Prose,
    Text,
    make_table,
)
from privaudit.report.reading import get, get_stated
from privaudit.report.wording import federation_between_hospitals as words
from privaudit.report.wording.knowledge import name_attack
from privaudit.results import Audit, Estimate, Finding, GroupResult, Subject
from privaudit.verdicts import Verdicts

FINGERPRINT = 16
"""Letters of a fingerprint that are shown."""


def build(audit: Audit, verdicts: Verdicts | None) -> tuple[Block, ...]:
    """Nothing where the run was no federation between machines."""
    run = audit.federation
    if run is None:
        return ()
    took = sum(site.rounds > 0 for site in run.sites)
    consented = sum(site.consented for site in run.sites)
    withdrew = sum(site.withdrew for site in run.sites)
    return (
        Prose(words.word_intro(len(run.sites), took, consented, withdrew)),
        *_build_alarms(run),
        Prose(
            (
                words.PROTECTED[run.protection](),
                " ",
                words.TRUST,
                " ",
                Link(words.TRUST_LINK, "federated-learning"),
                ".",
            )
        ),
        _build_facts(run),
        *(block for s in audit.subjects for block in _build_measured(run, s)),
        *_build_traffic(run),
        _build_rounds(run),
        *_build_withheld(run),
    )


def _build_facts(run: Federation) -> Facts:
    names = words.FACTS()
    found: tuple[Text, ...] = (
        run.run,
        (Code(run.terms[:FINGERPRINT]),),
        words.word_rounds(run.rounds, run.idle, run.recovered),
        n.count(run.quorum),
        words.CUSTODY[run.custody](),
    )
    return Facts(tuple(zip(names, found, strict=True)))


def _build_alarms(run: Federation) -> list[Block]:
    """What must not be overlooked: alarms, and more that arrived than a hospital says it sent."""
    found: list[Block] = []
    copied = [s.name for s in run.sites if any(part.agrees is False for part in s.traffic)]
    if copied:
        body = Prose(words.MORE_ARRIVED_BODY() + ", ".join(copied))
        found.append(Callout("stop", words.MORE_ARRIVED(), (body,)))
    told = [
        f"{site.name}: {words.ALARM_WORDS.get(alarm, words.UNKNOWN_ALARM)}"
        for site in run.sites
        for alarm in site.alarms
    ]
    if told:
        found.append(Callout("warn", words.ALARMS(), (Bullets(tuple(told)),)))
    return found


def _build_measured(run: Federation, subject: Subject) -> list[Block]:
    """Rows rebuilt and membership, hospital by hospital and over all."""
    by_attack = {o.attack: o for o in subject.outcomes if isinstance(o, Finding)}
    rebuilt = by_attack.get("gradient_inversion")
    tests = [o for o in by_attack.values() if o.family == "membership"]
    told = max(tests, key=_strength, default=None)
    rows: list[tuple[Text, ...]] = [
        (
            words.ALL_SITES(),
            *(
                _cell(None if rebuilt is None else _find(rebuilt.estimates, name))
                for name in ("attack_rate", "control_rate")
            ),
            _cell(None if told is None else get(told.estimates, "auc")),
            _cell(get_stated(subject.utility, "auroc")),
        )
    ]
    groups = [_by_site(part) for part in (rebuilt, told)]
    useful = {g.level: g for g in subject.utility_groups}
    for site in run.sites:
        rows.append(
            (
                site.name,
                _cell(_first(groups[0].get(site.name), "attack_rate")),
                _cell(_first(groups[0].get(site.name), "control_rate")),
                _cell(_first(groups[1].get(site.name), "auc")),
                _cell(_first(useful.get(site.name), "auroc")),
            )
        )
    blocks: list[Block] = [Prose(words.MEASURED())]
    worst = _find_largest(groups[1])
    if worst is not None:
        blocks.append(Prose(words.word_largest(*worst)))
    table = make_table(
        words.MEASURED_CAPTION(), words.MEASURED_COLUMNS(), rows, 1, (words.ON_ITS_WORD(),)
    )
    return [*blocks, table]


def _build_traffic(run: Federation) -> list[Block]:
    rows = [
        (site.name, _name_kind(part.kind, run), *_word_traffic(part))
        for site in run.sites
        for part in site.traffic
    ]
    if not rows:
        return []
    notes = (words.TRAFFIC_NOTE(),)
    return [make_table(words.TRAFFIC_CAPTION(), words.TRAFFIC_COLUMNS(), rows, 2, notes)]


def _name_kind(kind: str, run: Federation) -> str:
    """Under masks and encryption the answer to `train` holds no update."""
    if kind == "train" and run.protection:
        return words.TRAINED
    return words.KINDS.get(kind, kind)


def _word_traffic(part: Traffic) -> tuple[str, str, str, str]:
    return (
        "" if part.messages is None else n.count(part.messages),
        "" if part.received is None else n.size(part.received),
        "" if part.sent is None else n.size(part.sent),
        words.AGREES[part.agrees],
    )


def _build_rounds(run: Federation) -> Block:
    rows = [
        (
            site.name,
            words.CONSENT[_consent(site)],
            words.COUNTED[site.graded],
            n.count(site.rounds),
            n.count(site.missed),
            n.count(site.late),
            n.count(site.refused),
        )
        for site in run.sites
    ]
    return make_table(words.ROUNDS_CAPTION(), words.ROUNDS_COLUMNS(), rows, 3)


def _build_withheld(run: Federation) -> list[Block]:
    rows = [
        (site.name, _name_part(part), _word_code(code))
        for site in run.sites
        for part, code in site.withheld
    ]
    if not rows:
        return []
    return [make_table(words.WITHHELD_CAPTION(), words.WITHHELD_COLUMNS(), rows)]


def _consent(site: SiteRecord) -> str:
    if site.withdrew:
        return "withdrawn"
    return "given" if site.consented else "none"


def _name_part(part: str) -> str:
    return words.PARTS.get(part) or name_attack(part)


def _word_code(code: str) -> str:
    known = words.WITHHELD.get(code)
    return words.UNKNOWN_CODE if known is None else known()


def _by_site(found: Finding | None) -> Mapping[str, GroupResult]:
    return {} if found is None else {g.level: g for g in found.groups if not g.suppressed}


def _first(group: GroupResult | None, name: str) -> Estimate | None:
    return None if group is None else _find(group.estimates, name)


def _find(estimates: Iterable[Estimate], name: str) -> Estimate | None:
    """The estimate of this name, at whatever it is read."""
    return next((e for e in estimates if e.metric.name == name), None)


def _cell(e: Estimate | None) -> str:
    return words.NOT_STATED if e is None or e.value is None else n.cell_text(e)


def _strength(found: Finding) -> tuple[float, float]:
    """What is surely told somewhere: a leak at one hospital is hardly seen over all."""
    everywhere = (found.estimates, *(g.estimates for g in found.groups if not g.suppressed))
    known = [e for part in everywhere if (e := get_stated(part, "auc")) is not None]
    return max(((e.low or 0.0, e.value or 0.0) for e in known), default=(0.0, 0.0))


def _find_largest(groups: Mapping[str, GroupResult]) -> tuple[str, Estimate] | None:
    """The hospital of which most is told, by what is surely known."""
    known = [(name, e) for name, g in groups.items() if (e := get_stated(g.estimates, "auc"))]
    return max(known, key=lambda one: (one[1].low or 0.0, one[1].value or 0.0), default=None)


__all__ = ["build"]
