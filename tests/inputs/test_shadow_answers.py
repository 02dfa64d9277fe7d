"""Shadow models that a user supplies: the same numbers as trained ones, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import privaudit
from privaudit.attacks._half_samples import half_samples
from privaudit.cli import main
from privaudit.commitments import SESSION
from privaudit.contracts import Release, Target
from privaudit.errors import PrivauditError
from privaudit.facts import CaveatCode
from privaudit.findings import Findings
from privaudit.inputs.examine_shadows import examine_shadows, join_bank
from privaudit.inputs.shadow_answers import ShadowAnswers
from privaudit.inputs.user_release import UserRelease
from privaudit.records import Column, Records, Split
from privaudit.results import Finding
from privaudit.seeds import Seeds, derive_entropy
from privaudit.signals import margin

ROWS, WIDTH, MODELS = 600, 25, 8
QUICK = {"profile": "smoke", "jobs": 1, "attacks": ["lira", "few_shadow_lira", "threshold"]}


def rows(n: int = ROWS, width: int = WIDTH, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, width))
    return X, (X[:, 0] + rng.logistic(size=n) > 0).astype(int)


def masks(n: int, seed: int = 0, models: int = MODELS) -> np.ndarray:
    """(models, n) bool: halves and their complements."""
    rng = np.random.default_rng(seed)
    half = rng.permuted(np.tile(np.arange(n) < n // 2, (models // 2, 1)), axis=1)
    return np.stack([half, ~half], axis=1).reshape(models, n)


def train(X: np.ndarray, y: np.ndarray) -> Any:
    """A regression that remembers: few rows, hardly any penalty, no chance in training."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=100.0).fit(X, y)


def supply(X: np.ndarray, y: np.ndarray, included: np.ndarray) -> np.ndarray:
    """(8, n, 2) answers of shadow models."""
    return np.array([train(X[own], y[own]).predict_proba(X) for own in included])


def true(p: np.ndarray, y: np.ndarray) -> np.ndarray:
    return p[:, np.arange(len(y)), y]


def audit(**changes: Any) -> Findings:
    X, y = rows()
    cut = ROWS // 2
    included = masks(ROWS)
    call: dict[str, Any] = {
        "model": train(X[:cut], y[:cut]),
        "members": (X[:cut], y[:cut]),
        "nonmembers": (X[cut:], y[cut:]),
        "shadow_answers": true(supply(X, y, included), y),
        "shadow_members": included,
        **QUICK,
    }
    return privaudit.audit(**{**call, **changes})


def split_of(X: np.ndarray, y: np.ndarray, cut: int) -> Split:
    def pool(part: slice, first: int) -> Records:
        own = X[part]
        columns = tuple(Column(f"x{j}") for j in range(own.shape[1]))
        ids = first + np.arange(len(own))
        return Records(columns, own, y[part], ids, np.zeros(len(own), dtype=np.int64))

    return Split(pool(slice(cut), 0), pool(slice(cut, len(X)), 10_000), pool(slice(50), 20_000))


def test_equal_to_shadow_models_trained_for_the_audit() -> None:
    X, y = rows()
    other, outcome = rows(100, seed=1)
    cut = ROWS // 2
    model = train(X[:cut], y[:cut])
    tables = {
        "members": (X[:cut], y[:cut]),
        "nonmembers": (X[cut:], y[cut:]),
        "reference": (other, outcome),
    }
    trained = privaudit.audit(model, **tables, **QUICK, seed=0)

    target = Target(Release(), split_of(X, y, cut), UserRelease("any", "0"))
    seeds = Seeds(derive_entropy(SESSION, 0)).child("refits")
    included = np.array([refit.included for refit in half_samples(target, MODELS, seeds)])
    # Records hold float32, and so trained on it must be what is compared.
    X32 = X.astype(np.float32).astype(float)
    answers = true(supply(X32, y, included), y)
    supplied = privaudit.audit(
        model, **tables, **QUICK, seed=0, shadow_answers=answers, shadow_members=included
    )
    for attack in QUICK["attacks"]:
        one, two = (found.estimate("auc", attack=attack) for found in (trained, supplied))
        assert one.value == two.value, attack
        assert one.value is not None
    assert supplied.estimate("auc", attack="few_shadow_lira").value > 0.55
    assert trained.headline is not None
    assert supplied.headline is not None
    assert trained.headline.attack == supplied.headline.attack
    assert trained.audit.manifest.refits["trained"] == MODELS
    assert supplied.audit.manifest.refits["trained"] == 0


