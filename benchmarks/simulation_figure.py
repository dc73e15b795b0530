"""The figure of `benchmarks.simulation`: an exposure of each instrument and what is true of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from bayescr.simulation import SimulatedExposure, simulate_exposure

# Instrument -> field, exposure time [s], seed
SHOWN = {
    "hst-acs-wfc": ("globular-cluster", 600.0, 3),
    "hst-wfc3-uvis": ("extragalactic", 900.0, 16),
    "thick-ground-ccd": ("spectrum", 1200.0, 1),
    "thin-ground-ccd": ("open-cluster", 900.0, 12),
    "lsst-itl": ("star-field", 600.0, 6),
}
COLOURS = {
    "cosmic ray": ("#D55E00", ()),
    "hot or warm": ("#56B4E9", ("hot", "warm")),
    "dead or bad column": ("#009E73", ("dead", "bad_column")),
    "saturated or bled into": ("#CC79A7", ("saturated", "bleed")),
    "charge-transfer trail": ("#F0E442", ("trail",)),
}


def simulation_figure(path: Path, *, side: int = 160) -> None:
    """Images above, the same with what is true below.

    Args:
        path: Of the PNG.
        side: Of each image [pixel].
    """
    figure = Figure(figsize=(10.0, 4.7), dpi=100, layout="constrained")
    axes = figure.subplots(2, len(SHOWN))
    for (name, (field, time, seed)), column in zip(SHOWN.items(), axes.T, strict=True):
        exposure = simulate_exposure(
            field, instrument=name, size=side, seed=seed, exposure_time=time
        )
        grey = _stretched(exposure.frame.data)
        column[0].imshow(grey, origin="lower", interpolation="none")
        column[1].imshow(_coloured(grey, exposure), origin="lower", interpolation="none")
        column[0].set_title(f"{name}\n{field}, {time:g} s", fontsize=9)
        for one in column:
            one.set_axis_off()
    handles = [Patch(color=colour, label=name) for name, (colour, _) in COLOURS.items()]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=len(handles), fontsize=9, frameon=False
    )
    figure.savefig(path, metadata={"Software": None})


def _stretched(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) greys from 0 to 1, by the inverse hyperbolic sine of the noise."""
    centred = image - np.median(image)
    noise = 1.4826 * np.median(np.abs(centred))
    grey = np.clip((np.arcsinh(centred / (3 * noise)) + 1) / 5, 0, 1)
    return np.repeat(grey[..., None], 3, axis=2)


def _coloured(grey: np.ndarray, exposure: SimulatedExposure) -> np.ndarray:
    image = 0.5 * grey
    for colour, kinds in reversed(COLOURS.values()):
        planes = [exposure.defects[kind] for kind in kinds] or [exposure.cosmic_rays]
        image[np.any(planes, axis=0)] = to_rgb(colour)
    return image
