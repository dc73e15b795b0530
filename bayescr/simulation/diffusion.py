"""Charge on its way from where it was freed to the pixel that collects it.

A cloud freed at height h above the gates of a depleted layer of thickness d spreads while it
drifts, by diffusion in time, to a Gaussian of standard deviation

    sigma(h) = diffusion * sqrt(h / d)

(the drift time grows with h), to which a cloud that was wide at the start adds in quadrature. The
Gaussian is integrated over each pixel exactly, out to four standard deviations; what falls outside
the frame is lost.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import ndtr

from bayescr.simulation.electrons import Deposits

__all__ = ["collect"]

Array = np.ndarray[Any, Any]

CHUNK = 100_000  # deposits spread at once, to bound memory


def collect(
    deposits: Deposits,
    shape: tuple[int, int],
    *,
    pixel_size: float,
    diffusion: float,
    thickness: float,
    cloud: float = 0.0,
) -> Array:
    """Electrons in each pixel, (H, W) float32.

    Pixel (row i, column j) covers j <= x / pixel_size < j + 1 and the like for y and i.

    Args:
        deposits: Where how much charge was freed.
        shape: (H, W).
        pixel_size: [um].
        diffusion: Standard deviation of a cloud from the far side of the layer [um].
        thickness: Of the layer [um].
        cloud: Standard deviation of the clouds where they start [um].
    """
    height, width = shape
    reach = int(np.ceil(4 * np.hypot(diffusion, cloud) / pixel_size))
    x, y = deposits.position[:, 0] / pixel_size, deposits.position[:, 1] / pixel_size
    near = (x >= -reach) & (x < width + reach) & (y >= -reach) & (y < height + reach)
    x, y, charge = x[near], y[near], deposits.charge[near]
    relative = np.clip(deposits.position[near, 2] / thickness, 0.0, 1.0)
    sigma = np.maximum(np.hypot(diffusion * np.sqrt(relative), cloud) / pixel_size, 1e-6)

    pad = 2 * reach  # so that every cloud that is near fits
    padded = np.zeros((height + 2 * pad, width + 2 * pad))
    stride, flat = padded.shape[1], padded.ravel()
    offsets = np.arange(-reach, reach + 1)
    for start in range(0, len(x), CHUNK):
        part = slice(start, start + CHUNK)
        column, along_x = _shares(x[part], sigma[part], offsets)
        row, along_y = _shares(y[part], sigma[part], offsets)
        pixel = (row[:, :, None] + pad) * stride + column[:, None, :] + pad
        spread = along_y[:, :, None] * along_x[:, None, :] * charge[part, None, None]
        flat += np.bincount(pixel.ravel(), spread.ravel(), minlength=len(flat))
    return padded[pad : pad + height, pad : pad + width].astype(np.float32)


def _shares(centre: Array, sigma: Array, offsets: Array) -> tuple[Array, Array]:
    """Pixels around each centre along one axis and the share of a unit Gaussian in each."""
    pixel = np.floor(centre).astype(int)[:, None] + offsets
    low = (pixel - centre[:, None]) / sigma[:, None]
    high = (pixel + 1 - centre[:, None]) / sigma[:, None]
    return pixel, ndtr(high) - ndtr(low)
