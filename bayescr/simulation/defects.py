"""The pixels that do not behave: hot, warm and dead ones, and bad columns.

Most of them are flagged in the data quality; the few that are not, and the warm pixels, look like
the smallest cosmic rays and are there to be told apart from them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from bayescr.simulation.detector import DQ_BAD, DQ_COLUMN, DQ_HOT, DQ_WARM, Detector
from bayescr.simulation.draws import log_uniform

__all__ = ["Defects", "draw_defects"]

Array = np.ndarray[Any, Any]

DEAD = 0.1  # of its light is what a dead pixel collects
BLOCKED = (0.0, 0.3)  # of the charge is what comes through a dead column
GROUP = 1.5  # mean number of bad columns side by side


class Defects(NamedTuple):
    """The pixels that do not behave.

    Attributes:
        dark_current: (H, W) of every pixel [electron / s].
        sensitivity: (H, W) share of the light that is collected, about 1 for a good pixel.
        transmission: (H, W) share of the charge that reaches the amplifier, 1 for a good column.
        planes: Kind -> (H, W) bool: ``hot``, ``warm``, ``dead``, ``bad_column``.
        dq: (H, W) int16 of those that are known: 4 dead, 16 hot, 64 warm, 128 bad column.
    """

    dark_current: Array
    sensitivity: Array
    transmission: Array
    planes: dict[str, Array]
    dq: Array


def draw_defects(shape: tuple[int, int], detector: Detector, rng: np.random.Generator) -> Defects:
    """Draw the defects of a detector, or of a piece of it, whose amplifier is below row 0."""
    kind = rng.random(shape)  # no pixel is two of the three
    hot = kind < detector.hot_fraction
    warm = ~hot & (kind < detector.hot_fraction + detector.warm_fraction)
    dead = 1 - kind < detector.dead_fraction
    current = np.zeros(shape)
    for pixels, limits in ((hot, detector.hot_current), (warm, detector.warm_current)):
        current[pixels] = log_uniform(limits, rng, int(pixels.sum()))
    is_clear = current > 4 * detector.hot_current[0]  # fainter ones are lost in the noise of darks
    draw = rng.random(shape)
    dq = DQ_HOT * (hot & is_clear & (draw < detector.hot_flagged))
    dq += DQ_WARM * (warm & (draw < detector.hot_flagged))
    dq += DQ_BAD * (dead & (draw < detector.dead_flagged))
    sensitivity = np.where(dead, DEAD, 1.0) * rng.normal(1.0, detector.response_scatter, shape)

    transmission = np.ones(shape)
    bad = np.zeros(shape, bool)
    for first in np.flatnonzero(rng.random(shape[1]) < detector.bad_column_fraction):
        group = _bad_columns(int(first), shape, rng)
        bad[group] = True
        if rng.random() < 0.5:
            transmission[group] = rng.uniform(*BLOCKED)
        else:
            current[group] += log_uniform(detector.hot_current, rng)
        if rng.random() < detector.bad_column_flagged:
            dq[group] |= DQ_COLUMN
    return Defects(
        dark_current=detector.dark_current + current,
        sensitivity=np.maximum(sensitivity, 0),
        transmission=transmission,
        planes={"hot": hot, "warm": warm, "dead": dead, "bad_column": bad},
        dq=dq.astype(np.int16),
    )


def _bad_columns(
    first: int, shape: tuple[int, int], rng: np.random.Generator
) -> tuple[slice, slice]:
    """A group of columns, whole or, half of them, from a random row on, away from the amplifier."""
    height, width = shape
    lowest = int(rng.integers(height)) if rng.random() < 0.5 else 0
    return np.s_[lowest:, first : min(first + int(rng.geometric(1 / GROUP)), width)]
