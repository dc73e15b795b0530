"""A posterior stored in half precision predicts as before, up to a rounding that is bounded."""

import functools

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from bayescr.data import PatchDataset
from bayescr.errors import BayescrError
from bayescr.inference import Posterior, fit, guides
from bayescr.models import BayesianSegmenter, UNet, likelihoods, priors

quick = functools.partial(fit, epochs=4, batch_size=4, learning_rate=0.01, precision="float32")


@pytest.fixture(scope="module")
def dataset():
    rng = np.random.default_rng(0)
    truths = rng.random((4, 32, 32)) < 0.03
    frames = rng.normal(100.0, 5.0, truths.shape) + 60.0 * truths
    return PatchDataset.from_frames(list(frames), list(truths), patch=32)


@pytest.fixture(scope="module", params=[guides.MAP(), guides.MeanField(), guides.Rank1()])
def posterior(request, dataset):
    torch.manual_seed(0)
    model = BayesianSegmenter(
        UNet(width=4, depth=2), prior=priors.FanInNormal(), likelihood=likelihoods.Bernoulli()
    )
    return quick(model, request.param, dataset)


def test_float16_halves_the_file_and_hardly_moves_a_probability(posterior, dataset, tmp_path):
    whole = posterior.save(tmp_path / "whole.safetensors")
    half = posterior.save(tmp_path / "half.safetensors", dtype=torch.float16)
    sizes = [
        sum(t.numel() * t.element_size() for t in load_file(file).values())
        for file in (whole, half)
    ]
    assert 2 * sizes[1] == sizes[0]
    loaded = Posterior.load(half)
    assert {p.dtype for p in loaded.guide.parameters()} == {torch.float32}
    frame = dataset.frame(0)
    exact, stored = (
        one.predict(frame, num_samples=4, precision="float32") for one in (posterior, loaded)
    )
    # Eleven bits: each weight moves by up to 2^-11 of itself, and a logit is a sum of products of
    # six layers of them, whose errors are as likely up as down.
    change = np.abs(exact.logit - stored.logit).max() / np.abs(exact.logit).max()
    assert 0 < change < 6 * 2**-11
    assert np.abs(exact.probability - stored.probability).max() < 0.01


def test_what_float16_cannot_hold_is_refused(dataset, tmp_path):
    model = BayesianSegmenter(
        UNet(width=2, depth=1), prior=priors.FanInNormal(), likelihood=likelihoods.Bernoulli()
    )
    posterior = quick(model, guides.MAP(), dataset)
    with torch.no_grad():
        next(posterior.guide.parameters()).fill_(1e5)
    with pytest.raises(BayescrError, match=r"tensor '.*' reaches 1e\+05, more than torch.float16"):
        posterior.save(tmp_path / "half.safetensors", dtype=torch.float16)
    assert not list(tmp_path.iterdir())
    posterior.save(tmp_path / "whole.safetensors")
