"""A prior from a network that was trained before: close to where it was, as far as scales go."""

from __future__ import annotations

from dataclasses import dataclass

from pyro.distributions import Distribution
from torch import Tensor

from bayescr._checks import check_positive
from bayescr.models.priors._he import normal

__all__ = ["Empirical"]


@dataclass(frozen=True, kw_only=True)
class Empirical:
    """Normal weights about their start values, empirical Bayes in the manner of MOPED.

        w ~ N(w0, (scale r)^2),    r = max(root mean square of w0, floor)

    w0 are the values the network had when it was given to the model, or the centre of the
    posterior in ``fit(..., start=...)``; r is one number for each weight tensor. w0 is never
    trained and is saved with the model.

    With an untrained network w0 are its random initial values: a belief in those and no others,
    which is no knowledge and keeps the weights from going where the data want them. Nothing warns
    of it: start from a fit. One on the same data uses these twice, and the posterior is too sure
    of itself; other exposures, or simulations, do not have this fault.

    Attributes:
        scale: Standard deviation in units of r, above 0.
        floor: Smallest r, above 0, for biases that are all zero.

    References:
        Krishnan, Subedar & Tickoo, "Specifying Weight Priors in Bayesian Deep Neural Networks
        with Empirical Bayes", arXiv:1906.05323.
    """

    is_centred_on_start = True

    scale: float = 0.5
    floor: float = 0.1

    def __post_init__(self) -> None:
        check_positive(self, "scale", "floor")

    def __call__(self, name: str, parameter: Tensor) -> Distribution:
        """The prior of one weight."""
        start = parameter.detach()
        size = start.square().mean().sqrt().clamp_min(self.floor)
        return normal(parameter, self.scale * size, start)
