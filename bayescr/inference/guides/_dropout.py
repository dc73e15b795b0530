"""What the guides share that switch feature maps off: weights times masks."""

from __future__ import annotations

from collections.abc import Callable

import pyro.distributions as dist
import torch
from pyro.distributions import TorchDistribution, constraints
from torch import Tensor, nn

from bayescr.inference.guides._weights import Point, SiteFactory, WeightSite
from bayescr.models import BayesianSegmenter

__all__ = ["ChannelDropout", "Dropped", "RelaxedChannelDropout", "dropped_sites"]


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
    has_rsample = True  # a draw is differentiable in loc, though not in keep

    def __init__(
        self,
        loc: Tensor,
        keep: float | Tensor,
        axis: int | None,
        *,
        validate_args: bool | None = None,
    ) -> None:
        self.loc, self.axis = loc, axis
        self.keep = keep if isinstance(keep, Tensor) else loc.new_full((), keep)
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
        return self.loc * self._mask(torch.Size((*sample_shape, *shape)))

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
        return -self.mask_entropy() - (self.keep * kept + (1.0 - self.keep) * dropped).sum()

    def mask_entropy(self) -> Tensor:
        """Sum of H(z_c) over the channels, in nats."""
        channels = 0 if self.axis is None else self.loc.shape[self.axis]
        return channels * dist.Bernoulli(self.keep).entropy()

    def _mask(self, shape: torch.Size) -> Tensor:
        return self.keep.detach().expand(shape).bernoulli()


class RelaxedChannelDropout(ChannelDropout):
    """The same with masks between 0 and 1, so that a draw is differentiable in ``keep``.

        z_c = 1 - sigmoid( (logit u - logit keep) / temperature ),   u ~ uniform on [0, 1]

    which is above 1/2 with probability ``keep`` and tends to 0 or 1 as the temperature falls.
    These masks stand for Bernoulli ones: the KL, and the entropy of the masks where the prior is
    sampled, are those of `ChannelDropout`.

    Args:
        loc: The weights when nothing is dropped.
        keep: Probability that a channel stays.
        axis: Axis of the channels.
        temperature: Above 0.
    """

    def __init__(
        self,
        loc: Tensor,
        keep: float | Tensor,
        axis: int,
        *,
        temperature: float,
        validate_args: bool | None = None,
    ) -> None:
        self.temperature = temperature
        super().__init__(loc, keep, axis, validate_args=validate_args)

    def log_prob(self, value: Tensor) -> Tensor:
        """E[log q], the same for every draw: that of a single one has no useful gradient."""
        batch = value.shape[: value.dim() - self.loc.dim()]
        return -self.mask_entropy().expand(batch)

    def _mask(self, shape: torch.Size) -> Tensor:
        noise = torch.rand(shape, dtype=self.loc.dtype, device=self.loc.device).logit()
        stay = dist.Bernoulli(self.keep).logits
        # Not sigmoid of the negative: close to 1 that would round the gradient to zero.
        return 1.0 - torch.sigmoid((noise - stay) / self.temperature)


class Dropped(WeightSite):
    """Weights whose feature maps are dropped; the mean of the weights starts at ``start``.

    Args:
        start: Start values.
        keep: Probability, at the start, that a feature map stays.
        axis: Along which the feature maps are counted.
    """

    has_density = False

    def __init__(self, start: Tensor, keep: float, axis: int) -> None:
        super().__init__()
        self.axis = axis
        self.loc = nn.Parameter(start / keep)
        self._keep = keep

    def keep(self) -> float | Tensor:
        """Probability that a feature map stays."""
        return self._keep

    def forward(self) -> dist.Distribution:
        """Weights times masks of zeros and ones."""
        return ChannelDropout(self.loc, self.keep(), self.axis)

    def median(self) -> Tensor:
        """The mean."""
        return self.loc * self.keep()


def dropped_sites(
    model: BayesianSegmenter, make: Callable[[Tensor, int], WeightSite]
) -> SiteFactory:
    """A factor, from start and axis, for weights that feature maps feed; points for all others."""

    def site(name: str, start: Tensor) -> WeightSite:
        axis = model.feature_axis(name)
        return Point(start) if axis is None else make(start, axis)

    return site
