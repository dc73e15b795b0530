"""w ~ N(loc, scale^2), the same for every weight."""

from __future__ import annotations

from dataclasses import dataclass

from pyro.distributions import Distribution
from torch import Tensor

from bayescr._checks import check_positive, is_number
from bayescr.errors import BayescrError
from bayescr.models.priors._he import normal

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
        check_positive(self, "scale")
        if not is_number(self.loc):
            raise BayescrError(f"Normal loc is {self.loc!r}: expected a number")

    def __call__(self, name: str, parameter: Tensor) -> Distribution:
        """The prior of one weight."""
        return normal(parameter, self.scale, self.loc)
