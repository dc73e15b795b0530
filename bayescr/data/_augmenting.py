"""From network input back to a patch in electrons, through an augmentation, and forth again.

The scaling is undone, x = sky + noise * significance(y): nothing but what trains is kept in memory,
and float32 input gives a pixel back to a hundredth of its noise or better.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from bayescr.data._cutting import Window
from bayescr.data._labelled import LabelledFrame
from bayescr.data._stored import StoredFrame
from bayescr.data.augmentation import Augmentation, RawPatch
from bayescr.data.augmentation.patch import THRESHOLD
from bayescr.data.scaling import Scaling

__all__ = ["augmented_planes", "item_generator"]

_SAMPLE = 2**13  # pixels of a frame, which give the shift to a few percent of the noise


def item_generator(seed: int, epoch: int | None, index: int) -> np.random.Generator:
    """Random numbers of an item in an epoch; where there is no epoch, torch's generator says."""
    if epoch is None:
        return np.random.default_rng((seed, int(torch.randint(2**62, ()))))
    return np.random.default_rng((seed, epoch, index))


def augmented_planes(
    frame: LabelledFrame | StoredFrame,
    window: Window,
    *,
    scaling: Scaling,
    augmentation: Augmentation,
    generator: np.random.Generator,
) -> tuple[Tensor, Tensor, Tensor]:
    """Image (1, H, W) float32, target (C, H, W) bool and valid (1, H, W) bool of an item."""
    before = _raw_patch(frame, window, scaling=scaling, augmentation=augmentation)
    patch = augmentation(before, generator)
    shift = _shift(frame, before, patch, scaling=scaling, generator=generator)
    image = scaling.image(patch.data, sky=patch.sky + shift, noise=patch.noise)
    image[~patch.usable] = 0.0
    valid = patch.valid & patch.usable
    planes = (image[None], patch.target & valid, valid[None])
    return tuple(torch.from_numpy(np.ascontiguousarray(plane)) for plane in planes)  # type: ignore[return-value]


def _raw_patch(
    frame: LabelledFrame | StoredFrame,
    window: Window,
    *,
    scaling: Scaling,
    augmentation: Augmentation,
) -> RawPatch:
    view = window.rows, window.columns
    level, charge = frame.level, frame.charge
    image = frame.image[0][view].numpy().astype(np.float64)
    valid = frame.valid[0][view].numpy().copy()
    valid[: window.shared_rows] = False
    valid[:, : window.shared_columns] = False
    return RawPatch(
        data=level.sky + level.noise * scaling.significance(image),
        target=frame.target[:, *view].numpy(),
        valid=valid,
        usable=frame.usable[0][view].numpy(),
        sky=level.sky,
        noise=level.noise,
        read_noise=level.read_noise,
        in_electrons=level.in_electrons,
        charge=None if charge is None else charge[view].toarray().astype(np.float64),
        exposure=frame.exposure,
        threshold=augmentation.threshold or level.threshold or THRESHOLD,
        undecided=level.undecided if augmentation.undecided is None else augmentation.undecided,
    )


def _shift(
    frame: LabelledFrame | StoredFrame,
    before: RawPatch,
    after: RawPatch,
    *,
    scaling: Scaling,
    generator: np.random.Generator,
) -> float:
    """How far the sky that the scaling would measure is from where the steps have put it.

    Among unresolved stars it is a mode somewhere between sky and stars, the nearer to the stars the
    more noise there is. What it moves by belongs to the whole frame: some of its pixels are given
    the light and the noise that the steps left, and the mode is sought among them.
    """
    added = after.noise**2 - (after.share * before.noise) ** 2
    if not added > 1e-6 * after.noise**2:
        return 0.0
    drawn = generator.integers(frame.image[0].numel(), size=_SAMPLE)
    image = frame.image[0].numpy().ravel()[drawn][frame.usable[0].numpy().ravel()[drawn]]
    pixels = after.share * before.noise * scaling.significance(image.astype(np.float64))
    noisier = pixels + np.sqrt(added) * generator.normal(size=pixels.shape)
    return _mode(noisier, after.noise) - _mode(pixels, after.share * before.noise)


def _mode(pixels: np.ndarray[Any, Any], noise: float) -> float:
    """Mean shift from 0, as in the last part of the scaling's measurement."""
    mode = 0.0
    for _ in range(50):
        near = pixels[np.abs(pixels - mode) < 2.0 * noise]
        if not near.size:
            break
        before, mode = mode, float(near.mean())
        if abs(mode - before) < 3e-3 * noise:
            break
    return mode
