"""The network of many draws: what it shares between them, and that sharing changes nothing."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.func import functional_call

from bayescr.inference._network import DrawnNetwork
from bayescr.models import BayesianSegmenter, UNet

_BEFORE = ["down1", "down2", "pool2"]
RANDOM = {
    "head": (["head.*"], [*_BEFORE, "up1"]),
    "last convolution": (
        ["up1.conv2.*", "head.*"],
        [*_BEFORE, "up1.conv1", "up1.join", "up1.norm1", "up1.relu1", "up1.upsample"],
    ),
    "last block": (["up1.conv*", "head.*"], [*_BEFORE, "up1.join", "up1.upsample"]),
    "middle": (
        ["down2.conv2.*"],
        ["down1", "pool2", "down2.conv1", "down2.norm1", "down2.relu1"],
    ),
    "first": (["down1.conv1.*"], []),
    "bias of the head": (["head.bias"], [*_BEFORE, "up1"]),
    "all": (None, []),
}


def _net(**settings):
    torch.manual_seed(0)
    net = UNet(width=3, depth=2, **settings).eval()
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.4)
    return net


def _draws(model, count=4):
    return [
        {name: torch.randn_like(weight) for name, weight in model.random_weights.items()}
        for _ in range(count)
    ]


def _network(model, dtype=torch.float32, in_channels=1):
    return DrawnNetwork(model, dtype=dtype, in_channels=in_channels)


def _assert_plain(model, network, sizes=((2, 1, 9, 14), (1, 1, 16, 8))):
    """Every draw on every image gives what the plain network gives, to 1e-5 of its largest."""
    draws = _draws(model)
    for size in sizes:
        images = torch.randn(size)
        logits = network.on(images)
        for weights in (*draws, *draws):  # the second time nothing is new
            found = logits(network.prepare(weights))
            with torch.no_grad():
                expected = functional_call(model.net.eval(), weights, (images,))
            assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize("name", RANDOM)
def test_what_no_random_weight_moves_is_shared_and_nothing_else(name):
    random, expected = RANDOM[name]
    model = BayesianSegmenter(_net(), random=random)
    network = _network(model)
    assert sorted(network.shared) == sorted(expected)
    _assert_plain(model, network)


def test_shared_layers_run_once_for_all_draws(monkeypatch):
    runs, convolve = [], nn.Conv2d.forward
    monkeypatch.setattr(
        nn.Conv2d, "forward", lambda self, x: runs.append(self.out_channels) or convolve(self, x)
    )
    model = BayesianSegmenter(_net(), random="head.*")
    network = _network(model)
    runs.clear()
    for images in (torch.randn(1, 1, 8, 8), torch.randn(1, 1, 8, 8)):
        logits = network.on(images)
        for weights in _draws(model, 5):
            logits(network.prepare(weights))
    assert len(runs) == 2 * (6 + 5)  # six convolutions once, the head five times


class _InPlace(nn.Module):
    """Changes the output of a layer that could be shared."""

    def __init__(self):
        super().__init__()
        self.first, self.head = nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(2, 1, 1)

    def forward(self, image):
        x = self.first(image)
        x *= 2.0
        return self.head(x)


class _Twice(nn.Module):
    """Runs one layer twice, on different things."""

    def __init__(self):
        super().__init__()
        self.mix, self.head = nn.Conv2d(1, 1, 3, padding=1), nn.Conv2d(1, 1, 1)

    def forward(self, image):
        return self.head(self.mix(self.mix(image)))


class _Hidden(nn.Module):
    """Its later layer depends on the random weights past what has no gradient."""

    def __init__(self, between):
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(2, 1, 1)
        self.between = between

    def forward(self, image):
        return self.second(self.between(self.first(image)))


class _Looks(nn.Module):
    """Looks at its layers."""

    def __init__(self):
        super().__init__()
        self.first, self.head = nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(2, 1, 1)

    def forward(self, image):
        return self.head(self.first(image)) / self.first.out_channels


class _Named(nn.Module):
    """Calls a layer by the name of its argument."""

    def __init__(self):
        super().__init__()
        self.first, self.head = nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(2, 1, 1)

    def forward(self, image):
        return self.head(self.first(input=image))


UNUSUAL = {
    "in place": (_InPlace, "head.*"),
    "twice": (_Twice, "head.*"),
    "named": (_Named, "head.*"),
    "looks": (_Looks, "head.*"),
    "step": (lambda: _Hidden(lambda x: (x > 0).float()), "first.*"),
    "detached": (lambda: _Hidden(torch.Tensor.detach), "first.*"),
    "no NaN": (lambda: _Hidden(lambda x: torch.nan_to_num(x.clamp(-0.1, 0.1))), "first.*"),
    "largest": (
        lambda: _Hidden(lambda x: nn.functional.one_hot(x.argmax(1), 2).movedim(-1, 1).float()),
        "first.*",
    ),
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_unusual_networks_stay_right(name):
    make, random = UNUSUAL[name]
    model = BayesianSegmenter(make(), random=random)
    _assert_plain(model, _network(model))


def test_inference_mode_is_as_good():
    model = BayesianSegmenter(_InPlace(), random="head.*")
    with torch.inference_mode():
        _assert_plain(model, _network(model))


@pytest.mark.parametrize("norm", ["layer", "batch", "group"])
def test_norms_and_their_statistics(norm):
    model = BayesianSegmenter(_net(norm=norm), random=["up1.*", "head.*"])
    for name, buffer in model.net.named_buffers():
        if "running" in name:
            buffer.uniform_(0.5, 2.0)
    model.train()  # as in the midst of a fit
    network = _network(model)
    before = {name: value.clone() for name, value in model.net.state_dict().items()}
    _assert_plain(model, network)
    assert all(torch.equal(value, before[n]) for n, value in model.net.state_dict().items())


def test_lower_precision_is_that_of_training_but_for_the_logits():
    model = BayesianSegmenter(_net(norm="layer"), random=lambda name, weight: True)
    network = _network(model, torch.bfloat16)
    prepared = network.prepare(model.random_weights)
    for name, weight in prepared.items():
        exact = "norm" in name or "head" in name
        assert weight.dtype == (torch.float32 if exact else torch.bfloat16), name
        assert weight.dim() < 4 or weight.stride(1) == 1, name
    images = torch.randn(1, 1, 64, 64)
    found = network.on(images)(prepared)
    with model.computing_in(torch.bfloat16), torch.no_grad():
        expected = model.logits(images, model.random_weights)
        exact = functional_call(model.net, model.random_weights, (images,))
    # Eight bits: half a step of 2^-8 in the head alone, several in the layers before.
    assert (found - expected).abs().max() <= 0.02 * expected.abs().max()
    assert 0 < (found - exact).abs().max() <= 0.05 * exact.abs().max()


def test_lower_precision_ties_no_logits():
    """Ranking needs them apart: bfloat16 knows 128 numbers between 1 and 2."""
    torch.manual_seed(0)
    model = BayesianSegmenter(UNet(width=8))
    network = _network(model, torch.bfloat16)
    logits = network.on(torch.randn(1, 1, 64, 64))(network.prepare(model.random_weights))
    assert len(logits.unique()) > 0.9 * logits.numel()
    assert len(logits.bfloat16().unique()) < 0.5 * logits.numel()


def test_plain_weights_are_those_of_the_model():
    model = BayesianSegmenter(_net(), random="head.*")
    with torch.no_grad():
        model.net.down1.conv1.weight.add_(1.0)
    _assert_plain(model, _network(model))


def test_several_channels():
    model = BayesianSegmenter(_net(in_channels=3), random="head.*")
    _assert_plain(model, _network(model, in_channels=3), sizes=[(2, 3, 8, 8)])
