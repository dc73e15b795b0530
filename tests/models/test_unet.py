"""The plain network: shapes, layout, locality."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from bayescr.errors import BayescrError
from bayescr.models import UNet, halo


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@pytest.mark.parametrize("upsampling", ["transposed", "bilinear"])
@pytest.mark.parametrize("size", [(16, 16), (13, 17), (1, 5), (31, 8)])
def test_logits_have_the_size_of_the_image(depth, upsampling, size):
    net = UNet(in_channels=2, num_classes=3, width=1, depth=depth, upsampling=upsampling)
    assert net(torch.zeros(2, 2, *size)).shape == (2, 3, *size)


@pytest.mark.parametrize("norm", ["none", "layer", "batch", "group"])
def test_norms_normalise_and_pass_gradients_to_every_parameter(norm):
    torch.manual_seed(0)
    net = UNet(width=8, depth=2, norm=norm)
    net(torch.randn(2, 1, 16, 16)).square().sum().backward()
    # A bias before batch normalisation is subtracted again: its gradient is 0 by right.
    exempt = {"batch": "conv"}.get(norm, "nothing")
    for name, parameter in net.named_parameters():
        if not (name.endswith("bias") and exempt in name):
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name


def test_layer_norm_is_over_the_channels_of_each_pixel():
    torch.manual_seed(0)
    x = torch.randn(2, 6, 5, 4)
    normed = UNet(width=6, depth=1, norm="layer").down1.norm1(x)
    pixel = x[1, :, 3, 2]
    expected = (pixel - pixel.mean()) / (pixel.var(correction=0) + 1e-5).sqrt()
    torch.testing.assert_close(normed[1, :, 3, 2], expected)


def test_two_levels_of_width_32_are_deepcrs_layout():
    """deepCR's 2-32: blocks of 32, 64 and 32 channels, 3x3; counted by hand."""
    block = lambda a, b: (9 * a * b + b) + (9 * b * b + b)  # noqa: E731
    expected = block(1, 32) + block(32, 64) + (4 * 64 * 32 + 32) + block(64, 32) + (32 + 1)
    assert sum(p.numel() for p in UNet(width=32, depth=2).parameters()) == expected
    channels = [
        m.out_channels for m in UNet(width=3, depth=3).modules() if hasattr(m, "out_channels")
    ]
    assert channels == [3, 3, 6, 6, 12, 12, 6, 6, 6, 3, 3, 3, 1]


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_logits_shift_with_the_image_by_multiples_of_the_stride(depth):
    torch.manual_seed(0)
    net = UNet(width=2, depth=depth).double()
    image = torch.randn(1, 1, 96, 96).double()
    shift = net.stride
    assert shift == 2 ** (depth - 1)
    edge = halo(net, stride=net.stride) + shift
    logits, moved = net(image), net(image.roll(shift, -1))
    inner = slice(edge, 96 - edge)
    torch.testing.assert_close(moved.roll(-shift, -1)[..., inner, inner], logits[..., inner, inner])


