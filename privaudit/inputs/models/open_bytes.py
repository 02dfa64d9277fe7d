"""A model's bytes, opened in this process by their format's own reader."""

from __future__ import annotations

from privaudit.errors import PrivauditError
from privaudit.inputs.models.catboost_file import is_catboost_json, open_catboost
from privaudit.inputs.models.keras_file import KERAS, R, refuse_keras, refuse_r
from privaudit.inputs.models.opened_model import Opened
from privaudit.inputs.models.zip_parts import check_parts

PICKLES = (".pkl", ".pickle", ".joblib")
TORCHES = (".pt", ".pth", ".ts", ".torchscript")
KINDS = (
    ".json, .ubj (XGBoost), .txt (LightGBM), .cbm, .json (CatBoost), .onnx, .pt (TorchScript), "
    ".safetensors with --module, .skops, and .joblib, .pkl with --trust-pickle"
)


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


def _refuse_disguise(suffix: str, raw: bytes) -> None:
    """A pickle by another name is never opened as what it says it is."""
    if raw[:1] == b"\x80" and raw[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        raise PrivauditError(
            f"a pickle that ends in {suffix or 'nothing'!r}",
            "unpickling runs whatever code is in the file",
            "save the model in its own format; if you made the file yourself, name it .pkl and add "
            "--trust-pickle",
        )


__all__ = ["KINDS", "PICKLES", "TORCHES", "open_bytes"]
