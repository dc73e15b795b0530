"""Mean field: every weight has its own normal."""

from __future__ import annotations

from dataclasses import dataclass

import pyro.distributions as dist
from torch import Tensor, nn

from bayescr._checks import check_positive
from bayescr.inference.guides._weights import (
    FASTER,
    SiteFactory,
    WeightGuide,
    WeightSite,
    log_scale_parameter,
)
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
        check_positive(self, "init_scale")

    def __call__(self, model: BayesianSegmenter) -> WeightGuide:
        """The guide of a model."""
        return WeightGuide(model, self.sites(model))

    def sites(self, model: BayesianSegmenter) -> SiteFactory:
        """Makes the factor of a weight from its name and start value."""
        return lambda name, start: _Normal(start, self.init_scale)


class _Normal(WeightSite):
    learning_rate_factors = {"log_scale": FASTER}

    def __init__(self, start: Tensor, init_scale: float) -> None:
        super().__init__()
        self.loc = nn.Parameter(start.clone())
        self.log_scale = log_scale_parameter(start, init_scale)

    def forward(self) -> dist.Distribution:
        return dist.Normal(self.loc, self.log_scale.exp()).to_event(self.loc.dim())

    def median(self) -> Tensor:
        return self.loc
