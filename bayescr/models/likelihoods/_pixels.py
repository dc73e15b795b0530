"""What every likelihood of labels by pixel does: check shapes, leave out what is invalid, observe.

Invalid pixels get the label 0 before any likelihood sees it: 255, NaN or whatever else stands
there must not reach the loss nor a gradient, not even times 0.
"""

from __future__ import annotations

import pyro
import torch
from pyro.distributions import Distribution
from torch import Tensor

from bayescr.errors import BayescrError

__all__ = ["counted", "observe"]


def observe(pixels: Distribution, target: Tensor | None, valid: Tensor | None) -> Tensor:
    """The site ``"obs"`` of independent labels, (B, K, H, W).

    Args:
        pixels: Distribution of the labels, its batch shape that of the logits.
        target: Labels of that shape; None samples them.
        valid: (B, 1, H, W) bool, True where a pixel counts; None where all do.

    Raises:
        BayescrError: If the shapes do not fit.
    """
    shape = tuple(pixels.batch_shape)
    if target is not None and target.shape != shape:
        raise BayescrError(
            f"target has shape {tuple(target.shape)} but the logits {shape}: "
            "expected one label a class and pixel; set num_classes of the network to theirs"
        )
    if valid is not None:
        if valid.shape not in (shape, (shape[0], 1, *shape[2:])):
            raise BayescrError(
                f"valid has shape {tuple(valid.shape)} but the logits {shape}: expected "
                f"{(shape[0], 1, *shape[2:])}, one mask an image"
            )
        pixels = pixels.mask(valid)
        if target is not None:
            target = torch.where(valid, target, 0.0)
    return pyro.sample("obs", pixels.to_event(3), obs=target)


def counted(values: Tensor, valid: Tensor | None) -> Tensor:
    """The values at valid pixels, 0 elsewhere."""
    return values if valid is None else torch.where(valid, values, 0.0)
