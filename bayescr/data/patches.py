"""Frames with truth as a torch Dataset: whole frames, or patches that cover them.

Every frame is scaled as a whole; an item is cut from it when asked for. Frames are kept in memory,
or stay in their files and are read one at a time, see `PatchDataset.from_directory`.

A pixel of a frame is valid in one patch at most, so that none enters a likelihood or a count twice;
all patches have one shape.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from astropy.nddata import CCDData

from bayescr._names import unknown_name
from bayescr.data._cutting import smallest_side
from bayescr.data._labelled import ArrayOrPath, label_all, load_npy
from bayescr.data._patches import Patch, Patches, unique
from bayescr.data._stored import Chip, hold, label_image, list_chips, store
from bayescr.data.augmentation import Augmentation
from bayescr.data.formats import LabelledImage
from bayescr.data.index import checked, chips_of, read_index
from bayescr.data.scaling import Scaling
from bayescr.data.splits import leaks
from bayescr.errors import BayescrError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Patch", "PatchDataset"]

Array = np.ndarray[Any, Any]


class PatchDataset(Patches):
    """Scaled patches with truth; make one by one of ``from_...``.

    Attributes:
        scaling: The `Scaling` that made the images, to be kept with whatever is trained on them.
        exposures: The exposure of every item.
        fields: Exposure -> name of its field, where known.
        num_classes: Classes per pixel, C.
        augment: Whether items come changed at random.
        augmentation: How; None: flipped and turned.
        epoch: Set by `set_epoch`.

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

    @classmethod
    def from_frames(
        cls,
        frames: Sequence[CCDData | Array],
        truths: Sequence[Array],
        *,
        ignore: Sequence[Array] | None = None,
        reliable: Sequence[Array] | None = None,
        charges: Sequence[Array] | None = None,
        exposures: Sequence[str] | None = None,
        fields: Mapping[str, str] | None = None,
        patch: int | None = 64,
        scaling: Scaling | None = None,
        augment: bool | Augmentation = False,
    ) -> Self:
        """Scale frames and cut them into patches.

        Args:
            frames: (H, W) each, any unit; they are kept for `frame`, not copied.
            truths: (H, W) or (C, H, W) each, of 0 and 1; what it says of unusable pixels is
                dropped.
            ignore: (H, W) bool each, True = unusable, on top of the frames' own masks: such
                pixels are hidden from the network.
            reliable: (H, W) bool each, False where nothing is to be learnt from or asked about
                the truth of a pixel that is as good as any; default: everywhere True.
            charges: (H, W) each, what cosmic rays left in the unit of the frame, for augmentations
                that tell them from the sky.
            exposures: Name of the exposure of each frame (two chips may share one); default:
                each frame is its own.
            fields: Exposure -> name of its field.
            patch: Side of the square patches, small by default: an epoch then has more steps; None
                keeps frames whole.
            scaling: How pixels become network input; default ``Scaling()``.
            augment: Whether each item is flipped and turned by one of the 8 symmetries of the
                square (4 for items that are not square), drawn from torch's global generator; or
                an `Augmentation`.

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
                f"{', '.join(unique(exposures))}"
            )
        labelled = label_all(
            frames,
            truths,
            ignore,
            exposures,
            reliable=reliable,
            charges=charges,
            scaling=scaling,
            smallest=smallest_side(patch),
        )
        return cls(labelled, patch=patch, scaling=scaling, fields=fields or {}, augment=augment)

    @classmethod
    def from_directory(
        cls,
        folder: str | os.PathLike[str],
        *,
        patch: int | None = 64,
        scaling: Scaling | None = None,
        augment: bool | Augmentation = False,
        in_memory: bool = True,
    ) -> Self:
        """Read every FITS file of a folder: SCI, DQ and the truth CRMASK, of every chip.

        The exposure is named after its file, its field by the header keyword FIELD. Where there
        is a plane CRVALID, nothing is learnt from pixels where it is 0, though they are seen.

        Args:
            folder: Holds FITS files (.fits, .fit or .fts, also .gz or .fz), as ``bayescr simulate``
                writes them.
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
        return cls._from_chips(
            list_chips(folder), patch=patch, scaling=scaling, augment=augment, in_memory=in_memory
        )

    @classmethod
    def from_index(
        cls,
        index: str | os.PathLike[str] | pd.DataFrame,
        *,
        split: str | None = None,
        by: str = "exposure",
        patch: int | None = 64,
        scaling: Scaling | None = None,
        augment: bool | Augmentation = False,
        in_memory: bool = True,
    ) -> Self:
        """Read the images of an index, or of one of its splits, in whatever format they are.

        Args:
            index: The index or its file, see `make_index`.
            split: ``"train"``, ``"validation"``, ``"test"`` or whatever the index calls it;
                default: all images.
            by: ``"field"`` where no two splits may share a field either.
            patch: As in `from_frames`.
            scaling: As in `from_frames`.
            augment: As in `from_frames`.
            in_memory: As in `from_directory`.

        Raises:
            BayescrError: If the index cannot be read, has no such split, a file cannot be used,
                or two splits share an exposure or a file.
        """
        table = read_index(index) if isinstance(index, str | os.PathLike) else checked(index)
        if split is not None:
            shared = leaks(table, by=by)
            if shared:
                raise BayescrError(f"the splits leak: {shared[0]}; `check_splits` tells all")
            known = sorted(set(table["split"]) - {""})
            if not known:
                raise BayescrError("the index has nothing in any split: `assign_splits` does that")
            if split not in known:
                raise unknown_name("split", split, known)
            table = table[table["split"] == split]
        return cls._from_chips(
            chips_of(table), patch=patch, scaling=scaling, augment=augment, in_memory=in_memory
        )

    @classmethod
    def from_labelled(
        cls,
        images: Sequence[LabelledImage],
        *,
        patch: int | None = 64,
        scaling: Scaling | None = None,
        augment: bool | Augmentation = False,
    ) -> Self:
        """Take images as `read_labelled` gives them, of any format.

        Args:
            images: At least one.
            patch: As in `from_frames`.
            scaling: As in `from_frames`.
            augment: As in `from_frames`.

        Raises:
            BayescrError: If there is none, or one cannot be scaled.
        """
        scaling = Scaling() if scaling is None else scaling
        if not images:
            raise BayescrError("no images were given: a dataset needs at least one")
        return cls(
            [label_image(one, scaling=scaling, smallest=smallest_side(patch)) for one in images],
            patch=patch,
            scaling=scaling,
            fields={one.exposure: one.field for one in images if one.field is not None},
            skies={one.exposure: one.sky for one in images if one.sky is not None},
            augment=augment,
        )

    @classmethod
    def _from_chips(
        cls,
        chips: Sequence[Chip],
        *,
        patch: int | None,
        scaling: Scaling | None,
        augment: bool | Augmentation,
        in_memory: bool,
    ) -> Self:
        scaling = Scaling() if scaling is None else scaling
        take = hold if in_memory else store
        return cls(
            take(chips, scaling=scaling, smallest=smallest_side(patch)),
            patch=patch,
            scaling=scaling,
            fields={chip.exposure: chip.field for chip in chips if chip.field is not None},
            skies={chip.exposure: chip.sky for chip in chips if chip.sky is not None},
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
        augment: bool | Augmentation = False,
    ) -> Self:
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
