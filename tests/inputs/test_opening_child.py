"""A model's own process: what it may use, how it ends, and that its answers are not trusted."""

from __future__ import annotations

import io
import os
import pickle
import sys
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from opening import SCHEMA, answer, audit, made, records

from privaudit.errors import PrivauditError
from privaudit.inputs.models import asked_model, child_limits, child_process, child_wire
from privaudit.inputs.models.open_model import bind, open_model

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of Linux")

EVIL = """
import ctypes, os, signal, socket, subprocess, sys, time
from pathlib import Path
import numpy as np

class Model:
    classes_ = np.array([0, 1])
    n_features_in_ = 3

    def __init__(self, way, target=""):
        self.way, self.target = way, target

    def predict_proba(self, X):
        getattr(self, self.way)(X)
        p = 1 / (1 + np.exp(-np.asarray(X)[:, 0]))
        return np.column_stack([1 - p, p])

    def answers(self, X):
        pass

    def crashes(self, X):
        ctypes.string_at(0)

    def exits(self, X):
        os._exit(0)

    def fills_memory(self, X):
        self.held = np.ones(2 << 30)

    def never_ends(self, X):
        while True:
            pass

    def sleeps(self, X):
        time.sleep(1000)

    def writes(self, X):
        Path(self.target).write_bytes(b"records")

    def empties(self, X):
        os.truncate(self.target, 0)

    def removes(self, X):
        os.unlink(self.target)

    def reads(self, X):
        Path(self.target).read_bytes()

    def starts(self, X):
        subprocess.run(["/bin/true"], check=True)

    def kills(self, X):
        os.kill(int(self.target), 0)

    def prints(self, X):
        print("a cell of a patient")
        print("a cell of a patient", file=sys.stderr)
        os.write(1, b"a cell of a patient")
        os.write(2, b"a cell of a patient")

    def quotes(self, X):
        raise ValueError("a cell of a patient")

    def answers_the_parent_itself(self, X):
        # Whatever is open beside the three standard streams leads to the audit.
        for file in range(3, 64):
            try:
                os.write(file, Path(self.target).read_bytes())
            except OSError:
                pass
        os._exit(0)
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the module of the models' code."""
    work = tmp_path / "work"
    work.mkdir()
    (work / "evil_model.py").write_text(EVIL)
    monkeypatch.chdir(work)
    monkeypatch.syspath_prepend(str(work))
    sys.modules.pop("evil_model", None)
    return work


def store(home: Path, way: str, target: Path | str = "") -> Path:
    """A pickle of a model that does this when it is asked."""
    from evil_model import Model  # type: ignore[import-not-found]

    joblib.dump(Model(way, str(target)), home / "m.pkl")
    return home / "m.pkl"


def test_a_trusted_pickle_answers(home: Path) -> None:
    p = answer(store(home, "answers"), trust_pickle=True)
    X, _ = made()
    np.testing.assert_allclose(p[:, 1], 1 / (1 + np.exp(-X[:, 0])), atol=1e-6)


@pytest.mark.parametrize(
    ("way", "words"),
    [
        ("crashes", "ended the process it was opened in .SIGSEGV"),
        ("exits", "ended the process it was opened in"),
    ],
)
def test_a_model_that_ends_its_process_is_refused(way: str, words: str, home: Path) -> None:
    path = store(home, way)
    for _ in range(2):
        # The second time in a process of its own again.
        with pytest.raises(PrivauditError, match=words):
            answer(path, trust_pickle=True)
    assert not list(home.glob("core*"))


