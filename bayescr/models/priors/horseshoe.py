"""The regularised horseshoe: almost everything off, what is needed hardly shrunk."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pyro
import pyro.distributions as dist
import torch
from pyro.distributions import Distribution
from torch import Tensor

from bayescr._checks import check_positive
from bayescr.models.priors._groups import channel_axis, check_axis, given_scales
from bayescr.models.priors._he import HeScaled

__all__ = ["Horseshoe"]


@dataclass(frozen=True, kw_only=True)
class Horseshoe(HeScaled):
    """Normal weights with a heavy-tailed scale for the layer and one for each channel.

        tau ~ HalfCauchy(global_scale)      lambda_c ~ HalfCauchy(1)
        w_i | tau, lambda ~ N(0, h^2 u^2 / (1 + u^2 / c^2)),   u = tau lambda_c(i)
        b ~ N(0, bias_scale^2)

    with h^2 = gain^2 / fan_in: all scales are in units of He's. Where u is far below the slab c,
    weights are shrunk at will; none can have a scale above c. With a fixed slab and
    a = slab / global_scale,

        E[w^2] = h^2 slab^2 (1 + (2 a / pi) log a) / (1 + a^2)

    which is h^2 slab^2 / 2 for a = 1: with the default settings that of `FanInNormal`. A smaller
    global_scale expects fewer channels to be needed.

    The density of the weights has no maximum but a pole where a group is 0, so that a guide of
    points or masks would run there: these refuse it. Latents are ``f"{name}_global"``,
    ``f"{name}_local"`` and, of a slab that is not fixed, its square, ``f"{name}_slab"``. Given
    them the KL of the weights is exact; their own is estimated from the draw.

    Attributes:
        gain: He's scale h times the square root of the fan-in, above 0.
        bias_scale: Standard deviation of the biases, above 0.
        global_scale: Median of tau, above 0.
        slab: c, above 0.
        slab_df: None: the slab is fixed. A number above 0: c^2 ~ InverseGamma(slab_df / 2,
            slab_df slab^2 / 2), so that large weights are Student-t with slab_df degrees of
            freedom.
        axis: Whose lambda is one: that of an ``"output"`` channel, an ``"input"`` channel, or
            each ``"weight"``.

    References:
        Carvalho, Polson & Scott, "The horseshoe estimator for sparse signals", Biometrika 97
        (2010), 465.
        Piironen & Vehtari, "Sparsity information and regularization in the horseshoe and other
        shrinkage priors", arXiv:1707.01694.
        Ghosh, Yao & Doshi-Velez, "Structured Variational Learning of Bayesian Neural Networks
        with Horseshoe Priors", arXiv:1806.05975.
        Louizos, Ullrich & Welling, "Bayesian Compression for Deep Learning", arXiv:1705.08665.
    """

    is_unbounded = True

    global_scale: float = math.sqrt(2.0)
    slab: float = math.sqrt(2.0)
    slab_df: float | None = None
    axis: str = "output"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self, "global_scale", "slab")
        if self.slab_df is not None:
            check_positive(self, "slab_df")
        check_axis(self, "output", "input", "weight")

    def _weight(self, name: str, parameter: Tensor, stddev: float) -> Distribution:
        axis = None if self.axis == "weight" else channel_axis(self, name, parameter)
        shape = parameter.shape if axis is None else parameter.shape[axis : axis + 1]
        overall = pyro.sample(
            f"{name}_global", dist.HalfCauchy(parameter.new_tensor(self.global_scale))
        )
        local = pyro.sample(
            f"{name}_local", dist.HalfCauchy(parameter.new_ones(shape)).to_event(len(shape))
        )
        unbounded = overall * local
        # Not u c / sqrt(c^2 + u^2), whose squares Cauchy draws may overflow.
        scale = (
            stddev
            * unbounded
            / torch.hypot(torch.ones_like(unbounded), unbounded / self._slab(name, parameter))
        )
        return given_scales(parameter, scale, axis)

    def _slab(self, name: str, parameter: Tensor) -> Tensor:
        slab = parameter.new_tensor(self.slab)
        if self.slab_df is None:
            return slab
        half = parameter.new_tensor(self.slab_df / 2.0)
        return pyro.sample(f"{name}_slab", dist.InverseGamma(half, half * slab.square())).sqrt()
