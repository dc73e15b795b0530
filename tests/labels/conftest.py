"""Small skies made of numpy alone, and tracks whose charge is known."""

import numpy as np
import pytest
from astropy import units as u
from astropy.nddata import CCDData

SKY, READ_NOISE = 100.0, 5.0  # electrons


def as_frame(data, **header):
    return CCDData(np.asarray(data, np.float32), unit=u.electron, meta=header)


class Field:
    """Stars that are exposed again and again, shifted, dimmed and blurred otherwise each time."""

    def __init__(self, side=160, number=60, seed=0):
        rng = np.random.default_rng(seed)
        self.side = side
        self.rows, self.columns = rng.uniform(-10, side + 10, (2, number))
        self.electrons = 10 ** rng.uniform(3.0, 5.3, number)

    def scene(self, *, shift=(0.0, 0.0), width=1.5, transparency=1.0):
        """(H, W) expected electrons above the sky, Gaussian stars of standard deviation width."""
        pixel = np.arange(self.side)
        across, along = (
            np.exp(-0.5 * ((pixel[:, None] - centre - d) / width) ** 2)
            for centre, d in zip((self.rows, self.columns), shift, strict=True)
        )
        return (transparency * self.electrons / (2 * np.pi * width**2) * across) @ along.T

    def expose(self, rng, *, charge=0.0, **conditions):
        """A frame, and its scene."""
        scene = self.scene(**conditions)
        data = rng.poisson(scene + SKY) + rng.normal(0.0, READ_NOISE, scene.shape) + charge
        return as_frame(data), scene


def tracks(rng, side, number=30, per_pixel=400.0):
    """(H, W) electrons of straight tracks of 4 to 12 pixels, none near the edge nor touching."""
    charge = np.zeros((side, side))
    while number:
        row, column = rng.integers(6, side - 20, 2)
        length = rng.integers(4, 13)
        window = np.s_[row - 3 : row + 4, column - 3 : column + length + 3]
        if not charge[window].any():
            charge[row, column : column + length] = per_pixel * rng.uniform(0.5, 2.0, length)
            number -= 1
    return charge if rng.random() < 0.5 else charge.T


@pytest.fixture(scope="session")
def field():
    return Field()


@pytest.fixture(scope="session")
def exposed(field):
    """Four exposures under other conditions each, with their tracks and scenes."""
    rng = np.random.default_rng(1)
    conditions = [
        {"shift": (0.0, 0.0), "width": 1.5, "transparency": 1.0},
        {"shift": (2.3, -1.6), "width": 1.8, "transparency": 0.9},
        {"shift": (-3.7, 0.4), "width": 1.35, "transparency": 1.1},
        {"shift": (1.2, 4.1), "width": 1.6, "transparency": 1.0},
    ]
    charges = [tracks(rng, field.side) for _ in conditions]
    made = [
        field.expose(rng, charge=charge, **one)
        for charge, one in zip(charges, conditions, strict=True)
    ]
    return {
        "frames": [frame for frame, _ in made],
        "scenes": [scene for _, scene in made],
        "charges": charges,
        "conditions": conditions,
    }
