"""Weight draws: one draw of the weights for a whole batch."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from bayescr.models import BayesianSegmenter

__all__ = ["WeightDraws"]


@dataclass(frozen=True, kw_only=True)
class WeightDraws:
    """One draw of the weights for all images of a batch: for any guide.

    What the draw does to one image it does to all, so that its share of the gradient's variance
    does not fall with the size of the batch.

    References:
        Blundell et al., "Weight Uncertainty in Neural Networks", arXiv:1505.05424.
    """

    def __call__(self, model: BayesianSegmenter, guide: Any) -> AbstractContextManager[None]:
        """Change nothing."""
        return contextlib.nullcontext()
