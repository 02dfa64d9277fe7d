"""A supplied model's file is opened without being run, and what it holds of the rows is found."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import privaudit
from privaudit.attacks.reconstruction.stored_records import StoredRecords
from privaudit.cli import main
from privaudit.contracts import Release, Target
from privaudit.engine.folder import read
from privaudit.errors import PrivauditError
from privaudit.facts import ReasonCode, Setting
from privaudit.inputs.artefacts.read_arrays import read_arrays
from privaudit.records import Column, Records, Split
from privaudit.results import Finding, Skipped

N = 300
RNG = np.random.default_rng(0)
X = np.column_stack([RNG.normal(size=(2 * N, 3)).round(3), RNG.integers(0, 2, 2 * N)])
Y = (X[:, 0] + RNG.normal(size=2 * N) > 0).astype(np.int64)
ANY_ORDER = Setting("variant", "complete records, in any order")


def pool(rows: np.ndarray, start: int) -> Records:
    columns = tuple(Column(f"x{j}") for j in range(4))
    ids = np.arange(start, start + len(rows))
    zero = np.zeros(len(rows), dtype=np.int64)
    return Records(columns, X[rows].astype(np.float32), Y[rows], ids, zero, classes=("0", "1"))


def dump(model: Any, compress: Any) -> bytes:
    out = io.BytesIO()
    joblib.dump(model, out, compress=compress)
    return out.getvalue()


def by_skops(model: Any) -> bytes:
    skops = pytest.importorskip("skops.io")
    return bytes(skops.dumps(model))


WRITERS: dict[str, Callable[[Any], bytes]] = {
    "pickle": pickle.dumps,
    "skops": by_skops,
    "joblib": lambda model: dump(model, 0),
    "zlib": lambda model: dump(model, ("zlib", 3)),
    "lzma": lambda model: dump(model, ("lzma", 3)),
    "bz2": lambda model: dump(model, ("bz2", 3)),
    "gzip": lambda model: dump(model, ("gzip", 3)),
}


@pytest.mark.parametrize("how", WRITERS)
@pytest.mark.parametrize(
    ("model", "least"),
    [
        (KNeighborsClassifier(), 0.99),
        (make_pipeline(StandardScaler(), KNeighborsClassifier()), 0.99),
        (RandomForestClassifier(5, random_state=0), 0.0),
        (make_pipeline(StandardScaler(), LogisticRegression()), 0.0),
    ],
    ids=["neighbours", "scaled neighbours", "forest", "linear"],
)
def test_rows_in_the_file_are_found_in_any_order(how: str, model: Any, least: float) -> None:
    file = WRITERS[how](model.fit(X[:N], Y[:N]))
    mixed = np.random.default_rng(1).permutation(N)
    held_out = np.arange(N, 2 * N)
    split = Split(pool(mixed, 0), pool(held_out[:200], N), pool(held_out[200:], 2 * N))
    release = Release(file=file)
    found = StoredRecords(patients=100).run(Target(release, split), [], np.random.default_rng(2))
    rate, control = found[ANY_ORDER].success.mean(), found[ANY_ORDER].control.mean()
    assert (rate >= least) if least else (rate == 0)
    assert control == 0


def test_an_archive_with_a_part_that_nobody_can_read_is_refused() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("weights.npy", np_bytes(np.arange(9.0)))
        archive.writestr("more.csv", "patient,age\n1,64\n")
    with pytest.raises(PrivauditError, match="of another kind"):
        read_arrays(out.getvalue())


def np_bytes(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def test_a_model_of_a_session_is_opened_as_its_pickle() -> None:
    model = KNeighborsClassifier(51).fit(X[:N], Y[:N])
    found = privaudit.audit(
        model,
        members=(X[:N], Y[:N]),
        nonmembers=(X[N:], Y[N:]),
        attacks=["threshold", "stored_records"],
        profile="smoke",
        jobs=1,
    )
    opened = next(o for o in found.subject.outcomes if o.attack == "stored_records")
    assert isinstance(opened, Finding)
    rates = [e.value for e in opened.estimates if e.metric.name == "attack_rate"]
    assert max(rate for rate in rates if rate is not None) > 0.99


def test_a_file_that_cannot_be_opened_is_not_tested_and_never_does_not_apply(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    catboost = pytest.importorskip("catboost")
    frame = pd.DataFrame(X[:, :3], columns=["a", "b", "c"]).assign(died=Y)
    frame[:N].to_csv(tmp_path / "train.csv", index=False)
    frame[N:].to_csv(tmp_path / "held.csv", index=False)
    model = catboost.CatBoostClassifier(
        iterations=5, verbose=0, thread_count=1, allow_writing_files=False
    )
    model.fit(frame[["a", "b", "c"]][:N], Y[:N]).save_model(str(tmp_path / "m.cbm"))
    words = ["audit", "--model", str(tmp_path / "m.cbm"), "--members", str(tmp_path / "train.csv")]
    words += ["--nonmembers", str(tmp_path / "held.csv"), "--outcome", "died", "--jobs", "1"]
    words += ["--profile", "smoke", "--attacks", "threshold,stored_records"]
    assert main([*words, "--out", str(tmp_path / "runs")]) in (0, 3)
    (subject,) = read(tmp_path / "runs" / "latest").subjects
    closed = next(o for o in subject.outcomes if o.attack == "stored_records")
    assert isinstance(closed, Skipped)
    assert closed.reason.code is ReasonCode.REFUSED
    assert main(["init", str(tmp_path), "--release", "partner"]) == 0
    capsys.readouterr()
    policy = str(tmp_path / "policy.toml")
    assert main(["check", str(tmp_path / "runs" / "latest"), "--policy", policy]) in (1, 3)
    said = capsys.readouterr().out.split("rebuilt records / own-model")[1].split("\n\n")[0]
    assert "Does not apply" not in said
    assert "cannot be read without running it" in " ".join(said.split())
