"""The light between the sources: the sky's level, its gradient and stray light.

background(x, y) = level * (1 + gradient . (x, y) + stray * exp(-r^2 / 2 s^2))
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bayescr._checks import is_number
from bayescr.errors import BayescrError
from bayescr.simulation.canvas import Canvas

__all__ = ["Background"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, kw_only=True)
class Background:
    """How the sky differs between and within exposures; the defaults are those of space.

    Attributes:
        scatter: Of the level between exposures, standard deviation of its natural logarithm.
        moon: Moonlight and twilight, at most so many times the dark sky; how many is drawn
            log-uniformly from a hundredth of it on, in half of the exposures.
        gradient: Largest change over the frame, relative to the level.
        stray: Largest stray light, a smooth patch, relative to the level.

    References:
        Krisciunas & Schaefer, "A model of the brightness of moonlight", PASP 103, 1033 (1991):
        up to 3 to 4 magnitudes in V at full moon.
    """

    scatter: float = 0.25
    moon: float = 0.0
    gradient: float = 0.0
    stray: float = 0.0

    def __post_init__(self) -> None:
        for name in ("scatter", "moon", "gradient", "stray"):
            value = getattr(self, name)
            if not (is_number(value) and value >= 0):
                raise BayescrError(f"{name} is {value}: expected a finite number not below 0")

    def paint(self, canvas: Canvas, rng: np.random.Generator) -> None:
        """Add the sky of one exposure to a canvas."""
        level = canvas.sky * rng.lognormal(0, self.scatter)
        if self.moon and rng.random() < 0.5:
            level *= 1 + self.moon * 10 ** rng.uniform(-2, 0)
        level = min(level, canvas.limit)
        shape = np.ones(canvas.shape)
        y, x = (np.linspace(-0.5, 0.5, side) for side in canvas.shape)
        if self.gradient:
            slope, direction = self.gradient * rng.random(), rng.uniform(0, 2 * np.pi)
            shape += slope * (np.cos(direction) * x + np.sin(direction) * y[:, None])
        if self.stray:
            x0, y0 = rng.uniform(-0.8, 0.8, 2)
            strength, size = self.stray * rng.random() ** 2, rng.uniform(0.2, 0.8)
            squared = (x - x0) ** 2 + (y[:, None] - y0) ** 2
            shape += strength * np.exp(-squared / (2 * size**2))
        canvas.image += level * shape
