"""Guides on a problem whose posterior is known: linear regression with normal noise.

A convolution without bias is a linear map of its weights w, y = X w + noise, so that with a normal
prior the posterior is normal,

    precision = X^T X / noise^2 / T + I / s0^2        mean = precision^-1 X^T y / noise^2 / T

T being the kl_weight. The log-likelihood is quadratic, and its expectation under N(0, I) noise of
dimension D is its mean over the 2 D points +-sqrt(D) e_j, exactly (a cubature of degree 3): with
the noise of the guides replaced by these, the bound has no Monte Carlo error left and L-BFGS finds
its maximum to the digits of float64. Tolerances of 1e-4, of a posterior standard deviation for
means and relative for covariances, are what its stopping rule leaves.
"""

from __future__ import annotations

import math

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from bayescr.data import PatchDataset
from bayescr.inference import AnnealedELBO, guides
from bayescr.inference._pyro import local_parameters
from bayescr.inference.guides.full_rank import FullRank
from bayescr.inference.guides.laplace import Laplace
from bayescr.inference.kl import moments
from bayescr.models import BayesianSegmenter, priors

NOISE, PRIOR_SCALE, TEMPERATURE = 1.5, 0.3, 0.6


class Gaussian:
    """y = l + noise at the valid pixels."""

    def __call__(self, logits, target=None, valid=None):
        pixels = dist.Normal(logits, NOISE).mask(valid)
        return pyro.sample("obs", pixels.to_event(3), obs=target)

    def curvature(self, logits, target, valid):
        return torch.where(valid, torch.full_like(logits, NOISE**-2), 0.0)


class Cubature(TorchFunctionMode):
    """Gives whoever asks for normal noise the next part of one vector."""

    def __init__(self, vector=None):
        super().__init__()
        self.vector, self.used = vector, 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if func not in {torch.normal, torch.Tensor.normal_}:
            return out
        first, self.used = self.used, self.used + out.numel()
        if self.vector is None:
            return out.zero_()
        return out.copy_(self.vector[first : self.used].reshape(out.shape))


@pytest.fixture(scope="module")
def train():
    """Images whose pixels go together, so that the weights' posterior has correlations."""
    rng = np.random.default_rng(4)
    frames = rng.normal(100.0, 5.0, (3, 8, 9))
    frames[:, :, 1:] += 0.8 * (frames[:, :, :-1] - 100.0)
    truths = frames + rng.normal(0.0, 3.0, frames.shape) > 105.0
    ignore = rng.random(frames.shape) < 0.1
    return PatchDataset.from_frames(list(frames), list(truths), ignore=list(ignore), patch=None)


@pytest.fixture
def model():
    """The regression, in float64: 2 x 2 weights."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.ZeroPad2d((1, 0, 1, 0)), nn.Conv2d(1, 1, 2, bias=False)).double()
    model = BayesianSegmenter(net, priors.Normal(scale=PRIOR_SCALE), Gaussian())
    model.logits = lambda image, weights: torch.func.functional_call(net, weights, (image,))
    return model


@pytest.fixture
def batch(train):
    parts = [torch.stack([item[k] for item in train]) for k in ("image", "target", "valid")]
    return parts[0].double(), parts[1].double(), parts[2]


@pytest.fixture
def known(batch):
    """Mean and precision of the posterior, from the windows of the images as a matrix."""
    image, target, valid = batch
    windows = functional.unfold(functional.pad(image, (1, 0, 1, 0)), 2)  # (B, 4, H W)
    rows = windows.movedim(1, 2).flatten(0, 1)[valid.flatten()]
    labels = target.flatten()[valid.flatten()]
    weight = NOISE**-2 / TEMPERATURE
    precision = weight * rows.T @ rows + torch.eye(4).double() / PRIOR_SCALE**2
    return torch.linalg.solve(precision, weight * rows.T @ labels), precision


def _fit(factory, model, batch):
    """Maximise the bound, free of noise."""
    torch.manual_seed(1)
    elbo = AnnealedELBO(kl_weight=TEMPERATURE)
    with local_parameters():
        guide = factory(model)
        with Cubature() as count:
            guide()
        size = max(count.used, 1)
        points = math.sqrt(size) * torch.cat([torch.eye(size), -torch.eye(size)]).double()
        optimiser = torch.optim.LBFGS(
            guide.parameters(), max_iter=300, tolerance_grad=1e-7, line_search_fn="strong_wolfe"
        )

        def closure():
            optimiser.zero_grad()
            loss = 0.0
            for point in points if count.used else points[:1]:
                with Cubature(point):
                    loss = loss + elbo.differentiable_loss(model, guide, *batch)
            loss = loss / (len(points) if count.used else 1)
            loss.backward()
            return loss

        optimiser.step(closure)
    return guide


def _mean_and_covariance(guide):
    with local_parameters(), torch.no_grad():
        trace = pyro.poutine.trace(guide).get_trace()
    known = moments(trace.nodes["1.weight"]["fn"])
    covariance = known.scale.flatten().square().diag()
    if known.factor is not None:
        covariance = covariance + known.factor @ known.factor.T
    return known.mean.flatten(), covariance


def _check(found, mean, covariance):
    stddev = covariance.diagonal().sqrt()
    assert ((found[0] - mean).abs() < 1e-4 * stddev).all()
    assert ((found[1] - covariance).abs() < 1e-4 * torch.outer(stddev, stddev)).all()


def test_the_posterior_has_correlations_to_be_found(known):
    covariance = known[1].inverse()
    stddev = covariance.diagonal().sqrt()
    correlation = covariance / torch.outer(stddev, stddev)
    assert (correlation - torch.eye(4)).abs().max() > 0.3


@pytest.mark.parametrize(
    "factory",
    [
        FullRank(on="*"),
        guides.LowRank(rank=3),  # any covariance of 4, less its smallest eigenvalue
        guides.LowRank(rank=3, across_layers=True),
    ],
    ids=repr,
)
def test_normal_guides_find_the_posterior(factory, model, batch, known):
    _check(_mean_and_covariance(_fit(factory, model, batch)), known[0], known[1].inverse())


def test_mean_field_finds_the_best_factorised_normal(model, batch, known):
    """Whose means are right and whose variances are those of each weight given all others."""
    found = _mean_and_covariance(_fit(guides.MeanField(), model, batch))
    _check(found, known[0], known[1].diagonal().reciprocal().diag())


def test_laplace_finds_the_posterior(model, batch, known, train):
    guide = _fit(Laplace(on="*"), model, batch)
    with local_parameters():
        guide.finalize(model, train, kl_weight=TEMPERATURE)
    _check(_mean_and_covariance(guide), known[0], known[1].inverse())


def test_diagonal_laplace_finds_the_precision_of_each_weight(model, batch, known, train):
    guide = _fit(Laplace(on="*", structure="diagonal"), model, batch)
    with local_parameters():
        guide.finalize(model, train, kl_weight=TEMPERATURE)
    _check(_mean_and_covariance(guide), known[0], known[1].diagonal().reciprocal().diag())