def test_config_makes_the_same_network_again():
    net = UNet(in_channels=2, num_classes=3, width=3, depth=3, norm="batch", upsampling="bilinear")
    again = UNet(**net.config)
    again.load_state_dict(net.state_dict())
    assert again.config == net.config


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, math.nan])
def test_a_base_rate_is_between_0_and_1(rate):
    with pytest.raises(BayescrError, match="expected a fraction between 0 and 1"):
        UNet(width=1).set_base_rate(rate)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"width": 0}, "UNet width is 0: expected a whole number from 1 up"),
        ({"depth": 1.5}, "UNet depth is 1.5"),
        ({"num_classes": -1}, "num_classes"),
        ({"in_channels": "1"}, "in_channels is '1'"),
        ({"norm": "bach"}, "unknown UNet norm 'bach': did you mean 'batch'"),
        ({"upsampling": "bilinar"}, "did you mean 'bilinear'"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(BayescrError, match=message):
        UNet(**settings)


# How far the network looks around a tile.


def _halo_by_gradients(net, size):
    """How far beyond a whole stride the gradients of the logits next to it feel pixels."""
    net = net.double()
    image = torch.randn(1, 1, size, size, dtype=torch.float64, requires_grad=True)
    logits = net(image)[0, 0]
    edge = size // 2 // net.stride * net.stride
    reach = 0
    for position in range(edge - net.stride, edge + net.stride):
        (gradient,) = torch.autograd.grad(logits[position, position], image, retain_graph=True)
        for lines in gradient[0, 0].nonzero(as_tuple=True):
            beyond = edge - lines.min() if position >= edge else lines.max() - edge + 1
            reach = max(reach, int(beyond))
    return reach


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("upsampling", ["transposed", "bilinear"])
def test_the_halo_covers_every_gradient(depth, upsampling):
    """Gradients can miss inputs that a maximum hides, never find more."""
    torch.manual_seed(0)
    net = UNet(width=4, depth=depth, upsampling=upsampling)
    for name, parameter in net.named_parameters():
        if name.endswith("bias"):
            nn.init.constant_(parameter, 5.0)  # so that rectifiers hide nothing
    width = halo(net, stride=net.stride)
    assert 0 <= width - _halo_by_gradients(net, 2 * width + 16) <= net.stride


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_the_halo_equals_the_formula(depth):
    """By hand, from the first row of a tile: blocks look 2 rows of their level further.

    Up through the levels, where a row lies in the cell of half its number, and down again, where a
    cell begins at twice its number; in whole strides.
    """
    net = UNet(width=1, depth=depth)
    row = 0
    for _ in range(depth - 1):
        row = (row - 2) // 2
    row -= 2
    for _ in range(depth - 1):
        row = 2 * row - 2
    assert halo(net, stride=net.stride) == -(row // net.stride) * net.stride


class _Shifted(nn.Module):
    """Shifts its maps to the right and back: no pixel moves a logit but its own."""

    def forward(self, image):
        right = nn.functional.pad(image, (4, -4, 0, 0))
        return nn.functional.pad(right, (-4, 4, 0, 0))


class _Strided(nn.Module):
    """Averages cells of s pixels, looks one cell to the left and spreads them again."""

    def __init__(self, stride):
        super().__init__()
        self.stride = stride
        self.left = nn.Conv2d(1, 1, (1, 3), padding=(0, 1), bias=False)
        nn.init.constant_(self.left.weight, 0.5)

    def forward(self, image):
        cells = nn.functional.avg_pool2d(image, self.stride)
        return nn.functional.interpolate(self.left(cells), scale_factor=self.stride)


def test_the_halo_of_plain_layers():
    assert halo(nn.Identity()) == 0
    assert halo(nn.Conv2d(1, 1, (7, 3), padding=(3, 1))) == 3
    assert halo(nn.Conv2d(1, 1, (3, 7), padding=(1, 3))) == 3
    assert halo(nn.Conv2d(2, 1, 3, padding=4, dilation=4), in_channels=2) == 4
    zero = nn.Conv2d(1, 1, 5, padding=2)
    nn.init.zeros_(zero.weight)
    assert halo(zero) == 2  # what it could see, whatever the weights
    assert halo(_Shifted()) == 4  # what a tile's edge would cut off
    for stride in (2, 3, 4, 5):
        assert halo(_Strided(stride), stride=stride) == stride


@pytest.mark.parametrize("norm", ["layer", "batch"])
def test_local_norms_do_not_widen_the_field(norm):
    nets = [UNet(width=2, depth=2, norm=norm) for norm in (norm, "none")]
    assert halo(nets[0], stride=2) == halo(nets[1], stride=2)


def test_statistics_over_space_see_everything():
    assert halo(UNet(width=1, depth=1, norm="group")) is None


def test_measuring_the_halo_leaves_the_network_as_it_was():
    net = UNet(width=2, norm="batch").train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    state = torch.get_rng_state()
    halo(net, stride=2)
    assert net.training
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
