"""The inputs of a layer: how many one output sums, and along which axes of the weight they lie."""

from __future__ import annotations

import math

from torch import nn

__all__ = ["fan_in", "input_axis", "output_axis"]

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def fan_in(layer: nn.Module) -> int:
    """Number of inputs that one output of a layer sums; 0 for a layer that sums none.

    A convolution sums its kernel over the channels of its group. A transposed convolution
    spreads each input over its kernel, so that an output sums only the part of the kernel that
    the stride lets overlap: kernel / stride taps along each axis in the mean over outputs, which
    is rounded and at least 1. For kernel 2 and stride 2 that is one tap a channel, a quarter of
    what the shape of the weight suggests.

    Example:
        >>> fan_in(nn.Conv2d(8, 4, 3)), fan_in(nn.ConvTranspose2d(8, 4, 2, stride=2))
        (72, 8)
    """
    if isinstance(layer, _TRANSPOSED):
        taps = math.prod(
            kernel / stride for kernel, stride in zip(layer.kernel_size, layer.stride, strict=True)
        )
        return max(1, round(taps * layer.in_channels / layer.groups))
    if isinstance(layer, _CONVOLUTIONS):
        return math.prod(layer.kernel_size) * layer.in_channels // layer.groups
    if isinstance(layer, nn.Linear):
        return layer.in_features
    return 0


def input_axis(layer: nn.Module) -> int | None:
    """Axis of a layer's weight that runs over its input channels; None if there is no such axis.

    Example:
        >>> input_axis(nn.Conv2d(8, 4, 3)), input_axis(nn.ConvTranspose2d(8, 4, 2))
        (1, 0)
    """
    if isinstance(layer, _TRANSPOSED):
        return 0 if layer.groups == 1 else None
    if isinstance(layer, _CONVOLUTIONS):
        return 1 if layer.groups == 1 else None
    return 1 if isinstance(layer, nn.Linear) else None


def output_axis(layer: nn.Module) -> int | None:
    """Axis of a layer's weight that runs over its output channels; None if there is no such axis.

    Example:
        >>> output_axis(nn.Conv2d(8, 4, 3)), output_axis(nn.ConvTranspose2d(8, 4, 2))
        (0, 1)
    """
    if isinstance(layer, _TRANSPOSED):
        return 1 if layer.groups == 1 else None
    return 0 if isinstance(layer, (*_CONVOLUTIONS, nn.Linear)) else None
