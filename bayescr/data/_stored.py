"""The frames of a folder: what their headers say, and their pixels when asked for."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import numpy as np
from astropy.nddata import CCDData
from torch import Tensor

from bayescr.data._fits import Extension, find, opened
from bayescr.data._labelled import LabelledFrame, label
from bayescr.data.frames import image_extensions, read_frame, read_truth
from bayescr.data.scaling import Scaling
from bayescr.errors import BayescrError

__all__ = ["Chip", "Latest", "StoredFrame", "hold", "list_chips", "store"]

Array = np.ndarray[Any, Any]
Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

_SUFFIXES = (".fits", ".fits.gz", ".fits.fz")


class Chip(NamedTuple):
    """One image of a FITS file that has a truth, as the headers describe it."""

    path: Path
    extension: Extension
    exposure: str
    field: str | None
    shape: tuple[int, ...]

    def frame(self) -> CCDData:
        """Read the image; one of another shape than the headers said is an error."""
        frame = read_frame(self.path, extension=self.extension)
        if frame.data.shape != self.shape:
            raise BayescrError(
                f"'{self.path}' has shape {frame.data.shape} but had {self.shape} when the dataset "
                "was made: make the dataset again"
            )
        return frame

    def truth(self) -> Array:
        """Read the truth, True where a cosmic ray hit."""
        extension = _truth_extension(self.extension)
        return read_truth(self.path, extension=extension, shape=self.shape)


class Latest(Generic[Key, Value]):
    """A function of one argument that remembers the last value only."""

    def __init__(self, function: Callable[[Key], Value]) -> None:
        self._function = function
        self._last: tuple[Key, Value] | None = None

    def __call__(self, key: Key) -> Value:
        last = self._last  # another thread may replace the attribute, never this pair
        if last is None or last[0] != key:
            last = self._last = None  # let go before the next one is made: no two at a time
            last = self._last = (key, self._function(key))
        return last[1]


@dataclass(frozen=True)
class StoredFrame:
    """A `LabelledFrame` that is read and scaled when looked at.

    Attributes:
        chip: Where the frame is.
        shape: Height and width of the planes, extended to the patch where needed.
        load: Reads the frame; the frames of a folder share one, which remembers the last.
        num_classes: Classes per pixel, C: cosmic ray or not.
    """

    num_classes: ClassVar[int] = 1
    chip: Chip
    shape: tuple[int, int]
    load: Callable[[Chip], LabelledFrame]

    @property
    def exposure(self) -> str:
        """Name of the exposure."""
        return self.chip.exposure

    @property
    def image(self) -> Tensor:
        """(1, H, W) float32."""
        return self.load(self.chip).image

    @property
    def target(self) -> Tensor:
        """(1, H, W) bool, False at invalid pixels."""
        return self.load(self.chip).target

    @property
    def valid(self) -> Tensor:
        """(1, H, W) bool."""
        return self.load(self.chip).valid

    def raw(self) -> CCDData:
        """What was scaled: its pixels, not extended."""
        return self.load(self.chip).raw()


def list_chips(folder: str | os.PathLike[str]) -> list[Chip]:
    """All chips of all FITS files in a folder; only headers are read.

    Raises:
        BayescrError: If there is no such folder, no FITS file in it, or one is broken or has no
            truth for each chip.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise BayescrError(f"cannot read '{folder}': expected a folder of FITS files")
    paths = sorted(path for path in folder.iterdir() if path.name.endswith(_SUFFIXES))
    if not paths:
        raise BayescrError(
            f"no FITS file in '{folder}': expected {', '.join(_SUFFIXES)}; "
            "`bayescr simulate` makes some"
        )
    return [chip for path in paths for chip in _chips_of(path)]


def hold(chips: list[Chip], *, scaling: Scaling, smallest: int) -> list[LabelledFrame]:
    """Scaled frames in memory; the unscaled pixels are read again when asked for."""
    read = Latest(Chip.frame)
    load = partial(_load, scaling=scaling, smallest=smallest)
    return [load(chip)._replace(raw=partial(read, chip)) for chip in chips]


def store(chips: list[Chip], *, scaling: Scaling, smallest: int) -> list[StoredFrame]:
    """Frames that stay where they are; all of them together remember the last that was read."""
    load = Latest(partial(_load, scaling=scaling, smallest=smallest))
    return [
        StoredFrame(chip, (max(chip.shape[0], smallest), max(chip.shape[1], smallest)), load)
        for chip in chips
    ]


def _load(chip: Chip, *, scaling: Scaling, smallest: int) -> LabelledFrame:
    return label(
        chip.frame(), chip.truth(), None, chip.exposure, scaling=scaling, smallest=smallest
    )


def _chips_of(path: Path) -> list[Chip]:
    extensions = image_extensions(path)
    if len(extensions) > 1 and not all(isinstance(one, tuple) for one in extensions):
        raise BayescrError(
            f"'{path}' holds several SCI of one EXTVER: number them and their CRMASK, so that "
            "each finds its truth"
        )
    exposure = path.name[: path.name.rindex(".fits")]
    chips = []
    with opened(path) as hdus:
        for extension in extensions:
            image = find(hdus, extension, path=path)
            find(hdus, _truth_extension(extension), path=path)  # told now, not after hours
            field = image.header.get("FIELD", hdus[0].header.get("FIELD"))
            chips.append(
                Chip(path, extension, exposure, None if field is None else str(field), image.shape)
            )
    return chips


def _truth_extension(extension: Extension) -> tuple[str, int]:
    """The truth has the version of its image."""
    return "CRMASK", extension[1] if isinstance(extension, tuple) else 1
