"""`privaudit audit-unlearning` from end to end: files in, exit codes and pages out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from privaudit.cli import main

FEATURES = [f"lab{j}" for j in range(8)]
GONE, STAY = 40, 300


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sio = pytest.importorskip("skops.io")
    at = tmp_path_factory.mktemp("unlearning")
    rng = np.random.default_rng(5)
    x = rng.normal(size=(500, len(FEATURES)))
    y = (x[:, 0] + 0.7 * x[:, 1] + 0.8 * rng.logistic(size=500) > 0).astype(int)
    table = pd.DataFrame(x, columns=FEATURES)
    table["died"], table["patient"] = y, [f"KEY{i:05d}" for i in range(500)]
    parts = {
        "forgotten": table[:GONE],
        "retained": table[GONE : GONE + STAY],
        "strangers": table[GONE + STAY :],
    }
    for name, part in parts.items():
        part.to_csv(at / f"{name}.csv", index=False)
    pd.concat([parts["retained"], parts["forgotten"][:1]]).to_csv(at / "both.csv", index=False)

    def train(rows: pd.DataFrame, seed: int) -> RandomForestClassifier:
        return RandomForestClassifier(10, random_state=seed).fit(rows[FEATURES], rows.died)

    models = {
        "before": train(pd.concat([parts["retained"], parts["forgotten"]]), 0),
        "again": train(parts["retained"], 1),
        "line": LogisticRegression().fit(
            pd.concat([parts["retained"], parts["forgotten"]])[FEATURES],
            pd.concat([parts["retained"], parts["forgotten"]]).died,
        ),
        "three": LogisticRegression().fit(table[FEATURES], np.arange(500) % 3),
    }
    for name, model in models.items():
        sio.dump(model, at / f"{name}.skops")
    roles = pd.concat([part.assign(role=name) for name, part in parts.items()])
    for name in ("before", "again"):
        answers = models[name].predict_proba(roles[FEATURES])[:, 1]
        roles[["patient", "died", "role"]].assign(p_1=answers).to_csv(
            at / f"{name}-answers.csv", index=False
        )
    return at


def run(folder: Path, *more: str, after: str = "again.skops", **tables: str) -> int:
    names = {"forgotten": "forgotten", "retained": "retained", "strangers": "strangers", **tables}
    given = [word for role, name in names.items() for word in (f"--{role}", folder / f"{name}.csv")]
    words = ["audit-unlearning", "--before", folder / "before.skops", "--after", folder / after]
    words += [*given, "--patient", "patient", "--refits", "8", *more]
    return main([str(word) for word in words])


def test_a_model_trained_again_and_one_that_was_not(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = ("--outcome", "died")
    code = run(folder, *outcome, "--json", "--out", str(tmp_path))
    found = json.loads(capsys.readouterr().out)
    assert found["code"] == code
    assert found["answer"] in ("not_found", "inconclusive")
    assert found["imprint_before"]["low"] > 0
    page = (tmp_path / "report.html").read_text()
    stored = (tmp_path / "unlearning.json").read_text()
    assert json.loads(stored) == found
    for text in (page, stored):
        assert "KEY0" not in text
        assert str(folder) not in text
    assert "<script" not in page
    assert found["patients"] == {"forgotten": 40, "retained": 300, "strangers": 160}
    assert run(folder, *outcome, after="before.skops") == 1
    shown = capsys.readouterr().out
    assert "TRACE FOUND" in shown
    assert "nothing was unlearnt" in shown


def test_predictions_alone_never_end_as_forgotten(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["audit-unlearning", "--outcome", "died", "--patient", "patient"]
    tables = [str(folder / f"{name}-answers.csv") for name in ("before", "again")]
    assert main([*words, "--before", tables[0], "--after", tables[1]]) == 3
    assert "INCONCLUSIVE" in capsys.readouterr().out
    assert main([*words, "--before", tables[0], "--after", tables[0]]) == 1
    assert main([*words, "--before", tables[0], "--after", tables[1], "--role", "rolle"]) == 2
    assert "no column 'rolle'" in capsys.readouterr().err
    assert main([*words, "--before", tables[0], "--after", str(folder / "again.skops")]) == 2
    assert "a model and a table of predictions" in capsys.readouterr().err
    cut = pd.read_csv(tables[1])[:-3]
    cut.to_csv(folder / "cut.csv", index=False)
    assert main([*words, "--before", tables[0], "--after", str(folder / "cut.csv")]) == 2


def test_without_a_recipe_the_answer_stays_open(folder: Path) -> None:
    assert run(folder, "--outcome", "died", "--estimator", "none") == 3


@pytest.mark.parametrize(
    ("more", "tables", "words"),
    [
        (("--outcome", "died"), {"retained": "both"}, "forgotten and in the retained"),
        (("--outcome", "died"), {"strangers": "both"}, "in the"),
        ((), {}, "no outcome"),
        (("--outcome", "dead"), {}, "dead"),
        (("--outcome", "died", "--limit", "1.5"), {}, "a limit of 1.5"),
        (("--outcome", "died", "--refits", "10"), {}, "10 refits"),
    ],
    ids=[
        "forgotten and retained",
        "strangers too",
        "no outcome",
        "other outcome",
        "limit",
        "refits",
    ],
)
def test_bad_input_is_refused_in_one_message(
    folder: Path,
    more: tuple[str, ...],
    tables: dict[str, str],
    words: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(folder, *more, **tables) == 2
    said = capsys.readouterr().err
    assert words in said
    assert "Traceback" not in said
    assert "KEY0" not in said


def test_a_second_model_of_other_classes_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(folder, "--outcome", "died", after="three.skops") == 2
    assert "Traceback" not in capsys.readouterr().err


def test_another_algorithm_trained_on_them_is_not_called_forgotten(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A smooth model keeps little of anybody in its answers, trained on them or not."""
    code = run(folder, "--outcome", "died", "--limit", "0.9", "--json", after="line.skops")
    found = json.loads(capsys.readouterr().out)
    assert code in (1, 3)
    assert code == 1 or found["why"] in (["other_kind"], ["never_known"])
    code = run(folder, "--outcome", "died", "--limit", "0.9", "--json")
    found = json.loads(capsys.readouterr().out)
    assert "other_kind" not in found["why"]
