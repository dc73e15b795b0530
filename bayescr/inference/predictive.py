"""The predictive engine: tiles of a frame through the network, one draw of the weights at a time.

A frame larger than a tile is cut in tiles that carry a halo as wide as the network looks, so
that every logit kept is the one that the whole frame would have given. Tiles begin at multiples
of the network's stride and end where the frame ends: padding happens at the frame's edge, where
it would have happened anyway. Every tile meets the same draws, so that the maps are coherent.

A tile stays in the processor's cache while all draws pass over it: layers that no random weight
moves run once (`bayescr.inference._network`), the sums over draws never leave the cache, and no
map of a single draw outlives its tile.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from bayescr._progress import Advance
from bayescr.data.scaling import ScaledFrame
from bayescr.errors import BayescrError
from bayescr.inference._network import DrawnNetwork
from bayescr.inference.prediction import RunningPrediction
from bayescr.inference.sampling import Draws

__all__ = [
    "Estimator",
    "Run",
    "Window",
    "groups",
    "in_memory",
    "on_disk",
    "predict_maps",
    "tile_side",
    "tiled",
    "windows",
]

Array = np.ndarray
Run = Callable[[int], Float[Tensor, "B K h w"]]
Allocate = Callable[[str, tuple[int, ...], Any], Array]


_TILES = {"cpu": 256, "cuda": 1024}  # a tile's activations in the cache, or enough work for a GPU


@runtime_checkable
class Estimator(Protocol):
    """Says how many draws a tile gets and how they are averaged; see `estimators`."""

    @property
    def group(self) -> int:
        """Draws that balance one another."""

    def __call__(self, run: Run) -> RunningPrediction:
        """Average the draws that ``run`` gives by number."""


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


def tile_side(tile: int | str | None, device: torch.device) -> int | None:
    """The side of a tile in pixels, ``"auto"`` for what suits the device; None for no tiles.

    Raises:
        BayescrError: For another word.
    """
    if not isinstance(tile, str):
        return tile
    if tile != "auto":
        raise BayescrError(f"tile is {tile!r}: expected a number of pixels, 'auto' or None")
    return _TILES.get(device.type, _TILES["cpu"])


def groups(
    shape: tuple[int, int],
    *,
    tile: int | None,
    halo: int | None,
    stride: int = 1,
    batch: int = 1,
) -> list[list[Window]]:
    """The tiles of a frame, in groups of equal form that go through the network together.

    Args:
        shape: Rows and columns of the frame.
        tile: Side of a tile; None for the whole frame at once.
        halo: How far the network looks around a tile (`bayescr.models.halo`); None if it looks
            everywhere: then only the whole frame will do, whatever ``tile`` says.
        stride: Period of the network.
        batch: Largest number of tiles in a group.

    Raises:
        BayescrError: If the frame is empty, or tile or batch is below 1.
    """
    _check(tile=tile, batch=batch)
    if 0 in shape:
        raise BayescrError(f"the frame is empty: {shape[0]} x {shape[1]} pixels")
    if tile is None or halo is None or max(shape) <= tile:
        whole = (slice(0, shape[0]), slice(0, shape[1]))
        return [[Window(whole, whole, whole)]]
    alike: dict[Any, list[Window]] = defaultdict(list)
    for window in windows(*shape, tile=tile, halo=halo, stride=stride):
        sides = zip(window.outer, window.kept, strict=True)
        form = tuple((outer.stop - outer.start, kept.start, kept.stop) for outer, kept in sides)
        alike[form].append(window)
    return [
        some[first : first + batch]
        for some in alike.values()
        for first in range(0, len(some), batch)
    ]


def tiled(
    network: DrawnNetwork,
    weights: Mapping[str, Tensor],
    image: Float[Tensor, "C H W"],
    tiles: list[list[Window]],
) -> Float[Tensor, "K H W"]:
    """Logits of a frame for one draw of the weights, the same whatever the tiles."""
    logits: Tensor | None = None
    for group in tiles:
        outers = torch.stack([image[(..., *window.outer)] for window in group])
        for window, piece in zip(group, network.on(outers)(weights), strict=True):
            if logits is None:
                logits = piece.new_empty(len(piece), *image.shape[-2:])
            logits[(..., *window.inner)] = piece[(..., *window.kept)]
    return logits  # type: ignore[return-value]  # `groups` gives at least one tile


def predict_maps(
    network: DrawnNetwork,
    scaled: ScaledFrame,
    draws: Draws,
    *,
    estimator: Estimator,
    tiles: list[list[Window]],
    device: torch.device,
    allocate: Allocate,
    advance: Advance,
    shift: Tensor | None = None,
) -> tuple[dict[str, Array], int]:
    """The maps of a `Prediction` by name, and the fewest draws behind any pixel.

    Args:
        network: Of the model.
        scaled: The frame as the network sees it.
        draws: Weights as the network wants them, by number.
        estimator: How many draws a tile gets and how they are averaged.
        tiles: Of `groups`.
        device: Where the network is.
        allocate: Makes an array for a map.
        advance: Told of each tile.
        shift: Added to the logits of every draw, (K, 1, 1) float64.

    Raises:
        BayescrError: If a probability is NaN.
    """
    valid = allocate("valid", scaled.shape, bool)
    shift = None if shift is None else shift.to(device)
    maps: dict[str, Array] = {}
    fewest = []
    for group in tiles:
        pieces = [scaled[window.outer] for window in group]
        images = torch.from_numpy(np.stack([image for image, _ in pieces])).to(device)
        logits, kept = network.on(images), (..., *group[0].kept)

        def run(index: int) -> Tensor:
            drawn = logits(draws[index])[kept]  # noqa: B023  called in this turn of the loop
            return drawn if shift is None else drawn.double() + shift

        running = estimator(run)
        results = running.maps()
        if results["probability"].isnan().any():
            raise BayescrError("the posterior gives NaN: did its training diverge?")
        for name, values in results.items():  # (B, K, h, w)
            if name not in maps:
                classes = () if values.shape[1] == 1 else (values.shape[1],)
                maps[name] = allocate(name, (*classes, *scaled.shape), np.float32)
            for window, value in zip(group, values.float().cpu().numpy(), strict=True):
                maps[name][(..., *window.inner)] = value
        for window, (_, usable) in zip(group, pieces, strict=True):
            valid[window.inner] = usable[0][window.kept]
        fewest.append(running.num_samples)
        advance(len(group))
    return {**maps, "valid": valid}, min(fewest)


@contextlib.contextmanager
def in_memory() -> Iterator[Allocate]:
    """Maps as arrays."""
    yield lambda name, shape, dtype: np.empty(shape, dtype)


@contextlib.contextmanager
def on_disk(folder: str | Path) -> Iterator[Allocate]:
    """Maps as memory-mapped files ``NAME.npy`` in an empty folder, which is made when missing.

    If the block fails, what it wrote is removed.

    Raises:
        BayescrError: If the folder holds anything or cannot be written to.
    """
    folder = Path(folder)
    written: list[Path] = []

    def allocate(name: str, shape: tuple[int, ...], dtype: Any) -> Array:
        written.append(folder / f"{name}.npy")
        return np.lib.format.open_memmap(written[-1], mode="w+", dtype=dtype, shape=shape)

    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise BayescrError(f"scratch folder '{folder}' is not empty: choose another one")
        yield allocate
    except BaseException as error:
        for path in written:
            path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise BayescrError(f"cannot write in scratch folder '{folder}': {error}") from error
        raise


def _spans(length: int, tile: int, halo: int) -> list[tuple[slice, slice, slice]]:
    """(outer, inner, kept) along one axis."""
    spans = []
    for start in range(0, length, tile):
        stop = min(start + tile, length)
        first, last = max(start - halo, 0), min(stop + halo, length)
        spans.append((slice(first, last), slice(start, stop), slice(start - first, stop - first)))
    return spans


def _check(**sizes: int | None) -> None:
    for name, size in sizes.items():
        if size is not None and size < 1:
            raise BayescrError(f"{name} is {size}: expected a whole number from 1 up")
