"""Rows in model files of every kind: found in any order, scale and part; and no row where none
is."""

from __future__ import annotations

import base64
import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.kernel_approximation import Nystroem
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier, LocalOutlierFactor, RadiusNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    MinMaxScaler,
    OneHotEncoder,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)
from sklearn.svm import SVC

from privaudit.attacks.reconstruction.stored_records import ANY_ORDER, RARE, StoredRecords
from privaudit.contracts import Release, Target, Trials
from privaudit.errors import PrivauditError
from privaudit.facts import Setting
from privaudit.inputs.artefacts.read_arrays import read_arrays
from privaudit.records import Column, Records, Split
from privaudit.seeds import Seeds

N = 240
COLUMNS = (
    *(Column(f"lab{j}", bounds=(-1e4, 1e4)) for j in range(5)),
    Column("age", bounds=(0, 120)),
    Column("sex", kind="binary"),
    Column("ward", kind="category", levels=("north", "east", "south", "west")),
)


def people(n: int, stream: str, missing: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    rng = Seeds(7).rng(stream)
    z = rng.normal(size=(n, 2))
    labs = [z[:, 0] + rng.normal(size=n), np.exp(z[:, 1] + rng.normal(size=n)), rng.poisson(60, n)]
    labs += [rng.normal(80, 12, n), z[:, 0] * 3 + rng.normal(size=n)]
    x = np.column_stack([*labs, rng.integers(18, 95, n)]).astype(np.float64).round(2)
    x[rng.random(x.shape) < missing] = np.nan
    levels = np.column_stack([rng.integers(0, 2, n), rng.integers(0, 4, n)])
    y = (z[:, 0] + rng.normal(size=n) > 0.3).astype(np.int64)
    return np.column_stack([x, levels]), y


def pool(x: np.ndarray, y: np.ndarray, first: int) -> Records:
    ids = np.arange(first, first + len(x))
    return Records(COLUMNS, x.astype(np.float32), y, ids, np.zeros(len(x)), classes=("no", "yes"))


def world(missing: float = 0.0, audited: int = N) -> tuple[np.ndarray, np.ndarray, Split]:
    """What a model is fitted on, and a split whose members are some of it in another order."""
    x, y = people(2 * N + 60, "people", missing)
    mixed = Seeds(1).rng("order").permutation(N)[:audited]
    pools = (mixed, np.arange(N, N + audited), np.arange(2 * N, 2 * N + 60))
    return x[:N], y[:N], Split(*(pool(x[p], y[p], 1000 * i) for i, p in enumerate(pools)))


def open_file(file: bytes, split: Split) -> dict[Setting, Trials]:
    return StoredRecords().run(Target(Release(file=file), split), (), Seeds(2).rng("run"))


def rates(file: bytes, split: Split) -> tuple[float, float]:
    found = open_file(file, split)[ANY_ORDER]
    return float(found.success.mean()), float(found.control.mean())


def encode(scaler: Any, filling: Any = None) -> Any:
    numbers = make_pipeline(filling or SimpleImputer(), scaler)
    return make_column_transformer(
        (numbers, list(range(6))), (OneHotEncoder(), [6, 7]), sparse_threshold=0
    )


HOLDERS: dict[str, Callable[[], Any]] = {
    "neighbours": KNeighborsClassifier,
    "ball tree": lambda: KNeighborsClassifier(algorithm="ball_tree"),
    "radius": lambda: RadiusNeighborsClassifier(50.0),
    "gaussian process": lambda: GaussianProcessClassifier(optimizer=None),
    "kernel ridge": KernelRidge,
    "outliers": lambda: LocalOutlierFactor(novelty=True),
    "standard": lambda: make_pipeline(encode(StandardScaler()), KNeighborsClassifier()),
    "min-max": lambda: make_pipeline(encode(MinMaxScaler()), KNeighborsClassifier()),
    "robust": lambda: make_pipeline(encode(RobustScaler()), KNeighborsClassifier()),
    "quantile": lambda: make_pipeline(
        encode(QuantileTransformer(n_quantiles=60)), KNeighborsClassifier()
    ),
    "power": lambda: make_pipeline(encode(PowerTransformer()), KNeighborsClassifier()),
    "imputer": lambda: make_pipeline(KNNImputer(), StandardScaler(), LogisticRegression()),
}


@pytest.mark.parametrize("kind", HOLDERS)
def test_every_holder_of_rows_is_found(kind: str) -> None:
    x, y, split = world()
    success, control = rates(pickle.dumps(HOLDERS[kind]().fit(x, y)), split)
    assert success > 0.97
    assert control < 0.03


@pytest.mark.parametrize("missing", [0.1, 0.3])
@pytest.mark.parametrize("kind", ["standard", "min-max", "imputer"])
def test_gaps_hide_no_row(kind: str, missing: float) -> None:
    x, y, split = world(missing)
    success, control = rates(pickle.dumps(HOLDERS[kind]().fit(x, y)), split)
    assert success > 0.9
    assert control < 0.03


@pytest.mark.parametrize("kind", ["neighbours", "standard", "min-max", "robust"])
def test_an_audit_of_some_of_the_training_records_finds_them(kind: str) -> None:
    x, y, split = world(audited=N // 2)
    success, control = rates(pickle.dumps(HOLDERS[kind]().fit(x, y)), split)
    assert success > 0.95
    assert control < 0.03


def test_a_part_of_the_records_reads_as_that_part() -> None:
    x, y, split = world()
    machine = make_pipeline(encode(StandardScaler()), SVC()).fit(x, y)
    success, control = rates(pickle.dumps(machine), split)
    assert success == pytest.approx(len(machine[-1].support_) / N, abs=0.03)
    assert control < 0.03
    some = make_pipeline(encode(StandardScaler()), Nystroem(n_components=72, random_state=0))
    success, control = rates(pickle.dumps(some.fit(x, y)), split)
    assert success == pytest.approx(0.3, abs=0.03)
    assert control < 0.03


def test_sorted_columns_hold_no_record() -> None:
    x, y, split = world()
    steps = make_pipeline(SimpleImputer(), QuantileTransformer(n_quantiles=N), LogisticRegression())
    success, control = rates(pickle.dumps(steps.fit(x, y)), split)
    assert success - control < 0.03


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "model",
    [
        make_pipeline(encode(StandardScaler()), LogisticRegression()),
        make_pipeline(encode(MinMaxScaler()), MLPClassifier((16,), max_iter=5)),
        make_pipeline(encode(StandardScaler()), RandomForestClassifier(10, n_jobs=1)),
    ],
    ids=["linear", "network", "forest"],
)
@pytest.mark.filterwarnings("ignore")
def test_a_model_that_holds_no_row_reads_as_none(model: Any, seed: int) -> None:
    x, y = people(2 * N + 60, f"null {seed}")
    split = Split(*(pool(x[p : p + N], y[p : p + N], p) for p in (0, N, 2 * N)))
    success, control = rates(pickle.dumps(model.fit(x[:N], y[:N])), split)
    assert success - control < 0.03


@pytest.mark.parametrize("share", [1.0, 0.2])
def test_a_file_that_holds_the_held_out_too_is_refused(share: float) -> None:
    """Its control finds as much as the attack: a difference of 0 would read as no leak."""
    x, _ = people(2 * N + 60, "people")
    part = int(share * N)
    model = LogisticRegression().fit(np.eye(2), [0, 1])
    rows = np.concatenate([np.arange(part), N + np.arange(part)])
    model.prototypes_ = x[Seeds(3).rng("mixed").permutation(rows)]
    with pytest.raises(PrivauditError, match="held out"):
        rates(pickle.dumps(model), world()[2])


def test_rows_of_few_values_count_above_what_others_share() -> None:
    rng = Seeds(4).rng("binary")

    def gain(width: int) -> tuple[float, float]:
        columns = tuple(Column(f"b{j}", kind="binary") for j in range(width))
        x = rng.integers(0, 2, (2 * N + 60, width)).astype(np.float32)
        y = rng.integers(0, 2, len(x))
        zero = np.zeros(len(x), dtype=np.int64)
        whole = Records(columns, x, y, np.arange(len(x)), zero, classes=("no", "yes"))
        cut = (slice(0, N), slice(N, 2 * N), slice(2 * N, None))
        split = Split(*(whole.take(part) for part in cut))
        found = rates(pickle.dumps(KNeighborsClassifier().fit(x[:N], y[:N])), split)
        return found[0] - found[1], found[1]

    assert gain(24)[0] > 0.97
    # Of four yes-or-no columns everybody's row is everybody else's.
    assert gain(4)[0] < 0.05


def npz(**arrays: Any) -> bytes:
    out = io.BytesIO()
    np.savez(out, **arrays)
    return out.getvalue()


def ways_of_storing(x: np.ndarray) -> dict[str, bytes]:
    hidden = LogisticRegression()
    hidden.rows_ = pd.DataFrame(x).assign(ward=pd.Categorical(x[:, 7].astype(int).astype(str)))
    matrix = io.BytesIO()
    sparse.save_npz(matrix, sparse.csr_matrix(x))
    nested = io.BytesIO()
    with zipfile.ZipFile(nested, "w") as archive:
        archive.writestr("one.npz", matrix.getvalue())
    return {
        "frame": pickle.dumps(hidden),
        "half precision": pickle.dumps(x.astype(np.float16)),
        "turned": npz(a=np.ascontiguousarray(x.T)),
        "flat": npz(a=x.ravel()),
        "columns apart": npz(**{f"c{j}": column for j, column in enumerate(x.T)}),
        "chunks": npz(a=x[:100], b=x[100:]),
        "sparse": pickle.dumps(sparse.csr_matrix(x)),
        "nested archive": nested.getvalue(),
        "raw bytes": pickle.dumps({"note": x.tobytes()}),
        "dictionaries": pickle.dumps([dict(enumerate(row)) for row in x.tolist()]),
        "text": json.dumps({"version": [1, 2], "rows": x.tolist()}).encode(),
        "columns mixed": npz(a=x[:, ::-1]),
    }


@pytest.mark.parametrize("how", ways_of_storing(np.zeros((3, 8))))
def test_every_way_of_storing_rows_is_read(how: str) -> None:
    x, _, split = world()
    success, control = rates(ways_of_storing(x)[how], split)
    assert success > 0.95
    assert control < 0.03


def test_turned_axes_are_read_in_row_order() -> None:
    x, y = people(2 * N + 60, "people")
    split = Split(*(pool(x[p : p + N], y[p : p + N], p) for p in (0, N, 2 * N)))
    model = make_pipeline(StandardScaler(), PCA(), KNeighborsClassifier()).fit(x[:N], y[:N])
    found = open_file(pickle.dumps(model), split)[Setting("variant", "numbers, in row order")]
    assert found.success.mean() > 0.95
    assert found.control.mean() < 0.1


@pytest.mark.parametrize(
    "hidden",
    [
        lambda raw: {"note": base64.b64encode(np.packbits(raw[:, None] ^ 85, axis=1)).decode()},
        lambda raw: {"note": (raw ^ 85).tobytes()},
        lambda raw: {"note": (raw[:900] ^ 85).tobytes()},
    ],
)
def test_what_nobody_can_read_is_refused(hidden: Callable[[np.ndarray], Any]) -> None:
    x, _, split = world()
    raw = np.frombuffer(x.astype(np.float32).tobytes(), np.uint8)
    with pytest.raises(PrivauditError, match="nobody looked into the rest"):
        open_file(pickle.dumps([hidden(raw), np.zeros(3)]), split)


def test_extremes_and_rare_levels_are_values_of_few() -> None:
    x, y, split = world()
    found = open_file(pickle.dumps(MinMaxScaler().fit(x)), split)[RARE]
    assert 0 < found.success.mean() < 0.1
    assert found.control.mean() < found.success.mean() / 2
    plain = open_file(pickle.dumps(StandardScaler().fit(x)), split)[RARE]
    assert plain.success.mean() == 0
    rare = tuple(f"disease {k}" for k in range(40))
    column = Column("diagnosis", kind="category", levels=(*rare, "none"))
    codes = np.r_[np.arange(40), np.full(N - 40, 40)]
    members = Records(
        (column,),
        codes[:, None].astype(np.float32),
        y,
        np.arange(N),
        np.zeros(N),
        classes=("no", "yes"),
    )
    others = Records(
        (column,),
        np.full((N, 1), 40, dtype=np.float32),
        y,
        np.arange(N, 2 * N),
        np.zeros(N),
        classes=("no", "yes"),
    )
    names = np.array(column.levels, dtype=object)[codes][:, None]
    file = pickle.dumps(OneHotEncoder().fit(names))
    cut = N - 20
    split = Split(members, others.take(slice(0, cut)), others.take(slice(cut, N)))
    found = open_file(file, split)[RARE]
    assert found.success.mean() == pytest.approx(40 / N)
    assert found.control.mean() == 0


def test_boosted_trees_are_read_and_hold_no_row(tmp_path: Path) -> None:
    x, y, split = world()
    files = []
    xgboost = pytest.importorskip("xgboost")
    booster = xgboost.XGBClassifier(n_estimators=5, n_jobs=1).fit(x, y)
    for name in ("m.json", "m.ubj"):
        booster.save_model(tmp_path / name)
        files.append((tmp_path / name).read_bytes())
    booster.get_booster().set_attr(rows=base64.b64encode(x.tobytes()).decode())
    booster.save_model(tmp_path / "attribute.ubj")
    with pytest.raises(PrivauditError, match="nobody looked"):
        open_file((tmp_path / "attribute.ubj").read_bytes(), split)
    lightgbm = pytest.importorskip("lightgbm")
    grown = lightgbm.LGBMClassifier(n_estimators=5, verbose=-1, n_jobs=1).fit(x, y)
    grown.booster_.save_model(str(tmp_path / "m.txt"))
    files.append((tmp_path / "m.txt").read_bytes())
    for file in files:
        success, control = rates(file, split)
        assert success - control < 0.03
        assert read_arrays(file).packed == 0


def test_onnx_files_give_their_rows_back() -> None:
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper, numpy_helper

    x, _, split = world()
    narrow = x.astype(np.float32)

    def save(attributes: dict[str, Any], constants: list[Any]) -> bytes:
        node = helper.make_node("SVMClassifier", ["x"], ["y"], domain="ai.onnx.ml", **attributes)
        given = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 8])
        made = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])
        graph = helper.make_graph([node], "g", [given], [made], constants)
        raw: bytes = onnx.helper.make_model(graph).SerializeToString()
        return raw

    held = numpy_helper.from_array(narrow, "rows")
    for file in (
        save({}, [held]),
        save({"support_vectors": narrow.ravel().tolist()}, []),
        save({"value": held}, []),
    ):
        success, control = rates(file, split)
        assert success > 0.97
        assert control < 0.03
    assert rates(save({"coefficients": [0.1, 0.2]}, []), split) == (0.0, 0.0)


