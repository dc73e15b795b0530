"""Priors over the weights: ``(name, parameter) -> Distribution``, one file each.

A prior is called inside the model, once for each random weight, and returns a distribution
whose event has the shape of the weight. A plain function will do:

    def laplace(name, parameter):
        return dist.Laplace(0.0, 0.1).expand(parameter.shape).to_event(parameter.dim())

``parameter.fan_in`` is the number of inputs that an output of its layer sums. A prior may sample
latents of its own; name them ``f"{name}_scale"``, not ``f"{name}.scale"``: autoguides keep their
parameters at the paths that the names spell, and ``head.weight`` is a leaf.
"""

from collections.abc import Callable

from pyro.distributions import Distribution
from torch import Tensor

from bayescr.models.priors.fan_in_normal import FanInNormal
from bayescr.models.priors.normal import Normal

__all__ = ["FAMILY", "FanInNormal", "Normal", "Prior"]

Prior = Callable[[str, Tensor], Distribution]

FAMILY: dict[str, Callable[..., Prior]] = {"normal": Normal, "fan-in-normal": FanInNormal}
