"""The picture of a prediction: image, probability and the two parts of its entropy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from bayescr.inference.prediction import Prediction

__all__ = ["plot_maps"]


def plot_maps(prediction: Prediction, *, threshold: float = 0.5) -> Figure:
    """One row a class: image, probability, aleatoric and epistemic uncertainty.

    The two uncertainties have scales of their own: the epistemic one is often much smaller.
    """
    classes = 1 if prediction.probability.ndim == 2 else len(prediction.probability)
    shown_maps = (
        ("probability", prediction.probability, 1.0),
        ("aleatoric: expected entropy [nat]", prediction.expected_entropy, None),
        ("epistemic: mutual information [nat]", prediction.mutual_information, None),
    )
    figure = Figure(figsize=(15, 4.1 * classes), layout="constrained")
    axes = figure.subplots(classes, 4, squeeze=False, sharex=True, sharey=True)
    for row, (image_axes, *map_axes) in enumerate(axes):
        _show_image(image_axes, prediction, _plane(prediction.mask(threshold), row))
        if classes > 1:
            image_axes.set_ylabel(f"class {row}")
        for axis, (title, maps, top) in zip(map_axes, shown_maps, strict=True):
            plane = _plane(maps, row)
            limit = top or max(float(plane.max()), 1e-3)
            shown = axis.imshow(
                plane, origin="lower", cmap="magma", vmin=0.0, vmax=limit, interpolation="none"
            )
            axis.set_title(title)
            figure.colorbar(shown, ax=axis, shrink=0.8)
    return figure


def _plane(maps: np.ndarray[Any, Any], row: int) -> np.ndarray[Any, Any]:
    return maps if maps.ndim == 2 else maps[row]


def _show_image(axis: Any, prediction: Prediction, mask: np.ndarray[Any, Any]) -> None:
    """The frame on an asinh scale about its sky, with the flagged pixels outlined."""
    axis.set_title(f"image, {int(mask.sum())} pixels flagged")
    if prediction.frame is None:
        axis.imshow(mask, origin="lower", cmap="gray_r", interpolation="none")
        return
    data = np.where(prediction.valid, prediction.frame.data, np.nan)
    low, sky, high = np.nanpercentile(data, [16.0, 50.0, 84.0])
    shown = np.arcsinh((data - sky) / max(high - low, 1e-6))
    axis.imshow(shown, origin="lower", cmap="gray", vmin=-1.0, vmax=3.5, interpolation="none")
    if mask.any() and not mask.all():
        axis.contour(mask, levels=[0.5], colors="#ff5a36", linewidths=0.6)