def test_answers_of_every_class_and_controls() -> None:
    X, y = rows()
    included = masks(ROWS)
    found = audit(shadow_answers=supply(X, y, included))
    again = audit()
    assert found.estimate("auc", attack="lira") == again.estimate("auc", attack="lira")
    made = {(c.attack, c.kind): c for c in found.subject.controls}
    assert made["lira", "negative"].made.code is CaveatCode.NULL_SHADOW
    assert made["threshold", "negative"].made.code is CaveatCode.NULL_SHADOW
    assert all(control.passed for control in made.values())
    params = {o.attack: o.params for o in found.subject.outcomes if isinstance(o, Finding)}
    assert params["lira"]["shadows"] == MODELS
    codes = [note.code for note in found.audit.data.notes]
    assert CaveatCode.SHADOWS_SUPPLIED in codes


def test_in_files_and_verified(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    X, y = rows()
    cut = ROWS // 2
    included = masks(ROWS)
    order = np.random.default_rng(1).permutation(ROWS)
    names = [f"model {k}" for k in range(MODELS)]
    person = np.array([f"P{i}" for i in range(ROWS)])
    model = train(X[:cut], y[:cut])
    p = model.predict_proba(X)[:, 1]
    member = (np.arange(ROWS) < cut).astype(int)
    table = pd.DataFrame({"p": p, "died": y, "member": member, "patient": person})
    table.iloc[order].to_parquet(tmp_path / "p.parquet")
    answers = pd.DataFrame(true(supply(X, y, included), y).T, columns=names)
    answers.assign(patient=person).iloc[order].to_parquet(tmp_path / "k.parquet")
    pd.DataFrame(included.T, columns=names).iloc[order].to_csv(tmp_path / "m.csv", index=False)
    answers.assign(patient=person).to_parquet(tmp_path / "unsorted.parquet")
    answers.to_parquet(tmp_path / "bare.parquet")

    def run(file: str) -> int:
        return main(
            [
                *("audit", "--predictions", str(tmp_path / "p.parquet"), "--outcome", "died"),
                *("--patient", "patient", "--shadow-answers", str(tmp_path / file)),
                *("--shadow-members", str(tmp_path / "m.csv"), "--profile", "smoke"),
                *("--jobs", "1", "--out", str(tmp_path / "runs")),
            ]
        )

    assert run("k.parquet") == 0
    latest = tmp_path / "runs" / "latest"
    assert main(["verify", str(latest)]) == 0
    stored = latest / "restricted" / "shadows" / "own-model.npz"
    with np.load(stored) as file:
        assert file["included"].shape[0] == MODELS
    capsys.readouterr()
    assert run("unsorted.parquet") == 2
    assert "'patient' of the table of shadow answers differs" in capsys.readouterr().err
    assert run("bare.parquet") == 2
    assert "without the column 'patient'" in capsys.readouterr().err
    # Whoever says that other records were trained on is found out.
    np.savez(stored, included=~included[:, :1] | np.zeros((MODELS, 3), dtype=bool))
    assert main(["verify", str(latest)]) == 4


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("upside down", "less sure of the records"),
        ("of other records", "no surer of the records"),
        ("of other models", "no surer of the records|less sure of the records"),
        ("the model's own", "the model's own or its opposite"),
        ("copies", "answer as the model itself does"),
        ("the event", "less sure of the records|no surer"),
        ("other order", "do not answer on the"),
        ("other order within classes", "do not answer on the"),
        ("members in other order", "do not answer on the members"),
        ("one after the other", "do not answer on the"),
        ("twice", "those of another one"),
        ("another recipe", "do not answer on the|mean log odds"),
    ],
)
def test_what_would_hide_a_leak_is_refused(change: str, said: str) -> None:
    X, y = rows()
    cut = ROWS // 2
    rng = np.random.default_rng(3)
    included = masks(ROWS)
    model = train(X[:cut], y[:cut])
    asked = margin(model.predict_proba(X), y)
    margins = np.array([margin(p, y) for p in supply(X, y, included)])
    order, place = rng.permutation(ROWS), np.arange(ROWS)
    if change == "upside down":
        included = ~included
    elif change == "of other records":
        included = included[:, order]
    elif change == "of other models":
        included = np.roll(included, 1, axis=0)
    elif change == "the model's own":
        included[2] = place < cut
        included[3] = ~included[2]
    elif change == "copies":
        margins = np.tile(asked, (MODELS, 1))
    elif change == "the event":
        margins = np.where(y == 1, margins, -margins)
    elif change == "other order":
        margins, included = margins[:, order], included[:, order]
    elif change == "other order within classes":
        for code in (0, 1):
            own = np.flatnonzero(y == code)
            place[own] = rng.permutation(own)
        margins, included = margins[:, place], included[:, place]
    elif change == "members in other order":
        place[:cut] = rng.permutation(cut)
        margins, included = margins[:, place], included[:, place]
    elif change == "one after the other":
        margins, included = np.roll(margins, 1, axis=1), np.roll(included, 1, axis=1)
    elif change == "twice":
        margins[1], included[1] = margins[0], included[0]
        included[3] = ~included[0]
    else:
        from sklearn.tree import DecisionTreeClassifier

        trees = [
            DecisionTreeClassifier(min_samples_leaf=5, random_state=0).fit(X[own], y[own])
            for own in included
        ]
        margins = np.array([margin(tree.predict_proba(X), y) for tree in trees])
    with pytest.raises(PrivauditError, match=said):
        examine_shadows(ShadowAnswers(margins, included), asked, split_of(X, y, cut))


