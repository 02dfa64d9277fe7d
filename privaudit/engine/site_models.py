"""How each site's own model does on everybody's records, beside what it does on its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from privaudit import stats
from privaudit.contracts import SiteModels
from privaudit.disclosure_limits import MIN_CELL
from privaudit.engine.groups import Groups
from privaudit.records import Records, Split
from privaudit.results import GroupResult, to_tree
from privaudit.signals import ask
from privaudit.stats.groups import UNRECORDED

CODES, ANSWERS = "site_codes", "site_answers"
_EVERYBODY = "everybody"


def ask_sites(model: SiteModels, records: Records) -> dict[str, np.ndarray]:
    """What each site's model answers about all of these records, as arrays to be stored.

    Returns:
        `site_codes`, (s,) int64, and `site_answers`, (s, n, k) float64.
    """
    codes = sorted(model.by_site)
    answers = [ask(model.by_site[code], records) for code in codes]
    return {CODES: np.array(codes, dtype=np.int64), ANSWERS: np.array(answers)}


def measure_sites(
    stored: Mapping[str, np.ndarray], split: Split, groups: Groups, confidence: float
) -> list[Any]:
    """The utility of each site's model on all held-out records, as plain data.

    A site with fewer than 10 patients of a second outcome among the members has no number: how well
    its model does would tell of them, as it would that the site could not train at all.

    Args:
        stored: What `ask_sites` made of the held-out records; nothing where it is not there.
        split: The pools.
        groups: The subgroups of the document, among which the sites are one grouping.
        confidence: Of the intervals.

    Returns:
        A `GroupResult` a site, by the name of that grouping.
    """
    if CODES not in stored or split.nonmembers.outcome_kind != "class":
        return []
    by, names = _name_sites(split, groups)
    outside = split.nonmembers
    found = []
    for code, proba in zip(stored[CODES].tolist(), stored[ANSWERS], strict=True):
        if code not in names:
            continue
        name = names[code]
        if not _has_two_outcomes(split.members, code):
            found.append(GroupResult(by, name, (), suppressed=True))
            continue
        (one,) = stats.utility_groups(
            proba,
            outside.y,
            patients=outside.patient,
            groups={_EVERYBODY: np.full(len(outside), _EVERYBODY)},
            confidence=confidence,
            classes=outside.classes,
            ordered=outside.ordered,
        )
        found.append(GroupResult(by, name, one.estimates, suppressed=one.suppressed))
    return list(to_tree(found))


def _has_two_outcomes(members: Records, code: int) -> bool:
    own = members.take(members.site == code)
    counts = [len(np.unique(own.patient[own.y == k])) for k in np.unique(own.y)]
    return sum(count >= MIN_CELL for count in counts) > 1


def _name_sites(split: Split, groups: Groups) -> tuple[str, dict[int, str]]:
    """The grouping that is cut as the sites are, and the level that each site is there.

    The few who name no site may stand under the level of the largest: they have no row of their
    own.
    """
    site = np.concatenate([split.members.site, split.nonmembers.site])
    nowhere = [c for c, name in enumerate(split.members.sites) if name == UNRECORDED]
    named = ~np.isin(site, nowhere)
    for by in sorted(groups, key=lambda by: by != "site"):
        labels = np.concatenate(groups[by])
        pairs = set(zip(site[named].tolist(), labels[named].tolist(), strict=True))
        if len(pairs) == len(np.unique(site[named])) == len(np.unique(labels[named])):
            # A level of their own is one that no other site stands under.
            theirs = set(zip(site[~named].tolist(), labels[~named].tolist(), strict=True))
            others = {label for _, label in pairs}
            return by, dict(pairs | {one for one in theirs if one[1] not in others})
    return "site", {}


__all__ = ["ask_sites", "measure_sites"]
