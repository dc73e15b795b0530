"""Rank one: the structure of the draws, and the bound against quadrature."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn

from bayescr.errors import BayescrError
from bayescr.inference import AnnealedELBO
from bayescr.inference._pyro import build_guide, draw_latents, local_parameters
from bayescr.inference.guides._weights import Point
from bayescr.inference.guides.rank1 import Rank1
from bayescr.models import BayesianSegmenter, UNet, priors


def _ratio(guide, name):
    """w / m of a draw, its axes of outputs and inputs first."""
    site = guide.weights.get_submodule(name)
    value = draw_latents(guide)[0][name]
    return (value / site.loc).detach().movedim(site.axes, (0, 1))


@pytest.mark.parametrize(
    ("name", "channels"),
    [
        ("down1.conv1.weight", (2, 3)),  # the image's channels are perturbed, too
        ("down2.conv1.weight", (4, 2)),
        ("up1.upsample.weight", (2, 4)),  # stored inputs first
        ("head.weight", (1, 2)),
    ],
)
def test_draws_are_the_point_times_an_outer_product(name, channels):
    torch.manual_seed(0)
    model = BayesianSegmenter(UNet(in_channels=3, width=2, depth=2))
    guide = Rank1(init_scale=0.3)(model)
    ratio = _ratio(guide, name)
    assert ratio.shape[:2] == channels
    matrix = ratio.flatten(2)[:, :, 0]
    torch.testing.assert_close(ratio, matrix[:, :, None, None].expand_as(ratio))
    torch.testing.assert_close(matrix * matrix[0, 0], torch.outer(matrix[:, 0], matrix[0]))
    assert matrix.std() > 0.01  # so that this means something


def test_factors_have_the_spread_they_are_said_to_have():
    """The variance of r s at the start is (1 + t^2)^2 - 1; 5 standard errors of 2000 draws.

    A sample variance of n numbers scatters by sqrt((kurtosis - 1) / n), here below
    sqrt(3 / n).
    """
    torch.manual_seed(0)
    guide = Rank1(init_scale=0.2)(BayesianSegmenter(nn.Conv2d(1, 1, 1)))
    ratios = torch.stack([_ratio(guide, "weight").squeeze() for _ in range(2000)])
    expected = (1 + 0.2**2) ** 2 - 1
    assert abs(ratios.mean() - 1.0) < 5 * math.sqrt(expected / 2000)
    assert abs(ratios.var() / expected - 1.0) < 5 * math.sqrt(3 / 2000)


def _conv(inputs, outputs):
    torch.manual_seed(3)
    return nn.Conv2d(inputs, outputs, 1, bias=False).double()


def _batch(channels=2):
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(2, channels, 4, 4, generator=generator)
    return image, (image[:, :1] > 0).float(), torch.ones(2, 1, 4, 4, dtype=torch.bool)


def test_the_bound_and_its_gradients_equal_quadrature():
    """E over the two factors of inputs and the one of outputs, by Gauss and Hermite.

    Everything is quadratic in each factor: five nodes each are exact, to float64.
    """
    model = BayesianSegmenter(_conv(2, 1), priors.Normal(loc=0.2, scale=0.8))
    guide = Rank1(init_scale=0.3, prior_scale=0.15)(model)
    site = guide.weights.weight
    with torch.no_grad():
        site.factor_loc.copy_(torch.tensor([1.1, 0.8, 1.3]))
        site.factor_log_scale.copy_(torch.tensor([0.3, 0.1, 0.2]).log())
    site.double()
    model.logits = lambda image, weights: image[:, :1]  # only the KL is looked at
    with local_parameters():
        kl = AnnealedELBO().terms(model, guide, *_batch()).kl

    nodes, shares = np.polynomial.hermite_e.hermegauss(5)
    shares = shares / shares.sum()
    scale = site.factor_log_scale.exp()
    expected = torch.zeros((), dtype=torch.float64)
    for which in itertools.product(range(5), repeat=3):
        factors = site.factor_loc + scale * torch.tensor(nodes[list(which)])
        weight = site.loc.flatten() * factors[0] * factors[1:]
        log_q = dist.Normal(site.factor_loc, scale).log_prob(factors).sum()
        log_p = dist.Normal(1.0, 0.15).log_prob(factors).sum()
        log_p = log_p + dist.Normal(0.2, 0.8).log_prob(weight).sum()
        expected = expected + shares[list(which)].prod() * (log_q - log_p)
    torch.testing.assert_close(kl, expected)
    parameters = list(site.parameters())
    assert len(parameters) == 3
    for got, want in zip(
        torch.autograd.grad(kl, parameters),
        torch.autograd.grad(expected, parameters),
        strict=True,
    ):
        torch.testing.assert_close(got, want)


def _learnt_scale(name, weight):
    scale = pyro.sample(f"{name}_scale", dist.LogNormal(weight.new_zeros(()), 0.5))
    return dist.Normal(0.0, scale).expand(weight.shape).to_event(weight.dim())


@pytest.mark.parametrize("prior", [priors.Normal(scale=0.7), _learnt_scale])
def test_closed_form_has_the_mean_of_the_sampled_bound_and_less_noise(prior):
    model = BayesianSegmenter(nn.Conv2d(2, 1, 1), prior)
    guide = Rank1(init_scale=0.3)(model)
    kl = {}
    for analytic in (True, False):
        torch.manual_seed(0)
        elbo = AnnealedELBO(analytic_kl=analytic)
        with torch.no_grad(), local_parameters():
            kl[analytic] = torch.stack(
                [elbo.terms(model, guide, *_batch()).kl for _ in range(200)]
            ).double()
    error = math.hypot(*(5.0 * draws.std().item() / math.sqrt(200) for draws in kl.values()))
    assert abs(kl[True].mean() - kl[False].mean()) < error
    assert kl[True].std() < kl[False].std()


def test_other_priors_are_sampled_from_the_same_draw_as_the_factors():
    def laplace(name, weight):
        return dist.Laplace(0.0, 0.5).expand(weight.shape).to_event(weight.dim())

    model = BayesianSegmenter(_conv(2, 1).float(), laplace)
    guide = Rank1()(model)
    torch.manual_seed(0)
    with local_parameters(), torch.no_grad():
        kl = AnnealedELBO().terms(model, guide, *_batch()).kl
        torch.manual_seed(0)
        site = guide.weights.weight
        factors = site._factors().sample()
        weight = site.loc.flatten() * factors[0] * factors[1:]
    expected = dist.Normal(site.factor_loc, 0.05).log_prob(factors).sum()
    expected = expected - dist.Normal(1.0, 0.1).log_prob(factors).sum()
    expected = expected - dist.Laplace(0.0, 0.5).log_prob(weight).sum()
    torch.testing.assert_close(kl, expected.detach(), rtol=1e-5, atol=1e-5)


def test_biases_and_layers_without_axes_of_channels_are_points():
    net = nn.Sequential(nn.Conv2d(2, 4, 1, groups=2), nn.Conv2d(4, 1, 1))
    guide = Rank1()(BayesianSegmenter(net, priors.Normal()))
    points = {name for name, site in guide.sites() if isinstance(site, Point)}
    assert points == {"0.weight", "0.bias", "1.bias"}


def test_a_prior_without_a_maximum_is_refused():
    """The point m would run to zero."""
    prior = priors.Normal()
    object.__setattr__(prior, "is_unbounded", True)
    with pytest.raises(BayescrError, match="has no maximum"):
        Rank1()(BayesianSegmenter(nn.Conv2d(1, 1, 1), prior))


def test_the_centre_stays_the_mean_of_the_draws():
    """Once the factors have left 1; 5 standard errors of 2000 draws."""
    torch.manual_seed(0)
    guide = build_guide(Rank1(init_scale=0.2), BayesianSegmenter(nn.Conv2d(2, 2, 1)), in_channels=2)
    with torch.no_grad():
        guide.weights.weight.factor_loc.copy_(torch.tensor([1.2, 0.7, 0.9, 1.4]))
    draws = torch.stack([draw_latents(guide)[0]["weight"] for _ in range(2000)])
    error = 5.0 * draws.std(0) / math.sqrt(2000)
    assert ((draws.mean(0) - guide.median()["weight"]).abs() < error).all()


@pytest.mark.parametrize("settings", [{"init_scale": 0.0}, {"prior_scale": math.nan}])
def test_bad_settings_are_refused(settings):
    with pytest.raises(BayescrError, match="expected a number above 0"):
        Rank1(**settings)
