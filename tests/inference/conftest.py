"""A tiny problem on which every guide can be tried: bright pixels on noise, a net of 24 weights."""

from __future__ import annotations

import functools

import numpy as np
import pyro
import pytest
import torch

from bayescr.data import PatchDataset
from bayescr.inference import fit
from bayescr.models import BayesianSegmenter, UNet


@pytest.fixture(autouse=True)
def _no_trace_left_in_pyro():
    """Nothing of bayescr's own may leave parameters in Pyro's global store."""
    pyro.clear_param_store()
    yield
    left = list(pyro.get_param_store())
    pyro.clear_param_store()
    assert not left


def make_frames(*, count=4, size=24, seed=0, num_classes=1):
    """Frames of noise with some pixels 8 sigma bright, and where these are."""
    rng = np.random.default_rng(seed)
    truths = rng.random((count, num_classes, size, size)) < 0.08
    frames = rng.normal(100.0, 5.0, (count, size, size)) + 40.0 * truths.any(axis=1)
    return list(frames), list(truths)


@pytest.fixture(scope="session")
def datasets():
    """Training and validation set, of different exposures."""
    dataset = PatchDataset.from_frames(*make_frames(count=6), patch=None)
    return dataset.split(0.67, 0.33)


@pytest.fixture(scope="session")
def fitted(datasets, families):
    """A function: name of a guide -> posterior of a short fit; fits are shared between tests."""

    @functools.cache
    def fitted(name):
        factory = families.guides[name]
        return fit(small_model(), factory, datasets[0], epochs=2, batch_size=2, device="cpu")

    return fitted


def small_model(seed=0, **settings):
    torch.manual_seed(seed)
    prior = settings.pop("prior", None)
    random = settings.pop("random", None)
    return BayesianSegmenter(UNet(width=2, depth=2, **settings), prior, random=random)


@pytest.fixture(name="small_model")
def _small_model():
    return small_model


@pytest.fixture(name="make_frames")
def _make_frames():
    return make_frames
