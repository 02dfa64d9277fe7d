"""A user's model from its file. No file runs code, but a pickle that the user says to trust."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from privaudit.contracts import Model
from privaudit.errors import PrivauditError
from privaudit.inputs.models.layout import ENCODINGS, Encode
from privaudit.inputs.models.opened_model import How, Opened
from privaudit.inputs.schema import TableSchema

MOST_BYTES = 8 << 30
MOST_UNPACKED = 16 << 30
BOMB_RATIO = 200

PICKLES = (".pkl", ".pickle", ".joblib")
TORCHES = (".pt", ".pth", ".ts", ".torchscript")
KINDS = (
    ".json, .ubj (XGBoost), .txt (LightGBM), .onnx, .pt (TorchScript), .safetensors with --module, "
    ".skops, and .joblib, .pkl with --trust-pickle"
)
TRUST_NOTE = (
    "the model was unpickled because --trust-pickle was given: a pickle runs whatever code its maker "
    "put into it, with the rights of whoever opens it"
)
ANSWERS = ("", "probabilities", "logits")

OWN_TYPES = (
    "numpy.dtype",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.compose._column_transformer._RemainderColsList",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.tree._tree.Tree",
)
"""Parts of scikit-learn's own classifiers that skops does not trust by itself: data, read by scikit-learn's
compiled code. None of them calls what a file names."""

TREES_NOTE = (
    "the file's trees or neighbours are read by scikit-learn's compiled code, which does not check them: "
    "a forged file cannot run code, but it can crash the audit"
)


def load(
    path: Path | str,
    *,
    schema: TableSchema,
    trust_pickle: bool = False,
    module: str = "",
    encode: Encode = "",
    answers: str = "",
) -> tuple[Model, str]:
    """The model in this file, bound to tables of this schema, and the sha256 of the file.

    trust_pickle: unpickle joblib and pickle files, which runs their code; module: `module:function`
    that makes the torch module whose weights a safetensors file holds; encode, answers: see `bind`.
    PrivauditError for files that are damaged, of unknown type, or not to be trusted, and for
    models that read other columns or tell other classes apart.
    """
    opened, digest = unlock(path, trust_pickle=trust_pickle, module=module)
    return bind(opened, schema, encode=encode, answers=answers), digest


def bind(opened: Opened, schema: TableSchema, *, encode: Encode = "", answers: str = "") -> Model:
    """The model as it reads tables of this schema.

    By the model's own feature names where it has them, else in the order of the schema's columns.
    encode: how texts became numbers before training, where the model reads numbers: "codes" (their
    place among the schema's levels) or "onehot"; answers: "logits" where they are no probabilities.
    """
    if encode and encode not in ENCODINGS:
        raise PrivauditError(
            f"--encode {encode!r}", f"known are: {', '.join(ENCODINGS)}", "choose one of these"
        )
    if answers not in ANSWERS:
        raise PrivauditError(
            f"--answers {answers!r}", f"known are: {', '.join(ANSWERS[1:])}", "choose one of these"
        )
    if opened.classes is not None and opened.classes != len(schema.classes) and not opened.labels:
        raise PrivauditError(
            f"the model tells {opened.classes} classes apart and the outcome has {len(schema.classes)}",
            "each class of the outcome needs its probability",
            "list in the schema's `classes` every class that the model was trained on, in its order",
        )
    return opened.bind(How(schema.columns, schema.classes, encode, answers))


def unlock(path: Path | str, *, trust_pickle: bool = False, module: str = "") -> tuple[Opened, str]:
    """What a model file says of itself, before it is bound to a table; and the sha256 of its bytes."""
    path = Path(path)
    raw = _bytes(path)
    digest = hashlib.sha256(raw).hexdigest()
    opened = _opened(path.suffix.lower(), raw, trust_pickle, module)
    return opened, digest


def _opened(suffix: str, raw: bytes, trust_pickle: bool, module: str) -> Opened:
    if suffix in PICKLES:
        return _pickle(raw, trust_pickle)
    _refuse_disguise(suffix, raw)
    if suffix in (".json", ".ubj"):
        from privaudit.inputs.models.tree_files import open_xgboost

        return open_xgboost(raw)
    if suffix in (".txt", ".lgb", ".lightgbm"):
        from privaudit.inputs.models.tree_files import open_lightgbm

        return open_lightgbm(raw)
    if suffix == ".onnx":
        from privaudit.inputs.models.onnx_graph import open_onnx

        return open_onnx(raw)
    if suffix == ".safetensors":
        from privaudit.inputs.models.torch_files import open_safetensors

        return open_safetensors(raw, module)
    if suffix in TORCHES:
        from privaudit.inputs.models.torch_files import open_script

        _refuse_bomb(raw, "a TorchScript file")
        return open_script(raw)
    if suffix == ".skops":
        _refuse_bomb(raw, "a skops file")
        return _skops(raw)
    raise PrivauditError(
        f"a model file of type {suffix or 'without an ending'!r}",
        f"known are: {KINDS}",
        "save the model as one of these; without a model, give --predictions FILE",
    )


def _bytes(path: Path) -> bytes:
    if not path.is_file():
        raise PrivauditError(
            "the model is not there" if not path.exists() else "the model is not a file",
            "a model is one file",
            "check the path given as --model",
        )
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise PrivauditError(
            f"a model of {size / 1e9:.0f} GB",
            f"at most {MOST_BYTES / 1e9:.0f} GB are read into memory",
            "give the model's probabilities instead (--predictions FILE)",
        )
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise PrivauditError(
            f"the model cannot be opened: {error.strerror}",
            "it has to be read",
            "give yourself the right to read it",
        ) from None
    if not raw:
        raise PrivauditError(
            "the model is an empty file", "there is nothing in it", "save it again"
        )
    return raw


def _refuse_disguise(suffix: str, raw: bytes) -> None:
    """A pickle by another name is never opened as what it says it is."""
    if raw[:1] == b"\x80" and raw[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        raise PrivauditError(
            f"a pickle that ends in {suffix or 'nothing'!r}",
            "unpickling runs whatever code is in the file",
            "save the model in its own format; if you made the file yourself, name it .pkl and add "
            "--trust-pickle",
        )


def _refuse_bomb(raw: bytes, what: str) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, NotImplementedError, ValueError):
        raise PrivauditError(
            f"{what} that cannot be unpacked",
            "it is damaged, cut short, or of another type",
            "save it again",
        ) from None
    if unpacked > MOST_UNPACKED or (unpacked > 64 << 20 and unpacked > BOMB_RATIO * len(raw)):
        raise PrivauditError(
            f"{what} of {len(raw):,} bytes that unpacks to {unpacked:,}",
            f"at most {BOMB_RATIO} times its size is unpacked: a small archive can be made to fill "
            "memory",
            "save the model again without compression",
        )


def _pickle(raw: bytes, trust_pickle: bool) -> Opened:
    if not trust_pickle:
        raise PrivauditError(
            "a pickled model",
            "opening a pickle runs whatever code its maker put into it, with your rights",
            "save it as skops, ONNX, or XGBoost or LightGBM's own format; or, if you made the file "
            "yourself, add --trust-pickle",
        )
    import joblib

    from privaudit.inputs.models import in_process as live

    try:
        held = joblib.load(io.BytesIO(raw))
    except Exception as error:
        kind = type(error).__name__
        lacking = f": no module {error.name!r}" if isinstance(error, ModuleNotFoundError) else ""
        raise PrivauditError(
            f"the pickle cannot be opened ({kind}{lacking})",
            "it is damaged, or needs the code or the versions that it was made with",
            "open it where it was made and save it as skops or ONNX",
        ) from None
    opened = live.opened(held)
    return replace(opened, notes=(*opened.notes, TRUST_NOTE))


def _skops(raw: bytes) -> Opened:
    from privaudit.inputs.models import in_process as live
    from privaudit.inputs.models.extras import needed

    io_ = needed("skops.io", "a skops file")
    try:
        untrusted: Sequence[str] = io_.get_untrusted_types(data=raw)
    except Exception:
        raise PrivauditError(
            "the model cannot be read as skops",
            "the file is damaged, cut short, or of another version",
            "save it again with skops.io.dump",
        ) from None
    strange = sorted(set(untrusted) - set(OWN_TYPES))
    if strange:
        raise PrivauditError(
            f"a skops file with types that are not trusted: {', '.join(strange[:8])}",
            "only scikit-learn's, numpy's and scipy's own types are made, so that no other code runs",
            "save the part of each library in its own format (XGBoost JSON, LightGBM text), or as ONNX",
        )
    try:
        held = io_.loads(raw, trusted=list(untrusted))
    except Exception as error:
        raise PrivauditError(
            f"the skops file cannot be opened ({type(error).__name__})",
            "it is damaged or was made with other versions",
            "save it again with the versions installed here",
        ) from None
    found = live.opened(held)
    opened = replace(found, form=f"skops ({found.form})")
    compiled = any("._tree." in name or "Tree" in name for name in untrusted)
    return replace(opened, notes=(*opened.notes, TREES_NOTE)) if compiled else opened


__all__ = ["KINDS", "PICKLES", "bind", "load", "unlock"]
