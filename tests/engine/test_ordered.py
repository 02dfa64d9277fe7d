"""A task of ordered buckets from its records to the report, and every number made again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from toy_audit import ToyLearner, ToyTask, request

from privaudit import report
from privaudit.attacks.membership.threshold import Threshold
from privaudit.contracts import Prepared, Progress
from privaudit.engine.folder import read_exact
from privaudit.engine.run import run
from privaudit.evidence.derive import derive
from privaudit.evidence.stored import Stored
from privaudit.facts import Metric
from privaudit.policy.compare import compare
from privaudit.records import Records
from privaudit.results import Audit

NAMES = ("under 1 day", "1 to 3 days", "3 days or more")
OF_ORDER = {"kappa_linear", "mean_miss", "concordance"}


@dataclass(frozen=True)
class Stays(ToyTask):
    """Toy records whose outcome is one of three ordered buckets."""

    ordered: bool = True

    def prepare(self, data: Path | None, cache: Path, progress: Progress) -> Prepared:
        made = super().prepare(data, cache, progress)
        assert made.records is not None
        late = np.random.default_rng(5).random(len(made.records)) < 0.4
        y = made.records.y * (1 + late)
        records = replace(made.records, y=y, classes=NAMES, ordered=self.ordered)
        return replace(made, records=records)


@dataclass(frozen=True)
class Splits:
    """Answers of three classes from those of two."""

    model: object

    def predict_proba(self, table: Records) -> np.ndarray:
        p = self.model.predict_proba(table)  # type: ignore[attr-defined]
        return np.column_stack([p[:, 0], 0.6 * p[:, 1], 0.4 * p[:, 1]])


@dataclass(frozen=True)
class Three(ToyLearner):
    """The toy learner on the question whether it is the first bucket."""

    def fit(self, records: Records, rng: np.random.Generator) -> Splits:  # type: ignore[override]
        two = replace(records, y=(records.y > 0), classes=("no", "yes"), ordered=False)
        return Splits(super().fit(two, rng))


def audited(out: Path, ordered: bool) -> tuple[Path, Audit]:
    """One run of these records, and its exact document."""
    asked = request({"threshold": Threshold()}, {"three": Three()}, task=Stays(ordered=ordered))
    made = run(asked, out=out, workers=1)
    return made.folder, read_exact(made.folder)


@pytest.fixture(scope="module")
def ordered(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Audit]:
    return audited(tmp_path_factory.mktemp("ordered"), True)


def test_the_document_holds_ordinal_measures_and_one_calibration_a_cut(
    ordered: tuple[Path, Audit],
) -> None:
    audit = ordered[1]
    assert audit.data.ordered
    (subject,) = audit.subjects
    for found in (subject.utility, subject.utility_members):
        names = {e.metric.name for e in found if e.value is not None}
        assert names >= OF_ORDER
        cuts = [e.metric.at for e in found if e.metric.name == "calibration_intercept"]
        assert [(at.kind, at.value) for at in cuts if at] == [("cut", n) for n in NAMES[1:]]
    (female, *_) = [g for g in subject.utility_groups if g.estimates]
    assert {e.metric.name for e in female.estimates} >= OF_ORDER


def test_every_number_is_made_again_and_a_changed_one_is_found(
    ordered: tuple[Path, Audit],
) -> None:
    path, audit = ordered
    assert Stored(path).split.members.ordered
    assert derive(path, audit).faults == []
    (subject,) = audit.subjects
    for name in (*OF_ORDER, "calibration_slope", "auprc"):
        utility = tuple(
            replace(e, low=(e.low or 0.0) + 1e-3) if e.metric.name == name else e
            for e in subject.utility
        )
        forged = replace(audit, subjects=(replace(subject, utility=utility),))
        assert any("utility" in fault for fault in derive(path, forged).faults), name
    plain = replace(audit, data=replace(audit.data, ordered=False))
    assert any("data.ordered" in fault for fault in derive(path, plain).faults)


def test_the_report_states_them(ordered: tuple[Path, Audit], tmp_path: Path) -> None:
    report.write(ordered[1], tmp_path)
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    for said in ("Linear kappa", "Mean miss", "Concordance", "one of 3 ordered classes"):
        assert said in text
    assert "outcome by outcome" in text
    assert "At or above “1 to 3 days”" in text


def test_two_runs_are_compared_cut_by_cut(ordered: tuple[Path, Audit]) -> None:
    path, audit = ordered
    found = compare(audit, audit, (Stored(path), Stored(path))).rows
    rows = {row.metric: row for row in found}
    cut = next(m for m in rows if m.name == "calibration_intercept")
    assert rows[cut].value == 0
    assert rows[Metric("mean_miss")].paired
    assert not rows[Metric("kappa_linear")].paired


def test_unordered_classes_have_one_calibration_each_and_no_ordinal_measure(
    tmp_path: Path,
) -> None:
    path, audit = audited(tmp_path, False)
    assert not audit.data.ordered
    names = {e.metric.name for e in audit.subjects[0].utility}
    assert not names & OF_ORDER
    at = [e.metric.at for e in audit.subjects[0].utility if e.metric.at]
    assert {(one.kind, one.value) for one in at} == {("outcome", name) for name in NAMES}
    assert derive(path, audit).faults == []
