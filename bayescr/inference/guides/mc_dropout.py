"""MC-dropout: feature maps are switched off at random, in prediction as in training."""

from __future__ import annotations

from dataclasses import dataclass

from bayescr._checks import check_share
from bayescr.inference.guides._dropout import Dropped, dropped_sites
from bayescr.inference.guides._weights import SiteFactory, WeightGuide
from bayescr.models import BayesianSegmenter

__all__ = ["MCDropout"]


@dataclass(frozen=True, kw_only=True)
class MCDropout:
    """Dropout of feature maps as a distribution over weights: w = m * z, z_c ~ Bernoulli(1 - p).

    One z_c for each input channel c of a layer: z_c = 0 silences the feature map that feeds it,
    as ``torch.nn.Dropout2d`` before the layer would. The input image and the biases are never
    dropped. Since the masks are draws of the weights, one draw serves a whole frame and all
    images of a batch, and the same model and ELBO serve this guide. A map that feeds two layers,
    as a skip connection does, may be silent for one and not for the other.

    Start values are divided by 1 - p: the mean of the weights starts where the model is.

    Attributes:
        p: Probability of dropping a feature map.

    References:
        Gal & Ghahramani, "Dropout as a Bayesian Approximation", arXiv:1506.02142.
    """

    p: float = 0.05

    def __post_init__(self) -> None:
        check_share(self, "p")

    def __call__(self, model: BayesianSegmenter) -> WeightGuide:
        """The guide of a model."""
        return WeightGuide(model, self.sites(model))

    def sites(self, model: BayesianSegmenter) -> SiteFactory:
        """Makes the factor of a weight from its name and start value."""
        return dropped_sites(model, lambda start, axis: Dropped(start, 1.0 - self.p, axis))
