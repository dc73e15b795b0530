"""Events: connected pixels that stand out of the noise, and how many noise alone would make."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from bayescr._checks import check_positive
from bayescr.errors import BayescrError

__all__ = ["TOUCHING", "Events", "find_events"]

Array = np.ndarray[Any, Any]

TOUCHING = np.ones((3, 3), bool)
"""Pixels that share a side or a corner belong together."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Events:
    """Events of a residual.

    Attributes:
        regions: (H, W) int32, the number of the event that a pixel belongs to, from 1; 0 = none.
        num_events: How many there are.
        num_control: How many the same search finds in the residual with its sign flipped, where
            there is nothing to find: the expected number of false events.
        significance: (H, W) float32, residual / noise; 0 where it is not valid.
    """

    regions: Array
    num_events: int
    num_control: int
    significance: Array

    @property
    def truth(self) -> Array:
        """(H, W) bool, True in events."""
        return self.regions > 0


def find_events(
    residual: Array,
    noise: Array | float,
    *,
    seed_sigma: float = 6.0,
    grow_sigma: float = 3.0,
    valid: Array | None = None,
    seed_residual: Array | None = None,
) -> Events:
    """Find the regions above ``grow_sigma`` that hold a pixel above ``seed_sigma``.

    A pixel alone must exceed the sum of both, the least that two hold: charge diffuses, while the
    tail of a noise that is not symmetric, to which the control is blind, is of single pixels.

    Control: the same search on ``-residual``. Noise that is symmetric about zero makes as many
    events there as it does among those that count, and charge, being positive, makes none.

    Args:
        residual: (H, W), what is left when all that is not a cosmic ray is subtracted.
        noise: Its standard deviation, (H, W) or one number, in the same unit.
        seed_sigma: What an event's brightest pixel must exceed [sigma]; a pixel alone, the sum.
        grow_sigma: What each of its pixels must exceed [sigma].
        valid: (H, W) bool; an event holds none of the pixels that are not.
        seed_residual: (H, W), a stricter residual in which seeds are looked for.

    Raises:
        BayescrError: If shapes do not match or a threshold cannot be used.

    Example:
        >>> residual = np.zeros((5, 5))
        >>> residual[1, 1:4] = 4.0, 9.0, 2.0
        >>> events = find_events(residual, 1.0)
        >>> events.num_events, int(events.truth.sum()), events.num_control
        (1, 2, 0)
    """
    check_positive("find_events", seed_sigma=seed_sigma, grow_sigma=grow_sigma)
    if grow_sigma > seed_sigma:
        raise BayescrError(
            f"grow_sigma is {grow_sigma} but seed_sigma {seed_sigma}: expected a lower one, an "
            "event grows from its seed"
        )
    significance = _in_sigma(residual, noise, valid)
    seeds = significance if seed_residual is None else _in_sigma(seed_residual, noise, valid)
    regions, num_events = _search(significance, seeds, seed_sigma, grow_sigma)
    _, num_control = _search(-significance, -seeds, seed_sigma, grow_sigma)
    return Events(
        regions=regions,
        num_events=num_events,
        num_control=num_control,
        significance=significance,
    )


def _in_sigma(residual: Array, noise: Array | float, valid: Array | None) -> Array:
    for name, plane in (("noise", noise), ("valid", valid)):
        if plane is not None and np.shape(plane) not in ((), residual.shape):
            raise BayescrError(
                f"{name} has shape {np.shape(plane)} but the residual {residual.shape}: expected "
                "the same shape"
            )
    usable = np.isfinite(residual) & (np.asarray(noise) > 0)
    if valid is not None:
        usable &= valid
    result = np.zeros(residual.shape, np.float32)
    return np.divide(residual, noise, out=result, where=usable, casting="same_kind")


def _search(significance: Array, seeds: Array, seed: float, grow: float) -> tuple[Array, int]:
    """Regions above ``grow`` that reach ``seed``, numbered from 1 in reading order."""
    regions, _ = ndimage.label(significance > grow, TOUCHING)
    enough = (np.bincount(regions.ravel())[regions] > 1) | (significance > seed + grow)
    kept = np.unique(regions[(seeds > seed) & (regions > 0) & enough])
    number = np.zeros(regions.max() + 1, np.int32)
    number[kept] = np.arange(1, len(kept) + 1)
    return number[regions], len(kept)
