"""Audits of a deployed model from the command line and from Python."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import ward
from serving import Served, serve

import privaudit
from privaudit import cli
from privaudit.facts import CaveatCode, ReasonCode
from privaudit.results import Audit, Finding, Skipped, from_json

NUMBERS = ["age", "lactate", "heart"]
METADATA = {
    "versions": ["1"],
    "inputs": [{"name": "x", "datatype": "FP64", "shape": [-1, len(NUMBERS)]}],
}
TOKEN = "abc123token"


@pytest.fixture(scope="module")
def forest() -> Any:
    from sklearn.ensemble import RandomForestClassifier

    frame = tables()[0]
    return RandomForestClassifier(20, random_state=0).fit(frame[NUMBERS].to_numpy(), frame.died)


def tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    both = ward(300, 1), ward(300, 2, first=5000)
    return tuple(f.fillna({"lactate": 2.0}) for f in both)  # type: ignore[return-value]


@pytest.fixture
def served(tmp_path: Path, forest: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.chdir(tmp_path)
    for name, frame in zip(("members", "heldout"), tables(), strict=True):
        frame[["subject_id", *NUMBERS, "died"]].to_csv(f"{name}.csv", index=False)

    def predict(frame: pd.DataFrame) -> np.ndarray:
        return np.asarray(forest.predict_proba(frame.to_numpy()))

    with serve(Served(predict, tuple(NUMBERS), METADATA)) as made:
        yield made


def audit(served: Served, *words: str, model: str = "/v2/models/m") -> int:
    address = ("mlflow+" if model == "/invocations" else "") + served.url + model
    return cli.main(
        [
            *("audit", "--model", address, "--members", "members.csv"),
            *("--nonmembers", "heldout.csv", "--outcome", "died", "--patient", "subject_id"),
            *("--profile", "smoke", "--jobs", "1", *words),
        ]
    )


def document(capsys: pytest.CaptureFixture[str]) -> Audit:
    told = json.loads(capsys.readouterr().out)
    return from_json(Path(told["audit"]).read_text())


def test_the_same_numbers_as_from_the_file(
    served: Served, forest: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    import joblib

    assert audit(served, "--attacks", "threshold", "--seed", "1", "--json") == 0
    remote = document(capsys)
    assert served.asked <= 1.1 * len(served.seen)
    joblib.dump(forest, "forest.joblib")
    words = [*("audit", "--model", "forest.joblib", "--trust-pickle", "--members", "members.csv")]
    words += ["--nonmembers", "heldout.csv", "--outcome", "died", "--patient", "subject_id"]
    words += ["--profile", "smoke", "--jobs", "1", "--attacks", "threshold", "--seed", "1"]
    assert cli.main([*words, "--estimator", "none", "--json"]) == 0
    local = document(capsys)
    assert _auc(remote) == _auc(local) > 0.7
    shown = "".join(p.read_text() for p in Path("runs").glob("*/shareable/*") if p.is_file())
    assert served.url.rpartition(":")[2] not in shown
    assert "127.0.0.1" not in shown


def _auc(found: Audit) -> float:
    (one,) = (o for o in found.subjects[0].outcomes if isinstance(o, Finding))
    return next(e.value for e in one.estimates if e.metric.name == "auc")


def test_a_budget_is_forecast_and_kept(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit(served, "--queries", "500") == 2
    assert "nothing was asked" in capsys.readouterr().err
    assert served.asked == 0
    assert audit(served, "--dry-run") == 0
    told = capsys.readouterr().err
    assert "neighbourhood: " in told
    assert served.asked == 0
    code = audit(
        served, "--queries", "2200", "--attacks", "threshold,quantile,neighbourhood", "--json"
    )
    found = document(capsys)
    assert served.asked <= 2200
    outcomes = {one.attack: one for one in found.subjects[0].outcomes}
    assert isinstance(outcomes["threshold"], Finding)
    assert isinstance(outcomes["quantile"], Finding)
    left = outcomes["neighbourhood"]
    assert isinstance(left, Skipped)
    assert left.reason.code is ReasonCode.QUERY_BUDGET
    # Nothing shows that the table is read as in training: nothing may be concluded.
    assert CaveatCode.READING_NOT_TRIED in {one.code for one in found.caveats}
    assert code == 3


@pytest.mark.slow
def test_the_forecast_is_what_is_asked(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    # Readings of the table end early where the model fits its members: leave them out.
    words = ("--attacks", "threshold,quantile,neighbourhood", "--expect", _expected(served))
    assert audit(served, *words, "--dry-run") == 0
    forecast = capsys.readouterr().err
    total = int(forecast.partition("in all about ")[2].partition(" ")[0].replace(",", ""))
    assert audit(served, *words) == 0
    assert 0.95 * total <= served.asked <= 1.02 * total


def test_what_fails_midway_is_no_result_and_resumes(
    served: Served, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("privaudit.inputs.endpoints.transport.time.sleep", lambda _: None)
    served.fault, served.after = "killed", 3
    assert audit(served, "--attacks", "threshold", "--batch", "300") == 2
    assert "answers so far are stored" in capsys.readouterr().err
    asked = served.asked
    assert asked > 0
    served.fault = ""
    assert audit(served, "--attacks", "threshold", "--batch", "300") == 0
    assert served.asked <= 1.15 * len(served.seen)


def test_a_model_replaced_behind_the_answers_gives_no_result(
    served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only the last questions, after all attacks, meet the other model."""
    assert audit(served, "--attacks", "threshold") == 0
    questions = served.questions
    before = set(Path("runs").glob("*/shareable/audit.json"))
    served.fault, served.after = "replaced", questions + 1
    assert audit(served, "--attacks", "threshold") == 2
    assert "asked about the same row again" in capsys.readouterr().err
    assert set(Path("runs").glob("*/shareable/audit.json")) == before


