"""A patch in electrons, as augmentations see it and as the detector would have given it.

The noise of a pixel whose scene, all but cosmic rays, is x electrons:

    V(x) = noise^2 + (x - sky)        noise^2 = sky photons + readout, measured on the frame

which holds for frames whose sky was subtracted, too. In a crowded field the noise as measured holds
unresolved stars, which are scene: it is no more than sky + r^2 where the sky is the level of all
light, r the read noise. Cosmic rays add charge and no noise here: theirs is part of the track.
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
_LEFT = 3.0  # noises of sky that subtraction may have left: no level of all light


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
        charge: (H, W) what cosmic rays left, in the unit of `data`; None: not known.
        exposure: Whose patch it is.
        threshold: A pixel is a hit above this many times its noise.
        undecided: Below `threshold`, but above this, it is neither; None: all is decided.
        share: What the steps have left of the light.
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
    undecided: float | None = None
    share: float = 1.0

    @property
    def scene(self) -> Array:
        """(H, W) all but the cosmic rays that are known, with its noise."""
        return self.data if self.charge is None else self.data - self.charge

    @property
    def sky_variance(self) -> float:
        """Of photons and readout in a pixel of sky, without unresolved stars [electron^2]."""
        if self.read_noise is None or self.sky < _LEFT * self.noise:
            return self.noise**2
        return min(self.noise**2, self.sky + self.read_noise**2)

    @property
    def variance(self) -> Array:
        """(H, W) V(x) without cosmic rays; that of the sky where the scene is below it."""
        return np.asarray(self.sky_variance + np.maximum(self.scene - self.sky, 0.0))

    def judged(
        self, *, before: RawPatch, charge: Array | None = None, variance: Array | None = None
    ) -> RawPatch:
        """The patch with the truth told again where ``charge / noise`` is not what it was.

        Where it grew, a pixel above ``threshold`` times the noise becomes a hit; where it shrank,
        a hit that is not above is none; ``valid`` stays as it is. Between ``undecided`` and
        ``threshold`` times the noise the pixel is not valid. All others keep their truth: it may
        know the scene, of which there is but a noisy image here.

        Args:
            before: The patch that this one was made of.
            charge: (H, W) of cosmic rays; default: as before, and 0 where that is not known.
            variance: (H, W) of the pixels without cosmic rays; default: as before.
        """
        was = np.sqrt(before.variance)
        noise = was if variance is None else np.sqrt(variance)
        own = np.zeros_like(was) if before.charge is None else before.charge
        charge = own if charge is None else charge
        change = charge * was - own * noise
        above = charge > self.threshold * noise
        target = self.target.copy()
        target[0] &= above | (change >= 0)
        target[0] |= above & (change > 0)
        valid = self.valid
        if self.undecided is not None:
            some = ~target[0] & (charge > self.undecided * noise)
            valid = valid & ~(some & (change != 0))
        return replace(self, target=target, valid=valid)


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
