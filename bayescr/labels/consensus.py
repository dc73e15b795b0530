"""What other exposures agree that a pixel holds, though cosmic rays hit some of them."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["consensus"]

Array = np.ndarray[Any, Any]

_AGREE = 5.0  # sigma of a difference


def consensus(planes: Array, noise: Array | float) -> Array:
    """The median of those planes that agree with the lowest, of many with their lower quartile.

    Cosmic rays only ever add charge. A plain median of three is wrong where two were hit, a mean
    of two where one was, and a minimum is too low everywhere (by 0.56 sigma for two planes); this
    is none of them: where all agree, within 5 sigma of a difference, it is the median, which of
    two is their mean, and it takes one clean plane, not a majority of them.

    Args:
        planes: (N, H, W), NaN where a plane says nothing.
        noise: Standard deviation of one plane, (H, W) or one number.

    Returns:
        (H, W); NaN where no plane says anything.

    Example:
        >>> pair = np.array([[[10.0, 10.0]], [[11.0, 90.0]]])
        >>> consensus(pair, 1.0)
        array([[10.5, 10. ]])
    """
    ordered = np.sort(planes, axis=0)  # NaN last
    anchor = ordered[(len(planes) - 1) // 4]
    highest = np.where(np.isfinite(anchor), anchor, ordered[0]) + _AGREE * np.sqrt(2.0) * noise
    number = (ordered <= highest).sum(axis=0)
    low, high = (
        np.take_along_axis(ordered, np.maximum(index, 0)[None], axis=0)[0]
        for index in ((number - 1) // 2, number // 2)
    )
    return (low + high) / 2
