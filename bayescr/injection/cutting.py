"""Tracks cut from labelled exposures, darks above all: there nothing else leaves charge.

A track is one connected region of the truth with the charge that its pixels hold. Left out is what
is no whole track for certain: regions of few pixels, which an unsteady pixel makes as well as a
cosmic ray, and those that touch the edge of the frame or a pixel of which the labels cannot say
anything (hot, in a bad column, masked), for part of them may be missing or not be theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from astropy import units as u
from scipy import ndimage

from bayescr._checks import check_count, check_positive
from bayescr.errors import BayescrError
from bayescr.injection.catalogue import Track, TrackCatalogue
from bayescr.labels import Labels
from bayescr.labels._frames import exposure_time
from bayescr.labels.events import TOUCHING

__all__ = ["tracks_from_labels"]

Array = np.ndarray[Any, Any]

_UNKNOWN = np.float32(0.5)  # the confidence that `bayescr.labels` gives to what it cannot decide


def tracks_from_labels(
    labels: Sequence[Labels],
    *,
    smallest: int = 2,
    gain: float | None = None,
    pixel_size: float | None = None,
    name: str = "darks",
) -> TrackCatalogue:
    """Cut the tracks out of labelled exposures.

    Pixels below the threshold of the labels (``grow_sigma``) are not part of a track, and each of
    its pixels holds the noise of the dark: labels of deeper darks give better tracks.

    Args:
        labels: Of exposures of one detector, such as `bayescr.labels.label_darks` gives.
        smallest: Pixels that a track must cover.
        gain: Electrons per count of the frames that are in counts; default: what the labels were
            measured with.
        pixel_size: Side of a pixel [um].
        name: Of the catalogue.

    Raises:
        BayescrError: If there is nothing to cut, an exposure has no EXPTIME, or the gain of one
            that is not in electrons is not known.
    """
    check_count("tracks", smallest=smallest)
    if gain is not None:
        check_positive("tracks", gain=gain)
    tracks: list[Track] = []
    pixels, pixel_seconds = 0, 0.0
    for one in labels:
        known = int(np.count_nonzero(_known(one)))
        pixels += known
        pixel_seconds += known * exposure_time(one.frame)
        tracks += _cut(one, _electrons(one, gain), smallest)
    if not pixels:
        raise BayescrError(
            f"{len(labels)} labelled exposure(s) without a pixel of which the truth is known: "
            "expected one at least"
        )
    if not tracks:
        raise BayescrError(
            f"no whole track of {smallest} pixels or more in {len(labels)} labelled exposure(s): "
            "expected one at least; lower `smallest` (--smallest), or give more exposure time"
        )
    return TrackCatalogue(
        tracks=tuple(tracks),
        exposure_time=pixel_seconds / pixels,
        pixels=pixels,
        pixel_size=pixel_size,
        name=name,
    )


def _known(labels: Labels) -> Array:
    """Where the labels say anything, be it that a pixel is too faint to call."""
    unknown = ~labels.valid & (labels.confidence == _UNKNOWN)
    return ~unknown if labels.frame.mask is None else ~(unknown | labels.frame.mask)


def _cut(labels: Labels, factor: float, smallest: int) -> list[Track]:
    regions, number = ndimage.label(labels.truth, TOUCHING)
    whole = np.bincount(regions.ravel(), minlength=number + 1) >= smallest
    whole[regions[ndimage.binary_dilation(~_known(labels), TOUCHING)]] = False
    for edge in (regions[0], regions[-1], regions[:, 0], regions[:, -1]):
        whole[edge] = False
    found = []
    for index, window in enumerate(ndimage.find_objects(regions), start=1):
        if whole[index]:
            charge = np.where(regions[window] == index, labels.charge[window], 0.0)
            found.append(Track((factor * charge).astype(np.float32)))
    return found


def _electrons(labels: Labels, gain: float | None) -> float:
    """Electrons per unit of the labelled frame."""
    if labels.frame.unit == u.electron:
        return 1.0
    gain = labels.noise.gain if gain is None else gain
    if gain is None:
        raise BayescrError(
            f"labelled frame is in '{labels.frame.unit}' but tracks are in electrons: give its "
            "gain, in electrons per count; `bayescr.labels.measure_noise` measures it"
        )
    return gain
