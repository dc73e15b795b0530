"""Radial: as far from the mean in a thousand dimensions as in one."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pyro.distributions as dist
import torch
from pyro.distributions import TorchDistribution, constraints
from torch import Tensor, nn

from bayescr._checks import check_positive
from bayescr.inference.guides._weights import (
    FASTER,
    SiteFactory,
    WeightGuide,
    WeightSite,
    log_scale_parameter,
)
from bayescr.inference.kl import normal_cross_entropy
from bayescr.models import BayesianSegmenter

__all__ = ["Radial", "RadialNormal"]


@dataclass(frozen=True, kw_only=True)
class Radial:
    """For each weight tensor a random direction and a normal distance: w = m + s * (e / |e|) * r.

    e is standard normal over the tensor, r ~ N(0, 1) one number for all of it. Under `MeanField`
    the distance |(w - m) / s| of P weights is sqrt(P) with hardly any scatter, so that no draw is
    near the mean. Here it is |r|, whatever P is: gradients are less noisy.

    Attributes:
        init_scale: As in `MeanField`, the first standard deviation of each weight, which is
            s / sqrt(P), in units of the root mean square of the tensor's start values.

    References:
        Farquhar, Osborne & Gal, "Radial Bayesian Neural Networks: Beyond Discrete Support In
        Large-Scale Bayesian Deep Learning", arXiv:1907.00865.
    """

    init_scale: float = 0.05

    def __post_init__(self) -> None:
        check_positive(self, "init_scale")

    def __call__(self, model: BayesianSegmenter) -> WeightGuide:
        """The guide of a model."""
        return WeightGuide(model, self.sites(model))

    def sites(self, model: BayesianSegmenter) -> SiteFactory:
        """Makes the factor of a weight from its name and start value."""
        return lambda name, start: _Radial(start, self.init_scale)


class RadialNormal(TorchDistribution):
    """w = loc + scale * u * r: u uniform on the unit sphere of the event's numbers, r ~ N(0, 1).

    The sign of r is lost in that of u: with d = (w - loc) / scale, |d| is half-normal and

        log q(w) = log 2 N(|d|; 0, 1) - log A_P - (P - 1) log |d| - sum_i log scale_i

    where A_P = 2 pi^(P/2) / Gamma(P/2) is the area of the sphere. For P = 1 it is the normal.

    Args:
        loc: Mean, of the event's shape with P elements.
        scale: Of each number, of the same shape; its standard deviation times sqrt(P).
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    has_rsample = True

    def __init__(self, loc: Tensor, scale: Tensor, *, validate_args: bool | None = None) -> None:
        self.loc, self.scale = loc, scale
        super().__init__(torch.Size(), loc.shape, validate_args=validate_args)

    @property
    def support(self) -> constraints.Constraint:
        """All real tensors of the event's shape."""
        return constraints.independent(constraints.real, self.loc.dim())

    @property
    def mean(self) -> Tensor:
        """The location."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """scale^2 / P: E[u_i^2] = 1 / P."""
        return self.scale.square() / self.loc.numel()

    def rsample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:
        """Draws, by their direction and distance."""
        noise = self.loc.new_empty((*sample_shape, self.loc.numel())).normal_()
        distance = self.loc.new_empty((*sample_shape, 1)).normal_()
        radial = noise / noise.norm(dim=-1, keepdim=True) * distance
        return self.loc + self.scale * radial.reshape(sample_shape + self.loc.shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density."""
        difference = (value - self.loc) / self.scale
        distance = difference.flatten(-self.loc.dim()).norm(dim=-1)
        directions = torch.xlogy(self.loc.numel() - 1.0, distance)  # none for a single number
        return -0.5 * distance.square() - directions - self._log_norm()

    def entropy(self) -> Tensor:
        """-E[log q], in nats."""
        mean_log_distance = -0.5 * (_EULER + math.log(2.0))
        return 0.5 + (self.loc.numel() - 1) * mean_log_distance + self._log_norm()

    def kl_divergence(self, prior: dist.Distribution) -> Tensor | None:
        """Exact, for a prior of independent normals; None for any other."""
        cross = normal_cross_entropy(self.mean, self.variance, prior)
        return None if cross is None else cross - self.entropy()

    def _log_norm(self) -> Tensor:
        """What the log-density lacks of -|d|^2 / 2 - (P - 1) log |d|, with the other sign."""
        half = 0.5 * self.loc.numel()
        log_area = math.log(2.0) + half * math.log(math.pi) - math.lgamma(half)
        return log_area - 0.5 * math.log(2.0 / math.pi) + self.scale.log().sum()


class _Radial(WeightSite):
    learning_rate_factors = {"log_scale": FASTER}

    def __init__(self, start: Tensor, init_scale: float) -> None:
        super().__init__()
        self.loc = nn.Parameter(start.clone())
        self.log_scale = log_scale_parameter(start, init_scale * math.sqrt(start.numel()))

    def forward(self) -> dist.Distribution:
        return RadialNormal(self.loc, self.log_scale.exp())

    def median(self) -> Tensor:
        return self.loc


_EULER = 0.5772156649015329  # E[log |r|] of a standard normal is -(this + log 2) / 2
