"""More cosmic rays, from tracks that were cut from darks or simulated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np

from bayescr._checks import check_positive
from bayescr.data._stamps import SYMMETRIES, paint, turned
from bayescr.data.augmentation.patch import RawPatch
from bayescr.errors import BayescrError

__all__ = ["ExtraTracks"]


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
            stamp = turned(np.asarray(charge, float), int(generator.integers(SYMMETRIES)))
            corner = [
                int(generator.integers(1 - own, side))
                for own, side in zip(stamp.shape, patch.data.shape, strict=True)
            ]
            paint(added, stamp, corner)
        total = added if patch.charge is None else patch.charge + added
        more = replace(
            patch, data=patch.data + added, charge=None if patch.charge is None else total
        )
        return more.judged(before=patch, charge=total)
