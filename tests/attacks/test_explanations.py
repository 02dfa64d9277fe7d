"""Explanations that are released: a leak in them alone, none, and how they are handed in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from membership_lab import Never
from membership_lab import table as plain
from scipy.stats import chi2

import privaudit
from privaudit.attacks.membership.explanations import Explanations, summarise
from privaudit.attacks.membership.neighbourhood import Neighbourhood
from privaudit.attacks.membership.quantile import Quantile
from privaudit.attacks.membership.threshold import Threshold
from privaudit.contracts import Access, Release, Scores, Target
from privaudit.engine import jobs, nulls
from privaudit.engine.folder import read_exact
from privaudit.errors import PrivauditError
from privaudit.evidence.derive import derive
from privaudit.facts import ReasonCode
from privaudit.inputs.explanations import RecordedExplanations, read_explanation_arrays
from privaudit.records import Records, Split
from privaudit.results import Finding, Skipped
from privaudit.stats.auc import auc


@dataclass(frozen=True)
class Linear:
    """Answers by the first column alone, whoever was trained on."""

    def predict_proba(self, records: Records) -> np.ndarray:
        p = 1 / (1 + np.exp(-records.X[:, 0].astype(float)))
        return np.column_stack([1 - p, p])


def pools(seed: int, n: int = 300) -> Split:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(2 * n + 40, 6))
    y = (X[:, 0] + rng.logistic(size=len(X)) > 0).astype(int)
    pool = plain(X, y)
    return Split(pool.take(slice(0, n)), pool.take(slice(n, 2 * n)), pool.take(slice(2 * n, None)))


def attributions(split: Split, seed: int, leak: float) -> np.ndarray:
    """They sum to the log odds in any case; of members they are more even by `leak`."""
    rng = np.random.default_rng([seed, 1])
    audit = split.audit
    shares = rng.dirichlet(np.ones(6), len(audit))
    even = np.where(split.is_member, leak, 0.0)[:, None]
    return audit.X[:, :1] * ((1 - even) * shares + even / 6)


def target(seed: int, leak: float, n: int = 300) -> Target:
    split = pools(seed, n)
    explained = RecordedExplanations.of(split.audit, attributions(split, seed, leak))
    return Target(Release(model=Linear(), explanations=explained), split, Never())


def run(attack: object, of: Target, seed: int = 0) -> Scores:
    return attack.run(of, (), np.random.default_rng(seed))  # type: ignore[attr-defined,no-any-return]


def area(scores: Scores) -> float:
    return auc(scores.members, scores.nonmembers)


@pytest.mark.parametrize("leak", [0.5, -0.3])
def test_a_leak_in_the_attributions_is_found_though_answers_hold_none(leak: float) -> None:
    found = [area(run(Explanations(), target(seed, leak))) for seed in range(3)]
    assert min(found) > 0.57
    others = [
        area(run(attack, target(seed, leak)))
        for attack in (Threshold(), Quantile(rounds=10), Neighbourhood(4))
        for seed in range(3)
    ]
    assert abs(np.mean(others) - 0.5) < 4 * np.sqrt(1 / 6 / 300 / 3)


def test_nothing_is_found_where_nothing_is() -> None:
    """And its area varies as its interval says: the square of 60 deviations is 60 on average, 99 in
    1 of 1,000 such tests, and 120 where each fold is judged by all the others."""
    error = np.sqrt(241 / 12 / 120 / 120)
    found = [area(run(Explanations(), target(seed, 0.0, n=120), seed)) for seed in range(60)]
    apart = (np.array(found) - 0.5) / error
    assert abs(apart.mean()) < 4 / np.sqrt(60)
    assert (apart**2).sum() < chi2.ppf(0.999, 60)


def test_constant_attributions_and_ties_leak_nothing() -> None:
    split = pools(0, 60)
    explained = RecordedExplanations.of(split.audit, np.zeros((120, 3)))

    @dataclass(frozen=True)
    class Constant:
        def predict_proba(self, records: Records) -> np.ndarray:
            return np.tile(np.float32([0.0, 1.0]), (len(records), 1))

    of = Target(Release(model=Constant(), explanations=explained), split, Never())
    scores = run(Explanations(), of)
    assert np.isfinite(np.concatenate([scores.members, scores.nonmembers])).all()
    assert abs(area(scores) - 0.5) < 4 * np.sqrt(1 / 6 / 60)


def test_patients_are_judged_whole_and_by_others() -> None:
    """With two records a patient that copy each other, nothing is learnt of the copy."""
    areas = []
    for seed in range(6):
        split = pools(seed, 100)
        rng = np.random.default_rng(seed)
        doubled = [
            replace(part.take(np.repeat(np.arange(100), 2)), patient=np.repeat(part.patient, 2))
            for part in (split.members, split.nonmembers)
        ]
        both = Split(doubled[0], doubled[1], split.reference)
        noise = np.repeat(rng.normal(size=(200, 4)), 2, axis=0)
        explained = RecordedExplanations.of(both.audit, noise)
        of = Target(Release(model=Linear(), explanations=explained), both, Never())
        areas.append(area(run(Explanations(), of)))
    assert abs(np.mean(areas) - 0.5) < 4 * np.sqrt(1 / 6 / 100 / 6)


def test_what_is_read_of_attributions() -> None:
    pool = plain(np.zeros((3, 1)), np.array([1, 0, 1]))
    given = np.array([[1.0, 1.0, 0.0, 0.0], [2.0, -1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    seen = summarise(given, pool, np.array([1.0, 2.0, 3.0]))
    assert seen[0, 2] == pytest.approx(np.log(2))
    assert seen[1, 3] == pytest.approx(2 / 3)
    assert seen[0, 4] > 0 > seen[1, 4]
    assert np.isfinite(seen).all()


def test_it_applies_where_explanations_are_released_alone() -> None:
    of = target(0, 0.5, 40)
    assert Access.EXPLANATIONS in of.access
    attack = Explanations()
    bare = replace(of, release=Release(model=Linear()))
    lacking = jobs.lacks(attack, bare.access)
    assert lacking is not None
    assert lacking.code is ReasonCode.LACKS_ACCESS
    assert lacking.params == {"access": ("EXPLANATIONS",)}
    assert jobs.lacks(attack, of.access) is None
    assert nulls.null_kind(Never(), attack, of.split, supplied=True) == "halves"
    assert jobs.strip_release(of.release, attack).explanations is not None
    assert jobs.strip_release(of.release, Threshold()).explanations is None


def test_misshapen_explanations_are_refused() -> None:
    split = pools(0, 30)
    good = np.ones((30, 2))
    for given in (
        good,
        (good,),
        (good, good[:-1]),
        (good, np.ones((30, 3))),
        (good, np.full((30, 2), np.nan)),
        (good, [["a"] * 2] * 30),
    ):
        with pytest.raises(PrivauditError):
            read_explanation_arrays(given, split.members, split.nonmembers)
    made = read_explanation_arrays((good, 2 * good), split.members, split.nonmembers)
    mixed = split.audit.take(np.array([45, 3]))
    np.testing.assert_array_equal(made.explain(mixed), [[2, 2], [1, 1]])
    with pytest.raises(ValueError, match="none were supplied"):
        made.explain(split.reference)


def rows(seed: int, n: int = 160) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 4))
    return X, (X[:, 0] + rng.normal(size=n) > 0).astype(int)


@pytest.mark.parametrize("library", ["linear", "pipeline", "xgboost", "lightgbm"])
def test_exact_attributions_sum_to_the_log_odds(library: str) -> None:
    from privaudit.inputs.dataframe import read_frames
    from privaudit.inputs.session_model import hold_model
    from privaudit.signals import margin

    X, y = rows(0)
    if library in ("linear", "pipeline"):
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        own = LogisticRegression()
        model = own if library == "linear" else make_pipeline(StandardScaler(), own)
    elif library == "xgboost":
        xgboost = pytest.importorskip("xgboost")
        model = xgboost.XGBClassifier(n_estimators=10, n_jobs=1)
    else:
        lightgbm = pytest.importorskip("lightgbm")
        model = lightgbm.LGBMClassifier(n_estimators=10, n_jobs=1, verbose=-1)
    model.fit(X, y)
    read = read_frames((X, y), rows(1))
    held = hold_model(model, read, False, "", "exact")
    release = held.release.fit(read.members, np.random.default_rng(0))
    assert release.explanations is not None
    assert release.model is not None
    found = release.explanations.explain(read.members)
    assert found.shape == (160, 4)
    level = margin(release.model.predict_proba(read.members), np.ones(160, dtype=np.int64))
    assert np.ptp(found.sum(axis=1) - level) < 1e-3


def test_a_model_without_exact_attributions_is_refused() -> None:
    from sklearn.neighbors import KNeighborsClassifier

    X, y = rows(0)
    with pytest.raises(PrivauditError, match="cannot be computed exactly"):
        privaudit.audit(
            KNeighborsClassifier().fit(X, y), (X, y), rows(1), explanations="exact", seed=1
        )


def test_through_the_product_a_leak_in_explanations_is_reported_and_verified(
    tmp_path: Path,
) -> None:
    from sklearn.linear_model import LogisticRegression

    (X, y), (other, outcome) = rows(2, 300), rows(3, 400)
    model = LogisticRegression().fit(X, y)
    rng = np.random.default_rng(0)
    even = (rng.dirichlet(np.full(4, 8.0), 300), rng.dirichlet(np.ones(4), 400))
    arguments = {"estimator": False, "profile": "smoke", "seed": 1, "jobs": 1}
    found = privaudit.audit(
        model,
        (X, y),
        (other, outcome),
        explanations=even,
        attacks=["threshold", "neighbourhood", "explanations"],
        out=tmp_path,
        **arguments,  # type: ignore[arg-type]
    )
    run_directory = next(tmp_path.glob("2*"))
    assert derive(run_directory, read_exact(run_directory)).faults == []
    assert "EXPLANATIONS" in found.subject.access
    one = next(o for o in found.subject.outcomes if o.attack == "explanations")
    assert isinstance(one, Finding)
    level = next(e for e in one.estimates if e.metric.name == "auc")
    assert level.low is not None
    assert level.low > 0.7
    kinds = {c.kind: c for c in found.subject.controls if c.attack == "explanations"}
    assert kinds["negative"].passed
    assert kinds["positive"].passed


def test_explanations_come_as_tables_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import polars as pl
    from sklearn.linear_model import LogisticRegression

    from privaudit.cli import main
    from privaudit.inputs.models.in_process import pickle_by_value

    (X, y), (other, outcome) = rows(2, 120), rows(3, 160)
    model = LogisticRegression().fit(X, y)
    raw = pickle_by_value(model)
    assert raw is not None
    (tmp_path / "model.pkl").write_bytes(raw)
    names = [f"x{j}" for j in range(4)]
    for name, table, outcomes in (("members", X, y), ("others", other, outcome)):
        frame = pl.DataFrame(table.astype(np.float32), schema=names)
        frame.with_columns(pl.Series("died", outcomes)).write_csv(tmp_path / f"{name}.csv")
        frame.write_csv(tmp_path / f"{name}_shap.csv")
    given = f"{tmp_path / 'members_shap.csv'},{tmp_path / 'others_shap.csv'}"
    words = [
        *("audit", "--model", str(tmp_path / "model.pkl"), "--trust-pickle"),
        *("--members", str(tmp_path / "members.csv"), "--nonmembers", str(tmp_path / "others.csv")),
        *("--outcome", "died", "--attacks", "threshold,explanations", "--profile", "smoke"),
        *("--estimator", "none", "--jobs", "1", "--out", str(tmp_path / "out")),
    ]
    assert main([*words, "--explanations", given]) == 0, capsys.readouterr().err
    document = next((tmp_path / "out").glob("2*/shareable/audit.json")).read_text()
    assert "EXPLANATIONS" in document
    assert str(tmp_path) not in document
    assert main([*words, "--explanations", "one.csv"]) == 2
    assert "two tables" in capsys.readouterr().err


def test_released_explanations_that_nobody_attacked_are_a_gap() -> None:
    """A limit on membership is not WITHIN where what is released was not read."""
    from privaudit.policy.coverage import _gaps

    access = frozenset({Access.ANSWERS, Access.EXPLANATIONS})
    made = Finding("lira", "membership", {}, ("ANSWERS", "RERUN"), (), (), (), (), 0.0)

    class Subject:
        outcomes = (made, Skipped("explanations", "membership", reason()))

    gaps = list(_gaps("membership", Subject(), access, {"lira"}))  # type: ignore[arg-type]
    assert [(gap.code, gap.attacks) for gap in gaps] == [
        (ReasonCode.CLASS_NOT_TESTED, ("explanations",))
    ]
    assert not list(_gaps("membership", Subject(), access - {Access.EXPLANATIONS}, {"lira"}))  # type: ignore[arg-type]


def reason():  # type: ignore[no-untyped-def]
    from privaudit.facts import Reason

    return Reason(ReasonCode.NOT_REQUESTED, {"attacks": ("explanations",)})
