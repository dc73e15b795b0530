"""w ~ N(0, gain^2 / fan_in): activations keep their scale from layer to layer."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pyro.distributions as dist
from torch import Tensor

from bayescr.errors import BayescrError

__all__ = ["FanInNormal"]


@dataclass(frozen=True, kw_only=True)
class FanInNormal:
    """Independent normal weights, scaled so that a layer neither amplifies nor dampens.

        w ~ N(0, gain^2 / fan_in)        b ~ N(0, bias_scale^2)

    where fan_in is the number of inputs an output sums (`bayescr.models.fan_in`; it knows
    transposed convolutions). gain^2 = 2 is He's value for rectifiers.

    Attributes:
        gain: Scale of the weights times the square root of their fan-in, above 0.
        bias_scale: Standard deviation of the biases, above 0.

    References:
        Neal, "Bayesian Learning for Neural Networks" (1996), chapter 2.
        He et al., "Delving Deep into Rectifiers", arXiv:1502.01852.
    """

    gain: float = math.sqrt(2.0)
    bias_scale: float = 1.0

    def __post_init__(self) -> None:
        for name in ("gain", "bias_scale"):
            if not getattr(self, name) > 0:
                value = getattr(self, name)
                raise BayescrError(f"FanInNormal {name} is {value}: expected a number above 0")

    def __call__(self, name: str, parameter: Tensor) -> dist.Distribution:
        """The prior of one weight."""
        is_bias = parameter.dim() == 1
        scale = self.bias_scale if is_bias else self.gain / math.sqrt(_fan_in(name, parameter))
        loc = parameter.new_zeros(())
        return dist.Normal(loc, scale).expand(parameter.shape).to_event(parameter.dim())


def _fan_in(name: str, parameter: Tensor) -> int:
    fan_in: int = getattr(parameter, "fan_in", 0)
    if not fan_in:
        raise BayescrError(
            f"weight '{name}' has no fan-in: FanInNormal is for weights of convolutions and "
            "linear layers of a BayesianSegmenter; give this one another prior or keep it plain"
        )
    return fan_in
