"""Low rank: weights move together along a few directions, those of a tensor or of all layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pyro.distributions as dist
import torch
from pyro.distributions import TorchDistribution, constraints
from torch import Tensor, nn

from bayescr._checks import check_count, check_positive
from bayescr.inference.guides._joint import JointGuide
from bayescr.inference.guides._weights import (
    FASTER,
    SiteFactory,
    WeightGuide,
    WeightSite,
    log_scale_parameter,
)
from bayescr.inference.kl import Moments
from bayescr.models import BayesianSegmenter

__all__ = ["LowRank", "LowRankNormal"]


@dataclass(frozen=True, kw_only=True)
class LowRank:
    """A normal for each weight tensor, its covariance diagonal plus low rank: D^2 + F F^T.

    A layer's kernel and its bias are two tensors, independent of each other; with
    ``across_layers`` the weights of all layers are one vector with one F. The factor F of P
    weights has ``rank`` columns, so that cost and memory are those of a mean field times 1 + rank,
    and not of a full covariance over P^2 pairs.

    Attributes:
        rank: Columns of F.
        init_scale: As in `MeanField`; F starts with a tenth of that scale.
        across_layers: Correlate the weights of different tensors, too.

    References:
        Ong, Nott & Smith, "Gaussian variational approximation with a factor covariance
        structure", arXiv:1701.03208.
        Tomczak, Swaroop & Turner, "Efficient Low Rank Gaussian Variational Inference for Neural
        Networks", NeurIPS 2020.
    """

    rank: int = 4
    init_scale: float = 0.05
    across_layers: bool = False

    def __post_init__(self) -> None:
        check_count(self, "rank")
        check_positive(self, "init_scale")

    def __call__(self, model: BayesianSegmenter) -> WeightGuide:
        """The guide of a model."""
        if self.across_layers:
            return JointGuide(model, "*", self.joint)
        return WeightGuide(model, self.sites(model))

    def sites(self, model: BayesianSegmenter) -> SiteFactory:
        """Makes the factor of a weight from its name and start value."""
        return lambda name, start: _Factor([start], start.shape, self.rank, self.init_scale)

    def joint(self, starts: dict[str, Tensor]) -> WeightSite:
        """The factor of several weights, one after the other, from their start values."""
        return _Factor(list(starts.values()), (-1,), self.rank, self.init_scale)


class LowRankNormal(TorchDistribution):
    """N(loc, diag(scale)^2 + F F^T) over a tensor of any shape, all of it one event.

    Args:
        loc: Mean, of the event's shape with P elements.
        scale: Diagonal standard deviations, of the same shape.
        factor: F, (P, rank).
    """

    arg_constraints = {
        "loc": constraints.real,
        "scale": constraints.positive,
        "factor": constraints.real,
    }
    has_rsample = True

    def __init__(
        self, loc: Tensor, scale: Tensor, factor: Tensor, *, validate_args: bool | None = None
    ) -> None:
        self.loc, self.scale, self.factor = loc, scale, factor
        super().__init__(torch.Size(), loc.shape, validate_args=validate_args)

    @property
    def support(self) -> constraints.Constraint:
        """All real tensors of the event's shape."""
        return constraints.independent(constraints.real, self.loc.dim())

    def rsample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:
        """Draws: loc + scale * e + F h with standard normal e and h."""
        noise = self.loc.new_empty(sample_shape + self.loc.shape).normal_()
        common = self.loc.new_empty((*sample_shape, self.factor.shape[-1])).normal_()
        shared = (common @ self.factor.T).reshape(noise.shape)
        return self.loc + self.scale * noise + shared

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density, by the matrix determinant and inversion lemmas: O(P rank^2)."""
        difference = ((value - self.loc) / self.scale).flatten(-self.loc.dim())
        projected = torch.linalg.solve_triangular(
            self._capacitance(), (difference @ self._scaled_factor()).unsqueeze(-1), upper=False
        )
        mahalanobis = difference.square().sum(-1) - projected.square().sum((-2, -1))
        log_norm = self.loc.numel() * math.log(2.0 * math.pi) + self._log_determinant()
        return -0.5 * (mahalanobis + log_norm)

    def entropy(self) -> Tensor:
        """-E[log q], in nats."""
        constant = self.loc.numel() * math.log(2.0 * math.pi * math.e)
        return 0.5 * (constant + self._log_determinant())

    def moments(self) -> Moments:
        """Mean, scale and factor, from which its KL to a prior follows."""
        return Moments(self.loc, self.scale, self.factor)

    def _scaled_factor(self) -> Tensor:
        return self.factor / self.scale.reshape(-1, 1)

    def _capacitance(self) -> Tensor:
        """Cholesky factor of I + F^T D^-2 F, (rank, rank)."""
        factor = self._scaled_factor()
        gram = factor.T @ factor
        return torch.linalg.cholesky(gram + torch.eye(len(gram), device=gram.device))

    def _log_determinant(self) -> Tensor:
        """Log |D^2 + F F^T|."""
        return 2.0 * (self.scale.log().sum() + self._capacitance().diagonal().log().sum())


class _Factor(WeightSite):
    """Of weights that are put one after the other and take a shape."""

    learning_rate_factors = {"log_scale": FASTER}

    def __init__(
        self, starts: Sequence[Tensor], shape: Sequence[int], rank: int, init_scale: float
    ) -> None:
        super().__init__()
        log_scales = [log_scale_parameter(start, init_scale) for start in starts]
        self.loc = nn.Parameter(_joined(starts, shape))
        self.log_scale = nn.Parameter(_joined(log_scales, shape))
        # Columns that start equal would stay equal: a small random start breaks the tie. In units
        # of the scale, since a step of the optimiser moves P weights coherently along a column.
        noise = self.loc.new_empty(self.loc.numel(), rank).normal_()
        self.relative_factor = nn.Parameter(0.1 * noise)

    def forward(self) -> dist.Distribution:
        scale = self.log_scale.exp()
        return LowRankNormal(self.loc, scale, scale.reshape(-1, 1) * self.relative_factor)

    def median(self) -> Tensor:
        return self.loc


def _joined(tensors: Sequence[Tensor], shape: Sequence[int]) -> Tensor:
    return torch.cat([tensor.detach().flatten() for tensor in tensors]).reshape(shape)
