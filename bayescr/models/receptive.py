"""How far around a tile a network looks: measured, so that it holds for any architecture."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

__all__ = ["halo"]

_LARGEST = 1024  # pixels; a network that looks further is treated as one that looks everywhere
_STRIP = 32  # pixels; width of the strips along which it is measured


def halo(net: nn.Module, *, in_channels: int = 1, stride: int = 1) -> int | None:
    """Pixels around a tile that its logits need, if it begins and ends at whole strides.

    One line of pixels across a strip is poisoned with NaN; whatever depends on it turns to NaN,
    whatever the weights. A network of stride s treats s kinds of lines differently, so that all
    are tried. A network that shifts its maps and shifts them back depends on pixels near by, but
    loses what it shifts beyond the edge of a tile: noise is therefore sent through a strip whole
    and cut, and the halo grows until the two agree. Float64 keeps the convolutions on the direct
    path, in which nothing else is touched.

    Args:
        net: Maps (1, in_channels, H, W) to (1, K, H, W).
        in_channels: Channels of its input.
        stride: Its period, the product of its poolings.

    Returns:
        The width of the halo, a multiple of the stride, or None if every logit depends on every
        pixel (statistics over space).

    Example:
        >>> halo(nn.Conv2d(1, 1, 5, padding=2))
        2
    """
    probe = copy.deepcopy(net).double().cpu().eval()
    widths = [
        _reach(probe, in_channels, axis=axis, phase=phase, stride=stride)
        for axis in (-2, -1)
        for phase in range(stride)
    ]
    known = [width for width in widths if width is not None]
    if len(known) < len(widths):
        return None
    width = -(-max(known) // stride) * stride
    while width <= _LARGEST:
        if all(
            _agrees(probe, in_channels, axis=axis, width=width, stride=stride) for axis in (2, 3)
        ):
            return width
        width += stride
    return None


def _reach(net: nn.Module, in_channels: int, *, axis: int, phase: int, stride: int) -> int | None:
    """Distance from a whole stride, before or after it, at which a line still moves logits beyond.

    Args:
        net: In float64.
        in_channels: Channels of its input.
        axis: Of the images, across which the line lies.
        phase: Place of the line in the stride.
        stride: Period of the network.
    """
    length = 2 * _STRIP
    while length <= _LARGEST:
        line = length // 2 // stride * stride + phase
        strip = _strip(in_channels, axis, length, stride).zero_()
        strip.select(axis, line).fill_(torch.nan)
        with torch.no_grad():
            touched = net(strip).isnan().movedim(axis, 0).flatten(1).any(1)
        # A strip whose ends stay clean has shown the whole receptive field.
        if not (touched[0] or touched[-1]):
            lines = touched.nonzero().flatten().tolist() or [line]
            before, after = line - lines[0], lines[-1] - line
            # Modulo the stride, d pixels before a tile is -d = phase, d after it d - 1 = phase.
            return max(0, after - (after + phase) % stride, before - (before - phase - 1) % stride)
        length *= 2
    return None


@torch.no_grad()
def _agrees(net: nn.Module, in_channels: int, *, axis: int, width: int, stride: int) -> bool:
    """Whether half a strip of noise with a halo gives the logits of the whole strip."""
    half = -(-(width + _STRIP) // stride) * stride
    strip = _strip(in_channels, axis, 2 * half, stride)
    strip.normal_(generator=torch.Generator().manual_seed(0))
    whole = net(strip)
    first = net(strip.narrow(axis, 0, half + width)).narrow(axis, 0, half)
    second = net(strip.narrow(axis, half - width, half + width)).narrow(axis, width, half)
    error = (torch.cat([first, second], axis) - whole).abs().max()
    return bool(error <= 1e-9 * whole.abs().max())


def _strip(in_channels: int, axis: int, length: int, stride: int) -> Tensor:
    side = max(1, _STRIP // stride) * stride
    shape = [1, in_channels, side, side]
    shape[axis] = length
    return torch.empty(shape, dtype=torch.float64, device="cpu")
