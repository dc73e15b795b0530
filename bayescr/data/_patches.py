"""What a dataset of patches does: gives items, their raw frames, and parts of itself.

Patches lie on a grid. Where the frame's side is no multiple of the patch, the last row and column
of patches are shifted inwards to fit; the pixels that a neighbour holds already are context there,
``valid`` is False on them, so no pixel enters a likelihood or a count twice. A frame smaller than
the patch is extended by invalid pixels below and to the right, so all patches have one shape.
"""

from __future__ import annotations

import copy
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Self, TypedDict, TypeVar

import torch
from astropy.nddata import CCDData
from jaxtyping import Bool, Float
from torch import Tensor
from torch.utils.data import Dataset

from bayescr._checks import check_count
from bayescr.data._augmenting import augmented_planes, item_generator
from bayescr.data._cutting import cut, random_symmetry, windows
from bayescr.data._labelled import LabelledFrame
from bayescr.data._splitting import joined, split_names
from bayescr.data._stored import StoredFrame
from bayescr.data.augmentation import Augmentation
from bayescr.data.scaling import Scaling
from bayescr.errors import BayescrError

__all__ = ["Patch", "Patches", "unique"]

Name = TypeVar("Name", bound=Hashable)


class Patch(TypedDict):
    """One item of a `PatchDataset`."""

    image: Float[Tensor, "1 H W"]
    target: Float[Tensor, "C H W"]
    valid: Bool[Tensor, "1 H W"]
    exposure: str


class Patches(Dataset[Patch]):
    """Patches of labelled frames; `PatchDataset` says what the attributes are, and makes them."""

    def __init__(
        self,
        frames: Sequence[LabelledFrame | StoredFrame],
        *,
        patch: int | None,
        scaling: Scaling,
        fields: Mapping[str, str],
        augment: bool | Augmentation,
        skies: Mapping[str, str] | None = None,
    ) -> None:
        self.scaling = scaling
        self.patch = patch
        self.augment = bool(augment)
        self.augmentation = augment if isinstance(augment, Augmentation) else None
        self.epoch: int | None = None
        self.num_classes = frames[0].num_classes
        self._frames = list(frames)
        self._items = [
            (frame, window) for frame in frames for window in windows(*frame.shape, patch)
        ]
        self.exposures = [frame.exposure for frame, _ in self._items]
        self.fields = {name: fields[name] for name in unique(self.exposures) if name in fields}
        self._skies = dict(skies or {})

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> Patch:
        if self.augment and self.augmentation is not None:
            return self._augmented_item(index, self.augmentation)
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
        return _item(image, target, valid, frame.exposure)

    def _augmented_item(self, index: int, augmentation: Augmentation) -> Patch:
        index = range(len(self))[index]  # -1 is the last, and draws as it
        frame, window = self._items[index]
        planes = augmented_planes(
            frame,
            window,
            scaling=self.scaling,
            augmentation=augmentation,
            generator=item_generator(augmentation.seed, self.epoch, index),
        )
        return _item(*planes, frame.exposure)

    def set_epoch(self, epoch: int) -> None:
        """Say which pass over the data begins, for an `Augmentation` to draw by.

        From then on an item depends on the augmentation's seed, the epoch and its index alone,
        whatever order or process it is asked for in; before, draws come from torch's global
        generator. A loader that keeps its workers (``persistent_workers``) does not tell them.

        Raises:
            BayescrError: If it is no whole number from 0 up.
        """
        check_count("", least=0, epoch=epoch)
        self.epoch = epoch

    def frame(self, index: int) -> CCDData:
        """The unscaled pixels of an item, as a method that knows no network wants them.

        Frames of a folder come from their file again; one of them at a time is remembered.

        Returns:
            A copy of the item's window, (H, W) as its planes, with the unit, uncertainty and
            header of the whole frame, adu where it came as an array; ``wcs`` is the window's and
            ``mask`` is True where a pixel is unusable. Pixels that neighbouring items count, or
            whose truth is not reliable, are usable here. A frame smaller than the patch is
            extended by masked repetitions of its last row and column.

        Raises:
            BayescrError: If the items are augmented, or the file cannot be read any more.
        """
        if self.augment:
            raise BayescrError(
                "frame() of an augmented dataset: its items are flipped and turned, frames are "
                "not; take the dataset with augment=False"
            )
        frame, window = self._items[index]
        usable = frame.usable[0, window.rows, window.columns]
        return cut(frame.raw(), window, mask=~usable.numpy())

    @property
    def positive_fraction(self) -> Float[Tensor, " C"]:
        """Share of the valid pixels that the truth flags, per class: the base rate."""
        flagged, usable = torch.zeros(self.num_classes, dtype=torch.int64), 0
        for frame in self._frames:
            flagged += frame.target.sum((1, 2))
            usable += int(frame.valid.sum())
        return flagged.double() / usable

    def augmented(self, augmentation: Augmentation | None = None) -> Self:
        """The same data, each item changed at random: for training, after `split`.

        Args:
            augmentation: How; default: flipped and turned, drawn from torch's global generator.
        """
        dataset = copy.copy(self)
        dataset.augment, dataset.augmentation = True, augmentation
        return dataset

    def split(self, *fractions: float, seed: int = 0) -> list[Self]:
        """Split by exposure, never by patch, each field spread over the parts alike.

        Copies of one sky with other tracks (the header's SKY) stay together.

        Args:
            fractions: Share of the exposures that each part gets, such as ``0.8, 0.2``; every
                part gets at least one exposure. A sum below 1 leaves exposures out.
            seed: Which exposures go where.

        Raises:
            BayescrError: If the fractions are not positive or exceed 1 together, or there are
                fewer exposures than parts.
        """
        names = unique(self.exposures)
        group = dict(
            zip(names, joined((name, self._skies.get(name, name)) for name in names), strict=True)
        )
        fields = {group[name]: field for name, field in self.fields.items()}
        parts = split_names(unique(group.values()), fractions, groups=fields, seed=seed)
        return [self._select(name for name in names if group[name] in part) for part in parts]

    def _select(self, exposures: Iterable[str]) -> Self:
        chosen = set(exposures)
        return type(self)(
            [frame for frame in self._frames if frame.exposure in chosen],
            patch=self.patch,
            scaling=self.scaling,
            fields=self.fields,
            augment=self.augmentation or self.augment,
            skies=self._skies,
        )


def _item(image: Tensor, target: Tensor, valid: Tensor, exposure: str) -> Patch:
    return {
        "image": image.contiguous(),
        "target": target.float().contiguous(),
        "valid": valid.contiguous(),
        "exposure": exposure,
    }


def unique(names: Iterable[Name]) -> list[Name]:
    return list(dict.fromkeys(names))
