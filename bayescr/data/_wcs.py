"""Where an image lies on the sky: the header cards that say so, and its footprint.

Of the cards only the primary description counts: those of the alternate ones (``CRVAL1O``) are
not told apart.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from bayescr.data._fits import Extension, find, opened

__all__ = ["footprint", "footprints_overlap", "near", "wcs_cards", "without_wcs_cards"]

Array = np.ndarray[Any, Any]

_CARD = re.compile(
    r"WCSAXES|WCSNAME|LONPOLE|LATPOLE|RADEC?SYS|EQUINOX"
    r"|C(TYPE|RVAL|RPIX|DELT|UNIT|ROTA)\d+"
    r"|(PC|CD|PV|PS)\d+_\d+|PC\d{6}"
    r"|[AB]P?_(ORDER|DMAX|\d+_\d+)"  # SIP
    r"|(CP|CQ|D2IM)(DIS|ERR)\d+|(DP|DQ|D2IM)\d+(\..+)?|AXISCORR|D2IMEXT"  # lookup tables
)


def wcs_cards(header: fits.Header) -> fits.Header:
    """A new header of the WCS cards alone; lookup tables are named by their EXTVER, not held."""
    return fits.Header([card for card in header.copy().cards if _CARD.fullmatch(card.keyword)])


def without_wcs_cards(header: fits.Header) -> fits.Header:
    """A new header of all other cards."""
    kept = [card for card in header.copy().cards if not _CARD.fullmatch(card.keyword)]
    return fits.Header(kept)


def footprint(path: str | os.PathLike[str], extension: Extension) -> Array | None:
    """Unit vectors (4, 3) to the corners of an image on the sky; None where its WCS tells none."""
    with opened(path) as hdus:
        header = find(hdus, extension, path=path).header
        try:
            wcs = WCS(header, fobj=hdus, naxis=2)
            if not wcs.has_celestial:
                return None
            ra, dec = np.radians(wcs.calc_footprint(header)).T
        except Exception:  # wcslib and its wrapper raise dozens of unrelated types
            return None
    corners = np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=1)
    return corners if np.isfinite(corners).all() else None


def near(footprints: Sequence[Array]) -> tuple[Array, Array]:
    """Indices i < j of the footprints whose circumscribed circles overlap: those that may."""
    if not footprints:
        return np.zeros(0, int), np.zeros(0, int)
    corners = np.stack(footprints)  # (N, 4, 3)
    centres = corners.mean(axis=1)
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    radii = 2 * np.arcsin(np.linalg.norm(corners - centres[:, None], axis=2).max(axis=1) / 2)
    reach = np.cos(np.minimum(radii[:, None] + radii, np.pi))
    first, second = np.nonzero(np.triu(centres @ centres.T >= reach - 1e-12, k=1))
    return first, second


def footprints_overlap(one: Array, other: Array) -> bool:
    """Whether two convex quadrilaterals on the sphere, smaller than half of it, overlap.

    They do not if a great circle along a side of one has all corners of the other outside, or on
    it. Corners are told apart to 1e-9 radian, 0.2 milliarcseconds.
    """
    return not any(_separates(a, b) for a, b in ((one, other), (other, one)))


def _separates(one: Array, other: Array) -> bool:
    """Whether a side of the first has the second beyond it."""
    normals = np.cross(one, np.roll(one, -1, axis=0))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    inside = np.sign(normals @ one.mean(axis=0))
    heights = inside[:, None] * (normals @ other.T)  # (4 sides, 4 corners)
    return bool((heights <= 1e-9).all(axis=1).any())
