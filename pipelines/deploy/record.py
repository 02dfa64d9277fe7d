"""What a run's journal and the hospitals' statements say of who took part and what left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from pipelines.deploy.graded import Counts
from pipelines.deploy.journal import Event
from pipelines.deploy.terms import RunTerms
from privaudit.federations import Federation, SiteRecord, Traffic

Received = Mapping[str, Mapping[str, Sequence[int]]]
"""Hospital -> kind of message -> how many came, and their bytes."""
Protection = Literal["", "secure_sum", "encrypted_sum"]


def record_run(
    terms: RunTerms,
    protection: Protection,
    events: Iterable[Mapping[str, Any]],
    counts: Mapping[str, Counts],
    received: Received,
    rounds: int,
) -> Federation:
    """The run as the document records it.

    Args:
        events: Lines of the coordinator's journal.
        counts: Of the hospitals whose statement could be read.
        received: As the coordinator counted.
        rounds: How many were made.
    """
    told = list(events)
    return Federation(
        run=terms.run,
        terms=terms.fingerprint,
        protection=protection,
        custody="sites" if protection == "encrypted_sum" else "none",
        quorum=terms.quorum,
        rounds=rounds,
        idle=_count(told, Event.IDLE),
        recovered=_count(told, Event.RECOVERED),
        sites=tuple(
            _record_site(name, told, counts.get(name), received.get(name, {}))
            for name in terms.roster
        ),
    )


def _record_site(
    name: str,
    events: Sequence[Mapping[str, Any]],
    counts: Counts | None,
    received: Mapping[str, Sequence[int]],
) -> SiteRecord:
    own = [one for one in events if one.get("hospital") == name]
    seen = Counter(str(one.get("event")) for one in own)
    made = {
        one.get("round")
        for one in events
        if one.get("event") == Event.ROUND and name in _names(one.get("hospitals"))
    }
    states = {one.get("state") for one in own if one.get("event") == Event.HELLO}
    alarms = dict.fromkeys(str(one.get("what")) for one in own if one.get("event") == Event.ALARM)
    sent = {} if counts is None else counts.sent
    kinds = dict.fromkeys((*received, *sent))
    return SiteRecord(
        name=name,
        traffic=tuple(_traffic(kind, received.get(kind), sent.get(kind)) for kind in kinds),
        # Without consent a hospital answers nothing but a state.
        consented="ready" in states or bool(made),
        withdrew=bool(seen[Event.WITHDRAWN]) or "withdrawn" in states,
        rounds=len(made),
        missed=seen[Event.NO_ANSWER] + seen[Event.BAD_ANSWER],
        late=seen[Event.LATE],
        refused=seen[Event.REFUSED],
        alarms=tuple(alarms),
        graded=counts is not None and counts.counted,
        withheld=() if counts is None else tuple(sorted(counts.withheld.items())),
    )


def _traffic(kind: str, received: Sequence[int] | None, sent: int | None) -> Traffic:
    messages, size = received if received is not None else (None, None)
    return Traffic(kind, messages, size, sent)


def _count(events: Iterable[Mapping[str, Any]], kind: Event) -> int:
    return len({one.get("round") for one in events if one.get("event") == kind})


def _names(part: Any) -> tuple[str, ...]:
    return tuple(map(str, part)) if isinstance(part, list) else ()


__all__ = ["Protection", "Received", "record_run"]
