"""deepCR: a U-Net with published weights."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from astropy.nddata import CCDData

from bayescr.errors import BayescrError
from bayescr.evaluation.classical._frames import electrons
from bayescr.evaluation.classical._networks import logits_of
from bayescr.evaluation.classical._packages import Packaged

__all__ = ["DeepCR"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, kw_only=True)
class DeepCR(Packaged):
    """``deepCR(mask).clean`` on the CPU, see `bayescr.evaluation.classical`.

    The call is the package's own: its scaling, and tiles of 1024 that do not overlap. Above 0 is
    p > 0.5, its default threshold; its authors advise 0.1 to 0.2 for WFC3-UVIS.

    The networks want the pixels of an ``_flc`` file: electrons, at the native scale, sky not
    subtracted (docstring of ``deepCR.clean``). That of WFC3-UVIS sees each frame less its mean and
    over its standard deviation, and so depends on the brightest star; the others see electrons.
    There is no mask of unusable pixels: they go in as they are, and those that are not finite as
    the level of the sky.

    Attributes:
        mask: ``"ACS-WFC"``, ``"WFC3-UVIS"``, ``"decam"``, or the path of weights of your own,
            which deepCR unpickles: trust its author.
        hidden: Channels of the first layer, for weights of your own.
        gain: Electrons per unit of the frame; needed where it is not in electrons.

    References:
        Zhang & Bloom, "deepCR: Cosmic Ray Rejection with Deep Learning", arXiv:1907.09500.
        Kwon, Zhang & Bloom 2021 (the ACS-WFC weights); Chen et al. 2024 (WFC3-UVIS).
    """

    mask: str = "ACS-WFC"
    hidden: int = 32
    gain: float | None = None

    name: ClassVar[str] = "deepCR"
    is_probability: ClassVar[bool] = True
    package: ClassVar[str] = "deepCR"
    install: ClassVar[str] = "pip install bayescr[classical]"

    def score(self, frame: CCDData) -> Array:
        """The logit of deepCR's probability, (H, W) float32.

        Raises:
            BayescrError: If the package or the weights are missing, or the frame is not in
                electrons and has no gain.
        """
        model = self._model
        data, _ = electrons(frame, gain=self.gain)
        with logits_of(model.maskNet, model.maskNet.module.outc):
            return np.asarray(model.clean(data, binary=False), np.float32)

    @cached_property
    def _model(self) -> Any:
        package = self._import()
        known = self._import("learned_models").mask_dict
        if self.mask not in known and not Path(self.mask).is_file():
            raise BayescrError(
                f"mask is '{self.mask}': expected one of {', '.join(sorted(known))}, or a file of "
                "weights"
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deepCR loads its pickled weights as it sees fit
            return package.deepCR(mask=self.mask, device="CPU", hidden=self.hidden)
