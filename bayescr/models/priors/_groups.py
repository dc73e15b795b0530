"""Weights in groups, one for each channel, with a scale each."""

from __future__ import annotations

from typing import Any

from pyro.distributions import Distribution
from torch import Tensor

from bayescr.errors import BayescrError
from bayescr.models.priors._he import normal

__all__ = ["channel_axis", "check_axis", "given_scales"]

# The square of a smaller scale, in the density of a normal, would be no float32.
_SMALLEST = 1e-15


def check_axis(prior: Any, *known: str) -> None:
    """Refuse an axis that is none of these."""
    if prior.axis not in known:
        raise BayescrError(
            f"{type(prior).__name__} axis is {prior.axis!r}: expected one of "
            f"{', '.join(repr(one) for one in known)}"
        )


def channel_axis(prior: Any, name: str, parameter: Tensor) -> int:
    """The axis of a weight that runs over the channels of ``prior.axis``.

    Raises:
        BayescrError: If there is none, as in a layer whose channels are in groups already.
    """
    axis: int | None = getattr(parameter, f"{prior.axis}_axis", None)
    if axis is None:
        raise BayescrError(
            f"weight '{name}' has no axis of {prior.axis} channels, as those of grouped "
            f"convolutions have none: expected one for {type(prior).__name__}; give this weight "
            "another prior with priors.Select"
        )
    return axis


def given_scales(parameter: Tensor, scale: Tensor, axis: int | None) -> Distribution:
    """Independent normals given their scales, one a channel of an axis; None: one a weight."""
    if axis is not None:
        shape = [1] * parameter.dim()
        shape[axis] = -1
        scale = scale.reshape(shape)
    return normal(parameter, scale.clamp_min(_SMALLEST))
