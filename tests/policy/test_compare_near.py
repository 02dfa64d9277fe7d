"""Differences that speak of a few patients are not printed, nor are baselines made of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from audits_lab import COMMITTED, audit

from privaudit.cli import main
from privaudit.contracts import Prepared
from privaudit.engine.cohorts import Overlap, Watch
from privaudit.engine.folder import Folder
from privaudit.errors import PrivauditError
from privaudit.facts import Caveat, CaveatCode
from privaudit.policy import baseline
from privaudit.policy.compare import round_to_interval
from privaudit.policy.regress import regress
from privaudit.policy.rules import Regression
from privaudit.records import Records, Split
from privaudit.results import Audit, Pool, to_json

N = 900
OTHER = "hmac-sha256:0123456789ab:" + "e" * 64
ELSEWHERE = "hmac-sha256:ffffffffffff:" + "e" * 64
KEY = b"a key of 32 bytes that tests use"


def pools(people: np.ndarray) -> Split:
    parts = [people[people % 3 == code] for code in range(3)]
    rng = np.random.default_rng(2)
    X = rng.normal(size=(2 * N, 2))
    return Split(*(Records((), X[p][:, :0], p % 2, p, np.zeros(len(p))) for p in parts))


def real(number: int, data: str = COMMITTED, **more: object) -> Audit:
    """An audit of people, each with members of its own."""
    made = audit(number, records_fingerprint=data, **more)  # type: ignore[arg-type]
    return replace(made, data=replace(made.data, real=True))


def sized(one: Audit, *sizes: int, random: bool = True) -> Audit:
    found = tuple(Pool(name, n, n, {}) for name, n in zip("abc", sizes, strict=True))
    return replace(one, data=replace(one.data, pools=found, random_split=random))


def write(out: Path, one: Audit, people: np.ndarray | None = None, kept: bool = True) -> str:
    """A finished run; people: of its stored split; kept: whether its cohort is, too."""
    run = out / one.manifest.run
    (run / "shareable").mkdir(parents=True)
    (run / "shareable" / "audit.json").write_text(to_json(one), encoding="utf-8")
    if people is not None:
        split = pools(people)
        Folder(run).store_split(split)
        records = Records.concatenate([split.members, split.nonmembers, split.reference])
        given = None if one.data.random_split else split
        prepared = Prepared(records, (), "a test", True, split=given)
        if kept:
            watch = Watch.of(out, KEY, prepared, split, is_open=False)
            # As though nothing had refused it: of another folder, or made before this rule.
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(Watch, "find", lambda self: Overlap())
                with watch.claim(run.name, Overlap()):
                    pass
    return str(run)


EVERYBODY = np.arange(N)


@pytest.mark.parametrize("kept", [True, False], ids=["by cohorts", "by splits"])
@pytest.mark.parametrize(("fewer", "code"), [(1, 2), (9, 2), (10, 0), (30, 0)])
def test_cohorts_that_differ_by_one_to_nine_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kept: bool, fewer: int, code: int
) -> None:
    one = write(tmp_path, real(0), EVERYBODY, kept)
    other = write(tmp_path, real(1, OTHER), EVERYBODY[fewer:], kept)
    assert main(["compare", one, other, "--every"]) == code
    out, err = capsys.readouterr()
    assert bool(out) == (code == 0)
    assert ("differ by fewer than 10 patients" in err) == (code == 2)
    assert main(["compare", other, one, "--json"]) == code
    assert bool(capsys.readouterr().out) == (code == 0)


def test_one_cohort_is_compared_whatever_its_seeds_are(tmp_path: Path) -> None:
    one = write(tmp_path, real(0), EVERYBODY)
    other = write(tmp_path, real(1), EVERYBODY)
    assert main(["compare", one, other]) == 0


def test_of_supplied_splits_the_pools_count_too(tmp_path: Path) -> None:
    first = sized(real(0), 300, 300, 300, random=False)
    second = sized(real(1, OTHER), 299, 200, 200, random=False)
    one = write(tmp_path, first, EVERYBODY)
    members = EVERYBODY[EVERYBODY % 3 == 0]
    others = np.arange(N, 2 * N)
    other = write(tmp_path, second, np.append(members[1:], others[others % 3 != 0]))
    assert main(["compare", one, other]) == 2


@pytest.mark.parametrize(
    ("sizes", "random", "data", "code"),
    [
        ((390, 400, 190), True, OTHER, 2),
        ((380, 420, 180), True, OTHER, 2),
        ((500, 500, 300), True, OTHER, 0),
        ((380, 600, 300), False, OTHER, 2),
        ((300, 600, 300), False, OTHER, 0),
        ((390, 400, 190), True, ELSEWHERE, 2),
        ((390, 400, 190), True, "", 2),
        ((400, 400, 200), True, COMMITTED, 0),
    ],
)
def test_from_documents_alone_near_counts_are_refused_and_others_not_vouched_for(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    sizes: tuple[int, ...],
    random: bool,
    data: str,
    code: int,
) -> None:
    one = write(tmp_path, sized(real(0), 400, 400, 200, random=random))
    other = write(tmp_path, sized(real(1, data), *sizes, random=random))
    assert main(["compare", one, other]) == code
    out, err = capsys.readouterr()
    assert ("may differ by fewer than 10 patients" in err) == (code == 2)
    assert ("cannot be known" in out) == (code == 0 and data != COMMITTED)


def test_open_and_generated_records_are_compared(tmp_path: Path) -> None:
    one = write(tmp_path, real(0, exact_counts=True), EVERYBODY)
    other = write(tmp_path, real(1, OTHER, exact_counts=True), EVERYBODY[1:])
    made = write(tmp_path, audit(2, records_fingerprint=OTHER))
    assert main(["compare", one, other]) == 0
    assert main(["compare", one, made]) == 0
    closed = write(tmp_path, real(3, ELSEWHERE), EVERYBODY[2:])
    assert main(["compare", one, closed]) == 2


@pytest.mark.parametrize(
    ("found", "rounded"),
    [
        ((0.012345, -0.00712, 0.0318), (0.01, -0.01, 0.035)),
        ((-3.21, -17.9, 11.5), (-5.0, -20.0, 15.0)),
        ((0.000123, 0.000101, 0.000145), (0.00012, 0.0001, 0.00015)),
        ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0)),
    ],
)
def test_a_difference_is_rounded_to_what_its_interval_supports(
    found: tuple[float, float, float], rounded: tuple[float, float, float]
) -> None:
    assert round_to_interval(*found) == pytest.approx(rounded, abs=1e-12)


def test_no_baseline_is_made_of_cohorts_that_differ(tmp_path: Path) -> None:
    runs = [real(seed) for seed in range(5)]
    near = replace(sized(real(5, OTHER), 397, 400, 200))
    who = {"who": "w", "when": "2026-01-02T00:00:00+00:00", "reason": "r"}
    kept = baseline.create(runs, **who)
    rule = Regression("no-worse", "membership.tpr", 0.02, fpr=0.01)
    for refused in (
        lambda: baseline.create([*runs, near], **who),
        lambda: baseline.update(kept, [near], **who),
        lambda: regress(rule, [near, real(6, OTHER), real(7, OTHER)], kept),
    ):
        with pytest.raises(PrivauditError, match="data: other records") as error:
            refused()
        # Neither how many patients nor how many more.
        assert "397" not in str(error.value)
        assert "400" not in str(error.value)
    names = [write(tmp_path, one) for one in (runs[0], near)]
    file = tmp_path / "baseline.json"
    assert main(["baseline", "create", *names, "--out", str(file), "--reason", "r"]) == 2
    assert not file.exists()


def test_no_baseline_is_made_of_runs_that_have_nothing_to_be_shared(tmp_path: Path) -> None:
    """baseline.json is handed on, and what stands under restricted/ alone is not."""
    about = {"run": "run-0", "least": 10}
    near = Caveat(CaveatCode.NEAR_COHORT, "warning", about)
    made = replace(real(1), caveats=(near,))
    with pytest.raises(PrivauditError, match="nothing to be shared: run-1"):
        baseline.create([made], who="w", when="2026-01-02T00:00:00+00:00", reason="r")
    file = tmp_path / "baseline.json"
    assert main(["baseline", "create", write(tmp_path, made), "--out", str(file), "--reason", "r"])
    assert not file.exists()