def test_honest_shadow_models_are_seldom_refused() -> None:
    refused = 0
    for seed in range(20):
        X, y = rows(400, 15, seed)
        model = train(X[:200], y[:200])
        included = masks(400, seed, 16)
        margins = np.array([margin(p, y) for p in supply(X, y, included)])
        split = split_of(X, y, 200)
        try:
            join_bank(ShadowAnswers(margins, included), split.nonmembers, split, model_of(model))
        except PrivauditError:
            refused += 1
    assert refused <= 1


def model_of(held: Any) -> Any:
    class Asked:
        def predict_proba(self, records: Records) -> np.ndarray:
            return np.asarray(held.predict_proba(records.X.astype(float)))

    return Asked()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"shadow_members": None}, "without shadow_members"),
        ({"shadow_answers": np.full((MODELS, 5), 0.5)}, "shape"),
        ({"shadow_answers": np.full((ROWS, MODELS), 0.5)}, "transpose"),
        ({"shadow_answers": np.full((MODELS, ROWS), 1.5)}, r"outside \[0, 1\]"),
        ({"shadow_answers": np.full((MODELS, ROWS), np.nan)}, "are missing"),
        ({"shadow_answers": np.full((MODELS, ROWS, 2), 0.3)}, "sum to 1"),
        ({"shadow_answers": "file.parquet"}, "no array of numbers"),
        ({"shadow_members": np.full((MODELS, ROWS), 2)}, "neither true nor false"),
        (
            {"shadow_members": np.ones((MODELS, ROWS), bool)},
            "with, or without, 100% of the patients",
        ),
        ({"estimator": train}, "together with estimator"),
    ],
)
def test_arrays_that_do_not_fit(change: dict[str, Any], said: str) -> None:
    with pytest.raises(PrivauditError, match=said) as error:
        audit(**change)
    assert "--" not in str(error.value)


def test_a_patient_is_in_or_out() -> None:
    people = (np.arange(ROWS // 2) // 2, 5_000 + np.arange(ROWS // 2) // 2)
    with pytest.raises(PrivauditError, match="on some rows only"):
        audit(patient=people)


def test_too_few_models() -> None:
    included = masks(ROWS)[:6]
    X, y = rows()
    with pytest.raises(PrivauditError, match="6 shadow models"):
        audit(shadow_answers=true(supply(X, y, included), y), shadow_members=included)


def test_patients_with_few_models_are_left_out() -> None:
    X, y = rows()
    included = masks(ROWS)
    included[:, :9] = np.arange(MODELS)[:, None] == 0
    found = audit(shadow_answers=true(supply(X, y, included), y), shadow_members=included)
    (note,) = [n for n in found.audit.data.notes if n.code is CaveatCode.SHADOWS_LEFT_OUT]
    # A bound, and not the share: that of 9 patients would be a small cell.
    assert note.params["share"] == 0.05
    pools = {pool.name: pool.stays for pool in found.audit.data.pools}
    assert pools["members"] == ROWS // 2 - 10
