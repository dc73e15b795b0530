"""From pixels to network input, the same in training, prediction and the saved file.

With m the sky level and s the noise of the sky, both measured on the frame itself,

    y = asinh((x - m) / (c s)),        c = ``Scaling.softening``

which is (x - m) / (c s) in the noise and +-log(2 |x - m| / (c s)) far above and below it: a faint
hit keeps its contrast against the noise and a star of 1e5 sigma is no more than 11. Sky and noise
follow the pixels when they are multiplied and shifted, so y feels neither gain, nor exposure time
as a factor, nor bias level: x -> a x + b with a > 0 gives the same y.

Stars, galaxies, cosmic rays and overscan bias a median and its absolute deviation. Here instead

    m   is the mode: the shortest interval that holds half of the pixels, of those half again, ...
        then the mean of the pixels within 2 s of it, until it rests (mean shift);
    s   comes from second differences d = x[i-1] - 2 x[i] + x[i+1] along the rows, whose variance
        is 6 s^2 in uncorrelated noise and which a smooth sky or the wing of a star leaves alone.
        Only triplets whose mean lies in that shortest interval count: for Gaussian noise the mean
        and d are independent, so that choosing the sky does not bias its noise.

Noise that is correlated between neighbours (resampled images) is underestimated.

References:
    Robertson & Cryer, "An Iterative Procedure for Estimating the Mode", JASA 69 (1974), 1012.
    Fukunaga & Hostetler, "The Estimation of the Gradient of a Density Function" (mean shift),
    IEEE Trans. Inf. Theory 21 (1975), 32.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from astropy.nddata import CCDData

from bayescr.errors import BayescrError

__all__ = ["Scaling", "sky_and_noise"]

Array = np.ndarray[Any, Any]

_MAX_PIXELS = 2**18  # the statistics use evenly spaced rows that hold about as many pixels
_ROWS = 256  # read at a time when looking for rows with a valid pixel
_MIN_NONZERO = 8  # fewer differences than this measure no noise
_CLIP = 3.0  # a Gaussian cut at 3 sigma keeps this part of its standard deviation:
_CLIPPED_STD = 0.98658
_UPPER_QUARTILE = 1.15035  # 75% of |z| of a standard Gaussian lie below


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """Frame -> network input ``asinh((x - sky) / (softening * noise))``.

    Attributes:
        softening: Where the scale turns from linear to logarithmic, in units of the noise.

    Example:
        >>> image, valid = Scaling()(np.random.default_rng(0).normal(100.0, 5.0, (64, 64)))
        >>> image.shape, image.dtype, bool(valid.all())
        ((1, 64, 64), dtype('float32'), True)
    """

    softening: float = 3.0

    def __post_init__(self) -> None:
        value = self.softening
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (is_number and math.isfinite(value) and value > 0):
            raise BayescrError(f"softening is {value!r}: expected a positive number, such as 3.0")

    def __call__(self, frame: CCDData | Array, *, mask: Array | None = None) -> tuple[Array, Array]:
        """Scale a whole frame, never a part of one: the statistics are those of what is given.

        Args:
            frame: (H, W), any unit; a ``CCDData`` brings its own mask.
            mask: (H, W) bool, True = unusable, on top of the frame's own and of pixels that are
                not finite.

        Returns:
            ``image``, (1, H, W) float32, 0 at unusable pixels; all 0 where the frame is constant.
            ``valid``, (1, H, W) bool, True where the pixel can be used.

        Raises:
            BayescrError: If the frame is a path, it or the mask is not 2-D, or no pixel is usable.
        """
        return self.on(frame, mask=mask)[:, :]

    def significance(self, image: Array) -> Array:
        """How far pixels lie above the sky, in units of its noise: back from the network's input.

            (x - sky) / noise = softening * sinh(image)

        Args:
            image: Network input of any shape, as this object makes it.

        Returns:
            An array of the same shape and type; 0, the sky, at unusable pixels.
        """
        return np.asarray(self.softening * np.sinh(np.asarray(image)))

    def image(self, pixels: Array, *, sky: float, noise: float) -> Array:
        """Network input of pixels whose sky and noise are known; 0 where there is no noise.

        Args:
            pixels: Of any shape, in the unit of ``sky`` and ``noise``.
            sky: Level of the sky.
            noise: Its standard deviation.

        Returns:
            An array of the same shape, float32.
        """
        unit = self.softening * noise if noise > 0 else math.inf
        image = torch.from_numpy(pixels.astype(np.float64))  # its asinh is vectorised
        return np.asarray(image.sub_(sky).div_(unit).asinh_().float().numpy())

    def on(self, frame: CCDData | Array, *, mask: Array | None = None) -> ScaledFrame:
        """The same, piece by piece: nothing but the pieces asked for is held in memory."""
        return ScaledFrame(self, frame, mask=mask)


class ScaledFrame:
    """A frame as the network sees it, ``scaled[rows, columns]`` at a time.

    Sky and noise are those of the whole frame. Arguments and errors are those of `Scaling`; the
    frame's data may be a memory map.

    Attributes:
        shape: Of the frame, (H, W).
        sky: Level of the sky, in the frame's unit.
        noise: Its standard deviation.

    Example:
        >>> scaled = Scaling().on(np.random.default_rng(0).normal(100.0, 5.0, (64, 64)))
        >>> image, valid = scaled[8:16, :]
        >>> scaled.shape, image.shape
        ((64, 64), (1, 8, 64))
    """

    def __init__(
        self, scaling: Scaling, frame: CCDData | Array, *, mask: Array | None = None
    ) -> None:
        if isinstance(frame, str | os.PathLike):
            raise BayescrError(
                f"frame is the path '{os.fspath(frame)}': expected a frame or an array; read it "
                "with read_frame(path) first"
            )
        data = np.asanyarray(frame.data if isinstance(frame, CCDData) else frame)
        if data.ndim != 2:
            raise BayescrError(f"frame has shape {data.shape}: expected a 2-D image (H, W)")
        masks = [one for one in (getattr(frame, "mask", None), mask) if one is not None]
        for unusable in masks:
            if np.shape(unusable) not in ((), data.shape):
                raise BayescrError(
                    f"mask has shape {np.shape(unusable)} but the frame {data.shape}: expected "
                    "the same shape"
                )
        self.shape: tuple[int, int] = data.shape
        self._data = data
        self._masks = [np.broadcast_to(np.asanyarray(one, bool), data.shape) for one in masks]
        starts = range(0, len(data), _ROWS)
        usable = [self._valid(np.s_[start : start + _ROWS]).any(axis=1) for start in starts]
        rows = _spread(
            np.flatnonzero(np.concatenate(usable)) if usable else np.zeros(0, int), data.shape[1]
        )
        if not rows.size:
            raise BayescrError(f"frame of shape {data.shape} has no valid pixel to scale")
        self.sky, self.noise = _measure(np.where(self._valid(rows), data[rows], np.nan))
        self._scaling = scaling

    def __getitem__(self, window: tuple[slice, slice]) -> tuple[Array, Array]:
        """``image`` (1, h, w) and ``valid`` (1, h, w) of some rows and columns, see `Scaling`."""
        valid = self._valid(window)
        scaled = self._scaling.image(self._data[window], sky=self.sky, noise=self.noise)
        scaled[~valid] = 0.0
        return scaled[None], valid[None]

    def _valid(self, window: Any) -> Array:
        valid = np.isfinite(self._data[window])
        for unusable in self._masks:
            valid &= ~unusable[window]
        return np.asarray(valid)


def sky_and_noise(data: Array, *, valid: Array | None = None) -> tuple[float, float]:
    """Level and noise of the sky of a frame, in the frame's unit.

    Rows are skipped evenly in frames of more than 2^18 pixels.

    Args:
        data: (H, W).
        valid: (H, W) bool, True where the pixel can be used; default: where it is finite.

    Returns:
        The level and the noise; the noise is 0 where all valid pixels are equal.

    Raises:
        BayescrError: If no pixel is valid.
    """
    valid = np.isfinite(data) if valid is None else valid
    rows = _spread(np.flatnonzero(valid.any(axis=1)), data.shape[1])
    if not rows.size:
        raise BayescrError(f"frame of shape {data.shape} has no valid pixel to measure")
    return _measure(np.where(valid[rows], data[rows], np.nan))


def _measure(values: Array) -> tuple[float, float]:
    """Sky and noise of some rows, NaN where a pixel is unusable."""
    values = values.astype(np.float64)
    ordered = np.sort(values[np.isfinite(values)])
    low, high = _shortest_half(ordered)
    middle = ordered[low:high]
    origin = float(middle[middle.size // 2])  # equal pixels are then 0, and their sums exactly
    ordered -= origin
    noise = _noise(values - origin, ordered, interval=(ordered[low], ordered[high - 1]))
    return origin + _mode(ordered, noise), noise


def _spread(rows: Array, width: int) -> Array:
    """Evenly spaced ones among rows of ``width`` pixels, of about ``_MAX_PIXELS`` pixels."""
    return rows[:: max(1, math.ceil(len(rows) * width / _MAX_PIXELS))]


def _shortest_half(ordered: Array) -> tuple[int, int]:
    """Slice of the shortest interval that holds half of the values; the middle one of equals."""
    half = (ordered.size + 1) // 2
    widths = ordered[half - 1 :] - ordered[: ordered.size - half + 1]
    shortest = np.flatnonzero(widths <= widths.min() * (1.0 + 1e-6))
    start = int(shortest[shortest.size // 2])
    return start, start + half


def _noise(values: Array, ordered: Array, *, interval: tuple[float, float]) -> float:
    """Standard deviation of the sky from second differences along the rows."""
    left, centre, right = values[:, :-2], values[:, 1:-1], values[:, 2:]
    mean = (left + centre + right) / 3.0
    difference = np.abs(left - 2.0 * centre + right) / math.sqrt(6.0)
    # A hair wider, so that no mean of integer pixels falls on the edge and rounding cannot matter.
    hair = 0.0137 * (interval[1] - interval[0])
    in_sky = (mean >= interval[0] - hair) & (mean <= interval[1] + hair)  # False where NaN
    if hair == 0.0:  # most pixels are equal: such an interval selects by the difference itself
        in_sky = np.isfinite(difference)
    for deviations in (difference[in_sky], np.abs(ordered - np.median(ordered))):
        if np.count_nonzero(deviations) >= _MIN_NONZERO:
            return _clipped_std(deviations)
    return float(np.std(ordered))


def _clipped_std(deviations: Array) -> float:
    """Standard deviation about zero, clipped at 3 sigma until it rests."""
    rounding = 1e-9 * deviations.max()
    if np.median(deviations) <= rounding:  # blank but for some pixels: those measure the noise
        deviations = deviations[deviations > rounding]
    noise = float(np.quantile(deviations, 0.75)) / _UPPER_QUARTILE
    for _ in range(20):
        kept = deviations[deviations <= _CLIP * noise]
        before, noise = noise, float(np.sqrt(np.mean(kept**2))) / _CLIPPED_STD
        if abs(noise - before) <= 1e-4 * before:
            break
    return noise


def _mode(ordered: Array, noise: float) -> float:
    """The mode: shortest halves down to an eighth of the pixels, then mean shift."""
    eighth = ordered
    for _ in range(3):
        eighth = eighth[slice(*_shortest_half(eighth))]
    mode = float(eighth[eighth.size // 2])
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    for _ in range(50):
        low, high = np.searchsorted(ordered, [mode - 2.0 * noise, mode + 2.0 * noise])
        if high <= low:
            break
        before, mode = mode, float((sums[high] - sums[low]) / (high - low))
        if abs(mode - before) <= 1e-4 * noise:
            break
    return mode
