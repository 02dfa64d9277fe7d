"""A deployed model is asked: every fault in its own sentence, no row twice, nothing believed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from serving import Served, serve

from privaudit.errors import PrivauditError
from privaudit.inputs.endpoints.address import read_address
from privaudit.inputs.endpoints.answers import read_answers
from privaudit.inputs.endpoints.cells import Cells
from privaudit.inputs.endpoints.endpoint import EndpointModel, EndpointOptions, open_endpoint
from privaudit.inputs.endpoints.oip import OpenInference
from privaudit.inputs.endpoints.transport import Patience
from privaudit.inputs.models.opened_model import Binding
from privaudit.records import Column, Records

NAMES = ("age", "lactate", "unit")
COLUMNS = (
    Column("age", integer=True),
    Column("lactate"),
    Column("unit", "category", levels=("ward", "icu")),
)
TENSOR = {"versions": ["1"], "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}]}
CANARY = "secret"
QUICK = Patience(timeout=5, tries=3, pause=0.01)


def predict(frame: pd.DataFrame) -> np.ndarray:
    z = 0.05 * (frame["age"].astype(float) - 50) + frame["lactate"].fillna(2).astype(float) - 2
    if "unit" in frame:
        z = z + (frame["unit"] == "icu")
    p = 1 / (1 + np.exp(-z.to_numpy()))
    return np.column_stack([1 - p, p])


def records(rows: int, *, seed: int = 0, wide: int = 3) -> Records:
    rng = np.random.default_rng(seed)
    X = np.column_stack(
        [
            rng.integers(18, 90, rows),
            np.where(rng.random(rows) < 0.1, np.nan, rng.gamma(2, 1, rows).round(2)),
            rng.integers(0, 2, rows),
        ]
    ).astype(np.float32)[:, :wide]
    return Records(
        COLUMNS[:wide],
        X,
        rng.integers(0, 2, rows),
        np.arange(rows),
        np.zeros(rows, dtype=np.int64),
        classes=("0", "1"),
    )


def full(rows: int, *, seed: int = 0) -> Records:
    """Records of two numbers, with nothing missing."""
    found = records(rows, seed=seed, wide=2)
    found.X[np.isnan(found.X)] = 2.0
    return found


def bind(
    served: Served,
    home: Path,
    some: Records,
    *,
    path: str = "/v2/models/m",
    answers: str = "",
    encode: Any = "",
    patience: Patience = QUICK,
    **options: Any,
) -> EndpointModel:
    address = served.url + path
    if path == "/invocations":
        address = "mlflow+" + address
    how = EndpointOptions(home / "restricted", patience=patience, **options)
    opened = open_endpoint(address, how, answers=answers)
    made = opened.bind(Binding(some.columns, some.classes, encode))
    assert isinstance(made, EndpointModel)
    return made


@pytest.fixture
def matrix() -> Iterator[Served]:
    with serve(Served(predict, NAMES[:2], TENSOR)) as served:
        yield served


def test_columns_by_name_as_the_metadata_say(tmp_path: Path) -> None:
    inputs = [
        {"name": "unit", "datatype": "BYTES", "shape": [-1, 1]},
        {"name": "lactate", "datatype": "FP64", "shape": [-1, 1]},
        {"name": "age", "datatype": "INT64", "shape": [-1, 1]},
    ]
    some = records(300)
    with serve(Served(predict, NAMES, {"inputs": inputs})) as served:
        model = bind(served, tmp_path, some)
        p = model.predict_proba(some)
    frame = pd.DataFrame(some.X, columns=list(NAMES))
    frame["unit"] = np.where(some.X[:, 2] == 1, "icu", "ward")
    np.testing.assert_allclose(p, predict(frame), atol=1e-6)


def test_columns_are_sent_in_the_order_of_the_description(tmp_path: Path) -> None:
    """A model that was trained on a matrix reads them by place, whatever their names."""
    listed = [
        {"name": name, "datatype": kind, "shape": [-1, 1]}
        for name, kind in (("unit", "BYTES"), ("lactate", "FP64"), ("age", "INT64"))
    ]
    orders = []

    def by_place(frame: pd.DataFrame) -> np.ndarray:
        orders.append(tuple(frame.columns))
        return predict(frame)

    with serve(Served(by_place, metadata={"versions": ["1"], "inputs": listed})) as served:
        found = bind(served, tmp_path, records(40)).predict_proba(records(40))
    assert set(orders) == {("unit", "lactate", "age")}
    frame = pd.DataFrame(records(40).X, columns=list(NAMES))
    frame["unit"] = np.where(frame["unit"] == 1, "icu", "ward")
    np.testing.assert_allclose(found, predict(frame), atol=1e-6)


def test_a_matrix_is_sent_as_the_decimals_that_were_written(matrix: Served, tmp_path: Path) -> None:
    some = full(50)
    bind(matrix, tmp_path, some).predict_proba(some)
    assert {value for row in matrix.seen for value in row} <= {
        round(value, 2) for value in np.asarray(some.X, dtype=float).ravel()
    }


def test_no_row_is_asked_about_twice_but_to_compare(matrix: Served, tmp_path: Path) -> None:
    some = full(3000)
    model = bind(matrix, tmp_path, some)
    twice = Records(
        some.columns,
        np.concatenate([some.X, some.X]),
        np.concatenate([some.y] * 2),
        np.arange(6000),
        np.zeros(6000, dtype=np.int64),
        classes=some.classes,
    )
    p = model.predict_proba(twice)
    np.testing.assert_array_equal(p[:3000], p[3000:])
    model.finish()
    assert len(matrix.seen) <= matrix.asked <= 1.1 * len(matrix.seen)
    assert model.asked == (len(matrix.seen), matrix.asked)
    again = bind(matrix, tmp_path, some)
    before = matrix.asked
    np.testing.assert_array_equal(again.predict_proba(some), p[:3000])
    assert matrix.asked - before == 20


def test_rows_are_not_asked_about_in_the_order_of_the_table(matrix: Served, tmp_path: Path) -> None:
    some = full(400)
    some.X[:, 0] = np.arange(400)
    order: list[float] = []

    def watching(frame: pd.DataFrame) -> np.ndarray:
        order.extend(frame["age"])
        return predict(frame)

    matrix.predict = watching
    bind(matrix, tmp_path, some).predict_proba(some)
    assert np.corrcoef(order, np.arange(len(order)))[0, 1] < 0.5


def test_mlflow_answers_with_probabilities_of_all_classes_of_one_or_with_labels(
    tmp_path: Path,
) -> None:
    some = records(60)
    with serve(Served(predict, NAMES)) as served:
        p = bind(served, tmp_path / "a", some, path="/invocations").predict_proba(some)
    assert 0 < p.min() < p.max() < 1
    with serve(Served(predict, NAMES, labels=True)) as served:
        labels = bind(served, tmp_path / "b", some, path="/invocations").predict_proba(some)
    np.testing.assert_array_equal(labels[:, 1], p[:, 1] > 0.5)


def test_labels_of_the_open_inference_protocol(matrix: Served, tmp_path: Path) -> None:
    matrix.labels = True
    some = full(60)
    with pytest.raises(PrivauditError, match="no output 'predict_proba'"):
        bind(matrix, tmp_path, some).predict_proba(some)
    p = bind(matrix, tmp_path, some, answers="labels").predict_proba(some)
    assert set(np.unique(p)) == {0.0, 1.0}


def test_labels_are_not_audited_where_probabilities_are_to_be_had(
    matrix: Served, tmp_path: Path
) -> None:
    some = full(60)
    with pytest.raises(PrivauditError, match="an attacker asks for what tells most"):
        bind(matrix, tmp_path, some, answers="labels").predict_proba(some)


def test_a_busy_server_is_not_taken_for_one_without_probabilities(
    matrix: Served, tmp_path: Path
) -> None:
    matrix.labels_of = "label"
    # The own output is answered, the next question is not.
    matrix.fault, matrix.after, matrix.times = "status 503", 1, 2
    with pytest.raises(PrivauditError, match="also answers with 'predict_proba'"):
        bind(matrix, tmp_path, full(60), output="label", answers="labels").predict_proba(full(60))


@pytest.mark.parametrize("stated", ["", "labels"])
def test_labels_are_not_audited_where_the_description_lists_probabilities(
    stated: str, matrix: Served, tmp_path: Path
) -> None:
    """Under whatever name: an attacker reads the description too."""
    outputs = [
        {"name": "label", "datatype": "INT64", "shape": [-1, 1]},
        {"name": "score", "datatype": "FP32", "shape": [-1, 2]},
    ]
    matrix.metadata = TENSOR | {"outputs": outputs}
    matrix.labels_of, matrix.only = "label", ("label", "score")
    with pytest.raises(PrivauditError, match="also answers with 'score'"):
        bind(matrix, tmp_path, full(60), output="label", answers=stated).predict_proba(full(60))
    outputs.pop()
    matrix.only = ("label",)
    made = bind(matrix, tmp_path, full(60), output="label", answers="labels")
    assert set(np.unique(made.predict_proba(full(60)))) == {0.0, 1.0}


@pytest.mark.parametrize("kind", ["INT64", "BOOL", "BYTES"])
@pytest.mark.parametrize("inputs", ["tensor", "columns"])
def test_numbers_are_never_cut_off_or_spelled_for_the_servers_types(
    kind: str, inputs: str, tmp_path: Path
) -> None:
    """1.7 sent as 1 is another row: a model that remembers 1.7 then looks as if it leaked
    nothing."""
    own = [("x", -1, 2)] if inputs == "tensor" else [("age", -1, 1), ("lactate", -1, 1)]
    stated = [{"name": name, "datatype": kind, "shape": shape} for name, *shape in own]
    with (
        serve(Served(predict, NAMES[:2], {"versions": ["1"], "inputs": stated})) as served,
        pytest.raises(PrivauditError, match="asked otherwise looks as if it leaked nothing"),
    ):
        bind(served, tmp_path, full(30), inputs=inputs).predict_proba(full(30))
    assert served.asked == 0


def test_a_fraction_of_a_whole_column_is_never_cut_off() -> None:
    """Neither for a server that states no types, nor for one that states whole numbers."""
    X = np.array([[64.0], [0.25]], dtype=np.float32)
    cells = Cells(("age",), X, (Column("age", integer=True),))
    assert cells.rows() == [[64], [0.25]]
    asked = OpenInference("columns", "predict_proba", ("age",), ("INT64",))
    with pytest.raises(PrivauditError, match="fractions for an input of whole numbers"):
        asked.ask(None, cells)  # type: ignore[arg-type]


@pytest.mark.parametrize("batch", [1, 7])
def test_small_questions_are_compared_as_often_as_large_ones(
    batch: int, matrix: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no more often: a model that is there for some questions in the middle alone is found."""
    monkeypatch.setattr("privaudit.inputs.endpoints.asker.MOST_KEPT", 20)
    some = full(80)
    made = bind(matrix, tmp_path, some, batch=batch)
    made.predict_proba(some)
    new, asked = made.asked
    assert new == len(matrix.seen)
    assert asked - 20 - new == 2
    later = bind(matrix, tmp_path / "later", some, batch=batch)
    matrix.fault, matrix.after, matrix.times = "replaced", matrix.questions + 3, 60 // batch
    with pytest.raises(PrivauditError, match="asked about the same row again"):
        later.predict_proba(some)


