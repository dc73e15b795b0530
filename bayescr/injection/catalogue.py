"""Tracks of real cosmic rays, and how much silicon and time they were collected in.

A catalogue that was collected for ``exposure_time`` t in N pixels of side a has the rate

    rate = tracks / (N a^2 t)                                          [1 / cm^2 / s]
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bayescr._checks import check_count, check_positive, is_number
from bayescr.data._stamps import SYMMETRIES, turned
from bayescr.errors import BayescrError

__all__ = ["Track", "TrackCatalogue"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Track:
    """One cosmic ray as a detector collected it.

    Attributes:
        charge: (h, w) float32 electrons, exactly 0 outside the footprint.

    Raises:
        BayescrError: If that is no such array, or holds no charge.
    """

    charge: Array

    def __post_init__(self) -> None:
        charge = self.charge
        if not (isinstance(charge, np.ndarray) and charge.ndim == 2 and charge.dtype == np.float32):
            kind = getattr(charge, "dtype", type(charge).__name__)
            raise BayescrError(
                f"charge of a track is {kind} of shape {np.shape(charge)}: expected a float32 "
                "array (h, w) of electrons"
            )
        if not (np.isfinite(charge).all() and charge.any()):
            raise BayescrError(
                f"charge of a track of shape {charge.shape} is all 0, or not finite: expected "
                "electrons in its footprint"
            )

    @property
    def pixels(self) -> int:
        """Size of the footprint."""
        return int(np.count_nonzero(self.charge))

    def share(self, seed: int) -> float:
        """A number on [0, 1) that only the track and the seed decide, however it is turned."""
        shapes = (turned(self.charge, k) for k in range(SYMMETRIES))
        content = min(repr(one.shape).encode() + one.tobytes() for one in shapes)
        digest = hashlib.sha256(content + str(seed).encode()).digest()
        return int.from_bytes(digest[:6], "big") / 2.0**48


@dataclass(frozen=True, kw_only=True, eq=False)
class TrackCatalogue:
    """Tracks, and what they were collected in.

    Attributes:
        tracks: The tracks.
        exposure_time: Of the frames that they are from [s].
        pixels: In which tracks were looked for, of all those frames.
        pixel_size: Side of a pixel [um]; None where it is not known or differs.
        name: Of the detector, or where they are from.

    Example:
        >>> track = Track(np.array([[300.0, 80.0]], np.float32))
        >>> catalogue = TrackCatalogue(
        ...     tracks=(track,), exposure_time=100.0, pixels=10_000, pixel_size=10.0, name="mine"
        ... )
        >>> catalogue.rate
        1.0
    """

    tracks: tuple[Track, ...]
    exposure_time: float
    pixels: int
    pixel_size: float | None
    name: str

    def __post_init__(self) -> None:
        check_positive(self, "exposure_time")
        check_count(self, "pixels")
        if self.pixel_size is not None:
            check_positive(self, "pixel_size")
        if not self.tracks:
            raise BayescrError(
                f"catalogue '{self.name}' holds no track: expected one at least; more exposure "
                "time, or a lower threshold, finds more"
            )

    def __len__(self) -> int:
        return len(self.tracks)

    @property
    def rate(self) -> float:
        """Tracks through the detector [1 / cm^2 / s].

        Raises:
            BayescrError: If the size of the pixels is not known.
        """
        return len(self.tracks) / (self.pixels * self.pixel_area * self.exposure_time)

    @property
    def pixel_area(self) -> float:
        """Of one pixel [cm^2].

        Raises:
            BayescrError: If the size of the pixels is not known.
        """
        if self.pixel_size is None:
            raise BayescrError(
                f"catalogue '{self.name}' has no pixel_size, which a rate needs: give it in um "
                "(--pixel-size), or a number of tracks for each frame (--number)"
            )
        return (self.pixel_size * 1e-4) ** 2

    def at_least(self, pixels: int) -> TrackCatalogue:
        """Without the smaller footprints, which noise and unsteady pixels leave as well.

        Raises:
            BayescrError: If none is as large.
        """
        check_count("tracks", pixels=pixels)
        kept = tuple(track for track in self.tracks if track.pixels >= pixels)
        if not kept:
            raise BayescrError(
                f"no track of catalogue '{self.name}' covers {pixels} pixels, the largest "
                f"{max(track.pixels for track in self.tracks)}: lower `smallest` (--smallest)"
            )
        return replace(self, tracks=kept)

    def split(self, *fractions: float, seed: int = 0) -> list[TrackCatalogue]:
        """Parts that share no track, such as one to train and one to test with.

        Where a track goes is decided by its pixels and the seed alone: it stays there when the
        catalogue grows, and so does a copy of it, turned or flipped.

        Args:
            fractions: Share of the tracks that each part gets, on average. A sum below 1 leaves
                tracks out.
            seed: Which tracks go where.

        Raises:
            BayescrError: If the fractions are no positive numbers or exceed 1 together, or a part
                gets no track.
        """
        is_share = all(is_number(fraction) and fraction > 0 for fraction in fractions)
        if not (fractions and is_share and sum(fractions) <= 1.0 + 1e-9):
            raise BayescrError(
                f"fractions are {fractions}: expected positive numbers with a sum of at most 1, "
                "such as 0.8, 0.2"
            )
        check_count("split", seed=seed, least=0)
        edges = np.cumsum(fractions)
        edges[-1] = 1.0 if abs(edges[-1] - 1.0) < 1e-9 else edges[-1]
        part = np.searchsorted(edges, [track.share(seed) for track in self.tracks], side="right")
        return [
            replace(
                self,
                tracks=tuple(t for t, at in zip(self.tracks, part, strict=True) if at == number),
                pixels=max(1, round(fraction * self.pixels)),  # the rate stays what it was
            )
            for number, fraction in enumerate(fractions)
        ]

    @classmethod
    def joined(cls, catalogues: Sequence[TrackCatalogue]) -> TrackCatalogue:
        """The tracks of several catalogues: pixels and pixel-seconds add.

        Raises:
            BayescrError: If there is none.
        """
        if not catalogues:
            raise BayescrError("no catalogue to join: expected one at least")
        if len(catalogues) == 1:
            return catalogues[0]
        pixels = sum(one.pixels for one in catalogues)
        sizes = {one.pixel_size for one in catalogues}
        return cls(
            tracks=tuple(track for one in catalogues for track in one.tracks),
            exposure_time=sum(one.pixels * one.exposure_time for one in catalogues) / pixels,
            pixels=pixels,
            pixel_size=sizes.pop() if len(sizes) == 1 else None,
            name=" + ".join(dict.fromkeys(one.name for one in catalogues)),
        )
