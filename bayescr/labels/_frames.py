"""What the searches ask of the exposures they are given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from astropy.nddata import CCDData
from scipy import ndimage

from bayescr._checks import is_number
from bayescr.errors import BayescrError

__all__ = ["check_frames", "exposure_time", "planes_of", "rounding", "saturated"]

Array = np.ndarray[Any, Any]

_PLATEAU = 3  # pixels that share the largest value: the converter's end, or the well's
_TIMES = ("EXPTIME", "EXPOSURE", "XPOSURE")


def check_frames(frames: Sequence[CCDData], *, least: int = 3) -> None:
    """See that there are enough exposures, of one shape and unit.

    Raises:
        BayescrError: If not.
    """
    if len(frames) < least:
        raise BayescrError(
            f"{len(frames)} exposures given: expected {least} or more, a hit in one is known by "
            "the others"
        )
    for name, values in (
        ("shape", [frame.shape for frame in frames]),
        ("unit", [str(frame.unit) for frame in frames]),
    ):
        odd = next((index for index, value in enumerate(values) if value != values[0]), None)
        if odd is not None:
            raise BayescrError(
                f"exposure {odd + 1} has {name} {values[odd]} but the first {values[0]}: give "
                "exposures of one detector, read the same way"
            )


def exposure_time(frame: CCDData, name: str = "an exposure") -> float:
    """Exposure time by the header [s]; 0 is one, that of a bias.

    Args:
        frame: The exposure.
        name: What to call it in the message.

    Raises:
        BayescrError: If the header has none.
    """
    for keyword in _TIMES:
        value = frame.header.get(keyword)
        if is_number(value) and value >= 0:
            return float(value)
    raise BayescrError(
        f"{name} has no exposure time in its header: expected {', '.join(_TIMES)} in seconds"
    )


def planes_of(frames: Sequence[CCDData]) -> Array:
    """(N, H, W) float32, NaN where a frame is masked or not finite."""
    planes = np.stack([np.asarray(frame.data, np.float32) for frame in frames])
    for plane, frame in zip(planes, frames, strict=True):
        if frame.mask is not None:
            plane[np.broadcast_to(frame.mask, plane.shape)] = np.nan
    planes[~np.isfinite(planes)] = np.nan
    return planes


def rounding(planes: Array) -> float:
    """The step between values as the converter gave them; next to 0 where they are continuous.

    That of the difference between two exposures, so that what was subtracted from both (a bias,
    a dark) does not hide it: the median of the gaps between its values, the rare ones left out.

    Args:
        planes: (2, H, W) as they were read.
    """
    difference = planes[0] - planes[1]
    difference = difference[np.isfinite(difference)]
    if not difference.size:
        return 0.0
    low, high = np.quantile(difference, [0.05, 0.95])
    gaps = np.diff(np.unique(difference[(difference >= low) & (difference <= high)]))
    gaps = gaps[gaps > 4.0 * np.finfo(np.float32).eps * np.nanmax(np.abs(planes))]
    return float(np.median(gaps)) if gaps.size else 0.0


def saturated(plane: Array) -> Array:
    """(H, W) bool, pixels at the largest value, if several share it, and their neighbours."""
    largest = plane == np.nanmax(plane)
    if np.count_nonzero(largest) < _PLATEAU:
        return np.zeros(plane.shape, bool)
    return np.asarray(ndimage.binary_dilation(largest, np.ones((3, 3), bool)))
