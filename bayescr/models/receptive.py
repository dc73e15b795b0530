"""How far a network looks: measured, so that it holds for any architecture."""

from __future__ import annotations

import copy

import torch
from torch import nn

__all__ = ["receptive_radius"]

_LARGEST = 1024  # pixels; a network that looks further is treated as one that looks everywhere


def receptive_radius(net: nn.Module, *, in_channels: int = 1, stride: int = 1) -> int | None:
    """Largest distance, in pixels along an axis, at which an input pixel can move a logit.

    One pixel is poisoned with NaN; whatever depends on it turns to NaN, whatever the weights.
    A network of stride s treats s^2 kinds of pixels differently, so the diagonal kinds are all
    tried. Float64 keeps the convolutions on the direct path, in which nothing else is touched.

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
    size = 64
    while size <= _LARGEST:
        # An oversized frame whose edge stays clean has shown the whole receptive field.
        radii = [_radius(probe, in_channels, size, size // 2 + shift) for shift in range(stride)]
        if None not in radii:
            return max(radius for radius in radii if radius is not None)
        size *= 2
    return None


def _radius(net: nn.Module, in_channels: int, size: int, centre: int) -> int | None:
    image = torch.zeros(1, in_channels, size, size, dtype=torch.float64)
    image[..., centre, centre] = torch.nan
    with torch.no_grad():
        touched = net(image).isnan().any(dim=1)[0]
    rows, columns = touched.nonzero(as_tuple=True)
    if touched[0].any() or touched[-1].any() or touched[:, 0].any() or touched[:, -1].any():
        return None
    return int(torch.cat([rows - centre, columns - centre]).abs().max())
