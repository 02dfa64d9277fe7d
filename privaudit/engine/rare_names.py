"""Take the names of sites and subgroups of a handful of people out of a task's records."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from privaudit.contracts import Prepared
from privaudit.disclosure_limits import MIN_CELL
from privaudit.facts import Caveat, CaveatCode
from privaudit.records import Records
from privaudit.stats.groups import OTHERS, rare_joined


def join_rare_names(prepared: Prepared) -> Prepared:
    """The same records, with the sites and levels of subgroups of fewer than 10 people joined.

    A name alone tells of whoever goes to a small site, although no number of it is shown. Joined
    before anything is trained, it stands nowhere: in no report, note, event or message. Generated
    records, and pools that a user supplied (joined as they were read), are left as they are.
    """
    if not prepared.real or prepared.split is not None:
        return prepared
    (records,) = rare_joined([prepared.records])
    joined = join_rare_sites(records)
    if joined is records:
        return replace(prepared, records=records)
    note = Caveat(CaveatCode.RARE_SITES_JOINED, "note", {"least": MIN_CELL})
    return replace(prepared, records=joined, notes=(*prepared.notes, note))


def join_rare_sites(records: Records) -> Records:
    """Sites of fewer than 10 people as one site; the records themselves where there are none.

    Names of sites without records are left out: nothing can be said of them.
    """
    pairs = np.unique(np.column_stack([records.site, records.patient]), axis=0)
    people = np.bincount(pairs[:, 0], minlength=len(records.sites))
    few = (people > 0) & (people < MIN_CELL)
    if not few.any():
        return records
    kept = np.flatnonzero(people >= MIN_CELL)
    names = [records.sites[code] for code in kept]
    place = np.zeros(len(records.sites), dtype=np.int64)
    place[kept] = np.arange(len(kept))
    place[few] = names.index(OTHERS) if OTHERS in names else len(names)
    sites = tuple(dict.fromkeys([*names, OTHERS]))
    return replace(records, site=place[records.site], sites=sites)


__all__ = ["join_rare_names", "join_rare_sites"]
