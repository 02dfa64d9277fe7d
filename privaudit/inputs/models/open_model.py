"""A user's model from its file, in a process of its own.

No file runs code, but a pickle that the user says to trust.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from privaudit.contracts import Model
from privaudit.errors import PrivauditError
from privaudit.inputs.models.catboost_file import is_catboost_json, open_catboost
from privaudit.inputs.models.child_process import PICKLES, ModelFile
from privaudit.inputs.models.keras_file import KERAS, R, refuse_keras, refuse_r
from privaudit.inputs.models.layout import ENCODINGS, Encode
from privaudit.inputs.models.opened_model import Binding, Opened
from privaudit.inputs.models.zip_parts import check_parts
from privaudit.inputs.schema import TableSchema

MAX_BYTES = 8 << 30

TORCHES = (".pt", ".pth", ".ts", ".torchscript")
KINDS = (
    ".json, .ubj (XGBoost), .txt (LightGBM), .cbm, .json (CatBoost), .onnx, .pt (TorchScript), "
    ".safetensors with --module, .skops, and .joblib, .pkl with --trust-pickle"
)
ANSWERS = ("", "probabilities", "logits")


def bind(
    opened: Opened,
    schema: TableSchema,
    *,
    encode: Encode = "",
    answers: str = "",
    in_order: bool = False,
) -> Model:
    """The model as it reads tables of this schema.

    By the model's own feature names where it has them, else in the order of the schema's columns.
    encode: how texts became numbers before training, where the model reads numbers: "codes" (their
    place among the sorted levels) or "onehot"; answers: "logits" where they are no probabilities;
    in_order: the outputs are in the order of the schema's classes, whatever the model calls them.
    """
    if encode and encode not in ENCODINGS:
        raise PrivauditError(
            f"--encode {encode!r}", f"known are: {', '.join(ENCODINGS)}", "choose one of these"
        )
    if answers not in ANSWERS:
        raise PrivauditError(
            f"--answers {answers!r}", f"known are: {', '.join(ANSWERS[1:])}", "choose one of these"
        )
    if schema.outcome_kind != "class":
        kind = schema.outcome_kind
        return opened.bind(Binding(schema.columns, (), encode, answers, outcome_kind=kind))
    named = opened.labels is not None and not in_order
    if opened.classes is not None and opened.classes != len(schema.classes) and not named:
        raise PrivauditError(
            f"the model knows {opened.classes} classes and the outcome has {len(schema.classes)}",
            "each class of the outcome needs its probability",
            "list in the schema's `classes` every class that the model was trained on, in its "
            "order",
        )
    return opened.bind(Binding(schema.columns, schema.classes, encode, answers, in_order))


def open_model(
    path: Path | str, *, trust_pickle: bool = False, module: str = ""
) -> tuple[Opened, str]:
    """What a model file says of itself before it is bound to a table, and the file's sha256.

    A process of its own opens it, and answers for it.
    """
    from privaudit.inputs.models.asked_model import open_in_child

    path = Path(path)
    raw = _read_bytes(path)
    digest = hashlib.sha256(raw).hexdigest()
    file = ModelFile(path.suffix.lower(), digest, raw, trust_pickle, module)
    return open_in_child(file), digest


def open_bytes(suffix: str, raw: bytes, trust_pickle: bool, module: str, home: str = "") -> Opened:
    """A model's bytes, opened in this process: that of the one model (see `child_server`).

    home: the folder that the user's own module is searched for in.
    """
    if suffix in PICKLES:
        from privaudit.inputs.models.pickle_file import open_pickle

        return open_pickle(raw, trust_pickle)
    _refuse_disguise(suffix, raw)
    if suffix == ".cbm" or (suffix == ".json" and is_catboost_json(raw)):
        return open_catboost(raw, "cbm" if suffix == ".cbm" else "json")
    if suffix in KERAS:
        raise refuse_keras()
    if suffix in R:
        raise refuse_r()
    if suffix in (".json", ".ubj"):
        from privaudit.inputs.models.xgboost_file import open_xgboost

        return open_xgboost(raw)
    if suffix in (".txt", ".lgb", ".lightgbm"):
        from privaudit.inputs.models.lightgbm_file import open_lightgbm

        return open_lightgbm(raw)
    if suffix == ".onnx":
        from privaudit.inputs.models.onnx_graph import open_onnx

        return open_onnx(raw)
    if suffix == ".safetensors":
        from privaudit.inputs.models.safetensors_file import open_safetensors

        return open_safetensors(raw, module, home)
    if suffix in TORCHES:
        from privaudit.inputs.models.torchscript import open_script

        return open_script(raw)
    if suffix == ".skops":
        from privaudit.inputs.models.skops_file import open_skops

        check_parts(raw, "a skops file")
        return open_skops(raw)
    raise PrivauditError(
        f"a model file of type {suffix or 'without an ending'!r}",
        f"known are: {KINDS}",
        "save the model as one of these; without a model, give --predictions FILE",
    )


def _read_bytes(path: Path) -> bytes:
    if not path.is_file():
        raise PrivauditError(
            "the model is not there" if not path.exists() else "the model is not a file",
            "a model is one file",
            "check the path given as --model",
        )
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise PrivauditError(
            f"a model of {size / 1e9:.0f} GB",
            f"at most {MAX_BYTES / 1e9:.0f} GB are read into memory",
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


__all__ = ["ANSWERS", "KINDS", "bind", "open_bytes", "open_model"]
