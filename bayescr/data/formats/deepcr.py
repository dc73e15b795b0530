"""deepCR's patches: one .npy file each, of two planes or three.

    <k>_<name>.npy    (2, H, W): image, cosmic rays; (3, H, W): image, cosmic rays, ignore
    sky.npy           (K,): sky level of the patches whose names begin with k = 1 ... K

The sky has been subtracted from the image; deepCR adds a random multiple of it while training.
The unit is not stored, so frames are in adu. A folder holds the patches of one visit: all share an
exposure, named after the last two folders. Where ignore is set, nothing is learnt or asked; the
pixel itself is shown to the network.

References:
    Zhang & Bloom, "deepCR: Cosmic Ray Rejection with Deep Learning", arXiv:1907.09500.
    Kwon, Zhang & Bloom, "deepCR on ACS/WFC", RNAAS 5 (2021), 98: the files of this layout.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units
from astropy.io import fits
from astropy.nddata import CCDData

from bayescr._files import atomic_path
from bayescr.data._labelled import load_npy
from bayescr.data.formats.image import Entry, LabelledImage
from bayescr.errors import BayescrError

__all__ = ["SKY_FILE", "entries", "read", "with_sky", "write"]

Array = np.ndarray[Any, Any]

SKY_FILE = "sky.npy"
_SKY = "SKYLEVEL"  # header keyword: the sky that is not in the image


def entries(path: Path) -> list[Entry]:
    """The one patch of a file."""
    return [Entry("0", _exposure(path), _planes(path).shape[1:], _header(path))]


def read(path: Path, extension: str = "0", *, mask: Path | None = None) -> LabelledImage:
    """Read a patch; the header's SKYLEVEL is its sky, where there is a ``sky.npy``."""
    image, truth, *ignore = np.asarray(_planes(path))
    data = image.astype(np.float32)
    return LabelledImage(
        frame=CCDData(data, unit=units.adu, mask=~np.isfinite(data), meta=_header(path)),
        truth=truth != 0,
        exposure=_exposure(path),
        reliable=ignore[0] == 0 if ignore else None,
    )


def with_sky(image: LabelledImage, factor: float = 1.0) -> LabelledImage:
    """The image with a multiple of its sky level added, as deepCR does; no noise comes with it.

    Raises:
        BayescrError: If the sky is not known.
    """
    level = image.frame.header.get(_SKY)
    if level is None:
        raise BayescrError(
            f"the sky of exposure '{image.exposure}' is not known: put a {SKY_FILE} beside its "
            "patches"
        )
    frame = image.frame.copy()
    frame.data = (frame.data + np.float32(factor * level)).astype(np.float32)
    return replace(image, frame=frame)


def write(images: list[LabelledImage], path: Path, *, overwrite: bool = False) -> None:
    """Write a folder of patches, and the sky if it is known of all.

    What deepCR cannot say is folded into ignore: masked pixels, which are 0 if not finite.
    """
    skies = [image.frame.header.get(_SKY) for image in images]
    for number, image in enumerate(images, start=1):
        ignore = image.mask if image.reliable is None else image.mask | ~image.reliable
        planes = [np.nan_to_num(image.frame.data, nan=0.0, posinf=0.0, neginf=0.0), image.truth]
        stack = np.stack([*planes, ignore] if ignore.any() else planes).astype(np.float32)
        _save(path / f"{number}_{image.exposure}.npy", stack, overwrite=overwrite)
    if None not in skies:
        _save(path / SKY_FILE, np.array(skies, np.float64), overwrite=overwrite)


def _planes(path: Path) -> Array:
    """The planes of a patch, mapped: nothing but the header is read until it is used."""
    stack = load_npy(path, name="patch", ndim=(3,), mapped=True)
    if len(stack) not in (2, 3):
        raise BayescrError(
            f"patch '{path}' has shape {stack.shape}: expected (2, H, W), image and cosmic rays, "
            "or (3, H, W), with ignore"
        )
    return stack


def _header(path: Path) -> fits.Header:
    number = path.stem.partition("_")[0]
    header, sky = fits.Header(), path.parent / SKY_FILE
    if sky.is_file():
        levels = load_npy(sky, name="sky levels", ndim=(1,))
        if not (number.isdecimal() and 1 <= int(number) <= len(levels)):
            raise BayescrError(
                f"patch '{path}' has no sky level: expected a name that begins with a number from "
                f"1 to {len(levels)}, the length of {SKY_FILE}, such as '1_{path.name}'"
            )
        header[_SKY] = (float(levels[int(number) - 1]), "sky that is not in the image")
    return header


def _exposure(path: Path) -> str:
    """``f606w/10595/2/7_x.npy`` -> ``10595_2``: proposal and visit."""
    return "_".join(path.absolute().parent.parts[-2:])


def _save(path: Path, array: Array, *, overwrite: bool) -> None:
    with atomic_path(path, overwrite=overwrite) as temporary:
        np.save(temporary, array, allow_pickle=False)