def test_labels_alone_are_audited_as_right_or_wrong(
    served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    served.labels = True
    audit(served, "--attacks", "threshold", "--json", model="/invocations")
    found = document(capsys)
    assert CaveatCode.ANSWERS_ARE_CLASSES in {one.code for one in found.caveats}
    # The forest is right on its members, and less often on others.
    assert 0.55 < _auc(found) < 0.9


@pytest.mark.slow
def test_a_recipe_gives_shadow_models_and_asks_nothing_more(
    served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("recipe.py").write_text(
        "from sklearn.ensemble import RandomForestClassifier\n"
        "def make():\n    return RandomForestClassifier(20)\n"
    )
    words = ("--attacks", "threshold,lira", "--estimator", "recipe:make", "--set", "lira.shadows=4")
    assert audit(served, *words, "--expect", _expected(served), "--json") == 0
    found = document(capsys)
    assert all(isinstance(one, Finding) for one in found.subjects[0].outcomes)
    assert served.asked < 1.2 * 1200


def _expected(served: Served) -> str:
    """A table of the owner's own probabilities of some rows."""
    frame = pd.read_csv("members.csv").head(40)
    p = served.predict(frame[NUMBERS])[:, 1]
    pd.DataFrame({"row": range(40), "p": p}).to_csv("expected.csv", index=False)
    return "expected.csv"


@pytest.mark.slow
def test_nothing_about_a_file_is_within(served: Served, tmp_path: Path) -> None:
    """A class that nobody tested, and what is in the file, keep a release from being within."""
    policy = tmp_path / "policy.toml"
    policy.write_text(
        'schema = "privaudit.policy/1"\nname = "Toy"\nreview_by = 2099-01-01\n'
        '[context]\nrelease = "open-weights"\n'
        '[[limit]]\nid = "ranking"\nmetric = "membership.auc"\nmax = 0.999999\n'
    )
    code = audit(served, "--attacks", "threshold", "--policy", str(policy))
    assert code == 3
    judged = json.loads(next(Path("runs").glob("*/shareable/verdicts.json")).read_text())
    assert judged["state"] != "WITHIN"
    assert "NOT TESTED" in {one["state"] for one in judged["verdicts"]}


def test_options_of_deployed_models_are_for_these(
    served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit(served, "--trust-pickle") == 2
    assert "no file of it is opened" in capsys.readouterr().err
    words = ["audit", "--model", "m.json", "--members", "members.csv", "--nonmembers"]
    assert cli.main([*words, "heldout.csv", "--outcome", "died", "--queries", "5000"]) == 2
    assert "for a model's file" in capsys.readouterr().err


def test_from_python(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    served.token = TOKEN
    monkeypatch.setenv("THE_TOKEN", TOKEN)
    members, heldout = tables()
    found = privaudit.audit(
        f"{served.url}/v2/models/m",
        (members[NUMBERS], members.died),
        (heldout[NUMBERS], heldout.died),
        attacks="threshold",
        profile="smoke",
        token_env="THE_TOKEN",
        queries=3000,
        seed=1,
    )
    assert found.estimate("auc").value > 0.7
    assert served.asked <= 3000
    pools = (members[NUMBERS], members.died), (heldout[NUMBERS], heldout.died)
    asked, series = served.asked, np.zeros((300, 2, 1))
    for refused, match in (
        (
            {"series": (series, series), "patient": (members.subject_id, heldout.subject_id)},
            "series",
        ),
        ({"queries": "3000"}, "a whole number"),
        ({"queries": float("nan")}, "a whole number"),
        ({"queries": 0}, "a whole number"),
    ):
        with pytest.raises(privaudit.PrivauditError, match=match):
            privaudit.audit(f"{served.url}/v2/models/m", *pools, token_env="THE_TOKEN", **refused)
    assert served.asked == asked
    with pytest.raises(privaudit.PrivauditError, match="a text that is no address"):
        privaudit.audit("m.json", *pools)
