"""Flow: a normal bent by a network, for posteriors of the last layer that no normal fits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from pyro.contrib.zuko import ZukoToPyro
from torch import Tensor, nn
from torch.distributions import Distribution, Normal, constraints

from bayescr._checks import check_count, check_positive
from bayescr.errors import BayescrError
from bayescr.inference.guides._joint import (
    JointGuide,
    Patterns,
    check_patterns,
    chosen_weights,
    flat_log_scale,
)
from bayescr.inference.guides._weights import FASTER, WeightSite
from bayescr.models import BayesianSegmenter

__all__ = ["Flow"]

Shape = torch.Size | list[int] | tuple[int, ...]

_LIMIT = 2000  # the masks of the networks take P^3 operations to make


@dataclass(frozen=True, kw_only=True)
class Flow:
    """A normalising flow over the chosen weights; the others are points.

        w = m + s * (T(z) - T(0)),    z ~ N(0, I)

    m are centres and s scales as in `MeanField`. T is a chain of autoregressive steps, which
    starts near the identity: z_i -> z_i exp(a_i(z)) + b_i(z), where the networks a_i and b_i look
    at the numbers before z_i, in the next step at those after it. Drawing takes one pass through
    the networks and gives log q(w) too; the KL is estimated from the draw.

    Needs the package zuko: ``pip install 'bayescr[flows]'``.

    Attributes:
        on: Patterns of the names of the chosen weights.
        transforms: Steps of T; with two, training stays more often in a poor optimum.
        hidden: Units in each of the two hidden layers of a step's network; with fewer than there
            are weights, not every correlation can be had.
        init_scale: As in `MeanField`.

    References:
        Kingma et al., "Improving Variational Inference with Inverse Autoregressive Flow",
        arXiv:1606.04934.
        Papamakarios, Pavlakou & Murray, "Masked Autoregressive Flow for Density Estimation",
        arXiv:1705.07057.
    """

    on: Patterns = "head.*"
    transforms: int = 3
    hidden: int = 32
    init_scale: float = 0.05

    def __post_init__(self) -> None:
        check_patterns(self)
        check_count(self, "transforms", "hidden")
        check_positive(self, "init_scale")

    def __call__(self, model: BayesianSegmenter) -> JointGuide:
        """The guide of a model.

        Raises:
            BayescrError: If zuko is not installed, or the patterns choose no weight, or too few
                or too many numbers.
        """
        number = sum(weight.numel() for weight in chosen_weights(model, self.on).values())
        if not 2 <= number <= _LIMIT:
            raise BayescrError(
                f"Flow on {self.on!r} has {number} numbers: expected 2 to {_LIMIT}; choose other "
                "weights by on=, or take MeanField() or LowRank()"
            )
        return JointGuide(model, self.on, lambda starts: _Bent(starts, self))


class _Bent(WeightSite):
    learning_rate_factors = {"log_scale": FASTER}

    def __init__(self, starts: dict[str, Tensor], settings: Flow) -> None:
        super().__init__()
        self.loc = nn.Parameter(torch.cat([start.flatten() for start in starts.values()]))
        self.log_scale = flat_log_scale(starts, settings.init_scale)
        flow = _masked_autoregressive(
            len(self.loc), settings.transforms, (settings.hidden, settings.hidden)
        )
        self.steps = flow.transform.to(self.loc)

    def forward(self) -> ZukoToPyro:
        # It keeps log q of its own draws: going back from w to z takes a pass for each number.
        return ZukoToPyro(BentNormal(self.loc, self.log_scale.exp(), self.steps()))

    def median(self) -> Tensor:
        return self.loc


class BentNormal(Distribution):
    """w = loc + scale * (T(z) - T(0)) with z ~ N(0, I).

    Args:
        loc: The image of z = 0, (P,).
        scale: Units of T, (P,).
        transform: T, from vectors to vectors; has ``call_and_ladj``, as zuko's do.
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, loc: Tensor, scale: Tensor, transform: Any) -> None:
        self.loc, self.scale, self.transform = loc, scale, transform
        super().__init__(torch.Size(), loc.shape, validate_args=False)

    def rsample(self, sample_shape: Shape = torch.Size()) -> Tensor:
        """Draws, by one pass through T."""
        return self.rsample_and_log_prob(sample_shape)[0]

    def rsample_and_log_prob(self, sample_shape: Shape = torch.Size()) -> tuple[Tensor, Tensor]:
        """Draws and their log-density, by the same pass through T."""
        noise = self.loc.new_empty((*sample_shape, *self.loc.shape)).normal_()
        bent, log_volume = self.transform.call_and_ladj(noise)
        value = self.loc + self.scale * (bent - self._origin())
        return value, self._log_prob(noise, log_volume)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density of any weights: the inverse of T takes P passes a step."""
        noise = self.transform.inv((value - self.loc) / self.scale + self._origin())
        return self._log_prob(noise, self.transform.call_and_ladj(noise)[1])

    def _origin(self) -> Tensor:
        return self.transform(torch.zeros_like(self.loc))

    def _log_prob(self, noise: Tensor, log_volume: Tensor) -> Tensor:
        standard = Normal(torch.zeros_like(self.loc), 1.0, validate_args=False)
        return standard.log_prob(noise).sum(-1) - log_volume - self.scale.log().sum()


def _masked_autoregressive(number: int, transforms: int, hidden: tuple[int, ...]) -> Any:
    """A flow of zuko's, all of its steps near the identity."""
    validates = Distribution._validate_args
    try:
        from zuko.flows import MAF
    except ImportError as error:
        raise BayescrError(
            "guide Flow needs the package zuko, which is not installed: "
            "pip install 'bayescr[flows]'"
        ) from error
    finally:  # importing zuko ends the validation of all distributions
        Distribution.set_default_validate_args(validates)
    with torch.device("cpu"), torch.no_grad():  # wherever tensors are made by default
        flow = MAF(number, transforms=transforms, hidden_features=hidden, activation=nn.ELU)
        for step in flow.transform.transforms:
            for parameter in step.hyper[-1].parameters():
                parameter.mul_(0.1)
    return flow