def test_torch_files_give_their_constants_back(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    x, _, split = world()
    kept = torch.tensor(x.astype(np.float32))
    traced = torch.jit.trace(lambda q: (q[:, None] - kept[None]).norm(dim=2), (kept[:2],))
    torch.jit.save(traced, str(tmp_path / "m.pt"))
    assert rates((tmp_path / "m.pt").read_bytes(), split)[0] > 0.97


@pytest.mark.parametrize("kind", ["ubj", "onnx", "zip", "text"])
def test_damaged_files_are_refused(kind: str) -> None:
    x, _, split = world()
    whole = {
        "ubj": b"{L\x00\x00\x00\x00\x00\x00\x00\x01a[$d#L\x00\x00\x00\x00\x00\x00\xff\xff"
        + b"x" * 99,
        "onnx": b"\x08\x08:\x7f" + b"\x0a\xff" * 30,
        "zip": npz(a=x)[:-40],
        "text": b"tree\nversion=v4\n" + bytes(range(128, 256)),
    }[kind]
    rng = Seeds(5).rng("damage")
    for _ in range(20):
        raw = bytearray(whole)
        raw[int(rng.integers(len(raw)))] = int(rng.integers(256))
        try:
            read_arrays(bytes(raw[: int(rng.integers(1, len(raw)))]))
        except PrivauditError:
            continue
    with pytest.raises(PrivauditError):
        open_file(whole, split)
