"""Low rank across layers against the dense normal over all weights."""

from __future__ import annotations

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from torch import nn
from torch.distributions import kl_divergence

from bayescr.inference import AnnealedELBO
from bayescr.inference._pyro import build_guide, draw_latents, local_parameters
from bayescr.inference.guides.low_rank import LowRank
from bayescr.inference.guides.mean_field import MeanField
from bayescr.models import BayesianSegmenter, priors


def _model(prior=None):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Tanh(), nn.Conv2d(2, 1, 1))
    return BayesianSegmenter(net, prior)


def _batch():
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(2, 1, 4, 4, generator=generator)
    return image, (image > 0.5).float(), torch.ones(image.shape, dtype=torch.bool)


def _guide(model, **settings):
    torch.manual_seed(1)
    guide = build_guide(LowRank(across_layers=True, **settings), model, in_channels=1)
    with torch.no_grad():
        guide.joint.relative_factor.normal_()  # far from the small start
    return guide


def _dense(guide):
    q = guide.joint()
    covariance = torch.diag(q.scale.square()) + q.factor @ q.factor.T
    return dist.MultivariateNormal(q.loc.double(), covariance.double())


def test_the_kl_across_layers_equals_that_of_the_dense_normal():
    guide = _guide(model := _model(priors.Normal(loc=0.1, scale=0.6)), rank=3, init_scale=0.4)
    with local_parameters():
        kl = AnnealedELBO().terms(model, guide, *_batch()).kl
    dense = _dense(guide)
    prior = dist.MultivariateNormal(
        torch.full_like(dense.loc, 0.1), 0.36 * torch.eye(len(dense.loc)).double()
    )
    torch.testing.assert_close(kl.double(), kl_divergence(dense, prior), rtol=1e-5, atol=1e-5)


def test_weights_of_different_layers_move_together_as_the_factor_says():
    """Entries of a sample covariance scatter by less than 2 s_i s_j / sqrt(n): 5 of those."""
    guide, n = _guide(_model(), rank=2, init_scale=0.5), 2000
    with torch.no_grad(), local_parameters():
        draws = torch.stack(
            [torch.cat([value.flatten() for value in guide().values()]) for _ in range(n)]
        ).double()
    covariance = _dense(guide).covariance_matrix.detach()
    sigma = covariance.diagonal().sqrt()
    error = 10.0 * torch.outer(sigma, sigma) / math.sqrt(n)
    assert ((draws.T.cov() - covariance).abs() < error).all()
    between = covariance[:4, 4:] / torch.outer(sigma[:4], sigma[4:])  # first and last layer
    assert between.abs().max() > 0.5  # so that this means something
    with local_parameters():
        sites = poutine.trace(LowRank()(_model())).get_trace().stochastic_nodes
    assert sites == list(_model().random_weights)  # by tensor there is no joint draw


def test_it_starts_as_the_mean_field_does_tensor_by_tensor(small_model):
    model = small_model()
    guide = build_guide(LowRank(across_layers=True, init_scale=0.2), model, in_channels=1)
    for name, centre in guide.median().items():
        assert torch.equal(centre, model.random_weights[name])
    scales = guide.pieces(guide.joint.log_scale)
    for name, site in MeanField(init_scale=0.2)(model).sites():
        assert torch.equal(scales[name], site.log_scale)
        assert site.learning_rate_factors == guide.joint.learning_rate_factors == {"log_scale": 5.0}


def test_it_has_the_parameters_of_one_vector():
    guide = _guide(_model(), rank=3)
    assert sum(parameter.numel() for parameter in guide.parameters()) == (2 + 3) * 7


def test_the_likelihood_alone_reaches_every_parameter():
    guide = _guide(model := _model())
    with local_parameters():
        AnnealedELBO(kl_weight=0.0).loss_and_grads(model, guide, *_batch())
    for name, parameter in guide.named_parameters():
        assert parameter.grad.abs().sum() > 0, name


def _learnt_scale(name, weight):
    scale = pyro.sample(f"{name}_scale", dist.LogNormal(weight.new_zeros(()), 0.5))
    return dist.Normal(0.0, scale).expand(weight.shape).to_event(weight.dim())


@pytest.mark.parametrize("prior", [priors.FanInNormal(), _learnt_scale])
def test_closed_form_has_the_mean_of_the_sampled_kl_and_less_noise(prior):
    guide = _guide(model := _model(prior), rank=2, init_scale=0.4)
    kl = {}
    for analytic in (True, False):
        torch.manual_seed(0)
        elbo = AnnealedELBO(analytic_kl=analytic)
        with torch.no_grad(), local_parameters():
            kl[analytic] = torch.stack(
                [elbo.terms(model, guide, *_batch()).kl for _ in range(120)]
            ).double()
    error = math.hypot(*(5.0 * draws.std().item() / math.sqrt(120) for draws in kl.values()))
    assert abs(kl[True].mean() - kl[False].mean()) < error
    assert kl[True].std() < kl[False].std()


def test_state_dict_round_trip():
    guide = _guide(_model())
    fresh = build_guide(LowRank(across_layers=True), _model(), in_channels=1)
    fresh.load_state_dict(guide.state_dict())
    draws = []
    for each in (guide, fresh):
        torch.manual_seed(3)
        draws.append(draw_latents(each)[0])
    assert all(torch.equal(draws[0][name], draws[1][name]) for name in draws[0])
