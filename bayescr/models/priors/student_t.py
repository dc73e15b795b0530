"""w ~ Student's t: rare weights may be much larger than the others."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pyro.distributions as dist
from pyro.distributions import Distribution
from torch import Tensor

from bayescr._checks import is_number
from bayescr.errors import BayescrError
from bayescr.models.priors._he import FreelyScaled

__all__ = ["StudentT"]


@dataclass(frozen=True, kw_only=True)
class StudentT(FreelyScaled):
    """Independent Student-t weights with the standard deviation of `FanInNormal`.

        w = s t,   t ~ StudentT(df),   s^2 df / (df - 2) = gain^2 / fan_in
        b ~ N(0, bias_scale^2)

    Settings speak of standard deviations, not of s: priors of equal settings differ in shape
    alone, and activations keep their scale under all of them. Hence df is above 2: at 2 and below
    the variance is infinite, and nothing fixes the scale of the activations.

    Attributes:
        gain: Standard deviation of the weights times the square root of their fan-in, above 0.
        bias_scale: Standard deviation of the biases, above 0.
        scale: Standard deviation of the weights, above 0, whatever their fan-in; None: gain /
            sqrt(fan_in).
        df: Degrees of freedom, above 2; the tails fall like |w|^-(df + 1). The kurtosis is
            finite above 4.

    References:
        Fortuin et al., "Bayesian Neural Network Priors Revisited", arXiv:2102.06571.
    """

    df: float = 5.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (is_number(self.df) and self.df > 2):
            raise BayescrError(
                f"StudentT df is {self.df!r}: expected a number above 2, where the variance is "
                "finite"
            )

    def _weight(self, name: str, parameter: Tensor, stddev: float) -> Distribution:
        scale = stddev * math.sqrt((self.df - 2.0) / self.df)
        zeros = parameter.new_zeros(parameter.shape)
        return dist.StudentT(self.df, zeros, scale).to_event(parameter.dim())
