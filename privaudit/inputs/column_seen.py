"""What is seen of one column while tables are read once: counts, and how cells are written."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from privaudit.disclosure_limits import MIN_CELL
from privaudit.inputs import identifiers
from privaudit.inputs.cell_text import (
    NO_NUMBER,
    NOT_RECORDED,
    fold,
    is_word,
    to_boolean,
    to_numbers,
    to_texts,
)
from privaudit.inputs.date_text import are_dates
from privaudit.inputs.number_text import (
    CODE,
    GROUPED_BY_POINTS,
    NUMBER,
    Form,
    Spelling,
    find_form,
    find_suffix,
    normalise_number,
)

if TYPE_CHECKING:
    import polars as pl

MAX_LEVELS = 2_000
FEW_VALUES = 20
LOOKED_AT = 20_000
"""Cells of a batch by which shapes and ways of writing are found."""

_SHAPE_SHARE = 0.9
_CODE_SHARE = 0.05


@dataclass
class Seen:
    """What was seen of one column: counts alone.

    tables: of each table, how many cells hold each value; rows, there: cells, and those that are
    recorded; null_words: cells with a word for missing; bad: cells that are no plain number;
    holders: up to 10 patients of each value, while there are few values; patients: some of those
    of whom anything is recorded, up to 20; fractional, beyond: up to 10 with a number that is no
    whole one, and with one that is neither 0 nor 1;
    tops, bottoms: the 10 patients of the largest and of the smallest numbers, each with their own;
    table_forms: of each table, in how many ways numbers and words are written, counted over
    different values; points: whether numbers hold a point, which surely_points is no thousands
    separator; booleans: tables that hold true and false as such.
    """

    name: str
    rows: int = 0
    there: int = 0
    null_words: int = 0
    bad: int = 0
    low: float = math.inf
    high: float = -math.inf
    integer: bool = True
    distinct: set[float] = field(default_factory=set)
    tables: dict[int, dict[str, int]] = field(default_factory=dict)
    table_forms: dict[int, Counter[Form]] = field(default_factory=dict)
    suffix: str | None = None
    points: bool = False
    surely_points: bool = False
    texts: bool = False
    booleans: set[int] = field(default_factory=set)
    holders: dict[str, set[object]] = field(default_factory=dict)
    patients: set[object] = field(default_factory=set)
    fractional: set[object] = field(default_factory=set)
    beyond: set[object] = field(default_factory=set)
    tops: dict[object, float] = field(default_factory=dict)
    bottoms: dict[object, float] = field(default_factory=dict)
    many: bool = False
    unique: float = 0.0
    length: float = 0.0
    shape: str = ""
    dated_numbers: bool = False

    def add(self, series: pl.Series, table: int, patient: pl.Series) -> None:
        """Count one batch of the table of this number, of these patients."""
        import polars as pl

        if series.dtype.is_temporal():
            self.shape = "a date"
            return
        is_text = not (series.dtype.is_numeric() or series.dtype in (pl.Boolean, pl.Null))
        # Of numbers beyond counting a part shows whether they are dates.
        raw = to_texts(series.head(LOOKED_AT) if self.many and not is_text else series)
        is_null = is_word(raw, NOT_RECORDED).fill_null(True)
        recorded = raw.filter(~is_null)
        found, bad, _ = to_numbers(series)
        if is_text:
            self.null_words += int((is_null & (raw != "").fill_null(False)).sum())
            there, self.texts = len(recorded), self.texts or len(recorded) > 0
        else:
            there = len(found) - found.null_count()
        if series.dtype == pl.Boolean:
            self.booleans.add(table)
        numbers = found.drop_nulls()
        if len(recorded):
            self._look(recorded, is_text, new=not self.there)
        self.rows += len(series)
        self.there += there
        self.bad += bad
        if len(numbers):
            self.add_numbers(numbers)
            self._pool_numbers(found, patient)
        who = patient.head(len(raw)).filter(~is_null)
        if len(self.patients) < 2 * MIN_CELL:
            self.patients |= set(who.unique().head(2 * MIN_CELL).to_list())
        self._count(recorded, table)
        if not self.many:
            self._count_holders(recorded, who)
        forms = self.table_forms.setdefault(table, Counter())
        self._find_forms(recorded, is_text, numbers, forms)

    def add_numbers(self, numbers: pl.Series) -> None:
        """Widen what is known of the numbers."""
        self.low = min(self.low, float(numbers.min()))  # type: ignore[arg-type]
        self.high = max(self.high, float(numbers.max()))  # type: ignore[arg-type]
        self.integer &= bool((numbers % 1 == 0).all())
        if len(self.distinct) <= FEW_VALUES:
            self.distinct |= set(numbers.unique().head(FEW_VALUES + 2).to_list())

    def _pool_numbers(self, found: pl.Series, patient: pl.Series) -> None:
        """Widen what is known of whose the extremes are. found: (n,) numbers or null."""
        import polars as pl

        seen = pl.DataFrame({"who": patient, "x": found}).drop_nulls("x")
        odd = {"fractional": pl.col("x") % 1 != 0, "beyond": ~pl.col("x").is_in([0.0, 1.0])}
        for name, found_odd in odd.items():
            held_odd: set[object] = getattr(self, name)
            if len(held_odd) < MIN_CELL:
                held_odd |= set(seen.filter(found_odd)["who"].unique().head(MIN_CELL).to_list())
        by = seen.group_by("who").agg(high=pl.col("x").max(), low=pl.col("x").min())
        for name, held, sign in (("high", self.tops, 1), ("low", self.bottoms, -1)):
            ranked = by.sort(name, descending=sign > 0).head(MIN_CELL)
            for who, x in ranked.select("who", name).rows():
                held[who] = sign * max(sign * x, sign * held.get(who, x))
            for who in sorted(held, key=lambda w: -sign * held[w])[MIN_CELL:]:
                del held[who]

    def _count_holders(self, recorded: pl.Series, who: pl.Series) -> None:
        import polars as pl

        pairs = pl.DataFrame({"text": recorded, "who": who}).unique()
        for text, patients in pairs.group_by("text").agg(pl.col("who").head(MIN_CELL)).rows():
            held = self.holders.setdefault(normalise_number(text), set())
            if len(held) < MIN_CELL:
                held.update(patients)

    def _look(self, recorded: pl.Series, is_text: bool, new: bool) -> None:
        some = recorded.head(LOOKED_AT)
        if new:
            self.unique = some.n_unique() / len(some)
            self.length = float(some.str.len_chars().mean() or 0)  # type: ignore[arg-type]
        if self.shape:
            return
        if are_dates(some):
            self.shape, self.dated_numbers = "a date", not is_text
        for what, pattern in identifiers.cell_shapes() if is_text else ():
            if float(some.str.contains(pattern).mean() or 0) > _SHAPE_SHARE:  # type: ignore[arg-type]
                self.shape = what
                return

    def _count(self, recorded: pl.Series, table: int) -> None:
        if self.many:
            return
        own = self.tables.setdefault(table, {})
        for text, count in recorded.value_counts().rows():
            level = normalise_number(text)
            own[level] = own.get(level, 0) + count
        if sum(map(len, self.tables.values())) > MAX_LEVELS and len(self.levels) > MAX_LEVELS:
            self.many, self.tables, self.holders = True, {}, {}

    def _find_forms(
        self, recorded: pl.Series, is_text: bool, numbers: pl.Series, forms: Counter[Form]
    ) -> None:
        if not is_text:
            forms[Form.NUMBER] += numbers.n_unique()
            self.points |= bool((numbers % 1 > 0).any())
            self.surely_points |= self.points
            return
        some = recorded.head(LOOKED_AT).unique()
        plain = some.str.contains(rf"^(?:{NUMBER})$") & ~some.str.contains(rf"^(?:{CODE})$")
        forms[Form.NUMBER] += int(plain.sum())
        pointed = plain & some.str.contains(".", literal=True)
        grouped = pointed & some.str.contains(rf"^(?:{GROUPED_BY_POINTS})$")
        self.points |= bool(pointed.any())
        self.surely_points |= bool((pointed & ~grouped).any())
        some = some.filter(~plain)
        ended = []
        for text in some.filter(~is_word(some, NO_NUMBER)).to_list():
            form = find_form(text)
            forms[form] += 1
            if form is Form.CENSORED:
                inner = find_form(text.strip("<>=≤≥⩽⩾+ \u00a0"))
                forms[inner] += inner not in (Form.NUMBER, Form.WORD, Form.CODE)
            if form is Form.SUFFIX:
                ended.append(text)
        if ended:
            suffix = find_suffix(ended)
            self.suffix = suffix if self.suffix in (None, suffix) else ""

    @property
    def forms(self) -> Counter[Form]:
        """In how many ways numbers and words are written in all tables."""
        found: Counter[Form] = Counter()
        for own in self.table_forms.values():
            found.update(own)
        return found

    @property
    def levels(self) -> dict[str, int]:
        """Each value and how many cells of all tables hold it; empty where there are too many."""
        found: Counter[str] = Counter()
        for own in self.tables.values():
            found.update(own)
        return dict(found)

    def find_rare(self) -> set[str]:
        """The levels that fewer than 10 patients have."""
        return {level for level in self.levels if len(self.holders[level]) < MIN_CELL}

    def complete(self, found: set[str]) -> set[str]:
        """These levels, and the next smallest until they are those of 10 patients together."""
        order = sorted(self.levels, key=lambda x: (len(self.holders[x]), self.levels[x], x))
        left = [level for level in order if level not in found]
        while found and left and self._count_of(found) < MIN_CELL:
            found = {*found, left.pop(0)}
        return found

    def _count_of(self, levels: Collection[str]) -> int:
        return len(set().union(*(self.holders[level] for level in levels)))

    @property
    def pooled(self) -> tuple[float, float] | None:
        """The numbers that 10 patients reach at either end; None where fewer have any."""
        if len(self.tops) < MIN_CELL:
            return None
        return max(self.bottoms.values()), min(self.tops.values())

    @property
    def pooled_integer(self) -> bool:
        """Whether the numbers are whole, those of fewer than 10 among 20 patients apart."""
        return self.integer or (self._enough and len(self.fractional) < MIN_CELL)

    @property
    def pooled_binary(self) -> bool:
        """Whether the numbers are 0 and 1, those of fewer than 10 among 20 patients apart."""
        return self.distinct <= {0.0, 1.0} or (self._enough and len(self.beyond) < MIN_CELL)

    @property
    def _enough(self) -> bool:
        return len(self.patients) >= 2 * MIN_CELL

    @property
    def is_plain(self) -> bool:
        """Whether its recorded cells are plain numbers, all of them."""
        return 0 < self.forms[Form.NUMBER] == sum(self.forms.values())

    @property
    def is_coded(self) -> bool:
        """Whether numbers begin with a superfluous zero, so that they are codes."""
        return self.forms[Form.CODE] > 0

    @property
    def is_stray_code(self) -> bool:
        """Whether a few codes stand among many numbers."""
        codes, numbers = self.forms[Form.CODE], self.forms[Form.NUMBER]
        return numbers > FEW_VALUES and 0 < codes < _CODE_SHARE * (codes + numbers)

    @property
    def is_marked(self) -> bool:
        """Whether at least half of a table's values are numbers, and not all are plain ones."""
        if self.is_plain or (self.is_coded and not self.is_stray_code):
            return False
        return any(map(self._is_half_numbers, self.table_forms.values()))

    def _is_half_numbers(self, forms: Counter[Form]) -> bool:
        numbers = forms[Form.NUMBER] + sum(forms[form] for form in _MARKED)
        numbers += forms[Form.CODE] if self.is_stray_code else 0
        numbers += forms[Form.SUFFIX] if self.has_suffix else 0
        return numbers > 0 and 2 * (numbers + forms[Form.CENSORED]) >= sum(forms.values())

    @property
    def has_suffix(self) -> bool:
        """Whether what stands after the numbers is a unit or a per cent sign."""
        if not self.forms[Form.SUFFIX]:
            return False
        return self.suffix in ("%", "‰") or self.forms[Form.SUFFIX] > FEW_VALUES

    @property
    def is_boolean(self) -> bool:
        """Whether it holds true and false alone, and not only as 0 and 1."""
        levels = self.levels
        said = {to_boolean(level) for level in levels}
        return said == {False, True} and (set(levels) != {"0", "1"} or bool(self.booleans))

    @property
    def few(self) -> bool:
        """Whether it has few different values."""
        if self.many:
            return False
        return len(self.levels) <= FEW_VALUES

    def find_respelled(self) -> bool:
        """Whether two levels differ by case or blanks, or, each in other tables, by zeros."""
        by_key: dict[str, list[str]] = {}
        for level in self.levels:
            by_key.setdefault(fold(level), []).append(level)
        for group in by_key.values():
            if len(group) < 2:
                continue
            differ_by_zeros = len({_fold_text(level) for level in group}) == len(group)
            together = any(all(level in own for level in group) for own in self.tables.values())
            if not (differ_by_zeros and together):
                return True
        return False

    def read_as(self, spelling: Spelling, series: pl.Series, patient: pl.Series) -> None:
        """Widen what is known of the numbers by a column read in its own way of writing."""
        found = to_numbers(series, spelling)[0]
        numbers = found.drop_nulls()
        if len(numbers):
            self.add_numbers(numbers)
            self._pool_numbers(found, patient)


def _fold_text(level: str) -> str:
    """The key of a level as a text, also where it looks like a number."""
    return fold(f"\0{level}")[1:]


_MARKED = (
    Form.COMMA,
    Form.COMMA_OR_THOUSANDS,
    Form.THOUSANDS_COMMA,
    Form.THOUSANDS_POINT,
    Form.THOUSANDS_BLANK,
    Form.ODD,
)

__all__ = ["FEW_VALUES", "MAX_LEVELS", "Seen"]
