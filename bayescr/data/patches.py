"""Frames with truth as a torch Dataset: whole frames, or patches that cover them.

Every frame is scaled as a whole; an item is cut from it when asked for. Frames are kept in memory,
or stay in their files and are read one at a time, see `PatchDataset.from_directory`.

Patches lie on a grid. Where the frame's side is no multiple of the patch, the last row and column
of patches are shifted inwards to fit; the pixels that a neighbour holds already are context there,
``valid`` is False on them, so no pixel enters a likelihood or a count twice. A frame smaller than
the patch is extended by invalid pixels below and to the right, so all patches have one shape.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypedDict

import numpy as np
import torch
from astropy.nddata import CCDData
from jaxtyping import Bool, Float
from torch import Tensor
from torch.utils.data import Dataset

from bayescr.data._cutting import cut, random_symmetry, smallest_side, windows
from bayescr.data._labelled import ArrayOrPath, LabelledFrame, label_all, load_npy
from bayescr.data._splitting import split_names
from bayescr.data._stored import StoredFrame, hold, list_chips, store
from bayescr.data.scaling import Scaling
from bayescr.errors import BayescrError

__all__ = ["Patch", "PatchDataset"]

Array = np.ndarray[Any, Any]


class Patch(TypedDict):
    """One item of a `PatchDataset`."""

    image: Float[Tensor, "1 H W"]
    target: Float[Tensor, "C H W"]
    valid: Bool[Tensor, "1 H W"]
    exposure: str


class PatchDataset(Dataset[Patch]):
    """Scaled patches with truth; make one by `from_frames`, `from_directory` or `from_npy`.

    Attributes:
        scaling: The `Scaling` that made the images, to be kept with whatever is trained on them.
        exposures: The exposure of every item.
        fields: Exposure -> name of its field, where known.
        num_classes: Classes per pixel, C.
        augment: Whether items come flipped and turned at random.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> frames, truths = rng.normal(size=(4, 96, 96)), rng.random((4, 96, 96)) > 0.99
        >>> dataset = PatchDataset.from_frames(list(frames), list(truths), patch=64)
        >>> len(dataset), dataset[0]["image"].shape
        (16, torch.Size([1, 64, 64]))
        >>> train, test = dataset.split(0.75, 0.25, seed=0)
        >>> sorted(set(test.exposures))
        ['exposure-3']
    """

    def __init__(
        self,
        frames: Sequence[LabelledFrame | StoredFrame],
        *,
        patch: int | None,
        scaling: Scaling,
        fields: Mapping[str, str],
        augment: bool,
    ) -> None:
        self.scaling = scaling
        self.patch = patch
        self.augment = augment
        self.num_classes = frames[0].num_classes
        self._frames = list(frames)
        self._items = [
            (frame, window) for frame in frames for window in windows(*frame.shape, patch)
        ]
        self.exposures = [frame.exposure for frame, _ in self._items]
        self.fields = {name: fields[name] for name in _unique(self.exposures) if name in fields}

    @classmethod
    def from_frames(
        cls,
        frames: Sequence[CCDData | Array],
        truths: Sequence[Array],
        *,
        ignore: Sequence[Array] | None = None,
        exposures: Sequence[str] | None = None,
        fields: Mapping[str, str] | None = None,
        patch: int | None = 64,
        scaling: Scaling | None = None,
        augment: bool = False,
    ) -> PatchDataset:
        """Scale frames and cut them into patches.

        Args:
            frames: (H, W) each, any unit; they are kept for `frame`, not copied.
            truths: (H, W) or (C, H, W) each, of 0 and 1; what it says of unusable pixels is
                dropped.
            ignore: (H, W) bool each, True = unusable, on top of the frames' own masks.
            exposures: Name of the exposure of each frame (two chips may share one); default:
                each frame is its own.
            fields: Exposure -> name of its field.
            patch: Side of the square patches, small by default: an epoch then has more steps; None
                keeps frames whole.
            scaling: How pixels become network input; default ``Scaling()``.
            augment: Whether each item is flipped and turned by one of the 8 symmetries of the
                square (4 for items that are not square), drawn from torch's global generator.

        Raises:
            BayescrError: If frames, truths, ignore and exposures do not match, a truth is not of
                0 and 1, or a frame cannot be scaled.
        """
        scaling = Scaling() if scaling is None else scaling
        if exposures is None:
            digits = len(str(max(len(frames) - 1, 0)))
            exposures = [f"exposure-{index:0{digits}d}" for index in range(len(frames))]
        unknown = sorted(set(fields or {}) - set(exposures))
        if unknown:
            raise BayescrError(
                f"fields name exposure '{unknown[0]}', which no frame belongs to: known are "
                f"{', '.join(_unique(exposures))}"
            )
        labelled = label_all(
            frames, truths, ignore, exposures, scaling=scaling, smallest=smallest_side(patch)
        )
        return cls(labelled, patch=patch, scaling=scaling, fields=fields or {}, augment=augment)

    @classmethod
    def from_directory(
        cls,
        folder: str | os.PathLike[str],
        *,
        patch: int | None = 64,
        scaling: Scaling | None = None,
        augment: bool = False,
        in_memory: bool = True,
    ) -> PatchDataset:
        """Read every FITS file of a folder: SCI, DQ and the truth CRMASK, of every chip.

        The exposure is named after its file, its field by the header keyword FIELD.

        Args:
            folder: Holds .fits, .fits.gz or .fits.fz files, as ``bayescr simulate`` writes them.
            patch: As in `from_frames`.
            scaling: As in `from_frames`.
            augment: As in `from_frames`.
            in_memory: False leaves the frames in their files: only headers are read now, each
                frame when an item of it is asked for, and the last one is kept. Made for going
                through the items in order; in random order almost every item reads its frame.

        Raises:
            BayescrError: If there is no such folder, no FITS file in it, or one cannot be used;
                what is wrong with its pixels is told when they are read.
        """
        scaling = Scaling() if scaling is None else scaling
        smallest = smallest_side(patch)
        chips = list_chips(folder)
        fields = {chip.exposure: chip.field for chip in chips if chip.field is not None}
        take = hold if in_memory else store
        return cls(
            take(chips, scaling=scaling, smallest=smallest),
            patch=patch,
            scaling=scaling,
            fields=fields,
            augment=augment,
        )

    @classmethod
    def from_npy(
        cls,
        images: ArrayOrPath,
        targets: ArrayOrPath,
        *,
        ignore: ArrayOrPath | None = None,
        exposures: Sequence[str] | None = None,
        fields: Mapping[str, str] | None = None,
        patch: int | None = None,
        scaling: Scaling | None = None,
        augment: bool = False,
    ) -> PatchDataset:
        """Take stacks of patches as deepCR's training sets hold them: arrays or .npy files.

        Args:
            images: (N, H, W).
            targets: (N, H, W) or (N, C, H, W), of 0 and 1.
            ignore: (N, H, W), not 0 = unusable.
            exposures: Exposure of each image. By default each image is its own, and `split`
                cannot know which came from one exposure.
            fields: As in `from_frames`.
            patch: As in `from_frames`, but by default images are kept whole.
            scaling: As in `from_frames`.
            augment: As in `from_frames`.

        Raises:
            BayescrError: If a file cannot be read or the arrays do not match.

        References:
            Zhang & Bloom, "deepCR: Cosmic Ray Rejection with Deep Learning", arXiv:1907.09500.
        """
        stack = load_npy(images, name="images", ndim=(3,))
        return cls.from_frames(
            list(stack),
            list(load_npy(targets, name="targets", ndim=(3, 4))),
            ignore=None
            if ignore is None
            else list(load_npy(ignore, name="ignore", ndim=(3,)) != 0),
            exposures=exposures,
            fields=fields,
            patch=patch,
            scaling=scaling,
            augment=augment,
        )

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> Patch:
        frame, window = self._items[index]
        image, target, valid = (
            plane[:, window.rows, window.columns].clone()
            for plane in (frame.image, frame.target, frame.valid)
        )
        valid[:, : window.shared_rows] = False
        valid[:, :, : window.shared_columns] = False
        target &= valid
        if self.augment:
            image, target, valid = random_symmetry(image, target, valid)
        return {
            "image": image.contiguous(),
            "target": target.float().contiguous(),
            "valid": valid.contiguous(),
            "exposure": frame.exposure,
        }

    def frame(self, index: int) -> CCDData:
        """The unscaled pixels of an item, as a method that knows no network wants them.

        Frames of a folder come from their file again; one of them at a time is remembered.

        Returns:
            A copy of the item's window, (H, W) as its planes, with the unit, uncertainty and
            header of the whole frame, adu where it came as an array; ``wcs`` is the window's and
            ``mask`` is True where a pixel is unusable. Pixels that neighbouring items count are
            usable here. A frame smaller than the patch is extended by masked repetitions of its
            last row and column.

        Raises:
            BayescrError: If the items are augmented, or the file cannot be read any more.
        """
        if self.augment:
            raise BayescrError(
                "frame() of an augmented dataset: its items are flipped and turned, frames are "
                "not; take the dataset with augment=False"
            )
        frame, window = self._items[index]
        valid = frame.valid[0, window.rows, window.columns]
        return cut(frame.raw(), window, mask=~valid.numpy())

    @property
    def positive_fraction(self) -> Float[Tensor, " C"]:
        """Share of the valid pixels that the truth flags, per class: the base rate."""
        flagged, usable = torch.zeros(self.num_classes, dtype=torch.int64), 0
        for frame in self._frames:
            flagged += frame.target.sum((1, 2))
            usable += int(frame.valid.sum())
        return flagged.double() / usable

    def augmented(self) -> PatchDataset:
        """The same data, each item flipped and turned at random: for training, after `split`."""
        dataset = copy.copy(self)
        dataset.augment = True
        return dataset

    def split(self, *fractions: float, seed: int = 0) -> list[PatchDataset]:
        """Split by exposure, never by patch, each field spread over the parts alike.

        Args:
            fractions: Share of the exposures that each part gets, such as ``0.8, 0.2``; every
                part gets at least one exposure. A sum below 1 leaves exposures out.
            seed: Which exposures go where.

        Raises:
            BayescrError: If the fractions are not positive or exceed 1 together, or there are
                fewer exposures than parts.
        """
        parts = split_names(_unique(self.exposures), fractions, groups=self.fields, seed=seed)
        return [self._select(part) for part in parts]

    def _select(self, exposures: Iterable[str]) -> PatchDataset:
        chosen = set(exposures)
        return PatchDataset(
            [frame for frame in self._frames if frame.exposure in chosen],
            patch=self.patch,
            scaling=self.scaling,
            fields=self.fields,
            augment=self.augment,
        )


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
