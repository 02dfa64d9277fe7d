"""Improbable values planted in a user's tables: none leaves the folders called restricted."""

from __future__ import annotations

import json
import pickle
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import privaudit
from privaudit import cli, plugins, stats
from privaudit.errors import PrivauditError
from privaudit.records import Column, Records
from privaudit.stats.groups import rare_classes, rare_joined

sys.path.insert(0, str(Path(__file__).parent / "engine"))
sys.path.insert(0, str(Path(__file__).parent / "sources"))
import tiny_mimic3
import toy_audit

NUMBER, LEVEL, KEY = "413.7071", "Zorblax-9-syndrome", "770077123456"
FOLDER, FILE = "Grimblewick_ward7", "Quenby_Thistlewood"
CANARIES = (NUMBER, "413.70", LEVEL, KEY, FOLDER, FILE)
FEATURES = ["age", "sex", "unit", "lactate", "heart"]


def ward(rows: int, seed: int, first: int, planted: bool = False) -> pd.DataFrame:
    """Two stays a patient; planted: a number, a level and a key that nobody else has."""
    rng = np.random.default_rng(seed)
    age = rng.integers(18, 95, rows)
    frame = pd.DataFrame(
        {
            "subject_id": (first + np.arange(rows) // 2).astype(object),
            "age": age,
            "sex": rng.choice(["F", "M"], rows),
            "unit": rng.choice(["medical", "surgical", "cardiac"], rows),
            "lactate": rng.gamma(2.0, 1.0, rows).round(2),
            "heart": rng.normal(85, 15, rows).round(1),
            "died": (rng.random(rows) < 1 / (1 + np.exp(2 - 0.03 * (age - 60)))).astype(int),
        }
    )
    if planted:
        frame.loc[3, "heart"] = float(NUMBER)
        frame.loc[5, "unit"] = LEVEL
        frame.loc[6:7, "subject_id"] = KEY
    return frame


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a telling name, which holds tables with telling names and a model."""
    from xgboost import XGBClassifier

    folder = tmp_path / FOLDER
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    members = ward(400, 1, 0, planted=True)
    members.to_csv(f"{FILE}_m.csv", index=False)
    ward(400, 2, 9000).to_csv(f"{FILE}_c.csv", index=False)
    synthetic = ward(300, 3, 0)[[*FEATURES, "died"]]
    synthetic.loc[:40] = members.loc[:40, [*FEATURES, "died"]]
    synthetic.to_csv(f"{FILE}_s.csv", index=False)
    X = pd.get_dummies(members[FEATURES]).astype(float)
    XGBClassifier(n_estimators=20, n_jobs=1).fit(X, members.died).save_model(f"{FILE}.json")
    return folder


def inputs(home: Path) -> set[Path]:
    return {path for path in home.iterdir() if path.name.startswith(FILE)}


def leaks(home: Path, *texts: str, supplied: set[Path]) -> Iterator[str]:
    """Every place outside a folder called restricted where a canary stands."""
    for canary in CANARIES:
        for text in texts:
            if canary in text:
                yield f"{canary} in: {text[max(0, text.index(canary) - 60) :][:120]}"
    for path in home.rglob("*"):
        place = path.relative_to(home)
        if "restricted" in place.parts or path in supplied or path.is_dir():
            continue
        held = path.read_bytes()
        for canary in CANARIES:
            if canary.encode() in held or canary in place.name:
                yield f"{canary} in {place}"


def ran(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str]:
    code = cli.main([str(word) for word in words])
    out, err = capsys.readouterr()
    return code, out + err


def audit_words(home: Path, **change: object) -> list[object]:
    options: dict[str, object] = {
        "model": f"{FILE}.json",
        "members": f"{FILE}_m.csv",
        "nonmembers": f"{FILE}_c.csv",
        "outcome": "died",
        "attacks": "threshold",
        "profile": "smoke",
        "jobs": 1,
        "out": "runs",
    } | change
    return ["audit", *(part for name, value in options.items() for part in (f"--{name}", value))]


def runs(home: Path) -> list[Path]:
    return sorted(path for path in Path("runs").iterdir() if path.name.startswith("2"))


def test_an_audited_table(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = ran(
        capsys,
        "audit-table",
        "--real",
        f"{FILE}_m.csv",
        "--control",
        f"{FILE}_c.csv",
        "--synthetic",
        f"{FILE}_s.csv",
        "--outcome",
        "died",
        "--patient",
        "subject_id",
        "--groups",
        "unit,sex",
        "--attacks",
        "copies,synthetic_attribute_inference,singling_out,distance",
        "--profile",
        "smoke",
        "--jobs",
        1,
        "--out",
        "runs",
    )
    assert code == 0
    assert list(leaks(home, said, supplied=inputs(home))) == []
    document = next(Path("runs").glob("2*/shareable/audit.json")).read_text()
    assert "(other)" in document


def test_an_audited_model_and_every_command_on_its_run(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    supplied = inputs(home)
    said = []
    for seed in (0, 1):
        code, text = ran(capsys, *audit_words(home, seed=seed, groups="unit"))
        assert code in (0, 3)
        said.append(text)
    assert cli.main(["init", "--release", "internal"]) == 0
    with Path("policy.toml").open("a") as policy:
        policy.write('[[regression]]\nmetric = "membership.auc"\nmargin = 0.05\n')
    one, two = runs(home)
    for words in (
        *(
            ["check", one, "--policy", "policy.toml", "--format", f]
            for f in ("text", "json", "junit", "sarif", "markdown", "github")
        ),
        ["compare", one, two],
        ["baseline", "create", one, two, "--out", "baseline.json", "--reason", "the first"],
        ["check", one, "--policy", "policy.toml", "--baseline", "baseline.json"],
        ["verify", one],
        ["report", one],
        ["policy", "simulate", "policy.toml", "--audit", one, "--runs", 10],
    ):
        code, text = ran(capsys, *words)
        assert code in (0, 1, 3), text
        said.append(text)
    assert list(leaks(home, *said, supplied=supplied)) == []


@pytest.mark.parametrize("generator", ["marginals", "copula", "ctgan", "tvae", "medgan"])
def test_synthetic_tables_and_what_is_kept_of_their_makers(
    home: Path, generator: str, capsys: pytest.CaptureFixture[str]
) -> None:
    few = ("--set", f"{generator}.epochs=1") if generator in ("ctgan", "tvae", "medgan") else ()
    code, said = ran(
        capsys,
        "synthesize",
        f"{FILE}_m.csv",
        "--generator",
        generator,
        "--rows",
        300,
        "--outcome",
        "died",
        "--out",
        "new.csv",
        "--save",
        "new.zip",
        "--seed",
        1,
        *few,
    )
    assert code == 0, said
    code, told = ran(capsys, "schema", f"{FILE}_m.csv", "--outcome", "died", "--out", "own.toml")
    assert code == 0
    assert list(leaks(home, said, told, supplied=inputs(home))) == []


RECIPE = f"""
from sklearn.dummy import DummyClassifier
fits = []
class Late(DummyClassifier):
    def fit(self, X, y):
        fits.append(1)
        if len(fits) > 1:
            raise ValueError("row {NUMBER} of {KEY} with {LEVEL}")
        return super().fit(X, y)
def make():
    return Late()
"""


def test_what_breaks_is_told_without_its_words(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    supplied = inputs(home)
    monkeypatch.syspath_prepend(str(home))
    Path("late_recipe.py").write_text(RECIPE)
    supplied.add(home / "late_recipe.py")
    code, late = ran(
        capsys, *audit_words(home, attacks="threshold,rmia", estimator="late_recipe:make")
    )
    assert code == 2
    Path(f"{FILE}.pkl").write_bytes(pickle.dumps({"secret": KEY}))
    supplied |= inputs(home)
    code, refused = ran(capsys, *audit_words(home, model=f"{FILE}.pkl"))
    assert code == 2
    planted = ward(400, 1, 0, planted=True)
    planted["dx"] = np.where(planted.died == 1, "sepsis", "none")
    planted.loc[9, "dx"] = LEVEL
    planted.to_csv(f"{FILE}_dx.csv", index=False)
    supplied |= inputs(home)
    code, rare = ran(
        capsys,
        "synthesize",
        f"{FILE}_dx.csv",
        "--generator",
        "marginals",
        "--rows",
        9,
        "--outcome",
        "dx",
        "--out",
        "restricted/dx.csv",
    )
    assert code == 2
    assert "1 classes of fewer than 10 patients" in rare
    assert list(leaks(home, late, refused, rare, supplied=supplied)) == []


class Liar:
    """A model whose error quotes the data."""

    def predict_proba(self, X: Any) -> Any:
        raise ValueError(f"row {NUMBER} of {KEY} with {LEVEL}")


def test_the_python_call(home: Path) -> None:
    from sklearn.dummy import DummyClassifier

    members, others = ward(400, 1, 0, planted=True), ward(400, 2, 9000)
    for frame in (members, others):
        frame["dx"] = np.where(frame.died == 1, "sepsis", "none")
    members.loc[9, "dx"] = LEVEL
    given: dict[str, Any] = {
        "members": (members[FEATURES], members.dx),
        "nonmembers": (others[FEATURES], others.dx),
        "patient": (members.subject_id.astype(str), others.subject_id.astype(str)),
        "groups": {"unit": (members.unit, others.unit)},
        "profile": "smoke",
        "out": home / "runs",
        "attacks": ("threshold",),
        "jobs": 1,
    }
    found = privaudit.audit(
        DummyClassifier(strategy="prior").fit(members[FEATURES], members.dx), **given
    )
    told = str(found) + repr(found) + found._repr_html_()
    told = told.replace(str(home), "")
    with pytest.raises(PrivauditError) as caught:
        privaudit.audit(Liar(), **given)
    assert (
        list(leaks(home, told, str(caught.value), repr(caught.value), supplied=inputs(home))) == []
    )


def hospital(folder: Path) -> Path:
    """240 patients in the shape of MIMIC-III, one of them with a key and a reading of no other."""
    h = tiny_mimic3.Hospital()
    rng = np.random.default_rng(5)
    for i in range(240):
        subject = int(KEY) % 10**9 if i == 7 else 100 + i
        died = int(rng.random() < 0.3)
        h.stay(
            subject,
            2000 + i,
            start=float(400 * i),
            age=float(rng.integers(20, 80)),
            died=died,
            death=150.0 if died else None,
        )
        for hour in range(0, 48, 8):
            h.chart(subject, 2000 + i, hour, 211, round(float(rng.normal(85 + 10 * died, 10)), 1))
        h.output(subject, 2000 + i, 5.0, 40055, 100)
        h.lab(subject, 2000 + i, 3.0, 50813, float(NUMBER) if i == 7 else float(rng.gamma(2, 1)))
    return h.write(folder)


def test_source_tables_and_an_attack_that_breaks(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = hospital(home / f"{FILE}_source")
    members, load = plugins.members, plugins.load

    class Broken(toy_audit.Broken):
        def run(self, target: Any, refits: Any, rng: Any) -> Any:
            patient = target.split.members.patient[0]
            raise ValueError(f"patient {patient}: {NUMBER} {KEY} {LEVEL} {data}")

    attacks = {**members("attacks"), "broken": "tests"}
    monkeypatch.setattr(
        plugins, "members", lambda kind: attacks if kind == "attacks" else members(kind)
    )
    monkeypatch.setattr(
        plugins, "load", lambda kind, name: Broken if name == "broken" else load(kind, name)
    )
    code, said = ran(
        capsys,
        "run",
        "mortality",
        "--data",
        data.name,
        "--methods",
        "synthetic",
        "--generators",
        "copula",
        "--attacks",
        "copies,broken",
        "--profile",
        "smoke",
        "--jobs",
        1,
        "--out",
        "runs",
    )
    assert code == 5, said
    supplied = set(data.rglob("*"))
    key = str(int(KEY) % 10**9)
    told = [said.replace(data.name, "DIR")]
    assert list(leaks(home, *told, supplied=supplied | inputs(home))) == []
    for path in home.glob("runs/**/*"):
        if path.is_file() and "restricted" not in path.parts:
            assert key.encode() not in path.read_bytes(), path.name


# No cell of 1 to 9 patients


def tiny(rows: int, seed: int, first: int, deaths: int, burns: int) -> pd.DataFrame:
    frame = ward(rows, seed, 0).assign(subject_id=first + np.arange(rows), died=0)
    frame.loc[np.arange(0, 7 * deaths, 7), "died"] = 1
    frame.loc[1:burns, "unit"] = "burns"
    frame.loc[60:64, "sex"] = "X"
    return frame


def counts(tree: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(tree, dict):
        for name, part in tree.items():
            yield from counts(part, f"{where}/{name}")
    elif isinstance(tree, list):
        for part in tree:
            yield from counts(part, where)
    else:
        yield where, tree


PEOPLE = re.compile(r"/n/\w+$|/pools/(patients|stays)$|/flow/(patients|stays|excluded_stays)$")


@pytest.mark.parametrize("command", ["audit", "audit-table"])
def test_cells_of_few_patients(
    home: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Five deaths, groups of five and eight: neither the counts nor what gives them away shows."""
    from xgboost import XGBClassifier

    tiny(300, 1, 0, 5, 8).to_csv("m.csv", index=False)
    tiny(300, 2, 9000, 7, 3).to_csv("c.csv", index=False)
    tiny(300, 3, 0, 6, 5).drop(columns="subject_id").to_csv("s.csv", index=False)
    more = (
        "--outcome",
        "died",
        "--groups",
        "unit,sex",
        "--profile",
        "smoke",
        "--jobs",
        1,
        "--json",
    )
    if command == "audit":
        frame = pd.read_csv("m.csv")[["age", "lactate", "heart"]]
        model = XGBClassifier(n_estimators=20, n_jobs=1).fit(frame, pd.read_csv("m.csv").died)
        model.save_model("numbers.json")
        words = ["audit", "--model", "numbers.json", "--members", "m.csv", "--nonmembers", "c.csv"]
        words += [*more, "--attacks", "threshold"]
    else:
        words = [
            "audit-table",
            "--real",
            "m.csv",
            "--control",
            "c.csv",
            "--synthetic",
            "s.csv",
            *more,
        ]
        words += ["--attacks", "copies,synthetic_attribute_inference"]
    assert cli.main([str(word) for word in words]) in (0, 3)
    document = Path(json.loads(capsys.readouterr().out)["audit"])
    audit = json.loads(document.read_text())
    found = [(where, n) for where, n in counts(audit) if PEOPLE.search(where)]
    assert len(found) > 20
    assert [(where, n) for where, n in found if 0 < n < 10] == []
    assert all(pool["rates"] == {} for pool in audit["data"]["pools"])
    estimates = [e for s in audit["subjects"] for e in s["utility"]]
    estimates += [
        e
        for s in audit["subjects"]
        for u in (s["fidelity"] or {}).get("utility", ())
        for e in u["real"]
    ]
    assert estimates
    for e in estimates:
        assert "events" not in e["n"], e
        if e["metric"]["name"] in ("auroc", "auprc"):
            assert e["value"] is None, e
        if e["metric"]["name"] in ("auprc", "brier", "log_loss"):
            assert e["chance"] is None, e
    text = (document.parent / "report.md").read_text()
    assert not re.search(r"\b[1-9] (deaths|patients (with|of))\b", text)


def records(
    groups: dict[str, np.ndarray], y: np.ndarray, classes: tuple[str, ...], first: int = 0
) -> Records:
    n = len(y)
    return Records(
        (Column("x"),),
        np.zeros((n, 1)),
        y,
        first + np.arange(n) // 2,
        np.zeros(n, dtype=int),
        groups=groups,
        classes=classes,
    )


def test_rare_levels_are_one_and_rare_classes_are_found() -> None:
    rng = np.random.default_rng(0)
    for _ in range(30):
        n = int(rng.integers(20, 200))
        labels = np.array(["a", "b", "c", "not recorded"])[
            rng.choice(4, n, p=rng.dirichlet([1] * 4))
        ]
        y = rng.choice(3, n, p=rng.dirichlet([0.5] * 3))
        whole = records({"g": labels}, y, ("no", "maybe", "yes"))
        cut = 2 * (n // 4)
        pools = (whole.take(slice(0, cut)), whole.take(slice(cut, n)))
        joined = rare_joined(pools)
        after = np.concatenate([pool.groups["g"] for pool in joined])
        for level in np.unique(labels):
            few = len(np.unique(whole.patient[labels == level])) < 10
            kept = level == "not recorded" or not few
            assert (after[labels == level] == (level if kept else "(other)")).all()
        sizes = [len(np.unique(whole.patient[y == c])) for c in range(3)]
        assert rare_classes(pools) == tuple(c for c, size in enumerate(sizes) if 0 < size < 10)
        assert rare_classes((records({}, y, ("0", "1", "2")),)) == ()


def test_no_bin_of_predictions_holds_few_patients_of_an_outcome() -> None:
    rng = np.random.default_rng(1)
    for _ in range(40):
        n = int(rng.integers(30, 400))
        p = rng.beta(1, rng.uniform(1, 12), n)
        y = (rng.random(n) < p).astype(int)
        who = np.arange(n) // int(rng.integers(1, 3))
        curve = stats.reliability(np.column_stack([1 - p, p]), y, patients=who)
        sides = [len(np.unique(who[y == side])) for side in (0, 1)]
        if any(0 < size < 10 for size in sides):
            assert curve.x == ()
            continue
        # Bins take the predictions in order: each is told by its mean, so where it ends is found
        # again.
        order = np.argsort(p, kind="stable")
        start = 0
        for x, observed in zip(curve.x, curve.y, strict=True):
            means = np.cumsum(p[order][start:]) / np.arange(1, n - start + 1)
            ends = np.flatnonzero(np.isclose(means, x, rtol=0, atol=1e-12))
            rates = np.cumsum(y[order][start:]) / np.arange(1, n - start + 1)
            end = next(start + e + 1 for e in ends if np.isclose(rates[e], observed, atol=1e-9))
            part = order[start:end]
            for side in (0, 1):
                assert not 0 < len(np.unique(who[part][y[part] == side])) < 10
            start = end
        assert start == n or curve.x == ()
