"""Tiles: the same logits as the whole frame gives, whatever the tile."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bayescr.errors import BayescrError
from bayescr.inference.predictive import tiled, windows
from bayescr.models import UNet, receptive_radius


@pytest.mark.parametrize("size", [(40, 40), (37, 53), (9, 70), (1, 33), (5, 5)])
@pytest.mark.parametrize("tile", [1, 7, 16, 32, 500])
@pytest.mark.parametrize("stride", [1, 4])
def test_windows_cover_every_pixel_once(size, tile, stride):
    covered = np.zeros(size, int)
    for window in windows(*size, tile=tile, halo=9, stride=stride):
        covered[window.inner] += 1
        for outer, inner, kept, length in zip(*window, size, strict=True):
            assert 0 <= outer.start <= inner.start < inner.stop <= outer.stop <= length
            assert outer.start + kept.start == inner.start
            assert kept.stop - kept.start == inner.stop - inner.start
            assert outer.start % stride == 0  # the poolings see the cells they would have seen
            assert outer.start in (0, inner.start - 9 - (-9 % stride))
            assert outer.stop == length or outer.stop % stride == 0
    assert (covered == 1).all()


def _net(**settings):
    torch.manual_seed(0)
    net = UNet(width=3, **settings).eval()
    for parameter in net.parameters():  # biases too: zero padding must not look like data
        torch.nn.init.normal_(parameter, std=0.3)
    return net


@pytest.mark.parametrize(
    "settings",
    [
        {"depth": 1}, {"depth": 2}, {"depth": 3}, {"depth": 2, "upsampling": "bilinear"},
        {"depth": 3, "upsampling": "bilinear", "norm": "layer"}, {"depth": 2, "norm": "batch"},
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("size", [(61, 83), (20, 90)])
@torch.no_grad()
def test_tiled_equals_whole(settings, size):
    """To 1e-5 of the scale of the logits: float32 sums in another order."""
    net = _net(**settings)
    halo = receptive_radius(net, stride=net.stride)
    image = torch.randn(1, *size)
    whole = net(image[None])[0]
    scale = whole.abs().max().item()
    for tile, batch in ((1000, 1), (32, 4), (17, 3)):
        logits = tiled(net, image, tile=tile, halo=halo, stride=net.stride, batch=batch)
        assert (logits - whole).abs().max() <= 1e-5 * scale, (tile, batch)


@torch.no_grad()
def test_too_small_a_halo_would_show():
    """The test above can fail: with half the halo, tiles have seams."""
    net = _net(depth=2)
    halo = receptive_radius(net, stride=2)
    image = torch.randn(1, 64, 64)
    seams = tiled(net, image, tile=16, halo=halo // 2, stride=2) - net(image[None])[0]
    assert seams.abs().max() > 1e-3


def test_batches_go_through_together():
    calls = []

    def network(images):
        calls.append(len(images))
        return images

    image = torch.randn(1, 64, 64)
    assert torch.equal(tiled(network, image, tile=16, halo=0, batch=5), image)
    assert calls == [5, 5, 5, 1]


def test_a_network_that_looks_everywhere_is_refused_tiles_and_works_whole():
    net = _net(depth=2, norm="group")
    image = torch.randn(1, 40, 40)
    with pytest.raises(BayescrError, match="depends on the whole frame.*use tile=None"):
        tiled(net, image, tile=16, halo=None)
    assert tiled(net, image, tile=None, halo=None).shape == (1, 40, 40)


@pytest.mark.parametrize(("tile", "batch"), [(0, 1), (-5, 1), (16, 0)])
def test_sizes_below_one_are_refused(tile, batch):
    with pytest.raises(BayescrError, match="expected a whole number from 1 up"):
        tiled(torch.nn.Identity(), torch.zeros(1, 8, 8), tile=tile, halo=0, batch=batch)
