"""One exposure as maps: image and truth, what was predicted, how wrong and how doubtful it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import entr, expit

from bayescr.errors import BayescrError
from bayescr.evaluation._arrays import Array
from bayescr.evaluation.figures._style import escape, new_figure, place, plain_decade

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_exposure"]

_WINDOW = 256
_MASKED = "#8C8C8C"
_TRUTH = "#D55E00"
_MAX_ENTROPY = float(np.log(2.0))
_LARGEST_LOSS = 100.0  # [nat]
_WIDTH, _LEFT, _RIGHT, _BETWEEN = 10.2, 0.65, 0.65, 0.75  # of the figure and its margins [inch]
_BOTTOM, _ABOVE, _TITLE = 0.5, 0.35, 0.3


def plot_exposure(
    image: ArrayLike,
    target: ArrayLike,
    valid: ArrayLike,
    logit: ArrayLike,
    mutual_information: ArrayLike,
    *,
    title: str,
    unit: str = "σ",
) -> Figure:
    """Image, truth, probability, its loss, entropy and mutual information.

    The loss of a pixel is its negative log-likelihood -log p(y): where it is bright, so should be
    the entropy beneath. Of a frame larger than 256 pixels the window of that size with the largest
    total loss is shown; the title names it. The image is shown above its median, with an asinh
    stretch: linear near the sky and logarithmic far above it; true positives are painted over it in
    the second panel. Loss, entropy and mutual information have logarithmic colours over three
    decades; less looks like none. Invalid pixels are grey.

    Args:
        image: (H, W) [``unit``].
        target: (H, W) bool or 0/1, the truth.
        valid: (H, W) bool, True = use the pixel.
        logit: (H, W) of the predicted probability.
        mutual_information: (H, W) [nat]; 0 from a predictor that does not know its ignorance.
        title: Names the exposure and the predictor.
        unit: Of the image: by default the noise of its sky.

    Raises:
        BayescrError: If a map is not (H, W) like the image.
    """
    maps = {
        "image": np.asarray(image, dtype=np.float64),
        "target": np.asarray(target).astype(bool),
        "valid": np.asarray(valid).astype(bool),
        "logit": np.asarray(logit, dtype=np.float64),
        "mutual_information": np.asarray(mutual_information, dtype=np.float64),
    }
    shape = maps["image"].shape
    for name, values in maps.items():
        if values.ndim != 2 or values.shape != shape or not values.size:
            raise BayescrError(
                f"{name} has shape {values.shape} and the image {shape}: expected (H, W) of both; "
                "take one class and one channel"
            )
    for name in ("image", "logit", "mutual_information"):  # invalid pixels may hold anything
        maps[name] = np.where(maps["valid"], maps[name], 0.0)
    rows, columns = _window(maps["logit"], maps["target"], maps["valid"])
    maps = {name: values[rows, columns] for name, values in maps.items()}
    where = ""
    if maps["image"].shape != shape:
        where = (
            f"\nrows {rows.start} to {rows.stop}, columns {columns.start} to {columns.stop}: "
            "the window of the largest loss"
        )

    used, z, truth = maps["valid"], maps["logit"], maps["target"]
    sky = float(np.median(maps["image"][used])) if used.any() else 0.0
    above, doubt = maps["image"] - sky, maps["mutual_information"]
    entropy = entr(expit(z)) + entr(expit(-z))
    stretch, largest = _stretch(above[used]), float(doubt[used].max(initial=0.0))
    corner = (rows.start, columns.start)

    figure, axes = _panels(used.shape, escape(title) + where)
    for one, values, text, colours, norm in zip(
        axes,
        (above, above, expit(z), _loss(z, truth), entropy, doubt),
        (f"image above the sky [{unit}]", "truth", "probability", "loss [nat]", "entropy [nat]",
         "mutual information [nat]"),
        ("gray", "gray", "viridis", "magma", "magma", "magma"),
        (stretch, stretch, None, _decades(10.0), _decades(_MAX_ENTROPY), _decades(largest)),
        strict=True,
    ):  # fmt: skip
        _panel(one, np.ma.array(values, mask=~used), text, colours, norm,
               corner=corner, bar=one is not axes[1])  # fmt: skip
    _paint(axes[1], np.ma.array(truth, mask=~(truth & used)))
    if largest <= 0.0:
        axes[5].annotate("none: a single answer", (0.5, 0.5), xycoords="axes fraction",
                         ha="center", color="white", fontsize=10)  # fmt: skip
    for one in axes[3:]:
        one.set_xlabel("column [pixel]", fontsize=9)
    for one in axes[::3]:
        one.set_ylabel("row [pixel]", fontsize=9)
    return figure


def _panels(shape: tuple[int, ...], title: str) -> tuple[Figure, Any]:
    """A figure with two rows of three panels that fit maps of this shape."""
    across = (_WIDTH - _LEFT - _RIGHT - 2.0 * _BETWEEN) / 3.0
    up = across * min(max(shape[0] / shape[1], 0.3), 2.0)
    top = _ABOVE + _TITLE * (1 + title.count("\n"))
    figure = new_figure(_WIDTH, _BOTTOM + 2.0 * up + _ABOVE + top)
    axes = figure.subplots(
        2,
        3,
        sharex=True,
        sharey=True,
        gridspec_kw={"wspace": _BETWEEN / across, "hspace": _ABOVE / up},
    )
    place(figure, left=_LEFT, bottom=_BOTTOM, right=_RIGHT, top=top)
    figure.suptitle(title, fontsize=11, y=1.0 - 0.1 / figure.get_figheight())
    return figure, axes.ravel()


def _panel(
    axes: Axes,
    values: Array,
    text: str,
    colours: str,
    norm: Any,
    *,
    corner: tuple[int, int],
    bar: bool,
) -> None:
    from matplotlib import colormaps
    from matplotlib.colors import AsinhNorm, LogNorm

    (height, width), (row, column) = values.shape, corner
    shown = axes.imshow(
        values,
        cmap=colormaps[colours].with_extremes(bad=_MASKED),
        norm=norm,
        origin="lower",
        interpolation="nearest",
        extent=(column - 0.5, column + width - 0.5, row - 0.5, row + height - 0.5),
    )
    if norm is None:  # a probability
        shown.set_clim(0.0, 1.0)
    if bar:
        beside = axes.inset_axes((1.03, 0.0, 0.05, 1.0))
        scale = axes.figure.colorbar(shown, cax=beside)
        if isinstance(norm, LogNorm):
            scale.ax.yaxis.set_major_formatter(plain_decade)
        elif isinstance(norm, AsinhNorm):  # its own ticks crowd around 0
            decades = 10.0 ** np.arange(np.ceil(np.log10(norm.linear_width)), 12.0)
            scale.set_ticks([0.0, *decades[decades <= float(norm.vmax or 0.0)]], minor=False)
            scale.ax.yaxis.set_major_formatter("{x:g}")
        scale.ax.minorticks_off()
        scale.ax.tick_params(labelsize=8)
    axes.set_title(text, fontsize=10)
    axes.tick_params(labelsize=8)


def _paint(axes: Axes, truth: Array) -> None:
    from matplotlib.colors import ListedColormap

    axes.imshow(truth, cmap=ListedColormap([_TRUTH]), origin="lower", interpolation="nearest",
                extent=axes.images[0].get_extent())  # fmt: skip


def _loss(logit: Array, target: Array) -> Array:
    """-log p(y) of each pixel; a certain mistake costs no more than 100 nat."""
    against = np.where(target, -logit, logit)  # the logit of what did not happen
    return np.logaddexp(0.0, np.minimum(against, _LARGEST_LOSS))


def _window(logit: Array, target: Array, valid: Array) -> tuple[slice, slice]:
    """The window of at most 256 by 256 pixels with the largest sum of -log p(y)."""
    loss = np.where(valid, _loss(logit, target), 0.0)
    height, width = (min(size, _WINDOW) for size in loss.shape)
    total = np.pad(loss.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    sums = total[height:, width:] - total[:-height, width:]
    sums = sums - total[height:, :-width] + total[:-height, :-width]
    row, column = np.unravel_index(int(np.argmax(sums)), sums.shape)
    return slice(int(row), int(row) + height), slice(int(column), int(column) + width)


def _stretch(above: Array) -> Any:
    """Asinh that is linear up to 3 sigma, from -3 sigma to all but the brightest 0.1% of pixels."""
    from matplotlib.colors import AsinhNorm, Normalize

    values = above[np.isfinite(above)]
    if not values.size:
        return Normalize(0.0, 1.0)
    sigma = 1.4826 * float(np.median(np.abs(values)))  # of a normal distribution
    top = float(np.quantile(values, 0.999))
    if not 0.0 < sigma < top:
        return Normalize(float(values.min()), float(values.max()) or 1.0)
    return AsinhNorm(linear_width=3.0 * sigma, vmin=-3.0 * sigma, vmax=top)


def _decades(largest: float) -> Any:
    """Three decades of logarithmic colour below the largest value; beneath, the lowest colour."""
    from matplotlib.colors import LogNorm

    top = largest if largest > 0.0 else _MAX_ENTROPY
    return LogNorm(vmin=1e-3 * top, vmax=top, clip=True)
