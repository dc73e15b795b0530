"""The predictive engine: one draw of the weights at a time through the plain network, in tiles.

A frame larger than a tile is cut in tiles that carry a halo as wide as the network looks, so
that every logit kept is the one that the whole frame would have given. Tiles begin at multiples
of the network's stride and end where the frame ends: padding happens at the frame's edge, where
it would have happened anyway. One draw serves the whole frame, so that the maps are coherent.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from bayescr.errors import BayescrError

__all__ = ["Window", "tiled", "windows"]

Network = Callable[[Tensor], Tensor]


class Window(NamedTuple):
    """A tile: what the network sees (outer), what is kept (inner), and where it lies in it."""

    outer: tuple[slice, slice]
    inner: tuple[slice, slice]
    kept: tuple[slice, slice]


def windows(height: int, width: int, *, tile: int, halo: int, stride: int) -> list[Window]:
    """Cut a frame in tiles whose kept parts cover it once.

    Args:
        height: Rows of the frame.
        width: Columns of the frame.
        tile: Side of the kept part; rounded up to a multiple of ``stride``.
        halo: Pixels to add on each side; rounded up likewise, cut off at the frame's edge.
        stride: Period of the network.
    """
    tile, halo = (-(-size // stride) * stride for size in (tile, halo))
    rows = _spans(height, tile, halo)
    columns = _spans(width, tile, halo)
    return [
        Window((r[0], c[0]), (r[1], c[1]), (r[2], c[2])) for r in rows for c in columns
    ]  # fmt: skip


def tiled(
    network: Network,
    image: Float[Tensor, "C H W"],
    *,
    tile: int | None,
    halo: int | None,
    stride: int = 1,
    batch: int = 1,
) -> Float[Tensor, "K H W"]:
    """Logits of a frame, equal to ``network(image)`` whatever the tile.

    Args:
        network: Maps (B, C, h, w) to (B, K, h, w).
        image: One scaled frame.
        tile: Side of a tile; None for the whole frame at once.
        halo: How far the network looks (`bayescr.models.receptive_radius`); None if it looks
            everywhere: then only the whole frame will do.
        stride: Period of the network.
        batch: Tiles of one shape that go through the network together.

    Raises:
        BayescrError: If ``tile`` is given for a network that looks everywhere, or tile or batch
            is below 1.
    """
    _check(tile=tile, batch=batch)
    height, width = image.shape[-2:]
    if tile is None or (halo is not None and max(height, width) <= tile):
        return network(_channels_last(image[None]))[0]
    if halo is None:
        raise BayescrError(
            f"tile={tile}, but every logit of this network depends on the whole frame (statistics "
            "over space, as in norm='group'): use tile=None, or a network without them"
        )
    logits: Tensor | None = None
    for group in _batches(windows(height, width, tile=tile, halo=halo, stride=stride), batch):
        outers = torch.stack([image[(..., *window.outer)] for window in group])
        for window, piece in zip(group, network(_channels_last(outers)), strict=True):
            if logits is None:
                logits = piece.new_empty(len(piece), height, width)
            logits[(..., *window.inner)] = piece[(..., *window.kept)]
    if logits is None:
        raise BayescrError(f"the frame is empty: {height} x {width} pixels")
    return logits


def _spans(length: int, tile: int, halo: int) -> list[tuple[slice, slice, slice]]:
    """(outer, inner, kept) along one axis."""
    spans = []
    for start in range(0, length, tile):
        stop = min(start + tile, length)
        first, last = max(start - halo, 0), min(stop + halo, length)
        spans.append((slice(first, last), slice(start, stop), slice(start - first, stop - first)))
    return spans


def _batches(tiles: list[Window], size: int) -> Iterator[list[Window]]:
    """Tiles of equal outer shape, ``size`` at a time."""
    by_shape: dict[tuple[int, ...], list[Window]] = defaultdict(list)
    for window in tiles:
        by_shape[tuple(side.stop - side.start for side in window.outer)].append(window)
    for group in by_shape.values():
        for first in range(0, len(group), size):
            yield group[first : first + size]


def _channels_last(images: Tensor) -> Tensor:
    """The layout in which convolutions are fastest, on CPU and GPU alike."""
    return images.contiguous(memory_format=torch.channels_last)


def _check(**sizes: int | None) -> None:
    for name, size in sizes.items():
        if size is not None and size < 1:
            raise BayescrError(f"{name} is {size}: expected a whole number from 1 up")
