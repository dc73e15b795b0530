"""Other exposures of the same patch, as the detector would have given them.

A step takes a `RawPatch` in electrons and gives one back, mean, noise and truth in step; the
network's input is made of the last. Steps are frozen dataclasses, or functions of your own.

=================  ==================================================  ========================
`Symmetry`         flipped and turned
`SkyLevel`         a brighter sky and the noise of its photons         electrons, charge
`ExposureTime`     a shorter exposure, cosmic rays as strong           electrons, noise, charge
`Broadening`       wider sources, cosmic rays as sharp                 electrons, charge
`Gain`             coarser counts                                      electrons
`ExtraTracks`      more cosmic rays                                    electrons
=================  ==================================================  ========================
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayescr._checks import check_count, check_positive, is_number
from bayescr._names import unknown_name
from bayescr.data.augmentation.broadening import Broadening
from bayescr.data.augmentation.exposure_time import ExposureTime
from bayescr.data.augmentation.extra_tracks import ExtraTracks
from bayescr.data.augmentation.gain import Gain
from bayescr.data.augmentation.patch import RawPatch, Transform
from bayescr.data.augmentation.sky_level import SkyLevel
from bayescr.data.augmentation.symmetry import Symmetry
from bayescr.errors import BayescrError

__all__ = [
    "Augmentation",
    "Broadening",
    "ExposureTime",
    "ExtraTracks",
    "Gain",
    "RawPatch",
    "SkyLevel",
    "Symmetry",
    "Transform",
]

_logger = logging.getLogger(__name__)
_NEEDED = {
    "electrons": (
        "electrons, but its frame is in counts of unknown gain",
        "read it with gain=, or state its unit",
    ),
    "read_noise": (
        "the read noise, but its header has no READNSE",
        "add the keyword [electron]",
    ),
    "charge": (
        "the charge of its cosmic rays, but there is no plane CRCHARGE",
        "label or simulate with it",
    ),
}


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Steps, one after the other, and the seed that they draw by.

    Item i in epoch e of a dataset draws from the numbers of (seed, e, i) alone, whatever process
    asks for it, once the epoch is set: `PatchDataset.set_epoch`.

    Attributes:
        steps: What is done, in order.
        seed: Of all draws.
        missing: ``"refuse"`` or ``"skip"`` a step that needs what an exposure does not have.
        threshold: A pixel is a hit above this many times its noise, where its charge is known;
            None: the frame's own, the header's CRTHRESH, or else 2.
        undecided: Between this and the threshold it is neither: not valid. 0: all below the
            threshold that hold charge. None: the frame's own, the header's CRUNDEC; where that
            is absent the threshold decides.

    Example:
        >>> augmentation = Augmentation(steps=(Symmetry(), Gain(gain=(1.0, 4.0))), seed=3)
        >>> frames = [np.random.default_rng(0).normal(100.0, 12.0, (64, 64))]
        >>> from astropy.nddata import CCDData
        >>> from bayescr.data import PatchDataset
        >>> dataset = PatchDataset.from_frames(
        ...     [CCDData(frames[0], unit="electron")], [frames[0] > 200], augment=augmentation
        ... )
        >>> dataset.set_epoch(0)
        >>> dataset[0]["image"].equal(dataset[0]["image"])
        True
    """

    steps: tuple[Transform, ...] = (Symmetry(),)
    seed: int = 0
    missing: str = "refuse"
    threshold: float | None = None
    undecided: float | None = None

    def __post_init__(self) -> None:
        check_count(self, "seed", least=0)
        if self.threshold is not None:
            check_positive(self, "threshold")
        if self.missing not in ("refuse", "skip"):
            raise unknown_name("Augmentation missing", self.missing, ["refuse", "skip"])
        if not isinstance(self.steps, tuple) or not all(map(callable, self.steps)):
            raise BayescrError(
                f"Augmentation steps is {self.steps!r}: expected a tuple of steps, such as "
                "(Symmetry(),)"
            )
        most = np.inf if self.threshold is None else self.threshold
        some = 0.0 if self.undecided is None else self.undecided
        if not (is_number(some) and 0 <= some <= most):
            raise BayescrError(
                f"Augmentation undecided is {self.undecided!r}: expected a number from 0 to the "
                f"threshold{'' if self.threshold is None else f', {self.threshold:g}'}"
            )

    def __call__(self, patch: RawPatch, generator: np.random.Generator) -> RawPatch:
        """A patch as another exposure would have given it.

        Raises:
            BayescrError: If a step needs what the exposure does not have, and is not to be left
                out.
        """
        for step in self.steps:
            lacking = _lacking(step, patch)
            if lacking is None:
                patch = step(patch, generator)
            elif self.missing == "refuse":
                raise BayescrError(lacking + ", or leave the step out with missing='skip'")
            else:
                _logger.info("left out: %s", lacking)
        return patch


def _lacking(step: Any, patch: RawPatch) -> str | None:
    """Why a step cannot be done."""
    has = {
        "electrons": patch.in_electrons,
        "read_noise": patch.read_noise is not None,
        "charge": patch.charge is not None,
    }
    for need in getattr(step, "needs", ()):
        if not has[need]:
            what, fix = _NEEDED[need]
            name = type(step).__name__
            return f"{name} of exposure '{patch.exposure}' needs {what}: {fix}"
    return None
