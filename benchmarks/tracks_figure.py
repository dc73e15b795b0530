"""The figure of `benchmarks.tracks`: distributions of real and simulated tracks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

REAL, SIMULATED, GREY = "#D55E00", "#0072B2", "#6E6E6E"
LABELS = {
    "size": "footprint [pixel]",
    "charge": "charge [e⁻]",
    "elongation": "elongation",
    "curvature": "curvature [1 / pixel]",
    "charge_per_length": "charge per length [e⁻ / pixel]",
}
LOWEST = {"curvature": 3e-3}  # straighter tracks are drawn here
WITH_LEGEND = "elongation"  # whose lower right corner is free


def tracks_figure(
    path: Path,
    detectors: Mapping[str, tuple[Mapping[str, np.ndarray], Mapping[str, np.ndarray]]],
) -> None:
    """Shares of tracks up to a value: a row for each detector, a column for each statistic.

    Args:
        path: Of the PNG.
        detectors: Statistics of the real and of the simulated tracks by name, by detector.
    """
    figure = Figure(figsize=(12.5, 2.7 * len(detectors)), dpi=130, layout="constrained")
    grid = figure.subplots(len(detectors), len(LABELS), squeeze=False, sharey=True)
    for row, (name, (real, simulated)) in zip(grid, detectors.items(), strict=True):
        for one, key in zip(row, LABELS, strict=True):
            _draw(one, key, real[key], simulated[key])
        row[0].set_ylabel(f"{name}\nshare of tracks up to", fontsize=10)
    figure.savefig(path, metadata={"Software": None})


def _draw(axes: Axes, key: str, real: np.ndarray, simulated: np.ndarray) -> None:
    least = LOWEST.get(key, 0.0)
    for values, colour, label in ((simulated, SIMULATED, "simulated"), (real, REAL, "real")):
        values = np.sort(np.maximum(values, least))
        share = np.arange(1, len(values) + 1) / len(values)
        counted = f"{label}, {len(values)} tracks"
        axes.step(values, share, where="post", color=colour, lw=1.6, label=counted)
    axes.set_xscale("log")
    axes.set_xlabel(LABELS[key], fontsize=10)
    if key in LOWEST:
        axes.text(1.3 * least, 0.02, "straight", fontsize=9, color=GREY)
    if key == WITH_LEGEND:
        axes.legend(fontsize=9, frameon=False, loc="lower right")
    axes.grid(visible=True, color="#DDDDDD", lw=0.6)
    axes.set_axisbelow(True)
