"""More cosmic rays, from tracks that were cut from darks or simulated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np

from bayescr._checks import check_positive
from bayescr.data.augmentation.patch import RawPatch
from bayescr.data.augmentation.symmetry import turned
from bayescr.errors import BayescrError

__all__ = ["ExtraTracks", "paint"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class ExtraTracks:
    """Paint tracks into a patch, each turned at random, at whole pixels: real ones stay real.

    Charges add up, and the truth of the pixels that they fall on is told anew: a hit is above
    ``threshold`` times the noise there. What was a hit before stays one where its own charge is
    not known.

    Attributes:
        tracks: Stamps: objects with ``charge``, (h, w) electrons, 0 outside of the track.
        number: Mean number of tracks that reach into a patch; Poisson's is drawn.
    """

    needs: ClassVar = ("electrons",)
    tracks: Sequence[Any] = field(repr=False)
    number: float = 3.0

    def __post_init__(self) -> None:
        check_positive(self, "number")
        if not len(self.tracks):
            raise BayescrError("ExtraTracks tracks is empty: expected stamps with .charge")
        for index, track in enumerate(self.tracks):
            charge = np.asarray(getattr(track, "charge", np.nan), float)
            if charge.ndim != 2 or not np.isfinite(charge).all():
                raise BayescrError(
                    f"ExtraTracks tracks[{index}] is a {type(track).__name__}: expected a stamp "
                    "with .charge, (h, w) finite electrons"
                )

    def __call__(self, patch: RawPatch, generator: np.random.Generator) -> RawPatch:
        """Paint a random number of them."""
        added = np.zeros_like(patch.data)
        for _ in range(generator.poisson(self.number)):
            charge = self.tracks[int(generator.integers(len(self.tracks)))].charge
            stamp = turned(np.asarray(charge, float), int(generator.integers(8)))
            corner = [
                int(generator.integers(1 - own, side))
                for own, side in zip(stamp.shape, patch.data.shape, strict=True)
            ]
            paint(added, stamp, corner)
        if patch.charge is None:  # the scene is then the data as they were
            judged = patch.judged(added)
            was_hit = patch.target[0] & patch.valid
            return replace(
                judged,
                data=patch.data + added,
                target=judged.target | patch.target,
                valid=judged.valid | was_hit,
            )
        total = patch.charge + added
        return replace(patch, data=patch.data + added, charge=total).judged(total)


def paint(plane: Array, stamp: Array, corner: Sequence[int]) -> None:
    """Add a stamp to a plane in place, its first pixel at the corner; what is outside is lost."""
    inside = [
        slice(max(0, start), max(0, min(side, start + own)))
        for start, own, side in zip(corner, stamp.shape, plane.shape, strict=True)
    ]
    own = [
        slice(part.start - start, part.stop - start)
        for part, start in zip(inside, corner, strict=True)
    ]
    plane[tuple(inside)] += stamp[tuple(own)]
