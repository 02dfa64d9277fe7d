"""Models whose trees are handed out in a format that is not read here: said, and not overlooked."""

from __future__ import annotations

import numpy as np

from privaudit.errors import PrivauditError
from privaudit.records import Records
from privaudit.trees import Trees


class UnreadTrees:
    """What a model of such a format says of its trees."""

    def read_trees(self) -> Trees:
        """Refused: see `privaudit.contracts.HasTrees`."""
        raise _refuse_trees()

    def tree_inputs(self, records: Records) -> np.ndarray:
        """Refused in the same way."""
        raise _refuse_trees()


def _refuse_trees() -> PrivauditError:
    return PrivauditError(
        "trees in a format that is not read",
        "read are those of XGBoost, LightGBM and scikit-learn (skops): what these state of single "
        "training records is not known",
        "give the model in one of these formats if it was trained with such a library",
    )


__all__ = ["UnreadTrees"]
