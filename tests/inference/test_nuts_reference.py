"""Every guide against draws from the posterior itself, on a logistic convolution of ten weights.

Labels are drawn from a model of the same form, 384 pixels of smooth images, so that the posterior
is close to normal with correlated weights. Predictions are compared at the training images: their
means in units of the posterior's spread, and the ratio of the spreads, as root mean squares over
the pixels; and the ratio of the spreads of the weights. Two chains of 400 draws differ by 0.09 in
the mean and 3% in the spreads. Each guide was fitted with four seeds: bounds leave room for these.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from scipy.ndimage import uniform_filter
from torch import nn

from bayescr.data import PatchDataset
from bayescr.inference import annealing, fit, guides
from bayescr.inference.mcmc import nuts
from bayescr.models import BayesianSegmenter, priors

pytestmark = pytest.mark.slow

ANY = (0.0, math.inf)


@dataclass(frozen=True)
class Expected:
    """Bounds, with room for the error of the chain and of a noisy descent.

    Attributes:
        mean: Largest error of the predictive mean, in spreads.
        spread: Least and largest ratio of predictive spreads.
        weights: The same of the spreads of the weights.
    """

    mean: float = 0.25
    spread: tuple[float, float] = ANY
    weights: tuple[float, float] = ANY


NORMAL = Expected(spread=(0.85, 1.15), weights=(0.85, 1.15))
# Independent normals have the spread of a weight when all others are held, here 0.82 of its own by
# the covariance of the chain; what that makes of a prediction may be less or more.
INDEPENDENT = Expected(spread=(0.8, 1.25), weights=(0.65, 0.95))
GUIDES = {
    "MAP": (guides.MAP(), Expected(spread=(0.0, 0.0))),
    "MeanField": (guides.MeanField(), INDEPENDENT),
    "two of MeanField": (guides.Ensemble(guide=guides.MeanField(), members=2), INDEPENDENT),
    "LowRank": (guides.LowRank(rank=8), NORMAL),
    "FullRank": (guides.FullRank(on="*"), NORMAL),
    "Laplace": (guides.Laplace(on="*"), NORMAL),
    "Flow": (guides.Flow(on="*"), NORMAL),
    # No theory says how far it falls short: found are 0.95 to 0.97, and 0.75 to 0.77 of weights.
    "Radial": (guides.Radial(), Expected(spread=(0.8, 1.15), weights=(0.65, 0.9))),
    # One feature map in and one out: all weights of the kernel grow and shrink together.
    "Rank1": (guides.Rank1(), Expected(spread=(0.1, 0.5), weights=(0.1, 0.5))),
    # The iterates of a descent on whole batches hardly scatter, whatever the posterior does.
    "SWAG": (guides.SWAG(on="*"), Expected(spread=(0.0, 0.1))),
    # The image is never dropped, and a single layer has no other input: these are points here.
    "MCDropout": (guides.MCDropout(), Expected(spread=(0.0, 0.0))),
    "ConcreteDropout": (guides.ConcreteDropout(), Expected(spread=(0.0, 0.0))),
}
# A flow's networks do not bear the steps that suit centres and scales: with those of the others it
# ended at 1.6 to 2.1 times the loss of the full-rank normal, its mean off by 1.2 spreads for one
# seed of three.
TRAINING = {"Flow": {"epochs": 1500, "learning_rate": 0.02}}


def _model():
    torch.manual_seed(0)
    return BayesianSegmenter(nn.Conv2d(1, 1, 3, padding=1), priors.Normal(scale=1.0))


@pytest.fixture(scope="module")
def train():
    rng = np.random.default_rng(0)
    smooth = 3.0 * uniform_filter(rng.normal(size=(6, 8, 8)), (0, 3, 3))
    z = smooth + 0.5 * rng.normal(size=smooth.shape)
    truths = rng.random(z.shape) < 1.0 / (1.0 + np.exp(1.0 - 2.0 * z))
    return PatchDataset.from_frames(list(100.0 + 5.0 * z), list(truths[:, None]), patch=None)


@pytest.fixture(scope="module")
def reference(train):
    posterior = nuts(_model(), train, num_samples=400, num_warmup=200)
    assert posterior.history.divergences.sum() == 0
    worst = posterior.provenance["convergence"].values()
    assert max(one["r_hat"] for one in worst) < 1.05
    assert min(one["ess"] for one in worst) > 100
    return _Summary(posterior, train)


class _Summary:
    """Mean and spread of the probability of each pixel and of each weight, of up to 400 draws."""

    def __init__(self, posterior, train):
        number = min(400, posterior.num_points or 400)
        draws = posterior.draw(number)
        image = torch.stack([train[index]["image"] for index in range(len(train))])
        with torch.no_grad():
            p = torch.stack(
                [
                    posterior.model.logits(image, {name: draws[name][k] for name in draws})
                    for k in range(number)
                ]
            ).sigmoid()
        self.mean, self.spread = p.mean(0), p.std(0, unbiased=False)
        self.of_weights = draws["weight"].std(0, unbiased=False)


def _rms(values):
    return values.square().mean().sqrt().item()


@pytest.mark.parametrize("name", GUIDES)
def test_a_guide_predicts_as_the_posterior_does(reference, train, name):
    factory, expected = GUIDES[name]
    if name == "Flow":
        pytest.importorskip("zuko")
    settings = {"epochs": 400, "learning_rate": 0.1, **TRAINING.get(name, {})}
    posterior = fit(
        _model(), factory, train, batch_size=6, clip_norm=None, kl_schedule=annealing.constant(),
        precision="float32", **settings,
    )  # fmt: skip
    found = _Summary(posterior, train)
    error = _rms(found.mean - reference.mean) / _rms(reference.spread)
    spread = _rms(found.spread) / _rms(reference.spread)
    of_weights = _rms(found.of_weights) / _rms(reference.of_weights)
    assert error < expected.mean
    assert expected.spread[0] <= spread <= expected.spread[1], spread
    assert expected.weights[0] <= of_weights <= expected.weights[1], of_weights
