"""Likelihoods: ``(logits, target, valid) -> the observation site``, one file each.

A likelihood is called inside the plate over images with logits (B, C, H, W), the target of the
same shape or None (then it is sampled) and ``valid`` (B, 1, H, W) bool or None (all pixels
count). It names its site ``"obs"``.
"""

from collections.abc import Callable
from typing import Any

from bayescr.models.likelihoods.bernoulli import Bernoulli

__all__ = ["FAMILY", "Bernoulli", "Likelihood"]

Likelihood = Callable[..., Any]

FAMILY: dict[str, Callable[..., Likelihood]] = {"bernoulli": Bernoulli}
