"""The layout in memory in which convolutions are fastest, on CPU and GPU alike."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["channels_last"]


def channels_last(tensor: Tensor) -> Tensor:
    """Images or kernels with the channels next to each other; other tensors as they are.

    Gradients of kernels in another layout than their images take almost three times as long. Not
    ``contiguous``: with one channel any layout is contiguous, but what follows takes it over.
    """
    return tensor.to(memory_format=torch.channels_last) if tensor.dim() == 4 else tensor
