"""MAP: q(w) is a point mass. The deterministic baseline of every comparison."""

from __future__ import annotations

from dataclasses import dataclass

import pyro.distributions as dist
from torch import Tensor, nn

from bayescr.inference.guides._weights import WeightGuide, WeightSite
from bayescr.models import BayesianSegmenter

__all__ = ["MAP"]


@dataclass(frozen=True, kw_only=True)
class MAP:
    """Maximum a posteriori: q(w) = delta(w - m).

        neg_elbo = -log p(y | x, m) - log p(m)

    With a normal prior this is training with weight decay.
    """

    def __call__(self, model: BayesianSegmenter) -> WeightGuide:
        """The guide of a model."""
        return WeightGuide(model, lambda name, start: _Point(start))


class _Point(WeightSite):
    def __init__(self, start: Tensor) -> None:
        super().__init__()
        self.loc = nn.Parameter(start.clone())

    def forward(self) -> dist.Distribution:
        return dist.Delta(self.loc, event_dim=self.loc.dim())

    def median(self) -> Tensor:
        return self.loc
