"""From files to tensors: frames, their scaling, and datasets of patches with truth."""

from bayescr.data.frames import BAD_BITS, Extension, image_extensions, read_frame, read_truth
from bayescr.data.patches import Patch, PatchDataset
from bayescr.data.scaling import Scaling, sky_and_noise

__all__ = [
    "BAD_BITS",
    "Extension",
    "Patch",
    "PatchDataset",
    "Scaling",
    "image_extensions",
    "read_frame",
    "read_truth",
    "sky_and_noise",
]
