"""Normal weights that are alike where they are close to each other in a kernel."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from pyro.distributions import Distribution, TorchDistribution, constraints
from torch import Tensor

from bayescr._checks import check_positive
from bayescr.models.priors._he import HeScaled, normal

__all__ = ["CorrelatedNormal", "KernelNormal"]


@dataclass(frozen=True, kw_only=True)
class CorrelatedNormal(HeScaled):
    """Kernels that are smooth in space, independent of each other over the channels.

        cov(w_i, w_j) = gain^2 / fan_in * exp(-|r_i - r_j| / lengthscale)

    for two taps of one kernel at positions r_i and r_j. Each weight by itself has the scale of
    `FanInNormal`, and where the kernel has one tap only (1 x 1 convolutions, linear layers) this
    is `FanInNormal`. Biases ~ N(0, bias_scale^2). Since its taps mostly have one sign, a kernel
    answers to what is smooth more than to noise: on a constant image an output of a 3 x 3 layer
    has, at lengthscale 1, 2.8 times the variance that independent taps give, and 9 times for a
    long one.

    Attributes:
        gain: Standard deviation of the weights times the square root of their fan-in, above 0.
        bias_scale: Standard deviation of the biases, above 0.
        lengthscale: Distance over which the correlation falls to 1/e, in taps, above 0.

    References:
        Fortuin et al., "Bayesian Neural Network Priors Revisited", arXiv:2102.06571.
    """

    lengthscale: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self, "lengthscale")

    def _weight(self, name: str, parameter: Tensor, stddev: float) -> Distribution:
        kernel = tuple(parameter.shape[2:])
        if math.prod(kernel) == 1:
            return normal(parameter, stddev)
        correlation = np.exp(-_distances(kernel) / self.lengthscale)
        cholesky = parameter.new_tensor(stddev * np.linalg.cholesky(correlation))
        return KernelNormal(cholesky, parameter.shape)


class KernelNormal(TorchDistribution):
    """Kernels that are normal about zero, each N(0, L L^T), independent of each other.

    Args:
        cholesky: L, (T, T) for kernels of T taps, in the order in which they lie in memory.
        shape: Of the event: two axes of channels, then those of the kernel.
    """

    arg_constraints = {"cholesky": constraints.lower_cholesky}
    has_rsample = True

    def __init__(
        self, cholesky: Tensor, shape: torch.Size, *, validate_args: bool | None = None
    ) -> None:
        self.cholesky = cholesky
        super().__init__(torch.Size(), shape, validate_args=validate_args)

    @property
    def support(self) -> constraints.Constraint:
        """All real tensors of the event's shape."""
        return constraints.independent(constraints.real, len(self.event_shape))

    @property
    def mean(self) -> Tensor:
        """Zero."""
        return self.cholesky.new_zeros(self.event_shape)

    @property
    def variance(self) -> Tensor:
        """Of each number."""
        each = self.cholesky.square().sum(-1)
        return each.reshape(self.event_shape[2:]).expand(self.event_shape)

    def rsample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:
        """Draws: L e for each kernel, with standard normal e."""
        shape = torch.Size(sample_shape) + self.event_shape
        noise = self.cholesky.new_empty(shape).normal_()
        return (noise.flatten(2 - len(self.event_shape)) @ self.cholesky.mT).reshape(shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density, summed over the kernels."""
        whitened = self._whitened(value.flatten(2 - len(self.event_shape)))  # (..., A, B, T)
        return self._log_norm() - 0.5 * whitened.square().sum((-3, -2, -1))

    def expected_log_prob(self, mean: Tensor, scale: Tensor, factor: Tensor | None) -> Tensor:
        """E[log p] under N(mean, diag(scale)^2 + F F^T), exact.

            E[x^T K^-1 x] = m^T K^-1 m + tr(K^-1 (diag(scale)^2 + F F^T))   in each kernel

        Args:
            mean: Of the event's shape.
            scale: Diagonal standard deviations, of the same shape.
            factor: F, (number of weights, rank); None: no correlations.
        """
        taps = len(self.cholesky)
        inverse = self._whitened(torch.eye(taps, out=torch.empty_like(self.cholesky)))
        precision = inverse.square().sum(-1)  # the diagonal of K^-1
        quadratic = self._whitened(mean.reshape(-1, taps)).square().sum()
        quadratic = quadratic + (scale.reshape(-1, taps).square() * precision).sum()
        if factor is not None:
            columns = factor.reshape(-1, taps, factor.shape[-1]).mT  # (kernels, rank, T)
            quadratic = quadratic + self._whitened(columns).square().sum()
        return self._log_norm() - 0.5 * quadratic

    def _whitened(self, kernels: Tensor) -> Tensor:
        """L^-1 x for kernels x, (..., T)."""
        return torch.linalg.solve_triangular(self.cholesky.mT, kernels, upper=True, left=False)

    def _log_norm(self) -> Tensor:
        """Log-density at zero."""
        kernels = math.prod(self.event_shape[:2])
        each = self.cholesky.diagonal().log().sum()
        return -kernels * (each + 0.5 * len(self.cholesky) * math.log(2.0 * math.pi))


def _distances(kernel: tuple[int, ...]) -> np.ndarray:
    """Distance between each two taps of a kernel, (T, T)."""
    taps = np.indices(kernel).reshape(len(kernel), -1).T
    return np.sqrt(np.square(taps[:, None] - taps[None]).sum(-1))
