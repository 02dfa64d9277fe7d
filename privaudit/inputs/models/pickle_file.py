"""Pickled models, which run any code of their maker: opened where the user trusts them."""

from __future__ import annotations

import io
import warnings
from dataclasses import replace
from typing import Any

from privaudit.errors import PrivauditError
from privaudit.inputs.models.in_process import open_live
from privaudit.inputs.models.keras_file import SCRIPT
from privaudit.inputs.models.opened_model import Opened

TRUST_NOTE = (
    "the model was unpickled because --trust-pickle was given: a pickle runs whatever code its "
    "maker "
    "put into it, with the rights of whoever opens it"
)


def open_pickle(raw: bytes, trust_pickle: bool) -> Opened:
    if not trust_pickle:
        raise PrivauditError(
            "a pickled model",
            "opening a pickle runs whatever code its maker put into it, with your rights",
            "save it as skops, ONNX, or XGBoost or LightGBM's own format; or, if you made the file "
            "yourself, add --trust-pickle",
        )
    opened = open_live(unpickle(raw))
    return replace(opened, notes=(*opened.notes, TRUST_NOTE))


def unpickle(raw: bytes) -> Any:
    """What the user's trusted pickle holds."""
    import joblib
    from sklearn.exceptions import InconsistentVersionWarning

    try:
        with warnings.catch_warnings():
            # Estimators of another version may open, and answer otherwise than they did.
            warnings.filterwarnings("error", category=InconsistentVersionWarning)
            return joblib.load(io.BytesIO(raw))
    except InconsistentVersionWarning as warning:
        raise PrivauditError(
            f"a pickle of scikit-learn {warning.original_sklearn_version}, and "
            f"{warning.current_sklearn_version} is installed here",
            "another version may open it and answer otherwise than the model does",
            f"save it as ONNX or skops; or write its answers to a table. {SCRIPT}",
        ) from None
    except Exception as error:
        kind = type(error).__name__
        lacking = f": no module {error.name!r}" if isinstance(error, ModuleNotFoundError) else ""
        raise PrivauditError(
            f"the pickle cannot be opened ({kind}{lacking})",
            "it is damaged, or needs the code or the versions that it was made with",
            "open it where it was made and save it as skops or ONNX, or write its answers to a "
            f"table. {SCRIPT}",
        ) from None


__all__ = ["open_pickle", "unpickle"]
