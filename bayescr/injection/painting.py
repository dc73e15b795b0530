"""Tracks painted into a sky, with exact truth.

    painted = sky + sum of the tracks' charge                                   [electron]

A track is set down at a whole pixel, for its pixels cannot be resampled, after one of the 8
symmetries of the square; it keeps its charge, and with it its own shot noise. Where tracks overlap
their charges add; what falls over an edge is lost. With q the charge painted into a pixel and s the
noise that the pixel has without it, the pixel is

    a hit         q > threshold * s
    not valid     undecided * s < q <= threshold * s: one exposure cannot tell it from noise
    no hit        q <= undecided * s

s is the uncertainty of the sky frame where it has one (ERR of a Hubble file). Else it is measured,

    s^2 = s_0^2 + max(x - m, 0)

where m and s_0 are level and noise of the sky (`bayescr.data.sky_and_noise`) and x is the pixel:
what it holds above the sky adds its shot noise. A bias level does no harm, for it is part of m.

Not valid either: pixels that the sky frame masks, its own hits with all pixels that touch them, and
pixels that were saturated before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from astropy import units as u
from astropy.nddata import CCDData, StdDevUncertainty
from scipy.ndimage import binary_dilation

from bayescr._checks import check_count, check_positive, is_number
from bayescr.data import sky_and_noise
from bayescr.data._stamps import SYMMETRIES, paint, turned
from bayescr.errors import BayescrError
from bayescr.injection.catalogue import Track, TrackCatalogue
from bayescr.labels._frames import exposure_time
from bayescr.labels.events import TOUCHING

__all__ = ["Injected", "Placed", "inject", "local_noise"]

Array = np.ndarray[Any, Any]


class Placed(NamedTuple):
    """Where a track was painted.

    Attributes:
        track: Its number in the catalogue.
        row: Of the first pixel of its stamp in the frame, which may lie outside.
        column: Likewise.
        symmetry: From 0 to 7; its bits: 1 rows reversed, 2 columns reversed, then 4 transposed.
    """

    track: int
    row: int
    column: int
    symmetry: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Injected:
    """A sky with tracks in it and the truth about them.

    Attributes:
        frame: Data (H, W) float32 electrons; mask, WCS and header are the sky's.
        truth: (H, W) bool, the hits, wherever they are.
        valid: (H, W) bool, where the truth can be relied on.
        charge: (H, W) float32, electrons painted in.
        placed: Every track, in the order of painting.
        seed: Of the places.
        threshold: Of a hit, in units of the noise without it.
        undecided: From here to the threshold a pixel is not valid.
    """

    frame: CCDData
    truth: Array
    valid: Array
    charge: Array
    placed: tuple[Placed, ...]
    seed: int
    threshold: float
    undecided: float


def inject(
    sky: CCDData,
    tracks: TrackCatalogue | Sequence[Track],
    *,
    number: int | None = None,
    rate: float | None = None,
    seed: int = 0,
    own_hits: Array | None = None,
    threshold: float = 2.0,
    undecided: float = 0.7,
    saturation: float | None = None,
) -> Injected:
    """Paint real tracks into a frame; the same arguments give the same pixels.

    Tracks are drawn with replacement. The middle pixels of their stamps are uniform over the frame:
    within half a track of an edge a little fewer fall than elsewhere, for none comes from outside.

    Args:
        sky: The frame, real or simulated, in electrons; it stays as it is.
        tracks: A catalogue or, where ``number`` is given, any tracks.
        number: Of tracks in the frame.
        rate: Tracks [1 / cm^2 / s] instead; default: that of the catalogue. Their number is drawn
            from Poisson(rate * pixels * pixel_size^2 * EXPTIME), with the catalogue's pixel size:
            tracks bring their pixels along, and so the silicon that these cover.
        seed: Of number, choice, places and symmetries.
        own_hits: (H, W) bool, cosmic rays that the sky frame brings along.
        threshold: Of a hit, in units of the noise without it.
        undecided: From here to the threshold a pixel is not valid.
        saturation: Level of the frame [electron] that no pixel exceeds; default: none.

    Raises:
        BayescrError: If the sky is not in electrons, or an argument cannot be used.

    References:
        Zhang & Bloom, "deepCR: Cosmic Ray Rejection with Deep Learning", arXiv:1907.09500, and Xu
        et al., "Cosmic-CoNN", arXiv:2106.14922, paint or add cosmic rays for training.
    """
    if sky.unit != u.electron:
        raise BayescrError(
            f"sky is in '{sky.unit}' but tracks are in electrons: read it with its gain, "
            "`read_frame(path, gain=...)`"
        )
    check_positive("inject", threshold=threshold)
    if not (is_number(undecided) and 0 <= undecided <= threshold):
        raise BayescrError(
            f"inject undecided is {undecided!r}: expected a number from 0 to the threshold, "
            f"{threshold:g}"
        )
    check_count("inject", seed=seed, least=0)
    shape = sky.data.shape
    rng = np.random.default_rng(seed)
    stamps = tracks.tracks if isinstance(tracks, TrackCatalogue) else tuple(tracks)
    placed = _place(stamps, shape, _number(sky, tracks, number, rate, rng), rng)
    charge = _paint(stamps, placed, shape)

    valid = np.isfinite(sky.data) if sky.mask is None else np.isfinite(sky.data) & ~sky.mask
    noise = local_noise(sky, valid)
    valid &= (charge <= undecided * noise) | (charge > threshold * noise)
    if own_hits is not None:
        valid &= ~_grown(own_hits, shape)
    data = (sky.data + charge).astype(np.float32)
    if saturation is not None:
        check_positive("inject", saturation=saturation)
        valid &= sky.data < saturation
        data = np.minimum(data, np.float32(saturation))
    uncertainty = np.sqrt(noise**2 + np.maximum(charge, 0.0)).astype(np.float32)
    return Injected(
        frame=CCDData(
            data,
            unit=u.electron,
            mask=None if sky.mask is None else sky.mask.copy(),
            uncertainty=StdDevUncertainty(uncertainty),
            wcs=sky.wcs,
            meta=sky.header.copy(),
        ),
        truth=charge > threshold * noise,
        valid=valid,
        charge=charge,
        placed=placed,
        seed=seed,
        threshold=threshold,
        undecided=undecided,
    )


def local_noise(sky: CCDData, valid: Array) -> Array:
    """Noise of every pixel as described above, (H, W) float64 electrons.

    Args:
        sky: The frame, in electrons.
        valid: (H, W) bool, True where a pixel can be used.
    """
    level, noise = sky_and_noise(sky.data, valid=valid)
    excess = np.nan_to_num(np.maximum(sky.data - level, 0.0), posinf=0.0)
    measured = np.sqrt(noise**2 + excess)
    if not isinstance(sky.uncertainty, StdDevUncertainty):
        return measured
    stated = np.asarray(sky.uncertainty.array, np.float64)
    return np.where(np.isfinite(stated) & (stated > 0), stated, measured)


def _number(
    sky: CCDData,
    tracks: TrackCatalogue | Sequence[Track],
    number: int | None,
    rate: float | None,
    rng: np.random.Generator,
) -> int:
    if number is not None:
        if rate is not None:
            raise BayescrError("number and rate exclude one another: give one of them")
        check_count("inject", number=number, least=0)
        return number
    if not isinstance(tracks, TrackCatalogue):
        raise BayescrError(
            "tracks without a catalogue have no rate: give the number of tracks in the frame"
        )
    rate = tracks.rate if rate is None else rate
    check_positive("inject", rate=rate)
    area = sky.data.size * tracks.pixel_area
    return int(rng.poisson(rate * area * exposure_time(sky)))


def _place(
    tracks: tuple[Track, ...], shape: tuple[int, int], number: int, rng: np.random.Generator
) -> tuple[Placed, ...]:
    if not tracks:
        raise BayescrError("no tracks to paint: expected one at least")
    which = rng.integers(len(tracks), size=number)
    rows, columns = rng.integers(shape[0], size=number), rng.integers(shape[1], size=number)
    found = []
    for track, row, column, symmetry in zip(
        which, rows, columns, rng.integers(SYMMETRIES, size=number), strict=True
    ):
        height, width = turned(tracks[track].charge, symmetry).shape
        found.append(
            Placed(
                int(track), int(row) - height // 2, int(column) - width // 2, int(symmetry)
            )
        )  # fmt: skip
    return tuple(found)


def _paint(tracks: tuple[Track, ...], placed: tuple[Placed, ...], shape: tuple[int, int]) -> Array:
    """(H, W) float32 sum of the charge of all tracks."""
    charge = np.zeros(shape, np.float32)
    for track, row, column, symmetry in placed:
        paint(charge, turned(tracks[track].charge, symmetry), (row, column))
    return charge


def _grown(own_hits: Array, shape: tuple[int, int]) -> Array:
    if own_hits.shape != shape or own_hits.dtype != bool:
        raise BayescrError(
            f"own_hits is {own_hits.dtype} of shape {own_hits.shape} but the sky has {shape}: "
            "expected a bool mask of the same shape"
        )
    return np.asarray(binary_dilation(own_hits, TOUCHING))
