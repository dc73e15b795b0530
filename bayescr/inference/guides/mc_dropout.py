"""MC-dropout: feature maps are switched off at random, in prediction as in training."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pyro.distributions as dist
import torch
from pyro.distributions import TorchDistribution, constraints
from torch import Tensor, nn

from bayescr.errors import BayescrError
from bayescr.inference.guides._weights import SiteFactory, WeightGuide, WeightSite
from bayescr.models import BayesianSegmenter

__all__ = ["ChannelDropout", "MCDropout"]


@dataclass(frozen=True, kw_only=True)
class MCDropout:
    """Dropout of feature maps as a distribution over weights: w = m * z, z_c ~ Bernoulli(1 - p).

    One z_c for each input channel c of a layer: z_c = 0 silences the feature map that feeds it.
    The input image and the biases are never dropped. Since the masks are draws of the weights,
    one draw serves a whole frame, and the same model and ELBO serve this guide.

    Start values are divided by 1 - p: the mean of the weights starts where the model is.

    Attributes:
        p: Probability of dropping a feature map.

    References:
        Gal & Ghahramani, "Dropout as a Bayesian Approximation", arXiv:1506.02142.
    """

    p: float = 0.05

    def __post_init__(self) -> None:
        if not 0.0 < self.p < 1.0:
            raise BayescrError(f"MCDropout p is {self.p}: expected a probability between 0 and 1")

    def __call__(self, model: BayesianSegmenter) -> WeightGuide:
        """The guide of a model."""
        return WeightGuide(model, self.sites(model))

    def sites(self, model: BayesianSegmenter) -> SiteFactory:
        """Makes the factor of a weight from its name and start value."""
        return lambda name, start: _Dropped(start, self.p, model.feature_axis(name))


class ChannelDropout(TorchDistribution):
    """w = loc * z with a mask z_c ~ Bernoulli(keep) for each index c of one axis.

    A discrete distribution: ``log_prob`` is the log of a probability. Its KL to a continuous
    prior is taken up to the constant that the two measures leave open, as for a point mass.

    Args:
        loc: The weights when nothing is dropped.
        keep: Probability that a channel stays.
        axis: Axis of the channels; None drops nothing.
    """

    arg_constraints = {"loc": constraints.real}
    has_rsample = True  # a draw is differentiable in loc; the masks have no parameter

    def __init__(
        self, loc: Tensor, keep: float, axis: int | None, *, validate_args: bool | None = None
    ) -> None:
        self.loc, self.keep, self.axis = loc, keep, axis
        super().__init__(torch.Size(), loc.shape, validate_args=validate_args)

    @property
    def support(self) -> constraints.Constraint:
        """All real tensors of the event's shape, of which it takes finitely many."""
        return constraints.independent(constraints.real, self.loc.dim())

    def rsample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:
        """The weights, times zero for dropped channels."""
        if self.axis is None:
            return self.loc.expand(sample_shape + self.loc.shape)
        shape = [1] * self.loc.dim()
        shape[self.axis] = self.loc.shape[self.axis]
        mask = torch.full((*sample_shape, *shape), self.keep, device=self.loc.device).bernoulli()
        return self.loc * mask

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-probability of a draw: its mask is read off the channels that are zero."""
        if self.axis is None:
            return value.new_zeros(value.shape[: value.dim() - self.loc.dim()])
        axes = [axis - self.loc.dim() for axis in range(self.loc.dim()) if axis != self.axis]
        kept = (value == self.loc).all(axes) if axes else value == self.loc
        dropped = (value == 0).all(axes) if axes else value == 0
        return (self.keep * kept + (1.0 - self.keep) * dropped).log().sum(-1)

    def kl_divergence(self, prior: dist.Distribution) -> Tensor | None:
        """Exact, for a prior with independent weights; None for any other.

        KL = -sum_c H(z_c) - sum_i [ keep log p_i(m_i) + (1 - keep) log p_i(0) ]
        """
        if not isinstance(prior, dist.Independent) or prior.base_dist.event_shape:
            return None
        kept = prior.base_dist.log_prob(self.loc)
        if self.axis is None:
            return -kept.sum()
        dropped = prior.base_dist.log_prob(torch.zeros_like(self.loc))
        entropy = -self.keep * math.log(self.keep) - (1 - self.keep) * math.log(1 - self.keep)
        cross = (self.keep * kept + (1.0 - self.keep) * dropped).sum()
        return -self.loc.shape[self.axis] * entropy - cross


class _Dropped(WeightSite):
    has_density = False

    def __init__(self, start: Tensor, p: float, axis: int | None) -> None:
        super().__init__()
        self.keep, self.axis = 1.0 - p, axis
        self.loc = nn.Parameter(start / self.keep if axis is not None else start.clone())

    def forward(self) -> dist.Distribution:
        return ChannelDropout(self.loc, self.keep, self.axis)

    def median(self) -> Tensor:
        return self.loc * self.keep if self.axis is not None else self.loc
