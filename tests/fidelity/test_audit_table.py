"""`privaudit audit-table`: from three files to a report, and a clear refusal of everything else."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from privaudit.cli import main
from privaudit.contracts import Release
from privaudit.engine.document import params
from privaudit.facts import CaveatCode
from privaudit.inputs.user_release import UserRelease
from privaudit.records import Column, Records
from privaudit.report.reading import read_membership
from privaudit.results import Audit, Finding, from_json

KEY = 918273645000
"""The first patient key: it must appear in nothing that is shareable."""


def people(n: int, seed: int, first: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    age = rng.integers(18, 90, n)
    frame = pd.DataFrame(
        {
            "subject_id": KEY + first + np.arange(n),
            "age": age,
            "sex": rng.choice(["F", "M"], n),
            "unit": rng.choice(["medical", "surgical", "coronary"], n),
            "lactate": np.round(rng.lognormal(0.3, 0.5, n), 1),
            "heart_rate": np.round(rng.normal(90, 15, n)),
            "died": np.where(rng.logistic(size=n) + (age - 60) / 12 > 1, "yes", "no"),
        }
    )
    frame.loc[rng.random(n) < 0.3, "lactate"] = np.nan
    return frame


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    real = people(300, 1)
    real.to_csv(tmp_path / "real.csv", index=False)
    people(300, 2, 300).to_csv(tmp_path / "control.csv", index=False)
    copies = real.sample(300, replace=True, random_state=3).drop(columns="subject_id")
    copies.to_csv(tmp_path / "synthetic.csv", index=False)
    return tmp_path


def run(folder: Path, *more: str, **files: str) -> int:
    named = {"real": "real.csv", "control": "control.csv", "synthetic": "synthetic.csv", **files}
    words = [w for name, file in named.items() if file for w in (f"--{name}", str(folder / file))]
    return main(["audit-table", *words, "--out", str(folder / "runs"), "--jobs", "1", *more])


USUAL = ("--outcome", "died", "--patient", "subject_id", "--profile", "smoke")


def audit(folder: Path) -> Audit:
    return from_json((folder / "runs/latest/shareable/audit.json").read_text(encoding="utf-8"))


def notes(found: Audit) -> list[str]:
    """The texts of the data's notes that came as they are."""
    return [str(note.params.get("text")) for note in found.data.notes]


