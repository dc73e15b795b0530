"""A frame with its truth, scaled, and the arrays that such frames come from.

A pixel may be unusable, which the network must not see: its image is 0. Or its truth may be
unreliable while the pixel is as good as any: it stays in the image, and nothing is learnt from or
asked about it. Were it 0 too, holes around stars and hits would tell the network where they are.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from astropy import units
from astropy.nddata import CCDData
from torch import Tensor
from torch.nn.functional import pad

from bayescr._checks import is_number
from bayescr.data.scaling import Scaling
from bayescr.errors import BayescrError

__all__ = ["ArrayOrPath", "LabelledFrame", "Level", "label", "label_all", "load_npy"]

Array = np.ndarray[Any, Any]
ArrayOrPath = Array | str | os.PathLike[str]


_SHAPES = {1: "(N,)", 3: "(N, H, W)", 4: "(N, C, H, W)"}
_READ_NOISE = ("READNSE", "RDNOISE", "READNOIS", "READNSEA")


class Level(NamedTuple):
    """Sky and noise of a frame, which lead from network input back to pixels."""

    sky: float
    noise: float  # of a sky pixel: photons and readout together
    read_noise: float | None  # [electron]
    in_electrons: bool  # False: sky and noise are in counts of unknown gain
    threshold: float | None = None  # of the truth, in units of the noise; the header's CRTHRESH
    undecided: float | None = None  # from here to the threshold; the header's CRUNDEC


class LabelledFrame(NamedTuple):
    """What a dataset keeps of one frame."""

    image: Tensor  # (1, H, W) float32
    target: Tensor  # (C, H, W) bool, False at invalid pixels
    valid: Tensor  # (1, H, W) bool: usable, and its truth reliable
    usable: Tensor  # (1, H, W) bool
    exposure: str
    raw: Callable[[], CCDData]  # what was scaled: its pixels, not extended
    level: Level
    charge: Any = None  # (H, W) scipy.sparse.csr_array, in the frame's unit, where known

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
    reliable: Array | None = None,
    charge: Array | None = None,
    scaling: Scaling,
    smallest: int,
) -> LabelledFrame:
    """Scale a frame, check its truth, and extend both to ``smallest`` pixels a side if needed."""
    try:
        scaled = scaling.on(frame, mask=ignore)
        image, usable = scaled[:, :]
    except BayescrError as error:
        raise BayescrError(f"exposure '{exposure}': {error}") from error
    height, width = image.shape[-2:]
    for name, plane in (("reliable", reliable), ("charge", charge)):
        if plane is not None and np.shape(plane) != (height, width):
            raise BayescrError(
                f"{name} of exposure '{exposure}' has shape {np.shape(plane)} but its frame "
                f"{(height, width)}: expected the same"
            )
    valid = usable if reliable is None else usable & (np.asarray(reliable) != 0)
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
    padded = pad(torch.from_numpy(usable), margin)
    return LabelledFrame(
        image=pad(torch.from_numpy(image), margin),
        target=pad(torch.from_numpy(target.astype(bool)), margin),
        valid=padded if reliable is None else pad(torch.from_numpy(valid), margin),
        usable=padded,
        exposure=exposure,
        raw=partial(_as_frame, frame),
        level=_level(frame, sky=scaled.sky, noise=scaled.noise),
        charge=None if charge is None else _sparse(charge, padded.shape[-2:]),
    )


def label_all(
    frames: Sequence[CCDData | Array],
    truths: Sequence[Array],
    ignore: Sequence[Array] | None,
    exposures: Sequence[str],
    *,
    reliable: Sequence[Array] | None = None,
    charges: Sequence[Array] | None = None,
    scaling: Scaling,
    smallest: int,
) -> list[LabelledFrame]:
    """`label` each frame, after a look at whether there is one of everything for each."""
    none: Sequence[Array | None] = [None] * len(frames)
    planes = {"ignore": ignore, "reliable": reliable, "charges": charges}
    given: dict[str, Sequence[Any]] = {
        "truths": truths,
        "exposures": exposures,
        **{name: none if several is None else several for name, several in planes.items()},
    }
    for name, several in given.items():
        if len(several) != len(frames):
            raise BayescrError(
                f"{len(frames)} frames but {len(several)} {name}: expected one for each frame"
            )
    if not len(frames):
        raise BayescrError("no frames were given: a dataset needs at least one")
    labelled = [
        label(
            frame,
            given["truths"][index],
            given["ignore"][index],
            given["exposures"][index],
            reliable=given["reliable"][index],
            charge=given["charges"][index],
            scaling=scaling,
            smallest=smallest,
        )
        for index, frame in enumerate(frames)
    ]
    classes = {frame.num_classes: frame.exposure for frame in labelled}
    if len(classes) > 1:
        raise BayescrError(
            "truths differ in their number of classes: "
            + ", ".join(f"{count} for '{name}'" for count, name in classes.items())
        )
    return labelled


def load_npy(
    source: ArrayOrPath, *, name: str, ndim: tuple[int, ...], mapped: bool = False
) -> Array:
    """An array, or what a .npy file holds; nothing is unpickled.

    Args:
        source: The array or its file.
        name: What it is, for error messages.
        ndim: How many dimensions it may have.
        mapped: Leave the numbers in the file until they are looked at.
    """
    if isinstance(source, str | os.PathLike):
        try:
            array = np.load(source, allow_pickle=False, mmap_mode="r" if mapped else None)
        except (OSError, ValueError, EOFError) as error:
            raise BayescrError(
                f"cannot read {name} '{os.fspath(source)}': {str(error).splitlines()[0]}; "
                "expected a .npy file of numbers"
            ) from error
    else:
        array = source
    if not isinstance(array, np.ndarray) or array.ndim not in ndim:
        shape = getattr(array, "shape", type(array).__name__)
        wanted = " or ".join(_SHAPES[n] for n in ndim)
        raise BayescrError(f"{name} have shape {shape}: expected an array {wanted}")
    return array


def _level(frame: CCDData | Array, *, sky: float, noise: float) -> Level:
    """Sky and noise of a frame, with what its header and unit say of them."""
    if not isinstance(frame, CCDData):
        return Level(sky, noise, None, in_electrons=False)
    return Level(
        sky,
        noise,
        read_noise=_stated(frame, *_READ_NOISE),
        in_electrons=frame.unit == units.electron,
        threshold=_stated(frame, "CRTHRESH"),
        undecided=_stated(frame, "CRUNDEC", or_zero=True),
    )


def _stated(frame: CCDData, *keywords: str, or_zero: bool = False) -> float | None:
    """The first positive number among some keywords of a header."""
    values = [frame.header.get(keyword) for keyword in keywords]
    numbers = [float(value) for value in values if is_number(value)]
    return next((number for number in numbers if number > 0 or (or_zero and number == 0)), None)


def _sparse(charge: Array, shape: tuple[int, ...]) -> Any:
    """Charge as a sparse matrix, extended: cosmic rays leave most pixels alone."""
    from scipy.sparse import csr_array

    matrix = csr_array(np.asarray(charge, np.float32))
    matrix.resize(*shape)
    return matrix


def _as_frame(source: CCDData | Array) -> CCDData:
    """A frame as it is; an array in adu, as `read_frame` takes pixels of unknown unit."""
    return source if isinstance(source, CCDData) else CCDData(source, unit="adu")
