"""w ~ N(0, gain^2 / fan_in): activations keep their scale from layer to layer."""

from __future__ import annotations

from dataclasses import dataclass

from pyro.distributions import Distribution
from torch import Tensor

from bayescr.models.priors._he import HeScaled, normal

__all__ = ["FanInNormal"]


@dataclass(frozen=True, kw_only=True)
class FanInNormal(HeScaled):
    """Independent normal weights, scaled so that a layer neither amplifies nor dampens.

        w ~ N(0, gain^2 / fan_in)        b ~ N(0, bias_scale^2)

    where fan_in is the number of inputs an output sums (`bayescr.models.fan_in`; it knows
    transposed convolutions). gain^2 = 2 is He's value for rectifiers.

    Attributes:
        gain: Standard deviation of the weights times the square root of their fan-in, above 0.
        bias_scale: Standard deviation of the biases, above 0.

    References:
        Neal, "Bayesian Learning for Neural Networks" (1996), chapter 2.
        He et al., "Delving Deep into Rectifiers", arXiv:1502.01852.
    """

    def _weight(self, name: str, parameter: Tensor, stddev: float) -> Distribution:
        return normal(parameter, stddev)
