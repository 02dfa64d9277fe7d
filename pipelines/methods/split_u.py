"""U-shaped split learning: the last layer stays at the sites too; gradients tell the outcomes."""

from __future__ import annotations

from dataclasses import dataclass, field

from pipelines.methods._split_shapes import Shape, UShaped
from pipelines.methods.split_learning import SplitLearning


@dataclass(frozen=True)
class SplitU(SplitLearning):
    """Split learning in which no outcome is sent as such; the gradients in their place are.

    With cross entropy a record's gradient at the last layer is (p - y) times that layer's weights,
    so that for two outcomes its side is the outcome: this shape hides no outcome from the server.
    As `split_learning`, with the shape `UShaped()`. Vepakomma et al. 2018 (arXiv 1812.00564).
    """

    shape: Shape = field(default_factory=UShaped)


__all__ = ["SplitU"]
