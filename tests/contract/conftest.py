"""What the contract needs: pairs of prior and guide, a tiny net, two frames, and fits to share."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyro
import pytest
import torch
from torch import nn

from bayescr.data import PatchDataset
from bayescr.inference import fit
from bayescr.models import BayesianSegmenter, UNet
from bayescr.models.priors import FanInNormal


@dataclass(frozen=True)
class Pair:
    """A prior and a guide."""

    prior_name: str
    guide_name: str
    prior: Any
    guide: Any

    def model(self, net):
        return BayesianSegmenter(net, self.prior)


@pytest.fixture
def pair(prior_name, any_guide_name, prior, any_guide_factory):
    return Pair(prior_name, any_guide_name, prior, any_guide_factory)


@pytest.fixture(autouse=True)
def _no_trace_left_in_pyro():
    """Nothing may leave parameters in Pyro's global store."""
    pyro.clear_param_store()
    yield
    left = list(pyro.get_param_store())
    pyro.clear_param_store()
    assert not left


@pytest.fixture
def net():
    """A function: settings -> the smallest U-Net that pools and upsamples, of 119 weights."""
    return _net


def _net(**settings):
    torch.manual_seed(0)
    return UNet(**{"width": 1, "depth": 2, **settings})


@pytest.fixture
def batch():
    """Images, labels and usable pixels."""
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(2, 1, 12, 12, generator=generator)
    return image, (image > 1).float(), torch.rand(image.shape, generator=generator) < 0.9


@pytest.fixture(scope="session")
def frames():
    """Two frames of noise with some pixels 8 sigma bright, and where these are."""
    rng = np.random.default_rng(0)
    truths = rng.random((2, 24, 24)) < 0.08
    return list(rng.normal(100.0, 5.0, truths.shape) + 40.0 * truths), list(truths)


@pytest.fixture(scope="session")
def train(frames):
    return PatchDataset.from_frames(*frames, patch=None)


@pytest.fixture(scope="session")
def fitted(train):
    """A function: pair -> posterior of a fit of six steps; fits are shared between tests."""

    @functools.cache
    def fitted(pair, seed=0, is_small=False):
        model = pair.model(_two_layers() if is_small else _net())
        return fit(model, pair.guide, train, epochs=3, batch_size=1, seed=seed)

    return fitted


@pytest.fixture
def posterior(pair, fitted):
    """Of the U-Net."""
    return fitted(pair)


@pytest.fixture
def small_posterior(pair, fitted):
    """Of a net of 34 weights in four tensors, cheap enough for many draws."""
    return fitted(pair, is_small=True)


@pytest.fixture
def small_posterior_of_guide(any_guide_name, any_guide_factory, fitted):
    """The same with the default prior, and shared with the pair of it."""
    pair = Pair("fan-in-normal", any_guide_name, FanInNormal(), any_guide_factory)
    return fitted(pair, is_small=True)


def _two_layers():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.ReLU())
    net.add_module("head", nn.Conv2d(3, 1, 1))
    return net


@pytest.fixture
def two_layers():
    """A function: -> the net of `small_posterior`."""
    return _two_layers
