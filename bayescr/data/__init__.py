"""From files to tensors: frames, formats, indices, and datasets of patches with truth."""

from bayescr.data.augmentation import (
    Augmentation,
    Broadening,
    ExposureTime,
    ExtraTracks,
    Gain,
    SkyLevel,
    Symmetry,
)
from bayescr.data.formats import LabelledImage, read_labelled, with_sky, write_labelled
from bayescr.data.frames import BAD_BITS, Extension, image_extensions, read_frame, read_truth
from bayescr.data.index import make_index, read_index, write_index
from bayescr.data.patches import Patch, PatchDataset
from bayescr.data.scaling import Scaling, sky_and_noise
from bayescr.data.splits import assign_splits, check_splits

__all__ = [
    "BAD_BITS",
    "Augmentation",
    "Broadening",
    "ExposureTime",
    "Extension",
    "ExtraTracks",
    "Gain",
    "LabelledImage",
    "Patch",
    "PatchDataset",
    "Scaling",
    "SkyLevel",
    "Symmetry",
    "assign_splits",
    "check_splits",
    "image_extensions",
    "make_index",
    "read_frame",
    "read_index",
    "read_labelled",
    "read_truth",
    "sky_and_noise",
    "with_sky",
    "write_index",
    "write_labelled",
]
