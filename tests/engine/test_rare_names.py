"""Sites and subgroups of a handful of people: their names stand nowhere."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from pipelines.learners.logreg import LogReg
from pipelines.methods.local_only import LocalOnly
from privaudit.attacks.membership.threshold import Threshold
from privaudit.contracts import FlowStep, Prepared, Progress, Task
from privaudit.engine.configure import Entry, Request
from privaudit.engine.groups import read_groups
from privaudit.engine.rare_names import join_rare_names, join_rare_sites
from privaudit.engine.run import Finished, run
from privaudit.engine.site_models import _name_sites
from privaudit.facts import CaveatCode
from privaudit.records import Column, Records, Split
from privaudit.report import write
from privaudit.results import from_json
from privaudit.stats.groups import UNRECORDED

SECRET = "Clinic Smith"
LEVEL = "rare disease"
PLAIN = ("north", "south", "east")


def records(n: int = 900, few: int = 9, seed: int = 5) -> Records:
    """Three sites of many people and one of `few`; `east` knows one outcome alone."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3))
    y = (X[:, 0] + 0.5 * rng.logistic(size=n) > 0).astype(int)
    site = rng.integers(0, 3, n)
    site[:few] = 3
    y[site == 2] = 0
    ward = np.where(np.arange(n) % 2, "one", "two").astype(object)
    ward[10:15] = LEVEL
    columns = tuple(Column(f"c{i}", bounds=(-9, 9)) for i in range(3))
    groups = {"ward": ward.astype(str)}
    return Records(columns, X, y, np.arange(n), site, groups=groups, sites=(*PLAIN, SECRET))


@dataclass(frozen=True)
class SiteTask(Task):
    few: int = 9
    real: bool = True

    title: ClassVar[str] = "Sites"
    positive: ClassVar[str] = "yes"

    def prepare(self, data: Path | None, cache: Path, progress: Progress) -> Prepared:
        return Prepared(records(few=self.few), (FlowStep("all", 0, 900, 900),), "toy", self.real)


def prepared(few: int, real: bool = True) -> Prepared:
    return SiteTask(few, real).prepare(None, Path(), lambda what, share: None)


def test_a_site_of_nine_people_is_joined_and_one_of_ten_is_not() -> None:
    nine, ten = join_rare_names(prepared(9)), join_rare_names(prepared(10))
    assert nine.records.sites == (*PLAIN, "(other)")
    assert nine.notes[-1].code is CaveatCode.RARE_SITES_JOINED  # type: ignore[union-attr]
    assert ten.records.sites == (*PLAIN, SECRET)
    assert not ten.notes
    assert (nine.records.site == prepared(9).records.site).all()


def test_several_small_sites_become_one_and_nobody_is_lost() -> None:
    table = records(few=0)
    site = table.site.copy()
    site[:9], site[9:14] = 3, 4
    table = replace(table, site=site, sites=(*PLAIN, SECRET, "Clinic Jones"))
    joined = join_rare_sites(table)
    assert joined.sites == (*PLAIN, "(other)")
    assert np.bincount(joined.site)[3] == 14
    assert (joined.site[14:] == site[14:]).all()
    assert join_rare_sites(joined) is joined


def test_people_are_counted_and_not_their_records() -> None:
    table = records(few=40)
    again = replace(table, patient=np.where(table.site == 3, np.arange(900) % 5, np.arange(900)))
    assert join_rare_sites(again).sites == (*PLAIN, "(other)")


def test_rare_levels_are_joined_and_generated_records_keep_theirs() -> None:
    assert LEVEL not in join_rare_names(prepared(9)).records.groups["ward"]
    made_up = prepared(9, real=False)
    assert join_rare_names(made_up) is made_up


def finish(tmp_path: Path) -> Finished:
    method = LocalOnly(LogReg())
    request = Request(
        "sites",
        SiteTask(),
        (Entry("local_only-logreg", "local_only", "logreg", method),),
        {"threshold": Threshold()},
        "smoke",
        seed=1,
    )
    return run(request, out=tmp_path, workers=1, report=write)


def test_no_file_that_may_leave_names_a_small_site(tmp_path: Path) -> None:
    made = finish(tmp_path)
    shown = [p for p in made.folder.rglob("*") if p.is_file() and "restricted" not in p.parts]
    assert {"audit.json", "report.html", "report.md"} <= {p.name for p in shown}
    for path in shown:
        text = path.read_bytes().decode("utf-8", "ignore")
        assert SECRET not in text, path.name
        assert LEVEL not in text, path.name
    facts = (made.folder / "restricted" / "releases" / "local_only-logreg.json").read_text()
    # The owner is told which site could not train; its name went before anything was trained.
    assert "east has no two outcomes" in facts


def test_each_site_is_measured_on_everybody_and_a_poor_one_is_not_shown(tmp_path: Path) -> None:
    made = finish(tmp_path)
    (subject,) = made.audit.subjects
    shown = {group.level: group for group in subject.utility_everybody}
    assert set(shown) == {*PLAIN, "(other)"}
    whole = subject.utility[0].n["records"]
    for site in ("north", "south"):
        auroc = shown[site].estimates[0]
        assert auroc.metric.name == "auroc"
        assert auroc.value is not None
        assert auroc.value > 0.65
        assert auroc.low is not None
        assert auroc.low < auroc.value
        assert auroc.n["patients"] == whole
    # One outcome alone, and fewer than ten people: a number of either would tell of few.
    assert shown["east"].suppressed
    assert shown["(other)"].suppressed
    text = (made.folder / "shareable" / "audit.json").read_text()
    assert from_json(text).subjects[0].utility_everybody == subject.utility_everybody
    report = (made.folder / "shareable" / "report.md").read_text()
    assert "of each hospital’s own model" in report


def test_people_of_no_site_have_a_row_where_they_are_many() -> None:
    """A few who name no site stand under the level of the largest, which keeps its own model."""
    table = records(n=900, few=0)
    for name_none, shown in ((300, True), (12, False)):
        site = np.zeros(900, dtype=np.int64)
        site[::3], site[: 2 * name_none : 2] = 1, 2
        many = replace(table, site=site, sites=("north", "south", UNRECORDED))
        split = Split.assign(many, np.random.default_rng(0))
        by, names = _name_sites(split, read_groups(split))
        assert by == "site"
        assert "south" in names.values()
        assert (UNRECORDED in names.values()) is shown
        assert any("north" in name for name in names.values())
