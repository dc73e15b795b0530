"""A patch in electrons, as augmentations see it and as the detector would have given it.

The noise of a pixel whose scene, all but cosmic rays, is x electrons:

    V(x) = noise^2 + (x - sky)        noise^2 = sky photons + readout, measured on the frame

which holds for frames whose sky was subtracted, too. Cosmic rays add charge and no noise here:
theirs is part of the track.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from bayescr._checks import is_number
from bayescr.errors import BayescrError

__all__ = ["THRESHOLD", "RawPatch", "Transform", "check_range", "draw"]

Array = np.ndarray[Any, Any]

THRESHOLD = 2.0  # of a hit, in units of the noise, where nobody says another


@dataclass(frozen=True, kw_only=True, eq=False)
class RawPatch:
    """What an augmentation is given and gives back.

    Attributes:
        data: (H, W) electrons, or counts where `in_electrons` is False; the sky where unusable.
        target: (C, H, W) bool, True where a cosmic ray (class 0) or what else is learnt is.
        valid: (H, W) bool, True where something is to be learnt.
        usable: (H, W) bool, False where the network is shown nothing.
        sky: Level of the sky of the frame.
        noise: Standard deviation of a sky pixel.
        read_noise: Of the readout [electron]; None: not known.
        in_electrons: Whether the gain was known.
        charge: (H, W) electrons that cosmic rays left; None: not known.
        exposure: Whose patch it is.
        threshold: A pixel is a hit above this many times its noise.
        undecided: Below `threshold`, but above this, it is neither.
    """

    data: Array
    target: Array
    valid: Array
    usable: Array
    sky: float
    noise: float
    read_noise: float | None = None
    in_electrons: bool = True
    charge: Array | None = None
    exposure: str = ""
    threshold: float = THRESHOLD
    undecided: float = 0.7

    @property
    def scene(self) -> Array:
        """(H, W) all but the cosmic rays that are known, with its noise."""
        return self.data if self.charge is None else self.data - self.charge

    def judged(self, charge: Array) -> RawPatch:
        """The patch with the truth of all pixels that hold charge told again.

        A hit is above ``threshold`` times the noise that the pixel has without it, where ``valid``
        stays as it is; between that and ``undecided`` times the noise the pixel is not valid.
        """
        noise = np.sqrt(self.noise**2 + np.maximum(self.scene - self.sky, 0.0))
        touched, is_hit = charge > 0, charge > self.threshold * noise
        target = self.target.copy()
        target[0] = np.where(touched, is_hit, target[0])
        return replace(
            self,
            target=target,
            valid=self.valid & ~(touched & ~is_hit & (charge > self.undecided * noise)),
        )


class Transform(Protocol):
    """A step of an augmentation: any function like this will do.

    It may have ``needs``, of ``"electrons"``, ``"read_noise"`` and ``"charge"``.
    """

    def __call__(self, patch: RawPatch, generator: np.random.Generator, /) -> RawPatch:
        """A new patch; nothing of the given one is changed."""


def check_range(owner: Any, name: str, *, least: float, most: float = np.inf) -> None:
    """Refuse a setting that is no range (low, high) within bounds."""
    value = getattr(owner, name)
    is_pair = isinstance(value, tuple) and len(value) == 2 and all(map(is_number, value))
    if not (is_pair and least <= value[0] <= value[1] <= most):
        bounds = f"from {least:g} up" if most == np.inf else f"within {least:g} and {most:g}"
        raise BayescrError(
            f"{type(owner).__name__} {name} is {value!r}: expected (low, high) {bounds}"
        )


def draw(generator: np.random.Generator, limits: tuple[float, float]) -> float:
    """A number from a range, evenly."""
    return float(generator.uniform(*limits))
