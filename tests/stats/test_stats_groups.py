"""Subgroups with few patients."""

from __future__ import annotations

import numpy as np

from privaudit.contracts import Scores
from privaudit.stats import groups


def test_a_few_unrecorded_join_the_largest_level_and_hide_nobody() -> None:
    labels = np.array(["female"] * 40 + ["male"] * 60 + ["not recorded"] * 3)
    ids = np.arange(len(labels))
    (folded,) = groups.fold((labels,), (ids,))
    assert sorted(set(folded)) == ["female", "male or not recorded"]
    assert (folded == "male or not recorded").sum() == 63
    many = np.array(["female"] * 40 + ["male"] * 60 + ["not recorded"] * 12)
    assert groups.fold((many,), (np.arange(len(many)),))[0] is many
    rng = np.random.default_rng(0)
    scores = Scores(rng.normal(size=len(labels)), rng.normal(size=len(labels)))
    found = groups.score_groups(
        scores, patients=(ids, ids + 1000), groups={"sex": (labels, labels)}, rng=rng
    )
    assert [(g.level, g.suppressed) for g in found] == [
        ("female", False),
        ("male or not recorded", False),
    ]
