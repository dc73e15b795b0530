"""A frame with its truth, scaled, and the arrays that such frames come from."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from astropy.nddata import CCDData
from torch import Tensor
from torch.nn.functional import pad

from bayescr.data.scaling import Scaling
from bayescr.errors import BayescrError

__all__ = ["ArrayOrPath", "LabelledFrame", "label", "label_all", "load_npy"]

Array = np.ndarray[Any, Any]
ArrayOrPath = Array | str | os.PathLike[str]


class LabelledFrame(NamedTuple):
    """What a dataset keeps of one frame."""

    image: Tensor  # (1, H, W) float32
    target: Tensor  # (C, H, W) bool, False at invalid pixels
    valid: Tensor  # (1, H, W) bool
    exposure: str
    raw: Callable[[], CCDData]  # what was scaled: its pixels, not extended

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the planes."""
        height, width = self.image.shape[-2:]
        return height, width

    @property
    def num_classes(self) -> int:
        """Classes per pixel, C."""
        return self.target.shape[0]


def label(
    frame: CCDData | Array,
    truth: Array,
    ignore: Array | None,
    exposure: str,
    *,
    scaling: Scaling,
    smallest: int,
) -> LabelledFrame:
    """Scale a frame, check its truth, and extend both to ``smallest`` pixels a side if needed."""
    try:
        image, valid = scaling(frame, mask=ignore)
    except BayescrError as error:
        raise BayescrError(f"exposure '{exposure}': {error}") from error
    height, width = image.shape[-2:]
    truth = np.asarray(truth)
    if truth.ndim not in (2, 3) or truth.shape[-2:] != (height, width):
        raise BayescrError(
            f"truth of exposure '{exposure}' has shape {truth.shape} but its frame "
            f"{(height, width)}: expected the same, or (C, {height}, {width}) for C classes"
        )
    target = np.where(valid, truth.reshape(-1, height, width), 0)
    if not np.isin(target, (0, 1)).all():
        raise BayescrError(
            f"truth of exposure '{exposure}' holds values other than 0 and 1: turn flags into a "
            "mask first, such as `(dq & 4096) != 0`"
        )
    margin = (0, max(0, smallest - width), 0, max(0, smallest - height))
    return LabelledFrame(
        image=pad(torch.from_numpy(image), margin),
        target=pad(torch.from_numpy(target.astype(bool)), margin),
        valid=pad(torch.from_numpy(valid), margin),
        exposure=exposure,
        raw=partial(_as_frame, frame),
    )


def label_all(
    frames: Sequence[CCDData | Array],
    truths: Sequence[Array],
    ignore: Sequence[Array] | None,
    exposures: Sequence[str],
    *,
    scaling: Scaling,
    smallest: int,
) -> list[LabelledFrame]:
    """`label` each frame, after a look at whether there is one of everything for each."""
    masks: Sequence[Array | None] = [None] * len(frames) if ignore is None else ignore
    for name, given in (("truths", truths), ("ignore", masks), ("exposures", exposures)):
        if len(given) != len(frames):
            raise BayescrError(
                f"{len(frames)} frames but {len(given)} {name}: expected one for each frame"
            )
    if not len(frames):
        raise BayescrError("no frames were given: a dataset needs at least one")
    labelled = [
        label(frame, truth, mask, name, scaling=scaling, smallest=smallest)
        for frame, truth, mask, name in zip(frames, truths, masks, exposures, strict=True)
    ]
    classes = {frame.num_classes: frame.exposure for frame in labelled}
    if len(classes) > 1:
        raise BayescrError(
            "truths differ in their number of classes: "
            + ", ".join(f"{count} for '{name}'" for count, name in classes.items())
        )
    return labelled


def load_npy(source: ArrayOrPath, *, name: str, ndim: tuple[int, ...]) -> Array:
    """An array, or what a .npy file holds; nothing is unpickled."""
    if isinstance(source, str | os.PathLike):
        try:
            array = np.load(source, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise BayescrError(
                f"cannot read {name} '{os.fspath(source)}': {str(error).splitlines()[0]}; "
                "expected a .npy file of numbers"
            ) from error
    else:
        array = source
    if not isinstance(array, np.ndarray) or array.ndim not in ndim:
        shape = getattr(array, "shape", type(array).__name__)
        wanted = " or ".join("(N, H, W)" if n == 3 else "(N, C, H, W)" for n in ndim)
        raise BayescrError(f"{name} have shape {shape}: expected an array {wanted}")
    return array


def _as_frame(source: CCDData | Array) -> CCDData:
    """A frame as it is; an array in adu, as `read_frame` takes pixels of unknown unit."""
    return source if isinstance(source, CCDData) else CCDData(source, unit="adu")
