"""The frames of files: what their headers say, and their pixels when asked for."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

from astropy.nddata import CCDData
from torch import Tensor

from bayescr.data._fits import FITS_NAMES, is_fits
from bayescr.data._labelled import LabelledFrame, Level, label
from bayescr.data.formats import LabelledImage, named_format
from bayescr.data.formats.image import sky_of
from bayescr.data.scaling import Scaling
from bayescr.errors import BayescrError

__all__ = ["Chip", "Latest", "StoredFrame", "hold", "label_image", "list_chips", "store"]

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Chip(NamedTuple):
    """One image of a file that has a truth, as the headers describe it."""

    path: Path
    extension: str
    exposure: str
    field: str | None
    shape: tuple[int, ...]
    format: str = "fits"
    mask: Path | None = None
    sky: str | None = None

    def read(self) -> LabelledImage:
        """Read the image; one of another shape than the headers said is an error."""
        image = named_format(self.format).read(self.path, self.extension, mask=self.mask)
        if image.frame.data.shape != self.shape:
            raise BayescrError(
                f"'{self.path}' has shape {image.frame.data.shape} but had {self.shape} when the "
                "dataset was made: make the dataset again"
            )
        return image

    def frame(self) -> CCDData:
        """Read the image without its truth."""
        return self.read().frame


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
        load: Reads the frame; the frames of a dataset share one, which remembers the last.
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
        """(1, H, W) bool: usable, and its truth reliable."""
        return self.load(self.chip).valid

    @property
    def usable(self) -> Tensor:
        """(1, H, W) bool."""
        return self.load(self.chip).usable

    @property
    def level(self) -> Level:
        """Its sky and noise."""
        return self.load(self.chip).level

    @property
    def charge(self) -> Any:
        """(H, W) sparse [electron]; None where it is not known."""
        return self.load(self.chip).charge

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
    paths = sorted(path for path in folder.iterdir() if is_fits(path))
    if not paths:
        raise BayescrError(
            f"no FITS file in '{folder}': expected {FITS_NAMES}; `bayescr simulate` makes some"
        )
    return [
        Chip(
            path,
            entry.extension,
            entry.exposure,
            _field(entry.header),
            entry.shape,
            sky=sky_of(entry.header),
        )
        for path in paths
        for entry in named_format("fits").entries(path)
    ]


def hold(chips: Sequence[Chip], *, scaling: Scaling, smallest: int) -> list[LabelledFrame]:
    """Scaled frames in memory; the unscaled pixels are read again when asked for."""
    read = Latest(Chip.frame)
    load = partial(_load, scaling=scaling, smallest=smallest)
    return [load(chip)._replace(raw=partial(read, chip)) for chip in chips]


def store(chips: Sequence[Chip], *, scaling: Scaling, smallest: int) -> list[StoredFrame]:
    """Frames that stay where they are; all of them together remember the last that was read."""
    load = Latest(partial(_load, scaling=scaling, smallest=smallest))
    return [
        StoredFrame(chip, (max(chip.shape[0], smallest), max(chip.shape[1], smallest)), load)
        for chip in chips
    ]


def label_image(image: LabelledImage, *, scaling: Scaling, smallest: int) -> LabelledFrame:
    """`label` an image as its format gave it."""
    return label(
        image.frame,
        image.truth,
        None,
        image.exposure,
        reliable=image.reliable,
        charge=image.charge,
        scaling=scaling,
        smallest=smallest,
    )


def _load(chip: Chip, *, scaling: Scaling, smallest: int) -> LabelledFrame:
    labelled = label_image(chip.read(), scaling=scaling, smallest=smallest)
    return labelled._replace(exposure=chip.exposure)  # an index may name it otherwise


def _field(header: Any) -> str | None:
    name = header.get("FIELD")
    return None if name is None else str(name)
