"""Likelihoods: ``(logits, target, valid) -> the observation site``, one file each.

A likelihood is called inside the plate over images with logits (B, C, H, W), the target of the
same shape or None (then it is sampled) and ``valid`` (B, 1, H, W) bool or None (all pixels
count). It names its site ``"obs"``. A plain function will do; what else it may offer:

``curvature(logits, target, valid)``  (B, C, H, W), the generalised Gauss-Newton weight of each
                                      logit: minus the second derivative of the log-likelihood, or
                                      its mean where that could be negative; 0 at invalid pixels
``implied_rate(labelled)``            share of positive pixels that its logits stand for, by class,
                                      given that of positive labels, where these differ
``note``                              what a report says of posteriors trained with it
"""

from collections.abc import Callable
from typing import Any

from bayescr.models.likelihoods.bernoulli import Bernoulli
from bayescr.models.likelihoods.noisy_label_bernoulli import NoisyLabelBernoulli
from bayescr.models.likelihoods.weighted_bernoulli import WeightedBernoulli

__all__ = ["FAMILY", "Bernoulli", "Likelihood", "NoisyLabelBernoulli", "WeightedBernoulli"]

Likelihood = Callable[..., Any]

FAMILY: dict[str, Callable[..., Likelihood]] = {
    "bernoulli": Bernoulli,
    "noisy-label-bernoulli": NoisyLabelBernoulli,
    "weighted-bernoulli": WeightedBernoulli,
}
