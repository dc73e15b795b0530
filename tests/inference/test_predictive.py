"""Tiles: the same logits as the whole frame gives, whatever the tile."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bayescr.errors import BayescrError
from bayescr.inference._network import DrawnNetwork
from bayescr.inference.predictive import groups, tiled, windows
from bayescr.models import BayesianSegmenter, UNet, halo


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


def _tiled(net, image, *, halo, **settings):
    """Cut in tiles, with the net's own weights as the draw."""
    model = BayesianSegmenter(net)
    network = DrawnNetwork(model, dtype=torch.float32, in_channels=1)
    tiles = groups(tuple(image.shape[-2:]), halo=halo, stride=net.stride, **settings)
    return tiled(network, network.prepare(model.random_weights), image, tiles)


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
    width = halo(net, stride=net.stride)
    image = torch.randn(1, *size)
    whole = net(image[None])[0]
    scale = whole.abs().max().item()
    for tile, batch in ((1000, 1), (32, 4), (17, 3)):
        logits = _tiled(net, image, tile=tile, halo=width, batch=batch)
        assert (logits - whole).abs().max() <= 1e-5 * scale, (tile, batch)


@pytest.mark.parametrize("settings", [{"depth": 1}, {"depth": 2}, {"depth": 3}], ids=str)
@torch.no_grad()
def test_too_small_a_halo_would_show(settings):
    """The test above can fail: with a halo one stride smaller, tiles have seams."""
    net = _net(**settings)
    image = torch.randn(1, 96, 96)
    width = halo(net, stride=net.stride) - net.stride
    seams = _tiled(net, image, tile=16, halo=width) - net(image[None])[0]
    assert seams.abs().max() > 1e-4


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_groups_are_tiles_of_one_form_and_cover_the_frame(batch):
    covered = np.zeros((61, 83), int)
    for group in groups((61, 83), tile=16, halo=5, stride=2, batch=batch):
        assert 1 <= len(group) <= batch
        shapes = {tuple(side.stop - side.start for side in window.outer) for window in group}
        assert len(shapes) == 1
        assert all(window.kept == group[0].kept for window in group)
        for window in group:
            covered[window.inner] += 1
    assert (covered == 1).all()


def test_a_network_that_looks_everywhere_is_left_whole():
    ((window,),) = groups((40, 50), tile=16, halo=None)
    assert window.outer == window.inner == window.kept == (slice(0, 40), slice(0, 50))
    assert groups((40, 50), tile=None, halo=3) == [[window]]


@pytest.mark.parametrize(("tile", "batch"), [(0, 1), (-5, 1), (16, 0)])
def test_sizes_below_one_are_refused(tile, batch):
    with pytest.raises(BayescrError, match="expected a whole number from 1 up"):
        groups((8, 8), tile=tile, halo=0, batch=batch)


def test_an_empty_frame_is_refused():
    with pytest.raises(BayescrError, match="the frame is empty: 0 x 8 pixels"):
        groups((0, 8), tile=4, halo=0)