def test_a_version_that_may_name_something_is_not_shown(tmp_path: Path) -> None:
    how = EndpointOptions(tmp_path / "restricted", patience=QUICK)
    for version, shown in (("s3://ward-7/m", False), ("3.1", True)):
        with serve(Served(predict, NAMES[:2], TENSOR | {"versions": [version]})) as served:
            notes = " ".join(open_endpoint(f"{served.url}/v2/models/m", how).notes)
        assert (version in notes) == shown


def test_a_whole_number_that_no_float_holds_is_a_strange_answer() -> None:
    with pytest.raises(PrivauditError, match="too large to be one"):
        read_answers([[10**400, 0]], 1, ("0", "1"), "probabilities")


def test_a_row_of_zeros_is_no_row_of_probabilities() -> None:
    """Three classes of .33 each, rounded to whole numbers."""
    rounded = [[1.0, 0.0, 0.0], [1.0, 1.0, 0.0]]
    found = read_answers(rounded, 2, ("a", "b", "c"), "probabilities")
    np.testing.assert_array_equal(found[1], [0.5, 0.5, 0.0])
    with pytest.raises(PrivauditError, match="a row of zeros alone"):
        read_answers([*rounded, [0.0] * 3], 3, ("a", "b", "c"), "probabilities")


def test_answers_without_rows_to_compare_are_compared_all_the_same(
    matrix: Served, tmp_path: Path
) -> None:
    """A memo that lost the rows that it kept is not believed."""
    made = bind(matrix, tmp_path, full(60))
    made.predict_proba(full(60))
    with sqlite3.connect(made.asker.memo.path) as link:  # type: ignore[attr-defined]
        link.execute("delete from probes")
    bind(matrix, tmp_path, full(60)).predict_proba(full(60))
    with sqlite3.connect(made.asker.memo.path) as link:  # type: ignore[attr-defined]
        link.execute("delete from probes")
    matrix.fault = "replaced"
    with pytest.raises(PrivauditError, match="asked about the same row again"):
        bind(matrix, tmp_path, full(60)).predict_proba(full(60))


