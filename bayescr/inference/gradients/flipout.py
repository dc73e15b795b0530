"""Flipout: every image of a batch sees its own perturbation of the weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from bayescr.errors import BayescrError
from bayescr.inference.gradients._layers import Call, LayerwiseEstimator

__all__ = ["Flipout"]


@dataclass(frozen=True, kw_only=True)
class Flipout(LayerwiseEstimator):
    """The drawn perturbation of a layer's weights, its signs flipped anew for every image.

        y_n = layer(x_n; m) + s_n * layer(r_n * x_n; w - m)

    w is the step's draw with mean m, biases included; r_n and s_n are random signs, one for each
    input and each output channel. With independent and symmetric weights image n sees an exact
    draw, m + (w - m) s_n r_n^T, the same all over the image; any two images see uncorrelated ones.
    The gradient has the mean of that of `WeightDraws`; its variance falls with the batch's size.

    A step costs two passes through each random layer. Images must lie along the first axis of what
    a layer is given, and not look at one another, as batch normalisation has them do: the mean is
    then no longer the same.

    References:
        Wen et al., "Flipout: Efficient Pseudo-Independent Weight Perturbations on Mini-Batches",
        arXiv:1803.04386.
    """

    def output(self, call: Call) -> Tensor:
        """What the layer gives."""
        _check_images(call)
        axis = -1 if isinstance(call.layer, nn.Linear) else 1
        centre = call.run(call.input, *call.means())
        perturbation = call.run(_signs(call.input, axis) * call.input, *call.deviations())
        return centre + _signs(perturbation, axis) * perturbation


def _signs(like: Tensor, axis: int) -> Tensor:
    """Random signs, one for each image and channel."""
    shape = [1] * like.dim()
    shape[0], shape[axis] = len(like), like.shape[axis]
    return like.new_empty(shape).bernoulli_(0.5).mul_(2.0).sub_(1.0)


def _check_images(call: Call) -> None:
    shape, is_linear = call.input.shape, isinstance(call.layer, nn.Linear)
    weight: Any = call.layer.weight
    has_batch = len(shape) > 1 if is_linear else len(shape) == weight.dim()
    if not has_batch or shape[0] != call.num_images:
        raise BayescrError(
            f"layer '{call.path}' is given {tuple(shape)}, the network {call.num_images} images: "
            "Flipout() flips signs by image and expects these along the first axis; use "
            "gradients.WeightDraws()"
        )
