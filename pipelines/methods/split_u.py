"""U-shaped split learning: the last layer stays at the sites too, so no outcome is sent."""

from __future__ import annotations

from dataclasses import dataclass, field

from pipelines.methods._split_shapes import Shape, UShaped
from pipelines.methods.split_learning import SplitLearning


@dataclass(frozen=True)
class SplitU(SplitLearning):
    """Split learning in which the outcomes stay at the sites; what gradients tell remains.

    As `split_learning`, with the shape `UShaped()`. Vepakomma et al. 2018 (arXiv 1812.00564).
    """

    shape: Shape = field(default_factory=UShaped)


__all__ = ["SplitU"]
