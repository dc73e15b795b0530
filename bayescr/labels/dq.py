"""Labels that a pipeline wrote into Hubble's data-quality flags.

4096 and 8192 are cosmic rays that were found when the exposures of a visit were combined
(AstroDrizzle's ``driz_cr``) or split ones were compared (``acsrej``, ``wf3rej``). They are as good
as that combination: a visit of one exposure has none, and what is at fault with the detector is
not valid.

References:
    ACS Data Handbook, "ACS Data Quality Flags"; WFC3 Data Handbook, "WFC3 Data Quality Flags"
    (STScI).
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from scipy import ndimage

from bayescr.data import BAD_BITS, Extension, read_frame
from bayescr.data._fits import find, opened, pixels
from bayescr.errors import BayescrError
from bayescr.labels._reading import WHOLE, Section, cut
from bayescr.labels.events import TOUCHING
from bayescr.labels.labels import Labels

__all__ = ["COSMIC_RAY_BITS", "labels_from_dq"]

Array = np.ndarray[Any, Any]

COSMIC_RAY_BITS = 4096 | 8192
"""DQ flags of a cosmic ray."""

_REACH = 2.0  # pixels, Gaussian, from which a hit pixel's sky is filled in


def labels_from_dq(
    path: str | os.PathLike[str],
    *,
    extension: Extension | None = None,
    section: Section = WHOLE,
    cosmic_ray_bits: int = COSMIC_RAY_BITS,
    bad_bits: int = BAD_BITS,
) -> Labels:
    """Read an exposure's cosmic rays from its DQ plane.

    The charge is what stands above the mean of the pixels around a hit that are none. There is
    no control, and the confidence is 1 where a label is valid: the flags come without one.

    Args:
        path: A FITS file with SCI and DQ, such as Hubble's ``flt`` and ``flc``.
        extension: The SCI; default: the first.
        section: Rows and columns to take, the imaged ones.
        cosmic_ray_bits: Flags that make a pixel a hit.
        bad_bits: Flags that make it not valid.

    Raises:
        BayescrError: If the file cannot be read, has no DQ, or no pixel has a cosmic-ray flag.
    """
    frame = cut(read_frame(path, extension=extension, bad_bits=bad_bits), section, path)
    with opened(path) as hdus:
        plane = find(hdus, ("DQ", int(frame.header.get("EXTVER", 1))), path=path)
        flags = pixels(plane, path=path).astype(np.int64)[section]
    valid = ~frame.mask
    truth = ((flags & cosmic_ray_bits) != 0) & valid
    if not truth.any():
        raise BayescrError(
            f"'{path}' has no pixel flagged as a cosmic ray in DQ ({cosmic_ray_bits}): expected an "
            "exposure after it was combined with others; label it by those others"
        )
    _, number = ndimage.label(truth, TOUCHING)
    return Labels(
        frame=frame,
        truth=truth,
        valid=valid,
        confidence=np.where(valid, 1.0, 0.5).astype(np.float32),
        charge=_charge(np.asarray(frame.data, np.float64), truth, valid),
        num_events=number,
        num_control=0,
    )


def _charge(data: Array, truth: Array, valid: Array) -> Array:
    clean = valid & ~truth
    weight, total = (
        ndimage.gaussian_filter(plane, _REACH)
        for plane in (clean.astype(np.float64), np.where(clean, data, 0.0))
    )
    sky = np.divide(
        total, weight, out=np.full(data.shape, np.median(data[clean])), where=weight > 0
    )
    return np.where(truth, data - sky, 0.0).astype(np.float32)
