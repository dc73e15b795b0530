"""Gradient estimators: how a training step passes from the guide's weights to the logits.

An estimator is ``(model, guide) -> context``: the step runs inside the context. Prediction never
does: it draws weights.

==========================  =======================================  ========================
estimator                   noise is shared by                       guides
==========================  =======================================  ========================
`WeightDraws`               all images of the batch                  any
`Flipout`                   the pixels of an image                   independent normals
`LocalReparameterisation`   nothing: each activation has its own     independent normals
==========================  =======================================  ========================
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from bayescr.inference.gradients.flipout import Flipout
from bayescr.inference.gradients.local_reparameterisation import LocalReparameterisation
from bayescr.inference.gradients.weight_draws import WeightDraws
from bayescr.models import BayesianSegmenter

__all__ = [
    "FAMILY",
    "Flipout",
    "GradientEstimator",
    "LocalReparameterisation",
    "WeightDraws",
]

GradientEstimator = Callable[[BayesianSegmenter, Any], AbstractContextManager[None]]

FAMILY: dict[str, Callable[..., GradientEstimator]] = {
    "weight-draws": WeightDraws,
    "flipout": Flipout,
    "local-reparameterisation": LocalReparameterisation,
}
