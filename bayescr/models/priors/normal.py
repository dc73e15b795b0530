"""w ~ N(loc, scale^2), the same for every weight."""

from __future__ import annotations

from dataclasses import dataclass

import pyro.distributions as dist
from torch import Tensor

from bayescr.errors import BayescrError

__all__ = ["Normal"]


@dataclass(frozen=True, kw_only=True)
class Normal:
    """Independent normal weights, w ~ N(loc, scale^2).

    With scale 1, the common choice, the activations of a wide layer grow by the square root of
    its fan-in: see `FanInNormal` for the prior that does not.

    Attributes:
        loc: Mean.
        scale: Standard deviation, above 0.
    """

    loc: float = 0.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        if not self.scale > 0:
            raise BayescrError(f"Normal prior scale is {self.scale}: expected a number above 0")

    def __call__(self, name: str, parameter: Tensor) -> dist.Distribution:
        """The prior of one weight."""
        loc = parameter.new_tensor(self.loc)
        return dist.Normal(loc, self.scale).expand(parameter.shape).to_event(parameter.dim())
