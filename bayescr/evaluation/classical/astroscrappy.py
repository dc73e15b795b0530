"""astroscrappy: L.A.Cosmic in C, with its separable medians."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from astropy.nddata import CCDData

from bayescr.evaluation.classical._frames import electrons, read_noise
from bayescr.evaluation.classical._packages import Packaged
from bayescr.evaluation.classical._sweep import FACTORS, check_factors, sweep

__all__ = ["Astroscrappy"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, kw_only=True)
class Astroscrappy(Packaged):
    """``astroscrappy.detect_cosmics`` at many ``sigclip``, see `bayescr.evaluation.classical`.

    The defaults are the package's but for the read noise, which is the frame's. One row is one
    curve over ``sigclip``; ``objlim``, which protects stars, is another axis: give a row to each
    value, such as 5 and 20, higher where stars are undersampled. Unusable pixels are masked: never
    flagged.

    Attributes:
        sigclip: Laplacian over noise that is flagged; the sweep is about it, and the threshold of
            neighbours, ``sigfrac`` times as much, goes along.
        sigfrac: Threshold of neighbours, as a fraction of ``sigclip``.
        objlim: Contrast of the Laplacian with the fine structure that is flagged.
        satlevel: Where the package takes a star for saturated and masks it [electron].
        niter: Iterations at most.
        sepmed: Separable medians, faster and not quite medians.
        cleantype: How flagged pixels are filled before the next iteration.
        gain: Electrons per unit of the frame; needed where it is not in electrons.
        readnoise: Read noise [electron]; default: of the frame's header, else what the noise of
            the sky leaves for it.
        background: Sky that was subtracted from the frame [electron]: it counts for the noise.
        factors: Of ``sigclip`` in the sweep.

    References:
        van Dokkum, "Cosmic-Ray Rejection by Laplacian Edge Detection", astro-ph/0108003.
        McCully et al., astroscrappy, doi:10.5281/zenodo.1482019.
    """

    sigclip: float = 4.5
    sigfrac: float = 0.3
    objlim: float = 5.0
    satlevel: float = 65536.0
    niter: int = 4
    sepmed: bool = True
    cleantype: str = "meanmask"
    gain: float | None = None
    readnoise: float | None = None
    background: float = 0.0
    factors: tuple[float, ...] = FACTORS

    name: ClassVar[str] = "astroscrappy"
    is_probability: ClassVar[bool] = False
    package: ClassVar[str] = "astroscrappy"
    install: ClassVar[str] = "pip install bayescr[classical]"

    def __post_init__(self) -> None:
        check_factors(self.factors)

    def score(self, frame: CCDData) -> Array:
        """Log of the highest ``sigclip`` that flags a pixel, over the default; (H, W) float32.

        Raises:
            BayescrError: If the package is missing, or the frame is not in electrons and has no
                gain.
        """
        detect = self._import().detect_cosmics
        data, mask = electrons(frame, gain=self.gain)
        data += np.float32(self.background)
        noise = read_noise(frame, data, mask) if self.readnoise is None else self.readnoise

        def flags(factor: float) -> Array:
            flagged, _ = detect(  # the mask comes first; in lacosmic it comes last
                data,
                inmask=mask,
                sigclip=factor * self.sigclip,
                sigfrac=self.sigfrac,
                objlim=self.objlim,
                gain=1.0,
                readnoise=noise,
                satlevel=self.satlevel,
                niter=self.niter,
                sepmed=self.sepmed,
                cleantype=self.cleantype,
            )
            return np.asarray(flagged, bool)

        return sweep(flags, self.factors)
