"""skops files: scikit-learn's estimators without code of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from privaudit.errors import PrivauditError
from privaudit.inputs.models.extras import require_library
from privaudit.inputs.models.in_process import open_live
from privaudit.inputs.models.opened_model import Opened
from privaudit.inputs.models.scikit_learn_trees import check_estimator

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
"""Parts of scikit-learn's own classifiers that skops does not trust by itself.

They are data, read by scikit-learn's compiled code; none of them calls what a file names.
"""

TREES_NOTE = (
    "the file's trees or neighbours are read by scikit-learn's compiled code: trees were checked, "
    "and what a forged file can end is the model's own process"
)


def open_skops(raw: bytes) -> Opened:
    io_ = require_library("skops.io", "a skops file")
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
            "only scikit-learn's, numpy's and scipy's own types are made, so that no other code "
            "runs",
            "save the part of each library in its own format (XGBoost JSON, LightGBM text), or as "
            "ONNX",
        )
    try:
        held = io_.loads(raw, trusted=list(untrusted))
    except Exception as error:
        raise PrivauditError(
            f"the skops file cannot be opened ({type(error).__name__})",
            "it is damaged or was made with other versions",
            "save it again with the versions installed here",
        ) from None
    check_estimator(held)
    found = open_live(held)
    opened = replace(found, form=f"skops ({found.form})")
    compiled = any("._tree." in name or "Tree" in name for name in untrusted)
    return replace(opened, notes=(*opened.notes, TREES_NOTE)) if compiled else opened


__all__ = ["open_skops"]