def test_rounded_answers_are_taken_as_they_are(tmp_path: Path) -> None:
    def three(frame: pd.DataFrame) -> np.ndarray:
        p = predict(frame)[:, 1]
        return np.column_stack([(1 - p) / 2, (1 - p) / 2, p])

    some = full(200)
    some = Records(some.columns, some.X, some.y, some.patient, some.site, classes=("0", "1", "2"))
    with serve(Served(three, NAMES[:2], TENSOR, decimals=1)) as served:
        p = bind(served, tmp_path, some).predict_proba(some)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    assert len(np.unique(p[:, 2])) < 25


FAULTS = {
    "status 401": "refused access",
    "status 403": "refused access",
    "status 404": "knows no such model",
    "status 400": "does not accept the question",
    "status 422": "does not accept the question",
    "status 429": "asks to be left alone",
    "status 429 4000": "asks for a pause of 4,000 seconds",
    "status 500": "the server failed",
    "status 503": "the server failed",
    "killed": "the connection broke",
    "redirect file:///etc/passwd": "sends the question elsewhere",
    "redirect http://192.0.2.1/": "sends the question elsewhere",
    "huge": "more than 1 MB",
    "endless": "more than 1 MB",
    "page": "no JSON",
    "too short": "no JSON",
    "too long": "the connection broke",
    "nan": "NaN or infinity",
    "infinite": "another size than its shape",
    "shape": "another size than its shape",
    "rows": "rows were asked about|and 20 were asked",
    "sums": "do not sum to 1",
    "output": "no output 'predict_proba'",
    "other id": "an answer to another question",
    "other version": "replaced while it was asked",
    "permuted": "asked about the same row again",
    "noise": "asked about the same row again",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_has_its_sentence(fault: str, matrix: Served, tmp_path: Path) -> None:
    matrix.fault = fault
    some = full(200)
    with pytest.raises(PrivauditError, match=FAULTS[fault]) as found:
        bind(matrix, tmp_path, some).predict_proba(some)
    assert CANARY not in str(found.value)
    assert matrix.url.rpartition(":")[2] not in str(found.value)


def test_a_server_that_is_gone_and_one_that_is_slow(matrix: Served, tmp_path: Path) -> None:
    some = full(50)
    matrix.fault = "slow"
    hasty = Patience(timeout=0.2, tries=2, pause=0.01)
    with pytest.raises(PrivauditError, match="did not answer in time"):
        bind(matrix, tmp_path, some, patience=hasty).predict_proba(some)
    matrix.fault = "dripping"
    with pytest.raises(PrivauditError, match="did not answer in time"):
        bind(matrix, tmp_path, some, patience=hasty).predict_proba(some)
    with serve(Served(predict, NAMES[:2], TENSOR)) as gone:
        model = bind(gone, tmp_path, some)
        model.asker.transport.close()  # type: ignore[attr-defined]
    with pytest.raises(PrivauditError, match="connection was refused"):
        model.predict_proba(some)


def test_what_passes_is_waited_for(matrix: Served, tmp_path: Path) -> None:
    some = full(300)
    for fault in ("status 500", "status 429 0", "killed"):
        matrix.fault, matrix.after, matrix.times = fault, matrix.questions + 1, 2
        p = bind(matrix, tmp_path / fault.replace(" ", ""), some).predict_proba(some)
        frame = pd.DataFrame(some.X, columns=list(NAMES[:2]))
        np.testing.assert_allclose(p, predict(frame), atol=1e-6)
        assert matrix.times == 0


def test_a_batch_that_is_too_large_is_made_smaller(matrix: Served, tmp_path: Path) -> None:
    matrix.largest = 60
    some = full(500)
    bind(matrix, tmp_path, some).predict_proba(some)
    assert max(matrix.rows) <= 60
    matrix.largest = 0
    with pytest.raises(PrivauditError, match="a single row is too large"):
        bind(matrix, tmp_path, full(400, seed=9)).predict_proba(full(400, seed=9))


@pytest.mark.parametrize("fault", ["noise", "permuted", "replaced", "in company"])
def test_answers_that_change_later_are_found_out(
    fault: str, matrix: Served, tmp_path: Path
) -> None:
    """Honest for the check at the start, and something else from then on."""
    matrix.fault, matrix.after = fault, 2
    some = full(1500)
    model = bind(matrix, tmp_path, some)

    def ask_all() -> None:
        model.predict_proba(some)
        model.finish()

    with pytest.raises(PrivauditError, match="asked about the same row again"):
        ask_all()
    matrix.fault = ""
    fresh = bind(matrix, tmp_path, some)
    frame = pd.DataFrame(some.X, columns=list(NAMES[:2]))
    np.testing.assert_allclose(fresh.predict_proba(some), predict(frame), atol=1e-6)


def test_a_model_that_was_replaced_between_two_runs(matrix: Served, tmp_path: Path) -> None:
    some = full(300)
    bind(matrix, tmp_path, some).predict_proba(some)
    matrix.fault = "replaced"
    with pytest.raises(PrivauditError, match="than when it was last asked"):
        bind(matrix, tmp_path, some).predict_proba(some)
    p = bind(matrix, tmp_path, some).predict_proba(some)
    frame = pd.DataFrame(some.X, columns=list(NAMES[:2]))
    np.testing.assert_allclose(p, predict(frame)[:, ::-1], atol=1e-6)


def test_another_version_has_answers_of_its_own(tmp_path: Path) -> None:
    some = full(100)
    with serve(Served(predict, NAMES[:2], TENSOR)) as served:
        bind(served, tmp_path, some).predict_proba(some)
        served.metadata = {**TENSOR, "versions": ["2"]}
        before = len(served.rows)
        bind(served, tmp_path, some).predict_proba(some)
        assert sum(served.rows[before:]) > 100


def test_a_killed_server_loses_nothing(matrix: Served, tmp_path: Path) -> None:
    some = full(2000)
    matrix.fault, matrix.after = "killed", 4
    with pytest.raises(PrivauditError, match="answers so far are stored"):
        bind(matrix, tmp_path, some).predict_proba(some)
    assert 0 < len(matrix.seen) < len(np.unique(some.X, axis=0))
    matrix.fault = ""
    bind(matrix, tmp_path, some).predict_proba(some)
    assert matrix.asked <= 1.1 * len(matrix.seen)


def test_a_budget_is_never_exceeded(matrix: Served, tmp_path: Path) -> None:
    some = full(2000)
    with pytest.raises(PrivauditError, match="budget of 700 rows is spent"):
        bind(matrix, tmp_path, some, queries=700).predict_proba(some)
    assert matrix.asked <= 700


def test_the_more_was_asked_the_more_is_asked_alone(matrix: Served, tmp_path: Path) -> None:
    made = bind(matrix, tmp_path, full(1500))
    made.predict_proba(full(1500))
    before, (new, _) = len(matrix.rows), made.asked
    made.finish()
    assert matrix.rows[before:] == [1] * round(0.02 * new)


def test_the_memo_is_for_its_owner_alone(matrix: Served, tmp_path: Path) -> None:
    some = full(100)
    bind(matrix, tmp_path, some).predict_proba(some)
    folder = tmp_path / "restricted" / "endpoints"
    assert folder.stat().st_mode & 0o777 == 0o700
    files = list(folder.iterdir())
    assert files
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in files)


