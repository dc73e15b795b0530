"""Learnt rates: relaxed masks, their gradients by quadrature, the KL by enumeration."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from torch import nn

from bayescr.errors import BayescrError
from bayescr.inference import AnnealedELBO
from bayescr.inference._pyro import draw_latents, local_parameters
from bayescr.inference.guides._dropout import ChannelDropout, RelaxedChannelDropout
from bayescr.inference.guides.concrete_dropout import ConcreteDropout
from bayescr.models import BayesianSegmenter, priors


def _batch(seed=0):
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(2, 1, 8, 8, generator=generator)
    return image, (image > 1).float(), torch.ones(image.shape, dtype=torch.bool)


@pytest.mark.parametrize("keep", [0.9, 0.4])
def test_relaxed_masks_are_above_a_half_as_often_as_channels_stay(keep):
    """A share of n coins scatters by sqrt(p q / n); 5 of those."""
    torch.manual_seed(0)
    n = 4000
    q = RelaxedChannelDropout(torch.ones(2, 3, 1), keep, 1, temperature=0.1)
    draws = q.rsample(torch.Size([n]))
    assert draws.shape == (n, 2, 3, 1)
    assert torch.equal(draws[:, 0], draws[:, 1])  # one mask for all outputs
    mask = draws[:, 0, :, 0]
    assert ((mask >= 0.0) & (mask <= 1.0)).all()
    error = 5.0 * math.sqrt(keep * (1.0 - keep) / n)
    assert (((mask > 0.5).float().mean(0) - keep).abs() < error).all()
    cold = RelaxedChannelDropout(torch.ones(3), keep, 0, temperature=1e-4)
    masks = cold.rsample(torch.Size([n]))
    # Between 0.01 and 0.99 in a band of logit u of width 9.2e-4, which has probability < 2.3e-4.
    assert ((masks > 0.01) & (masks < 0.99)).float().mean() < 2e-3


def test_the_gradient_of_the_rate_equals_the_slope_of_the_integral_over_the_noise(monkeypatch):
    """E[f(z)] over a grid of uniform noise, f(z) = (1.5 z - 1)^2; its slope by differences."""
    grid = (torch.arange(2000, dtype=torch.float64) + 0.5) / 2000
    monkeypatch.setattr(torch, "rand", lambda shape, **_: grid.reshape(shape))
    logit_p = torch.tensor(-0.7, dtype=torch.float64, requires_grad=True)
    q = RelaxedChannelDropout(
        torch.tensor([1.5]).double(), torch.sigmoid(-logit_p), 0, temperature=0.3
    )
    (q.rsample(torch.Size([2000])) - 1.0).square().mean().backward()

    def integral(logit_p):
        u = grid.numpy()
        dropped = 1.0 / (1.0 + np.exp(-(logit_p + np.log(u) - np.log1p(-u)) / 0.3))
        return np.mean((1.5 * (1.0 - dropped) - 1.0) ** 2)

    slope = (integral(-0.7 + 1e-5) - integral(-0.7 - 1e-5)) / 2e-5
    assert logit_p.grad.item() == pytest.approx(slope, rel=1e-6)


def test_the_likelihood_alone_moves_every_rate(small_model):
    model = small_model()
    guide = ConcreteDropout(init_p=0.2)(model)
    rates = [site.logit_p for _, site in guide.sites() if hasattr(site, "logit_p")]
    assert len(rates) == 7  # of the U-Net's eight layers all but the first
    for _ in range(5):
        with local_parameters():
            AnnealedELBO(kl_weight=0.0).loss_and_grads(model, guide, *_batch())
    assert all(rate.grad.abs() > 0 for rate in rates)


def test_masks_are_relaxed_in_training_and_zeros_and_ones_in_evaluation(small_model):
    torch.manual_seed(0)
    model = small_model()
    guide = ConcreteDropout(init_p=0.4)(model)
    site = guide.weights.get_submodule("up1.upsample.weight")
    masks = {}
    for training in (True, False):
        guide.train(training)
        masks[training] = torch.stack(
            [draw_latents(guide)[0]["up1.upsample.weight"] / site.loc for _ in range(30)]
        ).detach()
    assert set(masks[False].unique().tolist()) == {0.0, 1.0}
    assert ((masks[True] > 0.0) & (masks[True] < 1.0)).any()
    for name, weight in model.random_weights.items():
        if model.feature_axis(name) is None:
            assert torch.equal(draw_latents(guide)[0][name], weight)


@pytest.mark.parametrize("relaxed", [True, False])
def test_the_kl_and_its_gradients_equal_the_sum_over_all_masks(relaxed):
    torch.manual_seed(0)
    loc = torch.randn(2, 3, 2).double().requires_grad_()
    logit_p = torch.tensor(-0.4, dtype=torch.float64, requires_grad=True)
    prior = dist.StudentT(torch.tensor(4.0).double(), 0.1, 0.6).expand((2, 3, 2)).to_event(3)
    keep = torch.sigmoid(-logit_p)
    q = (
        RelaxedChannelDropout(loc, keep, 1, temperature=0.1) if relaxed
        else ChannelDropout(loc, keep, 1)
    )  # fmt: skip
    expected = torch.zeros((), dtype=torch.float64)
    for coins in itertools.product([0.0, 1.0], repeat=3):
        mask = torch.tensor(coins).double()
        share = (mask * keep + (1.0 - mask) * (1.0 - keep)).prod()
        log_p = prior.log_prob(loc * mask.reshape(1, 3, 1))
        expected = expected + share * (share.log() - log_p)
    kl = q.kl_divergence(prior)
    torch.testing.assert_close(kl, expected)
    for got, want in zip(
        torch.autograd.grad(kl, [loc, logit_p], retain_graph=True),
        torch.autograd.grad(expected, [loc, logit_p]),
        strict=True,
    ):
        torch.testing.assert_close(got, want)


def test_without_data_the_rate_is_where_prior_and_entropy_balance():
    """For a normal prior at 0 the KL is least at logit p = sum_i m_i^2 / (2 s^2 C)."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 3, 1), nn.Conv2d(3, 1, 1))
    model = BayesianSegmenter(net, priors.Normal(scale=0.8))
    guide = ConcreteDropout()(model)
    site = guide.weights.get_submodule("1.weight")
    with torch.no_grad():
        site.logit_p.copy_(site.loc.square().sum() / (2.0 * 0.8**2 * 3))
    with local_parameters():
        terms = AnnealedELBO().terms(model, guide, *_batch())
    (balanced,) = torch.autograd.grad(terms.kl, site.logit_p, retain_graph=True)
    assert abs(balanced.item()) < 1e-6
    with torch.no_grad():
        site.logit_p.add_(1.0)
    with local_parameters():
        terms = AnnealedELBO().terms(model, guide, *_batch())
    (above,) = torch.autograd.grad(terms.kl, site.logit_p)
    assert above.item() > 1e-2


