"""How far a network looks: measured, so that it holds for any architecture."""

from __future__ import annotations

import copy

import torch
from torch import nn

__all__ = ["halo", "receptive_radius"]

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
    reaches = _reaches(net, in_channels, stride)
    return None if reaches is None else max(max(before, after) for _, before, after in reaches)


def halo(net: nn.Module, *, in_channels: int = 1, stride: int = 1) -> int | None:
    """Pixels around a tile that can move its logits, if it begins and ends at whole strides.

    Often less than the radius: the pixel that reaches furthest need not lie next to a whole stride.

    Args:
        net: As for `receptive_radius`.
        in_channels: Channels of its input.
        stride: Its period.

    Returns:
        The width of the halo, or None if every logit depends on every pixel.
    """
    reaches = _reaches(net, in_channels, stride)
    if reaches is None:
        return None
    width = 0
    for phase, before, after in reaches:
        # Modulo the stride, d pixels before a tile is -d = phase; d after its end, d - 1 = phase.
        width = max(width, after - (after + phase) % stride)
        width = max(width, before - (before - phase - 1) % stride)
    return width


def _reaches(net: nn.Module, in_channels: int, stride: int) -> list[tuple[int, int, int]] | None:
    """For each kind of line its place in the stride and how far it moves logits on both sides."""
    probe = copy.deepcopy(net).double().cpu().eval()
    found = [
        _reach(probe, in_channels, axis=axis, phase=phase, stride=stride)
        for axis in (-2, -1)
        for phase in range(stride)
    ]
    known = [reach for reach in found if reach is not None]
    return known if len(known) == len(found) else None


def _reach(
    net: nn.Module, in_channels: int, *, axis: int, phase: int, stride: int
) -> tuple[int, int, int] | None:
    length = 2 * _STRIP
    while length <= _LARGEST:
        shape = [1, in_channels, _STRIP, _STRIP]
        shape[axis] = length
        line = length // 2 // stride * stride + phase
        strip = torch.zeros(shape, dtype=torch.float64, device="cpu")
        strip.select(axis, line).fill_(torch.nan)
        with torch.no_grad():
            touched = net(strip).isnan().movedim(axis, 0).flatten(1).any(1)
        # A strip whose ends stay clean has shown the whole receptive field.
        if not (touched[0] or touched[-1]):
            lines = touched.nonzero().flatten().tolist() or [line]
            return phase, line - lines[0], lines[-1] - line
        length *= 2
    return None
