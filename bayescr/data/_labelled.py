"""A frame with its truth, scaled, and the files that such frames come from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from astropy.nddata import CCDData
from torch import Tensor
from torch.nn.functional import pad

from bayescr.data.frames import image_extensions, read_frame, read_truth
from bayescr.data.scaling import Scaling
from bayescr.errors import BayescrError

__all__ = ["ArrayOrPath", "LabelledFrame", "label", "load_npy", "read_folder"]

Array = np.ndarray[Any, Any]
ArrayOrPath = Array | str | os.PathLike[str]

_SUFFIXES = (".fits", ".fits.gz", ".fits.fz")


class LabelledFrame(NamedTuple):
    """What a dataset keeps of one frame."""

    image: Tensor  # (1, H, W) float32
    target: Tensor  # (C, H, W) bool, False at invalid pixels
    valid: Tensor  # (1, H, W) bool
    exposure: str


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
    )


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


def read_folder(folder: str | os.PathLike[str]) -> tuple[list[CCDData], list[Array], list[str]]:
    """Frames, truths and names of the exposures of all chips of all FITS files in a folder."""
    folder = Path(folder)
    if not folder.is_dir():
        raise BayescrError(f"cannot read '{folder}': expected a folder of FITS files")
    paths = sorted(path for path in folder.iterdir() if path.name.endswith(_SUFFIXES))
    if not paths:
        raise BayescrError(
            f"no FITS file in '{folder}': expected {', '.join(_SUFFIXES)}; "
            "`bayescr simulate` makes some"
        )
    frames, truths, exposures = [], [], []
    for path in paths:
        chips = image_extensions(path)
        if len(chips) > 1 and not all(isinstance(chip, tuple) for chip in chips):
            raise BayescrError(
                f"'{path}' holds several SCI of one EXTVER: number them and their CRMASK, so that "
                "each finds its truth"
            )
        for extension in chips:
            frame = read_frame(path, extension=extension)
            version = extension[1] if isinstance(extension, tuple) else 1
            truth = read_truth(path, extension=("CRMASK", version), shape=frame.data.shape)
            frames.append(frame)
            truths.append(truth)
            exposures.append(path.name[: path.name.rindex(".fits")])
    return frames, truths, exposures
