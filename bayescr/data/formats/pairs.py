"""Two files for an image: the FITS file of the frame, and one of its mask.

    exposure.fits           the frame, as `read_frame` takes it
    exposure_mask.fits      the truth: not 0 = a cosmic ray
    exposure_ignore.fits    where the truth cannot be relied on: not 0 = not; may be absent

Masks that are named or kept otherwise are given by a table: an index with a column ``mask``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from bayescr._files import write_fits
from bayescr.data._fits import find, find_beside, opened, stem
from bayescr.data.formats.image import Entry, LabelledImage
from bayescr.data.formats.native import science_hdus
from bayescr.data.frames import image_extensions, read_frame, read_truth
from bayescr.errors import BayescrError

__all__ = ["beside", "entries", "is_companion", "read", "write"]

Array = np.ndarray[Any, Any]


def beside(path: Path, kind: str = "mask") -> Path | None:
    """The file ``<image>_mask.fits``, or ``_ignore``, beside an image, if there is one."""
    return find_beside(path, f"{stem(path)}_{kind}")


def is_companion(path: Path) -> bool:
    """Whether a file is the mask or ignore of an image beside it."""
    image, _, kind = stem(path).rpartition("_")
    return kind in ("mask", "ignore") and find_beside(path, image) is not None


def entries(path: Path) -> list[Entry]:
    """The one image of a file."""
    extensions = image_extensions(path)
    if len(extensions) > 1:
        raise BayescrError(
            f"'{path}' holds {len(extensions)} images, for which one mask is too little: write "
            "image and truth as SCI and CRMASK of one version"
        )
    extension = extensions[0]
    with opened(path) as hdus:
        image = find(hdus, extension, path=path)
        header = hdus[0].header.copy(strip=True)
        header.extend(image.header, strip=True, update=True)
        return [Entry(str(hdus.index(image)), stem(path), image.shape, header)]


def read(path: Path, extension: str, *, mask: Path | None = None) -> LabelledImage:
    """Read a frame and its mask, by default the one that lies beside it."""
    frame = read_frame(path, extension=extension)
    mask = beside(path) if mask is None else mask
    if mask is None:
        raise BayescrError(
            f"'{path}' has no mask: expected '{stem(path)}_mask.fits' beside it, or an index with "
            "a column mask"
        )
    ignore = beside(path, "ignore")
    return LabelledImage(
        frame=frame,
        truth=_flags(mask, frame.data.shape),
        exposure=stem(path),
        reliable=None if ignore is None else ~_flags(ignore, frame.data.shape),
    )


def write(images: list[LabelledImage], path: Path, *, overwrite: bool = False) -> None:
    """Write a folder of pairs, one for each exposure."""
    names = [image.exposure for image in images]
    if len(set(names)) < len(names):
        raise BayescrError(
            f"exposure '{max(names, key=names.count)}' has several images: a pair holds one, the "
            "format 'fits' all"
        )
    for image in images:
        flags = {"mask": image.truth}
        if image.reliable is not None:
            flags["ignore"] = ~image.reliable
        for kind, plane in flags.items():
            hdus = fits.HDUList([fits.PrimaryHDU(np.asarray(plane, np.uint8))])
            write_fits(hdus, path / f"{image.exposure}_{kind}.fits", overwrite=overwrite)
        frame = fits.HDUList([fits.PrimaryHDU(), *science_hdus(image)])
        write_fits(
            frame, path / f"{image.exposure}.fits", overwrite=overwrite, output_verify="silentfix"
        )


def _flags(path: Path, shape: tuple[int, ...]) -> Array:
    return read_truth(path, extension=image_extensions(path)[0], shape=shape)
