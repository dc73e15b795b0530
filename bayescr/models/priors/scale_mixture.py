"""w ~ a narrow or a wide normal: a spike for what is not needed, a slab for what is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from pyro.distributions import Distribution, TorchDistribution, constraints
from torch import Tensor

from bayescr._checks import check_share
from bayescr.models.priors._he import FreelyScaled

__all__ = ["NormalMixture", "ScaleMixture"]


@dataclass(frozen=True, kw_only=True)
class ScaleMixture(FreelyScaled):
    """Each weight from one of two normals about zero, independently of the others.

        w ~ share N(0, s1^2) + (1 - share) N(0, s2^2),    s2 = ratio s1
        share s1^2 + (1 - share) s2^2 = gain^2 / fan_in
        b ~ N(0, bias_scale^2)

    The standard deviation of the mixture is that of `FanInNormal`, so that activations keep their
    scale; the paper sets s1 and s2 themselves, the same for all layers.

    Attributes:
        gain: Standard deviation of the weights times the square root of their fan-in, above 0.
        bias_scale: Standard deviation of the biases, above 0.
        scale: Standard deviation of the weights, above 0, whatever their fan-in; None: gain /
            sqrt(fan_in).
        share: Of the wide component, between 0 and 1.
        ratio: Of the narrow scale to the wide one, between 0 and 1.

    References:
        Blundell et al., "Weight Uncertainty in Neural Networks", arXiv:1505.05424.
    """

    share: float = 0.5
    ratio: float = 0.05

    def __post_init__(self) -> None:
        super().__post_init__()
        check_share(self, "share", "ratio")

    def _weight(self, name: str, parameter: Tensor, stddev: float) -> Distribution:
        wide = stddev / math.sqrt(self.share + (1.0 - self.share) * self.ratio**2)
        scales = parameter.new_tensor([wide, self.ratio * wide])
        shares = parameter.new_tensor([self.share, 1.0 - self.share])
        return NormalMixture(shares, scales, parameter.shape)


class NormalMixture(TorchDistribution):
    """Independent numbers, each from one of m normals about zero; all of them one event.

    Torch's own mixture has no transform to its support, which autoguides ask for.

    Args:
        shares: Of the components, (m,), their sum 1.
        scales: Their standard deviations, (m,).
        shape: Of the event.
    """

    arg_constraints = {
        "shares": constraints.simplex,
        "scales": constraints.independent(constraints.positive, 1),
    }

    def __init__(
        self,
        shares: Tensor,
        scales: Tensor,
        shape: torch.Size,
        *,
        validate_args: bool | None = None,
    ) -> None:
        self.shares, self.scales = shares, scales
        super().__init__(torch.Size(), shape, validate_args=validate_args)

    @property
    def support(self) -> constraints.Constraint:
        """All real tensors of the event's shape."""
        return constraints.independent(constraints.real, len(self.event_shape))

    @property
    def mean(self) -> Tensor:
        """Zero."""
        return self.scales.new_zeros(self.event_shape)

    @property
    def variance(self) -> Tensor:
        """Of each number."""
        return (self.shares * self.scales.square()).sum().expand(self.event_shape)

    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:
        """Draw a component for each number, then the number."""
        shape = torch.Size(sample_shape) + self.event_shape
        uniform = self.scales.new_empty(shape).uniform_()
        inner = self.shares.cumsum(0)[:-1]  # the last is 1, up to rounding
        component = torch.bucketize(uniform, inner, right=True)
        return self.scales[component] * self.scales.new_empty(shape).normal_()

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density, summed over the event."""
        standard = value.unsqueeze(-1) / self.scales
        log_norm = self.shares.log() - self.scales.log() - 0.5 * math.log(2.0 * math.pi)
        each = torch.logsumexp(log_norm - 0.5 * standard.square(), -1)
        return each.flatten(-len(self.event_shape)).sum(-1)
