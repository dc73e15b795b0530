"""What the priors share that take the scale of their weights from the layer's fan-in."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pyro.distributions as dist
import torch
from pyro.distributions import Distribution
from torch import Tensor

from bayescr._checks import check_positive
from bayescr.errors import BayescrError

__all__ = ["FreelyScaled", "HeScaled", "normal"]


@dataclass(frozen=True, kw_only=True)
class HeScaled:
    """Weights of standard deviation gain / sqrt(fan_in); biases ~ N(0, bias_scale^2).

    A subclass says what the distribution of a weight of a given standard deviation is.

    Attributes:
        gain: Standard deviation of the weights times the square root of their fan-in, above 0;
            gain^2 = 2 is He's value for rectifiers.
        bias_scale: Standard deviation of the biases, above 0.
    """

    gain: float = math.sqrt(2.0)
    bias_scale: float = 1.0

    def __post_init__(self) -> None:
        check_positive(self, "gain", "bias_scale")

    def __call__(self, name: str, parameter: Tensor) -> Distribution:
        """The prior of one weight."""
        if parameter.dim() == 1:
            return normal(parameter, self.bias_scale)
        return self._weight(name, parameter, self._stddev(name, parameter))

    def _weight(self, name: str, parameter: Tensor, stddev: float) -> Distribution:
        raise NotImplementedError

    def _stddev(self, name: str, parameter: Tensor) -> float:
        fan_in: int = getattr(parameter, "fan_in", 0)
        if not fan_in:
            raise BayescrError(
                f"weight '{name}' has no fan-in: {type(self).__name__} is for weights of "
                "convolutions and linear layers of a BayesianSegmenter; give this one another "
                "prior or keep it plain"
            )
        return self.gain / math.sqrt(fan_in)


@dataclass(frozen=True, kw_only=True)
class FreelyScaled(HeScaled):
    """The same, or one standard deviation for the weights of all layers.

    Attributes:
        scale: Standard deviation of the weights, above 0, whatever their fan-in; None: gain /
            sqrt(fan_in).
    """

    scale: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.scale is not None:
            check_positive(self, "scale")

    def _stddev(self, name: str, parameter: Tensor) -> float:
        return super()._stddev(name, parameter) if self.scale is None else self.scale


def normal(parameter: Tensor, scale: float | Tensor, loc: float | Tensor = 0.0) -> Distribution:
    """Independent normals over a weight, all of it one event."""
    loc = torch.as_tensor(loc, dtype=parameter.dtype, device=parameter.device)
    return dist.Normal(loc, scale).expand(parameter.shape).to_event(parameter.dim())
