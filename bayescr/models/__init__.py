"""The Pyro model: a plain network, priors over its weights, a likelihood over the pixels."""

from bayescr.models import likelihoods, priors
from bayescr.models.fan_in import fan_in
from bayescr.models.receptive import receptive_radius
from bayescr.models.segmenter import BayesianSegmenter
from bayescr.models.unet import UNet

__all__ = ["BayesianSegmenter", "UNet", "fan_in", "likelihoods", "priors", "receptive_radius"]
