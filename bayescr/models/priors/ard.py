"""Automatic relevance determination: each channel learns how large its weights are."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pyro
import pyro.distributions as dist
from pyro.distributions import Distribution
from torch import Tensor

from bayescr._checks import check_positive
from bayescr.models.priors._groups import channel_axis, check_axis, given_scales
from bayescr.models.priors._he import HeScaled

__all__ = ["ARD"]


@dataclass(frozen=True, kw_only=True)
class ARD(HeScaled):
    """Normal weights whose scale is a latent of their channel, with a log-normal prior.

        log s_c ~ N(log h - spread^2, spread^2),   h^2 = gain^2 / fan_in
        w_i | s ~ N(0, s_c(i)^2)                   b ~ N(0, bias_scale^2)

    so that E[w^2] = E[s^2] = h^2, as under `FanInNormal`; the median of s is h exp(-spread^2). A
    channel that the data do not need falls to small s and is as good as pruned. Scales are the
    latents ``f"{name}_scale"``.

    Log-normal, because the guides' factor of s is log-normal too: both of its KLs are exact, that
    of s and, given s, that of w. And because p(w, s) is bounded, unlike under the customary
    Gamma prior of a precision near 0. Still, its maximum lies where a channel is off (all n
    weights 0, s = h exp(-(n + 2) spread^2)): `MAP` may end there, a guide with a density does
    only if the data agree.

    Attributes:
        gain: Root mean square of the weights times the square root of their fan-in, above 0.
        bias_scale: Standard deviation of the biases, above 0.
        spread: Standard deviation of log s, above 0: how far scales may differ.
        axis: ``"output"``: a scale for each output channel of a layer; ``"input"``: for each
            input channel, the relevance of an input.

    References:
        MacKay, "Probable networks and plausible predictions", Network 6 (1995), 469.
        Neal, "Bayesian Learning for Neural Networks" (1996), section 1.2.
    """

    spread: float = 1.0
    axis: str = "output"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self, "spread")
        check_axis(self, "output", "input")

    def _weight(self, name: str, parameter: Tensor, stddev: float) -> Distribution:
        axis = channel_axis(self, name, parameter)
        loc = parameter.new_full((parameter.shape[axis],), math.log(stddev) - self.spread**2)
        scale = pyro.sample(f"{name}_scale", dist.LogNormal(loc, self.spread).to_event(1))
        return given_scales(parameter, scale, axis)
