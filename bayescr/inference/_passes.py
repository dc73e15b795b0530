"""What a posterior passes an image through: its network, in tiles, with weights from its guide."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from torch import Tensor

from bayescr._device import compute_dtype
from bayescr.inference._network import DrawnNetwork
from bayescr.inference.predictive import Window, groups, tile_side
from bayescr.inference.sampling import GROUP, Draws, draw, pick
from bayescr.models import BayesianSegmenter, halo

__all__ = ["Passes", "Reach", "prepare", "reach"]

Reach = tuple[int | None, int]


class Passes(NamedTuple):
    """Every tile goes through the network once for each draw.

    Attributes:
        network: Takes the weights draw by draw.
        weights: The random weights by draw, as the network wants them.
        tiles: Of the image, in groups that go together.
    """

    network: DrawnNetwork
    weights: Draws
    tiles: list[list[Window]]


def prepare(
    model: BayesianSegmenter,
    guide: Any,
    shape: tuple[int, int],
    *,
    in_channels: int,
    reach: Callable[[], Reach],
    tile: int | str | None,
    batch: int,
    precision: str,
    draws: Mapping[str, Tensor] | None,
    seed: int,
    sampling: str,
    group: int = GROUP,
) -> Passes:
    """What an image of a shape passes through, with settings as of `Posterior.predict`.

    Args:
        model: Has the network.
        guide: Draws its weights, unless ``draws`` are given.
        shape: Of the image, (H, W).
        in_channels: Of the image.
        reach: Gives halo and stride of the network; only asked where there are tiles.
        tile: Side of the tiles.
        batch: Tiles that go together.
        precision: Of the network.
        draws: Weights to use instead.
        seed: Of the draws.
        sampling: How they are drawn.
        group: Draws that balance one another.
    """
    names = list(model.random_weights)
    device = model.random_weights[names[0]].device
    dtype = compute_dtype(precision, device)
    network = DrawnNetwork(model, dtype=dtype, in_channels=in_channels)
    side = tile_side(tile, device)
    width, stride = (None, 1) if side is None else reach()
    tiles = groups(shape, tile=side, halo=width, stride=stride, batch=batch)
    noise: dict[Any, Any] = {}

    def drawn(index: int) -> dict[str, Tensor]:
        if draws is not None:
            return network.prepare(pick(draws, index, names))
        latents = draw(
            guide, index, seed=seed, device=device, sampling=sampling, group=group, noise=noise
        )
        return network.prepare({name: latents[name] for name in names})

    return Passes(network, Draws(drawn), tiles)


def reach(model: BayesianSegmenter, *, in_channels: int) -> Reach:
    """Halo and stride of the network; one that does not say its stride is left whole."""
    stride = getattr(model.net, "stride", None)
    if not isinstance(stride, int):  # where tiles may begin is unknown
        return None, 1
    return halo(model.net, in_channels=in_channels, stride=stride), stride
