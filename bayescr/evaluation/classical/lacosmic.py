"""lacosmic: L.A.Cosmic in numpy and scipy, with true medians."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from astropy import log
from astropy.nddata import CCDData

from bayescr.evaluation.classical._frames import electrons, read_noise
from bayescr.evaluation.classical._packages import Packaged
from bayescr.evaluation.classical._sweep import FACTORS, check_factors, sweep

__all__ = ["LACosmic"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, kw_only=True)
class LACosmic(Packaged):
    """``lacosmic.remove_cosmics`` at many thresholds, see `bayescr.evaluation.classical`.

    The package has no defaults for its thresholds: these are astroscrappy's, and 5 is what its
    documentation advises for the undersampled images of Hubble. ``contrast`` protects stars: give
    a row to each value. Much slower than astroscrappy; ``factors=(1.0,)`` gives the mask alone.
    Unusable pixels are masked: never flagged.

    Attributes:
        contrast: Of the Laplacian with the fine structure that is flagged (``objlim``).
        cr_threshold: Laplacian over noise that is flagged; the sweep is about it and
            ``neighbor_threshold``, together.
        neighbor_threshold: The same beside a flagged pixel.
        maxiter: Iterations at most.
        border_mode: How filters continue the image.
        gain: Electrons per unit of the frame; needed where it is not in electrons.
        readnoise: Read noise [electron]; default: of the frame's header, else what the noise of
            the sky leaves for it.
        background: Sky that was subtracted from the frame [electron]: it counts for the noise.
        factors: Of the two thresholds in the sweep.

    References:
        van Dokkum, "Cosmic-Ray Rejection by Laplacian Edge Detection", astro-ph/0108003.
    """

    contrast: float = 5.0
    cr_threshold: float = 4.5
    neighbor_threshold: float = 1.35
    maxiter: int = 4
    border_mode: str = "mirror"
    gain: float | None = None
    readnoise: float | None = None
    background: float = 0.0
    factors: tuple[float, ...] = FACTORS

    name: ClassVar[str] = "lacosmic"
    is_probability: ClassVar[bool] = False
    package: ClassVar[str] = "lacosmic"
    install: ClassVar[str] = "pip install bayescr[classical]"

    def __post_init__(self) -> None:
        check_factors(self.factors)

    def score(self, frame: CCDData) -> Array:
        """Log of the highest threshold that flags a pixel, over the default; (H, W) float32.

        Raises:
            BayescrError: If the package is missing, or the frame is not in electrons and has no
                gain.
        """
        remove = self._import().remove_cosmics
        data, mask = electrons(frame, gain=self.gain)
        data += np.float32(self.background)
        noise = read_noise(frame, data, mask) if self.readnoise is None else self.readnoise

        def flags(factor: float) -> Array:
            _, flagged = remove(  # the mask comes last; in astroscrappy it comes first
                data,
                self.contrast,
                factor * self.cr_threshold,
                factor * self.neighbor_threshold,
                mask=mask,
                effective_gain=1.0,
                readnoise=noise,
                maxiter=self.maxiter,
                border_mode=self.border_mode,
            )
            return np.asarray(flagged, bool)

        with _quiet():
            return sweep(flags, self.factors)


@contextmanager
def _quiet() -> Iterator[None]:
    """Astropy's log without a line for every iteration."""
    level = log.level
    log.setLevel("WARNING")
    try:
        yield
    finally:
        log.setLevel(level)
