"""A prior of your own: the scale of each layer's weights is learnt.

log s ~ N(log(gain / sqrt(fan_in)), spread^2),    w ~ N(0, s^2),    biases ~ N(0, 1)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import pyro
import pyro.distributions as dist
from torch import Tensor

from bayescr.errors import BayescrError


@dataclass(frozen=True, kw_only=True)
class LayerScale:
    """Normal weights; the scale is a latent of the prior's own, one number a layer."""

    gain: float = math.sqrt(2.0)
    spread: float = 0.5

    def __post_init__(self) -> None:
        for name in ("gain", "spread"):
            if not getattr(self, name) > 0:
                value = getattr(self, name)
                raise BayescrError(f"LayerScale {name} is {value}: expected a number above 0")

    def __call__(self, name: str, parameter: Tensor) -> dist.Distribution:
        """The prior of one weight, made on its device; called inside the model, for each weight."""
        scale = parameter.new_ones(())
        if parameter.dim() > 1:  # a bias has one axis, and is not scaled by its layer's fan-in
            typical = math.log(self.gain / math.sqrt(parameter.fan_in))
            hyper = dist.LogNormal(parameter.new_tensor(typical), self.spread)
            scale = pyro.sample(f"{name}_scale", hyper)  # never a dot after the weight's name
        return dist.Normal(0.0, scale).expand(parameter.shape).to_event(parameter.dim())
