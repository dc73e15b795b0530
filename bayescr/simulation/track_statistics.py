"""What a track looks like, in numbers that are the same for simulated and for real ones."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.spatial.distance import pdist, squareform

from bayescr.errors import BayescrError

__all__ = ["TrackStatistics", "track_statistics"]

Array = np.ndarray[Any, Any]

TIE = 1e-6  # pixel: distances that differ by less are the same


class TrackStatistics(NamedTuple):
    """Numbers that no turn by 90 degrees, mirror or shift of the stamp changes.

    Attributes:
        size: Pixels of the footprint.
        charge: Sum over the footprint [electrons].
        peak: Its brightest pixel [electrons].
        length: Largest distance between the centres of two of its pixels, plus 1 [pixel].
        elongation: Ratio of the axes, from 1, of the ellipse with the charge's second moments; a
            pixel adds its own, 1/12 along either axis, so that one pixel is round.
        curvature: 1 / radius [1 / pixel] of the circle through the two pixels farthest apart, on
            which the centroid of the charge would lie where it is; 0 for a straight track.
        charge_per_length: charge / length [electrons / pixel].
    """

    size: int
    charge: float
    peak: float
    length: float
    elongation: float
    curvature: float
    charge_per_length: float


def track_statistics(charge: Array) -> TrackStatistics:
    """Measure one track.

    With chord c between the farthest pixels and the centroid at a distance h from it, a thin
    uniform arc has sagitta 3 h / 2 and curvature 12 h / c^2. Of several pairs of pixels that are
    equally far apart the one with the largest h counts.

    Args:
        charge: (H, W) electrons, 0 outside the footprint. Negative charge counts in the sum, but
            not in the moments.

    Raises:
        BayescrError: For an empty footprint or charge that is no image.

    Example:
        >>> stamp = np.zeros((3, 6))
        >>> stamp[1, 1:5] = 100.0
        >>> track = track_statistics(stamp)
        >>> track.size, track.length, round(track.elongation, 6), track.curvature
        (4, 4.0, 4.0, 0.0)
    """
    charge = np.asarray(charge, float)
    if charge.ndim != 2 or not np.isfinite(charge).all() or not (charge > 0).any():
        raise BayescrError(
            f"the track has shape {charge.shape} and {np.count_nonzero(charge > 0)} pixels above "
            "0: expected a finite image (H, W) with charge in it"
        )
    place = np.argwhere(charge != 0).astype(float)
    value = charge[charge != 0]
    weight = np.maximum(value, 0) / np.maximum(value, 0).sum()
    centroid = weight @ place
    moments = (weight[:, None] * (place - centroid)).T @ (place - centroid) + np.eye(2) / 12
    small, large = np.linalg.eigvalsh(moments)
    length, curvature = 1.0, 0.0
    if len(place) > 1:
        chord, bend = _chord(place, centroid)
        length, curvature = chord + 1, 12 * bend / chord**2
    return TrackStatistics(
        size=len(value),
        charge=float(value.sum()),
        peak=float(value.max()),
        length=length,
        elongation=float(np.sqrt(large / small)),
        curvature=curvature,
        charge_per_length=float(value.sum()) / length,
    )


def _chord(place: Array, centroid: Array) -> tuple[float, float]:
    """Largest distance of two pixels, and how far the centroid lies from the line through them."""
    distance = squareform(pdist(place))
    chord = distance.max()
    first, second = np.nonzero(distance > chord - TIE)
    along = (place[second] - place[first]) / chord
    off = centroid - place[first]
    return float(chord), float(np.abs(along[:, 0] * off[:, 1] - along[:, 1] * off[:, 0]).max())
