"""MC-dropout of the weights is torch's own dropout of feature maps, mask for mask."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from bayescr.inference.guides._weights import Point
from bayescr.inference.guides.mc_dropout import MCDropout
from bayescr.models import BayesianSegmenter, UNet
from bayescr.models.fan_in import fan_in

P = 0.4


def _with_dropout2d(net):
    """The net with an `nn.Dropout2d` before each layer but the first, and the masks they draw.

    Masks are seen by an image of ones that passes with the same random numbers.
    """
    net, masks = copy.deepcopy(net), {}
    layers = [(path, layer) for path, layer in net.named_modules() if fan_in(layer)]
    for path, layer in layers[1:]:

        def drop(layer, args, path=path):
            dropout, state = nn.Dropout2d(P), torch.get_rng_state()
            dropped = dropout(args[0])
            after = torch.get_rng_state()
            torch.set_rng_state(state)
            masks[path] = dropout(torch.ones_like(args[0][:, :, :1, :1])) != 0
            torch.set_rng_state(after)
            return dropped

        layer.register_forward_pre_hook(drop)
    return net, masks


@pytest.mark.parametrize("upsampling", ["transposed", "bilinear"])
def test_logits_equal_those_of_dropout2d_with_the_same_masks(upsampling, monkeypatch):
    """Both keep the mean: torch divides the maps by 1 - p, the guide starts at weights so divided.

    The skip connection and the upsampled maps, side by side, are dropped as they enter the
    convolution that joins them. A mask of torch's is one image's: the batch is one image.
    """
    torch.manual_seed(0)
    net = UNet(in_channels=2, width=3, depth=3, upsampling=upsampling)
    model = BayesianSegmenter(net)
    guide = MCDropout(p=P)(model)
    image = torch.randn(1, 2, 12, 12)
    reference, masks = _with_dropout2d(net)

    for _ in range(5):
        expected = reference(image)
        drawn = {}
        for name, site in guide.sites():
            mask = masks.get(name.rpartition(".")[0])
            if not isinstance(site, Point):
                monkeypatch.setattr(
                    torch.Tensor,
                    "bernoulli",
                    lambda keep, mask=mask: mask.reshape(keep.shape).to(keep.dtype),
                )
            drawn[name] = site().rsample()
        monkeypatch.undo()
        torch.testing.assert_close(model.logits(image, drawn), expected)
        # Skip connections of level 1 (3 maps) and what comes up to them (3 maps).
        assert masks["up1.conv1"].numel() == 6
    assert not torch.allclose(expected, net(image))


def test_the_first_layer_and_biases_are_points(small_model):
    guide = MCDropout()(small_model())
    points = {name for name, site in guide.sites() if isinstance(site, Point)}
    biases = {name for name in guide.names if name.endswith(".bias")}
    assert points == {"down1.conv1.weight", *biases}
