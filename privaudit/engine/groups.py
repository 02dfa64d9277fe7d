"""The subgroups of an audit: one cut for every table of the document that shows them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from privaudit.records import Records, Split
from privaudit.stats.groups import fold

Groups = Mapping[str, tuple[np.ndarray, np.ndarray]]
"""Grouping -> labels of the members and of the non-members."""


def read_groups(split: Split) -> Groups:
    """The subgroups of both pools, a tiny "not recorded" joined to the same level in both.

    Were it joined in one table and not in another, the two would tell its size by subtraction.
    """
    inside, outside = split.members, split.nonmembers
    groups = {by: (inside.groups[by], outside.groups[by]) for by in inside.groups}
    if "site" in with_sites(outside) and "site" not in groups:
        groups["site"] = (_name_sites(inside), _name_sites(outside))
    ids = inside.patient, outside.patient
    found = {}
    for by, both in groups.items():
        one, two = fold((both[0].astype(str), both[1].astype(str)), ids)
        found[by] = (one, two)
    return found


def with_sites(records: Records) -> dict[str, np.ndarray]:
    """The subgroups, with the sites among them even where no subgroup is cut as they are."""
    groups = dict(records.groups)
    if len(np.unique(records.site)) > 1:
        cuts = [np.unique(g, return_inverse=True)[1] for g in groups.values()]
        own = np.unique(records.site, return_inverse=True)[1]
        if not any(
            len(set(zip(own, c, strict=True))) == own.max() + 1 == c.max() + 1 for c in cuts
        ):
            groups["site"] = _name_sites(records)
    return groups


def _name_sites(records: Records) -> np.ndarray:
    names: np.ndarray = np.array(records.sites)[records.site]
    return names


__all__ = ["Groups", "read_groups", "with_sites"]
