"""The figure of `benchmarks.gradients`: what one draw does to an image, and what it costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

COLOURS = {"weight draws": "#0072B2", "flipout": "#D55E00", "local reparameterisation": "#009E73"}
MARKERS = {"weight draws": "o", "flipout": "s", "local reparameterisation": "^"}
GREY = "#6E6E6E"


def gradient_figure(
    path: Path,
    image: Tensor,
    deviations: Mapping[str, Tensor],
    spread: Sequence[Mapping[str, Any]],
    scatter: Sequence[Mapping[str, Any]],
) -> None:
    """Maps of one draw above; spread of means and variance of gradients below.

    Args:
        path: Of the PNG.
        image: (H, W), as the network sees it.
        deviations: (H, W) of the logits of one draw from their mean, by estimator.
        spread: Rows with ``pixels`` and the standard deviation of the mean by estimator.
        scatter: Rows with ``batch``, ``choice of images`` and the variance by estimator.
    """
    figure = Figure(figsize=(8.0, 6.4), dpi=160, layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(1.0, 1.45))
    _maps(above, image, deviations)
    left, right = below.subplots(1, 2)
    _spread(left, spread)
    _scatter(right, scatter)
    figure.savefig(path, metadata={"Software": None})


def _maps(figure: Any, image: Tensor, deviations: Mapping[str, Tensor]) -> None:
    axes = figure.subplots(1, 1 + len(deviations))
    axes[0].imshow(
        image, cmap="gray_r", vmin=np.quantile(image, 0.05), vmax=np.quantile(image, 0.99)
    )
    axes[0].set_title("image", fontsize=10)
    limit = max(float(np.quantile(np.abs(map_), 0.98)) for map_ in deviations.values())
    for one, (name, map_) in zip(axes[1:], deviations.items(), strict=True):
        shown = one.imshow(map_, cmap="PuOr", vmin=-limit, vmax=limit)
        words = name.replace(" repar", "\nrepar")
        one.set_title(words, fontsize=10, color=COLOURS[name], weight="bold")
    for one in axes:
        one.set(xticks=[], yticks=[])
    bar = figure.colorbar(shown, ax=list(axes), shrink=0.8, pad=0.01)
    bar.set_label("logit of one draw − mean", fontsize=9)
    bar.ax.tick_params(labelsize=9)


def _spread(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    pixels = np.array([row["pixels"] for row in rows], float)
    for name, colour in COLOURS.items():
        axes.loglog(pixels, [row[name] for row in rows], color=colour, marker=MARKERS[name],
                    ms=6, mfc="none" if name == "flipout" else colour, label=name)  # fmt: skip
    last = rows[-1]["local reparameterisation"]
    axes.loglog(pixels[2:], 0.6 * last * np.sqrt(pixels[-1] / pixels[2:]), "--", color=GREY, lw=1)
    axes.text(pixels[3], 0.42 * last * np.sqrt(pixels[-1] / pixels[3]), "1 / √pixels",
              color=GREY, fontsize=10, ha="right", va="top")  # fmt: skip
    _dress(axes, "pixels averaged", "sd of their mean logit", "Noise of pixels averages away")


def _scatter(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    batch = np.array([row["batch"] for row in rows], float)
    scale = rows[0]["weight draws"]
    for name, colour in COLOURS.items():
        axes.loglog(batch, [row[name] / scale for row in rows], color=colour, label=name,
                    marker=MARKERS[name], ms=6)  # fmt: skip
    by_choice = np.array([row["choice of images"] for row in rows]) / scale
    seen = by_choice > 0.0
    axes.loglog(batch[seen], by_choice[seen], "--x", color=GREY, lw=1, ms=6,
                label="choice of images")  # fmt: skip
    axes.set_xticks(batch, [f"{size:g}" for size in batch])
    axes.minorticks_off()
    axes.legend(fontsize=9, frameon=False, loc="lower left")
    _dress(
        axes,
        "images in a batch",
        "variance of the gradient (relative)",
        "Noise of images does in a batch",
    )


def _dress(axes: Axes, x: str, y: str, title: str) -> None:
    axes.set_xlabel(x, fontsize=10)
    axes.set_ylabel(y, fontsize=10)
    axes.set_title(title, fontsize=11)
    axes.grid(visible=True, color="#DDDDDD", lw=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=9)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
