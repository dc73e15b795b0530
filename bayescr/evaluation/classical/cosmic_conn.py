"""Cosmic-CoNN: a U-Net with published weights for Hubble, imagers on the ground and spectra."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from astropy.nddata import CCDData

from bayescr.errors import BayescrError
from bayescr.evaluation.classical._frames import electrons
from bayescr.evaluation.classical._networks import logits_of
from bayescr.evaluation.classical._packages import Packaged

__all__ = ["CosmicCoNN"]

Array = np.ndarray[Any, Any]

_MODELS = ("HST_ACS_WFC", "ground_imaging", "NRES")


@dataclass(frozen=True, kw_only=True)
class CosmicCoNN(Packaged):
    """``cosmic_conn.init_model(model).detect_cr``, see `bayescr.evaluation.classical`.

    The call is the package's own: tiles of 1024 that do not overlap, each less its median, on a
    CUDA device where there is one. Above 0 is p > 0.5. The weights are those of its wheel, or a
    file of yours; nothing is downloaded.

    Tiles smaller than 1024 are cut to a multiple of 16, so that up to 15 rows and columns at an
    edge get no answer, which the package gives out as probability 0. There the score is the lowest
    of the frame: not flagged, but no claim of certainty that the network never made. Pixels that
    are not finite go in as the level of the sky; other unusable ones as they are.

    The package is under the GPL, version 3.

    Attributes:
        model: ``"HST_ACS_WFC"``, trained on frames in electrons; ``"ground_imaging"``; ``"NRES"``;
            or the path of a ``.pth`` file with weights of your own, of a network with group
            normalisation, which the package unpickles: trust its author.
        gain: Electrons per unit of the frame; needed where it is not in electrons.

    References:
        Xu et al., "Cosmic-CoNN: A Cosmic Ray Detection Deep-Learning Framework, Dataset, and
        Toolkit", arXiv:2106.14922.
    """

    model: str = "HST_ACS_WFC"
    gain: float | None = None

    name: ClassVar[str] = "Cosmic-CoNN"
    is_probability: ClassVar[bool] = True
    package: ClassVar[str] = "cosmic_conn"
    install: ClassVar[str] = "pip install cosmic-conn"

    def __post_init__(self) -> None:
        if self.model not in _MODELS and not Path(self.model).is_file():
            raise BayescrError(
                f"model is '{self.model}': expected {', '.join(_MODELS)}, or a file of weights"
            )

    def score(self, frame: CCDData) -> Array:
        """The logit of Cosmic-CoNN's probability, (H, W) float32.

        Raises:
            BayescrError: If the package is missing, the frame is not in electrons and has no
                gain, or no tile of it is large enough for an answer.
        """
        model = self._model
        data, _ = electrons(frame, gain=self.gain)
        with logits_of(model.network, model.network.outc, change=_never_zero):
            logit = np.array(model.detect_cr(data), np.float32)
        answered = logit != 0.0  # the rest is as the package made it: zeros
        if not answered.any():
            raise BayescrError(
                f"Cosmic-CoNN gives no answer for a frame of {data.shape}: expected at least 16 "
                "pixels a side"
            )
        return np.where(answered, logit, logit[answered].min())

    def _import(self, module: str | None = None) -> Any:
        with _globals_kept():  # its import switches cuDNN's benchmark on
            return super()._import(module)

    @cached_property
    def _model(self) -> Any:
        package = self._import()
        with warnings.catch_warnings(), _globals_kept():
            warnings.simplefilter("ignore")
            return package.init_model(self.model)


def _never_zero(logit: torch.Tensor) -> torch.Tensor:
    """Logits whose zeros, p = 0.5 and not flagged, are told from pixels without an answer."""
    tiny = torch.finfo(logit.dtype).tiny
    return torch.where(logit == 0.0, -tiny, logit)


@contextmanager
def _globals_kept() -> Iterator[None]:
    """Undo what the package does to cuDNN's flags, torch's default type and the root logger."""
    cudnn, root = torch.backends.cudnn, logging.getLogger()
    flags = (cudnn.enabled, cudnn.benchmark)
    dtype, handlers, level = torch.get_default_dtype(), root.handlers[:], root.level
    try:
        yield
    finally:
        cudnn.enabled, cudnn.benchmark = flags
        torch.set_default_dtype(dtype)
        root.handlers[:] = handlers
        root.setLevel(level)