def test_a_table_of_copies_is_found_out(tables: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = run(tables, *USUAL, "--groups", "sex,age", "--attacks", "distance,copies", "--json")
    assert code == 0
    told = json.loads(capsys.readouterr().out)
    assert Path(told["report"]).exists()
    found = audit(tables)
    (subject,) = found.subjects
    assert subject.fidelity is not None
    assert subject.fidelity.estimates[0].metric.name == "prevalence_synthetic"
    assert {u.learner for u in subject.fidelity.utility} >= {"logreg", "boosted"}
    values = {e.metric.name: e.value for e in subject.fidelity.estimates}
    assert (values["exact_copies"] or 0) > 0.5
    nearest = next(o for o in subject.outcomes if o.attack == "distance")
    assert isinstance(nearest, Finding)
    auc = next(e for e in nearest.estimates if e.metric.name == "auc")
    assert auc.low is not None
    assert auc.low > 0.7
    assert {g.by for g in subject.fidelity.groups} == {"sex", "age"}
    assert any("drawn at random" in text for text in notes(found))
    shareable = tables / "runs/latest/shareable"
    for path in shareable.iterdir():
        text = path.read_bytes().decode("utf-8", "replace")
        assert str(KEY)[:9] not in text, path.name
        assert str(tables) not in text, path.name
    html = (shareable / "report.html").read_text(encoding="utf-8")
    assert html.index('id="synthetic-prevalence"') < html.index('id="synthetic-utility"')
    assert "DCR Delusion" in html


def test_fewer_synthetic_columns_and_values_outside_the_bounds(tables: Path) -> None:
    frame = people(300, 5).drop(columns=["subject_id", "unit"])
    frame["age"] = frame["age"] * 3 + 0.5
    frame.to_parquet(tables / "synthetic.parquet")
    only = ("--attacks", "copies", "--set", "copies.patients=150")
    assert run(tables, *USUAL, *only, synthetic="synthetic.parquet") == 0
    found = audit(tables)
    (copies,) = (o for o in found.subjects[0].outcomes if isinstance(o, Finding))
    assert [
        c.params["patients"] for c in copies.caveats if c.code is CaveatCode.PATIENTS_DRAWN
    ] == [150]
    fidelity = found.subjects[0].fidelity
    assert fidelity is not None
    assert "unit" not in {c.name for c in fidelity.columns}
    assert any("outside the real column's bounds: age" in text for text in notes(found))
    assert any("fractions" in text for text in notes(found))


def test_without_an_outcome_and_without_patients(tables: Path) -> None:
    for name in ("real", "control"):
        frame = pd.read_csv(tables / f"{name}.csv").drop(columns=["subject_id", "died"])
        frame["hospital"] = "north"
        frame.to_csv(tables / f"{name}.csv", index=False)
    frame = pd.read_csv(tables / "synthetic.csv").drop(columns="died")
    frame.to_csv(tables / "synthetic.csv", index=False)
    assert run(tables, "--profile", "smoke", "--attacks", "copies") == 0
    found = audit(tables)
    fidelity = found.subjects[0].fidelity
    assert fidelity is not None
    assert not fidelity.utility
    assert any("one value alone" in text and "hospital" in text for text in notes(found))
    assert not any(e.metric.name.startswith("prevalence") for e in fidelity.estimates)


def refused(capsys: pytest.CaptureFixture[str], folder: Path, *more: str, **files: str) -> str:
    assert run(folder, *more, **files) == 2
    said = capsys.readouterr().err
    assert "because:" in said
    assert "do this:" in said
    assert "Traceback" not in said
    assert str(KEY)[:9] not in said
    assert not (folder / "runs/latest").exists()
    return said


def test_without_a_control_it_says_how_to_hold_one_out(
    tables: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "hold some patients out" in refused(capsys, tables, *USUAL, control="")


def test_patients_on_both_sides_are_counted(
    tables: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both = pd.concat([people(300, 2, 300), people(17, 7)])
    both.to_csv(tables / "control.csv", index=False)
    assert "17 patients are in both" in refused(capsys, tables, *USUAL)
    shared = pd.read_csv(tables / "synthetic.csv").drop(columns=["sex", "unit"])
    shared.to_csv(tables / "synthetic.csv", index=False)
    assert "exact duplicates" in refused(
        capsys, tables, "--outcome", "died", "--schema", str(_schema(tables)), control="real.csv"
    )


def test_patients_of_the_table_under_other_numbers_are_no_control(
    tables: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    real, control = people(300, 1), people(300, 2, 300)
    again = real[:90].assign(subject_id=range(5000, 5090))
    pd.concat([control[90:], again]).to_csv(tables / "control.csv", index=False)
    assert "exact copies of members' records" in refused(capsys, tables, *USUAL)


def _schema(folder: Path) -> Path:
    path = folder / "schema.toml"
    names = ("age", "lactate", "heart_rate")
    columns = "".join(f'[[column]]\nname = "{name}"\n' for name in names)
    path.write_text(
        '[table]\noutcome = "died"\nclasses = ["no", "yes"]\n'
        f'ignored = ["subject_id", "sex", "unit"]\n{columns}',
        encoding="utf-8",
    )
    return path


def test_tables_too_small(tables: Path, capsys: pytest.CaptureFixture[str]) -> None:
    people(20, 2, 300).to_csv(tables / "control.csv", index=False)
    assert "control table of 20 rows" in refused(capsys, tables, *USUAL)
    people(300, 2, 300).to_csv(tables / "control.csv", index=False)
    people(20, 3).drop(columns="subject_id").to_csv(tables / "synthetic.csv", index=False)
    assert "synthetic table of 20 rows" in refused(capsys, tables, *USUAL)


def test_synthetic_columns_that_do_not_match(
    tables: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = pd.read_csv(tables / "synthetic.csv")
    frame.rename(columns={"age": "Age"}).to_csv(tables / "synthetic.csv", index=False)
    assert "'Age'" in refused(capsys, tables, *USUAL)
    frame.drop(columns="died").to_csv(tables / "synthetic.csv", index=False)
    assert "without the outcome 'died'" in refused(capsys, tables, *USUAL)
    frame.assign(unit="burns").to_csv(tables / "synthetic.csv", index=False)
    assert "none of its levels" in refused(capsys, tables, *USUAL)
    frame.assign(died="perhaps").to_csv(tables / "synthetic.csv", index=False)
    assert "none of the classes" in refused(capsys, tables, *USUAL)


def test_options_that_name_nothing(tables: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "did you mean 'lactate'" in refused(capsys, tables, *USUAL, "--secrets", "lactat")
    assert "--sensitive" in refused(capsys, tables, *USUAL, "--sensitive", "income")
    assert "cannot be read" in refused(capsys, tables, *USUAL, file="gone.pkl")
    assert "whose outcome" in refused(
        capsys, tables, "--outcome", "sex", "--schema", str(_schema(tables))
    )


def test_a_given_table_never_describes_its_rows() -> None:
    X = np.full((60, 1), 123456.0)
    table = Records((Column("secret"),), X, np.zeros(60), np.arange(60), np.zeros(60))
    method = UserRelease.of_table(table, b"file")
    assert "123456" not in repr(method)
    assert "123456" not in json.dumps(params(method))
    assert eval(repr(method)) == method
    released = method.fit(table, np.random.default_rng(0))
    assert isinstance(released, Release)
    assert released.table is table
    assert released.file == b"file"


def test_a_category_seen_only_in_the_control(tables: Path) -> None:
    control = people(300, 2, 300)
    control.loc[:40, "unit"] = "burns"
    control.to_csv(tables / "control.csv", index=False)
    assert run(tables, *USUAL, "--attacks", "copies") == 0
    fidelity = audit(tables).subjects[0].fidelity
    assert fidelity is not None
    unit = next(c for c in fidelity.columns if c.name == "unit")
    assert sum(unit.real) == pytest.approx(1.0, abs=1e-3)


def test_a_file_beside_a_part_of_the_real_table_is_said(tables: Path) -> None:
    with (tables / "rows.npz").open("wb") as file:
        np.savez(file, x=people(300, 1)[["age", "heart_rate"]].to_numpy())
    file_ = ("--file", str(tables / "rows.npz"), "--rows", "120", "--attacks", "stored_records")
    assert run(tables, *USUAL, *file_) == 0
    found = audit(tables)
    assert any("Of the real table a part was read" in text for text in notes(found))
    (outcome,) = [o for o in found.subjects[0].outcomes if o.attack == "stored_records"]
    assert isinstance(outcome, Finding)
    values = {str(e.metric): e.value or 0.0 for e in outcome.estimates}
    assert values["attack_rate@complete records, in any order"] > 0.95
    assert values["attack_minus_guess@numbers, in row order"] < 0.1


def noisy_copies(real: pd.DataFrame) -> pd.DataFrame:
    """Synthetic rows that are real ones but for a little noise."""
    made = real.drop(columns="subject_id").copy()
    made["lactate"] = (made["lactate"] + 0.001).round(3)
    made["heart_rate"] = made["heart_rate"] + 0.25
    return made


def european(frame: pd.DataFrame, path: Path) -> None:
    frame.to_csv(path, index=False, sep=";", decimal=",")


def distance_auc(folder: Path) -> float:
    nearest = next(o for o in audit(folder).subjects[0].outcomes if o.attack == "distance")
    assert isinstance(nearest, Finding)
    return next(e.value for e in nearest.estimates if e.metric.name == "auc") or 0.0


def test_decimal_commas_give_the_numbers_of_points_or_a_refusal(
    tables: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    real, control = (people(300, *args) for args in ((1,), (2, 300)))
    european(real, tables / "real.csv")
    european(control, tables / "control.csv")
    noisy_copies(real).to_csv(tables / "synthetic.csv", index=False)
    assert "decimal commas" in refused(capsys, tables, *USUAL)
    schema = tables / "schema.toml"
    both = [str(tables / name) for name in ("real.csv", "control.csv")]
    proposing = ("--outcome", "died", "--patient", "subject_id", "--out", str(schema))
    assert main(["schema", *both, *proposing]) == 0
    assert 'decimal = ","' in schema.read_text()
    told = ("--schema", str(schema), "--profile", "smoke", "--attacks", "distance")
    # The synthetic table may be of another tool, with points.
    assert run(tables, *told) == 0
    assert distance_auc(tables) > 0.95
    european(noisy_copies(real), tables / "synthetic.csv")
    assert run(tables, *told) == 0
    assert distance_auc(tables) > 0.95


def test_a_control_in_other_spelling_is_refused_and_its_booleans_are_not(
    tables: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    control = people(300, 2, 300)
    control.assign(unit=control["unit"].str.upper()).to_csv(tables / "control.csv", index=False)
    assert "differ by case" in refused(capsys, tables, *USUAL)
    control.assign(died=control["died"].str.upper()).to_csv(tables / "control.csv", index=False)
    assert run(tables, *USUAL, "--attacks", "distance") == 0
    assert audit(tables).data.distribution_shift is None
    control.assign(subject_id="0" + people(300, 1)["subject_id"].astype(str)).to_csv(
        tables / "control.csv", index=False
    )
    assert "patients of two tables" in refused_again(capsys, tables, *USUAL)


def refused_again(capsys: pytest.CaptureFixture[str], folder: Path, *more: str) -> str:
    assert run(folder, *more) == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(
    "shifted",
    ["unit", *(pytest.param(name, marks=pytest.mark.slow) for name in ("lactate", "died"))],
)
def test_a_control_of_other_patients_decides_nothing(
    tables: Path, capsys: pytest.CaptureFixture[str], shifted: str
) -> None:
    control = people(600, 2, 600)
    if shifted == "unit":
        # A level that a tenth of the real patients have and nobody of the control.
        real = people(600, 1)
        real.loc[:59, "unit"] = "burns"
        real.to_csv(tables / "real.csv", index=False)
        people(600, 9).drop(columns="subject_id").to_csv(tables / "synthetic.csv", index=False)
    elif shifted == "lactate":
        control["lactate"] *= 2
    else:
        control.loc[:500, "died"] = "no"
    control.to_csv(tables / "control.csv", index=False)
    policy = tables / "policy.toml"
    policy.write_text(
        'schema = "privaudit.policy/1"\nname = "t"\nreview_by = 2100-01-01\n'
        '[context]\nrelease = "internal"\n'
        '[[limit]]\nid = "auc"\nmetric = "membership.auc"\nmax = 0.99\n'
        '[[limit]]\nid = "link"\nmetric = "synthetic.linkability"\nmax = 0.99\n'
    )
    # One attack of each kind that compares with the control.
    told = ("--policy", str(policy), "--attacks", "distance,linkability")
    assert run(tables, *USUAL, *told) == 3
    shift = audit(tables).data.distribution_shift
    assert shift is not None
    columns = shift.params["columns"]
    assert isinstance(columns, tuple)
    assert {"died": "the outcome"}.get(shifted, shifted) in columns


def test_a_synthetic_table_written_unlike_the_real_one_is_refused(
    tables: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    real = people(300, 1)
    real.loc[:5, "unit"] = "burns"
    real.to_csv(tables / "real.csv", index=False)
    made = noisy_copies(real)
    for name, cells, said in (
        ("unit", made["unit"].str.upper(), "but for case"),
        ("unit", made["unit"].map({"medical": "internal"}).fillna(made["unit"]), "lacks: unit"),
        ("heart_rate", made["heart_rate"] / 60, "another size"),
        ("lactate", made["lactate"].fillna(-9), "a value in the other table: lactate"),
        ("lactate", made["lactate"].astype(str).str.replace(".", ","), "decimal commas"),
    ):
        made.assign(**{name: cells}).to_csv(tables / "synthetic.csv", index=False)
        assert said in refused(capsys, tables, *USUAL)


def test_a_leak_that_counts_alone_show_is_read(tables: Path) -> None:
    """Every column drawn for itself: nobody is copied, no two columns belong together, and each
    column is the training patients'. The headline need not quote the one attack that sees it."""
    rng = np.random.default_rng(11)
    wide = [
        frame.assign(**{f"lab{i}": np.round(rng.lognormal(1, 0.6, 300), 3) for i in range(25)})
        for frame in (people(300, 1), people(300, 2, 300))
    ]
    real = wide[0].drop(columns="subject_id")
    drawn = {name: rng.choice(real[name].to_numpy(), 600) for name in real.columns}
    for name, frame in zip(("real", "control"), wide, strict=True):
        frame.to_csv(tables / f"{name}.csv", index=False)
    pd.DataFrame(drawn).to_csv(tables / "synthetic.csv", index=False)
    assert run(tables, *USUAL, "--attacks", "distance,gen_lra,mama_mia") == 0
    found = audit(tables)
    areas = {
        o.attack: next(e for e in o.estimates if e.metric.name == "auc")
        for o in found.subjects[0].outcomes
        if isinstance(o, Finding)
    }
    assert (areas["mama_mia"].low or 0) > 0.55
    assert all((areas[name].low or 0) < 0.5 for name in ("distance", "gen_lra"))
    assert read_membership(found, found.subjects[0]).state in ("detected", "learnt")
