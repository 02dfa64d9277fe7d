"""A model that lives in this process: an estimator, a torch module, a booster, any function."""

from __future__ import annotations

import hashlib
import sys
from typing import Any

from privaudit.errors import PrivauditError
from privaudit.inputs.models.layout import Frame
from privaudit.inputs.models.opened_model import Opened


def open_live(held: Any, frame: Frame | None = None) -> Opened:
    """What an object of this process says of itself.

    Args:
        held: An estimator, a torch module, a booster, or a function.
        frame: How the table looked that it was trained on, where it was a frame.

    Raises:
        PrivauditError: What has neither `predict_proba` nor `predict` and cannot be called.
    """
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(held, torch.nn.Module):
        from privaudit.inputs.models.torch_module import open_module

        return open_module(held)
    kind = f"{type(held).__module__.partition('.')[0]}.{type(held).__name__}"
    if kind == "xgboost.Booster":
        from privaudit.inputs.models.xgboost_file import open_xgboost

        return open_xgboost(bytes(held.save_raw("ubj")))
    if kind == "lightgbm.Booster":
        from privaudit.inputs.models.lightgbm_file import open_lightgbm

        return open_lightgbm(held.model_to_string().encode())
    from privaudit.inputs.models.scikit_learn import open_callable, open_estimator

    if callable(getattr(held, "predict_proba", None)):
        if hasattr(held, "classes_") or frame is None:
            return open_estimator(held, frame=frame)
        return open_callable(held.predict_proba, type(held).__name__, frame)
    if callable(held):
        return open_callable(held, getattr(held, "__name__", type(held).__name__), frame)
    if callable(getattr(held, "predict", None)):
        if hasattr(held, "classes_") or _is_classifier(held):
            raise PrivauditError(
                f"a {type(held).__name__} without probabilities",
                "membership is inferred from the probability of the recorded outcome "
                "(`predict_proba`)",
                "give a classifier with probabilities; train support vector machines with "
                "probability=True",
            )
        return open_estimator(held)
    raise PrivauditError(
        f"a model of type {type(held).__name__}",
        "it has neither predict_proba nor predict and cannot be called",
        "give a fitted classifier or regressor, a torch module, or a function of the table that "
        "answers with probabilities or with predicted numbers",
    )


def _is_classifier(held: Any) -> bool:
    from sklearn.base import is_classifier

    try:
        return bool(is_classifier(held))
    except AttributeError:
        # Not one of scikit-learn's: it says nothing of the kind.
        return False


def pickle_by_value(held: Any) -> bytes | None:
    """The object's bytes as another process would get them; None where it cannot be sent."""
    import importlib

    try:
        # joblib brought its own copy until 1.5; since then it uses the package.
        cloudpickle = importlib.import_module("joblib.externals.cloudpickle")
    except ModuleNotFoundError:
        cloudpickle = importlib.import_module("cloudpickle")
    try:
        return bytes(cloudpickle.dumps(held))
    except Exception:
        return None


def digest(held: Any) -> tuple[str, bool]:
    """A name for what the object holds, and whether it can be sent to another process."""
    raw = pickle_by_value(held)
    if raw is None:
        import secrets

        return hashlib.sha256(secrets.token_bytes(32)).hexdigest(), False
    return hashlib.sha256(raw).hexdigest(), True


__all__ = ["digest", "open_live", "pickle_by_value"]
