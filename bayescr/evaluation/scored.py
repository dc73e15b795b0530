"""A frame with its truth and what one predictor says about it: all that a metric may look at."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

__all__ = ["ScoredFrame"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class ScoredFrame:
    """One item of a dataset, a frame or a patch, and what one predictor says about it.

    Attributes:
        exposure: The exposure that it is, or is part of.
        logit: (C, H, W) logit of the predicted probability, or another score that is above 0 where
            the predictor flags the pixel. At invalid pixels it may hold anything.
        mutual_information: (C, H, W) [nat]; 0 from a predictor that does not know its ignorance.
        std: (C, H, W) standard deviation of the probability over draws; 0 likewise.
        target: (C, H, W) bool.
        valid: (C, H, W) bool, True = use the pixel.
        significance: (H, W) the image in units of the noise of its sky, above that sky; None if
            the dataset does not say how its images were scaled.
        unscaled: (C, H, W) what ``logit`` was before it was divided by a temperature, so that the
            cells of `counts.LOGIT_GRID` tie the same pixels before and after; None if it was not.
    """

    exposure: str
    logit: Array
    mutual_information: Array
    std: Array
    target: Array
    valid: Array
    significance: Array | None = None
    unscaled: Array | None = None

    @cached_property
    def z(self) -> Array:
        """(N,) float64, `logit` of the valid pixels."""
        return self.logit[self.valid].astype(np.float64)

    @cached_property
    def y(self) -> Array:
        """(N,) bool, `target` of the valid pixels."""
        return self.target[self.valid]

    @cached_property
    def order(self) -> Array | None:
        """(N,) float64, `unscaled` of the valid pixels."""
        return None if self.unscaled is None else self.unscaled[self.valid].astype(np.float64)

    def only(self, index: int) -> ScoredFrame:
        """The same of one class alone."""
        maps: tuple[str, ...] = ("logit", "mutual_information", "std", "target", "valid")
        if self.unscaled is not None:
            maps += ("unscaled",)
        return replace(self, **{name: getattr(self, name)[index : index + 1] for name in maps})