def test_the_audit_of_a_model_that_crashes_ends_with_2(
    home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert audit(store(home, "crashes"), "--trust-pickle") == 2
    assert "ended the process" in capfd.readouterr().err


@linux
def test_memory_is_bounded(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PrivauditError):
        answer(store(home, "fills_memory"), trust_pickle=True)


@pytest.mark.parametrize("way", ["never_ends", "sleeps"])
def test_time_is_bounded(way: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asked_model, "SECONDS_TO_ANSWER", 0.0)
    monkeypatch.setattr(asked_model, "SECONDS_A_ROW", 1e-3)
    monkeypatch.setattr(child_process, "PATIENCE", 6.0)
    with pytest.raises(PrivauditError, match="takes too long"):
        answer(store(home, way), trust_pickle=True)


@linux
@pytest.mark.parametrize("way", ["writes", "empties", "removes", "reads", "starts", "kills"])
def test_a_model_touches_nothing_outside(way: str, home: Path, tmp_path: Path) -> None:
    if not _has_landlock():
        pytest.skip("this kernel has no file rules")
    target = tmp_path / "members.csv"
    target.write_text("a patient")
    path = store(home, way, os.getpid() if way == "kills" else target)
    with pytest.raises(PrivauditError, match="failed on the table"):
        answer(path, trust_pickle=True)
    assert target.read_text() == "a patient"


@linux
def test_without_file_rules_nothing_is_written_either(tmp_path: Path) -> None:
    target = tmp_path / "written"
    child = os.fork()
    if not child:
        try:
            child_limits.limit_resources(1, may_write=False)
            target.write_bytes(b"records")
        except OSError:
            os._exit(3)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
    assert target.stat().st_size == 0


def _has_landlock() -> bool:
    import ctypes

    return int(ctypes.CDLL(None).syscall(444, None, 0, 1)) >= 4


def test_nothing_that_a_model_prints_or_quotes_is_shown(
    home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    answer(store(home, "prints"), trust_pickle=True)
    with pytest.raises(PrivauditError) as error:
        answer(store(home, "quotes"), trust_pickle=True)
    shown = capfd.readouterr()
    assert "a cell" not in shown.out + shown.err + str(error.value)


def test_nothing_that_a_process_sends_is_unpickled(home: Path, tmp_path: Path) -> None:
    """A model that took over its process answers in its stead, with a pickle that runs code."""
    target = tmp_path / "written"

    class Bad:
        def __reduce__(self) -> Any:
            return (Path.touch, (target,))

    for body in (pickle.dumps(Bad()), _frame(pickle.dumps(Bad())), _frame(b'{"facts": []}')):
        (home / "body").write_bytes(body)
        with pytest.raises(PrivauditError):
            answer(store(home, "answers_the_parent_itself", home / "body"), trust_pickle=True)
    assert not target.exists()


def _frame(body: bytes) -> bytes:
    return len(body).to_bytes(8, "little") + body


@pytest.mark.parametrize(
    "header",
    [
        b"{}",
        b"[" * 100_000,
        b'{"facts": {}, "arrays": [["<f8", [-1]]], "blob": 0}',
        b'{"facts": {}, "arrays": [["<f8", [9999999999, 9999999999]]], "blob": 0}',
        b'{"facts": {}, "arrays": [["|O", [1]]], "blob": 0}',
        b'{"facts": {}, "arrays": [["<f8", [1, 1, 1]]], "blob": 0}',
        b'{"facts": {}, "arrays": [], "blob": -5}',
        b'{"facts": 3, "arrays": [], "blob": 0}',
    ],
)
def test_answers_that_are_none(header: bytes) -> None:
    with pytest.raises((child_wire.BrokenAnswer, child_wire.Ended)):
        child_wire.read_answer(io.BytesIO(_frame(header) + b"\0" * 64))


def test_a_header_of_any_length_takes_no_memory() -> None:
    with pytest.raises(child_wire.BrokenAnswer):
        child_wire.read_answer(io.BytesIO((1 << 62).to_bytes(8, "little") + b"{}"))


def test_control_characters_of_a_model_reach_no_terminal() -> None:
    assert child_wire.read_text("a\x1b[2Jb\rc\x00") == "a[2Jbc"


def test_a_process_knows_no_patient(home: Path) -> None:
    sent: list[Any] = []

    class Stream(io.BytesIO):
        def write(self, part: Any) -> int:
            sent.append(bytes(part))
            return len(part)

    path = store(home, "answers")
    opened, _ = open_model(path, trust_pickle=True)
    model = bind(opened, SCHEMA)
    asked = records(40)
    object.__setattr__(asked, "patient", np.arange(40) + 77_000_000)
    child = child_process.get_child(model.file)  # type: ignore[attr-defined]
    own, child._writer = child._writer, Stream()
    # The process never hears of it: what would have been sent is looked at.
    child._reader.close()
    with pytest.raises(PrivauditError):
        model.predict_proba(asked)
    own.close()
    question = pickle.loads(b"".join(sent)[8:])[3]
    assert question.y is None
    assert set(vars(question)) == {"of", "bound", "X", "y", "columns", "reads"}


def test_a_sent_model_holds_bytes_and_no_process(home: Path) -> None:
    opened, _ = open_model(store(home, "answers"), trust_pickle=True)
    model: Any = bind(opened, SCHEMA)
    first = model.predict_proba(records())
    sent = pickle.loads(pickle.dumps(model))
    assert set(vars(sent)) == set(vars(model))
    np.testing.assert_array_equal(sent.predict_proba(records()), first)
    jobs = joblib.Parallel(n_jobs=2)(
        joblib.delayed(model.predict_proba)(records()) for _ in range(2)
    )
    for found in jobs:
        np.testing.assert_array_equal(found, first)


@linux
def test_a_forked_process_starts_its_own(home: Path) -> None:
    opened, _ = open_model(store(home, "answers"), trust_pickle=True)
    model = bind(opened, SCHEMA)
    first = model.predict_proba(records())
    child = os.fork()
    if not child:
        same = np.array_equal(model.predict_proba(records()), first)
        os._exit(0 if same else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    np.testing.assert_array_equal(model.predict_proba(records()), first)


def test_few_processes_are_kept(home: Path) -> None:
    from evil_model import Model

    models = []
    for number in range(child_process.MOST_CHILDREN + 2):
        joblib.dump(Model("answers", str(number)), home / "m.pkl")
        models.append(bind(open_model(home / "m.pkl", trust_pickle=True)[0], SCHEMA))
    assert len(child_process._CHILDREN) <= child_process.MOST_CHILDREN
    # The first was ended, and is opened again where it is asked again.
    assert models[0].predict_proba(records()).shape == (300, 2)


def test_a_clone_for_training_again_comes_without_code(tmp_path: Path) -> None:
    pytest.importorskip("skops")
    from sklearn.ensemble import RandomForestClassifier
    from skops.io import dump

    X, y = made()
    fitted = RandomForestClassifier(7, max_depth=3, random_state=0).fit(X, y)
    dump(fitted, tmp_path / "m.skops")
    model = bind(open_model(tmp_path / "m.skops")[0], SCHEMA)
    template = asked_model.take_unfitted(model)
    assert template.get_params() == fitted.get_params()
    assert not hasattr(template, "estimators_")
