"""Rank one: the inputs and outputs of a layer are each multiplied by a number close to one."""

from __future__ import annotations

from dataclasses import dataclass

import pyro
import pyro.distributions as dist
import torch
from pyro.distributions import TorchDistribution, constraints
from torch import Tensor, nn
from torch.distributions import kl_divergence

from bayescr._checks import check_positive
from bayescr.inference.guides._weights import (
    FASTER,
    Point,
    SiteFactory,
    WeightGuide,
    WeightSite,
    log_scale_parameter,
)
from bayescr.inference.kl import normal_cross_entropy
from bayescr.models import BayesianSegmenter
from bayescr.models.fan_in import input_axis, output_axis

__all__ = ["Rank1"]


@dataclass(frozen=True, kw_only=True)
class Rank1:
    """w_oi = m_oi r_o s_i: a point m, and normal factors for output and input channels.

    m is trained as a point. r and s have priors N(1, prior_scale^2) and independent normals
    q(r), q(s), whose means start at 1: a few numbers a layer, however large its kernel. The
    channels of the image are perturbed, too, as in the paper. Biases, and the weights of layers
    without one axis of inputs and one of outputs (grouped convolutions), are points.

    Draws of w lie on a surface, so that q(w) has no density and no KL to a prior p(w). The bound
    is that of a model in which the prior of m, r and s together is p(w) times that of r and s:

        neg_elbo = -E_q[log p(y | x, w)] + KL( q(r, s) || p(r, s) ) - E_q[log p(w)]

    up to the constant that the two measures leave open, as for a point mass.

    The paper's posterior is a mixture of such factors around one m; this is its one component.

    Attributes:
        init_scale: Standard deviation of the factors at the start.
        prior_scale: Standard deviation of their prior around 1; 0.1 in the paper.

    References:
        Dusenberry et al., "Efficient and Scalable Bayesian Neural Nets with Rank-1 Factors",
        arXiv:2005.07186.
    """

    init_scale: float = 0.05
    prior_scale: float = 0.1

    def __post_init__(self) -> None:
        check_positive(self, "init_scale", "prior_scale")

    def __call__(self, model: BayesianSegmenter) -> WeightGuide:
        """The guide of a model."""
        return WeightGuide(model, self.sites(model))

    def sites(self, model: BayesianSegmenter) -> SiteFactory:
        """Makes the factor of a weight from its name and start value."""

        def site(name: str, start: Tensor) -> WeightSite:
            layer = model.net.get_submodule(name.rpartition(".")[0])
            outputs, inputs = output_axis(layer), input_axis(layer)
            if start.dim() < 2 or outputs is None or inputs is None:
                return Point(start)
            return _Perturbed(start, (outputs, inputs), self.init_scale, self.prior_scale)

        return site


class _Perturbed(WeightSite):
    has_density = False
    learning_rate_factors = {"factor_log_scale": FASTER}

    def __init__(
        self, start: Tensor, axes: tuple[int, int], init_scale: float, prior_scale: float
    ) -> None:
        super().__init__()
        self.axes, self.prior_scale = axes, prior_scale
        self.loc = nn.Parameter(start.clone())
        ones = start.new_ones(sum(start.shape[axis] for axis in axes))  # of r, then of s
        self.factor_loc = nn.Parameter(ones)
        self.factor_log_scale = log_scale_parameter(ones, init_scale)

    def forward(self) -> dist.Distribution:
        return self._weight(self._factors().rsample())

    def sample(self, name: str) -> Tensor:
        infer = {"is_auxiliary": True, "pieces": [name]}
        factors = pyro.sample(f"{name}_factors", self._factors(), infer=infer)
        return pyro.sample(name, self._weight(factors))

    def median(self) -> Tensor:
        r, s = self._along_axes(self.factor_loc)
        return self.loc * (r * s)

    def _factors(self) -> dist.Distribution:
        prior = dist.Normal(torch.ones_like(self.factor_loc), self.prior_scale)
        q = dist.Normal(self.factor_loc, self.factor_log_scale.exp())
        return _Relative(q.to_event(1), prior.to_event(1))

    def _weight(self, factors: Tensor) -> dist.Distribution:
        r, s = self._along_axes(factors)
        r_mean, s_mean = self._along_axes(self.factor_loc)
        r_variance, s_variance = self._along_axes((2.0 * self.factor_log_scale).exp())
        mean = r_mean * s_mean
        variance = r_variance * s_variance + r_variance * s_mean**2 + r_mean**2 * s_variance
        return _Product(self.loc * (r * s), self.loc * mean, self.loc.square() * variance)

    def _along_axes(self, factors: Tensor) -> list[Tensor]:
        """Numbers of the outputs and of the inputs, shaped to go with the weight."""
        sizes = [self.loc.shape[axis] for axis in self.axes]
        parts = []
        for axis, part in zip(self.axes, factors.split(sizes), strict=True):
            shape = [1] * self.loc.dim()
            shape[axis] = -1
            parts.append(part.reshape(shape))
        return parts


class _Relative(TorchDistribution):
    """q, its density counted relative to that of a prior: the entropy is -KL(q || prior)."""

    arg_constraints: dict[str, constraints.Constraint] = {}
    has_rsample = True

    def __init__(self, q: dist.Distribution, prior: dist.Distribution) -> None:
        self.q, self.prior = q, prior
        super().__init__(q.batch_shape, q.event_shape, validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        return self.q.support

    def rsample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:
        return self.q.rsample(sample_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        return self.q.log_prob(value) - self.prior.log_prob(value)

    def entropy(self) -> Tensor:
        return -kl_divergence(self.q, self.prior)


class _Product(dist.Delta):
    """A weight made of factors that were drawn before it, with its mean and variance."""

    def __init__(self, value: Tensor, mean: Tensor, variance: Tensor) -> None:
        super().__init__(value, event_dim=value.dim())
        self.of_all_draws = mean, variance

    def kl_divergence(self, prior: dist.Distribution) -> Tensor | None:
        """-E[log prior]: the factors' own part is counted where they are drawn."""
        return normal_cross_entropy(*self.of_all_draws, prior)
