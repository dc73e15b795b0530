"""Priors over the weights: ``(name, parameter) -> Distribution``, one file each.

A prior is called inside the model, once for each random weight, and returns a distribution
whose event has the shape of the weight. A plain function will do:

    def laplace(name, parameter):
        return dist.Laplace(0.0, 0.1).expand(parameter.shape).to_event(parameter.dim())

==================  ============================================================  ==============
prior               weights                                                       KL to a normal
==================  ============================================================  ==============
`Normal`            normal, one scale for all                                     exact
`FanInNormal`       normal, He's scale: activations keep theirs                   exact
`Laplace`           many small, some large                                        exact
`StudentT`          rare ones very large                                          by draws
`ScaleMixture`      a spike and a slab                                            by draws
`ARD`               a scale for each channel, learnt                              exact given it
`Horseshoe`         channels off unless needed                                    by draws
`CorrelatedNormal`  normal, smooth in space within a kernel                       exact
`Empirical`         normal, about a trained network                               exact
`Select`            these by the weight's name                                    as chosen
==================  ============================================================  ==============

Under ``random="*"`` the scales and shifts of norm layers have a prior, too. To a prior with a
``bias_scale`` all that has one axis is a bias, N(0, bias_scale^2): these scales as well, although
they start at 1. For another belief choose by name, ``Select(priors={"*norm*.weight":
Normal(loc=1.0), "*": FanInNormal()})``.

``parameter.fan_in`` is the number of inputs that an output of its layer sums,
``parameter.input_axis`` and ``parameter.output_axis`` are the axes that run over the channels. A
prior may sample latents of its own; name them ``f"{name}_scale"``, not ``f"{name}.scale"``:
autoguides keep their parameters at the paths that the names spell, and ``head.weight`` is a leaf.
"""

from collections.abc import Callable

from pyro.distributions import Distribution
from torch import Tensor

from bayescr.models.priors.ard import ARD
from bayescr.models.priors.correlated_normal import CorrelatedNormal
from bayescr.models.priors.empirical import Empirical
from bayescr.models.priors.fan_in_normal import FanInNormal
from bayescr.models.priors.horseshoe import Horseshoe
from bayescr.models.priors.laplace import Laplace
from bayescr.models.priors.normal import Normal
from bayescr.models.priors.scale_mixture import ScaleMixture
from bayescr.models.priors.select import Select
from bayescr.models.priors.student_t import StudentT

__all__ = [
    "ARD",
    "FAMILY",
    "CorrelatedNormal",
    "Empirical",
    "FanInNormal",
    "Horseshoe",
    "Laplace",
    "Normal",
    "Prior",
    "ScaleMixture",
    "Select",
    "StudentT",
]

Prior = Callable[[str, Tensor], Distribution]

FAMILY: dict[str, Callable[..., Prior]] = {
    "normal": Normal,
    "fan-in-normal": FanInNormal,
    "laplace": Laplace,
    "student-t": StudentT,
    "scale-mixture": ScaleMixture,
    "ard": ARD,
    "horseshoe": Horseshoe,
    "correlated-normal": CorrelatedNormal,
    "empirical": Empirical,
    "select": Select,
}
