"""Which levels of a grouping are hidden, by hand."""

from __future__ import annotations

import pytest

from privaudit.disclosure.tables import cover_small, hide_outcomes
from privaudit.results import Cell


@pytest.mark.parametrize(
    ("sizes", "hidden"),
    [
        ({"a": (100, 100), "b": (50, 50)}, set()),
        ({"a": (100, 100), "b": (50, 50), "c": (9, 50)}, {"b", "c"}),
        ({"a": (100, 100), "b": (9, 9)}, {"a", "b"}),
        ({"a": (99, 99), "b": (40, 40), "c": (3, 3), "d": (4, 4)}, {"b", "c", "d"}),
        ({"a": (99, 99), "b": (40, 40), "c": (6, 6), "d": (4, 4)}, {"c", "d"}),
    ],
)
def test_small_groups_are_hidden_also_from_subtraction(
    sizes: dict[str, tuple[int, ...]], hidden: set[str]
) -> None:
    assert cover_small(sizes) == hidden


@pytest.mark.parametrize(
    ("deaths", "hidden"),
    [
        ({"a": (300, 56), "b": (260, 46), "c": (40, 12)}, set()),
        # 4 deaths of 40 are covered by the unit with the next fewest.
        ({"a": (300, 56), "b": (260, 46), "c": (40, 4)}, {"b", "c"}),
        # Nobody died there: that states what became of each of them.
        ({"a": (300, 56), "b": (260, 46), "c": (40, 0)}, {"b", "c"}),
        # Two that hold 3 deaths together could be four pairs: a third joins.
        ({"a": (300, 56), "b": (260, 46), "c": (40, 1), "d": (50, 2)}, {"b", "c", "d"}),
        # Two that hold 9 could be ten pairs.
        ({"a": (300, 56), "b": (260, 46), "c": (40, 4), "d": (50, 5)}, {"c", "d"}),
        # All but 4 died: the survivors are few.
        ({"a": (300, 56), "b": (260, 46), "c": (40, 36)}, {"b", "c"}),
    ],
)
def test_outcomes_of_a_group_are_hidden_also_from_subtraction(
    deaths: dict[str, tuple[int, int]], hidden: set[str]
) -> None:
    cells = [
        Cell("nonmembers", "unit", level, outcome, count, count)
        for level, (size, died) in deaths.items()
        for outcome, count in (("", size), ("lived", size - died), ("died", died))
    ]
    assert hide_outcomes(cells, frozenset()) == hidden
