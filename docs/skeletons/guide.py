"""A guide of your own: every weight has its own Laplace distribution, w_i ~ Laplace(m_i, b_i)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pyro.distributions as dist
from torch import Tensor, nn

from bayescr.errors import BayescrError
from bayescr.inference.guides import WeightGuide, WeightSite
from bayescr.models import BayesianSegmenter


@dataclass(frozen=True, kw_only=True)
class PeakedMeanField:
    """Independent Laplace distributions; b_i starts at ``init_scale`` times the weights' rms."""

    init_scale: float = 0.05

    def __post_init__(self) -> None:
        if not self.init_scale > 0:
            value = self.init_scale
            raise BayescrError(f"PeakedMeanField init_scale is {value}: expected a number above 0")

    def __call__(self, model: BayesianSegmenter) -> WeightGuide:
        """The guide of a model; it draws latents of a prior's own, too."""
        return WeightGuide(model, self.sites(model))

    def sites(self, model: BayesianSegmenter) -> Callable[[str, Tensor], WeightSite]:
        """Makes the factor of a weight from its name and start value; `Partial` asks for it."""
        return lambda name, start: _Peaked(start, self.init_scale)


class _Peaked(WeightSite):
    """The parameters of one weight, their start, and the distribution that they make."""

    def __init__(self, start: Tensor, init_scale: float) -> None:
        super().__init__()
        rms = start.square().mean().sqrt().clamp(min=1e-2)  # biases may start at zero
        self.loc = nn.Parameter(start.clone())
        self.log_scale = nn.Parameter((init_scale * rms).log().expand(start.shape).clone())

    def forward(self) -> dist.Distribution:
        return dist.Laplace(self.loc, self.log_scale.exp()).to_event(self.loc.dim())

    def median(self) -> Tensor:
        return self.loc
