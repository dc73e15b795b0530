"""Gradient estimators: how a training step passes from the guide's weights to the logits.

An estimator is ``(model, guide) -> context``: the step runs inside the context. Prediction never
does: it draws weights.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from bayescr.models import BayesianSegmenter

__all__ = ["FAMILY", "GradientEstimator", "WeightDraws"]

GradientEstimator = Callable[[BayesianSegmenter, Any], AbstractContextManager[None]]


@dataclass(frozen=True, kw_only=True)
class WeightDraws:
    """One draw of the weights for all images of a batch: for any guide."""

    def __call__(self, model: BayesianSegmenter, guide: Any) -> AbstractContextManager[None]:
        """Change nothing."""
        return contextlib.nullcontext()


FAMILY: dict[str, Callable[..., GradientEstimator]] = {"weight-draws": WeightDraws}
