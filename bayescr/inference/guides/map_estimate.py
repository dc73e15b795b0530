"""MAP: q(w) is a point mass. The deterministic baseline of every comparison."""

from __future__ import annotations

from dataclasses import dataclass

from bayescr.inference.guides._weights import Point, SiteFactory, WeightGuide
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
        return WeightGuide(model, self.sites(model))

    def sites(self, model: BayesianSegmenter) -> SiteFactory:
        """Makes the factor of a weight from its name and start value."""
        return lambda name, start: Point(start)
