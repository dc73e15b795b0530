"""The Pyro model: a plain network, priors over its weights, a likelihood over the pixels."""

from bayescr.models import likelihoods, priors
from bayescr.models.fan_in import fan_in
from bayescr.models.prior_draws import PriorPredictive, prior_predictive
from bayescr.models.receptive import halo
from bayescr.models.segmenter import BayesianSegmenter
from bayescr.models.unet import UNet

__all__ = [
    "BayesianSegmenter",
    "PriorPredictive",
    "UNet",
    "fan_in",
    "halo",
    "likelihoods",
    "prior_predictive",
    "priors",
]
