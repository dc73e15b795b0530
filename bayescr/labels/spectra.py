"""Cosmic rays in spectra through one slit: nothing moves, but the sky and the object vary.

Lines of the sky fill the slit and flicker, and an amplifier's level may jump from row to row: each
other exposure is brought to the level of this one by the median of their difference in every row
(dispersion runs along columns; along rows it does as well, with the lines' flicker in the noise).

Which statistic of two others? The mean is wrong wherever one of them was hit: half of that charge
is missing from a hit at the same place, and the pixels beside it look like holes. The minimum is
not fooled by a hit, but lies 0.56 sigma low everywhere, and it always takes the fainter state of a
line that varies. The `consensus` is the mean where the two agree and the lower where they do not:
unbiased, and right if one of them is.

The noise is that of f - centre as it grows with the level, flicker included (`fit_noise`). Not
valid: saturated pixels, those where flicker makes more than half of the noise, and those where
every other exposure was hit, so that there is nothing to compare with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from astropy.nddata import CCDData
from scipy import ndimage

from bayescr.labels._frames import check_frames, planes_of, rounding, saturated
from bayescr.labels.consensus import consensus
from bayescr.labels.events import TOUCHING, find_events
from bayescr.labels.labels import Labels, make_labels
from bayescr.labels.noise import robust_std
from bayescr.labels.noise_curve import fit_noise

__all__ = ["label_spectra"]

Array = np.ndarray[Any, Any]


def label_spectra(
    frames: Sequence[CCDData],
    *,
    seed_sigma: float = 6.0,
    grow_sigma: float = 3.0,
    progress: Callable[[int], object] | None = None,
) -> list[Labels]:
    """Find the cosmic rays of each of three or more spectra by the others.

    Args:
        frames: One slit, one setting of the spectrograph, one shape and unit.
        seed_sigma: As in `find_events`.
        grow_sigma: As in `find_events`.
        progress: Called with the number of exposures finished, after each.

    Returns:
        Labels of each frame, in the frames' unit.

    Raises:
        BayescrError: If there are fewer than three frames or they differ in shape or unit.
    """
    check_frames(frames)
    planes = planes_of(frames)
    step = rounding(planes[:2])
    searched = [_search(index, planes, step) for index in range(len(planes))]
    find = partial(find_events, seed_sigma=seed_sigma, grow_sigma=grow_sigma)
    hit = np.stack([find(residual, noise).truth for residual, noise in searched])
    labels = []
    for index, (frame, (residual, noise)) in enumerate(zip(frames, searched, strict=True)):
        nothing_clean = ndimage.binary_dilation(np.delete(hit, index, axis=0).all(axis=0), TOUCHING)
        labels.append(
            make_labels(
                frame,
                residual,
                noise,
                decidable=np.isfinite(noise) & ~saturated(planes[index]) & ~nothing_clean,
                seed_sigma=seed_sigma,
                grow_sigma=grow_sigma,
            )
        )
        if progress is not None:
            progress(len(labels))
    return labels


def _search(index: int, planes: Array, step: float) -> tuple[Array, Array]:
    """What is left of an exposure, and its noise, infinite where that is not known."""
    plane, others = planes[index], np.delete(planes, index, axis=0)
    others -= np.nan_to_num(np.nanmedian(others - plane, axis=2, keepdims=True))
    difference = others[0] - plane
    one = robust_std(difference[np.isfinite(difference)], step=step) / np.sqrt(2.0)
    centre = consensus(others, one)
    residual = plane - centre
    usable = np.isfinite(residual)
    curve = fit_noise(residual, centre, usable, step=step)
    is_known = usable & curve.is_known(centre)
    return residual, np.where(is_known, curve.at(np.where(usable, centre, curve.sky)), np.inf)
