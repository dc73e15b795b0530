"""Formats of images with truth, and one way into and out of all of them.

===============  ==================================================================
``fits``         bayescr's own: SCI, DQ, CRMASK, ... for every image of an exposure
``pairs``        ``image.fits`` and ``image_mask.fits``
``cosmic-conn``  several aligned frames with CR and IGNORE in a file
``deepcr``       patches of two or three planes in .npy files, and their sky
===============  ==================================================================

A format is a module that has `entries`, `read` and `write`; a new one is a line in `FORMATS`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from bayescr._names import resolve
from bayescr.data._fits import FITS_NAMES, is_fits, opened, stem
from bayescr.data.formats import cosmic_conn, deepcr, native, pairs
from bayescr.data.formats.deepcr import with_sky
from bayescr.data.formats.image import DEFECTS, Entry, Format, LabelledImage
from bayescr.errors import BayescrError

__all__ = [
    "DEFECTS",
    "FORMATS",
    "Entry",
    "Format",
    "LabelledImage",
    "find_format",
    "image_files",
    "named_format",
    "read_labelled",
    "with_sky",
    "write_labelled",
]

PathLike = str | os.PathLike[str]

FORMATS: dict[str, Format] = {
    "fits": native,
    "pairs": pairs,
    "cosmic-conn": cosmic_conn,
    "deepcr": deepcr,
}
"""Name -> format."""

_FOLDERS = ("deepcr", "pairs")  # these write a file, or two, for each image


def read_labelled(
    path: PathLike, *, format: str | None = None, mask: PathLike | None = None
) -> list[LabelledImage]:
    """Read all images of a file, or of every file in a folder and below.

    Args:
        path: The file or folder.
        format: A name in `FORMATS`; default: what the files look like.
        mask: The file with the truth of a ``pairs`` image that has none beside it.

    Raises:
        BayescrError: If a file cannot be read, or is in no format that has a truth.

    Example:
        >>> images = read_labelled("LCO_CR_dataset/test_set/masked_fits")  # doctest: +SKIP
        >>> write_labelled(images, "frames")  # doctest: +SKIP
    """
    found = []
    for file in image_files(path, format=format):
        kind = named_format("pairs" if mask is not None else format or find_format(file))
        found += [
            kind.read(file, entry.extension, mask=None if mask is None else Path(mask))
            for entry in kind.entries(file)
        ]
    return found


def write_labelled(
    images: Sequence[LabelledImage],
    path: PathLike,
    *,
    format: str = "fits",
    overwrite: bool = False,
) -> None:
    """Write images with truth.

    Args:
        images: What to write.
        path: A file, or a folder; ``fits`` and ``cosmic-conn`` take the name of a FITS
            file (.fits, .fits.gz) for a file. In a folder ``fits`` makes a file for each
            exposure, its chips together.
        format: A name in `FORMATS`.
        overwrite: Whether existing files may be replaced.

    Raises:
        BayescrError: If there is nothing to write, the format cannot hold the images, or a file
            exists.
    """
    kind, target = named_format(format), Path(path)
    if not images:
        raise BayescrError(f"no images were given to write to '{target}'")
    is_file = is_fits(target)
    if format in _FOLDERS and is_file:
        raise BayescrError(f"'{target}' is a file name: format '{format}' writes a folder")
    if is_file or format in _FOLDERS:
        kind.write(list(images), target, overwrite=overwrite)
        return
    if format != "fits":
        raise BayescrError(f"'{target}' is no name of a FITS file: expected one in .fits")
    chips: dict[str, list[LabelledImage]] = {}
    for image in images:
        chips.setdefault(image.exposure, []).append(image)
    for exposure, together in chips.items():
        kind.write(together, target / f"{exposure}.fits", overwrite=overwrite)


def named_format(name: str) -> Format:
    """The format of a name.

    Raises:
        BayescrError: If there is none; the message suggests the nearest one.
    """
    found: Format = resolve(name, FORMATS, kind="format")
    return found


def find_format(path: Path) -> str:
    """The name of the format that a file is in, as its name and extensions tell.

    Raises:
        BayescrError: If it is in none.
    """
    if path.suffix == ".npy":
        return "deepcr"
    with opened(path) as hdus:
        names = {hdu.name.upper() for hdu in hdus}
    if "CRMASK" in names:
        return "fits"
    if {"CR", "IGNORE"} <= names:
        return "cosmic-conn"
    if pairs.beside(path):
        return "pairs"
    raise BayescrError(
        f"'{path}' has no truth: expected an extension CRMASK, CR and IGNORE as in Cosmic-CoNN's "
        f"data, or '{stem(path)}_mask.fits' beside it"
    )


def image_files(path: PathLike, *, format: str | None = None) -> list[Path]:
    """The files with images in a folder and below, in order; a file is its own list.

    Raises:
        BayescrError: If there is no such file or folder, or no image in it.
    """
    place = Path(path)
    if not place.is_dir():
        if not place.exists():
            raise BayescrError(f"cannot read '{place}': there is no such file or folder")
        return [place]
    files = [file for file in sorted(place.rglob("*")) if _is_image(file) and file.is_file()]
    if format is not None:
        files = [file for file in files if (file.suffix == ".npy") == (format == "deepcr")]
    if not files:
        names = {"deepcr": ".npy", None: f"{FITS_NAMES}, or .npy"}.get(format, FITS_NAMES)
        raise BayescrError(f"no image in '{place}': expected files in {names}")
    return files


def _is_image(file: Path) -> bool:
    """Whether a file is an image by its name, and not the mask or sky of others."""
    if file.suffix == ".npy":
        return file.name != deepcr.SKY_FILE
    return is_fits(file) and not pairs.is_companion(file)
