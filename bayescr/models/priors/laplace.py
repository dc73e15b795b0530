"""w ~ Laplace: most weights small, some large."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pyro.distributions as dist
from pyro.distributions import Distribution
from torch import Tensor

from bayescr.models.priors._he import FreelyScaled

__all__ = ["Laplace"]


@dataclass(frozen=True, kw_only=True)
class Laplace(FreelyScaled):
    """Independent Laplace weights with the standard deviation of `FanInNormal`.

        p(w) = exp(-|w| / b) / (2 b),   2 b^2 = gain^2 / fan_in        bias ~ N(0, bias_scale^2)

    Settings speak of standard deviations, sqrt(2) b, not of b: priors of equal settings differ in
    shape alone, and activations keep their scale under all of them. Under `MAP` this is an L1
    penalty.

    Attributes:
        gain: Standard deviation of the weights times the square root of their fan-in, above 0.
        bias_scale: Standard deviation of the biases, above 0.
        scale: Standard deviation of the weights, above 0, whatever their fan-in; None: gain /
            sqrt(fan_in).

    References:
        Williams, "Bayesian Regularization and Pruning Using a Laplace Prior", Neural Computation
        7 (1995), 117.
    """

    def _weight(self, name: str, parameter: Tensor, stddev: float) -> Distribution:
        zeros = parameter.new_zeros(parameter.shape)
        return dist.Laplace(zeros, stddev / math.sqrt(2.0)).to_event(parameter.dim())