def test_a_prior_without_a_closed_form_meets_the_closed_entropy_of_the_masks():
    torch.manual_seed(0)
    logit_p = torch.tensor(-0.4, requires_grad=True)
    q = RelaxedChannelDropout(torch.randn(5), torch.sigmoid(-logit_p), 0, temperature=0.1)
    assert q.kl_divergence(dist.MultivariateNormal(torch.zeros(5), torch.eye(5))) is None
    draws = q.rsample(torch.Size([3]))
    p = torch.sigmoid(logit_p)
    entropy = -5.0 * (p * p.log() + (1.0 - p) * (1.0 - p).log())
    torch.testing.assert_close(q.log_prob(draws), -entropy.expand(3))
    torch.testing.assert_close(q.log_prob(draws[0]), -entropy)
    assert torch.autograd.grad(q.log_prob(draws[0]), logit_p)[0] < 0  # towards one half


def test_closed_form_has_the_mean_of_the_sampled_bound_in_evaluation():
    """There the masks are those of the closed form; within 5 standard errors of 300 draws."""
    torch.manual_seed(0)
    model = BayesianSegmenter(nn.Sequential(nn.Conv2d(1, 3, 1), nn.Conv2d(3, 1, 1)))
    guide = ConcreteDropout(init_p=0.3)(model).eval()
    with torch.no_grad(), local_parameters():
        exact = AnnealedELBO().terms(model, guide, *_batch()).kl
        torch.manual_seed(0)
        elbo = AnnealedELBO(analytic_kl=False)
        kl = torch.stack([elbo.terms(model, guide, *_batch()).kl for _ in range(300)])
    assert abs(kl.mean() - exact) < 5.0 * kl.std() / math.sqrt(300)


@pytest.mark.parametrize("logit_p", [-60.0, 60.0])
def test_rates_that_have_run_away_leave_loss_and_gradients_finite(small_model, logit_p):
    model = small_model()
    guide = ConcreteDropout()(model)
    for _, site in guide.sites():
        if hasattr(site, "logit_p"):
            site.logit_p.data.fill_(logit_p)
    with local_parameters():
        assert math.isfinite(AnnealedELBO().loss_and_grads(model, guide, *_batch()))
    assert all(parameter.grad.isfinite().all() for parameter in guide.parameters())


@pytest.mark.parametrize(
    "settings", [{"init_p": 0.0}, {"init_p": 1.0}, {"temperature": 0.0}, {"temperature": math.nan}]
)
def test_bad_settings_are_refused(settings):
    with pytest.raises(BayescrError, match="expected a"):
        ConcreteDropout(**settings)