def test_the_token_goes_into_a_header_and_nowhere_else(
    matrix: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    matrix.token = "abc123token"
    some = full(100)
    with pytest.raises(PrivauditError, match="variable THE_TOKEN is not set"):
        bind(matrix, tmp_path, some, token_env="THE_TOKEN")
    monkeypatch.setenv("THE_TOKEN", "abc123token")
    model = bind(matrix, tmp_path, some, token_env="THE_TOKEN")
    model.predict_proba(some)
    assert matrix.headers[-1]["Authorization"] == "Bearer abc123token"
    assert all(
        b"abc123token" not in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()
    )
    assert "abc123token" not in repr(model) + repr(model.__dict__)
    monkeypatch.setenv("THE_TOKEN", "wrong")
    with pytest.raises(PrivauditError, match="refused access") as found:
        bind(matrix, tmp_path / "other", some, token_env="THE_TOKEN")
    assert "wrong" not in str(found.value)


@pytest.mark.parametrize(
    ("address", "match"),
    [
        ("http://192.0.2.1/v2/models/m", "plain http"),
        ("http://localhost.evil.org/v2/models/m", "plain http"),
        ("https://user:pw@host/v2/models/m", "password"),
        ("https://host/v2/models/m?key=1", "query"),
        ("https://host/predict", "names no model"),
        ("mlflow+https://host/predict", "/invocations"),
        ("https:///v2/models/m", "cannot be read"),
        ("https://host:x/v2/models/m", "cannot be read"),
    ],
)
def test_addresses_that_are_refused(address: str, match: str) -> None:
    with pytest.raises(PrivauditError, match=match) as found:
        read_address(address)
    assert "pw" not in str(found.value)


def test_inputs_that_nobody_states_are_not_guessed(tmp_path: Path) -> None:
    some = full(60)
    with serve(Served(predict, NAMES[:2], {"inputs": []})) as served:
        with pytest.raises(PrivauditError, match="--inputs columns or --inputs tensor"):
            bind(served, tmp_path, some)
        p = bind(served, tmp_path, some, inputs="tensor").predict_proba(some)
        named = bind(served, tmp_path, some, inputs="columns").predict_proba(some)
    np.testing.assert_allclose(p, named, atol=1e-6)


def test_an_output_of_another_name_is_not_guessed(tmp_path: Path) -> None:
    outputs = [{"name": "scores", "datatype": "FP32", "shape": [-1, 2]}]
    with (
        serve(Served(predict, NAMES[:2], {**TENSOR, "outputs": outputs})) as served,
        pytest.raises(PrivauditError, match="--output NAME"),
    ):
        bind(served, tmp_path, full(60))


def test_numbers_that_may_be_labels_are_not_guessed(tmp_path: Path) -> None:
    from privaudit.inputs.endpoints.answers import decide_kind, read_answers

    with pytest.raises(PrivauditError, match="labels or probabilities"):
        decide_kind([0.0, 1.0, 1.0], ("0", "1"))
    assert decide_kind([0.25, 1.0], ("0", "1")) == "probabilities"
    assert decide_kind([0, 1], ("no", "yes")) == "labels"
    assert decide_kind(["no"], ("no", "yes")) == "labels"
    p = read_answers(["yes", "no"], 2, ("no", "yes"), "labels")
    np.testing.assert_array_equal(p, [[0, 1], [1, 0]])
    with pytest.raises(PrivauditError, match="no class of the outcome"):
        read_answers(["yes", "maybe"], 2, ("no", "yes"), "labels")
    with pytest.raises(PrivauditError, match="which answer belongs to which row"):
        read_answers(["yes"], 2, ("no", "yes"), "labels")
