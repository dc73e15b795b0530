"""Mean field: every weight has its own normal."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pyro.distributions as dist
import torch
from torch import Tensor, nn

from bayescr.errors import BayescrError
from bayescr.inference.guides._weights import SiteFactory, WeightGuide, WeightSite
from bayescr.models import BayesianSegmenter

__all__ = ["MeanField"]


@dataclass(frozen=True, kw_only=True)
class MeanField:
    """Independent normals, w_i ~ N(m_i, s_i^2), sampled directly: the KL has a closed form.

    Means start at the model's weights (a MAP fit's, with ``fit(..., start=...)``) and scales
    small, so that training begins as that of a point and the scales grow where the data allow.

    Attributes:
        init_scale: First standard deviation, in units of the root mean square of the weight's
            start values.

    References:
        Blundell et al., "Weight Uncertainty in Neural Networks", arXiv:1505.05424.
    """

    init_scale: float = 0.05

    def __post_init__(self) -> None:
        if not self.init_scale > 0:
            value = self.init_scale
            raise BayescrError(f"MeanField init_scale is {value}: expected a number above 0")

    def __call__(self, model: BayesianSegmenter) -> WeightGuide:
        """The guide of a model."""
        return WeightGuide(model, self.sites(model))

    def sites(self, model: BayesianSegmenter) -> SiteFactory:
        """Makes the factor of a weight from its name and start value."""
        return lambda name, start: _Normal(start, self.init_scale)


class _Normal(WeightSite):
    def __init__(self, start: Tensor, init_scale: float) -> None:
        super().__init__()
        self.loc = nn.Parameter(start.clone())
        self.log_scale = log_scale_parameter(start, init_scale)

    def forward(self) -> dist.Distribution:
        return dist.Normal(self.loc, self.log_scale.exp()).to_event(self.loc.dim())

    def median(self) -> Tensor:
        return self.loc


def log_scale_parameter(start: Tensor, relative: float) -> nn.Parameter:
    """Log of ``relative`` times the root mean square of ``start``, 1e-2 for all zeros."""
    rms = start.square().mean().sqrt().item()
    log_scale = nn.Parameter(torch.full_like(start, math.log(relative * (rms or 1e-2))))
    # Adam moves a number by at most its learning rate a step, and a scale has decades to cross.
    log_scale.learning_rate_factor = 5.0  # type: ignore[attr-defined]
    return log_scale
