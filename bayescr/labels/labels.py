"""What is known of an exposure's cosmic rays, and what is not.

A pixel is not valid where its truth cannot be decided, so that nobody trains on a guess or counts
it: where the caller says so (not covered by the others, saturated, hot, under a star's core), in
the halo of an event, where its charge may have spread below the threshold (0.7 sigma to
``grow_sigma``), and in a region that is too faint for an event and too bright for noise (its
brightest pixel lies between the mean of the two thresholds and ``seed_sigma``).

Confidence. Noise is symmetric, charge is positive, so pixels at significance -z say how many at +z
are noise. In bins of one sigma

    P(hit | z) = 1 - n(-z) / n(z),      0 for z <= 0,

counted around events and elsewhere by themselves, for a faint pixel beside a track is far more
likely part of it than one out on the sky, where only pixels above ``grow_sigma`` are asked at all;
in events the share of false ones by the control is taken off. The confidence in a label is P(hit)
in the truth, 1 - P(hit) elsewhere, and 1/2, which says nothing, where the caller could not decide.

References:
    Barber & Candes, "Controlling the false discovery rate via knockoffs", arXiv:1404.5609, for
    counting false discoveries by the statistics' mirror images.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from astropy.nddata import CCDData
from scipy import ndimage

from bayescr.labels.events import TOUCHING, Events, find_events
from bayescr.labels.noise import Noise

__all__ = ["Labels", "make_labels"]

Array = np.ndarray[Any, Any]

HALO_SIGMA = 0.7
HALO_PIXELS = 2  # as far as charge diffuses in visible amounts
_EDGES = np.arange(0.0, 11.0)  # of the bins of significance; the last is open


@dataclass(frozen=True, kw_only=True, eq=False)
class Labels:
    """An exposure with its cosmic rays.

    Attributes:
        frame: What was labelled.
        truth: (H, W) bool, True where a cosmic ray hit.
        valid: (H, W) bool, True where ``truth`` can be relied on.
        confidence: (H, W) float32, probability that ``truth`` is right.
        charge: (H, W) float32, what cosmic rays left, in the unit of the frame; 0 outside events.
        num_events: Connected hits.
        num_control: False ones to be expected among them, from the sign-flipped residual.
        sigma: Typical standard deviation of what was searched, in the unit of the frame.
        shift: Rows and columns by which the field lies off its place in the first exposure, or
            off where the WCS has it.
        noise: Gain and read noise, where known.
    """

    frame: CCDData
    truth: Array
    valid: Array
    confidence: Array
    charge: Array
    num_events: int
    num_control: int
    sigma: float = math.nan
    shift: tuple[float, float] = (0.0, 0.0)
    noise: Noise = field(default_factory=Noise)

    @property
    def control_fraction(self) -> float:
        """Share of the events that may be false; 0 where there is neither event nor control."""
        return self.num_control / max(self.num_events, 1)


def make_labels(
    frame: CCDData,
    residual: Array,
    noise: Array | float,
    *,
    decidable: Array,
    seed_sigma: float,
    grow_sigma: float,
    seed_residual: Array | None = None,
    shift: tuple[float, float] = (0.0, 0.0),
) -> Labels:
    """Search a residual and say what is known.

    Args:
        frame: What is labelled.
        residual: As in `find_events`, in the unit of the frame.
        noise: As in `find_events`.
        decidable: (H, W) bool, False where nothing can be said, whatever the residual.
        seed_sigma: As in `find_events`.
        grow_sigma: As in `find_events`.
        seed_residual: As in `find_events`.
        shift: See `Labels`.
    """
    events = find_events(
        residual,
        noise,
        seed_sigma=seed_sigma,
        grow_sigma=grow_sigma,
        valid=decidable,
        seed_residual=seed_residual,
    )
    truth, z = events.truth, events.significance
    near = ndimage.binary_dilation(truth, TOUCHING, iterations=HALO_PIXELS)
    halo = near & ~truth & (z > HALO_SIGMA)
    confidence = _confidence(events, near, grow_sigma)
    return Labels(
        frame=frame,
        truth=truth,
        valid=decidable & ~halo & ~_faint(z, truth, grow_sigma, (seed_sigma + grow_sigma) / 2),
        confidence=np.where(decidable, confidence, np.float32(0.5)),
        charge=np.where(truth, residual, 0.0).astype(np.float32),
        num_events=events.num_events,
        num_control=events.num_control,
        sigma=float(np.median(noise)),
        shift=shift,
    )


def _faint(significance: Array, truth: Array, grow: float, least: float) -> Array:
    """Regions above ``grow`` that reach ``least`` and are no events."""
    regions, number = ndimage.label((significance > grow) & ~truth, TOUCHING)
    reached = np.zeros(number + 1, bool)
    reached[regions[significance > least]] = True
    reached[0] = False
    return reached[regions]


def _confidence(events: Events, near: Array, grow: float) -> Array:
    hit = np.zeros(near.shape, np.float32)
    for population in (near, ~near & (np.abs(events.significance) > grow)):
        hit[population] = _hit_probability(events.significance[population])
    false = min(events.num_control / max(events.num_events, 1), 1.0)
    return np.where(events.truth, (1.0 - false) * hit, 1.0 - hit).astype(np.float32)


def _hit_probability(significance: Array) -> Array:
    """1 - n(-z) / n(z) of each z, never falling with z; half a pixel of noise is always granted."""
    positive, negative = (
        np.bincount(np.digitize(sign * significance, _EDGES), minlength=len(_EDGES) + 1)[1:]
        for sign in (1, -1)
    )
    share = 1.0 - np.minimum((negative + 0.5) / (positive + 0.5), 1.0)
    share = np.maximum.accumulate(share)
    return np.interp(significance, _EDGES + 0.5, share, left=0.0) * (significance > 0)
