"""From charge in pixels to counts: blooming, charge transfer, offsets, rounding."""

from __future__ import annotations

from typing import Any

import numpy as np

from bayescr.simulation.detector import Detector

__all__ = ["bleed", "digitise", "draw_bias", "transfer"]

Array = np.ndarray[Any, Any]

COUNTS = 65_535  # the highest of 16 bits


def bleed(electrons: Array, full_well: float) -> Array:
    """Move charge above the full well along its column; a copy, at most ``full_well`` anywhere.

    Half of it runs each way, into the next pixels that have room. Charge is conserved, but for
    what runs over the end of a column.

    Example:
        >>> bleed(np.array([[0.0], [30.0], [0.0]]), 15.0).ravel()
        array([ 7.5, 15. ,  7.5])
    """
    image = electrons.copy()
    over = np.flatnonzero((image > full_well).any(axis=0))
    columns = image[:, over]
    half = np.maximum(columns - full_well, 0) / 2
    np.minimum(columns, full_well, out=columns)
    for order in (1, -1):
        flow = np.zeros(len(over))
        for pixels, more in zip(columns[::order], half[::order], strict=True):
            taken = np.minimum(flow, full_well - pixels)
            pixels += taken
            flow += more - taken
    image[:, over] = columns
    return image


def transfer(electrons: Array, detector: Detector, *, first_row: int = 0) -> Array:
    """Shift charge row by row to the amplifier below row 0; a share is left behind and trails.

    Row i is shifted n = first_row + i + 1 times and leaves behind 1 - (1 - transfer_loss)^n of its
    charge, which comes out in the rows after it, exponentially. That is linear in the charge: what
    trails after a sum of images is the sum of their trails. (In a real detector faint packets
    lose a larger share than bright ones.)

    Args:
        electrons: (H, W).
        detector: Its ``transfer_loss`` and ``trail_length``.
        first_row: Rows between the image and the amplifier.

    References:
        Anderson & Bedin, "An Empirical Pixel-Based Correction for Imperfect CTE. I. HST's ACS",
        arXiv:1007.3987.
    """
    transfers = first_row + 1 + np.arange(electrons.shape[0])
    share = -np.expm1(transfers * np.log1p(-detector.transfer_loss))
    behind = share[:, None] * electrons
    moved = electrons - behind
    stay = np.exp(-1 / detector.trail_length)
    trapped = np.zeros(electrons.shape[1])
    for row, left in zip(moved, behind, strict=True):
        row += (1 - stay) * trapped
        trapped = stay * trapped + left
    return moved


def draw_bias(shape: tuple[int, int], detector: Detector, rng: np.random.Generator) -> Array:
    """(H, W) offsets [electrons] of rows, columns and amplifiers, the mean level taken out.

    A hum makes slanting stripes. A second amplifier reads the columns from a random one on, if the
    frame lies across the middle of the detector.
    """
    height, width = shape
    rows = rng.normal(0, detector.row_noise, (height, 1))
    columns = rng.normal(0, detector.column_noise, (1, width))
    steps = rng.normal(0, detector.amplifier_step, 2)
    middle = rng.uniform(-detector.columns, detector.columns + width)
    bias = rows + columns + np.where(np.arange(width) < middle, *steps)
    if detector.pickup:
        time = np.arange(height)[:, None] * detector.columns + np.arange(width)  # of each pixel
        phase = 2 * np.pi * (rng.uniform(0.02, 0.5) * time + rng.random())
        bias += detector.pickup * np.sin(phase)
    return bias


def digitise(electrons: Array, gain: float) -> Array:
    """Electrons of the nearest whole count, at most 65535 counts; as they are for a gain of 0."""
    if not gain:
        return electrons
    return gain * np.minimum(np.rint(electrons / gain), COUNTS)
