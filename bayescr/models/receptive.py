"""How far a network looks: measured, so that it holds for any architecture."""

from __future__ import annotations

import copy

import torch
from torch import nn

__all__ = ["receptive_radius"]

_LARGEST = 1024  # pixels; a network that looks further is treated as one that looks everywhere
_STRIP = 32  # pixels; width of the strips along which the radius is measured


def receptive_radius(net: nn.Module, *, in_channels: int = 1, stride: int = 1) -> int | None:
    """Largest distance, in pixels along an axis, at which an input pixel can move a logit.

    One line of pixels across a strip is poisoned with NaN; whatever depends on it turns to NaN,
    whatever the weights. A network of stride s treats s kinds of lines differently, so that all
    are tried. Float64 keeps the convolutions on the direct path, in which nothing else is
    touched.

    Args:
        net: Maps (1, in_channels, H, W) to (1, K, H, W).
        in_channels: Channels of its input.
        stride: Its period, the product of its poolings.

    Returns:
        The radius, or None if every logit depends on every pixel (statistics over space).

    Example:
        >>> receptive_radius(nn.Conv2d(1, 1, 5, padding=2))
        2
    """
    probe = copy.deepcopy(net).double().cpu().eval()
    radii = [
        _radius(probe, in_channels, axis=axis, shift=shift)
        for axis in (-2, -1)
        for shift in range(stride)
    ]
    known = [radius for radius in radii if radius is not None]
    return max(known) if len(known) == len(radii) else None


def _radius(net: nn.Module, in_channels: int, *, axis: int, shift: int) -> int | None:
    length = 2 * _STRIP
    while length <= _LARGEST:
        shape = [1, in_channels, _STRIP, _STRIP]
        shape[axis] = length
        line = length // 2 + shift
        strip = torch.zeros(shape, dtype=torch.float64, device="cpu")
        strip.select(axis, line).fill_(torch.nan)
        with torch.no_grad():
            touched = net(strip).isnan().movedim(axis, 0).flatten(1).any(1)
        # A strip whose ends stay clean has shown the whole receptive field.
        if not (touched[0] or touched[-1]):
            return int((touched.nonzero() - line).abs().max())
        length *= 2
    return None
