"""What a package that takes bare arrays needs to know of a frame: electrons, mask, read noise."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from astropy import units as u
from astropy.nddata import CCDData

from bayescr.data import sky_and_noise
from bayescr.errors import BayescrError

__all__ = ["electrons", "read_noise"]

Array = np.ndarray[Any, Any]

_KEYWORDS = ("READNSE", "RDNOISE", "READNOIS")
_AMPLIFIERS = ("READNSEA", "READNSEB", "READNSEC", "READNSED")  # of ACS and WFC3


def electrons(frame: CCDData, *, gain: float | None) -> tuple[Array, Array]:
    """The pixels in electrons, all finite, and where they are unusable.

    A pixel that is not finite becomes the level of the sky: no package is to see a NaN. Masked
    pixels that are finite stay as they are.

    Args:
        frame: The exposure.
        gain: Electrons per unit of the frame, where that is not the electron.

    Returns:
        Data, (H, W) float32, a copy; mask, (H, W) bool, True = unusable.

    Raises:
        BayescrError: If the frame is not in electrons and no gain is given, or nothing is usable.
    """
    if frame.unit == u.electron:
        gain = 1.0
    elif gain is None:
        raise BayescrError(
            f"frame is in '{frame.unit}' but the method needs electrons: give its gain, in "
            "electrons per unit (1.0 if these are electrons)"
        )
    data = np.asarray(frame.data, dtype=np.float64) * gain
    finite = np.isfinite(data)
    mask = ~finite if frame.mask is None else ~finite | np.broadcast_to(frame.mask, data.shape)
    if not finite.all():
        data[~finite] = sky_and_noise(data, valid=~mask)[0]
    return data.astype(np.float32), mask


def read_noise(frame: CCDData, data: Array, mask: Array) -> float:
    """The read noise [electron]: the header's, else what the noise of the sky leaves for it.

    The header says READNSE, RDNOISE or READNOIS, or READNSEA to D of amplifiers, whose root mean
    square counts. Else, with the level m and the noise s of the sky in the frame,

        read_noise^2 = max(s^2 - m, 1)

    which in a frame whose sky was subtracted is all of the sky's noise, as a model of the noise
    made of pixels and read noise needs it there.

    Args:
        frame: The exposure, for its header.
        data: (H, W) [electron].
        mask: (H, W) bool, True = unusable.
    """
    for keyword in _KEYWORDS:
        if _is_positive(frame.header.get(keyword)):
            return float(frame.header[keyword])
    values = [frame.header.get(keyword) for keyword in _AMPLIFIERS]
    squares = [float(value) ** 2 for value in values if _is_positive(value)]
    if squares:
        return math.sqrt(sum(squares) / len(squares))
    sky, noise = sky_and_noise(data, valid=~mask)
    return math.sqrt(max(noise**2 - sky, 1.0))


def _is_positive(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value) and value > 0
